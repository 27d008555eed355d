/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "bpf/filter.h"
#include "jail/enter.h"
#include "jail/plan.h"
#include "super/super.h"

/* The ports of Landlock's lists, in the order of their rights' bits, are those of enum
 * super_use. */
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

/* The annotation that a supervisor is there for. */
static const char *asked_by(const struct super_plan *plan)
{
	if (plan->map)
		return "run.thole.cow";
	return plan->time ? "run.thole.time" : "run.thole.ports";
}

/* Of another process of the same user an ordinary user may see nothing then: Yama, ptrace_scope. */
static int check_yama(struct arena *a, const struct sandbox *sb, const char *asked)
{
	char *scope;

	if (geteuid() == 0 || sb->ns.want[NS_USER].wanted ||
	    fd_read_file(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", a, 64, &scope, NULL) ||
	    scope[0] == '0')
		return 0;
	return fail(EPERM,
		    "a container that is supervised (%s) needs a user namespace here: "
		    "kernel.yama.ptrace_scope is %c",
		    asked, scope[0]);
}

/* A thread is followed from the call it waits in: nothing else may take it out of that. */
static int check_time(const struct super_plan *plan)
{
	if (!plan->time)
		return 0;
	if (!(filter_flags_supported() & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV))
		return fail(ENOTSUP, "run.thole.time needs Linux 5.19");
	if (!plan->wall.begins && time(NULL) + plan->wall.sec < 0)
		return fail(EINVAL, "run.thole.time.offset leads to a time before 1970");
	return 0;
}

/* An ordinary user's supervisor traces what it executes, or reads what that is, which takes that it
 * is dumpable. */
static bool is_followed(const struct enter *e, const struct super_plan *plan)
{
	return (plan->time || e->sb->layers.n) &&
	       (geteuid() != 0 || e->sb->ns.want[NS_USER].wanted);
}

struct super_plan supervise_plan(const struct sandbox *sb, uint32_t notified)
{
	struct super_plan plan = sb->super;

	plan.map = notified;
	for (size_t i = 0; notified && i < sb->layers.n; i++)
		plan.quota |= sb->layers.dirs[i].quota != 0;
	return plan;
}

/* What they are made of the child has: it comes from there, in this order. */
static size_t list_dirs(const struct layers_plan *l, uint32_t notified, struct super_dir *out)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (notified & 1u << i)
			out[n++] = (struct super_dir){ .guest = l->dirs[i].guest,
						       .mode = l->dirs[i].mode,
						       .quota = l->dirs[i].quota,
						       .upper = -1,
						       .work = -1,
						       .lower = -1 };
	return n;
}

static int start(struct enter *e, uint32_t notified, int *out_channel)
{
	struct super_dir dirs[SUPER_MAP_MAX];
	const struct super_config config = {
		.plan = supervise_plan(e->sb, notified),
		.dirs = dirs,
		.n_dirs = list_dirs(&e->sb->layers, notified, dirs),
		.id = e->sb->id,
		.restored = e->io->restored,
		.control = e->io->supervisor,
		.may = may_use_port,
		.may_arg = e->sb,
		.confined = e->policy.enforced,
	};
	int ret;

	if (!super_wanted(&config.plan))
		return 0;
	ret = check_yama(e->arena, e->sb, asked_by(&config.plan));
	if (!ret)
		ret = check_time(&config.plan);
	return ret ? ret : super_start(&config, out_channel);
}

static int join(struct enter *e)
{
	e->supervisor = fcntl(e->io->supervisor, F_DUPFD_CLOEXEC, 3);
	return e->supervisor < 0 ? fail_errno("keep the connection to the supervisor") : 0;
}

static int prepare_guard(struct enter *e, bool layers)
{
	const struct super_plan plan = supervise_plan(e->sb, layers);
	struct filter *guard;
	int ret;

	if (!super_wanted(&plan))
		return 0;
	guard = arena_alloc(e->arena, sizeof(*guard));
	ret = super_filter(e->arena, &plan, guard);
	e->guards[layers] = guard;
	return ret;
}

int supervise(struct enter *e)
{
	const struct layers_plan *l = &e->sb->layers;
	const struct super_plan plan = supervise_plan(e->sb, l->notified);
	int ret = prepare_guard(e, false);

	e->followed = is_followed(e, &plan);
	if (!ret && l->n)
		ret = prepare_guard(e, true);
	if (ret)
		return ret;
	if (e->joined)
		return super_wanted(&plan) ? join(e) : 0;
	return l->n ? 0 : start(e, 0, &e->supervisor);
}

int supervise_layers(struct enter *e, int *out)
{
	return start(e, e->found->notified, out);
}
