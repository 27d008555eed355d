/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void str_addn(struct str *s, const char *text, size_t n)
{
	size_t room = s->size - s->len - 1;

	if (n > room) {
		n = room;
		s->full = true;
	}
	memcpy(s->buf + s->len, text, n);
	s->len += n;
	s->buf[s->len] = '\0';
}

void str_add(struct str *s, const char *text)
{
	str_addn(s, text, strlen(text));
}

void str_addf(struct str *s, const char *fmt, ...)
{
	size_t room = s->size - s->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(s->buf + s->len, room, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= room) {
		s->full = true;
		s->len = s->size - 1;
	} else {
		s->len += (size_t)n;
	}
}

/* Length of the well-formed UTF-8 sequence at p (Unicode, table 3-7), 0 if there is none. */
static size_t utf8_len(const unsigned char *p)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

bool str_is_utf8(const char *s)
{
	size_t n;

	for (; *s; s += n) {
		n = utf8_len((const unsigned char *)s);
		if (!n)
			return false;
	}
	return true;
}

void str_add_json(struct str *s, const char *text)
{
	static const char special[] = "\"\\\b\f\n\r\t";
	static const char letter[] = "\"\\bfnrt";
	const unsigned char *p = (const unsigned char *)text;
	const char *hit;
	size_t n;

	while (*p) {
		hit = strchr(special, *p);
		n = utf8_len(p);
		if (hit)
			str_addf(s, "\\%c", letter[hit - special]);
		else if (*p < 0x20 || *p == 0x7f)
			str_addf(s, "\\u%04x", *p);
		else if (n)
			str_addn(s, (const char *)p, n);
		else
			str_add(s, "\\ufffd");
		p += n ? n : 1;
	}
}

void str_add_time(struct str *s, const struct timespec *t, int digits)
{
	/* days since 0000-03-01, in eras of 400 years: the leap day is the last of its year */
	long days = t->tv_sec / 86400 + 719468, secs = t->tv_sec % 86400;
	long era = days / 146097, doe = days - era * 146097;
	long yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	long doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	long mp = (5 * doy + 2) / 153;
	char fraction[16];

	str_addf(s, "%04ld-%02ld-%02ldT%02ld:%02ld:%02ld", yoe + era * 400 + (mp >= 10),
		 mp < 10 ? mp + 3 : mp - 9, doy - (153 * mp + 2) / 5 + 1, secs / 3600,
		 secs / 60 % 60, secs % 60);
	snprintf(fraction, sizeof(fraction), ".%09ld", t->tv_nsec);
	if (digits)
		str_addn(s, fraction, (size_t)digits + 1);
	str_add(s, "Z");
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_in(const char *s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	return false;
}

static int digits(const char *text, uint64_t *out)
{
	uint64_t v = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
			return -ERANGE;
	}
	*out = v;
	return 0;
}

int num_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v;
	int ret = digits(text, &v);

	if (ret)
		return ret;
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int num_i64(const char *text, int64_t min, int64_t max, int64_t *out)
{
	bool negative = *text == '-';
	uint64_t v;
	int64_t value;
	int ret = digits(text + negative, &v);

	if (ret)
		return ret;
	if (v > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	value = negative ? (int64_t)(0 - v) : (int64_t)v;
	if (value < min || value > max)
		return -ERANGE;
	*out = value;
	return 0;
}

int num_hex(const char *text, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	unsigned digit;

	if (n == 0 || n > 16)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (unsigned)((c | 0x20) - 'a' + 10);
		else
			return -EINVAL;
		v = v << 4 | digit;
	}
	*out = v;
	return 0;
}

/* "k", "KB", "kiB", "b": the power of two, -EINVAL for what is none. */
static int unit_shift(const char *unit)
{
	static const char units[] = "bkmgtp";
	const char *hit = strchr(units, *unit | 0x20);

	if (!*unit)
		return 0;
	if (!hit || (hit == units && unit[1]))
		return -EINVAL;
	if (unit[1] && strcasecmp(unit + 1, "b") != 0 && strcasecmp(unit + 1, "ib") != 0)
		return -EINVAL;
	return (int)(hit - units) * 10;
}

int num_bytes(const char *text, int64_t *out)
{
	size_t n = strspn(text, "-0123456789"), decimals = 0;
	char number[32];
	double part = 0, weight = 0.1;
	int64_t v;
	int ret, shift;

	if (n >= sizeof(number))
		return -ERANGE;
	memcpy(number, text, n);
	number[n] = '\0';
	if (text[n] == '.') {
		decimals = strspn(text + n + 1, "0123456789");
		if (!decimals || decimals > 9)
			return -EINVAL;
		for (size_t i = 0; i < decimals; i++, weight /= 10)
			part += (text[n + 1 + i] - '0') * weight;
		n += 1 + decimals;
	}
	shift = unit_shift(text + n);
	if (shift < 0)
		return shift;
	ret = num_i64(number, -1, INT64_MAX, &v);
	if (ret)
		return ret;
	if (v < 0 && (text[n] || decimals))
		return -EINVAL;
	if (v > 0 && v > INT64_MAX >> shift)
		return -ERANGE;
	/* the part is less than one unit: it can't carry over */
	*out = v < 0 ? v : (v << shift) | (int64_t)(part * (double)(1LL << shift));
	return 0;
}
