/* SPDX-License-Identifier: Apache-2.0 */
/* Files without a name, the way back: made once each, and filled. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/k_shm.h"

/* Since Linux 6.3: linux/fcntl.h */
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

struct shms *shm_objects(struct ckpt *c)
{
	const struct ckpt_unit u = { .c = c };

	return ckpt_section(&kind_shm, &u);
}

/* As mmap(2) makes it, where its file can be had (that takes rights over the machine); else a
 * memfd. */
static int make_anonymous(uint64_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[96];
	int fd;

	if (m == MAP_FAILED)
		return fail_errno("map %llu bytes of shared memory", (unsigned long long)size);
	snprintf(path, sizeof(path), "/proc/self/map_files/%llx-%llx",
		 (unsigned long long)(uintptr_t)m, (unsigned long long)(uintptr_t)m + size);
	fd = open(path, O_RDWR | O_CLOEXEC);
	munmap(m, size);
	if (fd >= 0)
		return fd;
	fd = memfd_create("dev-zero", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		fd_close(fd);
		return fail_errno("make %llu bytes of shared memory", (unsigned long long)size);
	}
	return fd;
}

/* F_SEAL_EXEC of a program would seal what is in it, too. */
static int make_memfd(const struct shm *o)
{
	auto_fd fd = memfd_create(o->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || (o->seals & F_SEAL_EXEC && !(o->owner.mode & 0111) && fchmod(fd, 0666) < 0) ||
	    ftruncate(fd, (off_t)o->size) < 0)
		return fail_errno("make the memfd %s of %llu bytes", o->name,
				  (unsigned long long)o->size);
	return fd_take(&fd);
}

static int refuse_run(size_t id, size_t run, const char *why)
{
	return fail(EBADMSG, "the image: shm.%zu.runs.bin: run %zu %s", id, run, why);
}

/* What lies behind the end of the file in its last page, which is there. */
static int write_tail(const struct shm *o, const uint8_t *last, size_t page)
{
	size_t n = o->size % page, i = n;
	uint8_t *at;

	while (i < page && !last[i])
		i++;
	if (i == page)
		return 0;
	at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, o->fd - 1, (off_t)(o->size - n));
	if (at == MAP_FAILED)
		return fail_errno("map the end of shared memory");
	memcpy(at + n, last + n, page - n);
	munmap(at, page);
	return 0;
}

static int write_runs(size_t id, const struct shm *o, const struct image_map *pages,
		      const struct image_map *runs)
{
	const struct image_run *run = (const struct image_run *)runs->data;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = runs->len / sizeof(*run), at = 0, len;
	uint64_t room;
	int ret;

	for (size_t i = 0; i < n; i++, at += len) {
		len = run[i].pages * page;
		if (!run[i].pages || run[i].pages > (pages->len - at) / page ||
		    run[i].start % page || run[i].start >= o->size ||
		    len > ((o->size + page - 1) & -page) - run[i].start)
			return refuse_run(id, i, "is out of bounds");
		room = o->size - run[i].start;
		ret = fd_write_all_at(o->fd - 1, pages->data + at, len < room ? len : room,
				      run[i].start);
		if (ret)
			return fail(-ret, "fill shared memory: %s", err_reason(-ret));
		if (len > room)
			ret = write_tail(o, pages->data + at + len - page, page);
		if (ret)
			return ret;
	}
	return runs->len % sizeof(*run) || at != pages->len
		       ? refuse_run(id, n, "is not where memory.bin ends")
		       : 0;
}

static void verify(struct image_map *m)
{
	for (size_t i = 0; i < m->n_blocks; i++)
		image_verify_block(m, i);
}

static int fill(struct ckpt *c, size_t id, const struct shm *o)
{
	struct image_map pages, runs;
	int ret = image_map(c->image, arena_printf(c->arena, "shm.%zu.memory.bin", id), &pages);

	if (ret)
		return ret;
	ret = image_map(c->image, arena_printf(c->arena, "shm.%zu.runs.bin", id), &runs);
	if (ret) {
		image_unmap(&pages);
		return ret;
	}
	verify(&pages);
	verify(&runs);
	ret = image_verify_end(&pages);
	if (!ret)
		ret = image_verify_end(&runs);
	if (!ret)
		ret = write_runs(id, o, &pages, &runs);
	image_unmap(&pages);
	image_unmap(&runs);
	return ret;
}

static int make_deleted(struct ckpt *c, const struct shm *o)
{
	auto_fd fd = deleted_make(c, o->deleted);

	if (fd >= 0 && ftruncate(fd, (off_t)o->size) < 0)
		return fail_errno("make a file of %llu bytes", (unsigned long long)o->size);
	return fd_take(&fd);
}

static int seal(const struct shm *o)
{
	return o->seals && fcntl(o->fd - 1, F_ADD_SEALS, o->seals) < 0
		       ? fail_errno("seal the memfd %s", o->name)
		       : 0;
}

/* Who had mapped it to write before still may. */
static bool is_sealed_late(const struct shm *o)
{
	return o->seals & F_SEAL_FUTURE_WRITE;
}

static int make_object(struct ckpt *c, size_t id, struct shm *o)
{
	int fd, ret;

	if (!o->name && !o->deleted && (!o->size || o->size % (uint64_t)sysconf(_SC_PAGESIZE)))
		return fail(EBADMSG, "the image: %s: shm.objects[%zu].size is not made of pages",
			    IMAGE_CONTAINER, id);
	fd = o->deleted ? make_deleted(c, o) : o->name ? make_memfd(o) : make_anonymous(o->size);
	if (fd < 0)
		return fd;
	o->fd = fd + 1;
	ret = fill(c, id, o);
	return ret || is_sealed_late(o) ? ret : seal(o);
}

static int make_all(const struct ckpt_unit *u, bool deleted)
{
	struct shms *o = u->rec;
	int ret = 0;

	for (size_t i = 0; i < o->n && !ret; i++)
		if ((o->v[i].deleted != NULL) == deleted)
			ret = make_object(u->c, i, &o->v[i]);
	return ret;
}

int shm_prepare(const struct ckpt_unit *u)
{
	return make_all(u, false);
}

/* In the file systems of the container. */
int shm_share(const struct ckpt_unit *u)
{
	return make_all(u, true);
}

/* Nothing is opened any more that a mode could forbid, and nothing changes the times. */
int shm_set_facts(const struct ckpt_unit *u)
{
	struct shms *o = u->rec;
	int ret = 0;

	for (size_t i = 0; i < o->n && !ret; i++) {
		if (o->v[i].deleted)
			ret = deleted_set_facts(u->c, o->v[i].deleted, o->v[i].fd - 1);
		else if (o->v[i].name)
			ret = owner_give(u->c, o->v[i].fd - 1, &o->v[i].owner);
	}
	return ret;
}

int shm_fd(struct ckpt *c, uint32_t id)
{
	struct shms *o = shm_objects(c);

	if (id >= o->n || !o->v[id].fd)
		return fail(EBADMSG, "the image: %s: shm.objects: number %u is missing",
			    IMAGE_CONTAINER, id);
	return o->v[id].fd - 1;
}

int shm_let_go(const struct ckpt_unit *u)
{
	struct shms *o = u->rec;
	int ret = 0;

	for (size_t i = 0; i < o->n; i++) {
		if (!ret && is_sealed_late(&o->v[i]))
			ret = seal(&o->v[i]);
		fd_close(o->v[i].fd - 1);
		o->v[i].fd = 0;
	}
	return ret;
}
