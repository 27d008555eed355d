/* SPDX-License-Identifier: Apache-2.0 */
/* Images: written and exchanged whole, read with suspicion; records as JSON, both ways. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/image.h"
#include "lib/scratch.h"
#include "lib/tap.h"
#include "oci/ckpt_work.h"
#include "oci/image_json.h"

struct inner {
	uint32_t n;
};

struct outer {
	uint8_t small;
	int32_t negative;
	uint64_t big;
	bool flag;
	const char *text, *raw, *absent;
	const void *bytes;
	size_t n_bytes;
	struct inner *list;
	size_t n_list;
	uint64_t *numbers;
	size_t n_numbers;
	struct inner in;
	struct inner *pointer;
};

static const struct record_field inner_rows[] = { RECORD(U, struct inner, "n", n, RECORD_MAX(9)) };
static const struct record_table inner_table = RECORD_TABLE(struct inner, inner_rows);
static const struct record_field outer_rows[] = {
	RECORD(U, struct outer, "small", small),
	RECORD(I, struct outer, "negative", negative),
	RECORD(HEX, struct outer, "big", big),
	RECORD(BOOL, struct outer, "flag", flag),
	RECORD(TEXT, struct outer, "text", text),
	RECORD(TEXT, struct outer, "raw", raw),
	RECORD(TEXT, struct outer, "absent", absent, RECORD_OPTIONAL),
	RECORD(BYTES, struct outer, "bytes", bytes, RECORD_N(struct outer, n_bytes)),
	RECORD_LIST_OF(struct outer, "list", list, n_list, inner_table, RECORD_MAX(2)),
	RECORD(NUMBERS, struct outer, "numbers", numbers, RECORD_N(struct outer, n_numbers)),
	RECORD(OBJECT, struct outer, "in", in, RECORD_BY(inner_table)),
	RECORD(POINTER, struct outer, "pointer", pointer, RECORD_BY(inner_table)),
};
static const struct record_table outer_table = RECORD_TABLE(struct outer, outer_rows);

static const struct image_audience nobody;

static void records(void)
{
	auto_arena a = arena_new();
	struct inner two[2] = { { 1 }, { 9 } };
	uint64_t numbers[] = { 0, UINT64_MAX };
	struct outer o = { .small = 255,
			   .negative = -2147483647 - 1,
			   .big = UINT64_MAX,
			   .flag = true,
			   .text = "a \"b\"\n",
			   .raw = "\xff\x01z",
			   .bytes = "\0\xfe",
			   .n_bytes = 2,
			   .list = two,
			   .n_list = 2,
			   .numbers = numbers,
			   .n_numbers = 2,
			   .in = { 3 },
			   .pointer = &two[0] };
	struct outer r = { 0 };
	const char *text;
	size_t len;

	is_int(image_json.write(a, &outer_table, &o, &text, &len), 0, "write");
	is_int(image_json.parse(a, "f", text, len, &outer_table, &r), 0, "%s", err_last()->text);
	ok(r.small == 255 && r.negative == o.negative && r.big == o.big && r.flag, "numbers");
	is_str(r.text, o.text, "text");
	is_str(r.raw, o.raw, "bytes that are no UTF-8");
	ok(!r.absent && r.n_bytes == 2 && memcmp(r.bytes, "\0\xfe", 2) == 0, "bytes");
	ok(r.n_list == 2 && r.list[1].n == 9 && r.n_numbers == 2 && r.numbers[1] == UINT64_MAX &&
		   r.in.n == 3 && r.pointer->n == 1,
	   "lists and structures");
}

static void strict(void)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "{}", "f: n: is missing" },
		{ "{\"n\":10}", "f: n: is out of range" },
		{ "{\"n\":-1}", "f: n: is out of range" },
		{ "{\"n\":\"1\"}", "f: n: must be an integer, is a string" },
		{ "{\"n\":1.5}", "f: n: must be an integer, is a number" },
		{ "{\"n\":1,\"m\":2}", "f: m: is not known to this version" },
		{ "[]", "f: must be an object, is an array" },
	};
	auto_arena a = arena_new();
	struct inner in;

	for (size_t i = 0; i < TAP_COUNT(cases); i++) {
		in = (struct inner){ 0 };
		is_int(image_json.parse(a, "f", cases[i].text, strlen(cases[i].text), &inner_table,
					&in),
		       -EINVAL, "%s", cases[i].text);
		is_str(err_last()->text, cases[i].error, "%s", cases[i].text);
	}
}

/* What nobody could read again is not written. */
static void bounded(void)
{
	auto_arena a = arena_new();
	struct inner ten = { 10 }, nine = { 9 };
	uint64_t *numbers = arena_array(a, RECORD_COUNT_MAX + 1, sizeof(*numbers));
	struct outer o = {
		.text = "", .raw = "", .bytes = "", .numbers = numbers, .pointer = &nine
	};
	const char *text;
	size_t len;

	is_int(image_json.write(a, &inner_table, &nine, &text, &len), 0, "up to its bound");
	is_int(image_json.write(a, &inner_table, &ten, &text, &len), -E2BIG, "beyond it");
	is_str(err_last()->text, "n: it is more than an image holds", "and says so");
	o.n_numbers = RECORD_COUNT_MAX;
	is_int(image_json.write(a, &outer_table, &o, &text, &len), 0, "%s", err_last()->text);
	o.n_numbers++;
	is_int(image_json.write(a, &outer_table, &o, &text, &len), -E2BIG, "one number more");
	is_str(err_last()->text, "numbers: it is more than an image holds", "says which");
}

static const uint64_t pids[] = { 1 };
static const struct image_meta meta = {
	.version = IMAGE_VERSION,
	.id = "x",
	.created = "2026-01-01T00:00:00Z",
	.runtime = "t",
	.kernel = "k",
	.machine = "m",
	.page_size = 4096,
	.pids = pids,
	.n_pids = 1,
};

static const char *path_of(struct arena *a, const char *name)
{
	return arena_printf(a, "%s/%s", scratch_path(), name);
}

static int write_one(struct arena *a, const char *path, const char *content)
{
	struct image_writer *w;
	struct image_stream *s;
	int ret = image_create(a, path, &image_json, &w);

	if (ret)
		return ret;
	ret = image_put(w, "process.1.a", content, strlen(content));
	if (!ret)
		ret = image_stream_open(w, "process.1.b", &s);
	for (int i = 0; i < 3 && !ret; i++)
		ret = image_stream_write(s, arena_alloc(a, 700000), 700000);
	if (!ret)
		ret = image_stream_close(s);
	return ret ? ret : image_commit(w, &meta);
}

static void there_and_back(void)
{
	auto_arena a = arena_new();
	int dir = scratch_make();
	const char *path = path_of(a, "im");
	struct image *im;
	const void *data;
	struct stat st;
	size_t len;

	is_int(write_one(a, path, "one"), 0, "%s", err_last()->text);
	is_int(image_open(a, path, NULL, &image_json, &im), 0, "%s", err_last()->text);
	is_int(image_get(im, "process.1.a", 100, &data, &len), 0, "read");
	ok(len == 3 && memcmp(data, "one", 3) == 0, "content");
	is_int(image_verify(im, &nobody), 0, "%s", err_last()->text);
	is_int(image_get(im, "process.1.c", 100, &data, &len), -EBADMSG,
	       "a file that is not there");
	image_close(im);
	ok(fstatat(dir, "im/process.1.b", &st, 0) == 0 && (st.st_mode & 07777) == 0600 &&
		   st.st_size == 2100000,
	   "mode and size");
	scratch_drop(dir);
}

#define PIECE_MAX (200u << 10)
#define PIECES 5

/* Pieces of each length from one byte to more than is gathered, after each other: as they came. */
static void in_order(void)
{
	static uint8_t all[PIECES * PIECE_MAX];
	auto_arena a = arena_new();
	int dir = scratch_make();
	const char *path = path_of(a, "im");
	unsigned state = 1;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i * 2654435761u >> 13);
	for (unsigned round = 0; round < 100; round++) {
		struct image_writer *w;
		struct image_stream *s;
		const void *data;
		struct image *im;
		size_t len = 0, n, got;

		is_int(image_create(a, path, &image_json, &w), 0, "%s", err_last()->text);
		is_int(image_stream_open(w, "process.1.b", &s), 0, "%s", err_last()->text);
		for (int i = 0; i < PIECES; i++, len += n) {
			state = state * 1664525 + 1013904223;
			n = 1 + (state >> 8) % (PIECE_MAX >> (state >> 28));
			is_int(image_stream_write(s, all + len, n), 0, "%s", err_last()->text);
		}
		is_int(image_stream_close(s), 0, "%s", err_last()->text);
		is_int(image_commit(w, &meta), 0, "%s", err_last()->text);
		is_int(image_open(a, path, NULL, &image_json, &im), 0, "%s", err_last()->text);
		is_int(image_get(im, "process.1.b", sizeof(all), &data, &got), 0, "%s",
		       err_last()->text);
		ok(got == len && memcmp(data, all, len) == 0, "round %u", round);
		image_close(im);
	}
	scratch_drop(dir);
}

/* A part of a buffer, or bytes; returns how many. */
static size_t put_some(struct image_stream *s, unsigned r, const uint8_t *data)
{
	static const size_t lens[] = { 1, 100, 5000, 20000, 70000, 200000, IMAGE_ROOM, 16384 };
	size_t len = lens[r % 8], half = len / 2;
	struct iovec parts[2];
	uint8_t *room;

	if (r & 8) {
		is_int(image_stream_write(s, data, len), 0, "%s", err_last()->text);
		return len;
	}
	room = image_stream_room(s);
	memcpy(room, data, half);
	memcpy(room + IMAGE_ROOM - (len - half), data + half, len - half);
	parts[0] = (struct iovec){ room, half };
	parts[1] = (struct iovec){ room + IMAGE_ROOM - (len - half), len - half };
	is_int(image_stream_append(s, parts, 2), 0, "%s", err_last()->text);
	return len;
}

#define MIXED (24u << 20)

/* Two files at once, by bytes and by buffers in any order, and more than one thread writes. */
static void mixed(void)
{
	static const char *const names[] = { "process.1.b", "process.2.b" };
	static uint8_t all[2][MIXED];
	auto_arena a = arena_new();
	int dir = scratch_make();
	const char *path = path_of(a, "im");
	struct image_stream *s[2];
	size_t len[2] = { 0 }, got;
	struct image_writer *w;
	unsigned state = 1, i;
	const void *data;
	struct image *im;

	for (i = 0; i < MIXED; i++) {
		all[0][i] = (uint8_t)(i * 2654435761u >> 13);
		all[1][i] = (uint8_t)~all[0][i];
	}
	is_int(image_create(a, path, &image_json, &w), 0, "%s", err_last()->text);
	for (i = 0; i < 2; i++)
		is_int(image_stream_open(w, names[i], &s[i]), 0, "%s", err_last()->text);
	while (len[0] + IMAGE_ROOM < MIXED && len[1] + IMAGE_ROOM < MIXED) {
		state = state * 1664525 + 1013904223;
		i = state >> 16 & 1;
		len[i] += put_some(s[i], state >> 20, all[i] + len[i]);
	}
	for (i = 0; i < 2; i++)
		is_int(image_stream_close(s[i]), 0, "%s", err_last()->text);
	is_int(image_commit(w, &meta), 0, "%s", err_last()->text);
	is_int(image_open(a, path, NULL, &image_json, &im), 0, "%s", err_last()->text);
	for (i = 0; i < 2; i++) {
		is_int(image_get(im, names[i], sizeof(all[i]), &data, &got), 0, "%s",
		       err_last()->text);
		ok(got == len[i] && memcmp(data, all[i], got) == 0, "%s", names[i]);
	}
	image_close(im);
	scratch_drop(dir);
}

#define EXPECTED (24u << 20)
#define TMPFS_MAGIC 0x01021994
#define SHM "/dev/shm"

static int append(struct image_writer *w, const char *name, unsigned rooms)
{
	struct image_stream *s;
	int ret = image_stream_open(w, name, &s), closed;

	if (ret)
		return ret;
	for (unsigned i = 0; i < rooms && !ret; i++) {
		uint8_t *room = image_stream_room(s);
		struct iovec part = { room, IMAGE_ROOM };

		memset(room, 'a' + (int)i % 16, IMAGE_ROOM);
		ret = image_stream_append(s, &part, 1);
	}
	closed = image_stream_close(s);
	return ret ? ret : closed;
}

/* Less comes than was announced, more, or nothing at all: the file has what came and no room beyond
 * it. */
static void expected(void)
{
	static const unsigned rooms[] = { 1, 3 * EXPECTED / IMAGE_ROOM / 2, 0 };
	char path[64];
	struct statfs fs;

	if (statfs(SHM, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		tap_skip("%s is no tmpfs", SHM);
	snprintf(path, sizeof(path), "%s/image_test.%d", SHM, (int)getpid());
	for (size_t i = 0; i < TAP_COUNT(rooms); i++) {
		auto_arena a = arena_new();
		off_t size = (off_t)rooms[i] * IMAGE_ROOM;
		struct image_writer *w;
		struct image *im;
		struct stat st;
		char file[96];

		is_int(image_create(a, path, &image_json, &w), 0, "%s", err_last()->text);
		is_int(image_expect(w, "process.1.b", EXPECTED), 0, "%s", err_last()->text);
		if (size)
			is_int(append(w, "process.1.b", rooms[i]), 0, "%s", err_last()->text);
		is_int(image_commit(w, &meta), 0, "%s", err_last()->text);
		is_int(image_open(a, path, NULL, &image_json, &im), 0, "%s", err_last()->text);
		is_int(image_verify(im, &nobody), 0, "%s", err_last()->text);
		image_close(im);
		snprintf(file, sizeof(file), "%s/process.1.b", path);
		ok(size ? stat(file, &st) == 0 && st.st_size == size && st.st_blocks * 512 == size
			: access(file, F_OK) < 0,
		   "its size, and what it takes");
	}
	is_int(fd_remove_tree(AT_FDCWD, path), 0, "removed");
}

/* Written over another one: its files go, those of others stay, there is no temporary directory. */
static void over_another(void)
{
	auto_arena a = arena_new();
	int dir = scratch_make();
	const char *path = path_of(a, "im");
	struct image_writer *w;
	struct image *im;

	is_int(image_create(a, path, &image_json, &w), 0, "%s", err_last()->text);
	is_int(image_put(w, "process.1.a", "one", 3), 0, "put");
	is_int(image_put(w, "tcp.3.data", "one", 3), 0, "put");
	is_int(image_put(w, "tcp.4.data", "one", 3), 0, "put");
	is_int(image_commit(w, &meta), 0, "%s", err_last()->text);
	is_int(fd_create_file(dir, "im/dump.log", 0600, "log", 3), 0, "a file of the caller's");
	is_int(fd_create_file(dir, "im/backup.2.tar", 0600, "tar", 3), 0, "another one");
	is_int(mkdirat(dir, "im.tmp", 0700), 0, "what a writer left that died half-way");
	is_int(fd_create_file(dir, "im.tmp/notes", 0600, "notes", 5), 0, "a third one");
	is_int(fd_create_file(dir, "im.tmp/process.1.a", 0600, "old", 3), 0, "an old part");
	is_int(image_create(a, path, &image_json, &w), 0, "%s", err_last()->text);
	is_int(image_put(w, "process.2.a", "x", 1), 0, "put");
	is_int(image_put(w, "tcp.4.data", "two", 3), 0, "put");
	ok(faccessat(dir, "im/process.1.a", F_OK, 0) == 0, "the old one is still there");
	is_int(image_commit(w, &meta), 0, "%s", err_last()->text);
	ok(faccessat(dir, "im/process.2.a", F_OK, 0) == 0, "the new one is");
	ok(faccessat(dir, "im/process.1.a", F_OK, 0) < 0, "the old one is not");
	ok(faccessat(dir, "im/tcp.3.data", F_OK, 0) < 0, "nor is any other of its files");
	is_int(image_open(a, path, NULL, &image_json, &im), 0, "%s", err_last()->text);
	is_int(image_verify(im, &nobody), 0, "%s", err_last()->text);
	image_close(im);
	ok(faccessat(dir, "im/dump.log", F_OK, 0) == 0, "the caller's file stays");
	ok(faccessat(dir, "im/backup.2.tar", F_OK, 0) == 0, "and another, called as ours could be");
	ok(faccessat(dir, "im/notes", F_OK, 0) == 0, "and that which was left");
	ok(faccessat(dir, "im.tmp", F_OK, 0) < 0, "nothing is left");
	scratch_drop(dir);
}

/* One of the caller's files can't be moved: none is, and none is lost. */
static void not_over_another(void)
{
	auto_arena a = arena_new();
	int dir = scratch_make();
	const char *path = path_of(a, "im"), *stuck = path_of(a, "im/stuck");
	struct image_writer *w;
	char name[32];

	is_int(image_create(a, path, &image_json, &w), 0, "%s", err_last()->text);
	is_int(image_put(w, "process.1.a", "one", 3), 0, "put");
	is_int(image_commit(w, &meta), 0, "%s", err_last()->text);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "im/file-%d", i);
		is_int(fd_create_file(dir, name, 0600, "x", 1), 0, "a file of the caller's");
	}
	is_int(mkdir(stuck, 0700), 0, "a directory");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", stuck, "tmpfs", 0, NULL) < 0) {
		scratch_drop(dir);
		tap_skip("nothing can be mounted: %s", strerror(errno));
	}
	is_int(image_create(a, path, &image_json, &w), 0, "%s", err_last()->text);
	is_int(image_put(w, "process.2.a", "x", 1), 0, "put");
	is_int(image_commit(w, &meta), -EBUSY, "%s", err_last()->text);
	image_abandon(w);
	ok(faccessat(dir, "im/process.1.a", F_OK, 0) == 0, "the old one is there");
	ok(faccessat(dir, "im/process.2.a", F_OK, 0) < 0, "the new one is not");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "im/file-%d", i);
		ok(faccessat(dir, name, F_OK, 0) == 0, "%s", name);
	}
	ok(faccessat(dir, "im.tmp", F_OK, 0) < 0, "nothing is left");
	umount2(stuck, MNT_DETACH);
	scratch_drop(dir);
}

static void abandoned(void)
{
	auto_arena a = arena_new();
	int dir = scratch_make();
	struct image_writer *w, *second;

	is_int(image_create(a, path_of(a, "im"), &image_json, &w), 0, "%s", err_last()->text);
	is_int(image_create(a, path_of(a, "im"), &image_json, &second), -EBUSY, "two writers");
	is_int(image_put(w, "../x", "x", 1), -EINVAL, "a name that leads out");
	is_int(image_put(w, "a/b", "x", 1), -EINVAL, "a name with a slash");
	image_abandon(w);
	ok(faccessat(dir, "im", F_OK, 0) < 0 && faccessat(dir, "im.tmp", F_OK, 0) < 0, "no trace");
	scratch_drop(dir);
}

static int reopen(struct arena *a, const char *path)
{
	struct image *im;
	int ret = image_open(a, path, NULL, &image_json, &im);

	if (ret)
		return ret;
	ret = image_verify(im, &nobody);
	image_close(im);
	return ret;
}

static void damaged(void)
{
	static const unsigned char criu[] = { 0x19, 0x43, 0x56, 0x54, 0x16, 0x31, 0x31, 0x58 };
	static const struct {
		const char *file;
		const void *data;
		size_t len;
		int code;
	} cases[] = {
		{ "process.1.a", "onf", 3, -EBADMSG },
		{ "process.1.a", "o", 1, -EBADMSG },
		{ "meta.json", "{}", 2, -EBADMSG },
		{ "inventory.img", criu, sizeof(criu), -EMEDIUMTYPE },
		{ "inventory.img", "", 0, -EMEDIUMTYPE },
		{ "inventory.img", "thole-checkpoint 2\n", 19, -EMEDIUMTYPE },
		{ "inventory.img", "thole-checkpoint 1\nmeta.json", 28, -EBADMSG },
	};
	auto_arena a = arena_new();
	const char *path;
	int dir = scratch_make();

	path = path_of(a, "im");
	for (size_t i = 0; i < TAP_COUNT(cases); i++) {
		char name[64];

		is_int(write_one(a, path, "one"), 0, "%s", err_last()->text);
		is_int(reopen(a, path), 0, "%s", err_last()->text);
		snprintf(name, sizeof(name), "im/%s", cases[i].file);
		is_int(fd_replace_file(dir, name, 0600, cases[i].data, cases[i].len), 0, "damage");
		is_int(reopen(a, path), cases[i].code, "case %zu: %s", i, err_last()->text);
		ok(strstr(err_last()->text, path), "the text names it: %s", err_last()->text);
	}
	is_int(write_one(a, path, "one"), 0, "%s", err_last()->text);
	ok(unlinkat(dir, "im/process.1.a", 0) == 0 &&
		   symlinkat("/etc/passwd", dir, "im/process.1.a") == 0,
	   "a symbolic link");
	is_int(reopen(a, path), -EBADMSG, "%s", err_last()->text);
	scratch_drop(dir);
}

/* The sample of the format that podman was seen to read. */
static void statistics(void)
{
	static const unsigned char want[] = { 0x40, 0x59, 0x10, 0x55, 0x06, 0x33, 0x09, 0x57, 0x15,
					      0x00, 0x00, 0x00, 0x0a, 0x13, 0x08, 0x0b, 0x10, 0xde,
					      0x01, 0x18, 0x21, 0x20, 0x2c, 0x28, 0xab, 0x04, 0x30,
					      0x00, 0x38, 0x89, 0x06, 0x48, 0x00 };
	const struct ckpt_stats s = { .freezing = 11,
				      .frozen = 222,
				      .memory = 33,
				      .writing = 44,
				      .pages_scanned = 555,
				      .pages_written = 777 };
	unsigned char out[CKPT_STATS_MAX];
	size_t n = ckpt_stats_pack(&s, true, out);

	is_int((long long)n, sizeof(want), "length");
	ok(memcmp(out, want, n) == 0, "bytes");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(records),      TAP(strict),           TAP(bounded),  TAP(there_and_back),
		TAP(over_another), TAP(not_over_another), TAP(in_order), TAP(mixed),
		TAP(expected),     TAP(abandoned),        TAP(damaged),  TAP(statistics),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
