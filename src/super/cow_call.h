/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers that open, look and change attributes have in common. */
#ifndef SUPER_COW_CALL_H
#define SUPER_COW_CALL_H

#include "super/cow.h"
#include "super/path.h"

struct super_state;

/* One call about a file, named by a path or a descriptor. */
struct cow_call {
	struct cow *c;
	struct notif *n;
	const uint64_t *rest; /* the arguments behind the file's */
	unsigned at;          /* AT_* that it was given, or implies */
	/* The file. fd is where it is looked at or changed: p.found.fd, a copy of the guest's own
	 * descriptor, or what cow_change() put in its place. */
	struct map_entry *in; /* NULL: outside of the map */
	enum layer_side side; /* nowhere: it is in the map, but has no name any more */
	int fd;
	struct path p; /* rel holds in any case; the rest only if it was named by a path */
	bool named;
	bool led; /* in is NULL: the path led out of the map again */
};

/* What acts return besides a result >= 0 and -errno: the kernel makes the call. */
#define COW_PASS INT64_MIN

/* How a call says what it is about; places of arguments, or -1. */
struct cow_form {
	int nr;
	int8_t dirfd, path, flags, rest;
	uint16_t scope;
	unsigned implied, allowed; /* AT_*; -EINVAL for others */
	int64_t (*act)(struct cow_call *call);
};

enum {
	COW_ALL = 1,      /* made here outside of the map, too */
	COW_NULL = 2,     /* without a path it is about the descriptor */
	COW_REAL = 4,     /* without AT_EACCESS it is judged by the real ids */
	COW_LOOK = 8,     /* what a descriptor itself (AT_EMPTY_PATH) is the kernel may say */
	COW_WATCH = 16,   /* its flags are those of inotify(7) */
	COW_FOLLOW = 32,  /* links are followed only where AT_SYMLINK_FOLLOW says so */
	COW_OUTSIDE = 64, /* it looks at what is outside of the map, too; what it can't is passed */
	COW_REACH = 128,  /* made here also where a path led through the map and out of it */
	COW_KERNEL = 256  /* by a descriptor of a mounted upper side the kernel makes it as well */
};

extern const struct cow_form cow_forms[];
extern const size_t n_cow_forms;

/* The handler of all calls that have a form. */
void cow_on_call(struct super_state *s, struct notif *n);

/* The numbers that the guest knows a file by: of a copy those of the original. */
void cow_show_numbers(struct cow_call *call, struct stat *st);

/* From here on call->fd may be changed: what was in the lower side is copied. */
int cow_change(struct cow_call *call);

/* The same of a file that will have no contents. */
int cow_change_empty(struct cow_call *call);

#define COW_TEXT_MAX (32 + PATH_MAX)

/*
 * A path to the file for calls that take nothing else, which must not follow a link at its end
 * where *out_link. *out_dir is the caller's, and open as long as the text is used. -ENOENT of a
 * symbolic link that has none.
 */
int cow_text(struct cow_call *call, char out[COW_TEXT_MAX], int *out_dir, bool *out_link);

/* A place of the map as the thread is told of it, from its own root: the length, or -errno. */
int64_t cow_shown_name(struct cow *c, const struct notif *n, const struct map_entry *e,
		       const char *rel, char out[PATH_MAX]);

/* Is it, which may have no name any more, a file of the upper side? */
bool cow_is_upper(const struct map_entry *e, int fd);

/* Is the file of the lower side that is open as fd none that has this name any more? */
bool cow_is_gone(struct map_entry *e, const char *rel, int fd);

/* A structure that may grow (copy_struct_from_user): where has its address and how many bytes of it
 * are given, at least `least`; what this program doesn't know must be 0: -E2BIG. */
int cow_read_struct(const struct notif *n, const uint64_t *where, size_t least, void *out,
		    size_t size);

/* Acts: cow_look.c, cow_attr.c, cow_xattr.c */
int64_t cow_stat(struct cow_call *call);
int64_t cow_statx(struct cow_call *call);
int64_t cow_statfs(struct cow_call *call);
int64_t cow_access(struct cow_call *call);
int64_t cow_readlink(struct cow_call *call);
int64_t cow_refuse(struct cow_call *call);
int64_t cow_watch(struct cow_call *call);
int64_t cow_chmod(struct cow_call *call);
int64_t cow_chown(struct cow_call *call);
int64_t cow_utime(struct cow_call *call);
int64_t cow_utimes(struct cow_call *call);
int64_t cow_utimens(struct cow_call *call);
int64_t cow_truncate(struct cow_call *call);
int64_t cow_ioctl(struct cow_call *call);
int64_t cow_getxattr(struct cow_call *call);
int64_t cow_getxattrat(struct cow_call *call);
int64_t cow_setxattr(struct cow_call *call);
int64_t cow_setxattrat(struct cow_call *call);
int64_t cow_listxattr(struct cow_call *call);
int64_t cow_removexattr(struct cow_call *call);

/* Handlers with a form of their own: cow_open.c, cow_dir.c */
void cow_on_open(struct super_state *s, struct notif *n);
void cow_on_creat(struct super_state *s, struct notif *n);
void cow_on_openat(struct super_state *s, struct notif *n);
void cow_on_openat2(struct super_state *s, struct notif *n);
void cow_on_getdents(struct super_state *s, struct notif *n);
void cow_on_getdents64(struct super_state *s, struct notif *n);
void cow_on_getcwd(struct super_state *s, struct notif *n);
void cow_on_utimensat(struct super_state *s, struct notif *n);
/* cow_quota.c */
void cow_on_growth(struct super_state *s, struct notif *n);

void cow_on_missing(struct super_state *s, struct notif *n);

/* The call returns a copy of fd, which is O_PATH. Answers, or returns -errno. */
int64_t cow_give_path(struct super_state *s, struct notif *n, int fd, bool cloexec);

/*
 * Opens (fd is O_PATH) in a process of its own, which answers: for what may wait for somebody. The
 * wait ends as the guest's would: with a signal that it catches, or its end.
 */
void cow_open_apart(struct cow *c, struct notif *n, int fd, int flags, bool cloexec);

#endif
