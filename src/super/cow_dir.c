/* SPDX-License-Identifier: Apache-2.0 */
/* getdents64(2), getdents(2), getcwd(2) */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/cow_call.h"
#include "super/guest.h"
#include "super/handler.h"
#include "super/path.h"

/* struct linux_dirent64 and, before the name, struct linux_dirent: getdents(2) */
enum { LENGTH_AT = 16, TYPE_AT = 18, NAME_AT = 19, OLD_NAME_AT = 18 };

/* Both have the same length: the old one has the type behind the name. */
static void make_old(char *list, size_t len)
{
	uint16_t length;

	for (size_t at = 0; at < len; at += length) {
		char *e = list + at, type = e[TYPE_AT];

		memcpy(&length, e + LENGTH_AT, sizeof(length));
		memmove(e + OLD_NAME_AT, e + NAME_AT, (size_t)length - NAME_AT);
		e[length - 1] = type;
	}
}

static void list(struct cow *c, struct notif *n, bool old)
{
	auto_fd fd = notif_take_fd(n, (int)n->args[0]);
	size_t room = (unsigned)n->args[2];
	char rel[PATH_MAX];
	enum layer_side side;
	struct map_entry *e = fd < 0 ? NULL : map_of_fd(&c->map, fd, rel, &side);
	off_t place;
	ssize_t len;

	/* what has no name any more is empty, which the kernel knows as well */
	if (!e || side != LAYER_UPPER || e->layer.mode != LAYER_COW || !notif_valid(n))
		return;
	/* it was opened by who might read it */
	guest_pause();
	place = lseek(fd, 0, SEEK_CUR);
	len = layer_list(&e->layer, rel, fd, c->buffer,
			 room < sizeof(c->buffer) ? room : sizeof(c->buffer));
	if (len > 0 && old)
		make_old(c->buffer, (size_t)len);
	if (len > 0 && notif_write(n, n->args[1], c->buffer, (size_t)len)) {
		lseek(fd, place, SEEK_SET);
		len = -EFAULT;
	}
	notif_answer(n, len);
}

void cow_on_getdents64(struct super_state *s, struct notif *n)
{
	list(s->cow, n, false);
}

void cow_on_getdents(struct super_state *s, struct notif *n)
{
	list(s->cow, n, true);
}

/* ---- names of places */

/* What is left of a path beneath another one; NULL where it isn't. */
static char *tail_of(char *path, const char *above)
{
	size_t len = strcmp(above, "/") == 0 ? 0 : strlen(above);

	return strncmp(path, above, len) == 0 && (path[len] == '/' || !path[len]) ? path + len
										  : NULL;
}

/* The thread's own root as the container has it: "/" where that is not to be told. */
static int name_of_root(struct cow *c, const struct notif *n, char out[PATH_MAX])
{
	auto_fd root = guest_has_root(n) ? -1 : guest_root(n);
	char rel[PATH_MAX], above[PATH_MAX], *tail;
	enum layer_side side;
	struct map_entry *e = root < 0 ? NULL : map_of_fd(&c->map, root, rel, &side);

	strcpy(out, "/");
	if (e && side != LAYER_NOWHERE)
		return path_name(e, rel, out, PATH_MAX);
	if (root < 0 || fd_path(root, rel, sizeof(rel)) ||
	    fd_path(c->map.root, above, sizeof(above)))
		return 0;
	tail = tail_of(rel, above);
	if (tail && *tail)
		strcpy(out, tail);
	return 0;
}

int64_t cow_shown_name(struct cow *c, const struct notif *n, const struct map_entry *e,
		       const char *rel, char out[PATH_MAX])
{
	char root[PATH_MAX], *tail;
	int ret = path_name(e, rel, out, PATH_MAX), len;

	if (!ret)
		ret = name_of_root(c, n, root);
	if (ret)
		return ret;
	tail = tail_of(out, root);
	if (!tail) {
		/* as prepend_unreachable() of fs/d_path.c has it */
		memcpy(root, out, strlen(out) + 1);
		len = snprintf(out, PATH_MAX, "(unreachable)%.*s", PATH_MAX - 14, root);
		return len;
	}
	memmove(out, tail, strlen(tail) + 1);
	if (!*out)
		memcpy(out, "/", 2);
	return (int64_t)strlen(out);
}

static int64_t name_of_cwd(struct cow *c, struct notif *n, char out[PATH_MAX])
{
	auto_fd cwd = guest_cwd(n);
	char rel[PATH_MAX];
	enum layer_side side;
	struct map_entry *e = cwd < 0 ? NULL : map_of_fd(&c->map, cwd, rel, &side);
	int64_t len;

	if (!e || side == LAYER_NOWHERE)
		return COW_PASS;
	len = cow_shown_name(c, n, e, rel, out);
	return len < 0 ? len : len + 1;
}

void cow_on_getcwd(struct super_state *s, struct notif *n)
{
	char text[PATH_MAX];
	int64_t len = name_of_cwd(s->cow, n, text);

	if (len == COW_PASS || !notif_valid(n))
		return;
	if (len > 0 && (uint64_t)len > n->args[1])
		len = -ERANGE;
	if (len > 0 && notif_write(n, n->args[0], text, (size_t)len))
		len = -EFAULT;
	notif_answer(n, len);
}

void cow_on_missing(struct super_state *s, struct notif *n)
{
	(void)s;
	notif_answer(n, -ENOSYS);
}
