/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain C structures, described by tables so that they can be written as text and read back.
 * One table serves both directions. What the text looks like is the codec's affair: the engine
 * knows tables, oci/image_json.c knows JSON.
 *
 * Reading is strict: a field that is missing, of another type, out of its bounds or not in the
 * table is an error that names the file and the place. A value that may be absent is
 * RECORD_OPTIONAL: absent and all-zero are the same then, in both directions.
 */
#ifndef CKPT_RECORD_H
#define CKPT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/names.h"

struct arena;

enum record_type {
	RECORD_U,       /* unsigned integer of 1, 2, 4 or 8 bytes */
	RECORD_I,       /* signed */
	RECORD_HEX,     /* unsigned, written as "0x7f..": addresses and masks */
	RECORD_BOOL,    /* bool */
	RECORD_TEXT,    /* const char *, any bytes but NUL; never NULL unless optional */
	RECORD_BYTES,   /* const void *, and its length as size_t at `count` */
	RECORD_NUMBERS, /* const uint64_t *, and how many as size_t at `count` */
	RECORD_OBJECT,  /* a structure in place, by `table` */
	RECORD_POINTER, /* a pointer to a structure; NULL only where optional */
	RECORD_LIST,    /* a pointer to an array of structures, and how many as size_t at `count` */
};

struct record_table;

struct record_field {
	const char *name;
	enum record_type type;
	uint8_t width; /* bytes of an integer */
	bool optional;
	size_t at;    /* offsetof() of the member */
	size_t count; /* offsetof() of the length */
	uint64_t max; /* largest number, or of a list, bytes or text the largest length; 0: what the
			 type has, RECORD_COUNT_MAX */
	const struct record_table *table;
};

struct record_table {
	const struct record_field *fields;
	size_t n;
	size_t size; /* of the structure */
};

#define RECORD_COUNT_MAX (1u << 20)

#define RECORD_TABLE(type, rows)                                              \
	{                                                                     \
		.fields = (rows), .n = NAME_COUNT(rows), .size = sizeof(type) \
	}

/*
 * Rows: RECORD(U, struct x, "pid", pid), RECORD(HEX, struct x, "start", start, RECORD_OPTIONAL),
 * RECORD_LIST_OF(struct x, "threads", threads, n_threads, thread_table). Further arguments are
 * designated initializers.
 */
#define RECORD(t, st, json_name, member, ...)                                            \
	{                                                                                \
		.name = (json_name), .type = RECORD_##t, .at = offsetof(st, member),     \
		.width = sizeof(((st *)0)->member) <= 8 ? sizeof(((st *)0)->member) : 0, \
		__VA_ARGS__                                                              \
	}
#define RECORD_LIST_OF(st, json_name, member, count_member, t, ...) \
	RECORD(LIST, st, json_name, member, RECORD_N(st, count_member), RECORD_BY(t), __VA_ARGS__)
#define RECORD_OPTIONAL .optional = true
#define RECORD_MAX(m) .max = (m)
#define RECORD_N(type, member) .count = offsetof(type, member)
#define RECORD_BY(t) .table = &(t)

/* How records become text: the only thing the engine is told about it. */
struct record_codec {
	/* The text of rec, in the arena. Returns 0 or -errno with a text. */
	int (*write)(struct arena *a, const struct record_table *t, const void *rec,
		     const char **out, size_t *out_len);
	/*
	 * Fills the zeroed structure out. file is for messages. What out points to is in the arena.
	 * Returns 0 or -EINVAL with "FILE: threads[2].tid: must be ...".
	 */
	int (*parse)(struct arena *a, const char *file, const char *text, size_t len,
		     const struct record_table *t, void *out);
};

#endif
