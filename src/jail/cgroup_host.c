/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "jail/cgroup_priv.h"

#define PROC_LIMIT (16 * 1024 * 1024)

bool cgroup_host_lists(const char *list, const char *word)
{
	size_t n = strlen(word);
	const char *p = list;

	while (n && (p = strstr(p, word))) {
		if ((p == list || p[-1] == ',') && (p[n] == ',' || !p[n]))
			return true;
		p += n;
	}
	return false;
}

/* The n-th field (from 0) of a line of words, NUL-terminated in the arena; "" if there is none. */
static char *field(struct arena *a, const char *line, const char *end, int n)
{
	const char *stop;

	for (; n > 0; n--) {
		line = memchr(line, ' ', (size_t)(end - line));
		if (!line)
			return arena_strdup(a, "");
		line++;
	}
	stop = memchr(line, ' ', (size_t)(end - line));
	return arena_strndup(a, line, (size_t)((stop ? stop : end) - line));
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* The controllers among the super block's options, in the order of /proc/self/cgroup: kept by its
 * name there. Returns the calling process's cgroup of the hierarchy, or NULL. */
static char *own_cgroup(struct arena *a, const char *cgroup, bool v2, const char *options,
			char **out_names)
{
	const char *line, *end, *names, *path;
	char *first, *comma, *list;

	for (line = cgroup; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		names = memchr(line, ':', (size_t)(end - line));
		path = names ? memchr(names + 1, ':', (size_t)(end - names - 1)) : NULL;
		if (!path)
			continue;
		list = arena_strndup(a, names + 1, (size_t)(path - names - 1));
		first = arena_strdup(a, list);
		comma = strchr(first, ',');
		if (comma)
			*comma = '\0';
		if (v2 ? (*list || line[0] != '0') : (!*list || !cgroup_host_lists(options, first)))
			continue;
		*out_names = list;
		return arena_strndup(a, path + 1, (size_t)(end - path - 1));
	}
	return NULL;
}

/*
 * A mount may show a part of the hierarchy only (root), as in a container that was given its own
 * cgroup by a bind mount. What lies outside of it, or outside of the cgroup namespace ("/.."), has
 * no path here: then the top stands for it.
 */
static const char *below_root(const char *own, const char *root)
{
	size_t n = strlen(root);

	if (strcmp(root, "/") == 0)
		n = 0;
	if (strncmp(own, root, n) != 0 || (own[n] != '/' && own[n]) || strstr(own, "/.."))
		return "";
	return strcmp(own + n, "/") == 0 ? "" : own + n;
}

static struct cgroup_tree *tree_of(struct cgroup_trees *t, const char *controllers)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i].controllers, controllers) == 0)
			return &t->v[i];
	return NULL;
}

static void parse_mount(struct arena *a, const char *line, const char *end, const char *cgroup,
			struct cgroup_trees *out)
{
	const char *sep = memmem(line, (size_t)(end - line), " - cgroup", 9);
	char *root, *mount, *options, *own, *names;
	struct cgroup_tree *known, tree;
	bool v2;

	if (!sep || (sep[9] != ' ' && strncmp(sep + 9, "2 ", 2) != 0))
		return;
	v2 = sep[9] == '2';
	root = field(a, line, sep, 3);
	mount = field(a, line, sep, 4);
	options = field(a, sep + 3, end, 2);
	unescape(root);
	unescape(mount);
	own = own_cgroup(a, cgroup, v2, options, &names);
	if (!own)
		return;
	tree = (struct cgroup_tree){ v2 ? "" : names, mount, below_root(own, root), v2 };
	known = tree_of(out, tree.controllers);
	if (known) {
		/* mounted twice: the view that reaches the caller's own cgroup is the better one */
		if (strlen(tree.own) > strlen(known->own))
			*known = tree;
		return;
	}
	if (out->n < CGROUP_HIERARCHIES) {
		out->v[out->n++] = tree;
		*(v2 ? &out->v2 : &out->v1) = true;
	}
}

void cgroup_host_parse(struct arena *a, const char *mountinfo, const char *cgroup,
		       struct cgroup_trees *out)
{
	const char *line, *end;

	*out = (struct cgroup_trees){ 0 };
	for (line = mountinfo; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		parse_mount(a, line, end, cgroup, out);
	}
}

const struct cgroup_trees *cgroup_host_trees(void)
{
	static struct cgroup_trees trees;
	static struct arena *keep;
	char *mountinfo, *cgroup;
	auto_arena temp = arena_new();

	if (keep)
		return &trees;
	if (fd_read_file(AT_FDCWD, "/proc/self/mountinfo", temp, PROC_LIMIT, &mountinfo, NULL) ||
	    fd_read_file(AT_FDCWD, "/proc/self/cgroup", temp, PROC_LIMIT, &cgroup, NULL))
		return NULL;
	keep = arena_new();
	cgroup_host_parse(keep, mountinfo, cgroup, &trees);
	return &trees;
}

int cgroup_host(struct cgroup_host *out)
{
	const struct cgroup_trees *t = cgroup_host_trees();

	if (!t)
		return -err_last()->code;
	*out = (struct cgroup_host){ .v1 = t->v1 && !t->v2,
				     .v2 = t->v2 && !t->v1,
				     .hybrid = t->v1 && t->v2 };
	return 0;
}
