/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/cow_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/guarded.h"
#include "lib/script.h"
#include "lib/tap.h"

#define TEXT_MAX 16384
#define USER 65534

struct rows {
	const char *const *v;
	size_t n;
	enum cow_who who;
	const char *dir;        /* where each row has one of its own */
	char (*text)[TEXT_MAX]; /* shared: what came of each */
};

static void become_user(void)
{
	if (geteuid() == USER)
		return;
	if (setgroups(0, NULL) < 0 || setgid(USER) < 0 || setuid(USER) < 0) {
		printf("Bail out! become user %d: %s\n", USER, strerror(errno));
		exit(1);
	}
	/* who changed its user can't be looked at by others of that user */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void row_dir(const struct rows *r, size_t i, char out[128])
{
	snprintf(out, 128, "%s/r%zu", r->dir, i);
}

static int run_rows(void *arg)
{
	struct rows *r = arg;
	char dir[128];

	umask(022);
	if (r->who == COW_GUEST || r->who == COW_NOBODY)
		become_user();
	for (size_t i = 0; i < r->n; i++) {
		row_dir(r, i, dir);
		script_run(dir, r->v[i], r->text[i], TEXT_MAX);
	}
	return 0;
}

/* Not under the filter. */
static void run_plain(struct rows *r)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(run_rows(r));
	waitpid(child, &status, 0);
	is_int(status, 0, "the calls in the plain directory are made");
}

static void prepare(struct rows *r)
{
	char dir[128];

	for (size_t i = 0; i < r->n; i++) {
		row_dir(r, i, dir);
		script_fixture(dir, USER);
	}
}

static void *room(size_t n)
{
	void *p =
		mmap(NULL, n * TEXT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

/* The first line that is another one. */
static void compare(const char *row, const char *got, const char *want)
{
	size_t line = 0;

	if (strcmp(got, want) == 0)
		return;
	for (size_t i = 0; got[i] && got[i] == want[i]; i++)
		if (got[i] == '\n')
			line = i + 1;
	ok(false, "%s\n#   cow:   %.*s\n#   plain: %.*s", row, (int)strcspn(got + line, "\n"),
	   got + line, (int)strcspn(want + line, "\n"), want + line);
}

void cow_rows(const char *const *rows, size_t n, enum cow_who who)
{
	struct rows cow = { rows, n, who, NULL, room(n) }, plain = { rows, n, who, NULL, room(n) };
	struct cow_box box;
	struct guarded g;
	char dir[96], upper[96], *before = room(n), *after = room(n);

	if (who != COW_NOBODY && geteuid() != 0)
		tap_skip("only root can be root");
	if (who == COW_NOBODY)
		become_user();
	cow_box_make(&box, 0);
	snprintf(dir, sizeof(dir), "%s/plain", box.path);
	mkdir(dir, 0755);
	plain.dir = dir;
	prepare(&plain);
	snprintf(upper, sizeof(upper), "%s/upper", box.path);
	cow.dir = who == COW_SHOWN ? upper : box.guest;
	prepare(&cow);
	cow.dir = box.guest;
	if (who == COW_SHOWN) {
		box.map.mode = LAYER_RW;
		box.map.work = box.map.lower = -1;
	}
	script_tree(box.guest, before, n * TEXT_MAX);
	run_plain(&plain);
	guarded_start(&g, &box.config);
	is_int(guarded_end(guarded_begin(&g, run_rows, &cow)), 0, "the calls are made");
	guarded_stop(&g);
	for (size_t i = 0; i < n; i++)
		compare(rows[i], cow.text[i], plain.text[i]);
	script_tree(box.guest, after, n * TEXT_MAX);
	compare("the lower directory", after, before);
	cow_box_drop(&box);
}
