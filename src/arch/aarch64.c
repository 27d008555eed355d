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
	{ "__kernel_clock_gettime", 113 },      { "__kernel_gettimeofday", 169 },
	{ "__kernel_clock_getres", 114 },       { "__kernel_rt_sigreturn", 139 },
	{ "__kernel_getrandom", ARCH_NO_CALL },
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
	uint8_t *p = put_mov(put_mov(put_mov(out, 0, fd), 1, addr), 2, len), *again;

	p = arch_put(p, 0xd2800000u | 64u << 5 | X8, 4); /* mov x8, #64: write */
	p = arch_put(p, 0xd4000001u, 4);                 /* svc #0 */
	again = p;
	for (unsigned reg = 0; reg < 4; reg++)
		p = arch_put(p, 0xd2800000u | reg, 4);   /* mov x<reg>, #0 */
	p = arch_put(p, 0xd2800000u | 73u << 5 | X8, 4); /* mov x8, #73: ppoll */
	p = arch_put(p, 0xd4000001u, 4);                 /* svc #0 */
	p = arch_put(p, 0x14000000u | ((uint64_t)((again - p) / 4) & 0x3ffffff), 4); /* b again */
	return (size_t)(p - out);
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
};
