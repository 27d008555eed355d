/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a layer changes, told and done: after random calls on a layer and on a plain directory the
 * lower directory must become the plain one, also by a commit that is killed again and again.
 *	cow_commit_test walk-SEED	one of them
 */
#include "super/cow_commit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "lib/scratch.h"
#include "lib/tap.h"
#include "lib/world.h"
#include "super/layer_priv.h"

#define STEPS 150
#define WALKS 20

struct rows {
	char text[256 * 1024];
	size_t len;
};

static int add_row(void *arg, const struct cow_change *c)
{
	static const char letters[] = {
		[COW_ADDED] = 'A', [COW_CHANGED] = 'M', [COW_REMOVED] = 'D', [COW_REPLACED] = 'T'
	};
	struct rows *r = arg;

	r->len += (size_t)snprintf(r->text + r->len, sizeof(r->text) - r->len,
				   "%c /%s %o %o %u %ju %s\n", letters[c->what], c->path, c->mode,
				   c->was, c->fields, (uintmax_t)c->size, c->link ? c->link : "");
	if (r->len >= sizeof(r->text))
		abort();
	return 0;
}

static struct rows *rows_new(void)
{
	return calloc(1, sizeof(struct rows));
}

static bool worked(int ret, const char *what)
{
	return is_int(ret, 0, "%s: %s", what, ret ? err_last()->text : "");
}

/* The next line of a tree's text: its path, and the rest. */
static bool next_line(const char **at, char path[256], char rest[4096])
{
	const char *end = strchr(*at, '\n');
	int n;

	if (!end)
		return false;
	n = (int)(end - *at);
	if (sscanf(*at, "/%255[^ \n]", path) != 1)
		*path = '\0';
	snprintf(rest, 4096, "%.*s", n - (int)strlen(path) - 2, *at + strlen(path) + 2);
	*at = end + 1;
	return true;
}

static bool find_line(const char *text, const char *path, char rest[4096])
{
	char other[256];

	while (next_line(&text, other, rest))
		if (strcmp(other, path) == 0)
			return true;
	return false;
}

static bool told(const struct rows *r, char letter, const char *path)
{
	char want[300];

	snprintf(want, sizeof(want), "%c /%s ", letter, path);
	for (const char *at = strstr(r->text, want); at; at = strstr(at + 1, want))
		if (at == r->text || at[-1] == '\n')
			return true;
	return false;
}

/* Of a directory the time is no change. */
static void without_time(char *line)
{
	unsigned mode, uid, gid;
	int n = 0;

	if (sscanf(line, "%o %u:%u %n", &mode, &uid, &gid, &n) == 3 && S_ISDIR(mode))
		memmove(line + n, line + n + strcspn(line + n, " "),
			strlen(line + n + strcspn(line + n, " ")) + 1);
}

static bool is_type(const char *line, mode_t type)
{
	return (strtoul(line, NULL, 8) & S_IFMT) == type;
}

static char letter_of(char *was, char *is)
{
	if ((strtoul(was, NULL, 8) ^ strtoul(is, NULL, 8)) & S_IFMT)
		return 'T';
	without_time(was);
	without_time(is);
	return strcmp(was, is) == 0 ? '\0' : 'M';
}

/* What the rows must be, from both texts. */
static void check_rows(const struct rows *r, const char *lower, const char *plain)
{
	char path[256], parent[256], line[4096], other[4096], letter;
	const char *at = plain;

	while (next_line(&at, path, line)) {
		letter = find_line(lower, path, other) ? letter_of(other, line) : 'A';
		if (letter)
			ok(told(r, letter, path), "%c /%s", letter, path);
		else
			ok(!told(r, 'A', path) && !told(r, 'T', path), "/%s is as it was", path);
	}
	for (at = lower; next_line(&at, path, line);) {
		snprintf(parent, sizeof(parent), "%.*s", (int)layer_parent_len(path), path);
		if (find_line(plain, path, other) || !find_line(plain, parent, other) ||
		    !is_type(other, S_IFDIR))
			continue;
		ok(told(r, 'D', path), "D /%s", path);
	}
}

static bool is_empty(int dir, const char *name)
{
	auto_fd fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *text, *end;
	struct tree t = tree_plain(&fd);
	bool ret;

	text = tree_text(&t);
	end = strchr(text, '\n');
	ret = end && !end[1];
	free(text);
	return ret;
}

static void walk_world(struct world *w, int base, unsigned seed)
{
	bool same = true;

	world_open(w, base, seed, false);
	for (int i = 0; i < STEPS && same; i++)
		same = world_step(w, i);
}

static char *text_of(struct tree t)
{
	return tree_text(&t);
}

static void check_end(struct world *w, const char *plain)
{
	char *lower = text_of(world_lower(w, true));
	struct rows *rows = rows_new();

	is_str(lower, plain, "walk-%u: the lower directory is what the plain one is", w->first);
	ok(is_empty(w->base, "upper"), "walk-%u: nothing is in the upper one", w->first);
	ok(is_empty(w->base, "work"), "walk-%u: nor in the work directory", w->first);
	worked(cow_diff(&w->layer, add_row, rows), "diff");
	is_str(rows->text, "", "walk-%u: no change is left", w->first);
	free(lower);
	free(rows);
}

/* The rows of a commit are those of the diff before it, and it does what they say. */
static void commit_one(int base, unsigned seed, bool live)
{
	struct rows *diff = rows_new(), *commit = rows_new(), *left = rows_new();
	struct world w;
	char *before, *names, *plain;

	walk_world(&w, base, seed);
	before = text_of(world_lower(&w, false));
	names = text_of(world_plain(&w, false));
	plain = text_of(world_plain(&w, true));
	/* another process knows nothing of what this one has met */
	w.layer.linked = false;
	worked(cow_diff(&w.layer, add_row, diff), "diff");
	check_rows(diff, before, names);
	worked(cow_commit(&w.layer, live, add_row, commit), "commit");
	is_str(commit->text, diff->text, "walk-%u: what is told is done", seed);
	if (live) {
		worked(cow_diff(&w.layer, add_row, left), "diff");
		is_str(left->text, "", "walk-%u: no change is left", seed);
		free(names);
		names = text_of(world_layer(&w, false));
		free(before);
		before = text_of(world_plain(&w, false));
		is_str(names, before, "walk-%u: the guest sees what it saw", seed);
		worked(cow_commit(&w.layer, false, NULL, NULL), "commit once more");
	}
	check_end(&w, plain);
	free(before);
	free(names);
	free(plain);
	free(diff);
	free(commit);
	free(left);
	world_close(&w);
}

static void commits(void)
{
	int base = scratch_make();

	umask(022);
	for (unsigned i = 0; i < WALKS; i++)
		commit_one(base, 1 + i, false);
	scratch_drop(base);
}

static void commits_live(void)
{
	int base = scratch_make();

	umask(022);
	for (unsigned i = 0; i < WALKS; i++)
		commit_one(base, 101 + i, true);
	scratch_drop(base);
}

static void commits_as_nobody(void)
{
	int base;

	if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
		tap_skip("this user can't become another one");
	base = scratch_make();
	umask(022);
	for (unsigned i = 0; i < WALKS; i++)
		commit_one(base, 201 + i, false);
	scratch_drop(base);
}

/* A commit that is killed as it enters its calls-th system call: true if it ended before. */
static bool commit_killed(struct world *w, unsigned calls)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(cow_commit(&w->layer, false, NULL, NULL) ? 1 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status))
		tap_skip("a process can't be traced");
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL);
	for (unsigned i = 0; i < 2 * calls; i++) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) < 0)
			break;
		if (WIFEXITED(status)) {
			is_int(WEXITSTATUS(status), 0, "the commit");
			return true;
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return false;
}

/* What the guest would see if it went on now: the same as ever. */
static void check_view(struct world *w, const char *plain)
{
	char *view = text_of(world_layer(w, false));

	is_str(view, plain, "walk-%u: the guest sees what it saw", w->first);
	free(view);
}

static void kill_one(int base, unsigned seed)
{
	struct world w;
	char *plain, *seen;
	unsigned random = seed, most = 100;

	walk_world(&w, base, seed);
	plain = text_of(world_plain(&w, true));
	seen = text_of(world_plain(&w, false));
	/* looking at it all makes directories: before the first kill, so that each is one more
	 * step */
	check_view(&w, seen);
	/* what is done already has to be found to be so each time: later and later */
	while (!commit_killed(&w, 1 + (unsigned)rand_r(&random) % most)) {
		most += 50;
		layer_prepare(&w.layer);
		if (rand_r(&random) % 8 == 0)
			check_view(&w, seen);
	}
	w.layer.linked = false;
	check_end(&w, plain);
	free(plain);
	free(seen);
	world_close(&w);
}

static void killed(void)
{
	int base = scratch_make();

	umask(022);
	for (unsigned i = 0; i < WALKS / 2; i++)
		kill_one(base, 301 + i);
	scratch_drop(base);
}

static void put(int dir, const char *name, size_t size)
{
	auto_fd fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	char block[4096];

	memset(block, *name, sizeof(block));
	for (; fd >= 0 && size >= sizeof(block); size -= sizeof(block))
		ok(write(fd, block, sizeof(block)) == sizeof(block), "%s is written", name);
	ok(fd >= 0 && write(fd, block, size) == (ssize_t)size, "%s is written", name);
}

static int open_dir(int base, const char *name)
{
	if (mkdirat(base, name, 0755) < 0 && errno != EEXIST)
		abort();
	return openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static struct layer open_layer(int base)
{
	struct layer l = { .mode = LAYER_COW,
			   .lower = open_dir(base, "lower"),
			   .upper = open_dir(base, "upper"),
			   .work = open_dir(base, "work") };

	layer_prepare(&l);
	return l;
}

static void close_layer(struct layer *l)
{
	close(l->lower);
	close(l->upper);
	close(l->work);
}

/* There is no room for it: what was there is whole, nothing is lost, and with room it goes on. */
static void no_room(void)
{
	int base = scratch_make();
	char lower[128];
	struct layer l;
	struct stat st;

	snprintf(lower, sizeof(lower), "%s/lower", scratch_path());
	mkdir(lower, 0755);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", lower, "tmpfs", 0, "size=256k") < 0) {
		scratch_drop(base);
		tap_skip("no tmpfs can be mounted: %s", strerror(errno));
	}
	close(base);
	base = open(scratch_path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	l = open_layer(base);
	put(l.lower, "old", 100000);
	put(l.upper, "old", 200000);
	is_int(cow_commit(&l, false, NULL, NULL), -ENOSPC, "it has no room");
	is_str(err_last()->text, "commit old: write it: No space left on device", "the reason");
	ok(fstatat(l.lower, "old", &st, 0) == 0 && st.st_size == 100000, "the old file is whole");
	ok(fstatat(l.upper, "old", &st, 0) == 0 && st.st_size == 200000, "the new one, too");
	ok(faccessat(l.lower, ".thole-cow-commit.tmp", F_OK, 0) < 0, "nothing half made");
	is_int(mount(NULL, lower, NULL, MS_REMOUNT, "size=1m"), 0, "more room");
	worked(cow_commit(&l, false, NULL, NULL), "commit");
	ok(fstatat(l.lower, "old", &st, 0) == 0 && st.st_size == 200000, "the new file is there");
	ok(is_empty(base, "upper"), "and no more in the upper directory");
	close_layer(&l);
	umount2(lower, MNT_DETACH);
	scratch_drop(base);
}

/* A directory of somebody else's: told, and the rest stays where it is. */
static void not_allowed(void)
{
	int base = scratch_make();
	struct layer l = open_layer(base);

	if (geteuid() != 0) {
		close_layer(&l);
		scratch_drop(base);
		tap_skip("only root can become another user");
	}
	fchmod(base, 0755);
	put(l.upper, "new", 10);
	is_int(fchown(l.upper, 65534, 65534), 0, "the upper one is the user's");
	is_int(fchown(l.work, 65534, 65534), 0, "and its work directory");
	if (fork() == 0) {
		is_int(setresuid(65534, 65534, 65534), 0, "an ordinary user");
		is_int(cow_commit(&l, false, NULL, NULL), -EACCES, "may not");
		is_str(err_last()->text, "commit new: write it: Permission denied", "the reason");
		_exit(faccessat(l.upper, "new", F_OK, 0) == 0 ? 0 : 1);
	}
	int status = -1;
	ok(wait(&status) > 0 && status == 0, "it is still there");
	close_layer(&l);
	scratch_drop(base);
}

/* What no guest made: links to the outside, deep directories, names of any bytes. */
static void hostile(void)
{
	int base = scratch_make(), dir, next;
	struct layer l = open_layer(base);
	struct rows *rows = rows_new();
	char path[256];

	mkdirat(base, "outside", 0755);
	put(base, "outside/kept", 10);
	mkdirat(l.lower, "d", 0755);
	put(l.lower, "d/kept", 10);
	is_int(symlinkat("../outside", l.upper, "d"), 0, "a link in the place of a directory");
	mkdirat(l.upper, "x", 0755);
	is_int(symlinkat("../../outside/kept", l.upper, "x/f"), 0, "and of a file");
	put(l.upper, "new\nline \xff\x1b", 5);
	is_int(symlinkat("../outside", l.lower, "x"), 0, "the lower one has links, too");
	worked(cow_diff(&l, add_row, rows), "diff");
	ok(told(rows, 'T', "d"), "replaced");
	ok(told(rows, 'A', "x/f"), "added");
	worked(cow_commit(&l, false, NULL, NULL), "commit");
	ok(readlinkat(l.lower, "d", path, sizeof(path)) == 10, "a link as it is");
	ok(readlinkat(l.lower, "x/f", path, sizeof(path)) == 18, "another");
	is_int(faccessat(l.lower, "new\nline \xff\x1b", F_OK, 0), 0, "any name");
	is_int(faccessat(base, "outside/kept", F_OK, 0), 0, "nothing is removed outside");
	is_int(faccessat(base, "outside/f", F_OK, AT_SYMLINK_NOFOLLOW), -1, "nor made");

	put(l.upper, LAYER_HALF, 5);
	is_int(cow_commit(&l, false, NULL, NULL), -EEXIST, "a name that a commit needs itself");
	is_int(unlinkat(l.upper, LAYER_HALF, 0), 0, "away");

	dir = dup(l.upper);
	for (int i = 0; i < 3000 && dir >= 0; i++) {
		mkdirat(dir, "deep", 0755);
		next = openat(dir, "deep", O_PATH | O_CLOEXEC);
		close(dir);
		dir = next;
	}
	close(dir);
	is_int(cow_diff(&l, NULL, NULL), -ENAMETOOLONG, "deeper than a path is long");
	ok(*err_last()->text, "the reason: %s", err_last()->text);
	worked(cow_discard(&l), "discard");
	ok(is_empty(base, "upper"), "it can be thrown away");
	free(rows);
	close_layer(&l);
	scratch_drop(base);
}

/* A file of three names, written through one of them: told of all three, which stay one file. */
static void several_names(void)
{
	int base = scratch_make(), fd;
	struct layer l = open_layer(base);
	struct rows *rows = rows_new();
	struct stat a, b, c;

	put(l.lower, "a", 100);
	is_int(linkat(l.lower, "a", l.lower, "b", 0), 0, "a second name");
	mkdirat(l.lower, "d", 0755);
	is_int(linkat(l.lower, "a", l.lower, "d/c", 0), 0, "and a third one");
	fd = fd_reopen(layer_open_up(&l, "b"), O_WRONLY | O_TRUNC);
	ok(write(fd, "new", 3) == 3, "written");
	close(fd);
	/* another process knows nothing of what this one has met */
	l.linked = false;
	worked(cow_diff(&l, add_row, rows), "diff");
	ok(told(rows, 'M', "a") && told(rows, 'M', "b") && told(rows, 'M', "d/c"), "all three");
	worked(cow_commit(&l, false, NULL, NULL), "commit");
	ok(fstatat(l.lower, "a", &a, 0) == 0 && fstatat(l.lower, "b", &b, 0) == 0 &&
		   fstatat(l.lower, "d/c", &c, 0) == 0,
	   "they are there");
	ok(a.st_ino == b.st_ino && b.st_ino == c.st_ino && a.st_nlink == 3, "one file");
	is_int(a.st_size, 3, "the new one");
	free(rows);
	close_layer(&l);
	scratch_drop(base);
}

static int stop_at(void *arg, const struct cow_change *c)
{
	(void)c;
	return --*(int *)arg ? 0 : 42;
}

/* Whoever is told may end it; what is thrown away is gone, and the lower directory as before. */
static void ends(void)
{
	int base = scratch_make(), n = 2;
	struct world w;
	char *before, *after;

	umask(022);
	walk_world(&w, base, 77);
	before = text_of(world_lower(&w, true));
	is_int(cow_diff(&w.layer, stop_at, &n), 42, "at the second");
	n = 1;
	is_int(cow_commit(&w.layer, false, stop_at, &n), 42, "at the first");
	worked(cow_discard(&w.layer), "discard");
	ok(is_empty(base, "upper") && is_empty(base, "work"), "nothing is left");
	free(before);
	world_close(&w);

	walk_world(&w, base, 78);
	before = text_of(world_lower(&w, true));
	worked(cow_discard(&w.layer), "discard");
	after = text_of(world_layer(&w, true));
	is_str(after, before, "what is seen is the lower directory");
	free(before);
	free(after);
	world_close(&w);
	scratch_drop(base);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(commits), TAP(commits_live),  TAP(commits_as_nobody),
		TAP(killed),  TAP(no_room),       TAP(not_allowed),
		TAP(hostile), TAP(several_names), TAP(ends)
	};
	int base;

	if (argc == 2 && strncmp(argv[1], "walk-", 5) == 0) {
		base = scratch_make();
		umask(022);
		commit_one(base, (unsigned)atoi(argv[1] + 5), false);
		scratch_drop(base);
		return 0;
	}
	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
