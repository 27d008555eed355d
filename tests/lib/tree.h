/* SPDX-License-Identifier: Apache-2.0 */
/* A directory's contents as a text that can be compared: a line for each file, sorted. */
#ifndef TEST_TREE_H
#define TEST_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <time.h>

#define TREE_NAMES_MAX 4096

struct tree_names {
	char *v[TREE_NAMES_MAX];
	size_t n;
};

/* Where from: both return 0 (open: an O_PATH descriptor) or -errno. "" is the root. */
struct tree {
	void *arg;
	int (*open)(void *arg, const char *path, struct stat *out);
	int (*list)(void *arg, const char *path, struct tree_names *out);
	time_t since; /* times from here on are all the same; 0: times are not told */
	bool links;   /* how many names a file has is told */
};

/* A directory that is open. */
struct tree tree_plain(const int *dir);

/* malloc(3)ed; where something fails the text says what. */
char *tree_text(const struct tree *t);

/* Adds copies of the names in what getdents64(2) gave, but for "." and "..". */
void tree_add(struct tree_names *names, const void *buf, size_t len);
void tree_free(struct tree_names *names);

/* Fills a directory: the same seed makes the same. Times are old. Where they are mixed, some files
 * are user 65534's, and directories have modes that let him in or not. */
void tree_fill(int dir, unsigned seed, bool mixed);

#endif
