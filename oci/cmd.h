/* SPDX-License-Identifier: Apache-2.0 */
/* Commands: a row each, found by name; main.c has the table. */
#ifndef OCI_CMD_H
#define OCI_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "jail/cgroup.h"
#include "oci/opts.h"

struct arena;

struct cmd_globals {
	const char *root, *log, *log_format, *log_level, *cgroup_manager;
	bool debug, systemd_cgroup, version;
};

/* One call of the program. */
struct cmd {
	struct arena *arena;
	const struct cmd_globals *global;
	char *const *argv; /* the whole command line */
	char **args;       /* the words that are no options, NULL-terminated */
	size_t n_args;
	int root; /* of the state store, -1 before cmd_root() */
};

struct command {
	const char *name;
	const char *args;    /* "ID [SIGNAL]" */
	const char *summary; /* one line, for the list of commands */
	const char *text;    /* more of it for --help, or NULL */
	struct opt_table opts;
	size_t size; /* of the structure the options are read into */
	size_t min_args, max_args;
	int failure; /* exit status where it fails */
	/* Returns the exit status, or -errno with a text. */
	int (*run)(struct cmd *c, const void *options);
};

#define CMD_ANY_ARGS ((size_t)-1)
#define CMD_OPTS(rows)                                             \
	{                                                          \
		.v = (rows), .n = sizeof(rows) / sizeof((rows)[0]) \
	}
#define CMD_OPTS_ALSO(rows, table)                                                   \
	{                                                                            \
		.v = (rows), .n = sizeof(rows) / sizeof((rows)[0]), .also = &(table) \
	}
#define CMD_OPTS_IN_ORDER(rows)                                                      \
	{                                                                            \
		.v = (rows), .n = sizeof(rows) / sizeof((rows)[0]), .in_order = true \
	}

/* One file a family. */
extern const struct command cmd_create, cmd_run, cmd_start;              /* cmd_create.c */
extern const struct command cmd_checkpoint;                              /* cmd_checkpoint.c */
extern const struct command cmd_image;                                   /* cmd_image.c */
extern const struct command cmd_restore;                                 /* cmd_restore.c */
extern const struct command cmd_exec;                                    /* cmd_exec.c */
extern const struct command cmd_kill, cmd_delete, cmd_pause, cmd_resume; /* cmd_kill.c */
extern const struct command cmd_state, cmd_list, cmd_ps;                 /* cmd_show.c */
extern const struct command cmd_events;                                  /* cmd_events.c */
extern const struct command cmd_update;                                  /* cmd_update.c */
extern const struct command cmd_spec;                                    /* cmd_spec.c */
extern const struct command cmd_cow;                                     /* cmd_cow.c */
extern const struct command cmd_features;                                /* cmd_features.c */
extern const struct command cmd_ports;                                   /* cmd_ports.c */
extern const struct command cmd_policy;                                  /* cmd_policy.c */
extern const struct command cmd_why;                                     /* cmd_why.c */

/* The text of --version. */
void cmd_print_version(void);

/* The state store of --root, a descriptor that stays open; create: make it where it is missing. */
int cmd_root(struct cmd *c, bool create);

/* Who makes cgroups, as the flags have it. */
enum cgroup_manager cmd_manager(const struct cmd_globals *g);

/* Writes to standard output and checks that it arrived: a full disk is an error. */
int cmd_print(const char *text, size_t len);

/* Standard output is a terminal that shows colours, and nobody asked for none. */
bool cmd_colour(void);

#endif
