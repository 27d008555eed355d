/* SPDX-License-Identifier: Apache-2.0 */
/* Denials of one container, each with the line of its config that would allow what was denied. */
#ifndef OCI_FINDING_H
#define OCI_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "jail/denial.h"
#include "task/watch.h"

struct container;
struct explain;

/* Equal denials are one finding. */
struct finding {
	const char *keeper; /* of explain_keeper_names, or "other" */
	const char *what;   /* "read_file on /etc/shadow" */
	const char *by;     /* the process's name, in its own words, or "" */
	const char *where;  /* what decided: a place in config.json, or NULL */
	const char *remedy; /* what to change there */
	bool sure;          /* else: it fits this container, but the process is gone */
	size_t count;
	pid_t pid;     /* of the last one, 0: unknown */
	uint64_t last; /* milliseconds since 1970 */
};

struct findings {
	const struct explain *e;
	const struct container *ct;
	uint64_t since;    /* the container's beginning, in milliseconds since 1970 */
	const pid_t *pids; /* those that are in it now */
	size_t n_pids;
	int root; /* the container's, or -1 */
	struct finding *v;
	size_t n, cap;
	size_t strangers; /* records that may be of this container or not */
	struct denial_record *records;
	size_t n_records, cap_records;
};

/* Fills since, pids and root. The caller closes root. */
int findings_begin(struct findings *f);

/* Keeps a record; for denial_read(). */
void findings_take(void *findings, const struct denial_record *record);

/* A call that failed just now, in a thread that is stopped; for watch_failures(). */
void findings_see(void *findings, const struct watch_call *call);

/* Makes findings of the records: those of one event and of one domain explain each other. */
void findings_sort_out(struct findings *f);

#endif
