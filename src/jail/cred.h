/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process is: ids, groups, capabilities, no_new_privs, labels. credentials(7),
 * capabilities(7) */
#ifndef JAIL_CRED_H
#define JAIL_CRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cred_caps {
	bool set; /* false: the process keeps what it has */
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct cred_plan {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t n_groups;
	bool keep_groups; /* leave the supplementary groups alone */
	bool has_umask;
	mode_t umask;
	struct cred_caps caps;
	bool no_new_privs;
	const char *apparmor; /* profile, or NULL */
	const char *selinux;  /* label, or NULL */
};

/*
 * All of it between clone and exec, in this order. Ids are those of the caller's user namespace.
 *
 * cred_drop: bounding set, groups, gid, uid, no_new_privs, then the other sets. keep (a mask of
 * capabilities) stays permitted and effective beyond the plan, for what is still to be done; the
 * caller ends that with cred_finish().
 */
int cred_drop(const struct cred_plan *p, uint64_t keep);
int cred_finish(const struct cred_plan *p);

/* True where the process may mount: it has CAP_SYS_ADMIN, or a program of its own can give it. */
bool cred_may_mount(const struct cred_plan *p);

/* True where the calling process has that capability in effect. */
bool cred_has(int cap);

/*
 * The security modules that this kernel runs. To be asked before the container's root is entered:
 * there /sys tells what the container was given, and engines mask /sys/fs/selinux. proc is the root
 * of the runtime's own procfs.
 */
struct cred_modules {
	bool selinux, apparmor;
};
struct cred_modules cred_modules(int proc);

/* The label the next execve(2) takes on, or the calling thread at once, through proc, a verified
 * procfs root. */
enum cred_label_when { CRED_LABEL_AT_EXEC, CRED_LABEL_NOW };
int cred_label(const struct cred_plan *p, const struct cred_modules *modules, int proc,
	       enum cred_label_when when);

/* The caller's own session keyring of that name, made where there is none; with NULL, or where the
 * name is another user's, a new one. The container's processes may search it. */
int cred_join_keyring(const char *name);

/* A file /etc/passwd (open for reading) tells the home of uid. Returns false if it does not. */
bool cred_home(int passwd, uid_t uid, char *out, size_t size);

#endif
