/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines from tables: the row of an option is its parser, its place in the command's
 * structure and its line of --help.
 *
 * Accepted: --name value, --name=value, the same with one dash for long names (-no-subreaper),
 * -n value, -nvalue, -n=value, letters in one word (-it), flags with a truth value (--tty=false),
 * any of them repeated (the last counts), and "--" for the end of the options.
 */
#ifndef OCI_OPTS_H
#define OCI_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct arena;

enum opt_kind {
	OPT_FLAG,      /* bool */
	OPT_TEXT,      /* const char * */
	OPT_LIST,      /* struct opt_list: every one counts */
	OPT_COUNT,     /* int, 0 or more */
	OPT_NUMBER,    /* struct opt_i64 */
	OPT_BYTES,     /* struct opt_i64: "64m", or -1 for no limit */
	OPT_SKIP_FLAG, /* accepted because callers pass it, without effect; no place */
	OPT_SKIP_TEXT,
};

struct opt_list {
	const char **v;
	size_t n, room;
};

struct opt {
	const char *name; /* without dashes */
	char letter;      /* or 0 */
	enum opt_kind kind;
	size_t at;         /* offsetof() in the command's structure */
	const char *value; /* how --help calls the value */
	const char *help;
	const char *const *words; /* NULL-terminated: the only values allowed; NULL: any */
};

struct opt_table {
	const struct opt *v;
	size_t n;
	bool in_order; /* the first word that is no option ends the options */
	/* Rows that several commands have, for a structure that theirs begins with; NULL: none. A
	 * row of v of the same name stands in their place. */
	const struct opt_table *also;
};

/*
 * Reads args (NULL-terminated) into values. *out_rest is a NULL-terminated array of the words that
 * are no options. Returns 0, 1 where --help or -h was met (nothing else is to be done then), or
 * -EINVAL with a text that names the flag.
 */
int opts_parse(struct arena *a, const struct opt_table *t, char *const *args, void *values,
	       char ***out_rest);

/* The table as text, 80 columns wide; options without effect come last. */
void opts_help(FILE *out, const struct opt_table *t);

/* Text wrapped at 80 columns; every line begins with indent spaces, the first has `used`
 * already. */
void opts_wrap(FILE *out, const char *text, size_t indent, size_t used);

#endif
