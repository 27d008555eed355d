/* SPDX-License-Identifier: Apache-2.0 */
/* spec, and what --version prints */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "oci/cmd.h"
#include "oci/spec.h"
#include "oci/state.h"
#include "oci/template.h"

struct spec_options {
	const char *bundle, *file;
	bool rootless;
};

#define AT(member) offsetof(struct spec_options, member)

static const struct opt spec_rows[] = {
	{ "bundle", 'b', OPT_TEXT, AT(bundle), "DIR", "the bundle (default: the working directory)",
	  NULL },
	{ "file", 'f', OPT_TEXT, AT(file), "FILE", "write to FILE (default: config.json)", NULL },
	{ "rootless", 0, OPT_FLAG, AT(rootless), NULL, "for an ordinary user: the caller", NULL },
};

static int run_spec(struct cmd *c, const void *options)
{
	const struct spec_options *o = options;
	const char *name = o->file ? o->file : STATE_CONFIG;
	const char *dir = o->bundle ? o->bundle : ".";
	auto_fd bundle = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd file = -1;
	const char *text;
	size_t len;
	int ret;

	if (bundle < 0)
		return fail_errno("open the bundle %s", dir);
	text = template_write(c->arena, o->rootless, geteuid(), getegid(), &len);
	/* somebody's work may be in the one that is there */
	file = openat(bundle, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (file < 0 && errno == EEXIST)
		return fail(EEXIST, "%s/%s exists already; remove it first", dir, name);
	if (file < 0)
		return fail_errno("create %s/%s", dir, name);
	ret = fd_write_all(file, text, len);
	if (!ret)
		return 0;
	unlinkat(bundle, name, 0);
	return fail(-ret, "write %s/%s: %s", dir, name, err_reason(-ret));
}

const struct command cmd_spec = {
	.name = "spec",
	.args = "",
	.summary = "write a config.json to start from",
	.opts = CMD_OPTS(spec_rows),
	.size = sizeof(struct spec_options),
	.max_args = 0,
	.run = run_spec,
};

/* Callers look for the word "version": it may stand in the first line only. */
void cmd_print_version(void)
{
	const struct scmp_version *v = seccomp_version();

	printf("thole version %s\ncommit: %s\nspec: %s\nlibseccomp: %u.%u.%u\n", PACKAGE_VERSION,
	       PACKAGE_COMMIT, SPEC_VERSION_MAX, v->major, v->minor, v->micro);
}
