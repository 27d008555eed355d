/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/hooks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/spawn.h"
#include "jail/plan.h"

static int run_one(const struct sandbox_hook *hook, const char *state, size_t len, int cwd)
{
	struct spawn s = {
		.path = hook->path,
		.args = hook->args,
		.env = hook->env,
		.cwd = cwd,
		.input = state,
		.input_len = len,
		.timeout = hook->timeout,
		.out = -1,
		.err = -1,
	};

	return spawn_run(&s);
}

int hooks_run(const struct sandbox_hooks *hooks, const char *head, pid_t pid, const char *tail,
	      int cwd, bool all)
{
	size_t size = strlen(head) + strlen(tail) + 16;
	struct err first = { 0 };
	int failed = 0, ret, len;
	char *state;

	if (!hooks->n)
		return 0;
	state = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (state == MAP_FAILED)
		return fail_errno("run hooks");
	len = snprintf(state, size, "%s%d%s", head, pid, tail);
	for (size_t i = 0; i < hooks->n && (all || !failed); i++) {
		ret = run_one(&hooks->v[i], state, (size_t)len, cwd);
		if (!ret || failed)
			continue;
		failed = fail_in(ret, "hook");
		first = *err_last();
	}
	munmap(state, size);
	if (failed)
		err_set(&first);
	return failed;
}
