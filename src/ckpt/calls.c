/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/calls.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "arch/arch.h"
#include "arch/call.h"
#include "base/err.h"
#include "base/names.h"
#include "task/trace.h"

#define CODE_BEFORE 32u
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* Parts of the names of the kernel's functions in which calls with a state of its own wait. */
static const struct {
	const char *part;
	int64_t nr, of_clock; /* of_clock: where the first argument is a clock, not an address */
} waits[] = {
	{ "futex", SYS_futex, SYS_futex },
	{ "nanosleep", SYS_nanosleep, SYS_clock_nanosleep },
	{ "nsleep", SYS_clock_nanosleep, SYS_clock_nanosleep },
#ifdef SYS_poll
	{ "poll", SYS_poll, SYS_poll },
#else
	{ "poll", SYS_ppoll, SYS_ppoll },
#endif
};

/* No address is so low (vm.mmap_min_addr), nor so high; clocks are small, or negative. */
static bool is_clock(uint64_t arg)
{
	int32_t id = (int32_t)arg;

	return (arg >> 32 == 0 || arg >> 32 == UINT32_MAX) && id < 4096;
}

/* Where the program's code does not tell, the kernel's does. */
static int ask(const struct ckpt_thread *t, struct regs *r, int64_t *out_nr)
{
	char where[128];
	int64_t answer;
	int ret = trace_waits_in(t->trace, where, sizeof(where), &answer);

	if (ret == -EPROTO) {
		call_set_result(r, answer);
		*out_nr = -1;
		return 0;
	}
	if (ret)
		return ret;
	for (size_t i = 0; i < NAME_COUNT(waits); i++)
		if (strstr(where, waits[i].part)) {
			*out_nr = is_clock(call_arg(r, 0)) ? waits[i].of_clock : waits[i].nr;
			return 0;
		}
	return fail(ENOTSUP, "thread %d: which system call it is to go on with can't be told (%s)",
		    t->tid, where);
}

/* Which call restart_syscall continues: the program put its number in a register just before. -1:
 * it is over, and r says so. */
static int decode(const struct ckpt_thread *t, struct regs *r, int64_t *out_nr)
{
	uint8_t code[CODE_BEFORE];
	uint64_t call = regs_ip(r) - arch_native()->call_len;
	int ret = peek_read(&t->proc->trace->mem, call - CODE_BEFORE, code, sizeof(code));

	return !ret && restart_decode(code, sizeof(code), out_nr) ? ask(t, r, out_nr) : ret;
}

/* Nanoseconds in a struct timespec of the thread's; no address is for ever. */
static int read_time(const struct ckpt_thread *t, uint64_t addr, uint64_t *out)
{
	struct timespec ts;
	int ret;

	if (!addr) {
		*out = UINT64_MAX;
		return 0;
	}
	ret = peek_read(&t->proc->trace->mem, addr, &ts, sizeof(ts));
	if (ret)
		return ret;
	if (ts.tv_sec < 0 || ts.tv_nsec < 0 || (uint64_t)ts.tv_nsec >= NS_PER_S)
		*out = 0;
	else if ((uint64_t)ts.tv_sec > INT64_MAX / NS_PER_S - 1)
		*out = INT64_MAX;
	else
		*out = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
	return 0;
}

static int time_left(const struct ckpt_thread *t, const struct regs *r,
		     const struct restart_call *call, uint64_t *out)
{
	uint64_t value = call_arg(r, call->time_arg);

	switch (call->unit) {
	case RESTART_MS:
		*out = (int32_t)value < 0 ? UINT64_MAX : (uint32_t)value * NS_PER_MS;
		return 0;
	case RESTART_TIMESPEC:
		/* what the kernel says is left is exact */
		if (call->remain_arg >= 0 && call_arg(r, (unsigned)call->remain_arg))
			return read_time(t, call_arg(r, (unsigned)call->remain_arg), out);
		return read_time(t, value, out);
	case RESTART_FOREVER:
		break;
	}
	*out = UINT64_MAX;
	return 0;
}

int calls_left(const struct ckpt_thread *t, struct regs *r, uint32_t *out_nr, uint64_t *out_left)
{
	const struct restart_call *call;
	int64_t nr;
	enum restart_kind kind = regs_restart(r, &nr);
	int ret = 0;

	*out_nr = CALLS_NONE;
	*out_left = 0;
	if (kind == RESTART_EINTR)
		regs_restart_quietly(r);
	if (kind != RESTART_BLOCK)
		return 0;
	if (nr == SYS_restart_syscall)
		ret = decode(t, r, &nr);
	if (ret || nr < 0)
		return ret;
	call = restart_find(nr);
	if (!call)
		return fail(ENOTSUP,
			    "thread %d: system call %lld, interrupted, can't be gone on with",
			    t->tid, (long long)nr);
	*out_nr = (uint32_t)nr;
	return time_left(t, r, call, out_left);
}

int calls_rearm(const struct regs *r, uint32_t nr, uint64_t left, uint64_t left_addr,
		struct inject_call *out)
{
	const struct restart_call *call = restart_find(nr);
	uint64_t ms = left / NS_PER_MS + (left % NS_PER_MS ? 1 : 0);

	if (!call)
		return fail(EBADMSG, "system call %u is none that is gone on with", nr);
	out->nr = nr;
	for (unsigned i = 0; i < 6; i++)
		out->arg[i] = call_arg(r, i);
	if (call->unit == RESTART_MS)
		out->arg[call->time_arg] = left == UINT64_MAX ? UINT64_MAX
					   : ms > INT32_MAX   ? INT32_MAX
							      : ms;
	if (call->unit == RESTART_TIMESPEC)
		out->arg[call->time_arg] = left == UINT64_MAX ? 0 : left_addr;
	return 0;
}
