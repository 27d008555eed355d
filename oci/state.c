/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "base/sys.h"
#include "oci/json.h"
#include "task/proc.h"

#define LOCK_PATIENCE_MS 10000
#define LOCK_STEP_MS 10

static const char *const status_names[] = {
	[STATE_CREATING] = "creating", [STATE_CREATED] = "created", [STATE_RUNNING] = "running",
	[STATE_PAUSED] = "paused",     [STATE_STOPPED] = "stopped",
};

const char *state_status_name(enum state_status s)
{
	return status_names[s];
}

void state_dir_close(struct state_dir *d)
{
	fd_close(d->dir);
	d->dir = -1;
}

int state_check_id(const char *id)
{
	size_t n = strlen(id);

	if (n == 0)
		return fail(EINVAL, "the container ID is empty");
	if (n > NAME_MAX)
		return fail(EINVAL, "invalid container ID: longer than %d bytes", NAME_MAX);
	for (size_t i = 0; i < n; i++)
		if (!(isascii(id[i]) && isalnum((unsigned char)id[i])) && !strchr("_+-.", id[i]))
			return fail(EINVAL,
				    "invalid container ID \"%s\": only letters, digits and _+-. "
				    "are allowed",
				    id);
	if (id[0] == '.')
		return fail(EINVAL, "invalid container ID \"%s\": it begins with a dot", id);
	return 0;
}

/* A user namespace that maps every id to itself is the host's. user_namespaces(7) */
bool state_rootless(struct arena *a)
{
	unsigned inside, outside, size;
	char *map;

	if (geteuid() != 0)
		return true;
	if (fd_read_file(AT_FDCWD, "/proc/self/uid_map", a, 65536, &map, NULL))
		return false;
	return sscanf(map, "%u %u %u", &inside, &outside, &size) != 3 || inside || outside ||
	       size != UINT_MAX;
}

static int default_root(struct arena *a, const char **out, mode_t *out_mode)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	uid_t uid = geteuid();

	*out_mode = 0700;
	if (uid == 0 && (!runtime || !*runtime || !state_rootless(a))) {
		*out = "/run/thole";
		return 0;
	}
	if (!runtime || !*runtime)
		runtime = arena_printf(a, "/run/user/%u", uid);
	if (access(runtime, W_OK) < 0)
		return fail(EACCES,
			    "no place for the state: %s can't be written; set XDG_RUNTIME_DIR "
			    "or give --root",
			    runtime);
	*out = arena_printf(a, "%s/thole", runtime);
	*out_mode = 01700; /* sticky: tmpfiles cleaners leave it alone */
	return 0;
}

static int make_dirs(struct arena *a, const char *path, mode_t mode)
{
	char *at = arena_strdup(a, path);

	for (char *c = at + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		if (mkdir(at, 0700) < 0 && errno != EEXIST)
			return fail_errno("make the state directory %s", at);
		*c = '/';
	}
	if (mkdir(at, 0700) < 0 && errno != EEXIST)
		return fail_errno("make the state directory %s", at);
	if (mode != 0700 && chmod(at, mode) < 0)
		return fail_errno("chmod %s", at);
	return 0;
}

int state_open_root(struct arena *a, const char *path, bool create)
{
	mode_t mode = 0700;
	int fd, ret;

	if (!path) {
		ret = default_root(a, &path, &mode);
		if (ret)
			return ret;
	}
	if (!*path)
		return fail(EINVAL, "--root is empty");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && create) {
		ret = make_dirs(a, path, mode);
		if (ret)
			return ret;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return fail_errno("open the state directory %s", path);
	return fd;
}

static int open_dir(int root, const char *id, struct state_dir *out)
{
	int fd = fd_open_beneath(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	if (fd < 0)
		return fd;
	*out = (struct state_dir){ .id = id, .root = root, .dir = fd };
	return 0;
}

static int gone(const char *id)
{
	return fail(ENOENT, "container \"%s\" does not exist", id);
}

int state_claim(int root, const char *id, struct state_dir *out)
{
	struct state_dir d = { .dir = -1 };
	int ret = state_check_id(id);

	if (ret)
		return ret;
	if (mkdirat(root, id, 0700) < 0) {
		if (errno == EEXIST)
			return fail(EEXIST, "container with given ID already exists: %s", id);
		return fail_errno("make the state directory of container %s", id);
	}
	ret = open_dir(root, id, &d);
	if (ret)
		return fail(-ret, "open the state directory of container %s: %s", id,
			    err_reason(-ret));
	ret = state_lock(&d);
	if (ret) {
		/* a delete --force that came between took the empty directory for a left-over */
		state_dir_close(&d);
		return fail_in(ret, "claim the state directory");
	}
	*out = d;
	return 0;
}

int state_find(int root, const char *id, struct state_dir *out)
{
	int ret = state_check_id(id);

	if (ret)
		return ret;
	ret = open_dir(root, id, out);
	if (ret == -ENOENT || ret == -ENOTDIR || ret == -ELOOP)
		return gone(id);
	if (ret)
		return fail(-ret, "open the state directory of container %s: %s", id,
			    err_reason(-ret));
	return 0;
}

/* The directory may have been removed, and made again by another create, meanwhile. */
static bool still_there(const struct state_dir *d)
{
	struct stat mine, now;

	return fstat(d->dir, &mine) == 0 &&
	       fstatat(d->root, d->id, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       mine.st_dev == now.st_dev && mine.st_ino == now.st_ino;
}

int state_lock(struct state_dir *d)
{
	static const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000000L };

	for (int waited = 0; flock(d->dir, LOCK_EX | LOCK_NB) < 0; waited += LOCK_STEP_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail_errno("lock container %s", d->id);
		if (waited >= LOCK_PATIENCE_MS)
			return fail(EBUSY,
				    "container %s is being created, started or deleted by another "
				    "process; try again when that is done",
				    d->id);
		nanosleep(&step, NULL);
	}
	d->locked = true;
	return still_there(d) ? 0 : gone(d->id);
}

void state_unlock(struct state_dir *d)
{
	d->locked = false;
	flock(d->dir, LOCK_UN);
}

/* The pidfd comes first: what is read of /proc then belongs to the process that it holds. */
static int open_init(const struct state *s)
{
	auto_fd pidfd = -1;
	struct pollfd p = { .events = POLLIN };
	struct proc_stat st;

	if (s->pid <= 0)
		return -1;
	pidfd = (int)sys_pidfd_open(s->pid, 0);
	if (pidfd < 0 || proc_stat(s->pid, &st) || st.start_time != s->start_time)
		return -1;
	p.fd = pidfd;
	/* readable: every thread has ended, also where nobody has waited for it yet */
	if (poll(&p, 1, 0) != 0)
		return -1;
	return fd_take(&pidfd);
}

/* Its creator holds the lock for as long as it lives. */
static bool is_being_made(const struct state_dir *d)
{
	if (d->locked)
		return false;
	if (flock(d->dir, LOCK_SH | LOCK_NB) < 0)
		return true;
	flock(d->dir, LOCK_UN);
	return false;
}

static enum state_status without_init(const struct state_dir *d, const struct state *s)
{
	return s->pid <= 0 && is_being_made(d) ? STATE_CREATING : STATE_STOPPED;
}

static bool has_file(const struct state_dir *d, const char *name)
{
	return faccessat(d->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int state_making(const struct state_dir *d)
{
	auto_fd fd = openat(d->dir, STATE_MAKING, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? fail_errno("note that container %s is being made", d->id) : 0;
}

int state_made(const struct state_dir *d)
{
	return unlinkat(d->dir, STATE_MAKING, 0) < 0
		       ? fail_errno("note that container %s is made", d->id)
		       : 0;
}

enum state_status state_status(const struct state_dir *d, const struct state *s, int *out_pidfd)
{
	auto_fd pidfd = open_init(s);
	enum state_status status;

	if (pidfd < 0)
		status = without_init(d, s);
	else if (cgroup_is_frozen(&s->cgroup) > 0)
		status = STATE_PAUSED;
	else if (has_file(d, STATE_START))
		status = STATE_CREATED;
	else if (has_file(d, STATE_MAKING) && is_being_made(d))
		status = STATE_CREATING;
	else
		status = STATE_RUNNING;
	if (out_pidfd)
		*out_pidfd = fd_take(&pidfd);
	return status;
}

/* True where nothing but our own half-written state.json is in the directory. */
static bool only_leftovers(const struct state_dir *d)
{
	bool clean = true;
	struct dirent *e;
	DIR *dir;
	int fd = openat(d->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return false;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return false;
	}
	while (clean && (e = readdir(dir))) {
		if (str_starts(e->d_name, "." STATE_FILE "."))
			unlinkat(d->dir, e->d_name, 0);
		else
			clean = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	}
	closedir(dir);
	return clean;
}

int state_remove(struct state_dir *d)
{
	struct dirent *e;
	int ret = 0;
	DIR *dir;
	int fd;

	if (faccessat(d->dir, STATE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && !only_leftovers(d))
		return fail(ENOTEMPTY,
			    "the directory of container %s holds files of another program", d->id);
	fd = openat(d->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		fd_close(fd);
		return fail_errno("read the state directory of container %s", d->id);
	}
	while (!ret && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    strcmp(e->d_name, STATE_FILE) != 0)
			ret = fd_remove_tree(d->dir, e->d_name);
	closedir(dir);
	if (!ret && unlinkat(d->dir, STATE_FILE, 0) < 0 && errno != ENOENT)
		ret = -errno;
	if (!ret && unlinkat(d->root, d->id, AT_REMOVEDIR) < 0 && errno != ENOENT)
		ret = -errno;
	if (ret)
		return fail(-ret, "remove the state of container %s: %s", d->id, err_reason(-ret));
	return 0;
}

const char *state_user_name(struct arena *a, uid_t uid)
{
	const struct passwd *p = getpwuid(uid);

	return p ? arena_strdup(a, p->pw_name) : arena_printf(a, "%u", uid);
}

const char *state_now(struct arena *a)
{
	struct timespec now;
	char text[40];
	struct str s = STR_ON(text);

	clock_gettime(CLOCK_REALTIME, &now);
	str_add_time(&s, &now, 9);
	return arena_strdup(a, text);
}

/* How directories that are shown by layers are made, and where what was changed in them is. */
static void put_layers(struct json_writer *w, struct arena *a, const struct state *s)
{
	if (!s->n_layers)
		return;
	json_open_array(w, "layers");
	for (size_t i = 0; i < s->n_layers; i++) {
		const struct state_layer *l = &s->layers[i];

		json_open_object(w, NULL);
		json_put_str(w, "path", l->path);
		json_put_str(w, "backend", l->notified ? "notify" : "overlay");
		if (l->store)
			json_put_str(w, "upper", arena_printf(a, "%s/" LAYERS_UPPER, l->store));
		json_put_str(w, l->store ? "lower" : "host", l->host);
		json_close(w);
	}
	json_close(w);
}

void state_put(struct json_writer *w, struct arena *a, const struct state *s,
	       enum state_status status)
{
	json_open_object(w, NULL);
	json_put_str(w, "ociVersion", s->oci_version);
	json_put_str(w, "id", s->id);
	json_put_i64(w, "pid", status == STATE_STOPPED ? 0 : s->pid);
	json_put_str(w, "status", state_status_name(status));
	json_put_str(w, "bundle", s->bundle);
	json_put_str(w, "rootfs", s->rootfs);
	json_put_str(w, "created", s->created);
	json_put_str(w, "owner", state_user_name(a, s->owner));
	json_put_str(w, "systemd-scope", s->cgroup.scope);
	put_layers(w, a, s);
	if (s->annotations && s->annotations->first)
		json_put_tree(w, "annotations", s->annotations);
	json_close(w);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int state_list(struct arena *a, int root, const char *const **out)
{
	const char **names = NULL;
	size_t n = 0, room = 0;
	struct dirent *e;
	DIR *dir;
	int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		fd_close(fd);
		return fail_errno("read the state directory");
	}
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		names = arena_grow(a, names, n, &room, sizeof(*names));
		names[n++] = arena_strdup(a, e->d_name);
	}
	closedir(dir);
	if (n)
		qsort(names, n, sizeof(*names), by_name);
	names = arena_grow(a, names, n, &room, sizeof(*names));
	*out = names;
	return 0;
}
