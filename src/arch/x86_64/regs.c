/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/regs.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "arch/regset.h"
#include "base/err.h"

/* What the kernel leaves in rax of an interrupted call: include/linux/errno.h */
enum {
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
};

/* Intel's manual, volume 1, 13.4: legacy region, header (XSTATE_BV first), components. The kernel
 * keeps the mask of what the processor has in the legacy region's last bytes (XSTATE_XCR0). */
#define XSAVE_XCR0 464
#define XSAVE_BV 512
#define XSAVE_MIN 576

int regs_get(pid_t tid, struct regs *out)
{
	struct regs r;
	ssize_t n = regset_get(tid, NT_PRSTATUS, &r.user, sizeof(r.user));

	if (n < 0)
		return fail((int)-n, "read the registers of thread %d: %s", tid,
			    err_reason((int)-n));
	if (n != sizeof(r.user))
		return fail(ENOTSUP,
			    "thread %d runs 32-bit code: its registers are of another kind", tid);
	*out = r;
	return 0;
}

int regs_set(pid_t tid, const struct regs *r)
{
	int ret = regset_set(tid, NT_PRSTATUS, &r->user, sizeof(r->user));

	if (ret)
		return fail(-ret, "set the registers of thread %d: %s", tid, err_reason(-ret));
	return 0;
}

uint64_t regs_ip(const struct regs *r)
{
	return r->user.rip;
}

uint64_t regs_sp(const struct regs *r)
{
	return r->user.rsp;
}

uint64_t regs_tls(const struct regs *r)
{
	return r->user.fs_base;
}

void regs_set_ip(struct regs *r, uint64_t ip)
{
	r->user.rip = ip;
}

enum restart_kind regs_restart(const struct regs *r, int64_t *out_nr)
{
	const struct restart_call *call;

	*out_nr = (int64_t)r->user.orig_rax;
	if (*out_nr < 0)
		return RESTART_NONE;
	switch (-(int64_t)r->user.rax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		return RESTART_AGAIN;
	case ERESTART_RESTARTBLOCK:
		return RESTART_BLOCK;
	case EINTR:
		call = restart_find(*out_nr);
		return call && call->eintr ? RESTART_EINTR : RESTART_NONE;
	default:
		return RESTART_NONE;
	}
}

void regs_waited(struct regs *r, const struct regs_wait *wait)
{
	(void)r;
	(void)wait;
}

void regs_restart_quietly(struct regs *r)
{
	int64_t nr;

	if (regs_restart(r, &nr) == RESTART_EINTR)
		r->user.rax = (uint64_t)-ERESTARTNOHAND;
}

/* mov eax, imm32 (b8 nr), a number of a system call, as near to the instruction as there is one */
int restart_decode(const uint8_t *code, size_t len, int64_t *out_nr)
{
	const size_t mov = 5;

	for (size_t i = len; i >= mov; i--) {
		const uint8_t *p = code + i - mov;

		if (p[0] == 0xb8 && p[2] < 4 && p[3] == 0 && p[4] == 0) {
			*out_nr = p[1] | p[2] << 8;
			return 0;
		}
	}
	return -ENOENT;
}

ssize_t vector_get(pid_t tid, void *out, size_t size)
{
	const size_t head = sizeof(struct regset_head);
	ssize_t n;

	if (size < head + XSAVE_MIN)
		return fail(ENOBUFS, "the vector registers of thread %d: no room for them", tid);
	n = regset_get(tid, NT_X86_XSTATE, (uint8_t *)out + head, size - head);
	if (n < 0)
		return fail((int)-n, "read the vector registers of thread %d: %s", tid,
			    err_reason((int)-n));
	/* the kernel cuts silently */
	if ((size_t)n == size - head)
		return fail(ENOBUFS, "the vector registers of thread %d: more than %zu bytes", tid,
			    size - head);
	regset_head(NT_X86_XSTATE, (size_t)n, out);
	return (ssize_t)head + n;
}

int vector_set(pid_t tid, const void *data, size_t len)
{
	uint8_t buf[VECTOR_MAX] __attribute__((aligned(64)));
	uint64_t used, had, have;
	struct regset_head head;
	ssize_t room;
	int ret = regset_check(data, len, &head);

	if (ret)
		return ret;
	if (head.note != NT_X86_XSTATE || head.len < XSAVE_MIN || head.len > sizeof(buf))
		return fail(EBADMSG, "vector registers: set %#x of %u bytes is no XSAVE area",
			    head.note, head.len);
	/* the size that is right here is the one the kernel gives */
	room = regset_get(tid, NT_X86_XSTATE, buf, sizeof(buf));
	if (room < 0)
		return fail((int)-room, "read the vector registers of thread %d: %s", tid,
			    err_reason((int)-room));
	memcpy(&have, buf + XSAVE_XCR0, sizeof(have));
	data = (const uint8_t *)data + sizeof(head);
	memcpy(&used, (const uint8_t *)data + XSAVE_BV, sizeof(used));
	memcpy(&had, (const uint8_t *)data + XSAVE_XCR0, sizeof(had));
	if (used & ~have)
		return fail(
			EBADMSG,
			"vector registers: extensions %#llx are in use, and this processor has %#llx",
			(unsigned long long)used, (unsigned long long)have);
	if (used & ~had)
		return fail(EBADMSG,
			    "vector registers: extensions %#llx in use on a processor of %#llx",
			    (unsigned long long)used, (unsigned long long)had);
	if (head.len > (size_t)room)
		head.len = (uint32_t)room;
	memset(buf, 0, (size_t)room);
	memcpy(buf, data, head.len);
	memcpy(buf + XSAVE_XCR0, &have, sizeof(have));
	ret = regset_set(tid, NT_X86_XSTATE, buf, (size_t)room);
	if (ret)
		return fail(-ret, "set the vector registers of thread %d: %s", tid,
			    err_reason(-ret));
	return 0;
}
