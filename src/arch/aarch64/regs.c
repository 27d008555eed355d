/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/regs.h"

#include <asm/ptrace.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "arch/regset.h"
#include "base/err.h"

/* elf.h of Debian 12 has them all; linux/elf.h says what they are. */
#define SVE_ACTIVE 1u /* SVE_PT_REGS_SVE: the registers are wider than FPSIMD's at this moment */

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

enum restart_kind regs_restart(const struct regs *r, int64_t *out_nr)
{
	(void)r;
	*out_nr = -1;
	return RESTART_NONE;
}

void regs_restart_quietly(struct regs *r)
{
	(void)r;
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
