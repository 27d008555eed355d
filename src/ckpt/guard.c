/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/guard.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "bpf/filter.h"
#include "ckpt/confine.h"
#include "jail/plan.h"
#include "supervise.h"

int guard_of(struct ckpt *c, struct filter *out)
{
	const struct sandbox *sb = c->sb ? c->sb : c->subject->sb;
	const struct super_plan plan = supervise_plan(sb, sb->layers.notified);

	*out = (struct filter){ .len = 0 };
	return super_wanted(&plan) ? super_filter(c->arena, &plan, out) : 0;
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
