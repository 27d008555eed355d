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
#include "ckpt/keys.h"
#include "ckpt/kinds.h"
#include "jail/plan.h"

static const struct {
	const char *name;
	int32_t id;
	enum kind_scope scope;
	bool of_who_made; /* where the container was given none of its own */
} keyrings[] = {
	{ "thread", KEY_SPEC_THREAD_KEYRING, KIND_THREAD, false },
	{ "process", KEY_SPEC_PROCESS_KEYRING, KIND_PROCESS, false },
	{ "session", KEY_SPEC_SESSION_KEYRING, KIND_THREAD, true },
};

/* Without room for them the call says how many bytes of numbers there are. */
size_t keys_ask(struct ckpt *c, enum kind_scope scope, struct inject_call *calls)
{
	const bool may = confine_may_call(c, SYS_keyctl), own = c->subject->sb->new_keyring;
	size_t n = 0;

	for (size_t i = 0; i < NAME_COUNT(keyrings); i++)
		if (may && keyrings[i].scope == scope && (own || !keyrings[i].of_who_made))
			calls[n++] = (struct inject_call){
				.nr = SYS_keyctl,
				.arg = { KEYCTL_READ, (uint64_t)keyrings[i].id },
			};
	return n;
}

static const char *keyring_of(const struct inject_call *call)
{
	size_t i = 0;

	while ((uint64_t)keyrings[i].id != call->arg[1])
		i++;
	return keyrings[i].name;
}

int keys_judge(const struct ckpt_thread *t, const struct inject_call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const int64_t bytes = calls[i].ret;

		if (bytes > 0)
			return fail(
				ENOTSUP,
				"thread %d: its %s keyring holds %zu key%s: no key can be saved",
				t->tid, keyring_of(&calls[i]), (size_t)bytes / sizeof(int32_t),
				bytes == sizeof(int32_t) ? "" : "s");
	}
	return 0;
}

static int ask(const struct ckpt_unit *u, struct ask *a)
{
	struct inject_call calls[KEYS_CALLS];

	return ask_add(a, calls, keys_ask(u->c, KIND_PROCESS, calls));
}

static int collect(const struct ckpt_unit *u)
{
	struct answers answers;
	int ret = ask_answers(&kind_keys, u, &answers);

	return ret ? ret : keys_judge(u->p->threads[0], answers.calls, answers.n);
}

const struct ckpt_kind kind_keys = {
	.name = "keys",
	.scope = KIND_PROCESS,
	.ask = ask,
	.collect = collect,
};
