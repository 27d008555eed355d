/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fresh child does between clone and exec, as tables of named steps. The child talks to its
 * parent over a SOCK_SEQPACKET pair: it reports notes, the parent answers with one go each.
 */
#ifndef JAIL_ENTER_H
#define JAIL_ENTER_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "bpf/filter.h"
#include "jail/cgroup.h"
#include "jail/layers.h"
#include "jail/ns.h"
#include "jail/plan.h"
#include "jail/policy.h"
#include "jail/rootfs.h"

struct arena;
struct sandbox;
struct sandbox_io;

enum enter_note_kind {
	NOTE_HELLO = 1, /* its credentials tell the parent its pid */
	NOTE_FILL,      /* the layers' upper directories are to be filled, before anything lies */
	NOTE_LAYERS, /* the layers lie (struct layers_found): answered with who supervises them */
	NOTE_HOOKS,  /* the mounts are there: time for the hooks of the runtime */
	NOTE_READY,  /* all is done but the start */
	NOTE_FREE,   /* with a start to wait for: the parent may end now */
	NOTE_FAILED,
};

struct enter_note {
	int32_t kind;
	struct err err;
};

struct enter_go {
	int32_t pid; /* of the child, as the parent sees it */
};

/* The compiled filter, in memory that parent and child share. */
struct enter_filter {
	unsigned short len;
	struct sock_filter code[BPF_MAXINSNS];
};

/* Everything the child needs, made ready by the parent: the child allocates nothing. */
struct enter {
	struct arena *arena; /* the parent's */
	const struct sandbox *sb;
	const struct sandbox_io *io;
	struct cgroup_entry *entry; /* the parent's */
	struct cgroup_entry given;  /* the child's: version 1 cgroups to join, of the first go */
	const struct cgroup *cgroup;
	struct cgroup *unfinished; /* the same, if its version 1 directories are to be made */
	struct rootfs rootfs;
	struct enter_filter *filter; /* shared with the parent, or NULL: none */
	bool notifies;               /* the filter needs a listener */
	/* Of the supervised calls, without and with those of layers; NULL: there are none of these.
	 * Which of both it is to be may only come out while the container is made. */
	const struct filter *guards[2];
	bool followed;  /* who answers them traces it through execve(2), as an ordinary user */
	int supervisor; /* connection to who answers them, or -1 */
	struct layers layers;
	struct layers_found *found; /* shared with the parent, or NULL: the plan has no layers */
	struct policy policy;
	bool in_layer; /* the working directory is one of an upper side's */
	bool joined;   /* a process more (exec), not init */
	bool staged;   /* the parent doesn't know the pid: say hello */
	int channel;
	int parent_end; /* of the channel: closed first, or the parent's death would not be seen */
	int proc;       /* the host's procfs, to write sysctls and labels by */
	struct cred_modules modules; /* looked at only where a label is to be set */
	int ns[NS_KINDS];            /* to be joined by the child, -1: not */
	int listener; /* connected to the receiver of the seccomp descriptor, or -1 */
	int slave;    /* terminal, or -1 */
	pid_t pid;    /* as the parent sees it; known after NOTE_READY is answered */
	char **env;   /* room for three more at env[n_env] */
	size_t n_env;
	char home[PATH_MAX + 8];
	char executable[PATH_MAX];
};

/*
 * Fills *out: opens namespace files, bind sources and the procfs, copies the
 * environment. What it opened is closed by enter_close(), which may be called again.
 */
int enter_prepare(struct enter *e);
void enter_close(struct enter *e);

/* What the child has told in e->found is let go of; after enter_close(). */
void enter_forget(struct enter *e);

/* In the parent, once the child is cloned and before it is let go. */
int enter_compile_filter(struct enter *e);

/* Of the supervised calls, once it is known what is supervised; or NULL. */
const struct filter *enter_guard(const struct enter *e);

/* True where the child makes its network namespace itself, not the clone. */
bool enter_makes_net(const struct sandbox *sb);

/* In the child; ends in execve(2) or _exit(2). */
void enter_run(struct enter *e) __attribute__((noreturn));

/* The hooks of one point, told the state with the pid as they see it; cwd -1: where the caller
 * is. */
int enter_run_hooks(const struct enter *e, enum sandbox_hook_point point, pid_t pid, int cwd);

/* The child's side of the channel. */
int enter_report(struct enter *e, enum enter_note_kind kind);
int enter_await(struct enter *e);
int enter_await_with(struct enter *e, int *fds, size_t *n_fds); /* and what comes along */

/* Directories that are shown by layers: enter_layers.c. */
int enter_open_layers(struct enter *e);
int enter_await_fill(struct enter *e);
int enter_lay_layers(struct enter *e);
int enter_show_root(struct enter *e);

/*
 * Where path (NULL: the working directory) is in one of those that the supervisor shows: goes to
 * the directory of the upper side. 1 where that was done, 0 where it is in none, -errno with a
 * text.
 */
int enter_layer_cwd(const struct enter *e, const char *path);

/* The supervisor shows directories: what is there, only it knows. */
bool enter_has_layers(const struct enter *e);

/* What a path leads to then, from the process's working directory, also by links from elsewhere:
 * O_PATH, the caller's; or -errno without a text. */
int enter_open_in_layers(const struct enter *e, const char *path);

/* Steps after the container is built: enter_launch.c. */
int enter_find_executable(struct enter *e);
int enter_wait_start(struct enter *e);
int enter_start_hooks(struct enter *e);
int enter_execute(struct enter *e);

/* The last step of one that is to be restored: enter_restored.c. */
int enter_hand_over(struct enter *e);

#endif
