/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bundle becomes under Landlock, and who keeps each part of it.
 *
 *   root, read-write / read-only     all file rights / read, list, execute
 *   a mount, rw / ro                 the same, less what noexec and nodev take away
 *   devices, standard descriptors    read, write, ioctl of those
 *   ports, scopes                    what the annotations and missing namespaces ask for
 *
 * policy_plan() makes one table of rules; policy_ruleset() hands that table to the kernel and
 * `thole policy` prints it, so the two can't differ. Landlock adds rights downwards only: what is
 * narrower than the path above it is kept by the mount's flags, and its row says so.
 */
#ifndef JAIL_POLICY_H
#define JAIL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jail/landlock.h"

struct arena;
struct layers;
struct sandbox;

enum policy_keeper {
	POLICY_LANDLOCK,
	POLICY_MOUNT,     /* a flag of the mount, or another mount over the path */
	POLICY_NAMESPACE, /* what is meant is not there */
	POLICY_NOBODY,    /* the kernel can't, or Landlock is off */
	POLICY_KEEPERS
};

enum policy_kind {
	POLICY_FILES,   /* LL_* file rights beneath path */
	POLICY_STDIO,   /* file rights on what the descriptors stand for that the caller passes */
	POLICY_PROGRAM, /* file rights on path, the program, and on what interprets it */
	POLICY_OTHER_FILES, /* everything that no other row names: the host's */
	POLICY_PORTS,       /* network rights on the ports first to last */
	POLICY_OTHER_PORTS, /* every port that no other row names, for the rights denied */
	POLICY_SCOPE,       /* scopes: nothing is granted */
};

/*
 * One line of config.json. granted: what it lets through. denied: what it is to keep out, of the
 * newest ABI this program knows. kept[] is who does: a right may be in more than one, those of
 * POLICY_NOBODY are in no other.
 */
struct policy_rule {
	enum policy_kind kind;
	const char *where; /* "root.readonly", "mounts[3]", "linux.maskedPaths[0]" */
	const char *path;  /* POLICY_FILES: absolute, in the container; POLICY_PROGRAM: a name */
	uint16_t first, last;
	uint64_t granted, denied;
	uint64_t kept[POLICY_KEEPERS];
	bool required;   /* without path there is no container */
	bool in_ruleset; /* granted is a rule of the ruleset: Landlock runs and the kernel has it */
};

struct policy {
	int abi;         /* of the kernel, 0: no Landlock */
	unsigned errata; /* fixed in this kernel: enum landlock_erratum. Never takes a right out */
	bool enforced;   /* a ruleset is applied; else none at all */
	bool files;      /* it handles file rights: with those no mount can be made any more */
	const char *why; /* why not all of it is applied, or NULL; a sentence part */
	uint64_t handled[LANDLOCK_CLASSES]; /* what the ruleset denies unless granted */
	uint64_t lacking[LANDLOCK_CLASSES]; /* what the plan would handle and this kernel can't */
	const struct policy_rule *rules;
	size_t n_rules;
};

/*
 * True where the host's root is the container's and its mounts are seen: Landlock alone confines
 * it, and the bundle's mounts name the only paths it has.
 */
bool policy_alone(const struct sandbox *sb);

/* Whether Landlock is to keep files here: 1, 0, or -errno with a text as policy_plan(). */
int policy_wanted(const struct sandbox *sb);

/*
 * The table for the plan on a kernel of that ABI (landlock_abi()), in the order of config.json.
 * Returns 0, or -ENOTSUP with a text where mode enforce, or what an annotation asks for together
 * with it, can't be had.
 */
int policy_plan(struct arena *a, const struct sandbox *sb, int abi, struct policy *out);

/* The answer to "may it?". */
struct policy_answer {
	uint64_t denied;               /* of the rights asked for: 0 is yes */
	enum policy_keeper by;         /* who denies; POLICY_NOBODY where nothing is denied */
	const struct policy_rule *row; /* the row that decides; NULL: no row is about that */
};

/* File rights at a path: absolute, in the container, without "." and "..". */
void policy_ask_path(const struct policy *p, const char *path, uint64_t rights,
		     struct policy_answer *out);

/* One right on a port. A row that denies nothing says what the kernel can't enforce. */
void policy_ask_port(const struct policy *p, uint16_t port, uint64_t right,
		     struct policy_answer *out);

/* What the process that enters has of its own. */
struct policy_own {
	int n_fds;           /* descriptors 0 to n_fds - 1 may be opened again (/dev/stdout) */
	const char *program; /* the program's path, where a row is about it, */
	int program_fd;      /* and the file (O_PATH) where that is not what is there, or -1 */
	/* what the supervisor hands out of these may be read and executed; NULL: none */
	const struct layers *layers;
};

/*
 * Builds the ruleset with the calling process's root as the container's. Returns its fd or -errno
 * with a text. Between clone and exec.
 */
int policy_ruleset(const struct policy *p, const struct policy_own *own);

#endif
