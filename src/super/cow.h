/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of a container that the supervisor shows, copy-on-write or as they are: what its
 * handlers have in common. A path call is walked by the supervisor itself (path.h), as the thread
 * that made it. Outside of the map the kernel makes the call, except where it changes metadata:
 * that nothing else stops, so it is done to what was walked to and never asked for again. In the
 * map every call is made here.
 */
#ifndef SUPER_COW_H
#define SUPER_COW_H

#include <limits.h>

#include "super/layer_late.h"
#include "super/map.h"
#include "super/notif.h"
#include "super/super.h"

#define COW_BUFFER_MAX (64 * 1024) /* of one getdents(2); of an attribute (XATTR_SIZE_MAX) */
#define COW_OPENERS_MAX 64         /* opens that wait for somebody else */

#define COW_LEADS_MAX 2 /* paths of one call */

struct arena;
struct clock;

/* Of the call that is looked at: its paths that lead out of the map again (cow_lead.h). */
struct cow_leads {
	uint64_t id;
	size_t n;
	int error; /* or why one of them leads nowhere */
	struct {
		unsigned arg;
		char text[PATH_MAX + NAME_MAX + 2];
	} v[COW_LEADS_MAX];
};

/* A process that opens something for a thread, which waits for that. */
struct cow_opener {
	pid_t pid, tid;
	int listener;
	uint64_t id; /* of the call */
};

struct cow {
	struct map map;
	const struct clock *clock; /* where times of files are other ones, or NULL */
	bool settled;              /* the container's user namespace is joined */
	struct cow_leads leads;
	struct cow_opener openers[COW_OPENERS_MAX];
	struct layer_late late;
	bool named;   /* a socket has a name that is to be told as another: cow_peer.c */
	bool clients; /* and one such has connected */
	_Alignas(uint64_t) char buffer[COW_BUFFER_MAX]; /* struct dirent64, too */
};

/* In the arena; the descriptors of the configuration are taken over. NULL with a text. */
struct cow *cow_new(struct arena *a, const struct super_config *config);

/* What directory `index` is made of (SUPER_MAP): takes over what it needs, and leaves -1. 0 or
 * -errno without a text: -EINVAL for what is not what its mode has, -EEXIST for a second time. */
int cow_take(struct cow *c, size_t index, int *fds, size_t n);

/* The container's root, and what it has itself at each directory's place (SUPER_ROOT): as above. */
int cow_settle(struct cow *c, int *fds, size_t n);

/* All of them are there, and their places are known. */
bool cow_complete(const struct cow *c);

/* The directory at an absolute path of the container's, without "." and ".." and symbolic links, as
 * a process that is to begin there has it: O_PATH, of the upper side. fd, the caller's, or
 * -errno. */
int cow_place(struct cow *c, const char *path);

/* The same of any file that is there, of whichever side. -ENOENT. */
int cow_look(struct cow *c, const char *path);

/* A tracer has asked the thread to stop, and it waits for an opener: it makes the call again when
 * it goes on. */
void cow_yield(struct cow *c, pid_t tid);

/* A side of directory `index`, which it keeps: -1 where there is none. */
int cow_side(const struct cow *c, size_t index, enum layer_side side);

/* Before anything is walked or done: from here on as the thread (guest_become()), until
 * guest_leave(). 0 or -errno, which is the answer. */
int cow_become(struct cow *c, struct notif *n);

/* The same with its real ids, as access(2) has it. */
int cow_become_real(struct cow *c, struct notif *n);

#endif
