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

struct create_options {
	const char *bundle, *config, *pid_file, *console_socket, *pidfd_socket;
	int preserve_fds;
	bool no_pivot, no_new_keyring, no_subreaper, detach, keep;
};

#define AT(member) offsetof(struct create_options, member)

#define CREATE_ROWS                                                                               \
	{                                                                                         \
		"bundle",   'b',   OPT_TEXT,                                                      \
		AT(bundle), "DIR", "the bundle (default: the working directory)",                 \
		NULL                                                                              \
	},                                                                                        \
		{ "config",   'f',    OPT_TEXT,                                                   \
		  AT(config), "FILE", "its configuration (default: config.json in the bundle)",   \
		  NULL },                                                                         \
		{ "pid-file",   0,      OPT_TEXT,                                                 \
		  AT(pid_file), "FILE", "write the pid of the container's first process to FILE", \
		  NULL },                                                                         \
		{ "console-socket",                                                               \
		  0,                                                                              \
		  OPT_TEXT,                                                                       \
		  AT(console_socket),                                                             \
		  "PATH",                                                                         \
		  "send the master of the container's terminal to this socket",                   \
		  NULL },                                                                         \
		{ "pidfd-socket",                                                                 \
		  0,                                                                              \
		  OPT_TEXT,                                                                       \
		  AT(pidfd_socket),                                                               \
		  "PATH",                                                                         \
		  "send a pidfd of the first process to this socket",                             \
		  NULL },                                                                         \
		{ "preserve-fds",                                                                 \
		  0,                                                                              \
		  OPT_COUNT,                                                                      \
		  AT(preserve_fds),                                                               \
		  "N",                                                                            \
		  "pass N descriptors from 3 on (behind those of LISTEN_FDS)",                    \
		  NULL },                                                                         \
		{ "no-pivot",                                                                     \
		  0,                                                                              \
		  OPT_FLAG,                                                                       \
		  AT(no_pivot),                                                                   \
		  NULL,                                                                           \
		  "change the root by chroot, for a root file system that can't be pivoted",      \
		  NULL },                                                                         \
	{                                                                                         \
		"no-new-keyring", 0, OPT_FLAG, AT(no_new_keyring), NULL,                          \
			"keep the caller's session keyring", NULL                                 \
	}

static const struct opt create_rows[] = {
	CREATE_ROWS,
	{ "no-subreaper", 0, OPT_SKIP_FLAG, 0, NULL, NULL, NULL },
};

static const struct opt run_rows[] = {
	CREATE_ROWS,
	{ "detach", 'd', OPT_FLAG, AT(detach), NULL, "return when the process runs", NULL },
	{ "keep", 0, OPT_FLAG, AT(keep), NULL, "do not delete the container when it has ended",
	  NULL },
	{ "no-subreaper", 0, OPT_FLAG, AT(no_subreaper), NULL,
	  "do not adopt the container's orphans", NULL },
};

/* A container on its way: what undo() has to take back. */
struct birth {
	struct cmd *c;
	const struct create_options *o;
	const struct spec *spec;
	const char *config; /* its text */
	size_t config_len;
	struct sandbox sb;
	struct sandbox_io io;
	struct process_io pio;
	struct sandbox_task task;
	struct container ct;
	int bundle;
	bool claimed, has_cgroup, tried, has_task, has_pid_file;
};

static void birth_close(struct birth *b)
{
	if (b->has_task)
		sandbox_release(&b->task);
	process_io_close(&b->pio, &b->io);
	container_close(&b->ct);
	fd_close(b->bundle);
}

/* As if it had never been attempted; the error that led here stands. */
static void undo(struct birth *b)
{
	struct err kept = *err_last();

	if (b->has_task)
		sandbox_abort(&b->task);
	b->has_task = false;
	if (b->has_pid_file)
		unlink(b->o->pid_file);
	if (b->has_cgroup && cgroup_destroy(b->c->arena, &b->ct.state.cgroup))
		log_debug("%s", err_last()->text);
	if (b->tried && b->ct.state.rdt_class && rdt_leave(&b->sb.rdt, b->ct.state.id))
		log_debug("%s", err_last()->text);
	if (b->claimed && state_remove(&b->ct.dir))
		log_debug("%s", err_last()->text);
	if (b->tried)
		state_hooks_run(b->c->arena, &b->ct.state, &b->sb, HOOK_POSTSTOP, b->bundle, true);
	err_set(&kept);
}

static int load(struct birth *b)
{
	struct arena *a = b->c->arena;
	const char *name = b->o->config ? b->o->config : STATE_CONFIG;
	const struct json *json;
	char *text;
	int ret;

	ret = fd_read_file(b->o->config ? AT_FDCWD : b->bundle, name, a, JSON_SIZE_MAX, &text,
			   &b->config_len);
	if (ret)
		return fail_in(ret, "the bundle %s", b->ct.state.bundle);
	b->config = text;
	ret = json_parse(a, name, text, b->config_len, &json);
	if (!ret)
		ret = spec_bind(a, name, json, &b->spec);
	return ret ? ret : check_spec(b->spec);
}

static int describe(struct birth *b)
{
	const struct cmd_globals *g = b->c->global;
	struct state *s = &b->ct.state;
	struct build_context context = {
		.id = s->id,
		.bundle = s->bundle,
		.bundle_dir = b->bundle,
		.manager = cmd_manager(g),
		.rootless = state_rootless(b->c->arena),
		.no_pivot = b->o->no_pivot,
		.no_new_keyring = b->o->no_new_keyring,
	};
	int ret = build_sandbox(b->c->arena, b->spec, &context, &b->sb);

	if (ret)
		return ret;
	s->oci_version = b->spec->version;
	s->rootfs = b->sb.rootfs.path;
	s->created = state_now(b->c->arena);
	s->owner = getuid();
	s->userns = b->sb.ns.want[NS_USER].wanted;
	s->process = b->sb.process.args != NULL;
	s->poststart = b->sb.hooks[HOOK_POSTSTART].n != 0;
	s->poststop = b->sb.hooks[HOOK_POSTSTOP].n != 0;
	s->rdt_class = b->sb.rdt.closid;
	s->rdt_monitoring = b->sb.rdt.monitoring;
	s->annotations = json_get(b->spec->json, "annotations");
	return cgroup_locate(b->c->arena, &b->sb.cgroup, &s->cgroup);
}

static int prepare(struct birth *b, bool detach)
{
	const char *path = b->o->bundle ? b->o->bundle : ".";
	char real[PATH_MAX];
	int ret;

	b->ct.state.id = b->c->args[0];
	ret = state_check_id(b->ct.state.id);
	if (ret)
		return ret;
	b->bundle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->bundle < 0 || !realpath(path, real))
		return fail_errno("open the bundle %s", path);
	b->ct.state.bundle = arena_strdup(b->c->arena, real);
	ret = load(b);
	if (!ret)
		ret = describe(b);
	if (!ret)
		ret = process_io_check(b->sb.process.terminal, detach, b->o->console_socket);
	return ret ? ret : sandbox_seal_self(&b->sb, b->c->argv);
}

/* The place in the store, and all that is to be remembered, before anything else is made. */
static int claim(struct birth *b)
{
	struct state *s = &b->ct.state;
	int root = cmd_root(b->c, true);
	int ret = root < 0 ? root : state_claim(root, s->id, &b->ct.dir);

	if (ret)
		return ret;
	b->claimed = true;
	ret = state_create(b->c->arena, &b->ct.dir, s);
	return ret ? ret : notify_prepare(b->c->arena, &b->ct.dir, &b->sb);
}

/* While init builds the container. */
static int complete(void *arg)
{
	struct birth *b = arg;
	int ret = cgroup_limit(b->c->arena, &b->sb.cgroup, &b->ct.state.cgroup);

	return ret ? ret : state_keep_config(&b->ct.dir, b->config, b->config_len);
}

static int make(struct birth *b)
{
	struct state *s = &b->ct.state;
	struct arena *a = b->c->arena;
	const char *receiver = spec_annotation(b->spec, "run.oci.pidfd_receiver");
	int ret;

	ret = cgroup_make(a, &b->sb.cgroup, &s->cgroup, 0);
	if (ret)
		return ret;
	b->has_cgroup = true;
	state_hooks_text(a, s, &b->sb, &b->io);
	b->io.cwd = b->bundle;
	b->io.meanwhile = complete;
	b->io.meanwhile_arg = b;
	b->tried = true;
	ret = sandbox_create(a, &b->sb, &s->cgroup, &b->io, &b->task);
	cgroup_settle(&s->cgroup);
	if (ret)
		return ret;
	b->has_task = true;
	s->pid = b->task.pid;
	s->start_time = b->task.start_time;
	ret = state_write(a, &b->ct.dir, s);
	if (!ret && b->o->pidfd_socket)
		ret = process_io_send_pidfd(b->o->pidfd_socket, b->task.pidfd);
	if (!ret && receiver)
		ret = process_io_send_pidfd(receiver, b->task.pidfd);
	if (!ret && b->o->pid_file) {
		ret = process_io_write_pid(b->o->pid_file, s->pid);
		b->has_pid_file = !ret;
	}
	return ret;
}

static int listen_for_start(struct birth *b)
{
	b->io.start = fd_unix_listen(b->ct.dir.dir, STATE_START, 0600, 1);
	if (b->io.start < 0)
		return fail(-b->io.start, "listen for the start of container %s: %s",
			    b->ct.state.id, err_reason(-b->io.start));
	return 0;
}

static int birth_begin(struct birth *b, struct cmd *c, const struct create_options *o, bool detach)
{
	int ret;

	*b = (struct birth){ .c = c,
			     .o = o,
			     .bundle = -1,
			     .ct = CONTAINER_NONE,
			     .io = PROCESS_IO_SANDBOX_NONE,
			     .pio = PROCESS_IO_NONE };
	/* before any other descriptor is opened: the ones of the caller are looked at */
	ret = process_io_inherit(&b->io, o->preserve_fds);
	if (!ret)
		ret = prepare(b, detach);
	if (!ret)
		ret = process_io_console(&b->pio, &b->io, &b->sb.process, o->console_socket);
	return ret ? ret : claim(b);
}

static int run_create(struct cmd *c, const void *options)
{
	struct birth b;
	int ret = birth_begin(&b, c, options, true);

	if (!ret)
		ret = listen_for_start(&b);
	if (!ret)
		ret = make(&b);
	if (!ret) {
		/* first: init has a copy of the descriptor until it is started, and with it the
		 * lock */
		state_unlock(&b.ct.dir);
		ret = sandbox_commit(&b.task);
	}
	if (ret)
		undo(&b);
	birth_close(&b);
	return ret;
}

const struct command cmd_create = {
	.name = "create",
	.args = "ID",
	.summary = "make a container from a bundle; it waits for start",
	.opts = CMD_OPTS(create_rows),
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
	/* its hooks may call us for this very container */
	state_unlock(&b->ct.dir);
	if (!ret)
		ret = sandbox_commit(&b->task);
	if (!ret)
		ret = state_hooks_run(b->c->arena, &b->ct.state, &b->sb, HOOK_POSTSTART, b->bundle,
				      false);
	return ret;
}

/* The process has ended. Somebody else may have deleted the container in the meantime. */
static int clear_away(struct birth *b)
{
	int ret;

	b->ct.status = STATE_STOPPED;
	ret = state_lock(&b->ct.dir);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	return container_destroy(b->c, &b->ct, &b->sb);
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
		ret = make(&b);
	if (!ret) {
		f.pid = b.task.pid;
		f.pidfd = b.task.pidfd;
		f.console = b.pio.master;
		ret = launch(&b, &f);
	}
	if (ret) {
		undo(&b);
	} else if (o->detach) {
		log_release(true);
		tell_ready(f.notify, f.pidfd, f.pid);
	} else {
		log_release(true);
		ret = foreground_wait(&f);
		if (!o->keep && clear_away(&b))
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
	.opts = CMD_OPTS(run_rows),
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
