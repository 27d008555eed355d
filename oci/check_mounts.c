/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "jail/mount.h"
#include "oci/check_priv.h"

#define PATH_SIZE 4096

/*
 * The path without ".", "..", and doubled slashes, absolute. False where it is too long: the
 * kernel would refuse it as well.
 */
static bool clean_path(const char *path, char *out, size_t size)
{
	size_t len = 0, n;

	for (; *path; path += n) {
		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 0 || (n == 1 && path[0] == '.'))
			continue;
		if (n == 2 && path[0] == '.' && path[1] == '.') {
			while (len && out[--len] != '/')
				;
			continue;
		}
		if (n + 2 > size - len)
			return false;
		out[len++] = '/';
		memcpy(out + len, path, n);
		len += n;
	}
	if (!len)
		out[len++] = '/';
	out[len] = '\0';
	return true;
}

static int check_destination(const struct spec *s, size_t i)
{
	const char *destination = s->mounts[i].destination;
	char path[PATH_SIZE];

	if (!*destination)
		return fail(EINVAL, "%s: mounts[%zu].destination: is empty", s->doc, i);
	if (!clean_path(destination, path, sizeof(path)))
		return fail(EINVAL, "%s: mounts[%zu].destination: is longer than %d bytes", s->doc,
			    i, PATH_SIZE);
	if (str_starts(path, "/proc/") && !mount_may_cover_proc(path + strlen("/proc/")))
		return fail(EINVAL, "%s: mounts[%zu].destination: %s is inside /proc", s->doc, i,
			    path);
	return 0;
}

static int check_idmap(const struct spec *s, size_t i, const struct mount_plan *plan)
{
	const struct spec_mount *m = &s->mounts[i];
	char place[64];
	struct str p = STR_ON(place);
	int ret;

	if (!m->n_uid != !m->n_gid)
		return fail(EINVAL,
			    "%s: mounts[%zu]: uidMappings and gidMappings must be given together",
			    s->doc, i);
	if (!m->n_uid && (plan->extra & MOUNT_IDMAP) && !spec_namespace(s, NS_USER))
		return fail(EINVAL,
			    "%s: mounts[%zu].options: idmap needs uidMappings and gidMappings of "
			    "the mount, or a user namespace",
			    s->doc, i);
	str_addf(&p, "mounts[%zu].uidMappings", i);
	ret = check_maps(s->doc, place, m->uid_map, m->n_uid);
	if (ret)
		return ret;
	p = STR_ON(place);
	str_addf(&p, "mounts[%zu].gidMappings", i);
	return check_maps(s->doc, place, m->gid_map, m->n_gid);
}

/* Options that are data for the file system mean nothing where none is made. */
static int check_bind(const struct spec *s, size_t i, const char *data)
{
	const struct spec_mount *m = &s->mounts[i];

	if (!m->source || !*m->source)
		return fail(EINVAL, "%s: mounts[%zu].source: is missing (a bind mount needs it)",
			    s->doc, i);
	if (data)
		return fail(EINVAL,
			    "%s: mounts[%zu].options: \"%.60s\": bind mounts cannot have any "
			    "filesystem-specific options applied",
			    s->doc, i, data);
	return 0;
}

static bool is_type(const struct spec_mount *m, const char *type)
{
	return m->type && strcmp(m->type, type) == 0;
}

static int check_mount(const struct spec *s, size_t i)
{
	const struct spec_mount *m = &s->mounts[i];
	struct mount_plan plan = { .where = NULL };
	const char *data = NULL;
	int ret = check_destination(s, i);

	if (ret)
		return ret;
	for (size_t k = 0; m->options && m->options[k]; k++) {
		if (str_starts(m->options[k], "idmap=") || str_starts(m->options[k], "ridmap="))
			continue;
		if (!mount_option(&plan, m->options[k]) && *m->options[k])
			data = m->options[k];
	}
	ret = check_idmap(s, i, &plan);
	if (ret)
		return ret;
	if ((plan.extra & MOUNT_REMOUNT) && data)
		return fail(
			EINVAL,
			"%s: mounts[%zu].options: \"%.60s\": remount changes flags of the mount, "
			"no options of the file system",
			s->doc, i, data);
	if (plan.extra & MOUNT_REMOUNT)
		return 0;
	if (plan.bind || is_type(m, "bind") || is_type(m, "rbind"))
		return check_bind(s, i, data);
	if (!m->type || !*m->type || is_type(m, "none"))
		return fail(EINVAL, "%s: mounts[%zu].type: is missing (and no option is bind)",
			    s->doc, i);
	if ((plan.extra & MOUNT_TMPCOPYUP) && !is_type(m, "tmpfs"))
		return fail(EINVAL, "%s: mounts[%zu].options: tmpcopyup needs the type tmpfs",
			    s->doc, i);
	return 0;
}

static bool is_bind(const struct spec_mount *m)
{
	struct mount_plan plan = { .where = NULL };

	for (size_t k = 0; m->options && m->options[k]; k++)
		mount_option(&plan, m->options[k]);
	return plan.bind || is_type(m, "bind") || is_type(m, "rbind");
}

/*
 * Where the host's mounts are seen, none can be made. With the host's root as the container's, a
 * mount only names what Landlock leaves within reach: what it shows is what stands there.
 */
static int check_shared_tree(const struct spec *s)
{
	const char *need = "needs a mount namespace (linux.namespaces)";

	if (spec_namespace(s, NS_MOUNT))
		return 0;
	if (s->masked_paths && s->masked_paths[0])
		return fail(EINVAL, "%s: linux.maskedPaths: %s", s->doc, need);
	if (s->readonly_paths && s->readonly_paths[0])
		return fail(EINVAL, "%s: linux.readonlyPaths: %s", s->doc, need);
	if (s->rootfs_propagation.set)
		return fail(EINVAL, "%s: linux.rootfsPropagation: %s", s->doc, need);
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct spec_mount *m = &s->mounts[i];

		if (strcmp(s->root->path, "/") == 0 && m->source && is_bind(m) &&
		    strcmp(m->source, m->destination) == 0)
			continue;
		return fail(EINVAL,
			    "%s: mounts[%zu]: %s; without one root.path must be / and it a bind "
			    "mount of the same source and destination",
			    s->doc, i, need);
	}
	return 0;
}

int check_mounts(const struct spec *s)
{
	for (size_t i = 0; i < s->n_mounts; i++) {
		int ret = check_mount(s, i);

		if (ret)
			return ret;
	}
	return check_shared_tree(s);
}

static int check_absolute(const struct spec *s, const char *name, const char **paths)
{
	for (size_t i = 0; paths && paths[i]; i++)
		if (paths[i][0] != '/')
			return fail(EINVAL, "%s: linux.%s[%zu]: \"%s\" is not an absolute path",
				    s->doc, name, i, paths[i]);
	return 0;
}

int check_paths(const struct spec *s)
{
	int ret = check_absolute(s, "maskedPaths", s->masked_paths);

	return ret ? ret : check_absolute(s, "readonlyPaths", s->readonly_paths);
}
