/* SPDX-License-Identifier: Apache-2.0 */
/* policy: what a bundle becomes, before it runs */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/build.h"
#include "oci/check.h"
#include "oci/cmd.h"
#include "oci/explain.h"
#include "oci/json.h"
#include "oci/spec.h"
#include "oci/state.h"

struct policy_options {
	const char *config;
	struct opt_list may;
	bool json, bpf, landlock, strict;
};

#define AT(member) offsetof(struct policy_options, member)

static const struct opt policy_rows[] = {
	{ "may", 0, OPT_LIST, AT(may), "QUESTION",
	  "answer this, and print nothing else that is not asked for (repeatable): open:PATH:MODE "
	  "(letters of rwx, c create, d remove), syscall:NAME[:ARG,ARG...], bind:PORT, "
	  "connect:PORT; exit status 1 unless every answer is yes",
	  NULL },
	{ "strict", 0, OPT_FLAG, AT(strict), NULL,
	  "exit status 1 where something asked for is kept by nobody here", NULL },
	{ "landlock", 0, OPT_FLAG, AT(landlock), NULL, "show the rows of the Landlock ruleset",
	  NULL },
	{ "bpf", 0, OPT_FLAG, AT(bpf), NULL,
	  "show the filter as a table of call numbers and as instructions", NULL },
	{ "json", 0, OPT_FLAG, AT(json), NULL, "print it all as JSON", NULL },
	{ "config", 'f', OPT_TEXT, AT(config), "FILE",
	  "the configuration (default: config.json in the bundle)", NULL },
};

/* Everything that is needed to look at a bundle. */
struct view {
	struct cmd *c;
	const struct policy_options *o;
	const struct spec *spec;
	struct sandbox sb;
	struct explain e;
	struct explain_answer *answers;
	bool refused, missing;
};

static int look(struct view *v)
{
	struct arena *a = v->c->arena;
	const char *path = v->c->n_args ? v->c->args[0] : ".";
	const char *name = v->o->config ? v->o->config : STATE_CONFIG;
	auto_fd bundle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct build_context context = {
		.id = "policy",
		.bundle_dir = bundle,
		.manager = cmd_manager(v->c->global),
		.rootless = state_rootless(a),
	};
	char real[PATH_MAX];
	int ret;

	if (bundle < 0 || !realpath(path, real))
		return fail_errno("open the bundle %s", path);
	context.bundle = arena_strdup(a, real);
	ret = spec_load(a, v->o->config ? AT_FDCWD : bundle, name, &v->spec);
	if (ret)
		return fail_in(ret, "the bundle %s", real);
	ret = check_spec(v->spec);
	if (!ret)
		ret = build_sandbox(a, v->spec, &context, &v->sb);
	return ret ? ret : explain_config(a, v->spec, &v->sb, &v->e);
}

static int answer_all(struct view *v)
{
	const struct opt_list *may = &v->o->may;
	int ret = 0;

	v->answers = arena_array(v->c->arena, may->n, sizeof(*v->answers));
	for (size_t i = 0; !ret && i < may->n; i++) {
		ret = explain_ask(&v->e, may->v[i], &v->answers[i]);
		v->refused |= v->answers[i].may != MAY_YES;
	}
	for (size_t i = 0; i < v->e.n_lines; i++)
		v->missing |= v->e.lines[i].missing != NULL;
	return ret;
}

static int print_json(const struct view *v)
{
	struct json_writer *w = json_writer_new(v->c->arena, true);
	const char *text;
	size_t len;

	json_open_object(w, NULL);
	explain_put_lines(w, &v->e);
	explain_put_landlock(w, &v->e);
	explain_put_filter(w, &v->e, v->o->bpf);
	json_open_array(w, "answers");
	for (size_t i = 0; i < v->o->may.n; i++)
		explain_put_answer(w, &v->answers[i]);
	json_close(w);
	json_close(w);
	text = json_writer_text(w, &len);
	return cmd_print(text, len);
}

static int print_text(const struct view *v)
{
	const struct explain_page page = { .out = stdout, .colour = cmd_colour() };
	bool all = !v->o->may.n && !v->o->landlock && !v->o->bpf;

	if (all)
		explain_print_lines(&page, &v->e);
	if (v->o->landlock)
		explain_print_landlock(&page, &v->e, true);
	if (all || v->o->bpf)
		explain_print_filter(&page, &v->e, v->o->bpf);
	for (size_t i = 0; i < v->o->may.n; i++)
		explain_print_answer(&page, &v->e, &v->answers[i]);
	return fflush(stdout) == EOF ? fail_errno("write to standard output") : 0;
}

static int run_policy(struct cmd *c, const void *options)
{
	struct view v = { .c = c, .o = options };
	int ret = look(&v);

	if (!ret)
		ret = answer_all(&v);
	if (!ret)
		ret = v.o->json ? print_json(&v) : print_text(&v);
	if (ret)
		return ret;
	return v.refused || (v.o->strict && v.missing);
}

const struct command cmd_policy = {
	.name = "policy",
	.args = "[BUNDLE]",
	.summary = "tell what a bundle becomes and who keeps it, before it runs",
	.text = "Tells for each line of a bundle's config.json (default: of the working directory) "
		"what it becomes and who keeps it on this kernel: Landlock, a mount, seccomp, a "
		"namespace, a cgroup, a capability, or nobody. Nothing is run or changed. What is "
		"said of files leaves out their owners and modes.",
	.opts = CMD_OPTS(policy_rows),
	.size = sizeof(struct policy_options),
	.max_args = 1,
	.run = run_policy,
};
