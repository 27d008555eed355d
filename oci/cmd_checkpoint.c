/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/ckpt.h"
#include "oci/build.h"
#include "oci/ckpt_show.h"
#include "oci/ckpt_work.h"
#include "oci/cmd.h"
#include "oci/container.h"
#include "oci/cow.h"
#include "oci/image_json.h"
#include "oci/json.h"
#include "oci/progress.h"
#include "oci/spec.h"
#include "sandbox.h"

#define DEFAULT_IMAGE "checkpoint"

struct checkpoint_options {
	const char *image_path, *work_path, *parent_path, *page_server, *status_fd;
	bool leave_running, tcp_established, tcp_close, ext_unix_sk, file_locks, pre_dump, check,
		json, lazy_pages, auto_dedup;
};

static const char *const cgroup_words[] = { "soft", "full", "strict", "ignore", NULL };

#define AT(member) offsetof(struct checkpoint_options, member)

static const struct opt rows[] = {
	{ "image-path", 0, OPT_TEXT, AT(image_path), "DIR",
	  "the directory of the image (default: ./checkpoint)", NULL },
	{ "work-path", 0, OPT_TEXT, AT(work_path), "DIR",
	  "where dump.log and stats-dump go (default: with the image)", NULL },
	{ "leave-running", 'R', OPT_FLAG, AT(leave_running), NULL, "the container goes on", NULL },
	{ "check", 0, OPT_FLAG, AT(check), NULL,
	  "only list what can't be saved, with status 1 if there is anything; nothing is stopped",
	  NULL },
	{ "json", 0, OPT_FLAG, AT(json), NULL, "with --check: as JSON", NULL },
	{ "tcp-established", 0, OPT_FLAG, AT(tcp_established), NULL,
	  "save connections within the container", NULL },
	{ "tcp-close", 0, OPT_FLAG, AT(tcp_close), NULL, "end connections instead of saving them",
	  NULL },
	{ "ext-unix-sk", 0, OPT_FLAG, AT(ext_unix_sk), NULL,
	  "allow unix sockets connected to processes outside", NULL },
	{ "file-locks", 0, OPT_FLAG, AT(file_locks), NULL, "save file locks", NULL },
	{ "parent-path", 0, OPT_TEXT, AT(parent_path), "DIR",
	  "an image, seen from that of --image-path, whose pages are not saved again", NULL },
	{ "pre-dump", 0, OPT_FLAG, AT(pre_dump), NULL,
	  "save memory alone while the container runs, for --parent-path", NULL },
	{ "auto-dedup", 0, OPT_FLAG, AT(auto_dedup), NULL, "refused: there is no such thing here",
	  NULL },
	{ "lazy-pages", 0, OPT_FLAG, AT(lazy_pages), NULL, "refused: there is no such thing here",
	  NULL },
	{ "page-server", 0, OPT_TEXT, AT(page_server), "ADDRESS:PORT",
	  "refused: there is no such thing here", NULL },
	{ "status-fd", 0, OPT_TEXT, AT(status_fd), "N", "refused: there is no such thing here",
	  NULL },
	{ "shell-job", 0, OPT_SKIP_FLAG, 0, NULL,
	  "a terminal of the caller's is taken as any other standard descriptor", NULL },
	{ "empty-ns", 0, OPT_SKIP_TEXT, 0, "NAMESPACE",
	  "a network is the new configuration's in any case", NULL },
	{ "manage-cgroups-mode", 0, OPT_SKIP_TEXT, 0, "soft|full|strict|ignore",
	  "limits come from the configuration at restore", cgroup_words },
	{ "network-lock", 0, OPT_SKIP_TEXT, 0, "METHOD",
	  "nothing is sent while the container is stopped", NULL },
	{ "link-remap", 0, OPT_SKIP_FLAG, 0, NULL, "files that were removed are saved", NULL },
	{ "tcp-skip-in-flight", 0, OPT_SKIP_FLAG, 0, NULL, NULL, NULL },
};

static int refuse(const char *flag)
{
	return fail(ENOTSUP, "checkpoint: %s is not supported", flag);
}

static int check_options(const struct checkpoint_options *o)
{
	if (o->lazy_pages)
		return refuse("--lazy-pages");
	if (o->auto_dedup)
		return refuse("--auto-dedup");
	if (o->page_server)
		return refuse("--page-server");
	if (o->status_fd)
		return refuse("--status-fd");
	if (o->json && !o->check)
		return fail(EINVAL, "checkpoint: --json goes with --check");
	return 0;
}

/* As it was described to the engine when it was made. */
static int describe(struct cmd *c, struct container *ct, struct sandbox *sb,
		    struct ckpt_subject *out)
{
	struct build_context context = {
		.id = ct->dir.id,
		.bundle = ct->state.bundle,
		.bundle_dir = -1,
		.manager = ct->state.cgroup.manager,
		.rootless = state_rootless(c->arena),
	};
	const struct spec *spec;
	char *config;
	int ret = container_config(c, ct, &spec);

	if (!ret)
		ret = build_sandbox(c->arena, spec, &context, sb);
	if (!ret)
		ret = fd_read_file(ct->dir.dir, STATE_CONFIG, c->arena, JSON_SIZE_MAX, &config,
				   &out->config_len);
	if (ret)
		return ret;
	cow_recall(&ct->state, sb);
	out->id = ct->dir.id;
	out->init = ct->state.pid;
	out->supervisor = -1;
	if (sb->super.ports || sb->super.time || sb->layers.notified) {
		out->supervisor = container_supervisor(ct);
		if (out->supervisor < 0)
			return out->supervisor;
	}
	out->pidfd = ct->pidfd;
	out->cgroup = &ct->state.cgroup;
	out->paused = ct->status == STATE_PAUSED;
	out->sb = sb;
	out->config = config;
	for (int i = 0; i < 3; i++)
		out->stdio[i] = (struct ckpt_stdio){
			.known = ct->state.stdio[i].ino != 0,
			.dev = ct->state.stdio[i].dev,
			.ino = ct->state.stdio[i].ino,
		};
	return 0;
}

static int print_problems(struct arena *a, struct ckpt_problems *list, bool json)
{
	const char *text;
	size_t len;

	if (json) {
		text = ckpt_show_json(a, list, &len);
		return cmd_print(text, len);
	}
	ckpt_show_text(a, list, stdout, cmd_colour());
	return fflush(stdout) == EOF ? fail_errno("write to standard output") : 0;
}

static struct ckpt_options options_of(const struct checkpoint_options *o)
{
	return (struct ckpt_options){
		.leave_running = o->leave_running,
		.tcp_established = o->tcp_established,
		.tcp_close = o->tcp_close,
		.ext_unix_sk = o->ext_unix_sk,
		.file_locks = o->file_locks,
		.image_path = o->image_path ? o->image_path : DEFAULT_IMAGE,
		.parent = o->parent_path,
		.log = -1,
	};
}

static int run_check(struct cmd *c, const struct ckpt_subject *subject,
		     const struct checkpoint_options *o)
{
	const struct ckpt_options options = options_of(o);
	struct ckpt_problems list = { 0 };
	int ret = ckpt_check(c->arena, subject, &options, &image_json, &list);

	if (!ret)
		ret = print_problems(c->arena, &list, o->json);
	return ret ? ret : list.n != 0;
}

static int dump(struct cmd *c, const struct ckpt_subject *subject,
		const struct checkpoint_options *o)
{
	struct ckpt_work work = CKPT_WORK_NONE;
	struct ckpt_options options = options_of(o);
	struct ckpt_problems list = { 0 };
	struct progress progress;
	struct ckpt_stats stats;
	struct err kept;
	int ret = ckpt_work_open(&work, o->work_path, true);

	if (ret)
		return ret;
	progress_begin(&progress, "checkpoint", 0);
	progress_hold(&progress);
	options.log = work.log;
	options.tick = progress_tick;
	options.tick_ctx = &progress;
	ret = o->pre_dump ? ckpt_pre_dump(c->arena, subject, &options, &image_json, &stats)
			  : ckpt_dump(c->arena, subject, &options, &image_json, &list, &stats);
	progress_end(&progress);
	kept = *err_last();
	if (ckpt_work_end(&work, options.image_path, ret ? NULL : &stats))
		log_warning("%s", err_last()->text);
	err_set(&kept);
	return ret;
}

static int run_checkpoint(struct cmd *c, const void *values)
{
	const struct checkpoint_options *o = values;
	auto_container ct = CONTAINER_NONE;
	struct ckpt_subject subject = { 0 };
	struct sandbox sb;
	int ret = check_options(o);

	if (!ret)
		ret = container_open(c, c->args[0], &ct);
	if (!ret)
		ret = state_lock(&ct.dir);
	if (!ret)
		ret = container_refresh(c, &ct);
	if (ret)
		return ret;
	if (ct.status != STATE_RUNNING && ct.status != STATE_PAUSED)
		return fail(EINVAL, "Container cannot be checkpointed in %s state",
			    state_status_name(ct.status));
	ret = describe(c, &ct, &sb, &subject);
	if (!ret && o->check)
		return run_check(c, &subject, o);
	if (!ret)
		ret = dump(c, &subject, o);
	if (ret || o->leave_running || o->pre_dump)
		return ret;
	ct.status = STATE_STOPPED;
	return container_destroy(c, &ct, NULL);
}

const struct command cmd_checkpoint = {
	.name = "checkpoint",
	.args = "ID",
	.summary = "save a running container to a directory, and end it",
	.text = "Saves a running container, with all its processes, to a directory from which restore "
		"continues it. What can't be saved is found before anything is stopped, and then the "
		"container goes on.",
	.opts = CMD_OPTS(rows),
	.size = sizeof(struct checkpoint_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_checkpoint,
};
