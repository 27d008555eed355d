/* SPDX-License-Identifier: Apache-2.0 */
#include "task/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/regs.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "task/proc_priv.h"

#define STAT_MAX 4096
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Fields of stat that follow state, by their numbers in proc(5). */
enum { STAT_FIRST = 4, STAT_LAST = 52 };

static const struct {
	uint8_t field;
	uint8_t size; /* of the member: 4 or 8 bytes */
	uint16_t offset;
} stat_fields[] = {
#define FIELD(n, m)                                                                  \
	{                                                                            \
		n, sizeof(((struct proc_stat *)0)->m), offsetof(struct proc_stat, m) \
	}
	FIELD(4, ppid),         FIELD(5, pgrp),        FIELD(6, session),    FIELD(7, tty),
	FIELD(8, foreground),   FIELD(9, flags),       FIELD(19, nice),      FIELD(20, threads),
	FIELD(22, start_time),  FIELD(26, start_code), FIELD(27, end_code),  FIELD(28, start_stack),
	FIELD(38, exit_signal), FIELD(45, start_data), FIELD(46, end_data),  FIELD(47, start_brk),
	FIELD(48, arg_start),   FIELD(49, arg_end),    FIELD(50, env_start), FIELD(51, env_end),
	FIELD(52, exit_code),
#undef FIELD
};

/* A field is a signed number of 64 bits or an unsigned one: both fit into the same bits. */
static bool take_field(const char **p, uint64_t *out)
{
	int64_t v;

	if (**p != '-')
		return take_u64(p, 10, out);
	if (!take_i64(p, &v))
		return false;
	*out = (uint64_t)v;
	return true;
}

int proc_stat_parse(const char *text, struct proc_stat *out)
{
	struct proc_stat st = { .state = '?' };
	uint64_t v[STAT_LAST + 1];
	/* the name is the process's own choice: what counts begins after its last parenthesis */
	const char *name = strchr(text, '('), *end = strrchr(text, ')'), *p;
	size_t len;

	if (!name || !end || end < name)
		return proc_bad_line("stat", text);
	len = (size_t)(end - name - 1);
	if (len >= sizeof(st.name))
		return proc_bad_line("stat", text);
	memcpy(st.name, name + 1, len);
	p = end + 1;
	if (!take_blanks(&p) || *p < 'A' || *p > 'z')
		return proc_bad_line("stat", text);
	st.state = *p++;
	for (int i = STAT_FIRST; i <= STAT_LAST; i++)
		if (!take_blanks(&p) || !take_field(&p, &v[i]))
			return proc_bad_line("stat", text);
	for (size_t i = 0; i < COUNT(stat_fields); i++) {
		uint64_t value = v[stat_fields[i].field];
		uint32_t half = (uint32_t)value;
		void *to = (char *)&st + stat_fields[i].offset;

		if (stat_fields[i].size == sizeof(half))
			memcpy(to, &half, sizeof(half));
		else
			memcpy(to, &value, sizeof(value));
	}
	*out = st;
	return 0;
}

int proc_stat_of(pid_t pid, pid_t tid, struct proc_stat *out)
{
	char text[STAT_MAX];
	int n = proc_read(pid, tid, "stat", text, sizeof(text));

	return n < 0 ? n : proc_stat_parse(text, out);
}

int proc_stat(pid_t pid, struct proc_stat *out)
{
	return proc_stat_of(pid, 0, out);
}

int proc_start_time(pid_t pid, uint64_t *out)
{
	struct proc_stat st;
	int ret = proc_stat(pid, &st);

	if (ret)
		return fail(-ret, "read /proc/%d/stat: %s", pid, err_reason(-ret));
	*out = st.start_time;
	return 0;
}

int proc_children_parse(struct arena *a, const char *text, pid_t **out, size_t *out_n)
{
	pid_t *v = NULL;
	size_t n = 0, cap = 0;

	for (const char *p = text; skip_blanks(&p), !take_eol(&p);) {
		v = arena_grow(a, v, n, &cap, sizeof(*v));
		if (n == PROC_LIST_MAX || !take_i32(&p, &v[n]) || v[n] <= 0)
			return proc_bad_line("children", p);
		n++;
	}
	*out = v;
	*out_n = n;
	return 0;
}

int proc_children(struct arena *a, pid_t pid, pid_t **out, size_t *out_n)
{
	pid_t *tids, *all = NULL;
	size_t n_tids, n = 0;
	int ret = proc_tasks(a, pid, &tids, &n_tids);

	for (size_t i = 0; !ret && i < n_tids; i++) {
		pid_t *v, *both;
		size_t more;
		char name[64], *text;

		snprintf(name, sizeof(name), "task/%d/children", tids[i]);
		ret = proc_read_all(a, pid, name, &text);
		/* a thread that has ended has given its children to another one */
		if (ret == -ESRCH && i > 0) {
			ret = 0;
			continue;
		}
		if (ret == -ESRCH && access("/proc/self/task", F_OK) == 0 &&
		    access("/proc/thread-self/children", F_OK) < 0)
			return fail(ENOSYS,
				    "list the children of process %d: this kernel lacks "
				    "CONFIG_PROC_CHILDREN",
				    pid);
		if (!ret)
			ret = proc_children_parse(a, text, &v, &more);
		if (ret)
			return ret;
		if (!more)
			continue;
		both = arena_array(a, n + more, sizeof(*both));
		if (n)
			memcpy(both, all, n * sizeof(*both));
		memcpy(both + n, v, more * sizeof(*both));
		all = both;
		n += more;
	}
	if (ret)
		return ret;
	*out = all;
	*out_n = n;
	return 0;
}

int proc_link(pid_t pid, const char *name, char *out, size_t size)
{
	char path[128];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	n = readlink(path, out, size);
	if (n < 0)
		return errno == ENOENT ? -ESRCH : fail_errno("read the link %s", path);
	if ((size_t)n == size)
		return fail(ENAMETOOLONG, "read the link %s: more than %zu bytes", path, size - 1);
	out[n] = '\0';
	return 0;
}

int proc_auxv_read(pid_t pid, void *out, size_t size, size_t *out_len)
{
	char buf[PROC_AUXV_MAX];
	int n = proc_read(pid, 0, "auxv", buf, sizeof(buf));

	if (n < 0)
		return n;
	if ((size_t)n > size || n % (2 * sizeof(uint64_t)))
		return fail(EPROTO, "/proc/%d/auxv: %d bytes", pid, n);
	memcpy(out, buf, (size_t)n);
	*out_len = (size_t)n;
	return 0;
}

int proc_auxv(pid_t pid, uint64_t type, uint64_t *out)
{
	uint64_t v[PROC_AUXV_MAX / sizeof(uint64_t)];
	size_t len;
	int ret = proc_auxv_read(pid, v, sizeof(v), &len);

	if (ret)
		return ret;
	for (size_t i = 0; i + 1 < len / sizeof(v[0]); i += 2) {
		if (v[i] != type)
			continue;
		*out = v[i + 1];
		return 0;
	}
	return fail(ENOENT, "the auxiliary vector of process %d has no entry %llu", pid,
		    (unsigned long long)type);
}

static bool take_word64(const char **p, uint64_t *out)
{
	return take_blanks(p) && take_text(p, "0x") && take_u64(p, 16, out);
}

int proc_syscall_parse(const char *text, struct regs_wait *out)
{
	struct regs_wait w;
	const char *p = text;

	if (str_starts(text, "running") || str_starts(text, "-1"))
		return -EAGAIN;
	if (!take_i64(&p, &w.nr))
		return proc_bad_line("syscall", text);
	for (size_t i = 0; i < COUNT(w.arg); i++)
		if (!take_word64(&p, &w.arg[i]))
			return proc_bad_line("syscall", text);
	if (!take_word64(&p, &w.sp) || !take_word64(&p, &w.ip) || !take_eol(&p))
		return proc_bad_line("syscall", text);
	*out = w;
	return 0;
}

int proc_syscall(pid_t pid, pid_t tid, struct regs_wait *out)
{
	char text[512];
	int n = proc_read(pid, tid, "syscall", text, sizeof(text));

	return n < 0 ? n : proc_syscall_parse(text, out);
}

int proc_wchan(pid_t pid, pid_t tid, char *out, size_t size)
{
	int n = proc_read(pid, tid, "wchan", out, size);

	return n < 0 ? n : 0;
}

/* The labels of /proc/PID/limits: fs/proc/base.c */
static const struct {
	const char *label;
	uint8_t resource;
} limits[] = {
	{ "Max cpu time", RLIMIT_CPU },
	{ "Max file size", RLIMIT_FSIZE },
	{ "Max data size", RLIMIT_DATA },
	{ "Max stack size", RLIMIT_STACK },
	{ "Max core file size", RLIMIT_CORE },
	{ "Max resident set", RLIMIT_RSS },
	{ "Max processes", RLIMIT_NPROC },
	{ "Max open files", RLIMIT_NOFILE },
	{ "Max locked memory", RLIMIT_MEMLOCK },
	{ "Max address space", RLIMIT_AS },
	{ "Max file locks", RLIMIT_LOCKS },
	{ "Max pending signals", RLIMIT_SIGPENDING },
	{ "Max msgqueue size", RLIMIT_MSGQUEUE },
	{ "Max nice priority", RLIMIT_NICE },
	{ "Max realtime priority", RLIMIT_RTPRIO },
	{ "Max realtime timeout", RLIMIT_RTTIME },
};

static bool take_limit(const char **p, rlim_t *out)
{
	uint64_t v = RLIM_INFINITY;

	if (!take_blanks(p) || (!take_text(p, "unlimited") && !take_u64(p, 10, &v)))
		return false;
	*out = v;
	return true;
}

int proc_limits_parse(const char *text, struct rlimit out[RLIM_NLIMITS])
{
	struct rlimit all[RLIM_NLIMITS] = { 0 };
	unsigned seen = 0;

	for (const char *p = text; *p; skip_line(&p)) {
		const char *line = p;

		for (size_t i = 0; i < COUNT(limits); i++) {
			struct rlimit *r = &all[limits[i].resource];

			if (!take_text(&p, limits[i].label))
				continue;
			if (!take_limit(&p, &r->rlim_cur) || !take_limit(&p, &r->rlim_max))
				return proc_bad_line("limits", line);
			seen |= 1u << limits[i].resource;
			break;
		}
	}
	if (seen != (1u << COUNT(limits)) - 1)
		return fail(EPROTO, "limits: some are missing (those seen: %#x)", seen);
	memcpy(out, all, sizeof(all));
	return 0;
}

int proc_limits(pid_t pid, struct rlimit out[RLIM_NLIMITS])
{
	char text[STAT_MAX];
	int n = proc_read(pid, 0, "limits", text, sizeof(text));

	return n < 0 ? n : proc_limits_parse(text, out);
}

/* "signal/pid.123", "none/tid.5" */
static bool take_notify(const char **p, struct proc_timer *t)
{
	static const struct {
		const char *name;
		int notify;
	} kinds[] = { { "signal/", SIGEV_SIGNAL },
		      { "none/", SIGEV_NONE },
		      { "thread/", SIGEV_THREAD } };
	bool found = false;

	for (size_t i = 0; i < COUNT(kinds) && !found; i++) {
		found = take_text(p, kinds[i].name);
		t->notify = kinds[i].notify;
	}
	if (!found)
		return false;
	if (take_text(p, "tid."))
		t->notify |= SIGEV_THREAD_ID;
	else if (!take_text(p, "pid."))
		return false;
	return take_i32(p, &t->target);
}

static bool take_timer(const char **p, struct proc_timer *t)
{
	return take_text(p, "ID: ") && take_i32(p, &t->id) && take_eol(p) &&
	       take_text(p, "signal: ") && take_i32(p, &t->signal) && take_text(p, "/") &&
	       (take_text(p, "0x"), take_u64(p, 16, &t->value)) && take_eol(p) &&
	       take_text(p, "notify: ") && take_notify(p, t) && take_eol(p) &&
	       take_text(p, "ClockID: ") && take_i32(p, &t->clock) && take_eol(p);
}

int proc_timers_parse(struct arena *a, const char *text, struct proc_timer **out, size_t *out_n)
{
	struct proc_timer *v = NULL;
	size_t n = 0, cap = 0;

	for (const char *p = text; *p; n++) {
		const char *line = p;

		v = arena_grow(a, v, n, &cap, sizeof(*v));
		if (n == PROC_LIST_MAX || !take_timer(&p, &v[n]))
			return proc_bad_line("timers", line);
	}
	*out = v;
	*out_n = n;
	return 0;
}

int proc_timers(struct arena *a, pid_t pid, struct proc_timer **out, size_t *out_n)
{
	char *text;
	int ret = proc_read_all(a, pid, "timers", &text);

	return ret ? ret : proc_timers_parse(a, text, out, out_n);
}
