/* SPDX-License-Identifier: Apache-2.0 */
#include "super/layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/scratch.h"
#include "lib/tap.h"
#include "lib/tree.h"
#include "super/layer_priv.h"

static int base;
static struct layer l;

static int make_dir(const char *name)
{
	is_int(mkdirat(base, name, 0755), 0, "mkdir %s", name);
	return openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void begin(void)
{
	umask(022);
	base = scratch_make();
	l = (struct layer){ .mode = LAYER_COW,
			    .lower = make_dir("lower"),
			    .upper = make_dir("upper"),
			    .work = make_dir("work") };
	layer_prepare(&l);
}

static void end(void)
{
	close(l.lower);
	close(l.upper);
	close(l.work);
	scratch_drop(base);
}

static void put(int dir, const char *name, const char *text)
{
	auto_fd fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	is_int(fd_write_all(fd, text, strlen(text)), 0, "%s is written", name);
}

static void has(int dir, const char *name, const char *want)
{
	auto_fd fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char text[256];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	is_str(n < 0 ? NULL : text, want, "what is in %s", name);
}

static enum layer_side side_of(const char *path)
{
	struct layer_entry e;
	int ret = layer_find(&l, path, &e);

	fd_close(ret ? -1 : e.fd);
	return ret ? LAYER_NOWHERE : e.side;
}

/* Content with its holes, owner, mode, times to the nanosecond, attributes and lists. */
static void copies(void)
{
	static const unsigned char acl[] = {
		2,  0, 0, 0,                     /* POSIX_ACL_XATTR_VERSION */
		1,  0, 6, 0, 255, 255, 255, 255, /* user:: rw- */
		2,  0, 4, 0, 57,  48,  0,   0,   /* user:12345: r-- */
		4,  0, 4, 0, 255, 255, 255, 255, /* group:: r-- */
		16, 0, 4, 0, 255, 255, 255, 255, /* mask */
		32, 0, 0, 0, 255, 255, 255, 255, /* other:: --- */
	};
	const struct vfs_cap_data cap = { .magic_etc = VFS_CAP_REVISION_2,
					  .data = { { .permitted = 1 << 10 } } };
	const struct timespec times[2] = { { 1000000000, 1 }, { 1234567890, 987654321 } };
	struct stat low, up;
	char buf[64];
	auto_fd fd = -1, copy = -1;
	bool lists, caps;

	begin();
	mkdirat(l.lower, "d", 02751);
	fd = openat(l.lower, "d/f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ok(pwrite(fd, "begin", 5, 0) == 5 && pwrite(fd, "end", 3, 64 << 20) == 3, "written");
	if (geteuid() == 0)
		is_int(fchown(fd, 1234, 5678), 0, "given away");
	is_int(fchmod(fd, 06754), 0, "set-id");
	is_int(fsetxattr(fd, "user.a", "1\0002", 3, 0), 0, "an attribute");
	lists = fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0) == 0;
	caps = fsetxattr(fd, "security.capability", &cap, sizeof(cap.magic_etc) + 16, 0) == 0;
	is_int(futimens(fd, times), 0, "old");
	is_int(fstat(fd, &low), 0, "as it is");

	copy = layer_open_up(&l, "d/f");
	ok(copy >= 0 && fstat(copy, &up) == 0, "copied: %d", copy);
	is_int(side_of("d/f"), LAYER_UPPER, "it is there");
	is_int(up.st_mode, low.st_mode, "mode");
	ok(up.st_uid == low.st_uid && up.st_gid == low.st_gid, "owner");
	ok(up.st_mtim.tv_sec == 1234567890 && up.st_mtim.tv_nsec == 987654321, "time");
	is_int(up.st_size, low.st_size, "size");
	ok(up.st_blocks <= low.st_blocks + 16, "holes: %jd blocks of %jd", (intmax_t)up.st_blocks,
	   (intmax_t)low.st_blocks);
	snprintf(buf, sizeof(buf), "/proc/self/fd/%d", copy);
	char value[256];
	is_int(getxattr(buf, "user.a", value, sizeof(value)), 3, "attribute");
	ok(!lists || getxattr(buf, "system.posix_acl_access", value, sizeof(value)) == sizeof(acl),
	   "list of access");
	ok(!caps || getxattr(buf, "security.capability", value, sizeof(value)) > 0, "capability");
	is_int(fstatat(l.upper, "d", &up, 0), 0, "its directory");
	is_int(fstatat(l.lower, "d", &low, 0), 0, "and the lower one");
	is_int(up.st_mode, low.st_mode, "its mode");
	ok(up.st_mtim.tv_nsec == low.st_mtim.tv_nsec, "its time");
	end();
}

/* What is planted in the upper directory leads nowhere. */
static void planted(void)
{
	static const char *const paths[] = { "link/passwd", "up/passwd", "root/etc/passwd",
					     "in/f" };
	struct layer_entry e;
	char before[4096] = "";
	auto_fd out = -1;

	begin();
	put(base, "secret", "outside");
	mkdirat(l.lower, "in", 0755);
	put(l.lower, "in/f", "lower");
	is_int(symlinkat("/etc", l.upper, "link"), 0, "to /etc");
	is_int(symlinkat("../../../../etc", l.upper, "up"), 0, "upwards");
	is_int(symlinkat("/", l.upper, "root"), 0, "to /");
	is_int(symlinkat(scratch_path(), l.upper, "in"), 0, "in the place of a directory");
	for (size_t i = 0; i < 4; i++) {
		is_int(layer_find(&l, paths[i], &e), -ELOOP, "%s is not found", paths[i]);
		is_int(layer_open_up(&l, paths[i]), -ELOOP, "%s is not copied", paths[i]);
		is_int(layer_create(&l, paths[i], O_WRONLY, 0600), -ELOOP, "%s is not made",
		       paths[i]);
		is_int(layer_remove(&l, paths[i], false), -ELOOP, "%s is not removed", paths[i]);
		is_int(layer_rename(&l, paths[i], "x", 0), -ELOOP, "%s does not move", paths[i]);
		is_int(layer_rename(&l, "in", paths[i], 0), -ELOOP, "nothing moves to %s",
		       paths[i]);
	}
	is_int(symlinkat("../secret", l.upper, "file"), 0, "in the place of a file");
	is_int(layer_create(&l, "file", O_WRONLY, 0600), -EEXIST, "nothing is made through it");
	out = layer_open_up(&l, "file");
	ok(out >= 0 && readlinkat(out, "", before, sizeof(before)) > 0, "it is itself");
	has(base, "secret", "outside");
	has(l.lower, "in/f", "lower");
	end();
}

/* Another process changes a directory and a link to the outside all the time. */
static void raced(void)
{
	int made = 0;
	pid_t pid;

	begin();
	mkdirat(l.lower, "d", 0755);
	put(l.lower, "d/f", "lower");
	mkdirat(base, "outside", 0755);
	put(base, "outside/f", "outside");
	layer_copy_up(&l, "d");
	is_int(symlinkat("../outside", l.upper, "x"), 0, "planted");
	pid = fork();
	while (pid == 0)
		renameat2(l.upper, "d", l.upper, "x", RENAME_EXCHANGE);
	for (int i = 0; i < 5000; i++) {
		auto_fd up = layer_open_up(&l, "d/f"), fd = up < 0 ? -1 : fd_reopen(up, O_WRONLY);
		auto_fd file = layer_create(&l, "d/new", O_WRONLY, 0600);

		if (fd >= 0)
			made += write(fd, "upper!!", 7) == 7;
		layer_mkdir(&l, "d/dir", 0755);
		layer_rename(&l, "d/new", "d/other", 0);
		layer_remove(&l, "d/other", false);
		layer_remove(&l, "d/dir", true);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(made > 0, "something was written");
	has(base, "outside/f", "outside");
	is_int(faccessat(base, "outside/new", F_OK, 0), -1, "nothing was made outside");
	is_int(faccessat(base, "outside/dir", F_OK, 0), -1, "not a directory either");
	has(l.lower, "d/f", "lower");
	end();
}

static nlink_t links_of(const char *path)
{
	struct layer_entry e;
	nlink_t n;

	if (layer_find(&l, path, &e) || e.side == LAYER_NOWHERE)
		return 0;
	n = layer_nlink(&l, &e);
	close(e.fd);
	return n;
}

/* Names of one file stay names of one file, whichever is written through. */
static void hard_links(void)
{
	auto_fd fd = -1, up = -1;

	begin();
	put(l.lower, "a", "lower");
	mkdirat(l.lower, "d", 0755);
	is_int(linkat(l.lower, "a", l.lower, "d/b", 0), 0, "a second name");
	is_int(linkat(l.lower, "a", l.lower, "c", 0), 0, "and a third one");
	is_int(links_of("d/b"), 3, "three names");
	is_int(layer_remove(&l, "c", false), 0, "one goes");
	is_int(links_of("a"), 2, "two");
	up = layer_open_up(&l, "a");
	fd = fd_reopen(up, O_WRONLY | O_TRUNC);
	ok(write(fd, "upper", 5) == 5, "written by one name");
	is_int(links_of("a"), 2, "still two");
	is_int(side_of("d/b"), LAYER_UPPER, "the other one is brought");
	has(l.upper, "d/b", "upper");
	is_int(links_of("d/b"), 2, "of two");
	is_int(layer_link(&l, "d/b", "e"), 0, "one more");
	is_int(links_of("a"), 3, "three again");
	is_int(layer_remove(&l, "a", false), 0, "one goes");
	is_int(links_of("e"), 2, "two");
	has(l.lower, "a", "lower");
	end();
}

/* A directory made anew shows nothing of the one that was there, also where that was just looked
 * into; nor does one that came in its place, or went elsewhere and came back. */
static void covers(void)
{
	begin();
	mkdirat(l.lower, "d", 0755);
	put(l.lower, "d/f", "lower");
	mkdirat(l.lower, "e", 0755);
	put(l.lower, "e/f", "lower");
	is_int(layer_copy_up(&l, "d"), 0, "copied");
	is_int(side_of("d/f"), LAYER_LOWER, "it shows");
	is_int(layer_remove(&l, "d", true), -ENOTEMPTY, "so it is not empty");
	is_int(layer_remove(&l, "d/f", false), 0, "removed");
	is_int(layer_remove(&l, "d", true), 0, "with its directory");
	is_int(side_of("d/f"), LAYER_NOWHERE, "gone");
	is_int(layer_mkdir(&l, "d", 0755), 0, "made anew");
	is_int(side_of("d/f"), LAYER_NOWHERE, "empty");
	is_int(side_of("e/f"), LAYER_LOWER, "another one");
	is_int(layer_rename(&l, "d", "e", RENAME_EXCHANGE), 0, "they change places");
	is_int(side_of("e/f"), LAYER_NOWHERE, "empty, elsewhere");
	is_int(side_of("d/f"), LAYER_UPPER, "copied whole");
	is_int(layer_remove(&l, "d/f", false), 0, "removed");
	is_int(side_of("d/f"), LAYER_NOWHERE, "gone once more");
	is_int(layer_rename(&l, "e", "d", 0), 0, "over it");
	is_int(side_of("d/f"), LAYER_NOWHERE, "empty still");
	is_int(layer_mkdir(&l, "e", 0700), 0, "where it was");
	is_int(side_of("e/f"), LAYER_NOWHERE, "empty, too");
	has(l.lower, "e/f", "lower");
	end();
}

static int list(const char *path, int dir, size_t room, struct tree_names *out)
{
	_Alignas(struct dirent64) char buf[4096];
	ssize_t n = layer_list(&l, path, dir, buf, room);

	if (n > 0)
		tree_add(out, buf, (size_t)n);
	return (int)n;
}

static int times_in(const struct tree_names *names, const char *name)
{
	int n = 0;

	for (size_t i = 0; i < names->n; i++)
		n += strcmp(names->v[i], name) == 0;
	return n;
}

#define MANY 300

static void fill_many(void)
{
	char name[32];

	mkdirat(l.lower, "d", 0755);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "d/low-%d", i);
		put(l.lower, name, "");
		snprintf(name, sizeof(name), "d/up-%d", i);
		fd_close(layer_create(&l, name, O_WRONLY, 0644));
	}
}

/* All that stays is told once, whatever is copied, made, moved and removed meanwhile. */
static void lists(void)
{
	struct tree_names names = { .n = 0 };
	char name[32], other[32];
	int dir, n = 0, ret;

	begin();
	fill_many();
	dir = fd_reopen(layer_open_up(&l, "d"), O_RDONLY | O_DIRECTORY);
	while ((ret = list("d", dir, 300, &names)) > 0 && n < 3 * MANY) {
		/* even ones go or are copied, odd ones stay */
		snprintf(name, sizeof(name), "d/low-%d", n / 4 * 2 % MANY);
		snprintf(other, sizeof(other), "d/up-%d", n / 4 * 2 % MANY);
		if (n % 4 == 0)
			layer_remove(&l, name, false);
		else if (n % 4 == 1)
			layer_remove(&l, other, false);
		else if (n % 4 == 2)
			fd_close(layer_create(&l, name, O_WRONLY, 0644));
		else
			layer_rename(&l, "d/low-1", "d/low-1", 0);
		snprintf(name, sizeof(name), "d/low-%d", n * 2 % MANY + 1);
		layer_copy_up(&l, name);
		n++;
	}
	is_int(ret, 0, "to its end");
	for (int i = 1; i < MANY; i += 2) {
		snprintf(name, sizeof(name), "low-%d", i);
		is_int(times_in(&names, name), 1, "%s", name);
		snprintf(name, sizeof(name), "up-%d", i);
		is_int(times_in(&names, name), 1, "%s", name);
	}
	tree_free(&names);
	close(dir);
	end();
}

/* Every position that was told leads to what came after it. */
static void seeks(void)
{
	_Alignas(struct dirent64) char buf[65536], one[512];
	const struct dirent64 *e, *f;
	int64_t at = 0;
	ssize_t n;
	int dir, met = 0;

	begin();
	fill_many();
	dir = fd_reopen(layer_open_up(&l, "d"), O_RDONLY | O_DIRECTORY);
	n = layer_list(&l, "d", dir, buf, sizeof(buf));
	for (char *p = buf; p < buf + n; p += e->d_reclen) {
		e = (const struct dirent64 *)p;
		ok(lseek(dir, at, SEEK_SET) == at, "%jx is a position", (intmax_t)at);
		ok(layer_list(&l, "d", dir, one, 280) > 0, "something is there");
		f = (const struct dirent64 *)one;
		is_str(f->d_name, e->d_name, "it");
		ok(f->d_ino == e->d_ino && f->d_type == e->d_type && f->d_off == e->d_off,
		   "the same");
		at = e->d_off;
		met++;
	}
	is_int(met, 2 * MANY + 2, "all");
	lseek(dir, at, SEEK_SET);
	is_int(layer_list(&l, "d", dir, one, sizeof(one)), 0, "the end");
	lseek(dir, 0, SEEK_SET);
	is_int(layer_list(&l, "d", dir, one, 20), -EINVAL, "no room");
	close(dir);
	end();
}

static void quota(void)
{
	struct layer_entry e;
	char block[4096] = "";
	auto_fd fd = -1;

	begin();
	l.quota = 100000;
	put(l.lower, "small", "x");
	fd = openat(l.lower, "large", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	for (int i = 0; i < 20; i++)
		ok(write(fd, block, sizeof(block)) == sizeof(block), "written");
	is_int(layer_copy_up(&l, "large"), 0, "there is room for it");
	ok(layer_reserve(&l, 10000), "and for some more");
	ok(!layer_reserve(&l, 10000), "but not for so much");
	is_int(layer_copy_up(&l, "small"), 0, "a small one");
	fd_close(fd);
	fd = openat(l.lower, "other", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ok(ftruncate(fd, 50000) == 0, "a hole counts, too");
	is_int(layer_copy_up(&l, "other"), -ENOSPC, "no room");
	is_int(layer_find(&l, "other", &e), 0, "found");
	is_int(e.side, LAYER_LOWER, "it is not there");
	close(e.fd);
	ok(faccessat(l.work, "t0", F_OK, 0) < 0, "nor half of it");
	is_int(layer_remove(&l, "large", false), 0, "make room");
	is_int(layer_copy_up(&l, "other"), 0, "now there is");
	ok(!layer_reserve(&l, 100001), "never more than all");
	end();
}

/* What a supervisor that was killed left in the work directory goes; what it knows of links
 * stays. */
static void prepares(void)
{
	begin();
	mkdirat(l.work, "t1-2", 0700);
	mkdirat(l.work, "t1-2/d", 0700);
	put(l.work, "t1-2/d/f", "half");
	put(l.work, "t1-3", "half");
	mkdirat(l.work, LAYER_LINKS, 0700);
	layer_prepare(&l);
	is_int(faccessat(l.work, "t1-2", F_OK, 0), -1, "a directory is gone");
	is_int(faccessat(l.work, "t1-3", F_OK, 0), -1, "a file is gone");
	is_int(faccessat(l.work, LAYER_LINKS, F_OK, 0), 0, "links are there");
	ok(l.linked, "and known of");
	end();
}

/* Paths that are as long as they may be, and too long. */
static void long_paths(void)
{
	char path[PATH_MAX + 300] = "", name[NAME_MAX + 2];
	struct layer_entry e;
	size_t n = 0;
	int ret = 0;

	begin();
	memset(name, 'n', sizeof(name));
	name[NAME_MAX + 1] = '\0';
	is_int(layer_mkdir(&l, name, 0755), -ENAMETOOLONG, "a name too long");
	is_int(layer_find(&l, name, &e), -ENAMETOOLONG, "not found either");
	while (!ret && n + 2 < PATH_MAX - 1) {
		n += (size_t)sprintf(path + n, "%sd", n ? "/" : "");
		ret = layer_mkdir(&l, path, 0755);
	}
	is_int(ret, 0, "%zu deep", n / 2);
	is_int(side_of(path), LAYER_UPPER, "it is there");
	strcpy(path + n, "/dd");
	is_int(layer_mkdir(&l, path, 0755), -ENAMETOOLONG, "a path too long");
	is_int(layer_remove(&l, "d", true), -ENOTEMPTY, "not empty");
	is_int(layer_rename(&l, "d", "e", 0), 0, "moved");
	end();
}

/* Modes other than copy-on-write. */
static void other_modes(void)
{
	struct layer ro, rw;

	begin();
	ro = (struct layer){ .mode = LAYER_RO, .lower = l.lower, .upper = -1, .work = -1 };
	rw = (struct layer){ .mode = LAYER_RW, .upper = l.lower, .lower = -1, .work = -1 };
	put(l.lower, "f", "lower");
	is_int(layer_copy_up(&ro, "f"), -EROFS, "to write");
	is_int(layer_mkdir(&ro, "d", 0755), -EROFS, "mkdir");
	is_int(layer_mkdir(&ro, "f", 0755), -EEXIST, "mkdir of what is there");
	is_int(layer_remove(&ro, "f", false), -EROFS, "unlink");
	is_int(layer_remove(&ro, "g", false), -ENOENT, "unlink of nothing");
	is_int(layer_rename(&ro, "f", "g", 0), -EROFS, "rename");
	is_int(layer_copy_up(&rw, "f"), 0, "to write");
	is_int(layer_mkdir(&rw, "d", 0755), 0, "mkdir");
	is_int(layer_rename(&rw, "f", "d/f", 0), 0, "rename");
	has(l.lower, "d/f", "lower");
	is_int(layer_remove(&rw, "d", true), -ENOTEMPTY, "rmdir");
	is_int(layer_remove(&rw, "d/f", false), 0, "unlink");
	is_int(layer_remove(&rw, "d", true), 0, "rmdir");
	is_int(layer_mknod(&l, "null", S_IFCHR | 0666), -EPERM, "no device");
	end();
}

/* Nothing but the layer's own marks what is hidden. */
static void own_attributes(void)
{
	static const struct {
		const char *name;
		bool own;
	} rows[] = { { "user.overlay.opaque", true },    { "user.overlay.", true },
		     { "trusted.overlay.opaque", true }, { "user.overlay", false },
		     { "user.overlays.x", false },       { "user.a", false } };
	char value[8];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		is_int(layer_owns_xattr(rows[i].name), rows[i].own, "%s", rows[i].name);
	begin();
	mkdirat(l.lower, "d", 0755);
	put(l.lower, "d/f", "lower");
	is_int(setxattr(strcat(strcpy((char[128]){ "" }, scratch_path()), "/lower/d"),
			"user.overlay.opaque", "y", 1, 0),
	       0, "the lower one has such a mark");
	is_int(layer_copy_up(&l, "d"), 0, "copied");
	is_int(side_of("d/f"), LAYER_LOWER, "it means nothing above");
	is_int(getxattr(strcat(strcpy((char[128]){ "" }, scratch_path()), "/upper/d"),
			"user.overlay.opaque", value, sizeof(value)),
	       -1, "and was not copied");
	end();
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(copies),   TAP(planted),    TAP(raced),       TAP(hard_links),
		TAP(covers),   TAP(lists),      TAP(seeks),       TAP(quota),
		TAP(prepares), TAP(long_paths), TAP(other_modes), TAP(own_attributes)
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
