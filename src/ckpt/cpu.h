/* SPDX-License-Identifier: Apache-2.0 */
/* process.<pid>.threads.bin: an entry a thread. k_cpu.c */
#ifndef CKPT_CPU_H
#define CKPT_CPU_H

#include <stddef.h>
#include <stdint.h>

/* Followed by so many bytes as arch/regs.h packs them, general registers and vector state, and
 * zeros up to a multiple of eight. */
struct cpu_head {
	uint32_t tid;
	uint32_t rearm; /* system call to be entered anew, CALLS_NONE for none */
	uint64_t left;  /* nanoseconds */
	uint32_t regs_len, vector_len;
};

/* The length of the entry that begins there, 0 where it is cut short or out of bounds. */
size_t cpu_entry_length(const uint8_t *data, size_t len);

#endif
