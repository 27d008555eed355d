/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces: which are new, which are joined by path, id mappings, time offsets. namespaces(7) */
#ifndef JAIL_NS_H
#define JAIL_NS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum ns_kind { NS_USER, NS_MOUNT, NS_PID, NS_NET, NS_IPC, NS_UTS, NS_CGROUP, NS_TIME, NS_KINDS };

struct ns_info {
	const char *oci;  /* name in config.json */
	const char *proc; /* file in /proc/PID/ns */
	int flag;         /* CLONE_NEW* */
};
extern const struct ns_info ns_info[NS_KINDS];

struct ns_want {
	bool wanted;
	const char *path;  /* NULL: a new one */
	const char *where; /* JSON path, for messages: "linux.namespaces[3]" */
};

struct ns_map {
	uint32_t inside, outside, size;
};

struct ns_maps {
	const struct ns_map *uid, *gid;
	size_t n_uid, n_gid;
};

struct ns_time {
	bool set;
	bool reading; /* what the clock is to say, not what is added to the machine's */
	int64_t secs;
	uint32_t nanosecs;
};

struct ns_plan {
	struct ns_want want[NS_KINDS];
	struct ns_maps maps;
	struct ns_time monotonic, boottime;
};

static inline bool ns_new(const struct ns_plan *p, enum ns_kind k)
{
	return p->want[k].wanted && !p->want[k].path;
}

/* The CLONE_NEW* bits of every namespace of the plan that is new. */
int ns_new_flags(const struct ns_plan *p);

/* Maps an id out of the container's user namespace. Returns -ERANGE (no text) where it is not
 * mapped. */
int ns_map_out(const struct ns_map *maps, size_t n, uint32_t inside, uint32_t *out);

/*
 * Writes the id maps of a fresh user namespace: directly where privileged or where a single own id
 * is mapped, through newuidmap(1) and newgidmap(1) otherwise, with setgroups denied where it must
 * be.
 */
int ns_write_maps(pid_t pid, const struct ns_maps *maps);

/* A user namespace that holds nothing but these maps, for idmapped mounts. Returns its fd or
 * -errno. */
int ns_open_mapped(const struct ns_maps *maps);

/* Opens a namespace file and checks its kind. Returns the fd or -errno with a text. */
int ns_open(const char *path, enum ns_kind kind);

/* 1 if the fd is the calling process's own namespace of that kind, 0 if not, -errno. */
int ns_is_own(int fd, enum ns_kind kind);

/* Enters a new time namespace with the plan's offsets, then lives in it. Between clone and exec. */
int ns_enter_time(const struct ns_plan *p);

/* Brings the loopback interface of the calling process's network namespace up. */
int ns_loopback_up(void);

#endif
