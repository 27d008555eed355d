/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a config becomes and who keeps it, before anything runs: `policy` prints it, `why` looks up
 * in it what would have to change.
 *
 * The Landlock rows are those of the ruleset (jail/policy.h), and what is said of the filter comes
 * from running the program itself, so neither can differ from what is enforced.
 */
#ifndef OCI_EXPLAIN_H
#define OCI_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bpf/filter.h"
#include "jail/cgroup.h"
#include "jail/policy.h"

struct abi;
struct arena;
struct json_writer;
struct sandbox;
struct seccomp_data;
struct spec;

enum explain_keeper {
	KEPT_LANDLOCK,
	KEPT_MOUNT, /* a flag of a mount, or another mount over a path */
	KEPT_SECCOMP,
	KEPT_NAMESPACE,
	KEPT_CGROUP,
	KEPT_CAPABILITY,
	KEPT_PROCESS, /* ids, limits and flags that the kernel keeps for a process */
	KEPT_LABEL,   /* AppArmor, SELinux */
	KEPT_SUPER,   /* the supervisor */
	KEPT_KINDS
};
extern const char *const explain_keeper_names[KEPT_KINDS];

/* One line of config.json. */
struct explain_line {
	const char *where;   /* "mounts[3]" */
	const char *what;    /* what it became */
	unsigned keepers;    /* bits by enum explain_keeper; 0: nothing to keep, or nobody does */
	const char *missing; /* what was asked for and nobody keeps; NULL: nothing */
};

struct explain {
	struct arena *a;
	const struct spec *spec;
	const struct sandbox *sb;
	struct policy landlock;
	struct filter filter; /* len 0: none */
	const struct explain_line *lines;
	size_t n_lines;
};

/* s and sb must live as long. Fails like filter_build() and policy_plan(). */
int explain_config(struct arena *a, const struct spec *s, const struct sandbox *sb,
		   struct explain *out);

/* explain_lines.c and explain_limits.c: fill lines. */
struct explain_list {
	struct explain *e;
	struct explain_line *v;
	size_t n, cap;
	bool *used; /* by Landlock row: a line has told it */
};
/* A line more; it can be changed until the next is added. */
struct explain_line *explain_add(struct explain_list *l, const char *where, unsigned keepers,
				 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void explain_add_limits(struct explain_list *l);
void explain_add_seccomp(struct explain_list *l);

/* "read_file+read_dir", "all", "all but execute", "nothing": rights of Landlock's newest ABI. */
const char *explain_rights(struct arena *a, enum landlock_class class, uint64_t rights);

/*
 * The filter, by architecture. Numbers of one range get one verdict, or the same ones depending on
 * arguments.
 */
#define EXPLAIN_VERDICTS 4

struct explain_range {
	uint32_t first, last;
	uint32_t verdicts[EXPLAIN_VERDICTS];
	size_t n; /* of verdicts; > 1: it depends on arguments */
	bool arguments;
	unsigned steps; /* instructions executed, with all arguments 0 */
};

/* The architectures of the filter, the native one first; *out_n of them. */
const struct abi **explain_abis(const struct explain *e, size_t *out_n);
struct explain_range *explain_ranges(const struct explain *e, const struct abi *abi, size_t *out_n);

/* The name of a call, or NULL. */
const char *explain_call_name(struct arena *a, const struct abi *abi, uint32_t nr);

/* "ERRNO(1) EPERM" */
const char *explain_verdict(struct arena *a, uint32_t verdict);

/* Every verdict the filter can give a call, whatever its arguments. */
void explain_verdicts(const struct explain *e, const struct seccomp_data *call,
		      struct explain_range *out);

/*
 * The place in config.json that gives the call that verdict: "linux.seccomp.syscalls[4]".
 * arguments: those of the call count; else any rule for it that has this verdict.
 */
const char *explain_seccomp_rule(const struct explain *e, const struct abi *abi,
				 const struct seccomp_data *call, uint32_t verdict, bool arguments);

/* An answer to "open:PATH:rwx", "syscall:NAME[:ARG,...]", "bind:PORT", "connect:PORT". */
enum explain_may { MAY_NO, MAY_DEPENDS, MAY_YES };

struct explain_answer {
	const char *question;
	enum explain_may may;
	const char *where; /* the line of config.json that decides; NULL: none says anything */
	const char *why;
	unsigned keepers; /* who denies it */
	/* the way through the filter, for a call: indices of instructions */
	const uint16_t *path;
	size_t n_path;
};

/* -EINVAL with a text where the question can't be understood. */
int explain_ask(const struct explain *e, const char *question, struct explain_answer *out);

/* Text of 80 columns; colour: for a terminal that shows it. */
struct explain_page {
	FILE *out;
	bool colour;
};
void explain_print_lines(const struct explain_page *p, const struct explain *e);
void explain_print_landlock(const struct explain_page *p, const struct explain *e, bool rows);
void explain_print_filter(const struct explain_page *p, const struct explain *e, bool program);
void explain_print_answer(const struct explain_page *p, const struct explain *e,
			  const struct explain_answer *answer);

/* The same as members of the object that is open. */
void explain_put_lines(struct json_writer *w, const struct explain *e);
void explain_put_landlock(struct json_writer *w, const struct explain *e);
void explain_put_filter(struct json_writer *w, const struct explain *e, bool program);
void explain_put_answer(struct json_writer *w, const struct explain_answer *answer);

#endif
