/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/regs.h"

#include <asm/ptrace.h>
#include <elf.h>
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "arch/regset.h"
#include "base/err.h"

/* elf.h of Debian 12 has them all; linux/elf.h says what they are. */
#define X8 8
#define SVC_LEN 4
#define SVE_ACTIVE 1u /* SVE_PT_REGS_SVE: the registers are wider than FPSIMD's at this moment */

int regs_get(pid_t tid, struct regs *out)
{
	struct regs r = { .call = 0 };
	ssize_t n = regset_get(tid, NT_PRSTATUS, &r.user, sizeof(r.user));

	if (n < 0)
		return fail((int)-n, "read the registers of thread %d: %s", tid,
			    err_reason((int)-n));
	if (n != sizeof(r.user))
		return fail(ENOTSUP,
			    "thread %d runs 32-bit code: its registers are of another kind", tid);
	n = regset_get(tid, NT_ARM_TLS, &r.tls, sizeof(r.tls));
	if (n < 0)
		return fail((int)-n, "read the thread pointer of thread %d: %s", tid,
			    err_reason((int)-n));
	*out = r;
	return 0;
}

int regs_set(pid_t tid, const struct regs *r)
{
	int ret = regset_set(tid, NT_PRSTATUS, &r->user, sizeof(r->user));

	if (ret)
		return fail(-ret, "set the registers of thread %d: %s", tid, err_reason(-ret));
	ret = regset_set(tid, NT_ARM_TLS, &r->tls, sizeof(r->tls));
	if (ret)
		return fail(-ret, "set the thread pointer of thread %d: %s", tid, err_reason(-ret));
	return 0;
}

uint64_t regs_ip(const struct regs *r)
{
	return r->user.pc;
}

uint64_t regs_sp(const struct regs *r)
{
	return r->user.sp;
}

uint64_t regs_tls(const struct regs *r)
{
	return r->tls;
}

void regs_set_ip(struct regs *r, uint64_t ip)
{
	r->user.pc = ip;
}

void regs_waited(struct regs *r, const struct regs_wait *wait)
{
	const struct restart_call *call = restart_find(wait->nr);
	bool rewound = r->user.pc == wait->ip - SVC_LEN && (int64_t)r->user.regs[X8] == wait->nr;
	bool failed = r->user.pc == wait->ip && (int64_t)r->user.regs[0] == -EINTR;

	if (wait->nr < 0 || r->user.sp != wait->sp ||
	    (!rewound && !(failed && call && call->eintr)))
		return;
	r->call = (uint64_t)wait->nr + 1;
	r->arg0 = wait->arg[0];
}

/* Whether the kernel goes on with such a call by restart_syscall(2): kernel/time, kernel/futex. One
 * that waits for a time of day begins again, as good as that: the time may be a virtual one, which
 * the kernel does not know (super/clock.h). */
static bool has_block(const struct regs *r, int64_t nr)
{
	const unsigned long long *arg = r->user.regs;

	switch (nr) {
	case SYS_nanosleep:
		return true;
	case SYS_clock_nanosleep:
		return !(arg[1] & TIMER_ABSTIME);
	case SYS_futex:
		return arg[3] && !(arg[1] & FUTEX_CLOCK_REALTIME) &&
		       ((arg[1] & FUTEX_CMD_MASK) == FUTEX_WAIT ||
			(arg[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET);
	default:
		return false;
	}
}

enum restart_kind regs_restart(const struct regs *r, int64_t *out_nr)
{
	const struct restart_call *call;

	*out_nr = (int64_t)r->call - 1;
	if (*out_nr < 0)
		return RESTART_NONE;
	call = restart_find(*out_nr);
	if (call && call->eintr && (int64_t)r->user.regs[0] == -EINTR)
		return RESTART_EINTR;
	return has_block(r, *out_nr) ? RESTART_BLOCK : RESTART_AGAIN;
}

void regs_restart_quietly(struct regs *r)
{
	int64_t nr;

	switch (regs_restart(r, &nr)) {
	case RESTART_EINTR:
		r->user.regs[0] = r->arg0;
		r->user.pc -= SVC_LEN;
		break;
	case RESTART_BLOCK:
		r->user.regs[X8] = SYS_restart_syscall;
		break;
	default:
		break;
	}
}

/* movz x8, #nr (or w8), as near to the instruction as there is one */
int restart_decode(const uint8_t *code, size_t len, int64_t *out_nr)
{
	for (size_t i = len / 4; i > 0; i--) {
		uint32_t insn;

		memcpy(&insn, code + (i - 1) * 4, sizeof(insn));
		if ((insn & 0x7fe0001f) == 0x52800008) {
			*out_nr = insn >> 5 & 0xffff;
			return 0;
		}
	}
	return -ENOENT;
}

/* The scalable registers where they are in use: the length, 0 where they are not. */
static ssize_t scalable(pid_t tid, void *out, size_t size)
{
	struct user_sve_header head;
	ssize_t n = regset_get(tid, NT_ARM_SVE, out, size);

	if (n < (ssize_t)sizeof(head))
		return 0;
	memcpy(&head, out, sizeof(head));
	if (!(head.flags & SVE_ACTIVE))
		return 0;
	if (head.size > size)
		return fail(ENOBUFS, "the vector registers of thread %d: more than %zu bytes", tid,
			    size);
	return n;
}

ssize_t vector_get(pid_t tid, void *out, size_t size)
{
	const size_t head = sizeof(struct regset_head);
	uint32_t note = NT_ARM_SVE;
	ssize_t n;

	if (size < head + sizeof(struct user_fpsimd_state))
		return fail(ENOBUFS, "the vector registers of thread %d: no room for them", tid);
	n = scalable(tid, (uint8_t *)out + head, size - head);
	if (n < 0)
		return n;
	if (n == 0) {
		note = NT_PRFPREG;
		n = regset_get(tid, note, (uint8_t *)out + head, size - head);
	}
	if (n < 0)
		return fail((int)-n, "read the vector registers of thread %d: %s", tid,
			    err_reason((int)-n));
	regset_head(note, (size_t)n, out);
	return (ssize_t)head + n;
}

int vector_set(pid_t tid, const void *data, size_t len)
{
	struct regset_head head;
	int ret = regset_check(data, len, &head);

	if (ret)
		return ret;
	if (head.note != NT_ARM_SVE &&
	    (head.note != NT_PRFPREG || head.len != sizeof(struct user_fpsimd_state)))
		return fail(EBADMSG,
			    "vector registers: set %#x of %u bytes is none of this processor",
			    head.note, head.len);
	ret = regset_set(tid, head.note, (const uint8_t *)data + sizeof(head), head.len);
	if (ret)
		return fail(-ret, "set the vector registers of thread %d: %s", tid,
			    err_reason(-ret));
	return 0;
}
