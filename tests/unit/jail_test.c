/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "jail/cred.h"
#include "jail/hooks.h"
#include "jail/landlock.h"
#include "jail/limits.h"
#include "jail/mount.h"
#include "jail/ns.h"
#include "jail/plan.h"
#include "lib/scratch.h"
#include "lib/tap.h"

static void id_maps(void)
{
	static const struct ns_map maps[] = { { 0, 1000, 1 }, { 1, 100000, 65535 } };
	uint32_t out = 7;

	is_int(ns_map_out(maps, 2, 0, &out), 0, "root");
	is_int(out, 1000, "is the user");
	is_int(ns_map_out(maps, 2, 65535, &out), 0, "the last");
	is_int(out, 165534, "of the second range");
	is_int(ns_map_out(maps, 2, 65536, &out), -ERANGE, "one past it");
	is_int(ns_map_out(NULL, 0, 0, &out), -ERANGE, "no map at all");
}

static void cpu_lists(void)
{
	static const struct {
		const char *text;
		int ret;
		unsigned long mask;
	} rows[] = {
		{ "0", 0, 1 },          { "0-3", 0, 15 },     { "0-1,3", 0, 11 },
		{ "63", 0, 1ul << 63 }, { "64", -EINVAL, 0 }, { "3-1", -EINVAL, 0 },
		{ "1,", -EINVAL, 0 },   { ",1", -EINVAL, 0 }, { "1-", -EINVAL, 0 },
		{ "a", -EINVAL, 0 },    { "1 ", -EINVAL, 0 }, { "-1", -EINVAL, 0 },
	};
	unsigned long mask;

	for (size_t i = 0; i < TAP_COUNT(rows); i++) {
		is_int(limits_parse_cpus(rows[i].text, &mask, sizeof(mask)), rows[i].ret, "\"%s\"",
		       rows[i].text);
		if (!rows[i].ret)
			ok(mask == rows[i].mask, "\"%s\": the mask", rows[i].text);
	}
}

static int passwd_of(const char *text, size_t len)
{
	int fd = memfd_create("passwd", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	return fd;
}

static void homes(void)
{
	static const char plain[] = "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh";
	static const char odd[] = ":::::\n\n1000\nx:x:01000x:0::/bad:/\nu:x:1000:0::/good:/x\n";
	char *long_line = malloc(20000), home[64];
	auto_fd fd = passwd_of(plain, strlen(plain));

	ok(cred_home(fd, 1000, home, sizeof(home)), "a user of the last line, without a newline");
	is_str(home, "/home/u", "his home");
	close(fd);
	fd = passwd_of(odd, strlen(odd));
	ok(cred_home(fd, 1000, home, sizeof(home)), "behind lines that are none");
	is_str(home, "/good", "his home");
	ok(!cred_home(fd, 1, home, sizeof(home)), "nobody by that number");
	close(fd);
	memset(long_line, 'a', 20000);
	for (size_t at = 4000; at < 4200; at += 18) /* wherever a reader may begin anew */
		memcpy(long_line + at, "u:x:1000:0::/h:/x:", 18);
	fd = passwd_of(long_line, 20000);
	ok(!cred_home(fd, 1000, home, sizeof(home)), "a line longer than any buffer");
	free(long_line);
}

static bool is_there(int dir, const char *path, mode_t type)
{
	struct stat st;

	return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == type;
}

/* A hostile image may lead a mount target anywhere, but never out of its root. */
static void mount_targets(void)
{
	int top = scratch_make(), root, fd;

	is_int(mkdirat(top, "root", 0755), 0, "a root");
	is_int(mkdirat(top, "outside", 0755), 0, "a directory beside it");
	root = openat(top, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = mount_target(root, "/a/b/file", false, false);
	ok(fd >= 0 && is_there(root, "a/b/file", S_IFREG),
	   "a missing file and its directories are made");
	fd_close(fd);
	fd = mount_target(root, "/d/e", true, false);
	ok(fd >= 0 && is_there(root, "d/e", S_IFDIR), "a missing directory");
	fd_close(fd);
	is_int(symlinkat("../outside/x", root, "up"), 0, "a dangling link out of the root");
	fd = mount_target(root, "/up", false, false);
	ok(fd >= 0 && is_there(root, "outside/x", S_IFREG) && !is_there(top, "outside/x", S_IFREG),
	   "leads inside");
	fd_close(fd);
	is_int(symlinkat("/run/resolv.conf", root, "abs"), 0, "an absolute dangling link");
	fd = mount_target(root, "abs", false, false);
	ok(fd >= 0 && is_there(root, "run/resolv.conf", S_IFREG), "is made inside");
	fd_close(fd);
	is_int(symlinkat("loop", root, "loop"), 0, "a loop");
	is_int(mount_target(root, "/loop", false, false), -ELOOP, "is refused");
	is_int(mount_target(root, "/a/b/file/x", true, false), -ENOTDIR, "below a file");
	ok(strstr(err_last()->text, "/a/b/file/x") != NULL, "the text names it: %s",
	   err_last()->text);
	close(root);
	scratch_drop(top);
}

static void copy_up(void)
{
	int top = scratch_make(), from, to;
	char link[16];
	struct stat st;

	is_int(fd_mkdir_all(top, "from/dir", 0750), 0, "what to copy");
	is_int(fd_mkdir_all(top, "to", 0755), 0, "where to");
	from = openat(top, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = openat(top, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_int(fd_replace_file(from, "dir/file", 0640, "text", 4), 0, "a file");
	is_int(symlinkat("target", from, "link"), 0, "a link");
	is_int(mknodat(from, "fifo", S_IFIFO | 0600, 0), 0, "a pipe");
	is_int(fchownat(from, "dir/file", 12, 34, 0), geteuid() ? -1 : 0, "an owner");
	is_int(mount_copy_up(from, to), 0, "copied: %s", err_last()->text);
	is_int(fstatat(to, "dir/file", &st, 0), 0, "the file is there");
	ok(st.st_size == 4 && (st.st_mode & 07777) == 0640, "whole, with its mode");
	ok(geteuid() || (st.st_uid == 12 && st.st_gid == 34), "and owner");
	is_int(readlinkat(to, "link", link, sizeof(link)), 6, "the link");
	ok(is_there(to, "fifo", S_IFIFO), "the pipe");
	close(from);
	close(to);
	scratch_drop(top);
}

static void rights(void)
{
	is_int((long long)landlock_all(LANDLOCK_FS, 0), 0, "no Landlock, no rights");
	ok(landlock_all(LANDLOCK_FS, 1) == (1ull << 13) - 1, "the 13 rights of ABI 1");
	for (int abi = 1; abi < 12; abi++)
		ok((landlock_all(LANDLOCK_FS, abi) & ~landlock_all(LANDLOCK_FS, abi + 1)) == 0,
		   "ABI %d grows", abi);
	ok(landlock_right(LANDLOCK_FS, "read_file") == LL_READ_FILE &&
		   landlock_right(LANDLOCK_FS, "READ_FILE") == LL_READ_FILE,
	   "by name");
	is_int((long long)landlock_right(LANDLOCK_FS, "all"), 0, "an unknown name");
}

static void hook_runs(void)
{
	int dir = scratch_make();
	char *first[] = { (char *)"sh", (char *)"-c", (char *)"cat > one; exit 1", NULL };
	char *second[] = { (char *)"sh", (char *)"-c", (char *)"cat > two", NULL };
	struct sandbox_hook v[] = { { .path = "/bin/sh", .args = first },
				    { .path = "/bin/sh", .args = second } };
	struct sandbox_hooks hooks = { .v = v, .n = 2 };
	char text[32] = "";
	auto_fd fd = -1;

	ok(hooks_run(&hooks, &(struct hooks_input){ "{", "}", 42 }, dir, false) < 0,
	   "the first fails");
	fd = openat(dir, "one", O_RDONLY);
	ok(read(fd, text, sizeof(text) - 1) == 4, "it was told the state");
	is_str(text, "{42}", "with the pid in its place");
	ok(!is_there(dir, "two", S_IFREG), "the second was not run");
	ok(hooks_run(&hooks, &(struct hooks_input){ "{", "}", 1 }, dir, true) < 0,
	   "all of them: the first failure is returned");
	ok(is_there(dir, "two", S_IFREG), "and the second was run");
	hooks.n = 0;
	is_int(hooks_run(&hooks, NULL, -1, false), 0, "none");
	scratch_drop(dir);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(id_maps), TAP(cpu_lists), TAP(homes),     TAP(mount_targets),
		TAP(copy_up), TAP(rights),    TAP(hook_runs),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
