/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/layer_late.h"
#include "super/layer_priv.h"

static int count(void *arg, const char *path, const struct stat *st)
{
	uint64_t *used = arg;

	(void)path;
	if (S_ISREG(st->st_mode))
		*used += (uint64_t)st->st_size / (st->st_nlink ? st->st_nlink : 1);
	return 0;
}

/* Files with several names are counted in parts, one at each. */
static void recount(struct layer *l)
{
	auto_self who = guest_pause();
	uint64_t used = 0;
	const struct layer_visit visit = { .entry = count, .arg = &used };

	if (layer_walk(l->upper, true, &visit))
		return;
	l->used = used + layer_late_reserved(l);
	l->counted = true;
	l->shrunk = false;
}

void layer_shrunk(struct layer *l)
{
	l->shrunk = true;
}

bool layer_reserve(struct layer *l, uint64_t bytes)
{
	if (!l->quota)
		return true;
	if (!l->counted)
		recount(l);
	if (bytes > l->quota)
		return false;
	if (l->used > l->quota - bytes && l->shrunk)
		recount(l);
	if (l->used > l->quota - bytes)
		return false;
	l->used += bytes;
	return true;
}
