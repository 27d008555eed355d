/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same random operations on a layer and on a plain directory that was the same at the start:
 * each must return the same, and both must be the same at the end.
 *	layer_random_test walk-SEED	one walk, told step by step
 *	layer_random_test guest-SEED	the same for a guest that is another user
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/scratch.h"
#include "lib/tap.h"
#include "lib/world.h"
#include "super/guest.h"

#define STEPS 400
#define WALKS 25

/* The same directories as the kernel lays them over each other. It counts names in its own way. */
static void compare_overlay(struct world *w)
{
	struct tree plain = world_plain(w, false), overlay = plain;
	char options[256], place[128];
	char *want, *got;
	int dir;

	snprintf(place, sizeof(place), "%s/overlay", scratch_path());
	snprintf(options, sizeof(options),
		 "userxattr,index=off,lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
		 scratch_path(), scratch_path(), scratch_path());
	if ((mkdir(place, 0755) < 0 && errno != EEXIST) ||
	    mount("overlay", place, "overlay", 0, options) < 0)
		tap_skip("no overlay can be mounted: %s", strerror(errno));
	dir = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	overlay.arg = &dir;
	want = tree_text(&plain);
	got = tree_text(&overlay);
	is_str(got, want, "walk-%u: the overlay is the same", w->first);
	close(dir);
	is_int(umount2(place, 0), 0, "unmounted");
	free(want);
	free(got);
}

static void compare(struct world *w, const char *lower_before)
{
	struct tree plain = world_plain(w, true), lower = world_lower(w, true);
	struct tree layer = world_layer(w, true);
	char *want = tree_text(&plain), *got = tree_text(&layer), *after = tree_text(&lower);

	is_str(got, want, "walk-%u: both are the same", w->first);
	is_str(after, lower_before, "walk-%u: the lower directory is as it was", w->first);
	free(want);
	free(got);
	free(after);
}

/* As the supervisor does for one of its threads. */
static void act_as(pid_t guest)
{
	static struct notif_threads threads;
	struct notif n = { .tid = guest, .listener = -1, .threads = &threads };
	int ret;

	notif_threads_init(&threads);
	ret = guest_become(&n);
	notif_threads_close(&threads);
	if (ret)
		abort();
}

enum how { QUIETLY, TOLD, OVERLAID };

static void walk(int base, unsigned seed, pid_t guest, enum how how)
{
	struct world w;
	struct tree lower;
	char *before;
	bool same = true;

	world_open(&w, base, seed, guest > 0);
	w.guest = guest;
	w.told = how == TOLD;
	lower = world_lower(&w, true);
	before = tree_text(&lower);
	if (guest)
		act_as(guest);
	for (int i = 0; i < STEPS && same; i++)
		same = world_step(&w, i);
	guest_pause();
	if (same)
		compare(&w, before);
	if (same && how == OVERLAID)
		compare_overlay(&w);
	free(before);
	world_close(&w);
}

static void walks(unsigned first)
{
	int base = scratch_make();

	umask(022);
	for (unsigned i = 0; i < WALKS; i++)
		walk(base, first + i, 0, QUIETLY);
	scratch_drop(base);
}

static void as_is(void)
{
	walks(1);
}

/* An ordinary user, whose own all is. */
static void as_nobody(void)
{
	if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
		tap_skip("this user can't become another one");
	walks(1001);
}

static pid_t start_guest(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		umask(022);
		if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
		    setresuid(65534, 65534, 65534) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (pid < 0 || read(ready[0], &byte, 1) != 1)
		abort();
	close(ready[0]);
	return pid;
}

static void end_guest(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* This process may all, and says what the guest may. */
static void for_a_guest(void)
{
	int base;
	pid_t guest;

	if (geteuid() != 0)
		tap_skip("only root can act as another user");
	base = scratch_make();
	guest = start_guest();
	fchmod(base, 0755);
	umask(022);
	for (unsigned i = 0; i < 2 * WALKS; i++)
		walk(base, 4001 + i, guest, QUIETLY);
	end_guest(guest);
	scratch_drop(base);
}

static int own_mounts(const char *type)
{
	int base = scratch_make();

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    (type && mount(type, scratch_path(), type, 0, NULL) < 0)) {
		scratch_drop(base);
		tap_skip("no %s can be mounted: %s", type ? type : "overlay", strerror(errno));
	}
	close(base);
	return open(scratch_path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void on_another(const char *type, unsigned first, enum how how)
{
	int base = own_mounts(type);

	umask(022);
	for (unsigned i = 0; i < WALKS; i++)
		walk(base, first + i, 0, how);
	if (type) {
		close(base);
		umount2(scratch_path(), MNT_DETACH);
		base = open(scratch_path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	scratch_drop(base);
}

static void on_tmpfs(void)
{
	on_another("tmpfs", 2001, QUIETLY);
}

/* It keeps no attributes, and makes no whiteouts itself. */
static void on_ramfs(void)
{
	on_another("ramfs", 3001, QUIETLY);
}

static void as_overlay(void)
{
	on_another(NULL, 7001, OVERLAID);
}

static void as_overlay_on_tmpfs(void)
{
	on_another("tmpfs", 8001, OVERLAID);
}

static void one(unsigned seed, bool as_guest)
{
	int base = scratch_make();
	pid_t guest = as_guest ? start_guest() : 0;

	umask(022);
	fchmod(base, 0755);
	walk(base, seed, guest, TOLD);
	if (guest)
		end_guest(guest);
	scratch_drop(base);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(as_is),    TAP(as_nobody),  TAP(for_a_guest),        TAP(on_tmpfs),
		TAP(on_ramfs), TAP(as_overlay), TAP(as_overlay_on_tmpfs)
	};

	if (argc == 2 && strncmp(argv[1], "walk-", 5) == 0) {
		one((unsigned)atoi(argv[1] + 5), false);
		return 0;
	}
	if (argc == 2 && strncmp(argv[1], "guest-", 6) == 0) {
		one((unsigned)atoi(argv[1] + 6), true);
		return 0;
	}
	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
