/* SPDX-License-Identifier: Apache-2.0 */
/* The reading side of an image: nothing of it is believed before it was checked. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/image_priv.h"

#define INVENTORY_MAX 4096

/* The first words of CRIU's inventory.img, of version 1.1 and before: criu/include/magic.h */
#define CRIU_COMMON 0x54564319u
#define CRIU_INVENTORY 0x58313116u

struct image {
	struct arena *a;
	const struct record_codec *codec;
	const char *path;
	int dir;
	struct image_contents c;
	struct image_digest identity; /* of meta.json */
	struct image *parent;
	struct mapped *maps; /* what image_close() unmaps */
};

struct mapped {
	struct mapped *next;
	void *data; /* NULL: it is not any more */
	size_t len;
};

/* A regular file directly in the directory, reached by no symbolic link. */
static int open_file(const struct image *im, const char *name, struct stat *st)
{
	auto_fd fd = -1;

	if (!image_name_ok(name))
		return fail(EINVAL, "%s: \"%s\" is no name for a file of an image", im->path, name);
	fd = fd_open_beneath(im->dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fail(-fd, "open %s/%s: %s", im->path, name, err_reason(-fd));
	if (fstat(fd, st) < 0)
		return fail_errno("look at %s/%s", im->path, name);
	if (!S_ISREG(st->st_mode))
		return fail(EINVAL, "%s/%s is no regular file", im->path, name);
	return fd_take(&fd);
}

static int read_file(const struct image *im, const char *name, size_t limit, char **out,
		     size_t *out_len)
{
	struct stat st;
	auto_fd fd = open_file(im, name, &st);
	int ret;

	if (fd < 0)
		return fd;
	ret = fd_read_all(fd, im->a, limit, out, out_len);
	return ret ? fail_in(ret, "%s/%s", im->path, name) : 0;
}

static int refuse_foreign(const struct image *im, const char *text, size_t len)
{
	uint32_t word = 0;

	if (len >= sizeof(word))
		memcpy(&word, text, sizeof(word));
	if (word == CRIU_COMMON || word == CRIU_INVENTORY)
		return fail(EMEDIUMTYPE,
			    "%s is an image of CRIU: it can only be restored by the runtime that "
			    "made it",
			    im->path);
	return fail(EMEDIUMTYPE, "%s/%s: not the inventory of a thole image", im->path,
		    IMAGE_INVENTORY);
}

/* The two lines of the inventory. */
static int read_inventory(const struct image *im, uint64_t *out_size, char out_digest[33])
{
	char *text, *at, *end;
	uint64_t version;
	size_t len, n;
	int ret = read_file(im, IMAGE_INVENTORY, INVENTORY_MAX, &text, &len);

	if (ret)
		return ret;
	if (!str_starts(text, IMAGE_MAGIC " ") || strlen(text) != len || !strchr(text, '\n'))
		return refuse_foreign(im, text, len);
	at = text + strlen(IMAGE_MAGIC " ");
	end = strchr(at, '\n');
	*end = '\0';
	if (num_u64(at, 1, UINT64_MAX, &version))
		return fail(EBADMSG, "%s/%s: \"%s\" is no version", im->path, IMAGE_INVENTORY, at);
	if (version != IMAGE_VERSION)
		return fail(EMEDIUMTYPE,
			    "%s: version %s of the image format; this program reads %d", im->path,
			    at, IMAGE_VERSION);
	at = end + 1;
	n = strlen(at);
	if (!str_starts(at, IMAGE_META " ") || n < 34 || at[n - 1] != '\n' || at[n - 34] != ' ')
		return fail(EBADMSG, "%s/%s: its second line is damaged", im->path,
			    IMAGE_INVENTORY);
	memcpy(out_digest, at + n - 33, 32);
	out_digest[32] = '\0';
	at[n - 34] = '\0';
	at += strlen(IMAGE_META " ");
	if (num_u64(at, 1, IMAGE_RECORD_MAX, out_size))
		return fail(EBADMSG, "%s/%s: \"%s\" is no size for %s", im->path, IMAGE_INVENTORY,
			    at, IMAGE_META);
	return 0;
}

static int check_entry(const struct image *im, const struct image_entry *e,
		       const struct image_entry *before)
{
	struct stat st;

	if (!image_name_ok(e->name))
		return fail(EBADMSG, "%s/%s: files: \"%s\" is no name for a file of an image",
			    im->path, IMAGE_META, e->name);
	if (e->digest_len != sizeof(struct image_digest))
		return fail(EBADMSG, "%s/%s: files: the digest of %s has the wrong length",
			    im->path, IMAGE_META, e->name);
	if (before && strcmp(before->name, e->name) >= 0)
		return fail(EBADMSG, "%s/%s: files: %s is out of order or there twice", im->path,
			    IMAGE_META, e->name);
	if (fstatat(im->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno("%s/%s", im->path, e->name);
	if (!S_ISREG(st.st_mode))
		return fail(EBADMSG, "%s/%s is no regular file", im->path, e->name);
	if ((uint64_t)st.st_size != e->size)
		return fail(EBADMSG, "%s/%s has %lld bytes, %s says %llu", im->path, e->name,
			    (long long)st.st_size, IMAGE_META, (unsigned long long)e->size);
	return 0;
}

static int read_meta(struct image *im)
{
	const char *file = arena_printf(im->a, "%s/%s", im->path, IMAGE_META);
	char want[33], is[33], *text;
	uint64_t size;
	size_t len;
	int ret = read_inventory(im, &size, want);

	if (!ret)
		ret = read_file(im, IMAGE_META, IMAGE_RECORD_MAX, &text, &len);
	if (ret)
		return ret;
	im->identity = image_digest_of(text, len);
	image_digest_text(&im->identity, is);
	if (len != size || strcmp(want, is) != 0)
		return fail(EBADMSG, "%s is damaged: its size or digest is not what %s says", file,
			    IMAGE_INVENTORY);
	ret = im->codec->parse(im->a, file, text, len, &image_contents_table, &im->c);
	if (ret)
		return ret;
	if (im->c.meta.version != IMAGE_VERSION)
		return fail(EMEDIUMTYPE, "%s: version: %llu is unknown", file,
			    (unsigned long long)im->c.meta.version);
	for (size_t i = 0; !ret && i < im->c.n_files; i++)
		ret = check_entry(im, &im->c.files[i], i ? &im->c.files[i - 1] : NULL);
	return ret;
}

static int open_one(struct arena *a, int at, const char *name, const struct record_codec *codec,
		    struct image *im)
{
	int ret;

	im->a = a;
	im->codec = codec;
	im->dir = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (im->dir < 0)
		return fail_errno("open the image %s", im->path);
	ret = read_meta(im);
	if (ret)
		fd_close(fd_take(&im->dir));
	return ret;
}

/* The image that im builds on, seen from its directory. */
static int open_parent(struct image *im, const char *name)
{
	const struct image_meta *meta = &im->c.meta;
	struct image *parent = arena_alloc(im->a, sizeof(*parent));
	int ret;

	parent->path = arena_printf(im->a, "%s/%s", im->path, name);
	ret = open_one(im->a, im->dir, name, im->codec, parent);
	if (ret)
		return fail_in(ret, "the image %s builds on another one", im->path);
	im->parent = parent;
	if (meta->parent_len != sizeof(parent->identity) ||
	    memcmp(meta->parent, &parent->identity, sizeof(parent->identity)) != 0)
		return fail(EBADMSG, "the image %s builds on another one than is at %s now",
			    im->path, parent->path);
	return 0;
}

static int open_chain(struct image *im, const char *parent, struct image **out)
{
	struct image *last = im;
	int ret = 0, n = 0;

	for (; last->c.meta.parent_len && !ret; last = last->parent) {
		if (n++ == IMAGE_PARENTS_MAX)
			ret = fail(EBADMSG, "the image %s builds on more than %d others", im->path,
				   IMAGE_PARENTS_MAX);
		else
			ret = open_parent(last, parent && last == im ? parent : IMAGE_PARENT);
		if (ret)
			break;
	}
	if (ret)
		image_close(im);
	else
		*out = im;
	return ret;
}

int image_open(struct arena *a, const char *path, const char *parent,
	       const struct record_codec *codec, struct image **out)
{
	struct image *im = arena_alloc(a, sizeof(*im));
	int ret;

	im->path = path;
	ret = open_one(a, AT_FDCWD, path, codec, im);
	return ret ? ret : open_chain(im, parent, out);
}

int image_open_from(struct image_writer *w, const char *name, struct image **out)
{
	struct image *im = arena_alloc(w->a, sizeof(*im));
	int ret;

	im->path = arena_printf(w->a, "%s/%s", w->path, name);
	ret = open_one(w->a, w->dir, name, w->codec, im);
	return ret ? ret : open_chain(im, NULL, out);
}

bool image_is_chain(const struct image *im, int at, const char *name)
{
	struct stat there, st;

	if (fstatat(at, name, &there, 0) < 0)
		return false;
	for (; im; im = im->parent)
		if (fstat(im->dir, &st) == 0 && st.st_dev == there.st_dev &&
		    st.st_ino == there.st_ino)
			return true;
	return false;
}

void image_close(struct image *im)
{
	for (; im; im = im->parent) {
		for (struct mapped *m = im->maps; m; m = m->next)
			if (m->data)
				munmap(m->data, m->len);
		im->maps = NULL;
		fd_close(fd_take(&im->dir));
	}
}

struct image *image_parent(const struct image *im)
{
	return im->parent;
}

const char *image_path(const struct image *im)
{
	return im->path;
}

const struct image_digest *image_identity(const struct image *im)
{
	return &im->identity;
}

const struct image_meta *image_meta(const struct image *im)
{
	return &im->c.meta;
}

int image_meta_text(struct image *im, const char **out, size_t *out_len)
{
	char *text;
	int ret = read_file(im, IMAGE_META, IMAGE_RECORD_MAX, &text, out_len);

	if (!ret)
		*out = text;
	return ret;
}

uint64_t image_size(const struct image *im)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < im->c.n_files; i++)
		sum += im->c.files[i].size;
	return sum;
}

static int compare_name(const void *name, const void *entry)
{
	return strcmp(name, ((const struct image_entry *)entry)->name);
}

static const struct image_entry *find(const struct image *im, const char *name)
{
	return im->c.n_files ? bsearch(name, im->c.files, im->c.n_files, sizeof(*im->c.files),
				       compare_name)
			     : NULL;
}

bool image_has(const struct image *im, const char *name)
{
	return find(im, name) != NULL;
}

static int refuse_damaged(const struct image *im, const char *name)
{
	return fail(EBADMSG, "%s/%s is damaged: its digest is not what %s says", im->path, name,
		    IMAGE_META);
}

static int find_file(const struct image *im, const char *name, const struct image_entry **out)
{
	*out = find(im, name);
	return *out ? 0 : fail(EBADMSG, "%s/%s: files: %s is missing", im->path, IMAGE_META, name);
}

int image_get(struct image *im, const char *name, size_t limit, const void **out, size_t *out_len)
{
	const struct image_entry *e;
	struct image_digest digest;
	char *data;
	size_t len;
	int ret = find_file(im, name, &e);

	if (!ret)
		ret = read_file(im, name, limit, &data, &len);
	if (ret)
		return ret;
	digest = image_digest_of(data, len);
	if (len != e->size || memcmp(&digest, e->digest, sizeof(digest)) != 0)
		return refuse_damaged(im, name);
	*out = data;
	*out_len = len;
	return 0;
}

int image_get_record(struct image *im, const char *name, const struct record_table *t, void *out)
{
	const void *text;
	size_t len;
	int ret = image_get(im, name, IMAGE_RECORD_MAX, &text, &len);

	if (ret)
		return ret;
	return im->codec->parse(im->a, arena_printf(im->a, "%s/%s", im->path, name), text, len, t,
				out);
}

int image_map(struct image *im, const char *name, struct image_map *out)
{
	struct image_map m = { .image = im, .name = name };
	const struct image_entry *e;
	struct stat st;
	auto_fd fd = -1;
	struct mapped *mapped;
	void *data;
	int ret = find_file(im, name, &e);

	if (ret)
		return ret;
	fd = open_file(im, name, &st);
	if (fd < 0)
		return fd;
	if ((uint64_t)st.st_size != e->size)
		return refuse_damaged(im, name);
	m.len = (size_t)st.st_size;
	m.n_blocks = (m.len + IMAGE_BLOCK - 1) / IMAGE_BLOCK;
	m.blocks = arena_array(im->a, m.n_blocks ? m.n_blocks : 1, sizeof(*m.blocks));
	if (m.len) {
		data = mmap(NULL, m.len, PROT_READ, MAP_SHARED, fd, 0);
		if (data == MAP_FAILED)
			return fail_errno("map %s/%s", im->path, name);
		m.data = data;
		mapped = arena_alloc(im->a, sizeof(*mapped));
		*mapped = (struct mapped){ im->maps, data, m.len };
		im->maps = mapped;
	}
	*out = m;
	return 0;
}

void image_verify_block(struct image_map *m, size_t block)
{
	size_t at = block * IMAGE_BLOCK;
	size_t len = m->len - at < IMAGE_BLOCK ? m->len - at : IMAGE_BLOCK;

	m->blocks[block] = image_digest_block(m->data + at, len);
}

int image_verify_end(const struct image_map *m)
{
	struct image_digest digest = image_digest_join(m->blocks, m->n_blocks);
	const struct image_entry *e;
	int ret = find_file(m->image, m->name, &e);

	if (ret)
		return ret;
	if (memcmp(&digest, e->digest, sizeof(digest)) != 0)
		return refuse_damaged(m->image, m->name);
	return 0;
}

void image_unmap(struct image_map *m)
{
	struct mapped *known = m->image ? m->image->maps : NULL;

	while (m->data && known && known->data != m->data)
		known = known->next;
	if (m->data && known) {
		munmap(known->data, known->len);
		known->data = NULL;
	}
	m->data = NULL;
}

static int verify_file(struct image *im, const char *name, const struct image_audience *audience)
{
	struct image_map m;
	int ret = image_map(im, name, &m);

	if (ret)
		return ret;
	for (size_t i = 0; i < m.n_blocks && !ret; i++) {
		image_verify_block(&m, i);
		if (audience->tick)
			ret = audience->tick(audience->ctx, IMAGE_BLOCK);
	}
	if (!ret)
		ret = image_verify_end(&m);
	image_unmap(&m);
	return ret;
}

static void verify_files(struct image *im, const char *prefix,
			 const struct image_audience *audience, struct err *first)
{
	const char *name;
	int ret;

	for (size_t i = 0; i < im->c.n_files; i++) {
		name = im->c.files[i].name;
		err_clear();
		ret = verify_file(im, name, audience);
		if (audience->each)
			audience->each(audience->ctx,
				       *prefix ? arena_printf(im->a, "%s%s", prefix, name) : name,
				       im->c.files[i].size, ret);
		if (ret && !first->code)
			*first = *err_last();
	}
}

int image_verify(struct image *im, const struct image_audience *audience)
{
	const char *prefix = "";
	struct err first = { 0 };

	for (; im; im = im->parent) {
		verify_files(im, prefix, audience, &first);
		prefix = arena_printf(im->a, "%s%s/", prefix, IMAGE_PARENT);
	}
	if (!first.code)
		return 0;
	err_set(&first);
	return -first.code;
}
