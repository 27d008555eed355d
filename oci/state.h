/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state store: <root>/<id>/ is a container.
 *
 *	state.json    what the runtime knows of it, replaced by rename
 *	config.json   the configuration it was created from; later changes of the bundle's have no
 *	              effect
 *	start.sock    init listens here until it is started: its presence means "created"
 *	super.sock    the container's supervisor listens here, where it has one
 *	cow/<n>/      what the container has changed in its n-th copy-on-write directory
 *	notify/       where the container's NOTIFY_SOCKET is, if the runtime was given one
 *
 * Making the directory claims the id. The directory itself is locked with flock(2) by whoever
 * creates, starts or deletes the container. state.json is written before anything else is made and
 * removed last, so that a runtime that died at any point leaves what delete --force can clean.
 * Everything is reached by descriptors beneath the root's.
 */
#ifndef OCI_STATE_H
#define OCI_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "jail/cgroup.h"
#include "jail/layers.h"

struct arena;
struct json;
struct json_writer;

#define STATE_FILE "state.json"
#define STATE_CONFIG "config.json"
#define STATE_START "start.sock"
#define STATE_SUPER "super.sock"
#define STATE_NOTIFY "notify"
#define STATE_MAKING "making"
#define STATE_COW "cow"

enum state_status { STATE_CREATING, STATE_CREATED, STATE_RUNNING, STATE_PAUSED, STATE_STOPPED };
const char *state_status_name(enum state_status s);

/* A file by its numbers; ino 0: none. */
struct state_file {
	uint64_t dev, ino;
};

/* A directory of the container that is shown by layers. */
struct state_layer {
	const char *path; /* in the container */
	enum layer_mode mode;
	bool notified;           /* by the supervisor; else it is an overlay mount */
	const char *store;       /* of LAYER_COW: as struct layers_dir's */
	const char *host;        /* the same; NULL: nothing that the host could open */
	struct state_file shown; /* what is at host, as the container has found it */
};

struct state {
	const char *id;
	const char *oci_version; /* of the bundle */
	const char *bundle;      /* absolute */
	const char *rootfs;      /* absolute */
	const char *created;     /* RFC 3339, UTC */
	uid_t owner;
	pid_t pid; /* 0: init was not made (yet) */
	uint64_t
		start_time; /* of pid, so that another process of that number is not taken for it */
	bool userns;        /* it has a user namespace of its own */
	bool process;       /* there is something to start */
	bool poststart, poststop; /* it has such hooks */
	struct cgroup cgroup;
	const char *rdt_class; /* linux.intelRdt.closID, or NULL */
	bool rdt_monitoring;
	/* what the caller gave as descriptors 0 to 2; none where it is a terminal of the
	 * container's */
	struct state_file stdio[3];
	const struct state_layer *layers;
	size_t n_layers;
	const struct json *annotations; /* or NULL */
};

/* The open directory of one container. */
struct state_dir {
	const char *id;
	int root; /* borrowed */
	int dir;
	bool locked; /* by us */
};

void state_dir_close(struct state_dir *d);
#define auto_state_dir __attribute__((cleanup(state_dir_close))) struct state_dir

/* [A-Za-z0-9_+-][A-Za-z0-9_+.-]*, at most 255 bytes; else -EINVAL with a text. */
int state_check_id(const char *id);

/* True where the caller is not root of the host: another user, or root of a user namespace. */
bool state_rootless(struct arena *a);

/*
 * Opens the store: path, or where that is NULL the default of this user (/run/thole, or
 * $XDG_RUNTIME_DIR/thole without root). create: make what is missing. Returns the fd or -errno with
 * a text, -ENOENT where there is none.
 */
int state_open_root(struct arena *a, const char *path, bool create);

/* Makes the directory of a new container and locks it. */
int state_claim(int root, const char *id, struct state_dir *out);

/* Opens an existing one; -ENOENT: container "ID" does not exist. */
int state_find(int root, const char *id, struct state_dir *out);

/* Waits up to ten seconds for the lock; -ENOENT where the container is gone by then. */
int state_lock(struct state_dir *d);
void state_unlock(struct state_dir *d);

/* state.json of a container just claimed, and the configuration it is made from. */
int state_create(struct arena *a, const struct state_dir *d, const struct state *s);
int state_keep_config(const struct state_dir *d, const char *config, size_t len);

/* state.json once more, now that more is known. */
int state_write(struct arena *a, const struct state_dir *d, const struct state *s);

/*
 * A container that is run or restored has no start to wait for, and yet a first process that is none
 * of the container's at first: it is creating, and not running, for as long as this caller has the
 * lock, until state_made().
 */
int state_making(const struct state_dir *d);
int state_made(const struct state_dir *d);

/* In two steps: what takes time, and what makes it count. */
int state_prepare(struct arena *a, const struct state_dir *d, const struct state *s);
int state_commit(const struct state_dir *d);

/*
 * Reads state.json. -ENODATA where there is none (a create that was cut short), -EMEDIUMTYPE where
 * it is another runtime's; both with a text.
 */
int state_read(struct arena *a, const struct state_dir *d, struct state *out);

/*
 * What the container is doing now. *out_pidfd (may be NULL) is init's, checked against the start
 * time, and the caller's to close; -1 where init is not alive.
 */
enum state_status state_status(const struct state_dir *d, const struct state *s, int *out_pidfd);

/* Removes the files, state.json last, and the directory. Refuses (-ENOTEMPTY) what is not ours. */
int state_remove(struct state_dir *d);

/* The object that `state` and `list` show. */
void state_put(struct json_writer *w, struct arena *a, const struct state *s,
	       enum state_status status);

/* The ids in the store, sorted, NULL-terminated; entries that can't be a container are left out. */
int state_list(struct arena *a, int root, const char *const **out);

/* The name of a user, or its number as text. */
const char *state_user_name(struct arena *a, uid_t uid);

/* Now, as RFC 3339 in UTC with nanoseconds. */
const char *state_now(struct arena *a);

#endif
