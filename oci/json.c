/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define FEW_MEMBERS 16 /* up to here comparing each with each is the fastest */

struct level {
	struct json *v;
	struct json **end; /* where the next child is hung */
};

struct parser {
	struct arena *a;
	const char *name, *text;
	yajl_handle yajl;
	struct json *root;
	struct level levels[JSON_DEPTH_MAX];
	size_t depth;
	const char *key; /* of the member whose value comes next */
	bool failed;     /* by a rule of ours, the text is stored */
};

/* Stores "name:line:column: why" for the byte at that offset. */
static int fail_at(const struct parser *p, size_t offset, const char *why)
{
	size_t line = 1, start = 0;

	for (size_t i = 0; i < offset; i++) {
		if (p->text[i] == '\n') {
			line++;
			start = i + 1;
		}
	}
	return fail(EINVAL, "%s:%zu:%zu: %s", p->name, line, offset - start + 1, why);
}

/* Ends the parse from within a callback, at the token that was just read. */
static int refuse(struct parser *p, const char *why)
{
	size_t end = yajl_get_bytes_consumed(p->yajl);

	fail_at(p, end ? end - 1 : 0, why);
	p->failed = true;
	return 0;
}

static const char *copy_text(struct parser *p, const void *text, size_t len)
{
	const char *copy = arena_strndup(p->a, text, len);

	/* the parser lets overlong forms and halves of surrogate pairs pass */
	if (memchr(text, '\0', len))
		refuse(p, "a string holds the character U+0000");
	else if (!str_is_utf8(copy))
		refuse(p, "a string is not valid UTF-8");
	return p->failed ? NULL : copy;
}

static struct json *add(struct parser *p, enum json_type type)
{
	struct json *v = arena_alloc(p->a, sizeof(*v));
	struct level *top;

	v->type = type;
	v->key = p->key;
	p->key = NULL;
	if (p->depth) {
		top = &p->levels[p->depth - 1];
		*top->end = v;
		top->end = &v->next;
		top->v->n++;
	} else {
		p->root = v;
	}
	return v;
}

static int on_null(void *ctx)
{
	add(ctx, JSON_NULL);
	return 1;
}

static int on_boolean(void *ctx, int truth)
{
	add(ctx, JSON_BOOL)->truth = truth;
	return 1;
}

static int on_number(void *ctx, const char *text, size_t len)
{
	struct parser *p = ctx;

	add(p, JSON_NUMBER)->text = arena_strndup(p->a, text, len);
	return 1;
}

static int on_string(void *ctx, const unsigned char *text, size_t len)
{
	struct parser *p = ctx;
	const char *copy = copy_text(p, text, len);

	if (!copy)
		return 0;
	add(p, JSON_STRING)->text = copy;
	return 1;
}

static int on_key(void *ctx, const unsigned char *text, size_t len)
{
	struct parser *p = ctx;

	p->key = copy_text(p, text, len);
	return p->key != NULL;
}

static int open_level(struct parser *p, enum json_type type)
{
	struct json *v;

	if (p->depth == JSON_DEPTH_MAX)
		return refuse(p, "objects and arrays are nested too deeply");
	v = add(p, type);
	p->levels[p->depth++] = (struct level){ v, &v->first };
	return 1;
}

static int on_open_array(void *ctx)
{
	return open_level(ctx, JSON_ARRAY);
}

static int on_open_object(void *ctx)
{
	return open_level(ctx, JSON_OBJECT);
}

static int on_close_array(void *ctx)
{
	struct parser *p = ctx;

	p->depth--;
	return 1;
}

struct member {
	struct json *v;
	size_t position;
};

static int compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int order = strcmp(x->v->key, y->v->key);

	return order ? order : (x->position > y->position) - (x->position < y->position);
}

/* Most differ in their first byte already, and there are many: no call for those. */
static bool same_key(const char *a, const char *b)
{
	return *a == *b && strcmp(a, b) == 0;
}

static bool named_again(const struct json *v)
{
	for (const struct json *later = v->next; later; later = later->next)
		if (same_key(later->key, v->key))
			return true;
	return false;
}

/* Takes the name from every member that a later one replaces. */
static void strike_repeated(struct json *object)
{
	struct member *members = calloc(object->n, sizeof(*members));
	size_t n = 0;

	for (struct json *v = object->first; v; v = v->next) {
		if (members)
			members[n] = (struct member){ v, n };
		else if (named_again(v))
			v->key = NULL;
		n++;
	}
	if (!members)
		return;
	qsort(members, n, sizeof(*members), compare_members);
	for (size_t i = 0; i + 1 < n; i++)
		if (strcmp(members[i].v->key, members[i + 1].v->key) == 0)
			members[i].v->key = NULL;
	free(members);
}

static int on_close_object(void *ctx)
{
	struct parser *p = ctx;
	struct json *object = p->levels[--p->depth].v;
	struct json **at = &object->first;
	bool few = object->n <= FEW_MEMBERS;

	if (!few)
		strike_repeated(object);
	while (*at) {
		if (!(*at)->key || (few && named_again(*at))) {
			*at = (*at)->next;
			object->n--;
		} else {
			at = &(*at)->next;
		}
	}
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_open_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_close_object,
	.yajl_start_array = on_open_array,
	.yajl_end_array = on_close_array,
};

/* The parser's own words, without its line end. */
static int fail_syntax(struct parser *p, size_t offset)
{
	unsigned char *why = yajl_get_error(p->yajl, 0, NULL, 0);
	char line[128];
	struct str s = STR_ON(line);
	int ret;

	str_addn(&s, (const char *)why, strcspn((const char *)why, "\n"));
	ret = fail_at(p, offset, line);
	yajl_free_error(p->yajl, why);
	return ret;
}

static int run(struct parser *p, size_t len)
{
	const unsigned char *text = (const unsigned char *)p->text;
	size_t end;

	if (yajl_parse(p->yajl, text, len) != yajl_status_ok) {
		end = yajl_get_bytes_consumed(p->yajl);
		return p->failed ? -EINVAL : fail_syntax(p, end ? end - 1 : 0);
	}
	/* a number at the very end is complete only now */
	if (yajl_complete_parse(p->yajl) != yajl_status_ok)
		return p->failed ? -EINVAL : fail_syntax(p, len);
	return 0;
}

int json_parse(struct arena *a, const char *name, const char *text, size_t len,
	       const struct json **out)
{
	return json_parse_large(a, name, text, len, JSON_SIZE_MAX, out);
}

int json_parse_large(struct arena *a, const char *name, const char *text, size_t len, size_t limit,
		     const struct json **out)
{
	/* lint: parameters: as json_parse(), and a bound */
	struct parser p = { .a = a, .name = name, .text = text };
	int ret;

	if (len > limit)
		return fail(EFBIG, "%s: larger than %zu bytes", name, limit);
	p.yajl = yajl_alloc(&callbacks, NULL, &p);
	if (!p.yajl)
		return fail(ENOMEM, "%s: no memory for the JSON parser", name);
	ret = run(&p, len);
	yajl_free(p.yajl);
	if (!ret)
		*out = p.root;
	return ret;
}

int json_read(struct arena *a, int dir, const char *path, const struct json **out)
{
	char *text;
	size_t len;
	int ret;

	ret = fd_read_file(dir, path, a, JSON_SIZE_MAX, &text, &len);
	return ret ? ret : json_parse(a, path, text, len, out);
}

const struct json *json_get(const struct json *v, const char *key)
{
	if (!v || v->type != JSON_OBJECT)
		return NULL;
	for (v = v->first; v; v = v->next)
		if (same_key(v->key, key))
			return v;
	return NULL;
}

const char *json_str(const struct json *v)
{
	return v && v->type == JSON_STRING ? v->text : NULL;
}

bool json_bool(const struct json *v)
{
	return v && v->type == JSON_BOOL && v->truth;
}

int json_u64(const struct json *v, uint64_t min, uint64_t max, uint64_t *out)
{
	if (!v || v->type != JSON_NUMBER)
		return -EINVAL;
	if (v->text[0] == '-')
		return strspn(v->text + 1, "0123456789") == strlen(v->text + 1) ? -ERANGE : -EINVAL;
	return num_u64(v->text, min, max, out);
}

int json_i64(const struct json *v, int64_t min, int64_t max, int64_t *out)
{
	if (!v || v->type != JSON_NUMBER)
		return -EINVAL;
	return num_i64(v->text, min, max, out);
}

const char *json_type_name(enum json_type type)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",       [JSON_BOOL] = "a boolean", [JSON_NUMBER] = "a number",
		[JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
	};

	return names[type];
}
