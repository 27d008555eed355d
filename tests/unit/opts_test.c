/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "jail/cgroup.h"
#include "lib/tap.h"
#include "oci/opts.h"

struct values {
	bool all, tty, detach;
	const char *root, *format;
	struct opt_list env;
	int fds;
	struct opt_i64 memory, quota;
};

static const char *const formats[] = { "table", "json", NULL };

#define AT(member) offsetof(struct values, member)
static const struct opt rows[] = {
	{ "all", 'a', OPT_FLAG, AT(all), NULL, "all", NULL },
	{ "tty", 't', OPT_FLAG, AT(tty), NULL, "tty", NULL },
	{ "detach", 'd', OPT_FLAG, AT(detach), NULL, "detach", NULL },
	{ "root", 'r', OPT_TEXT, AT(root), "DIR", "a directory", NULL },
	{ "format", 'f', OPT_TEXT, AT(format), "table|json", "how", formats },
	{ "env", 'e', OPT_LIST, AT(env), "NAME=VALUE", "a variable", NULL },
	{ "preserve-fds", 0, OPT_COUNT, AT(fds), "N", "descriptors", NULL },
	{ "memory", 0, OPT_BYTES, AT(memory), "BYTES", "limit", NULL },
	{ "cpu-quota", 0, OPT_NUMBER, AT(quota), "US", "quota", NULL },
	{ "no-subreaper", 0, OPT_SKIP_FLAG, 0, NULL, NULL, NULL },
	{ "criu", 0, OPT_SKIP_TEXT, 0, "PATH", NULL, NULL },
};

static const struct opt_table any_order = { rows, sizeof(rows) / sizeof(rows[0]), false, NULL };
static const struct opt_table in_order = { rows, sizeof(rows) / sizeof(rows[0]), true, NULL };

static struct arena *arena;
static struct values got;
static char **rest;

/* The words of a line without quotes. */
static int parse_with(const struct opt_table *t, const char *line)
{
	char **words = arena_array(arena, 32, sizeof(*words));
	char *copy = arena_strdup(arena, line);
	char *save = NULL;
	size_t n = 0;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	memset(&got, 0, sizeof(got));
	rest = NULL;
	return opts_parse(arena, t, words, &got, &rest);
}

static int parse(const char *line)
{
	return parse_with(&any_order, line);
}

static void forms(void)
{
	static const char *const same[] = { "--root /x", "--root=/x",
					    "-root /x",  "-root=/x",
					    "-r /x",     "-r/x",
					    "-r=/x",     "--root /y --root /x" };

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		is_int(parse(same[i]), 0, "%s", same[i]);
		is_str(got.root, "/x", "%s", same[i]);
	}
}

static void flags(void)
{
	is_int(parse("--all --all -td"), 0, "repeated and joined");
	ok(got.all && got.tty && got.detach, "all are set");
	is_int(parse("--all --tty=yes"), 0, "in crun's words");
	ok(got.all && got.tty, "yes");
	is_int(parse("--all --tty --tty=no"), 0, "the last counts");
	ok(got.all && !got.tty, "no");
	is_int(parse("--tty=false -d=true --all=1"), 0, "with values");
	ok(!got.tty && got.detach && got.all, "as they say");
	ok(parse("--tty=maybe") < 0, "no truth value");
	is_int(parse("-all"), 0, "one dash, long name");
	ok(got.all && !got.tty, "is not letters");
	is_int(parse("-no-subreaper --no-subreaper --criu /bin/criu c"), 0, "without effect");
	is_str(rest[0], "c", "the value of an ignored flag is taken with it");
}

static void numbers(void)
{
	is_int(parse("--memory 64m --cpu-quota=-1 --preserve-fds 3"), 0, "numbers");
	ok(got.memory.set && got.memory.v == 64 << 20, "bytes");
	ok(got.quota.set && got.quota.v == -1, "negative");
	is_int(got.fds, 3, "count");
	is_int(parse("--memory -1"), 0, "a value that looks like a flag");
	is_int(got.memory.v, -1, "no limit");
	ok(!got.quota.set, "absent is not 0");
	ok(parse("--memory 5x") < 0, "no unit");
	ok(parse("--preserve-fds -1") < 0, "below 0");
	ok(parse("--cpu-quota 99999999999999999999") < 0, "too large");
}

static void order(void)
{
	is_int(parse("ID --all more"), 0, "options behind the id");
	ok(got.all, "are read");
	is_str(rest[1], "more", "and words kept");
	is_int(parse_with(&in_order, "--all ID sh -c x --root y"), 0, "a command");
	ok(got.all && !got.root && !got.detach, "has options of its own");
	is_str(rest[2], "-c", "which are kept");
	is_str(rest[4], "--root", "all of them");
	is_int(parse("-- --all -"), 0, "the end of options");
	is_str(rest[0], "--all", "what follows is a word");
	is_str(rest[1], "-", "so is a dash");
	is_int(parse("--env A=1 -e B=2"), 0, "a list");
	is_int((long long)got.env.n, 2, "has both");
	is_str(got.env.v[1], "B=2", "in order");
}

static void shared(void)
{
	static const struct opt own[] = {
		{ "root", 0, OPT_TEXT, AT(format), "WORD", "another meaning", NULL },
		{ "quick", 'q', OPT_FLAG, AT(all), NULL, "only here", NULL },
	};
	static const struct opt_table table = { own, 2, false, &any_order };
	char *text = NULL, *at;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	is_int(parse_with(&table, "--root x -q -t --env A=1"), 0, "rows of both");
	ok(got.all && got.tty && got.env.n == 1, "are read");
	is_str(got.format, "x", "its own come first");
	ok(!got.root, "and alone");
	ok(parse_with(&table, "--nosuch") < 0, "what neither has is unknown");
	opts_help(f, &table);
	fclose(f);
	at = strstr(text, "--root");
	ok(at && strstr(at, "another meaning") && !strstr(at + 1, "--root"), "told once");
	ok(strstr(text, "--env") && strstr(text, "--quick") && strstr(text, "--criu"),
	   "all are told");
	free(text);
}

static void errors(void)
{
	ok(parse("--nosuch=1") < 0 && strstr(err_last()->text, "--nosuch"), "%s", err_last()->text);
	ok(parse("-zq") < 0 && strstr(err_last()->text, "-zq"), "%s", err_last()->text);
	ok(parse("--root") < 0 && strstr(err_last()->text, "flag needs an argument") &&
		   strstr(err_last()->text, "requires an argument") &&
		   strstr(err_last()->text, "--root"),
	   "%s", err_last()->text);
	ok(parse("--format xml") < 0 && strstr(err_last()->text, "table|json"), "%s",
	   err_last()->text);
	is_int(parse("--help --nosuch"), 1, "help comes first");
	is_int(parse("-h"), 1, "by letter");
}

/* No line of a help text is wider than a terminal, and every option is in it. */
static void help(void)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	opts_help(f, &any_order);
	opts_wrap(f,
		  "words that go on for longer than a line of eighty columns is wide, so that "
		  "they have to be broken somewhere",
		  30, 0);
	fclose(f);
	for (size_t i = 0; i < any_order.n; i++)
		ok(strstr(text, rows[i].name), "--%s is told", rows[i].name);
	for (char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
		ok(strcspn(p, "\n") < 80, "%.*s", (int)strcspn(p, "\n"), p);
	free(text);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = { TAP(forms),  TAP(flags),  TAP(numbers), TAP(order),
						 TAP(shared), TAP(errors), TAP(help) };
	auto_arena a = arena_new();

	arena = a;
	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
