/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of files that no path in the container leads to, from descriptors that are handed
 * over. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "ckpt/memory.h"
#include "ckpt/shm.h"
#include "ckpt/shown.h"

int memory_open_flags(const struct vma *v)
{
	return v->shared && v->flags & PROC_VMA_MAYWRITE ? O_RDWR : O_RDONLY;
}

bool memory_is_shown(const struct vma *v)
{
	return v->sort == VMA_FILE && shown_is(v->path);
}

/* Our own will do, unless what may not be written to later would be: then one open to read. */
static int shm_fd_for(struct ckpt *c, const struct vma *v, int *out_reopened)
{
	int fd = shm_fd(c, v->object), ret;

	*out_reopened = -1;
	if (fd < 0 || !v->shared || v->flags & PROC_VMA_MAYWRITE)
		return fd;
	ret = fd_reopen(fd, O_RDONLY | O_CLOEXEC);
	if (ret < 0)
		return fail(-ret, "open shared memory: %s", err_reason(-ret));
	return *out_reopened = ret;
}

/* By a descriptor of ours. */
static int map_by(struct ckpt *c, const struct ckpt_thread *t, const struct vma *v, int ours)
{
	unsigned flags = (v->shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED_NOREPLACE;
	int64_t fd = ckpt_send_fd(c, t, ours), ret = fd;

	if (v->flags & PROC_VMA_NORESERVE)
		flags |= MAP_NORESERVE;
	if (ret >= 0)
		ret = ckpt_call(t, "map a file", SYS_mmap, v->start, v->end - v->start,
				memory_made_prot(v), flags, (uint64_t)fd, v->offset);
	if (ret >= 0)
		ret = ckpt_call(t, "close a descriptor", SYS_close, (uint64_t)fd);
	return ret < 0 ? (int)ret : 0;
}

static int map_nameless(struct ckpt *c, const struct ckpt_thread *t, const struct vma *v)
{
	auto_fd reopened = -1;
	int ours = shm_fd_for(c, v, &reopened);

	return ours < 0 ? ours : map_by(c, t, v, ours);
}

static int map_shown(struct ckpt *c, const struct ckpt_thread *t, const struct vma *v)
{
	auto_fd ours = shown_open(c, v->path, memory_open_flags(v) | O_NONBLOCK);

	return ours < 0 ? ours : map_by(c, t, v, ours);
}

int memory_map_given(struct ckpt *c, const struct ckpt_thread *t, const struct memory_map *map)
{
	int ret = 0;

	for (size_t i = 0; i < map->n && !ret; i++)
		if (map->v[i].sort == VMA_SHM)
			ret = map_nameless(c, t, &map->v[i]);
		else if (memory_is_shown(&map->v[i]))
			ret = map_shown(c, t, &map->v[i]);
	return ret;
}
