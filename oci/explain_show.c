/* SPDX-License-Identifier: Apache-2.0 */
/* Explanations as text of 80 columns, and as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/seccomp.h>
#include <seccomp.h>

#include "base/mem.h"
#include "base/str.h"
#include "bpf/abi.h"
#include "bpf/dump.h"
#include "bpf/run.h"
#include "oci/explain.h"
#include "oci/json.h"
#include "oci/opts.h"
#include "sandbox.h"

#define COLUMNS 80
#define OWN_LINE_AT 4
#define WHERE_WIDTH 27
#define KEEPER_WIDTH 17
#define VERDICT_WIDTH 22

#define BOLD "\033[1m"
#define GREEN "\033[32m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

static void begin(const struct explain_page *p, const char *colour)
{
	if (p->colour)
		fputs(colour, p->out);
}

static void end(const struct explain_page *p)
{
	if (p->colour)
		fputs(PLAIN, p->out);
}

static void heading(const struct explain_page *p, const char *text)
{
	begin(p, BOLD);
	fputs(text, p->out);
	end(p);
	fputc('\n', p->out);
}

static const char *keeper_list(unsigned keepers, struct str *s)
{
	for (int k = 0; k < KEPT_KINDS; k++)
		if (keepers >> k & 1)
			str_addf(s, "%s%s", s->len ? ", " : "", explain_keeper_names[k]);
	return s->buf;
}

/*
 * A cell of the given width that begins at column `at`; where the text fills it, what follows is on
 * the next line, in the same column. Returns that column.
 */
static size_t cell(const struct explain_page *p, const char *text, size_t at, size_t width)
{
	size_t n = strlen(text);

	fputs(text, p->out);
	if (n < width)
		fprintf(p->out, "%*s", (int)(width - n), "");
	else
		fprintf(p->out, "\n%*s", (int)(at + width), "");
	return at + width;
}

/* The last cell of a line. What has a word too long for it begins a line of its own. */
static void last_cell(const struct explain_page *p, const char *text, size_t at)
{
	size_t n;

	for (const char *word = text; *word; word += n + (word[n] != '\0')) {
		n = strcspn(word, " ");
		if (at + n < COLUMNS)
			continue;
		fputc('\n', p->out);
		opts_wrap(p->out, text, OWN_LINE_AT, 0);
		return;
	}
	opts_wrap(p->out, text, at, at);
}

static void print_line(const struct explain_page *p, const struct explain_line *l)
{
	char text[128];
	struct str s = STR_ON(text);
	size_t at = cell(p, l->where, 0, WHERE_WIDTH);

	keeper_list(l->keepers, &s);
	at = cell(p, *text ? text : "-", at, KEEPER_WIDTH);
	last_cell(p, l->what, at);
	if (!l->missing)
		return;
	begin(p, RED);
	fprintf(p->out, "%*s%-*s", WHERE_WIDTH, "", KEEPER_WIDTH, "NOBODY");
	opts_wrap(p->out, l->missing, at, at);
	end(p);
}

void explain_print_lines(const struct explain_page *p, const struct explain *e)
{
	begin(p, BOLD);
	fprintf(p->out, "%-*s%-*s%s\n", WHERE_WIDTH, "CONFIG", KEEPER_WIDTH, "KEPT BY",
		"WHAT IT BECAME");
	end(p);
	for (size_t i = 0; i < e->n_lines; i++)
		print_line(p, &e->lines[i]);
}

static enum landlock_class class_of(enum policy_kind kind)
{
	if (kind == POLICY_PORTS || kind == POLICY_OTHER_PORTS)
		return LANDLOCK_NET;
	return kind == POLICY_SCOPE ? LANDLOCK_SCOPE : LANDLOCK_FS;
}

/* "/data", "TCP port 80-90", "everything else": what a row is about. */
static const char *object_of(struct arena *a, const struct policy_rule *r)
{
	switch (r->kind) {
	case POLICY_PORTS:
		return r->first == r->last ? arena_printf(a, "port %u", r->first)
					   : arena_printf(a, "ports %u-%u", r->first, r->last);
	case POLICY_OTHER_PORTS:
		return "every other port";
	case POLICY_OTHER_FILES:
		return "every other file";
	case POLICY_SCOPE:
		return "outside";
	case POLICY_STDIO:
		return "descriptors 0-2";
	default:
		return r->path;
	}
}

static void print_row(const struct explain_page *p, const struct explain *e,
		      const struct policy_rule *r)
{
	enum landlock_class class = class_of(r->kind);
	bool none = r->denied == landlock_all(class, LANDLOCK_ABI_NEWEST);
	const char *rights = explain_rights(e->a, class, r->granted ? r->granted : r->denied);
	size_t at;

	fputs("  ", p->out);
	at = cell(p, r->where, 2, WHERE_WIDTH - 2);
	opts_wrap(p->out,
		  arena_printf(e->a, "%s: %s%s", object_of(e->a, r),
			       r->granted || none ? "" : "not ",
			       !r->granted && none ? "nothing" : rights),
		  at, at);
}

void explain_print_landlock(const struct explain_page *p, const struct explain *e, bool rows)
{
	const struct policy *l = &e->landlock;
	char text[512];
	struct str s = STR_ON(text);

	heading(p, "Landlock");
	if (!l->enforced) {
		fprintf(p->out, "  no ruleset: %s\n", l->why ? l->why : "nothing asks for one");
		return;
	}
	str_addf(&s, "  ABI %d", l->abi);
	if (l->why)
		str_addf(&s, "; not for files: %s", l->why);
	for (int c = 0; c < LANDLOCK_CLASSES; c++) {
		if (!l->lacking[c])
			continue;
		str_add(&s, "; this kernel lacks ");
		landlock_add_names(&s, (enum landlock_class)c, l->lacking[c]);
	}
	opts_wrap(p->out, text + 2, 2, 0);
	for (size_t i = 0; rows && i < l->n_rules; i++) {
		if (i == 0)
			fputs("  Rows of the ruleset, rights beneath a path:\n", p->out);
		if (l->rules[i].in_ruleset)
			print_row(p, e, &l->rules[i]);
	}
	for (size_t i = 0; rows && i < l->n_rules; i++)
		if (!l->rules[i].in_ruleset && l->rules[i].kept[POLICY_LANDLOCK])
			print_row(p, e, &l->rules[i]);
}

static const char *verdicts_text(const struct explain *e, const struct explain_range *r)
{
	const char *text = "";

	for (size_t i = 0; i < r->n; i++)
		text = arena_printf(e->a, "%s%s%s", text, i ? " or " : "",
				    explain_verdict(e->a, r->verdicts[i]));
	return text;
}

static const char *range_names(const struct explain *e, const struct abi *abi,
			       const struct explain_range *r)
{
	const char *first = explain_call_name(e->a, abi, r->first), *last;

	if (r->first == r->last)
		return first ? first : "";
	last = explain_call_name(e->a, abi, r->last);
	if (!first && !last)
		return "";
	return arena_printf(e->a, "%s .. %s", first ? first : "", last ? last : "");
}

static void print_range(const struct explain_page *p, const struct explain *e,
			const struct abi *abi, const struct explain_range *r)
{
	uint32_t base = abi->token == FILTER_ARCH_X32 ? ABI_X32_BIT : 0;
	const char *numbers = arena_printf(e->a, "%u", r->first - base);
	size_t at;

	if (r->last == INT32_MAX || r->last == ABI_X32_BIT - 1)
		numbers = arena_printf(e->a, "%s and up", numbers);
	else if (r->last != r->first)
		numbers = arena_printf(e->a, "%s-%u", numbers, r->last - base);
	at = cell(p, verdicts_text(e, r),
		  (size_t)fprintf(p->out, "  %-10s %5u  ", numbers, r->steps), VERDICT_WIDTH);
	opts_wrap(p->out, range_names(e, abi, r), at, at);
}

#define NAMED_MAX 512 /* system call numbers that have names end before this one */

/* One line a verdict: how many calls of this architecture get it, and which, if they are few. */
static void print_summary(const struct explain_page *p, const struct explain *e,
			  const struct abi *abi, const struct explain_range *ranges, size_t n)
{
	enum { FEW = 10 };
	uint32_t base = abi->token == FILTER_ARCH_X32 ? ABI_X32_BIT : 0;
	bool *told = arena_array(e->a, n, sizeof(*told));

	fprintf(p->out, "  %s\n", abi->name + strlen("SCMP_ARCH_"));
	for (size_t i = 0; i < n; i++) {
		const char *verdict = verdicts_text(e, &ranges[i]), *names = "", *name;
		size_t calls = 0, at;

		if (told[i])
			continue;
		for (size_t k = i; k < n; k++) {
			if (strcmp(verdicts_text(e, &ranges[k]), verdict) != 0)
				continue;
			told[k] = true;
			for (uint32_t nr = ranges[k].first;
			     nr <= ranges[k].last && nr < base + NAMED_MAX; nr++) {
				name = explain_call_name(e->a, abi, nr);
				if (name && ++calls <= FEW)
					names = arena_printf(e->a, "%s%s%s", names,
							     calls > 1 ? " " : "", name);
			}
		}
		if (!calls)
			continue;
		if (calls > FEW)
			names = arena_printf(e->a, "%zu calls", calls);
		at = cell(p, verdict, (size_t)fprintf(p->out, "    "), VERDICT_WIDTH);
		opts_wrap(p->out, names, at, at);
	}
}

static const char *const common_calls[] = {
	"read",  "write",  "openat", "close", "mmap",          "futex",  "epoll_wait", "recvfrom",
	"clone", "execve", "socket", "ioctl", "clock_gettime", "getpid", "exit_group",
};

static void print_steps(const struct explain_page *p, const struct explain *e)
{
	const char *text = "instructions for";

	for (size_t i = 0; i < sizeof(common_calls) / sizeof(common_calls[0]); i++) {
		struct seccomp_data call = { .nr = seccomp_syscall_resolve_name(common_calls[i]),
					     .arch = abi_native()->audit };

		if (call.nr >= 0)
			text = arena_printf(
				e->a, "%s%s %s %u", text, i ? "," : "", common_calls[i],
				run_program(e->filter.code, e->filter.len, &call, NULL).executed);
	}
	fputs("  ", p->out);
	opts_wrap(p->out, text, 2, 2);
}

static void print_insn(void *arg, const char *text)
{
	fprintf(arg, "  %s\n", text);
}

void explain_print_filter(const struct explain_page *p, const struct explain *e, bool program)
{
	const struct abi **abis;
	struct explain_range *ranges;
	size_t n_abis, n;

	heading(p, "seccomp");
	if (!e->filter.len) {
		fputs("  no filter: every call is allowed\n", p->out);
		return;
	}
	abis = explain_abis(e, &n_abis);
	for (size_t i = 0; i < n_abis; i++) {
		ranges = explain_ranges(e, abis[i], &n);
		print_summary(p, e, abis[i], ranges, n);
		if (!program)
			continue;
		fprintf(p->out, "  %-10s %s  %-*s%s\n", "NUMBERS", "STEPS", VERDICT_WIDTH,
			"VERDICT", "CALLS");
		for (size_t k = 0; k < n; k++)
			print_range(p, e, abis[i], &ranges[k]);
	}
	if (!program)
		return;
	print_steps(p, e);
	fprintf(p->out, "  the program, %u instructions:\n", e->filter.len);
	dump_program(e->a, e->filter.code, e->filter.len, print_insn, p->out);
}

static const struct {
	const char *word, *colour;
} mays[] = {
	[MAY_NO] = { "no", RED },
	[MAY_DEPENDS] = { "depends", YELLOW },
	[MAY_YES] = { "yes", GREEN },
};

/* Prints those lines of the disassembly that were executed. */
struct walk {
	const struct explain_page *page;
	const struct explain_answer *answer;
	size_t line, at;
};

static void print_step(void *arg, const char *text)
{
	struct walk *w = arg;

	if (w->at < w->answer->n_path && w->answer->path[w->at] == w->line++) {
		fprintf(w->page->out, "         %s\n", text);
		w->at++;
	}
}

void explain_print_answer(const struct explain_page *p, const struct explain *e,
			  const struct explain_answer *answer)
{
	struct walk walk = { .page = p, .answer = answer };
	char text[128];
	struct str s = STR_ON(text);

	begin(p, mays[answer->may].colour);
	fprintf(p->out, "%-8s", mays[answer->may].word);
	end(p);
	fprintf(p->out, " %s\n", answer->question);
	fputs("         ", p->out);
	keeper_list(answer->keepers, &s);
	opts_wrap(p->out,
		  arena_printf(e->a, "%s%s%s%s%s", answer->where ? answer->where : "",
			       *text ? ", kept by " : "", text, answer->where || *text ? ": " : "",
			       answer->why),
		  9, 9);
	if (answer->n_path)
		dump_program(e->a, e->filter.code, e->filter.len, print_step, &walk);
}

static void put_keepers(struct json_writer *w, unsigned keepers)
{
	json_open_array(w, "keptBy");
	for (int k = 0; k < KEPT_KINDS; k++)
		if (keepers >> k & 1)
			json_put_str(w, NULL, explain_keeper_names[k]);
	json_close(w);
}

void explain_put_lines(struct json_writer *w, const struct explain *e)
{
	json_open_array(w, "lines");
	for (size_t i = 0; i < e->n_lines; i++) {
		const struct explain_line *l = &e->lines[i];

		json_open_object(w, NULL);
		json_put_str(w, "config", l->where);
		json_put_str(w, "became", l->what);
		put_keepers(w, l->keepers);
		json_put_str(w, "missing", l->missing);
		json_close(w);
	}
	json_close(w);
}

static void put_rights(struct json_writer *w, const char *key, enum landlock_class class,
		       uint64_t rights)
{
	json_open_array(w, key);
	for (size_t i = 0; i < landlock_n_rights; i++)
		if (landlock_rights[i].class == class && landlock_rights[i].bit & rights)
			json_put_str(w, NULL, landlock_rights[i].name);
	json_close(w);
}

static void put_class_rights(struct json_writer *w, const char *key, const uint64_t *rights)
{
	static const char *const names[LANDLOCK_CLASSES] = { "files", "network", "scopes" };

	json_open_object(w, key);
	for (int c = 0; c < LANDLOCK_CLASSES; c++)
		put_rights(w, names[c], (enum landlock_class)c, rights[c]);
	json_close(w);
}

void explain_put_landlock(struct json_writer *w, const struct explain *e)
{
	const struct policy *l = &e->landlock;

	json_open_object(w, "landlock");
	json_put_i64(w, "abi", l->abi);
	json_put_bool(w, "enforced", l->enforced);
	json_put_str(w, "why", l->why);
	put_class_rights(w, "handled", l->handled);
	put_class_rights(w, "lacking", l->lacking);
	json_open_array(w, "rows");
	for (size_t i = 0; i < l->n_rules; i++) {
		const struct policy_rule *r = &l->rules[i];
		enum landlock_class class = class_of(r->kind);

		json_open_object(w, NULL);
		json_put_str(w, "config", r->where);
		json_put_str(w, "object", object_of(e->a, r));
		put_rights(w, "granted", class, r->granted);
		put_rights(w, "denied", class, r->denied);
		put_rights(w, "byLandlock", class, r->kept[POLICY_LANDLOCK]);
		put_rights(w, "byMount", class, r->kept[POLICY_MOUNT]);
		put_rights(w, "byNamespace", class, r->kept[POLICY_NAMESPACE]);
		put_rights(w, "byNobody", class, r->kept[POLICY_NOBODY]);
		json_put_bool(w, "inRuleset", r->in_ruleset);
		json_close(w);
	}
	json_close(w);
	json_close(w);
}

static void put_range(struct json_writer *w, const struct explain *e, const struct abi *abi,
		      const struct explain_range *r)
{
	json_open_object(w, NULL);
	json_put_u64(w, "first", r->first);
	json_put_u64(w, "last", r->last);
	json_put_str(w, "firstName", explain_call_name(e->a, abi, r->first));
	json_put_str(w, "lastName", explain_call_name(e->a, abi, r->last));
	json_open_array(w, "verdicts");
	for (size_t i = 0; i < r->n; i++)
		json_put_str(w, NULL, explain_verdict(e->a, r->verdicts[i]));
	json_close(w);
	json_put_bool(w, "byArguments", r->arguments);
	json_put_u64(w, "instructions", r->steps);
	json_close(w);
}

static void put_insn(void *arg, const char *text)
{
	json_put_str(arg, NULL, text + strspn(text, " "));
}

void explain_put_filter(struct json_writer *w, const struct explain *e, bool program)
{
	const struct abi **abis;
	struct explain_range *ranges;
	size_t n_abis, n;

	json_open_object(w, "seccomp");
	json_put_u64(w, "instructions", e->filter.len);
	json_open_array(w, "architectures");
	abis = explain_abis(e, &n_abis);
	for (size_t i = 0; i < n_abis; i++) {
		json_open_object(w, NULL);
		json_put_str(w, "name", abis[i]->name);
		ranges = explain_ranges(e, abis[i], &n);
		json_open_array(w, "ranges");
		for (size_t k = 0; k < n; k++)
			put_range(w, e, abis[i], &ranges[k]);
		json_close(w);
		json_close(w);
	}
	json_close(w);
	if (program) {
		json_open_array(w, "program");
		dump_program(e->a, e->filter.code, e->filter.len, put_insn, w);
		json_close(w);
	}
	json_close(w);
}

void explain_put_answer(struct json_writer *w, const struct explain_answer *answer)
{
	json_open_object(w, NULL);
	json_put_str(w, "question", answer->question);
	json_put_str(w, "may", mays[answer->may].word);
	json_put_str(w, "config", answer->where);
	json_put_str(w, "why", answer->why);
	put_keepers(w, answer->keepers);
	if (answer->n_path) {
		json_open_array(w, "path");
		for (size_t i = 0; i < answer->n_path; i++)
			json_put_u64(w, NULL, answer->path[i]);
		json_close(w);
	}
	json_close(w);
}
