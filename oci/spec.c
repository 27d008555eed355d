/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/spec.h"

#include <string.h>

#include "base/mem.h"
#include "oci/json.h"
#include "oci/spec_tables.h"

static const struct bind_field map_fields[] = {
	BIND(BIND_U32, struct ns_map, "containerID", inside, BIND_REQUIRED),
	BIND(BIND_U32, struct ns_map, "hostID", outside, BIND_REQUIRED),
	BIND(BIND_U32, struct ns_map, "size", size, BIND_REQUIRED),
};
const struct bind_table spec_map_table = BIND_TABLE(struct ns_map, map_fields);

static const struct bind_field root_fields[] = {
	BIND(BIND_STR, struct spec_root, "path", path, BIND_REQUIRED),
	BIND(BIND_BOOL, struct spec_root, "readonly", readonly),
};
static const struct bind_table root_table = BIND_TABLE(struct spec_root, root_fields);

static const struct bind_field mount_fields[] = {
	BIND(BIND_STR, struct spec_mount, "destination", destination, BIND_REQUIRED),
	BIND(BIND_STR, struct spec_mount, "type", type),
	BIND(BIND_STR, struct spec_mount, "source", source),
	BIND(BIND_STR, struct spec_mount, "options", options, BIND_AS(BIND_WORDS)),
	BIND(BIND_OBJECT, struct spec_mount, "uidMappings", uid_map, BIND_AS(BIND_LIST),
	     BIND_N(struct spec_mount, n_uid), BIND_BY(spec_map_table)),
	BIND(BIND_OBJECT, struct spec_mount, "gidMappings", gid_map, BIND_AS(BIND_LIST),
	     BIND_N(struct spec_mount, n_gid), BIND_BY(spec_map_table)),
};
static const struct bind_table mount_table = BIND_TABLE(struct spec_mount, mount_fields);

static const struct bind_field hook_fields[] = {
	BIND(BIND_STR, struct spec_hook, "path", path, BIND_REQUIRED),
	BIND(BIND_STR, struct spec_hook, "args", args, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_hook, "env", env, BIND_AS(BIND_WORDS)),
	BIND(BIND_I32, struct spec_hook, "timeout", timeout, BIND_AS(BIND_OPT)),
};
static const struct bind_table hook_table = BIND_TABLE(struct spec_hook, hook_fields);

const char *const spec_hook_names[HOOK_POINTS] = {
	[HOOK_PRESTART] = "prestart",
	[HOOK_CREATE_RUNTIME] = "createRuntime",
	[HOOK_CREATE_CONTAINER] = "createContainer",
	[HOOK_START_CONTAINER] = "startContainer",
	[HOOK_POSTSTART] = "poststart",
	[HOOK_POSTSTOP] = "poststop",
};

#define HOOKS(json_name, point)                                                       \
	BIND(BIND_OBJECT, struct spec, json_name, hooks[point].v, BIND_AS(BIND_LIST), \
	     BIND_N(struct spec, hooks[point].n), BIND_BY(hook_table))
static const struct bind_field hooks_fields[] = {
	HOOKS("prestart", HOOK_PRESTART),
	HOOKS("createRuntime", HOOK_CREATE_RUNTIME),
	HOOKS("createContainer", HOOK_CREATE_CONTAINER),
	HOOKS("startContainer", HOOK_START_CONTAINER),
	HOOKS("poststart", HOOK_POSTSTART),
	HOOKS("poststop", HOOK_POSTSTOP),
};
static const struct bind_table hooks_table = BIND_TABLE(struct spec, hooks_fields);

/* The objects hooks and linux hold nothing but lists: they are read into struct spec itself. */
static const struct bind_field spec_fields[] = {
	BIND(BIND_STR, struct spec, "ociVersion", version, BIND_REQUIRED),
	BIND(BIND_OBJECT, struct spec, "process", process, BIND_AS(BIND_PTR),
	     BIND_BY(spec_process_table)),
	BIND(BIND_OBJECT, struct spec, "root", root, BIND_AS(BIND_PTR), BIND_BY(root_table)),
	BIND(BIND_STR, struct spec, "hostname", hostname),
	BIND(BIND_STR, struct spec, "domainname", domainname),
	BIND(BIND_OBJECT, struct spec, "mounts", mounts, BIND_AS(BIND_LIST),
	     BIND_N(struct spec, n_mounts), BIND_BY(mount_table)),
	BIND(BIND_STR, struct spec, "annotations", annotations, BIND_AS(BIND_MAP),
	     BIND_N(struct spec, n_annotations)),
	{ .name = "hooks", .kind = BIND_OBJECT, .table = &hooks_table },
	{ .name = "linux", .kind = BIND_OBJECT, .table = &spec_linux_table },
};
static const struct bind_table spec_table = BIND_TABLE(struct spec, spec_fields);

int spec_bind(struct arena *a, const char *doc, const struct json *v, const struct spec **out)
{
	struct spec *s = arena_alloc(a, sizeof(*s));
	struct spec_process *p;
	int ret = bind_object(a, doc, "", v, &spec_table, s);

	if (ret)
		return ret;
	s->doc = doc;
	s->json = v;
	if (s->process) {
		p = arena_memdup(a, s->process, sizeof(*p));
		p->doc = doc;
		p->at = "process.";
		s->process = p;
	}
	*out = s;
	return 0;
}

int spec_bind_process(struct arena *a, const char *doc, const struct json *v,
		      const struct spec_process **out)
{
	struct spec_process *p = arena_alloc(a, sizeof(*p));
	int ret = bind_object(a, doc, "", v, &spec_process_table, p);

	if (ret)
		return ret;
	p->doc = doc;
	p->at = "";
	*out = p;
	return 0;
}

int spec_bind_resources(struct arena *a, const char *doc, const struct json *v,
			const struct spec_resources **out)
{
	struct spec_resources *r = arena_alloc(a, sizeof(*r));
	int ret = bind_object(a, doc, "", v, &spec_resources_table, r);

	if (!ret)
		*out = r;
	return ret;
}

int spec_load(struct arena *a, int dir, const char *path, const struct spec **out)
{
	const struct json *v;
	int ret = json_read(a, dir, path, &v);

	return ret ? ret : spec_bind(a, path, v, out);
}

int spec_load_process(struct arena *a, int dir, const char *path, const struct spec_process **out)
{
	const struct json *v;
	int ret = json_read(a, dir, path, &v);

	return ret ? ret : spec_bind_process(a, path, v, out);
}

int spec_load_resources(struct arena *a, int dir, const char *path,
			const struct spec_resources **out)
{
	const struct json *v;
	int ret = json_read(a, dir, path, &v);

	return ret ? ret : spec_bind_resources(a, path, v, out);
}

const struct spec_namespace *spec_namespace(const struct spec *s, enum ns_kind kind)
{
	for (size_t i = 0; i < s->n_namespaces; i++)
		if (s->namespaces[i].kind == kind)
			return &s->namespaces[i];
	return NULL;
}

const char *spec_annotation(const struct spec *s, const char *key)
{
	for (size_t i = 0; i < s->n_annotations; i++)
		if (strcmp(s->annotations[i].key, key) == 0)
			return s->annotations[i].value;
	return NULL;
}

bool spec_is_set(const struct spec *s, const char *key)
{
	const char *value = spec_annotation(s, key);

	return value && strcmp(value, "0") != 0 && strcmp(value, "false") != 0;
}

bool spec_keeps_groups(const struct spec *s)
{
	return spec_is_set(s, "run.oci.keep_original_groups");
}

bool spec_sysctl_file(const char *key, char *out, size_t size)
{
	const char *first = strpbrk(key, "./");
	bool trade = first && *first == '.';
	size_t n = strlen(key);

	if (n >= size)
		return false;
	memcpy(out, key, n + 1);
	for (char *p = out; trade && *p; p++) {
		if (*p == '.')
			*p = '/';
		else if (*p == '/')
			*p = '.';
	}
	return true;
}
