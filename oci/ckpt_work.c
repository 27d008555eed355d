/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/ckpt_work.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

/* CRIU: criu/include/magic.h, images/stats.proto */
#define STATS_MAGIC_COMMON 0x55105940u
#define STATS_MAGIC 0x57093306u
#define STATS_DUMP 1
#define STATS_RESTORE 2

struct stat_row {
	unsigned char field;
	uint64_t value;
};

static size_t put_varint(unsigned char *out, uint64_t v)
{
	size_t n = 0;

	while (v >= 0x80) {
		out[n++] = (unsigned char)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (unsigned char)v;
	return n;
}

static void put_word(unsigned char *out, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(v >> (8 * i));
}

size_t ckpt_stats_pack(const struct ckpt_stats *s, bool dump, unsigned char out[CKPT_STATS_MAX])
{
	const struct stat_row dumped[] = {
		{ 1, s->freezing },      { 2, s->frozen },
		{ 3, s->memory },        { 4, s->writing },
		{ 5, s->pages_scanned }, { 6, s->pages_skipped },
		{ 7, s->pages_written }, { 9, 0 },
	};
	const struct stat_row restored[] = {
		{ 1, 0 },
		{ 2, 0 },
		{ 3, s->forking },
		{ 4, s->restoring },
		{ 5, s->pages_restored },
	};
	const struct stat_row *rows = dump ? dumped : restored;
	size_t count =
		dump ? sizeof(dumped) / sizeof(dumped[0]) : sizeof(restored) / sizeof(restored[0]);
	unsigned char entry[CKPT_STATS_MAX / 2] = { 0 };
	size_t n = 0, len = 12;

	for (size_t i = 0; i < count; i++) {
		entry[n++] = (unsigned char)(rows[i].field << 3); /* wire type 0: varint */
		n += put_varint(entry + n, rows[i].value);
	}
	out[len++] = (unsigned char)((dump ? STATS_DUMP : STATS_RESTORE) << 3 | 2);
	len += put_varint(out + len, n);
	memcpy(out + len, entry, n);
	len += n;
	put_word(out, STATS_MAGIC_COMMON);
	put_word(out + 4, STATS_MAGIC);
	put_word(out + 8, (uint32_t)(len - 12));
	return len;
}

static int open_dir(const char *path)
{
	int fd;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail_errno("make the work directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? fail_errno("open the work directory %s", path) : fd;
}

static int open_log(int dir, const char *path, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_APPEND | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
			0600);

	return fd < 0 ? fail_errno("open %s/%s", path, name) : fd;
}

int ckpt_work_open(struct ckpt_work *w, const char *path, bool dump)
{
	auto_fd dir = -1;

	w->path = path;
	w->log_name = dump ? "dump.log" : "restore.log";
	w->stats_name = dump ? "stats-dump" : "stats-restore";
	if (!path) {
		w->log = memfd_create(w->log_name, MFD_CLOEXEC);
		return w->log < 0 ? fail_errno("make a log in memory") : 0;
	}
	dir = open_dir(path);
	if (dir < 0)
		return dir;
	w->log = open_log(dir, path, w->log_name);
	return w->log < 0 ? w->log : 0;
}

static int copy_log(const struct ckpt_work *w, int dir, const char *path)
{
	auto_fd to = open_log(dir, path, w->log_name);
	off_t at = 0, size = lseek(w->log, 0, SEEK_END);
	ssize_t n = 1;

	if (to < 0)
		return to;
	/* sendfile(2) refuses a target that appends */
	if (fcntl(to, F_SETFL, 0) < 0)
		return fail_errno("write %s/%s", path, w->log_name);
	while (at < size && n > 0)
		n = sendfile(to, w->log, &at, (size_t)(size - at));
	return n < 0 ? fail_errno("write %s/%s", path, w->log_name) : 0;
}

int ckpt_work_end(struct ckpt_work *w, const char *image, const struct ckpt_stats *stats)
{
	const char *path = w->path ? w->path : image;
	bool dump = strcmp(w->stats_name, "stats-dump") == 0;
	unsigned char packed[CKPT_STATS_MAX];
	auto_fd dir = -1;
	int ret = 0;

	/* a directory that a failed checkpoint did not make is none of ours to make */
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && !stats) {
		fd_close(fd_take(&w->log));
		return 0;
	}
	if (dir < 0)
		ret = fail_errno("open the work directory %s", path);
	if (!ret && !w->path)
		ret = copy_log(w, dir, path);
	fd_close(fd_take(&w->log));
	if (ret || !stats)
		return ret;
	return fd_replace_file(dir, w->stats_name, 0600, packed,
			       ckpt_stats_pack(stats, dump, packed));
}
