/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/guard.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "bpf/filter.h"
#include "ckpt/confine.h"
#include "ckpt/engine.h"
#include "jail/plan.h"
#include "sandbox.h"
#include "supervise.h"

int guard_of(struct ckpt *c, struct filter *out)
{
	const struct sandbox *sb = c->sb ? c->sb : c->subject->sb;
	const uint32_t notified = c->task ? c->task->layers.notified : sb->layers.notified;
	const struct super_plan plan = supervise_plan(sb, notified);

	*out = (struct filter){ .len = 0 };
	return super_wanted(&plan) ? super_filter(c->arena, &plan, out) : 0;
}

#define PATIENCE_US 10000000
#define LOOK_US 200

bool guard_traces(const struct ckpt *c, pid_t tracer)
{
	pid_t supervisor;

	return c->subject->supervisor >= 0 &&
	       super_ask_pid(c->subject->supervisor, &supervisor) == 0 && supervisor == tracer;
}

int guard_hold(struct ckpt *c)
{
	int ret = c->subject->supervisor < 0 ? 0 : super_hold(c->subject->supervisor, &c->followed);

	c->held = !ret && c->subject->supervisor >= 0;
	return ret;
}

int guard_await(struct ckpt *c)
{
	uint64_t deadline = ckpt_now() + PATIENCE_US;
	int ret = 0;

	while (c->followed && !ret) {
		usleep(LOOK_US);
		if (ckpt_now() > deadline)
			return fail(ETIMEDOUT,
				    "the supervisor follows %u threads of the container that do "
				    "not come out of a system call",
				    c->followed);
		ret = super_hold(c->subject->supervisor, &c->followed);
	}
	return ret;
}

int guard_go_on(struct ckpt *c)
{
	bool held = c->held;

	c->held = false;
	return held ? super_go_on(c->subject->supervisor) : 0;
}

int guard_install(const struct ckpt_thread *t, const struct filter *guard, int supervisor, bool all)
{
	const uint32_t killable = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	const struct program p = {
		.code = guard->code,
		.len = guard->len * sizeof(*guard->code),
		.flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | (filter_flags_supported() & killable),
	};
	int there = confine_install(t, &p, all);
	auto_fd listener = there < 0 ? -1 : ckpt_fetch_fd(t, there);
	int ret;

	if (listener < 0)
		return there < 0 ? there : listener;
	ret = (int)ckpt_call(t, "close its listener", SYS_close, (uint64_t)there);
	return ret < 0 ? ret : super_adopt(supervisor, listener);
}
