/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup's life on this host, whatever versions it mounts. Needs the right to make cgroups. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/box.h"
#include "lib/tap.h"

static int go[2];

static void makes_cgroups_and_enters(void)
{
	struct box b = box_open("");
	char text[8192] = "";
	const char *want;
	pid_t *pids;
	pid_t pid;
	size_t n;

	if (box_make(&b)) {
		pid = box_enter(&b, box_sleep);
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
	box_close(&b);
}

static void refuses_a_used_cgroup(void)
{
	struct box b = box_open(""), other;
	pid_t pid;

	if (!box_make(&b))
		return;
	pid = box_enter(&b, box_sleep);
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
	box_close(&b);
}

/* An empty cgroup that was there before is used, and stays. */
static void keeps_what_it_did_not_make(void)
{
	struct box b = box_open(""), again;
	pid_t pid;

	if (!box_make(&b))
		return;
	again = b;
	for (int i = 0; i < 2; i++) {
		is_int(cgroup_locate(b.a, &b.plan, &again.cg), 0, "the same place");
		ok(!again.cg.dirs[0].made, "which is not ours");
		ok(cgroup_create(b.a, &b.plan, &again.cg, 0) == 0, "create: %s", err_last()->text);
		pid = box_enter(&again, box_sleep);
		ok(cgroup_destroy(b.a, &again.cg) == 0, "destroy: %s", err_last()->text);
		is_int(waitpid(pid, NULL, 0), pid, "who was inside is dead");
	}
	for (size_t i = 0; i < b.cg.n; i++)
		ok(access(b.cg.dirs[i].path, F_OK) == 0, "%s stands", b.cg.dirs[i].path);
	box_close(&b);
}

/* As after a SIGKILL in the midst of create, or a second delete. */
static void destroys_the_half_made(void)
{
	struct box b = box_open("");

	if (!ok(cgroup_locate(b.a, &b.plan, &b.cg) == 0, "locate: %s", err_last()->text))
		return;
	is_int(cgroup_destroy(b.a, &b.cg), 0, "nothing there yet");
	for (size_t i = 0; i < b.cg.n; i += 2)
		is_int(mkdir(b.cg.dirs[i].path, 0755), 0, "mkdir %s", b.cg.dirs[i].path);
	box_close(&b);
}

static void forks_on(void)
{
	for (int i = 0; i < 20; i++)
		if (fork() == 0)
			box_sleep();
	box_sleep();
}

/* Cgroups of the container's own below, and processes that nobody waits for. */
static void destroys_with_all_below(void)
{
	struct box b = box_open("");
	pid_t *pids;
	pid_t pid;
	size_t n = 0;

	if (!box_make(&b))
		return;
	pid = box_enter(&b, forks_on);
	for (int i = 0; i < 20000 && n < 21; i++, cgroup_sleep(1000))
		cgroup_pids(b.a, &b.cg, &pids, &n);
	is_int((long long)n, 21, "all there");
	for (size_t i = 0; i < b.cg.n; i++) {
		mkdir(arena_printf(b.a, "%s/x", b.cg.dirs[i].path), 0755);
		mkdir(arena_printf(b.a, "%s/x/y", b.cg.dirs[i].path), 0755);
	}
	box_close(&b);
	is_int(waitpid(pid, NULL, 0), pid, "the first of them died too");
}

static void ends(int sig)
{
	_exit(sig);
}

/* With a handler: a signal that is fatal by default kills even the frozen. */
static void waits_for_term(void)
{
	signal(SIGTERM, ends);
	if (write(go[1], "y", 1) == 1)
		box_sleep();
}

static void freezes(void)
{
	struct box b = box_open("");
	int status;
	pid_t pid;
	char c;

	if (!box_make(&b) || !ok(pipe2(go, O_CLOEXEC) == 0, "pipe"))
		return;
	pid = box_enter(&b, waits_for_term);
	ok(read(go[0], &c, 1) == 1, "the handler stands");
	is_int(cgroup_is_frozen(&b.cg), 0, "not frozen");
	ok(cgroup_freeze(&b.cg, true) == 0, "freeze: %s", err_last()->text);
	is_int(cgroup_is_frozen(&b.cg), 1, "frozen");
	ok(cgroup_freeze(&b.cg, true) == 0, "freeze again: %s", err_last()->text);
	ok(cgroup_kill(&b.cg, SIGTERM) == 0, "kill: %s", err_last()->text);
	is_int(cgroup_is_frozen(&b.cg), 1, "a paused container stays paused");
	cgroup_sleep(20000);
	is_int(waitpid(pid, &status, WNOHANG), 0, "and its processes alive");
	is_int(cgroup_is_frozen(&b.cg), 1, "still");
	ok(cgroup_freeze(&b.cg, false) == 0, "thaw: %s", err_last()->text);
	is_int(waitpid(pid, &status, 0), pid, "then the signal comes");
	is_int(cgroup_is_frozen(&b.cg), 0, "not frozen");

	pid = box_enter(&b, box_sleep);
	ok(cgroup_freeze(&b.cg, true) == 0, "freeze: %s", err_last()->text);
	ok(cgroup_kill(&b.cg, SIGKILL) == 0, "kill: %s", err_last()->text);
	is_int(waitpid(pid, &status, 0), pid, "SIGKILL needs no thaw");
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "killed");
	box_close(&b);

	b = box_open("");
	if (!box_make(&b))
		return;
	pid = box_enter(&b, box_sleep);
	ok(cgroup_freeze(&b.cg, true) == 0, "freeze: %s", err_last()->text);
	box_close(&b);
	is_int(waitpid(pid, &status, 0), pid, "and removal takes the frozen along");
}

static void enters_below(void)
{
	struct box b = box_open("");
	struct cgroup_entry e;

	if (!box_make(&b))
		return;
	is_int(cgroup_entry_open(&b.cg, "inner", &e), -ENOENT, "not there");
	is_int(cgroup_entry_open(&b.cg, "a/../..", &e), -EINVAL, "\"..\" is refused");
	for (size_t i = 0; i < b.cg.n; i++)
		mkdir(arena_printf(b.a, "%s/inner", b.cg.dirs[i].path), 0755);
	if (!cgroup_host_lists(b.cg.dirs[0].controllers, "cpuset"))
		ok(cgroup_entry_open(&b.cg, "inner", &e) == 0, "open: %s", err_last()->text);
	cgroup_entry_close(&e);
	box_close(&b);
}

static void burns(void)
{
	volatile unsigned x = 0;

	for (unsigned i = 0; i < 40000000; i++)
		x += i;
	box_sleep();
}

static void counts(void)
{
	struct box b = box_open("");
	struct cgroup_stats s = { 0 };
	pid_t pid;

	if (!box_make(&b))
		return;
	pid = box_enter(&b, burns);
	for (int i = 0; i < 10000 && s.cpu_total < 1000000; i++, cgroup_sleep(2000))
		ok(cgroup_stats(b.a, &b.cg, &s) == 0, "stats: %s", err_last()->text);
	ok(s.cpu_total >= 1000000, "time was used: %llu", (unsigned long long)s.cpu_total);
	if (box_has(&b, CTL_PIDS)) {
		is_int((long long)s.pids_current, 1, "one process");
		is_int((long long)s.pids_limit, 0, "no limit");
	}
	if (box_has(&b, CTL_MEMORY)) {
		ok(s.memory.usage > 0, "memory is used");
		ok(s.n_memory_raw > 5, "memory.stat");
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	box_close(&b);
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
	struct box b = box_open("");
	struct pollfd p = { .events = POLLIN };
	uint64_t count = 0;
	pid_t pid;

	if (!box_make(&b))
		return;
	if (!box_has(&b, CTL_MEMORY)) {
		box_close(&b);
		tap_skip("no memory controller");
	}
	/* where swap is not counted it could take it all */
	ok(cgroup_update(b.a, &b.cg, &(struct cgroup_limits){ .memory = SET(8 << 20) }) == 0,
	   "limit: %s", err_last()->text);
	p.fd = cgroup_oom_watch(&b.cg);
	ok(p.fd >= 0, "watch: %s", err_last()->text);
	is_int(poll(&p, 1, 0), 0, "nothing yet");
	pid = box_enter(&b, eats);
	is_int(poll(&p, 1, 20000), 1, "told");
	waitpid(pid, NULL, 0);
	ok(cgroup_oom_count(&b.cg, &count) == 0, "count: %s", err_last()->text);
	ok(count >= 1, "counted");
	close(p.fd);
	box_close(&b);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(makes_cgroups_and_enters),
		TAP(refuses_a_used_cgroup),
		TAP(keeps_what_it_did_not_make),
		TAP(destroys_the_half_made),
		TAP(destroys_with_all_below),
		TAP(freezes),
		TAP(enters_below),
		TAP(counts),
		TAP(tells_of_oom),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
