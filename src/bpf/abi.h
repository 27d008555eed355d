/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The architectures a profile can name, and how they differ for a filter. libseccomp knows the
 * system calls of each; what is here is what its interface does not tell.
 */
#ifndef BPF_ABI_H
#define BPF_ABI_H

#include "bpf/cond.h"

struct abi {
	const char *name; /* "SCMP_ARCH_X86_64" */
	uint32_t token;   /* AUDIT_ARCH_*, or FILTER_ARCH_X32; libseccomp's SCMP_ARCH_* as well */
	uint32_t audit;   /* what the kernel puts in seccomp_data.arch */
	struct cond_layout layout;
	int mux; /* which column of the multiplexed calls, or -1: it has none */
};

/* All of them; *out_n entries. */
const struct abi *abi_all(size_t *out_n);

/* Their names, NULL-terminated. */
const char *const *abi_names(void);

/* NULL if there is no such architecture. */
const struct abi *abi_find(uint32_t token);
const struct abi *abi_find_name(const char *name);

/* The one this program runs on. */
const struct abi *abi_native(void);

/*
 * Where libseccomp answers a call of sockets or System V IPC with the number -100 - n or -200 - n,
 * the architecture has it twice (socketcall(2), ipc(2)): as call n of a multiplexer, told by its
 * first argument, and directly. *out_call is n.
 * Returns false if nr is not such a number, or the architecture has no multiplexer.
 */
bool abi_mux(const struct abi *abi, int nr, int *out_mux_nr, int *out_call, int *out_direct_nr);

/* Bit that tells x32 from x86_64 (arch/x86/include/uapi/asm/unistd.h) */
#define ABI_X32_BIT 0x40000000u

#endif
