/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the caller gave the container as descriptors 0 to 2 is the caller's, in whatever process of
 * the tree it is found: it is not saved, and a restored container gets what its own caller gives it
 * in that place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/major.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "ckpt/kinds.h"

struct stdio {
	uint32_t index; /* 0 to 2 */
};

static const struct record_field rows[] = {
	RECORD(U, struct stdio, "index", index, RECORD_MAX(2)),
};
static const struct record_table table = RECORD_TABLE(struct stdio, rows);

/* One file may have been given twice (2>&1): of those the one opened as this one is, if there
 * is. */
static int index_of(const struct file_look *l)
{
	const struct ckpt_stdio *s = l->c->subject->stdio;
	bool writes = (l->flags & O_ACCMODE) != O_RDONLY;
	int found = -1;

	if (l->flags & O_PATH)
		return -1;
	for (int i = 0; i < 3; i++) {
		if (!s[i].known || s[i].dev != l->st.st_dev || s[i].ino != l->st.st_ino)
			continue;
		if ((uint32_t)i == l->fd)
			return i;
		if (found < 0 || (found == 0 && writes))
			found = i;
	}
	/* the null device is everybody's: elsewhere it was opened by its path */
	if (S_ISCHR(l->st.st_mode) && major(l->st.st_rdev) == MEM_MAJOR)
		return -1;
	return found;
}

static bool owns(const struct file_look *l)
{
	return index_of(l) >= 0;
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	((struct stdio *)f->record)->index = (uint32_t)index_of(l);
	return 0;
}

static int make(struct ckpt *c, struct ckpt_file *f)
{
	int fd = fcntl(c->stdio[((struct stdio *)f->record)->index], F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? fail_errno("copy a standard descriptor") : fd;
}

const struct file_kind file_stdio = {
	.name = "stdio",
	.table = &table,
	.owns = owns,
	.collect = collect,
	.make = make,
};
