/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths through a small tree, a part of which is of the map: what the kernel says of each is what
 * the walk finds. There are two such trees: one as it was made, and one of which all that is of the
 * map has been put into the upper directory; the kernel is asked about the first one.
 *
 * Of an input the first byte is where the walk begins, the second how; all others are names, if
 * they are small, or themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/scratch.h"
#include "lib/walker.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OWN_TAGS 1000 /* of the files of the tree, and so many more */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const lines[] = {
	"d w",
	"d w/a",
	"d w/a/b",
	"f w/a/b/f",
	"f w/f",
	"l w/l a",
	"l w/m ../o/f",
	"l w/n a/b/f",
	"l w/up ..",
	"l w/x x",
	"l w/a/r ../l/b",
	"d w/i",
	"d w/i/a",
	"f w/i/f",
	"l w/i/l ../a",
	"l w/i/m a/",
	"d o",
	"f o/f",
	"l o/l ../w",
	"l o/m ../w/l/b",
	"l o/n n",
	"l o/i ../w/i",
	NULL,
};

static const char *const in_w[] = { "a", "f", "l", "m", "n", "up", "x" };
static const char *const in_i[] = { "a", "f", "l", "m" };

static const char *const names[] = {
	"/", "/",     "/",   ".",   "..",  "/../",       "/./",  "//",    "@",  "w",
	"o", "i",     "a",   "b",   "f",   "l",          "m",    "n",     "up", "x",
	"r", "/a/b/", "w/i", "w/l", "o/l", "/proc/self", "/cwd", "/root",
};

static const char *const begins[][2] = {
	{ "", "" },
	{ "/w", "/.upper0" },
	{ "/w/a", "/.upper0/a" },
	{ "/w/a/b", "/.upper0/a/b" },
	{ "/w/i", "/.upper1" },
	{ "/o", "/o" },
};

static const uint64_t resolves[] = {
	0,
	0,
	0,
	RESOLVE_BENEATH,
	RESOLVE_IN_ROOT,
	RESOLVE_NO_SYMLINKS,
	RESOLVE_NO_MAGICLINKS,
	RESOLVE_NO_XDEV,
};

static struct walker trees[2];
static int scratch;

static void end(void)
{
	for (size_t i = 0; i < COUNT(trees); i++)
		walker_end(&trees[i]);
	scratch_drop(scratch);
}

static void start(void)
{
	static const char *const entries[] = { "w", "w/i", NULL };
	char base[PATH_MAX];

	scratch = scratch_make();
	for (size_t i = 0; i < COUNT(trees); i++) {
		snprintf(base, sizeof(base), "%s/%zu", scratch_path(), i);
		if (mkdir(base, 0755) < 0)
			abort();
		walker_start(&trees[i], base, lines, entries);
	}
	for (size_t i = 0; i < COUNT(in_w); i++)
		walker_raise(&trees[1], 0, in_w[i]);
	for (size_t i = 0; i < COUNT(in_i); i++)
		walker_raise(&trees[1], 1, in_i[i]);
	atexit(end);
}

static int go(struct walker_board *b)
{
	return chdir(b->text) < 0 ? -errno : 0;
}

static void put_text(const char *base, const uint8_t *data, size_t size, char *out)
{
	size_t len = 0;

	for (size_t i = 0; i < size && len + 128 < PATH_MAX + 256; i++) {
		const char *name = data[i] < COUNT(names) ? names[data[i]] : NULL;

		if (name)
			len += (size_t)sprintf(out + len, "%s", name[0] == '@' ? base : name);
		else if (data[i] >= 0x80)
			out[len++] = (char)data[i];
	}
	out[len] = '\0';
}

static int is_own(const struct walker_seen *seen)
{
	return seen->tag >= OWN_TAGS && seen->tag < OWN_TAGS + (int64_t)COUNT(lines);
}

static void compare(struct walker *w, const char *text, uint8_t how, const struct walker_seen *want)
{
	uint64_t resolve = resolves[how >> 2 & 7];
	unsigned flags = (how & 1 ? PATH_FOLLOW : 0) | (how & 2 ? PATH_DIRECTORY : 0);
	struct walker_seen got = walker_walk(w, AT_FDCWD, text, flags, resolve);

	if (got.ret != want->ret ||
	    (!got.ret && is_own(want) &&
	     (got.tag != want->tag || (got.mode & S_IFMT) != (want->mode & S_IFMT)))) {
		fprintf(stderr, "%s: %d %s, and the kernel says %d %s\n", text, got.ret, got.name,
			want->ret, want->name);
		abort();
	}
	path_close(&w->p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[PATH_MAX + 512];
	struct walker_seen want;

	if (size < 2 || size > PATH_MAX)
		return 0;
	if (!trees[0].pid)
		start();
	for (size_t i = 0; i < COUNT(trees); i++) {
		snprintf(trees[i].board->text, WALKER_TEXT_MAX, "%s%s", trees[i].base_path,
			 begins[data[0] % COUNT(begins)][i]);
		if (walker_do(&trees[i], go))
			abort();
		put_text(trees[i].base_path, data + 2, size - 2, text);
		if (i == 0)
			want = *walker_ask(&trees[0], AT_FDCWD, text,
					   (data[1] & 1 ? PATH_FOLLOW : 0) |
						   (data[1] & 2 ? PATH_DIRECTORY : 0),
					   resolves[data[1] >> 2 & 7]);
		compare(&trees[i], text, data[1], &want);
	}
	return 0;
}
