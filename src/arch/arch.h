/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between processors and can be computed on any of them: how a vDSO's functions are
 * called, and the bytes that replace them. Nothing here runs the code it makes; for registers and
 * code for this processor see arch/regs.h and arch/inject.h.
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include <stddef.h>
#include <stdint.h>

#define ARCH_NO_CALL (-1)
#define ARCH_STUB_MAX 16
#define ARCH_JUMP_MAX 16
#define ARCH_IDLE_MAX 128
#define ARCH_CLOCK_MAX 128

/* Functions of the vDSO that tell the wall clock. */
enum arch_clock { ARCH_CLOCK_NONE, ARCH_CLOCK_GETTIME, ARCH_CLOCK_TIMEOFDAY, ARCH_CLOCK_TIME };

/* What is added to it; the parts of a second are less than one. */
struct arch_offset {
	int64_t sec, nsec, usec;
};

/* Where a function is that adds it, the one that it calls, and the offset. */
struct arch_clock_at {
	uint64_t self, real, offset;
};

/* Clocks that tell the time of day: bits of clockid_t, linux/time.h. */
#define ARCH_WALL_CLOCKS (1u << 0 | 1u << 5 | 1u << 8 | 1u << 11)

/* A function of the vDSO: vdso(7). */
struct arch_entry {
	const char *name; /* as its symbol table has it */
	int nr;           /* the system call with the same arguments and result, or ARCH_NO_CALL */
	enum arch_clock clock;
};

/* What a process may have been given of the processor by a system call of its own. */
struct arch_grant {
	const char *what; /* and the call's manual page */
	uint32_t nr;      /* with the command, an address and a length it tells */
	uint64_t command;
	uint64_t bits; /* any of them at the address; 0: by a result above 0 */
};

struct arch {
	const char *name;  /* as uname -m says it */
	uint32_t audit;    /* AUDIT_ARCH_*, linux/audit.h */
	uint16_t machine;  /* EM_*, elf.h */
	uint8_t insn_size; /* instructions begin at multiples of this */
	uint8_t call_len;
	uint8_t call_insn[4]; /* the instruction that enters the kernel */
	const struct arch_entry *entries;
	size_t n_entries;
	const struct arch_grant *grants;
	size_t n_grants;
	size_t (*stub)(uint32_t nr, uint8_t *out);
	size_t (*jump)(uint64_t from, uint64_t to, uint8_t *out);
	size_t (*idle)(uint32_t fd, uint64_t addr, uint32_t len, uint8_t *out);
	size_t (*clock)(enum arch_clock which, const struct arch_clock_at *at, uint8_t *out);
};

/* NULL if there is no such architecture here. */
const struct arch *arch_find(uint32_t audit);
const struct arch *arch_find_machine(uint16_t machine);

/* The one this program runs on. */
const struct arch *arch_native(void);

/* NULL if the vDSO of that architecture has no function of this name. */
const struct arch_entry *arch_entry(const struct arch *arch, const char *name);

/* A function that makes system call nr with the arguments it is given. Returns its length. */
size_t arch_stub(const struct arch *arch, uint32_t nr, uint8_t out[ARCH_STUB_MAX]);

/*
 * A jump that stands at address `from`, as the first thing in a function. It spoils no register but
 * those a call may (aarch64: x16). The short form where it reaches, else one that reaches anywhere.
 * Returns its length, 0 where an address is not aligned as instructions are.
 */
size_t arch_jump(const struct arch *arch, uint64_t from, uint64_t to, uint8_t out[ARCH_JUMP_MAX]);

/* A program from its first instruction on: writes the len bytes at addr to a socket, once, and
 * sleeps until the other side is closed, or says anything: then it ends. It has no data and needs
 * no stack. Returns its length. */
size_t arch_idle(const struct arch *arch, uint32_t fd, uint64_t addr, uint32_t len,
		 uint8_t out[ARCH_IDLE_MAX]);

/*
 * A function that stands at at->self, takes the place of the one that `which` says, and adds the
 * struct arch_offset at at->offset to what the real one at at->real tells; for ARCH_CLOCK_TIME,
 * which needs the parts of a second, the real one is clock_gettime. All of them count from the same
 * place and are less than 1 MiB apart. Returns its length.
 */
size_t arch_clock(const struct arch *arch, enum arch_clock which, const struct arch_clock_at *at,
		  uint8_t out[ARCH_CLOCK_MAX]);

/* Where in the code the first instruction that enters the kernel stands; -ENOENT (no text) if there
 * is none. */
int arch_find_call(const struct arch *arch, const uint8_t *code, size_t len, size_t *out_offset);

#endif
