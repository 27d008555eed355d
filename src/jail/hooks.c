/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "jail/plan.h"

static int run_one(const struct sandbox_hook *hook, const struct spawn *common)
{
	struct spawn s = *common;

	s.path = hook->path;
	s.args = hook->args;
	s.env = hook->env;
	s.timeout = hook->timeout;
	return spawn_run(&s);
}

/* A file that output is appended to, or -1 where none is asked for. */
static int open_output(const char *path)
{
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600) : -1;

	return path && fd < 0 ? fail_errno("open %s for the output of hooks", path) : fd;
}

int hooks_run(const struct sandbox_hooks *hooks, const struct hooks_input *input, int cwd, bool all)
{
	size_t size;
	struct err first = { 0 };
	struct spawn common = { .cwd = cwd };
	auto_fd out = -1, errors = -1;
	int failed = 0, ret;
	char *state;

	if (!hooks->n)
		return 0;
	size = strlen(input->head) + strlen(input->tail) + 16;
	out = open_output(hooks->out);
	errors = open_output(hooks->err);
	if ((hooks->out && out < 0) || (hooks->err && errors < 0))
		return -err_last()->code;
	state = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (state == MAP_FAILED)
		return fail_errno("run hooks");
	common.input = state;
	common.input_len =
		(size_t)snprintf(state, size, "%s%d%s", input->head, input->pid, input->tail);
	common.out = out;
	common.err = errors;
	for (size_t i = 0; i < hooks->n && (all || !failed); i++) {
		ret = run_one(&hooks->v[i], &common);
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
