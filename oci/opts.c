/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/opts.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup.h"

#define COLUMNS 80
#define HELP_AT 30

struct parse {
	struct arena *arena;
	const struct opt_table *table;
	char *const *next; /* the word after the one being looked at */
	void *values;
	bool help;
};

static bool takes_value(enum opt_kind kind)
{
	return kind != OPT_FLAG && kind != OPT_SKIP_FLAG;
}

static const struct opt *find_name(const struct opt_table *t, const char *name, size_t len)
{
	for (; t; t = t->also)
		for (size_t i = 0; i < t->n; i++)
			if (strlen(t->v[i].name) == len && memcmp(t->v[i].name, name, len) == 0)
				return &t->v[i];
	return NULL;
}

static const struct opt *find_letter(const struct opt_table *t, char letter)
{
	for (; t; t = t->also)
		for (size_t i = 0; i < t->n; i++)
			if (t->v[i].letter && t->v[i].letter == letter)
				return &t->v[i];
	return NULL;
}

static int bad_value(const struct opt *o, const char *text, const char *why)
{
	return fail(EINVAL, "invalid value \"%s\" for flag --%s: %s", text, o->name, why);
}

static int put_flag(const struct opt *o, const char *text, bool *out)
{
	static const char *const yes[] = { "true", "1", "t", "T", "TRUE", "True", "yes" };
	static const char *const no[] = { "false", "0", "f", "F", "FALSE", "False", "no" };
	bool on = !text || str_in(text, yes, sizeof(yes) / sizeof(yes[0]));

	if (!on && !str_in(text, no, sizeof(no) / sizeof(no[0])))
		return bad_value(o, text, "neither true nor false");
	*out = on;
	return 0;
}

static int put_number(const struct opt *o, const char *text, struct opt_i64 *out)
{
	int64_t v;
	int ret;

	ret = o->kind == OPT_BYTES ? num_bytes(text, &v) : num_i64(text, INT64_MIN, INT64_MAX, &v);
	if (ret == -ERANGE)
		return bad_value(o, text, "out of range");
	if (ret)
		return bad_value(o, text,
				 o->kind == OPT_BYTES ? "not a number of bytes (64m, 1g, -1)"
						      : "not a number");
	*out = (struct opt_i64){ .set = true, .v = v };
	return 0;
}

static bool word_known(const struct opt *o, const char *text)
{
	if (!o->words)
		return true;
	for (const char *const *w = o->words; *w; w++)
		if (strcmp(*w, text) == 0)
			return true;
	return false;
}

/* text is NULL for a flag without a value. */
static int put(struct parse *p, const struct opt *o, const char *text)
{
	void *place = (char *)p->values + o->at;
	struct opt_list *list;
	uint64_t count;

	if (text && !word_known(o, text))
		return bad_value(o, text, o->value);
	switch (o->kind) {
	case OPT_FLAG:
		return put_flag(o, text, place);
	case OPT_TEXT:
		*(const char **)place = text;
		return 0;
	case OPT_LIST:
		list = place;
		list->v = arena_grow(p->arena, list->v, list->n, &list->room, sizeof(*list->v));
		list->v[list->n++] = text;
		return 0;
	case OPT_COUNT:
		if (num_u64(text, 0, INT_MAX, &count))
			return bad_value(o, text, "not a number of 0 or more");
		*(int *)place = (int)count;
		return 0;
	case OPT_NUMBER:
	case OPT_BYTES:
		return put_number(o, text, place);
	case OPT_SKIP_FLAG:
	case OPT_SKIP_TEXT:
		return 0;
	}
	return 0;
}

/* The option's value is after '=' in its own word, or the next word. */
static int take(struct parse *p, const struct opt *o, const char *own)
{
	if (!takes_value(o->kind) || own)
		return put(p, o, own);
	if (!*p->next)
		return fail(EINVAL, "flag needs an argument: --%s requires an argument", o->name);
	return put(p, o, *p->next++);
}

static int parse_letters(struct parse *p, const char *word)
{
	const struct opt *o;
	int ret;

	for (const char *c = word + 1; *c; c++) {
		o = find_letter(p->table, *c);
		if (!o && *c == 'h') {
			p->help = true;
			return 0;
		}
		if (!o)
			return fail(EINVAL, "unknown flag %s", word);
		if (takes_value(o->kind) || c[1] == '=') {
			c += c[1] == '=';
			return take(p, o, c[1] || *c == '=' ? c + 1 : NULL);
		}
		ret = put(p, o, NULL);
		if (ret)
			return ret;
	}
	return 0;
}

static int parse_option(struct parse *p, const char *word)
{
	const char *name = word + (word[1] == '-' ? 2 : 1);
	size_t len = strcspn(name, "=");
	const struct opt *o = len > 1 ? find_name(p->table, name, len) : NULL;

	if (o)
		return take(p, o, name[len] ? name + len + 1 : NULL);
	if (strcmp(name, "help") == 0) {
		p->help = true;
		return 0;
	}
	if (word[1] == '-')
		return fail(EINVAL, "unknown flag --%.*s", (int)len, name);
	return parse_letters(p, word);
}

int opts_parse(struct arena *a, const struct opt_table *t, char *const *args, void *values,
	       char ***out_rest)
{
	struct parse p = { .arena = a, .table = t, .next = args, .values = values };
	size_t n = 0, count = 0;
	bool ended = false;
	char **rest;
	char *word;
	int ret;

	while (args[count])
		count++;
	rest = arena_array(a, count + 1, sizeof(*rest));
	while ((word = *p.next)) {
		p.next++;
		if (ended || word[0] != '-' || !word[1]) {
			rest[n++] = word;
			ended = ended || t->in_order;
			continue;
		}
		if (strcmp(word, "--") == 0) {
			ended = true;
			continue;
		}
		ret = parse_option(&p, word);
		if (ret)
			return ret;
		if (p.help)
			return 1;
	}
	*out_rest = rest;
	return 0;
}

void opts_wrap(FILE *out, const char *text, size_t indent, size_t used)
{
	size_t column = used, len;
	bool first = true;

	while (*text) {
		len = strcspn(text, " \n");
		if (column < indent) {
			fprintf(out, "%*s", (int)(indent - column), "");
			column = indent;
		} else if (!first && column + 1 + len >= COLUMNS) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			fputc(' ', out);
			column++;
		}
		fwrite(text, 1, len, out);
		column += len;
		first = false;
		text += len;
		if (*text == '\n') {
			fprintf(out, "\n");
			column = 0;
			first = true;
		}
		text += *text != '\0';
	}
	fputc('\n', out);
}

static void help_row(FILE *out, const struct opt *o)
{
	char head[128];
	struct str s = STR_ON(head);

	if (o->letter)
		str_addf(&s, "  -%c, --%s", o->letter, o->name);
	else
		str_addf(&s, "      --%s", o->name);
	if (takes_value(o->kind))
		str_addf(&s, " %s", o->value ? o->value : "VALUE");
	fputs(head, out);
	if (!o->help) {
		fputc('\n', out);
		return;
	}
	if (s.len + 2 > HELP_AT) {
		fputc('\n', out);
		s.len = 0;
	}
	opts_wrap(out, o->help, HELP_AT, s.len);
}

static bool is_skipped(const struct opt *o)
{
	return o->kind == OPT_SKIP_FLAG || o->kind == OPT_SKIP_TEXT;
}

/* The rows of rest, those of the tables behind it first; all is what the command has. */
static size_t help_rows(FILE *out, const struct opt_table *all, const struct opt_table *rest,
			bool skipped)
{
	size_t n = rest->also ? help_rows(out, all, rest->also, skipped) : 0;

	for (size_t i = 0; i < rest->n; i++) {
		const struct opt *o = &rest->v[i];

		if (is_skipped(o) != skipped || find_name(all, o->name, strlen(o->name)) != o)
			continue;
		if (skipped && !n)
			fputs("\nAccepted for callers of other runtimes, without effect:\n", out);
		help_row(out, o);
		n++;
	}
	return n;
}

void opts_help(FILE *out, const struct opt_table *t)
{
	fputs("\nOptions:\n", out);
	help_rows(out, t, t, false);
	opts_wrap(out, "this text", HELP_AT, (size_t)fprintf(out, "  -h, --help"));
	help_rows(out, t, t, true);
}
