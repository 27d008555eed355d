/* SPDX-License-Identifier: Apache-2.0 */
/* What a task has set by prctl(2) and its like; and what it did that can't be made again. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cycle.h"

/* Of later kernels than the headers. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif
#define MDWE_REFUSE_EXEC_GAIN 1
#define THP_EXCEPT_ADVISED 2

#define NODES 1024
#define MANY 40 /* threads, so that they are looked at together */

static struct cycle_gate gate;

static long prctl_of(int what, unsigned long a, unsigned long b)
{
	return prctl(what, a, b, 0, 0);
}

/* Sets what this kernel has; the value is as the kernel tells it then. */
struct setting {
	const char *name;
	int get, set;
	unsigned long get_arg, value[2];
	long was;
};

static struct setting settings[] = {
	{ "write or execute", PR_GET_MDWE, PR_SET_MDWE, 0, { MDWE_REFUSE_EXEC_GAIN, 0 }, 0 },
	{ "memory merge", PR_GET_MEMORY_MERGE, PR_SET_MEMORY_MERGE, 0, { 1, 0 }, 0 },
	{ "huge pages", PR_GET_THP_DISABLE, PR_SET_THP_DISABLE, 0, { 1, THP_EXCEPT_ADVISED }, 0 },
	{ "machine checks",
	  PR_MCE_KILL_GET,
	  PR_MCE_KILL,
	  0,
	  { PR_MCE_KILL_SET, PR_MCE_KILL_EARLY },
	  0 },
	{ "store bypass",
	  PR_GET_SPECULATION_CTRL,
	  PR_SET_SPECULATION_CTRL,
	  PR_SPEC_STORE_BYPASS,
	  { PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE },
	  0 },
	{ "indirect branches",
	  PR_GET_SPECULATION_CTRL,
	  PR_SET_SPECULATION_CTRL,
	  PR_SPEC_INDIRECT_BRANCH,
	  { PR_SPEC_INDIRECT_BRANCH, PR_SPEC_DISABLE },
	  0 },
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static void with_settings(void *ctx)
{
	(void)ctx;
	for (size_t i = 0; i < SETTINGS; i++) {
		struct setting *s = &settings[i];

		prctl_of(s->set, s->value[0], s->value[1]);
		s->was = prctl_of(s->get, s->get_arg, 0);
	}
	cycle_pass(gate);
	cycle_wait();
	for (size_t i = 0; i < SETTINGS; i++) {
		long is = prctl_of(settings[i].get, settings[i].get_arg, 0);

		check(is == settings[i].was, "%s: %ld, was %ld", settings[i].name, is,
		      settings[i].was);
	}
}

static void *with_policy(void *ctx)
{
	unsigned long nodes[NODES / 64] = { 1 }, is[NODES / 64] = { 0 };
	int mode = -1;

	if (syscall(SYS_set_mempolicy, MPOL_BIND, nodes, NODES) < 0) {
		cycle_pass(gate);
		return ctx;
	}
	cycle_pass(gate);
	cycle_wait();
	must(syscall(SYS_get_mempolicy, &mode, is, NODES, 0, 0));
	check(mode == MPOL_BIND && is[0] == 1, "memory policy %d of nodes 0x%lx", mode, is[0]);
	return ctx;
}

static void with_barriers(void *ctx)
{
	(void)ctx;
	must(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	must(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0));
	cycle_pass(gate);
	cycle_wait();
	check(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0,
	      "it is not registered any more: %s", strerror(errno));
}

static void put(const char *path, const char *text)
{
	int fd = (int)must(open(path, O_WRONLY | O_CLOEXEC));

	must(write(fd, text, strlen(text)));
	close(fd);
}

static void with_files(void *ctx)
{
	char text[64], was[64];
	bool groups = access("/proc/self/autogroup", F_OK) == 0;

	(void)ctx;
	must(setsid());
	put("/proc/self/coredump_filter", "0x7");
	if (groups)
		put("/proc/self/autogroup", "9");
	cycle_read("/proc/self/coredump_filter", was, sizeof(was));
	cycle_pass(gate);
	cycle_wait();
	cycle_read("/proc/self/coredump_filter", text, sizeof(text));
	check(strcmp(text, was) == 0 && strtol(text, NULL, 16) == 7, "coredump_filter %s, was %s",
	      text, was);
	cycle_read("/proc/self/autogroup", text, sizeof(text));
	check(!groups || strstr(text, "nice 9\n"), "%s", text);
}

static void traits(void)
{
	void (*const kinds[])(void *) = { with_settings, with_barriers, with_files };
	pthread_t thread;
	pid_t child[3];

	gate = cycle_gate();
	for (int i = 0; i < 3; i++)
		child[i] = cycle_child(kinds[i], NULL);
	must(-pthread_create(&thread, NULL, with_policy, NULL));
	cycle_await(gate, 4);
	cycle();
	for (int i = 0; i < 3; i++)
		cycle_join(child[i]);
	must(-pthread_join(thread, NULL));
	/* of the thread alone */
	check(prctl_of(PR_GET_MDWE, 0, 0) <= 0, "another's setting");
}

/* ---- what is refused */

static void idle(void *ctx)
{
	(void)ctx;
	cycle_pass(gate);
	cycle_wait();
}

/* What a child does first, so that it can't be saved. */
static void refused_child(void (*fn)(void *ctx))
{
	pid_t child;

	gate = cycle_gate();
	child = cycle_child(fn, NULL);
	cycle_await(gate, 1);
	cycle();
	cycle_join(child);
}

static void in_own_names(void *ctx)
{
	if (unshare(CLONE_NEWUTS) < 0)
		must(unshare(CLONE_NEWUSER | CLONE_NEWUTS));
	idle(ctx);
}

static void named_for_a_moment(void)
{
	char name[64] = "";

	if (unshare(CLONE_NEWUTS) < 0)
		must(unshare(CLONE_NEWUSER | CLONE_NEWUTS));
	must(sethostname("moment", 6));
	cycle_sleep(6);
	must(gethostname(name, sizeof(name)));
	_exit(strcmp(name, "moment") != 0);
}

/* They come and go while it is saved: none of them is in an image. */
static void name_children(void *ctx)
{
	int status;
	pid_t child;

	(void)ctx;
	cycle_pass(gate);
	for (int n = 0; n < 20 || !cycle_over(); n++) {
		child = (pid_t)must(fork());
		if (child == 0)
			named_for_a_moment();
		must(waitpid(child, &status, 0));
		check(status == 0, "its name is another one, status 0x%x", status);
		cycle_sleep(4);
	}
}

static void names_of_a_moment(void)
{
	refused_child(name_children);
}

static void own_names(void)
{
	refused_child(in_own_names);
}

static void with_pids_to_come(void *ctx)
{
	if (unshare(CLONE_NEWPID) < 0)
		must(unshare(CLONE_NEWUSER | CLONE_NEWPID));
	idle(ctx);
}

static void pids_to_come(void)
{
	refused_child(with_pids_to_come);
}

/* Two levels down, so that it is no child of whom it shares with. */
static int share(void *ctx)
{
	idle(ctx);
	_exit(0);
}

static void shared_files(void)
{
	static char stacks[2][65536] __attribute__((aligned(16)));
	pid_t child[2];

	gate = cycle_gate();
	child[0] = (pid_t)must(clone(share, stacks[0] + 65536, CLONE_FILES | SIGCHLD, NULL));
	child[1] = (pid_t)must(clone(share, stacks[1] + 65536, SIGCHLD, NULL));
	cycle_await(gate, 2);
	cycle();
	cycle_join(child[0]);
	cycle_join(child[1]);
}

static void trace_it(void *ctx)
{
	pid_t child = (pid_t)must(fork());

	while (child == 0) /* until it is killed: there may be no cycle to wait for */
		pause();
	must(ptrace(PTRACE_SEIZE, child, NULL, NULL));
	idle(ctx);
	must(kill(child, SIGKILL));
	must(waitpid(child, NULL, 0));
}

static void traced(void)
{
	pid_t child;

	gate = cycle_gate();
	child = cycle_child(trace_it, NULL);
	cycle_await(gate, 1);
	cycle();
	cycle_join(child);
}

static void *unshare_net(void *ctx)
{
	must(unshare(CLONE_NEWNET));
	idle(ctx);
	return NULL;
}

static void *drop_rights(void *ctx)
{
	const struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { { 0 } };

	must(syscall(SYS_capset, &head, none));
	idle(ctx);
	return NULL;
}

static void *stay_alike(void *ctx)
{
	idle(ctx);
	return NULL;
}

/* One thread in the middle of many does something for itself. */
static void among_many(void *(*odd)(void *ctx))
{
	pthread_t threads[MANY];

	gate = cycle_gate();
	for (int i = 0; i < MANY; i++)
		must(-pthread_create(&threads[i], NULL, i == MANY / 2 ? odd : stay_alike, NULL));
	cycle_await(gate, MANY);
	cycle();
	for (int i = 0; i < MANY; i++)
		must(-pthread_join(threads[i], NULL));
}

static void may_unshare_net(void)
{
	pid_t probe = fork();
	int status = 0;

	if (probe == 0)
		_exit(unshare(CLONE_NEWNET) < 0);
	must(waitpid(probe, &status, 0));
	if (status)
		cycle_skip("it takes CAP_SYS_ADMIN");
}

static void threads_net(void)
{
	may_unshare_net();
	among_many(unshare_net);
}

static void threads_rights(void)
{
	among_many(drop_rights);
}

static void thread_net(void)
{
	pthread_t thread;

	may_unshare_net();
	gate = cycle_gate();
	must(-pthread_create(&thread, NULL, unshare_net, NULL));
	cycle_await(gate, 1);
	cycle();
	must(-pthread_join(thread, NULL));
}

/* The selector lets them pass: only that there is one matters. */
static void dispatching(void *ctx)
{
	static char selector;

	if (prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1, 0, 0, &selector) < 0)
		cycle_skip("the kernel has no PR_SET_SYSCALL_USER_DISPATCH");
	idle(ctx);
}

static void dispatch(void)
{
	refused_child(dispatching);
}

static void wait_in_vfork(void *ctx)
{
	pid_t child;

	(void)ctx;
	child = vfork();
	if (child == 0) {
		cycle_pass(gate);
		cycle_wait();
		_exit(0);
	}
	must(child);
	cycle_join(child);
}

static void vforked(void)
{
	refused_child(wait_in_vfork);
}

const struct cycle_case trait_cases[] = {
	{ "traits", traits },
	{ "refused-names", own_names },
	{ "names-of-a-moment", names_of_a_moment },
	{ "refused-pids", pids_to_come },
	{ "refused-files", shared_files },
	{ "refused-traced", traced },
	{ "refused-thread-net", thread_net },
	{ "refused-threads-net", threads_net },
	{ "refused-threads-rights", threads_rights },
	{ "refused-dispatch", dispatch },
	{ "refused-vfork", vforked },
	{ NULL, NULL },
};
