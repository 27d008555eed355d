/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor of a container: a process of its own that answers some of the container's system
 * calls. There is one only where a feature asks for it. It is detached from whoever made the
 * container, stands outside of its cgroup and namespaces, holds only its own descriptors, and ends
 * when the last task under its filter has ended. Should it die, the calls fail with ENOSYS
 * (seccomp_unotify(2)), and nothing waits.
 */
#ifndef SUPER_SUPER_H
#define SUPER_SUPER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "super/layer.h"

struct arena;
struct filter;

/* The time of day: what is added to the host's, or (begins) what it is when the container starts;
 * nsec is less than a second and of whole microseconds. */
struct super_time {
	bool begins;
	int64_t sec, nsec;
};

/* What a container asks of it: nothing, and there is none. */
struct super_plan {
	bool ports; /* ports that are taken on the host are other ones there */
	bool map;   /* directories are shown (struct super_config, dirs) */
	bool quota; /* and one of them has a quota */
	bool time;  /* the time of day is another one */
	struct super_time wall;
};

static inline bool super_wanted(const struct super_plan *p)
{
	return p->ports || p->map || p->time;
}

/* What the kernel would ask of a port if the container's process used it itself. */
enum super_use { SUPER_BIND_TCP, SUPER_CONNECT_TCP, SUPER_BIND_UDP, SUPER_CONNECT_UDP };

/* A directory of the container that the supervisor shows (super/map.h). */
struct super_dir {
	const char *guest; /* absolute path in the container, normal, no last slash */
	enum layer_mode mode;
	uint64_t quota; /* bytes; 0: none */
	/* O_PATH, inherited, as far as the mode has them; or -1 of all: they come with SUPER_MAP */
	int upper, work, lower;
};

struct super_config {
	struct super_plan plan;
	const struct super_dir *dirs; /* at most SUPER_MAP_MAX (super/map.h) */
	size_t n_dirs;
	const char *id; /* of the container, for the log */
	bool restored;  /* its sockets may have names from before */
	int control;    /* listening socket on which requests arrive */
	/* What the container's own rules (Landlock) say: what they forbid is left to the kernel. */
	bool (*may)(const void *arg, enum super_use use, uint16_t port);
	const void *may_arg;
	bool confined; /* there are such rules: other processes are out of its reach */
};

/* The filter of the calls that the plan needs, in the arena. */
int super_filter(struct arena *a, const struct super_plan *plan, struct filter *out);

/*
 * Starts the supervisor. *out_channel is a connection to it, the first one: it ends when that is
 * closed before a listener came, or with its last listener. config and what it points to need not
 * outlive the call. Returns 0 or -errno with a text.
 */
int super_start(const struct super_config *config, int *out_channel);

/*
 * Requests, over a connection to its control socket, of which SO_PEERCRED is root or the
 * supervisor's own user. A request is one struct super_request; that of a listener brings it along.
 * The answer is one struct super_reply; that of the ports brings a file of struct super_port.
 * SUPER_MAP brings what a directory of the configuration is made of, in this order and as far as
 * its mode has it: the upper one, its work directory on the same mount (the clone, where there is
 * one, is of the directory that holds both), the lower one (O_PATH, of the container's mount
 * namespace or of detached mounts). SUPER_ROOT brings the container's root directory and what it
 * has itself at the place of each of those, in their order (O_PATH), once its mounts are made and
 * before its processes are: they may change their roots and mounts. Both are heard on the first
 * connection alone, SUPER_MAP once for each, then SUPER_ROOT, then the listener.
 * SUPER_PLACE is a struct super_place, answered with the directory of the container's at that path,
 * of the upper side: a process that is to begin there goes to it.
 * SUPER_LOOK is the same of any file that is there (O_PATH), of whichever side, nothing followed.
 * SUPER_PUT_PORT is a struct super_put_port and brings the socket that is bound so.
 * SUPER_HOLD is for another tracer of the container: no call is received and no thread traced until
 * SUPER_GO_ON or the end of the connection; its count is how many are still to be let go: it is
 * asked again until none is. -EBUSY: another connection has it.
 * SUPER_CLOCK brings a file of one struct super_time: what is added to the host's.
 * SUPER_SIDE is a struct super_side, answered with what a side of a directory is (O_PATH).
 * SUPER_WHO is answered with the supervisor's number, as it sees itself, for a count.
 * SUPER_YIELD is of a thread, whose number is the index, that whoever has SUPER_HOLD has told to
 * stop, and that has not: where it waits for somebody else it does not any more, and makes its call
 * again when it goes on. And calls are received again: it may wait for one who makes them.
 */
enum super_op {
	SUPER_ADOPT = 1,
	SUPER_PORTS,
	SUPER_MAP,
	SUPER_PLACE,
	SUPER_PUT_PORT,
	SUPER_HOLD,
	SUPER_GO_ON,
	SUPER_CLOCK,
	SUPER_LOOK,
	SUPER_SIDE,
	SUPER_WHO,
	SUPER_YIELD,
	SUPER_ROOT
};

struct super_request {
	uint32_t op;
	uint32_t index; /* of SUPER_MAP and SUPER_SIDE: in super_config.dirs */
};

struct super_side {
	struct super_request request;
	enum layer_side side;
};

struct super_place {
	struct super_request request;
	char path[PATH_MAX]; /* absolute in the container, in a directory of the map */
};

struct super_reply {
	int32_t error; /* positive errno value */
	uint32_t count;
};

struct super_port {
	uint8_t proto;  /* IPPROTO_TCP or IPPROTO_UDP */
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t ip[16];
	uint16_t virtual_port, real_port;
	bool v6only, chosen; /* chosen: the kernel was asked for any port */
	uint64_t inode;      /* of the socket */
};

/* A socket of a container that was restored: what its port is to the container. */
struct super_put_port {
	struct super_request request;
	struct super_port port; /* but for real_port and inode, which the socket tells */
	pid_t pid;              /* who has it, */
	int fd;                 /* there */
};

/* The ports that are bound now. Returns 0 or -errno with a text. */
int super_ask_ports(int connection, struct arena *a, struct super_port **out, size_t *out_n);

/* The time of day that it gives the container. Returns 0 or -errno with a text. */
int super_ask_clock(int connection, struct arena *a, struct super_time *out);

/* SUPER_HOLD, once. */
int super_hold(int connection, uint32_t *out_left);
int super_go_on(int connection);
int super_yield(int connection, pid_t tid);

/* One side of a directory: O_PATH fd, the caller's, or -errno with a text. */
int super_ask_side(int connection, size_t index, enum layer_side side);

/* Who it is: for whom a thread is traced. 0 or -errno with a text. */
int super_ask_pid(int connection, pid_t *out);

/* SUPER_ROOT, of the caller's own root: the directories are given by their paths in the container.
 * 0 or -errno with a text. */
int super_show_root(int connection, const char *const *guests, size_t n);

/* The others: 0 or -errno with a text. The descriptors stay the caller's. */
int super_adopt(int connection, int listener);
int super_put_port(int connection, const struct super_put_port *put, int sock);

#endif
