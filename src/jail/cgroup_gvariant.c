/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "jail/cgroup_priv.h"

struct parser {
	struct arena *arena;
	const char *text, *p;
};

struct number_type {
	const char *word;
	char code;
	bool is_signed;
	unsigned bits;
};

static const struct number_type number_types[] = {
	{ "byte", 'y', false, 8 },  { "int16", 'n', true, 16 },   { "uint16", 'q', false, 16 },
	{ "int32", 'i', true, 32 }, { "uint32", 'u', false, 32 }, { "handle", 'h', true, 32 },
	{ "int64", 'x', true, 64 }, { "uint64", 't', false, 64 },
};

static const struct {
	const char *word;
	char code;
} other_types[] = {
	{ "boolean", 'b' },    { "double", 'd' },    { "string", 's' },
	{ "objectpath", 'o' }, { "signature", 'g' },
};

static int bad(const struct parser *p, const char *what)
{
	return fail(EINVAL, "\"%s\" is no GVariant text: %s at \"%s\"", p->text, what, p->p);
}

static void skip(struct parser *p)
{
	p->p += strspn(p->p, " \t\n");
}

static size_t word_len(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");
}

static bool word(struct parser *p, const char *w)
{
	size_t n = strlen(w);

	if (strncmp(p->p, w, n) != 0 || word_len(p->p) != n)
		return false;
	p->p += n;
	return true;
}

static const struct number_type *number_type(char code)
{
	for (size_t i = 0; i < sizeof(number_types) / sizeof(number_types[0]); i++)
		if (number_types[i].code == code)
			return &number_types[i];
	return NULL;
}

/* A type before the value, as a word or a signature: its code, or 0. */
static char type_prefix(struct parser *p)
{
	for (size_t i = 0; i < sizeof(number_types) / sizeof(number_types[0]); i++)
		if (word(p, number_types[i].word))
			return number_types[i].code;
	for (size_t i = 0; i < sizeof(other_types) / sizeof(other_types[0]); i++)
		if (word(p, other_types[i].word))
			return other_types[i].code;
	return 0;
}

/* The length of a number's text: GLib takes decimal, 0x and 0 for octal, and decimal fractions. */
static int parse_number(struct parser *p, char code, struct gvariant *out)
{
	const struct number_type *t = number_type(code ? code : 'i');
	const char *digits = p->p + (*p->p == '-' || *p->p == '+');
	bool negative = *p->p == '-';
	uint64_t v, limit;
	char *end;

	if (*digits < '0' || *digits > '9')
		return bad(p, "a value is expected");
	if (code == 'd' || (!code && strcspn(digits, ".eE") < strcspn(digits, ",] \t\n") &&
			    strncmp(digits, "0x", 2) != 0)) {
		out->kind = GV_DOUBLE;
		out->type[0] = 'd';
		out->d = strtod(p->p, &end);
		p->p = end;
		return 0;
	}
	if (!t)
		return bad(p, "a value of another type is expected");
	errno = 0;
	v = strtoull(digits, &end, 0);
	limit = t->bits == 64 ? UINT64_MAX : (1ull << t->bits) - 1;
	limit = t->is_signed ? limit / 2 + negative : negative ? 0 : limit;
	if (errno || v > limit)
		return bad(p, "the number is out of range for its type");
	p->p = end;
	out->type[0] = t->code;
	out->kind = t->is_signed ? GV_INT : GV_UINT;
	out->u = v;
	out->i = (int64_t)(negative ? 0 - v : v);
	return 0;
}

static size_t put_utf8(char *to, uint32_t c)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)(n == 1 ? c : lead[n] | c);
	return n;
}

/* What follows a backslash; writes at most 4 bytes to *to. */
static int parse_escape(struct parser *p, bool bytes, char **to)
{
	static const char from[] = "abfnrtv", into[] = "\a\b\f\n\r\t\v";
	size_t want = *p->p == 'u' ? 4 : *p->p == 'U' ? 8 : 0;
	const char *hit = *p->p ? strchr(from, *p->p) : NULL;
	char hex[9] = "";
	unsigned long c = 0;

	if (!*p->p)
		return bad(p, "the string does not end");
	if (want && !bytes) {
		strncpy(hex, p->p + 1, want);
		if (strspn(hex, "0123456789abcdefABCDEF") != want)
			return bad(p, "a code point is expected");
		c = strtoul(hex, NULL, 16);
		if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return bad(p, "this is no character");
		*to += put_utf8(*to, (uint32_t)c);
		p->p += want + 1;
		return 0;
	}
	if (bytes && *p->p >= '0' && *p->p <= '7') {
		for (int i = 0; i < 3 && *p->p >= '0' && *p->p <= '7'; i++)
			c = c * 8 + (unsigned long)(*p->p++ - '0');
		if (c > 0xff)
			return bad(p, "the byte is out of range");
		*(*to)++ = (char)c;
		return 0;
	}
	*(*to)++ = hit ? into[hit - from] : *p->p;
	p->p++;
	return 0;
}

static int parse_quoted(struct parser *p, bool bytes, const char **out, size_t *out_len)
{
	char *buf = arena_alloc(p->arena, strlen(p->p) + 1), *to = buf;
	char quote = *p->p++;
	int ret = 0;

	while (!ret && *p->p != quote) {
		if (!*p->p)
			return bad(p, "the string does not end");
		if (*p->p == '\\') {
			p->p++;
			ret = parse_escape(p, bytes, &to);
		} else {
			*to++ = *p->p++;
		}
	}
	if (ret)
		return ret;
	p->p++;
	*to = '\0';
	*out = buf;
	*out_len = (size_t)(to - buf);
	return 0;
}

static int parse_bytes(struct parser *p, struct gvariant *out)
{
	const char *s;
	size_t n;
	int ret;

	p->p++;
	ret = parse_quoted(p, true, &s, &n);
	if (ret)
		return ret;
	out->kind = GV_ARRAY;
	memcpy(out->type, "ay", 3);
	out->n = n + 1;
	out->items = arena_array(p->arena, n + 1, sizeof(*out->items));
	for (size_t i = 0; i <= n; i++)
		out->items[i] =
			(struct gvariant){ .kind = GV_UINT, .type = "y", .u = (unsigned char)s[i] };
	return 0;
}

static int parse_string(struct parser *p, char code, struct gvariant *out)
{
	size_t n;

	if (code && code != 's' && code != 'o' && code != 'g')
		return bad(p, "a value of another type is expected");
	out->kind = GV_STRING;
	out->type[0] = code ? code : 's';
	return parse_quoted(p, false, &out->s, &n);
}

/* A value that is no array; code: its type, 0 where the text decides. */
static int parse_basic(struct parser *p, char code, struct gvariant *out)
{
	bool yes;

	*out = (struct gvariant){ 0 };
	skip(p);
	if (!code) {
		code = type_prefix(p);
		skip(p);
	}
	if (*p->p == '\'' || *p->p == '"')
		return parse_string(p, code, out);
	yes = word(p, "true");
	if (yes || word(p, "false")) {
		if (code && code != 'b')
			return bad(p, "a value of another type is expected");
		out->kind = GV_BOOL;
		out->type[0] = 'b';
		out->i = yes;
		return 0;
	}
	return parse_number(p, code, out);
}

static int parse_array(struct parser *p, char code, struct gvariant *out)
{
	size_t cap = 0;
	int ret;

	*out = (struct gvariant){ .kind = GV_ARRAY };
	p->p++;
	for (skip(p); *p->p != ']'; skip(p)) {
		if (out->n) {
			if (*p->p != ',')
				return bad(p, "\",\" or \"]\" is expected");
			p->p++;
		}
		out->items = arena_grow(p->arena, out->items, out->n, &cap, sizeof(*out->items));
		ret = parse_basic(p, code, &out->items[out->n]);
		if (ret)
			return ret;
		/* the first one's type is that of all */
		code = out->items[out->n++].type[0];
	}
	p->p++;
	if (!code)
		return bad(p, "an empty array needs its type, as in \"@as []\"");
	out->type[0] = 'a';
	out->type[1] = code;
	return 0;
}

int gvariant_parse(struct arena *a, const char *text, struct gvariant *out)
{
	struct parser p = { a, text, text };
	bool array = false;
	struct gvariant v;
	char code = 0;
	int ret;

	skip(&p);
	if (*p.p == '@') {
		array = p.p[1] == 'a';
		code = p.p[1 + array];
		if (!code || !strchr("bynqiuxtdsogh", code))
			return bad(&p, "a type is expected");
		p.p += 2 + array;
		skip(&p);
		if (array != (*p.p == '['))
			return bad(&p, "a value of another type is expected");
	}
	if (*p.p == '[')
		ret = parse_array(&p, code, &v);
	else if (!code && *p.p == 'b' && (p.p[1] == '\'' || p.p[1] == '"'))
		ret = parse_bytes(&p, &v);
	else
		ret = parse_basic(&p, code, &v);
	if (ret)
		return ret;
	skip(&p);
	if (*p.p)
		return bad(&p, "something follows the value");
	*out = v;
	return 0;
}
