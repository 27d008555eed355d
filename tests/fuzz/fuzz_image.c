/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of images on a hostile one. The first byte says which file the rest is: meta.json with
 * an inventory that vouches for it, the inventory itself, or the text of a record.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/image_digest.h"
#include "ckpt/memory.h"
#include "oci/image_json.h"

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
	switch (data[0] % 3) {
	case 0:
		put(IMAGE_META, data + 1, size - 1);
		vouch(data + 1, size - 1);
		break;
	case 1:
		put(IMAGE_META, "{}", 2);
		put(IMAGE_INVENTORY, data + 1, size - 1);
		break;
	default:
		image_json.parse(a, "fuzz.json", text, strlen(text), &memory_map_table, &map);
		return 0;
	}
	if (image_open(a, dir_path, NULL, &image_json, &im))
		return 0;
	image_verify(im, &nobody);
	image_close(im);
	return 0;
}
