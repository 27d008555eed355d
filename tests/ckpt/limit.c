/* SPDX-License-Identifier: Apache-2.0 */
/* What a task may use and how it is scheduled; its names and places. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cycle.h"

extern char **environ;

static void rlimits(void)
{
	struct rlimit was[RLIM_NLIMITS], is;

	for (int r = 0; r < (int)RLIM_NLIMITS; r++) {
		must(getrlimit(r, &was[r]));
		if (was[r].rlim_max == RLIM_INFINITY || was[r].rlim_max > 4096)
			was[r].rlim_cur = was[r].rlim_max == RLIM_INFINITY ? (1ul << 40) + (rlim_t)r
									   : was[r].rlim_max - 1;
		if (r == RLIMIT_NOFILE)
			was[r].rlim_max = was[r].rlim_cur;
		must(setrlimit(r, &was[r]));
	}
	cycle();
	for (int r = 0; r < (int)RLIM_NLIMITS; r++) {
		must(getrlimit(r, &is));
		check(is.rlim_cur == was[r].rlim_cur && is.rlim_max == was[r].rlim_max,
		      "limit %d is %lu/%lu, was %lu/%lu", r, (unsigned long)is.rlim_cur,
		      (unsigned long)is.rlim_max, (unsigned long)was[r].rlim_cur,
		      (unsigned long)was[r].rlim_max);
	}
}

static void scheduling(void)
{
	struct sched_param param = { 0 };
	cpu_set_t was, is, one;
	char score[32], line[32];
	FILE *f;

	/* not what root alone may set, also where the tests are run with a low one */
	must(setpriority(PRIO_PROCESS, 0, 17));
	must(sched_setscheduler(0, SCHED_BATCH, &param));
	must(sched_getaffinity(0, sizeof(was), &was));
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &was)) {
			CPU_SET(cpu, &one);
			break;
		}
	must(sched_setaffinity(0, sizeof(one), &one));
	f = fopen("/proc/self/oom_score_adj", "w");
	must(f ? 0 : -1);
	fputs("321", f);
	must(fclose(f));
	must(prctl(PR_SET_TIMERSLACK, 123456));
	must(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6));
	cycle();
	check(getpriority(PRIO_PROCESS, 0) == 17, "nice %d", getpriority(PRIO_PROCESS, 0));
	check(sched_getscheduler(0) == SCHED_BATCH, "policy %d", sched_getscheduler(0));
	must(sched_getaffinity(0, sizeof(is), &is));
	check(CPU_EQUAL(&is, &one), "%d processors", CPU_COUNT(&is));
	cycle_read("/proc/self/oom_score_adj", score, sizeof(score));
	check(strcmp(score, "321\n") == 0, "oom_score_adj %s", score);
	check(prctl(PR_GET_TIMERSLACK) == 123456, "timer slack %d", prctl(PR_GET_TIMERSLACK));
	check(syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 6), "ioprio %ld",
	      syscall(SYS_ioprio_get, 1, 0));
	(void)line;
}

/* What ps and the like show, and what the C library found at the start. */
static void names(void)
{
	static char cmdline[2][4096], env[2][16384], auxv[2][1024], exe[2][PATH_MAX], name[16];
	static const char *const paths[] = { "/proc/self/cmdline", "/proc/self/environ",
					     "/proc/self/auxv" };
	char *bufs[2][3] = { { cmdline[0], env[0], auxv[0] }, { cmdline[1], env[1], auxv[1] } };
	size_t sizes[] = { sizeof(cmdline[0]), sizeof(env[0]), sizeof(auxv[0]) }, len[2][3];
	ssize_t n[2];
	void *top = sbrk(0);

	must(prctl(PR_SET_NAME, "a name of its"));
	must(brk((char *)top + 123456));
	memset(top, 'b', 123456);
	for (int i = 0; i < 2; i++) {
		for (int k = 0; k < 3; k++)
			len[i][k] = cycle_read(paths[k], bufs[i][k], sizes[k]);
		n[i] = must(readlink("/proc/self/exe", exe[i], sizeof(exe[i])));
		if (i == 0)
			cycle();
	}
	for (int k = 0; k < 3; k++)
		check(len[0][k] == len[1][k] && memcmp(bufs[0][k], bufs[1][k], len[0][k]) == 0,
		      "%s is another", paths[k]);
	check(n[0] == n[1] && memcmp(exe[0], exe[1], (size_t)n[0]) == 0, "/proc/self/exe is %.*s",
	      (int)n[1], exe[1]);
	prctl(PR_GET_NAME, name);
	check(strcmp(name, "a name of its") == 0, "name \"%s\"", name);
	check((char *)sbrk(0) == (char *)top + 123456, "the break is %p", sbrk(0));
	check(((char *)top)[0] == 'b' && ((char *)top)[123455] == 'b', "what was allocated");
	check(sbrk(4096) == (char *)top + 123456, "the break can't be moved");
	check(getauxval(AT_PAGESZ) == (unsigned long)sysconf(_SC_PAGESIZE), "the auxiliary vector");
	check(getenv("PATH") != NULL, "the environment");
}

static bool may_chroot(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	must(syscall(SYS_capget, &head, data));
	return data[0].effective & (1u << CAP_SYS_CHROOT);
}

static void chrooted(void *ctx)
{
	must(chroot("."));
	must(chdir("/"));
	cycle_pass(*(struct cycle_gate *)ctx);
	cycle_wait();
	/* a copy of the file system has numbers of its own */
	check(access("/deep dir", F_OK) == 0, "the root directory");
	check(access("/proc/self", F_OK) < 0, "the old root is in reach");
}

/* Working directory, umask; a root directory of its own where that is allowed. */
static void places(void)
{
	const char *at = getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle";
	char cwd[PATH_MAX], deep[PATH_MAX];
	struct cycle_gate gate = cycle_gate();
	pid_t child = 0;
	int fd;

	must(chdir(at));
	if (mkdir("deep dir", 0755) < 0)
		must(errno == EEXIST ? 0 : -1);
	/* so that what is "/cycle" outside is found as that from within */
	if (may_chroot() && strcmp(at, "/cycle") == 0) {
		if (symlink(".", "cycle") < 0)
			must(errno == EEXIST ? 0 : -1);
		child = cycle_child(chrooted, &gate);
		cycle_await(gate, 1);
	}
	must(chdir("deep dir"));
	must(getcwd(cwd, sizeof(cwd)) ? 0 : -1);
	umask(0137);
	cycle();
	check(getcwd(deep, sizeof(deep)) && strcmp(cwd, deep) == 0, "cwd is %s", deep);
	fd = (int)must(open("masked", O_RDWR | O_CREAT | O_EXCL, 0777));
	close(fd);
	check(access("masked", R_OK) == 0, "a relative path");
	must(unlink("masked"));
	check(umask(0) == 0137, "umask");
	if (child)
		cycle_join(child);
}

struct first {
	struct cycle_gate gate;
	int pipe[2];
};

static void speak_first(void *ctx)
{
	const struct first *f = ctx;

	must(chroot("."));
	must(chdir("/"));
	cycle_pass(f->gate);
	cycle_wait();
	must(write(f->pipe[1], "", 1));
}

static void check_above(const char *path)
{
	struct stat root, above;

	must(stat("/", &root));
	if (check(stat(path, &above) == 0, "%s: %s", path, strerror(errno)))
		check(above.st_ino == root.st_ino && above.st_dev == root.st_dev, "%s is another",
		      path);
}

/* After a restore nothing is heard of the first process, which has the container's root, before
 * another one has used names: of that root is a directory, and what the first calls "/cycle" is
 * another one there. */
static void places_within(void)
{
	struct first f = { .gate = cycle_gate() };
	char byte;
	int fd;

	if (!may_chroot() || getenv("CYCLE_DIR"))
		cycle_skip("it takes CAP_SYS_CHROOT, and /cycle");
	must(chdir("/cycle"));
	if (symlink(".", "cycle") < 0)
		must(errno == EEXIST ? 0 : -1);
	must(pipe(f.pipe));
	pid_t child = cycle_child(speak_first, &f);
	cycle_await(f.gate, 1);
	cycle_ready();
	must(read(f.pipe[0], &byte, 1));
	fd = (int)must(open("/cycle/made", O_RDWR | O_CREAT | O_EXCL, 0600));
	close(fd);
	must(unlink("/cycle/made"));
	check_above("/cycle/..");
	check_above("..");
	check(access("/cycle/../cycle/ready", F_OK) == 0, "out and in again");
	cycle_join(child);
}

static void persona(void)
{
	must(personality(ADDR_NO_RANDOMIZE | UNAME26));
	must(prctl(PR_SET_DUMPABLE, 0));
	must(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	cycle();
	check(personality(0xffffffff) == (ADDR_NO_RANDOMIZE | UNAME26), "personality 0x%x",
	      (unsigned)personality(0xffffffff));
	check(prctl(PR_GET_DUMPABLE) == 0, "dumpable %d", prctl(PR_GET_DUMPABLE));
	check(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1, "THP is allowed again");
	check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no_new_privs is off");
}

const struct cycle_case limit_cases[] = {
	{ "rlimits", rlimits }, { "scheduling", scheduling },       { "names", names },
	{ "places", places },   { "places-within", places_within }, { "personality", persona },
	{ NULL, NULL },
};
