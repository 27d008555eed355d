/* SPDX-License-Identifier: Apache-2.0 */
/* The writing side of an image: a directory beside the final one, and the exchange at the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "ckpt/image_digest.h"
#include "ckpt/image_priv.h"
#include "ckpt/image_pump.h"
#include "ckpt/image_queue.h"

#define TMP_SUFFIX ".tmp"

/* Splits the path into an open parent directory and a name in it. */
static int find_place(struct image_writer *w, const char *path)
{
	char real[PATH_MAX], *slash;
	size_t n = strlen(path);
	char *copy;

	while (n > 1 && path[n - 1] == '/')
		n--;
	copy = arena_strndup(w->a, path, n);
	/* what is there already may be reached through a symbolic link */
	if (realpath(copy, real))
		copy = arena_strdup(w->a, real);
	slash = strrchr(copy, '/');
	w->name = slash ? slash + 1 : copy;
	w->path = arena_strdup(w->a, copy);
	if (!*w->name || strcmp(w->name, ".") == 0 || strcmp(w->name, "..") == 0)
		return fail(EINVAL,
			    "the image directory \"%s\" has no name that can be given to a "
			    "finished image",
			    path);
	w->tmp = arena_printf(w->a, "%s%s", w->name, TMP_SUFFIX);
	if (slash)
		*slash = '\0';
	w->parent = open(!slash ? "." : *copy ? copy : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return w->parent < 0 ? fail_errno("open the directory of the image %s", path) : 0;
}

static int open_dir(struct image_writer *w)
{
	w->dir = fd_open_beneath(w->parent, w->tmp, O_RDONLY | O_DIRECTORY);
	if (w->dir < 0)
		return fail(-w->dir, "open the directory %s%s: %s", w->path, TMP_SUFFIX,
			    err_reason(-w->dir));
	if (flock(w->dir, LOCK_EX | LOCK_NB) < 0)
		return fail(EBUSY, "an image is being written to %s already", w->path);
	return 0;
}

/* What image.h names, and <word>.<number>.<what>, as the files of kinds are called. */
static bool is_ours(const char *name)
{
	static const char *const words[] = { "process", "mqueue", "tmpfs", "layer",
					     "shm",     "pipe",   "tcp",   "unix" };
	static const char *const names[] = { IMAGE_INVENTORY, IMAGE_META, IMAGE_CONFIG,
					     IMAGE_CONTAINER, IMAGE_PARENT };
	size_t word = strcspn(name, "."), number = 0;
	char start[16];

	if (str_in(name, names, sizeof(names) / sizeof(names[0])))
		return true;
	if (name[word] == '.')
		number = strspn(name + word + 1, "0123456789");
	snprintf(start, sizeof(start), "%.*s", (int)(word < sizeof(start) ? word : 0), name);
	return number && name[word + 1 + number] == '.' &&
	       str_in(start, words, sizeof(words) / sizeof(words[0]));
}

/* What is not of an image goes from one directory into the other, unless that has it already. */
static int move_others(struct image_writer *w, int from, int to)
{
	int copy = fcntl(from, F_DUPFD_CLOEXEC, 0), ret = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!d) {
		fd_close(copy);
		return fail_errno("read what stood at %s before", w->path);
	}
	rewinddir(d);
	while (!ret && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    is_ours(e->d_name))
			continue;
		if (renameat2(from, e->d_name, to, e->d_name, RENAME_NOREPLACE) < 0 &&
		    errno != EEXIST)
			ret = fail_errno("keep %s/%s", w->path, e->d_name);
	}
	closedir(d);
	return ret;
}

/* Who died right after the exchange left the caller's files behind. */
static int give_back_others(struct image_writer *w)
{
	auto_fd place = fd_open_beneath(w->parent, w->name, O_RDONLY | O_DIRECTORY);

	return place < 0 ? 0 : move_others(w, w->dir, place);
}

/* A directory of that name is the rest of a writer that died, or belongs to one that lives. */
static int make_dir(struct image_writer *w)
{
	int ret;

	if (mkdirat(w->parent, w->tmp, 0700) == 0)
		return open_dir(w);
	if (errno != EEXIST)
		return fail_errno("make the directory %s%s", w->path, TMP_SUFFIX);
	ret = open_dir(w);
	if (!ret)
		ret = give_back_others(w);
	if (ret)
		return ret;
	fd_close(fd_take(&w->dir));
	ret = fd_remove_tree(w->parent, w->tmp);
	if (ret)
		return fail(-ret, "remove the unfinished image %s%s: %s", w->path, TMP_SUFFIX,
			    err_reason(-ret));
	if (mkdirat(w->parent, w->tmp, 0700) < 0)
		return fail_errno("make the directory %s%s", w->path, TMP_SUFFIX);
	return open_dir(w);
}

int image_create(struct arena *a, const char *path, const struct record_codec *codec,
		 struct image_writer **out)
{
	struct image_writer *w = arena_alloc(a, sizeof(*w));
	struct statfs fs;
	int ret;

	*w = (struct image_writer){
		.a = a, .codec = codec, .parent = -1, .dir = -1, .expected_fd = -1
	};
	w->queue = queue_new(a, w);
	ret = find_place(w, path);
	if (!ret)
		ret = make_dir(w);
	if (!ret)
		w->in_memory = fstatfs(w->dir, &fs) == 0 &&
			       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
	if (ret) {
		queue_end(w->queue);
		fd_close(w->dir);
		fd_close(w->parent);
		return ret;
	}
	*out = w;
	return 0;
}

int image_create_file(struct image_writer *w, const char *name)
{
	int fd;

	if (!image_name_ok(name))
		return fail(EINVAL, "\"%s\" is no name for a file of an image", name);
	fd = openat(w->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? fail_errno("make %s of the image", name) : fd;
}

void image_remember(struct image_writer *w, const char *name, uint64_t size,
		    struct image_digest digest)
{
	struct image_entry *e;

	w->files = arena_grow(w->a, w->files, w->n, &w->room, sizeof(*w->files));
	e = &w->files[w->n++];
	e->name = arena_strdup(w->a, name);
	e->size = size;
	e->digest = arena_memdup(w->a, &digest, sizeof(digest));
	e->digest_len = sizeof(digest);
}

/* Started here, waited for at the end: the disk works meanwhile. */
void image_begin_sync(const struct image_writer *w, int fd)
{
	if (!w->in_memory)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int image_write_file(struct image_writer *w, const char *name, const void *data, size_t len)
{
	auto_fd fd = image_create_file(w, name);
	int ret = fd < 0 ? fd : fd_write_all(fd, data, len);

	if (fd < 0)
		return fd;
	if (ret)
		return fail(-ret, "write %s of the image %s: %s", name, w->path, err_reason(-ret));
	image_begin_sync(w, fd);
	return 0;
}

int image_put(struct image_writer *w, const char *name, const void *data, size_t len)
{
	void *copy = len <= QUEUE_FILE ? malloc(len ? len : 1) : NULL;
	int ret;

	if (copy) {
		memcpy(copy, data, len);
		ret = queue_put(w->queue, name, copy, len);
	} else {
		ret = image_write_file(w, name, data, len);
	}
	if (!ret)
		image_remember(w, name, len, image_digest_of(data, len));
	return ret;
}

int image_put_record(struct image_writer *w, const char *name, const struct record_table *t,
		     const void *rec)
{
	const char *text;
	size_t len;
	int ret = w->codec->write(w->a, t, rec, &text, &len);

	return ret ? ret : image_put(w, name, text, len);
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct image_entry *)a)->name, ((const struct image_entry *)b)->name);
}

/* meta.json, then the inventory that vouches for it. */
static int write_contents(struct image_writer *w, const struct image_meta *meta)
{
	struct image_contents c = { .meta = *meta, .files = w->files, .n_files = w->n };
	struct image_digest digest;
	char line[160], hex[33];
	const char *text;
	size_t len;
	int ret;

	if (w->parent_image) {
		c.meta.parent = image_identity(w->parent_image);
		c.meta.parent_len = sizeof(struct image_digest);
	}
	if (w->n)
		qsort(w->files, w->n, sizeof(*w->files), compare_entries);
	ret = w->codec->write(w->a, &image_contents_table, &c, &text, &len);
	if (!ret)
		ret = image_write_file(w, IMAGE_META, text, len);
	if (ret)
		return ret;
	digest = image_digest_of(text, len);
	image_digest_text(&digest, hex);
	snprintf(line, sizeof(line), "%s %d\n%s %zu %s\n", IMAGE_MAGIC, IMAGE_VERSION, IMAGE_META,
		 len, hex);
	return image_write_file(w, IMAGE_INVENTORY, line, strlen(line));
}

static int sync_file(struct image_writer *w, const char *name)
{
	auto_fd fd = openat(w->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return fail_errno("bring %s of the image %s to disk", name, w->path);
	return 0;
}

static int sync_all(struct image_writer *w)
{
	int ret = 0;

	if (w->in_memory)
		return 0;
	for (size_t i = 0; i < w->n && !ret; i++)
		ret = sync_file(w, w->files[i].name);
	if (!ret)
		ret = sync_file(w, IMAGE_META);
	if (!ret)
		ret = sync_file(w, IMAGE_INVENTORY);
	if (!ret && fsync(w->dir) < 0)
		ret = fail_errno("bring the image %s to disk", w->path);
	return ret;
}

/* The old directory has our temporary name now. Where something of it can't be had all is as it was
 * again. */
static int keep_others(struct image_writer *w)
{
	auto_fd old = fd_open_beneath(w->parent, w->tmp, O_RDONLY | O_DIRECTORY);
	int ret =
		old < 0 ? fail(-old, "open what stood at %s before: %s", w->path, err_reason(-old))
			: move_others(w, old, w->dir);
	struct err kept = *err_last();

	if (!ret)
		return 0;
	renameat2(w->parent, w->tmp, w->parent, w->name, RENAME_EXCHANGE);
	if (old >= 0)
		move_others(w, w->dir, old);
	err_set(&kept);
	return ret;
}

/* Puts the new directory in the place of the old one in one step, so that there is always one. */
static int give_name(struct image_writer *w)
{
	int ret;

	if (renameat2(w->parent, w->tmp, w->parent, w->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST)
		return fail_errno("rename %s%s to %s", w->path, TMP_SUFFIX, w->path);
	if (renameat2(w->parent, w->tmp, w->parent, w->name, RENAME_EXCHANGE) < 0) {
		if (errno == EBUSY)
			return fail(
				EBUSY,
				"%s is a mount point: give a directory beneath it for the image",
				w->path);
		return fail_errno("put the image in the place of %s", w->path);
	}
	ret = keep_others(w);
	if (ret)
		return ret;
	ret = fd_remove_tree(w->parent, w->tmp);
	return ret ? fail(-ret, "remove the image that stood at %s before: %s", w->path,
			  err_reason(-ret))
		   : 0;
}

int image_build_on(struct image_writer *w, const char *path, struct image **out)
{
	int ret;

	if (!*path || *path == '/')
		return fail(EINVAL,
			    "the image to build on, \"%s\": must be a path relative to the image "
			    "directory %s",
			    path, w->path);
	if (symlinkat(path, w->dir, IMAGE_PARENT) < 0)
		return fail_errno("link %s/%s to %s", w->path, IMAGE_PARENT, path);
	ret = image_open_from(w, IMAGE_PARENT, out);
	if (!ret && image_is_chain(*out, w->parent, w->name)) {
		image_close(*out);
		return fail(EINVAL,
			    "the image to build on, %s, is in the place of the new one, %s, or "
			    "builds on what is",
			    path, w->path);
	}
	if (!ret)
		w->parent_image = *out;
	return ret ? fail_in(ret, "the image to build on, %s", path) : 0;
}

void image_keep_apart(struct image_writer *w)
{
	pump_apart(w->pump);
	queue_apart(w->queue);
}

int image_commit(struct image_writer *w, const struct image_meta *meta)
{
	int ret;

	image_unexpect(w);
	ret = queue_settle(w->queue);
	if (!ret)
		ret = write_contents(w, meta);
	if (!ret)
		ret = sync_all(w);
	if (!ret)
		ret = give_name(w);
	if (ret)
		return ret;
	w->done = true;
	queue_end(w->queue);
	pump_end(w->pump);
	if (fsync(w->parent) < 0)
		return fail_errno("bring the name of the image %s to disk", w->path);
	fd_close(w->dir);
	fd_close(w->parent);
	return 0;
}

void image_abandon(struct image_writer *w)
{
	struct err kept = *err_last();

	if (!w || w->done)
		return;
	queue_end(w->queue);
	image_unexpect(w);
	pump_end(w->pump);
	fd_close(w->dir);
	fd_remove_tree(w->parent, w->tmp);
	fd_close(w->parent);
	w->done = true;
	err_set(&kept);
}
