/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of files without a name: of memfd_create(2), and of regular ones that were removed.
 * What they hold is an object of k_shm.c. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "ckpt/kinds.h"
#include "ckpt/shm.h"

#define MEMFD "/memfd:"

struct nameless {
	uint32_t object;
};

static const struct record_field rows[] = {
	RECORD(U, struct nameless, "object", object),
};
static const struct record_table table = RECORD_TABLE(struct nameless, rows);

static bool is_nameless(const struct file_look *l)
{
	return S_ISREG(l->st.st_mode) && l->st.st_nlink == 0 && l->link[0] == '/';
}

static bool memfd_owns(const struct file_look *l)
{
	return is_nameless(l) && str_starts(l->link, MEMFD);
}

static const char *memfd_check(const struct file_look *l)
{
	if (l->fs_type == HUGETLBFS_MAGIC)
		return "it is memory of hugetlbfs";
	return NULL;
}

static const char *deleted_check(const struct file_look *l)
{
	const char *why = memfd_check(l);

	return why ? why : shm_fd_refusal(l);
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	return shm_of_fd(l, &((struct nameless *)f->record)->object);
}

/* A description of its own of the same file. */
static int make(struct ckpt *c, struct ckpt_file *f)
{
	const struct nameless *n = f->record;
	/* it is opened through a symbolic link */
	int flags =
		(int)(f->flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_TMPFILE | O_NOFOLLOW));
	int fd = shm_fd(c, n->object), again;

	if (fd < 0)
		return fd;
	again = fd_reopen(fd, flags | O_CLOEXEC);
	return again < 0 ? fail(-again, "open a file without a name again: %s", err_reason(-again))
			 : again;
}

const struct file_kind file_memfd = {
	.name = "memfd",
	.table = &table,
	.owns = memfd_owns,
	.check = memfd_check,
	.collect = collect,
	.make = make,
	.keeps_pos = true,
};

const struct file_kind file_deleted = {
	.name = "deleted",
	.table = &table,
	.owns = is_nameless,
	.check = deleted_check,
	.collect = collect,
	.make = make,
	.keeps_pos = true,
};
