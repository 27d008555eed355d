/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "jail/rdt.h"
#include "oci/build.h"
#include "oci/cmd.h"
#include "oci/cow.h"
#include "oci/spec.h"
#include "oci/state_hooks.h"
#include "sandbox.h"

#define END_PATIENCE_MS 10000

void container_close(struct container *c)
{
	state_dir_close(&c->dir);
	fd_close(c->pidfd);
	c->pidfd = -1;
}

int cmd_root(struct cmd *c, bool create)
{
	if (c->root < 0)
		c->root = state_open_root(c->arena, c->global->root, create);
	return c->root;
}

enum cgroup_manager cmd_manager(const struct cmd_globals *g)
{
	if (g->cgroup_manager && strcmp(g->cgroup_manager, "disabled") == 0)
		return CGROUP_DISABLED;
	if (g->cgroup_manager)
		return strcmp(g->cgroup_manager, "systemd") == 0 ? CGROUP_SYSTEMD : CGROUP_FS;
	return g->systemd_cgroup ? CGROUP_SYSTEMD : CGROUP_FS;
}

bool cmd_colour(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

int cmd_print(const char *text, size_t len)
{
	int ret = fd_write_all(STDOUT_FILENO, text, len);

	if (ret)
		return fail(-ret, "write to standard output: %s", err_reason(-ret));
	return 0;
}

int container_open(struct cmd *c, const char *id, struct container *out)
{
	struct container ct = CONTAINER_NONE;
	int root, ret;

	ret = state_check_id(id);
	if (ret)
		return ret;
	root = cmd_root(c, false);
	if (root == -ENOENT)
		return fail(ENOENT, "container \"%s\" does not exist", id);
	if (root < 0)
		return root;
	ret = state_find(root, id, &ct.dir);
	if (!ret)
		ret = container_refresh(c, &ct);
	if (ret)
		container_close(&ct);
	else
		*out = ct;
	return ret;
}

int container_refresh(struct cmd *c, struct container *ct)
{
	int ret = state_read(c->arena, &ct->dir, &ct->state);

	if (ret)
		return ret;
	fd_close(ct->pidfd);
	ct->status = state_status(&ct->dir, &ct->state, &ct->pidfd);
	return 0;
}

int container_config(struct cmd *c, const struct container *ct, const struct spec **out)
{
	int ret = spec_load(c->arena, ct->dir.dir, STATE_CONFIG, out);

	return ret ? fail_in(ret, "the configuration of container %s", ct->dir.id) : 0;
}

int container_supervisor(const struct container *ct)
{
	int fd = fd_unix_connect(ct->dir.dir, STATE_SUPER);

	if (fd == -ENOENT)
		return fail(ENOENT,
			    "container %s has no supervisor: nothing in its annotations "
			    "asks for one",
			    ct->dir.id);
	return fd < 0 ? fail(-fd, "ask the supervisor of container %s, which may have ended: %s",
			     ct->dir.id, err_reason(-fd))
		      : fd;
}

int container_signal(const struct container *ct, int sig)
{
	if (ct->pidfd < 0)
		return fail(ESRCH, "container not running");
	if (sys_pidfd_send_signal(ct->pidfd, sig, NULL, 0) < 0)
		return fail_errno("send signal %d to container %s", sig, ct->dir.id);
	/* a frozen process of version 1 does not even die */
	if (sig == SIGKILL && cgroup_is_frozen(&ct->state.cgroup) > 0)
		return cgroup_freeze(&ct->state.cgroup, false);
	return 0;
}

int container_end(struct container *ct)
{
	struct pollfd p = { .fd = ct->pidfd, .events = POLLIN };
	int ret;

	if (ct->pidfd < 0)
		return 0;
	ret = container_signal(ct, SIGKILL);
	if (ret && ret != -ESRCH)
		return ret;
	do
		ret = poll(&p, 1, END_PATIENCE_MS);
	while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return fail_errno("wait for the end of container %s", ct->dir.id);
	if (ret == 0)
		return fail(EBUSY, "process %d of container %s was killed and does not end",
			    ct->state.pid, ct->dir.id);
	fd_close(ct->pidfd);
	ct->pidfd = -1;
	return 0;
}

/* Whatever goes wrong here, the container is gone: it is worth a warning, not more. */
static void poststop(struct cmd *c, const struct container *ct, const struct sandbox *sb)
{
	auto_fd bundle = open(ct->state.bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err kept = *err_last();

	if (state_hooks_run(c->arena, &ct->state, sb, HOOK_POSTSTOP, bundle, true))
		log_warning("container %s: %s", ct->dir.id, err_last()->text);
	err_set(&kept);
}

static int leave_rdt(const struct state *s)
{
	const struct sandbox_rdt plan = { .closid = s->rdt_class, .monitoring = s->rdt_monitoring };

	return rdt_leave(&plan, s->id);
}

int container_destroy(struct cmd *c, struct container *ct, const struct sandbox *sb)
{
	struct sandbox only_hooks = { 0 };
	const struct spec *spec;
	int ret;

	if (!sb && ct->state.poststop) {
		if (container_config(c, ct, &spec))
			log_warning("container %s: no poststop hooks are run: %s", ct->dir.id,
				    err_last()->text);
		else
			build_hooks(c->arena, spec, HOOK_POSTSTOP,
				    &only_hooks.hooks[HOOK_POSTSTOP]);
		sb = &only_hooks;
	}
	ret = cgroup_destroy(c->arena, &ct->state.cgroup);
	if (!ret && ct->state.rdt_class)
		ret = leave_rdt(&ct->state);
	if (ret)
		return fail_in(ret, "delete container %s", ct->dir.id);
	ret = cow_remove(c, ct);
	if (!ret)
		ret = state_remove(&ct->dir);
	if (ret)
		return ret;
	if (sb)
		poststop(c, ct, sb);
	return 0;
}
