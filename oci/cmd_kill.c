/* SPDX-License-Identifier: Apache-2.0 */
/* kill, delete, pause, resume */
#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "oci/cmd.h"
#include "oci/container.h"

/* Calls act for the container id, or for each whose id matches the regular expression. */
static int for_ids(struct cmd *c, bool regex,
		   int (*act)(struct cmd *c, const char *id, const void *how), const void *how)
{
	const char *const *ids;
	int ret, root, first = 0;
	struct err kept;
	regex_t r;

	if (!regex)
		return act(c, c->args[0], how);
	if (regcomp(&r, c->args[0], REG_EXTENDED | REG_NOSUB))
		return fail(EINVAL, "\"%s\" is no regular expression", c->args[0]);
	root = cmd_root(c, false);
	ret = root < 0 ? root : state_list(c->arena, root, &ids);
	for (; !ret && *ids; ids++) {
		if (regexec(&r, *ids, 0, NULL, 0) || !act(c, *ids, how))
			continue;
		if (first)
			log_error("%s", kept.text); /* the last one is told by the caller */
		first = -err_last()->code;
		kept = *err_last();
	}
	regfree(&r);
	if (first)
		err_set(&kept);
	return ret ? ret : first;
}

struct kill_options {
	bool all, regex;
};

static const struct opt kill_rows[] = {
	{ "all", 'a', OPT_FLAG, offsetof(struct kill_options, all), NULL,
	  "send it to every process of the container; no error where none is left", NULL },
	{ "regex", 'r', OPT_FLAG, offsetof(struct kill_options, regex), NULL,
	  "ID is a regular expression: every container it matches", NULL },
};

struct kill_how {
	bool all;
	int sig;
};

static int kill_one(struct cmd *c, const char *id, const void *data)
{
	const struct kill_how *how = data;
	auto_container ct = CONTAINER_NONE;
	int ret = container_open(c, id, &ct);

	if (ret)
		return ret;
	if (!how->all || (ct.state.cgroup.n == 0 && ct.pidfd >= 0))
		return container_signal(&ct, how->sig);
	/* init may be dead: what it left behind in the cgroup is meant as well */
	return cgroup_kill(&ct.state.cgroup, how->sig);
}

static int run_kill(struct cmd *c, const void *options)
{
	const struct kill_options *o = options;
	struct kill_how how = { .all = o->all, .sig = SIGTERM };

	if (c->n_args > 1) {
		how.sig = name_signal(c->args[1]);
		if (how.sig < 0)
			return fail(EINVAL, "unknown signal \"%s\"", c->args[1]);
	}
	return for_ids(c, o->regex, kill_one, &how);
}

const struct command cmd_kill = {
	.name = "kill",
	.args = "ID [SIGNAL]",
	.summary = "send a signal to a container's first process",
	.text = "Sends a signal (a name or a number; default: TERM) to the container's first process.",
	.opts = CMD_OPTS_IN_ORDER(kill_rows),
	.size = sizeof(struct kill_options),
	.min_args = 1,
	.max_args = 2,
	.run = run_kill,
};

struct delete_options {
	bool force, regex;
};

static const struct opt delete_rows[] = {
	{ "force", 'f', OPT_FLAG, offsetof(struct delete_options, force), NULL,
	  "kill it first where it runs; no error where it does not exist", NULL },
	{ "regex", 'r', OPT_FLAG, offsetof(struct delete_options, regex), NULL,
	  "ID is a regular expression: every container it matches", NULL },
};

/* What a create left that was killed before it had written anything, or a file that is damaged. */
static int delete_remains(struct cmd *c, const char *id)
{
	auto_state_dir d = { .dir = -1 };
	int ret = state_find(cmd_root(c, false), id, &d);

	if (!ret)
		ret = state_lock(&d);
	if (!ret)
		ret = state_remove(&d);
	return ret == -ENOENT ? 0 : ret;
}

static int delete_forced(struct cmd *c, const char *id)
{
	auto_container ct = CONTAINER_NONE;
	int ret = container_open(c, id, &ct);

	if (ret == -ENOENT)
		return 0;
	if (ret == -ENODATA || ret == -EINVAL)
		return delete_remains(c, id);
	/* before the lock: a start that hangs in a hook of the container holds it */
	if (!ret)
		ret = container_end(&ct);
	if (!ret)
		ret = state_lock(&ct.dir);
	if (ret == -ENOENT)
		return 0; /* another delete was faster */
	if (!ret)
		ret = container_refresh(c, &ct);
	if (ret == -ENODATA)
		return delete_remains(c, id);
	if (!ret)
		ret = container_end(&ct);
	return ret ? ret : container_destroy(c, &ct, NULL);
}

static int delete_one(struct cmd *c, const char *id, const void *data)
{
	const struct delete_options *o = data;
	auto_container ct = CONTAINER_NONE;
	int ret;

	ret = state_check_id(id);
	if (ret)
		return ret;
	if (o->force)
		return delete_forced(c, id);
	ret = container_open(c, id, &ct);
	if (!ret)
		ret = state_lock(&ct.dir);
	if (!ret)
		ret = container_refresh(c, &ct);
	if (ret)
		return ret;
	if (ct.status != STATE_STOPPED && ct.status != STATE_CREATED)
		return fail(EBUSY, "cannot delete container %s that is not stopped: %s", id,
			    state_status_name(ct.status));
	ret = container_end(&ct);
	return ret ? ret : container_destroy(c, &ct, NULL);
}

static int run_delete(struct cmd *c, const void *options)
{
	const struct delete_options *o = options;

	return for_ids(c, o->regex, delete_one, o);
}

const struct command cmd_delete = {
	.name = "delete",
	.args = "ID",
	.summary = "remove a container that has ended, or was never started",
	.opts = CMD_OPTS(delete_rows),
	.size = sizeof(struct delete_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_delete,
};

static int freeze(struct cmd *c, bool frozen)
{
	auto_container ct = CONTAINER_NONE;
	int ret = container_open(c, c->args[0], &ct);

	if (ret)
		return ret;
	if (frozen && ct.status != STATE_RUNNING && ct.status != STATE_CREATED)
		return fail(EINVAL, "container not running");
	if (!frozen && ct.status != STATE_PAUSED)
		return fail(EINVAL, "container not paused");
	if (ct.state.cgroup.n == 0)
		return fail(ENOTSUP, "container %s has no cgroup: it can't be paused", ct.dir.id);
	return cgroup_freeze(&ct.state.cgroup, frozen);
}

static int run_pause(struct cmd *c, const void *options)
{
	(void)options;
	return freeze(c, true);
}

static int run_resume(struct cmd *c, const void *options)
{
	(void)options;
	return freeze(c, false);
}

const struct command cmd_pause = {
	.name = "pause",
	.args = "ID",
	.summary = "stop all processes of a container where they are",
	.min_args = 1,
	.max_args = 1,
	.run = run_pause,
};

const struct command cmd_resume = {
	.name = "resume",
	.args = "ID",
	.summary = "let a paused container go on",
	.min_args = 1,
	.max_args = 1,
	.run = run_resume,
};
