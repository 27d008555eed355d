/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the program of a bundle's seccomp section to a file, for bare to install: the same filter
 * that the container gets.
 *
 *	filter BUNDLE FILE
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "bpf/filter.h"
#include "oci/build.h"
#include "oci/spec.h"

static int write_filter(const char *bundle, const char *path)
{
	auto_arena a = arena_new();
	auto_fd dir = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct build_context context = { .id = "bench", .bundle = bundle, .bundle_dir = dir };
	const struct spec *s;
	struct sandbox sb = { 0 };
	struct filter f;
	int ret;

	if (dir < 0 || out < 0)
		return fail_errno("open %s", dir < 0 ? bundle : path);
	ret = spec_load(a, dir, "config.json", &s);
	if (!ret)
		ret = build_sandbox(a, s, &context, &sb);
	if (ret || !sb.seccomp)
		return ret ? ret : fail(ENOENT, "%s has no seccomp section", bundle);
	ret = filter_build(a, sb.seccomp, &f);
	return ret ? ret : fd_write_all(out, f.code, f.len * sizeof(*f.code));
}

int main(int argc, char **argv)
{
	if (argc != 3 || write_filter(argv[1], argv[2])) {
		fprintf(stderr, "filter: %s\n",
			argc == 3 ? err_last()->text : "usage: filter BUNDLE FILE");
		return 1;
	}
	return 0;
}
