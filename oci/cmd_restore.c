/* SPDX-License-Identifier: Apache-2.0 */
/* restore */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "ckpt/ckpt.h"
#include "oci/birth.h"
#include "oci/ckpt_work.h"
#include "oci/cmd.h"
#include "oci/foreground.h"
#include "oci/image_json.h"
#include "oci/progress.h"
#include "sandbox.h"

#define DEFAULT_IMAGE "checkpoint"

struct restore_options {
	struct create_options create; /* first, for birth_run_opts */
	const char *image_path, *work_path, *parent_path, *lsm_profile;
	bool tcp_close, file_locks, lazy_pages, auto_dedup;
};

static const char *const cgroup_words[] = { "soft", "full", "strict", "ignore", NULL };

#define AT(member) offsetof(struct restore_options, member)

static const struct opt rows[] = {
	{ "image-path", 0, OPT_TEXT, AT(image_path), "DIR",
	  "the directory of the image (default: ./checkpoint)", NULL },
	{ "work-path", 0, OPT_TEXT, AT(work_path), "DIR",
	  "where restore.log and stats-restore go (default: with the image)", NULL },
	{ "tcp-close", 0, OPT_FLAG, AT(tcp_close), NULL, "restore such connections as closed ones",
	  NULL },
	{ "file-locks", 0, OPT_FLAG, AT(file_locks), NULL, "restore file locks", NULL },
	{ "lsm-profile", 0, OPT_TEXT, AT(lsm_profile), "TYPE:NAME",
	  "selinux:LABEL or apparmor:PROFILE instead of the configuration's", NULL },
	{ "parent-path", 0, OPT_TEXT, AT(parent_path), "DIR",
	  "where the image that this one builds on is, seen from it", NULL },
	{ "auto-dedup", 0, OPT_FLAG, AT(auto_dedup), NULL, "refused: there is no such thing here",
	  NULL },
	{ "lazy-pages", 0, OPT_FLAG, AT(lazy_pages), NULL, "refused: there is no such thing here",
	  NULL },
	{ "preserve-fds", 0, OPT_SKIP_TEXT, 0, "N", "descriptors come from the image", NULL },
	{ "tcp-established", 0, OPT_SKIP_FLAG, 0, NULL,
	  "connections that the image has are restored", NULL },
	{ "ext-unix-sk", 0, OPT_SKIP_FLAG, 0, NULL, "sockets that the image has are restored",
	  NULL },
	{ "lsm-mount-context", 0, OPT_SKIP_TEXT, 0, "CONTEXT",
	  "mounts come from the configuration, with their labels", NULL },
	{ "shell-job", 0, OPT_SKIP_FLAG, 0, NULL,
	  "a terminal of the caller's is taken as any other standard descriptor", NULL },
	{ "empty-ns", 0, OPT_SKIP_TEXT, 0, "NAMESPACE",
	  "a network is the configuration's in any case", NULL },
	{ "manage-cgroups-mode", 0, OPT_SKIP_TEXT, 0, "soft|full|strict|ignore",
	  "cgroups come from the configuration", cgroup_words },
	{ "network-lock", 0, OPT_SKIP_TEXT, 0, "METHOD",
	  "nothing is sent before the container runs", NULL },
};

static int check_options(const struct restore_options *o)
{
	if (o->lazy_pages)
		return fail(ENOTSUP, "restore: --lazy-pages is not supported");
	if (o->auto_dedup)
		return fail(ENOTSUP, "restore: --auto-dedup is not supported");
	return 0;
}

static struct ckpt_options engine_options(const struct restore_options *o)
{
	return (struct ckpt_options){
		.tcp_close = o->tcp_close,
		.file_locks = o->file_locks,
		.image_path = o->image_path ? o->image_path : DEFAULT_IMAGE,
		.parent = o->parent_path,
		.log = -1,
	};
}

struct revival {
	struct birth *b;
	struct ckpt_options options;
	struct ckpt_work work;
	struct progress progress;
	struct ckpt *restored; /* NULL: the image was not read yet */
};

static int fill(void *arg, struct layers_found *found)
{
	const struct revival *r = arg;

	return ckpt_layers(r->b->c->arena, &r->options, &image_json, &r->b->sb, found);
}

static int read_image(struct revival *r, const struct sandbox_task *task)
{
	return ckpt_restore_begin(r->b->c->arena, &r->b->sb, task, &r->options, &image_json,
				  &r->restored);
}

static int read_meanwhile(void *arg)
{
	return read_image(arg, NULL);
}

/* The container that the tree is to be in. */
static int make(struct revival *r)
{
	struct birth *b = r->b;
	int ret = ckpt_clocks(b->c->arena, &r->options, &image_json, &b->sb);

	b->io.fill = fill;
	b->io.fill_arg = r;
	/* whether layers have a supervisor is not known earlier; and forked later than that, it
	 * would have the image mapped for as long as it lives */
	b->meanwhile = b->sb.layers.n ? NULL : read_meanwhile;
	b->meanwhile_arg = r;
	if (!ret)
		ret = birth_make(b);
	return ret || r->restored ? ret : read_image(r, &b->task);
}

static int take_profile(const char *profile, struct cred_plan *cred)
{
	if (strncmp(profile, "selinux:", 8) == 0)
		cred->selinux = profile + 8;
	else if (strncmp(profile, "apparmor:", 9) == 0)
		cred->apparmor = profile + 9;
	else
		return fail(EINVAL,
			    "restore: --lsm-profile %s: neither selinux:LABEL nor apparmor:PROFILE",
			    profile);
	return 0;
}

/* The tree in the place of init. */
static int put_tree(struct revival *r, struct ckpt_stats *out_stats)
{
	int ret;

	progress_hold(&r->progress);
	ret = ckpt_restore(r->restored, &r->b->task, out_stats);
	progress_end(&r->progress);
	return ret;
}

/* All of it, up to where it only has to be let go. */
static int revive(struct revival *r, const struct restore_options *o)
{
	struct ckpt_stats stats;
	struct err kept;
	int ret;

	r->options = engine_options(o);
	ret = ckpt_work_open(&r->work, o->work_path, false);
	if (ret)
		return ret;
	progress_begin(&r->progress, "restore", 0);
	r->options.log = r->work.log;
	r->options.tick = progress_tick;
	r->options.tick_ctx = &r->progress;
	ret = make(r);
	if (!ret)
		ret = put_tree(r, &stats);
	kept = *err_last();
	if (ckpt_work_end(&r->work, r->options.image_path, ret ? NULL : &stats))
		log_warning("%s", err_last()->text);
	err_set(&kept);
	return ret;
}

/* There is no start. */
static int let_go(struct revival *r, const struct restore_options *o, struct foreground *f)
{
	struct birth *b = r->b;
	int ret = 0;

	f->pid = b->task.pid;
	f->pidfd = b->task.pidfd;
	f->console = b->pio.master;
	/* a request that comes now is too late; in the foreground it is the container's */
	if (!o->create.detach)
		ret = foreground_begin(f, !o->create.no_subreaper);
	if (!ret)
		ret = state_made(&b->ct.dir);
	/* somebody may ask for it as soon as it runs */
	state_unlock(&b->ct.dir);
	return ret ? ret : ckpt_resume(r->restored);
}

static int run_restore(struct cmd *c, const void *values)
{
	const struct restore_options *o = values;
	struct foreground f = { .signals = -1, .console = -1, .notify = -1 };
	struct birth b;
	struct revival r = { .b = &b, .work = CKPT_WORK_NONE };
	int ret = check_options(o);

	if (ret)
		return ret;
	ret = birth_begin(&b, c, &o->create, o->create.detach);
	b.io.restored = true;
	if (!ret)
		ret = state_making(&b.ct.dir);
	if (!ret && o->lsm_profile)
		ret = take_profile(o->lsm_profile, &b.sb.process.cred);
	if (!ret)
		ret = revive(&r, o);
	if (!ret)
		ret = let_go(&r, o, &f);
	if (ret) {
		birth_undo(&b);
	} else if (!o->create.detach) {
		ret = foreground_wait(&f);
		if (!o->create.keep && birth_end(&b))
			log_warning("%s", err_last()->text);
	}
	birth_close(&b);
	return ret;
}

const struct command cmd_restore = {
	.name = "restore",
	.args = "ID",
	.summary = "continue a container from an image",
	.text = "Makes a container from a bundle, puts the processes of an image into it, and lets them go "
		"on. Namespaces, mounts, limits and standard descriptors are those of the bundle and of the "
		"caller; the id may be another one.",
	.opts = CMD_OPTS_ALSO(rows, birth_run_opts),
	.size = sizeof(struct restore_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_restore,
};
