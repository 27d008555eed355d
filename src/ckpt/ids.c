/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/kind.h"

#define MAP_MAX 65536
#define OVERFLOW_ID 65534

enum { USERS, GROUPS, MAPS };

/* user_namespaces(7): each line the first inside, the first outside, how many */
struct ids {
	const char *map[MAPS];
};

/* What the kernel shows of our own namespace is of the one outside it: within, all ids are what
 * they are. */
static bool is_within(pid_t init)
{
	char theirs[64], ours[64];

	return proc_link(init, "ns/user", theirs, sizeof(theirs)) == 0 &&
	       proc_link(getpid(), "ns/user", ours, sizeof(ours)) == 0 && strcmp(theirs, ours) == 0;
}

static int read_maps(struct arena *a, pid_t init, struct ids *out)
{
	static const char *const names[MAPS] = { "uid_map", "gid_map" };
	char path[64], *text;
	int ret = 0;

	for (size_t i = 0; i < MAPS && !ret; i++) {
		out->map[i] = "0 0 4294967295";
		if (is_within(init))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/%s", init, names[i]);
		ret = fd_read_file(AT_FDCWD, path, a, MAP_MAX, &text, NULL);
		if (!ret)
			out->map[i] = text;
	}
	return ret;
}

static int maps_of(struct ckpt *c, const struct ids **out)
{
	struct ids *ids = c->ids ? NULL : arena_alloc(c->arena, sizeof(*ids));
	int ret = ids ? read_maps(c->arena, c->procs[0]->host, ids) : 0;

	if (ret)
		return ret;
	if (ids)
		c->ids = ids;
	*out = c->ids;
	return 0;
}

static bool has_one(const char *map)
{
	unsigned first, outside, count;

	return sscanf(map, "%u %u %u", &first, &outside, &count) == 3 && count == 1 &&
	       strchr(map, '\n') == strrchr(map, '\n');
}

int ids_enter(struct ckpt *c, pid_t init)
{
	auto_fd pidfd = -1;
	struct ids ids;
	int ret = geteuid() == 0 || is_within(init) ? 0 : read_maps(c->arena, init, &ids);

	if (ret || geteuid() == 0 || is_within(init) ||
	    (has_one(ids.map[USERS]) && has_one(ids.map[GROUPS])))
		return ret;
	pidfd = (int)sys_pidfd_open(init, 0);
	if (pidfd < 0 || setns(pidfd, CLONE_NEWUSER) < 0)
		return fail_errno("enter the container's user namespace");
	c->ids = NULL;
	return 0;
}

/* Inside for outside, or the other way. */
static bool translate(const char *map, bool inwards, uint32_t id, uint32_t *out)
{
	unsigned first, outside, count, from, to;

	for (const char *line = map; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%u %u %u", &first, &outside, &count) != 3)
			continue;
		from = inwards ? outside : first;
		to = inwards ? first : outside;
		if (id < from || id - from >= count)
			continue;
		*out = to + (id - from);
		return true;
	}
	return false;
}

int ids_inside(struct ckpt *c, uid_t uid, gid_t gid, uint32_t *out_uid, uint32_t *out_gid)
{
	const struct ids *ids;
	int ret = maps_of(c, &ids);

	if (ret)
		return ret;
	if (!translate(ids->map[USERS], true, uid, out_uid))
		*out_uid = OVERFLOW_ID;
	if (!translate(ids->map[GROUPS], true, gid, out_gid))
		*out_gid = OVERFLOW_ID;
	return 0;
}

int owner_of(struct ckpt *c, const struct stat *st, struct owner *out)
{
	const struct ids *ids;
	int ret = maps_of(c, &ids);

	*out = (struct owner){ OWNER_NONE, OWNER_NONE, st->st_mode & 07777 };
	if (ret)
		return ret;
	translate(ids->map[USERS], true, st->st_uid, &out->uid);
	translate(ids->map[GROUPS], true, st->st_gid, &out->gid);
	return 0;
}

/* An id of none of the container's is as it is, and stays. */
static int outside_of(const struct ids *ids, int map, uint32_t id, uint32_t *io)
{
	static const char *const what[MAPS] = { "user", "group" };

	if (id == OWNER_NONE || translate(ids->map[map], false, id, io))
		return 0;
	return fail(EINVAL,
		    "give a file without a name to its owner: the container has no %s %u: restore "
		    "with the mappings it was saved with",
		    what[map], id);
}

int owner_give(struct ckpt *c, int fd, const struct owner *o)
{
	const struct ids *ids;
	uint32_t uid, gid;
	struct stat st;
	int ret = maps_of(c, &ids);

	if (ret)
		return ret;
	if (fstat(fd, &st) < 0)
		return fail_errno("look at a file without a name");
	if (o->mode && (st.st_mode & 07777) != o->mode && fchmod(fd, o->mode) < 0)
		return fail_errno("set the mode of a file without a name");
	uid = st.st_uid;
	gid = st.st_gid;
	ret = outside_of(ids, USERS, o->uid, &uid);
	if (!ret)
		ret = outside_of(ids, GROUPS, o->gid, &gid);
	if (ret || (st.st_uid == uid && st.st_gid == gid) || fchown(fd, uid, gid) == 0)
		return ret;
	return fail_errno("set the owner of a file without a name");
}
