/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that hold the code of the container: programs and libraries. Only what was changed of
 * their memory is in the image, so a restore needs the very same ones. The root may be another copy
 * by then, or an upgraded one, where addresses lead into the middle of other functions: that is
 * told by the size and by the first page, where the headers and the build's id are.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/image_digest.h"
#include "ckpt/inside.h"
#include "ckpt/kinds.h"
#include "ckpt/memory.h"
#include "ckpt/shown.h"

#define START 4096

struct program {
	const char *path; /* from the root of the container's init */
	uint64_t size;
	const void *start; /* digest of the first page; none where we may not read it */
	size_t start_len;
};

struct programs {
	struct program *v;
	size_t n, room;
};

static const struct record_field program_rows[] = {
	RECORD(TEXT, struct program, "path", path, RECORD_MAX(PATH_MAX)),
	RECORD(U, struct program, "size", size),
	RECORD(BYTES, struct program, "start", start, RECORD_OPTIONAL,
	       RECORD_N(struct program, start_len), RECORD_MAX(sizeof(struct image_digest))),
};
static const struct record_table program_table = RECORD_TABLE(struct program, program_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct programs, "files", v, n, program_table),
};
static const struct record_table table = RECORD_TABLE(struct programs, rows);

/* Looked at before it is opened: an image may name anything. */
static int look(struct ckpt *c, int root, struct program *p)
{
	auto_fd place =
		shown_is(p->path) ? shown_look(c, p->path) : fd_open_in_root(root, p->path, O_PATH);
	auto_fd fd = -1;
	struct image_digest digest;
	char name[64], buf[START];
	struct stat st;
	ssize_t n;

	if (place < 0)
		return fail(-place, "%s: %s", p->path, err_reason(-place));
	if (fstat(place, &st) < 0)
		return fail_errno("look at %s", p->path);
	if (!S_ISREG(st.st_mode))
		return fail(EINVAL, "%s is no regular file", p->path);
	p->size = (uint64_t)st.st_size;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", place);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		return 0;
	n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf), 0);
	if (n < 0)
		return fail_errno("read %s", p->path);
	digest = image_digest_of(buf, (size_t)n);
	p->start = arena_memdup(c->arena, &digest, sizeof(digest));
	p->start_len = sizeof(digest);
	return 0;
}

static bool has(const struct programs *all, const char *path)
{
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->v[i].path, path) == 0)
			return true;
	return false;
}

static int add(struct ckpt *c, int root, struct programs *all, const char *path)
{
	struct program p = { .path = path };
	int ret = has(all, path) ? 1 : look(c, root, &p);

	if (ret)
		return ret < 0 ? ret : 0;
	all->v = arena_grow(c->arena, all->v, all->n, &all->room, sizeof(*all->v));
	all->v[all->n++] = p;
	return 0;
}

/* Reading takes its time: what is mapped already is read before the pause. What is wrong with one
 * of them the memory's kind tells. */
static int check(const struct ckpt_unit *u)
{
	struct programs *all = arena_alloc(u->c->arena, sizeof(*all));
	auto_fd root = inside_root(u->c);

	if (root < 0)
		return root;
	*ckpt_note(&kind_program, u->c->procs[0]) = all;
	for (size_t i = 0; i < u->c->n_procs; i++) {
		const struct proc_vmas *maps = memory_seen(u->c, u->c->procs[i]);

		for (size_t k = 0; k < maps->n; k++)
			if (maps->v[k].prot & PROT_EXEC && maps->v[k].name[0] == '/' &&
			    !maps->v[k].deleted)
				(void)add(u->c, root, all, maps->v[k].name);
	}
	return 0;
}

static int collect_proc(const struct ckpt_unit *u, struct ckpt_proc *p, int root,
			struct programs *known)
{
	const struct memory_map *map = memory_map_of(u->c, p);
	struct programs *all = u->rec;
	int ret = 0;

	for (size_t i = 0; i < map->n && !ret; i++) {
		const struct vma *v = &map->v[i];

		if (v->sort != VMA_FILE || !(v->prot & PROT_EXEC) || has(all, v->path))
			continue;
		ret = add(u->c, root, known, v->path);
		for (size_t k = 0; k < known->n && !ret; k++) {
			if (strcmp(known->v[k].path, v->path) != 0)
				continue;
			all->v = arena_grow(u->c->arena, all->v, all->n, &all->room,
					    sizeof(*all->v));
			all->v[all->n++] = known->v[k];
		}
	}
	return ret;
}

static int collect(const struct ckpt_unit *u)
{
	struct programs none = { 0 }, *known = *ckpt_note(&kind_program, u->c->procs[0]);
	auto_fd root = inside_root(u->c);
	int ret = root < 0 ? root : 0;

	for (size_t i = 0; i < u->c->n_procs && !ret; i++)
		if (!u->c->procs[i]->zombie)
			ret = collect_proc(u, u->c->procs[i], root, known ? known : &none);
	return ret;
}

static int compare(struct ckpt *c, int root, const struct program *was)
{
	struct program is = { .path = was->path };
	int ret = look(c, root, &is);

	if (ret)
		return ret;
	if (is.size != was->size)
		return fail(EINVAL,
			    "%s is another file than it was at the checkpoint: it has %llu bytes, "
			    "not %llu",
			    was->path, (unsigned long long)is.size, (unsigned long long)was->size);
	if (was->start_len && is.start_len &&
	    (was->start_len != is.start_len || memcmp(was->start, is.start, is.start_len) != 0))
		return fail(EINVAL,
			    "%s is another file than it was at the checkpoint: it was built anew",
			    was->path);
	return 0;
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct programs *all = u->rec;
	auto_fd root = inside_root(u->c);
	int ret = root < 0 ? root : 0;

	for (size_t i = 0; i < all->n && !ret; i++)
		ret = compare(u->c, root, &all->v[i]);
	return ret;
}

const struct ckpt_kind kind_program = {
	.name = "programs",
	.scope = KIND_CONTAINER,
	.table = &table,
	.check = check,
	.collect = collect,
	.rebuild = { [PHASE_ROOT] = rebuild },
};
