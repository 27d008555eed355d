/* SPDX-License-Identifier: Apache-2.0 */
/* The names a profile uses, and the way of a program into the kernel. */
#include "base/err.h"
#include "base/names.h"
#include "base/sys.h"
#include "bpf/abi.h"
#include "bpf/filter.h"

#include <errno.h>
#include <linux/seccomp.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* X(name, value) each */
#define ACTIONS(X)                                           \
	X("SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD)          \
	X("SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD)   \
	X("SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS) \
	X("SCMP_ACT_TRAP", SECCOMP_RET_TRAP)                 \
	X("SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO)               \
	X("SCMP_ACT_TRACE", SECCOMP_RET_TRACE)               \
	X("SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW)               \
	X("SCMP_ACT_LOG", SECCOMP_RET_LOG)                   \
	X("SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF)

#define OPS(X)                      \
	X("SCMP_CMP_NE", FILTER_NE) \
	X("SCMP_CMP_LT", FILTER_LT) \
	X("SCMP_CMP_LE", FILTER_LE) \
	X("SCMP_CMP_EQ", FILTER_EQ) \
	X("SCMP_CMP_GE", FILTER_GE) \
	X("SCMP_CMP_GT", FILTER_GT) \
	X("SCMP_CMP_MASKED_EQ", FILTER_MASKED_EQ)

#define FLAGS(X)                                                            \
	X("SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC)           \
	X("SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG)               \
	X("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW) \
	X("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)

#define ROW(name, value) { name, value },
#define NAME(name, value) name,

static const struct name_row actions[] = { ACTIONS(ROW) };
static const struct name_row ops[] = { OPS(ROW) };
static const struct name_row flags[] = { FLAGS(ROW) };
static const char *const action_names[] = { ACTIONS(NAME) NULL };
static const char *const op_names[] = { OPS(NAME) NULL };
static const char *const flag_names[] = { FLAGS(NAME) NULL };

bool filter_action(const char *name, uint32_t *out)
{
	const struct name_row *row = name_find(actions, NAME_COUNT(actions), name);

	if (row)
		*out = row->value;
	return row;
}

bool filter_op_of(const char *name, enum filter_op *out)
{
	const struct name_row *row = name_find(ops, NAME_COUNT(ops), name);

	if (row)
		*out = row->value;
	return row;
}

uint32_t filter_flag(const char *name)
{
	const struct name_row *row = name_find(flags, NAME_COUNT(flags), name);

	return row ? row->value : 0;
}

bool filter_arch(const char *name, uint32_t *out)
{
	const struct abi *abi = abi_find_name(name);

	if (abi)
		*out = abi->token;
	return abi;
}

const char *const *filter_action_names(void)
{
	return action_names;
}

const char *const *filter_op_names(void)
{
	return op_names;
}

const char *const *filter_arch_names(void)
{
	return abi_names();
}

const char *const *filter_flag_names(void)
{
	return flag_names;
}

/* Without a program the kernel looks at the flags, then finds the address bad: EFAULT is a yes. */
static bool kernel_takes(unsigned bits)
{
	return sys_seccomp(SECCOMP_SET_MODE_FILTER, bits, NULL) < 0 && errno == EFAULT;
}

uint32_t filter_flags_supported(void)
{
	uint32_t all = 0, bits;

	for (size_t i = 0; i < NAME_COUNT(flags); i++) {
		bits = flags[i].value;
		if (bits & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
			bits |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
		if (kernel_takes(bits))
			all |= flags[i].value;
	}
	return all;
}

int filter_install(const struct filter *f, uint32_t wanted, int *out_listener)
{
	struct sock_fprog program = { .len = f->len, .filter = f->code };
	const uint32_t killable = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	long ret;

	wanted &= ~killable;
	if (f->notifies)
		wanted |= SECCOMP_FILTER_FLAG_NEW_LISTENER | killable;
	/* A listener fd and the id of a thread that cannot follow are both positive numbers. */
	if (wanted & SECCOMP_FILTER_FLAG_TSYNC)
		wanted |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
	ret = sys_seccomp(SECCOMP_SET_MODE_FILTER, wanted, &program);
	if (ret < 0 && errno == EINVAL && wanted & killable)
		ret = sys_seccomp(SECCOMP_SET_MODE_FILTER, wanted & ~killable, &program);
	if (ret < 0 && errno == EACCES)
		return fail(EACCES, "cannot install the seccomp filter: it takes CAP_SYS_ADMIN in "
				    "the user namespace or noNewPrivileges");
	if (ret < 0 && errno == EBUSY && f->notifies)
		return fail(EBUSY, "cannot install the seccomp filter: a filter with "
				   "SCMP_ACT_NOTIFY is in place already, there can be one");
	if (ret < 0)
		return fail_errno("cannot install the seccomp filter of %u instructions", f->len);
	*out_listener = f->notifies ? (int)ret : -1;
	return 0;
}
