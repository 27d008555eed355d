/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a path is walked.
 *
 * The walk stands at a place: a file that is open (O_PATH), and, where that is of the map, the
 * entry and the path in it. The text that is still to go is a buffer that is used up from its
 * front; the text of a symbolic link is put there before what is left. A step takes one name off:
 * in a directory outside of the map the kernel is asked for it (openat(2), O_NOFOLLOW), in one of
 * the map its layer (layer_find()). No step follows a link by itself, so it is always known where
 * the walk stands, and no text is ever taken for a place.
 *
 * Where nothing can be between, several names are taken at once: a leap. Outside of the map that is
 * a run of names none of which is that of an entry's root, and in which there is no link
 * (RESOLVE_NO_SYMLINKS): what the kernel says of it is what the steps would find. In a layer it is
 * one with no other entry beneath.
 *
 * It enters the map where the directory that it has come to is an entry's root (map_of_root()), and
 * where it begins at, or a link of /proc leads to, a file that lies in one (map_of_fd()). It leaves
 * it by ".." of an entry's root, and by links.
 */
#include "super/path_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/guest.h"

/* ---- names */

struct name {
	char text[NAME_MAX + 1];
	bool last;  /* nothing but slashes follows */
	bool slash; /* and there are some */
	bool too_long;
};

static void take_name(struct walk *w, struct name *out)
{
	size_t len;

	w->next += strspn(w->next, "/");
	len = strcspn(w->next, "/");
	/* who asks for it is told first what else hinders */
	out->too_long = len > NAME_MAX;
	memcpy(out->text, w->next, out->too_long ? 0 : len);
	out->text[out->too_long ? 0 : len] = '\0';
	w->next += len;
	out->slash = *w->next == '/';
	out->last = !w->next[strspn(w->next, "/")];
}

static bool is_followed(const struct walk *w, const struct name *name)
{
	return !name->last || w->flags & PATH_FOLLOW || (name->slash && !(w->flags & PATH_PARENT));
}

static void cut(char *rel)
{
	char *slash = strrchr(rel, '/');

	*(slash ? slash : rel) = '\0';
}

/* ---- steps */

static int enter(struct walk *w, struct map_entry *e)
{
	if (path_is_barred(w, e->native_id.mount))
		return -EXDEV;
	place_enter(&w->at, e);
	return 0;
}

int path_arrive(struct walk *w, int fd, const struct map_id *id, const struct stat *st)
{
	struct map_entry *e = S_ISDIR(id->mode) ? map_of_root(w->map, w->n, fd, id) : NULL;

	if (!e && !path_is_barred(w, id->mount)) {
		place_set(&w->at, fd, id, st);
		return 0;
	}
	fd_close(fd);
	return e ? enter(w, e) : -EXDEV;
}

/* Nothing has that name; the caller may be content with the directory. */
static int miss(struct walk *w, const struct name *name, int ret)
{
	if (ret != -ENOENT || !name->last || !(w->flags & PATH_PARENT))
		return ret;
	w->missed = true;
	return 0;
}

/* For who makes or removes names: the last directory and the name in it. */
static int keep_parent(struct walk *w, const struct name *name)
{
	int fd;

	if (!name->last || !(w->flags & PATH_PARENT))
		return 0;
	fd = fcntl(w->at.fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	fd_close(w->out->dir);
	w->out->dir = fd;
	strcpy(w->out->name, name->text);
	return 0;
}

static int open_name(struct walk *w, const char *name)
{
	int fd = openat(w->at.fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	return errno == EACCES ? guest_open_own(w->n, w->at.fd, name, O_NOFOLLOW) : -errno;
}

static int step_outside(struct walk *w, const struct name *name)
{
	auto_fd fd = open_name(w, name->text);
	struct map_id id;
	struct stat st;
	int kept, ret = fd < 0 ? fd : map_look(fd, &id, &st);

	if (!ret || ret == -ENOENT) {
		kept = keep_parent(w, name);
		ret = kept ? kept : ret;
	}
	if (ret)
		return miss(w, name, ret);
	if (S_ISLNK(id.mode) && is_followed(w, name))
		return path_follow(w, &(struct link){ fd, name->text, name->last, &st });
	return path_arrive(w, fd_take(&fd), &id, &st);
}

/* The kernel asks for the right to search a directory also for "." */
static int check_search(struct walk *w)
{
	int fd, ret = place_find(&w->at);

	if (ret)
		return ret;
	fd = openat(w->at.fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd_close(fd);
	return fd < 0 ? -errno : 0;
}

static int step_inside(struct walk *w, const struct name *name)
{
	struct layer_entry found = { .fd = -1 };
	struct map_entry *inner;
	int ret;

	if (w->at.gone)
		return S_ISDIR(w->at.id.mode) ? -ENOENT : -ENOTDIR;
	ret = path_join(w->at.rel, name->text);
	if (ret)
		return ret;
	inner = map_below(w->map, w->at.in, w->at.rel);
	if (inner) {
		cut(w->at.rel);
		ret = check_search(w);
		return ret ? ret : enter(w, inner);
	}
	ret = layer_find(&w->at.in->layer, w->at.rel, &found);
	w->out->found.whiteout = found.whiteout;
	if (ret || found.fd < 0)
		return miss(w, name, ret ? ret : -ENOENT);
	if (S_ISLNK(found.st.st_mode) && is_followed(w, name)) {
		cut(w->at.rel);
		ret = path_follow(w, &(struct link){ found.fd, name->text, name->last, &found.st });
		fd_close(found.fd);
		return ret;
	}
	place_put(&w->at, &found);
	return 0;
}

/* To a directory of which only now is known where it is: above an entry, or a mount in one. */
static int step_out(struct walk *w, int from)
{
	auto_fd fd = openat(from, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct map_id id;
	int ret = fd < 0 ? -errno : map_identify(fd, &id);

	if (!ret && path_is_barred(w, id.mount))
		ret = -EXDEV;
	return ret ? ret : place_open(w, fd_take(&fd), &w->at);
}

/* From a root to what is above all of them: this process's own doesn't stop it. */
static int climb(int *root)
{
	struct map_id was = { .dev = 0 }, id = { .dev = 0 };
	int fd, ret = 0;

	do {
		was = id;
		fd = openat(*root, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		fd_close(*root);
		*root = fd;
		ret = map_identify(fd, &id);
	} while (!ret && (id.ino != was.ino || id.dev != was.dev || id.mount != was.mount));
	return ret;
}

/* In mounts of its own: the directory that has the entry's root where the container has it. */
static int open_above(struct walk *w, const struct map_entry *e)
{
	auto_fd top = guest_root(w->n), above = -1, root = -1;
	int ret = top < 0 ? top : climb(&top);
	const char *name = strrchr(e->native_path, '/') + 1;
	char path[PATH_MAX];
	struct map_id id;

	if (ret)
		return ret;
	snprintf(path, sizeof(path), ".%.*s", (int)(name - e->native_path), e->native_path);
	above = fd_open(top, path, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
	root = above < 0 ? -1 : openat(above, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0 || map_identify(root, &id) || map_of_root(w->map, w->n, root, &id) != e)
		return -ENOENT;
	return fd_take(&above);
}

/* From an entry's root to what it stands in. */
static int leave(struct walk *w)
{
	const struct map_entry *e = w->at.in;
	int fd = w->leaps ? -1 : open_above(w, e);

	if (fd < 0)
		return step_out(w, e->native);
	/* it is a mount, for else there were none of its own */
	if (w->resolve & RESOLVE_NO_XDEV) {
		fd_close(fd);
		return -EXDEV;
	}
	return place_open(w, fd, &w->at);
}

/* What was removed may have been moved out of the layer for that. */
static int step_back(struct walk *w)
{
	struct map_entry *in = w->at.in;
	int ret = step_out(w, w->at.fd);

	if (ret || w->at.in)
		return ret;
	w->at.in = in;
	return -ENOENT;
}

static int step_up(struct walk *w)
{
	int ret = check_search(w);

	if (!ret)
		ret = path_root(w);
	if (ret)
		return ret;
	if (place_same(&w->at, &w->root))
		return w->resolve & RESOLVE_BENEATH ? -EXDEV : 0;
	if (w->at.gone)
		return step_back(w);
	if (!w->at.in)
		return step_out(w, w->at.fd);
	if (!w->at.rel[0])
		return leave(w);
	cut(w->at.rel);
	place_close(&w->at);
	return 0;
}

/* Most file systems say that it is too long, procfs that it has no such name. */
static int step_too_far(struct walk *w)
{
	char name[NAME_MAX + 2];
	struct stat st;
	int ret = w->at.gone ? -ENOENT : check_search(w);

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	if (!ret && !w->at.in && fstatat(w->at.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		ret = -errno;
	return ret ? ret : -ENAMETOOLONG;
}

static int step(struct walk *w, const struct name *name)
{
	if (name->too_long)
		return step_too_far(w);
	if (strcmp(name->text, ".") == 0)
		return check_search(w);
	if (strcmp(name->text, "..") == 0)
		return step_up(w);
	return w->at.in ? step_inside(w, name) : step_outside(w, name);
}

/* ---- the whole */

static enum path_last kind_of(const char *name)
{
	return !path_is_dots(name, strlen(name)) ? PATH_NAME : name[1] ? PATH_DOTDOT : PATH_DOT;
}

static int run(struct walk *w)
{
	struct name name = { .last = false };
	int ret = 0;

	while (!ret && !w->missed && w->next[strspn(w->next, "/")]) {
		w->inside |= w->at.in != NULL;
		w->out->jumped = false;
		name.slash = false;
		ret = w->leaps ? path_leap(w) : 1;
		if (ret <= 0)
			continue;
		take_name(w, &name);
		w->out->last = kind_of(name.text);
		ret = step(w, &name);
	}
	w->out->slash = name.slash;
	return ret;
}

/* What the walk has come to is the caller's. */
static int give(struct walk *w)
{
	struct path *out = w->out;
	int ret = w->missed ? 0 : place_find(&w->at);

	if (ret)
		return ret;
	out->gone = out->in && w->at.gone;
	if (out->in)
		strcpy(out->rel, out->gone ? "" : w->at.rel);
	if (out->in || out->last != PATH_NAME)
		fd_close(fd_take(&out->dir));
	if (w->missed)
		return 0;
	out->found.side = !out->in ? LAYER_NOWHERE : out->gone ? LAYER_UPPER : w->at.side;
	if (w->at.kept && fstat(w->at.fd, &w->at.st) < 0)
		return -errno;
	out->found.st = w->at.st;
	out->found.fd = place_take(&w->at);
	if (out->found.fd < 0)
		return out->found.fd;
	if ((w->flags & PATH_DIRECTORY || (out->slash && !(w->flags & PATH_PARENT))) &&
	    !S_ISDIR(out->found.st.st_mode))
		return -ENOTDIR;
	return 0;
}

static int begin(struct walk *w, int dirfd)
{
	bool scoped = w->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT);
	const char *text = w->out->text;
	struct place *from;
	int fd, ret;

	if (w->resolve & RESOLVE_BENEATH && text[0] == '/')
		return -EXDEV;
	if (text[0] == '/' && !scoped) {
		ret = path_root(w);
		if (!ret)
			place_borrow(&w->root, &w->at);
		return ret;
	}
	from = scoped ? &w->root : &w->at;
	fd = dirfd == AT_FDCWD ? guest_cwd(w->n) : notif_take_fd(w->n, dirfd);
	ret = fd < 0 ? fd : place_open(w, fd, from);
	if (!ret && text[0] && !S_ISDIR(from->id.mode))
		ret = -ENOTDIR;
	if (!ret && scoped)
		place_borrow(&w->root, &w->at);
	return ret;
}

/* The first thread that is heard of has the container's mounts: of those that are restored none has
 * others. */
static int know_mounts(struct map *m, const struct notif *n)
{
	return m->mounts ? 0 : notif_mounts(n, &m->mounts);
}

static void set_text(struct walk *w, const char *text)
{
	size_t len = strlen(text) + 1;

	w->next = memcpy(w->text + sizeof(w->text) - len, text, len);
}

static int walk_as_guest(struct walk *w, int dirfd)
{
	int ret = begin(w, dirfd);

	if (ret)
		return ret;
	set_text(w, w->out->text);
	ret = run(w);
	w->out->in = w->at.in;
	w->out->led = w->inside && !w->at.in;
	return ret ? ret : give(w);
}

static int walk(struct map *m, struct notif *n, int dirfd, unsigned flags, uint64_t resolve,
		struct path *out)
{
	/* lint: parameters: those of openat2(2) */
	bool acted = guest_acts();
	struct walk w;
	int ret;

	if (!out->text[0] && !(flags & PATH_EMPTY))
		return -ENOENT;
	/* the text is large and not to be cleared */
	w.map = m;
	w.n = n;
	w.flags = flags;
	w.resolve = resolve;
	w.out = out;
	w.links = 0;
	w.missed = w.inside = false;
	w.root.fd = w.at.fd = -1;
	w.root.in = w.at.in = NULL;
	w.root.kept = w.at.kept = false;
	ret = know_mounts(m, n);
	if (!ret && !acted)
		ret = guest_become(n);
	if (ret)
		return ret;
	w.leaps = map_is_usual(m, n);
	ret = walk_as_guest(&w, dirfd);
	if (!acted)
		guest_leave();
	place_close(&w.at);
	place_close(&w.root);
	return ret;
}

static void clear(struct path *out)
{
	out->in = NULL;
	out->rel[0] = out->name[0] = '\0';
	out->slash = out->gone = out->led = out->jumped = false;
	out->last = PATH_ROOT;
	out->found = (struct layer_entry){ .side = LAYER_NOWHERE, .fd = -1 };
	out->dir = -1;
}

int path_walk(struct map *m, struct notif *n, int dirfd, uint64_t address, unsigned flags,
	      uint64_t resolve, struct path *out)
{
	/* lint: parameters: those of openat2(2) */
	int ret;

	clear(out);
	out->text[0] = '\0';
	ret = notif_read_text(n, address, out->text, sizeof(out->text));
	if (!ret)
		return walk(m, n, dirfd, flags, resolve, out);
	/* what has been read of it has no end */
	out->text[0] = '\0';
	return ret;
}

int path_walk_text(struct map *m, struct notif *n, int dirfd, const char *text, unsigned flags,
		   uint64_t resolve, struct path *out)
{
	/* lint: parameters: those of openat2(2) */
	size_t len = strlen(text);

	clear(out);
	if (len >= sizeof(out->text))
		return -ENAMETOOLONG;
	memmove(out->text, text, len + 1);
	return walk(m, n, dirfd, flags, resolve, out);
}

void path_close(struct path *p)
{
	fd_close(fd_take(&p->found.fd));
	fd_close(fd_take(&p->dir));
}

/* What stands before it is the way from the host's root to that of the thread. */
static int strip_root(const struct notif *n, char *text)
{
	auto_fd root = guest_root(n);
	char above[PATH_MAX];
	size_t len;
	int ret = root < 0 ? root : fd_path(root, above, sizeof(above));

	if (ret)
		return ret;
	len = strlen(above);
	if (len == 1)
		return text[0] == '/' ? 0 : -ENOENT;
	if (strncmp(text, above, len) != 0 || (text[len] != '/' && text[len]))
		return -ENOENT;
	memmove(text, text + len, strlen(text + len) + 1);
	return 0;
}

int path_outside(const struct notif *n, const struct path *p, char *out, size_t size)
{
	char text[PATH_MAX];
	int ret = fd_path(p->dir >= 0 ? p->dir : p->found.fd, text, sizeof(text)), len;

	if (!ret)
		ret = strip_root(n, text);
	if (ret)
		return ret;
	len = snprintf(out, size, "%s%s%s%s", text, p->dir >= 0 ? "/" : "",
		       p->dir >= 0 ? p->name : "", p->slash || !text[0] ? "/" : "");
	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

int path_name(const struct map_entry *e, const char *rel, char *out, size_t size)
{
	int n = snprintf(out, size, "%s%s%s", e->guest, *rel ? "/" : "", rel);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}
