/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/ckpt_diff.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/image.h"
#include "ckpt/pages.h"
#include "oci/json.h"

#define VALUE_MAX 120     /* characters of a value that are shown */
#define PATH_ROOM 1024    /* of the way to a field */
#define MATCHED_MAX 20000 /* elements that are looked for one by one */
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

struct diff {
	struct arena *a;
	struct image *image[2];
	const struct json *files[2];
	struct ckpt_differences *out;
	const char *file;
};

static void add(struct diff *d, const char *path, const char *before, const char *after)
{
	struct ckpt_differences *out = d->out;

	out->v = arena_grow(d->a, out->v, out->n, &out->room, sizeof(*out->v));
	out->v[out->n++] = (struct ckpt_difference){
		.file = d->file,
		.path = arena_strdup(d->a, path),
		.before = before,
		.after = after,
	};
}

static const char *text_of(struct diff *d, const struct json *v)
{
	struct json_writer *w = json_writer_new(d->a, false);
	const char *text;
	size_t len;

	if (!v)
		return NULL;
	json_put_tree(w, NULL, v);
	text = json_writer_text(w, &len);
	return len <= VALUE_MAX ? text : arena_printf(d->a, "%.*s...", VALUE_MAX - 3, text);
}

/* ---- records */

/* What an element of a list is called, NULL for its place alone. */
static const char *identity(const struct json *v)
{
	static const char *const keys[] = { "fd", "tid", "pid", "id", "start", "resource", "name" };

	for (size_t i = 0; v->type == JSON_OBJECT && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_get(v, keys[i]))
			return keys[i];
	return NULL;
}

static const struct json *find(const struct json *list, const struct json *like, size_t at)
{
	const char *key = list->n <= MATCHED_MAX ? identity(like) : NULL;
	const struct json *want = json_get(like, key ? key : ""), *is;

	for (const struct json *e = list->first; e; e = e->next, at--) {
		is = key ? json_get(e, key) : NULL;
		if (!key ? at == 0
			 : is && is->text && want->text && strcmp(is->text, want->text) == 0)
			return e;
	}
	return NULL;
}

static const char *element_path(struct diff *d, const char *path, const struct json *e, size_t at)
{
	const char *key = identity(e);
	const struct json *value = json_get(e, key ? key : "");

	if (!value || !value->text)
		return arena_printf(d->a, "%s[%zu]", path, at);
	return arena_printf(d->a, "%s[%s=%.64s]", path, key, value->text);
}

static const char *member_path(struct diff *d, const char *path, const char *key)
{
	return arena_printf(d->a, "%s%s%s", path, *path ? "." : "", key);
}

static bool same_scalar(const struct json *x, const struct json *y)
{
	if (x->type == JSON_BOOL)
		return x->truth == y->truth;
	return x->type == JSON_NULL || strcmp(x->text, y->text) == 0;
}

static void compare(struct diff *d, const char *path, const struct json *x, const struct json *y);

/* Members, or elements: what both have is compared, then what is new in y is told. */
static void compare_inside(struct diff *d, const char *path, const struct json *x,
			   const struct json *y)
{
	bool object = x->type == JSON_OBJECT;
	const struct json *other;
	const char *here;
	size_t at = 0;

	for (const struct json *e = x->first; e; e = e->next, at++) {
		other = object ? json_get(y, e->key) : find(y, e, at);
		here = object ? member_path(d, path, e->key) : element_path(d, path, e, at);
		compare(d, here, e, other);
	}
	at = 0;
	for (const struct json *e = y->first; e; e = e->next, at++) {
		other = object ? json_get(x, e->key) : find(x, e, at);
		here = object ? member_path(d, path, e->key) : element_path(d, path, e, at);
		if (!other)
			compare(d, here, NULL, e);
	}
}

static void compare(struct diff *d, const char *path, const struct json *x, const struct json *y)
{
	if (x && y && x->type == y->type && strlen(path) < PATH_ROOM) {
		if (x->type == JSON_OBJECT || x->type == JSON_ARRAY) {
			compare_inside(d, path, x, y);
			return;
		}
		if (same_scalar(x, y))
			return;
	}
	add(d, path, text_of(d, x), text_of(d, y));
}

static int compare_records(struct diff *d)
{
	const struct json *tree[2];
	const void *text;
	size_t len;
	int ret = 0;

	for (int i = 0; i < 2 && !ret; i++) {
		ret = image_get(d->image[i], d->file, IMAGE_RECORD_MAX, &text, &len);
		if (!ret)
			ret = json_parse_large(d->a, d->file, text, len, IMAGE_RECORD_MAX,
					       &tree[i]);
	}
	if (!ret)
		compare(d, "", tree[0], tree[1]);
	return ret;
}

/* ---- memory */

struct page_count {
	uint64_t pages, other, missing; /* in the second one */
};

static void count_pages(struct page_store *in, struct page_store *with, size_t page,
			struct page_count *out)
{
	const uint8_t *mine, *theirs;

	*out = (struct page_count){ .pages = in->pages };
	for (size_t s = 0; s < in->n; s++)
		for (size_t i = 0; i < in->v[s].n; i++)
			for (uint64_t k = 0; k < in->v[s].runs[i].pages; k++) {
				mine = in->v[s].map.data + in->v[s].runs[i].at + k * page;
				theirs = page_store_find(with, in->v[s].runs[i].start + k * page,
							 page);
				out->missing += !theirs;
				out->other += theirs && memcmp(mine, theirs, page) != 0;
			}
}

/* name: PREFIX.memory.bin */
static int compare_pages(struct diff *d)
{
	const size_t page = (size_t)image_meta(d->image[0])->page_size;
	const char *prefix = arena_strndup(d->a, d->file, strlen(d->file) - strlen(".memory.bin"));
	struct page_store store[2] = { { 0 } };
	struct page_count there, back;
	int ret = 0;

	for (int i = 0; i < 2 && !ret; i++)
		ret = page_store_open(d->a, d->image[i], prefix, &store[i]);
	if (!ret) {
		count_pages(&store[0], &store[1], page, &there);
		count_pages(&store[1], &store[0], page, &back);
		if (there.other || there.missing || back.missing)
			add(d, "pages", arena_printf(d->a, "%llu", (unsigned long long)there.pages),
			    arena_printf(d->a, "%llu (%llu changed, %llu new, %llu gone)",
					 (unsigned long long)back.pages,
					 (unsigned long long)there.other,
					 (unsigned long long)back.missing,
					 (unsigned long long)there.missing));
	}
	for (int i = 0; i < 2; i++)
		page_store_close(&store[i]);
	return ret;
}

/* ---- images */

static const struct json *entry(const struct diff *d, int i, const char *name)
{
	for (const struct json *e = d->files[i]->first; e; e = e->next)
		if (strcmp(json_str(json_get(e, "name")), name) == 0)
			return e;
	return NULL;
}

static int compare_file(struct diff *d, const struct json *x, const struct json *y)
{
	const char *bytes[2];

	if (str_ends(d->file, ".memory.bin"))
		return compare_pages(d);
	/* they only say where the pages of the one above were */
	if (str_ends(d->file, ".runs.bin") || str_ends(d->file, ".parent.bin") ||
	    strcmp(json_str(json_get(x, "digest")), json_str(json_get(y, "digest"))) == 0)
		return 0;
	if (str_ends(d->file, ".json"))
		return compare_records(d);
	bytes[0] = json_get(x, "size")->text;
	bytes[1] = json_get(y, "size")->text;
	add(d, "", arena_printf(d->a, "%s bytes", bytes[0]),
	    arena_printf(d->a, "%s other bytes", bytes[1]));
	return 0;
}

static int read_files(struct diff *d, int i)
{
	const struct json *meta;
	const char *text;
	size_t len;
	int ret = image_meta_text(d->image[i], &text, &len);

	if (!ret)
		ret = json_parse_large(d->a, IMAGE_META, text, len, IMAGE_RECORD_MAX, &meta);
	if (!ret)
		d->files[i] = json_get(meta, "files");
	return ret;
}

int ckpt_diff(struct arena *a, struct image *before, struct image *after,
	      struct ckpt_differences *out)
{
	struct diff d = { .a = a, .image = { before, after }, .out = out };
	const struct json *other;
	int ret = read_files(&d, 0);

	if (!ret)
		ret = read_files(&d, 1);
	if (!ret && image_meta(before)->page_size != image_meta(after)->page_size)
		return fail(EINVAL, "the images have pages of different sizes");
	for (const struct json *e = ret ? NULL : d.files[0]->first; e && !ret; e = e->next) {
		d.file = json_str(json_get(e, "name"));
		other = entry(&d, 1, d.file);
		if (other)
			ret = compare_file(&d, e, other);
		else
			add(&d, "", "there", NULL);
	}
	for (const struct json *e = ret ? NULL : d.files[1]->first; e; e = e->next) {
		d.file = json_str(json_get(e, "name"));
		if (!entry(&d, 0, d.file))
			add(&d, "", NULL, "there");
	}
	return ret;
}

/* ---- what is printed */

void ckpt_diff_text(struct arena *a, const struct ckpt_differences *d, FILE *out, bool colour)
{
	struct str s;

	for (size_t i = 0; i < d->n; i++) {
		const struct ckpt_difference *one = &d->v[i];

		if (!i || strcmp(one->file, one[-1].file) != 0)
			fprintf(out, "%s%s%s\n", colour ? BOLD : "", one->file,
				colour ? PLAIN : "");
		s = (struct str){ .buf = arena_alloc(a, 6 * strlen(one->path) + 1),
				  .size = 6 * strlen(one->path) + 1 };
		str_add_json(&s, one->path);
		fprintf(out, "    %s%s%s -> %s\n", s.buf, s.len ? ": " : "",
			one->before ? one->before : "nothing", one->after ? one->after : "nothing");
	}
}

const char *ckpt_diff_json(struct arena *a, const struct ckpt_differences *d, size_t *out_len)
{
	struct json_writer *w = json_writer_new(a, true);

	json_open_array(w, NULL);
	for (size_t i = 0; i < d->n; i++) {
		json_open_object(w, NULL);
		json_put_str(w, "file", d->v[i].file);
		json_put_str(w, "path", d->v[i].path);
		json_put_str(w, "before", d->v[i].before);
		json_put_str(w, "after", d->v[i].after);
		json_close(w);
	}
	json_close(w);
	return json_writer_text(w, out_len);
}
