/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "jail/enter.h"
#include "jail/plan.h"
#include "super/super.h"

/* The ports of Landlock's lists, in the order of their rights' bits, are those of enum super_use.
 */
static bool may_use_port(const void *arg, enum super_use use, uint16_t port)
{
	const struct sandbox *sb = arg;
	const struct landlock_ports *list = &sb->landlock.ports[use];

	if (sb->landlock.mode == LANDLOCK_OFF || !list->set)
		return true;
	for (size_t i = 0; i < list->n; i++)
		if (port >= list->ranges[i].first && port <= list->ranges[i].last)
			return true;
	return false;
}

/* Of another process of the same user an ordinary user may see nothing then: Yama, ptrace_scope. */
static int check_yama(struct arena *a, const struct sandbox *sb)
{
	char *scope;

	if (geteuid() == 0 || sb->ns.want[NS_USER].wanted ||
	    fd_read_file(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", a, 64, &scope, NULL) ||
	    scope[0] == '0')
		return 0;
	return fail(EPERM,
		    "a container that is supervised (%s) needs a user namespace here: "
		    "kernel.yama.ptrace_scope is %c",
		    "run.thole.ports", scope[0]);
}

static int start(struct enter *e)
{
	const struct super_config config = {
		.plan = e->sb->super,
		.id = e->sb->id,
		.control = e->io->supervisor,
		.may = may_use_port,
		.may_arg = e->sb,
	};
	int ret;

	if (e->io->restored)
		return fail(ENOTSUP, "a container with run.thole.ports can't be restored");
	ret = check_yama(e->arena, e->sb);
	return ret ? ret : super_start(&config, &e->supervisor);
}

static int join(struct enter *e)
{
	e->supervisor = fcntl(e->io->supervisor, F_DUPFD_CLOEXEC, 3);
	return e->supervisor < 0 ? fail_errno("keep the connection to the supervisor") : 0;
}

int supervise(struct enter *e)
{
	struct filter *guard;
	int ret;

	if (!super_wanted(&e->sb->super))
		return 0;
	guard = arena_alloc(e->arena, sizeof(*guard));
	ret = super_filter(e->arena, &e->sb->super, guard);
	e->guard = guard;
	if (ret)
		return ret;
	return e->joined ? join(e) : start(e);
}
