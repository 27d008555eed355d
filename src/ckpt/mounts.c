/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/sys.h"
#include "ckpt/tmpfs.h"

#define TEXT_MAX (64u << 20)

int mounts_read(struct ckpt *c, struct mounts *out)
{
	struct mounts_seen *seen = c->mounts;
	struct mounts now;
	char path[64], *text;
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", c->procs[0]->host);
	ret = fd_read_file(AT_FDCWD, path, c->arena, TEXT_MAX, &text, NULL);
	if (ret == -ESRCH || ret == -ENOENT || ret == -EINVAL)
		return fail(ESRCH, "the container has ended");
	if (!ret && (!seen || strcmp(text, seen->text) != 0)) {
		ret = proc_mounts_parse(c->arena, text, &now.v, &now.n);
		if (!ret) {
			seen = c->mounts = arena_alloc(c->arena, sizeof(*seen));
			*seen = (struct mounts_seen){ .text = text, .all = now };
		}
	}
	if (!ret)
		*out = seen->all;
	return ret;
}

const struct proc_mount *mounts_by_id(const struct mounts *m, uint64_t id)
{
	for (size_t i = 0; i < m->n; i++)
		if ((uint64_t)m->v[i].id == id)
			return &m->v[i];
	return NULL;
}

const struct proc_mount *mounts_at(const struct mounts *m, const char *point)
{
	for (size_t i = m->n; i > 0; i--)
		if (strcmp(m->v[i - 1].point, point) == 0)
			return &m->v[i - 1];
	return NULL;
}

bool mounts_in_memory(const struct proc_mount *m)
{
	return strcmp(m->type, "tmpfs") == 0 || strcmp(m->type, "ramfs") == 0;
}

int mounts_open(int root, const struct proc_mount *m)
{
	auto_fd fd = fd_open_in_root(root, m->point, O_PATH | O_DIRECTORY | O_NOFOLLOW);
	uint64_t id;
	int ret;

	if (fd < 0)
		return fail(-fd, "open the mount %s: %s", m->point, err_reason(-fd));
	ret = tmpfs_mount_id(fd, &id);
	if (!ret && id != (uint64_t)m->id)
		ret = fail(EBUSY, "open the mount %s: another one covers it", m->point);
	return ret ? ret : fd_take(&fd);
}

uint64_t mounts_flags(const struct proc_mount *m)
{
	static const struct name_row rows[] = {
		{ "ro", MOUNT_ATTR_RDONLY },
		{ "nosuid", MOUNT_ATTR_NOSUID },
		{ "nodev", MOUNT_ATTR_NODEV },
		{ "noexec", MOUNT_ATTR_NOEXEC },
		{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW },
	};
	uint64_t flags = 0;
	size_t n;

	for (const char *word = m->options; *word; word += n + (word[n] == ',')) {
		n = strcspn(word, ",");
		for (size_t i = 0; i < NAME_COUNT(rows); i++)
			if (strlen(rows[i].name) == n && strncmp(rows[i].name, word, n) == 0)
				flags |= rows[i].value;
	}
	return flags;
}
