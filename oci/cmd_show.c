/* SPDX-License-Identifier: Apache-2.0 */
/* state, list, ps */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "oci/cmd.h"
#include "oci/container.h"
#include "oci/json.h"

#define PS_OUTPUT_MAX (64u << 20)

static const char *const format_words[] = { "table", "json", NULL };

static int print_json(struct json_writer *w)
{
	size_t len;
	const char *text = json_writer_text(w, &len);

	return cmd_print(text, len);
}

static int run_state(struct cmd *c, const void *options)
{
	struct json_writer *w = json_writer_new(c->arena, true);
	auto_container ct = CONTAINER_NONE;
	int ret = container_open(c, c->args[0], &ct);

	(void)options;
	if (ret)
		return ret;
	state_put(w, c->arena, &ct.state, ct.status);
	return print_json(w);
}

const struct command cmd_state = {
	.name = "state",
	.args = "ID",
	.summary = "print what a container is doing, as JSON",
	.min_args = 1,
	.max_args = 1,
	.run = run_state,
};

struct show_options {
	const char *format;
	bool quiet, force;
};

static bool wants_json(const struct show_options *o)
{
	return o->format && strcmp(o->format, "json") == 0;
}

static const struct opt list_rows[] = {
	{ "format", 'f', OPT_TEXT, offsetof(struct show_options, format), "table|json",
	  "how to print it (default: table)", format_words },
	{ "quiet", 'q', OPT_FLAG, offsetof(struct show_options, quiet), NULL, "print the IDs only",
	  NULL },
};

enum { COL_ID, COL_PID, COL_STATUS, COL_BUNDLE, COL_CREATED, COL_OWNER, COLUMNS };

struct list_row {
	const char *cell[COLUMNS];
};

static void print_table(const struct list_row *rows, size_t n)
{
	static const struct list_row head = { { "ID", "PID", "STATUS", "BUNDLE", "CREATED",
						"OWNER" } };
	size_t width[COLUMNS];

	for (int i = 0; i < COLUMNS; i++) {
		width[i] = strlen(head.cell[i]);
		for (size_t k = 0; k < n; k++)
			if (strlen(rows[k].cell[i]) > width[i])
				width[i] = strlen(rows[k].cell[i]);
	}
	for (size_t k = 0; k <= n; k++) {
		const struct list_row *r = k ? &rows[k - 1] : &head;

		for (int i = 0; i < COLUMNS - 1; i++)
			printf("%-*s   ", (int)width[i], r->cell[i]);
		printf("%s\n", r->cell[COLUMNS - 1]);
	}
}

static void add_row(struct cmd *c, const struct container *ct, struct list_row *row)
{
	const struct state *s = &ct->state;

	*row = (struct list_row){ {
		s->id,
		arena_printf(c->arena, "%d", ct->pidfd < 0 ? 0 : s->pid),
		state_status_name(ct->status),
		s->bundle,
		s->created,
		state_user_name(c->arena, s->owner),
	} };
}

/* Opens each container; what can't be read is left out with a word on it. */
static int list_all(struct cmd *c, const char *const *ids, const struct show_options *o)
{
	struct json_writer *w = json_writer_new(c->arena, true);
	struct list_row *rows = NULL;
	size_t n = 0, room = 0;
	int ret;

	json_open_array(w, NULL);
	for (; *ids; ids++) {
		auto_container ct = CONTAINER_NONE;

		ret = container_open(c, *ids, &ct);
		if (ret) {
			if (ret != -ENOENT && ret != -ENODATA && ret != -EMEDIUMTYPE)
				log_warning("%s", err_last()->text);
			continue;
		}
		if (o->quiet)
			printf("%s\n", *ids);
		else if (wants_json(o))
			state_put(w, c->arena, &ct.state, ct.status);
		rows = arena_grow(c->arena, rows, n, &room, sizeof(*rows));
		add_row(c, &ct, &rows[n++]);
	}
	json_close(w);
	if (!o->quiet && wants_json(o))
		return print_json(w);
	if (!o->quiet)
		print_table(rows, n);
	return fflush(stdout) == EOF ? fail_errno("write to standard output") : 0;
}

static int run_list(struct cmd *c, const void *options)
{
	static const char *const none[] = { NULL };
	const struct show_options *o = options;
	const char *const *ids = none;
	int ret, root = cmd_root(c, false);

	/* nobody has made a container yet; a --root that is not there is a mistake */
	if (root < 0 && (root != -ENOENT || c->global->root))
		return root;
	if (root >= 0) {
		ret = state_list(c->arena, root, &ids);
		if (ret)
			return ret;
	}
	return list_all(c, ids, o);
}

const struct command cmd_list = {
	.name = "list",
	.args = "",
	.summary = "list the containers",
	.opts = CMD_OPTS(list_rows),
	.size = sizeof(struct show_options),
	.max_args = 0,
	.run = run_list,
};

static const struct opt ps_rows[] = {
	{ "format", 'f', OPT_TEXT, offsetof(struct show_options, format), "table|json",
	  "how to print it (default: table)", format_words },
};

static int print_pids(struct cmd *c, const pid_t *pids, size_t n)
{
	struct json_writer *w = json_writer_new(c->arena, false);
	size_t len;
	const char *text;

	json_open_array(w, NULL);
	for (size_t i = 0; i < n; i++)
		json_put_i64(w, NULL, pids[i]);
	json_close(w);
	text = json_writer_text(w, &len);
	return cmd_print(arena_printf(c->arena, "%s\n", text), len + 1);
}

/* Callers may run us without PATH. */
static const char *find_ps(struct arena *a)
{
	const char *path = getenv("PATH");
	const char *file;
	size_t n;

	for (path = path && *path ? path : "/usr/bin:/bin"; *path; path += n + (path[n] == ':')) {
		n = strcspn(path, ":");
		file = arena_printf(a, "%.*s/ps", (int)n, path);
		if (path[0] == '/' && access(file, X_OK) == 0)
			return file;
	}
	return NULL;
}

static int run_host_ps(struct cmd *c, char **out)
{
	static char *const defaults[] = { "-ef", NULL };
	char *const *given = c->n_args > 1 ? c->args + 1 : defaults;
	size_t n = 0;
	auto_fd file = memfd_create("ps", MFD_CLOEXEC);
	struct spawn s = { .path = find_ps(c->arena), .cwd = -1, .out = file, .err = -1 };
	char **args;
	int ret;

	if (!s.path)
		return fail(ENOENT, "ps is not installed on this host; --format json needs none");
	if (file < 0)
		return fail_errno("memfd_create");
	while (given[n])
		n++;
	args = arena_array(c->arena, n + 2, sizeof(*args));
	args[0] = (char *)"ps";
	memcpy(args + 1, given, n * sizeof(*args));
	s.args = args;
	ret = spawn_run(&s);
	if (ret)
		return ret;
	lseek(file, 0, SEEK_SET);
	return fd_read_all(file, c->arena, PS_OUTPUT_MAX, out, NULL);
}

/* The nth word of a line; NULL where it has fewer. */
static const char *word_at(const char *line, size_t nth)
{
	for (;;) {
		line += strspn(line, " \t");
		if (!*line || *line == '\n')
			return NULL;
		if (nth-- == 0)
			return line;
		line += strcspn(line, " \t\n");
	}
}

static int pid_column(const char *head, size_t *out)
{
	const char *word;

	for (size_t i = 0; (word = word_at(head, i)); i++) {
		if (strncmp(word, "PID", 3) == 0 && strchr(" \t\n", word[3])) {
			*out = i;
			return 0;
		}
	}
	return fail(EINVAL, "the output of ps has no column PID");
}

static int print_ps(struct cmd *c, const pid_t *pids, size_t n)
{
	const char *word;
	char *text, *line, *end;
	size_t column = 0;
	int ret = run_host_ps(c, &text);

	if (!ret)
		ret = pid_column(text, &column);
	if (ret)
		return ret;
	for (line = text; *line; line = end) {
		end = strchr(line, '\n');
		end = end ? end + 1 : line + strlen(line);
		word = line == text ? NULL : word_at(line, column);
		for (size_t i = 0; line != text && word && i < n; i++)
			if (strtol(word, NULL, 10) == pids[i])
				fwrite(line, 1, (size_t)(end - line), stdout);
		if (line == text)
			fwrite(line, 1, (size_t)(end - line), stdout);
	}
	return fflush(stdout) == EOF ? fail_errno("write to standard output") : 0;
}

static int run_ps(struct cmd *c, const void *options)
{
	const struct show_options *o = options;
	auto_container ct = CONTAINER_NONE;
	pid_t *pids = NULL;
	size_t n = 0;
	int ret = container_open(c, c->args[0], &ct);

	if (ret)
		return ret;
	if (ct.state.cgroup.n == 0)
		return fail(ENOTSUP, "container %s has no cgroup that tells its processes",
			    ct.dir.id);
	ret = cgroup_pids(c->arena, &ct.state.cgroup, &pids, &n);
	if (ret)
		return ret;
	return wants_json(o) ? print_pids(c, pids, n) : print_ps(c, pids, n);
}

const struct command cmd_ps = {
	.name = "ps",
	.args = "ID [PS-ARGS...]",
	.summary = "list the processes of a container",
	.text = "Lists the processes of a container: the rows of the host's ps (called with PS-ARGS, "
		"default -ef) that are its own, or their pids as JSON.",
	.opts = CMD_OPTS_IN_ORDER(ps_rows),
	.size = sizeof(struct show_options),
	.min_args = 1,
	.max_args = CMD_ANY_ARGS,
	.run = run_ps,
};
