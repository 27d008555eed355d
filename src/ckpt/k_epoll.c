/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll. An epoll watches open file descriptions, under the number that each had when it was added;
 * that number may have been closed since, or be another file's by now. So the image names a holder
 * of the description (process and descriptor) beside the number. At restore a copy of our
 * descriptor table is arranged for every number in turn: the kernel keeps what it sees at that
 * moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/kinds.h"

#define ITEMS_MAX (1u << 20)
#define NUMBER_MAX (1u << 30)
#define STACK_SIZE (64u << 10)

/* Without one of these an item with EPOLLONESHOT has fired and sleeps: fs/eventpoll.c */
#define EVENTS_PRIVATE (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

struct item {
	uint32_t number; /* that it was added under */
	uint32_t events;
	uint64_t data;
	uint32_t pid, fd; /* who has the description: as the container sees it */
};

struct epoll {
	struct item *items;
	size_t n;
	bool linked; /* restore */
};

static const struct record_field item_rows[] = {
	RECORD(U, struct item, "number", number, RECORD_MAX(NUMBER_MAX)),
	RECORD(HEX, struct item, "events", events),
	RECORD(HEX, struct item, "data", data),
	RECORD(U, struct item, "pid", pid),
	RECORD(U, struct item, "fd", fd, RECORD_MAX(NUMBER_MAX)),
};
static const struct record_table item_table = RECORD_TABLE(struct item, item_rows);
static const struct record_field rows[] = {
	RECORD_LIST_OF(struct epoll, "items", items, n, item_table, RECORD_MAX(ITEMS_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct epoll, rows);

static bool owns(const struct file_look *l)
{
	return l->sort == PROC_FD_EPOLL;
}

/* ---- who has what it watches */

static bool is_target(const struct file_look *l, const struct kcmp_epoll_slot *slot, pid_t host,
		      int fd)
{
	return syscall(SYS_kcmp, host, l->p->host, KCMP_EPOLL_TFD, fd, slot) == 0;
}

static bool has_inode(pid_t host, int fd, uint64_t inode)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", host, fd);
	return stat(path, &st) == 0 && st.st_ino == inode;
}

static bool search(const struct file_look *l, struct ckpt_proc *p,
		   const struct kcmp_epoll_slot *slot, uint64_t inode, struct item *out)
{
	int *fds;
	size_t n;

	if (p->zombie || proc_fds(l->c->arena, p->host, &fds, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!has_inode(p->host, fds[i], inode) || !is_target(l, slot, p->host, fds[i]))
			continue;
		out->pid = (uint32_t)p->pid;
		out->fd = (uint32_t)fds[i];
		return true;
	}
	return false;
}

/* toff of kcmp(2): which one of those that were added under the same number. */
static uint32_t place_of(const struct proc_fdinfo *info, size_t at)
{
	uint32_t n = 0;

	for (size_t i = 0; i < at; i++)
		n += info->epolls[i].fd == info->epolls[at].fd;
	return n;
}

static bool find_holder(const struct file_look *l, size_t at, struct item *out)
{
	const struct proc_epoll *e = &l->info->epolls[at];
	const struct kcmp_epoll_slot slot = { .efd = l->fd,
					      .tfd = (uint32_t)e->fd,
					      .toff = place_of(l->info, at) };

	*out = (struct item){
		.number = (uint32_t)e->fd,
		.events = e->events,
		.data = e->data,
		.pid = (uint32_t)l->p->pid,
		.fd = (uint32_t)e->fd,
	};
	if (is_target(l, &slot, l->p->host, e->fd) || search(l, l->p, &slot, e->inode, out))
		return true;
	for (size_t i = 0; i < l->c->n_procs; i++)
		if (l->c->procs[i] != l->p && search(l, l->c->procs[i], &slot, e->inode, out))
			return true;
	return false;
}

static const char *check(const struct file_look *l)
{
	struct item item;

	for (size_t i = 0; i < l->info->n_epolls; i++)
		if (!find_holder(l, i, &item))
			return arena_printf(
				l->c->arena,
				"it watches what was descriptor %d, which no process of the "
				"container has any more",
				l->info->epolls[i].fd);
	return NULL;
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	struct epoll *e = f->record;

	e->n = l->info->n_epolls;
	e->items = arena_array(l->c->arena, e->n ? e->n : 1, sizeof(*e->items));
	for (size_t i = 0; i < e->n; i++)
		if (!find_holder(l, i, &e->items[i]))
			return fail(ENOTSUP, "nothing is found that it watches as descriptor %d",
				    l->info->epolls[i].fd);
	return 0;
}

/* ---- restore */

static int make(struct ckpt *c, struct ckpt_file *f)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	(void)c;
	(void)f;
	return fd < 0 ? fail_errno("make an epoll") : fd;
}

static bool is_spent(const struct item *item)
{
	return (item->events & EPOLLONESHOT) && !(item->events & ~(uint32_t)EVENTS_PRIVATE);
}

struct arrangement {
	struct ckpt *c;
	int *high; /* by file: its descriptor above all numbers, -1 where it has none yet */
	int base;
	int ret;
};

/* The descriptor of a file, out of the way of every number that an item wants. */
static int high_of(struct arrangement *a, struct ckpt_file *f)
{
	if (a->high[f->id] < 0)
		a->high[f->id] = fcntl(f->fd, F_DUPFD_CLOEXEC, a->base);
	return a->high[f->id] < 0 ? fail_errno("copy the descriptor of file %u", f->id)
				  : a->high[f->id];
}

static struct ckpt_file *target_of(struct ckpt *c, const struct item *item)
{
	struct ckpt_proc *p = ckpt_find_pid(c, (pid_t)item->pid);

	return p ? ckpt_file_of(c, p, item->fd) : NULL;
}

/*
 * One that has fired sleeps until it is armed again, deaf even to EPOLLHUP. The way there is to let
 * it fire; where nothing is to be had for now it stays without an event of its own.
 */
static int spend(int epoll, const struct item *item)
{
	struct epoll_event e = { .events = item->events, .data.u64 = item->data };

	if (epoll_wait(epoll, &e, 1, 0) == 1)
		return 0;
	e = (struct epoll_event){ .events = item->events, .data.u64 = item->data };
	return epoll_ctl(epoll, EPOLL_CTL_MOD, (int)item->number, &e);
}

static int add(struct arrangement *a, struct ckpt_file *f, const struct item *item)
{
	struct epoll_event e = { .events = item->events, .data.u64 = item->data };
	int epoll = high_of(a, f), target = high_of(a, target_of(a->c, item));
	int ret;

	if (epoll < 0 || target < 0)
		return epoll < 0 ? epoll : target;
	if (dup2(target, (int)item->number) < 0)
		return fail_errno("put a file at descriptor %u", item->number);
	if (is_spent(item))
		e.events |= EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP;
	ret = epoll_ctl(epoll, EPOLL_CTL_ADD, (int)item->number, &e);
	if (ret == 0 && is_spent(item))
		ret = spend(epoll, item);
	return ret < 0 ? fail_errno("file %u (epoll): watch descriptor %u", f->id, item->number)
		       : 0;
}

/* Those that have fired first: while there are no others, none of those is woken by mistake. */
static int add_all(struct arrangement *a, struct ckpt_file *f)
{
	const struct epoll *e = f->record;
	int ret = 0;

	for (int spent = 1; spent >= 0; spent--)
		for (size_t i = 0; i < e->n && !ret; i++)
			if (is_spent(&e->items[i]) == (spent == 1))
				ret = add(a, f, &e->items[i]);
	return ret;
}

/* Before any number is taken: what is needed may stand at it. */
static int move_up(struct arrangement *a, struct ckpt_file *f)
{
	const struct epoll *e = f->record;
	int ret = high_of(a, f);

	for (size_t i = 0; i < e->n && ret >= 0; i++)
		ret = high_of(a, target_of(a->c, &e->items[i]));
	return ret < 0 ? ret : 0;
}

/* Runs in the memory of the caller, which waits, with a descriptor table of its own. */
static int arrange(void *ctx)
{
	struct arrangement *a = ctx;

	for (size_t i = 0; i < a->c->n_files && !a->ret; i++)
		if (a->c->files[i]->kind == &file_epoll)
			a->ret = move_up(a, a->c->files[i]);
	for (size_t i = 0; i < a->c->n_files && !a->ret; i++)
		if (a->c->files[i]->kind == &file_epoll)
			a->ret = add_all(a, a->c->files[i]);
	return 0;
}

static int check_items(struct ckpt *c, struct ckpt_file *f, uint32_t *max)
{
	struct epoll *e = f->record;

	e->linked = true;
	for (size_t i = 0; i < e->n; i++) {
		if (!target_of(c, &e->items[i]))
			return fail(EBADMSG,
				    "the image: %s: files[%u].epoll.items[%zu]: process %u has no "
				    "descriptor %u",
				    IMAGE_CONTAINER, f->id, i, e->items[i].pid, e->items[i].fd);
		if (e->items[i].number > *max)
			*max = e->items[i].number;
	}
	return 0;
}

/* The first one that is asked does it for all. */
static int link_all(struct ckpt *c, struct ckpt_file *f)
{
	struct arrangement a = { .c = c };
	uint32_t max = 0;
	char *stack;
	int ret = 0, status;
	pid_t pid;

	if (((struct epoll *)f->record)->linked)
		return 0;
	a.high = arena_array(c->arena, c->n_files, sizeof(*a.high));
	for (size_t i = 0; i < c->n_files && !ret; i++) {
		a.high[i] = -1;
		if (c->files[i]->kind == &file_epoll)
			ret = check_items(c, c->files[i], &max);
	}
	if (ret)
		return ret;
	a.base = (int)max + 1;
	stack = arena_alloc(c->arena, STACK_SIZE);
	pid = clone(arrange, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, &a);
	if (pid < 0)
		return fail_errno("arrange descriptors for epoll");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return a.ret;
}

const struct file_kind file_epoll = {
	.name = "epoll",
	.table = &table,
	.owns = owns,
	.check = check,
	.collect = collect,
	.make = make,
	.link = link_all,
	.keeps_flags = true,
};
