/* SPDX-License-Identifier: Apache-2.0 */
/* image: what a checkpoint wrote */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/ckpt.h"
#include "ckpt/image.h"
#include "ckpt/image_tree.h"
#include "oci/ckpt_diff.h"
#include "oci/cmd.h"
#include "oci/image_json.h"
#include "oci/json.h"
#include "oci/progress.h"

struct image_options {
	bool json;
	const char *layout;
};

static const char *const layout_words[] = { "tree", NULL };

static const struct opt rows[] = {
	{ "json", 0, OPT_FLAG, offsetof(struct image_options, json), NULL, "inspect, diff: as JSON",
	  NULL },
	{ "layout", 0, OPT_TEXT, offsetof(struct image_options, layout), "tree",
	  "convert: a folder a process", layout_words },
};

/* One process, as far as it is shown. */
struct process {
	uint64_t pid, parent;
	size_t threads, fds;
	uint64_t bytes; /* of memory */
	bool ended;
	const char *name, *program; /* NULL where it has ended */
};

static int read_json(struct cmd *c, struct image *im, uint64_t pid, const char *what,
		     const struct json **out)
{
	const char *name = arena_printf(c->arena, "process.%llu.%s", (unsigned long long)pid, what);
	const void *text;
	size_t len;
	int ret = image_get(im, name, IMAGE_RECORD_MAX, &text, &len);

	return ret ? ret : json_parse_large(c->arena, name, text, len, IMAGE_RECORD_MAX, out);
}

static uint64_t saved_pages(const struct json *map)
{
	const struct json *list = json_get(map, "mappings");
	uint64_t sum = 0, n;

	for (const struct json *e = list ? list->first : NULL; e; e = e->next)
		if (json_u64(json_get(e, "pages"), 0, UINT64_MAX, &n) == 0)
			sum += n;
	return sum;
}

static int read_process(struct cmd *c, struct image *im, uint64_t pid, struct process *out)
{
	const struct json *info, *fds, *map, *list;
	int ret = read_json(c, im, pid, "info.json", &info);

	*out = (struct process){ .pid = pid };
	if (ret)
		return ret;
	out->ended = json_bool(json_get(info, "zombie"));
	json_u64(json_get(info, "parent"), 0, UINT64_MAX, &out->parent);
	if (out->ended)
		return 0;
	ret = read_json(c, im, pid, "fds.json", &fds);
	if (!ret)
		ret = read_json(c, im, pid, "memory_map.json", &map);
	if (ret)
		return ret;
	list = json_get(info, "threads");
	out->threads = list ? list->n : 0;
	out->name = list ? json_str(json_get(json_get(list->first, "thread"), "name")) : NULL;
	list = json_get(fds, "fds");
	out->fds = list ? list->n : 0;
	out->bytes = saved_pages(map) * image_meta(im)->page_size;
	out->program = json_str(json_get(json_get(info, "mm"), "exe"));
	return 0;
}

static int read_processes(struct cmd *c, struct image *im, struct process **out)
{
	const struct image_meta *m = image_meta(im);
	struct process *all = arena_array(c->arena, m->n_pids ? m->n_pids : 1, sizeof(*all));
	int ret = 0;

	for (size_t i = 0; i < m->n_pids && !ret; i++)
		ret = read_process(c, im, m->pids[i], &all[i]);
	*out = all;
	return ret;
}

static void put_process(struct json_writer *w, const struct process *p)
{
	json_open_object(w, NULL);
	json_put_u64(w, "pid", p->pid);
	json_put_u64(w, "parent", p->parent);
	json_put_bool(w, "ended", p->ended);
	if (!p->ended) {
		json_put_u64(w, "threads", p->threads);
		json_put_u64(w, "fds", p->fds);
		json_put_u64(w, "bytes", p->bytes);
		json_put_str(w, "name", p->name);
		json_put_str(w, "program", p->program);
	}
	json_close(w);
}

static int show_json(struct cmd *c, struct image *im, const struct process *all)
{
	const struct image_meta *m = image_meta(im);
	struct json_writer *w = json_writer_new(c->arena, true);
	const char *text;
	size_t len;

	json_open_object(w, NULL);
	json_put_u64(w, "version", m->version);
	json_put_str(w, "id", m->id);
	json_put_str(w, "created", m->created);
	json_put_str(w, "runtime", m->runtime);
	json_put_str(w, "kernel", m->kernel);
	json_put_str(w, "machine", m->machine);
	json_put_u64(w, "pageSize", m->page_size);
	json_put_u64(w, "bytes", image_size(im));
	if (image_parent(im))
		json_put_str(w, "parent", image_path(image_parent(im)));
	json_open_array(w, "processes");
	for (size_t i = 0; i < m->n_pids; i++)
		put_process(w, &all[i]);
	json_close(w);
	json_close(w);
	text = json_writer_text(w, &len);
	return cmd_print(text, len);
}

static void show_process(const struct process *p)
{
	char program[512] = "";
	struct str s = STR_ON(program);

	if (p->ended) {
		printf("%7llu %7llu  (has ended)\n", (unsigned long long)p->pid,
		       (unsigned long long)p->parent);
		return;
	}
	str_add_json(&s, p->program ? p->program : "");
	printf("%7llu %7llu %8zu %6zu %9llu  %s\n", (unsigned long long)p->pid,
	       (unsigned long long)p->parent, p->threads, p->fds,
	       (unsigned long long)(p->bytes >> 10), program);
}

static int show_text(struct image *im, const struct process *all)
{
	const struct image_meta *m = image_meta(im);

	printf("container  %s\ncreated    %s\nruntime    %s\nkernel     %s (%s)\nbytes      %llu\n",
	       m->id, m->created, m->runtime, m->kernel, m->machine,
	       (unsigned long long)image_size(im));
	if (image_parent(im))
		printf("builds on  %s\n", image_path(image_parent(im)));
	printf("\n%7s %7s %8s %6s %9s  %s\n", "PID", "PARENT", "THREADS", "FDS", "KIB", "PROGRAM");
	for (size_t i = 0; i < m->n_pids; i++)
		show_process(&all[i]);
	return fflush(stdout) == EOF ? fail_errno("write to standard output") : 0;
}

static int inspect(struct cmd *c, struct image *im, const struct image_options *o)
{
	struct process *all;
	int ret = read_processes(c, im, &all);

	if (ret)
		return ret;
	return o->json ? show_json(c, im, all) : show_text(im, all);
}

static void tell_damaged(void *ctx, const char *name, uint64_t size, int result)
{
	struct progress *p = ctx;

	(void)name;
	(void)size;
	if (!result)
		return;
	progress_end(p);
	fprintf(stderr, "thole: %s\n", err_last()->text);
}

static int verify(struct cmd *c, struct image *im, const struct image_options *o)
{
	struct progress p;
	const struct image_audience audience = { tell_damaged, progress_add, &p };
	int ret;

	(void)o;
	progress_begin(&p, "verify", image_size(im));
	ret = image_verify(im, &audience);
	progress_end(&p);
	if (ret)
		return fail(EBADMSG, "the image is damaged");
	ret = ckpt_look_over(c->arena, im, &image_json);
	return ret ? ret : cmd_print("ok\n", 3);
}

static int convert(struct cmd *c, struct image *im, const struct image_options *o)
{
	if (!o->layout)
		return fail(EINVAL, "image: it is thole image convert --layout=tree DIR OUT");
	return image_tree(c->arena, im, c->args[2]);
}

/* As diff(1): 1 where they differ. */
static int diff(struct cmd *c, struct image *im, const struct image_options *o)
{
	struct ckpt_differences d = { 0 };
	struct image *other;
	const char *text;
	size_t len;
	int ret;

	ret = image_open(c->arena, c->args[2], NULL, &image_json, &other);
	if (ret)
		return ret;
	ret = ckpt_diff(c->arena, im, other, &d);
	if (!ret && o->json) {
		text = ckpt_diff_json(c->arena, &d, &len);
		ret = cmd_print(text, len);
	} else if (!ret) {
		ckpt_diff_text(c->arena, &d, stdout, cmd_colour());
		ret = fflush(stdout) == EOF ? fail_errno("write to standard output") : 0;
	}
	image_close(other);
	return ret ? ret : d.n != 0;
}

static const struct {
	const char *name, *use;
	size_t n_args;
	int (*run)(struct cmd *c, struct image *im, const struct image_options *o);
} actions[] = {
	{ "inspect", "inspect DIR", 2, inspect },
	{ "verify", "verify DIR", 2, verify },
	{ "convert", "convert --layout=tree DIR OUT", 3, convert },
	{ "diff", "diff DIR OTHER", 3, diff },
};

static int run_image(struct cmd *c, const void *options)
{
	struct image *im;
	int ret;

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(c->args[0], actions[i].name) != 0)
			continue;
		if (c->n_args != actions[i].n_args)
			return fail(EINVAL, "image: it is thole image %s", actions[i].use);
		ret = image_open(c->arena, c->args[1], NULL, &image_json, &im);
		if (ret)
			return ret;
		ret = actions[i].run(c, im, options);
		image_close(im);
		return ret;
	}
	return fail(EINVAL, "image: \"%s\" is none of inspect, verify, convert, diff", c->args[0]);
}

const struct command cmd_image = {
	.name = "image",
	.args = "inspect|verify|convert|diff DIR [OUT|OTHER]",
	.summary = "show, check, convert or compare images of checkpoints",
	.text = "inspect shows what the image in a directory is. verify reads all of it, compares the digests "
		"and checks what the records say of one another. convert writes it to a new directory OUT as "
		"a folder a process: meta.json, process/info.json, fds.json, memory_map.json, "
		"process/memory/<i>.bin for each mapping, process/threads/<n>.bin. diff tells what another "
		"image has otherwise, field by field and in changed pages, with status 1 where anything is.",
	.opts = CMD_OPTS(rows),
	.size = sizeof(struct image_options),
	.min_args = 2,
	.max_args = 3,
	.run = run_image,
};
