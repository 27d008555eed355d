/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259): a text becomes a tree in the arena, and a writer makes text.
 *
 * Numbers stay text, so every 64-bit integer is exact. Where an object names a key twice the last
 * one counts. A string can't hold U+0000: all of them are C strings.
 */
#ifndef OCI_JSON_H
#define OCI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

#define JSON_DEPTH_MAX 64
#define JSON_SIZE_MAX (4u << 20) /* bytes of a text */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_type type;
	bool truth;        /* JSON_BOOL */
	const char *key;   /* its name in the object that holds it, else NULL */
	const char *text;  /* JSON_STRING: the value; JSON_NUMBER: as it was written */
	struct json *next; /* in the same array or object */
	struct json *first;
	size_t n; /* members or elements */
};

/*
 * Parses one whole text. name is for messages. Fails with -EINVAL and "NAME:LINE:COLUMN: what is
 * wrong" (columns count bytes), or -EFBIG above JSON_SIZE_MAX.
 */
int json_parse(struct arena *a, const char *name, const char *text, size_t len,
	       const struct json **out);

/* The same for a text of at most limit bytes. */
int json_parse_large(struct arena *a, const char *name, const char *text, size_t len, size_t limit,
		     const struct json **out);

/* Reads <dir>/<path> (dir AT_FDCWD for the working directory) and parses it; path is the name. */
int json_read(struct arena *a, int dir, const char *path, const struct json **out);

/* The member of that name; NULL if there is none, or v is NULL or no object. */
const struct json *json_get(const struct json *v, const char *key);

/* The value, or NULL if v is NULL or no string. */
const char *json_str(const struct json *v);
/* The value, or false if v is NULL or no boolean. */
bool json_bool(const struct json *v);
/* 0, -EINVAL if v is NULL or no integer, -ERANGE. No text is stored. */
int json_u64(const struct json *v, uint64_t min, uint64_t max, uint64_t *out);
int json_i64(const struct json *v, int64_t min, int64_t max, int64_t *out);

/* "null", "a boolean", "a number", "a string", "an array", "an object" */
const char *json_type_name(enum json_type type);

/*
 * The writer. It can't fail. Each call adds one value: key is its name inside an object, NULL
 * inside an array and for the outermost value.
 *
 *	struct json_writer *w = json_writer_new(a, false);
 *
 *	json_open_object(w, NULL);
 *	json_put_str(w, "id", id);
 *	json_put_u64(w, "pid", pid);
 *	json_open_array(w, "args");
 *	json_put_str(w, NULL, "sh");
 *	json_close(w);
 *	json_close(w);
 *	text = json_writer_text(w, &len);
 */
struct json_writer;

/* indent: a line for each value, two spaces a level; else one line without any space. */
struct json_writer *json_writer_new(struct arena *a, bool indent);

void json_open_object(struct json_writer *w, const char *key);
void json_open_array(struct json_writer *w, const char *key);
void json_close(struct json_writer *w); /* the innermost open object or array */

/* Nothing is written where text is NULL. */
void json_put_str(struct json_writer *w, const char *key, const char *text);
void json_put_bool(struct json_writer *w, const char *key, bool value);
void json_put_u64(struct json_writer *w, const char *key, uint64_t value);
void json_put_i64(struct json_writer *w, const char *key, int64_t value);
/* A number with two decimals: 123 is written as 1.23. */
void json_put_hundredths(struct json_writer *w, const char *key, uint64_t value);
void json_put_null(struct json_writer *w, const char *key);

/* An array of strings from a NULL-terminated list; nothing is written where the list is NULL. */
void json_put_strs(struct json_writer *w, const char *key, const char *const *list);

/* A parsed value again. Nothing is written where v is NULL. */
void json_put_tree(struct json_writer *w, const char *key, const struct json *v);

/*
 * The place of a value that is not known yet: returns its offset in the text. The caller writes
 * the text up to there, the value, and the rest.
 */
size_t json_put_gap(struct json_writer *w, const char *key);

/* The text so far, NUL-terminated, in the arena; an indented one ends with a newline once
 * everything is closed. *out_len may be NULL. The next call of the writer may move it. */
const char *json_writer_text(struct json_writer *w, size_t *out_len);

#endif
