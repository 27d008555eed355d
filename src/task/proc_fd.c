/* SPDX-License-Identifier: Apache-2.0 */
#include "task/proc_fd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "task/proc.h"
#include "task/proc_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *link; /* the whole of it, or its beginning where it ends in ':' */
	enum proc_fd_kind kind;
} kinds[] = {
	{ "pipe:", PROC_FD_PIPE },
	{ "socket:", PROC_FD_SOCKET },
	{ "anon_inode:[eventfd]", PROC_FD_EVENT },
	{ "anon_inode:[eventpoll]", PROC_FD_EPOLL },
	{ "anon_inode:[timerfd]", PROC_FD_TIMER },
	{ "anon_inode:[signalfd]", PROC_FD_SIGNAL },
	{ "anon_inode:inotify", PROC_FD_INOTIFY },
	{ "anon_inode:[fanotify]", PROC_FD_FANOTIFY },
	{ "anon_inode:[pidfd]", PROC_FD_PID },
	{ "pidfd:", PROC_FD_PID },
	{ "/memfd:", PROC_FD_MEMFD },
	{ "anon_inode:[io_uring]", PROC_FD_URING },
	{ "anon_inode:[userfaultfd]", PROC_FD_USERFAULT },
	{ "anon_inode:bpf-prog", PROC_FD_BPF },
	{ "anon_inode:bpf-map", PROC_FD_BPF },
	{ "anon_inode:bpf-link", PROC_FD_BPF },
	{ "anon_inode:bpf_link", PROC_FD_BPF },
	{ "anon_inode:btf", PROC_FD_BPF },
	{ "anon_inode:[perf_event]", PROC_FD_PERF },
	{ "anon_inode:seccomp notify", PROC_FD_SECCOMP },
	{ "anon_inode:[landlock-ruleset]", PROC_FD_LANDLOCK },
	{ "anon_inode:[fscontext]", PROC_FD_MOUNT },
	{ "anon_inode:", PROC_FD_OTHER },
	{ "mnt:", PROC_FD_NAMESPACE },
	{ "net:", PROC_FD_NAMESPACE },
	{ "pid:", PROC_FD_NAMESPACE },
	{ "pid_for_children:", PROC_FD_NAMESPACE },
	{ "user:", PROC_FD_NAMESPACE },
	{ "uts:", PROC_FD_NAMESPACE },
	{ "ipc:", PROC_FD_NAMESPACE },
	{ "cgroup:", PROC_FD_NAMESPACE },
	{ "time:", PROC_FD_NAMESPACE },
	{ "time_for_children:", PROC_FD_NAMESPACE },
};

static const char *const kind_names[] = {
	[PROC_FD_FILE] = "file",
	[PROC_FD_PIPE] = "pipe",
	[PROC_FD_SOCKET] = "socket",
	[PROC_FD_EVENT] = "eventfd",
	[PROC_FD_EPOLL] = "epoll",
	[PROC_FD_TIMER] = "timerfd",
	[PROC_FD_SIGNAL] = "signalfd",
	[PROC_FD_INOTIFY] = "inotify",
	[PROC_FD_FANOTIFY] = "fanotify",
	[PROC_FD_PID] = "pidfd",
	[PROC_FD_MEMFD] = "memfd",
	[PROC_FD_URING] = "io_uring",
	[PROC_FD_USERFAULT] = "userfaultfd",
	[PROC_FD_BPF] = "bpf",
	[PROC_FD_PERF] = "perf_event",
	[PROC_FD_SECCOMP] = "seccomp notify",
	[PROC_FD_LANDLOCK] = "landlock ruleset",
	[PROC_FD_NAMESPACE] = "namespace",
	[PROC_FD_MOUNT] = "mount context",
	[PROC_FD_OTHER] = "anonymous inode",
};

const char *proc_fd_kind_name(enum proc_fd_kind kind)
{
	return kind_names[kind];
}

enum proc_fd_kind proc_fd_kind(const char *link, uint64_t *out_inode)
{
	enum proc_fd_kind kind = PROC_FD_FILE;
	const char *p = link;
	uint64_t inode = 0;

	/* a file of the root of a mount that is elsewhere has no slash, but no colon and bracket
	 * either */
	for (size_t i = 0; i < COUNT(kinds); i++) {
		p = link;
		if (!take_text(&p, kinds[i].link) || (!str_ends(kinds[i].link, ":") && *p != '\0'))
			continue;
		kind = kinds[i].kind;
		if (!take_text(&p, "[") || !take_u64(&p, 10, &inode) || strcmp(p, "]") != 0)
			inode = 0;
		break;
	}
	if (out_inode)
		*out_inode = inode;
	return kind;
}

static bool number_i64(struct proc_fdinfo *f, const char **p)
{
	return take_i64(p, &f->pos);
}

static bool flags(struct proc_fdinfo *f, const char **p)
{
	return take_u32(p, 8, &f->flags);
}

static bool mount(struct proc_fdinfo *f, const char **p)
{
	return take_i32(p, &f->mount);
}

static bool inode(struct proc_fdinfo *f, const char **p)
{
	return take_u64(p, 10, &f->inode);
}

static bool count(struct proc_fdinfo *f, const char **p)
{
	return take_u64(p, 16, &f->count);
}

static bool semaphore(struct proc_fdinfo *f, const char **p)
{
	uint32_t v;

	if (!take_u32(p, 10, &v) || v > 1)
		return false;
	f->semaphore = v;
	f->semaphore_told = true;
	return true;
}

static bool sigmask(struct proc_fdinfo *f, const char **p)
{
	return take_u64(p, 16, &f->sigmask);
}

static bool clock_id(struct proc_fdinfo *f, const char **p)
{
	return take_i32(p, &f->clock);
}

static bool ticks(struct proc_fdinfo *f, const char **p)
{
	return take_u64(p, 10, &f->ticks);
}

static bool settime(struct proc_fdinfo *f, const char **p)
{
	return take_u32(p, 8, &f->settime_flags);
}

static bool take_timespec(const char **p, struct timespec *t)
{
	int64_t sec, nsec;

	if (!take_text(p, "(") || !take_i64(p, &sec) || !take_text(p, ", ") ||
	    !take_i64(p, &nsec) || !take_text(p, ")") || nsec < 0 || nsec >= 1000000000)
		return false;
	t->tv_sec = sec;
	t->tv_nsec = nsec;
	return true;
}

static bool timer_value(struct proc_fdinfo *f, const char **p)
{
	return take_timespec(p, &f->timer.it_value);
}

static bool timer_interval(struct proc_fdinfo *f, const char **p)
{
	return take_timespec(p, &f->timer.it_interval);
}

static bool pid_of(struct proc_fdinfo *f, const char **p)
{
	return take_i32(p, &f->pid);
}

static bool ns_pid_of(struct proc_fdinfo *f, const char **p)
{
	while (take_i32(p, &f->ns_pid))
		skip_blanks(p);
	return true;
}

static const struct {
	const char *label;
	bool (*take)(struct proc_fdinfo *f, const char **p);
} fields[] = {
	{ "pos:", number_i64 },       { "flags:", flags },
	{ "mnt_id:", mount },         { "ino:", inode },
	{ "eventfd-count:", count },  { "eventfd-semaphore:", semaphore },
	{ "sigmask:", sigmask },      { "clockid:", clock_id },
	{ "ticks:", ticks },          { "settime flags:", settime },
	{ "it_value:", timer_value }, { "it_interval:", timer_interval },
	{ "Pid:", pid_of },           { "NSpid:", ns_pid_of },
};

/* " label:value" with a hexadecimal or decimal value */
static bool take_labelled(const char **p, const char *label, unsigned base, uint64_t *out)
{
	skip_blanks(p);
	if (!take_text(p, label))
		return false;
	skip_blanks(p);
	return take_u64(p, base, out);
}

static bool take_epoll(const char **p, struct proc_epoll *e)
{
	uint64_t events, inode_nr = 0, dev = 0;

	skip_blanks(p);
	if (!take_i32(p, &e->fd) || !take_labelled(p, "events:", 16, &events) ||
	    events > UINT32_MAX || !take_labelled(p, "data:", 16, &e->data))
		return false;
	e->events = (uint32_t)events;
	/* since 4.12 */
	skip_blanks(p);
	if (take_text(p, "pos:") &&
	    (!take_i64(p, &e->pos) || !take_labelled(p, "ino:", 16, &inode_nr) ||
	     !take_labelled(p, "sdev:", 16, &dev) || dev > UINT32_MAX))
		return false;
	e->inode = inode_nr;
	e->dev = (uint32_t)dev;
	return true;
}

static bool take_handle(const char **p, struct proc_inotify *w)
{
	for (uint32_t i = 0; i < w->handle_len; i++) {
		char two[3] = { (*p)[0], two[0] ? (*p)[1] : '\0', '\0' };
		const char *s = two;
		uint64_t byte;

		if (!take_u64(&s, 16, &byte) || s != two + 2)
			return false;
		w->handle[i] = (uint8_t)byte;
		*p += 2;
	}
	return true;
}

static bool take_inotify(const char **p, struct proc_inotify *w)
{
	uint64_t wd, mask, dev, ignored, len, type;

	if (!take_labelled(p, "wd:", 16, &wd) || wd > INT32_MAX ||
	    !take_labelled(p, "ino:", 16, &w->inode) || !take_labelled(p, "sdev:", 16, &dev) ||
	    dev > UINT32_MAX || !take_labelled(p, "mask:", 16, &mask) || mask > UINT32_MAX ||
	    !take_labelled(p, "ignored_mask:", 16, &ignored))
		return false;
	w->wd = (int32_t)wd;
	w->mask = (uint32_t)mask;
	w->dev = (uint32_t)dev;
	skip_blanks(p);
	/* with CONFIG_EXPORTFS */
	if (**p == '\n' || **p == '\0')
		return true;
	if (!take_labelled(p, "fhandle-bytes:", 16, &len) || len > PROC_HANDLE_MAX ||
	    !take_labelled(p, "fhandle-type:", 16, &type) || type > UINT32_MAX)
		return false;
	w->handle_len = (uint32_t)len;
	w->handle_type = (uint32_t)type;
	skip_blanks(p);
	return take_text(p, "f_handle:") && take_handle(p, w);
}

static bool word_is(const char **p, const char *word)
{
	const char *got;
	size_t len;

	skip_blanks(p);
	return take_word(p, &got, &len) && len == strlen(word) && memcmp(got, word, len) == 0;
}

static bool take_lock_kind(const char **p, enum proc_lock_kind *out)
{
	static const char *const names[] = { [PROC_LOCK_POSIX] = "POSIX",
					     [PROC_LOCK_FLOCK] = "FLOCK",
					     [PROC_LOCK_OFD] = "OFDLCK",
					     [PROC_LOCK_LEASE] = "LEASE" };

	for (size_t i = 0; i < COUNT(names); i++) {
		const char *s = *p;

		if (!word_is(&s, names[i]))
			continue;
		*p = s;
		*out = (enum proc_lock_kind)i;
		return true;
	}
	return false;
}

/* "1: POSIX  ADVISORY  WRITE 1234 fe:00:332383 0 EOF" */
static bool take_lock(const char **p, struct proc_lock *l)
{
	const char *word;
	uint64_t id, end;
	size_t len;

	skip_blanks(p);
	if (!take_u64(p, 10, &id) || !take_text(p, ":") || !take_lock_kind(p, &l->kind))
		return false;
	skip_blanks(p);
	if (!take_word(p, &word, &len)) /* ADVISORY, BREAKER ... */
		return false;
	skip_blanks(p);
	l->write = take_text(p, "WRITE");
	if (!l->write && !take_text(p, "READ") && !take_text(p, "UNLCK"))
		return false;
	skip_blanks(p);
	if (!take_i32(p, &l->pid) || !take_blanks(p) || !take_u32(p, 16, &l->major) ||
	    !take_text(p, ":") || !take_u32(p, 16, &l->minor) || !take_text(p, ":") ||
	    !take_u64(p, 10, &l->inode) || !take_blanks(p) || !take_u64(p, 10, &l->start) ||
	    !take_blanks(p))
		return false;
	end = INT64_MAX;
	if (!take_text(p, "EOF") && !take_u64(p, 10, &end))
		return false;
	l->end = end;
	return true;
}

static int room(size_t n)
{
	return n < PROC_LIST_MAX ? 0 : fail(E2BIG, "fdinfo: more than %u lines", PROC_LIST_MAX);
}

/* Lines that may come many times. 1: it is none of them; 0; -errno. */
struct lists {
	size_t epolls, watches, locks; /* capacities */
};

static int take_listed(struct arena *a, const char **p, struct proc_fdinfo *f, struct lists *cap)
{
	bool good;
	int ret;

	if (take_text(p, "tfd:")) {
		ret = room(f->n_epolls);
		if (ret)
			return ret;
		f->epolls = arena_grow(a, f->epolls, f->n_epolls, &cap->epolls, sizeof(*f->epolls));
		good = take_epoll(p, &f->epolls[f->n_epolls++]);
	} else if (take_text(p, "inotify ")) {
		ret = room(f->n_watches);
		if (ret)
			return ret;
		f->watches =
			arena_grow(a, f->watches, f->n_watches, &cap->watches, sizeof(*f->watches));
		good = take_inotify(p, &f->watches[f->n_watches++]);
	} else if (take_text(p, "lock:")) {
		ret = room(f->n_locks);
		if (ret)
			return ret;
		f->locks = arena_grow(a, f->locks, f->n_locks, &cap->locks, sizeof(*f->locks));
		good = take_lock(p, &f->locks[f->n_locks++]);
	} else {
		return 1;
	}
	return good ? 0 : -EPROTO;
}

/* 0, or -EPROTO for one that is known and wrong. */
static int take_single(const char **p, struct proc_fdinfo *f)
{
	for (size_t i = 0; i < COUNT(fields); i++) {
		if (!take_text(p, fields[i].label))
			continue;
		skip_blanks(p);
		return fields[i].take(f, p) ? 0 : -EPROTO;
	}
	return 0;
}

int proc_fdinfo_parse(struct arena *a, const char *text, struct proc_fdinfo *out)
{
	struct proc_fdinfo f = { .mount = -1 };
	struct lists cap = { 0 };

	for (const char *p = text; *p; skip_line(&p)) {
		const char *line = p;
		int ret = take_listed(a, &p, &f, &cap);

		if (ret == 1)
			ret = take_single(&p, &f);
		if (ret == -EPROTO)
			return proc_bad_line("fdinfo", line);
		if (ret)
			return ret;
	}
	*out = f;
	return 0;
}

int proc_fdinfo(struct arena *a, pid_t pid, int fd, struct proc_fdinfo *out)
{
	char name[32], *text;
	int ret;

	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	ret = proc_read_all(a, pid, name, &text);
	return ret ? ret : proc_fdinfo_parse(a, text, out);
}
