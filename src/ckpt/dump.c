/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a container is saved.
 *
 * The steps are a table; what comes before "stop the processes" may take its time. From there on
 * until they go on (or end) is the pause that the container sees, so only what needs them stopped
 * stands in between. Whatever fails, and wherever thole is killed: the tasks go on by themselves
 * (task/trace.h), and the image has not got its name yet. They are only ended once it has.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/ahead.h"
#include "ckpt/alike.h"
#include "ckpt/engine.h"
#include "ckpt/ids.h"
#include "ckpt/look.h"
#include "ckpt/memory.h"
#include "ckpt/shown.h"
#include "ckpt/sockets.h"
#include "jail/ns.h"
#include "jail/plan.h"

/* A container that runs may be looked at in the middle of something. */
#define LOOKS 6
#define LOOK_AGAIN_US 1000
#define STOPS 40
#define STOP_AGAIN_US 10000
#define PATIENCE_US 2000

/* What the pause and the image need of the container as a whole. */
static int check_container(struct ckpt *c)
{
	const struct sandbox *sb = c->subject->sb;

	if (!ns_new(&sb->ns, NS_PID))
		ckpt_problem(
			c, NULL, -1, "linux.namespaces",
			"without a pid namespace of its own its processes can't get their numbers back");
	if (!sb->ns.want[NS_MOUNT].wanted)
		ckpt_problem(c, NULL, -1, "linux.namespaces",
			     "without a mount namespace of its own its root can't be made again");
	if (!sb->process.args)
		ckpt_problem(c, NULL, -1, "process", "the container has no process");
	return 0;
}

/* By its pid namespace: without one of its own there is nobody to be looked at. Whoever was found
 * before is forgotten. */
static int find(struct ckpt *c)
{
	int ret;

	c->procs = NULL;
	c->files = NULL;
	c->n_procs = c->procs_room = c->n_files = c->files_room = 0;
	look_anew(c);
	if (!ns_new(&c->subject->sb->ns, NS_PID))
		return 0;
	ret = ids_enter(c, c->subject->init);
	return ret ? ret : tree_find(c);
}

static int check_once(struct ckpt *c)
{
	int ret = check_container(c);

	if (ret || !c->n_procs)
		return ret;
	alike_begin(c, false);
	ahead_begin(c, false);
	ret = files_check(c);
	if (!ret)
		ret = ckpt_each(c, CALL_CHECK);
	ahead_end(c);
	alike_end(c);
	return ret;
}

static bool is_listed(const struct ckpt_problems *list, const struct ckpt_problem *p)
{
	const struct ckpt_problem *o;

	for (size_t i = 0; i < list->n; i++) {
		o = &list->v[i];
		if (o->host == p->host && o->fd == p->fd && strcmp(o->what, p->what) == 0 &&
		    strcmp(o->why, p->why) == 0)
			return true;
	}
	return false;
}

/* Keeps what was a problem before as well, if that look came to its end. */
static int look_again(struct ckpt *c, bool whole)
{
	struct ckpt_problems before = *c->problems, *now = c->problems;
	size_t n = 0;
	int ret;

	*now = (struct ckpt_problems){ 0 };
	ret = find(c);
	if (!ret)
		ret = check_once(c);
	for (size_t i = 0; i < now->n; i++)
		if (!whole || is_listed(&before, &now->v[i]))
			now->v[n++] = now->v[i];
	now->n = n;
	return ret;
}

/* A process that ends, a pipe whose other end is just being inherited: what is no problem the next
 * time was none. */
static int check(struct ckpt *c)
{
	int ret = check_once(c);

	for (unsigned i = 1; i < LOOKS && (ret == -ESRCH || (!ret && c->problems->n)); i++) {
		usleep(LOOK_AGAIN_US << i);
		ret = look_again(c, ret == 0);
	}
	return ret;
}

/* The first reason as the error's text; the caller has the whole list. */
static int refuse(struct ckpt *c)
{
	const struct ckpt_problem *p = c->problems->v;
	char who[64] = "";

	for (size_t i = 0; i < c->problems->n; i++)
		ckpt_log(c, "can't be saved: process %d, descriptor %d: %s: %s", p[i].pid, p[i].fd,
			 p[i].what, p[i].why);
	if (!c->problems->n)
		return 0;
	if (p->pid && p->fd >= 0)
		snprintf(who, sizeof(who), "process %d, descriptor %d: ", p->pid, p->fd);
	else if (p->pid)
		snprintf(who, sizeof(who), "process %d: ", p->pid);
	if (c->problems->n == 1)
		return fail(ENOTSUP, "container %s can't be checkpointed: %s%s: %s", c->subject->id,
			    who, p->what, p->why);
	return fail(ENOTSUP,
		    "container %s can't be checkpointed: %s%s: %s (and %zu more: thole checkpoint "
		    "--check %s)",
		    c->subject->id, who, p->what, p->why, c->problems->n - 1, c->subject->id);
}

static int begin_image(struct ckpt *c)
{
	return image_create(c->arena, c->options->image_path, c->codec, &c->writer);
}

/* Before the pause: its pages are verified, and with that in memory. */
static int find_parent_pages(struct ckpt *c)
{
	int ret = 0;

	for (size_t i = 0; c->parent && i < c->n_procs && !ret; i++)
		if (!c->procs[i]->zombie)
			ret = memory_find_parent(c, c->procs[i]);
	return ret;
}

static int build_on(struct ckpt *c)
{
	int ret;

	if (!c->options->parent) /* or most pages will be that one's */
		return memory_expect(c);
	ret = image_build_on(c->writer, c->options->parent, &c->parent);
	return ret ? ret : find_parent_pages(c);
}

static int freeze(struct ckpt *c)
{
	uint64_t before = ckpt_now();
	int ret;

	c->stats.frozen = before;
	stay_begin(&c->stay);
	image_keep_apart(c->writer);
	ret = tree_freeze(c);
	c->stats.freezing = ckpt_now() - before;
	look_anew(c);
	return ret ? ret : sections_alloc(c);
}

static int collect_once(struct ckpt *c)
{
	int ret;

	alike_begin(c, true);
	ahead_begin(c, true);
	ret = ckpt_each(c, CALL_COLLECT);
	if (!ret)
		ret = files_collect(c);
	if (!ret)
		ret = ckpt_each(c, CALL_AGAIN);
	ahead_end(c);
	alike_end(c);
	if (!ret && refuse(c))
		ret = -EAGAIN; /* or it will be found before the next pause */
	return ret ? ret : inet_check_ends(c);
}

/* They were stopped at a bad moment: another one, and another image. */
static int stop_again(struct ckpt *c)
{
	int ret;

	ckpt_log(c, "they go on for a moment: %s", err_last()->text);
	c->patience += PATIENCE_US;
	ret = tree_release(c);
	stay_end(&c->stay);
	image_close(c->parent);
	c->parent = NULL;
	image_abandon(c->writer);
	c->writer = NULL;
	*c->problems = (struct ckpt_problems){ 0 };
	c->again = true;
	usleep(STOP_AGAIN_US);
	if (!ret)
		ret = find(c);
	if (!ret)
		ret = check(c);
	if (!ret)
		ret = refuse(c);
	if (!ret)
		ret = begin_image(c);
	if (!ret)
		ret = build_on(c);
	if (!ret)
		ret = freeze(c);
	return ret ? ret : collect_once(c);
}

static int collect(struct ckpt *c)
{
	int ret = collect_once(c);

	for (unsigned i = 1; i < STOPS && ret == -EAGAIN && !c->subject->paused; i++)
		ret = stop_again(c);
	return ret;
}

static void log_pages(struct ckpt *c)
{
	const struct ckpt_stats *s = &c->stats;

	if (c->parent)
		ckpt_log(c,
			 "of %llu pages, compared with those of the image to build on, %llu are as "
			 "they were; %llu were saved",
			 (unsigned long long)s->pages_scanned, (unsigned long long)s->pages_skipped,
			 (unsigned long long)s->pages_written);
	else
		ckpt_log(c, "of %llu pages %llu were saved", (unsigned long long)s->pages_scanned,
			 (unsigned long long)s->pages_written);
}

/* Memory of a container that runs on. Who has ended meanwhile has none. */
static int save_running(struct ckpt *c)
{
	uint64_t before = ckpt_now();
	int ret = 0;

	for (size_t i = 0; i < c->n_procs && !ret; i++) {
		if (!c->procs[i]->zombie)
			ret = memory_pre_dump(c, c->procs[i]);
		if (ret == -ESRCH)
			ret = 0;
	}
	c->stats.memory = ckpt_now() - before;
	log_pages(c);
	return ret;
}

static int save(struct ckpt *c)
{
	uint64_t before = ckpt_now();
	int ret;

	image_keep_apart(c->writer);
	ret = ckpt_each(c, CALL_SAVE);
	stay_end(&c->stay);
	c->stats.memory = ckpt_now() - before;
	log_pages(c);
	return ret;
}

static void pause_ends(struct ckpt *c)
{
	c->stats.frozen = ckpt_now() - c->stats.frozen;
}

static int go_on(struct ckpt *c)
{
	int ret;

	if (!c->options->leave_running)
		return 0;
	stay_begin(&c->stay);
	ret = tree_release(c);
	pause_ends(c);
	stay_end(&c->stay);
	return ret;
}

static int write_records(struct ckpt *c)
{
	int ret = sections_write(c);

	return ret ? ret
		   : image_put(c->writer, IMAGE_CONFIG, c->subject->config, c->subject->config_len);
}

static int commit(struct ckpt *c)
{
	uint64_t before = ckpt_now();
	struct utsname uts;
	struct image_meta meta = { .version = IMAGE_VERSION, .id = c->subject->id };
	uint64_t *pids = arena_array(c->arena, c->n_procs, sizeof(*pids));
	char created[64];
	struct str s = STR_ON(created);
	struct timespec now;
	int ret;

	uname(&uts);
	clock_gettime(CLOCK_REALTIME, &now);
	str_add_time(&s, &now, 9);
	for (size_t i = 0; i < c->n_procs; i++)
		pids[i] = (uint64_t)c->procs[i]->pid;
	meta.created = created;
	meta.runtime = "thole";
	meta.kernel = uts.release;
	meta.machine = uts.machine;
	meta.page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	meta.pids = pids;
	meta.n_pids = c->n_procs;
	meta.pre_dump = c->pre_dump;
	ret = image_commit(c->writer, &meta);
	c->no_way_back = !ret;
	c->stats.writing = ckpt_now() - before;
	return ret;
}

static int end(struct ckpt *c)
{
	int ret;

	if (c->options->leave_running)
		return 0;
	ret = tree_kill(c);
	pause_ends(c);
	return ret ? fail_in(ret, "the image %s is complete, but", c->options->image_path) : 0;
}

static const struct ckpt_step check_steps[] = {
	{ "ask the supervisor for its directories", shown_ask },
	{ "find the processes", find },
	{ "check what can't be saved", check },
};

static const struct ckpt_step dump_steps[] = {
	{ "ask the supervisor for its directories", shown_ask },
	{ "find the processes", find },
	{ "check what can't be saved", check },
	{ "refuse it", refuse },
	{ "begin the image", begin_image },
	{ "open the image to build on", build_on },
	{ "stop the processes", freeze },
	{ "collect what they are", collect },
	{ "save memory", save },
	{ "let them go on", go_on },
	{ "write the records", write_records },
	{ "give the image its name", commit },
	{ "end the processes", end },
};

static const struct ckpt_step pre_dump_steps[] = {
	{ "find the processes", find },
	{ "begin the image", begin_image },
	{ "open the image to build on", build_on },
	{ "save memory", save_running },
	{ "give the image its name", commit },
};

int ckpt_check(struct arena *a, const struct ckpt_subject *s, const struct ckpt_options *o,
	       const struct record_codec *codec, struct ckpt_problems *out)
{
	struct ckpt c = {
		.arena = a,
		.codec = codec,
		.options = o,
		.subject = s,
		.problems = out,
		.only_check = true,
		.began = ckpt_now(),
	};

	int ret = ckpt_run(&c, check_steps, NAME_COUNT(check_steps));

	ahead_free(&c);
	shown_end(&c);
	return ret;
}

/* Whatever else failed is a consequence then. */
static bool has_ended(const struct ckpt_subject *s)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static int run(struct ckpt *c, const struct ckpt_step *steps, size_t n,
	       struct ckpt_stats *out_stats)
{
	int ret = ckpt_run(c, steps, n);

	if (ret) {
		if (!c->no_way_back && has_ended(c->subject))
			ret = fail(ESRCH, "container %s ended before it was saved", c->subject->id);
		tree_release(c);
		image_abandon(c->writer);
	} else {
		*out_stats = c->stats;
	}
	stay_end(&c->stay);
	ahead_free(c);
	shown_end(c);
	image_close(c->parent);
	return ret;
}

int ckpt_dump(struct arena *a, const struct ckpt_subject *s, const struct ckpt_options *o,
	      const struct record_codec *codec, struct ckpt_problems *out,
	      struct ckpt_stats *out_stats)
{
	/* lint: parameters: the container, how, in which format, and two results */
	struct ckpt c = {
		.arena = a,
		.codec = codec,
		.options = o,
		.subject = s,
		.saves = true,
		.problems = out,
		.began = ckpt_now(),
	};

	return run(&c, dump_steps, NAME_COUNT(dump_steps), out_stats);
}

int ckpt_pre_dump(struct arena *a, const struct ckpt_subject *s, const struct ckpt_options *o,
		  const struct record_codec *codec, struct ckpt_stats *out_stats)
{
	struct ckpt_problems none = { 0 };
	struct ckpt c = {
		.arena = a,
		.codec = codec,
		.options = o,
		.subject = s,
		.problems = &none,
		.began = ckpt_now(),
		.pre_dump = true,
	};

	return run(&c, pre_dump_steps, NAME_COUNT(pre_dump_steps), out_stats);
}
