/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of a container's own: keyrings(7). A key has a number of the host's that no restore could
 * give it again, and of most kinds its contents can't be read. Whose keyrings hold none are made
 * anew: that of the session by init, those of processes and threads when something goes into them.
 */
#include <errno.h>
#include <linux/keyctl.h>
#include <sys/syscall.h>

#include "base/err.h"
#include "base/names.h"
#include "ckpt/ask.h"
#include "ckpt/confine.h"
#include "ckpt/kinds.h"
#include "jail/plan.h"

static const struct {
	int32_t id;
	const char *name;
} keyrings[] = {
	{ KEY_SPEC_THREAD_KEYRING, "thread" },
	{ KEY_SPEC_PROCESS_KEYRING, "process" },
	/* the last: what it is of who was given none belongs to who made the container */
	{ KEY_SPEC_SESSION_KEYRING, "session" },
};

static size_t asked(struct ckpt *c)
{
	if (!confine_may_call(c, SYS_keyctl))
		return 0;
	return NAME_COUNT(keyrings) - !c->subject->sb->new_keyring;
}

/* Without room for them the call says how many bytes of numbers there are. */
static int ask(const struct ckpt_unit *u, struct ask *a)
{
	struct inject_call calls[NAME_COUNT(keyrings)];
	size_t n = asked(u->c);

	for (size_t i = 0; i < n; i++)
		calls[i] = (struct inject_call){
			.nr = SYS_keyctl,
			.arg = { KEYCTL_READ, (uint64_t)keyrings[i].id },
		};
	return ask_add(a, calls, n);
}

static int collect(const struct ckpt_unit *u)
{
	struct answers answers;
	int ret = ask_answers(&kind_keys, u, &answers);

	for (size_t i = 0; !ret && i < answers.n; i++) {
		const int64_t bytes = answers.calls[i].ret;

		if (bytes > 0)
			ret = fail(
				ENOTSUP,
				"process %d: its %s keyring holds %zu key%s: no key can be saved",
				u->p->pid, keyrings[i].name, (size_t)bytes / sizeof(int32_t),
				bytes == sizeof(int32_t) ? "" : "s");
	}
	return ret;
}

const struct ckpt_kind kind_keys = {
	.name = "keys",
	.scope = KIND_PROCESS,
	.ask = ask,
	.collect = collect,
};
