/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a layer changes, told and done: after random calls on a layer and on a plain directory the
 * lower directory must become the plain one, also by a commit that is killed again and again.
 *	cow_commit_test walk-SEED	one of them
 */
#include "super/cow_commit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* What the guest would see if it went on now: but for what is half made, the same as ever. */
static void check_view(struct world *w, const char *plain)
{
	static const char half[] = ".thole-cow-commit";
	char *view = text_of(world_layer(w, false)), *at, *line, *end;

	while ((at = strstr(view, half))) {
		for (line = at; line > view && line[-1] != '\n'; line--)
			;
		end = strchr(at, '\n') + 1;
		memmove(line, end, strlen(end) + 1);
	}
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
	/* looking at it all makes directories: before the first kill, so that each is one more step
	 */
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

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = { TAP(commits), TAP(commits_live),
						 TAP(commits_as_nobody), TAP(killed) };
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
