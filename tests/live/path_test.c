/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks of another process's paths, against what the kernel says to that process itself. While the
 * upper directory is empty both are to come to the same file; when all has gone there, to the one
 * that was moved.
 */
#include "super/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/scratch.h"
#include "lib/tap.h"
#include "lib/walker.h"

#define GUEST_FD 200 /* of the process, for walks that begin at a descriptor */
#define LINES_MAX 160
#define CHAIN 42 /* links, two more than a walk may follow */

static struct walker w;

/* '@' stands for the path of the tree. */
static const char *const tree[] = {
	"d work",
	"d work/a",
	"d work/a/b",
	"d work/a/b/c",
	"f work/a/b/c/f",
	"f work/a/f",
	"f work/f",
	"f work/\xff\xfe name",
	"d work/inner",
	"f work/inner/i",
	"d work/inner/d",
	"l work/inner/up ../a",
	"l work/inner/out ../../out/o",
	"l work/l-f f",
	"l work/l-a a",
	"l work/l-ab a/b",
	"l work/l-up ..",
	"l work/l-self .",
	"l work/l-out ../out",
	"l work/l-abs @/out/o",
	"l work/l-abs-in @/work/a",
	"l work/l-none nothing",
	"l work/l-slash a/",
	"l work/l-f-slash f/",
	"l work/l-inner inner/d",
	"l work/l-twice l-ab/../l-a",
	"l work/loop-1 loop-2",
	"l work/loop-2 loop-1",
	"l work/a/l-root ../..",
	"l work/a/b/l-f ../../f",
	"d out",
	"f out/o",
	"d out/a",
	"d out/a/b",
	"d out/a/b/work",
	"f out/a/b/work/o",
	"l out/l-in ../work",
	"l out/l-in-f ../work/f",
	"l out/l-in-a @/work/a/b",
	"l out/l-in-inner @/work/inner",
	"l out/l-o o",
	"l out/l-none nothing",
	"l out/l-chain a/../l-in/l-out/l-in/l-a",
};

/* A name without a slash before it is relative; '@' as above. */
static const char *const texts[] = {
	"@",
	"@/",
	"@/work",
	"@/work/",
	"@/work/.",
	"@/work/..",
	"@/work/../out/o",
	"@//work///a//b",
	"@/work/a/b/c/f",
	"@/work/a/b/c/f/",
	"@/work/a/b/c/f/.",
	"@/work/a/b/c/f/..",
	"@/work/a/b/c/../../../f",
	"@/work/a/../../out/../work/a/b",
	"@/work/nothing",
	"@/work/nothing/more",
	"@/work/nothing/..",
	"@/work/f/more",
	"@/work/f/../a",
	"@/work/\xff\xfe name",
	"@/work/inner",
	"@/work/inner/",
	"@/work/inner/i",
	"@/work/inner/..",
	"@/work/inner/../a/b",
	"@/work/inner/d/../../f",
	"@/work/inner/up",
	"@/work/inner/up/b",
	"@/work/inner/out",
	"@/work/inner/nothing",
	"@/work/l-f",
	"@/work/l-f/",
	"@/work/l-a",
	"@/work/l-a/",
	"@/work/l-a/b",
	"@/work/l-a/..",
	"@/work/l-ab/..",
	"@/work/l-ab/../b/c/f",
	"@/work/l-up",
	"@/work/l-up/out/o",
	"@/work/l-up/work/l-up",
	"@/work/l-self/l-self/l-self/f",
	"@/work/l-out/o",
	"@/work/l-out/..",
	"@/work/l-abs",
	"@/work/l-abs-in",
	"@/work/l-abs-in/b/..",
	"@/work/l-none",
	"@/work/l-none/x",
	"@/work/l-slash",
	"@/work/l-slash/b",
	"@/work/l-f-slash",
	"@/work/l-inner",
	"@/work/l-inner/..",
	"@/work/l-twice",
	"@/work/l-twice/b",
	"@/work/loop-1",
	"@/work/loop-1/x",
	"@/work/a/l-root",
	"@/work/a/l-root/out",
	"@/work/a/b/l-f",
	"@/out",
	"@/out/o",
	"@/out/o/",
	"@/out/a/b/work",
	"@/out/a/b/work/o",
	"@/out/a/b/nothing",
	"@/out/l-in",
	"@/out/l-in/",
	"@/out/l-in/a/b/c/f",
	"@/out/l-in/..",
	"@/out/l-in-f",
	"@/out/l-in-a",
	"@/out/l-in-a/c",
	"@/out/l-in-a/../../f",
	"@/out/l-in-inner",
	"@/out/l-in-inner/../f",
	"@/out/l-o",
	"@/out/l-none",
	"@/out/l-chain",
	"@/out/l-chain/b",
	"@/chain-01",
	"@/chain-02",
	"@/chain-03",
	"@/chain-42",
	"@/chain-03/x",
	"",
	".",
	"..",
	"./",
	"../",
	"../..",
	"../../..",
	"a",
	"a/b",
	"b",
	"b/c/f",
	"f",
	"./f",
	"../f",
	"../../work/f",
	"../../out/o",
	"../out/o",
	"out/o",
	"work",
	"work/a/b",
	"work/../out",
	"o",
	"l-f",
	"l-a/b",
	"l-in",
	"l-in/f",
	"l-out/o",
	"l-root/out/o",
	"inner",
	"inner/i",
	"../inner",
	"../inner/i",
	"i",
	"d/..",
	"up",
	"up/..",
	"nothing",
	"nothing/",
	"nothing/x",
	"f/",
	"f/x",
	"/",
	"/..",
	"/../../",
	"/.",
	"//",
	"///usr//lib",
	"/usr/bin/../lib",
	"/nothing/at/all",
	"/dev/null",
	"/dev/null/",
	"/dev/fd",
	"/bin/sh",
	"/etc/mtab",
	"/proc/self",
	"/proc/self/",
	"/proc/self/cwd",
	"/proc/self/cwd/",
	"/proc/self/cwd/..",
	"/proc/self/cwd/f",
	"/proc/self/root",
	"/proc/self/root/proc/self/cwd",
	"/proc/self/exe",
	"/proc/self/fd/200",
	"/proc/self/fd/200/",
	"/proc/self/fd/200/f",
	"/proc/self/fd/200/..",
	"/proc/self/fd/77777",
	"/proc/thread-self",
	"/proc/thread-self/cwd",
	"/proc/mounts",
	"/proc/self/root@/work/f",
	"/proc/self/../self/cwd",
	"/proc/self/ns/mnt",
	"/proc/1/cwd/",
	"/proc/self/task",
	"/proc/nothing",
	"/proc/self/nothing",
	"/proc/self/status/",
};

static const unsigned all_flags[] = { 0, PATH_FOLLOW, PATH_DIRECTORY,
				      PATH_FOLLOW | PATH_DIRECTORY };

static const uint64_t all_resolves[] = {
	0,
	RESOLVE_NO_SYMLINKS,
	RESOLVE_NO_MAGICLINKS,
	RESOLVE_BENEATH,
	RESOLVE_IN_ROOT,
	RESOLVE_NO_XDEV,
};

/* Where the process stands, and where its descriptor is: natively, and when all is above. */
static const struct {
	const char *native, *above;
} places[] = {
	{ "@", "@" },
	{ "@/out", "@/out" },
	{ "@/work", "@/.upper0" },
	{ "@/work/a", "@/.upper0/a" },
	{ "@/work/a/b", "@/.upper0/a/b" },
	{ "@/work/inner", "@/.upper1" },
	{ "@/work/inner/d", "@/.upper1/d" },
};

/* What is beneath the entries, to be moved. */
static const char *const in_work[] = {
	"a",       "f",         "\xff\xfe name", "l-f",     "l-a",      "l-ab",
	"l-up",    "l-self",    "l-out",         "l-abs",   "l-abs-in", "l-none",
	"l-slash", "l-f-slash", "l-inner",       "l-twice", "loop-1",   "loop-2",
};
static const char *const in_inner[] = { "i", "d", "up", "out" };

/* ---- the process */

static void put(char *to, const char *from, const char *base)
{
	for (; *from; from++) {
		if (*from == '@')
			to = stpcpy(to, base);
		else
			*to++ = *from;
	}
	*to = '\0';
}

static const char *full(const char *text)
{
	static char out[WALKER_TEXT_MAX];

	put(out, text, scratch_path());
	return out;
}

static void start(void)
{
	static char room[LINES_MAX][128];
	static const char *const entries[] = { "work", "work/inner", NULL };
	const char *lines[LINES_MAX] = { NULL };
	size_t n = 0;

	for (; n < TAP_COUNT(tree); n++)
		put(room[n], tree[n], scratch_path());
	for (int i = 1; i <= CHAIN; i++, n++)
		snprintf(room[n], sizeof(room[n]),
			 i == CHAIN ? "l chain-%02d out" : "l chain-%02d chain-%02d", i, i + 1);
	for (size_t i = 0; i < n; i++)
		lines[i] = room[i];
	walker_start(&w, scratch_path(), lines, entries);
}

static int go_there(struct walker_board *b)
{
	int fd = open(b->text, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fchdir(fd) < 0 || dup2(fd, GUEST_FD) < 0)
		return -errno;
	close(fd);
	return 0;
}

static void go(const char *place)
{
	strcpy(w.board->text, full(place));
	if (!is_int(walker_do(&w, go_there), 0, "the process goes to %s", place))
		exit(1);
}

/* ---- every text, from every place, in every way */

struct way {
	size_t place, text;
	int dirfd;
	unsigned flags;
	uint64_t resolve;
};

/* What the kernel said, by number of the way. */
struct answer {
	int ret;
	int64_t tag;
	mode_t mode;
	char *name;
};

static const char *describe(const struct way *v)
{
	static char out[PATH_MAX];

	snprintf(out, sizeof(out), "\"%s\" from %s%s, flags %u, resolve %llx", texts[v->text],
		 places[v->place].native, v->dirfd == AT_FDCWD ? "" : " (a descriptor)", v->flags,
		 (unsigned long long)v->resolve);
	return out;
}

static bool is_ours(int64_t tag)
{
	return tag >= 1000 && tag < 1000 + LINES_MAX;
}

static bool check(const struct way *v, const struct answer *want, const struct walker_seen *got)
{
	if (!is_int(got->ret, want->ret, "%s", describe(v)))
		return false;
	if (want->ret)
		return true;
	if (is_ours(want->tag))
		return is_int(got->tag, want->tag, "%s: %s", describe(v), got->name) &&
		       is_int(got->mode & S_IFMT, want->mode & S_IFMT, "%s", describe(v));
	return is_str(got->name, want->name, "%s", describe(v));
}

static void walk_below(const struct way *v, struct answer *a)
{
	const struct walker_seen *kernel =
		walker_ask(&w, v->dirfd, full(texts[v->text]), v->flags, v->resolve);
	struct walker_seen got;

	*a = (struct answer){ kernel->ret, kernel->tag, kernel->mode, strdup(kernel->name) };
	got = walker_walk(&w, v->dirfd, full(texts[v->text]), v->flags, v->resolve);
	if (check(v, a, &got) && !a->ret && is_ours(a->tag)) {
		if (w.p.found.side != LAYER_UPPER)
			is_int((long long)got.ino, (long long)kernel->ino, "%s", describe(v));
		is_str(got.name, kernel->name, "%s", describe(v));
	}
	path_close(&w.p);
}

static void walk_above(const struct way *v, struct answer *a)
{
	struct walker_seen got =
		walker_walk(&w, v->dirfd, full(texts[v->text]), v->flags, v->resolve);

	check(v, a, &got);
	path_close(&w.p);
	free(a->name);
}

static void each_resolve(struct way v, struct answer **a,
			 void (*visit)(const struct way *v, struct answer *a))
{
	bool relative = texts[v.text][0] != '/' && texts[v.text][0] != '@';

	for (size_t r = 0; r < TAP_COUNT(all_resolves); r++) {
		v.resolve = all_resolves[r];
		v.dirfd = AT_FDCWD;
		if (v.resolve && v.flags & PATH_DIRECTORY)
			continue;
		visit(&v, (*a)++);
		if (!relative && !(v.resolve & RESOLVE_IN_ROOT))
			continue;
		v.dirfd = GUEST_FD;
		visit(&v, (*a)++);
	}
}

static void each_way(bool above, struct answer *a,
		     void (*visit)(const struct way *v, struct answer *a))
{
	struct way v = { .place = 0 };

	for (; v.place < TAP_COUNT(places); v.place++) {
		go(above ? places[v.place].above : places[v.place].native);
		for (v.text = 0; v.text < TAP_COUNT(texts); v.text++)
			for (size_t f = 0; f < TAP_COUNT(all_flags); f++) {
				v.flags = all_flags[f];
				each_resolve(v, &a, visit);
			}
	}
}

static void walks_as_the_kernel_does(void)
{
	int dir = scratch_make();
	struct answer *answers = calloc(TAP_COUNT(places) * TAP_COUNT(texts) *
						TAP_COUNT(all_flags) * TAP_COUNT(all_resolves) * 2,
					sizeof(*answers));

	start();
	each_way(false, answers, walk_below);
	for (size_t i = 0; i < TAP_COUNT(in_work); i++)
		walker_raise(&w, 0, in_work[i]);
	for (size_t i = 0; i < TAP_COUNT(in_inner); i++)
		walker_raise(&w, 1, in_inner[i]);
	each_way(true, answers, walk_above);
	free(answers);
	walker_end(&w);
	scratch_drop(dir);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(walks_as_the_kernel_does),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
