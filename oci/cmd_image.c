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
	{ "json", 0, OPT_FLAG, offsetof(struct image_options, json), NULL, "inspect: as JSON",
	  NULL },
	{ "layout", 0, OPT_TEXT, offsetof(struct image_options, layout), "tree",
	  "convert: a folder a process", layout_words },
};

/* What inspect shows of it. */
static int show_json(struct cmd *c, struct image *im)
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
	json_open_array(w, "pids");
	for (size_t i = 0; i < m->n_pids; i++)
		json_put_u64(w, NULL, m->pids[i]);
	json_close(w);
	json_close(w);
	text = json_writer_text(w, &len);
	return cmd_print(text, len);
}

static int show_text(struct cmd *c, struct image *im)
{
	const struct image_meta *m = image_meta(im);
	char *text;

	text = arena_printf(c->arena,
			    "container  %s\ncreated    %s\nruntime    %s\nkernel     %s (%s)\n"
			    "processes  %zu\nbytes      %llu\n",
			    m->id, m->created, m->runtime, m->kernel, m->machine, m->n_pids,
			    (unsigned long long)image_size(im));
	return cmd_print(text, strlen(text));
}

static int inspect(struct cmd *c, struct image *im, const struct image_options *o)
{
	return o->json ? show_json(c, im) : show_text(c, im);
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
	if (!o->layout || c->n_args != 3)
		return fail(EINVAL, "image: it is thole image convert --layout=tree DIR OUT");
	return image_tree(c->arena, im, c->args[2]);
}

static const struct {
	const char *name;
	int (*run)(struct cmd *c, struct image *im, const struct image_options *o);
} actions[] = {
	{ "inspect", inspect },
	{ "verify", verify },
	{ "convert", convert },
};

static int run_image(struct cmd *c, const void *options)
{
	struct image *im;
	int ret;

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(c->args[0], actions[i].name) != 0)
			continue;
		ret = image_open(c->arena, c->args[1], NULL, &image_json, &im);
		if (ret)
			return ret;
		ret = actions[i].run(c, im, options);
		image_close(im);
		return ret;
	}
	return fail(EINVAL, "image: \"%s\" is none of inspect, verify, convert", c->args[0]);
}

const struct command cmd_image = {
	.name = "image",
	.args = "inspect|verify|convert DIR [OUT]",
	.summary = "show, check or convert the image of a checkpoint",
	.text = "inspect shows what the image in a directory is; verify reads all of it and compares the "
		"digests; convert writes it to another directory in another layout.",
	.opts = CMD_OPTS(rows),
	.size = sizeof(struct image_options),
	.min_args = 2,
	.max_args = 3,
	.run = run_image,
};
