/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "ckpt/tmpfs.h"

int mounts_read(struct ckpt *c, struct mounts *out)
{
	int ret = proc_mounts(c->arena, c->procs[0]->host, &out->v, &out->n);

	return ret == -ESRCH ? fail(ESRCH, "the container has ended") : ret;
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
