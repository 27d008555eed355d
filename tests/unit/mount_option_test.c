/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "jail/mount.h"
#include "lib/tap.h"

#define ATIME (uint64_t) MOUNT_ATTR__ATIME
#define RO (uint64_t) MOUNT_ATTR_RDONLY
#define NOSUID (uint64_t) MOUNT_ATTR_NOSUID

struct row {
	const char *options; /* between commas */
	struct mount_plan want;
};

static const struct row rows[] = {
	{ "defaults", { .set = 0 } },
	{ "ro", { .set = RO, .sb_flags = MS_RDONLY } },
	{ "ro,rw", { .clear = RO } },
	{ "rw,ro", { .set = RO, .sb_flags = MS_RDONLY } },
	{ "nosuid,nodev,noexec",
	  { .set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC } },
	{ "suid,dev,exec", { .clear = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC } },
	{ "noatime", { .set = MOUNT_ATTR_NOATIME, .clear = ATIME } },
	{ "noatime,relatime", { .set = MOUNT_ATTR_RELATIME, .clear = ATIME } },
	{ "relatime,noatime", { .set = MOUNT_ATTR_NOATIME, .clear = ATIME } },
	{ "noatime,strictatime", { .set = MOUNT_ATTR_STRICTATIME, .clear = ATIME } },
	{ "noatime,norelatime", { .set = MOUNT_ATTR_NOATIME, .clear = ATIME } },
	{ "noatime,nostrictatime", { .set = MOUNT_ATTR_NOATIME, .clear = ATIME } },
	{ "noatime,atime", { .set = 0, .clear = ATIME } },
	{ "strictatime,atime", { .set = MOUNT_ATTR_STRICTATIME, .clear = ATIME } },
	{ "nodiratime", { .set = MOUNT_ATTR_NODIRATIME } },
	{ "diratime", { .clear = MOUNT_ATTR_NODIRATIME } },
	{ "nosymfollow", { .set = MOUNT_ATTR_NOSYMFOLLOW } },
	{ "symfollow", { .clear = MOUNT_ATTR_NOSYMFOLLOW } },
	{ "sync,dirsync,mand,lazytime,silent,iversion",
	  { .sb_flags = MS_SYNCHRONOUS | MS_DIRSYNC | MS_MANDLOCK | MS_LAZYTIME | MS_SILENT |
			MS_I_VERSION } },
	{ "sync,mand,lazytime,silent,iversion,async,nomand,nolazytime,loud,noiversion",
	  { .sb_flags = 0 } },
	{ "bind", { .bind = true } },
	{ "rbind", { .bind = true, .recursive = true } },
	{ "rbind,bind", { .bind = true, .recursive = true } },
	{ "private", { .propagation = MS_PRIVATE } },
	{ "rslave,rshared", { .propagation = MS_SHARED | MS_REC } },
	{ "runbindable", { .propagation = MS_UNBINDABLE | MS_REC } },
	{ "rro", { .rset = RO } },
	{ "rro,rrw", { .rclear = RO } },
	{ "rro,rnosuid,rsuid,ro", { .rset = RO, .rclear = NOSUID, .set = RO, .sb_flags = 1 } },
	{ "rnoatime", { .rset = MOUNT_ATTR_NOATIME, .rclear = ATIME } },
	{ "ratime,rrelatime", { .rclear = ATIME } },
	{ "rstrictatime,rnostrictatime", { .rclear = ATIME } },
	{ "idmap", { .extra = MOUNT_IDMAP } },
	{ "ridmap", { .extra = MOUNT_IDMAP | MOUNT_RIDMAP } },
	{ "tmpcopyup,copy-symlink", { .extra = MOUNT_TMPCOPYUP | MOUNT_COPY_SYMLINK } },
	{ "src-nofollow,dest-nofollow", { .extra = MOUNT_SRC_NOFOLLOW | MOUNT_DEST_NOFOLLOW } },
	{ "remount", { .extra = MOUNT_REMOUNT } },
};

static void apply(const char *options, struct mount_plan *m)
{
	char text[256], *save = NULL;

	snprintf(text, sizeof(text), "%s", options);
	for (char *w = strtok_r(text, ",", &save); w; w = strtok_r(NULL, ",", &save))
		ok(mount_option(m, w), "%s is known", w);
}

static void words_change_the_plan(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct mount_plan *want = &rows[i].want;
		struct mount_plan got = { 0 };

		apply(rows[i].options, &got);
		ok(got.set == want->set && got.clear == want->clear, "%s: flags", rows[i].options);
		ok(got.rset == want->rset && got.rclear == want->rclear, "%s: recursive flags",
		   rows[i].options);
		is_int(got.sb_flags, want->sb_flags, "%s: file system", rows[i].options);
		is_int(got.propagation, want->propagation, "%s: propagation", rows[i].options);
		is_int(got.extra, want->extra, "%s: extra", rows[i].options);
		ok(got.bind == want->bind && got.recursive == want->recursive, "%s: bind",
		   rows[i].options);
	}
}

static void data_is_left(void)
{
	static const char *const words[] = { "size=64m", "mode=1777", "", "RO", "ro ", "noro" };
	struct mount_plan zero = { 0 }, m = { 0 };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		ok(!mount_option(&m, words[i]), "\"%s\" is no word", words[i]);
	ok(memcmp(&m, &zero, sizeof(m)) == 0, "the plan is untouched");
}

static void names_are_all_known_and_sorted(void)
{
	const char *const *names = mount_option_names();
	size_t n = 0;

	for (; names[n]; n++) {
		struct mount_plan m = { 0 };

		ok(mount_option(&m, names[n]), "%s", names[n]);
		ok(!n || strcmp(names[n - 1], names[n]) < 0, "%s stands in its place", names[n]);
	}
	ok(n >= 64, "the spec's options are there: %zu", n);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(words_change_the_plan),
		TAP(data_is_left),
		TAP(names_are_all_known_and_sorted),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
