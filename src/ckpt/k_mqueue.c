/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX message queues of the container's own ipc namespace, and descriptors of them.
 * mq_overview(7)
 *
 * There is no look at a message but to take it. So all of a queue are taken and put back at once in
 * their order, by a child of ours that no signal stops on the way and that goes on should thole be
 * killed. Nobody else can send or receive meanwhile: the container stands still.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/inside.h"
#include "ckpt/kinds.h"
#include "jail/plan.h"

#define MQUEUE_MAGIC 0x19800202 /* linux ipc/mqueue.c */
#define QUEUES_MAX 65536
#define MESSAGES_MAX 65536      /* HARD_MSGMAX */
#define MESSAGE_MAX (16u << 20) /* HARD_MSGSIZEMAX */
#define DATA "mqueue.0.data"

struct queue {
	const char *name;
	uint32_t mode, uid, gid;              /* ids as the container sees them */
	uint64_t max, size;                   /* messages, bytes of each */
	const uint64_t *priorities, *lengths; /* of the messages, in the order they are received */
	size_t n_priorities, n_lengths;
	/* dump */
	const char *data;
	size_t len;
};

struct queues {
	struct queue *v;
	size_t n, room;
};

static const struct record_field queue_rows[] = {
	RECORD(TEXT, struct queue, "name", name, RECORD_MAX(NAME_MAX)),
	RECORD(U, struct queue, "mode", mode, RECORD_MAX(07777)),
	RECORD(U, struct queue, "uid", uid, RECORD_OPTIONAL),
	RECORD(U, struct queue, "gid", gid, RECORD_OPTIONAL),
	RECORD(U, struct queue, "maxMessages", max, RECORD_MAX(MESSAGES_MAX)),
	RECORD(U, struct queue, "messageSize", size, RECORD_MAX(MESSAGE_MAX)),
	RECORD(NUMBERS, struct queue, "priorities", priorities, RECORD_OPTIONAL,
	       RECORD_N(struct queue, n_priorities), RECORD_MAX(MESSAGES_MAX)),
	RECORD(NUMBERS, struct queue, "lengths", lengths, RECORD_OPTIONAL,
	       RECORD_N(struct queue, n_lengths), RECORD_MAX(MESSAGES_MAX)),
};
static const struct record_table queue_table = RECORD_TABLE(struct queue, queue_rows);
static const struct record_field rows[] = {
	RECORD_LIST_OF(struct queues, "queues", v, n, queue_table, RECORD_MAX(QUEUES_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct queues, rows);

struct job {
	struct ckpt *c;
	struct queues *all;
};

/* ---- dump */

/* Where all queues of the namespace have names, whether the container has mounted that or not. */
static int open_names(void)
{
	auto_fd fs = -1, mount = -1;
	int fd;

	if (unshare(CLONE_NEWNS) < 0)
		return fail_errno("leave the mount namespace");
	fs = (int)sys_fsopen("mqueue", FSOPEN_CLOEXEC);
	if (fs < 0 || sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fail_errno("look at the message queues");
	mount = (int)sys_fsmount(fs, FSMOUNT_CLOEXEC, 0);
	fd = mount < 0 ? -1 : openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? fail_errno("look at the message queues") : fd;
}

/* What the file of a queue says: mq_overview(7) */
static int refuse_notified(int fd, const char *name)
{
	char text[256];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	const char *at;

	if (n < 0)
		return fail_errno("read the state of the message queue %s", name);
	text[n] = '\0';
	at = strstr(text, "NOTIFY_PID:");
	if (at && strtol(at + strlen("NOTIFY_PID:"), NULL, 10) != 0)
		return fail(ENOTSUP,
			    "a process is to be notified of a message in the queue %s (mq_notify), "
			    "which can't be restored",
			    name);
	return 0;
}

/* Takes all and puts them back. What was taken is put back also where a part fails. */
static int copy_messages(struct ckpt *c, int fd, struct queue *q, size_t count)
{
	uint64_t *priorities = arena_array(c->arena, count, sizeof(*priorities)),
		 *lengths = arena_array(c->arena, count, sizeof(*lengths));
	char *data = arena_alloc(c->arena, count * q->size + 1);
	size_t n = 0, len = 0, at = 0;
	unsigned priority;
	ssize_t got;
	int ret = 0;

	for (; n < count; n++, len += (size_t)got) {
		got = mq_receive(fd, data + len, q->size, &priority);
		if (got < 0) {
			ret = fail_errno("receive message %zu of the queue %s", n, q->name);
			break;
		}
		priorities[n] = priority;
		lengths[n] = (uint64_t)got;
	}
	for (size_t i = 0; i < n; at += lengths[i++])
		if (mq_send(fd, data + at, lengths[i], (unsigned)priorities[i]) < 0)
			ret = fail_errno("put message %zu of the queue %s back", i, q->name);
	q->priorities = priorities;
	q->lengths = lengths;
	q->n_priorities = q->n_lengths = n;
	q->data = data;
	q->len = len;
	return ret;
}

static int read_queue(struct job *j, int dir, const char *name)
{
	auto_fd fd = openat(dir, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct queue *q;
	struct mq_attr attr;
	struct stat st;
	int ret;

	if (fd < 0 || fstat(fd, &st) < 0 || mq_getattr(fd, &attr) < 0)
		return fail_errno("look at the message queue %s", name);
	ret = refuse_notified(fd, name);
	if (ret)
		return ret;
	j->all->v =
		arena_grow(j->c->arena, j->all->v, j->all->n, &j->all->room, sizeof(*j->all->v));
	q = &j->all->v[j->all->n++];
	*q = (struct queue){
		.name = arena_strdup(j->c->arena, name),
		.mode = st.st_mode & 07777,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.max = (uint64_t)attr.mq_maxmsg,
		.size = (uint64_t)attr.mq_msgsize,
	};
	return attr.mq_curmsgs ? copy_messages(j->c, fd, q, (size_t)attr.mq_curmsgs) : 0;
}

/* In the child. */
static int read_all(void *ctx, int pipe)
{
	struct job *j = ctx;
	struct dirent *e;
	const char *text;
	sigset_t all;
	size_t len;
	DIR *d;
	int fd = open_names(), ret = 0;

	if (fd < 0)
		return fd;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	d = fdopendir(fd);
	if (!d)
		return fail_errno("list the message queues");
	while (!ret && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			ret = read_queue(j, fd, e->d_name);
	if (!ret && errno)
		ret = fail_errno("list the message queues");
	closedir(d);
	if (!ret)
		ret = j->c->codec->write(j->c->arena, &table, j->all, &text, &len);
	if (!ret)
		ret = inside_send_text(pipe, text, len);
	for (size_t i = 0; i < j->all->n && !ret; i++)
		ret = inside_send(pipe, j->all->v[i].data, j->all->v[i].len);
	return ret;
}

/* In thole, meanwhile. */
static int take_all(void *ctx, int pipe)
{
	struct job *j = ctx;
	const char *text;
	size_t len;
	int ret = inside_take_text(j->c, pipe, &text, &len);

	if (!ret)
		ret = j->c->codec->parse(j->c->arena, "the message queues", text, len, &table,
					 j->all);
	return ret || !j->all->n ? ret : inside_take_file(j->c, pipe, DATA);
}

/* The mount that the configuration has of them shows all there are, and mostly there are none. */
static bool shows_none(struct ckpt *c)
{
	const struct rootfs_plan *plan = &c->subject->sb->rootfs;
	const struct mount_plan *m = NULL;
	auto_fd root = inside_root(c);
	struct dirent *e = NULL;
	struct statfs fs;
	int fd;
	DIR *d;

	for (size_t i = 0; i < plan->n_mounts; i++)
		if (plan->mounts[i].fstype && strcmp(plan->mounts[i].fstype, "mqueue") == 0)
			m = &plan->mounts[i];
	fd = root < 0 || !m ? -1 : fd_open_in_root(root, m->target, O_RDONLY | O_DIRECTORY);
	d = fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != MQUEUE_MAGIC ? NULL : fdopendir(fd);
	if (!d) {
		fd_close(fd);
		return false;
	}
	do {
		errno = 0;
		e = readdir(d);
	} while (e && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
	closedir(d);
	return !e && !errno;
}

static int save(const struct ckpt_unit *u)
{
	struct job j = { .c = u->c, .all = u->rec };
	const struct inside job = {
		.spaces = CLONE_NEWIPC, .there = read_all, .here = take_all, .ctx = &j
	};

	if (!ns_new(&u->c->subject->sb->ns, NS_IPC) || shows_none(u->c))
		return 0;
	return inside_run(u->c, &job);
}

/* ---- restore */

static int check_queue(size_t i, const struct queue *q, uint64_t *total)
{
	if (!*q->name || strchr(q->name, '/') || strcmp(q->name, ".") == 0 ||
	    strcmp(q->name, "..") == 0)
		return fail(EBADMSG, "the image: %s: mqueue.queues[%zu].name: is no name",
			    IMAGE_CONTAINER, i);
	if (q->n_priorities != q->n_lengths || q->n_lengths > q->max)
		return fail(EBADMSG, "the image: %s: mqueue.queues[%zu]: too many messages",
			    IMAGE_CONTAINER, i);
	for (size_t m = 0; m < q->n_lengths; m++) {
		if (q->lengths[m] > q->size)
			return fail(EBADMSG,
				    "the image: %s: mqueue.queues[%zu].lengths[%zu]: is too long",
				    IMAGE_CONTAINER, i, m);
		*total += q->lengths[m];
	}
	return 0;
}

static int prepare(const struct ckpt_unit *u)
{
	const struct queues *all = u->rec;
	uint64_t total = 0;
	int ret = 0;

	for (size_t i = 0; i < all->n && !ret; i++)
		ret = check_queue(i, &all->v[i], &total);
	return ret;
}

static int make_queue(const struct queue *q, const char *data)
{
	struct mq_attr attr = { .mq_maxmsg = (long)q->max, .mq_msgsize = (long)q->size };
	auto_fd fd = (int)syscall(SYS_mq_open, q->name,
				  O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK | O_CLOEXEC, 0600, &attr);

	if (fd < 0)
		return fail_errno("make the message queue %s of %llu messages of %llu bytes",
				  q->name, (unsigned long long)q->max, (unsigned long long)q->size);
	for (size_t i = 0; i < q->n_lengths; data += q->lengths[i++])
		if (mq_send(fd, data, q->lengths[i], (unsigned)q->priorities[i]) < 0)
			return fail_errno("send message %zu to the queue %s", i, q->name);
	if (fchown(fd, q->uid, q->gid) < 0 || fchmod(fd, q->mode) < 0)
		return fail_errno("set owner and mode of the message queue %s", q->name);
	return 0;
}

/* In the child. */
static int make_all(void *ctx, int pipe)
{
	struct job *j = ctx;
	const char *data;
	const void *all;
	size_t len, need;
	int ret = image_get(j->c->image, DATA, SIZE_MAX, &all, &len);

	(void)pipe;
	data = all;
	for (size_t i = 0; i < j->all->n && !ret; i++) {
		const struct queue *q = &j->all->v[i];

		need = 0;
		for (size_t m = 0; m < q->n_lengths; m++)
			need += q->lengths[m];
		if (need > len)
			return fail(EBADMSG, "the image: %s is shorter than its messages", DATA);
		ret = make_queue(q, data);
		data += need;
		len -= need;
	}
	return ret;
}

static int rebuild(const struct ckpt_unit *u)
{
	struct job j = { .c = u->c, .all = u->rec };
	const struct inside job = { .spaces = CLONE_NEWIPC, .there = make_all, .ctx = &j };

	if (!j.all->n)
		return 0;
	if (!ns_new(&u->c->sb->ns, NS_IPC))
		return fail(ENOTSUP,
			    "the image has message queues, and the new configuration gives "
			    "the container no ipc namespace of its own");
	return inside_run(u->c, &job);
}

const struct ckpt_kind kind_mqueue = {
	.name = "mqueue",
	.scope = KIND_CONTAINER,
	.table = &table,
	.save = save,
	.prepare = prepare,
	.rebuild = { [PHASE_ROOT] = rebuild },
};

/* ---- descriptors */

struct descriptor {
	const char *name;
};

static const struct record_field descriptor_rows[] = {
	RECORD(TEXT, struct descriptor, "name", name, RECORD_MAX(NAME_MAX)),
};
static const struct record_table descriptor_table =
	RECORD_TABLE(struct descriptor, descriptor_rows);

static bool owns(const struct file_look *l)
{
	return l->fs_type == MQUEUE_MAGIC && S_ISREG(l->st.st_mode) && !(l->flags & O_PATH);
}

static const char *check(const struct file_look *l)
{
	return l->st.st_nlink ? NULL
			      : "the message queue was removed: nothing leads to it any more";
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	const char *slash = strrchr(l->link, '/');

	((struct descriptor *)f->record)->name = slash ? slash + 1 : l->link;
	return 0;
}

static int make(struct ckpt *c, struct ckpt_file *f)
{
	const struct descriptor *d = f->record;
	const struct ckpt_thread *root = ckpt_root(c);
	uint64_t addr;
	int64_t there;
	int ret = ckpt_put(root, 0, d->name, strlen(d->name) + 1, &addr);

	if (ret)
		return ret;
	there = ckpt_call(root, "open a message queue", SYS_mq_open, addr,
			  (f->flags & (O_ACCMODE | O_NONBLOCK)) | O_CLOEXEC, 0, 0);
	if (there < 0)
		return fail_in((int)there, "%s", d->name);
	return ckpt_take_fd(root, (int)there);
}

const struct file_kind file_mqueue = {
	.name = "mqueue",
	.table = &descriptor_table,
	.owns = owns,
	.check = check,
	.collect = collect,
	.make = make,
};
