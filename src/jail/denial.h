/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel writes down about calls it denied: audit records of seccomp (1326, SECCOMP) and
 * Landlock (1423 LANDLOCK_ACCESS, 1424 LANDLOCK_DOMAIN;
 * Documentation/admin-guide/LSM/landlock.rst), with the SYSCALL record (1300) of the same event.
 *
 * They are in the kernel's log where no audit daemon runs, and in that daemon's file where one
 * does. Seccomp writes those that its action and the filter's LOG flag are for; Landlock only while
 * auditing is on.
 */
#ifndef JAIL_DENIAL_H
#define JAIL_DENIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DENIAL_PATH_MAX 1024
#define DENIAL_NAMES_MAX 256
#define DENIAL_COMM_MAX 64

enum denial_kind { DENIAL_SECCOMP, DENIAL_ACCESS, DENIAL_DOMAIN, DENIAL_SYSCALL };

/* One record; what it does not tell is 0, empty or -1. Texts are the process's own: hostile. */
struct denial_record {
	enum denial_kind kind;
	uint64_t ms, serial;        /* of the event, since 1970: records of one event share both */
	pid_t pid;                  /* in the initial pid namespace; DOMAIN: who made the domain */
	char comm[DENIAL_COMM_MAX]; /* its name, in its own words */
	char exe[DENIAL_PATH_MAX];  /* as its own root has it */
	uint32_t arch, code;        /* SECCOMP: AUDIT_ARCH_*, SECCOMP_RET_* */
	int nr;                     /* SECCOMP, SYSCALL */
	uint64_t domain;            /* ACCESS, DOMAIN */
	bool made;                  /* DOMAIN: it was made, not taken down */
	char blockers[DENIAL_NAMES_MAX]; /* ACCESS: "fs.read_file,fs.read_dir" */
	char path[DENIAL_PATH_MAX];      /* ACCESS to a file: path in the container, or a name */
	int port;                        /* ACCESS to a port, or -1 */
	char other[DENIAL_COMM_MAX];     /* ACCESS to a process: its name */
};

/*
 * Reads one line of the kernel's log or of an audit daemon's file. Returns false for what is no
 * such record, or is cut.
 */
bool denial_parse(const char *line, struct denial_record *out);

/* Where records are kept on this machine. */
struct denial_sources {
	bool log;         /* /dev/kmsg could be read */
	bool log_begins;  /* it still has its first line: nothing was overwritten */
	uint64_t log_ms;  /* when its oldest line was written, since 1970 */
	uint64_t dropped; /* records that the log says it left out after `since` */
	bool file;        /* /var/log/audit/audit.log could be read */
	int audit;        /* auditing is on: 1, off: 0, not to be learned: -errno */
	bool daemon;      /* an audit daemon takes the records */
};

/* Calls each() for every record that can be read, the oldest first within a source. since:
 * milliseconds since 1970. */
void denial_read(uint64_t since, struct denial_sources *out,
		 void (*each)(void *arg, const struct denial_record *record), void *arg);

#endif
