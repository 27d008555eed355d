/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/bind.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup.h"
#include "oci/json.h"

#define NO_INDEX SIZE_MAX
#define WORDS_MAX 512 /* bytes of a message that lists what is allowed */

/* Where a value stands: a chain on the stack, written out only for a message. */
struct place {
	const struct place *in;
	const char *key; /* NULL for an element of an array */
	size_t index;
};

struct binder {
	struct arena *a;
	const char *doc;
};

struct number {
	int64_t min;
	uint64_t max;
	size_t size;
};

static const struct number numbers[] = {
	[BIND_U16] = { 0, UINT16_MAX, sizeof(uint16_t) },
	[BIND_U32] = { 0, UINT32_MAX, sizeof(uint32_t) },
	[BIND_U64] = { 0, UINT64_MAX, sizeof(uint64_t) },
	[BIND_I32] = { INT32_MIN, INT32_MAX, sizeof(int32_t) },
	[BIND_I64] = { INT64_MIN, INT64_MAX, sizeof(int64_t) },
};

static const size_t sizes[] = {
	[BIND_STR] = sizeof(const char *), [BIND_BOOL] = sizeof(bool),
	[BIND_U16] = sizeof(uint16_t),     [BIND_U32] = sizeof(uint32_t),
	[BIND_U64] = sizeof(uint64_t),     [BIND_I32] = sizeof(int32_t),
	[BIND_I64] = sizeof(int64_t),      [BIND_WORD] = sizeof(uint32_t),
	[BIND_JSON] = sizeof(void *),
};

static int bind_members(const struct binder *b, const struct place *at, const struct json *v,
			const struct bind_table *t, void *out);

static void add_place(struct str *s, const struct place *p)
{
	if (!p)
		return;
	add_place(s, p->in);
	if (!p->key)
		str_addf(s, "[%zu]", p->index);
	else if (*p->key)
		str_addf(s, "%s%s", s->len ? "." : "", p->key);
}

static int refuse(const struct binder *b, const struct place *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(const struct binder *b, const struct place *at, const char *fmt, ...)
{
	char where[256], why[WORDS_MAX + 256];
	struct str s = STR_ON(where);
	va_list ap;

	add_place(&s, at);
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return fail(EINVAL, "%s: %s%s%s", b->doc, where, s.len ? ": " : "", why);
}

static int wrong_type(const struct binder *b, const struct place *at, const char *must,
		      const struct json *v)
{
	return refuse(b, at, "must be %s, is %s", must, json_type_name(v->type));
}

static int read_number(const struct binder *b, const struct place *at, const struct number *n,
		       const struct json *v, uint64_t *out)
{
	int64_t negative;
	int ret;

	if (v->type != JSON_NUMBER)
		return wrong_type(b, at, "an integer", v);
	if (v->text[0] == '-') {
		ret = json_i64(v, n->min, INT64_MAX, &negative);
		*out = ret ? 0 : (uint64_t)negative;
	} else {
		ret = json_u64(v, 0, n->max, out);
	}
	if (ret == -EINVAL)
		return refuse(b, at, "must be an integer, is %.40s", v->text);
	if (ret)
		return refuse(b, at, "must be from %lld to %llu, is %.40s", (long long)n->min,
			      (unsigned long long)n->max, v->text);
	return 0;
}

static int read_word(const struct binder *b, const struct place *at, const struct bind_field *f,
		     const struct json *v, uint64_t *out)
{
	const struct name_row *row;
	char words[WORDS_MAX];
	struct str s = STR_ON(words);

	if (v->type != JSON_STRING)
		return wrong_type(b, at, "a string", v);
	row = name_find(f->names, f->n_names, v->text);
	if (!row) {
		for (size_t i = 0; i < f->n_names; i++)
			str_addf(&s, "%s%s", i ? ", " : "", f->names[i].name);
		return refuse(b, at, "\"%.60s\" is unknown (known: %s)", v->text, words);
	}
	*out = row->value;
	return 0;
}

/* A boolean, number or word as 64 bits. */
static int read_scalar(const struct binder *b, const struct place *at, const struct bind_field *f,
		       const struct json *v, uint64_t *out)
{
	struct number n;

	if (f->kind == BIND_WORD)
		return read_word(b, at, f, v, out);
	if (f->kind == BIND_BOOL) {
		if (v->type != JSON_BOOL)
			return wrong_type(b, at, "a boolean", v);
		*out = v->truth;
		return 0;
	}
	n = numbers[f->kind];
	if (f->shape == BIND_OPT && n.max > INT64_MAX)
		n.max = INT64_MAX;
	return read_number(b, at, &n, v, out);
}

static void store(void *out, size_t size, uint64_t value)
{
	/* the low bytes, whatever the byte order of the CPU */
	uint8_t u8 = (uint8_t)value;
	uint16_t u16 = (uint16_t)value;
	uint32_t u32 = (uint32_t)value;

	if (size == sizeof(u8))
		memcpy(out, &u8, size);
	else if (size == sizeof(u16))
		memcpy(out, &u16, size);
	else if (size == sizeof(u32))
		memcpy(out, &u32, size);
	else
		memcpy(out, &value, sizeof(value));
}

static int bind_one(const struct binder *b, const struct place *at, const struct bind_field *f,
		    const struct json *v, void *out)
{
	uint64_t value = 0;
	int ret;

	switch (f->kind) {
	case BIND_STR:
		if (v->type != JSON_STRING)
			return wrong_type(b, at, "a string", v);
		memcpy(out, &v->text, sizeof(v->text));
		return 0;
	case BIND_JSON:
		memcpy(out, &v, sizeof(v));
		return 0;
	case BIND_OBJECT:
		return bind_members(b, at, v, f->table, out);
	default:
		ret = read_scalar(b, at, f, v, &value);
		if (!ret)
			store(out, sizes[f->kind], value);
		return ret;
	}
}

static int bind_opt(const struct binder *b, const struct place *at, const struct bind_field *f,
		    const struct json *v, struct opt_i64 *out)
{
	uint64_t value = 0;
	int ret = read_scalar(b, at, f, v, &value);

	if (!ret)
		*out = (struct opt_i64){ .set = true, .v = (int64_t)value };
	return ret;
}

/* The elements of an array, or the members of an object with free names, one after another. */
static int bind_many(const struct binder *b, const struct place *at, const struct bind_field *f,
		     const struct json *v, void *out)
{
	bool map = f->shape == BIND_MAP;
	size_t size = f->kind == BIND_OBJECT ? f->table->size : sizes[f->kind];
	size_t skip = 0, n = 0;
	char *array;
	int ret;

	if (v->type != (map ? JSON_OBJECT : JSON_ARRAY))
		return wrong_type(b, at, map ? "an object" : "an array", v);
	if (map && f->kind != BIND_OBJECT) {
		skip = sizeof(const char *);
		size += skip;
	}
	array = arena_array(b->a, v->n, size);
	for (const struct json *e = v->first; e; e = e->next, n++) {
		struct place here = { at, e->key, n };
		char *element = array + n * size;

		if (map)
			memcpy(element, &e->key, sizeof(e->key));
		if (map && e->type == JSON_NULL && f->kind == BIND_OBJECT)
			continue;
		ret = bind_one(b, &here, f, e, element + skip);
		if (ret)
			return ret;
	}
	memcpy(out, &array, sizeof(array));
	return 0;
}

static int bind_words(const struct binder *b, const struct place *at, const struct bind_field *f,
		      const struct json *v, const char ***out)
{
	const char **words;
	size_t n = 0;
	int ret;

	if (v->type != JSON_ARRAY)
		return wrong_type(b, at, "an array", v);
	words = arena_array(b->a, v->n + 1, sizeof(*words));
	for (const struct json *e = v->first; e; e = e->next, n++) {
		ret = bind_one(b, &(struct place){ at, NULL, n }, f, e, &words[n]);
		if (ret)
			return ret;
	}
	*out = words;
	return 0;
}

static int bind_flags(const struct binder *b, const struct place *at, const struct bind_field *f,
		      const struct json *v, uint64_t *out)
{
	uint64_t flags = 0, one = 0;
	size_t n = 0;
	int ret;

	if (v->type != JSON_ARRAY)
		return wrong_type(b, at, "an array", v);
	for (const struct json *e = v->first; e; e = e->next, n++) {
		ret = read_word(b, &(struct place){ at, NULL, n }, f, e, &one);
		if (ret)
			return ret;
		flags |= one;
	}
	*out = flags;
	return 0;
}

static int bind_field(const struct binder *b, const struct place *at, const struct bind_field *f,
		      const struct json *v, char *out)
{
	void *member = out + f->at;
	void *fresh;
	int ret;

	switch (f->shape) {
	case BIND_ONE:
		return bind_one(b, at, f, v, member);
	case BIND_OPT:
		return bind_opt(b, at, f, v, member);
	case BIND_PTR:
		fresh = arena_alloc(b->a, f->table->size);
		ret = bind_members(b, at, v, f->table, fresh);
		memcpy(member, &fresh, sizeof(fresh));
		return ret;
	case BIND_WORDS:
		return bind_words(b, at, f, v, member);
	case BIND_FLAGS:
		return bind_flags(b, at, f, v, member);
	case BIND_LIST:
	case BIND_MAP:
		ret = bind_many(b, at, f, v, member);
		if (!ret)
			memcpy(out + f->count, &v->n, sizeof(v->n));
		return ret;
	}
	return 0;
}

static int bind_members(const struct binder *b, const struct place *at, const struct json *v,
			const struct bind_table *t, void *out)
{
	int ret;

	if (v->type != JSON_OBJECT)
		return wrong_type(b, at, "an object", v);
	for (size_t i = 0; i < t->n; i++) {
		const struct bind_field *f = &t->fields[i];
		const struct json *value = json_get(v, f->name);
		struct place here = { at, f->name, NO_INDEX };

		if (!value || value->type == JSON_NULL) {
			if (f->required)
				return refuse(b, &here, "is missing");
			continue;
		}
		ret = bind_field(b, &here, f, value, out);
		if (ret)
			return ret;
	}
	return 0;
}

int bind_object(struct arena *a, const char *doc, const char *path, const struct json *v,
		const struct bind_table *t, void *out)
{
	/* lint: parameters: where the text is from, what it is, and what it becomes */
	struct binder b = { a, doc };
	struct place top = { NULL, path, NO_INDEX };

	return bind_members(&b, &top, v, t, out);
}
