/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/json.h"

#define RAW_KEY "bytes"
#define TEXT_MAX 65536u /* bytes of a RECORD_TEXT whose row says nothing else */
#define BYTES_MAX (64u << 20)
#define SIZE_MAX_PARSED (256u << 20)

static uint64_t load_unsigned(const void *at, uint8_t width)
{
	switch (width) {
	case 1:
		return *(const uint8_t *)at;
	case 2:
		return *(const uint16_t *)at;
	case 4:
		return *(const uint32_t *)at;
	default:
		return *(const uint64_t *)at;
	}
}

static int64_t load_signed(const void *at, uint8_t width)
{
	switch (width) {
	case 1:
		return *(const int8_t *)at;
	case 2:
		return *(const int16_t *)at;
	case 4:
		return *(const int32_t *)at;
	default:
		return *(const int64_t *)at;
	}
}

static void store(void *at, uint8_t width, uint64_t value)
{
	switch (width) {
	case 1:
		*(uint8_t *)at = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)at = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(uint64_t *)at = value;
	}
}

static uint64_t largest(uint8_t width)
{
	return width >= 8 ? UINT64_MAX : (1ull << (width * 8)) - 1;
}

/* ---- writing */

static const char *hex_of(struct arena *a, const void *data, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = data;
	char *out = arena_alloc(a, n * 2 + 1);

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	return out;
}

struct writer {
	struct arena *a;
	struct json_writer *json;
	const struct record_field *refused; /* the first that no reader would take */
};

static void limit(struct writer *w, const struct record_field *f, uint64_t is, uint64_t most)
{
	if (is > (f->max ? f->max : most) && !w->refused)
		w->refused = f;
}

static void put_text(struct writer *w, const struct record_field *f, const char *text)
{
	size_t len = strlen(text);

	limit(w, f, len, TEXT_MAX);
	if (str_is_utf8(text)) {
		json_put_str(w->json, f->name, text);
		return;
	}
	json_open_object(w->json, f->name);
	json_put_str(w->json, RAW_KEY, hex_of(w->a, text, len));
	json_close(w->json);
}

static void put_bytes(struct writer *w, const struct record_field *f, const void *data, size_t n)
{
	limit(w, f, n, BYTES_MAX);
	json_put_str(w->json, f->name, hex_of(w->a, data, n));
}

static void put_members(struct writer *w, const struct record_table *t, const void *rec);

static void put_list(struct writer *w, const struct record_field *f, const void *list, size_t n)
{
	limit(w, f, n, RECORD_COUNT_MAX);
	json_open_array(w->json, f->name);
	for (size_t i = 0; i < n; i++) {
		if (f->type == RECORD_NUMBERS) {
			json_put_u64(w->json, NULL, ((const uint64_t *)list)[i]);
			continue;
		}
		json_open_object(w->json, NULL);
		put_members(w, f->table, (const char *)list + i * f->table->size);
		json_close(w->json);
	}
	json_close(w->json);
}

static void put_object(struct writer *w, const struct record_field *f, const void *rec)
{
	json_open_object(w->json, f->name);
	put_members(w, f->table, rec);
	json_close(w->json);
}

static void put_number(struct writer *w, const struct record_field *f, uint64_t u)
{
	char hex[24];

	limit(w, f, u, UINT64_MAX);
	if (f->type == RECORD_U) {
		json_put_u64(w->json, f->name, u);
		return;
	}
	snprintf(hex, sizeof(hex), "0x%" PRIx64, u);
	json_put_str(w->json, f->name, hex);
}

static bool is_absent(const struct record_field *f, const void *rec)
{
	const char *at = (const char *)rec + f->at;
	size_t width;

	switch (f->type) {
	case RECORD_TEXT:
	case RECORD_POINTER:
		return !*(void *const *)at;
	case RECORD_BYTES:
	case RECORD_NUMBERS:
	case RECORD_LIST:
		return !*(const size_t *)((const char *)rec + f->count);
	default:
		width = f->type == RECORD_OBJECT ? f->table->size : f->width;
		for (size_t i = 0; i < width; i++)
			if (at[i])
				return false;
		return true;
	}
}

static void put_field(struct writer *w, const struct record_field *f, const void *rec)
{
	const char *at = (const char *)rec + f->at;
	const size_t *n = (const void *)((const char *)rec + f->count);

	switch (f->type) {
	case RECORD_U:
	case RECORD_HEX:
		put_number(w, f, load_unsigned(at, f->width));
		break;
	case RECORD_I:
		json_put_i64(w->json, f->name, load_signed(at, f->width));
		break;
	case RECORD_BOOL:
		json_put_bool(w->json, f->name, *(const bool *)at);
		break;
	case RECORD_TEXT:
		put_text(w, f, *(const char *const *)at);
		break;
	case RECORD_BYTES:
		put_bytes(w, f, *(const void *const *)at, *n);
		break;
	case RECORD_OBJECT:
		put_object(w, f, at);
		break;
	case RECORD_POINTER:
		put_object(w, f, *(const void *const *)at);
		break;
	case RECORD_NUMBERS:
	case RECORD_LIST:
		put_list(w, f, *(const void *const *)at, *n);
		break;
	}
}

static void put_members(struct writer *w, const struct record_table *t, const void *rec)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->fields[i].optional || !is_absent(&t->fields[i], rec))
			put_field(w, &t->fields[i], rec);
}

static int write_record(struct arena *a, const struct record_table *t, const void *rec,
			const char **out, size_t *out_len)
{
	struct writer w = { .a = a, .json = json_writer_new(a, false) };

	json_open_object(w.json, NULL);
	put_members(&w, t, rec);
	json_close(w.json);
	*out = json_writer_text(w.json, out_len);
	if (w.refused)
		return fail(E2BIG, "%s: it is more than an image holds", w.refused->name);
	return *out_len > SIZE_MAX_PARSED
		       ? fail(E2BIG, "a record of %zu bytes is more than an image holds", *out_len)
		       : 0;
}

/* ---- reading */

/* Where in the file we are: one frame an object or list on the way. */
struct place {
	const struct place *up; /* NULL: the whole text */
	const char *name;       /* of the member, or NULL: element `index` */
	size_t index;
};

struct reader {
	struct arena *a;
	const char *file;
};

static void describe(const struct place *p, struct str *s)
{
	if (!p)
		return;
	describe(p->up, s);
	if (!p->name)
		str_addf(s, "[%zu]", p->index);
	else
		str_addf(s, "%s%s", s->len ? "." : "", p->name);
}

static int refuse(const struct reader *r, const struct place *p, const char *what)
{
	char text[256];
	struct str s = STR_ON(text);

	describe(p, &s);
	return fail(EINVAL, "%s: %s%s%s", r->file, text, s.len ? ": " : "", what);
}

static int refuse_type(const struct reader *r, const struct place *p, const char *want,
		       const struct json *v)
{
	char text[96];

	snprintf(text, sizeof(text), "must be %s, is %s", want, json_type_name(v->type));
	return refuse(r, p, text);
}

static int get_members(const struct reader *r, const struct place *p, const struct json *v,
		       const struct record_table *t, void *out);

static int bytes_of(struct arena *a, const char *hex, uint8_t **out, size_t *out_n)
{
	size_t n = strlen(hex);
	uint8_t *b = arena_alloc(a, n / 2 + 1);
	uint64_t one;

	if (n % 2)
		return -EINVAL;
	for (size_t i = 0; i < n / 2; i++) {
		if (num_hex(hex + 2 * i, 2, &one))
			return -EINVAL;
		b[i] = (uint8_t)one;
	}
	*out = b;
	*out_n = n / 2;
	return 0;
}

static int get_number(const struct reader *r, const struct place *p, const struct record_field *f,
		      const struct json *v, void *at)
{
	uint64_t max = largest(f->width), u;
	int64_t bound = (int64_t)(max >> 1), i;
	int ret;

	if (f->type == RECORD_I) {
		ret = json_i64(v, -bound - 1, bound, &i);
		u = (uint64_t)i;
	} else {
		ret = json_u64(v, 0, f->max && f->max < max ? f->max : max, &u);
	}
	if (ret == -EINVAL)
		return refuse_type(r, p, "an integer", v);
	if (ret)
		return refuse(r, p, "is out of range");
	store(at, f->width, u);
	return 0;
}

static int get_hex(const struct reader *r, const struct place *p, const struct record_field *f,
		   const struct json *v, void *at)
{
	const char *text = json_str(v);
	uint64_t u;

	if (!text)
		return refuse_type(r, p, "a string like \"0x1f\"", v);
	if (!str_starts(text, "0x") || strlen(text) > 18 || num_hex(text + 2, strlen(text + 2), &u))
		return refuse(r, p, "is no hexadecimal number");
	if (u > (f->max ? f->max : largest(f->width)))
		return refuse(r, p, "is out of range");
	store(at, f->width, u);
	return 0;
}

static int get_text(const struct reader *r, const struct place *p, const struct record_field *f,
		    const struct json *v, const char **at)
{
	const char *raw = json_str(json_get(v, RAW_KEY)), *text = json_str(v);
	uint8_t *bytes;
	size_t n;

	if (!text && (!raw || v->n != 1))
		return refuse_type(r, p, "a string", v);
	if (!text) {
		if (bytes_of(r->a, raw, &bytes, &n) || memchr(bytes, '\0', n))
			return refuse(r, p, "is no string of bytes in hexadecimal");
		text = (const char *)bytes;
	}
	if (strlen(text) > (f->max ? f->max : TEXT_MAX))
		return refuse(r, p, "is too long");
	*at = text;
	return 0;
}

static int get_bytes(const struct reader *r, const struct place *p, const struct record_field *f,
		     const struct json *v, const void **at, size_t *count)
{
	/* lint: parameters: where the value is, what it may be, and two results */
	const char *text = json_str(v);
	uint8_t *bytes;
	size_t n;

	if (!text)
		return refuse_type(r, p, "a string", v);
	if (bytes_of(r->a, text, &bytes, &n))
		return refuse(r, p, "is no string of bytes in hexadecimal");
	if (n > (f->max ? f->max : BYTES_MAX))
		return refuse(r, p, "is too long");
	*at = bytes;
	*count = n;
	return 0;
}

static int get_list(const struct reader *r, const struct place *p, const struct record_field *f,
		    const struct json *v, void **at, size_t *count)
{
	/* lint: parameters: where the value is, what it may be, and two results */
	static const struct record_field number = { .type = RECORD_U, .width = 8 };
	size_t size = f->type == RECORD_LIST ? f->table->size : sizeof(uint64_t), n = 0;
	struct place here = { .up = p };
	char *list;
	int ret = 0;

	if (v->type != JSON_ARRAY)
		return refuse_type(r, p, "an array", v);
	if (v->n > (f->max ? f->max : RECORD_COUNT_MAX))
		return refuse(r, p, "has too many elements");
	list = arena_array(r->a, v->n ? v->n : 1, size);
	for (const struct json *e = v->first; e && !ret; e = e->next, n++) {
		here.index = n;
		ret = f->type == RECORD_LIST ? get_members(r, &here, e, f->table, list + n * size)
					     : get_number(r, &here, &number, e, list + n * size);
	}
	*at = list;
	*count = n;
	return ret;
}

static int get_field(const struct reader *r, const struct place *p, const struct record_field *f,
		     const struct json *v, void *out)
{
	char *at = (char *)out + f->at;
	size_t *count = (void *)((char *)out + f->count);

	switch (f->type) {
	case RECORD_U:
	case RECORD_I:
		return get_number(r, p, f, v, at);
	case RECORD_HEX:
		return get_hex(r, p, f, v, at);
	case RECORD_BOOL:
		if (v->type != JSON_BOOL)
			return refuse_type(r, p, "true or false", v);
		*(bool *)at = v->truth;
		return 0;
	case RECORD_TEXT:
		return get_text(r, p, f, v, (const char **)at);
	case RECORD_BYTES:
		return get_bytes(r, p, f, v, (const void **)at, count);
	case RECORD_OBJECT:
		return get_members(r, p, v, f->table, at);
	case RECORD_POINTER:
		*(void **)at = arena_alloc(r->a, f->table->size ? f->table->size : 1);
		return get_members(r, p, v, f->table, *(void **)at);
	case RECORD_NUMBERS:
	case RECORD_LIST:
		return get_list(r, p, f, v, (void **)at, count);
	}
	return refuse(r, p, "is of a kind that this version does not know");
}

static int refuse_unknown(const struct reader *r, const struct place *p, const struct json *v,
			  const struct record_table *t)
{
	struct place here = { .up = p };

	for (const struct json *m = v->first; m; m = m->next) {
		size_t i = 0;

		while (i < t->n && strcmp(t->fields[i].name, m->key) != 0)
			i++;
		here.name = m->key;
		if (i == t->n)
			return refuse(r, &here, "is not known to this version");
	}
	return 0;
}

static int get_members(const struct reader *r, const struct place *p, const struct json *v,
		       const struct record_table *t, void *out)
{
	struct place here = { .up = p };
	const struct json *m;
	size_t seen = 0;
	int ret;

	if (v->type != JSON_OBJECT)
		return refuse_type(r, p, "an object", v);
	for (size_t i = 0; i < t->n; i++) {
		here.name = t->fields[i].name;
		m = json_get(v, here.name);
		if (!m && !t->fields[i].optional)
			return refuse(r, &here, "is missing");
		if (!m)
			continue;
		seen++;
		ret = get_field(r, &here, &t->fields[i], m, out);
		if (ret)
			return ret;
	}
	return seen == v->n ? 0 : refuse_unknown(r, p, v, t);
}

static int parse_record(struct arena *a, const char *file, const char *text, size_t len,
			const struct record_table *t, void *out)
{
	/* lint: parameters: record_codec gives it */
	const struct reader r = { .a = a, .file = file };
	const struct json *v;
	int ret = json_parse_large(a, file, text, len, SIZE_MAX_PARSED, &v);

	return ret ? ret : get_members(&r, NULL, v, t, out);
}

const struct record_codec image_json = { .write = write_record, .parse = parse_record };
