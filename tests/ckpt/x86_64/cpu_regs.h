/* SPDX-License-Identifier: Apache-2.0 */
/* x86_64: general registers, x87 stack and control word, MXCSR, and the widest vectors there
 * are. */
#ifndef CPU_REGS_H
#define CPU_REGS_H

#include <cpuid.h>
#include <stdint.h>
#include <string.h>

struct cpu_values {
	uint64_t general[8]; /* r8 to r15 */
	double x87[4];
	uint16_t control;
	uint32_t mxcsr;
	uint8_t vector[8][64]; /* 0 to 7 */
	uint8_t high[64];      /* zmm31 */
	uint64_t mask;         /* k3 */
} __attribute__((aligned(64)));

enum cpu_width { CPU_SSE, CPU_AVX, CPU_AVX512 };

/* What the CPU has and the kernel saves (XCR0). */
static inline enum cpu_width cpu_width(void)
{
	uint32_t a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return CPU_SSE;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
		b = 0;
	if ((low & 0xe6) == 0xe6 && (b & bit_AVX512F) && (b & bit_AVX512BW))
		return CPU_AVX512;
	return (low & 6) == 6 ? CPU_AVX : CPU_SSE;
}

static inline void cpu_make_valid(struct cpu_values *v, int n)
{
	v->control = (uint16_t)(n ? 0x027f : 0x0f7f); /* precision and rounding */
	v->mxcsr = n ? 0x9fc0 : 0x3f80;
	for (int i = 0; i < 4; i++)
		v->x87[i] = 1.5 * (i + 1) + n;
}

#define CPU_EACH8(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)
#define CPU_OFF(member) "i"(__builtin_offsetof(struct cpu_values, member))

/* rdi: wanted, rsi: where to store, rdx: the flag. */
#define CPU_LOAD_REST                                                                  \
	"fninit\n fldcw %c[control](%%rdi)\n ldmxcsr %c[mxcsr](%%rdi)\n"               \
	"fldl %c[x87](%%rdi)\n fldl %c[x87]+8(%%rdi)\n fldl %c[x87]+16(%%rdi)\n"       \
	"fldl %c[x87]+24(%%rdi)\n"                                                     \
	"mov %c[gen](%%rdi),%%r8\n mov %c[gen]+8(%%rdi),%%r9\n"                        \
	"mov %c[gen]+16(%%rdi),%%r10\n mov %c[gen]+24(%%rdi),%%r11\n"                  \
	"mov %c[gen]+32(%%rdi),%%r12\n mov %c[gen]+40(%%rdi),%%r13\n"                  \
	"mov %c[gen]+48(%%rdi),%%r14\n mov %c[gen]+56(%%rdi),%%r15\n"                  \
	"1: pause\n cmpl $0,(%%rdx)\n je 1b\n"                                         \
	"mov %%r8,%c[gen](%%rsi)\n mov %%r9,%c[gen]+8(%%rsi)\n"                        \
	"mov %%r10,%c[gen]+16(%%rsi)\n mov %%r11,%c[gen]+24(%%rsi)\n"                  \
	"mov %%r12,%c[gen]+32(%%rsi)\n mov %%r13,%c[gen]+40(%%rsi)\n"                  \
	"mov %%r14,%c[gen]+48(%%rsi)\n mov %%r15,%c[gen]+56(%%rsi)\n"                  \
	"fnstcw %c[control](%%rsi)\n stmxcsr %c[mxcsr](%%rsi)\n"                       \
	"fstpl %c[x87]+24(%%rsi)\n fstpl %c[x87]+16(%%rsi)\n fstpl %c[x87]+8(%%rsi)\n" \
	"fstpl %c[x87](%%rsi)\n fninit\n"
#define CPU_SSE_LOAD(n) "movups %c[vec]+64*" #n "(%%rdi),%%xmm" #n "\n"
#define CPU_SSE_STORE(n) "movups %%xmm" #n ",%c[vec]+64*" #n "(%%rsi)\n"
#define CPU_AVX_LOAD(n) "vmovups %c[vec]+64*" #n "(%%rdi),%%ymm" #n "\n"
#define CPU_AVX_STORE(n) "vmovups %%ymm" #n ",%c[vec]+64*" #n "(%%rsi)\n"
#define CPU_512_LOAD(n) "vmovups %c[vec]+64*" #n "(%%rdi),%%zmm" #n "\n"
#define CPU_512_STORE(n) "vmovups %%zmm" #n ",%c[vec]+64*" #n "(%%rsi)\n"
#define CPU_ASM(load, store)                                                                       \
	__asm__ volatile(load CPU_LOAD_REST store "ldmxcsr %[normal]\n"                            \
			 :                                                                         \
			 : "D"(want), "S"(got),                                                    \
			   "d"(leave), [normal] "m"(normal), [control] CPU_OFF(control),           \
			   [mxcsr] CPU_OFF(mxcsr), [x87] CPU_OFF(x87), [gen] CPU_OFF(general),     \
			   [vec] CPU_OFF(vector), [high] CPU_OFF(high), [mask] CPU_OFF(mask)       \
			 : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "xmm0", \
			   "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "st", "st(1)",  \
			   "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "cc")

static inline void cpu_hold(const struct cpu_values *want, struct cpu_values *got,
			    const volatile int *leave)
{
	const uint32_t normal = 0x1f80;

	switch (cpu_width()) {
	case CPU_SSE:
		CPU_ASM(CPU_EACH8(CPU_SSE_LOAD), CPU_EACH8(CPU_SSE_STORE));
		break;
	case CPU_AVX:
		CPU_ASM(CPU_EACH8(CPU_AVX_LOAD), CPU_EACH8(CPU_AVX_STORE) "vzeroupper\n");
		break;
	case CPU_AVX512:
		CPU_ASM(CPU_EACH8(CPU_512_LOAD) "vmovups %c[high](%%rdi),%%zmm31\n"
						"kmovq %c[mask](%%rdi),%%k3\n",
			CPU_EACH8(CPU_512_STORE) "vmovups %%zmm31,%c[high](%%rsi)\n"
						 "kmovq %%k3,%c[mask](%%rsi)\n vzeroupper\n");
		break;
	}
}

static inline const char *cpu_difference(const struct cpu_values *want,
					 const struct cpu_values *got)
{
	static const size_t bytes[] = { [CPU_SSE] = 16, [CPU_AVX] = 32, [CPU_AVX512] = 64 };
	enum cpu_width width = cpu_width();

	if (memcmp(want->general, got->general, sizeof(want->general)) != 0)
		return "general registers";
	if (want->control != got->control || want->mxcsr != got->mxcsr)
		return "control words of the floating point unit";
	for (int i = 0; i < 4; i++)
		if (want->x87[i] != got->x87[i])
			return "the x87 stack";
	for (int i = 0; i < 8; i++)
		if (memcmp(want->vector[i], got->vector[i], bytes[width]) != 0)
			return "vector registers";
	if (width == CPU_AVX512 &&
	    (memcmp(want->high, got->high, 64) != 0 || want->mask != got->mask))
		return "zmm31 or k3";
	return NULL;
}

#endif
