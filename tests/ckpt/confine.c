/* SPDX-License-Identifier: Apache-2.0 */
/* What a task can't take back: filters, its own included. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cycle.h"

static void install(void *ctx)
{
	struct cycle_gate *gate = ctx;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = code };

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
	cycle_pass(*gate);
	cycle_wait();
	errno = 0;
	check(syscall(SYS_getpriority, PRIO_PROCESS, 0) < 0 && errno == 77,
	      "the filter is gone: errno %d", errno);
	check(prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER, "mode %d", prctl(PR_GET_SECCOMP));
}

/* A child with a filter of its own; the others have none of it. */
static void own_filter(void)
{
	struct cycle_gate gate = cycle_gate();
	pid_t child = cycle_child(install, &gate);

	cycle_await(gate, 1);
	cycle();
	errno = 0;
	check(syscall(SYS_getpriority, PRIO_PROCESS, 0) >= 0, "a filter of another's: errno %d",
	      errno);
	cycle_join(child);
}

/* What the bundle's filter does, the test sets: getpriority(2) answers 78. */
static void bundle_filter(void)
{
	errno = 0;
	if (syscall(SYS_getpriority, PRIO_PROCESS, 0) >= 0 || errno != 78)
		cycle_skip("the bundle has no filter that answers 78 to getpriority(2)");
	cycle();
	errno = 0;
	check(syscall(SYS_getpriority, PRIO_PROCESS, 0) < 0 && errno == 78,
	      "the bundle's filter is gone: errno %d", errno);
}

const struct cycle_case confine_cases[] = {
	{ "filter-own", own_filter },
	{ "filter-bundle", bundle_filter },
	{ NULL, NULL },
};
