/* SPDX-License-Identifier: Apache-2.0 */
/* create, run, start */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/rdt.h"
#include "oci/birth.h"
#include "oci/build.h"
#include "oci/check.h"
#include "oci/cmd.h"
#include "oci/console.h"
#include "oci/container.h"
#include "oci/foreground.h"
#include "oci/json.h"
#include "oci/notify.h"
#include "oci/process_io.h"
#include "oci/spec.h"
#include "oci/state_hooks.h"
#include "sandbox.h"

static const struct opt create_rows[] = {
	{ "no-subreaper", 0, OPT_SKIP_FLAG, 0, NULL, NULL, NULL },
};

static int listen_for_start(struct birth *b)
{
	b->io.start = fd_unix_listen(b->ct.dir.dir, STATE_START, 0600, 1);
	if (b->io.start < 0)
		return fail(-b->io.start, "listen for the start of container %s: %s",
			    b->ct.state.id, err_reason(-b->io.start));
	return 0;
}

static int run_create(struct cmd *c, const void *options)
{
	struct birth b;
	int ret = birth_begin(&b, c, options, true);

	if (!ret)
		ret = listen_for_start(&b);
	if (!ret)
		ret = birth_make(&b);
	if (!ret) {
		/* first: init has a copy of the descriptor until it is started, and with it the
		 * lock */
		state_unlock(&b.ct.dir);
		ret = sandbox_commit(&b.task);
	}
	if (ret)
		birth_undo(&b);
	birth_close(&b);
	return ret;
}

const struct command cmd_create = {
	.name = "create",
	.args = "ID",
	.summary = "make a container from a bundle; it waits for start",
	.opts = CMD_OPTS_ALSO(create_rows, birth_opts),
	.size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_create,
};

/* Ready or not, the container runs: that its manager could not be told is worth a warning. */
static void tell_ready(int notify, int pidfd, pid_t pid)
{
	if (notify >= 0 && notify_wait(notify, pidfd, pid))
		log_warning("%s", err_last()->text);
}

/* From the made container to one whose process runs. */
static int launch(struct birth *b, struct foreground *f)
{
	int ret = notify_listen(&b->ct.dir, &f->notify);

	if (!ret && !b->o->detach)
		ret = foreground_begin(f, !b->o->no_subreaper);
	if (!ret)
		ret = state_made(&b->ct.dir);
	/* its hooks may call us for this very container */
	state_unlock(&b->ct.dir);
	if (!ret)
		ret = sandbox_commit(&b->task);
	if (!ret)
		ret = state_hooks_run(b->c->arena, &b->ct.state, &b->sb, HOOK_POSTSTART, b->bundle,
				      false);
	return ret;
}

static int run_run(struct cmd *c, const void *options)
{
	const struct create_options *o = options;
	struct foreground f = { .signals = -1, .console = -1, .notify = -1 };
	struct birth b;
	int ret = birth_begin(&b, c, o, o->detach);

	if (!ret && !b.sb.process.args)
		ret = fail(EINVAL, "%s: process: must be there to be run", b.spec->doc);
	if (!ret)
		ret = state_making(&b.ct.dir);
	if (!ret)
		ret = birth_make(&b);
	if (!ret) {
		f.pid = b.task.pid;
		f.pidfd = b.task.pidfd;
		f.console = b.pio.master;
		ret = launch(&b, &f);
	}
	if (ret) {
		birth_undo(&b);
	} else if (o->detach) {
		log_release(true);
		tell_ready(f.notify, f.pidfd, f.pid);
	} else {
		log_release(true);
		ret = foreground_wait(&f);
		if (!o->keep && birth_end(&b))
			log_warning("%s", err_last()->text);
	}
	fd_close(f.notify);
	birth_close(&b);
	return ret;
}

const struct command cmd_run = {
	.name = "run",
	.args = "ID",
	.summary = "create a container and start it, wait for its end and delete it",
	.text = "Creates a container and starts it. In the foreground signals are passed on to it, "
		"its exit status becomes that of this command (128 + N where signal N ended it), "
		"and it is deleted when it has ended.",
	.opts = { .also = &birth_run_opts },
	.size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_run,
};

static int check_startable(const struct container *ct)
{
	switch (ct->status) {
	case STATE_CREATED:
		break;
	case STATE_RUNNING:
		return fail(EINVAL, "cannot start an already running container");
	case STATE_STOPPED:
		return fail(EINVAL, "cannot start a container that has stopped");
	case STATE_CREATING:
	case STATE_PAUSED:
		return fail(EINVAL, "cannot start a container in the %s state",
			    state_status_name(ct->status));
	}
	if (!ct->state.process)
		return fail(EINVAL,
			    "container %s has nothing to start: its configuration has no "
			    "process",
			    ct->dir.id);
	return 0;
}

static int poststart(struct cmd *c, struct container *ct)
{
	struct sandbox only_hooks = { 0 };
	const struct spec *spec;
	auto_fd bundle = -1;
	struct err kept;
	int ret;

	if (!ct->state.poststart)
		return 0;
	bundle = open(ct->state.bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret = container_config(c, ct, &spec);
	if (!ret) {
		build_hooks(c->arena, spec, HOOK_POSTSTART, &only_hooks.hooks[HOOK_POSTSTART]);
		ret = state_hooks_run(c->arena, &ct->state, &only_hooks, HOOK_POSTSTART, bundle,
				      false);
	}
	if (!ret)
		return 0;
	kept = *err_last();
	if (container_end(ct))
		log_debug("%s", err_last()->text);
	err_set(&kept);
	return ret;
}

static int start_locked(struct container *ct)
{
	auto_fd conn = -1;
	int ret = check_startable(ct);

	if (ret)
		return ret;
	conn = fd_unix_connect(ct->dir.dir, STATE_START);
	/* nobody listens: a start got that far and was killed before it removed the socket */
	if (conn == -ECONNREFUSED)
		ret = fail(EINVAL, "cannot start an already running container");
	else if (conn < 0)
		return fail(-conn, "start container %s: %s", ct->dir.id, err_reason(-conn));
	else
		ret = sandbox_start(conn);
	unlinkat(ct->dir.dir, STATE_START, 0);
	return ret;
}

static int run_start(struct cmd *c, const void *options)
{
	auto_container ct = CONTAINER_NONE;
	auto_fd notify = -1;
	int ret = container_open(c, c->args[0], &ct);

	(void)options;
	if (!ret)
		ret = state_lock(&ct.dir);
	if (!ret)
		ret = container_refresh(c, &ct);
	if (!ret)
		ret = notify_listen(&ct.dir, &notify);
	if (!ret)
		ret = start_locked(&ct);
	if (ret)
		return ret;
	/* hooks may call us for this very container */
	state_unlock(&ct.dir);
	ret = poststart(c, &ct);
	if (!ret)
		tell_ready(notify, ct.pidfd, ct.state.pid);
	return ret;
}

const struct command cmd_start = {
	.name = "start",
	.args = "ID",
	.summary = "run the process of a created container",
	.min_args = 1,
	.max_args = 1,
	.run = run_start,
};
