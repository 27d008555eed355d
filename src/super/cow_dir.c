/* SPDX-License-Identifier: Apache-2.0 */
/* getdents64(2), getdents(2), getcwd(2) */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
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

/* Its path from the guest's root, which may be one of the map as well. */
static int64_t name_of_cwd(struct cow *c, struct notif *n, char out[PATH_MAX])
{
	auto_fd cwd = guest_cwd(n), root = -1;
	char rel[PATH_MAX], root_rel[PATH_MAX];
	enum layer_side side, root_side;
	struct map_entry *e = cwd < 0 ? NULL : map_of_fd(&c->map, cwd, rel, &side), *in;
	size_t skip = 0, root_len;
	int ret;

	if (!e || side == LAYER_NOWHERE)
		return COW_PASS;
	root = guest_root(n);
	in = root < 0 ? NULL : map_of_fd(&c->map, root, root_rel, &root_side);
	ret = path_name(e, rel, out, PATH_MAX);
	if (in == e && root_side != LAYER_NOWHERE) {
		root_len = strlen(root_rel);
		skip = e->guest_len + root_len + (root_len > 0);
		if (strncmp(rel, root_rel, root_len) != 0 ||
		    (root_len && rel[root_len] && rel[root_len] != '/'))
			return -ENOENT;
	}
	if (ret)
		return ret;
	memmove(out, out + skip, strlen(out) + 1 - skip);
	if (!*out)
		memcpy(out, "/", 2);
	return (int64_t)strlen(out) + 1;
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
