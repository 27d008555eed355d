/* SPDX-License-Identifier: Apache-2.0 */
/* Arm Architecture Reference Manual for A-profile, chapter C6. */
#include <elf.h>
#include <linux/audit.h>

#include "arch/arch_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define X8 8u
#define X16 16u

/* getrandom takes more arguments there than the call has. */
static const struct arch_entry entries[] = {
	{ "__kernel_clock_gettime", 113, ARCH_CLOCK_GETTIME },
	{ "__kernel_gettimeofday", 169, ARCH_CLOCK_TIMEOFDAY },
	{ "__kernel_clock_getres", 114, ARCH_CLOCK_NONE },
	{ "__kernel_rt_sigreturn", 139, ARCH_CLOCK_NONE },
	{ "__kernel_getrandom", ARCH_NO_CALL, ARCH_CLOCK_NONE },
};

static size_t stub(uint32_t nr, uint8_t *out)
{
	uint8_t *p = out;

	p = arch_put(p, 0xd2800000u | (nr & 0xffff) << 5 | X8, 4); /* mov x8, #nr */
	p = arch_put(p, 0xd4000001u, 4);                           /* svc #0 */
	p = arch_put(p, 0xd65f03c0u, 4);                           /* ret */
	return (size_t)(p - out);
}

static size_t jump(uint64_t from, uint64_t to, uint8_t *out)
{
	const int64_t reach = 1 << 27;
	int64_t near = (int64_t)(to - from);
	uint8_t *p = out;

	if (near >= -reach && near < reach) {
		p = arch_put(p, 0x14000000u | ((uint64_t)near >> 2 & 0x3ffffff), 4); /* b */
	} else {
		p = arch_put(p, 0x58000000u | 2u << 5 | X16, 4); /* ldr x16, .+8 */
		p = arch_put(p, 0xd61f0000u | X16 << 5, 4);      /* br x16 */
		p = arch_put(p, to, 8);
	}
	return (size_t)(p - out);
}

/* mov of all four parts. */
static uint8_t *put_mov(uint8_t *p, unsigned reg, uint64_t value)
{
	for (unsigned part = 0; part < 4; part++)
		p = arch_put(p,
			     (part ? 0xf2800000u : 0xd2800000u) | part << 21 |
				     (uint32_t)(value >> (16 * part) & 0xffff) << 5 | reg,
			     4); /* movz, movk x<reg>, #part, lsl #16 * part */
	return p;
}

static size_t idle(uint32_t fd, uint64_t addr, uint32_t len, uint8_t *out)
{
	uint8_t *p = put_mov(put_mov(put_mov(out, 0, fd), 1, addr), 2, len);

	p = arch_put(p, 0xd2800000u | 64u << 5 | X8, 4); /* mov x8, #64: write */
	p = arch_put(p, 0xd4000001u, 4);                 /* svc #0 */
	p = put_mov(p, 0, fd);                           /* where the result was */
	p = arch_put(p, 0xd2800000u | 63u << 5 | X8, 4); /* mov x8, #63: read */
	p = arch_put(p, 0xd4000001u, 4);                 /* svc #0 */
	p = arch_put(p, 0xd2800000u, 4);                 /* mov x0, #0 */
	p = arch_put(p, 0xd2800000u | 94u << 5 | X8, 4); /* mov x8, #94: exit_group */
	p = arch_put(p, 0xd4000001u, 4);                 /* svc #0 */
	return (size_t)(p - out);
}

#define HERE (at->self + (uint64_t)(p - out))

/* A call of the real function; then x9 and x10 are the arguments, w0 its result. */
static uint8_t *put_real(uint8_t *p, uint8_t *out, const struct arch_clock_at *at)
{
	p = arch_put(p, 0xd503245fu, 4); /* bti c */
	p = arch_put(p, 0xa9be7bfdu, 4); /* stp x29, x30, [sp, #-32]! */
	p = arch_put(p, 0x910003fdu, 4); /* mov x29, sp */
	p = arch_put(p, 0xa90107e0u, 4); /* stp x0, x1, [sp, #16] */
	p = arch_put(p, 0x94000000u | ((at->real - HERE) >> 2 & 0x3ffffff), 4); /* bl real */
	p = arch_put(p, 0xa9412be9u, 4); /* ldp x9, x10, [sp, #16] */
	p = arch_put(p, 0xa8c27bfdu, 4); /* ldp x29, x30, [sp], #32 */
	return p;
}

static uint8_t *put_adr(uint8_t *p, uint64_t here, uint64_t to, unsigned reg)
{
	uint32_t far = (uint32_t)(to - here);

	return arch_put(p, 0x10000000u | (far & 3) << 29 | (far >> 2 & 0x7ffff) << 5 | reg, 4);
}

/* The offset's seconds are in x11, the rest in x12, the address of both halves in x10; less than
 * `unit` make a second. */
static uint8_t *put_sum(uint8_t *p, uint32_t unit)
{
	p = arch_put(p, 0xa940394du, 4);                             /* ldp x13, x14, [x10] */
	p = arch_put(p, 0x8b0c01ceu, 4);                             /* add x14, x14, x12 */
	p = arch_put(p, 0x8b0b01adu, 4);                             /* add x13, x13, x11 */
	p = arch_put(p, 0x52800000u | (unit & 0xffff) << 5 | 12, 4); /* mov w12, #low */
	p = arch_put(p, 0x72a00000u | unit >> 16 << 5 | 12, 4);      /* movk w12, #high, lsl #16 */
	p = arch_put(p, 0xeb0c01dfu, 4);                             /* cmp x14, x12 */
	p = arch_put(p, 0x5400006bu, 4);                             /* b.lt .+12 */
	p = arch_put(p, 0xcb0c01ceu, 4);                             /* sub x14, x14, x12 */
	p = arch_put(p, 0x910005adu, 4);                             /* add x13, x13, #1 */
	p = arch_put(p, 0xa900394du, 4);                             /* stp x13, x14, [x10] */
	return arch_put(p, 0xd65f03c0u, 4);                          /* ret */
}

static size_t clock_gettime_at(const struct arch_clock_at *at, uint8_t *out)
{
	uint8_t *p = put_real(out, out, at);

	p = arch_put(p, 0x35000000u | 18u << 5, 4);                   /* cbnz w0, out */
	p = arch_put(p, 0x71002d3fu, 4);                              /* cmp w9, #11 */
	p = arch_put(p, 0x54000008u | 16u << 5, 4);                   /* b.hi out */
	p = arch_put(p, 0x52800000u | ARCH_WALL_CLOCKS << 5 | 11, 4); /* mov w11, #clocks */
	p = arch_put(p, 0x1ac9256bu, 4);                              /* lsr w11, w11, w9 */
	p = arch_put(p, 0x36000000u | 13u << 5 | 11, 4);              /* tbz w11, #0, out */
	p = put_adr(p, HERE, at->offset, 9);                          /* adr x9, offset */
	p = arch_put(p, 0xa940312bu, 4);                              /* ldp x11, x12, [x9] */
	return (size_t)(put_sum(p, 1000000000) - out);
}

static size_t gettimeofday_at(const struct arch_clock_at *at, uint8_t *out)
{
	uint8_t *p = put_real(out, out, at);

	p = arch_put(p, 0x35000000u | 16u << 5, 4);      /* cbnz w0, out */
	p = arch_put(p, 0xaa0903eau, 4);                 /* mov x10, x9 */
	p = arch_put(p, 0xb4000000u | 14u << 5 | 10, 4); /* cbz x10, out */
	p = put_adr(p, HERE, at->offset, 9);             /* adr x9, offset */
	p = arch_put(p, 0xf940012bu, 4);                 /* ldr x11, [x9] */
	p = arch_put(p, 0xf940092cu, 4);                 /* ldr x12, [x9, #16] */
	return (size_t)(put_sum(p, 1000000) - out);
}

static size_t clock(enum arch_clock which, const struct arch_clock_at *at, uint8_t *out)
{
	switch (which) {
	case ARCH_CLOCK_GETTIME:
		return clock_gettime_at(at, out);
	case ARCH_CLOCK_TIMEOFDAY:
		return gettimeofday_at(at, out);
	case ARCH_CLOCK_TIME: /* its vDSO has none */
	case ARCH_CLOCK_NONE:
		break;
	}
	return 0;
}

const struct arch arch_aarch64 = {
	.name = "aarch64",
	.audit = AUDIT_ARCH_AARCH64,
	.machine = EM_AARCH64,
	.insn_size = 4,
	.call_len = 4,
	.call_insn = { 0x01, 0x00, 0x00, 0xd4 },
	.entries = entries,
	.n_entries = COUNT(entries),
	.stub = stub,
	.jump = jump,
	.idle = idle,
	.clock = clock,
};
