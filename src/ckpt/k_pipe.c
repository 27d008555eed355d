/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes and fifos. Every description of one pipe is a file of its own; the first of them carries
 * what is in flight, copied by tee(2), which takes nothing away. A pipe that leads out of the
 * container can't be saved: kind_pipe looks for the other end among all processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ids.h"
#include "ckpt/kinds.h"
#include "ckpt/look.h"

#define SIZE_MAX_PIPE (1u << 30)
#define INFO_MAX 65536
#define PIECES_MAX (1u << 18) /* a page each */

struct pipe {
	uint64_t dev, ino; /* which one: only to be compared */
	const char *path;  /* of a fifo; NULL: a pipe */
	uint32_t size;
	struct owner owner; /* of a pipe: /dev/stderr may lead to it */
	/* of its first description; lengths of packets, or of all at once */
	const uint64_t *pieces;
	size_t n_pieces;
	int held; /* restore, of the first one: keeps the pipe until the tables stand */
};

static const struct record_field rows[] = {
	RECORD(U, struct pipe, "device", dev),
	RECORD(U, struct pipe, "inode", ino),
	RECORD(TEXT, struct pipe, "path", path, RECORD_OPTIONAL, RECORD_MAX(PATH_MAX)),
	RECORD(U, struct pipe, "size", size, RECORD_MAX(SIZE_MAX_PIPE)),
	OWNER_ROWS(struct pipe, owner),
	RECORD(NUMBERS, struct pipe, "pieces", pieces, RECORD_OPTIONAL,
	       RECORD_N(struct pipe, n_pieces), RECORD_MAX(PIECES_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct pipe, rows);

static bool owns(const struct file_look *l)
{
	return S_ISFIFO(l->st.st_mode) && !(l->flags & O_PATH);
}

static bool is_named(const struct file_look *l)
{
	return l->sort != PROC_FD_PIPE;
}

struct end {
	uint64_t dev, ino;
	struct ckpt_proc *p;
	int fd;
	bool reads, writes;
	const char *name;
};

struct ends {
	struct end *v;
	size_t n, room;
};

/* Of one look at all descriptors. */
static struct ends *ends_of(struct ckpt *c)
{
	void **note = ckpt_note(&kind_pipe, c->procs[0]);

	if (!*note)
		*note = arena_alloc(c->arena, sizeof(struct ends));
	return *note;
}

static bool is_stdio(const struct ckpt *c, const struct stat *st)
{
	for (int i = 0; i < 3; i++)
		if (c->subject->stdio[i].known && c->subject->stdio[i].dev == st->st_dev &&
		    c->subject->stdio[i].ino == st->st_ino)
			return true;
	return false;
}

static void add_end(const struct file_look *l)
{
	struct ends *all = ends_of(l->c);
	uint32_t mode = l->flags & O_ACCMODE;

	all->v = arena_grow(l->c->arena, all->v, all->n, &all->room, sizeof(*all->v));
	all->v[all->n++] = (struct end){
		.dev = l->st.st_dev,
		.ino = l->st.st_ino,
		.p = l->p,
		.fd = (int)l->fd,
		.reads = mode != O_WRONLY,
		.writes = mode != O_RDONLY,
		.name = l->link,
	};
}

static const char *check(const struct file_look *l)
{
	if (!l->p->trace && !is_stdio(l->c, &l->st))
		add_end(l);
	if (is_named(l) && !look_name(l->c, l->link, &l->st))
		return "the fifo was removed, or its path leads to something else now";
	return NULL;
}

/* The one of its descriptions that was seen first. */
static struct ckpt_file *first_of(struct ckpt *c, const struct pipe *p)
{
	for (size_t i = 0; i < c->n_files; i++) {
		const struct pipe *other = c->files[i]->record;

		if (c->files[i]->kind == &file_pipe && other->dev == p->dev && other->ino == p->ino)
			return c->files[i];
	}
	return NULL;
}

/* ---- what is in flight */

/* An end to read from. Another user's pipe can't be opened, but a reading end can be borrowed. */
static int open_reader(pid_t host, uint32_t fd, uint32_t flags)
{
	char path[64];
	auto_fd pidfd = -1;
	int reader;

	snprintf(path, sizeof(path), "/proc/%d/fd/%u", host, fd);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (reader >= 0 || (flags & O_ACCMODE) == O_WRONLY)
		return reader < 0 ? fail_errno("open %s to read", path) : reader;
	pidfd = (int)sys_pidfd_open(host, 0);
	reader = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	return reader < 0 ? fail_errno("copy %s", path) : reader;
}

/* Copies all of it into a pipe of ours. Returns how many bytes. */
static ssize_t copy_pipe(int reader, int size, int out[2])
{
	ssize_t n;

	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
		return fail_errno("make a pipe");
	if (fcntl(out[1], F_SETPIPE_SZ, size) < 0)
		return fail_errno("make a pipe of %d bytes", size);
	n = tee(reader, out[1], INT_MAX, SPLICE_F_NONBLOCK);
	if (n < 0 && errno == EAGAIN)
		return 0;
	return n < 0 ? fail_errno("copy what is in a pipe") : n;
}

/* A read of packets ends where each does. */
static int read_pieces(struct ckpt *c, int from, char *buf, size_t len, struct pipe *out)
{
	uint64_t *pieces = NULL;
	size_t at = 0, n = 0, room = 0;
	ssize_t got;

	while (at < len) {
		got = read(from, buf + at, len - at);
		if (got <= 0)
			return fail(EIO, "a pipe gave %zu of %zu bytes", at, len);
		pieces = arena_grow(c->arena, pieces, n, &room, sizeof(*pieces));
		pieces[n++] = (uint64_t)got;
		at += (size_t)got;
	}
	out->pieces = pieces;
	out->n_pieces = n;
	return 0;
}

static const char *data_name(struct ckpt *c, const struct ckpt_file *f)
{
	return arena_printf(c->arena, "pipe.%u.data", f->id);
}

static int save_data(const struct file_look *l, struct ckpt_file *f)
{
	struct pipe *p = f->record;
	auto_fd reader = open_reader(l->p->host, l->fd, l->flags), a = -1, b = -1;
	int copy[2] = { -1, -1 }, size, ret;
	ssize_t n;
	char *buf;

	if (reader < 0)
		return reader;
	size = fcntl(reader, F_GETPIPE_SZ);
	if (size < 0)
		return fail_errno("ask for the size of a pipe");
	p->size = (uint32_t)size;
	n = copy_pipe(reader, size, copy);
	a = copy[0];
	b = copy[1];
	if (n <= 0)
		return (int)n;
	buf = arena_alloc(l->c->arena, (size_t)n);
	ret = read_pieces(l->c, copy[0], buf, (size_t)n, p);
	return ret ? ret : image_put(l->c->writer, data_name(l->c, f), buf, (size_t)n);
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	struct pipe *p = f->record;
	const struct ckpt_file *first;
	int ret;

	p->dev = l->st.st_dev;
	p->ino = l->st.st_ino;
	p->path = is_named(l) ? look_name(l->c, l->link, &l->st) : NULL;
	first = first_of(l->c, p);
	if (first == f) {
		ret = p->path ? 0 : owner_of(l->c, &l->st, &p->owner);
		return ret ? ret : save_data(l, f);
	}
	p->size = ((const struct pipe *)first->record)->size;
	return 0;
}

/* ---- restore */

/* Packets are written as such: into an end with O_DIRECT, that goes again. */
static bool has_packets(struct ckpt *c, const struct pipe *p)
{
	for (size_t i = 0; i < c->n_files; i++)
		if (c->files[i]->kind == &file_pipe && (c->files[i]->flags & O_DIRECT) &&
		    first_of(c, c->files[i]->record) == first_of(c, p))
			return true;
	return p->n_pieces > 1;
}

static int fill(struct ckpt *c, const struct ckpt_file *f, int writer)
{
	const struct pipe *p = f->record;
	const void *data;
	size_t len, at = 0;
	int ret;

	if (!p->n_pieces)
		return 0;
	ret = image_get(c->image, data_name(c, f), SIZE_MAX_PIPE, &data, &len);
	if (!ret && has_packets(c, p) && fcntl(writer, F_SETFL, O_NONBLOCK | O_DIRECT) < 0)
		ret = fail_errno("write packets to a pipe");
	for (size_t i = 0; !ret && i < p->n_pieces; i++) {
		if (p->pieces[i] > len - at)
			return fail(EBADMSG, "the image: %s is shorter than its %zu pieces",
				    data_name(c, f), p->n_pieces);
		if (write(writer, (const char *)data + at, p->pieces[i]) != (ssize_t)p->pieces[i])
			ret = fail_errno("fill a pipe with %llu bytes",
					 (unsigned long long)p->pieces[i]);
		at += p->pieces[i];
	}
	return ret;
}

/*
 * A descriptor of both directions, with which any end can be opened, and which is closed when the
 * tables stand: a reader that is opened while nobody writes would never see the end.
 */
static int begin(struct ckpt *c, struct ckpt_file *f)
{
	struct pipe *p = f->record;
	auto_fd reader = -1, writer = -1, both = -1;
	char path[64];
	int pair[2], ret;

	if (p->path) {
		both = ckpt_open_path(c, p->path, O_RDWR | O_NONBLOCK);
	} else {
		if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
			return fail_errno("make a pipe");
		reader = pair[0];
		writer = pair[1];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", reader);
		both = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (both < 0)
			return fail_errno("open a pipe");
	}
	if (both < 0)
		return both;
	if (p->size && fcntl(both, F_GETPIPE_SZ) != (int)p->size &&
	    fcntl(both, F_SETPIPE_SZ, (int)p->size) < 0)
		return fail_errno("make a pipe of %u bytes", p->size);
	ret = p->path ? 0 : owner_give(c, both, &p->owner);
	if (!ret)
		ret = fill(c, f, both);
	p->held = ret ? -1 : fd_take(&both);
	return ret;
}

static int make(struct ckpt *c, struct ckpt_file *f)
{
	struct ckpt_file *first = first_of(c, f->record);
	const struct pipe *p = f->record, *owner = first->record;
	int flags = (int)(f->flags & O_ACCMODE) | O_NONBLOCK;
	char path[64];
	int ret = first == f ? begin(c, f) : 0;

	if (ret)
		return ret;
	if (p->path)
		return ckpt_open_path(c, p->path, flags);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", owner->held);
	ret = open(path, flags | O_CLOEXEC);
	return ret < 0 ? fail_errno("open an end of a pipe") : ret;
}

static int link_first(struct ckpt *c, struct ckpt_file *f)
{
	struct pipe *p = f->record;

	if (first_of(c, p) == f)
		fd_close(fd_take(&p->held));
	return 0;
}

const struct file_kind file_pipe = {
	.name = "pipe",
	.table = &table,
	.owns = owns,
	.check = check,
	.collect = collect,
	.make = make,
	.link = link_first,
	.keeps_flags = true,
};

/* ---- whether both ends are the container's */

static int compare_ends(const void *a, const void *b)
{
	const struct end *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

/* Does anybody else hold the missing end? A hung-up end says no; an empty one is asked by
 * tee(2). */
static bool leads_out(pid_t host, int number, bool writes)
{
	auto_fd pidfd = (int)sys_pidfd_open(host, 0), fd = -1, a = -1, b = -1;
	struct pollfd p = { .events = POLLIN | POLLOUT };
	int copy[2];
	ssize_t n;

	fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	p.fd = fd;
	if (fd < 0 || poll(&p, 1, 0) < 0)
		return false;
	if (writes)
		return !(p.revents & POLLERR);
	if (p.revents & POLLHUP)
		return false;
	if (pipe2(copy, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	a = copy[0];
	b = copy[1];
	n = tee(fd, b, 1, SPLICE_F_NONBLOCK);
	return n != 0;
}

static const char *why_out(bool reads)
{
	return reads ? "a process outside of the container writes to it"
		     : "a process outside of the container reads it";
}

/* Descriptors in flight: their number stands in fdinfo of the socket they are in. */
static bool has_flying(struct ckpt *c, struct ckpt_proc *p)
{
	char path[64], *text;
	const char *at;
	int *fds;
	size_t n;

	if (p->zombie || proc_fds(c->arena, p->host, &fds, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", p->host, fds[i]);
		if (fd_read_file(AT_FDCWD, path, c->arena, INFO_MAX, &text, NULL))
			continue;
		at = strstr(text, "scm_fds:");
		if (at && strtoul(at + strlen("scm_fds:"), NULL, 10) > 0)
			return true;
	}
	return false;
}

/* While the container runs. What is missing may be in flight: that is known when it is frozen. */
static int check_ends(const struct ckpt_unit *u)
{
	const struct ends *all = ends_of(u->c);
	size_t next;

	if (all->n)
		qsort(all->v, all->n, sizeof(*all->v), compare_ends);
	for (size_t i = 0; i < all->n; i = next) {
		const struct end *e = &all->v[i];
		bool reads = false, writes = false, flying = false;

		for (next = i; next < all->n && compare_ends(e, &all->v[next]) == 0; next++) {
			reads = reads || all->v[next].reads;
			writes = writes || all->v[next].writes;
		}
		if ((reads && writes) || !leads_out(e->p->host, e->fd, writes))
			continue;
		for (size_t p = 0; p < u->c->n_procs && !flying; p++)
			flying = has_flying(u->c, u->c->procs[p]);
		if (!flying)
			ckpt_problem(u->c, e->p, e->fd, e->name, "%s", why_out(reads));
	}
	return 0;
}

/* Frozen, and all files are known. */
static int check_files(const struct ckpt_unit *u)
{
	struct ckpt *c = u->c;

	for (size_t i = 0; i < c->n_files; i++) {
		struct ckpt_file *f = c->files[i];
		bool reads = false, writes = false;

		if (f->kind != &file_pipe || first_of(c, f->record) != f)
			continue;
		for (size_t k = i; k < c->n_files; k++) {
			if (c->files[k]->kind != &file_pipe ||
			    first_of(c, c->files[k]->record) != f)
				continue;
			reads = reads || (c->files[k]->flags & O_ACCMODE) != O_WRONLY;
			writes = writes || (c->files[k]->flags & O_ACCMODE) != O_RDONLY;
		}
		if (!(reads && writes) && leads_out(f->owner->host, (int)f->owner_fd, writes))
			return fail(ENOTSUP, "process %d: descriptor %u (a pipe): %s",
				    f->owner->pid, f->owner_fd, why_out(reads));
	}
	return 0;
}

const struct ckpt_kind kind_pipe = {
	.name = "pipes",
	.scope = KIND_CONTAINER,
	.check = check_ends,
	.save = check_files,
};
