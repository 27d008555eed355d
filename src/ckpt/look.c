/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/look.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/kind.h"

#define LOOK_MAX (64u << 20)
#define DELETED " (deleted)"

int look_file(struct arena *a, pid_t pid, const char *name, char **out, size_t *out_len)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return fd_read_file(AT_FDCWD, path, a, LOOK_MAX, out, out_len);
}

int look_link(struct arena *a, pid_t pid, const char *name, const char **out)
{
	char path[128], text[PATH_MAX + sizeof(DELETED)];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	n = readlink(path, text, sizeof(text) - 1);
	if (n < 0)
		return fail_errno("read %s", path);
	*out = arena_strndup(a, text, (size_t)n);
	return 0;
}

bool look_leads_to(struct ckpt *c, const char *path, const struct stat *st)
{
	char root[64];
	auto_fd dir = -1, fd = -1;
	struct stat found;

	snprintf(root, sizeof(root), "/proc/%d/root", c->procs[0]->host);
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -1 : fd_open_in_root(dir, path, O_PATH | O_NOFOLLOW);
	return fd >= 0 && fstat(fd, &found) == 0 && found.st_dev == st->st_dev &&
	       found.st_ino == st->st_ino;
}

const char *look_path(struct ckpt *c, pid_t pid, const char *name, const char **out)
{
	char path[128];
	struct stat st;

	*out = "";
	if (look_link(c->arena, pid, name, out))
		return arena_strdup(c->arena, err_last()->text);
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	if (stat(path, &st) < 0)
		return arena_printf(c->arena, "it can't be looked at: %s", err_reason(errno));
	if (str_ends(*out, DELETED) && st.st_nlink == 0)
		return "it was removed";
	if ((*out)[0] != '/')
		return "it lies outside of the container's root";
	return look_leads_to(c, *out, &st) ? NULL : "its path leads to something else now";
}

int look_number(const char *text, const char *line, int base, uint64_t *out)
{
	const char *at = str_starts(text, line) ? text : NULL;
	unsigned long long v;
	char needle[64], *end;

	snprintf(needle, sizeof(needle), "\n%s", line);
	if (!at) {
		at = strstr(text, needle);
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return fail(EPROTO, "what /proc says has no line \"%s\"", line);
	at += strlen(line);
	errno = 0;
	v = strtoull(at, &end, base);
	if (errno || end == at)
		return fail(EPROTO, "what /proc says has no number in the line \"%s\"", line);
	*out = v;
	return 0;
}

int look_status_u32(pid_t pid, const char *line, int base, uint32_t *out)
{
	auto_arena a = arena_new();
	uint64_t v;
	char *text;
	int ret = look_file(a, pid, "status", &text, NULL);

	if (!ret)
		ret = look_number(text, line, base, &v);
	if (!ret)
		*out = (uint32_t)v;
	return ret;
}
