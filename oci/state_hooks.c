/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state_hooks.h"

#include "base/err.h"
#include "base/mem.h"
#include "oci/json.h"
#include "oci/spec.h"
#include "oci/state.h"

static const enum state_status status_at[HOOK_POINTS] = {
	[HOOK_PRESTART] = STATE_CREATING,         [HOOK_CREATE_RUNTIME] = STATE_CREATING,
	[HOOK_CREATE_CONTAINER] = STATE_CREATING, [HOOK_START_CONTAINER] = STATE_CREATED,
	[HOOK_POSTSTART] = STATE_RUNNING,         [HOOK_POSTSTOP] = STATE_STOPPED,
};

/* The members of a state but its pid, whose place is *out_gap. */
static void put_state(struct json_writer *w, const struct state *s, enum state_status status,
		      size_t *out_gap)
{
	json_put_str(w, "ociVersion", s->oci_version);
	json_put_str(w, "id", s->id);
	json_put_str(w, "status", state_status_name(status));
	if (out_gap)
		*out_gap = json_put_gap(w, "pid");
	else if (s->pid)
		json_put_i64(w, "pid", s->pid);
	json_put_str(w, "bundle", s->bundle);
	json_put_str(w, "root", s->rootfs);
	json_put_tree(w, "annotations", s->annotations);
}

static void hook_text(struct arena *a, const struct state *s, enum sandbox_hook_point point,
		      const char **out_head, const char **out_tail)
{
	struct json_writer *w = json_writer_new(a, false);
	const char *text;
	size_t gap;

	json_open_object(w, NULL);
	put_state(w, s, status_at[point], &gap);
	json_close(w);
	text = json_writer_text(w, NULL);
	*out_head = arena_strndup(a, text, gap);
	*out_tail = text + gap;
}

static void listener_text(struct arena *a, const struct state *s, const char *metadata,
			  enum state_status status, struct sandbox_io *io)
{
	static const char *const fds[] = { "seccompFd", NULL };
	struct json_writer *w = json_writer_new(a, false);
	const char *text;
	size_t gap;

	json_open_object(w, NULL);
	json_put_str(w, "ociVersion", s->oci_version);
	json_put_strs(w, "fds", fds);
	gap = json_put_gap(w, "pid");
	json_put_str(w, "metadata", metadata);
	json_open_object(w, "state");
	put_state(w, s, status, NULL);
	json_close(w);
	json_close(w);
	text = json_writer_text(w, NULL);
	io->listener_head = arena_strndup(a, text, gap);
	io->listener_tail = text + gap;
}

void state_hooks_text(struct arena *a, const struct state *s, const struct sandbox *sb,
		      struct sandbox_io *io)
{
	for (int i = 0; i < HOOK_POINTS; i++)
		if (sb->hooks[i].n)
			hook_text(a, s, (enum sandbox_hook_point)i, &io->state_head[i],
				  &io->state_tail);
	if (sb->seccomp_listener)
		listener_text(a, s, sb->seccomp_metadata, STATE_CREATING, io);
}

void state_hooks_exec_text(struct arena *a, const struct state *s, const struct sandbox *sb,
			   struct sandbox_io *io)
{
	if (sb->seccomp_listener)
		listener_text(a, s, sb->seccomp_metadata, STATE_RUNNING, io);
}

int state_hooks_run(struct arena *a, const struct state *s, const struct sandbox *sb,
		    enum sandbox_hook_point point, int cwd, bool all)
{
	/* lint: parameters: whose hooks, which of them, and the two ways hooks_run() has */
	struct hooks_input input;
	int ret;

	if (!sb->hooks[point].n)
		return 0;
	hook_text(a, s, point, &input.head, &input.tail);
	input.pid = status_at[point] == STATE_STOPPED ? 0 : s->pid;
	ret = hooks_run(&sb->hooks[point], &input, cwd, all);
	return ret ? fail_in(ret, "%s", spec_hook_names[point]) : 0;
}
