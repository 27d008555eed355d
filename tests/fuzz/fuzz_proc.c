/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of /proc. The first byte says which file it is. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arch/regs.h"
#include "base/err.h"
#include "base/mem.h"
#include "task/proc.h"
#include "task/proc_fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int good)
{
	if (!good)
		__builtin_trap();
}

static void stat_text(struct arena *a, const char *text)
{
	struct proc_stat st;

	(void)a;
	if (proc_stat_parse(text, &st) == 0)
		want(memchr(st.name, '\0', sizeof(st.name)) != NULL);
}

static void status_text(struct arena *a, const char *text)
{
	struct proc_status st;

	if (proc_status_parse(text, a, &st) == 0)
		want(st.state && memchr(st.name, '\0', sizeof(st.name)) &&
		     (st.n_groups == 0) == (st.groups == NULL));
}

static void maps_text(struct arena *a, const char *text)
{
	struct proc_vmas all;
	uint64_t end = 0;

	if (proc_maps_parse(a, text, &all))
		return;
	for (size_t i = 0; i < all.n; i++) {
		want(all.v[i].start >= end && all.v[i].end > all.v[i].start && all.v[i].name);
		end = all.v[i].end;
	}
}

static void fdinfo_text(struct arena *a, const char *text)
{
	struct proc_fdinfo f;

	if (proc_fdinfo_parse(a, text, &f))
		return;
	for (size_t i = 0; i < f.n_watches; i++)
		want(f.watches[i].handle_len <= PROC_HANDLE_MAX);
	want(f.timer.it_value.tv_nsec >= 0 && f.timer.it_value.tv_nsec < 1000000000);
}

static void mounts_text(struct arena *a, const char *text)
{
	struct proc_mount *m;
	size_t n;

	if (proc_mounts_parse(a, text, &m, &n))
		return;
	for (size_t i = 0; i < n; i++)
		want(m[i].root && m[i].point && m[i].type && m[i].source && m[i].super_options);
}

static void limits_text(struct arena *a, const char *text)
{
	struct rlimit limits[RLIM_NLIMITS];

	(void)a;
	proc_limits_parse(text, limits);
}

static void timers_text(struct arena *a, const char *text)
{
	struct proc_timer *t;
	size_t n;

	proc_timers_parse(a, text, &t, &n);
}

static void children_text(struct arena *a, const char *text)
{
	pid_t *v;
	size_t n;

	if (proc_children_parse(a, text, &v, &n))
		return;
	for (size_t i = 0; i < n; i++)
		want(v[i] > 0);
}

static void link_text(struct arena *a, const char *text)
{
	uint64_t inode;

	(void)a;
	want(proc_fd_kind_name(proc_fd_kind(text, &inode)) != NULL);
}

static void syscall_text(struct arena *a, const char *text)
{
	struct regs_wait wait;

	(void)a;
	if (proc_syscall_parse(text, &wait) == 0)
		want(text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const files[])(struct arena *, const char *) = {
		stat_text,   status_text, maps_text,     fdinfo_text, mounts_text,
		limits_text, timers_text, children_text, link_text,   syscall_text,
	};
	auto_arena a = NULL;

	if (size < 1)
		return 0;
	a = arena_new();
	files[data[0] % (sizeof(files) / sizeof(files[0]))](
		a, arena_strndup(a, (const char *)data + 1, size - 1));
	return 0;
}
