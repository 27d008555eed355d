/* SPDX-License-Identifier: Apache-2.0 */
#include "super/map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/guest.h"
#include "super/notif.h"

/* What statx(2) tells, as stat(2) does. */
static void put_stat(const struct statx *x, struct stat *st)
{
	*st = (struct stat){
		.st_dev = makedev(x->stx_dev_major, x->stx_dev_minor),
		.st_ino = x->stx_ino,
		.st_mode = x->stx_mode,
		.st_nlink = x->stx_nlink,
		.st_uid = x->stx_uid,
		.st_gid = x->stx_gid,
		.st_rdev = makedev(x->stx_rdev_major, x->stx_rdev_minor),
		.st_size = (off_t)x->stx_size,
		.st_blksize = (blksize_t)x->stx_blksize,
		.st_blocks = (blkcnt_t)x->stx_blocks,
		.st_atim = { x->stx_atime.tv_sec, x->stx_atime.tv_nsec },
		.st_mtim = { x->stx_mtime.tv_sec, x->stx_mtime.tv_nsec },
		.st_ctim = { x->stx_ctime.tv_sec, x->stx_ctime.tv_nsec },
	};
}

int map_look(int fd, struct map_id *out, struct stat *st)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &stx) < 0)
		return -errno;
	*out = (struct map_id){
		.dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.ino = stx.stx_ino,
		.mount = stx.stx_mnt_id,
		.born = stx.stx_mask & STATX_BTIME
				? stx.stx_btime.tv_sec * 1000000000 + stx.stx_btime.tv_nsec
				: 0,
		.mounted = stx.stx_attributes & STATX_ATTR_MOUNT_ROOT,
		.mode = stx.stx_mode,
	};
	put_stat(&stx, st);
	return 0;
}

int map_identify(int fd, struct map_id *out)
{
	struct stat st;

	return map_look(fd, out, &st);
}

static bool same_file(const struct map_id *a, const struct map_id *b)
{
	return a->ino == b->ino && a->dev == b->dev;
}

static size_t place_of(const struct map_id *id)
{
	return (id->ino ^ id->dev) % MAP_OUTSIDE;
}

bool map_was_outside(const struct map *m, const struct map_id *id)
{
	const struct map_id *known = &m->outside[place_of(id)];

	return id->born && same_file(known, id) && known->mount == id->mount &&
	       known->born == id->born;
}

void map_note_outside(struct map *m, const struct map_id *id)
{
	m->outside[place_of(id)] = *id;
}

static int settle(struct map_entry *e, int native)
{
	int ret = map_identify(native, &e->native_id);

	if (!ret && !S_ISDIR(e->native_id.mode))
		ret = -ENOTDIR;
	if (!ret)
		ret = fd_path(native, e->native_path, sizeof(e->native_path));
	if (!ret && e->layer.upper >= 0)
		ret = map_identify(e->layer.upper, &e->upper_id);
	if (!ret && e->layer.lower >= 0)
		ret = map_identify(e->layer.lower, &e->lower_id);
	return ret;
}

/* How far the kernel keeps them from those who share a directory. */
static int protection(const char *path)
{
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	char value = '0';

	return fd >= 0 && read(fd, &value, 1) == 1 ? value - '0' : 0;
}

int map_settle(struct map *m, int *root, int *natives)
{
	auto_fd fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ret = fds < 0 ? -errno : map_identify(*root, &m->root_id);

	for (size_t i = 0; !ret && i < m->n; i++)
		ret = settle(&m->v[i], natives[i]);
	if (ret)
		return ret;
	for (size_t i = 0; i < m->n; i++)
		m->v[i].native = fd_take(&natives[i]);
	m->protected_links = protection("/proc/sys/fs/protected_symlinks");
	m->protected_regular = protection("/proc/sys/fs/protected_regular");
	m->protected_fifos = protection("/proc/sys/fs/protected_fifos");
	m->fds = fd_take(&fds);
	m->root = fd_take(root);
	m->settled = true;
	return 0;
}

static bool is_elsewhere(const struct map *m, const struct notif *n)
{
	uint64_t mounts;

	return n && guest_mounts(n, &mounts) == 0 && mounts != m->mounts;
}

static bool is_read_only(int fd)
{
	struct statvfs st;

	return fstatvfs(fd, &st) == 0 && st.f_flag & ST_RDONLY;
}

static bool is_native_root(const struct map *m, const struct map_entry *e, const struct notif *n,
			   int fd, const struct map_id *id)
{
	if (!same_file(id, &e->native_id) && !(e->layer.lower >= 0 && same_file(id, &e->lower_id)))
		return false;
	/* with no mount of its own there it is the directory itself, wherever it is seen */
	if (!e->native_id.mounted || id->mount == e->native_id.mount ||
	    (e->layer.lower >= 0 && id->mount == e->lower_id.mount))
		return true;
	return id->mounted && is_elsewhere(m, n) && is_read_only(fd);
}

struct map_entry *map_of_root(struct map *m, const struct notif *n, int fd, const struct map_id *id)
{
	for (size_t i = 0; i < m->n; i++) {
		struct map_entry *e = &m->v[i];

		if ((e->layer.upper >= 0 && same_file(id, &e->upper_id)) ||
		    is_native_root(m, e, n, fd, id))
			return e;
	}
	return NULL;
}

/* One of the directories that an entry is made of. */
struct tree {
	int root;
	const char *path;
	uint64_t mount;
	enum layer_side side;
};

/* What follows the root's path in that of a file, without the slash between. */
static const char *tail_of(const char *path, const char *root)
{
	size_t len = strlen(root);

	if (len == 1)
		len = 0;
	if (strncmp(path, root, len) || (path[len] && path[len] != '/'))
		return NULL;
	return path[len] ? path + len + 1 : path + len;
}

static bool is_there(const struct tree *t, const char *rel, const struct map_id *id)
{
	auto_fd fd = -1;
	struct map_id found;

	if (!*rel)
		return map_identify(t->root, &found) == 0 && same_file(&found, id);
	fd = fd_open(t->root, rel, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	return fd >= 0 && map_identify(fd, &found) == 0 && same_file(&found, id);
}

/* A mount that is in no namespace has "/" for its root: its number alone tells it. */
static const char *beneath(const struct tree *t, const char *path, const struct map_id *id)
{
	const char *rel;

	if (t->root < 0 || (id->mount != t->mount && strcmp(t->path, "/") == 0))
		return NULL;
	rel = tail_of(path, t->path);
	if (!rel || id->mount == t->mount)
		return rel;
	return is_there(t, rel, id) ? rel : NULL;
}

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len > n && strcmp(text + len - n, end) == 0;
}

/* Where the mount alone tells, most files need not be asked for their path. */
static bool may_hold(const struct map *m, const struct map_id *id)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct map_entry *e = &m->v[i];

		if (!e->native_id.mounted || id->mount == e->native_id.mount ||
		    id->mount == e->upper_mount || id->mount == e->lower_mount)
			return true;
	}
	return false;
}

/* As fd_path(), with less to look up. */
static int path_of(const struct map *m, int fd, char out[PATH_MAX])
{
	char name[16];
	ssize_t n;

	snprintf(name, sizeof(name), "%d", fd);
	n = readlinkat(m->fds, name, out, PATH_MAX);
	if (n < 0)
		return -errno;
	if (n == PATH_MAX)
		return -ENAMETOOLONG;
	out[n] = '\0';
	return 0;
}

struct map_entry *map_of_known(struct map *m, int fd, const struct map_id *id, char *out_rel,
			       enum layer_side *out_side)
{
	struct map_entry *found = NULL;
	struct tree best = { .root = -1 };
	const char *rel, *best_rel = NULL;
	char path[PATH_MAX];

	if (!may_hold(m, id) || path_of(m, fd, path) || path[0] != '/')
		return NULL;
	for (size_t i = 0; i < m->n; i++) {
		struct map_entry *e = &m->v[i];
		const struct tree trees[] = {
			{ e->layer.upper, e->upper_path, e->upper_mount, LAYER_UPPER },
			{ e->layer.lower, e->lower_path, e->lower_mount, LAYER_LOWER },
			{ e->native, e->native_path, e->native_id.mount, LAYER_LOWER },
			{ e->layer.work, e->work_path, e->upper_mount, LAYER_NOWHERE },
		};

		for (size_t t = 0; t < sizeof(trees) / sizeof(trees[0]); t++) {
			rel = beneath(&trees[t], path, id);
			/* of an entry within another that is the inner one */
			if (!rel || (best_rel && strlen(rel) >= strlen(best_rel)))
				continue;
			found = e;
			best = trees[t];
			best_rel = rel;
		}
	}
	if (!found)
		return NULL;
	/* what the kernel adds to the name of what has none any more may be a name's end as well */
	if (best.side == LAYER_NOWHERE ||
	    (ends_in(path, " (deleted)") && !is_there(&best, best_rel, id))) {
		best.side = LAYER_NOWHERE;
		best_rel = "";
	}
	strcpy(out_rel, best_rel);
	*out_side = best.side;
	return found;
}

struct map_entry *map_of_fd(struct map *m, int fd, char *out_rel, enum layer_side *out_side)
{
	struct map_id id;

	return map_identify(fd, &id) ? NULL : map_of_known(m, fd, &id, out_rel, out_side);
}

static bool is_named(const char *path, const char *name, size_t len)
{
	const char *base = strrchr(path, '/') + 1;

	return strncmp(base, name, len) == 0 && !base[len];
}

bool map_has_upper(const struct map *m, dev_t dev)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].layer.upper >= 0 && m->v[i].upper_id.dev == dev)
			return true;
	return false;
}

bool map_is_mounted_upper(const struct map *m, int fd)
{
	bool is_upper = false;
	struct map_id id;

	if (map_identify(fd, &id))
		return false;
	for (size_t i = 0; i < m->n; i++) {
		if (!m->v[i].native_id.mounted)
			return false;
		is_upper |= m->v[i].layer.upper >= 0 && m->v[i].upper_mount == id.mount;
	}
	return is_upper;
}

bool map_has_name(const struct map *m, const char *name, size_t len)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct map_entry *e = &m->v[i];

		if (is_named(e->native_path, name, len) ||
		    (e->layer.upper >= 0 && is_named(e->upper_path, name, len)) ||
		    (e->layer.lower >= 0 && is_named(e->lower_path, name, len)))
			return true;
	}
	return false;
}

bool map_is_usual(const struct map *m, const struct notif *n)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].native_id.mounted)
			return !is_elsewhere(m, n);
	return true;
}

/* What follows e's path and rel in the path of another entry; NULL if that is not beneath. */
static const char *rest_of(const struct map_entry *in, const struct map_entry *e, const char *rel)
{
	size_t len = strlen(rel);
	const char *tail;

	if (in == e || strncmp(in->guest, e->guest, e->guest_len) || in->guest[e->guest_len] != '/')
		return NULL;
	tail = in->guest + e->guest_len + 1;
	if (!len)
		return tail;
	return strncmp(tail, rel, len) || (tail[len] && tail[len] != '/') ? NULL : tail + len;
}

struct map_entry *map_below(struct map *m, const struct map_entry *e, const char *rel)
{
	for (size_t i = 0; i < m->n; i++) {
		const char *rest = rest_of(&m->v[i], e, rel);

		if (rest && !*rest)
			return &m->v[i];
	}
	return NULL;
}

bool map_has_below(const struct map *m, const struct map_entry *e, const char *rel)
{
	for (size_t i = 0; i < m->n; i++)
		if (rest_of(&m->v[i], e, rel))
			return true;
	return false;
}
