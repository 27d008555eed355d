/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks that count from the machine's start. In a time namespace of its own the container finds
 * them as it left them: the namespace is made with what the image says (ckpt_clocks()), whatever
 * linux.timeOffsets was when it started. Without one they are the machine's, as they were before;
 * what no program expects is that they go back, as they do after a restart or on another machine.
 *
 * The time of day goes on with the machine's. One that is virtual (super/clock.h) differs from that
 * by as much as before, whatever run.thole.time says: its supervisor is told by ckpt_clocks(), too.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/engine.h"
#include "ckpt/kinds.h"
#include "jail/ns.h"
#include "jail/plan.h"
#include "task/trace.h"

#define ADDED_MAX (10000ll * 366 * 86400)

struct moment {
	int64_t seconds;
	uint32_t nanoseconds;
};

struct clocks {
	struct moment monotonic, boottime;
	struct moment *added; /* to the machine's time of day; NULL: it is not virtual */
};

static const struct record_field moment_rows[] = {
	RECORD(I, struct moment, "seconds", seconds),
	RECORD(U, struct moment, "nanoseconds", nanoseconds, RECORD_MAX(999999999)),
};
static const struct record_table moment_table = RECORD_TABLE(struct moment, moment_rows);

static const struct record_field rows[] = {
	RECORD(OBJECT, struct clocks, "monotonic", monotonic, RECORD_BY(moment_table)),
	RECORD(OBJECT, struct clocks, "boottime", boottime, RECORD_BY(moment_table)),
	RECORD(POINTER, struct clocks, "added", added, RECORD_BY(moment_table), RECORD_OPTIONAL),
};
static const struct record_table table = RECORD_TABLE(struct clocks, rows);

/* As the container's init sees them. */
static int read_clocks(struct ckpt *c, struct clocks *out)
{
	const struct ckpt_thread *init = c->procs[0]->threads[0];
	struct timespec t[2] = { { 0 } };
	uint64_t addr;
	int64_t ret = ckpt_put(init, 0, t, sizeof(t), &addr);

	if (ret >= 0)
		ret = ckpt_call(init, "ask for the monotonic clock", SYS_clock_gettime,
				CLOCK_MONOTONIC, addr);
	if (ret >= 0)
		ret = ckpt_call(init, "ask for the boot clock", SYS_clock_gettime, CLOCK_BOOTTIME,
				addr + sizeof(t[0]));
	if (ret >= 0)
		ret = ckpt_get(init, 0, t, sizeof(t));
	if (ret < 0)
		return (int)ret;
	out->monotonic = (struct moment){ t[0].tv_sec, (uint32_t)t[0].tv_nsec };
	out->boottime = (struct moment){ t[1].tv_sec, (uint32_t)t[1].tv_nsec };
	return 0;
}

static int ask_added(struct ckpt *c, struct moment **out)
{
	struct moment *added = arena_alloc(c->arena, sizeof(*added));
	struct super_time t;
	int ret = super_ask_clock(c->subject->supervisor, c->arena, &t);

	if (ret)
		return ret;
	*added = (struct moment){ t.sec, (uint32_t)t.nsec };
	*out = added;
	return 0;
}

static int collect(const struct ckpt_unit *u)
{
	struct clocks *k = u->rec;
	int ret = read_clocks(u->c, k);

	if (!ret && u->c->subject->sb->super.time)
		ret = ask_added(u->c, &k->added);
	return ret;
}

static int check_clocks(const struct clocks *k)
{
	const char *why = NULL;

	if (!k)
		why = "is missing";
	else if (k->monotonic.seconds < 0 || k->boottime.seconds < 0)
		why = "one of them is negative";
	else if (k->added && (k->added->seconds < -ADDED_MAX || k->added->seconds > ADDED_MAX))
		why = "added: is more than ten thousand years";
	return why ? fail(EBADMSG, "the image: %s: clocks: %s", IMAGE_CONTAINER, why) : 0;
}

/* Programs know the functions that tell them the time by their addresses. */
static int prepare(const struct ckpt_unit *u)
{
	const struct clocks *k = u->rec;
	int ret = check_clocks(k);

	if (ret || !k->added == !u->c->sb->super.time)
		return ret;
	if (k->added)
		return fail(EINVAL, "the time of day of the image is virtual, and the new "
				    "configuration has no run.thole.time.offset or .start");
	return fail(EINVAL, "the processes of the image began with the machine's time of day: they "
			    "can't be given another one (run.thole.time)");
}

static bool is_behind(const struct moment *a, const struct moment *b)
{
	return a->seconds == b->seconds ? a->nanoseconds < b->nanoseconds : a->seconds < b->seconds;
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct clocks *was = u->rec;
	struct clocks is;
	int ret = read_clocks(u->c, &is);

	if (ret || (!is_behind(&is.monotonic, &was->monotonic) &&
		    !is_behind(&is.boottime, &was->boottime)))
		return ret;
	return fail(ENOTSUP,
		    "the monotonic clock would go back, from %lld s to %lld s: the image is older "
		    "than the machine's start, and the bundle has no new time namespace "
		    "(linux.namespaces)",
		    (long long)was->monotonic.seconds, (long long)is.monotonic.seconds);
}

const struct ckpt_kind kind_clock = {
	.name = "clocks",
	.scope = KIND_CONTAINER,
	.table = &table,
	.collect = collect,
	.prepare = prepare,
	.rebuild = { [PHASE_ROOT] = rebuild },
};

static struct ns_time reading(const struct moment *m)
{
	return (struct ns_time){
		.set = true, .reading = true, .secs = m->seconds, .nanosecs = m->nanoseconds
	};
}

int ckpt_clocks(struct arena *a, const struct ckpt_options *o, const struct record_codec *codec,
		struct sandbox *sb)
{
	struct ckpt c = { .arena = a, .codec = codec, .options = o };
	const struct clocks *k;
	int ret;

	if (!ns_new(&sb->ns, NS_TIME) && !sb->super.time)
		return 0;
	ret = image_open(a, o->image_path, o->parent, codec, &c.image);
	if (!ret)
		ret = sections_read(&c);
	if (!ret) {
		k = ckpt_section(&kind_clock, &(struct ckpt_unit){ .c = &c });
		ret = check_clocks(k);
	}
	if (!ret && ns_new(&sb->ns, NS_TIME)) {
		sb->ns.monotonic = reading(&k->monotonic);
		sb->ns.boottime = reading(&k->boottime);
	}
	if (!ret && sb->super.time && k->added)
		sb->super.wall = (struct super_time){ .sec = k->added->seconds,
						      .nsec = k->added->nanoseconds };
	image_close(c.image);
	return ret;
}
