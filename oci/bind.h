/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON into C structures, by tables of fields.
 *
 * A row says under which name a value stands, of which kind it is and where it goes. A member that
 * no row names is ignored, null counts as absent, and what is absent leaves zeros. Errors name the
 * place: "config.json: linux.resources.memory.limit: must be an integer, is a string".
 */
#ifndef OCI_BIND_H
#define OCI_BIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/names.h"

struct arena;
struct json;

enum bind_kind {
	BIND_STR,  /* const char * */
	BIND_BOOL, /* bool */
	BIND_U16,
	BIND_U32,
	BIND_U64,
	BIND_I32,
	BIND_I64,
	BIND_WORD,   /* uint32_t: one of the words of the row's names */
	BIND_OBJECT, /* a structure, by the row's table */
	BIND_JSON,   /* const struct json *: the value as it is */
};

enum bind_shape {
	BIND_ONE,   /* the value itself, in place */
	BIND_OPT,   /* a number or boolean as struct opt_i64, a BIND_WORD too */
	BIND_PTR,   /* BIND_OBJECT: a pointer to the structure, NULL where it is absent */
	BIND_LIST,  /* an array: pointer, and its length as size_t at `count` */
	BIND_WORDS, /* an array of BIND_STR: NULL-terminated const char ** */
	BIND_FLAGS, /* an array of BIND_WORD: their values joined by OR in a uint64_t */
	/*
	 * an object with arbitrary names: like BIND_LIST, the elements being structures whose
	 * first member is the name (const char *). The value goes behind it: for BIND_STR to the
	 * second member (const char *), for BIND_OBJECT by the table.
	 */
	BIND_MAP,
};

struct bind_table;

struct bind_field {
	const char *name;
	enum bind_kind kind;
	enum bind_shape shape;
	bool required;
	size_t at;    /* offsetof() of the member */
	size_t count; /* BIND_LIST, BIND_MAP: offsetof() of the length */
	const struct bind_table *table;
	const struct name_row *names;
	size_t n_names;
};

struct bind_table {
	const struct bind_field *fields;
	size_t n;
	size_t size; /* of the structure */
};

#define BIND_TABLE(type, rows)                                                \
	{                                                                     \
		.fields = (rows), .n = NAME_COUNT(rows), .size = sizeof(type) \
	}

/* Rows; f is a designated initializer more, or nothing: BIND(BIND_STR, struct x, "id", id). */
#define BIND(k, type, json_name, member, ...)                                               \
	{                                                                                   \
		.name = (json_name), .kind = (k), .at = offsetof(type, member), __VA_ARGS__ \
	}
#define BIND_REQUIRED .required = true
#define BIND_AS(s) .shape = (s)
#define BIND_N(type, member) .count = offsetof(type, member)
#define BIND_BY(t) .table = &(t)
#define BIND_NAMES(rows) .names = (rows), .n_names = NAME_COUNT(rows)

/*
 * Fills the zeroed structure out from the object v. Strings and v itself must stay. doc is the
 * name of the file for messages, path where in it v stands ("" for the top, else "process").
 * Returns 0 or -EINVAL with a text.
 */
int bind_object(struct arena *a, const char *doc, const char *path, const struct json *v,
		const struct bind_table *t, void *out);

#endif
