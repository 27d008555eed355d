/* SPDX-License-Identifier: Apache-2.0 */
/* What nobody thought of: a tree and files without a name, made by chance, and compared. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "chance.h"
#include "cycle.h"

/* linux/memfd.h, since Linux 6.3 */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#endif

static void tell_xattrs(struct text *t, const char *path)
{
	char names[4096], value[4096];
	ssize_t len = llistxattr(path, names, sizeof(names)), n;

	for (char *name = names; len > 0 && name < names + len; name += strlen(name) + 1) {
		if (strncmp(name, "security.", 9) == 0)
			continue;
		n = lgetxattr(path, name, value, sizeof(value));
		tell(t, " %s=%zd:%llx", name, n,
		     (unsigned long long)hash(value, n > 0 ? (size_t)n : 0));
	}
}

static void tell_facts(struct text *t, const struct stat *st)
{
	tell(t, " mode %o owner %u:%u links %lu", st->st_mode, st->st_uid, st->st_gid,
	     (unsigned long)st->st_nlink);
	if (!S_ISDIR(st->st_mode))
		tell(t, " size %ld", (long)st->st_size);
	tell(t, " times %ld.%09ld %ld.%09ld", (long)st->st_atim.tv_sec, st->st_atim.tv_nsec,
	     (long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

/* ---- a tree */

#define AT "/dev/shm/random"
#define ENTRIES 300
#define PLACE 3000

struct entries {
	char path[ENTRIES][256];
	mode_t type[ENTRIES];
	size_t n;
};

static void any_facts(const char *path, mode_t type)
{
	struct timespec times[2] = { { (time_t)any(2000000000), (long)any(1000000000) },
				     { (time_t)any(2000000000), (long)any(1000000000) } };
	char value[PLACE], name[32];

	if (any(3) == 0 && lchown(path, (uid_t)any(20), (gid_t)any(20)) < 0)
		errno = 0; /* not where one id is all there is */
	if (!S_ISLNK(type))
		must(chmod(path, (mode_t)any(010000) | (S_ISDIR(type) ? 0700 : 0400)));
	for (uint64_t i = any(4); i > 0; i--) {
		size_t len = any(2) ? any(16) : any_len(1000);

		snprintf(name, sizeof(name), "%s.%llu", any(4) ? "user" : "trusted",
			 (unsigned long long)any(5));
		scribble(value, len);
		lsetxattr(path, name, value, len, 0); /* where the kernel has them */
	}
	must(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

/* An access control list with an entry for a user: version 2 of linux/posix_acl_xattr.h. */
static void any_list(const char *path)
{
	struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} v[5];
	} list = { 2,
		   { { 1, 7, ~0u },
		     { 2, (uint16_t)any(8), 0 },
		     { 4, (uint16_t)any(8), ~0u },
		     { 16, 7, ~0u },
		     { 32, (uint16_t)any(8), ~0u } } };

	if (setxattr(path, "system.posix_acl_access", &list, sizeof(list), 0) < 0)
		check(errno == ENOTSUP, "%s: %s", path, strerror(errno));
}

static void make_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = (int)must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	must(bind(fd, (struct sockaddr *)&a, sizeof(a)));
	close(fd);
}

static void make_entry(struct entries *all, const char *dir)
{
	static const mode_t types[] = { S_IFREG, S_IFREG, S_IFREG, S_IFREG, S_IFDIR,
					S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK };
	mode_t type = types[any(sizeof(types) / sizeof(types[0]))];
	char *path = all->path[all->n];
	char target[PLACE];
	int fd;

	if (snprintf(path, sizeof(all->path[0]), "%s/%zu\xfe%c", dir, all->n, (int)any(31) + 1) >
	    80)
		return;
	if (S_ISREG(type)) {
		fd = (int)must(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
		fill_file(fd, any(6) ? 100000 : 3000000);
		close(fd);
	} else if (S_ISDIR(type)) {
		must(mkdir(path, 0700));
	} else if (S_ISLNK(type)) {
		memset(target, 't', sizeof(target));
		target[any_len(sizeof(target) - 1)] = '\0';
		must(symlink(target, path));
	} else if (S_ISSOCK(type)) {
		make_socket(path);
	} else {
		must(mkfifo(path, 0600));
	}
	all->type[all->n++] = type;
}

static void link_some(const struct entries *all)
{
	char path[300];

	for (size_t i = 1; i < all->n; i++) {
		const char *dir = all->path[any(i)];
		struct stat st;

		if (any(5) || S_ISDIR(all->type[i]) || lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		snprintf(path, sizeof(path), "%s/link to %zu", dir, i);
		must(linkat(AT_FDCWD, all->path[i], AT_FDCWD, path, 0));
	}
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* To look at it was a way to read it. */
static void unread(const char *path, const struct stat *st)
{
	must(utimensat(AT_FDCWD, path, (struct timespec[2]){ st->st_atim, st->st_mtim },
		       AT_SYMLINK_NOFOLLOW));
}

static void tell_tree(struct text *t, const char *path)
{
	struct dirent **list = NULL;
	char below[600], target[PLACE];
	struct stat st;
	ssize_t len;
	int n, fd;

	must(lstat(path, &st));
	tell(t, "%s", path);
	tell_facts(t, &st);
	tell_xattrs(t, path);
	if (S_ISREG(st.st_mode)) {
		fd = (int)must(open(path, O_RDONLY | O_NOATIME | O_CLOEXEC));
		tell_content(t, fd, true);
		close(fd);
	} else if (S_ISLNK(st.st_mode)) {
		len = must(readlink(path, target, sizeof(target)));
		tell(t, " to %zd %llx", len, (unsigned long long)hash(target, (size_t)len));
		unread(path, &st);
	}
	tell(t, "\n");
	if (!S_ISDIR(st.st_mode))
		return;
	n = (int)must(scandir(path, &list, NULL, by_name));
	for (int i = 0; i < n; i++) {
		snprintf(below, sizeof(below), "%s/%s", path, list[i]->d_name);
		if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0)
			tell_tree(t, below);
		free(list[i]);
	}
	free(list);
	unread(path, &st);
}

static void tree(void)
{
	static struct entries all;
	struct text was = { 0 }, is = { 0 };
	struct statfs fs;

	if (statfs("/dev/shm", &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		cycle_skip("/dev/shm is no tmpfs here");
	sow(1);
	must(mkdir(AT, 0700));
	strcpy(all.path[0], AT);
	all.type[all.n++] = S_IFDIR;
	for (size_t i = 0; i < ENTRIES - 1; i++) {
		size_t dir = any(all.n);

		if (S_ISDIR(all.type[dir]))
			make_entry(&all, all.path[dir]);
	}
	link_some(&all);
	for (size_t i = all.n; i-- > 0;) {
		if (!S_ISLNK(all.type[i]) && any(8) == 0)
			any_list(all.path[i]);
		any_facts(all.path[i], all.type[i]);
	}
	tell_tree(&was, AT);
	cycle();
	tell_tree(&is, AT);
	compare(&was, &is);
}

/* ---- files without a name */

#define FILES 40

static int any_memfd(void)
{
	static const unsigned flags[] = { 0, MFD_ALLOW_SEALING, MFD_EXEC, MFD_NOEXEC_SEAL };
	int fd = memfd_create("random", MFD_CLOEXEC | flags[any(4)]);

	/* before Linux 6.3 the last two are not known */
	return fd >= 0 ? fd : (int)must(memfd_create("random", MFD_CLOEXEC));
}

static void write_plenty(int fd)
{
	static char buf[300001];

	scribble(buf, sizeof(buf));
	must(pwrite(fd, buf, sizeof(buf), 0) == sizeof(buf) ? 0 : -1);
}

static void any_owner(int fd)
{
	if (any(3) == 0 && fchown(fd, (uid_t)any(20), (gid_t)any(20)) < 0)
		errno = 0; /* not where one id is all there is */
	if (fchmod(fd, (mode_t)any(01000) | 0600) < 0)
		must(errno == EPERM ? fchmod(fd, (mode_t)any(4) * 2 | 0600) : -1);
	if (any(2) == 0)
		fcntl(fd, F_ADD_SEALS, F_SEAL_GROW);
}

static void nameless(void)
{
	const char *dirs[] = { "/dev/shm", getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle" };
	struct text was = { 0 }, is = { 0 };
	int fd[FILES];

	sow(2);
	for (int i = 0; i < FILES; i++) {
		uint64_t where = i == FILES - 1 ? 0 : any(3);

		if (where == 2)
			fd[i] = any_memfd();
		else
			fd[i] = open(dirs[where], O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		if (fd[i] < 0)
			cycle_skip("no files without a name in %s: %s", dirs[where],
				   strerror(errno));
		fill_file(fd[i], any(6) ? 100000 : 3000000);
		if (i == FILES - 1) /* a large one, in memory, at the end */
			write_plenty(fd[i]);
		must(lseek(fd[i], (off_t)any(5000000000), SEEK_SET));
		any_owner(fd[i]);
	}
	for (int pass = 0; pass < 2; pass++) {
		struct text *t = pass ? &is : &was;

		for (int i = 0; i < FILES; i++) {
			off_t pos = must(lseek(fd[i], 0, SEEK_CUR));
			struct stat st;

			must(fstat(fd[i], &st));
			tell(t, "file %d at %ld of %ld mode %o owner %u:%u seals 0x%x", i,
			     (long)pos, (long)st.st_size, st.st_mode, st.st_uid, st.st_gid,
			     (unsigned)fcntl(fd[i], F_GET_SEALS));
			tell_content(t, fd[i], false);
			tell(t, "\n");
			must(lseek(fd[i], pos, SEEK_SET));
		}
		if (!pass)
			cycle();
	}
	compare(&was, &is);
}

const struct cycle_case random_cases[] = {
	{ "random-tree", tree },
	{ "random-nameless", nameless },
	{ NULL, NULL },
};
