/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/walker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"

static void need(bool cond, const char *what)
{
	if (cond)
		return;
	printf("# %s: %s\n", what, strerror(errno));
	fflush(stdout);
	abort();
}

static void plant(int base, const char *line, int64_t tag)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = tag } };
	char kind = line[0], name[PATH_MAX];
	const char *target;
	int fd;

	snprintf(name, sizeof(name), "%s", line + 2);
	if (kind == 'd') {
		need(mkdirat(base, name, 0755) == 0, name);
	} else if (kind == 'l') {
		target = strchr(line + 2, ' ');
		name[target - line - 2] = '\0';
		need(symlinkat(target + 1, base, name) == 0, name);
	} else {
		fd = openat(base, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		need(fd >= 0, name);
		close(fd);
	}
	need(utimensat(base, name, times, AT_SYMLINK_NOFOLLOW) == 0, name);
}

/* What is made in a directory changes its time: backwards, once more for directories alone. */
void walker_plant(int base, const char *const *lines)
{
	size_t n = 0;

	for (; lines[n]; n++)
		plant(base, lines[n], (int64_t)n + 1000);
	while (n-- > 0) {
		const struct timespec times[2] = { { .tv_sec = 1 },
						   { .tv_sec = (time_t)n + 1000 } };

		if (lines[n][0] == 'd')
			need(utimensat(base, lines[n] + 2, times, 0) == 0, lines[n]);
	}
}

static void look(int fd, struct walker_seen *out)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	out->dev = st.st_dev;
	out->ino = st.st_ino;
	out->tag = st.st_mtim.tv_sec;
	out->mode = st.st_mode;
	if (fd_path(fd, out->name, sizeof(out->name)))
		out->name[0] = '\0';
}

static int open_here(struct walker_board *b)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | (b->flags & PATH_FOLLOW ? 0 : O_NOFOLLOW) |
			 (b->flags & PATH_DIRECTORY ? O_DIRECTORY : 0),
		.resolve = b->resolve,
	};
	int fd;

	/* somebody has renamed something somewhere: openat2(2) */
	do
		fd = (int)sys_openat2(b->dirfd, b->text, &how);
	while (fd < 0 && errno == EAGAIN);
	memset(&b->seen, 0, sizeof(b->seen));
	b->seen.ret = fd < 0 ? -errno : 0;
	if (fd >= 0)
		look(fd, &b->seen);
	fd_close(fd);
	return 0;
}

static void serve(int from, int to, struct walker_board *b)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	while (read(from, &byte, 1) == 1) {
		b->ret = b->run(b);
		if (write(to, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

/* A fuzzer has a timer. */
static bool receive(int from)
{
	char byte;
	ssize_t n;

	do
		n = read(from, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

int walker_do(struct walker *w, int (*run)(struct walker_board *b))
{
	w->board->run = run;
	need(write(w->to, "", 1) == 1 && receive(w->from), "ask the process");
	return w->board->ret;
}

const struct walker_seen *walker_ask(struct walker *w, int dirfd, const char *text, unsigned flags,
				     uint64_t resolve)
{
	w->board->dirfd = dirfd;
	w->board->flags = flags;
	w->board->resolve = resolve;
	strcpy(w->board->text, text);
	walker_do(w, open_here);
	return &w->board->seen;
}

/* As the process would have it named. */
static void name_in_map(struct walker *w, struct walker_seen *out)
{
	if (!w->p.in || w->p.gone)
		return;
	if (path_name(w->p.in, w->p.rel, out->name, sizeof(out->name)))
		out->name[0] = '\0';
}

struct walker_seen walker_walk(struct walker *w, int dirfd, const char *text, unsigned flags,
			       uint64_t resolve)
{
	struct walker_seen seen = { .ret = 0 };

	strcpy(w->board->text, text);
	w->n.id++;
	seen.ret =
		path_walk(&w->map, &w->n, dirfd, (uintptr_t)w->board->text, flags, resolve, &w->p);
	if (!seen.ret && w->p.found.fd >= 0) {
		look(w->p.found.fd, &seen);
		name_in_map(w, &seen);
	}
	return seen;
}

static int make_dir(const char *base, const char *kind, size_t i, char *out)
{
	int fd;

	need(snprintf(out, PATH_MAX, "%s/.%s%zu", base, kind, i) < PATH_MAX, base);
	need(mkdir(out, 0755) == 0, out);
	fd = open(out, O_PATH | O_DIRECTORY | O_CLOEXEC);
	need(fd >= 0, out);
	return fd;
}

/* The time is what tells files apart. */
static void set_time(const char *path, const struct stat *as)
{
	const struct timespec times[2] = { as->st_atim, as->st_mtim };

	need(utimensat(AT_FDCWD, path, times, 0) == 0, path);
}

static void add_entry(struct walker *w, const char *name)
{
	struct map_entry *e = &w->map.v[w->map.n];
	struct map_id upper, lower;
	struct stat st;
	char *path = malloc(3 * PATH_MAX);

	need(path && strlen(w->base_path) + strlen(name) + 2 < PATH_MAX, "room");
	sprintf(path, "%s/%s", w->base_path, name);
	e->guest = e->lower_path = path;
	e->guest_len = strlen(path);
	e->upper_path = path + PATH_MAX;
	e->work_path = e->upper_path + PATH_MAX;
	e->layer.mode = LAYER_COW;
	e->layer.upper = make_dir(w->base_path, "upper", w->map.n, e->upper_path);
	e->layer.work = make_dir(w->base_path, "work", w->map.n, e->work_path);
	e->layer.lower = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	need(e->layer.lower >= 0 && fstat(e->layer.lower, &st) == 0 &&
		     map_identify(e->layer.upper, &upper) == 0 &&
		     map_identify(e->layer.lower, &lower) == 0,
	     path);
	e->upper_mount = upper.mount;
	e->lower_mount = lower.mount;
	layer_prepare(&e->layer);
	set_time(e->upper_path, &st);
	w->map.n++;
}

void walker_start(struct walker *w, const char *base, const char *const *lines,
		  const char *const *entries)
{
	int to[2], from[2];

	memset(w, 0, sizeof(*w));
	strcpy(w->base_path, base);
	w->base = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	need(w->base >= 0, base);
	walker_plant(w->base, lines);
	for (; *entries; entries++)
		add_entry(w, *entries);
	w->board = mmap(NULL, sizeof(*w->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	need(w->board != MAP_FAILED && pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0,
	     "a process");
	fflush(stdout);
	w->pid = fork();
	if (w->pid == 0) {
		close(to[1]);
		close(from[0]);
		serve(to[0], from[1], w->board);
	}
	need(w->pid > 0, "a process");
	close(to[0]);
	close(from[1]);
	w->to = to[1];
	w->from = from[0];
	notif_threads_init(&w->threads);
	w->n = (struct notif){ .listener = -1, .threads = &w->threads, .tid = w->pid };
	walker_settle(w);
}

static void unsettle(struct map *m)
{
	if (!m->settled)
		return;
	for (size_t i = 0; i < m->n; i++)
		close(m->v[i].native);
	close(m->root);
	close(m->fds);
}

void walker_settle(struct walker *w)
{
	int natives[SUPER_MAP_MAX], root;
	char path[32];

	unsettle(&w->map);
	snprintf(path, sizeof(path), "/proc/%d/root", w->pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < w->map.n; i++)
		natives[i] = fd_open_in_root(root, w->map.v[i].guest, O_PATH | O_DIRECTORY);
	need(map_settle(&w->map, &root, natives) == 0, "settle the map");
}

void walker_end(struct walker *w)
{
	close(w->to);
	close(w->from);
	waitpid(w->pid, NULL, 0);
	notif_threads_close(&w->threads);
	unsettle(&w->map);
	for (size_t i = 0; i < w->map.n; i++) {
		struct map_entry *e = &w->map.v[i];

		close(e->layer.upper);
		close(e->layer.lower);
		close(e->layer.work);
		free(e->lower_path);
	}
	close(w->base);
	munmap(w->board, sizeof(*w->board));
}

void walker_raise(struct walker *w, size_t entry, const char *name)
{
	const struct map_entry *e = &w->map.v[entry];
	struct stat st;

	need(fstat(e->layer.upper, &st) == 0, e->upper_path);
	need(renameat(e->layer.lower, name, e->layer.upper, name) == 0, name);
	set_time(e->upper_path, &st);
}
