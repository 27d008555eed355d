/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "oci/json.h"

#define FIRST_SIZE 1024
#define ESCAPE_MAX 6 /* one byte becomes at most \u001f */

struct level {
	char close;
	bool any; /* something stands in it already */
};

struct json_writer {
	struct arena *a;
	struct str s;
	bool indent;
	struct level *levels;
	size_t depth, cap;
};

static void need(struct json_writer *w, size_t n)
{
	size_t size = w->s.size * 2;
	char *bigger;

	if (w->s.size - w->s.len > n)
		return;
	if (size <= w->s.len + n)
		size = w->s.len + n + 1;
	bigger = arena_alloc(w->a, size);
	memcpy(bigger, w->s.buf, w->s.len + 1);
	w->s.buf = bigger;
	w->s.size = size;
}

static void put(struct json_writer *w, const char *text, size_t n)
{
	need(w, n);
	str_addn(&w->s, text, n);
}

static void put_quoted(struct json_writer *w, const char *text)
{
	need(w, strlen(text) * ESCAPE_MAX + 2);
	str_addn(&w->s, "\"", 1);
	str_add_json(&w->s, text);
	str_addn(&w->s, "\"", 1);
}

static void new_line(struct json_writer *w)
{
	if (!w->indent)
		return;
	put(w, "\n", 1);
	for (size_t i = 0; i < w->depth; i++)
		put(w, "  ", 2);
}

/* What stands before a value: comma, line, name. */
static void lead(struct json_writer *w, const char *key)
{
	struct level *in = w->depth ? &w->levels[w->depth - 1] : NULL;

	if (in) {
		if (in->any)
			put(w, ",", 1);
		in->any = true;
		new_line(w);
	}
	if (key) {
		put_quoted(w, key);
		put(w, ": ", w->indent ? 2 : 1);
	}
}

static void put_plain(struct json_writer *w, const char *key, const char *text)
{
	lead(w, key);
	put(w, text, strlen(text));
}

struct json_writer *json_writer_new(struct arena *a, bool indent)
{
	struct json_writer *w = arena_alloc(a, sizeof(*w));

	w->a = a;
	w->indent = indent;
	w->s.size = FIRST_SIZE;
	w->s.buf = arena_alloc(a, FIRST_SIZE);
	return w;
}

static void open_level(struct json_writer *w, const char *key, const char *brackets)
{
	put_plain(w, key, (char[]){ brackets[0], '\0' });
	w->levels = arena_grow(w->a, w->levels, w->depth, &w->cap, sizeof(*w->levels));
	w->levels[w->depth++] = (struct level){ .close = brackets[1] };
}

void json_open_object(struct json_writer *w, const char *key)
{
	open_level(w, key, "{}");
}

void json_open_array(struct json_writer *w, const char *key)
{
	open_level(w, key, "[]");
}

void json_close(struct json_writer *w)
{
	struct level in = w->levels[--w->depth];

	if (in.any)
		new_line(w);
	put(w, &in.close, 1);
	if (!w->depth && w->indent)
		put(w, "\n", 1);
}

void json_put_str(struct json_writer *w, const char *key, const char *text)
{
	if (!text)
		return;
	lead(w, key);
	put_quoted(w, text);
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
	put_plain(w, key, value ? "true" : "false");
}

void json_put_u64(struct json_writer *w, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	put_plain(w, key, text);
}

void json_put_i64(struct json_writer *w, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	put_plain(w, key, text);
}

void json_put_hundredths(struct json_writer *w, const char *key, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu.%02llu", (unsigned long long)value / 100,
		 (unsigned long long)value % 100);
	put_plain(w, key, text);
}

void json_put_null(struct json_writer *w, const char *key)
{
	put_plain(w, key, "null");
}

void json_put_strs(struct json_writer *w, const char *key, const char *const *list)
{
	if (!list)
		return;
	json_open_array(w, key);
	for (; *list; list++)
		json_put_str(w, NULL, *list);
	json_close(w);
}

void json_put_tree(struct json_writer *w, const char *key, const struct json *v)
{
	if (!v)
		return;
	switch (v->type) {
	case JSON_NULL:
		json_put_null(w, key);
		return;
	case JSON_BOOL:
		json_put_bool(w, key, v->truth);
		return;
	case JSON_NUMBER:
		put_plain(w, key, v->text);
		return;
	case JSON_STRING:
		json_put_str(w, key, v->text);
		return;
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	open_level(w, key, v->type == JSON_ARRAY ? "[]" : "{}");
	for (const struct json *child = v->first; child; child = child->next)
		json_put_tree(w, child->key, child);
	json_close(w);
}

size_t json_put_gap(struct json_writer *w, const char *key)
{
	lead(w, key);
	return w->s.len;
}

const char *json_writer_text(struct json_writer *w, size_t *out_len)
{
	if (out_len)
		*out_len = w->s.len;
	return w->s.buf;
}
