/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a classic BPF program as the kernel does for seccomp: every instruction that
 * seccomp_check_filter() lets pass (kernel/seccomp.c, bpf_check_classic() of net/core/filter.c).
 * Programs only jump forward, so a run ends after at most as many steps as there are instructions.
 */
#ifndef BPF_RUN_H
#define BPF_RUN_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run {
	uint32_t verdict;   /* SECCOMP_RET_* with its data */
	unsigned executed;  /* instructions, the return included */
	bool read_argument; /* anything but nr and arch was loaded */
};

/* Whether the kernel would take the program: NULL, or the first complaint. */
const char *run_check(const struct sock_filter *code, size_t len);

/*
 * What the program answers. It must have passed run_check(). path (may be NULL) has room for len
 * entries and receives the indices of the executed instructions, in order.
 */
struct run run_program(const struct sock_filter *code, size_t len, const struct seccomp_data *data,
		       uint16_t *path);

#endif
