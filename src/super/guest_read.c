/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's credentials are its own: no other thread changes them, and it does so by a few calls.
 * Those are asked about (guest_handlers), and what is known of a thread holds until it makes one.
 * The umask is different, for threads and processes may share it: from such a call on it is known
 * of nobody until the call is seen to have been made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/cow_lead.h"
#include "super/guest_priv.h"
#include "super/handler.h"

#define HELD 64
#define HELD_GROUPS 32 /* who has more is read each time */
#define UNSETTLED_MAX 16

struct held {
	pid_t tid, process;
	uint64_t serial, generation;
	uid_t uid[2];
	gid_t gid[2];
	uint64_t caps[2];
	mode_t umask;
	uint64_t mounts; /* 0: not asked for yet */
	bool nested;
	bool root;     /* it has the container's */
	uint64_t proc; /* device of a procfs, and its numbers there */
	pid_t ids[2];
	size_t n_groups;
	gid_t groups[HELD_GROUPS];
};

/* Of all that are supervised. */
static struct {
	struct held held[HELD];
	uint64_t generation; /* what is held from an earlier one holds no more */
	uint64_t changing;   /* the call that is about to change its thread */
	uint64_t proved;     /* the call of which the thread was found to be the one that is held */
	bool off;            /* more was begun than can be watched */
	bool roots;          /* they may differ */
	/* umask(2) that was let go on */
	struct {
		pid_t tid;
		mode_t mask;
	} unsettled[UNSETTLED_MAX];
	size_t n_unsettled;
	/* numbers that a thread takes over in execve(2) */
	pid_t heirs[UNSETTLED_MAX];
	size_t n_heirs;
} known = { .generation = 1, .changing = UINT64_MAX };

int guest_read_status(int fd, char text[GUEST_STATUS_MAX])
{
	auto_fd file = fd;
	size_t len = 0;
	ssize_t got = 1;

	if (file < 0)
		return file;
	while (got > 0 && len < GUEST_STATUS_MAX - 1) {
		got = read(file, text + len, GUEST_STATUS_MAX - 1 - len);
		len += got > 0 ? (size_t)got : 0;
	}
	text[len] = '\0';
	return got < 0 ? -errno : got > 0 ? -EOVERFLOW : 0;
}

/* The name of the process, a line as well, can't hold a newline. */
size_t guest_values(const char *text, const char *key, int base, uint64_t *out, size_t max)
{
	const char *at = strstr(text, key);
	size_t n = 0;
	char *end;

	for (at += at ? strlen(key) : 0; at && n < max; at = end) {
		while (*at == ' ' || *at == '\t')
			at++;
		if (*at == '\n' || !*at)
			break;
		out[n] = strtoull(at, &end, base);
		if (end == at)
			break;
		n++;
	}
	return n;
}

/* ---- a status */

static int parse_groups(const char *text, struct guest_cred *out)
{
	uint64_t v[GUEST_GROUPS_MAX + 1];
	size_t n = guest_values(text, "\nGroups:", 10, v, GUEST_GROUPS_MAX + 1);

	if (n > GUEST_GROUPS_MAX)
		return -EOVERFLOW;
	for (size_t i = 0; i < n; i++)
		out->groups[i] = (gid_t)v[i];
	out->n_groups = n;
	return 0;
}

/* Real ids, and those for files. fs/open.c, access_override_creds(): for access(2) root in earnest
 * has all that it could take, and nobody else has anything. */
static int parse(const char *text, struct held *h, struct guest_cred *out)
{
	uint64_t uid[4], gid[4], mask, effective, permitted, process;

	if (guest_values(text, "\nTgid:", 10, &process, 1) != 1 ||
	    guest_values(text, "\nUid:", 10, uid, 4) != 4 ||
	    guest_values(text, "\nGid:", 10, gid, 4) != 4 ||
	    guest_values(text, "\nUmask:", 8, &mask, 1) != 1 ||
	    guest_values(text, "\nCapEff:", 16, &effective, 1) != 1 ||
	    guest_values(text, "\nCapPrm:", 16, &permitted, 1) != 1)
		return -ESRCH;
	h->uid[GUEST_REAL] = (uid_t)uid[0];
	h->gid[GUEST_REAL] = (gid_t)gid[0];
	h->uid[GUEST_FILE_SYSTEM] = (uid_t)uid[3];
	h->gid[GUEST_FILE_SYSTEM] = (gid_t)gid[3];
	h->caps[GUEST_REAL] = uid[0] ? 0 : permitted;
	h->caps[GUEST_FILE_SYSTEM] = effective;
	h->umask = (mode_t)mask;
	h->process = (pid_t)process;
	return parse_groups(text, out);
}

static int limit_caps(const struct notif *n, const char *user, struct held *h)
{
	char own[64];
	ssize_t len = notif_proc_link(n, "ns/user", own, sizeof(own));

	if (len < 0)
		return (int)len;
	h->nested = strcmp(own, user) != 0;
	if (h->nested)
		h->caps[0] = h->caps[1] = 0;
	return 0;
}

static int look(struct notif *n, const char *user, struct held *h, struct guest_cred *out)
{
	char text[GUEST_STATUS_MAX];
	int ret = guest_read_status(notif_proc_open(n, "status", O_RDONLY), text);

	if (!ret)
		ret = parse(text, h, out);
	return ret ? ret : limit_caps(n, user, h);
}

/* ---- what is held */

/* True once the call of that thread is over, or has changed nothing. */
static bool is_settled(pid_t tid, mode_t mask)
{
	char text[GUEST_STATUS_MAX], name[32];
	uint64_t now;

	snprintf(name, sizeof(name), "/proc/%d/status", tid);
	if (guest_read_status(open(name, O_RDONLY | O_CLOEXEC), text))
		return true;
	return guest_values(text, "\nUmask:", 8, &now, 1) != 1 || now == mask;
}

static void settle(const struct notif *n)
{
	for (size_t i = known.n_unsettled; i-- > 0;)
		if (known.unsettled[i].tid == n->tid ||
		    is_settled(known.unsettled[i].tid, known.unsettled[i].mask))
			known.unsettled[i] = known.unsettled[--known.n_unsettled];
}

static bool is_heir(pid_t tid)
{
	for (size_t i = 0; i < known.n_heirs; i++)
		if (known.heirs[i] == tid)
			return true;
	return false;
}

static void recall(const struct held *h, enum guest_whose whose, struct guest_cred *out)
{
	out->uid = h->uid[whose];
	out->gid = h->gid[whose];
	out->caps = h->caps[whose];
	out->nested = h->nested;
	out->umask = h->umask;
}

/* What is held of the thread, if it is the same and has changed nothing. */
static struct held *held_of(const struct notif *n)
{
	struct held *h = &known.held[(unsigned)n->tid % HELD];

	if (h->tid != n->tid || h->generation != known.generation || known.n_unsettled)
		return NULL;
	if (known.proved != n->id && h->serial != notif_serial(n))
		return NULL;
	known.proved = n->id;
	return h;
}

/* What was read may be another's who has come by the number: then nobody waits any more. */
static void hold(struct notif *n, const struct held *fresh, const struct guest_cred *c)
{
	struct held *h = &known.held[(unsigned)n->tid % HELD];
	uint64_t serial = known.off ? 0 : notif_serial(n);

	if (!serial || known.n_unsettled || known.changing == n->id || is_heir(n->tid) ||
	    c->n_groups > HELD_GROUPS || !notif_valid(n))
		return;
	*h = *fresh;
	h->tid = n->tid;
	h->serial = serial;
	h->generation = known.generation;
	h->n_groups = c->n_groups;
	memcpy(h->groups, c->groups, c->n_groups * sizeof(c->groups[0]));
	known.proved = n->id;
}

int guest_read(struct notif *n, enum guest_whose whose, const char *user, struct guest_cred *out)
{
	struct held fresh = { .root = false }, *h;
	int ret;

	if (known.n_unsettled)
		settle(n);
	h = held_of(n);
	if (h) {
		out->n_groups = h->n_groups;
		memcpy(out->groups, h->groups, h->n_groups * sizeof(h->groups[0]));
		recall(h, whose, out);
		return 0;
	}
	ret = look(n, user, &fresh, out);
	if (ret)
		return ret;
	recall(&fresh, whose, out);
	hold(n, &fresh, out);
	return 0;
}

int guest_mounts(const struct notif *n, uint64_t *out)
{
	struct held *h = held_of(n);
	int ret = 0;

	if (h && h->mounts) {
		*out = h->mounts;
		return 0;
	}
	ret = notif_mounts(n, out);
	if (!ret && h)
		h->mounts = *out;
	return ret;
}

bool guest_recall_ids(const struct notif *n, uint64_t dev, pid_t out[2])
{
	const struct held *h = held_of(n);

	if (!h || h->proc != dev)
		return false;
	memcpy(out, h->ids, sizeof(h->ids));
	return true;
}

void guest_hold_ids(const struct notif *n, uint64_t dev, const pid_t ids[2])
{
	struct held *h = held_of(n);

	if (!h)
		return;
	h->proc = dev;
	memcpy(h->ids, ids, sizeof(h->ids));
}

void guest_keep_root(const struct notif *n)
{
	struct held *h = known.roots ? NULL : held_of(n);

	if (h)
		h->root = true;
}

bool guest_has_root(const struct notif *n)
{
	const struct held *h = known.roots ? NULL : held_of(n);

	return h && h->root;
}

/* ---- changes: each handler leaves the call to those after it, or to the kernel */

static void on_change(struct super_state *s, struct notif *n)
{
	struct held *h = &known.held[(unsigned)n->tid % HELD];

	(void)s;
	known.changing = n->id;
	if (h->tid == n->tid)
		h->tid = 0;
}

/* Who shares its root with others changes theirs as well. */
static void on_root(struct super_state *s, struct notif *n)
{
	known.roots = true;
	on_change(s, n);
}

static void on_umask(struct super_state *s, struct notif *n)
{
	(void)s;
	settle(n);
	known.generation++;
	if (known.n_unsettled == UNSETTLED_MAX) {
		known.off = true;
		return;
	}
	known.unsettled[known.n_unsettled].tid = n->tid;
	known.unsettled[known.n_unsettled++].mask = (mode_t)n->args[0] & 0777;
}

static pid_t process_of(const struct notif *n)
{
	const struct held *h = held_of(n);
	struct notif_status status;

	if (h)
		return h->process;
	return notif_status(n, &status) ? n->tid : status.pid;
}

/* Who is not the first thread of its process takes over the first one's number. */
static void on_exec(struct super_state *s, struct notif *n)
{
	pid_t process = process_of(n);

	on_change(s, n);
	if (process == n->tid || is_heir(process))
		return;
	known.generation++;
	if (known.n_heirs == UNSETTLED_MAX)
		known.off = true;
	else
		known.heirs[known.n_heirs++] = process;
}

const struct super_handler guest_handlers[] = {
	{ GUARD_ALL("setuid"), SYS_setuid, on_change },
	{ GUARD_ALL("setgid"), SYS_setgid, on_change },
	{ GUARD_ALL("setreuid"), SYS_setreuid, on_change },
	{ GUARD_ALL("setregid"), SYS_setregid, on_change },
	{ GUARD_ALL("setresuid"), SYS_setresuid, on_change },
	{ GUARD_ALL("setresgid"), SYS_setresgid, on_change },
	{ GUARD_ALL("setfsuid"), SYS_setfsuid, on_change },
	{ GUARD_ALL("setfsgid"), SYS_setfsgid, on_change },
	{ GUARD_ALL("setgroups"), SYS_setgroups, on_change },
	{ GUARD_ALL("capset"), SYS_capset, on_change },
	{ GUARD_ALL("unshare"), SYS_unshare, on_change },
	{ GUARD_ALL("setns"), SYS_setns, on_root },
	{ GUARD_UNMADE("chroot", COW_MARK), SYS_chroot, on_root },
	{ GUARD_ALL("pivot_root"), SYS_pivot_root, on_root },
	{ GUARD_ALL("umask"), SYS_umask, on_umask },
	{ GUARD_ALL("execve"), SYS_execve, on_exec },
	{ GUARD_UNMADE("execveat", 4), SYS_execveat, on_exec },
};
const size_t n_guest_handlers = sizeof(guest_handlers) / sizeof(guest_handlers[0]);
