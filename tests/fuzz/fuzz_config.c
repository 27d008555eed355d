/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a config goes through before anything is created: read, bind, check, translate. The same
 * bytes are tried as the files of exec and update as well.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/build.h"
#include "oci/check.h"
#include "oci/json.h"
#include "oci/spec.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

/* Who fails has to say why. */
static int explained(int ret)
{
	if (ret && !err_last()->code)
		abort();
	err_clear();
	return ret;
}

static void try_process(struct arena *a, const struct json *v, const struct spec *s)
{
	const struct spec_process *p;
	struct sandbox_process out;

	if (!explained(spec_bind_process(a, "process.json", v, &p)) &&
	    !explained(check_process(s, p)))
		explained(build_process(a, s, p, &out));
}

static void try_resources(struct arena *a, const struct json *v)
{
	const struct spec_resources *r;

	if (!explained(spec_bind_resources(a, "resources.json", v, &r)))
		explained(check_resources(r, "resources.json", ""));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct spec empty = { .doc = "config.json" };
	static const struct build_context context = {
		.id = "fuzz",
		.bundle = "/bundle",
		.bundle_dir = -1,
		.manager = CGROUP_FS,
	};
	auto_arena a = arena_new();
	const struct spec *s = &empty;
	const struct json *v;
	struct sandbox sb;

	if (explained(json_parse(a, "config.json", (const char *)data, size, &v)))
		return 0;
	try_process(a, v, &empty);
	try_process(a, json_get(v, "process") ? json_get(v, "process") : v, &empty);
	try_resources(a, v);
	if (explained(spec_bind(a, "config.json", v, &s)) || explained(check_spec(s)))
		return 0;
	explained(build_sandbox(a, s, &context, &sb));
	return 0;
}
