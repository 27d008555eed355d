/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "oci/build_priv.h"

#define PROPERTY_PREFIX "org.systemd.property."
#define OWN_PREFIX "run.thole."

struct setting {
	struct arena *a;
	const struct spec *s;
	const char *key, *value;
	struct sandbox *out;
};

static int refuse(const struct setting *t, const char *why)
{
	return fail(EINVAL, "%s: annotations.%s: %s", t->s->doc, t->key, why);
}

/* The next of the words between commas; NULL at the end. *rest moves on. */
static char *next_word(struct arena *a, const char **rest)
{
	size_t n;
	char *word;

	*rest += strspn(*rest, ", ");
	if (!**rest)
		return NULL;
	n = strcspn(*rest, ",");
	word = arena_strndup(a, *rest, n);
	*rest += n;
	while (n && word[n - 1] == ' ')
		word[--n] = '\0';
	return word;
}

static int set_landlock_mode(const struct setting *t)
{
	static const struct name_row modes[] = {
		{ "auto", LANDLOCK_AUTO },
		{ "enforce", LANDLOCK_ENFORCE },
		{ "off", LANDLOCK_OFF },
	};
	const struct name_row *mode = name_find(modes, NAME_COUNT(modes), t->value);

	if (!mode)
		return refuse(t, "must be auto, enforce or off");
	t->out->landlock.mode = (enum landlock_mode)mode->value;
	return 0;
}

/* "80" or "8000-8010" */
static int parse_ports(char *word, struct landlock_range *out)
{
	char *dash = strchr(word, '-');
	uint64_t first, last;

	if (dash)
		*dash = '\0';
	if (num_u64(word, 0, UINT16_MAX, &first) ||
	    num_u64(dash ? dash + 1 : word, first, UINT16_MAX, &last))
		return -EINVAL;
	*out = (struct landlock_range){ (uint16_t)first, (uint16_t)last };
	return 0;
}

/* The names of the annotations that list ports, by the bit of their right. */
static const char *const port_keys[LANDLOCK_PORT_LISTS] = {
	"run.thole.landlock.bind",
	"run.thole.landlock.connect",
	"run.thole.landlock.bind.udp",
	"run.thole.landlock.connect.udp",
};

static int set_landlock_ports(const struct setting *t)
{
	struct landlock_range *ranges = NULL;
	struct landlock_ports *list;
	const char *rest = t->value;
	size_t cap = 0, i = 0;
	char *word;

	while (strcmp(port_keys[i], t->key) != 0)
		i++;
	list = &t->out->landlock.ports[i];
	*list = (struct landlock_ports){
		.where = arena_printf(t->a, "annotations.%s", t->key),
		.set = true,
	};
	while ((word = next_word(t->a, &rest))) {
		ranges = arena_grow(t->a, ranges, list->n, &cap, sizeof(*ranges));
		if (parse_ports(word, &ranges[list->n++]))
			return refuse(t, "must be a list of ports like 80,8000-8010");
	}
	list->ranges = ranges;
	return 0;
}

static int set_landlock_scope(const struct setting *t)
{
	const char *rest = t->value;
	uint64_t scope;
	char *word;

	t->out->landlock.has_scope = true;
	while ((word = next_word(t->a, &rest))) {
		scope = landlock_right(LANDLOCK_SCOPE, word);
		if (!scope)
			return refuse(t, "must be a list of abstract_unix_socket, signal");
		t->out->landlock.scope |= scope;
	}
	return 0;
}

/* A name, a number (the bits of LANDLOCK_ACCESS_FS_*), or "ro" and "rw", which are short for what
 * a mount of that kind grants. 0 for none of them. */
static uint64_t rights_of(const char *word)
{
	uint64_t all = landlock_all(LANDLOCK_FS, LANDLOCK_ABI_NEWEST);
	uint64_t bits;

	if (strcmp(word, "ro") == 0)
		return LL_EXECUTE | LL_READ_FILE | LL_READ_DIR | LL_RESOLVE_UNIX;
	if (strcmp(word, "rw") == 0)
		return all;
	if (str_starts(word, "0x") ? num_hex(word + 2, strlen(word + 2), &bits) == 0
				   : num_u64(word, 1, all, &bits) == 0)
		return bits & ~all ? 0 : bits;
	return landlock_right(LANDLOCK_FS, word);
}

/* "/data:read_file+read_dir" */
static int read_extra(const struct setting *t, char *word, struct landlock_extra *out)
{
	char *colon = strrchr(word, ':');
	char *name, *plus;
	uint64_t rights;

	if (!colon || word[0] != '/')
		return refuse(t, "must be a list of PATH:RIGHT+RIGHT... with absolute paths");
	*colon = '\0';
	out->path = word;
	for (name = colon + 1; name; name = plus ? plus + 1 : NULL) {
		plus = strchr(name, '+');
		if (plus)
			*plus = '\0';
		rights = rights_of(name);
		if (!rights)
			return fail(EINVAL, "%s: annotations.%s: \"%.40s\" is no Landlock right",
				    t->s->doc, t->key, name);
		out->rights |= rights;
	}
	return 0;
}

static int set_landlock_extra(const struct setting *t)
{
	struct landlock_plan *l = &t->out->landlock;
	struct landlock_extra *extra = NULL;
	const char *rest = t->value;
	size_t n = 0, cap = 0;
	char *word;
	int ret;

	while ((word = next_word(t->a, &rest))) {
		extra = arena_grow(t->a, extra, n, &cap, sizeof(*extra));
		ret = read_extra(t, word, &extra[n++]);
		if (ret)
			return ret;
	}
	l->extra = extra;
	l->n_extra = n;
	return 0;
}

static int refuse_second_listener(const struct setting *t)
{
	if (!t->out->seccomp_listener)
		return 0;
	return refuse(t, "the seccomp profile notifies (SCMP_ACT_NOTIFY), and a process can have "
			 "one listener only");
}

static int set_ports(const struct setting *t)
{
	if (strcmp(t->value, "remap") != 0)
		return refuse(t, "must be remap");
	t->out->super.ports = true;
	return refuse_second_listener(t);
}

static int set_time(const struct setting *t)
{
	struct super_plan *p = &t->out->super;
	bool begins = str_ends(t->key, ".start");
	const char *why;

	if (p->time)
		return refuse(t,
			      "run.thole.time.offset and run.thole.time.start exclude each other");
	why = begins ? build_time_start(t->value, &p->wall) : build_time_offset(t->value, &p->wall);
	if (why)
		return refuse(t, why);
	p->time = true;
	return refuse_second_listener(t);
}

static int set_subgroup(const struct setting *t)
{
	t->out->cgroup.subgroup = t->value;
	return 0;
}

/* What build_hooks() reads. */
static int check_hooks_output(const struct setting *t)
{
	return t->value[0] == '/' ? 0 : refuse(t, "must be an absolute path");
}

/* Read where the field they change is built. */
static int read_elsewhere(const struct setting *t)
{
	(void)t;
	return 0;
}

static int refuse_handler(const struct setting *t)
{
	if (!*t->value)
		return 0;
	return fail(EINVAL,
		    "%s: annotations.%s: the handler \"%.40s\" is not available: only programs of "
		    "this machine can be run",
		    t->s->doc, t->key, t->value);
}

/* A pod's own container holds no program of the image. */
static int refuse_wasm(const struct setting *t)
{
	const char *kind = spec_annotation(t->s, "io.kubernetes.cri.container-type");

	if (!str_starts(t->value, "compat") || (kind && strcmp(kind, "sandbox") == 0))
		return 0;
	return refuse(t, "WebAssembly is not available: only programs of this machine can be run");
}

static int refuse_unsupported(const struct setting *t)
{
	return refuse(t, "is not supported, and running without it is not what was asked for");
}

static const struct {
	const char *key;
	int (*apply)(const struct setting *t);
} settings[] = {
	{ "run.thole.landlock", set_landlock_mode },
	{ "run.thole.landlock.bind", set_landlock_ports },
	{ "run.thole.landlock.connect", set_landlock_ports },
	{ "run.thole.landlock.bind.udp", set_landlock_ports },
	{ "run.thole.landlock.connect.udp", set_landlock_ports },
	{ "run.thole.landlock.scope", set_landlock_scope },
	{ "run.thole.landlock.extra", set_landlock_extra },
	{ "run.thole.ports", set_ports },
	{ "run.thole.time.offset", set_time },
	{ "run.thole.time.start", set_time },
	{ BUILD_COW, read_elsewhere },
	{ BUILD_COW_BACKEND, read_elsewhere },
	{ BUILD_MAP, read_elsewhere },
	{ "run.oci.systemd.subgroup", set_subgroup },
	{ "run.oci.hooks.stdout", check_hooks_output },
	{ "run.oci.hooks.stderr", check_hooks_output },
	{ "run.oci.keep_original_groups", read_elsewhere },
	{ "run.oci.pidfd_receiver", read_elsewhere },
	{ "run.oci.mount_context_type", read_elsewhere },
	{ "run.oci.seccomp.receiver", read_elsewhere },
	{ "run.oci.seccomp_fail_unknown_syscall", read_elsewhere },
	{ "run.oci.handler", refuse_handler },
	{ "module.wasm.image/variant", refuse_wasm },
	{ "run.oci.seccomp.plugins", refuse_unsupported },
	{ "run.oci.seccomp_bpf_data", refuse_unsupported },
	{ "run.oci.delegate-cgroup", refuse_unsupported },
	{ "run.oci.systemd.force_cgroup_v1", refuse_unsupported },
};

static int apply_one(const struct setting *t)
{
	for (size_t i = 0; i < NAME_COUNT(settings); i++)
		if (strcmp(settings[i].key, t->key) == 0)
			return settings[i].apply(t);
	if (str_starts(t->key, OWN_PREFIX))
		return refuse(t, "is unknown to this version");
	return 0;
}

/* systemd's property names are letters only; fewer than three make none. */
static bool is_property(const char *name)
{
	size_t n = 0;

	while (isalpha((unsigned char)name[n]))
		n++;
	return n >= 3 && !name[n];
}

static int add_property(const struct setting *t, struct cgroup_property *properties)
{
	const char *name = t->key + strlen(PROPERTY_PREFIX);

	if (!is_property(name))
		return refuse(t, "the name of a systemd property is at least three letters");
	properties[t->out->cgroup.n_properties++] = (struct cgroup_property){ name, t->value };
	return 0;
}

int build_annotations(struct arena *a, const struct spec *s, struct sandbox *out)
{
	struct cgroup_property *properties = NULL;
	int ret;

	for (size_t i = 0; i < s->n_annotations; i++) {
		struct setting t = { a, s, s->annotations[i].key, s->annotations[i].value, out };

		if (!str_starts(t.key, PROPERTY_PREFIX)) {
			ret = apply_one(&t);
		} else {
			if (!properties)
				properties = arena_array(a, s->n_annotations, sizeof(*properties));
			ret = add_property(&t, properties);
		}
		if (ret)
			return ret;
	}
	out->cgroup.properties = properties;
	return 0;
}
