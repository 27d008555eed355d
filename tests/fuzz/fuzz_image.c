/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of images on a hostile one. The first byte says what the rest is:
 *
 *	0	meta.json, with an inventory that vouches for it
 *	1	the inventory
 *	2	the text of a record
 *	3	the other files of an image, "@NAME SIZE\n" before each: they get a meta.json that
 *		vouches for them, and all is checked that is before a process is made
 *
 * A seed of the last sort is made of a real image by tests/fuzz/image-seed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/engine.h"
#include "ckpt/image_digest.h"
#include "ckpt/memory.h"
#include "oci/image_json.h"
#include "sandbox.h"

#define FILES_MAX 64

static const struct image_audience nobody;
static char dir_path[64];
static int dir = -1;

static void leave(void)
{
	fd_remove_tree(AT_FDCWD, dir_path);
}

static void make_dir(void)
{
	snprintf(dir_path, sizeof(dir_path), "/tmp/fuzz-image.%d", getpid());
	if ((mkdir(dir_path, 0700) < 0) || (dir = open(dir_path, O_RDONLY | O_DIRECTORY)) < 0)
		abort();
	atexit(leave);
}

static void put(const char *name, const void *data, size_t len)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || fd_write_all(fd, data, len))
		abort();
	close(fd);
}

static void vouch(const void *meta, size_t len)
{
	struct image_digest d = image_digest_of(meta, len);
	char hex[33], line[128];

	image_digest_text(&d, hex);
	snprintf(line, sizeof(line), "%s %d\n%s %zu %s\n", IMAGE_MAGIC, IMAGE_VERSION, IMAGE_META,
		 len, hex);
	put(IMAGE_INVENTORY, line, strlen(line));
}

/* ---- a whole image */

struct packed {
	struct arena *a;
	struct image_entry files[FILES_MAX];
	uint64_t pids[FILES_MAX];
	size_t n_files, n_pids;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct image_entry *)a)->name, ((const struct image_entry *)b)->name);
}

static void add(struct packed *p, const char *name, const void *data, size_t len)
{
	struct image_digest d = image_digest_of(data, len);
	int pid, end = 0;

	if (!image_name_ok(name) || strcmp(name, IMAGE_META) == 0 ||
	    strcmp(name, IMAGE_INVENTORY) == 0 || strlen(name) > 100)
		return;
	for (size_t i = 0; i < p->n_files; i++)
		if (strcmp(p->files[i].name, name) == 0)
			return;
	put(name, data, len);
	p->files[p->n_files++] = (struct image_entry){
		.name = name,
		.size = len,
		.digest = arena_memdup(p->a, &d, sizeof(d)),
		.digest_len = sizeof(d),
	};
	if (sscanf(name, "process.%d.info.json%n", &pid, &end) == 1 && end && !name[end])
		p->pids[p->n_pids++] = (uint64_t)pid;
}

static void unpack(struct packed *p, const char *at, const char *end)
{
	char name[128];
	int head;
	size_t len;

	while (at < end && p->n_files < FILES_MAX) {
		const char *line = memchr(at, '\n', (size_t)(end - at));

		if (!line || line - at > 120 ||
		    sscanf(arena_strndup(p->a, at, (size_t)(line - at)), "@%100s %zu%n", name, &len,
			   &head) != 2)
			return;
		at = line + 1;
		if (len > (size_t)(end - at))
			len = (size_t)(end - at);
		add(p, arena_strdup(p->a, name), at, len);
		at += len;
	}
}

static void write_meta(struct packed *p)
{
	const struct image_contents c = {
		.meta = {
			.version = IMAGE_VERSION,
			.id = "fuzz",
			.created = "2026-01-01T00:00:00Z",
			.runtime = "thole",
			.kernel = "6",
			.machine = "x86_64",
			.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
			.pids = p->pids,
			.n_pids = p->n_pids,
		},
		.files = p->files,
		.n_files = p->n_files,
	};
	const char *text;
	size_t len;

	qsort(p->files, p->n_files, sizeof(p->files[0]), compare);
	if (image_json.write(p->a, &image_contents_table, &c, &text, &len))
		abort();
	put(IMAGE_META, text, len);
	vouch(text, len);
}

/* Each kind's part of "prepare", also where an earlier one has refused: one failure would hide
 * others. */
static void prepare(struct ckpt *c)
{
	for (size_t k = 0; ckpt_kinds[k]; k++) {
		const struct ckpt_kind *kind = ckpt_kinds[k];
		struct ckpt_unit u = { .c = c, .rec = c->sections[k] };

		if (kind->prepare && kind->scope == KIND_CONTAINER)
			kind->prepare(&u);
		for (size_t i = 0; i < c->n_procs && kind->scope != KIND_CONTAINER; i++) {
			u.p = c->procs[i];
			u.rec = u.p->sections[k];
			if (kind->prepare && !u.p->zombie && kind->scope == KIND_PROCESS)
				kind->prepare(&u);
			for (size_t t = 0; t < u.p->n_threads && kind->scope == KIND_THREAD; t++) {
				u.t = u.p->threads[t];
				u.rec = u.t->sections[k];
				if (kind->prepare && !u.p->zombie)
					kind->prepare(&u);
			}
		}
	}
}

static void read_whole(struct arena *a, const char *data, size_t size)
{
	static const struct ckpt_options options = { .log = -1, .image_path = dir_path };
	static const struct sandbox sb;
	struct packed p = { .a = a };
	struct ckpt c = { .arena = a, .codec = &image_json, .options = &options, .sb = &sb };

	unpack(&p, data, data + size);
	write_meta(&p);
	if (image_open(a, dir_path, NULL, &image_json, &c.image) == 0) {
		if (sections_read(&c) == 0 && tree_plan(&c) == 0)
			prepare(&c);
		image_close(c.image);
	}
	for (size_t i = 0; i < p.n_files; i++)
		unlinkat(dir, p.files[i].name, 0);
	/* what kinds have prepared in memory */
	close_range((unsigned)dir + 1, ~0u, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena a = arena_new();
	struct memory_map map = { 0 };
	struct image *im;
	char *text;

	if (size < 1)
		return 0;
	if (dir < 0)
		make_dir();
	text = arena_strndup(a, (const char *)data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		put(IMAGE_META, data + 1, size - 1);
		vouch(data + 1, size - 1);
		break;
	case 1:
		put(IMAGE_META, "{}", 2);
		put(IMAGE_INVENTORY, data + 1, size - 1);
		break;
	case 2:
		image_json.parse(a, "fuzz.json", text, strlen(text), &memory_map_table, &map);
		return 0;
	default:
		read_whole(a, (const char *)data + 1, size - 1);
		return 0;
	}
	if (image_open(a, dir_path, NULL, &image_json, &im))
		return 0;
	image_verify(im, &nobody);
	image_close(im);
	return 0;
}
