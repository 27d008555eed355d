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

#endif
