/* SPDX-License-Identifier: Apache-2.0 */
/* cow: what a container has changed in its copy-on-write directories, done or thrown away */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/cmd.h"
#include "oci/container.h"
#include "oci/cow.h"
#include "oci/json.h"
#include "super/cow_commit.h"
#include "super/layer.h"

#define PLAIN "\033[0m"
#define PATH_WIDTH 44

struct cow_options {
	bool json;
};

static const struct opt cow_rows[] = {
	{ "json", 0, OPT_FLAG, offsetof(struct cow_options, json), NULL, "print it as JSON", NULL },
};

/* One call at work. */
struct work {
	struct cmd *c;
	struct container ct;
	const struct state_layer *layer; /* the one that is looked at */
	struct json_writer *json;        /* NULL: lines */
	bool colour, live;
	struct cow_change *seen; /* diff: told when all are known, by name */
	size_t n, room;
};

static const struct {
	const char *word, *colour;
} whats[] = {
	[COW_ADDED] = { "added", "\033[32m" },
	[COW_CHANGED] = { "changed", "\033[33m" },
	[COW_REMOVED] = { "removed", "\033[31m" },
	[COW_REPLACED] = { "replaced", "\033[33m" },
};

static const struct {
	unsigned field;
	const char *word;
} fields[] = {
	{ COW_CONTENT, "content" }, { COW_MODE, "mode" },         { COW_OWNER, "owner" },
	{ COW_TIME, "time" },       { COW_XATTRS, "attributes" },
};

#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "link";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
	case S_IFBLK:
		return "device";
	default:
		return "file";
	}
}

static const char *whole_path(const struct work *w, const char *path)
{
	return *path ? arena_printf(w->c->arena, "%s/%s", w->layer->path, path) : w->layer->path;
}

static void put_json(const struct work *w, const struct cow_change *c)
{
	json_open_object(w->json, NULL);
	json_put_str(w->json, "change", whats[c->what].word);
	json_put_str(w->json, "path", whole_path(w, c->path));
	json_put_str(w->json, "type", type_name(c->mode));
	if (c->what == COW_REPLACED)
		json_put_str(w->json, "was", type_name(c->was));
	if (c->what != COW_REMOVED && S_ISREG(c->mode))
		json_put_u64(w->json, "size", c->size);
	if (c->what == COW_CHANGED) {
		json_open_array(w->json, "fields");
		for (size_t i = 0; i < N_FIELDS; i++)
			if (c->fields & fields[i].field)
				json_put_str(w->json, NULL, fields[i].word);
		json_close(w->json);
	}
	if (c->link)
		json_put_str(w->json, "link", whole_path(w, c->link));
	json_close(w->json);
}

static void add_size(struct str *s, uint64_t size)
{
	static const char units[] = "KMGTPE";
	uint64_t tenths = size * 10;
	int unit = -1;

	if (size < 1024) {
		str_addf(s, "%u B", (unsigned)size);
		return;
	}
	for (tenths = size; tenths >= 1024 * 1024 && unit < 4; unit++)
		tenths /= 1024;
	tenths = tenths * 10 / 1024;
	str_addf(s, "%u.%u %ciB", (unsigned)(tenths / 10), (unsigned)(tenths % 10),
		 units[unit + 1]);
}

static void add_detail(const struct work *w, const struct cow_change *c, struct str *s)
{
	const char *between = "";

	if (c->what == COW_REPLACED)
		str_addf(s, "%s, was %s", type_name(c->mode), type_name(c->was));
	for (size_t i = 0; c->what == COW_CHANGED && i < N_FIELDS; i++) {
		if (!(c->fields & fields[i].field))
			continue;
		str_addf(s, "%s%s", between, fields[i].word);
		between = ", ";
	}
	if (c->what == COW_ADDED && S_ISREG(c->mode))
		add_size(s, c->size);
	else if (c->what == COW_ADDED || c->what == COW_REMOVED)
		str_add(s, S_ISREG(c->mode) ? "" : type_name(c->mode));
	if (c->link) {
		str_add(s, s->len ? ", is also " : "is also ");
		str_add_json(s, whole_path(w, c->link));
	}
}

static int put_line(const struct work *w, const struct cow_change *c)
{
	const char *path = whole_path(w, c->path);
	/* each byte may be escaped by six */
	size_t size = strlen(path) * 6 + 1, most = 512 + PATH_MAX * 6;
	struct str name = { .buf = arena_alloc(w->c->arena, size), .size = size };
	struct str detail = { .buf = arena_alloc(w->c->arena, most), .size = most };

	str_add_json(&name, path);
	add_detail(w, c, &detail);
	printf("%s%-8s%s  ", w->colour ? whats[c->what].colour : "", whats[c->what].word,
	       w->colour ? PLAIN : "");
	if (detail.len)
		printf("%-*s  %s\n", PATH_WIDTH, name.buf, detail.buf);
	else
		printf("%s\n", name.buf);
	return ferror(stdout) ? fail_errno("write to standard output") : 0;
}

static int put(struct work *w, const struct cow_change *c)
{
	if (!w->json)
		return put_line(w, c);
	put_json(w, c);
	return 0;
}

static int put_done(void *arg, const struct cow_change *c)
{
	struct work *w = arg;

	w->n++;
	return put(w, c);
}

static int keep(void *arg, const struct cow_change *c)
{
	struct work *w = arg;
	struct arena *a = w->c->arena;

	w->seen = arena_grow(a, w->seen, w->n, &w->room, sizeof(*w->seen));
	w->seen[w->n] = *c;
	w->seen[w->n].path = arena_strdup(a, c->path);
	if (c->link)
		w->seen[w->n].link = arena_strdup(a, c->link);
	w->n++;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct cow_change *)a)->path, ((const struct cow_change *)b)->path);
}

static int open_part(const struct state_layer *l, const char *part)
{
	auto_fd store = fd_open(AT_FDCWD, l->store, O_PATH | O_DIRECTORY, 0, 0);
	int fd = store < 0 ? store : fd_open_beneath(store, part, O_PATH | O_DIRECTORY);

	return fd < 0 ? fail(-fd, "open %s/%s, what was changed in %s: %s", l->store, part, l->path,
			     err_reason(-fd))
		      : fd;
}

/* The directory that the container was given: another one in its place is none of ours to write. */
static int open_lower(const struct state_layer *l)
{
	auto_fd fd = -1;
	struct stat st;

	if (!l->host)
		return fail(ENOTSUP,
			    "what is at %s without the changes, only the container itself can see "
			    "(a mount of its own): there is nothing to compare with",
			    l->path);
	fd = fd_open(AT_FDCWD, l->host, O_PATH | O_DIRECTORY, 0, 0);
	if (fd < 0)
		return fail(-fd, "open %s, which is below %s: %s", l->host, l->path,
			    err_reason(-fd));
	if (fstat(fd, &st) < 0 || st.st_dev != l->shown.dev || st.st_ino != l->shown.ino)
		return fail(ESTALE,
			    "%s is another directory now than the one that the container has below "
			    "%s",
			    l->host, l->path);
	return fd_take(&fd);
}

/* ---- when */

static int check_any(struct work *w)
{
	(void)w;
	return 0;
}

static int check_stopped(struct work *w)
{
	if (w->ct.status == STATE_STOPPED && cow_has_ended(&w->ct.dir))
		return 0;
	return fail(EBUSY, "container %s is %s: stop it first (thole kill), its changes are in use",
		    w->ct.dir.id,
		    w->ct.status == STATE_STOPPED ? "stopped, and processes of it go on"
						  : state_status_name(w->ct.status));
}

/* What has changed below an overlay mount, it does not see; and what it removes of that comes
 * back. */
static int check_mounts(struct work *w)
{
	const struct state *s = &w->ct.state;

	for (size_t i = 0; i < s->n_layers; i++)
		if (s->layers[i].mode == LAYER_COW && !s->layers[i].notified)
			return fail(
				EBUSY,
				"container %s is paused, and %s is an overlay mount, below which "
				"nothing may change: stop it first (thole kill)",
				w->ct.dir.id, s->layers[i].path);
	return 0;
}

static int check_still(struct work *w)
{
	w->live = w->ct.status == STATE_PAUSED;
	if (w->live)
		return check_mounts(w);
	if (w->ct.status == STATE_STOPPED && cow_has_ended(&w->ct.dir))
		return 0;
	return fail(EBUSY,
		    "container %s is %s: what it writes meanwhile would be lost; stop it first, or "
		    "where no overlay mount is pause it",
		    w->ct.dir.id,
		    w->ct.status == STATE_STOPPED ? "stopped, and processes of it go on"
						  : state_status_name(w->ct.status));
}

/* ---- what */

static int diff(struct work *w, struct layer *l)
{
	size_t before = w->n;
	int ret = cow_diff(l, keep, w);

	if (w->n > before)
		qsort(w->seen + before, w->n - before, sizeof(*w->seen), by_path);
	for (size_t i = before; !ret && i < w->n; i++)
		ret = put(w, &w->seen[i]);
	return ret;
}

static int commit(struct work *w, struct layer *l)
{
	return cow_commit(l, w->live, put_done, w);
}

static int discard(struct work *w, struct layer *l)
{
	(void)w;
	return cow_discard(l);
}

static const struct action {
	const char *name;
	int (*check)(struct work *w);
	int (*run)(struct work *w, struct layer *l);
	bool lists; /* what it does to the lower directory */
} actions[] = {
	{ "diff", check_any, diff, true },
	{ "commit", check_still, commit, true },
	{ "discard", check_stopped, discard, false },
};

static int open_layer(const struct state_layer *s, struct layer *l)
{
	*l = (struct layer){ .mode = LAYER_COW, .upper = -1, .work = -1, .lower = -1 };
	l->upper = open_part(s, LAYERS_UPPER);
	if (l->upper >= 0)
		l->work = open_part(s, LAYERS_WORK);
	if (l->work >= 0)
		l->lower = open_lower(s);
	return l->work < 0 || l->lower < 0 ? -err_last()->code : 0;
}

static void close_layer(const struct layer *l)
{
	fd_close(l->upper);
	fd_close(l->work);
	fd_close(l->lower);
}

/* Everything is opened by its name first, with the caller's own ids. */
static int do_all(struct work *w, const struct action *a)
{
	const struct state *s = &w->ct.state;
	struct layer *layers = arena_array(w->c->arena, s->n_layers, sizeof(*layers));
	size_t n = 0;
	int ret = 0;

	for (size_t i = 0; !ret && i < s->n_layers; i++)
		if (s->layers[i].mode == LAYER_COW)
			ret = open_layer(&s->layers[i], &layers[n++]);
	if (!ret && !n)
		ret = fail(ENOENT,
			   "container %s has no copy-on-write directory: nothing in its "
			   "annotations asks for one (run.thole.cow)",
			   w->ct.dir.id);
	if (!ret)
		ret = cow_take_rights(w->c, &w->ct);
	n = 0;
	for (size_t i = 0; !ret && i < s->n_layers; i++) {
		w->layer = &s->layers[i];
		if (w->layer->mode != LAYER_COW)
			continue;
		ret = a->run(w, &layers[n++]);
		if (ret)
			ret = fail_in(ret, "%s %s", a->name, w->layer->path);
	}
	for (size_t i = 0; i < n; i++)
		close_layer(&layers[i]);
	return ret;
}

static int finish(struct work *w)
{
	const char *text;
	size_t len;

	if (!w->json)
		return fflush(stdout) == EOF ? fail_errno("write to standard output") : 0;
	json_close(w->json);
	text = json_writer_text(w->json, &len);
	return cmd_print(text, len);
}

static int run_action(struct cmd *c, const struct cow_options *o, const struct action *a)
{
	struct work w = { .c = c, .ct = CONTAINER_NONE, .colour = cmd_colour() };
	int ret = container_open(c, c->args[1], &w.ct), printed = 0;

	/* nobody is to start, delete or check it while it changes */
	if (!ret && a->check != check_any)
		ret = state_lock(&w.ct.dir);
	if (!ret)
		ret = container_refresh(c, &w.ct);
	if (!ret)
		ret = a->check(&w);
	if (!ret && o->json && a->lists) {
		w.json = json_writer_new(c->arena, true);
		json_open_array(w.json, NULL);
	}
	if (!ret)
		ret = do_all(&w, a);
	/* what was done until something failed was done */
	if (a->lists && (w.n || !ret)) {
		struct err kept = *err_last();

		printed = finish(&w);
		if (ret)
			err_set(&kept);
	}
	container_close(&w.ct);
	return ret ? ret : printed;
}

static int run_cow(struct cmd *c, const void *options)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(c->args[0], actions[i].name) == 0)
			return run_action(c, options, &actions[i]);
	return fail(EINVAL, "cow: \"%s\" is none of diff, commit, discard", c->args[0]);
}

const struct command cmd_cow = {
	.name = "cow",
	.args = "diff|commit|discard ID",
	.summary = "show, do or throw away what a container changed in copy-on-write directories",
	.text = "diff lists what a container has changed in the directories of its annotation "
		"run.thole.cow. commit makes the same changes in the directories themselves, and "
		"tells each, of one that has stopped, or is paused where no overlay mount is; where it "
		"was killed it can be run again. discard throws them away, of one that has stopped; "
		"delete does so, too.",
	.opts = CMD_OPTS(cow_rows),
	.size = sizeof(struct cow_options),
	.min_args = 2,
	.max_args = 2,
	.run = run_cow,
};
