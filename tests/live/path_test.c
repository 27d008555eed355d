/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks of another process's paths, against what the kernel says to that process itself. While the
 * upper directory is empty both are to come to the same file; when all has gone there, to the one
 * that was moved.
 */
#include "super/path.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/deny.h"
#include "lib/scratch.h"
#include "lib/tap.h"
#include "lib/walker.h"
#include "super/guest.h"
#include "super/handler.h"

#define GUEST_FD 200 /* of the process, for walks that begin at a descriptor */
#define LINES_MAX 160
#define CHAIN 42 /* links, two more than a walk may follow */

static struct walker w;

/* '@' stands for the path of the tree. */
static const char *const tree[] = {
	"d work",
	"d work/a",
	"d work/a/b",
	"d work/a/b/c",
	"f work/a/b/c/f",
	"f work/a/f",
	"f work/f",
	"f work/\xff\xfe name",
	"d work/inner",
	"f work/inner/i",
	"d work/inner/d",
	"l work/inner/up ../a",
	"l work/inner/out ../../out/o",
	"l work/l-f f",
	"l work/l-a a",
	"l work/l-ab a/b",
	"l work/l-up ..",
	"l work/l-self .",
	"l work/l-out ../out",
	"l work/l-abs @/out/o",
	"l work/l-abs-in @/work/a",
	"l work/l-none nothing",
	"l work/l-slash a/",
	"l work/l-f-slash f/",
	"l work/l-inner inner/d",
	"l work/l-twice l-ab/../l-a",
	"l work/loop-1 loop-2",
	"l work/loop-2 loop-1",
	"l work/a/l-root ../..",
	"l work/a/b/l-f ../../f",
	"d out",
	"f out/o",
	"d out/a",
	"d out/a/b",
	"d out/a/b/work",
	"f out/a/b/work/o",
	"l out/l-in ../work",
	"l out/l-in-f ../work/f",
	"l out/l-in-a @/work/a/b",
	"l out/l-in-inner @/work/inner",
	"l out/l-o o",
	"l out/l-none nothing",
	"l out/l-chain a/../l-in/l-out/l-in/l-a",
};

/* A name without a slash before it is relative; '@' as above. */
static const char *const texts[] = {
	"@",
	"@/",
	"@/work",
	"@/work/",
	"@/work/.",
	"@/work/..",
	"@/work/../out/o",
	"@//work///a//b",
	"@/work/a/b/c/f",
	"@/work/a/b/c/f/",
	"@/work/a/b/c/f/.",
	"@/work/a/b/c/f/..",
	"@/work/a/b/c/../../../f",
	"@/work/a/../../out/../work/a/b",
	"@/work/nothing",
	"@/work/nothing/more",
	"@/work/nothing/..",
	"@/work/f/more",
	"@/work/f/../a",
	"@/work/\xff\xfe name",
	"@/work/inner",
	"@/work/inner/",
	"@/work/inner/i",
	"@/work/inner/..",
	"@/work/inner/../a/b",
	"@/work/inner/d/../../f",
	"@/work/inner/up",
	"@/work/inner/up/b",
	"@/work/inner/out",
	"@/work/inner/nothing",
	"@/work/l-f",
	"@/work/l-f/",
	"@/work/l-a",
	"@/work/l-a/",
	"@/work/l-a/b",
	"@/work/l-a/..",
	"@/work/l-ab/..",
	"@/work/l-ab/../b/c/f",
	"@/work/l-up",
	"@/work/l-up/out/o",
	"@/work/l-up/work/l-up",
	"@/work/l-self/l-self/l-self/f",
	"@/work/l-out/o",
	"@/work/l-out/..",
	"@/work/l-abs",
	"@/work/l-abs-in",
	"@/work/l-abs-in/b/..",
	"@/work/l-none",
	"@/work/l-none/x",
	"@/work/l-slash",
	"@/work/l-slash/b",
	"@/work/l-f-slash",
	"@/work/l-inner",
	"@/work/l-inner/..",
	"@/work/l-twice",
	"@/work/l-twice/b",
	"@/work/loop-1",
	"@/work/loop-1/x",
	"@/work/a/l-root",
	"@/work/a/l-root/out",
	"@/work/a/b/l-f",
	"@/out",
	"@/out/o",
	"@/out/o/",
	"@/out/a/b/work",
	"@/out/a/b/work/o",
	"@/out/a/b/nothing",
	"@/out/l-in",
	"@/out/l-in/",
	"@/out/l-in/a/b/c/f",
	"@/out/l-in/..",
	"@/out/l-in-f",
	"@/out/l-in-a",
	"@/out/l-in-a/c",
	"@/out/l-in-a/../../f",
	"@/out/l-in-inner",
	"@/out/l-in-inner/../f",
	"@/out/l-o",
	"@/out/l-none",
	"@/out/l-chain",
	"@/out/l-chain/b",
	"@/chain-01",
	"@/chain-02",
	"@/chain-03",
	"@/chain-42",
	"@/chain-03/x",
	"",
	".",
	"..",
	"./",
	"../",
	"../..",
	"../../..",
	"a",
	"a/b",
	"b",
	"b/c/f",
	"f",
	"./f",
	"../f",
	"../../work/f",
	"../../out/o",
	"../out/o",
	"out/o",
	"work",
	"work/a/b",
	"work/../out",
	"o",
	"l-f",
	"l-a/b",
	"l-in",
	"l-in/f",
	"l-out/o",
	"l-root/out/o",
	"inner",
	"inner/i",
	"../inner",
	"../inner/i",
	"i",
	"d/..",
	"up",
	"up/..",
	"nothing",
	"nothing/",
	"nothing/x",
	"f/",
	"f/x",
	"/",
	"/..",
	"/../../",
	"/.",
	"//",
	"///usr//lib",
	"/usr/bin/../lib",
	"/nothing/at/all",
	"/dev/null",
	"/dev/null/",
	"/dev/fd",
	"/bin/sh",
	"/etc/mtab",
	"/proc/self",
	"/proc/self/",
	"/proc/self/cwd",
	"/proc/self/cwd/",
	"/proc/self/cwd/..",
	"/proc/self/cwd/f",
	"/proc/self/root",
	"/proc/self/root/proc/self/cwd",
	"/proc/self/exe",
	"/proc/self/fd/200",
	"/proc/self/fd/200/",
	"/proc/self/fd/200/f",
	"/proc/self/fd/200/..",
	"/proc/self/fd/77777",
	"/proc/thread-self",
	"/proc/thread-self/cwd",
	"/proc/mounts",
	"/proc/self/root@/work/f",
	"/proc/self/../self/cwd",
	"/proc/self/ns/mnt",
	"/proc/1/cwd/",
	"/proc/self/task",
	"/proc/nothing",
	"/proc/self/nothing",
	"/proc/self/status/",
};

static const unsigned all_flags[] = { 0, PATH_FOLLOW, PATH_DIRECTORY,
				      PATH_FOLLOW | PATH_DIRECTORY };

static const uint64_t all_resolves[] = {
	0,
	RESOLVE_NO_SYMLINKS,
	RESOLVE_NO_MAGICLINKS,
	RESOLVE_BENEATH,
	RESOLVE_IN_ROOT,
	RESOLVE_NO_XDEV,
};

/* Where the process stands, and where its descriptor is: natively, and when all is above. */
static const struct {
	const char *native, *above;
} places[] = {
	{ "@", "@" },
	{ "@/out", "@/out" },
	{ "@/work", "@/.upper0" },
	{ "@/work/a", "@/.upper0/a" },
	{ "@/work/a/b", "@/.upper0/a/b" },
	{ "@/work/inner", "@/.upper1" },
	{ "@/work/inner/d", "@/.upper1/d" },
};

/* What is beneath the entries, to be moved. */
static const char *const in_work[] = {
	"a",       "f",         "\xff\xfe name", "l-f",     "l-a",      "l-ab",
	"l-up",    "l-self",    "l-out",         "l-abs",   "l-abs-in", "l-none",
	"l-slash", "l-f-slash", "l-inner",       "l-twice", "loop-1",   "loop-2",
};
static const char *const in_inner[] = { "i", "d", "up", "out" };

/* ---- the process */

static void put(char *to, const char *from, const char *base)
{
	for (; *from; from++) {
		if (*from == '@')
			to = stpcpy(to, base);
		else
			*to++ = *from;
	}
	*to = '\0';
}

static const char *full(const char *text)
{
	static char out[WALKER_TEXT_MAX];

	put(out, text, scratch_path());
	return out;
}

static void start(void)
{
	static char room[LINES_MAX][128];
	static const char *const entries[] = { "work", "work/inner", NULL };
	const char *lines[LINES_MAX] = { NULL };
	size_t n = 0;

	for (; n < TAP_COUNT(tree); n++)
		put(room[n], tree[n], scratch_path());
	for (int i = 1; i <= CHAIN; i++, n++)
		snprintf(room[n], sizeof(room[n]),
			 i == CHAIN ? "l chain-%02d out" : "l chain-%02d chain-%02d", i, i + 1);
	for (size_t i = 0; i < n; i++)
		lines[i] = room[i];
	walker_start(&w, scratch_path(), lines, entries);
}

static int go_there(struct walker_board *b)
{
	int fd = open(b->text, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fchdir(fd) < 0 || dup2(fd, GUEST_FD) < 0)
		return -errno;
	close(fd);
	return 0;
}

static void go(const char *place)
{
	strcpy(w.board->text, full(place));
	if (!is_int(walker_do(&w, go_there), 0, "the process goes to %s", place))
		exit(1);
}

/* ---- every text, from every place, in every way */

struct way {
	size_t place, text;
	int dirfd;
	unsigned flags;
	uint64_t resolve;
};

/* What the kernel said, by number of the way. */
struct answer {
	int ret;
	int64_t tag;
	mode_t mode;
	char *name;
};

static const char *describe(const struct way *v)
{
	static char out[PATH_MAX];

	snprintf(out, sizeof(out), "\"%s\" from %s%s, flags %u, resolve %llx", texts[v->text],
		 places[v->place].native, v->dirfd == AT_FDCWD ? "" : " (a descriptor)", v->flags,
		 (unsigned long long)v->resolve);
	return out;
}

static bool is_ours(int64_t tag)
{
	return tag >= 1000 && tag < 1000 + LINES_MAX;
}

static bool check(const struct way *v, const struct answer *want, const struct walker_seen *got)
{
	if (!is_int(got->ret, want->ret, "%s", describe(v)))
		return false;
	if (want->ret)
		return true;
	if (is_ours(want->tag))
		return is_int(got->tag, want->tag, "%s: %s", describe(v), got->name) &&
		       is_int(got->mode & S_IFMT, want->mode & S_IFMT, "%s", describe(v));
	return is_str(got->name, want->name, "%s", describe(v));
}

static void walk_below(const struct way *v, struct answer *a)
{
	const struct walker_seen *kernel =
		walker_ask(&w, v->dirfd, full(texts[v->text]), v->flags, v->resolve);
	struct walker_seen got;

	*a = (struct answer){ kernel->ret, kernel->tag, kernel->mode, strdup(kernel->name) };
	got = walker_walk(&w, v->dirfd, full(texts[v->text]), v->flags, v->resolve);
	if (check(v, a, &got) && !a->ret && is_ours(a->tag)) {
		if (w.p.found.side != LAYER_UPPER)
			is_int((long long)got.ino, (long long)kernel->ino, "%s", describe(v));
		is_str(got.name, kernel->name, "%s", describe(v));
	}
	path_close(&w.p);
}

static void walk_above(const struct way *v, struct answer *a)
{
	struct walker_seen got =
		walker_walk(&w, v->dirfd, full(texts[v->text]), v->flags, v->resolve);

	check(v, a, &got);
	path_close(&w.p);
	free(a->name);
}

static void each_resolve(struct way v, struct answer **a,
			 void (*visit)(const struct way *v, struct answer *a))
{
	bool relative = texts[v.text][0] != '/' && texts[v.text][0] != '@';

	for (size_t r = 0; r < TAP_COUNT(all_resolves); r++) {
		v.resolve = all_resolves[r];
		v.dirfd = AT_FDCWD;
		if (v.resolve && v.flags & PATH_DIRECTORY)
			continue;
		visit(&v, (*a)++);
		if (!relative && !(v.resolve & RESOLVE_IN_ROOT))
			continue;
		v.dirfd = GUEST_FD;
		visit(&v, (*a)++);
	}
}

static void each_way(bool above, struct answer *a,
		     void (*visit)(const struct way *v, struct answer *a))
{
	struct way v = { .place = 0 };

	for (; v.place < TAP_COUNT(places); v.place++) {
		go(above ? places[v.place].above : places[v.place].native);
		for (v.text = 0; v.text < TAP_COUNT(texts); v.text++)
			for (size_t f = 0; f < TAP_COUNT(all_flags); f++) {
				v.flags = all_flags[f];
				each_resolve(v, &a, visit);
			}
	}
}

static void walks_as_the_kernel_does(void)
{
	int dir = scratch_make();
	struct answer *answers = calloc(TAP_COUNT(places) * TAP_COUNT(texts) *
						TAP_COUNT(all_flags) * TAP_COUNT(all_resolves) * 2,
					sizeof(*answers));

	start();
	each_way(false, answers, walk_below);
	for (size_t i = 0; i < TAP_COUNT(in_work); i++)
		walker_raise(&w, 0, in_work[i]);
	for (size_t i = 0; i < TAP_COUNT(in_inner); i++)
		walker_raise(&w, 1, in_inner[i]);
	each_way(true, answers, walk_above);
	free(answers);
	walker_end(&w);
	scratch_drop(dir);
}

/* ---- who walks */

/* What the filter would tell the supervisor of a call that the process has just made. */
static void tell(int nr)
{
	struct super_state none = { .cow = NULL };

	w.n.id++;
	w.n.nr = nr;
	for (size_t i = 0; i < n_guest_handlers; i++)
		if (guest_handlers[i].nr == nr)
			guest_handlers[i].run(&none, &w.n);
}

/* Every text is what the kernel says, whether followed at its end or not. */
static void same(const char *const *list, size_t n, const char *who)
{
	for (size_t i = 0; i < n * 2; i++) {
		const char *text = full(list[i / 2]);
		struct walker_seen kernel = *walker_ask(&w, AT_FDCWD, text, i % 2, 0);
		struct walker_seen got = walker_walk(&w, AT_FDCWD, text, i % 2, 0);

		if (is_int(got.ret, kernel.ret, "%s: %s, flags %zu", who, list[i / 2], i % 2) &&
		    !got.ret && w.p.found.side != LAYER_UPPER)
			is_int((long long)got.ino, (long long)kernel.ino, "%s: %s", who,
			       list[i / 2]);
		path_close(&w.p);
	}
}

static int be_nobody(struct walker_board *b)
{
	(void)b;
	return setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
			       setresuid(65534, 65534, 65534) < 0
		       ? -errno
		       : 0;
}

static int take_group(struct walker_board *b)
{
	const gid_t group = (gid_t)b->number;

	return setgroups(1, &group) < 0 ? -errno : 0;
}

static int drop_caps(struct walker_board *b)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { { .effective = 0 } };

	(void)b;
	d[0].permitted = 1u << CAP_SETGID | 1u << CAP_SETUID;
	d[0].effective = d[0].permitted;
	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

static void own(const char *text, uid_t uid, gid_t gid, mode_t mode)
{
	const char *name = full(text);

	guest_pause();
	is_int(lchown(name, uid, gid), 0, "%s is somebody's", text);
	if (mode)
		is_int(chmod(name, mode), 0, "%s has a mode", text);
}

static const char *const private_texts[] = {
	"@/work/a",
	"@/work/a/",
	"@/work/a/.",
	"@/work/a/..",
	"@/work/a/b",
	"@/work/a/f",
	"@/work/a/nothing",
	"@/work/l-a",
	"@/work/l-a/b",
	"@/work/inner",
	"@/work/inner/",
	"@/work/inner/d/..",
	"@/work/inner/nothing",
	"@/out/a",
	"@/out/a/b",
	"@/out/a/..",
	"@/out/l-in-a",
	"@/out/l-in-a/c",
	"@/out/l-none",
	"@/out/o",
	"/proc/self/cwd",
	"/proc/self/root",
	"/proc/1/cwd",
	"/proc/1/root@/work/a",
	"/proc/self/fd/200/work",
};

static void check_private(const char *who)
{
	same(private_texts, TAP_COUNT(private_texts), who);
}

static void asks_as_the_thread(void)
{
	int dir;

	if (geteuid() != 0)
		tap_skip("only root can be somebody else");
	dir = scratch_make();
	start();
	is_int(chmod(scratch_path(), 0755), 0, "all may enter");
	go("@");
	own("@/work/a", 4711, 4712, 0750);
	own("@/out/a", 4711, 4712, 0750);
	own("@/work/inner", 4711, 4712, 0750);
	own("@/.upper1", 4711, 4712, 0750);
	check_private("root");
	is_int(walker_do(&w, drop_caps), 0, "without capabilities");
	tell(SYS_capset);
	check_private("root without capabilities");
	w.board->number = 4712;
	is_int(walker_do(&w, take_group), 0, "with a group");
	tell(SYS_setgroups);
	check_private("root with the group");
	is_int(walker_do(&w, be_nobody), 0, "as nobody");
	tell(SYS_setresuid);
	check_private("nobody");
	own("@/work/a", 65534, 4712, 0700);
	own("@/out/a", 65534, 4712, 0700);
	check_private("nobody who owns it");
	guest_pause();
	walker_end(&w);
	scratch_drop(dir);
}

/* From here on nobody can be given a group. */
static void forbid_groups(void)
{
	ok(deny_call_of(SYS_setgroups, SECCOMP_RET_ERRNO | ENOMEM), "a filter");
}

static int open_own(const char *text)
{
	auto_fd fd = open(full(text), O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : 0;
}

static void has_no_right_where_it_cannot_be_the_thread(void)
{
	int dir;
	bool acted;

	if (geteuid() != 0)
		tap_skip("only root can be somebody else");
	is_int(setgroups(0, NULL), 0, "no groups");
	dir = scratch_make();
	start();
	is_int(chmod(scratch_path(), 0755), 0, "all may enter");
	own("@/out/o", 0, 4712, 0660);
	w.board->number = 4712;
	is_int(walker_do(&w, take_group), 0, "with a group");
	tell(SYS_setgroups);
	is_int(guest_become(&w.n), 0, "as the thread");
	acted = guest_pause();
	ok(acted && !guest_acts() && !guest_is_lost(), "as itself");
	forbid_groups();
	is_int(guest_resume(acted), -EPERM, "it can't be the thread again");
	ok(!guest_acts() && guest_is_lost(), "which is known");
	is_int(open_own("@/out/o"), -EACCES, "nor is it root");
	is_int(guest_resume(true), -EPERM, "until it is told");
	is_int(guest_recover(), 0, "it is");
	ok(!guest_is_lost() && open_own("@/out/o") == 0, "it is itself again");
	walker_end(&w);
	scratch_drop(dir);
}

static const char *const shared_texts[] = { "@/out/l-o",   "@/out/l-o/",   "@/out/l-in-f",
					    "@/out/l-in",  "@/out/l-in/f", "@/out/l-in-a",
					    "@/out/l-none" };

/* Where fs.protected_symlinks is on; else the kernel and the walk let them all follow. */
static void follows_no_trap(void)
{
	int dir;

	if (geteuid() != 0)
		tap_skip("only root can lay somebody else's link");
	dir = scratch_make();
	start();
	go("@");
	own("@/out", 4711, 4711, 01777);
	own("@/out/l-o", 4711, 4711, 0);
	own("@/out/l-in", 4712, 4712, 0);
	own("@/out/l-in-f", 4712, 4712, 0);
	same(shared_texts, TAP_COUNT(shared_texts), "in a shared directory");
	own("@/out", 4711, 4711, 0755);
	same(shared_texts, TAP_COUNT(shared_texts), "in one that is not");
	guest_pause();
	walker_end(&w);
	scratch_drop(dir);
}

static int go_root(struct walker_board *b)
{
	return chroot(b->text) < 0 ? -errno : 0;
}

static const char *const rooted_texts[] = {
	"/",         "/..",         "/../..",    "/o",           "/l-in",
	"/l-o",      "/l-in-a",     "/a/b",      "/f",           "/l-f",
	"/l-a",      "/l-ab/..",    "/l-up",     "/l-abs",       "/l-abs-in",
	"/inner",    "/inner/i",    "/inner/..", "/inner/../..", "/inner/out",
	"/a/l-root", "/a/l-root/f", "..",        "../..",        ".",
	"o",         "f",           "a/../..",   "/nothing",
};

static void has_its_own_root(void)
{
	static const char *const roots[] = { "@", "@/out", "@/work", "@/work/a", "@/work/inner" };
	int dir;

	if (geteuid() != 0)
		tap_skip("only root can have another root");
	for (size_t i = 0; i < TAP_COUNT(roots) * 2; i++) {
		dir = scratch_make();
		start();
		/* within its root, and outside of it */
		go(i % 2 ? roots[i / 2] : "@/out/a");
		/* the container's own comes first */
		same(rooted_texts, i % 4 ? 1 : 0, "/");
		strcpy(w.board->text, full(roots[i / 2]));
		is_int(walker_do(&w, go_root), 0, "a root");
		tell(SYS_chroot);
		same(rooted_texts, TAP_COUNT(rooted_texts), roots[i / 2]);
		walker_end(&w);
		scratch_drop(dir);
	}
}

/* ---- names that are to be made or removed */

static const struct {
	const char *text;
	unsigned flags;
	int ret;
	const char *in, *rel; /* with "in": the path in the layer; else the name */
	enum path_last last;
	bool slash, found;
} parents[] = {
	{ "@/work/new", 0, 0, "work", "new", PATH_NAME, false, false },
	{ "@/work/new/", 0, 0, "work", "new", PATH_NAME, true, false },
	{ "@/work/a/b/new", 0, 0, "work", "a/b/new", PATH_NAME, false, false },
	{ "@/work/a/new//", 0, 0, "work", "a/new", PATH_NAME, true, false },
	{ "@/work/new/new", 0, -ENOENT, "work", NULL, PATH_NAME, false, false },
	{ "@/work/f/new", 0, -ENOTDIR, "work", NULL, PATH_NAME, false, false },
	{ "@/work/f", 0, 0, "work", "f", PATH_NAME, false, true },
	{ "@/work/f/", 0, 0, "work", "f", PATH_NAME, true, true },
	{ "@/work/l-a", 0, 0, "work", "l-a", PATH_NAME, false, true },
	{ "@/work/l-a/", 0, 0, "work", "l-a", PATH_NAME, true, true },
	{ "@/work/l-a/new", 0, 0, "work", "a/new", PATH_NAME, false, false },
	{ "@/work/l-a", PATH_FOLLOW, 0, "work", "a", PATH_NAME, false, true },
	{ "@/work/l-none", 0, 0, "work", "l-none", PATH_NAME, false, true },
	{ "@/work/l-none", PATH_FOLLOW, 0, "work", "nothing", PATH_NAME, false, false },
	{ "@/work/l-abs", PATH_FOLLOW, 0, NULL, "o", PATH_NAME, false, true },
	{ "@/work/loop-1", PATH_FOLLOW, -ELOOP, "work", NULL, PATH_NAME, false, false },
	{ "@/work/a/.", 0, 0, "work", "a", PATH_DOT, false, true },
	{ "@/work/a/b/..", 0, 0, "work", "a", PATH_DOTDOT, false, true },
	{ "@/work/..", 0, 0, NULL, "", PATH_DOTDOT, false, true },
	{ "@/work", 0, 0, "work", "", PATH_NAME, false, true },
	{ "@/work/inner", 0, 0, "work/inner", "", PATH_NAME, false, true },
	{ "@/work/inner/new", 0, 0, "work/inner", "new", PATH_NAME, false, false },
	{ "@/work/inner/../new", 0, 0, "work", "new", PATH_NAME, false, false },
	{ "@/out/new", 0, 0, NULL, "new", PATH_NAME, false, false },
	{ "@/out/new/", 0, 0, NULL, "new", PATH_NAME, true, false },
	{ "@/out/o", 0, 0, NULL, "o", PATH_NAME, false, true },
	{ "@/out/l-in", 0, 0, NULL, "l-in", PATH_NAME, false, true },
	{ "@/out/l-in/new", 0, 0, "work", "new", PATH_NAME, false, false },
	{ "@/out/l-in-f", PATH_FOLLOW, 0, "work", "f", PATH_NAME, false, true },
	{ "@/out/l-none", PATH_FOLLOW, 0, NULL, "nothing", PATH_NAME, false, false },
	{ "@/out/nothing/new", 0, -ENOENT, NULL, NULL, PATH_NAME, false, false },
	{ "@/out/o/new", 0, -ENOTDIR, NULL, NULL, PATH_NAME, false, false },
	{ "/", 0, 0, NULL, "", PATH_ROOT, false, true },
	{ "", 0, -ENOENT, NULL, NULL, PATH_ROOT, false, false },
};

static void check_parent(size_t i)
{
	const char *text = parents[i].text;
	struct walker_seen got =
		walker_walk(&w, AT_FDCWD, full(text), parents[i].flags | PATH_PARENT, 0);
	const char *in = w.p.in ? w.p.in->guest + strlen(scratch_path()) + 1 : NULL;
	bool named = !w.p.in && w.p.last == PATH_NAME;

	is_int(got.ret, parents[i].ret, "%s", text);
	is_str(in, parents[i].in, "%s", text);
	if (got.ret || parents[i].ret)
		return;
	is_str(w.p.in ? w.p.rel : w.p.name, parents[i].rel, "%s", text);
	is_int(w.p.last, parents[i].last, "%s", text);
	is_int(w.p.slash, parents[i].slash, "%s ends in a slash", text);
	is_int(w.p.found.fd >= 0, parents[i].found, "%s is there", text);
	is_int(w.p.dir >= 0, named, "%s: the directory", text);
}

static void finds_where_a_name_goes(void)
{
	int dir = scratch_make();

	start();
	go("@");
	for (size_t i = 0; i < TAP_COUNT(parents); i++) {
		check_parent(i);
		path_close(&w.p);
	}
	walker_end(&w);
	scratch_drop(dir);
}

/* ---- texts */

static int walk_at(void *address)
{
	int ret = path_walk(&w.map, &w.n, AT_FDCWD, (uintptr_t)address, 0, 0, &w.p);

	path_close(&w.p);
	return ret;
}

/* Shared, and so at the same place in the process. */
static char *pages(size_t n)
{
	size_t len = (n + 1) * 4096;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	memset(p, '/', n * 4096);
	mprotect(p + n * 4096, 4096, PROT_NONE);
	return p;
}

static void reads_no_page_too_many(void)
{
	char *one = pages(1), *two = pages(2);
	int dir = scratch_make();
	size_t len;

	start();
	go("@");
	len = strlen(full("@/work/f")) + 1;
	/* to the last byte of what is mapped, and across two pages */
	memcpy(one + 4096 - len, full("@/work/f"), len);
	is_int(walk_at(one + 4096 - len), 0, "before a page that is not there");
	memcpy(two + 4096 - len / 2, full("@/work/f"), len);
	is_int(walk_at(two + 4096 - len / 2), 0, "across pages");
	memset(two, '/', 2 * 4096);
	is_int(walk_at(two + 4096), -ENAMETOOLONG, "a text without an end");
	is_int(walk_at(two + 4097), -EFAULT, "one that ends where nothing is");
	is_int(walk_at(two + 2 * 4096), -EFAULT, "one that isn't there");
	is_int(walk_at(NULL), -EFAULT, "none");
	is_int(walk_at((void *)(uintptr_t)-1), -EFAULT, "one at the end of all");
	two[4096 + 4095] = '\0';
	is_int(walk_at(two + 4096), 0, "the longest");
	is_int(walk_at(two + 4095), -ENAMETOOLONG, "and one byte more");
	memset(two + 4097, 'x', 256);
	is_int(walk_at(two + 4096), -ENAMETOOLONG, "a name that is too long");
	two[4096 + 256] = '/';
	is_int(walk_at(two + 4096), -ENOENT, "one that is not");
	walker_end(&w);
	scratch_drop(dir);
}

/* ---- what is gone */

static int go_away(struct walker_board *b)
{
	int dir = open(b->text, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int file = dir < 0 ? -1 : openat(dir, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (file < 0 || fchdir(dir) < 0 || dup2(file, GUEST_FD) < 0 ||
	    unlinkat(dir, "file", 0) < 0 || rmdir(b->text) < 0)
		return -errno;
	close(dir);
	close(file);
	return 0;
}

static const char *const gone_texts[] = { ".",
					  "./",
					  "x",
					  "../nothing",
					  "..",
					  "./x",
					  "/proc/self/cwd",
					  "/proc/self/cwd/",
					  "/proc/self/cwd/x",
					  "/proc/self/cwd/..",
					  "/proc/self/fd/200",
					  "/proc/self/fd/200/",
					  "/proc/self/fd/200/x" };

/* A directory of the layers that was removed is one of the kernel's that was removed. */
static void knows_what_is_gone(void)
{
	static const char *const dirs[] = { "@/out/gone", "@/.upper0/gone", "@/.upper1/gone" };
	int dir = scratch_make();

	start();
	go("@");
	for (size_t i = 0; i < TAP_COUNT(dirs); i++) {
		struct walker_seen got;

		is_int(mkdir(full(dirs[i]), 0755), 0, "%s", dirs[i]);
		strcpy(w.board->text, full(dirs[i]));
		is_int(walker_do(&w, go_away), 0, "%s goes", dirs[i]);
		for (size_t t = 0; t < TAP_COUNT(gone_texts); t++) {
			const char *text = gone_texts[t];
			int want = walker_ask(&w, AT_FDCWD, text, PATH_FOLLOW, 0)->ret;

			got = walker_walk(&w, AT_FDCWD, text, PATH_FOLLOW, 0);
			is_int(got.ret, want, "%s in %s", text, dirs[i]);
			path_close(&w.p);
		}
		got = walker_walk(&w, GUEST_FD, "", PATH_EMPTY, 0);
		is_int(got.ret, 0, "the file of %s", dirs[i]);
		is_int(w.p.gone, i > 0, "the file of %s is of the map, without a name", dirs[i]);
		path_close(&w.p);
	}
	walker_end(&w);
	scratch_drop(dir);
}

/* ---- other namespaces */

static int mount_proc(struct walker_board *b)
{
	return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			       mount("proc", b->text, "proc", 0, NULL) < 0
		       ? -errno
		       : 0;
}

static const char *const proc_texts[] = {
	"@/out/a/self",
	"@/out/a/self/",
	"@/out/a/self/cwd",
	"@/out/a/self/cwd/f",
	"@/out/a/self/cwd/..",
	"@/out/a/thread-self",
	"@/out/a/thread-self/cwd/a/b",
	"@/out/a/self/fd/200/f",
	"@/out/a/mounts",
	"@/out/a/1/cwd/f",
	"@/out/a/2",
	"@/out/a/..",
	"@/out/a/self/root@/work/f",
	"/proc/self/cwd/f",
	"/proc/thread-self/cwd",
	"@/work/inner/i",
	"@/work/inner/..",
	"@/work/../work/f",
};

/* Who is "self" depends on the pid namespace of a procfs. */
static void is_itself_in_each_proc(void)
{
	int dir;

	if (unshare(CLONE_NEWPID) < 0)
		tap_skip("no pid namespace is to be had: %s", strerror(errno));
	dir = scratch_make();
	start();
	go("@/work");
	same(proc_texts, TAP_COUNT(proc_texts), "without a procfs of its own");
	strcpy(w.board->text, full("@/out/a"));
	if (walker_do(&w, mount_proc))
		tap_skip("procfs can't be mounted here");
	tell(SYS_unshare);
	/* what it had is still its namespace's of before */
	go("@/work");
	for (int i = 0; i < 2; i++)
		same(proc_texts, TAP_COUNT(proc_texts), "with a procfs of its own");
	walker_end(&w);
	scratch_drop(dir);
}

/* As a container has it: its own view of the directory is a mount that can't be written to. And the
 * same directory is somewhere else, as it is. */
static int mount_work(struct walker_board *b)
{
	char work[PATH_MAX], other[PATH_MAX];

	snprintf(work, sizeof(work), "%.4000s/work", b->text);
	snprintf(other, sizeof(other), "%.4000s/out/a", b->text);
	return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			       mount(work, other, NULL, MS_BIND, NULL) < 0 ||
			       mount(work, work, NULL, MS_BIND, NULL) < 0 ||
			       mount(NULL, work, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0
		       ? -errno
		       : 0;
}

static int get_mounts(struct walker_board *b)
{
	(void)b;
	return unshare(CLONE_NEWNS) < 0 ? -errno : 0;
}

static const char *const mount_texts[] = {
	"@/work",
	"@/work/",
	"@/work/..",
	"@/work/a/b/c/f",
	"@/work/a/../f",
	"@/work/l-up/out/o",
	"@/work/l-abs-in/b",
	"@/work/nothing",
	"@/work/../work/f",
	"@/out/l-in/a",
	"@/out/a/f",
	"@/out/a/..",
	"@/out/a/../o",
	"@/out/a/nothing",
	"a",
	"f",
	"..",
	"../out/o",
	"../f",
	"../../f",
	".",
	"/proc/self/cwd/..",
	"/proc/self/root@/work/f",
};

static void check_mounts(const char *who)
{
	static const char *const from[] = { "@", "@/work", "@/work/a", "@/out/a" };

	for (size_t i = 0; i < TAP_COUNT(from); i++) {
		go(from[i]);
		same(mount_texts, TAP_COUNT(mount_texts), who);
	}
	walker_walk(&w, AT_FDCWD, full("@/work/a/f"), 0, 0);
	ok(w.p.in && strcmp(w.p.rel, "a/f") == 0, "%s: one is of the map", who);
	path_close(&w.p);
	walker_walk(&w, AT_FDCWD, full("@/out/a/a/f"), 0, 0);
	ok(!w.p.in && w.p.found.fd >= 0, "%s: the other is not", who);
	path_close(&w.p);
}

static void knows_the_mounts_of_the_container(void)
{
	int dir = scratch_make();

	start();
	strcpy(w.board->text, full("@"));
	if (walker_do(&w, mount_work))
		tap_skip("nothing can be mounted here");
	walker_settle(&w);
	check_mounts("the container's mounts");
	/* and where the process has copies of them */
	is_int(walker_do(&w, get_mounts), 0, "mounts of its own");
	tell(SYS_unshare);
	check_mounts("its own");
	walker_end(&w);
	scratch_drop(dir);
}

static int get_users(struct walker_board *b)
{
	(void)b;
	return unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

/* Whoever runs a program in there can be looked at again. */
static int be_inside(struct walker_board *b)
{
	uid_t id = (uid_t)b->number;

	return setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0 ||
			       prctl(PR_SET_DUMPABLE, 1) < 0
		       ? -errno
		       : 0;
}

static void map_ids(const char *file)
{
	static const char map[] = "0 100000 65536";
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", w.pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	is_int(write(fd, map, sizeof(map) - 1), sizeof(map) - 1, "%s", path);
	fd_close(fd);
}

/* Who has joined can't remove what is the host's: another process does it. */
static int start_cleaner(void)
{
	int go_on[2];

	fflush(stdout);
	if (pipe(go_on) < 0)
		return -1;
	if (fork() == 0) {
		char byte;

		close(go_on[1]);
		if (read(go_on[0], &byte, 1) < 0)
			_exit(1);
		_exit(fd_remove_tree(AT_FDCWD, scratch_path()) ? 1 : 0);
	}
	close(go_on[0]);
	return go_on[1];
}

static void clean_up(int cleaner)
{
	int status = 1;

	close(cleaner);
	ok(wait(&status) > 0 && status == 0, "%s goes", scratch_path());
}

static void joins_the_users_of_the_container(void)
{
	int cleaner;

	if (geteuid() != 0)
		tap_skip("only root can map ids");
	close(scratch_make());
	cleaner = start_cleaner();
	start();
	is_int(chmod(scratch_path(), 0755), 0, "all may enter");
	go("@");
	own("@/work/a", 100000, 100000, 0700);
	own("@/out/a", 100000, 100000, 0700);
	own("@/work/inner", 4711, 4711, 0750);
	/* the layers' own are as the directories that they hide */
	own("@/.upper0", 100000, 100000, 0755);
	own("@/.upper1", 4711, 4711, 0750);
	if (walker_do(&w, get_users))
		tap_skip("no user namespace is to be had");
	map_ids("uid_map");
	map_ids("gid_map");
	is_int(guest_join(&w.n), 0, "the supervisor joins");
	is_int(prctl(PR_GET_DUMPABLE), 0, "and is not to be looked at");
	ok(guest_is_trusted(65534), "root of the host is one who is not in there");
	ok(!guest_is_trusted(0), "root of the container is not root");
	for (int i = 0; i < 2; i++) {
		w.board->number = i;
		is_int(walker_do(&w, be_inside), 0, "a user in there");
		tell(SYS_setresuid);
		check_private(i ? "a user of the container" : "root of the container");
	}
	walker_end(&w);
	clean_up(cleaner);
}

/* ---- races */

static _Atomic bool racing;

/* A directory and a link that change places. */
static void *swap_names(void *arg)
{
	(void)arg;
	while (racing)
		renameat2(AT_FDCWD, "out/a", AT_FDCWD, "out/l-in-a", RENAME_EXCHANGE);
	return NULL;
}

/* Two texts in turns, byte by byte. */
static void *swap_texts(void *arg)
{
	struct walker_board *b = arg;
	const char *const turns[] = { "out/o", "work/f" };

	for (unsigned i = 0; racing; i++)
		strcpy(b->text, turns[i % 2]);
	return NULL;
}

static pthread_t racer;

static int race_names(struct walker_board *b)
{
	racing = true;
	return -pthread_create(&racer, NULL, swap_names, b);
}

static int race_texts(struct walker_board *b)
{
	racing = true;
	return -pthread_create(&racer, NULL, swap_texts, b);
}

static int race_ends(struct walker_board *b)
{
	(void)b;
	racing = false;
	return -pthread_join(racer, NULL);
}

static int64_t tag_of(const char *text)
{
	struct stat st;

	return stat(full(text), &st) < 0 ? -1 : st.st_mtim.tv_sec;
}

/* It comes to the one or to the other, and knows which. */
static void stands_names_that_change(void)
{
	int64_t inside, outside;
	int dir = scratch_make(), seen[2] = { 0, 0 };

	start();
	go("@");
	inside = tag_of("@/work/a/b/c");
	outside = tag_of("@/out/a/b/work");
	is_int(walker_do(&w, race_names), 0, "a race");
	for (int i = 0; i < 4000; i++) {
		struct walker_seen got =
			walker_walk(&w, AT_FDCWD, i % 2 ? "out/a/b/work" : "out/a/c", 0, 0);

		if (!got.ret) {
			is_int(got.tag, w.p.in ? inside : outside, "%s", got.name);
			seen[w.p.in != NULL]++;
		} else {
			is_int(got.ret, -ENOENT, "not there at that moment");
		}
		path_close(&w.p);
	}
	is_int(walker_do(&w, race_ends), 0, "the end of it");
	ok(seen[0] + seen[1], "something was found");
	walker_end(&w);
	scratch_drop(dir);
}

/* What was walked is what was copied, whatever the text is by then. */
static void stands_texts_that_change(void)
{
	int dir = scratch_make(), found = 0;
	struct walker_seen first;
	static struct path copy;

	start();
	go("@");
	strcpy(w.board->text, "out/o");
	is_int(walker_do(&w, race_texts), 0, "a race");
	for (int i = 0; i < 4000; i++) {
		int ret = path_walk(&w.map, &w.n, AT_FDCWD, (uintptr_t)w.board->text, 0, 0, &w.p);

		first.ret = path_walk_text(&w.map, &w.n, AT_FDCWD, w.p.text, 0, 0, &copy);
		is_int(first.ret, ret, "%s", w.p.text);
		is_int(copy.in != NULL, w.p.in != NULL, "%s", w.p.text);
		if (!ret && !first.ret)
			is_int((long long)copy.found.st.st_ino, (long long)w.p.found.st.st_ino,
			       "%s", w.p.text);
		found += !ret;
		path_close(&copy);
		path_close(&w.p);
	}
	is_int(walker_do(&w, race_ends), 0, "the end of it");
	ok(found, "something was found");
	walker_end(&w);
	scratch_drop(dir);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(walks_as_the_kernel_does),
		TAP(asks_as_the_thread),
		TAP(has_no_right_where_it_cannot_be_the_thread),
		TAP(follows_no_trap),
		TAP(has_its_own_root),
		TAP(finds_where_a_name_goes),
		TAP(reads_no_page_too_many),
		TAP(knows_what_is_gone),
		TAP(is_itself_in_each_proc),
		TAP(knows_the_mounts_of_the_container),
		TAP(joins_the_users_of_the_container),
		TAP(stands_names_that_change),
		TAP(stands_texts_that_change),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
