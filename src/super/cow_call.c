/* SPDX-License-Identifier: Apache-2.0 */
/* From a call's arguments to the file that it is about, and what may be done with that. */
#include "super/cow_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "super/cow_lead.h"
#include "super/guest.h"
#include "super/handler.h"

#define STRUCT_MAX 4096 /* of a structure that may grow: a page */

static const struct cow_form *form_of(int nr)
{
	size_t i = 0;

	while (i < n_cow_forms && cow_forms[i].nr != nr)
		i++;
	return i < n_cow_forms ? &cow_forms[i] : NULL;
}

static uint64_t argument(const struct notif *n, int at, uint64_t otherwise)
{
	return at < 0 ? otherwise : n->args[at];
}

/* A descriptor, or a path of no length: nothing that the kernel would see otherwise. A path that
 * changes afterwards leads to nothing but a look. */
static bool is_nothing(const struct notif *n, int dirfd, uint64_t path)
{
	char first;

	return dirfd >= 0 && (!path || (notif_read(n, path, &first, 1) == 0 && !first));
}

/*
 * The container's own mount of an upper side is where the kernel may change files by itself:
 * whatever a thread puts in the descriptor's place meanwhile, the lower side's mount is read-only.
 * Without a mount namespace it has no such mounts.
 */
static bool is_kernels(struct cow_call *call, int fd)
{
	call->fd = notif_take_fd(call->n, fd);
	return call->fd >= 0 && !call->c->clock && map_is_mounted_upper(&call->c->map, call->fd);
}

static int take(struct cow_call *call, int fd)
{
	int flags;

	if (call->fd < 0)
		call->fd = notif_take_fd(call->n, fd);
	if (call->fd < 0)
		return call->fd;
	flags = fcntl(call->fd, F_GETFL);
	if (flags < 0 || flags & O_PATH)
		return -EBADF;
	call->in = map_of_fd(&call->c->map, call->fd, call->p.rel, &call->side);
	return 0;
}

static int walk(struct cow_call *call, int dirfd, unsigned arg)
{
	unsigned flags = call->at & AT_SYMLINK_NOFOLLOW ? PATH_PARENT : PATH_FOLLOW;
	const struct cow_way way = {
		.dirfd = dirfd,
		.arg = arg,
		.flags = flags | (call->at & AT_EMPTY_PATH ? PATH_EMPTY : 0),
	};
	int ret = cow_walk(call->c, call->n, &way, &call->p);

	call->named = true;
	/* a slash asks for a directory, and follows the link before it */
	if (!ret && call->p.slash && flags & PATH_PARENT) {
		path_close(&call->p);
		ret = path_walk_text(&call->c->map, call->n, dirfd, call->p.text,
				     PATH_FOLLOW | PATH_DIRECTORY, 0, &call->p);
	}
	call->in = call->p.in;
	call->led = call->p.led;
	if (ret)
		return ret;
	call->side = call->p.gone ? LAYER_NOWHERE : call->p.found.side;
	call->fd = fd_take(&call->p.found.fd);
	return call->fd < 0 ? -ENOENT : 0;
}

/* Is it that file of the lower side, or known to be its copy? */
static bool is_same(const struct layer_entry *e, const struct stat *lower)
{
	uint64_t ino;

	if (e->side != LAYER_UPPER)
		return e->st.st_ino == lower->st_ino && e->st.st_dev == lower->st_dev;
	return layer_origin(e->fd, &ino) && ino == lower->st_ino;
}

bool cow_is_gone(struct map_entry *e, const char *rel, int fd)
{
	struct layer_entry found;
	struct stat st;
	bool gone;

	if (fstat(fd, &st) < 0 || layer_find(&e->layer, rel, &found))
		return false;
	gone = found.side == LAYER_NOWHERE || !is_same(&found, &st);
	fd_close(found.fd);
	return gone;
}

/* A descriptor of the lower side was opened before that file was changed or removed. */
static int find_again(struct cow_call *call, bool *out_same)
{
	struct layer_entry e;
	struct stat own;
	int ret = layer_find(&call->in->layer, call->p.rel, &e);

	if (ret)
		return ret;
	*out_same = fstat(call->fd, &own) == 0 && is_same(&e, &own);
	if (e.side == LAYER_NOWHERE || (e.side == LAYER_LOWER && !*out_same) ||
	    (e.st.st_mode & S_IFMT) != (own.st_mode & S_IFMT)) {
		fd_close(e.fd);
		return -EROFS;
	}
	fd_close(call->fd);
	call->fd = e.fd;
	call->side = e.side;
	return 0;
}

/* What is the number's, not the file's, and locks that are this very descriptor's:
 * proc_pid_fdinfo(5). */
static bool may_be_replaced(const struct notif *n, int fd, bool *out_cloexec)
{
	char name[32], text[512];
	const char *at;
	auto_fd info = -1;
	ssize_t len;

	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	info = notif_proc_open(n, name, O_RDONLY);
	len = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	text[len < 0 ? 0 : len] = '\0';
	at = strstr(text, "flags:");
	*out_cloexec = at && strtoul(at + strlen("flags:"), NULL, 8) & O_CLOEXEC;
	return at && !strstr(at, "\nlock:");
}

/*
 * The guest's own descriptor is of the lower file, and would show what that was before: it becomes
 * one of the copy. It was opened for reading, which is not asked for again; of what may be another
 * file that has its name by now it is.
 */
static bool replace(struct cow_call *call, int lower, bool same)
{
	int number = (int)call->n->args[0], flags = fcntl(lower, F_GETFL);
	bool cloexec, fits = may_be_replaced(call->n, number, &cloexec);
	bool acted = same && guest_pause();
	auto_fd opened = flags < 0 || !fits ? -1 : fd_reopen(call->fd, flags & ~O_NOFOLLOW);

	if ((same && guest_resume(acted)) || opened < 0 ||
	    lseek(opened, lseek(lower, 0, SEEK_CUR), SEEK_SET) < 0)
		return false;
	return notif_put_fd(call->n, opened, number, cloexec) == 0;
}

static bool was_copied(const struct map *m, const struct stat *st)
{
	for (size_t i = 0; i < m->n; i++)
		if (layer_was_copied(&m->v[i].layer, st->st_ino))
			return true;
	return false;
}

/*
 * It is open to be read, and somebody else has changed the file since: it becomes one of the copy.
 * Who waits for a file to grow (tail -f) looks at it before it reads on.
 */
static int64_t look_at_copy(struct cow_call *call, const struct cow_form *form)
{
	auto_fd own = fcntl(call->fd, F_DUPFD_CLOEXEC, 0);
	bool same = false;

	if (own < 0 || cow_become(call->c, call->n) || find_again(call, &same) || !same ||
	    call->side != LAYER_UPPER || !notif_valid(call->n))
		return COW_PASS;
	return replace(call, own, same) ? form->act(call) : COW_PASS;
}

/* What a descriptor is the kernel may say, but for a copy. */
static int64_t look_at_itself(struct cow_call *call, const struct cow_form *form, int dirfd)
{
	struct stat st;
	uint64_t ino;

	call->fd = notif_take_fd(call->n, dirfd);
	if (call->fd < 0 || fstat(call->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return COW_PASS;
	if (was_copied(&call->c->map, &st) && (fcntl(call->fd, F_GETFL) & O_PATH) == 0) {
		call->in = map_of_fd(&call->c->map, call->fd, call->p.rel, &call->side);
		if (call->in && call->side == LAYER_LOWER)
			return look_at_copy(call, form);
	}
	if (!map_has_upper(&call->c->map, st.st_dev) || !layer_origin(call->fd, &ino))
		return COW_PASS;
	call->in = map_of_fd(&call->c->map, call->fd, call->p.rel, &call->side);
	return call->in && notif_valid(call->n) ? form->act(call) : COW_PASS;
}

static int64_t find_and_act(struct cow_call *call, const struct cow_form *form)
{
	int dirfd = (int)argument(call->n, form->dirfd, (uint64_t)AT_FDCWD), ret;
	uint64_t path = argument(call->n, form->path, 0);
	bool by_fd = form->path < 0 || (!path && form->scope & COW_NULL && dirfd != AT_FDCWD);

	call->at = (unsigned)argument(call->n, form->flags, 0);
	if (form->scope & COW_WATCH)
		call->at = call->at & IN_DONT_FOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
	if (call->at & ~form->allowed)
		return -EINVAL;
	call->at |= form->implied;
	if (form->scope & COW_FOLLOW && call->at & AT_SYMLINK_FOLLOW)
		call->at &= ~(unsigned)AT_SYMLINK_NOFOLLOW;
	if (form->scope & COW_LOOK &&
	    (by_fd || (call->at & AT_EMPTY_PATH && is_nothing(call->n, dirfd, path))))
		return look_at_itself(call, form, dirfd);
	if (by_fd && form->scope & COW_KERNEL && is_kernels(call, dirfd))
		return COW_PASS;
	ret = form->scope & COW_REAL && !(call->at & AT_EACCESS) ? cow_become_real(call->c, call->n)
								 : cow_become(call->c, call->n);
	if (!ret)
		ret = by_fd ? take(call, dirfd) : walk(call, dirfd, (unsigned)form->path);
	/* what the supervisor can't walk to outside may be in reach of the thread itself */
	if (!call->in && !(call->led && form->scope & COW_REACH) &&
	    !(form->scope & (ret ? COW_ALL : COW_ALL | COW_OUTSIDE)))
		return COW_PASS;
	if (ret)
		return ret;
	return notif_valid(call->n) ? form->act(call) : COW_PASS;
}

void cow_on_call(struct super_state *s, struct notif *n)
{
	const struct cow_form *form = form_of(n->nr);
	struct cow_call call;
	int64_t result;

	if (!form)
		return;
	call.c = s->cow;
	call.n = n;
	call.rest = n->args + form->rest;
	call.in = NULL;
	call.led = false;
	call.side = LAYER_NOWHERE;
	call.fd = -1;
	call.named = false;
	result = find_and_act(&call, form);
	fd_close(call.fd);
	if (call.named)
		path_close(&call.p);
	guest_leave();
	if (result != COW_PASS && !n->answered)
		notif_answer(n, result);
}

static int change(struct cow_call *call, int (*open_up)(struct layer *, const char *))
{
	auto_fd own = -1;
	bool same = false;
	int ret = 0;

	if (!call->in || call->side == LAYER_UPPER)
		return 0;
	if (call->side == LAYER_NOWHERE)
		return cow_is_upper(call->in, call->fd) ? 0 : -EROFS;
	if (call->in->layer.mode != LAYER_COW)
		return -EROFS;
	if (!call->named) {
		own = fcntl(call->fd, F_DUPFD_CLOEXEC, 0);
		ret = own < 0 ? -errno : find_again(call, &same);
	}
	if (!ret && call->side == LAYER_LOWER) {
		ret = open_up(&call->in->layer, call->p.rel);
		if (ret < 0)
			return ret;
		fd_close(call->fd);
		call->fd = ret;
		call->side = LAYER_UPPER;
		ret = 0;
	}
	if (!ret && own >= 0)
		replace(call, own, same);
	return ret;
}

int cow_change(struct cow_call *call)
{
	return change(call, layer_open_up);
}

int cow_change_empty(struct cow_call *call)
{
	return change(call, layer_open_up_empty);
}

static bool is_link(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
}

/* The directory that it is in, and *out_name within text. */
static int open_parent(struct cow_call *call, char text[PATH_MAX], const char **out_name)
{
	struct layer_entry dir;
	char *slash;
	int ret;

	strcpy(text, call->p.rel);
	slash = strrchr(text, '/');
	*out_name = slash ? slash + 1 : text;
	if (slash)
		*slash = '\0';
	ret = layer_find(&call->in->layer, slash ? text : "", &dir);
	if (ret || dir.side == LAYER_UPPER)
		return ret ? ret : dir.fd;
	fd_close(dir.fd);
	return -ENOENT;
}

int cow_text(struct cow_call *call, char out[COW_TEXT_MAX], int *out_dir, bool *out_link)
{
	const char *name = call->p.name;
	char text[PATH_MAX];
	int dir;

	*out_link = is_link(call->fd);
	if (!*out_link) {
		snprintf(out, COW_TEXT_MAX, "/proc/self/fd/%d", call->fd);
		return 0;
	}
	if (call->in && (call->side != LAYER_UPPER || !*call->p.rel))
		return -ENOENT;
	dir = call->in ? open_parent(call, text, &name) : fd_take(&call->p.dir);
	if (dir < 0)
		return call->in ? dir : -ENOENT;
	snprintf(out, COW_TEXT_MAX, "/proc/self/fd/%d/%s", dir, name);
	*out_dir = dir;
	return 0;
}

static bool is_beneath(const char *path, const char *root)
{
	size_t len = strlen(root);

	return strncmp(path, root, len) == 0 && (len == 1 || path[len] == '/');
}

bool cow_is_upper(const struct map_entry *e, int fd)
{
	char path[PATH_MAX];
	struct map_id id;

	if (e->layer.upper < 0 || map_identify(fd, &id) || fd_path(fd, path, sizeof(path)))
		return false;
	/* what is removed may have been put aside before */
	return id.mount == e->upper_mount &&
	       (is_beneath(path, e->upper_path) ||
		(e->layer.work >= 0 && is_beneath(path, e->work_path)));
}

int cow_read_struct(const struct notif *n, const uint64_t *where, size_t least, void *out,
		    size_t size)
{
	size_t given = where[1];
	char more[STRUCT_MAX];
	int ret;

	if (given < least)
		return -EINVAL;
	if (given > sizeof(more))
		return -E2BIG;
	ret = notif_read(n, where[0], more, given);
	if (ret)
		return ret;
	for (size_t i = size; i < given; i++)
		if (more[i])
			return -E2BIG;
	memset(out, 0, size);
	memcpy(out, more, given < size ? given : size);
	return 0;
}
