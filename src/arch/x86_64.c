/* SPDX-License-Identifier: Apache-2.0 */
/* Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. */
#include <elf.h>
#include <linux/audit.h>
#include <string.h>

#include "arch/arch_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* getrandom takes more arguments there than the call has. */
static const struct arch_entry entries[] = {
	{ "__vdso_clock_gettime", 228 },
	{ "__vdso_gettimeofday", 96 },
	{ "__vdso_time", 201 },
	{ "__vdso_clock_getres", 229 },
	{ "__vdso_getcpu", 309 },
	{ "__vdso_getrandom", ARCH_NO_CALL },
	{ "__vdso_sgx_enter_enclave", ARCH_NO_CALL },
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
	static const uint8_t sleep[] = {
		0x31, 0xff,                   /* xor edi, edi */
		0x31, 0xf6,                   /* xor esi, esi */
		0x31, 0xd2,                   /* xor edx, edx */
		0x45, 0x31, 0xd2,             /* xor r10d, r10d */
		0xb8, 0x0f, 0x01, 0x00, 0x00, /* mov eax, 271: ppoll */
		0x0f, 0x05,                   /* syscall */
		0xeb, 0xee,                   /* jmp to the beginning */
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

const struct arch arch_x86_64 = {
	.name = "x86_64",
	.audit = AUDIT_ARCH_X86_64,
	.machine = EM_X86_64,
	.insn_size = 1,
	.call_len = 2,
	.call_insn = { 0x0f, 0x05 },
	.entries = entries,
	.n_entries = COUNT(entries),
	.stub = stub,
	.jump = jump,
	.idle = idle,
};
