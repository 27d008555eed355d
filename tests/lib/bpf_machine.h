/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a classic BPF program as the kernel does for seccomp (kernel/seccomp.c, net/core/filter.c).
 */
#ifndef TEST_BPF_MACHINE_H
#define TEST_BPF_MACHINE_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_run {
	uint32_t verdict;
	unsigned executed;  /* instructions, the return included */
	bool read_argument; /* anything but nr and arch was loaded */
};

/* What seccomp_check_filter() asks of a program; returns NULL or the first complaint. */
const char *bpf_check(const struct sock_filter *code, size_t len);

/* code must have passed bpf_check(). */
struct bpf_run bpf_run(const struct sock_filter *code, size_t len, const struct seccomp_data *data);

#endif
