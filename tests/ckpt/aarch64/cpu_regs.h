/* SPDX-License-Identifier: Apache-2.0 */
/* aarch64: general registers, rounding mode, vectors of 128 bits. */
#ifndef CPU_REGS_H
#define CPU_REGS_H

#include <stdint.h>
#include <string.h>

struct cpu_values {
	uint64_t general[8];   /* x9 to x16 */
	uint8_t vector[8][16]; /* q16 to q23 */
	uint64_t control;      /* FPCR */
} __attribute__((aligned(64)));

static inline void cpu_make_valid(struct cpu_values *v, int n)
{
	v->control = n ? 1u << 22 : 3u << 22; /* rounding */
}

static inline void cpu_hold(const struct cpu_values *want, struct cpu_values *got,
			    const volatile int *leave)
{
	register const struct cpu_values *from __asm__("x0") = want;
	register struct cpu_values *to __asm__("x1") = got;
	register const volatile int *flag __asm__("x2") = leave;

	__asm__ volatile(
		"mov x3, %[from]\n ldp x9, x10, [x3]\n ldp x11, x12, [x3, #16]\n"
		"ldp x13, x14, [x3, #32]\n ldp x15, x16, [x3, #48]\n add x3, x3, #64\n"
		"ldp q16, q17, [x3]\n ldp q18, q19, [x3, #32]\n ldp q20, q21, [x3, #64]\n"
		"ldp q22, q23, [x3, #96]\n ldr x4, [x3, #128]\n msr fpcr, x4\n"
		"1: ldr w4, [%[flag]]\n cbz w4, 1b\n"
		"mov x3, %[to]\n stp x9, x10, [x3]\n stp x11, x12, [x3, #16]\n"
		"stp x13, x14, [x3, #32]\n stp x15, x16, [x3, #48]\n add x3, x3, #64\n"
		"stp q16, q17, [x3]\n stp q18, q19, [x3, #32]\n stp q20, q21, [x3, #64]\n"
		"stp q22, q23, [x3, #96]\n mrs x4, fpcr\n str x4, [x3, #128]\n msr fpcr, xzr\n"
		:
		: [from] "r"(from), [to] "r"(to), [flag] "r"(flag)
		: "x3", "x4", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "v16", "v17",
		  "v18", "v19", "v20", "v21", "v22", "v23", "memory");
}

static inline const char *cpu_difference(const struct cpu_values *want,
					 const struct cpu_values *got)
{
	if (memcmp(want->general, got->general, sizeof(want->general)) != 0)
		return "general registers";
	if (memcmp(want->vector, got->vector, sizeof(want->vector)) != 0)
		return "vector registers";
	return want->control == got->control ? NULL : "the control word of the floating point unit";
}

#endif
