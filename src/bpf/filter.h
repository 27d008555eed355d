/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seccomp profile becomes one classic-BPF program
 * (Documentation/userspace-api/seccomp_filter.rst).
 *
 * Semantics are libseccomp's: a rule names syscalls, its argument tests are joined by AND, several
 * rules on one syscall by OR; where rules of different actions match, the one libseccomp would take
 * decides. libseccomp supplies names and numbers, nothing else.
 */
#ifndef BPF_FILTER_H
#define BPF_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum filter_op {
	FILTER_NE,
	FILTER_LT,
	FILTER_LE,
	FILTER_EQ,
	FILTER_GE,
	FILTER_GT,
	FILTER_MASKED_EQ
};

struct filter_arg {
	uint8_t index; /* 0 to 5 */
	enum filter_op op;
	uint64_t value;     /* MASKED_EQ: the mask */
	uint64_t value_two; /* MASKED_EQ: what (argument & mask) must equal */
};

struct filter_rule {
	const char *const *names;
	size_t n_names;
	const struct filter_arg *args;
	size_t n_args;
	uint32_t verdict; /* SECCOMP_RET_* with its data */
};

struct filter_profile {
	uint32_t default_verdict;
	const uint32_t
		*arches; /* AUDIT_ARCH_*, x32 as FILTER_ARCH_X32; the native one is always added */
	size_t n_arches;
	const struct filter_rule *rules;
	size_t n_rules;
	bool fail_unknown; /* an unknown syscall name is an error, not skipped */
	/* Answer ENOSYS instead of the default verdict for syscalls newer than the newest the
	 * profile names. */
	bool enosys_stub;
};

/* x32 shares AUDIT_ARCH_X86_64; this pseudo number names it in a profile. */
#define FILTER_ARCH_X32 0x4000003eu

struct filter {
	struct sock_filter *code;
	unsigned short len;
	bool notifies; /* some verdict is SECCOMP_RET_USER_NOTIF */
};

/* SECCOMP_FILTER_FLAG_* from "SECCOMP_FILTER_FLAG_TSYNC" and so on; 0 if unknown. */
uint32_t filter_flag(const char *name);
/* SECCOMP_RET_* from "SCMP_ACT_ERRNO" and so on; returns false if unknown. */
bool filter_action(const char *name, uint32_t *out);
/* "SCMP_CMP_EQ" and so on; false if unknown. */
bool filter_op_of(const char *name, enum filter_op *out);
/* AUDIT_ARCH_* (or FILTER_ARCH_X32) from "SCMP_ARCH_X86_64" and so on; false if unknown. */
bool filter_arch(const char *name, uint32_t *out);

/* Names this build knows, for `features`: NULL-terminated arrays, never freed. */
const char *const *filter_action_names(void);
const char *const *filter_op_names(void);
const char *const *filter_arch_names(void);
const char *const *filter_flag_names(void);

/* The SECCOMP_FILTER_FLAG_* bits that the running kernel takes. */
uint32_t filter_flags_supported(void);

/*
 * Compiles the profile for this machine's architecture and those it names. The program is in the
 * arena. Fails with -EINVAL (what the profile forbids, naming rule and syscall), -E2BIG (over 4096
 * instructions, naming the largest rules).
 */
int filter_build(struct arena *a, const struct filter_profile *profile, struct filter *out);

/*
 * seccomp(2) SET_MODE_FILTER on the calling thread. Where the filter notifies, *out_listener is the
 * new listener fd, else -1. WAIT_KILLABLE_RECV is added for a notifying filter and dropped again on
 * EINVAL. No allocation: usable between clone and exec.
 */
int filter_install(const struct filter *f, uint32_t flags, int *out_listener);

#endif
