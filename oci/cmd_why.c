/* SPDX-License-Identifier: Apache-2.0 */
/* why: what was denied in a container, from the kernel's records, and what would allow it */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/denial.h"
#include "oci/build.h"
#include "oci/cmd.h"
#include "oci/container.h"
#include "oci/explain.h"
#include "oci/finding.h"
#include "oci/json.h"
#include "oci/opts.h"
#include "oci/spec.h"

#define TEXT_AT 10
#define ABI_OF_RECORDS 7
#define MAX_NOTES 8
#define WATCH_MAX 86400

struct why_options {
	bool json;
	struct opt_i64 watch;
};

static const struct opt why_rows[] = {
	{ "watch", 0, OPT_NUMBER, offsetof(struct why_options, watch), "SECONDS",
	  "watch its processes for so long, and tell of every call that is denied meanwhile, whoever "
	  "denies it; they are slowed down, and no audit records are needed",
	  NULL },
	{ "json", 0, OPT_FLAG, offsetof(struct why_options, json), NULL, "print it as JSON", NULL },
};

struct why {
	struct cmd *c;
	struct container ct;
	struct sandbox sb;
	struct explain e;
	struct findings f;
	struct denial_sources sources;
	const char *notes[MAX_NOTES]; /* what the records can't tell */
	size_t n_notes;
};

static const char *when(struct arena *a, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return arena_strdup(a, text);
}

/* Actions that the kernel writes down: a sysctl of the host. seccomp(2) */
static bool logs_action(struct arena *a, const char *name)
{
	char *text, *word;

	if (fd_read_file(AT_FDCWD, "/proc/sys/kernel/seccomp/actions_logged", a, 4096, &text,
			 NULL)) {
		err_clear();
		return true;
	}
	for (word = strtok(text, " \n"); word; word = strtok(NULL, " \n"))
		if (strcmp(word, name) == 0)
			return true;
	return false;
}

static void note(struct why *w, const char *text)
{
	if (text && w->n_notes < MAX_NOTES)
		w->notes[w->n_notes++] = text;
}

static const char *seccomp_note(const struct why *w)
{
	if (!w->e.filter.len)
		return NULL;
	if (!(w->sb.seccomp_flags & SECCOMP_FILTER_FLAG_LOG))
		return "seccomp: only kills and SCMP_ACT_LOG are recorded; for errors add "
		       "SECCOMP_FILTER_FLAG_LOG to linux.seccomp.flags (for containers made from "
		       "then on)";
	if (!logs_action(w->c->arena, "errno"))
		return "seccomp: errors are not recorded: the sysctl kernel.seccomp.actions_logged "
		       "of this host leaves errno out";
	return NULL;
}

static const char *landlock_note(const struct why *w)
{
	const struct policy *p = &w->e.landlock;
	struct arena *a = w->c->arena;

	if (!p->enforced)
		return NULL;
	if (p->abi < ABI_OF_RECORDS)
		return arena_printf(a,
				    "Landlock: denials are not recorded: this kernel's Landlock is "
				    "ABI %d, records came with 7 (Linux 6.15)",
				    p->abi);
	if (w->sources.audit == 0)
		return "Landlock: denials are not recorded: the kernel's auditing is off; "
		       "\"auditctl -e 1\" turns it on for the whole host";
	if (w->sources.audit < 0)
		return arena_printf(a,
				    "Landlock: whether denials are recorded is not known: asking "
				    "whether auditing is on failed: %s (it takes CAP_AUDIT_CONTROL "
				    "of the host)",
				    err_reason(-w->sources.audit));
	return NULL;
}

static const char *log_note(const struct why *w)
{
	const struct denial_sources *s = &w->sources;

	if (s->daemon && !s->file)
		return "an audit daemon takes the records, and its file /var/log/audit/audit.log "
		       "could not be read";
	if (!s->log && !s->file)
		return "the kernel's log could not be read (/dev/kmsg takes CAP_SYSLOG): nothing "
		       "is known of any denial";
	if (s->log && !s->log_begins && s->log_ms > w->f.since)
		return arena_printf(w->c->arena,
				    "the kernel's log begins at %s: what came before is lost",
				    when(w->c->arena, s->log_ms));
	return NULL;
}

/* The container as it was made. */
static int look(struct why *w)
{
	struct arena *a = w->c->arena;
	const struct state *s;
	const struct spec *spec;
	int ret = container_open(w->c, w->c->args[0], &w->ct);

	if (!ret)
		ret = container_config(w->c, &w->ct, &spec);
	if (ret)
		return ret;
	s = &w->ct.state;
	ret = build_sandbox(a, spec,
			    &(struct build_context){
				    .id = s->id,
				    .bundle = s->bundle,
				    .bundle_dir = -1,
				    .manager = s->cgroup.manager,
				    .rootless = state_rootless(a),
			    },
			    &w->sb);
	return ret ? ret : explain_config(a, spec, &w->sb, &w->e);
}

static int watch(struct why *w, struct opt_i64 seconds)
{
	struct watch_for what = { .each = findings_see, .arg = &w->f };

	if (seconds.v < 1 || seconds.v > WATCH_MAX)
		return fail(EINVAL, "why: --watch takes 1 to %d seconds", WATCH_MAX);
	if (!w->f.n_pids)
		return fail(ESRCH, "container %s has no processes to watch", w->ct.dir.id);
	what.seconds = (unsigned)seconds.v;
	note(w, arena_printf(w->c->arena, "what happened before or after these %u seconds",
			     what.seconds));
	return watch_failures(w->c->arena, w->f.pids, w->f.n_pids, &what);
}

static int find_out(struct why *w, struct opt_i64 seconds)
{
	int ret = look(w);

	if (ret)
		return ret;
	w->f = (struct findings){ .e = &w->e, .ct = &w->ct };
	ret = findings_begin(&w->f);
	if (!ret && seconds.set)
		ret = watch(w, seconds);
	if (!ret && !seconds.set) {
		denial_read(w->f.since, &w->sources, findings_take, &w->f);
		findings_sort_out(&w->f);
	}
	fd_close(w->f.root);
	if (ret || seconds.set)
		return ret;
	note(w, log_note(w));
	if (w->sources.dropped)
		note(w, arena_printf(w->c->arena,
				     "%llu audit records of this host came too fast for the "
				     "kernel's log and are lost",
				     (unsigned long long)w->sources.dropped));
	note(w, seccomp_note(w));
	note(w, landlock_note(w));
	if (w->f.strangers)
		note(w, arena_printf(w->c->arena,
				     "%zu records of Landlock's are of processes that are gone and "
				     "may have been of this container",
				     w->f.strangers));
	note(w, "what mounts, capabilities and file modes deny is recorded nowhere: \"thole policy "
		"--may\" foretells it, \"thole why --watch SECONDS\" sees it happen");
	return 0;
}

/* A process chooses its name: nothing of it may steer a terminal. */
static const char *harmless(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);

	for (char *p = copy; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return copy;
}

static void print_finding(struct arena *a, const struct finding *f)
{
	const char *who = *f->by ? arena_printf(a, " by \"%s\"", f->by) : "";
	const char *pid = f->pid ? arena_printf(a, " (process %d%s)", f->pid,
						f->sure ? "" : ", gone: it fits this container")
				 : "";
	const char *times = f->count > 1 ? arena_printf(a, ", %zu times, last", f->count) : ",";

	printf("%-*s", TEXT_AT, f->keeper);
	opts_wrap(stdout,
		  harmless(a, arena_printf(a, "%s%s%s%s %s", f->what, who, pid, times,
					   when(a, f->last))),
		  TEXT_AT, TEXT_AT);
	printf("%*s", TEXT_AT, "");
	opts_wrap(stdout,
		  harmless(a, arena_printf(a, "%s%s%s", f->where ? f->where : "",
					   f->where ? ": " : "", f->remedy)),
		  TEXT_AT, TEXT_AT);
}

static int print_text(const struct why *w)
{
	if (!w->f.n)
		printf("No denial in container %s is known.\n", w->ct.dir.id);
	for (size_t i = 0; i < w->f.n; i++)
		print_finding(w->c->arena, &w->f.v[i]);
	fputs("Not told:\n", stdout);
	for (size_t i = 0; i < w->n_notes; i++)
		opts_wrap(stdout, w->notes[i], 4, (size_t)printf("  - "));
	return fflush(stdout) == EOF ? fail_errno("write to standard output") : 0;
}

static int print_json(const struct why *w)
{
	struct json_writer *j = json_writer_new(w->c->arena, true);
	const char *text;
	size_t len;

	json_open_object(j, NULL);
	json_put_str(j, "id", w->ct.dir.id);
	json_open_array(j, "denials");
	for (size_t i = 0; i < w->f.n; i++) {
		const struct finding *f = &w->f.v[i];

		json_open_object(j, NULL);
		json_put_str(j, "keptBy", f->keeper);
		json_put_str(j, "what", f->what);
		json_put_str(j, "comm", *f->by ? f->by : NULL);
		if (f->pid)
			json_put_i64(j, "pid", f->pid);
		json_put_bool(j, "sure", f->sure);
		json_put_u64(j, "count", f->count);
		json_put_str(j, "last", when(w->c->arena, f->last));
		json_put_str(j, "config", f->where);
		json_put_str(j, "remedy", f->remedy);
		json_close(j);
	}
	json_close(j);
	json_put_bool(j, "landlockRecorded", landlock_note(w) == NULL && w->e.landlock.enforced);
	json_put_bool(j, "seccompRecorded", seccomp_note(w) == NULL && w->e.filter.len);
	json_open_array(j, "notTold");
	for (size_t i = 0; i < w->n_notes; i++)
		json_put_str(j, NULL, w->notes[i]);
	json_close(j);
	json_close(j);
	text = json_writer_text(j, &len);
	return cmd_print(text, len);
}

static int run_why(struct cmd *c, const void *options)
{
	const struct why_options *o = options;
	struct why w = { .c = c, .ct = CONTAINER_NONE };
	int ret = find_out(&w, o->watch);

	if (!ret)
		ret = o->json ? print_json(&w) : print_text(&w);
	container_close(&w.ct);
	return ret;
}

const struct command cmd_why = {
	.name = "why",
	.args = "ID",
	.summary = "tell what a container was denied, and what would allow it",
	.text = "Tells what seccomp and Landlock denied in a container, from the records the kernel "
		"keeps of it, and the line of its configuration that would allow it; then what "
		"those records can't tell on this machine. With --watch it looks at the processes "
		"themselves.",
	.opts = CMD_OPTS(why_rows),
	.size = sizeof(struct why_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_why,
};
