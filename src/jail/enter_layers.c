/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a new process for directories that are shown by layers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "jail/enter.h"
#include "jail/plan.h"
#include "super/super.h"

#define LINKS_MAX 40 /* path_resolution(7) */

int enter_open_layers(struct enter *e)
{
	return layers_open(&e->sb->layers, e->sb->ns.want[NS_MOUNT].wanted, &e->layers);
}

/* As long as this process can be looked at by an ordinary user, whose helper joins it. */
int enter_await_fill(struct enter *e)
{
	int ret = e->sb->layers.n ? enter_report(e, NOTE_FILL) : 0;

	return ret || !e->sb->layers.n ? ret : enter_await(e);
}

/* One request to the supervisor. Returns 0, or -errno with no text. */
static int ask(const struct enter *e, const void *request, size_t len, const int *fds, size_t n,
	       int *out)
{
	/* lint: parameters: a message is data and descriptors, and so is its answer */
	struct super_reply reply;
	size_t n_out = out ? 1 : 0;
	int ret = fd_send(e->supervisor, request, len, fds, n);
	ssize_t got = ret ? ret : fd_recv(e->supervisor, &reply, sizeof(reply), out, &n_out);

	if (got != sizeof(reply))
		return got < 0 ? (int)got : -EPIPE;
	if (!reply.error && out && !n_out)
		return -EPROTO;
	return -reply.error;
}

/* What the directories are made of that the supervisor shows. */
static int hand_over(const struct enter *e)
{
	struct super_request request = { .op = SUPER_MAP };
	int fds[LAYERS_PARTS], ret;

	for (size_t i = 0; i < e->sb->layers.n; i++) {
		const struct layers_dir *d = &e->sb->layers.dirs[i];

		if (!(e->found->notified & 1u << i))
			continue;
		ret = ask(e, &request, sizeof(request), fds, layers_parts(&e->layers, i, fds),
			  NULL);
		if (ret)
			return fail(-ret, "%s: tell the supervisor what %s is made of: %s",
				    d->where, d->guest, err_reason(-ret));
		request.index++;
	}
	return 0;
}

/* The parent answers with the supervisor, if there is to be one. */
int enter_lay_layers(struct enter *e)
{
	bool mounts = e->sb->ns.want[NS_MOUNT].wanted;
	size_t n = 1;
	int ret;

	if (!e->sb->layers.n)
		return 0;
	ret = layers_lay(&e->sb->layers, mounts ? e->rootfs.tree : -1, &e->layers, e->found);
	if (!ret)
		ret = enter_report(e, NOTE_LAYERS);
	if (!ret)
		ret = enter_await_with(e, &e->supervisor, &n);
	return ret || !e->found->notified ? ret : hand_over(e);
}

static uint32_t notified(const struct enter *e)
{
	return e->found ? e->found->notified : e->sb->layers.notified;
}

int enter_show_root(struct enter *e)
{
	const char *guests[SUPER_MAP_MAX];
	size_t n = 0;

	for (size_t i = 0; i < e->sb->layers.n; i++)
		if (notified(e) & 1u << i)
			guests[n++] = e->sb->layers.dirs[i].guest;
	return n ? super_show_root(e->supervisor, guests, n) : 0;
}

bool enter_has_layers(const struct enter *e)
{
	return notified(e) != 0;
}

static bool in_layer(const struct enter *e, const char *path)
{
	for (size_t i = 0; i < e->sb->layers.n; i++) {
		const char *guest = e->sb->layers.dirs[i].guest;
		size_t n = strlen(guest);

		if (notified(e) & 1u << i && strncmp(path, guest, n) == 0 &&
		    (path[n] == '/' || path[n] == '\0'))
			return true;
	}
	return false;
}

int enter_layer_cwd(const struct enter *e, const char *path)
{
	struct super_place request = { .request.op = SUPER_PLACE };
	auto_fd fd = -1;
	int ret = 0;

	if (!notified(e))
		return 0;
	if (!path)
		ret = syscall(SYS_getcwd, request.path, sizeof(request.path)) < 0 ? -errno : 0;
	else if ((size_t)snprintf(request.path, sizeof(request.path), "%s", path) >=
		 sizeof(request.path))
		ret = -ENAMETOOLONG;
	if (ret || !in_layer(e, request.path))
		return 0;
	ret = ask(e, &request, sizeof(request), NULL, 0, &fd);
	if (!ret && fchdir(fd) < 0)
		ret = -errno;
	return ret ? fail(-ret, "%s", err_reason(-ret)) : 1;
}

static int look(const struct enter *e, const char *path)
{
	struct super_place request = { .request.op = SUPER_LOOK };
	int fd = -1, ret;

	if (!in_layer(e, path)) {
		fd = open(*path ? path : "/", O_PATH | O_NOFOLLOW | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	snprintf(request.path, sizeof(request.path), "%s", path);
	ret = ask(e, &request, sizeof(request), NULL, 0, &fd);
	return ret ? ret : fd;
}

/* A path that is walked name by name: each of what is done is there, and no link. */
struct way {
	char done[PATH_MAX], rest[PATH_MAX];
	int links;
};

static int follow(struct way *w, int link)
{
	char text[PATH_MAX], rest[PATH_MAX];
	ssize_t n = readlinkat(link, "", text, sizeof(text) - 1);

	if (n <= 0 || w->links++ == LINKS_MAX)
		return n < 0 ? -errno : n ? -ELOOP : -ENOENT;
	text[n] = '\0';
	memcpy(rest, w->rest, strlen(w->rest) + 1);
	if ((size_t)snprintf(w->rest, sizeof(w->rest), "%s/%s", text, rest) >= sizeof(w->rest))
		return -ENAMETOOLONG;
	*(text[0] == '/' ? w->done : strrchr(w->done, '/')) = '\0';
	return 0;
}

/* The next name of the rest: its descriptor, or that of what is done where it is none to look
 * at. */
static int step(const struct enter *e, struct way *w)
{
	char *name = w->rest + strspn(w->rest, "/"), *up = strrchr(w->done, '/');
	size_t n = strcspn(name, "/"), len = strlen(w->done);
	bool is_up = n == 2 && memcmp(name, "..", 2) == 0;

	if (is_up && up)
		*up = '\0';
	if (n && !is_up && (n != 1 || *name != '.')) {
		if (len + 1 + n >= sizeof(w->done))
			return -ENAMETOOLONG;
		w->done[len] = '/';
		memcpy(w->done + len + 1, name, n);
		w->done[len + 1 + n] = '\0';
	}
	memmove(w->rest, name + n, strlen(name + n) + 1);
	return look(e, w->done);
}

int enter_open_in_layers(const struct enter *e, const char *path)
{
	const char *cwd = path[0] == '/' || !e->sb->process.cwd ? "" : e->sb->process.cwd;
	struct way w = { .links = 0 };
	struct stat st;
	int fd, ret = 0;

	if ((size_t)snprintf(w.rest, sizeof(w.rest), "%s/%s", cwd, path) >= sizeof(w.rest))
		return -ENAMETOOLONG;
	for (;;) {
		fd = step(e, &w);
		if (fd < 0 || fstat(fd, &st) < 0)
			return fd < 0 ? fd : -errno;
		ret = S_ISLNK(st.st_mode) ? follow(&w, fd) : 0;
		if (!ret && !S_ISLNK(st.st_mode) && !*w.rest)
			return fd;
		fd_close(fd);
		if (ret)
			return ret;
	}
}
