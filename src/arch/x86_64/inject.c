/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/inject.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "arch/arch_priv.h"
#include "base/err.h"

/*
 * call:  syscall
 *        mov r12, rax
 * end:   mov eax, gettid; syscall; mov edi, eax; mov esi, SIGNAL; mov eax, tkill; syscall
 * home:  ...
 * batch: mov rax, [r14]; mov rdi, [r14+8]; ...; syscall; mov [r14+56], rax
 *        add r14, 64; dec r15; jnz batch; jmp end
 * map:   syscall; mov r13, rax; jmp behind call
 * unmap: syscall; or r13, -1; jmp behind call
 * clone: syscall; test eax, eax; jnz behind call; mov eax, exit_group; syscall
 */
static const uint8_t batch_loop[] = {
	0x49, 0x8b, 0x06,       /* mov rax, [r14] */
	0x49, 0x8b, 0x7e, 0x08, /* mov rdi, [r14+8] */
	0x49, 0x8b, 0x76, 0x10, /* mov rsi, [r14+16] */
	0x49, 0x8b, 0x56, 0x18, /* mov rdx, [r14+24] */
	0x4d, 0x8b, 0x56, 0x20, /* mov r10, [r14+32] */
	0x4d, 0x8b, 0x46, 0x28, /* mov r8, [r14+40] */
	0x4d, 0x8b, 0x4e, 0x30, /* mov r9, [r14+48] */
	0x0f, 0x05,             /* syscall */
	0x49, 0x89, 0x46, 0x38, /* mov [r14+56], rax */
	0x49, 0x83, 0xc6, 0x40, /* add r14, 64 */
	0x49, 0xff, 0xcf,       /* dec r15 */
	0x75, 0xd6,             /* jnz to the top */
};

#define FLAGS_LOW 0xd5u /* CF PF AF ZF SF: what sahf loads */
#define FLAG_FIXED 0x02u
#define FLAG_OVERFLOW 0x800u

/* Values are the processor's numbers of the registers, rsp left out: nothing changes it. */
static const struct {
	uint8_t number;
	uint16_t offset;
} general[] = {
#define REG(number, name)                                       \
	{                                                       \
		number, offsetof(struct user_regs_struct, name) \
	}
	REG(0, rax),  REG(1, rcx),  REG(2, rdx),  REG(3, rbx),  REG(5, rbp),
	REG(6, rsi),  REG(7, rdi),  REG(8, r8),   REG(9, r9),   REG(10, r10),
	REG(11, r11), REG(12, r12), REG(13, r13), REG(14, r14), REG(15, r15),
#undef REG
};

static uint8_t *put_bytes(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}
#define BYTES(p, ...) \
	put_bytes((p), (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

/* mov r, imm32 zero-extended, for registers 0 to 7 */
static uint8_t *put_mov32(uint8_t *p, unsigned reg, uint32_t value)
{
	*p++ = (uint8_t)(0xb8 + reg);
	return arch_put(p, value, 4);
}

static uint8_t *put_mov64(uint8_t *p, unsigned reg, uint64_t value)
{
	*p++ = reg < 8 ? 0x48 : 0x49;
	*p++ = (uint8_t)(0xb8 + reg % 8);
	return arch_put(p, value, 8);
}

static uint8_t *put_call(uint8_t *p, uint32_t nr)
{
	return BYTES(put_mov32(p, 0, nr), 0x0f, 0x05);
}

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/* The arithmetic flags; nothing here changes the others. */
static uint8_t *put_flags(uint8_t *p, uint64_t flags)
{
	if (flags & FLAG_OVERFLOW)
		p = BYTES(p, 0xb0, 0x7f, 0x04, 0x01); /* mov al, 127; add al, 1 */
	else
		p = BYTES(p, 0x31, 0xc0); /* xor eax, eax */
	/* mov ah, flags; sahf, which leaves OF alone */
	return BYTES(p, 0xb4, (uint8_t)((flags & FLAGS_LOW) | FLAG_FIXED), 0x9e);
}

/* What the kernel does with a call that no handler interrupts. */
static void start_again(struct user_regs_struct *u, const struct regs *r)
{
	const uint64_t syscall_len = 2;
	int64_t nr;

	switch (regs_restart(r, &nr)) {
	case RESTART_BLOCK:
		u->rax = SYS_restart_syscall;
		break;
	case RESTART_AGAIN:
	case RESTART_EINTR:
		u->rax = (uint64_t)nr;
		break;
	case RESTART_NONE:
		return;
	}
	u->rip -= syscall_len;
}

/* munmap(r13), by the thread that is named for it */
static uint8_t *put_unmap(uint8_t *p, pid_t tid, const struct inject_plan *plan)
{
	uint8_t *skip;

	p = arch_put(BYTES(p, 0x48, 0xa1), plan->keeper_at, 8); /* mov rax, [keeper] */
	*p++ = 0x3d;                                            /* cmp eax, tid */
	p = arch_put(p, (uint32_t)tid, 4);
	p = BYTES(p, 0x75, 0); /* jne behind */
	skip = p;
	p = BYTES(p, 0x4c, 0x89, 0xef); /* mov rdi, r13 */
	p = put_call(put_mov64(p, RSI, plan->map_len), SYS_munmap);
	skip[-1] = (uint8_t)(p - skip);
	return p;
}

static uint8_t *put_home(uint8_t *p, pid_t tid, const struct regs *r,
			 const struct inject_plan *plan, uint64_t base)
{
	struct user_regs_struct u = r->user;
	uint64_t mask_at = base + sizeof(inject_magic), cpus_at = mask_at + 8;

	start_again(&u, r);
	if (plan->cpus_len) {
		p = put_mov32(p, RDI, 0);
		p = put_mov32(p, RSI, (uint32_t)plan->cpus_len);
		p = put_call(put_mov64(p, RDX, cpus_at), SYS_sched_setaffinity);
	}
	if (plan->map_len)
		p = put_unmap(p, tid, plan);
	p = put_mov32(p, RDI, 2); /* SIG_SETMASK */
	p = put_mov64(p, RSI, mask_at);
	p = put_mov32(p, RDX, 0);
	p = BYTES(p, 0x41, 0xba, 8, 0, 0, 0); /* mov r10d, 8 */
	p = put_call(p, SYS_rt_sigprocmask);
	/* from here on a handler may run at any time, on the stack as it was */
	p = put_flags(p, u.eflags);
	for (size_t i = 0; i < sizeof(general) / sizeof(general[0]); i++) {
		uint64_t value;

		memcpy(&value, (const uint8_t *)&u + general[i].offset, sizeof(value));
		p = put_mov64(p, general[i].number, value);
	}
	p = BYTES(p, 0xff, 0x25, 0, 0, 0, 0); /* jmp [rip+0], and there: */
	return arch_put(p, u.rip, 8);
}

static uint8_t *put_jump(uint8_t *p, const uint8_t *to)
{
	*p++ = 0xe9;
	return arch_put(p, (uint64_t)(to - (p + 4)), 4);
}

int inject_build(pid_t tid, const struct regs *r, uint64_t base, const struct inject_plan *plan,
		 struct inject *out)
{
	uint8_t *p = out->code, *end;

	if (plan->cpus_len > INJECT_CPUS_MAX)
		return fail(E2BIG, "a set of processors of %zu bytes", plan->cpus_len);
	p = put_bytes(p, inject_magic, sizeof(inject_magic));
	p = arch_put(p, plan->sigmask, 8);
	p = put_bytes(p, plan->cpus, plan->cpus_len);
	out->call = (uint32_t)(p - out->code);
	p = BYTES(p, 0x0f, 0x05);
	out->after_call = (uint32_t)(p - out->code);
	p = BYTES(p, 0x49, 0x89, 0xc4); /* mov r12, rax */
	end = p;
	p = BYTES(put_call(p, SYS_gettid), 0x89, 0xc7); /* mov edi, eax */
	p = put_call(put_mov32(p, RSI, (uint32_t)plan->signal), SYS_tkill);
	out->stop = out->home = (uint32_t)(p - out->code);
	p = put_home(p, tid, r, plan, base);
	out->batch = (uint32_t)(p - out->code);
	p = put_bytes(p, batch_loop, sizeof(batch_loop));
	p = put_jump(p, end);
	out->map = (uint32_t)(p - out->code);
	p = BYTES(p, 0x0f, 0x05);
	out->after_map = (uint32_t)(p - out->code);
	p = put_jump(BYTES(p, 0x49, 0x89, 0xc5), out->code + out->after_call);
	out->unmap = (uint32_t)(p - out->code);
	p = BYTES(p, 0x0f, 0x05);
	out->after_unmap = (uint32_t)(p - out->code);
	p = put_jump(BYTES(p, 0x49, 0x83, 0xcd, 0xff), out->code + out->after_call);
	out->clone = (uint32_t)(p - out->code);
	p = BYTES(p, 0x0f, 0x05);
	out->after_clone = (uint32_t)(p - out->code);
	p = BYTES(p, 0x85, 0xc0, 0x0f, 0x85);
	p = arch_put(p, (uint64_t)(out->code + out->after_call - (p + 4)), 4);
	p = put_call(put_mov32(p, RDI, 0), SYS_exit_group);
	out->len = (uint32_t)(p - out->code);
	out->mapped = INJECT_NO_MAP;
	return 0;
}

/* orig_rax of -1: no call is to be started again. */
static void set_out(struct regs *r, const struct inject *code, uint64_t ip)
{
	r->user.r13 = code->mapped;
	r->user.rip = ip;
	r->user.orig_rax = (uint64_t)-1;
}

void inject_set_call(struct regs *r, uint64_t base, const struct inject *code, uint64_t nr,
		     const uint64_t *arg)
{
	r->user.rax = nr;
	r->user.rdi = arg[0];
	r->user.rsi = arg[1];
	r->user.rdx = arg[2];
	r->user.r10 = arg[3];
	r->user.r8 = arg[4];
	r->user.r9 = arg[5];
	set_out(r, code, base + code->call);
}

void inject_set_batch(struct regs *r, uint64_t base, const struct inject *code, uint64_t array,
		      size_t n)
{
	r->user.r14 = array;
	r->user.r15 = n;
	set_out(r, code, base + code->batch);
}

void inject_set_home(struct regs *r, uint64_t base, const struct inject *code)
{
	set_out(r, code, base + code->home);
}

int64_t inject_result(const struct regs *r, uint64_t base, const struct inject *code)
{
	uint64_t at = r->user.rip - base;
	bool just = at == code->after_call || at == code->after_map || at == code->after_unmap ||
		    at == code->after_clone;

	return (int64_t)(just ? r->user.rax : r->user.r12);
}

bool inject_waits(const struct regs *r, uint64_t base, const struct inject *code)
{
	int64_t nr;

	return r->user.rip == base + code->after_call && regs_restart(r, &nr) == RESTART_BLOCK;
}

int inject_keep(pid_t tid, void *out, size_t size, size_t *out_len)
{
	(void)tid;
	(void)out;
	(void)size;
	*out_len = 0;
	return 0;
}
