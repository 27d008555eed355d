/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/ids.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "ckpt/kind.h"

#define MAP_MAX 65536
#define OVERFLOW_ID 65534

/* user_namespaces(7): first inside, first outside, how many */
static int inside(struct ckpt *c, const char *map, uint32_t id, uint32_t *out)
{
	unsigned first, outside, count;
	char path[64], *text;
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/%s", c->procs[0]->host, map);
	ret = fd_read_file(AT_FDCWD, path, c->arena, MAP_MAX, &text, NULL);
	if (ret)
		return ret;
	*out = OVERFLOW_ID;
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%u %u %u", &first, &outside, &count) == 3 && id >= outside &&
		    id - outside < count)
			*out = first + (id - outside);
	}
	return 0;
}

int ids_inside(struct ckpt *c, uid_t uid, gid_t gid, uint32_t *out_uid, uint32_t *out_gid)
{
	int ret = inside(c, "uid_map", uid, out_uid);

	return ret ? ret : inside(c, "gid_map", gid, out_gid);
}
