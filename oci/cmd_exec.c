/* SPDX-License-Identifier: Apache-2.0 */
/* exec */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/build.h"
#include "oci/check.h"
#include "oci/cmd.h"
#include "oci/container.h"
#include "oci/cow.h"
#include "oci/foreground.h"
#include "oci/process_io.h"
#include "oci/spec.h"
#include "oci/state_hooks.h"
#include "sandbox.h"

#define EXEC_FAILED 255 /* what callers take for "the command did not even run" */

struct exec_options {
	const char *process, *pid_file, *console_socket, *pidfd_socket, *cwd, *user, *label;
	const char *apparmor;
	struct opt_list env, caps, groups, cgroups;
	int preserve_fds;
	bool detach, tty, no_new_privs, ignore_paused;
};

#define AT(member) offsetof(struct exec_options, member)

static const struct opt exec_rows[] = {
	{ "process", 'p', OPT_TEXT, AT(process), "FILE",
	  "the process as JSON, instead of a command and the flags for it", NULL },
	{ "detach", 'd', OPT_FLAG, AT(detach), NULL, "return when the process runs", NULL },
	{ "tty", 't', OPT_FLAG, AT(tty), NULL, "give it a terminal", NULL },
	{ "cwd", 0, OPT_TEXT, AT(cwd), "DIR", "its working directory", NULL },
	{ "env", 'e', OPT_LIST, AT(env), "NAME=VALUE", "a variable more (repeatable)", NULL },
	{ "user", 'u', OPT_TEXT, AT(user), "UID[:GID]", "its user and group, as numbers", NULL },
	{ "additional-gids", 'g', OPT_LIST, AT(groups), "GID", "a group more (repeatable)", NULL },
	{ "cap", 'c', OPT_LIST, AT(caps), "CAP", "a capability more (repeatable)", NULL },
	{ "no-new-privs", 0, OPT_FLAG, AT(no_new_privs), NULL,
	  "it can't gain privileges by execve(2)", NULL },
	{ "apparmor", 0, OPT_TEXT, AT(apparmor), "PROFILE", "its AppArmor profile", NULL },
	{ "process-label", 0, OPT_TEXT, AT(label), "LABEL", "its SELinux label", NULL },
	{ "cgroup", 0, OPT_LIST, AT(cgroups), "[CTRL,...:]PATH",
	  "a cgroup below the container's, of these version 1 controllers only (repeatable)",
	  NULL },
	{ "ignore-paused", 0, OPT_FLAG, AT(ignore_paused), NULL,
	  "also in a paused container, where it waits for resume", NULL },
	{ "pid-file", 0, OPT_TEXT, AT(pid_file), "FILE", "write its pid to FILE", NULL },
	{ "console-socket", 0, OPT_TEXT, AT(console_socket), "PATH",
	  "send the master of its terminal to this socket", NULL },
	{ "pidfd-socket", 0, OPT_TEXT, AT(pidfd_socket), "PATH",
	  "send a pidfd of it to this socket", NULL },
	{ "preserve-fds", 0, OPT_COUNT, AT(preserve_fds), "N",
	  "pass N descriptors from 3 on (behind those of LISTEN_FDS)", NULL },
	{ "no-subreaper", 0, OPT_SKIP_FLAG, 0, NULL, NULL, NULL },
};

static int parse_id(const char *what, const char *text, uint32_t *out)
{
	uint64_t v;

	if (num_u64(text, 0, UINT32_MAX - 1, &v))
		return fail(EINVAL, "%s \"%s\": not a number of a user or group", what, text);
	*out = (uint32_t)v;
	return 0;
}

/* UID[:GID], both whole numbers: what looks like one and goes on is an error, not a user. */
static int set_user(struct arena *a, const char *text, struct spec_process *p)
{
	size_t n = strcspn(text, ":");
	int ret = parse_id("--user", arena_strndup(a, text, n), &p->user.uid);

	if (!ret && text[n])
		ret = parse_id("--user, the group", text + n + 1, &p->user.gid);
	return ret;
}

static int add_groups(struct arena *a, const struct opt_list *list, struct spec_process *p)
{
	size_t n = p->user.n_groups;
	uint32_t *groups = arena_array(a, n + list->n, sizeof(*groups));
	int ret = 0;

	if (n)
		memcpy(groups, p->user.groups, n * sizeof(*groups));
	for (size_t i = 0; !ret && i < list->n; i++)
		ret = parse_id("--additional-gids", list->v[i], &groups[n + i]);
	p->user.groups = groups;
	p->user.n_groups = n + list->n;
	return ret;
}

static const char **join(struct arena *a, const char **old, const struct opt_list *more)
{
	size_t n = 0;
	const char **all;

	while (old && old[n])
		n++;
	all = arena_array(a, n + more->n + 1, sizeof(*all));
	if (n)
		memcpy(all, old, n * sizeof(*all));
	if (more->n)
		memcpy(all + n, more->v, more->n * sizeof(*all));
	return all;
}

/* Never inheritable: files with capabilities would give them to any user. CVE-2022-29162 */
static void add_caps(struct arena *a, const struct opt_list *list, struct spec_process *p)
{
	struct spec_caps *caps = arena_alloc(a, sizeof(*caps));

	if (p->caps)
		*caps = *p->caps;
	caps->bounding = join(a, caps->bounding, list);
	caps->permitted = join(a, caps->permitted, list);
	caps->effective = join(a, caps->effective, list);
	p->caps = caps;
}

/* The container's own process with another command, and what the flags change. */
static int process_of_flags(struct cmd *c, const struct exec_options *o, const struct spec *spec,
			    const struct spec_process **out)
{
	struct spec_process *p = arena_alloc(c->arena, sizeof(*p));
	int ret = 0;

	if (!spec->process)
		return fail(EINVAL, "the container has no process to take after: use --process");
	if (c->n_args < 2)
		return fail(EINVAL, "exec needs a command: thole exec [options] ID COMMAND...");
	*p = *spec->process;
	p->args = (const char **)(c->args + 1);
	p->terminal = o->tty;
	p->env = join(c->arena, p->env, &o->env);
	if (o->cwd)
		p->cwd = o->cwd;
	if (o->user)
		ret = set_user(c->arena, o->user, p);
	if (!ret && o->groups.n)
		ret = add_groups(c->arena, &o->groups, p);
	if (o->caps.n)
		add_caps(c->arena, &o->caps, p);
	if (o->no_new_privs)
		p->no_new_privs = true;
	if (o->apparmor)
		p->apparmor = o->apparmor;
	if (o->label)
		p->selinux = o->label;
	*out = p;
	return ret;
}

static int process_of_file(struct cmd *c, const struct exec_options *o,
			   const struct spec_process **out)
{
	if (c->n_args > 1)
		return fail(EINVAL, "exec takes --process or a command, not both: \"%s\"",
			    c->args[1]);
	if (strcmp(o->process, "-") == 0)
		return spec_load_process(c->arena, AT_FDCWD, "/proc/self/fd/0", out);
	return spec_load_process(c->arena, AT_FDCWD, o->process, out);
}

static int check_status(const struct container *ct, const struct exec_options *o)
{
	if (ct->status == STATE_STOPPED)
		return fail(EINVAL, "cannot exec in a stopped container");
	if (ct->status == STATE_CREATING || ct->pidfd < 0)
		return fail(EINVAL, "cannot exec in a container that is being created");
	if (ct->status == STATE_PAUSED && !o->ignore_paused)
		return fail(EINVAL,
			    "cannot exec in a paused container (use --ignore-paused to override)");
	return 0;
}

static bool has_parent(const char *path)
{
	for (const char *p = path; *p; p += strcspn(p, "/"), p += strspn(p, "/"))
		if (strcspn(p, "/") == 2 && p[0] == '.' && p[1] == '.')
			return true;
	return false;
}

/* Is one of the words of list among those of controllers? Both are separated by commas. */
static bool share_controller(const char *list, size_t len, const char *controllers)
{
	size_t n, m;

	for (const char *p = list; p < list + len; p += n + 1) {
		n = strcspn(p, ",:");
		for (const char *q = controllers; *q; q += m + (q[m] == ',')) {
			m = strcspn(q, ",");
			if (n == m && memcmp(p, q, n) == 0)
				return true;
		}
	}
	return false;
}

/* PATH below the container's cgroup in every hierarchy, or CONTROLLER,...:PATH in those that have
 * one of the controllers. */
static int go_below(struct arena *a, const char *text, struct cgroup *cg)
{
	const char *colon = strchr(text, ':');
	const char *path = colon ? colon + 1 : text;
	bool found = false;

	path += strspn(path, "/");
	if (has_parent(path))
		return fail(EINVAL, "--cgroup %s: \"..\" is not allowed", text);
	for (size_t i = 0; i < cg->n; i++) {
		if (colon &&
		    !share_controller(text, (size_t)(colon - text), cg->dirs[i].controllers))
			continue;
		found = true;
		if (*path)
			cg->dirs[i].path = arena_printf(a, "%s/%s", cg->dirs[i].path, path);
	}
	return found ? 0
		     : fail(EINVAL, "--cgroup %s: the container has no cgroup of %s", text,
			    colon ? "these controllers" : "its own");
}

static int find_cgroup(struct arena *a, const struct opt_list *list, struct cgroup *cg)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < list->n; i++)
		ret = go_below(a, list->v[i], cg);
	return ret;
}

/* The container as it was described, with the process that is to run in it. */
static int describe(struct cmd *c, const struct exec_options *o, const struct container *ct,
		    struct sandbox *out)
{
	struct build_context context = {
		.id = ct->state.id,
		.bundle = ct->state.bundle,
		.bundle_dir = -1,
		.manager = ct->state.cgroup.manager,
		.rootless = state_rootless(c->arena),
	};
	const struct spec_process *process;
	const struct spec *spec;
	int ret = container_config(c, ct, &spec);

	if (!ret)
		ret = o->process ? process_of_file(c, o, &process)
				 : process_of_flags(c, o, spec, &process);
	if (!ret)
		ret = check_process(spec, process);
	if (ret)
		return ret;
	ret = build_sandbox(c->arena, spec, &context, out);
	if (ret)
		return ret;
	cow_recall(&ct->state, out);
	return build_process(c->arena, spec, process, &out->process);
}

struct exec {
	struct cmd *c;
	const struct exec_options *o;
	struct container ct;
	struct sandbox sb;
	struct sandbox_io io;
	struct process_io pio;
	struct sandbox_task task;
	struct cgroup cgroup;
	bool has_task;
};

static int prepare(struct exec *e)
{
	const struct exec_options *o = e->o;
	int ret = process_io_inherit(&e->io, o->preserve_fds);

	if (!ret)
		ret = container_open(e->c, e->c->args[0], &e->ct);
	e->cgroup = e->ct.state.cgroup;
	if (!ret)
		ret = find_cgroup(e->c->arena, &o->cgroups, &e->cgroup);
	if (!ret)
		ret = check_status(&e->ct, o);
	if (!ret)
		ret = describe(e->c, o, &e->ct, &e->sb);
	if (!ret)
		ret = process_io_check(e->sb.process.terminal, o->detach, o->console_socket);
	if (!ret)
		ret = sandbox_seal_self(&e->sb, e->c->argv);
	if (!ret)
		ret = process_io_console(&e->pio, &e->io, &e->sb.process, o->console_socket);
	if (ret)
		return ret;
	e->io.tied = !o->detach;
	state_hooks_exec_text(e->c->arena, &e->ct.state, &e->sb, &e->io);
	return 0;
}

static int find_supervisor(struct exec *e)
{
	int fd;

	if (!super_wanted(&e->sb.super) && !e->sb.layers.notified)
		return 0;
	fd = container_supervisor(&e->ct);
	if (fd >= 0)
		e->io.supervisor = fd;
	return fd < 0 ? fd : 0;
}

/* The pid file comes last: callers take its presence for success. */
static int launch(struct exec *e, struct foreground *f)
{
	const struct state *s = &e->ct.state;
	struct sandbox_join join = {
		.pid = s->pid,
		.pidfd = e->ct.pidfd,
		.userns = s->userns,
		.cgroup = &e->cgroup,
		.exact = e->o->cgroups.n != 0,
	};
	int ret = find_supervisor(e);

	if (!ret)
		ret = sandbox_exec(e->c->arena, &e->sb, &join, &e->io, &e->task);
	if (ret)
		return ret;
	e->has_task = true;
	f->pid = e->task.pid;
	f->pidfd = e->task.pidfd;
	f->console = e->pio.master;
	if (!e->o->detach)
		ret = foreground_begin(f, false);
	if (!ret && e->o->pidfd_socket)
		ret = process_io_send_pidfd(e->o->pidfd_socket, e->task.pidfd);
	if (!ret)
		ret = sandbox_commit(&e->task);
	if (!ret && e->o->pid_file)
		ret = process_io_write_pid(e->o->pid_file, e->task.pid);
	return ret;
}

static void end(struct exec *e, bool failed)
{
	struct err kept = *err_last();

	if (e->has_task && failed)
		sandbox_abort(&e->task);
	else if (e->has_task)
		sandbox_release(&e->task);
	process_io_close(&e->pio, &e->io);
	container_close(&e->ct);
	err_set(&kept);
}

static int run_exec(struct cmd *c, const void *options)
{
	struct exec e = { .c = c,
			  .o = options,
			  .ct = CONTAINER_NONE,
			  .io = PROCESS_IO_SANDBOX_NONE,
			  .pio = PROCESS_IO_NONE };
	struct foreground f = { .signals = -1, .console = -1, .notify = -1 };
	int ret = prepare(&e);

	if (!ret)
		ret = launch(&e, &f);
	if (!ret)
		log_release(true);
	if (!ret && !e.o->detach)
		ret = foreground_wait(&f);
	end(&e, ret < 0);
	return ret;
}

const struct command cmd_exec = {
	.name = "exec",
	.args = "ID [COMMAND...]",
	.summary = "run one more process in a container",
	.text = "Runs one more process in a container, with the environment, user and rights of the "
		"container's own unless flags or a file say otherwise. In the foreground its exit "
		"status becomes that of this command (128 + N where signal N ended it, 255 where it "
		"did not run).",
	.opts = CMD_OPTS_IN_ORDER(exec_rows),
	.size = sizeof(struct exec_options),
	.min_args = 1,
	.max_args = CMD_ANY_ARGS,
	.failure = EXEC_FAILED,
	.run = run_exec,
};
