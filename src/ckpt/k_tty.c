/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals. A pair that was made in the container's own devpts is made again there, under its old
 * number; settings, size and modes are read and set through its master. The container's own
 * terminal is its caller's: the new one gets the settings of the old one. A session gets its
 * terminal back when all processes and descriptors stand.
 */
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/ids.h"
#include "ckpt/kinds.h"
#include "ckpt/sockets.h"
#include "sandbox.h"

#define INDEX_MAX (1u << 20)
#define CONSOLE "/dev/console"

/* linux: admin-guide/devices.txt */
#define MAJOR_TTY 5
#define MINOR_TTY 0 /* /dev/tty: the terminal of whoever opened it */
#define MINOR_PTMX 2
#define MAJOR_PTS 136

struct settings {
	const void *termios; /* struct termios2 */
	size_t termios_len;
	uint32_t rows, columns, width, height;
};

struct tty {
	uint32_t index; /* of /dev/pts */
	bool master, console;
	struct settings *settings; /* of a master, or of the container's terminal */
	bool packets, locked, exclusive;
	uint32_t mode, uid, gid; /* of a slave's node */
	int made;                /* restore: a master made before it was asked for, and one more */
};

static const struct record_field settings_rows[] = {
	RECORD(BYTES, struct settings, "termios", termios, RECORD_N(struct settings, termios_len),
	       RECORD_MAX(sizeof(struct termios2))),
	RECORD(U, struct settings, "rows", rows, RECORD_MAX(UINT16_MAX)),
	RECORD(U, struct settings, "columns", columns, RECORD_MAX(UINT16_MAX)),
	RECORD(U, struct settings, "width", width, RECORD_MAX(UINT16_MAX)),
	RECORD(U, struct settings, "height", height, RECORD_MAX(UINT16_MAX)),
};
static const struct record_table settings_table = RECORD_TABLE(struct settings, settings_rows);

static const struct record_field rows[] = {
	RECORD(U, struct tty, "index", index, RECORD_MAX(INDEX_MAX)),
	RECORD(BOOL, struct tty, "master", master, RECORD_OPTIONAL),
	RECORD(BOOL, struct tty, "console", console, RECORD_OPTIONAL),
	RECORD(POINTER, struct tty, "settings", settings, RECORD_OPTIONAL,
	       RECORD_BY(settings_table)),
	RECORD(BOOL, struct tty, "packets", packets, RECORD_OPTIONAL),
	RECORD(BOOL, struct tty, "locked", locked, RECORD_OPTIONAL),
	RECORD(BOOL, struct tty, "exclusive", exclusive, RECORD_OPTIONAL),
	RECORD(U, struct tty, "mode", mode, RECORD_OPTIONAL, RECORD_MAX(07777)),
	RECORD(U, struct tty, "uid", uid, RECORD_OPTIONAL),
	RECORD(U, struct tty, "gid", gid, RECORD_OPTIONAL),
};
static const struct record_table table = RECORD_TABLE(struct tty, rows);

static bool is_master(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && major(st->st_rdev) == MAJOR_TTY &&
	       minor(st->st_rdev) == MINOR_PTMX;
}

static bool owns(const struct file_look *l)
{
	unsigned ma = major(l->st.st_rdev), mi = minor(l->st.st_rdev);

	return S_ISCHR(l->st.st_mode) && !(l->flags & O_PATH) &&
	       (ma == MAJOR_PTS || (ma == MAJOR_TTY && (mi == MINOR_PTMX || mi == MINOR_TTY)));
}

/* ---- dump */

/* Which of /dev/pts it stands for. */
static int index_of(int fd, bool master, uint32_t *out)
{
	unsigned number;

	if (ioctl(fd, master ? TIOCGPTN : TIOCGDEV, &number) < 0)
		return fail_errno("ask for the number of a terminal");
	if (!master && (number >> 8 & 0xfff) != MAJOR_PTS)
		return fail(ENOTSUP, "it is a terminal of the host");
	*out = master ? number : (number & 0xff) | (number >> 12 & 0xfff00);
	return 0;
}

static int stat_inside(struct ckpt *c, const char *path, struct stat *out)
{
	char root[64];
	auto_fd dir = -1, fd = -1;

	snprintf(root, sizeof(root), "/proc/%d/root", c->procs[0]->host);
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -1 : fd_open_in_root(dir, path, O_PATH | O_NOFOLLOW);
	return fd >= 0 && fstat(fd, out) == 0 ? 0 : -ENOENT;
}

/* The node of a number, in the container's devpts. */
static int stat_node(struct ckpt *c, uint32_t index, struct stat *out)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/pts/%u", index);
	return stat_inside(c, path, out);
}

/* The terminal that was made for the container lies on CONSOLE, too. */
static bool is_console(struct ckpt *c, const struct stat *node)
{
	struct stat console;

	return c->subject->sb->process.terminal && stat_inside(c, CONSOLE, &console) == 0 &&
	       console.st_dev == node->st_dev && console.st_ino == node->st_ino;
}

static int borrow(struct ckpt *c, struct ckpt_proc *p, uint32_t fd)
{
	const struct file_look l = { .c = c, .p = p, .fd = fd };

	return socket_borrow(&l);
}

/* Does a process of the container have the master of that number? */
static bool has_master(struct ckpt *c, struct ckpt_proc *p, uint32_t index)
{
	char path[64];
	struct stat st;
	uint32_t is = 0;
	int *fds;
	size_t n;

	if (p->zombie || proc_fds(c->arena, p->host, &fds, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		auto_fd fd = -1;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", p->host, fds[i]);
		if (stat(path, &st) < 0 || !is_master(&st))
			continue;
		fd = borrow(c, p, (uint32_t)fds[i]);
		if (fd >= 0 && index_of(fd, true, &is) == 0 && is == index)
			return true;
	}
	return false;
}

static const char *check(const struct file_look *l)
{
	bool master = is_master(&l->st);
	auto_fd fd = borrow(l->c, l->p, l->fd);
	int waiting = 0;
	struct stat node;
	uint32_t index;

	if (fd < 0 || index_of(fd, master, &index))
		return arena_strdup(l->c->arena, err_last()->text);
	if (stat_node(l->c, index, &node))
		return "its terminal is not of the container's /dev/pts";
	if (ioctl(fd, TIOCINQ, &waiting) == 0 && waiting)
		return master ? "what was written to its terminal was not read"
			      : "what was typed at its terminal was not read";
	if (!master && is_console(l->c, &node))
		return NULL;
	for (size_t i = 0; !master && i < l->c->n_procs; i++)
		if (has_master(l->c, l->c->procs[i], index))
			return NULL;
	return master ? NULL : "no process of the container has the other end of its terminal";
}

static int get_settings(struct ckpt *c, int fd, struct settings **out)
{
	struct settings *s = arena_alloc(c->arena, sizeof(*s));
	struct termios2 t;
	struct winsize w;

	if (ioctl(fd, TCGETS2, &t) < 0 || ioctl(fd, TIOCGWINSZ, &w) < 0)
		return fail_errno("ask for the settings of a terminal");
	*s = (struct settings){
		.termios = arena_memdup(c->arena, &t, sizeof(t)),
		.termios_len = sizeof(t),
		.rows = w.ws_row,
		.columns = w.ws_col,
		.width = w.ws_xpixel,
		.height = w.ws_ypixel,
	};
	*out = s;
	return 0;
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	struct tty *t = f->record;
	auto_fd fd = borrow(l->c, l->p, l->fd);
	int packets = 0, locked = 0, exclusive = 0, ret;
	struct stat node;

	if (fd < 0)
		return fd;
	t->master = is_master(&l->st);
	ret = index_of(fd, t->master, &t->index);
	if (!ret && stat_node(l->c, t->index, &node))
		ret = fail(ENOTSUP, "terminal %u is not of the container's /dev/pts", t->index);
	if (ret)
		return ret;
	t->console = !t->master && is_console(l->c, &node);
	t->mode = node.st_mode & 07777;
	ret = ids_inside(l->c, node.st_uid, node.st_gid, &t->uid, &t->gid);
	if (!ret && t->console)
		return get_settings(l->c, fd, &t->settings);
	if (ret || !t->master)
		return ret;
	if (ioctl(fd, TIOCGPKT, &packets) < 0 || ioctl(fd, TIOCGPTLCK, &locked) < 0 ||
	    ioctl(fd, TIOCGEXCL, &exclusive) < 0)
		return fail_errno("ask for the modes of a terminal");
	t->packets = packets;
	t->locked = locked;
	t->exclusive = exclusive;
	return get_settings(l->c, fd, &t->settings);
}

/* ---- restore */

static int set_settings(int fd, const struct settings *s)
{
	struct winsize w = { (uint16_t)s->rows, (uint16_t)s->columns, (uint16_t)s->width,
			     (uint16_t)s->height };
	struct termios2 t;

	if (s->termios_len != sizeof(t))
		return fail(EBADMSG, "the image: the settings of a terminal have %zu bytes",
			    s->termios_len);
	memcpy(&t, s->termios, sizeof(t));
	if (ioctl(fd, TCSETS2, &t) < 0 || ioctl(fd, TIOCSWINSZ, &w) < 0)
		return fail_errno("give a terminal its settings");
	return 0;
}

/* The kernel gives the lowest free number: those below are taken for a moment. */
static int open_master(struct ckpt *c, uint32_t index)
{
	auto_fd fd = ckpt_open_path(c, "/dev/ptmx", O_RDWR | O_NOCTTY);
	uint32_t is = 0;
	int ret = fd < 0 ? fd : index_of(fd, true, &is);

	if (ret || is == index)
		return ret ? ret : fd_take(&fd);
	if (is > index)
		return fail(EBUSY, "terminal %u is in use in the new container", index);
	return open_master(c, index);
}

static int set_node(struct ckpt *c, const struct tty *t)
{
	const struct ckpt_thread *root = ckpt_root(c);
	char path[64];
	uint64_t addr;
	int64_t ret;

	snprintf(path, sizeof(path), "/dev/pts/%u", t->index);
	ret = ckpt_put(root, 0, path, strlen(path) + 1, &addr);
	if (ret >= 0)
		ret = ckpt_call(root, "give a terminal its owner", SYS_fchownat, (uint64_t)AT_FDCWD,
				addr, t->uid, t->gid, 0);
	if (ret >= 0)
		ret = ckpt_call(root, "give a terminal its mode", SYS_fchmodat, (uint64_t)AT_FDCWD,
				addr, t->mode);
	return ret < 0 ? fail_in((int)ret, "%s", path) : 0;
}

static int make_master(struct ckpt *c, struct tty *t)
{
	const int packets = t->packets, unlocked = 0;
	auto_fd fd = open_master(c, t->index);
	int ret;

	if (fd < 0)
		return fd;
	if (ioctl(fd, TIOCSPTLCK, &unlocked) < 0 || ioctl(fd, TIOCPKT, &packets) < 0)
		return fail_errno("give a terminal its modes");
	ret = set_settings(fd, t->settings);
	if (!ret)
		ret = set_node(c, t);
	return ret ? ret : fd_take(&fd);
}

static struct ckpt_file *master_of(struct ckpt *c, uint32_t index)
{
	const struct tty *t;

	for (size_t i = 0; i < c->n_files; i++) {
		t = c->files[i]->record;
		if (c->files[i]->kind == &file_tty && t->master && t->index == index)
			return c->files[i];
	}
	return NULL;
}

/* It is there, and its other end with the caller. Its name is that in /dev/pts. */
static int open_console(struct ckpt *c, const struct tty *t, int flags)
{
	auto_fd fd = -1;
	uint32_t index;
	char path[64];
	int ret, named;

	if (!c->sb->process.terminal)
		return fail(EINVAL, "the container had a terminal, and is to have none now "
				    "(process.terminal)");
	fd = ckpt_open_path(c, CONSOLE, flags);
	if (fd < 0)
		return fd;
	ret = index_of(fd, false, &index);
	if (!ret && t->settings)
		ret = set_settings(fd, t->settings);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/dev/pts/%u", index);
	named = ckpt_open_path(c, path, flags);
	return named < 0 ? fd_take(&fd) : named;
}

static int open_slave(struct ckpt *c, const struct ckpt_file *f)
{
	const struct tty *t = f->record;
	int flags = (int)(f->flags & O_ACCMODE) | O_NOCTTY | O_NONBLOCK;
	struct ckpt_file *master = master_of(c, t->index);
	struct tty *m;
	char path[64];

	if (t->console)
		return open_console(c, t, flags);
	if (!master)
		return fail(EBADMSG, "the image: %s: files[%u]: terminal %u has no master",
			    IMAGE_CONTAINER, f->id, t->index);
	m = master->record;
	if (master->fd < 0 && !m->made) {
		m->made = make_master(c, m);
		if (m->made < 0)
			return m->made;
		m->made++;
	}
	snprintf(path, sizeof(path), "/dev/pts/%u", t->index);
	return ckpt_open_path(c, path, flags);
}

static int make(struct ckpt *c, struct ckpt_file *f)
{
	struct tty *t = f->record;
	int fd;

	if (!t->master)
		return open_slave(c, f);
	if (!t->settings)
		return fail(EBADMSG, "the image: %s: files[%u].tty.settings is missing",
			    IMAGE_CONTAINER, f->id);
	if (!t->made)
		return make_master(c, t);
	fd = t->made - 1;
	t->made = 0;
	return fd;
}

/* What would hinder the opening of slaves. */
static int link_one(struct ckpt *c, struct ckpt_file *f)
{
	const struct tty *t = f->record;
	const int locked = 1;

	(void)c;
	if ((t->locked && ioctl(f->fd, TIOCSPTLCK, &locked) < 0) ||
	    (t->exclusive && ioctl(f->fd, TIOCEXCL) < 0))
		return fail_errno("give a terminal its modes");
	return 0;
}

const struct file_kind file_tty = {
	.name = "tty",
	.table = &table,
	.owns = owns,
	.check = check,
	.collect = collect,
	.make = make,
	.link = link_one,
	.keeps_flags = true,
};

/* ---- sessions and their terminals */

struct control {
	bool controlled, console; /* a leader of a session that has a terminal */
	uint32_t index;
	uint32_t foreground;       /* its group, as the container sees it; 0: none */
	struct settings *settings; /* of the container's terminal */
};

static const struct record_field control_rows[] = {
	RECORD(BOOL, struct control, "controlled", controlled, RECORD_OPTIONAL),
	RECORD(BOOL, struct control, "console", console, RECORD_OPTIONAL),
	RECORD(U, struct control, "index", index, RECORD_OPTIONAL, RECORD_MAX(INDEX_MAX)),
	RECORD(U, struct control, "foreground", foreground, RECORD_OPTIONAL),
	RECORD(POINTER, struct control, "settings", settings, RECORD_OPTIONAL,
	       RECORD_BY(settings_table)),
};
static const struct record_table control_table = RECORD_TABLE(struct control, control_rows);

/* The group of processes as the container sees it. */
static uint32_t group_inside(struct ckpt *c, pid_t host)
{
	struct proc_stat stat;

	for (size_t i = 0; i < c->n_procs; i++)
		if (proc_stat(c->procs[i]->host, &stat) == 0 && stat.pgrp == host)
			return (uint32_t)c->procs[i]->group;
	return 0;
}

static int collect_control(const struct ckpt_unit *u)
{
	struct control *k = u->rec;
	struct proc_stat stat;
	char path[96];
	struct stat node;
	auto_fd fd = -1;
	int ret;

	if (u->p->session != u->p->pid)
		return 0;
	ret = proc_stat(u->p->host, &stat);
	if (ret || !stat.tty)
		return ret;
	k->index = (stat.tty & 0xff) | (stat.tty >> 12 & 0xfff00);
	if ((stat.tty >> 8 & 0xfff) != MAJOR_PTS || stat_node(u->c, k->index, &node))
		return fail(ENOTSUP,
			    "process %d: the terminal of its session is not of the container's "
			    "/dev/pts",
			    u->p->pid);
	k->controlled = true;
	k->console = is_console(u->c, &node);
	k->foreground = stat.foreground > 0 ? group_inside(u->c, stat.foreground) : 0;
	if (!k->console)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/root/dev/pts/%u", u->c->procs[0]->host, k->index);
	fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? fail_errno("open %s", path) : get_settings(u->c, fd, &k->settings);
}

static int64_t take_control(const struct ckpt_unit *u, const struct control *k, int fd)
{
	const struct ckpt_thread *t = u->p->threads[0];
	uint64_t addr;
	int64_t ret = ckpt_call(t, "take a terminal for its session", SYS_ioctl, (uint64_t)fd,
				TIOCSCTTY, 0);

	if (ret < 0 || !k->foreground)
		return ret;
	ret = ckpt_put(t, 0, &k->foreground, sizeof(k->foreground), &addr);
	return ret < 0 ? ret
		       : ckpt_call(t, "bring a group of processes to the foreground", SYS_ioctl,
				   (uint64_t)fd, TIOCSPGRP, addr);
}

/* Init got it when it was made; this one had given it up, or had never had one. */
static int give_up_console(const struct ckpt_unit *u)
{
	const struct ckpt_thread *t = u->p->threads[0];
	int64_t fd, ret, closed;
	uint64_t addr;

	if (u->p->parent || !u->c->sb->process.terminal)
		return 0;
	ret = ckpt_put(t, 0, CONSOLE, sizeof(CONSOLE), &addr);
	if (ret < 0)
		return (int)ret;
	fd = ckpt_call(t, "open the terminal of its session", SYS_openat, (uint64_t)AT_FDCWD, addr,
		       O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	ret = ckpt_call(t, "give up the terminal of its session", SYS_ioctl, (uint64_t)fd,
			TIOCNOTTY, 0);
	closed = ckpt_call(t, "close a terminal", SYS_close, (uint64_t)fd);
	return ret < 0 ? (int)ret : closed < 0 ? (int)closed : 0;
}

static int rebuild_control(const struct ckpt_unit *u)
{
	const struct ckpt_thread *t = u->p->threads[0];
	const struct control *k = u->rec;
	char path[64] = CONSOLE;
	auto_fd copy = -1;
	int64_t ret, fd, closed;
	uint64_t addr;

	if (!k->controlled)
		return give_up_console(u);
	if (!k->console)
		snprintf(path, sizeof(path), "/dev/pts/%u", k->index);
	ret = ckpt_put(t, 0, path, strlen(path) + 1, &addr);
	if (ret < 0)
		return (int)ret;
	fd = ckpt_call(t, "open the terminal of its session", SYS_openat, (uint64_t)AT_FDCWD, addr,
		       O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	ret = take_control(u, k, (int)fd);
	if (ret >= 0 && k->settings) {
		copy = ckpt_fetch_fd(t, (int)fd);
		ret = copy < 0 ? copy : set_settings(copy, k->settings);
	}
	closed = ckpt_call(t, "close a terminal", SYS_close, (uint64_t)fd);
	return ret < 0 ? (int)ret : closed < 0 ? (int)closed : 0;
}

const struct ckpt_kind kind_tty = {
	.name = "terminal",
	.scope = KIND_PROCESS,
	.table = &control_table,
	.collect = collect_control,
	.rebuild = { [PHASE_FILES] = rebuild_control },
};
