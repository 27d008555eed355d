/* SPDX-License-Identifier: Apache-2.0 */
/* Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. */
#include <elf.h>
#include <linux/audit.h>
#include <stddef.h>
#include <string.h>

#include "arch/arch_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* getrandom takes more arguments there than the call has. */
static const struct arch_entry entries[] = {
	{ "__vdso_clock_gettime", 228, ARCH_CLOCK_GETTIME },
	{ "__vdso_gettimeofday", 96, ARCH_CLOCK_TIMEOFDAY },
	{ "__vdso_time", 201, ARCH_CLOCK_TIME },
	{ "__vdso_clock_getres", 229, ARCH_CLOCK_NONE },
	{ "__vdso_getcpu", 309, ARCH_CLOCK_NONE },
	{ "__vdso_getrandom", ARCH_NO_CALL, ARCH_CLOCK_NONE },
	{ "__vdso_sgx_enter_enclave", ARCH_NO_CALL, ARCH_CLOCK_NONE },
};

/* arch/x86/include/uapi/asm/prctl.h: ARCH_GET_XCOMP_PERM; bit 18 is XTILEDATA's */
static const struct arch_grant grants[] = {
	{ "segments (modify_ldt(2))", 154, 0, 0 },
	{ "tiles (AMX, arch_prctl(2))", 158, 0x1022, 1ull << 18 },
};

static size_t stub(uint32_t nr, uint8_t *out)
{
	uint8_t *p = out;

	*p++ = 0xb8; /* mov eax, nr */
	p = arch_put(p, nr, 4);
	*p++ = 0x0f; /* syscall */
	*p++ = 0x05;
	*p++ = 0xc3; /* ret */
	return (size_t)(p - out);
}

static size_t jump(uint64_t from, uint64_t to, uint8_t *out)
{
	uint64_t near = to - (from + 5);
	uint8_t *p = out;

	if ((int64_t)near == (int32_t)near) {
		*p++ = 0xe9; /* jmp rel32 */
		p = arch_put(p, near, 4);
	} else {
		*p++ = 0xff; /* jmp [rip+0], and there: */
		*p++ = 0x25;
		p = arch_put(p, 0, 4);
		p = arch_put(p, to, 8);
	}
	return (size_t)(p - out);
}

static size_t idle(uint32_t fd, uint64_t addr, uint32_t len, uint8_t *out)
{
	/* the arguments are still there */
	static const uint8_t sleep[] = {
		0x31, 0xc0,                   /* xor eax, eax: read */
		0x0f, 0x05,                   /* syscall */
		0x31, 0xff,                   /* xor edi, edi */
		0xb8, 0xe7, 0x00, 0x00, 0x00, /* mov eax, 231: exit_group */
		0x0f, 0x05,                   /* syscall */
	};
	uint8_t *p = out;

	*p++ = 0xbf; /* mov edi, fd */
	p = arch_put(p, fd, 4);
	*p++ = 0x48; /* mov rsi, addr */
	*p++ = 0xbe;
	p = arch_put(p, addr, 8);
	*p++ = 0xba; /* mov edx, len */
	p = arch_put(p, len, 4);
	*p++ = 0xb8; /* mov eax, 1: write */
	p = arch_put(p, 1, 4);
	*p++ = 0x0f; /* syscall */
	*p++ = 0x05;
	memcpy(p, sleep, sizeof(sleep));
	return (size_t)(p - out) + sizeof(sleep);
}

/* An instruction whose last four bytes say how far it is to an address. */
#define PUT_FAR(p, out, at, to, ...)                                                 \
	do {                                                                         \
		const uint8_t op[] = { __VA_ARGS__ };                                \
                                                                                     \
		(p) = arch_copy((p), op, sizeof(op));                                \
		(p) = arch_put((p), (to) - ((at) + (uint64_t)((p) - (out)) + 4), 4); \
	} while (0)

#define PUT(p, ...)                                   \
	do {                                          \
		const uint8_t op[] = { __VA_ARGS__ }; \
                                                      \
		(p) = arch_copy((p), op, sizeof(op)); \
	} while (0)

#define SEC (at->offset + offsetof(struct arch_offset, sec))
#define NSEC (at->offset + offsetof(struct arch_offset, nsec))
#define USEC (at->offset + offsetof(struct arch_offset, usec))

#define NS_PER_SEC 0x00, 0xca, 0x9a, 0x3b
#define US_PER_SEC 0x40, 0x42, 0x0f, 0x00

/* A call of the real function with the arguments kept, the stack aligned and a frame for those who
 * walk it. */
static uint8_t *put_real(uint8_t *p, uint8_t *out, const struct arch_clock_at *at)
{
	PUT(p, 0xf3, 0x0f, 0x1e, 0xfa);            /* endbr64 */
	PUT(p, 0x55);                              /* push rbp */
	PUT(p, 0x48, 0x89, 0xe5);                  /* mov rbp, rsp */
	PUT(p, 0x57, 0x56);                        /* push rdi; push rsi */
	PUT_FAR(p, out, at->self, at->real, 0xe8); /* call real */
	PUT(p, 0x5e, 0x5f, 0x5d);                  /* pop rsi; pop rdi; pop rbp */
	PUT(p, 0x85, 0xc0);                        /* test eax, eax */
	return p;
}

static size_t clock_gettime_at(const struct arch_clock_at *at, uint8_t *out)
{
	uint8_t *p = put_real(out, out, at);

	PUT(p, 0x75, 0x3b);       /* jnz out */
	PUT(p, 0x83, 0xff, 0x0b); /* cmp edi, 11 */
	PUT(p, 0x77, 0x36);       /* ja out */
	PUT(p, 0xb9);             /* mov ecx, clocks */
	p = arch_put(p, ARCH_WALL_CLOCKS, 4);
	PUT(p, 0x0f, 0xa3, 0xf9);                          /* bt ecx, edi */
	PUT(p, 0x73, 0x2c);                                /* jnc out */
	PUT(p, 0x48, 0x8b, 0x4e, 0x08);                    /* mov rcx, [rsi+8] */
	PUT_FAR(p, out, at->self, NSEC, 0x48, 0x03, 0x0d); /* add rcx, nsec */
	PUT_FAR(p, out, at->self, SEC, 0x48, 0x8b, 0x3d);  /* mov rdi, sec */
	PUT(p, 0x48, 0x81, 0xf9, NS_PER_SEC);              /* cmp rcx, 1000000000 */
	PUT(p, 0x7c, 0x0a);                                /* jl +10 */
	PUT(p, 0x48, 0x81, 0xe9, NS_PER_SEC);              /* sub rcx, 1000000000 */
	PUT(p, 0x48, 0xff, 0xc7);                          /* inc rdi */
	PUT(p, 0x48, 0x89, 0x4e, 0x08);                    /* mov [rsi+8], rcx */
	PUT(p, 0x48, 0x01, 0x3e);                          /* add [rsi], rdi */
	PUT(p, 0xc3);                                      /* out: ret */
	return (size_t)(p - out);
}

static size_t gettimeofday_at(const struct arch_clock_at *at, uint8_t *out)
{
	uint8_t *p = put_real(out, out, at);

	PUT(p, 0x75, 0x31);                                /* jnz out */
	PUT(p, 0x48, 0x85, 0xff);                          /* test rdi, rdi */
	PUT(p, 0x74, 0x2c);                                /* jz out */
	PUT(p, 0x48, 0x8b, 0x4f, 0x08);                    /* mov rcx, [rdi+8] */
	PUT_FAR(p, out, at->self, USEC, 0x48, 0x03, 0x0d); /* add rcx, usec */
	PUT_FAR(p, out, at->self, SEC, 0x48, 0x8b, 0x35);  /* mov rsi, sec */
	PUT(p, 0x48, 0x81, 0xf9, US_PER_SEC);              /* cmp rcx, 1000000 */
	PUT(p, 0x7c, 0x0a);                                /* jl +10 */
	PUT(p, 0x48, 0x81, 0xe9, US_PER_SEC);              /* sub rcx, 1000000 */
	PUT(p, 0x48, 0xff, 0xc6);                          /* inc rsi */
	PUT(p, 0x48, 0x89, 0x4f, 0x08);                    /* mov [rdi+8], rcx */
	PUT(p, 0x48, 0x01, 0x37);                          /* add [rdi], rsi */
	PUT(p, 0xc3);                                      /* out: ret */
	return (size_t)(p - out);
}

static size_t time_at(const struct arch_clock_at *at, uint8_t *out)
{
	uint8_t *p = out;

	PUT(p, 0xf3, 0x0f, 0x1e, 0xfa);                    /* endbr64 */
	PUT(p, 0x55);                                      /* push rbp */
	PUT(p, 0x48, 0x89, 0xe5);                          /* mov rbp, rsp */
	PUT(p, 0x57);                                      /* push rdi */
	PUT(p, 0x48, 0x83, 0xec, 0x18);                    /* sub rsp, 24 */
	PUT(p, 0xbf, 0x05, 0x00, 0x00, 0x00);              /* mov edi, CLOCK_REALTIME_COARSE */
	PUT(p, 0x48, 0x89, 0xe6);                          /* mov rsi, rsp */
	PUT_FAR(p, out, at->self, at->real, 0xe8);         /* call real */
	PUT(p, 0x48, 0x8b, 0x04, 0x24);                    /* mov rax, [rsp] */
	PUT(p, 0x48, 0x8b, 0x4c, 0x24, 0x08);              /* mov rcx, [rsp+8] */
	PUT(p, 0x48, 0x83, 0xc4, 0x18);                    /* add rsp, 24 */
	PUT(p, 0x5f, 0x5d);                                /* pop rdi; pop rbp */
	PUT_FAR(p, out, at->self, SEC, 0x48, 0x03, 0x05);  /* add rax, sec */
	PUT_FAR(p, out, at->self, NSEC, 0x48, 0x03, 0x0d); /* add rcx, nsec */
	PUT(p, 0x48, 0x81, 0xf9, NS_PER_SEC);              /* cmp rcx, 1000000000 */
	PUT(p, 0x7c, 0x03);                                /* jl +3 */
	PUT(p, 0x48, 0xff, 0xc0);                          /* inc rax */
	PUT(p, 0x48, 0x85, 0xff);                          /* test rdi, rdi */
	PUT(p, 0x74, 0x03);                                /* jz out */
	PUT(p, 0x48, 0x89, 0x07);                          /* mov [rdi], rax */
	PUT(p, 0xc3);                                      /* out: ret */
	return (size_t)(p - out);
}

static size_t clock(enum arch_clock which, const struct arch_clock_at *at, uint8_t *out)
{
	switch (which) {
	case ARCH_CLOCK_GETTIME:
		return clock_gettime_at(at, out);
	case ARCH_CLOCK_TIMEOFDAY:
		return gettimeofday_at(at, out);
	case ARCH_CLOCK_TIME:
		return time_at(at, out);
	case ARCH_CLOCK_NONE:
		break;
	}
	return 0;
}

const struct arch arch_x86_64 = {
	.name = "x86_64",
	.audit = AUDIT_ARCH_X86_64,
	.machine = EM_X86_64,
	.insn_size = 1,
	.call_len = 2,
	.call_insn = { 0x0f, 0x05 },
	.entries = entries,
	.n_entries = COUNT(entries),
	.grants = grants,
	.n_grants = COUNT(grants),
	.stub = stub,
	.jump = jump,
	.idle = idle,
	.clock = clock,
};
