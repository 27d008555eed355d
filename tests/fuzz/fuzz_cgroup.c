/* SPDX-License-Identifier: Apache-2.0 */
/* Texts the cgroup module parses: an annotation's GVariant, and /proc/self/mountinfo with
 * cgroup. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "jail/cgroup_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The two texts of the host stand one after the other, a line "--" between them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena a = arena_new();
	char *text = arena_strndup(a, (const char *)data, size);
	char *second = strstr(text, "\n--\n");
	struct cgroup_plan plan = { .manager = CGROUP_FS, .id = "box", .path = "a/b" };
	struct cgroup_trees trees;
	struct gvariant v;
	struct cgroup cg;

	if (!second) {
		if (gvariant_parse(a, text, &v) == 0 && (!v.type[0] || strlen(v.type) > 2))
			__builtin_trap();
		return 0;
	}
	*second = '\0';
	cgroup_host_parse(a, text, second + 4, &trees);
	for (size_t i = 0; i < trees.n; i++)
		if (strstr(trees.v[i].own, "/.."))
			__builtin_trap();
	if (cgroup_path_locate(a, &trees, &plan, &cg) == 0 && cg.n != trees.n)
		__builtin_trap();
	return 0;
}
