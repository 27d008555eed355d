/* SPDX-License-Identifier: Apache-2.0 */
/* Times of annotations. */
#include <string.h>

#include "base/str.h"
#include "oci/build_priv.h"
#include "super/super.h"

#define US_PER_SEC 1000000ll
#define OFFSET_MAX (300ll * 366 * 86400) /* seconds */
#define DIGITS_MAX 12

static const char not_an_offset[] = "must be seconds, or numbers with units (w, d, h, m, s, ms, "
				    "us), like -90, +1.5 or -2d12h, not more than 300 years";
static const char not_a_time[] = "must be a time of RFC 3339 from 1970 to 2199, like "
				 "2024-02-29T12:00:00Z or 2024-02-29T12:00:00.5+01:00";

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Exactly or (n 0) as many digits as there are. */
static bool take_number(const char **p, size_t n, int64_t *out)
{
	size_t i = 0;

	*out = 0;
	for (; is_digit((*p)[i]) && i < (n ? n : DIGITS_MAX); i++)
		*out = *out * 10 + ((*p)[i] - '0');
	*p += i;
	return n ? i == n : i > 0 && !is_digit(**p);
}

static bool take(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* ".25" of a unit that has so many microseconds; what is less than one of them is cut off. */
static bool take_fraction(const char **p, int64_t unit, int64_t *out)
{
	*out = 0;
	if (!take(p, '.'))
		return true;
	if (!is_digit(**p))
		return false;
	for (; is_digit(**p); (*p)++) {
		*out += (**p - '0') * (unit / 10);
		unit /= 10;
	}
	return true;
}

static const struct {
	const char *name;
	int64_t us;
} units[] = {
	/* the longer ones first */
	{ "ms", 1000 },
	{ "us", 1 },
	{ "w", 7 * 86400 * US_PER_SEC },
	{ "d", 86400 * US_PER_SEC },
	{ "h", 3600 * US_PER_SEC },
	{ "m", 60 * US_PER_SEC },
	{ "s", US_PER_SEC },
};

/* No unit where one is needed: 0. */
static int64_t take_unit(const char **p)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!str_starts(*p, units[i].name))
			continue;
		*p += strlen(units[i].name);
		return units[i].us;
	}
	return 0;
}

/* One number with its unit; the only one may go without. */
static bool take_part(const char **p, bool first, int64_t *sum)
{
	const char *fraction;
	int64_t whole, rest, unit;

	if (!take_number(p, 0, &whole))
		return false;
	fraction = *p;
	if (!take_fraction(p, US_PER_SEC, &rest))
		return false;
	unit = first && !**p ? US_PER_SEC : take_unit(p);
	if (!unit || whole > OFFSET_MAX * US_PER_SEC / unit)
		return false;
	take_fraction(&fraction, unit, &rest);
	*sum += whole * unit + rest;
	return *sum <= OFFSET_MAX * US_PER_SEC;
}

const char *build_time_offset(const char *text, struct super_time *out)
{
	const char *p = text;
	bool minus = take(&p, '-'), first = true;
	int64_t us = 0;

	if (!minus)
		take(&p, '+');
	do {
		if (!take_part(&p, first, &us))
			return not_an_offset;
		first = false;
	} while (*p);
	if (minus)
		us = -us;
	*out = (struct super_time){ .sec = us / US_PER_SEC, .nsec = us % US_PER_SEC * 1000 };
	if (out->nsec < 0) {
		out->sec--;
		out->nsec += 1000 * US_PER_SEC;
	}
	return NULL;
}

static bool is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t days_of(int64_t year, int64_t month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Since 1970-01-01. */
static bool take_date(const char **p, int64_t *out_days)
{
	int64_t year, month, day, days = 0;

	if (!take_number(p, 4, &year) || !take(p, '-') || !take_number(p, 2, &month) ||
	    !take(p, '-') || !take_number(p, 2, &day))
		return false;
	if (year < 1970 || year > 2199 || month < 1 || month > 12 || day < 1 ||
	    day > days_of(year, month))
		return false;
	for (int64_t y = 1970; y < year; y++)
		days += 365 + is_leap(y);
	for (int64_t m = 1; m < month; m++)
		days += days_of(year, m);
	*out_days = days + day - 1;
	return true;
}

static bool take_clock(const char **p, int64_t *out_sec, int64_t *out_us)
{
	int64_t hour, minute, second;

	if (!take_number(p, 2, &hour) || !take(p, ':') || !take_number(p, 2, &minute) ||
	    !take(p, ':') || !take_number(p, 2, &second) || !take_fraction(p, US_PER_SEC, out_us))
		return false;
	*out_sec = hour * 3600 + minute * 60 + second;
	return hour < 24 && minute < 60 && second < 60;
}

/* What has to be taken off for UTC. */
static bool take_zone(const char **p, int64_t *out_sec)
{
	int64_t hour, minute;
	bool minus;

	*out_sec = 0;
	if (take(p, 'Z') || take(p, 'z'))
		return true;
	minus = take(p, '-');
	if ((!minus && !take(p, '+')) || !take_number(p, 2, &hour) || !take(p, ':') ||
	    !take_number(p, 2, &minute) || hour > 23 || minute > 59)
		return false;
	*out_sec = (hour * 60 + minute) * (minus ? -60 : 60);
	return true;
}

const char *build_time_start(const char *text, struct super_time *out)
{
	int64_t days, sec, us, zone;
	const char *p = text;

	if (!take_date(&p, &days) || (!take(&p, 'T') && !take(&p, 't') && !take(&p, ' ')) ||
	    !take_clock(&p, &sec, &us) || !take_zone(&p, &zone) || *p)
		return not_a_time;
	sec += days * 86400 - zone;
	if (sec < 0)
		return not_a_time;
	*out = (struct super_time){ .begins = true, .sec = sec, .nsec = us * 1000 };
	return NULL;
}
