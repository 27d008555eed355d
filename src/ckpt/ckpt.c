/* SPDX-License-Identifier: Apache-2.0 */
/* What both directions share: units, calls of kinds, errands, steps and their times. */
#include "ckpt/ckpt.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "ckpt/engine.h"
#include "task/trace.h"

uint64_t ckpt_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

void ckpt_log(struct ckpt *c, const char *fmt, ...)
{
	uint64_t at = ckpt_now() - c->began;
	char text[ERR_TEXT_MAX], line[ERR_TEXT_MAX + 64];
	va_list args;
	int n;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_debug("%s", text);
	if (c->options->log < 0)
		return;
	n = snprintf(line, sizeof(line), "(%02llu.%06llu) %s\n", (unsigned long long)(at / 1000000),
		     (unsigned long long)(at % 1000000), text);
	/* a log that can't be written is no reason to stop */
	(void)fd_write_all(c->options->log, line, (size_t)n);
}

int ckpt_run(struct ckpt *c, const struct ckpt_step *steps, size_t n)
{
	uint64_t before, took;
	int ret;

	for (size_t i = 0; i < n; i++) {
		before = ckpt_now();
		ret = ckpt_tick(c, 0);
		if (!ret)
			ret = steps[i].run(c);
		took = ckpt_now() - before;
		if (ret) {
			ckpt_log(c, "%s: failed: %s", steps[i].name, err_last()->text);
			return ret;
		}
		ckpt_log(c, "%s: %llu us", steps[i].name, (unsigned long long)took);
	}
	return 0;
}

/* One that runs may end while it is looked at: then there is nothing to be saved of it. */
static bool ended_meanwhile(const struct ckpt_proc *p)
{
	struct proc_status status;

	return !p->zombie && (proc_status_of(p->host, p->host, NULL, &status) || !status.has_mm);
}

int ckpt_tick(struct ckpt *c, uint64_t bytes)
{
	c->progress.done += bytes;
	if (!c->options->tick || c->no_way_back)
		return 0;
	return c->options->tick(c->options->tick_ctx, &c->progress);
}

void ckpt_problem(struct ckpt *c, const struct ckpt_proc *p, int fd, const char *what,
		  const char *why, ...)
{
	/* lint: parameters: where, what and why, and what why is about */
	struct ckpt_problems *list = c->problems;
	char text[ERR_TEXT_MAX];
	va_list args;

	if (p && ended_meanwhile(p))
		return;
	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	list->v = arena_grow(c->arena, list->v, list->n, &list->room, sizeof(*list->v));
	list->v[list->n++] = (struct ckpt_problem){
		.pid = p ? p->pid : 0,
		.host = p ? p->host : 0,
		.fd = fd,
		.what = arena_strdup(c->arena, what),
		.why = arena_strdup(c->arena, text),
	};
}

struct ckpt_proc *ckpt_add_proc(struct ckpt *c)
{
	c->procs = arena_grow(c->arena, c->procs, c->n_procs, &c->procs_room, sizeof(*c->procs));
	return c->procs[c->n_procs++] = arena_alloc(c->arena, sizeof(struct ckpt_proc));
}

struct ckpt_thread *ckpt_add_thread(struct ckpt *c, struct ckpt_proc *p)
{
	struct ckpt_thread *t = arena_alloc(c->arena, sizeof(*t));

	p->threads = arena_grow(c->arena, p->threads, p->n_threads, &p->threads_room,
				sizeof(*p->threads));
	t->proc = p;
	return p->threads[p->n_threads++] = t;
}

struct ckpt_file *ckpt_add_file(struct ckpt *c)
{
	struct ckpt_file *f = arena_alloc(c->arena, sizeof(*f));

	c->files = arena_grow(c->arena, c->files, c->n_files, &c->files_room, sizeof(*c->files));
	f->id = (uint32_t)c->n_files;
	f->fd = -1;
	return c->files[c->n_files++] = f;
}

const char *ckpt_file_name(struct ckpt *c, const struct ckpt_proc *p, const char *what)
{
	return arena_printf(c->arena, "process.%d.%s", p->pid, what);
}

static size_t index_of(const struct ckpt_kind *k)
{
	size_t i = 0;

	while (ckpt_kinds[i] != k)
		i++;
	return i;
}

void **ckpt_note(const struct ckpt_kind *k, struct ckpt_proc *p)
{
	return &p->notes[index_of(k)];
}

void *ckpt_section(const struct ckpt_kind *k, const struct ckpt_unit *u)
{
	size_t i = index_of(k);

	switch (k->scope) {
	case KIND_CONTAINER:
		return u->c->sections[i];
	case KIND_PROCESS:
		return u->p ? u->p->sections[i] : NULL;
	case KIND_THREAD:
		return u->t ? u->t->sections[i] : NULL;
	}
	return NULL;
}

struct ckpt_proc *ckpt_find_pid(struct ckpt *c, pid_t pid)
{
	for (size_t i = 0; i < c->n_procs; i++)
		if (c->procs[i]->pid == pid)
			return c->procs[i];
	return NULL;
}

struct ckpt_thread *ckpt_root(struct ckpt *c)
{
	return c->procs[0]->threads[0];
}

struct ckpt_file *ckpt_file_of(struct ckpt *c, const struct ckpt_proc *p, uint32_t fd)
{
	for (size_t i = 0; i < p->n_fds; i++)
		if (p->fds[i].fd == fd)
			return c->files[p->fds[i].file];
	return NULL;
}

static int call_threads(struct ckpt_unit *u, size_t k, int (*fn)(const struct ckpt_unit *u))
{
	int ret = 0;

	for (size_t t = 0; t < u->p->n_threads && !ret; t++) {
		u->t = u->p->threads[t];
		u->rec = u->t->sections[k];
		ret = fn(u);
	}
	return ret;
}

static int call_proc(struct ckpt *c, size_t k, struct ckpt_proc *p,
		     int (*fn)(const struct ckpt_unit *u))
{
	struct ckpt_unit u = { .c = c, .p = p, .rec = p->sections[k] };
	int ret;

	if (p->zombie)
		return 0;
	ret = ckpt_kinds[k]->scope == KIND_PROCESS ? fn(&u) : call_threads(&u, k, fn);
	return ret && fn == ckpt_kinds[k]->check && ended_meanwhile(p) ? 0 : ret;
}

static int call_kind(struct ckpt *c, size_t k, int (*fn)(const struct ckpt_unit *u))
{
	struct ckpt_unit u = { .c = c, .rec = c->sections[k] };
	int ret = 0;

	if (!fn)
		return 0;
	if (ckpt_kinds[k]->scope == KIND_CONTAINER) {
		ret = fn(&u);
	} else {
		for (size_t i = 0; i < c->n_procs && !ret; i++)
			ret = call_proc(c, k, c->procs[i], fn);
	}
	return ret ? fail_in(ret, "%s", ckpt_kinds[k]->name) : 0;
}

int ckpt_each(struct ckpt *c, enum ckpt_call what)
{
	int ret = 0;

	for (size_t k = 0; ckpt_kinds[k] && !ret; k++) {
		int (*const calls[])(const struct ckpt_unit *u) = {
			[CALL_CHECK] = ckpt_kinds[k]->check,
			[CALL_COLLECT] = ckpt_kinds[k]->collect,
			[CALL_AGAIN] = ckpt_kinds[k]->again,
			[CALL_SAVE] = ckpt_kinds[k]->save,
			[CALL_PREPARE] = ckpt_kinds[k]->prepare,
			[CALL_FINISH] = ckpt_kinds[k]->finish,
		};

		ret = call_kind(c, k, calls[what]);
	}
	return ret;
}

int ckpt_rebuild(struct ckpt *c, enum ckpt_phase phase)
{
	int ret = 0;

	for (size_t k = 0; ckpt_kinds[k] && !ret; k++)
		ret = call_kind(c, k, ckpt_kinds[k]->rebuild[phase]);
	return ret;
}

int ckpt_rebuild_proc(struct ckpt *c, struct ckpt_proc *p, enum ckpt_phase phase)
{
	int (*fn)(const struct ckpt_unit *u);
	int ret = 0;

	for (size_t k = 0; ckpt_kinds[k] && !ret; k++) {
		fn = ckpt_kinds[k]->rebuild[phase];
		if (fn && ckpt_kinds[k]->scope != KIND_CONTAINER)
			ret = call_proc(c, k, p, fn);
	}
	return ret;
}

int64_t ckpt_call_args(const struct ckpt_thread *t, const char *what, long nr, const uint64_t *arg)
{
	int64_t answer;
	int ret = trace_syscall_args(t->trace, &answer, (uint64_t)nr, arg);

	if (ret)
		return fail_in(ret, "process %d: %s", t->proc->pid, what);
	if (answer < 0 && answer > -4096)
		return fail((int)-answer, "process %d: %s: %s", t->proc->pid, what,
			    err_reason((int)-answer));
	return answer;
}

static int scratch(const struct ckpt_thread *t, size_t at, size_t len, uint64_t *out)
{
	int ret;

	if (at > TRACE_SCRATCH || len > TRACE_SCRATCH - at)
		return fail(E2BIG,
			    "process %d: %zu bytes don't fit where system calls get their "
			    "arguments",
			    t->proc->pid, len);
	ret = trace_scratch(t->proc->trace, out);
	*out += at;
	return ret ? fail_in(ret, "process %d", t->proc->pid) : 0;
}

int ckpt_put(const struct ckpt_thread *t, size_t at, const void *data, size_t len,
	     uint64_t *out_addr)
{
	int ret = scratch(t, at, len, out_addr);

	if (!ret)
		ret = peek_write(&t->proc->trace->mem, *out_addr, data, len);
	return ret;
}

int ckpt_get(const struct ckpt_thread *t, size_t at, void *out, size_t len)
{
	uint64_t addr;
	int ret = scratch(t, at, len, &addr);

	if (!ret)
		ret = peek_read(&t->proc->trace->mem, addr, out, len);
	return ret;
}
