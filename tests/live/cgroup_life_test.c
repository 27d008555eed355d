/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup's life on this host, whatever versions it mounts. Needs the right to make cgroups. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "jail/cgroup.h"
#include "jail/cgroup_priv.h"
#include "lib/tap.h"

#define SET(x) ((struct opt_i64){ true, (x) })

struct box {
	struct arena *a;
	struct cgroup_plan plan;
	struct cgroup cg;
};

static void need_root(void)
{
	if (geteuid() != 0)
		tap_skip("only root may make cgroups here");
}

/* A cgroup of this process's own name; destroyed by close_box() whatever happens between. */
static struct box open_box(const char *tail)
{
	struct box b = { .a = arena_new() };

	need_root();
	b.plan = (struct cgroup_plan){ .manager = CGROUP_FS, .id = "unused", .delegate_uid = -1 };
	b.plan.path = arena_printf(b.a, "/thole-test-%d%s", getpid(), tail);
	return b;
}

static bool make_box(struct box *b)
{
	if (!ok(cgroup_locate(b->a, &b->plan, &b->cg) == 0, "locate: %s", err_last()->text))
		return false;
	return ok(cgroup_create(b->a, &b->plan, &b->cg, 0) == 0, "create: %s", err_last()->text);
}

static void close_box(struct box *b)
{
	ok(cgroup_destroy(b->a, &b->cg) == 0, "destroy: %s", err_last()->text);
	for (size_t i = 0; i < b->cg.n; i++)
		ok(access(b->cg.dirs[i].path, F_OK) < 0, "%s is gone", b->cg.dirs[i].path);
	arena_free(b->a);
}

/* The text of a file of the controller's directory without its newline; "" if there is none. */
static const char *file_of(struct box *b, enum cgroup_ctl ctl, const char *v1, const char *v2)
{
	const struct cgroup_dir *d = cgroup_find(&b->cg, ctl);
	char *buf = arena_alloc(b->a, 8192);
	const char *name;

	if (!d)
		return buf;
	name = arena_printf(b->a, "%s/%s", d->path, cgroup_dir_v2(d) ? v2 : v1);
	if (cgroup_read(AT_FDCWD, name, buf, 8192) < 0)
		buf[0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return buf;
}

static bool has(struct box *b, enum cgroup_ctl ctl)
{
	const struct cgroup_dir *d = cgroup_find(&b->cg, ctl);
	char list[512];

	if (!d || !cgroup_dir_v2(d))
		return d;
	if (cgroup_read(AT_FDCWD, arena_printf(b->a, "%s/cgroup.controllers", d->path), list,
			sizeof(list)) < 0)
		return false;
	for (char *p = list; *p; p++)
		if (*p == ' ' || *p == '\n')
			*p = ',';
	return cgroup_host_lists(list, cgroup_ctl_names[ctl].v2);
}

/* A child in the cgroup, entered as init does: cloned into version 2, "0" into version 1's tasks.
 */
static pid_t enter(struct box *b, void (*run)(void))
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	struct cgroup_entry e;
	int ready[2];
	char c = 0;
	pid_t pid;

	if (!ok(cgroup_entry_open(&b->cg, NULL, &e) == 0, "entry: %s", err_last()->text) ||
	    !ok(pipe2(ready, O_CLOEXEC) == 0, "pipe"))
		_exit(1);
	if (e.v2 >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)e.v2;
	}
	pid = (pid_t)sys_clone3(&args);
	if (pid == 0) {
		c = cgroup_entry_join(&e) == 0 ? 'y' : 'n';
		if (write(ready[1], &c, 1) == 1 && c == 'y')
			run();
		_exit(0);
	}
	ok(pid > 0, "clone3: %s", strerror(errno));
	close(ready[1]);
	ok(read(ready[0], &c, 1) == 1 && c == 'y', "the child entered");
	close(ready[0]);
	cgroup_entry_close(&e);
	return pid;
}

static void sleeps(void)
{
	for (;;)
		pause();
}

static void makes_cgroups_and_enters(void)
{
	struct box b = open_box("");
	char text[8192] = "";
	const char *want;
	pid_t *pids;
	pid_t pid;
	size_t n;

	if (make_box(&b)) {
		pid = enter(&b, sleeps);
		snprintf(text, sizeof(text), "/proc/%d/cgroup", pid);
		cgroup_read(AT_FDCWD, text, text, sizeof(text));
		for (size_t i = 0; i < b.cg.n; i++) {
			want = arena_printf(b.a, ":%s:%s\n", b.cg.dirs[i].controllers, b.plan.path);
			ok(strstr(text, want), "%s is in %s", want, text);
		}
		is_int(cgroup_pids(b.a, &b.cg, &pids, &n), 0, "pids");
		is_int((long long)n, 1, "one process");
		is_int(n ? pids[0] : 0, pid, "it is the child");
		is_int(cgroup_kill(&b.cg, SIGKILL), 0, "kill");
		is_int(waitpid(pid, NULL, 0), pid, "it died");
	}
	close_box(&b);
}

static void sets_limits(void)
{
	struct box b = open_box("");
	struct cgroup_limits *l = &b.plan.limits;

	if (cgroup_locate(b.a, &b.plan, &b.cg) == 0 && cgroup_create(b.a, &b.plan, &b.cg, 0) == 0) {
		l->memory = has(&b, CTL_MEMORY) ? SET(64 << 20) : (struct opt_i64){ 0 };
		l->pids = has(&b, CTL_PIDS) ? SET(33) : (struct opt_i64){ 0 };
		l->cpu_shares = has(&b, CTL_CPU) ? SET(512) : (struct opt_i64){ 0 };
		l->cpu_quota = has(&b, CTL_CPU) ? SET(50000) : (struct opt_i64){ 0 };
		l->cpu_period = has(&b, CTL_CPU) ? SET(200000) : (struct opt_i64){ 0 };
		l->cpus = has(&b, CTL_CPUSET) ? "0" : NULL;
	}
	close_box(&b);
	b.a = arena_new();
	b.plan.path = arena_printf(b.a, "/thole-test-%d", getpid());
	if (make_box(&b)) {
		if (l->memory.set)
			is_str(file_of(&b, CTL_MEMORY, "memory.limit_in_bytes", "memory.max"),
			       "67108864", "memory");
		if (l->pids.set)
			is_str(file_of(&b, CTL_PIDS, "pids.max", "pids.max"), "33", "pids");
		if (l->cpu_quota.set) {
			const struct cgroup_dir *d = cgroup_find(&b.cg, CTL_CPU);

			is_str(file_of(&b, CTL_CPU, "cpu.cfs_quota_us", "cpu.max"),
			       cgroup_dir_v2(d) ? "50000 200000" : "50000", "quota");
			is_str(file_of(&b, CTL_CPU, "cpu.shares", "cpu.weight"),
			       cgroup_dir_v2(d) ? "59" : "512", "shares");
		}
		if (l->cpus)
			is_str(file_of(&b, CTL_CPUSET, "cpuset.cpus", "cpuset.cpus"), "0", "cpus");
	}
	close_box(&b);
}

/* New values may contradict the old ones of another file on the way. */
static void updates_in_any_order(void)
{
	static const struct {
		long long memory, swap, quota, period;
	} steps[] = {
		{ 300 << 20, 400 << 20, 50000, 100000 },
		{ 500 << 20, 600 << 20, 900000, 1000000 },
		{ 100 << 20, 150 << 20, 2000, 10000 },
		{ 200 << 20, 200 << 20, 1000, 1000 },
		{ -1, -1, -1, 100000 },
	};
	struct box b = open_box("");
	const char *want;
	bool v2;

	if (!make_box(&b) || !has(&b, CTL_MEMORY) || !has(&b, CTL_CPU)) {
		close_box(&b);
		tap_skip("no memory and cpu controllers");
	}
	v2 = cgroup_dir_v2(cgroup_find(&b.cg, CTL_MEMORY));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct cgroup_limits l = { .memory = SET(steps[i].memory),
					   .memory_swap = SET(steps[i].swap),
					   .cpu_quota = SET(steps[i].quota),
					   .cpu_period = SET(steps[i].period) };

		ok(cgroup_update(b.a, &b.cg, &l) == 0, "step %zu: %s", i, err_last()->text);
		if (steps[i].memory > 0)
			is_str(file_of(&b, CTL_MEMORY, "memory.limit_in_bytes", "memory.max"),
			       arena_printf(b.a, "%lld", steps[i].memory), "memory %zu", i);
		want = !v2 ? arena_printf(b.a, "%lld", steps[i].quota)
		       : steps[i].quota < 0
			       ? arena_printf(b.a, "max %lld", steps[i].period)
			       : arena_printf(b.a, "%lld %lld", steps[i].quota, steps[i].period);
		is_str(file_of(&b, CTL_CPU, "cpu.cfs_quota_us", "cpu.max"), want, "quota %zu", i);
	}
	ok(cgroup_update(b.a, &b.cg, &(struct cgroup_limits){ .cpu_quota = SET(40000) }) == 0,
	   "quota alone: %s", err_last()->text);
	ok(cgroup_update(b.a, &b.cg, &(struct cgroup_limits){ .cpu_period = SET(50000) }) == 0,
	   "period alone: %s", err_last()->text);
	is_str(file_of(&b, CTL_CPU, "cpu.cfs_quota_us", "cpu.max"), v2 ? "40000 50000" : "40000",
	       "the quota stays");
	close_box(&b);
}

/* A failure leaves nothing behind, and says which field and which file. */
static void fails_clean(void)
{
	struct box b = open_box("");
	int ret;

	b.plan.limits.cpus = "4000";
	if (!ok(cgroup_locate(b.a, &b.plan, &b.cg) == 0, "locate: %s", err_last()->text))
		return;
	ret = cgroup_create(b.a, &b.plan, &b.cg, 0);
	ok(ret < 0, "no such processor");
	ok(strstr(err_last()->text, "linux.resources.cpu.cpus"), "%s", err_last()->text);
	for (size_t i = 0; i < b.cg.n; i++)
		ok(access(b.cg.dirs[i].path, F_OK) < 0, "%s is gone", b.cg.dirs[i].path);
	close_box(&b);
}

static void refuses_a_used_cgroup(void)
{
	struct box b = open_box(""), other;
	pid_t pid;

	if (!make_box(&b))
		return;
	pid = enter(&b, sleeps);
	other = b;
	is_int(cgroup_create(b.a, &b.plan, &other.cg, 0), -EBUSY, "somebody is in it");
	ok(strstr(err_last()->text, "in use"), "%s", err_last()->text);
	is_int((long long)other.cg.n, 0, "nothing left to destroy");
	is_int(cgroup_locate(b.a, &b.plan, &other.cg), 0, "to locate it is no error");
	is_int(cgroup_destroy(b.a, &other.cg), 0, "to destroy what was located only does nothing");
	is_int(cgroup_create(b.a, &b.plan, &other.cg, 0), -EBUSY, "create says it again");
	is_int(waitpid(pid, NULL, WNOHANG), 0, "he lives");
	for (size_t i = 0; i < b.cg.n; i++)
		ok(access(b.cg.dirs[i].path, F_OK) == 0, "%s stands", b.cg.dirs[i].path);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close_box(&b);
}

/* An empty cgroup that was there before is used, and stays. */
static void keeps_what_it_did_not_make(void)
{
	struct box b = open_box(""), again;
	pid_t pid;

	if (!make_box(&b))
		return;
	again = b;
	for (int i = 0; i < 2; i++) {
		is_int(cgroup_locate(b.a, &b.plan, &again.cg), 0, "the same place");
		ok(!again.cg.dirs[0].made, "which is not ours");
		ok(cgroup_create(b.a, &b.plan, &again.cg, 0) == 0, "create: %s", err_last()->text);
		pid = enter(&again, sleeps);
		ok(cgroup_destroy(b.a, &again.cg) == 0, "destroy: %s", err_last()->text);
		is_int(waitpid(pid, NULL, 0), pid, "who was inside is dead");
	}
	for (size_t i = 0; i < b.cg.n; i++)
		ok(access(b.cg.dirs[i].path, F_OK) == 0, "%s stands", b.cg.dirs[i].path);
	close_box(&b);
}

/* As after a SIGKILL in the midst of create, or a second delete. */
static void destroys_the_half_made(void)
{
	struct box b = open_box("");

	if (!ok(cgroup_locate(b.a, &b.plan, &b.cg) == 0, "locate: %s", err_last()->text))
		return;
	is_int(cgroup_destroy(b.a, &b.cg), 0, "nothing there yet");
	for (size_t i = 0; i < b.cg.n; i += 2)
		is_int(mkdir(b.cg.dirs[i].path, 0755), 0, "mkdir %s", b.cg.dirs[i].path);
	close_box(&b);
}

static void forks_on(void)
{
	for (int i = 0; i < 20; i++)
		if (fork() == 0)
			sleeps();
	sleeps();
}

/* Cgroups of the container's own below, and processes that nobody waits for. */
static void destroys_with_all_below(void)
{
	struct box b = open_box("");
	pid_t *pids;
	pid_t pid;
	size_t n = 0;

	if (!make_box(&b))
		return;
	pid = enter(&b, forks_on);
	for (int i = 0; i < 1000 && n < 21; i++, cgroup_sleep(1000))
		cgroup_pids(b.a, &b.cg, &pids, &n);
	is_int((long long)n, 21, "all there");
	for (size_t i = 0; i < b.cg.n; i++) {
		mkdir(arena_printf(b.a, "%s/x", b.cg.dirs[i].path), 0755);
		mkdir(arena_printf(b.a, "%s/x/y", b.cg.dirs[i].path), 0755);
	}
	close_box(&b);
	is_int(waitpid(pid, NULL, 0), pid, "the first of them died too");
}

static void freezes(void)
{
	struct box b = open_box("");
	int status;
	pid_t pid;

	if (!make_box(&b))
		return;
	pid = enter(&b, sleeps);
	is_int(cgroup_is_frozen(&b.cg), 0, "not frozen");
	ok(cgroup_freeze(&b.cg, true) == 0, "freeze: %s", err_last()->text);
	is_int(cgroup_is_frozen(&b.cg), 1, "frozen");
	ok(cgroup_freeze(&b.cg, true) == 0, "freeze again: %s", err_last()->text);
	ok(cgroup_kill(&b.cg, SIGTERM) == 0, "kill: %s", err_last()->text);
	is_int(cgroup_is_frozen(&b.cg), 1, "a paused container stays paused");
	is_int(waitpid(pid, &status, WNOHANG), 0, "and its processes alive");
	ok(cgroup_freeze(&b.cg, false) == 0, "thaw: %s", err_last()->text);
	is_int(waitpid(pid, &status, 0), pid, "then the signal comes");
	is_int(cgroup_is_frozen(&b.cg), 0, "not frozen");

	pid = enter(&b, sleeps);
	ok(cgroup_freeze(&b.cg, true) == 0, "freeze: %s", err_last()->text);
	ok(cgroup_kill(&b.cg, SIGKILL) == 0, "kill: %s", err_last()->text);
	is_int(waitpid(pid, &status, 0), pid, "SIGKILL needs no thaw");
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "killed");
	close_box(&b);

	b = open_box("");
	if (!make_box(&b))
		return;
	pid = enter(&b, sleeps);
	ok(cgroup_freeze(&b.cg, true) == 0, "freeze: %s", err_last()->text);
	close_box(&b);
	is_int(waitpid(pid, &status, 0), pid, "and removal takes the frozen along");
}

static void enters_below(void)
{
	struct box b = open_box("");
	struct cgroup_entry e;

	if (!make_box(&b))
		return;
	is_int(cgroup_entry_open(&b.cg, "inner", &e), -ENOENT, "not there");
	is_int(cgroup_entry_open(&b.cg, "a/../..", &e), -EINVAL, "\"..\" is refused");
	for (size_t i = 0; i < b.cg.n; i++)
		mkdir(arena_printf(b.a, "%s/inner", b.cg.dirs[i].path), 0755);
	if (!cgroup_host_lists(b.cg.dirs[0].controllers, "cpuset"))
		ok(cgroup_entry_open(&b.cg, "inner", &e) == 0, "open: %s", err_last()->text);
	cgroup_entry_close(&e);
	close_box(&b);
}

static void burns(void)
{
	volatile unsigned x = 0;

	for (unsigned i = 0; i < 40000000; i++)
		x += i;
	sleeps();
}

static void counts(void)
{
	struct box b = open_box("");
	struct cgroup_stats s = { 0 };
	pid_t pid;

	if (!make_box(&b))
		return;
	pid = enter(&b, burns);
	for (int i = 0; i < 500 && s.cpu_total < 1000000; i++, cgroup_sleep(2000))
		ok(cgroup_stats(b.a, &b.cg, &s) == 0, "stats: %s", err_last()->text);
	ok(s.cpu_total >= 1000000, "time was used: %llu", (unsigned long long)s.cpu_total);
	if (has(&b, CTL_PIDS)) {
		is_int((long long)s.pids_current, 1, "one process");
		is_int((long long)s.pids_limit, 0, "no limit");
	}
	if (has(&b, CTL_MEMORY)) {
		ok(s.memory.usage > 0, "memory is used");
		ok(s.n_memory_raw > 5, "memory.stat");
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close_box(&b);
}

static void eats(void)
{
	for (;;) {
		void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		if (p != MAP_FAILED)
			memset(p, 1, 1 << 20);
	}
}

static void tells_of_oom(void)
{
	struct box b = open_box("");
	struct pollfd p = { .events = POLLIN };
	uint64_t count = 0;
	pid_t pid;

	if (!make_box(&b))
		return;
	if (!has(&b, CTL_MEMORY)) {
		close_box(&b);
		tap_skip("no memory controller");
	}
	/* where swap is not counted it could take it all */
	ok(cgroup_update(b.a, &b.cg, &(struct cgroup_limits){ .memory = SET(8 << 20) }) == 0,
	   "limit: %s", err_last()->text);
	p.fd = cgroup_oom_watch(&b.cg);
	ok(p.fd >= 0, "watch: %s", err_last()->text);
	is_int(poll(&p, 1, 0), 0, "nothing yet");
	pid = enter(&b, eats);
	is_int(poll(&p, 1, 20000), 1, "told");
	waitpid(pid, NULL, 0);
	ok(cgroup_oom_count(&b.cg, &count) == 0, "count: %s", err_last()->text);
	ok(count >= 1, "counted");
	close(p.fd);
	close_box(&b);
}

static void delegates(void)
{
	struct box b = open_box("");
	const struct cgroup_dir *d;
	struct stat st;

	b.plan.delegate_uid = 4242;
	if (!make_box(&b))
		return;
	d = cgroup_find_v2(&b.cg);
	if (!d) {
		close_box(&b);
		tap_skip("no version 2 hierarchy");
	}
	is_int(stat(d->path, &st), 0, "stat");
	is_int(st.st_uid, 4242, "the directory");
	is_int(stat(arena_printf(b.a, "%s/cgroup.procs", d->path), &st), 0, "stat");
	is_int(st.st_uid, 4242, "cgroup.procs");
	is_int(stat(arena_printf(b.a, "%s/cgroup.freeze", d->path), &st), 0, "stat");
	is_int(st.st_uid, 0, "cgroup.freeze is not delegated");
	close_box(&b);
}

static void nests(void)
{
	struct box b = open_box("/a/b");
	size_t n;

	b.plan.limits.pids = SET(10);
	if (cgroup_locate(b.a, &b.plan, &b.cg) || !cgroup_find(&b.cg, CTL_PIDS))
		tap_skip("no pids controller");
	if (make_box(&b)) {
		is_str(file_of(&b, CTL_PIDS, "pids.max", "pids.max"), "10", "limit");
		if (cgroup_find(&b.cg, CTL_CPUSET) && has(&b, CTL_CPUSET) &&
		    !cgroup_dir_v2(cgroup_find(&b.cg, CTL_CPUSET)))
			ok(*file_of(&b, CTL_CPUSET, "cpuset.cpus", ""), "cpus came down");
		waitpid(enter(&b, burns), NULL, WNOHANG);
	}
	ok(cgroup_destroy(b.a, &b.cg) == 0, "destroy: %s", err_last()->text);
	for (size_t i = 0; i < b.cg.n; i++) {
		ok(access(b.cg.dirs[i].path, F_OK) < 0, "%s is gone", b.cg.dirs[i].path);
		for (n = 0; n < 2; n++) {
			char *path = arena_strdup(b.a, b.cg.dirs[i].path);

			for (size_t k = 0; k <= n; k++)
				*strrchr(path, '/') = '\0';
			is_int(rmdir(path), 0, "the one above, %s, stayed", path);
		}
	}
	arena_free(b.a);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(makes_cgroups_and_enters),
		TAP(sets_limits),
		TAP(updates_in_any_order),
		TAP(fails_clean),
		TAP(refuses_a_used_cgroup),
		TAP(keeps_what_it_did_not_make),
		TAP(destroys_the_half_made),
		TAP(destroys_with_all_below),
		TAP(freezes),
		TAP(enters_below),
		TAP(counts),
		TAP(tells_of_oom),
		TAP(delegates),
		TAP(nests),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
