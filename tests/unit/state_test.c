/* SPDX-License-Identifier: Apache-2.0 */
/* The state store, in a directory of its own, with children of its own as inits. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "lib/tap.h"
#include "oci/json.h"
#include "oci/state.h"
#include "task/proc.h"

static struct arena *arena;
static char path[64];
static int root = -1;

static void set_up(void)
{
	snprintf(path, sizeof(path), "/tmp/thole-state-XXXXXX");
	if (!ok(mkdtemp(path), "a directory"))
		_exit(1);
	arena = arena_new();
	root = state_open_root(arena, path, false);
	ok(root >= 0, "is a store");
}

static void tear_down(void)
{
	close(root);
	fd_remove_tree(AT_FDCWD, path);
	arena_free(arena);
}

static struct state sample(const char *id)
{
	return (struct state){
		.id = id,
		.oci_version = "1.2.0",
		.bundle = "/b \"quoted\"",
		.rootfs = "/b/rootfs",
		.created = "2026-01-02T03:04:05.000000006Z",
		.owner = 1000,
		.userns = true,
		.process = true,
		.poststop = true,
		.cgroup = { .manager = CGROUP_SYSTEMD,
			    .scope = "a-b.scope",
			    .n = 2,
			    .dirs = { { "cpu,cpuacct", "/sys/fs/cgroup/cpu/x", NULL },
				      { "", "/sys/fs/cgroup/unified/x",
					"/sys/fs/cgroup/unified/x" } } },
	};
}

static void ids(void)
{
	static const char *const good[] = { "a", "A_b+c.d-e", "-x", "0123" };
	static const char *const bad[] = { "",     ".",   "..",  ".x",      "a/b",
					   "../a", "a b", "a\n", "\303\244" };
	char long_id[300];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		is_int(state_check_id(good[i]), 0, "\"%s\"", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(state_check_id(bad[i]), -EINVAL, "\"%s\"", bad[i]);
	memset(long_id, 'a', sizeof(long_id));
	long_id[sizeof(long_id) - 1] = '\0';
	is_int(state_check_id(long_id), -EINVAL, "too long for a file name");
}

static void round_trip(void)
{
	struct state_dir d;
	struct state s = sample("one"), t;

	set_up();
	is_int(state_claim(root, "one", &d), 0, "claim");
	is_int(state_write(arena, &d, &s), 0, "write");
	is_int(state_read(arena, &d, &t), 0, "read");
	is_str(t.bundle, s.bundle, "bundle");
	is_str(t.created, s.created, "created");
	is_int(t.owner, 1000, "owner");
	ok(t.userns && t.process && t.poststop && !t.poststart, "flags");
	is_int(t.cgroup.manager, CGROUP_SYSTEMD, "manager");
	is_str(t.cgroup.scope, "a-b.scope", "scope");
	is_int((long long)t.cgroup.n, 2, "hierarchies");
	ok(!t.cgroup.dirs[0].made, "was there before");
	is_str(t.cgroup.dirs[1].made, "/sys/fs/cgroup/unified/x", "was made");
	is_int(state_remove(&d), 0, "remove");
	is_int(state_find(root, "one", &d), -ENOENT, "is gone");
	ok(strstr(err_last()->text, "does not exist"), "%s", err_last()->text);
	tear_down();
}

static void claims(void)
{
	struct state_dir d, e;

	set_up();
	is_int(state_claim(root, "one", &d), 0, "claim");
	is_int(state_claim(root, "one", &e), -EEXIST, "a second one");
	ok(strstr(err_last()->text, "container with given ID already exists"), "%s",
	   err_last()->text);
	state_dir_close(&d);
	is_int(symlinkat("one", root, "link"), 0, "a link in the store");
	is_int(state_find(root, "link", &e), -ENOENT, "is not followed");
	tear_down();
}

/* Who creates holds the lock: without a state and a holder it is over. */
static void creating(void)
{
	struct state s = sample("one"), t;
	struct state_dir d, e;

	set_up();
	is_int(state_claim(root, "one", &d), 0, "claim");
	is_int(state_write(arena, &d, &s), 0, "write");
	is_int(state_find(root, "one", &e), 0, "find");
	is_int(state_read(arena, &e, &t), 0, "read");
	is_int(state_status(&e, &t, NULL), STATE_CREATING, "while its maker lives");
	state_dir_close(&d);
	is_int(state_status(&e, &t, NULL), STATE_STOPPED, "when it is dead");
	is_int(state_lock(&e), 0, "lock");
	is_int(state_remove(&e), 0, "remove");
	state_dir_close(&e);
	tear_down();
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	return pid;
}

static void statuses(void)
{
	struct state s = sample("one");
	struct state_dir d;
	int pidfd, sock;

	set_up();
	s.cgroup = (struct cgroup){ .manager = CGROUP_DISABLED };
	s.pid = sleeper();
	is_int(proc_start_time(s.pid, &s.start_time), 0, "start time");
	is_int(state_claim(root, "one", &d), 0, "claim");
	is_int(state_write(arena, &d, &s), 0, "write");
	is_int(state_status(&d, &s, &pidfd), STATE_RUNNING, "alive");
	ok(pidfd >= 0, "with a pidfd");
	close(pidfd);
	sock = fd_unix_listen(d.dir, STATE_START, 0600, 1);
	ok(sock >= 0, "start socket");
	is_int(state_status(&d, &s, NULL), STATE_CREATED, "waits for start");
	s.start_time++;
	is_int(state_status(&d, &s, NULL), STATE_STOPPED, "another process of that number");
	s.start_time--;
	kill(s.pid, SIGKILL);
	waitid(P_PID, (id_t)s.pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	is_int(state_status(&d, &s, &pidfd), STATE_STOPPED, "a zombie");
	is_int(pidfd, -1, "has no pidfd");
	waitpid(s.pid, NULL, 0);
	is_int(state_status(&d, &s, NULL), STATE_STOPPED, "gone");
	close(sock);
	is_int(state_remove(&d), 0, "remove");
	tear_down();
}

static void foreign(void)
{
	static const char other[] = "{\"id\":\"other\",\"init_process_pid\":1}";
	struct state_dir d;
	struct state s;
	struct stat st;

	set_up();
	is_int(mkdirat(root, "other", 0700), 0, "another runtime's");
	is_int(state_find(root, "other", &d), 0, "looks like one of ours");
	is_int(fd_replace_file(d.dir, "status", 0600, "{}", 2), 0, "its file");
	is_int(state_read(arena, &d, &s), -ENODATA, "has no state");
	is_int(state_remove(&d), -ENOTEMPTY, "and is not removed");
	is_int(fstatat(d.dir, "status", &st, 0), 0, "nor what is in it");
	is_int(fd_replace_file(d.dir, "state.json", 0600, other, sizeof(other) - 1), 0,
	       "a state by another runtime");
	is_int(state_read(arena, &d, &s), -EMEDIUMTYPE, "is told from ours");
	state_dir_close(&d);
	tear_down();
}

static void damaged(void)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]x",
		"{\"runtime\":\"thole\"}",
		"{\"runtime\":\"thole\",\"pid\":-1,\"startTime\":0,\"owner\":0}",
	};
	struct state_dir d;
	struct state s;

	set_up();
	is_int(state_claim(root, "one", &d), 0, "claim");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		fd_replace_file(d.dir, "state.json", 0600, texts[i], strlen(texts[i]));
		is_int(state_read(arena, &d, &s), -EINVAL, "%s", texts[i]);
	}
	is_int(state_remove(&d), 0, "can be removed");
	tear_down();
}

static void listing(void)
{
	static const char *const names[] = { "b", "a", ".hidden" };
	const char *const *list;

	set_up();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		is_int(mkdirat(root, names[i], 0700), 0, "%s", names[i]);
	is_int(fd_replace_file(root, "file", 0600, "", 0), 0, "a file");
	is_int(state_list(arena, root, &list), 0, "list");
	is_str(list[0], "a", "sorted");
	is_str(list[1], "b", "directories only");
	ok(!list[2], "and no more");
	tear_down();
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = { TAP(ids),      TAP(round_trip), TAP(claims),
						 TAP(creating), TAP(statuses),   TAP(foreign),
						 TAP(damaged),  TAP(listing) };

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
