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
 * It enters the map where the directory that it has come to is an entry's root (map_of_root()), and
 * where it begins at, or a link of /proc leads to, a file that lies in one (map_of_fd()). It leaves
 * it by ".." of an entry's root, and by links.
 */
#include "super/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/guest.h"

#define LINKS_MAX 40 /* of one walk: include/linux/namei.h */
#define PROC_ROOT_INODE 1

struct place {
	struct map_entry *in;
	char rel[PATH_MAX];
	enum layer_side side;
	bool gone;
	int fd;           /* what is there: O_PATH */
	struct map_id id; /* outside of the map */
};

struct walk {
	struct map *map;
	const struct notif *n;
	unsigned flags;
	uint64_t resolve;
	struct path *out;
	struct place root, at;
	unsigned links;
	const char *next; /* in text */
	char text[(LINKS_MAX + 1) * PATH_MAX];
};

static void place_close(struct place *p)
{
	fd_close(fd_take(&p->fd));
}

static void place_copy(struct place *to, const struct place *from)
{
	to->in = from->in;
	to->side = from->side;
	to->gone = from->gone;
	to->id = from->id;
	if (from->in)
		strcpy(to->rel, from->rel);
}

/* The place takes fd over. */
static int place_open(struct walk *w, int fd, struct place *out)
{
	int ret;

	place_close(out);
	out->fd = fd;
	out->in = map_of_fd(w->map, fd, out->rel, &out->side);
	out->gone = out->in && out->side == LAYER_NOWHERE;
	ret = map_identify(fd, &out->id);
	return ret;
}

static int place_dup(const struct place *from, struct place *to)
{
	int fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	place_close(to);
	place_copy(to, from);
	to->fd = fd;
	return 0;
}

static bool same_place(const struct place *a, const struct place *b)
{
	if (a->in != b->in || a->gone != b->gone)
		return false;
	if (a->in && !a->gone)
		return strcmp(a->rel, b->rel) == 0;
	return a->id.ino == b->id.ino && a->id.dev == b->id.dev && a->id.mount == b->id.mount;
}

/* ---- the text */

static void set_text(struct walk *w, const char *text)
{
	size_t len = strlen(text) + 1;
	char *to = w->text + sizeof(w->text) - len;

	memcpy(to, text, len);
	w->next = to;
}

/* Before what is left, which begins with a slash unless there is nothing. */
static int put_link(struct walk *w, const char *text, size_t len)
{
	char *to = w->text + (w->next - w->text) - len;

	if (w->links++ >= LINKS_MAX)
		return -ELOOP;
	if (!len)
		return -ENOENT;
	memcpy(to, text, len);
	w->next = to;
	return 0;
}

static uint64_t mount_of(const struct place *p)
{
	return p->in ? p->in->native_id.mount : p->id.mount;
}

/* A step from the place that the walk stands at. */
static bool is_barred(const struct walk *w, uint64_t mount)
{
	return w->resolve & RESOLVE_NO_XDEV && mount != mount_of(&w->at);
}

static int to_root(struct walk *w)
{
	if (w->resolve & RESOLVE_BENEATH)
		return -EXDEV;
	if (is_barred(w, mount_of(&w->root)))
		return -EXDEV;
	return place_dup(&w->root, &w->at);
}

static int follow_text(struct walk *w, const char *text, size_t len)
{
	int ret = put_link(w, text, len);

	return ret || text[0] != '/' ? ret : to_root(w);
}

/* ---- links */

static int follow_magic(struct walk *w, int dir, const char *name)
{
	int fd;

	if (w->resolve & RESOLVE_NO_MAGICLINKS)
		return -ELOOP;
	if (w->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
		return -EXDEV;
	if (w->links++ >= LINKS_MAX)
		return -ELOOP;
	fd = openat(dir, name, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : place_open(w, fd, &w->at);
}

static bool is_self(const char *name)
{
	return strcmp(name, "self") == 0 || strcmp(name, "thread-self") == 0;
}

static int follow_self(struct walk *w, int proc, const char *name)
{
	pid_t pid, tid;
	char text[64];
	int ret = guest_ids(w->n, proc, &pid, &tid);

	if (ret)
		return ret;
	snprintf(text, sizeof(text), name[0] == 's' ? "%d" : "%d/task/%d", pid, tid);
	return follow_text(w, text, strlen(text));
}

/* The links of a procfs whose text is not what they lead to. */
static bool is_magic(int dir, const char *name)
{
	int fd = fd_open(dir, name, O_PATH, 0, RESOLVE_NO_MAGICLINKS);

	fd_close(fd);
	return fd == -ELOOP;
}

static int follow_in_proc(struct walk *w, const char *name, bool *out_done)
{
	struct map_id dir;
	int ret = map_identify(w->at.fd, &dir);

	*out_done = true;
	if (ret)
		return ret;
	if (dir.ino == PROC_ROOT_INODE && is_self(name))
		return follow_self(w, w->at.fd, name);
	if (dir.ino != PROC_ROOT_INODE && is_magic(w->at.fd, name))
		return follow_magic(w, w->at.fd, name);
	*out_done = false;
	return 0;
}

/* The link stands in w->at. */
static int follow(struct walk *w, int link, const char *name)
{
	char text[PATH_MAX];
	struct statfs fs;
	bool done = false;
	ssize_t len;
	int ret;

	if (w->resolve & RESOLVE_NO_SYMLINKS)
		return -ELOOP;
	fd_close(fd_take(&w->out->dir));
	if (fstatfs(link, &fs) < 0)
		return -errno;
	if (fs.f_type == PROC_SUPER_MAGIC) {
		ret = follow_in_proc(w, name, &done);
		if (ret || done)
			return ret;
	}
	len = readlinkat(link, "", text, sizeof(text));
	if (len < 0)
		return -errno;
	if ((size_t)len == sizeof(text))
		return -ENAMETOOLONG;
	return follow_text(w, text, (size_t)len);
}

/* ---- steps */

struct name {
	char text[NAME_MAX + 1];
	bool last;  /* nothing but slashes follows */
	bool slash; /* and there are some */
};

static int take_name(struct walk *w, struct name *out)
{
	size_t len;

	w->next += strspn(w->next, "/");
	len = strcspn(w->next, "/");
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(out->text, w->next, len);
	out->text[len] = '\0';
	w->next += len;
	out->slash = *w->next == '/';
	out->last = !w->next[strspn(w->next, "/")];
	return 0;
}

static bool is_followed(const struct walk *w, const struct name *name)
{
	return !name->last || w->flags & PATH_FOLLOW || (name->slash && !(w->flags & PATH_PARENT));
}

static int enter(struct walk *w, struct map_entry *e, int fd)
{
	struct layer_entry found;
	int ret;

	fd_close(fd);
	if (is_barred(w, e->native_id.mount))
		return -EXDEV;
	ret = layer_find(&e->layer, "", &found);
	if (ret)
		return ret;
	place_close(&w->at);
	w->at.in = e;
	w->at.rel[0] = '\0';
	w->at.side = found.side;
	w->at.gone = false;
	w->at.fd = found.fd;
	return map_identify(found.fd, &w->at.id);
}

/* The step has come to fd, outside of the map as far as is known. */
static int arrive(struct walk *w, int fd, const struct map_id *id)
{
	struct map_entry *e = S_ISDIR(id->mode) ? map_of_root(w->map, w->n, fd, id) : NULL;

	if (e)
		return enter(w, e, fd);
	if (is_barred(w, id->mount)) {
		fd_close(fd);
		return -EXDEV;
	}
	place_close(&w->at);
	w->at.in = NULL;
	w->at.gone = false;
	w->at.fd = fd;
	w->at.id = *id;
	return 0;
}

/* Nothing is there; the caller may be content with the directory. */
static int miss(struct walk *w, const struct name *name, int ret)
{
	if (ret != -ENOENT || !name->last || !(w->flags & PATH_PARENT))
		return ret;
	place_close(&w->at);
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

static int step_outside(struct walk *w, const struct name *name)
{
	struct map_id id;
	int fd = openat(w->at.fd, name->text, O_PATH | O_NOFOLLOW | O_CLOEXEC), ret;

	ret = fd < 0 ? -errno : map_identify(fd, &id);
	if (!ret || ret == -ENOENT)
		ret = keep_parent(w, name) ? -EMFILE : ret;
	if (!ret && S_ISLNK(id.mode) && is_followed(w, name)) {
		ret = follow(w, fd, name->text);
		fd_close(fd);
		return ret;
	}
	if (!ret)
		return arrive(w, fd, &id);
	fd_close(fd);
	return miss(w, name, ret);
}

static int join(char rel[PATH_MAX], const char *name)
{
	size_t len = strlen(rel), n = strlen(name);

	if (len + 1 + n >= PATH_MAX)
		return -ENAMETOOLONG;
	if (len)
		rel[len++] = '/';
	memcpy(rel + len, name, n + 1);
	return 0;
}

static void cut(char *rel)
{
	char *slash = strrchr(rel, '/');

	*(slash ? slash : rel) = '\0';
}

/* The kernel asks for the right to search it even for "." */
static int check_search(const struct walk *w)
{
	int fd = openat(w->at.fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	fd_close(fd);
	return fd < 0 ? -errno : 0;
}

static int step_inside(struct walk *w, const struct name *name)
{
	struct layer_entry found = { .fd = -1 };
	struct map_entry *e = w->at.in, *inner;
	int ret;

	if (w->at.gone)
		return S_ISDIR(w->at.id.mode) ? -ENOENT : -ENOTDIR;
	ret = join(w->at.rel, name->text);
	if (ret)
		return ret;
	inner = map_below(w->map, e, w->at.rel);
	if (inner) {
		ret = check_search(w);
		return ret ? ret : enter(w, inner, -1);
	}
	ret = layer_find(&e->layer, w->at.rel, &found);
	if (ret)
		return ret;
	if (found.side == LAYER_NOWHERE) {
		w->out->found.whiteout = found.whiteout;
		return miss(w, name, -ENOENT);
	}
	if (S_ISLNK(found.st.st_mode) && is_followed(w, name)) {
		cut(w->at.rel);
		ret = follow(w, found.fd, name->text);
		fd_close(found.fd);
		return ret;
	}
	place_close(&w->at);
	w->at.fd = found.fd;
	w->at.side = found.side;
	return map_identify(found.fd, &w->at.id);
}

/* By what the container itself has there: from an entry's root to what it stands in. */
static int leave(struct walk *w)
{
	struct map_entry *e = w->at.in;
	struct map_id id;
	int fd, ret;

	fd = openat(e->native, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = map_identify(fd, &id);
	if (!ret && is_barred(w, id.mount))
		ret = -EXDEV;
	if (ret) {
		fd_close(fd);
		return ret;
	}
	return place_open(w, fd, &w->at);
}

static int step_up_inside(struct walk *w)
{
	struct layer_entry found;
	int ret;

	if (w->at.gone)
		return -ENOENT;
	if (!w->at.rel[0])
		return leave(w);
	cut(w->at.rel);
	ret = layer_find(&w->at.in->layer, w->at.rel, &found);
	if (ret)
		return ret;
	place_close(&w->at);
	w->at.fd = found.fd;
	w->at.side = found.side;
	return found.fd < 0 ? -ENOENT : map_identify(found.fd, &w->at.id);
}

static int step_up(struct walk *w)
{
	struct map_id id;
	int fd, ret = check_search(w);

	if (ret)
		return ret;
	if (same_place(&w->at, &w->root))
		return w->resolve & RESOLVE_BENEATH ? -EXDEV : 0;
	if (w->at.in)
		return step_up_inside(w);
	fd = openat(w->at.fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = map_identify(fd, &id);
	if (!ret && is_barred(w, id.mount))
		ret = -EXDEV;
	if (ret) {
		fd_close(fd);
		return ret;
	}
	/* out of a mount within the map, too */
	return place_open(w, fd, &w->at);
}

static int step(struct walk *w, const struct name *name)
{
	if (strcmp(name->text, ".") == 0)
		return check_search(w);
	if (strcmp(name->text, "..") == 0)
		return step_up(w);
	return w->at.in ? step_inside(w, name) : step_outside(w, name);
}

/* ---- the whole */

static enum path_last kind_of(const char *name)
{
	return !*name                    ? PATH_ROOT
	       : strcmp(name, ".") == 0  ? PATH_DOT
	       : strcmp(name, "..") == 0 ? PATH_DOTDOT
					 : PATH_NAME;
}

static int run(struct walk *w)
{
	struct name name = { .last = false };
	int ret = 0;

	while (!ret && w->next[strspn(w->next, "/")]) {
		ret = take_name(w, &name);
		if (ret)
			break;
		w->out->last = kind_of(name.text);
		ret = step(w, &name);
		/* a link that ends in no slash keeps that of the text: it stays before what is left
		 */
		if (!ret && w->at.fd < 0)
			break;
	}
	w->out->slash = name.slash;
	return ret;
}

/* What the walk has come to is the caller's. */
static int give(struct walk *w)
{
	struct path *out = w->out;

	out->gone = out->in && w->at.gone;
	if (out->in)
		strcpy(out->rel, out->gone ? "" : w->at.rel);
	if (out->in || out->last != PATH_NAME)
		fd_close(fd_take(&out->dir));
	if (w->at.fd < 0)
		return 0;
	out->found.side = out->in ? out->gone ? LAYER_UPPER : w->at.side : LAYER_NOWHERE;
	if (fstat(w->at.fd, &out->found.st) < 0)
		return -errno;
	out->found.fd = fd_take(&w->at.fd);
	if ((w->flags & PATH_DIRECTORY || (out->slash && !(w->flags & PATH_PARENT))) &&
	    !S_ISDIR(out->found.st.st_mode))
		return -ENOTDIR;
	return 0;
}

static int begin(struct walk *w, int dirfd)
{
	bool scoped = w->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT);
	const char *text = w->out->text;
	int fd, ret;

	if (w->resolve & RESOLVE_BENEATH && text[0] == '/')
		return -EXDEV;
	if (text[0] == '/' && !scoped)
		fd = guest_root(w->n);
	else
		fd = dirfd == AT_FDCWD ? guest_cwd(w->n) : notif_take_fd(w->n, dirfd);
	ret = fd < 0 ? fd : place_open(w, fd, &w->at);
	if (ret)
		return ret;
	if (text[0] && !S_ISDIR(w->at.id.mode))
		return -ENOTDIR;
	if (text[0] == '/' || scoped)
		return place_dup(&w->at, &w->root);
	fd = guest_root(w->n);
	return fd < 0 ? fd : place_open(w, fd, &w->root);
}

static int settle(struct map *m, const struct notif *n)
{
	uint64_t mounts;
	auto_fd root = -1;
	int ret;

	if (m->settled)
		return 0;
	root = guest_root(n);
	ret = root < 0 ? root : notif_mounts(n, &mounts);
	return ret ? ret : map_settle(m, root, mounts);
}

static int walk(struct map *m, struct notif *n, int dirfd, unsigned flags, uint64_t resolve,
		struct path *out)
{
	struct walk w;
	bool acted;
	int ret;

	w.map = m;
	w.n = n;
	w.flags = flags;
	w.resolve = resolve;
	w.out = out;
	w.links = 0;
	w.root.fd = w.at.fd = -1;
	w.root.in = w.at.in = NULL;
	if (!out->text[0] && !(flags & PATH_EMPTY))
		return -ENOENT;
	ret = settle(m, n);
	acted = guest_acts();
	if (!ret && !acted)
		ret = guest_become(n);
	if (!ret)
		ret = begin(&w, dirfd);
	if (!ret) {
		set_text(&w, out->text);
		ret = run(&w);
	}
	out->in = w.at.in;
	if (!ret)
		ret = give(&w);
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
	out->slash = out->gone = false;
	out->last = PATH_ROOT;
	out->found = (struct layer_entry){ .side = LAYER_NOWHERE, .fd = -1 };
	out->dir = -1;
}

int path_walk(struct map *m, struct notif *n, int dirfd, uint64_t address, unsigned flags,
	      uint64_t resolve, struct path *out) /* lint: parameters: those of openat2(2) */
{
	int ret;

	clear(out);
	out->text[0] = '\0';
	ret = notif_read_text(n, address, out->text, sizeof(out->text));
	return ret ? ret : walk(m, n, dirfd, flags, resolve, out);
}

int path_walk_text(struct map *m, struct notif *n, int dirfd, const char *text, unsigned flags,
		   uint64_t resolve, struct path *out) /* lint: parameters */
{
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

int path_name(const struct map_entry *e, const char *rel, char *out, size_t size)
{
	int n = snprintf(out, size, "%s%s%s", e->guest, *rel ? "/" : "", rel);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}
