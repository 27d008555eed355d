/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of processes: of one of the container, made anew once the tree stands, or of one that
 * has ended and been waited for, which a process stands for that ends before the container goes on.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/err.h"
#include "base/sys.h"
#include "ckpt/kinds.h"
#include "ckpt/pidfd.h"

/* linux/pidfd.h: of a thread. It shows among the flags of the description. */
#define THREAD_FLAG O_EXCL

struct pidfd {
	uint32_t pid; /* as the container sees it; 0: it has ended, and nobody waits for it */
	bool thread;
};

static const struct record_field rows[] = {
	RECORD(U, struct pidfd, "pid", pid, RECORD_OPTIONAL),
	RECORD(BOOL, struct pidfd, "thread", thread, RECORD_OPTIONAL),
};
static const struct record_table table = RECORD_TABLE(struct pidfd, rows);

static const struct ckpt_proc *target(const struct file_look *l)
{
	for (size_t i = 0; i < l->c->n_procs; i++)
		if (l->c->procs[i]->host == l->info->pid)
			return l->c->procs[i];
	return NULL;
}

static bool owns(const struct file_look *l)
{
	return l->sort == PROC_FD_PID;
}

static const char *check(const struct file_look *l)
{
	if (l->info->pid == -1 || target(l))
		return NULL;
	if (l->flags & THREAD_FLAG)
		return "it stands for a thread that is not its process's first";
	return "it stands for a process outside of the container";
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	const struct ckpt_proc *p = target(l);

	*(struct pidfd *)f->record = (struct pidfd){
		.pid = p ? (uint32_t)p->pid : 0,
		.thread = l->flags & THREAD_FLAG,
	};
	return 0;
}

void pidfd_plan(struct ckpt *c)
{
	struct pidfd *record;

	for (size_t i = 0; i < c->n_files; i++) {
		record = c->files[i]->record;
		if (c->files[i]->kind == &file_pidfd && !record->pid)
			record->pid = (uint32_t)ckpt_add_ended(c)->pid;
	}
}

static int make(struct ckpt *c, struct ckpt_file *f)
{
	const struct pidfd *record = f->record;
	const struct ckpt_proc *p =
		record->pid <= INT32_MAX ? ckpt_find_pid(c, (pid_t)record->pid) : NULL;
	unsigned flags = record->thread ? THREAD_FLAG : 0;
	int fd;

	if (!p || p->host <= 0)
		return fail(EBADMSG, "the image: %s: files[%u].pidfd: it has no process %u",
			    IMAGE_CONTAINER, f->id, record->pid);
	fd = (int)sys_pidfd_open(p->host, flags);
	return fd < 0 ? fail_errno("open process %u", record->pid) : fd;
}

const struct file_kind file_pidfd = {
	.name = "pidfd",
	.table = &table,
	.owns = owns,
	.check = check,
	.collect = collect,
	.make = make,
	.after_tree = true,
	.keeps_flags = true,
};
