/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>

#include "jail/mount.h"

enum what {
	NOTHING,
	SET, /* the attribute, of this mount */
	CLEAR,
	RSET, /* of it and those below */
	RCLEAR,
	SB_SET, /* of the file system */
	SB_CLEAR,
	PROPAGATE,
	BIND,
	EXTRA,
};

struct row {
	const char *word;
	enum what what;
	uint64_t bits;
};

/* In the order of the alphabet: `features` prints it as it stands. */
static const struct row rows[] = {
	{ "async", SB_CLEAR, MS_SYNCHRONOUS },
	{ "atime", CLEAR, MOUNT_ATTR_NOATIME },
	{ "bind", BIND, 0 },
	{ "copy-symlink", EXTRA, MOUNT_COPY_SYMLINK },
	{ "defaults", NOTHING, 0 },
	{ "dest-nofollow", EXTRA, MOUNT_DEST_NOFOLLOW },
	{ "dev", CLEAR, MOUNT_ATTR_NODEV },
	{ "diratime", CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "dirsync", SB_SET, MS_DIRSYNC },
	{ "exec", CLEAR, MOUNT_ATTR_NOEXEC },
	{ "idmap", EXTRA, MOUNT_IDMAP },
	{ "iversion", SB_SET, MS_I_VERSION },
	{ "lazytime", SB_SET, MS_LAZYTIME },
	{ "loud", SB_CLEAR, MS_SILENT },
	{ "mand", SB_SET, MS_MANDLOCK },
	{ "noatime", SET, MOUNT_ATTR_NOATIME },
	{ "nodev", SET, MOUNT_ATTR_NODEV },
	{ "nodiratime", SET, MOUNT_ATTR_NODIRATIME },
	{ "noexec", SET, MOUNT_ATTR_NOEXEC },
	{ "noiversion", SB_CLEAR, MS_I_VERSION },
	{ "nolazytime", SB_CLEAR, MS_LAZYTIME },
	{ "nomand", SB_CLEAR, MS_MANDLOCK },
	{ "norelatime", NOTHING, 0 }, /* what is neither noatime nor strictatime is relatime */
	{ "nostrictatime", CLEAR, MOUNT_ATTR_STRICTATIME },
	{ "nosuid", SET, MOUNT_ATTR_NOSUID },
	{ "nosymfollow", SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "private", PROPAGATE, MS_PRIVATE },
	{ "ratime", RCLEAR, MOUNT_ATTR_NOATIME },
	{ "rbind", BIND, MS_REC },
	{ "rdev", RCLEAR, MOUNT_ATTR_NODEV },
	{ "rdiratime", RCLEAR, MOUNT_ATTR_NODIRATIME },
	{ "relatime", SET, MOUNT_ATTR_RELATIME },
	{ "remount", EXTRA, MOUNT_REMOUNT },
	{ "rexec", RCLEAR, MOUNT_ATTR_NOEXEC },
	{ "ridmap", EXTRA, MOUNT_IDMAP | MOUNT_RIDMAP },
	{ "rnoatime", RSET, MOUNT_ATTR_NOATIME },
	{ "rnodev", RSET, MOUNT_ATTR_NODEV },
	{ "rnodiratime", RSET, MOUNT_ATTR_NODIRATIME },
	{ "rnoexec", RSET, MOUNT_ATTR_NOEXEC },
	{ "rnorelatime", NOTHING, 0 },
	{ "rnostrictatime", RCLEAR, MOUNT_ATTR_STRICTATIME },
	{ "rnosuid", RSET, MOUNT_ATTR_NOSUID },
	{ "rnosymfollow", RSET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "ro", SET, MOUNT_ATTR_RDONLY },
	{ "rprivate", PROPAGATE, MS_PRIVATE | MS_REC },
	{ "rrelatime", RSET, MOUNT_ATTR_RELATIME },
	{ "rro", RSET, MOUNT_ATTR_RDONLY },
	{ "rrw", RCLEAR, MOUNT_ATTR_RDONLY },
	{ "rshared", PROPAGATE, MS_SHARED | MS_REC },
	{ "rslave", PROPAGATE, MS_SLAVE | MS_REC },
	{ "rstrictatime", RSET, MOUNT_ATTR_STRICTATIME },
	{ "rsuid", RCLEAR, MOUNT_ATTR_NOSUID },
	{ "rsymfollow", RCLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "runbindable", PROPAGATE, MS_UNBINDABLE | MS_REC },
	{ "rw", CLEAR, MOUNT_ATTR_RDONLY },
	{ "shared", PROPAGATE, MS_SHARED },
	{ "silent", SB_SET, MS_SILENT },
	{ "slave", PROPAGATE, MS_SLAVE },
	{ "src-nofollow", EXTRA, MOUNT_SRC_NOFOLLOW },
	{ "strictatime", SET, MOUNT_ATTR_STRICTATIME },
	{ "suid", CLEAR, MOUNT_ATTR_NOSUID },
	{ "symfollow", CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "sync", SB_SET, MS_SYNCHRONOUS },
	{ "tmpcopyup", EXTRA, MOUNT_TMPCOPYUP },
	{ "unbindable", PROPAGATE, MS_UNBINDABLE },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/*
 * atime is one choice of three, not bits, and changing it takes all of MOUNT_ATTR__ATIME in the
 * cleared ones (mount_setattr(2)). Taking back one choice leaves another that was made alone.
 */
static void set_bits(uint64_t *set, uint64_t *clear, uint64_t bits)
{
	bool atime = bits == MOUNT_ATTR_RELATIME || (bits & MOUNT_ATTR__ATIME);

	if (atime) {
		*set &= ~(uint64_t)MOUNT_ATTR__ATIME;
		*clear |= MOUNT_ATTR__ATIME;
	} else {
		*clear &= ~bits;
	}
	*set |= bits;
}

static void clear_bits(uint64_t *set, uint64_t *clear, uint64_t bits)
{
	*set &= ~bits;
	*clear |= bits & MOUNT_ATTR__ATIME ? (uint64_t)MOUNT_ATTR__ATIME : bits;
}

/* A file system that is new has to be told as well that it is only read. */
static void follow_read_only(struct mount_plan *m)
{
	if (m->set & MOUNT_ATTR_RDONLY)
		m->sb_flags |= MS_RDONLY;
	else
		m->sb_flags &= ~(unsigned)MS_RDONLY;
}

static void apply(struct mount_plan *m, const struct row *r)
{
	switch (r->what) {
	case NOTHING:
		break;
	case SET:
		set_bits(&m->set, &m->clear, r->bits);
		follow_read_only(m);
		break;
	case CLEAR:
		clear_bits(&m->set, &m->clear, r->bits);
		follow_read_only(m);
		break;
	case RSET:
		set_bits(&m->rset, &m->rclear, r->bits);
		break;
	case RCLEAR:
		clear_bits(&m->rset, &m->rclear, r->bits);
		break;
	case SB_SET:
		m->sb_flags |= (unsigned)r->bits;
		break;
	case SB_CLEAR:
		m->sb_flags &= ~(unsigned)r->bits;
		break;
	case PROPAGATE:
		m->propagation = (unsigned)r->bits;
		break;
	case BIND:
		m->bind = true;
		m->recursive |= (r->bits & MS_REC) != 0;
		break;
	case EXTRA:
		m->extra |= (unsigned)r->bits;
		break;
	}
}

bool mount_option(struct mount_plan *m, const char *word)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (strcmp(rows[i].word, word) == 0) {
			apply(m, &rows[i]);
			return true;
		}
	}
	return false;
}

const char *const *mount_option_names(void)
{
	static const char *names[ROWS + 1];

	for (size_t i = 0; i < ROWS; i++)
		names[i] = rows[i].word;
	return names;
}
