/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "lib/tap.h"
#include "oci/json.h"

static const struct json *parse(struct arena *a, const char *text)
{
	const struct json *v = NULL;

	if (!ok(json_parse(a, "x.json", text, strlen(text), &v) == 0, "%s: %s", text,
		err_last()->text))
		tap_skip("nothing to look at");
	return v;
}

static void reads_all_kinds(void)
{
	auto_arena a = arena_new();
	const struct json *v = parse(a, " {\"n\":null,\"t\":true,\"f\":false,\"i\":-12,"
					"\"s\":\"a\\u00e9\\n\",\"l\":[1,[],{}],\"o\":{\"x\":1}}\n");

	is_int(v->type, JSON_OBJECT, "an object");
	is_int((long long)v->n, 7, "members");
	is_int(json_get(v, "n")->type, JSON_NULL, "null");
	ok(json_bool(json_get(v, "t")) && !json_bool(json_get(v, "f")), "booleans");
	is_str(json_get(v, "i")->text, "-12", "a number is text");
	is_str(json_str(json_get(v, "s")), "a\xc3\xa9\n", "escapes");
	is_int((long long)json_get(v, "l")->n, 3, "elements");
	ok(!json_get(v, "l")->first->key, "an element has no name");
	is_str(json_get(json_get(v, "o"), "x")->key, "x", "a member has one");
	ok(!json_get(v, "none") && !json_get(NULL, "x") && !json_str(json_get(v, "l")),
	   "what is not there is NULL");
}

static void numbers_are_exact(void)
{
	auto_arena a = arena_new();
	const struct json *v = parse(a, "[18446744073709551615,-9223372036854775808,"
					"9007199254740993,1.0,1e3,-1,18446744073709551616,\"1\"]");
	const struct json *at[8];
	uint64_t u = 0;
	int64_t i = 0;
	size_t n = 0;

	for (const struct json *e = v->first; e; e = e->next)
		at[n++] = e;
	ok(json_u64(at[0], 0, UINT64_MAX, &u) == 0 && u == UINT64_MAX, "the largest");
	ok(json_i64(at[1], INT64_MIN, INT64_MAX, &i) == 0 && i == INT64_MIN, "the smallest");
	ok(json_u64(at[2], 0, UINT64_MAX, &u) == 0 && u == 9007199254740993u, "no double");
	is_int(json_u64(at[3], 0, UINT64_MAX, &u), -EINVAL, "1.0 is no integer");
	is_int(json_i64(at[4], INT64_MIN, INT64_MAX, &i), -EINVAL, "1e3 is none");
	is_int(json_u64(at[5], 0, UINT64_MAX, &u), -ERANGE, "-1 is out of range");
	is_int(json_u64(at[6], 0, UINT64_MAX, &u), -ERANGE, "2^64 is out of range");
	is_int(json_u64(at[7], 0, UINT64_MAX, &u), -EINVAL, "text is no number");
	is_int(json_i64(at[0], INT64_MIN, INT64_MAX, &i), -ERANGE, "too large for the signed");
	ok(u == 9007199254740993u && i == INT64_MIN, "failures leave the output alone");
}

static void the_last_of_a_name_counts(void)
{
	auto_arena a = arena_new();
	const struct json *v = parse(a, "{\"a\":1,\"b\":2,\"a\":{\"c\":3},\"b\":4}");
	struct json_writer *w = json_writer_new(a, false);

	json_put_tree(w, NULL, v);
	is_str(json_writer_text(w, NULL), "{\"a\":{\"c\":3},\"b\":4}", "few");
	is_int((long long)v->n, 2, "counted once");
}

static void many_of_a_name(void)
{
	auto_arena a = arena_new();
	struct json_writer *w = json_writer_new(a, false);
	const struct json *v;
	const char *text;
	char key[16];
	uint64_t u = 0;
	size_t len;

	json_open_object(w, NULL);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "k%u", i % 1000);
		json_put_u64(w, key, i);
	}
	json_close(w);
	text = json_writer_text(w, &len);
	ok(json_parse(a, "x.json", text, len, &v) == 0, "parses: %s", err_last()->text);
	is_int((long long)v->n, 1000, "names");
	ok(json_u64(json_get(v, "k7"), 0, 9999, &u) == 0 && u == 2007, "the last one");
	for (const struct json *m = v->first; m; m = m->next)
		if (json_u64(m, 2000, 2999, &u))
			ok(false, "%s is not the last", m->key);
}

static void errors_name_the_place(void)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "", "x.json:1:1: " },
		{ "   ", "x.json:1:4: " },
		{ "{\n \"a\": 1,\n}", "x.json:3:1: " },
		{ "{\"a\":1}\n{}", "x.json:2:1: " },
		{ "[1,2", "x.json:1:5: " },
		{ "\xff", "x.json:1:1: " },
		{ "[\"\xff\"]", "x.json:1:3: " },
		{ "{\"a\":\n  \"b\\u0000c\"}", "x.json:2:12: a string holds the character U+0000" },
		{ "{\"a\\u0000\":1}", "x.json:1:10: a string holds" },
		{ "[\"\xc0\x80\"]", "x.json:1:5: a string is not valid UTF-8" },
		{ "[\"\xed\xa0\x80\"]", "x.json:1:6: a string is not valid UTF-8" },
		{ "[\"\\udc00\"]", "x.json:1:9: a string is not valid UTF-8" },
		{ "[01]", "x.json:1:" },
		{ "{a:1}", "x.json:1:" },
		{ "[1,]", "x.json:1:" },
		{ "// no\n1", "x.json:1:" },
		{ "'a'", "x.json:1:" },
		{ "\"a\nb\"", "x.json:1:" },
		{ "nul", "x.json:1:" },
	};
	auto_arena a = arena_new();
	const struct json *v;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int ret = json_parse(a, "x.json", rows[i].text, strlen(rows[i].text), &v);
		const char *got = err_last()->text;

		is_int(ret, -EINVAL, "%s", rows[i].text);
		ok(strncmp(got, rows[i].error, strlen(rows[i].error)) == 0, "%s: got %s, want %s",
		   rows[i].text, got, rows[i].error);
		ok(!strchr(got, '\n'), "one line");
	}
}

static void refuses_a_raw_nul(void)
{
	auto_arena a = arena_new();
	const struct json *v;

	is_int(json_parse(a, "x.json", "[1\0]", 4, &v), -EINVAL, "between tokens");
	is_int(json_parse(a, "x.json", "[\"\0\"]", 5, &v), -EINVAL, "in a string");
}

static void depth_has_a_limit(void)
{
	auto_arena a = arena_new();
	const struct json *v;
	char text[2 * JSON_DEPTH_MAX + 2];

	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	is_int(json_parse(a, "x.json", text, 2 * JSON_DEPTH_MAX, &v), 0, "the deepest");
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	is_int(json_parse(a, "x.json", text, sizeof(text), &v), -EINVAL, "one more");
	ok(strstr(err_last()->text, "too deeply"), "%s", err_last()->text);
}

static void size_has_a_limit(void)
{
	auto_arena a = arena_new();
	const struct json *v;

	is_int(json_parse(a, "x.json", " ", (size_t)JSON_SIZE_MAX + 1, &v), -EFBIG, "too large");
}

static void reads_files(void)
{
	auto_arena a = arena_new();
	const struct json *v;

	is_int(json_read(a, AT_FDCWD, "/nowhere/config.json", &v), -ENOENT, "a missing file");
	ok(strstr(err_last()->text, "config.json") && strstr(err_last()->text, "no such file"),
	   "%s", err_last()->text);
	ok(json_read(a, AT_FDCWD, "/", &v) < 0, "a directory");
	ok(json_read(a, AT_FDCWD, "/dev/null", &v) == -EINVAL, "an empty file: %s",
	   err_last()->text);
}

static void writes_compact(void)
{
	static const char *const list[] = { "a", "b\"", NULL };
	auto_arena a = arena_new();
	struct json_writer *w = json_writer_new(a, false);
	size_t gap, len;
	const char *text;

	json_open_object(w, NULL);
	json_put_str(w, "s", "\t\\\x01\xff");
	json_put_str(w, "none", NULL);
	json_put_strs(w, "l", list);
	json_put_strs(w, "no list", NULL);
	gap = json_put_gap(w, "pid");
	json_put_u64(w, "u", UINT64_MAX);
	json_put_i64(w, "i", INT64_MIN);
	json_put_bool(w, "b", true);
	json_put_null(w, "n");
	json_open_array(w, "empty");
	json_close(w);
	json_put_tree(w, "tree", NULL);
	json_close(w);
	text = json_writer_text(w, &len);
	is_int((long long)len, (long long)strlen(text), "length");
	is_str(text,
	       "{\"s\":\"\\t\\\\\\u0001\\ufffd\",\"l\":[\"a\",\"b\\\"\"],\"pid\":,"
	       "\"u\":18446744073709551615,\"i\":-9223372036854775808,\"b\":true,\"n\":null,"
	       "\"empty\":[]}",
	       "all kinds");
	ok(gap < len && strncmp(text + gap - 6, "\"pid\":,", 7) == 0, "the gap");
}

static void writes_indented(void)
{
	auto_arena a = arena_new();
	struct json_writer *w = json_writer_new(a, true);

	json_put_tree(w, NULL, parse(a, "{\"a\":[1,{}],\"b\":{\"c\":\"d\"}}"));
	is_str(json_writer_text(w, NULL),
	       "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {\n    \"c\": \"d\"\n  }\n}\n",
	       "lines");
}

static void grows(void)
{
	auto_arena a = arena_new();
	struct json_writer *w = json_writer_new(a, false);
	const struct json *v = NULL;
	const char *text;
	char big[5000];
	size_t len;

	memset(big, '\x02', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	for (int i = 0; i < 200; i++)
		json_open_array(w, NULL);
	json_put_str(w, NULL, big);
	for (int i = 0; i < 200; i++)
		json_close(w);
	text = json_writer_text(w, &len);
	is_int((long long)len, 400 + 2 + 6 * 4999, "everything is there");
	ok(json_parse(a, "x.json", text + 200, len - 400, &v) == 0, "parses");
	is_str(json_str(v), big, "and is the same");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(reads_all_kinds),   TAP(numbers_are_exact),     TAP(the_last_of_a_name_counts),
		TAP(many_of_a_name),    TAP(errors_name_the_place), TAP(refuses_a_raw_nul),
		TAP(depth_has_a_limit), TAP(size_has_a_limit),      TAP(reads_files),
		TAP(writes_compact),    TAP(writes_indented),       TAP(grows),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
