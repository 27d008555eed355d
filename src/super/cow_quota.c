/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quota: what makes a file of the upper side grow is asked about first. The kernel makes the call;
 * that it was less than it could have been (a short write, a bad address) shows when all files are
 * counted again, which is where the quota seems to be met.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/cow_call.h"
#include "super/guest.h"
#include "super/handler.h"

struct growth {
	struct notif *n;
	int fd; /* a copy of the guest's */
	struct stat st;
	uint64_t end; /* where the file would end */
};

static uint64_t add(uint64_t a, uint64_t b)
{
	return a > INT64_MAX || b > INT64_MAX - a ? INT64_MAX : a + b;
}

/* From where a call that names no place would write. */
static uint64_t position(const struct growth *g)
{
	int flags = fcntl(g->fd, F_GETFL);
	off_t at = flags >= 0 && flags & O_APPEND ? g->st.st_size : lseek(g->fd, 0, SEEK_CUR);

	return at < 0 ? 0 : (uint64_t)at;
}

static void by_write(struct growth *g)
{
	g->end = add(position(g), g->n->args[2]);
}

static void by_pwrite(struct growth *g)
{
	g->end = add(g->n->args[3], g->n->args[2]);
}

static uint64_t sum(const struct growth *g)
{
	struct iovec iov[64];
	uint64_t total = 0, left = g->n->args[2] < IOV_MAX ? g->n->args[2] : IOV_MAX,
		 at = g->n->args[1];

	while (left) {
		size_t n = left < 64 ? left : 64;

		if (notif_read(g->n, at, iov, n * sizeof(iov[0])))
			break;
		for (size_t i = 0; i < n; i++)
			total = add(total, iov[i].iov_len);
		at += n * sizeof(iov[0]);
		left -= n;
	}
	return total;
}

static void by_writev(struct growth *g)
{
	g->end = add(position(g), sum(g));
}

/* Both halves of the place are one argument where that has 64 bits; -1 of pwritev2(2) is none. */
static void by_pwritev(struct growth *g)
{
	g->end = add(g->n->args[3] == UINT64_MAX ? position(g) : g->n->args[3], sum(g));
}

static void by_ftruncate(struct growth *g)
{
	g->end = g->n->args[1];
}

static void by_fallocate(struct growth *g)
{
	int mode = (int)g->n->args[1];

	if (mode & FALLOC_FL_INSERT_RANGE)
		g->end = add((uint64_t)g->st.st_size, g->n->args[3]);
	else if (!(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE)))
		g->end = add(g->n->args[2], g->n->args[3]);
}

/* What a file has from a place on; of what is none, all that was asked for. */
static uint64_t left_of(const struct notif *n, int number, uint64_t place_at, uint64_t want)
{
	auto_fd fd = notif_take_fd(n, number);
	struct stat st;
	off_t at;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return want;
	if (!place_at)
		at = lseek(fd, 0, SEEK_CUR);
	else if (notif_read(n, place_at, &at, sizeof(at)))
		return 0;
	if (at < 0 || at >= st.st_size)
		return 0;
	return want < (uint64_t)(st.st_size - at) ? want : (uint64_t)(st.st_size - at);
}

static void by_sendfile(struct growth *g)
{
	const uint64_t *args = g->n->args;

	g->end = add(position(g), left_of(g->n, (int)args[1], args[2], args[3]));
}

/* copy_file_range(2), splice(2) */
static void by_splice(struct growth *g)
{
	const uint64_t *args = g->n->args;
	uint64_t at = position(g);

	if (args[3] && notif_read(g->n, args[3], &at, sizeof(at)))
		return;
	g->end = add(at, left_of(g->n, (int)args[0], args[1], args[4]));
}

static const struct {
	int nr;
	uint8_t fd; /* place of the descriptor that is written to */
	void (*find)(struct growth *g);
} rows[] = {
	{ SYS_write, 0, by_write },
	{ SYS_pwrite64, 0, by_pwrite },
	{ SYS_writev, 0, by_writev },
	{ SYS_pwritev, 0, by_pwritev },
	{ SYS_pwritev2, 0, by_pwritev },
	{ SYS_ftruncate, 0, by_ftruncate },
	{ SYS_fallocate, 0, by_fallocate },
	{ SYS_sendfile, 0, by_sendfile },
	{ SYS_copy_file_range, 2, by_splice },
	{ SYS_splice, 2, by_splice },
};

/* The layer of a file of the upper side that has a quota. */
static struct layer *layer_of(struct cow *c, int fd)
{
	char rel[PATH_MAX];
	enum layer_side side;
	struct map_entry *e = map_of_fd(&c->map, fd, rel, &side);

	if (!e || !e->layer.quota || side == LAYER_LOWER)
		return NULL;
	return side == LAYER_UPPER || cow_is_upper(e, fd) ? &e->layer : NULL;
}

void cow_on_growth(struct super_state *s, struct notif *n)
{
	struct growth g = { .n = n, .fd = -1 };
	auto_fd fd = -1;
	struct layer *l;
	size_t i = 0;

	while (i < sizeof(rows) / sizeof(rows[0]) && rows[i].nr != n->nr)
		i++;
	if (i == sizeof(rows) / sizeof(rows[0]))
		return;
	g.fd = fd = notif_take_fd(n, (int)n->args[rows[i].fd]);
	if (fd < 0 || fstat(fd, &g.st) < 0 || !S_ISREG(g.st.st_mode))
		return;
	g.end = (uint64_t)g.st.st_size;
	l = layer_of(s->cow, fd);
	if (!l)
		return;
	rows[i].find(&g);
	if (g.end <= (uint64_t)g.st.st_size) {
		if (g.end < (uint64_t)g.st.st_size)
			layer_shrunk(l);
		return;
	}
	/* it may turn out to be less */
	if (layer_reserve(l, g.end - (uint64_t)g.st.st_size))
		layer_shrunk(l);
	else if (notif_valid(n))
		notif_answer(n, -ENOSPC);
}
