/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors: owned, opened beneath a root, read and written whole, passed over a socket.
 * Every descriptor made here is close-on-exec.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;

static inline void fd_cleanup(int *fd);
#define auto_fd __attribute__((cleanup(fd_cleanup), unused)) int

void fd_close(int fd); /* nothing for fd < 0; errno is kept */

static inline void fd_cleanup(int *fd)
{
	fd_close(*fd);
}

/* Hands ownership over: returns *fd and leaves -1 behind. */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/*
 * openat2(2) with the given RESOLVE_* bits and O_CLOEXEC. Returns the fd or -errno; no text is
 * stored. -EAGAIN (a rename raced with the walk) is tried again up to 128 times.
 */
int fd_open(int dir, const char *path, int flags, mode_t mode, uint64_t resolve);

/* fd_open() that never leaves dir: RESOLVE_IN_ROOT, no magic links. The container's idea of a
 * path. */
int fd_open_in_root(int root, const char *path, int flags);

/* As fd_open_in_root, but no component may be a symbolic link (-ELOOP) and ".." is refused
 * (-EXDEV). */
int fd_open_beneath(int root, const char *path, int flags);

/* Opens what an O_PATH descriptor stands for, through /proc/self/fd. Returns the fd or -errno. */
int fd_reopen(int fd, int flags);

/* Where an open file is, as the caller's root sees it. Returns 0 or -errno; no text is stored. */
int fd_path(int fd, char *out, size_t size);

/*
 * Reads a regular file or pipe to its end, at most limit bytes (-EFBIG above, text stored).
 * *out is NUL-terminated; *out_len (may be NULL) does not count the NUL.
 */
int fd_read_all(int fd, struct arena *a, size_t limit, char **out, size_t *out_len);

/* fd_open(dir, name) and fd_read_all, with the name in the error text. */
int fd_read_file(int dir, const char *name, struct arena *a, size_t limit, char **out,
		 size_t *out_len);

/* Writes all of it. Returns 0 or -errno; no text is stored. */
int fd_write_all(int fd, const void *data, size_t len);

/* The same, from byte `at` of a file on; where the file is read and written stays. */
int fd_write_all_at(int fd, const void *data, size_t len, uint64_t at);

/* One write(2) to a file of the kernel's (proc, sysfs, cgroup). Returns 0 or -errno; no text is
 * stored. */
int fd_put(int dir, const char *name, const char *text);

/*
 * Makes <dir>/<name> hold exactly data: a new file of the given mode beside it, then rename(2).
 * On failure nothing is left behind and the old file stands.
 */
int fd_replace_file(int dir, const char *name, mode_t mode, const void *data, size_t len);

/*
 * The same in two steps, where <name> is a file of the caller's own: the data is beside it after
 * the first one, which is all that takes time and room. A file that is exchanged, not renamed over,
 * is not written out for that (ext4(5), auto_da_alloc).
 */
int fd_prepare_file(int dir, const char *name, mode_t mode, const void *data, size_t len);
int fd_commit_file(int dir, const char *name);

/*
 * Makes a file that is not there yet, by one open and one write: for a directory that nobody looks
 * into before it is complete. On failure nothing is left behind.
 */
int fd_create_file(int dir, const char *name, mode_t mode, const void *data, size_t len);

/* One message of len bytes with n descriptors (n <= FD_PASS_MAX). Returns 0 or -errno. */
#define FD_PASS_MAX 32
int fd_send(int sock, const void *data, size_t len, const int *fds, size_t n);

/*
 * One message of at most size bytes. Returns its length, 0 at the end, or -errno (-EPROTO where
 * it was cut). Up to *n descriptors are stored, *n is set to how many; others are closed.
 */
ssize_t fd_recv(int sock, void *data, size_t size, int *fds, size_t *n);

/*
 * Connects to (or with listen != 0 binds and listens on) a stream socket of AF_UNIX at
 * <dir>/<name>, also where the path is longer than sun_path. Returns the fd or -errno.
 */
int fd_unix_connect(int dir, const char *name);
int fd_unix_listen(int dir, const char *name, mode_t mode, int backlog);

/* Marks every descriptor from first up close-on-exec. Returns 0 or -errno. */
int fd_cloexec_from(unsigned first);

/* mkdirat(2) for every missing component of path beneath dir, symlinks refused. Returns 0 or
 * -errno. */
int fd_mkdir_all(int dir, const char *path, mode_t mode);

/* Removes what is beneath dir/name and itself; symlinks are not followed. A missing one is no
 * error. */
int fd_remove_tree(int dir, const char *name);

#endif
