/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State that no kind saves: found here so that it is refused, never lost. A kind that comes to own
 * one of these takes its lines away.
 */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/names.h"
#include "ckpt/inside.h"
#include "ckpt/kinds.h"
#include "jail/plan.h"
#include "task/trace.h"

/* shmctl(2), semctl(2) and msgctl(2) tell how many objects a namespace has. */
static const struct {
	const char *what;
	long nr;
	uint64_t command;
	size_t at; /* of the number, an int */
} ipc[] = {
	{ "shared memory segments", SYS_shmctl, SHM_INFO, offsetof(struct shm_info, used_ids) },
	{ "semaphore sets", SYS_semctl, SEM_INFO, offsetof(struct seminfo, semusz) },
	{ "message queues", SYS_msgctl, MSG_INFO, offsetof(struct msginfo, msgpool) },
};
#define INFO_SIZE 256
#define WHY "can't be restored"

static int count_of(const char *info, size_t i)
{
	int count;

	memcpy(&count, info + ipc[i].at, sizeof(count));
	return count;
}

/* In a child of ours, in the container's namespace. */
static int count_there(void *ctx, int pipe)
{
	char info[INFO_SIZE] = { 0 };
	int counts[NAME_COUNT(ipc)];
	long ret;

	(void)ctx;
	for (size_t i = 0; i < NAME_COUNT(ipc); i++) {
		ret = ipc[i].nr == SYS_semctl ? syscall(ipc[i].nr, 0, 0, ipc[i].command, info)
					      : syscall(ipc[i].nr, 0, ipc[i].command, info);
		if (ret < 0)
			return fail_errno("ask for System V %s", ipc[i].what);
		counts[i] = count_of(info, i);
	}
	return inside_send(pipe, counts, sizeof(counts));
}

static int take_counts(void *ctx, int pipe)
{
	const struct ckpt_unit *u = ctx;
	int counts[NAME_COUNT(ipc)];

	if (read(pipe, counts, sizeof(counts)) != sizeof(counts))
		return -ENODATA;
	for (size_t i = 0; i < NAME_COUNT(ipc); i++)
		if (counts[i])
			ckpt_problem(u->c, NULL, -1,
				     arena_printf(u->c->arena, "System V %s", ipc[i].what), WHY);
	return 0;
}

/*
 * The child takes a millisecond, more than all of a small checkpoint's pause: so it is asked by who
 * only wants to know. Else an errand tells, of a frozen container.
 */
static int check_ipc(const struct ckpt_unit *u)
{
	struct ckpt_unit copy = *u;
	const struct inside job = {
		.spaces = CLONE_NEWIPC,
		.there = count_there,
		.here = take_counts,
		.ctx = &copy,
	};

	if (!u->c->only_check || !ns_new(&u->c->subject->sb->ns, NS_IPC))
		return 0;
	return inside_run(u->c, &job);
}

static int collect_ipc(const struct ckpt_unit *u)
{
	const struct ckpt_thread *init = u->c->procs[0]->threads[0];
	char info[INFO_SIZE] = { 0 };
	uint64_t addr;
	int64_t ret;

	if (!ns_new(&u->c->subject->sb->ns, NS_IPC))
		return 0;
	for (size_t i = 0; i < NAME_COUNT(ipc); i++) {
		ret = ckpt_put(init, 0, info, sizeof(info), &addr);
		if (ret >= 0 && ipc[i].nr == SYS_semctl)
			ret = ckpt_call(init, ipc[i].what, ipc[i].nr, 0, 0, ipc[i].command, addr);
		else if (ret >= 0)
			ret = ckpt_call(init, ipc[i].what, ipc[i].nr, 0, ipc[i].command, addr);
		if (ret >= 0)
			ret = ckpt_get(init, 0, info, sizeof(info));
		if (ret < 0)
			return (int)ret;
		if (count_of(info, i))
			return fail(ENOTSUP, "the container has System V %s: " WHY, ipc[i].what);
	}
	return 0;
}

const struct ckpt_kind kind_unowned_container = {
	.name = "unowned",
	.scope = KIND_CONTAINER,
	.check = check_ipc,
	.collect = collect_ipc,
};
