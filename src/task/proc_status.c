/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/status, and what is a directory of numbers. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "task/proc.h"
#include "task/proc_priv.h"

#define STATUS_ROOM 16384
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct field {
	const char *label;
	size_t len;
	bool (*take)(const char **p, void *member, struct arena *a);
	size_t offset;
};

static bool as_i32(const char **p, void *member, struct arena *a)
{
	(void)a;
	return take_i32(p, member);
}

static bool as_u32(const char **p, void *member, struct arena *a)
{
	(void)a;
	return take_u32(p, 10, member);
}

static bool as_octal(const char **p, void *member, struct arena *a)
{
	(void)a;
	return take_u32(p, 8, member);
}

static bool as_hex(const char **p, void *member, struct arena *a)
{
	(void)a;
	return take_u64(p, 16, member);
}

static bool as_bool(const char **p, void *member, struct arena *a)
{
	uint32_t v;

	(void)a;
	if (!take_u32(p, 10, &v) || v > 1)
		return false;
	*(bool *)member = v;
	return true;
}

static bool as_byte(const char **p, void *member, struct arena *a)
{
	uint32_t v;

	(void)a;
	if (!take_u32(p, 10, &v) || v > UINT8_MAX)
		return false;
	*(uint8_t *)member = (uint8_t)v;
	return true;
}

static bool as_four(const char **p, void *member, struct arena *a)
{
	uint32_t *v = member;

	for (int i = 0; i < 4; i++)
		if ((i && !take_blanks(p)) || !take_u32(p, 10, &v[i]))
			return false;
	(void)a;
	return true;
}

static bool as_presence(const char **p, void *member, struct arena *a)
{
	(void)a;
	*(bool *)member = true;
	skip_line(p);
	(*p)--;
	return true;
}

static bool as_name(const char **p, void *member, struct arena *a)
{
	size_t n = 0;

	/* newline and backslash are escaped: one line */
	for (; **p && **p != '\n'; (*p)++)
		if (n < PROC_NAME_MAX - 1)
			((char *)member)[n++] = **p;
	(void)a;
	return true;
}

static bool as_state(const char **p, void *member, struct arena *a)
{
	(void)a;
	if (**p < 'A' || **p > 'z')
		return false;
	*(char *)member = **p;
	while (**p && **p != '\n')
		(*p)++;
	return true;
}

static bool as_kb(const char **p, void *member, struct arena *a)
{
	uint64_t kb;

	(void)a;
	if (!take_u64(p, 10, &kb) || kb > UINT64_MAX / 1024 || !take_text(p, " kB"))
		return false;
	*(uint64_t *)member = kb * 1024;
	return true;
}

/* One number for each namespace, from the reader's to the innermost. */
static bool as_last(const char **p, void *member, struct arena *a)
{
	do {
		if (!take_i32(p, member))
			return false;
		skip_blanks(p);
	} while (**p && **p != '\n');
	(void)a;
	return true;
}

static bool as_levels(const char **p, void *member, struct arena *a)
{
	struct proc_status *st = (void *)((char *)member - offsetof(struct proc_status, ns_pid));
	const char *start = *p;

	if (!as_last(p, member, a))
		return false;
	st->ns_levels = 0;
	for (pid_t each; take_i32(&start, &each); skip_blanks(&start))
		st->ns_levels++;
	return true;
}

static bool as_groups(const char **p, void *member, struct arena *a)
{
	struct proc_status *st = (void *)((char *)member - offsetof(struct proc_status, groups));
	size_t cap = 0;
	uint32_t gid;

	for (; skip_blanks(p), take_u32(p, 10, &gid); st->n_groups++) {
		if (!a)
			continue;
		st->groups = arena_grow(a, st->groups, st->n_groups, &cap, sizeof(gid));
		st->groups[st->n_groups] = gid;
	}
	return true;
}

/* The length is told: where threads are many, every line is compared with every row. */
#define FIELD(text, how, member)                                                      \
	{                                                                             \
		(text), sizeof(text) - 1, (how), offsetof(struct proc_status, member) \
	}
static const struct field fields[] = {
	FIELD("Name", as_name, name),
	FIELD("Umask", as_octal, umask),
	FIELD("State", as_state, state),
	FIELD("Tgid", as_i32, tgid),
	FIELD("Pid", as_i32, pid),
	FIELD("PPid", as_i32, ppid),
	FIELD("TracerPid", as_i32, tracer),
	FIELD("Uid", as_four, uid),
	FIELD("Gid", as_four, gid),
	FIELD("Groups", as_groups, groups),
	FIELD("NStgid", as_last, ns_tgid),
	FIELD("NSpid", as_levels, ns_pid),
	FIELD("NSpgid", as_last, ns_pgid),
	FIELD("NSsid", as_last, ns_sid),
	FIELD("VmSize", as_presence, has_mm),
	FIELD("VmLck", as_kb, locked),
	FIELD("THP_enabled", as_bool, thp),
	FIELD("Threads", as_u32, threads),
	FIELD("SigPnd", as_hex, sig_pending),
	FIELD("ShdPnd", as_hex, sig_shared),
	FIELD("SigBlk", as_hex, sig_blocked),
	FIELD("SigIgn", as_hex, sig_ignored),
	FIELD("SigCgt", as_hex, sig_caught),
	FIELD("CapInh", as_hex, cap_inheritable),
	FIELD("CapPrm", as_hex, cap_permitted),
	FIELD("CapEff", as_hex, cap_effective),
	FIELD("CapBnd", as_hex, cap_bounding),
	FIELD("CapAmb", as_hex, cap_ambient),
	FIELD("NoNewPrivs", as_bool, no_new_privs),
	FIELD("Seccomp", as_byte, seccomp),
	FIELD("Seccomp_filters", as_u32, seccomp_filters),
};
#undef FIELD

static const struct field *find_field(const char *label, size_t len)
{
	for (size_t i = 0; i < COUNT(fields); i++)
		if (fields[i].len == len && memcmp(fields[i].label, label, len) == 0)
			return &fields[i];
	return NULL;
}

int proc_status_parse(const char *text, struct arena *a, struct proc_status *out)
{
	struct proc_status st = { .thp = true };

	for (const char *p = text; *p;) {
		const char *line = p, *colon = p + strcspn(p, ":\n");
		const struct field *f;

		if (*colon != ':')
			return proc_bad_line("status", line);
		f = find_field(p, (size_t)(colon - p));
		p = colon + 1;
		if (!f) {
			skip_line(&p);
			continue;
		}
		skip_blanks(&p);
		/* the fields of lists may come once only */
		if ((f->take == as_groups && st.n_groups) ||
		    !f->take(&p, (char *)&st + f->offset, a))
			return proc_bad_line("status", line);
		skip_blanks(&p);
		if (!take_eol(&p))
			return proc_bad_line("status", line);
	}
	if (!st.state)
		return fail(EPROTO, "status: no line of State");
	*out = st;
	return 0;
}

int proc_status_of(pid_t pid, pid_t tid, struct arena *a, struct proc_status *out)
{
	char room[STATUS_ROOM], name[64], *text = room;
	auto_arena scratch = NULL;
	/* of a first thread it is the same file, and two directories less to be made */
	int ret = proc_read(pid, tid == pid ? 0 : tid, "status", room, sizeof(room));

	/* thousands of groups */
	if (ret == -EFBIG) {
		scratch = arena_new();
		snprintf(name, sizeof(name), "task/%d/status", tid);
		ret = proc_read_all(scratch, pid, name, &text);
	}
	return ret < 0 ? ret : proc_status_parse(text, a, out);
}

int proc_rights(pid_t pid, pid_t tid, char *buf, size_t size)
{
	static const char *const labels[] = {
		"Uid:",    "Gid:",    "Groups:",     "CapInh:",  "CapPrm:",         "CapEff:",
		"CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:"
	};
	int ret = proc_read(pid, tid, "status", buf, size);
	const char *from = buf;
	char *to = buf;

	/* in the order of the file; a kernel without one of them has none of it for all */
	for (size_t i = 0; ret >= 0 && i < COUNT(labels); i++) {
		const char *line = from, *end;

		while (*line && !str_starts(line, labels[i]))
			skip_line(&line);
		if (!*line)
			continue;
		end = line;
		skip_line(&end);
		memmove(to, line, (size_t)(end - line));
		to += end - line;
		from = end;
	}
	if (ret >= 0)
		*to = '\0';
	return ret < 0 ? ret : 0;
}

/* linux/dirent.h has it for the kernel alone */
struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t len;
	uint8_t type;
	char name[];
};

struct numbers {
	int32_t *v;
	size_t n, cap;
};

static int read_numbers(struct arena *a, int dir, struct numbers *out)
{
	char buf[32768] __attribute__((aligned(8)));
	long len;

	while ((len = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < len;) {
			const struct entry *e = (const void *)(buf + at);
			const char *p = e->name;
			int32_t number;

			at += e->len;
			if (!take_i32(&p, &number) || *p != '\0')
				continue;
			if (out->n == PROC_LIST_MAX)
				return fail(E2BIG, "a directory of more than %u entries",
					    PROC_LIST_MAX);
			out->v = arena_grow(a, out->v, out->n, &out->cap, sizeof(*out->v));
			out->v[out->n++] = number;
		}
	}
	if (len < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return 0;
}

static int list(struct arena *a, pid_t pid, const char *name, struct numbers *out)
{
	auto_fd dir = proc_open(pid, 0, name, O_RDONLY | O_DIRECTORY);
	int ret = dir < 0 ? dir : read_numbers(a, dir, out);

	if (ret && ret != -ESRCH && ret != -E2BIG)
		return fail(-ret, "list /proc/%d/%s: %s", pid, name, err_reason(-ret));
	return ret;
}

int proc_tasks(struct arena *a, pid_t pid, pid_t **out, size_t *out_n)
{
	struct numbers all = { 0 };
	int ret = list(a, pid, "task", &all);

	if (ret)
		return ret;
	*out = all.v;
	*out_n = all.n;
	return 0;
}

static int compare(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

int proc_fds(struct arena *a, pid_t pid, int **out, size_t *out_n)
{
	struct numbers all = { 0 };
	int ret = list(a, pid, "fd", &all);

	if (ret)
		return ret;
	if (all.n)
		qsort(all.v, all.n, sizeof(*all.v), compare);
	*out = all.v;
	*out_n = all.n;
	return 0;
}
