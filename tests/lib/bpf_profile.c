/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/bpf_profile.h"

#include "base/fd.h"
#include "base/mem.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE (1 << 20)

struct reader {
	struct arena *arena;
	const char *file;
	unsigned line;
	char *rest; /* of the line */
	struct named_profile *list;
	size_t n, cap;
	struct filter_rule *rules; /* of the last profile */
	size_t rules_cap;
};

static void bad(const struct reader *r, const char *what, const char *word)
{
	fprintf(stderr, "%s:%u: %s \"%s\"\n", r->file, r->line, what, word ? word : "");
	exit(1);
}

static char *word(struct reader *r)
{
	return strtok_r(NULL, " \t", &r->rest);
}

static uint64_t number(struct reader *r)
{
	const char *text = word(r);
	char *end;
	uint64_t value;

	if (!text)
		bad(r, "a number is missing", NULL);
	value = strtoull(text, &end, 0);
	if (*end)
		bad(r, "no number:", text);
	return value;
}

/* "ERRNO:22": the data is that of errno or trace; EPERM where it is missing. */
static uint32_t verdict(struct reader *r, char *text)
{
	char *data = strchr(text, ':');
	uint32_t action;
	char name[64];

	if (data)
		*data++ = '\0';
	snprintf(name, sizeof(name), "SCMP_ACT_%s", text);
	if (!filter_action(name, &action))
		bad(r, "unknown action", text);
	if (action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_TRACE)
		action |= data ? strtoul(data, NULL, 0) & SECCOMP_RET_DATA : 1;
	return action;
}

static struct filter_arg condition(struct reader *r)
{
	struct filter_arg arg = { .index = number(r) };
	const char *text = word(r);
	char name[64];

	snprintf(name, sizeof(name), "SCMP_CMP_%s", text ? text : "");
	if (!filter_op_of(name, &arg.op))
		bad(r, "unknown operator", text);
	arg.value = number(r);
	if (arg.op == FILTER_MASKED_EQ)
		arg.value_two = number(r);
	return arg;
}

static void read_rule(struct reader *r, char *action, struct filter_profile *p)
{
	size_t cap = 0, room = 0;
	struct filter_rule rule = { .verdict = verdict(r, action) };
	const char **names = NULL, *text;
	struct filter_arg *args = NULL;

	while ((text = word(r)) && strcmp(text, "if") != 0) {
		names = arena_grow(r->arena, names, rule.n_names, &cap, sizeof(*names));
		names[rule.n_names++] = text;
	}
	for (; text; text = word(r)) {
		if (strcmp(text, "if") != 0)
			bad(r, "\"if\" expected at", text);
		args = arena_grow(r->arena, args, rule.n_args, &room, sizeof(*args));
		args[rule.n_args++] = condition(r);
	}
	rule.names = names;
	rule.args = args;
	r->rules = arena_grow(r->arena, r->rules, p->n_rules, &r->rules_cap, sizeof(rule));
	r->rules[p->n_rules++] = rule;
	p->rules = r->rules;
}

static void read_arches(struct reader *r, struct filter_profile *p)
{
	uint32_t *arches = arena_array(r->arena, 32, sizeof(*arches));
	char name[64], *text;

	p->arches = arches;
	while ((text = word(r))) {
		snprintf(name, sizeof(name), "SCMP_ARCH_%s", text);
		if (p->n_arches == 32 || !filter_arch(name, &arches[p->n_arches++]))
			bad(r, "unknown architecture", text);
	}
}

static void read_line(struct reader *r, char *line)
{
	char *first = strtok_r(line, " \t", &r->rest);
	struct filter_profile *p = r->n ? &r->list[r->n - 1].profile : NULL;

	if (!first)
		return;
	if (strcmp(first, "profile") == 0) {
		r->list = arena_grow(r->arena, r->list, r->n, &r->cap, sizeof(*r->list));
		r->list[r->n++].name = word(r);
		r->rules = NULL;
		r->rules_cap = 0;
	} else if (!p) {
		bad(r, "no profile yet at", first);
	} else if (strcmp(first, "default") == 0) {
		p->default_verdict = verdict(r, word(r));
	} else if (strcmp(first, "arch") == 0) {
		read_arches(r, p);
	} else if (strcmp(first, "enosys") == 0) {
		p->enosys_stub = true;
	} else {
		read_rule(r, first, p);
	}
}

struct named_profile *profile_read(struct arena *a, const char *file, size_t *out_n)
{
	struct reader r = { .arena = a, .file = file };
	char *text, *line, *lines, *hash;

	if (fd_read_file(AT_FDCWD, file, a, MAX_FILE, &text, NULL) < 0) {
		perror(file);
		exit(1);
	}
	for (lines = text; (line = strsep(&lines, "\n"));) {
		r.line++;
		hash = strchr(line, '#');
		if (hash)
			*hash = '\0';
		read_line(&r, line);
	}
	*out_n = r.n;
	return r.list;
}
