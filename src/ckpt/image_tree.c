/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/image_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/cpu.h"
#include "ckpt/image.h"
#include "ckpt/memory.h"
#include "ckpt/pages.h"

#define THREADS_MAX (1u << 30)
#define APP_STATE "app_state.bin" /* what an application has put beside */
#define APP_STATE_MAX (1u << 30)

struct tree {
	struct arena *a;
	struct image *im;
	uint64_t pid, page;
	int dir; /* <out>/<pid>/process */
	struct memory_map map;
	struct page_store pages;
};

static int make_dir(int at, const char *name)
{
	int fd;

	if (mkdirat(at, name, 0700) < 0)
		return fail_errno("make the directory %s", name);
	fd = fd_open_beneath(at, name, O_RDONLY | O_DIRECTORY);
	return fd < 0 ? fail(-fd, "open the directory %s: %s", name, err_reason(-fd)) : fd;
}

static int put(int dir, const char *name, const void *data, size_t len)
{
	int ret = fd_create_file(dir, name, 0600, data, len);

	return ret ? fail_in(ret, "write %s", name) : 0;
}

static const char *member_name(const struct tree *t, const char *what)
{
	return arena_printf(t->a, "process.%llu.%s", (unsigned long long)t->pid, what);
}

static int copy(const struct tree *t, const char *what)
{
	const void *data;
	size_t len;
	int ret = image_get(t->im, member_name(t, what), IMAGE_RECORD_MAX, &data, &len);

	return ret ? ret : put(t->dir, what, data, len);
}

/* What of a mapping is in one file of pages. */
static int write_source(const struct tree *t, int fd, const struct vma *v,
			const struct page_source *s)
{
	int ret = 0;

	for (size_t i = 0; i < s->n && !ret; i++) {
		const struct page_run *r = &s->runs[i];
		uint64_t end = r->start + r->pages * t->page;
		uint64_t from = r->start > v->start ? r->start : v->start;
		uint64_t to = end < v->end ? end : v->end;

		if (from < to)
			ret = fd_write_all_at(fd, s->map.data + r->at + (from - r->start),
					      to - from, from - v->start);
	}
	return ret ? fail(-ret, "write pages: %s", err_reason(-ret)) : 0;
}

static int write_mapping(const struct tree *t, int dir, size_t i)
{
	const struct vma *v = &t->map.v[i];
	const char *name = arena_printf(t->a, "%zu.bin", i);
	auto_fd fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int ret = 0;

	if (fd < 0 || ftruncate(fd, (off_t)(v->end - v->start)) < 0)
		return fail_errno("make memory/%s", name);
	for (size_t s = 0; s < t->pages.n && !ret; s++)
		ret = write_source(t, fd, v, &t->pages.v[s]);
	return ret ? fail_in(ret, "memory/%s", name) : 0;
}

static int write_memory(struct tree *t)
{
	auto_fd dir = make_dir(t->dir, "memory");
	const char *prefix = arena_printf(t->a, "process.%llu", (unsigned long long)t->pid);
	int ret = dir < 0 ? dir
			  : image_get_record(t->im, member_name(t, "memory_map.json"),
					     &memory_map_table, &t->map);

	if (ret)
		return ret;
	ret = page_store_open(t->a, t->im, prefix, &t->pages);
	if (!ret)
		ret = page_store_verify(&t->pages);
	for (size_t i = 0; i < t->map.n && !ret; i++)
		ret = write_mapping(t, dir, i);
	page_store_close(&t->pages);
	return ret;
}

static int write_threads(const struct tree *t)
{
	auto_fd dir = make_dir(t->dir, "threads");
	const uint8_t *data;
	const void *all;
	size_t len, one;
	int ret =
		dir < 0 ? dir
			: image_get(t->im, member_name(t, "threads.bin"), THREADS_MAX, &all, &len);

	if (ret)
		return ret;
	data = all;
	for (size_t n = 0; len && !ret; n++) {
		one = cpu_entry_length(data, len);
		if (!one)
			return fail(EBADMSG, "%s: thread %zu is cut short",
				    member_name(t, "threads.bin"), n);
		ret = put(dir, arena_printf(t->a, "%zu.bin", n), data, one);
		data += one;
		len -= one;
	}
	return ret;
}

static int write_process(struct tree *t, int out)
{
	auto_fd own = make_dir(out, arena_printf(t->a, "%llu", (unsigned long long)t->pid));
	auto_fd dir = own < 0 ? -1 : make_dir(own, "process");
	const void *state;
	const char *text;
	size_t len;
	int ret = own < 0 ? own : dir < 0 ? dir : image_meta_text(t->im, &text, &len);

	if (!ret)
		ret = put(own, IMAGE_META, text, len);
	if (!ret && image_has(t->im, APP_STATE)) {
		ret = image_get(t->im, APP_STATE, APP_STATE_MAX, &state, &len);
		if (!ret)
			ret = put(own, APP_STATE, state, len);
	}
	t->dir = dir;
	if (!ret)
		ret = copy(t, "info.json");
	/* one that had ended has nothing else */
	if (ret || !image_has(t->im, member_name(t, "fds.json")))
		return ret;
	ret = copy(t, "fds.json");
	if (!ret)
		ret = copy(t, "memory_map.json");
	if (!ret)
		ret = write_memory(t);
	return ret ? ret : write_threads(t);
}

/* Anywhere, while what is in it has names of ours. */
static int make_top(const char *path)
{
	int fd;

	if (mkdir(path, 0700) < 0)
		return fail_errno("make the directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? fail_errno("open the directory %s", path) : fd;
}

int image_tree(struct arena *a, struct image *im, const char *path)
{
	const struct image_meta *meta = image_meta(im);
	struct tree t;
	auto_fd out = make_top(path);
	struct err kept;
	int ret = 0;

	if (out < 0)
		return out;
	for (size_t i = 0; i < meta->n_pids && !ret; i++) {
		t = (struct tree){
			.a = a, .im = im, .page = meta->page_size, .pid = meta->pids[i]
		};
		ret = write_process(&t, out);
	}
	if (!ret)
		return 0;
	kept = *err_last();
	fd_remove_tree(AT_FDCWD, path);
	err_set(&kept);
	return ret;
}
