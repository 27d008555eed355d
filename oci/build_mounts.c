/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "oci/build_priv.h"

#define DEVICE_MODE 0666

/* One line of ids: "@10-20-30", start in the file system, start outside, length. */
static int parse_triple(const char *text, size_t len, bool *relative, struct ns_map *out)
{
	uint32_t *const parts[] = { &out->inside, &out->outside, &out->size };
	char number[16];
	uint64_t v;
	size_t n;

	*relative = len && text[0] == '@';
	text += *relative;
	len -= *relative;
	for (size_t i = 0; i < NAME_COUNT(parts); i++) {
		const char *dash = memchr(text, '-', len);

		if ((i + 1 < NAME_COUNT(parts)) != (dash != NULL))
			return -EINVAL;
		n = dash ? (size_t)(dash - text) : len;
		if (n >= sizeof(number))
			return -EINVAL;
		memcpy(number, text, n);
		number[n] = '\0';
		if (num_u64(number, 0, UINT32_MAX, &v))
			return -EINVAL;
		*parts[i] = (uint32_t)v;
		text += n + 1;
		len -= dash ? n + 1 : n;
	}
	return 0;
}

/* "0-1000-10#10-2000-5": lines between the signs '#'. With '@' the second is an id inside own. */
static int parse_lines(struct arena *a, const char *text, size_t len, const struct ns_map *own,
		       size_t n_own, const struct ns_map **out, size_t *out_n)
{
	/* lint: parameters: a text, the maps it may refer to, and the maps it becomes */
	struct ns_map *maps = NULL;
	size_t cap = 0, n = 0, part;
	bool relative;

	for (; len; text += part, len -= part) {
		part = memchr(text, '#', len) ? (size_t)((char *)memchr(text, '#', len) - text)
					      : len;
		maps = arena_grow(a, maps, n, &cap, sizeof(*maps));
		if (parse_triple(text, part, &relative, &maps[n]))
			return -EINVAL;
		if (relative && ns_map_out(own, n_own, maps[n].outside, &maps[n].outside))
			return -EINVAL;
		n++;
		part += part < len;
	}
	*out = maps;
	*out_n = n;
	return n ? 0 : -EINVAL;
}

/* crun's form of the option: "idmap=uids=0-1000-10#...;gids=0-1000-10". */
static int parse_idmap(struct arena *a, const struct spec *s, const char *value,
		       struct ns_maps *out)
{
	const char *end;
	int ret = 0;

	for (const char *p = value; *p && !ret; p = *end ? end + 1 : end) {
		end = p + strcspn(p, ";");
		if (str_starts(p, "uids="))
			ret = parse_lines(a, p + 5, (size_t)(end - p) - 5, s->uid_map, s->n_uid,
					  &out->uid, &out->n_uid);
		else if (str_starts(p, "gids="))
			ret = parse_lines(a, p + 5, (size_t)(end - p) - 5, s->gid_map, s->n_gid,
					  &out->gid, &out->n_gid);
		else
			ret = -EINVAL;
	}
	return ret || !out->n_uid || !out->n_gid ? -EINVAL : 0;
}

/* An option that is no word of mount_option(): ids, or data for the file system. */
static int other_option(struct arena *a, const struct spec *s, size_t i, const char *option,
			struct mount_plan *m)
{
	bool recursive = str_starts(option, "ridmap=");

	if (!recursive && !str_starts(option, "idmap=")) {
		m->data = m->data ? arena_printf(a, "%s,%s", m->data, option) : option;
		return 0;
	}
	m->extra |= MOUNT_IDMAP | (recursive ? MOUNT_RIDMAP : 0);
	if (parse_idmap(a, s, strchr(option, '=') + 1, &m->maps))
		return fail(
			EINVAL,
			"%s: mounts[%zu].options: \"%.80s\" is not idmap=uids=ID-ID-N#...;gids=...",
			s->doc, i, option);
	return 0;
}

/* SELinux knows no labels for these, or the engine sets them on the mount itself. */
static bool takes_label(const char *type)
{
	static const char *const types[] = { "proc", "sysfs", "mqueue", "cgroup", "cgroup2" };

	return !str_in(type, types, sizeof(types) / sizeof(types[0]));
}

int build_label(struct arena *a, const struct spec *s, const char **out)
{
	static const char *const words[] = { "context", "fscontext", "defcontext", "rootcontext" };
	const char *word = spec_annotation(s, "run.oci.mount_context_type");

	if (!word)
		word = "context";
	if (!str_in(word, words, sizeof(words) / sizeof(words[0])))
		return fail(EINVAL,
			    "%s: annotations.run.oci.mount_context_type: \"%.40s\" is unknown "
			    "(known: context, fscontext, defcontext, rootcontext)",
			    s->doc, word);
	*out = arena_printf(a, "%s=\"%s\"", word, s->mount_label);
	return 0;
}

static int build_mount(struct arena *a, const struct spec *s, const struct build_context *c,
		       size_t i, struct mount_plan *m)
{
	const struct spec_mount *from = &s->mounts[i];
	const char *type = from->type ? from->type : "";
	int ret = 0;

	m->where = arena_printf(a, "mounts[%zu]", i);
	m->target = from->destination[0] == '/' ? from->destination
						: arena_printf(a, "/%s", from->destination);
	m->maps = (struct ns_maps){ from->uid_map, from->gid_map, from->n_uid, from->n_gid };
	for (size_t k = 0; !ret && from->options && from->options[k]; k++)
		if (*from->options[k] && !mount_option(m, from->options[k]))
			ret = other_option(a, s, i, from->options[k], m);
	if (ret)
		return ret;
	if (from->n_uid)
		m->extra |= MOUNT_IDMAP;
	m->recursive |= strcmp(type, "rbind") == 0;
	m->bind |= strcmp(type, "bind") == 0 || strcmp(type, "rbind") == 0;
	if (m->extra & MOUNT_REMOUNT)
		return 0;
	m->source = from->source;
	if (!m->bind)
		m->fstype = type;
	else if (from->source[0] != '/')
		m->source = arena_printf(a, "%s/%s", c->bundle, from->source);
	if (!m->bind && build_text(s->mount_label) && takes_label(type))
		ret = build_label(a, s, &m->label);
	return ret;
}

int build_mounts(struct arena *a, const struct spec *s, const struct build_context *c,
		 struct rootfs_plan *out)
{
	struct mount_plan *mounts = arena_array(a, s->n_mounts, sizeof(*mounts));

	for (size_t i = 0; i < s->n_mounts; i++) {
		int ret = build_mount(a, s, c, i, &mounts[i]);

		if (ret)
			return ret;
	}
	out->mounts = mounts;
	out->n_mounts = s->n_mounts;
	return 0;
}

void build_devices(struct arena *a, const struct spec *s, struct rootfs_plan *out)
{
	struct rootfs_device *devices = arena_array(a, s->n_devices, sizeof(*devices));

	for (size_t i = 0; i < s->n_devices; i++) {
		const struct spec_device *d = &s->devices[i];

		devices[i] = (struct rootfs_device){
			.path = d->path,
			.mode = d->type | (d->mode.set ? (mode_t)d->mode.v & 07777 : DEVICE_MODE),
			.major = (uint32_t)d->major.v,
			.minor = (uint32_t)d->minor.v,
			.uid = (uid_t)d->uid.v,
			.gid = (gid_t)d->gid.v,
		};
	}
	out->devices = devices;
	out->n_devices = s->n_devices;
}
