/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/proc.h"
#include "task/proc_priv.h"

static int octal(char c)
{
	return c >= '0' && c <= '7' ? c - '0' : -1;
}

/* Blank, tab, newline, backslash and '#' stand as \ooo. */
static const char *take_escaped(struct arena *a, const char **p)
{
	const char *word;
	size_t len;
	char *out, *to;

	skip_blanks(p);
	if (!take_word(p, &word, &len))
		return NULL;
	out = to = arena_strndup(a, word, len);
	for (const char *s = out; *s;) {
		if (s[0] == '\\' && octal(s[1]) >= 0 && octal(s[1]) < 4 && octal(s[2]) >= 0 &&
		    octal(s[3]) >= 0) {
			char c = (char)(octal(s[1]) << 6 | octal(s[2]) << 3 | octal(s[3]));

			/* no name has a NUL in it */
			if (c == '\0')
				return NULL;
			*to++ = c;
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
	return out;
}

/* The optional fields, up to the single hyphen. */
static bool take_optional(const char **p, struct proc_mount *m)
{
	const char *word;
	size_t len;

	while (skip_blanks(p), !take_text(p, "- ")) {
		if (take_text(p, "shared:")) {
			if (!take_i32(p, &m->shared))
				return false;
		} else if (take_text(p, "master:")) {
			if (!take_i32(p, &m->master))
				return false;
		} else if (take_text(p, "propagate_from:")) {
			if (!take_i32(p, &m->propagate_from))
				return false;
		} else if (!take_word(p, &word, &len)) {
			return false;
		} else if (len == strlen("unbindable") && memcmp(word, "unbindable", len) == 0) {
			m->unbindable = true;
		}
	}
	return true;
}

static bool take_mount(struct arena *a, const char **p, struct proc_mount *m)
{
	if (!take_i32(p, &m->id) || !take_blanks(p) || !take_i32(p, &m->parent) ||
	    !take_blanks(p) || !take_u32(p, 10, &m->major) || !take_text(p, ":") ||
	    !take_u32(p, 10, &m->minor))
		return false;
	m->root = take_escaped(a, p);
	m->point = take_escaped(a, p);
	m->options = take_escaped(a, p);
	if (!m->root || !m->point || !m->options || !take_optional(p, m))
		return false;
	m->type = take_escaped(a, p);
	/* an empty source leaves two blanks behind each other */
	if (!m->type || !take_text(p, " "))
		return false;
	m->source = **p == ' ' ? "" : take_escaped(a, p);
	m->super_options = take_escaped(a, p);
	return m->source && m->super_options && take_eol(p);
}

int proc_mounts_parse(struct arena *a, const char *text, struct proc_mount **out, size_t *out_n)
{
	struct proc_mount *v = NULL;
	size_t n = 0, cap = 0;

	for (const char *p = text; *p; n++) {
		const char *line = p;

		if (n == PROC_LIST_MAX)
			return fail(E2BIG, "mountinfo: more than %u mounts", PROC_LIST_MAX);
		v = arena_grow(a, v, n, &cap, sizeof(*v));
		if (!take_mount(a, &p, &v[n]))
			return proc_bad_line("mountinfo", line);
	}
	*out = v;
	*out_n = n;
	return 0;
}

int proc_mounts(struct arena *a, pid_t pid, struct proc_mount **out, size_t *out_n)
{
	char *text;
	int ret = proc_read_all(a, pid, "mountinfo", &text);

	return ret ? ret : proc_mounts_parse(a, text, out, out_n);
}
