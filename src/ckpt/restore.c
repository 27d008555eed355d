/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a container is restored.
 *
 * What comes from the new configuration (namespaces, mounts, cgroup, terminal, Landlock) is made
 * first, as any other container's, and its init waits; the image is read and checked meanwhile, all
 * but its pages, by who would only wait as well. Everything else is from the image, and is made
 * by the fresh tasks themselves, stopped and with all signals blocked, one system call after the
 * other (kind.h has the phases). Should anything fail, or thole be killed, the tree dies with it:
 * PTRACE_O_EXITKILL. Nothing runs before ckpt_resume().
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/engine.h"
#include "ckpt/ids.h"
#include "ckpt/memory.h"
#include "ckpt/proxy.h"
#include "ckpt/shown.h"
#include "jail/ns.h"
#include "jail/plan.h"
#include "sandbox.h"
#include "task/trace.h"

static int open_image(struct ckpt *c)
{
	int ret = image_open(c->arena, c->options->image_path, c->options->parent, c->codec,
			     &c->image);

	if (!ret && image_meta(c->image)->pre_dump)
		ret = fail(EINVAL,
			   "the image %s was made by --pre-dump: it has memory alone, for a "
			   "checkpoint to build on",
			   c->options->image_path);
	if (!ret)
		c->progress.total = image_size(c->image);
	return ret;
}

static int prepare(struct ckpt *c)
{
	const struct ns_plan *ns = &c->sb->ns;
	int ret;

	if (!ns_new(ns, NS_PID) || !ns->want[NS_MOUNT].wanted)
		return fail(
			EINVAL,
			"linux.namespaces: only a container with a pid namespace of its own, and "
			"with a mount namespace, can be restored");
	ret = tree_plan(c);

	return ret ? ret : ckpt_each(c, CALL_PREPARE);
}

static int take_over(struct ckpt *c)
{
	int ret = ids_enter(c, c->task->pid);

	if (ret)
		return ret;
	stay_begin(&c->stay);
	memory_digest_begin(c);
	return tree_take_over(c);
}

static int root_phase(struct ckpt *c)
{
	return ckpt_rebuild(c, PHASE_ROOT);
}

static int share(struct ckpt *c)
{
	int ret = ckpt_rebuild(c, PHASE_SHARED);

	if (!ret)
		ret = files_make(c, false);
	return ret ? ret : proxies_end(c);
}

static int fork_tree(struct ckpt *c)
{
	uint64_t before = ckpt_now();
	int ret = tree_fork(c);

	c->stats.forking = ckpt_now() - before;
	return ret;
}

static int files_phase(struct ckpt *c)
{
	int ret = files_make(c, true);

	if (!ret)
		ret = files_install(c);
	return ret ? ret : ckpt_rebuild(c, PHASE_FILES);
}

static int memory_phase(struct ckpt *c)
{
	return ckpt_rebuild(c, PHASE_MEMORY);
}

static int mm_phase(struct ckpt *c)
{
	int ret = ckpt_rebuild(c, PHASE_MM);

	/* none has the socket any more */
	c->park = UINT32_MAX;
	return ret;
}

static int threads_phase(struct ckpt *c)
{
	int ret = tree_threads(c);

	if (!ret)
		ret = tree_bury(c);
	return ret ? ret : ckpt_rebuild(c, PHASE_THREADS);
}

static int signals_phase(struct ckpt *c)
{
	return ckpt_rebuild(c, PHASE_SIGNALS);
}

static int rights_phase(struct ckpt *c)
{
	return ckpt_rebuild(c, PHASE_RIGHTS);
}

static int confine_phase(struct ckpt *c)
{
	return ckpt_rebuild(c, PHASE_CONFINE);
}

/* The pages errands ran from are given back, while errands can still be run. */
static int unsettle(struct ckpt *c)
{
	int ret = 0;

	for (size_t i = 0; i < c->n_procs && !ret; i++)
		if (!c->procs[i]->zombie)
			ret = trace_unsettle(c->procs[i]->trace, memory_vdso_at(c->procs[i]));
	return ret;
}

static int cpu_phase(struct ckpt *c)
{
	return ckpt_rebuild(c, PHASE_CPU);
}

/* While there is nothing else to do. */
static int digest_few(struct ckpt *c)
{
	memory_digest_few(c);
	return 0;
}

/* What needs no container. */
static const struct ckpt_step before[] = {
	{ "open the image", open_image },
	{ "read the records", sections_read },
	{ "prepare", prepare },
	{ "take digests of pages", digest_few },
};

static const struct ckpt_step steps[] = {
	{ "take the first process over", take_over },
	{ "ask the supervisor for its directories", shown_ask },
	{ "prepare its descriptors", files_begin },
	{ "restore what the container is", root_phase },
	{ "open files", share },
	{ "fork the tree", fork_tree },
	{ "place descriptors", files_phase },
	{ "restore memory", memory_phase },
	{ "restore what hangs on memory", mm_phase },
	{ "make threads", threads_phase },
	{ "restore signals and timers", signals_phase },
	{ "restore rights", rights_phase },
	{ "confine", confine_phase },
	{ "clear away", unsettle },
	{ "restore registers", cpu_phase },
};

/*
 * Kills and reaps all but init, which is the caller's. Its end waits for theirs, and theirs, as
 * they are traced, for us to listen; some may have been cloned without our knowing yet.
 */
static void destroy(struct ckpt *c)
{
	struct err kept = *err_last();
	siginfo_t info;
	int status;

	kill(c->task->pid, SIGKILL);
	for (size_t i = 0; i < c->n_procs; i++)
		if (c->procs[i]->host > 0)
			kill(c->procs[i]->host, SIGKILL);
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | __WALL) < 0 && errno != EINTR)
			break;
		if (info.si_pid == c->task->pid)
			break;
		if (info.si_pid > 0)
			waitpid(info.si_pid, &status, __WALL);
	}
	err_set(&kept);
}

int ckpt_look_over(struct arena *a, struct image *im, const struct record_codec *codec)
{
	static const struct ckpt_options options = { .log = -1 };
	struct ckpt c = { .arena = a, .codec = codec, .options = &options, .image = im };
	int ret = sections_read(&c);

	if (!ret)
		ret = tree_plan(&c);
	for (size_t i = 0; i < c.n_procs && !ret; i++)
		if (!c.procs[i]->zombie)
			ret = memory_read(&(struct ckpt_unit){ .c = &c, .p = c.procs[i] });
	return ret;
}

int ckpt_restore_begin(struct arena *a, const struct sandbox *sb, const struct sandbox_task *task,
		       const struct ckpt_options *o, const struct record_codec *codec,
		       struct ckpt **out)
{
	/* lint: parameters: the container, how, in which format, and the result */
	struct ckpt *c = arena_alloc(a, sizeof(*c));
	int ret;

	*c = (struct ckpt){
		.arena = a,
		.codec = codec,
		.options = o,
		.sb = sb,
		.task = task,
		.began = ckpt_now(),
		.pass = -1,
		.stdio = { -1, -1, -1 },
	};
	ret = ckpt_run(c, before, NAME_COUNT(before));
	c->stats.restoring = ckpt_now() - c->began;
	if (ret) {
		memory_digest_end(c);
		image_close(c->image);
	} else {
		*out = c;
	}
	return ret;
}

int ckpt_restore(struct ckpt *c, const struct sandbox_task *task, struct ckpt_stats *out_stats)
{
	uint64_t began = ckpt_now();
	int ret;

	c->task = task;
	ret = ckpt_run(c, steps, NAME_COUNT(steps));
	stay_end(&c->stay);
	files_end(c);
	shown_end(c);
	memory_digest_end(c);
	image_close(c->image);
	c->stats.restoring += ckpt_now() - began;
	if (ret)
		destroy(c);
	else
		*out_stats = c->stats;
	return ret;
}

int ckpt_resume(struct ckpt *c)
{
	struct ckpt_proc *p;
	int ret = 0;

	for (size_t i = c->n_procs; i > 0 && !ret; i--) {
		p = c->procs[i - 1];
		if (p->stopped)
			kill(p->host, SIGSTOP);
		if (!p->zombie)
			ret = trace_detach(p->trace);
	}
	return ret ? ret : ckpt_each(c, CALL_FINISH);
}
