/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/victim.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "lib/tap.h"
#include "task/proc.h"

#define READY_MS 20000
#define RSEQ_LEN 32
#define DIGEST_MAX (64u << 20)

int64_t victim_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void victim_complain(struct board *b, int line)
{
	int none = 0;

	atomic_compare_exchange_strong(&b->wrong, &none, line);
}

void victim_as_nobody(void)
{
	if (geteuid() != 0)
		return;
	if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
	    setresuid(65534, 65534, 65534) < 0)
		tap_skip("cannot become another user");
	prctl(PR_SET_DUMPABLE, 1);
}

struct victim victim_start(void (*body)(struct board *))
{
	struct victim v = { .a = arena_new() };
	int64_t deadline = victim_now_ms() + READY_MS;

	v.board = mmap(NULL, sizeof(*v.board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (v.board == MAP_FAILED)
		abort();
	fflush(stdout);
	v.pid = fork();
	if (v.pid < 0)
		abort();
	if (v.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body(v.board);
		_exit(0);
	}
	while (!v.board->ready && victim_now_ms() < deadline)
		usleep(1000);
	ok(v.board->ready, "the victim is ready");
	return v;
}

static void finish(struct victim *v)
{
	munmap(v->board, sizeof(*v->board));
	arena_free(v->a);
	v->pid = 0;
}

void victim_end(struct victim *v)
{
	int64_t deadline = victim_now_ms() + READY_MS;
	int status = 0;
	pid_t got;

	v->board->stop = 1;
	while (!(got = waitpid(v->pid, &status, WNOHANG)) && victim_now_ms() < deadline)
		usleep(1000);
	if (!got) {
		kill(v->pid, SIGKILL);
		waitpid(v->pid, &status, 0);
	}
	is_int(status, 0, "the victim ends by itself (status, as wait has it)");
	is_int(v->board->wrong, 0, "line of the victim's first failure");
	finish(v);
}

void victim_kill(struct victim *v)
{
	kill(v->pid, SIGKILL);
	waitpid(v->pid, NULL, __WALL);
	finish(v);
}

struct trace *victim_seize(struct victim *v, const struct trace_options *options)
{
	struct trace *t = NULL;
	int ret = trace_seize(v->a, v->pid, options, &t);

	is_int(ret, 0, "seized: %s", ret ? err_last()->text : "");
	return ret ? NULL : t;
}

static void add_lines(struct str *s, const char *text, const char *const *labels, size_t n)
{
	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');
		size_t len = end ? (size_t)(end - line) + 1 : strlen(line);

		for (size_t i = 0; i < n; i++)
			if (str_starts(line, labels[i]))
				str_addn(s, line, len);
		line += len;
	}
}

static char *file_of(struct victim *v, const char *name)
{
	char path[64], *text = NULL;

	snprintf(path, sizeof(path), "/proc/%d/%s", v->pid, name);
	if (fd_read_file(AT_FDCWD, path, v->a, 4 << 20, &text, NULL) < 0)
		ok(false, "%s", err_last()->text);
	return text ? text : "";
}

const char *victim_portrait(struct victim *v)
{
	static const char *const labels[] = { "SigBlk",  "SigIgn",   "SigCgt",
					      "SigPnd",  "ShdPnd",   "Cpus_allowed:",
					      "Threads", "Seccomp:", "TracerPid" };
	const size_t size = 4 << 20;
	struct str s = { .buf = arena_alloc(v->a, size), .size = size };
	pid_t *tids;
	size_t n = 0;

	proc_tasks(v->a, v->pid, &tids, &n);
	for (size_t i = 0; i < n; i++) {
		char name[64];

		snprintf(name, sizeof(name), "task/%d/status", tids[i]);
		add_lines(&s, file_of(v, name), labels, TAP_COUNT(labels));
	}
	str_add(&s, file_of(v, "maps"));
	return s.buf;
}

uint64_t victim_memory(struct victim *v)
{
	uint64_t hash = 1469598103934665603u;
	/* the kernel writes the number of the processor there */
	uint64_t rseq = (uintptr_t)__builtin_thread_pointer() + (uint64_t)__rseq_offset;
	struct proc_vmas all = { 0 };
	auto_peek mem = { -1, -1, -1 };

	is_int(proc_maps(v->a, v->pid, &all), 0, "maps are read");
	is_int(peek_open(v->pid, &mem), 0, "memory is opened");
	for (size_t i = 0; i < all.n; i++) {
		const struct proc_vma *m = &all.v[i];
		size_t len = m->end - m->start;
		uint8_t *copy;

		/* the shared board is the test's own; a sanitizer's shadow is without end */
		if (m->shared || len > DIGEST_MAX ||
		    (!(m->prot & PROT_WRITE) && strcmp(m->name, "[vdso]") != 0))
			continue;
		copy = malloc(len);
		if (!copy || peek_read(&mem, m->start, copy, len) < 0)
			ok(false, "%s: %s", m->name, err_last()->text);
		if (copy && rseq >= m->start && rseq < m->end)
			memset(copy + (rseq - m->start), 0, RSEQ_LEN);
		for (size_t k = 0; copy && k < len; k++)
			hash = (hash ^ copy[k]) * 1099511628211u;
		free(copy);
	}
	return hash;
}

bool victim_counts(struct victim *v, int counter, long above)
{
	int64_t deadline = victim_now_ms() + READY_MS;

	while (v->board->count[counter] <= above && victim_now_ms() < deadline)
		usleep(1000);
	return ok(v->board->count[counter] > above, "it counts beyond %ld: %ld", above,
		  (long)v->board->count[counter]);
}

void victim_until(struct board *b, pid_t tid, char state)
{
	int64_t deadline = victim_now_ms() + READY_MS;
	struct proc_stat st = { .state = '?' };

	while (proc_stat_of(getpid(), tid, &st) == 0 && st.state != state &&
	       victim_now_ms() < deadline)
		usleep(1000);
	if (st.state != state)
		victim_complain(b, __LINE__);
}

void victim_settle(struct victim *v)
{
	int64_t deadline = victim_now_ms() + READY_MS;
	struct proc_stat st;
	bool asleep = false;

	while (!asleep && victim_now_ms() < deadline) {
		auto_arena a = arena_new();
		pid_t *tids;
		size_t n = 0;

		proc_tasks(a, v->pid, &tids, &n);
		asleep = true;
		for (size_t i = 0; i < n; i++)
			if (proc_stat_of(v->pid, tids[i], &st) == 0 && !strchr("STZ", st.state))
				asleep = false;
		usleep(2000);
	}
	ok(asleep, "all threads of the victim sleep");
}
