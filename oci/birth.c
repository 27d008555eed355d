/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "jail/rdt.h"
#include "oci/build.h"
#include "oci/check.h"
#include "oci/cmd.h"
#include "oci/cow.h"
#include "oci/json.h"
#include "oci/notify.h"
#include "oci/spec.h"
#include "oci/state_hooks.h"

void birth_close(struct birth *b)
{
	if (b->has_task)
		sandbox_release(&b->task);
	process_io_close(&b->pio, &b->io);
	container_close(&b->ct);
	fd_close(b->bundle);
}

/*
 * False where the container is somebody else's by now: once it was unlocked it may have been
 * deleted, and made again under the same id, with the same cgroup.
 */
static bool still_ours(struct birth *b)
{
	int ret = b->claimed ? state_lock(&b->ct.dir) : 0;

	if (ret && ret != -ENOENT)
		log_warning("%s", err_last()->text);
	return ret == 0;
}

void birth_undo(struct birth *b)
{
	struct err kept = *err_last();

	if (b->has_task)
		sandbox_abort(&b->task);
	b->has_task = false;
	if (!still_ours(b)) {
		err_set(&kept);
		return;
	}
	if (b->has_pid_file)
		unlink(b->o->pid_file);
	if (b->has_cgroup && cgroup_destroy(b->c->arena, &b->ct.state.cgroup))
		log_debug("%s", err_last()->text);
	if (b->tried && b->ct.state.rdt_class && rdt_leave(&b->sb.rdt, b->ct.state.id))
		log_debug("%s", err_last()->text);
	if (b->claimed)
		cow_undo(&b->sb);
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

/* What the caller gives as standard descriptors: a checkpoint tells them from the container's
 * own. */
static void note_stdio(struct state *s)
{
	struct stat st;

	for (int i = 0; i < 3; i++)
		if (fstat(i, &st) == 0)
			s->stdio[i] = (struct state_file){ st.st_dev, st.st_ino };
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
	if (!b->sb.process.terminal)
		note_stdio(s);
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
	if (!ret)
		ret = cow_prepare(b->c->arena, &b->ct.dir, &b->sb);
	return ret ? ret : notify_prepare(b->c->arena, &b->ct.dir, &b->sb);
}

/* While init builds the container. What is prepared here counts once that is done. */
static int complete(void *arg, pid_t pid, uint64_t start_time)
{
	struct birth *b = arg;
	struct state *s = &b->ct.state;
	int ret = cgroup_limit(b->c->arena, &b->sb.cgroup, &s->cgroup);

	s->pid = pid;
	s->start_time = start_time;
	if (!ret)
		ret = state_keep_config(&b->ct.dir, b->config, b->config_len);
	if (!ret)
		ret = state_prepare(b->c->arena, &b->ct.dir, s);
	return ret || !b->meanwhile ? ret : b->meanwhile(b->meanwhile_arg);
}

static int listen_for_supervisor(struct birth *b)
{
	if (!super_wanted(&b->sb.super) && !b->sb.layers.n)
		return 0;
	b->io.supervisor = fd_unix_listen(b->ct.dir.dir, STATE_SUPER, 0600, 16);
	if (b->io.supervisor < 0)
		return fail(-b->io.supervisor,
			    "listen for requests to the supervisor of "
			    "container %s: %s",
			    b->ct.state.id, err_reason(-b->io.supervisor));
	return 0;
}

/* The state that was prepared counts now, or one that tells more. */
static int record(struct birth *b)
{
	if (!b->sb.layers.n)
		return state_commit(&b->ct.dir);
	cow_note(b->c->arena, &b->sb, &b->task.layers, &b->ct.state);
	return state_write(b->c->arena, &b->ct.dir, &b->ct.state);
}

int birth_make(struct birth *b)
{
	struct state *s = &b->ct.state;
	struct arena *a = b->c->arena;
	const char *receiver = spec_annotation(b->spec, "run.oci.pidfd_receiver");
	int ret;

	ret = listen_for_supervisor(b);
	if (!ret)
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
	ret = record(b);
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

int birth_begin(struct birth *b, struct cmd *c, const struct create_options *o, bool detach)
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

int birth_end(struct birth *b)
{
	int ret;

	/* somebody else may have deleted it in the meantime */
	b->ct.status = STATE_STOPPED;
	ret = state_lock(&b->ct.dir);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	return container_destroy(b->c, &b->ct, &b->sb);
}
