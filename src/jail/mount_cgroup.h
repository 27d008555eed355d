/* SPDX-License-Identifier: Apache-2.0 */
/* A mount of type cgroup or cgroup2: what the container sees of its own control groups. */
#ifndef JAIL_MOUNT_CGROUP_H
#define JAIL_MOUNT_CGROUP_H

#include <stdbool.h>

struct cgroup;
struct mount_plan;

/*
 * Version 2 hosts: the hierarchy, or where that is refused the container's own directory bound.
 * Version 1 and hybrid hosts: a tmpfs with a directory a hierarchy and the usual links. With own_ns
 * every hierarchy starts at the container's cgroup; without, only that directory is bound, never
 * the host's (CVE-2023-25809). Returns the descriptor of the mount on the target, or -errno with a
 * text.
 */
int mount_cgroup(int root, const struct mount_plan *m, const struct cgroup *cg, bool own_ns);

#endif
