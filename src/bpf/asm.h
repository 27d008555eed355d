/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assembler for classic BPF (Documentation/networking/filter.rst), which only jumps forward.
 *
 * A program is therefore written from its end to its beginning: whatever an instruction jumps to
 * stands already, its distance is known at once, and there is nothing left to link. Each call puts
 * one instruction in front of the program and returns its label. An equal instruction that is near
 * is shared instead, so equal tails exist once. Where a target is further than the 8 bits of a
 * conditional jump, a return is repeated, anything else is reached over an unconditional jump.
 *
 * A label is the number of instructions behind the one it names. Once the program exceeds
 * BPF_MAXINSNS, `full` is set and every call returns 0: callers check once, at the end.
 */
#ifndef BPF_ASM_H
#define BPF_ASM_H

#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#define ASM_CHAINS 256

struct asm_link {
	uint16_t yes, no;  /* labels where it goes on */
	uint16_t stand_in; /* its newest copy, or jump to it; itself if none */
	uint16_t older;    /* the next one of its chain: label + 1, 0 ends it */
};

/* Zeroed, it is the empty program. */
struct asm_code {
	unsigned len;
	bool full;
	uint16_t newest[ASM_CHAINS];           /* equal instructions share a chain: label + 1 */
	struct asm_link link[BPF_MAXINSNS];    /* by label */
	struct sock_filter insn[BPF_MAXINSNS]; /* filled from the end: label l is at MAX - 1 - l */
};

/* return verdict */
unsigned asm_ret(struct asm_code *code, uint32_t verdict);

/* A = 32 bits of struct seccomp_data at offset; then next */
unsigned asm_load(struct asm_code *code, uint32_t offset, unsigned next);

/* A &= mask; then next */
unsigned asm_and(struct asm_code *code, uint32_t mask, unsigned next);

/* if (A op k) yes else no; op is BPF_JEQ, BPF_JGT, BPF_JGE or BPF_JSET. No test where yes == no. */
unsigned asm_jump(struct asm_code *code, uint16_t op, uint32_t k, unsigned yes, unsigned no);

/* True if a conditional jump put in front now reaches the label. */
bool asm_near(const struct asm_code *code, unsigned label);

/* True if the instruction is a return. */
bool asm_is_ret(const struct asm_code *code, unsigned label);

/* The program that starts at `entry`, *out_len instructions inside code. */
const struct sock_filter *asm_finish(struct asm_code *code, unsigned entry,
				     unsigned short *out_len);

#endif
