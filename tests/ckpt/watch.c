/* SPDX-License-Identifier: Apache-2.0 */
/* inotify: watches by their numbers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cycle.h"

#define AT "/cycle/watched"

static int make(const char *path)
{
	return (int)must(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

static _Alignas(struct inotify_event) char room[4096];
static ssize_t have, at;

/* One read(2) gives several. NULL: there is none. */
static const struct inotify_event *next(int fd)
{
	if (at >= have) {
		at = 0;
		have = read(fd, room, sizeof(room));
	}
	return check(have > 0, "no event: %s", strerror(errno))
		       ? (const struct inotify_event *)(room + at)
		       : NULL;
}

/* The next event, which is to be that one and no other. */
static void wants(int fd, int wd, uint32_t mask, const char *name)
{
	const struct inotify_event *e = next(fd);

	if (!e)
		return;
	at += (ssize_t)(sizeof(*e) + e->len);
	check(e->wd == wd && e->mask == mask && strcmp(e->len ? e->name : "", name) == 0,
	      "watch %d, mask 0x%x, \"%s\"; wanted %d, 0x%x", e->wd, e->mask, e->len ? e->name : "",
	      wd, mask);
}

static void watches(void)
{
	int fd = (int)must(inotify_init1(IN_NONBLOCK)), dir, file, shm, once, gone, link, left = 0;
	const struct inotify_event *e;
	bool early;

	must(mkdir(AT, 0755));
	close(make(AT "/file"));
	close(make(AT "/other"));
	must(symlink("file", AT "/link"));
	gone = (int)must(inotify_add_watch(fd, "/", IN_ALL_EVENTS));
	dir = (int)must(inotify_add_watch(fd, AT, IN_CREATE | IN_DELETE | IN_EXCL_UNLINK));
	must(inotify_rm_watch(fd, gone));
	shm = (int)must(inotify_add_watch(fd, "/dev/shm", IN_CREATE));
	file = (int)must(inotify_add_watch(fd, AT "/file", IN_MODIFY | IN_OPEN));
	once = (int)must(inotify_add_watch(fd, AT "/other", IN_ATTRIB | IN_ONESHOT));
	link = (int)must(inotify_add_watch(fd, AT "/link", IN_DELETE_SELF | IN_DONT_FOLLOW));
	wants(fd, gone, IN_IGNORED, "");
	cycle();
	must(ioctl(fd, FIONREAD, &left));
	check(left == 0, "%d bytes of events that nobody caused", left);
	close(make(AT "/new"));
	wants(fd, dir, IN_CREATE, "new");
	close(make("/dev/shm/watched"));
	wants(fd, shm, IN_CREATE, "watched");
	close((int)must(open(AT "/file", O_RDONLY | O_CLOEXEC)));
	wants(fd, file, IN_OPEN, "");
	must(chmod(AT "/other", 0600));
	wants(fd, once, IN_ATTRIB, "");
	wants(fd, once, IN_IGNORED, "");
	must(unlink(AT "/link"));
	/* the directory tells it first where somebody still has the file open */
	e = next(fd);
	early = e && e->wd == dir;
	if (early)
		wants(fd, dir, IN_DELETE, "link");
	wants(fd, link, IN_DELETE_SELF, "");
	wants(fd, link, IN_IGNORED, "");
	if (!early)
		wants(fd, dir, IN_DELETE, "link");
	check(inotify_rm_watch(fd, file) == 0, "the number of a watch: %s", strerror(errno));
	wants(fd, file, IN_IGNORED, "");
	check(inotify_add_watch(fd, AT "/new", IN_OPEN) > link, "a number that is in use");
}

/* Events that wait to be read. */
static void unread(void)
{
	int fd = (int)must(inotify_init1(IN_CLOEXEC));

	must(mkdir(AT, 0755));
	must(inotify_add_watch(fd, AT, IN_CREATE));
	close(make(AT "/new"));
	cycle();
}

const struct cycle_case watch_cases[] = {
	{ "watches", watches },
	{ "watches-unread", unread },
	{ NULL, NULL },
};
