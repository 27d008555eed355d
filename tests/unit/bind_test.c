/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "jail/cgroup.h"
#include "lib/tap.h"
#include "oci/bind.h"
#include "oci/json.h"

struct inner {
	const char *name;
	int32_t n;
};

struct pair {
	const char *key, *value;
};

struct outer {
	const char *text;
	bool yes;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;
	int32_t i32;
	int64_t i64;
	uint32_t color;
	struct opt_i64 opt, flag, opt_color;
	const struct inner *inner;
	const struct inner *list;
	size_t n_list;
	const uint32_t *ids;
	size_t n_ids;
	const char **words;
	uint64_t flags;
	const struct pair *pairs;
	size_t n_pairs;
	const struct inner *map;
	size_t n_map;
	const struct json *raw;
};

static const struct name_row colors[] = { { "red", 1 }, { "green", 2 }, { "blue", 4 } };

static const struct bind_field inner_fields[] = {
	BIND(BIND_I32, struct inner, "n", n, BIND_REQUIRED),
};
static const struct bind_table inner_table = BIND_TABLE(struct inner, inner_fields);

static const struct bind_field fields[] = {
	BIND(BIND_STR, struct outer, "text", text),
	BIND(BIND_BOOL, struct outer, "yes", yes),
	BIND(BIND_U16, struct outer, "u16", u16),
	BIND(BIND_U32, struct outer, "u32", u32),
	BIND(BIND_U64, struct outer, "u64", u64),
	BIND(BIND_I32, struct outer, "i32", i32),
	BIND(BIND_I64, struct outer, "i64", i64),
	BIND(BIND_WORD, struct outer, "color", color, BIND_NAMES(colors)),
	BIND(BIND_U64, struct outer, "opt", opt, BIND_AS(BIND_OPT)),
	BIND(BIND_BOOL, struct outer, "flag", flag, BIND_AS(BIND_OPT)),
	BIND(BIND_WORD, struct outer, "optColor", opt_color, BIND_AS(BIND_OPT), BIND_NAMES(colors)),
	BIND(BIND_OBJECT, struct outer, "inner", inner, BIND_AS(BIND_PTR), BIND_BY(inner_table)),
	BIND(BIND_OBJECT, struct outer, "list", list, BIND_AS(BIND_LIST),
	     BIND_N(struct outer, n_list), BIND_BY(inner_table)),
	BIND(BIND_U32, struct outer, "ids", ids, BIND_AS(BIND_LIST), BIND_N(struct outer, n_ids)),
	BIND(BIND_STR, struct outer, "words", words, BIND_AS(BIND_WORDS)),
	BIND(BIND_WORD, struct outer, "flags", flags, BIND_AS(BIND_FLAGS), BIND_NAMES(colors)),
	BIND(BIND_STR, struct outer, "pairs", pairs, BIND_AS(BIND_MAP),
	     BIND_N(struct outer, n_pairs)),
	BIND(BIND_OBJECT, struct outer, "map", map, BIND_AS(BIND_MAP), BIND_N(struct outer, n_map),
	     BIND_BY(inner_table)),
	BIND(BIND_JSON, struct outer, "raw", raw),
};
static const struct bind_table table = BIND_TABLE(struct outer, fields);

static int bind(struct arena *a, const char *text, struct outer *out)
{
	const struct json *v;
	int ret = json_parse(a, "x.json", text, strlen(text), &v);

	return ret ? ret : bind_object(a, "x.json", "", v, &table, out);
}

static void fills_every_kind(void)
{
	auto_arena a = arena_new();
	struct outer o = { 0 };
	int ret = bind(a,
		       "{\"text\":\"t\",\"yes\":true,\"u16\":65535,\"u32\":4294967295,"
		       "\"u64\":18446744073709551615,\"i32\":-2147483648,"
		       "\"i64\":-9223372036854775808,\"color\":\"green\",\"opt\":0,\"flag\":false,"
		       "\"optColor\":\"blue\",\"inner\":{\"n\":-7},\"list\":[{\"n\":1},{\"n\":2}],"
		       "\"ids\":[3,4,5],\"words\":[\"a\",\"b\"],\"flags\":[\"red\",\"blue\"],"
		       "\"pairs\":{\"k\":\"v\",\"l\":\"w\"},\"map\":{\"x\":{\"n\":8}},\"raw\":[1],"
		       "\"unknown\":{\"deep\":[null]}}",
		       &o);

	if (!ok(ret == 0, "%s", err_last()->text))
		return;
	is_str(o.text, "t", "text");
	ok(o.yes && o.u16 == UINT16_MAX && o.u32 == UINT32_MAX && o.u64 == UINT64_MAX, "unsigned");
	ok(o.i32 == INT32_MIN && o.i64 == INT64_MIN, "signed");
	is_int(o.color, 2, "word");
	ok(o.opt.set && o.opt.v == 0 && o.flag.set && !o.flag.v, "0 and false are not absent");
	ok(o.opt_color.set && o.opt_color.v == 4, "optional word");
	ok(o.inner && o.inner->n == -7, "pointer");
	ok(o.n_list == 2 && o.list[1].n == 2, "list of structures");
	ok(o.n_ids == 3 && o.ids[2] == 5, "list of numbers");
	ok(o.words && strcmp(o.words[1], "b") == 0 && !o.words[2], "words");
	is_int((long long)o.flags, 5, "flags");
	ok(o.n_pairs == 2 && strcmp(o.pairs[1].key, "l") == 0 && strcmp(o.pairs[1].value, "w") == 0,
	   "map of text");
	ok(o.n_map == 1 && strcmp(o.map[0].name, "x") == 0 && o.map[0].n == 8, "map of structures");
	ok(o.raw && o.raw->type == JSON_ARRAY, "the value as it is");
}

static void absent_leaves_zeros(void)
{
	auto_arena a = arena_new();
	struct outer o = { 0 };
	struct outer zero = { 0 };

	is_int(bind(a, "{}", &o), 0, "nothing");
	ok(memcmp(&o, &zero, sizeof(o)) == 0, "all zero");
	is_int(bind(a,
		    "{\"text\":null,\"opt\":null,\"inner\":null,\"list\":null,\"words\":null,"
		    "\"color\":null,\"pairs\":null}",
		    &o),
	       0, "null: %s", err_last()->text);
	ok(memcmp(&o, &zero, sizeof(o)) == 0, "null is absent");
	is_int(bind(a, "{\"words\":[]}", &o), 0, "an empty list");
	ok(o.words && !o.words[0], "is not NULL");
}

static void errors_name_the_path(void)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "[]", "x.json: must be an object, is an array" },
		{ "{\"text\":1}", "x.json: text: must be a string, is a number" },
		{ "{\"yes\":\"true\"}", "x.json: yes: must be a boolean, is a string" },
		{ "{\"u16\":65536}", "x.json: u16: must be from 0 to 65535, is 65536" },
		{ "{\"u32\":-1}", "x.json: u32: must be from 0 to 4294967295, is -1" },
		{ "{\"u32\":1.5}", "x.json: u32: must be an integer, is 1.5" },
		{ "{\"u32\":-1.5}", "x.json: u32: must be an integer, is -1.5" },
		{ "{\"i32\":2147483648}",
		  "x.json: i32: must be from -2147483648 to 2147483647, is 2147483648" },
		{ "{\"opt\":18446744073709551615}",
		  "x.json: opt: must be from 0 to 9223372036854775807, is 18446744073709551615" },
		{ "{\"u64\":\"5\"}", "x.json: u64: must be an integer, is a string" },
		{ "{\"color\":\"pink\"}",
		  "x.json: color: \"pink\" is unknown (known: red, green, blue)" },
		{ "{\"inner\":{}}", "x.json: inner.n: is missing" },
		{ "{\"inner\":{\"n\":null}}", "x.json: inner.n: is missing" },
		{ "{\"inner\":[]}", "x.json: inner: must be an object, is an array" },
		{ "{\"list\":{}}", "x.json: list: must be an array, is an object" },
		{ "{\"list\":[{\"n\":1},{\"n\":[]}]}",
		  "x.json: list[1].n: must be an integer, is an array" },
		{ "{\"list\":[null]}", "x.json: list[0]: must be an object, is null" },
		{ "{\"words\":[\"a\",2]}", "x.json: words[1]: must be a string, is a number" },
		{ "{\"flags\":[\"red\",\"x\"]}",
		  "x.json: flags[1]: \"x\" is unknown (known: red, green, blue)" },
		{ "{\"pairs\":{\"k\":true}}", "x.json: pairs.k: must be a string, is a boolean" },
		{ "{\"map\":{\"eth0\":{\"n\":\"1\"}}}",
		  "x.json: map.eth0.n: must be an integer, is a string" },
	};
	auto_arena a = arena_new();
	struct outer o;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&o, 0, sizeof(o));
		is_int(bind(a, rows[i].text, &o), -EINVAL, "%s", rows[i].text);
		is_str(err_last()->text, rows[i].error, "%s", rows[i].text);
	}
}

static void names_the_place_it_starts_at(void)
{
	static const char text[] = "{\"u32\":\"x\"}";
	auto_arena a = arena_new();
	struct outer o = { 0 };
	const struct json *v;

	is_int(json_parse(a, "x", text, strlen(text), &v), 0, "parses");
	is_int(bind_object(a, "p.json", "process", v, &table, &o), -EINVAL, "refused");
	is_str(err_last()->text, "p.json: process.u32: must be an integer, is a string", "path");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(fills_every_kind),
		TAP(absent_leaves_zeros),
		TAP(errors_name_the_path),
		TAP(names_the_place_it_starts_at),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
