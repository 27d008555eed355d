/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/inject.h"

#include <asm/sigcontext.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "arch/arch_priv.h"
#include "arch/regset.h"
#include "base/err.h"

/*
 * call:  svc; mov x19, x0
 * end:   gettid; mov x1, #SIGNAL; tkill
 * home:  ...; sp = frame; rt_sigreturn
 * batch: ldr x8, [x20]; ldp x0, x1, [x20, #8]; ...; svc; str x0, [x20, #56]
 *        add x20, x20, #64; subs x21, x21, #1; b.ne batch; b end
 * map:   svc; mov x22, x0; b behind call
 * unmap: svc; mov x22, #-1; b behind call
 * clone: svc; cbnz x0, behind call; exit_group
 *
 * There is no jump through memory, so the way home is the return from a signal handler. Its frame
 * holds the 128-bit registers: were wider ones in use, their upper parts are lost if the tracer
 * dies (and by no other end).
 */
#define X8 8u
#define X19 19u
#define X20 20u
#define X21 21u
#define X22 22u
#define SP 31u

#define SVC 0xd4000001u
#define BTYPE 0xc00u /* pstate: the last instruction was an indirect branch */

/* What rt_sigreturn finds at sp: arch/arm64/kernel/signal.c, up to the end of the records. */
struct frame {
	uint8_t siginfo[128];
	uint64_t flags, link;
	struct {
		uint64_t sp;
		uint64_t flags;
		uint64_t size;
	} stack;
	uint64_t sigmask;
	uint8_t unused[120];
	uint64_t pad; /* the next is aligned to 16 */
	uint64_t fault_address, x[31], sp, pc, pstate, pad2;
	struct fpsimd_context vectors;
	struct _aarch64_ctx end;
} __attribute__((aligned(16)));

/* with the code, some 72 instructions */
_Static_assert(sizeof(struct frame) + INJECT_CPUS_MAX + 288 <= INJECT_CODE_MAX, "room");
_Static_assert(offsetof(struct frame, fault_address) == 128 + 176, "struct ucontext");
_Static_assert(offsetof(struct frame, vectors) == 128 + 176 + 288, "struct sigcontext");

static uint8_t *put(uint8_t *p, uint32_t insn)
{
	return arch_put(p, insn, 4);
}

static uint8_t *put_mov64(uint8_t *p, uint32_t reg, uint64_t value)
{
	p = put(p, 0xd2800000u | (uint32_t)(value & 0xffff) << 5 | reg); /* movz */
	for (uint32_t i = 1; i < 4; i++)
		if (value >> (16 * i) & 0xffff) /* movk */
			p = put(p, 0xf2800000u | i << 21 |
					   (uint32_t)(value >> (16 * i) & 0xffff) << 5 | reg);
	return p;
}

static uint8_t *put_call(uint8_t *p, uint32_t nr)
{
	return put(put_mov64(p, X8, nr), SVC);
}

static uint8_t *put_load_pair(uint8_t *p, uint32_t first, uint32_t offset)
{
	return put(p, 0xa9400000u | offset / 8 << 15 | (first + 1) << 10 | X20 << 5 | first);
}

static uint8_t *put_jump(uint8_t *p, const uint8_t *to)
{
	return put(p, 0x14000000u | ((uint32_t)((to - p) / 4) & 0x3ffffff));
}

static uint8_t *put_batch(uint8_t *p, const uint8_t *end)
{
	const uint8_t *top = p;

	p = put(p, 0xf9400000u | X20 << 5 | X8); /* ldr x8, [x20] */
	p = put_load_pair(p, 0, 8);
	p = put_load_pair(p, 2, 24);
	p = put_load_pair(p, 4, 40);
	p = put(p, SVC);
	p = put(p, 0xf9000000u | 56 / 8 << 10 | X20 << 5); /* str x0, [x20, #56] */
	p = put(p, 0x91000000u | 64 << 10 | X20 << 5 | X20);
	p = put(p, 0xf1000000u | 1 << 10 | X21 << 5 | X21);
	p = put(p, 0x54000001u | ((uint32_t)((top - p) / 4) & 0x7ffff) << 5);
	return put_jump(p, end);
}

/* munmap(x22), by the thread that is named for it */
static uint8_t *put_unmap(uint8_t *p, pid_t tid, const struct inject_plan *plan)
{
	uint8_t *skip;

	p = put(put_mov64(p, 2, plan->keeper_at), 0xb9400042u); /* ldr w2, [x2] */
	p = put(put_mov64(p, 3, (uint32_t)tid), 0x6b03005fu);   /* cmp w2, w3 */
	skip = p;
	p = put(p, 0);
	p = put(p, 0xaa0003e0u | X22 << 16); /* mov x0, x22 */
	p = put_call(put_mov64(p, 1, plan->map_len), SYS_munmap);
	put(skip, 0x54000001u | (uint32_t)(p - skip) / 4 << 5); /* b.ne behind */
	return p;
}

static uint8_t *put_home(uint8_t *p, pid_t tid, const struct inject_plan *plan, uint64_t base)
{
	if (plan->cpus_len) {
		p = put_mov64(p, 0, 0);
		p = put_mov64(p, 1, plan->cpus_len);
		p = put_call(put_mov64(p, 2, base + sizeof(struct frame)), SYS_sched_setaffinity);
	}
	if (plan->map_len)
		p = put_unmap(p, tid, plan);
	p = put_mov64(p, 0, base);
	p = put(p, 0x91000000u | 0u << 5 | SP); /* mov sp, x0 */
	return put_call(p, SYS_rt_sigreturn);
}

static int fill_frame(pid_t tid, const struct regs *r, uint64_t sigmask, struct frame *f)
{
	struct user_fpsimd_state v;
	ssize_t n = regset_get(tid, NT_PRFPREG, &v, sizeof(v));

	if (n != sizeof(v))
		return fail(n < 0 ? (int)-n : EPROTO, "read the vector registers of thread %d: %s",
			    tid, n < 0 ? err_reason((int)-n) : "of another size than is known");
	memset(f, 0, sizeof(*f));
	memcpy(f->siginfo, inject_magic, sizeof(inject_magic)); /* nobody reads that */
	f->stack.flags = 0x7fffffff; /* not valid: the alternate stack stays as it is */
	f->sigmask = sigmask;
	memcpy(f->x, r->user.regs, sizeof(f->x));
	f->sp = r->user.sp;
	f->pc = r->user.pc;
	f->pstate = r->user.pstate;
	f->vectors.head.magic = FPSIMD_MAGIC;
	f->vectors.head.size = sizeof(f->vectors);
	f->vectors.fpsr = v.fpsr;
	f->vectors.fpcr = v.fpcr;
	memcpy(f->vectors.vregs, v.vregs, sizeof(v.vregs));
	return 0;
}

int inject_build(pid_t tid, const struct regs *r, uint64_t base, const struct inject_plan *plan,
		 struct inject *out)
{
	uint8_t *p = out->code, *end;
	int ret;

	if (plan->cpus_len > INJECT_CPUS_MAX)
		return fail(E2BIG, "a set of processors of %zu bytes", plan->cpus_len);
	ret = fill_frame(tid, r, plan->sigmask, (struct frame *)(void *)p);
	if (ret)
		return ret;
	p += sizeof(struct frame);
	memcpy(p, plan->cpus, plan->cpus_len);
	p += plan->cpus_len;
	out->call = (uint32_t)(p - out->code);
	p = put(p, SVC);
	out->after_call = (uint32_t)(p - out->code);
	p = put(p, 0xaa0003e0u | X19); /* mov x19, x0 */
	end = p;
	p = put_call(p, SYS_gettid);
	p = put_call(put_mov64(p, 1, (uint32_t)plan->signal), SYS_tkill);
	out->stop = out->home = (uint32_t)(p - out->code);
	p = put_home(p, tid, plan, base);
	out->batch = (uint32_t)(p - out->code);
	p = put_batch(p, end);
	out->map = (uint32_t)(p - out->code);
	p = put(p, SVC);
	out->after_map = (uint32_t)(p - out->code);
	p = put_jump(put(p, 0xaa0003e0u | X22), out->code + out->after_call);
	out->unmap = (uint32_t)(p - out->code);
	p = put(p, SVC);
	out->after_unmap = (uint32_t)(p - out->code);
	p = put_jump(put(p, 0x92800000u | X22), out->code + out->after_call);
	out->clone = (uint32_t)(p - out->code);
	p = put(p, SVC);
	out->after_clone = (uint32_t)(p - out->code);
	p = put(p, 0xb5000000u | ((uint32_t)((out->code + out->after_call - p) / 4) & 0x7ffff)
					 << 5);
	p = put_call(p, SYS_exit_group);
	out->len = (uint32_t)(p - out->code);
	out->mapped = INJECT_NO_MAP;
	return 0;
}

static void set_out(struct regs *r, const struct inject *code, uint64_t ip)
{
	r->user.regs[X22] = code->mapped;
	r->user.pc = ip;
	r->user.pstate &= ~(uint64_t)BTYPE;
}

void inject_set_call(struct regs *r, uint64_t base, const struct inject *code, uint64_t nr,
		     const uint64_t *arg)
{
	for (int i = 0; i < 6; i++)
		r->user.regs[i] = arg[i];
	r->user.regs[X8] = nr;
	set_out(r, code, base + code->call);
}

void inject_set_batch(struct regs *r, uint64_t base, const struct inject *code, uint64_t array,
		      size_t n)
{
	r->user.regs[X20] = array;
	r->user.regs[X21] = n;
	set_out(r, code, base + code->batch);
}

void inject_set_home(struct regs *r, uint64_t base, const struct inject *code)
{
	set_out(r, code, base + code->home);
}

int64_t inject_result(const struct regs *r, uint64_t base, const struct inject *code)
{
	uint64_t at = r->user.pc - base;
	bool just = at == code->after_call || at == code->after_map || at == code->after_unmap ||
		    at == code->after_clone;

	return (int64_t)r->user.regs[just ? 0 : X19];
}

/* Rewound to the call already; a call that is done stands behind it. */
bool inject_waits(const struct regs *r, uint64_t base, const struct inject *code)
{
	return r->user.pc == base + code->call;
}

int inject_keep(pid_t tid, void *out, size_t size, size_t *out_len)
{
	ssize_t n = vector_get(tid, out, size);
	struct regset_head head;

	if (n < 0)
		return (int)n;
	memcpy(&head, out, sizeof(head));
	*out_len = head.note == NT_ARM_SVE ? (size_t)n : 0;
	return 0;
}
