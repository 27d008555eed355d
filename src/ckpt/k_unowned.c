/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State that no kind saves: found here so that it is refused, never lost. A kind that comes to own
 * one of these takes its lines away.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/names.h"
#include "ckpt/kinds.h"
#include "jail/plan.h"
#include "task/trace.h"

/* shmctl(2), semctl(2) and msgctl(2) tell how many objects a namespace has. */
static int collect_ipc(const struct ckpt_unit *u)
{
	static const struct {
		const char *what;
		long nr;
		uint64_t command;
		size_t at; /* of the number, an int */
	} rows[] = {
		{ "shared memory segments", SYS_shmctl, SHM_INFO,
		  offsetof(struct shm_info, used_ids) },
		{ "semaphore sets", SYS_semctl, SEM_INFO, offsetof(struct seminfo, semusz) },
		{ "message queues", SYS_msgctl, MSG_INFO, offsetof(struct msginfo, msgpool) },
	};
	const struct ckpt_thread *init = u->c->procs[0]->threads[0];
	char info[256] = { 0 };
	uint64_t addr;
	int64_t ret;
	int count;

	if (!ns_new(&u->c->subject->sb->ns, NS_IPC))
		return 0;
	for (size_t i = 0; i < NAME_COUNT(rows); i++) {
		ret = ckpt_put(init, 0, info, sizeof(info), &addr);
		if (ret >= 0 && rows[i].nr == SYS_semctl)
			ret = ckpt_call(init, rows[i].what, rows[i].nr, 0, 0, rows[i].command,
					addr);
		else if (ret >= 0)
			ret = ckpt_call(init, rows[i].what, rows[i].nr, 0, rows[i].command, addr);
		if (ret >= 0)
			ret = ckpt_get(init, 0, info, sizeof(info));
		if (ret < 0)
			return (int)ret;
		memcpy(&count, info + rows[i].at, sizeof(count));
		if (count)
			return fail(ENOTSUP,
				    "the container has System V %s, which can't be restored",
				    rows[i].what);
	}
	return 0;
}

const struct ckpt_kind kind_unowned_container = {
	.name = "unowned",
	.scope = KIND_CONTAINER,
	.collect = collect_ipc,
};
