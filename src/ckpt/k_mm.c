/* SPDX-License-Identifier: Apache-2.0 */
/* What hangs on the memory: where code, data, heap, arguments stand, the auxiliary vector, the
 * program. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/ahead.h"
#include "ckpt/ask.h"
#include "ckpt/batch.h"
#include "ckpt/engine.h"
#include "ckpt/kinds.h"
#include "ckpt/look.h"
#include "ckpt/memory.h"
#include "ckpt/shown.h"
#include "task/trace.h"

#define PAGE 4096ull

/* The answers. */
enum { ASK_BRK, ASK_LOCK };

struct mm {
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start,
		arg_end, env_start, env_end;
	const void *auxv;
	size_t auxv_len;
	const char *exe;
	uint32_t lock_future; /* flags of mlockall(2): what is mapped later */
};

static const struct record_field rows[] = {
	RECORD(HEX, struct mm, "startCode", start_code),
	RECORD(HEX, struct mm, "endCode", end_code),
	RECORD(HEX, struct mm, "startData", start_data),
	RECORD(HEX, struct mm, "endData", end_data),
	RECORD(HEX, struct mm, "startBrk", start_brk),
	RECORD(HEX, struct mm, "brk", brk),
	RECORD(HEX, struct mm, "startStack", start_stack),
	RECORD(HEX, struct mm, "argStart", arg_start),
	RECORD(HEX, struct mm, "argEnd", arg_end),
	RECORD(HEX, struct mm, "envStart", env_start),
	RECORD(HEX, struct mm, "envEnd", env_end),
	RECORD(BYTES, struct mm, "auxv", auxv, RECORD_N(struct mm, auxv_len),
	       RECORD_MAX(PROC_AUXV_MAX)),
	RECORD(TEXT, struct mm, "exe", exe, RECORD_MAX(PATH_MAX)),
	RECORD(HEX, struct mm, "lockFuture", lock_future, RECORD_OPTIONAL,
	       RECORD_MAX(MCL_FUTURE | MCL_ONFAULT)),
};
static const struct record_table table = RECORD_TABLE(struct mm, rows);

static int look(struct arena *a, pid_t host, void **out)
{
	struct look_link *exe = arena_alloc(a, sizeof(*exe));

	look_link(a, host, "exe", exe);
	*out = exe;
	return 0;
}

static int check(const struct ckpt_unit *u)
{
	const struct look_link *exe;
	const char *why, *found;
	void *seen;
	int ret = ahead_take(u->c, &kind_mm, u->p, &seen);

	if (ret)
		return ret;
	exe = seen;
	why = look_path(u->c, exe, &found);
	if (why)
		ckpt_problem(u->c, u->p, -1, arena_printf(u->c->arena, "program %s", exe->text),
			     "%s", why);
	return 0;
}

/* What /proc tells of it. */
struct outside {
	struct look_link exe;
	struct proc_stat stat;
	const void *auxv;
	size_t auxv_len;
};

static int look_frozen(struct arena *a, pid_t host, void **out)
{
	struct outside *o = arena_alloc(a, sizeof(*o));
	uint8_t auxv[PROC_AUXV_MAX];
	int ret = proc_stat(host, &o->stat);

	if (!ret)
		ret = proc_auxv_read(host, auxv, sizeof(auxv), &o->auxv_len);
	o->auxv = arena_memdup(a, auxv, o->auxv_len);
	look_link(a, host, "exe", &o->exe);
	*out = o;
	return ret;
}

/*
 * That what is mapped later is to be locked shows by our own mapping alone: of locked memory
 * msync(2) says that it can't be invalidated.
 */
static int ask_lock(const struct ckpt_unit *u, const struct answers *answers, struct mm *mm)
{
	struct proc_vmas smaps;
	uint64_t scratch;
	int ret = trace_scratch(u->p->trace, &scratch);

	if (ret || (answers->n > ASK_LOCK && answers->calls[ASK_LOCK].nr == SYS_msync &&
		    answers->calls[ASK_LOCK].ret == 0))
		return ret;
	ret = proc_smaps(u->c->arena, u->p->host, &smaps);
	if (!ret)
		memory_decipher(u->c, &smaps);
	for (size_t i = 0; !ret && i < smaps.n; i++) {
		const struct proc_vma *v = &smaps.v[i];

		if (v->start > scratch || v->end <= scratch)
			continue;
		if (v->flags & PROC_VMA_LOCKED)
			mm->lock_future = MCL_FUTURE;
		if (v->flags & PROC_VMA_LOCKONFAULT)
			mm->lock_future |= MCL_ONFAULT;
	}
	return ret;
}

static int ask(const struct ckpt_unit *u, struct ask *a)
{
	uint64_t at;
	bool may;
	int ret = ask_room(a, sizeof(at), &at);

	const struct inject_call calls[] = {
		[ASK_BRK] = { .nr = SYS_brk },
		[ASK_LOCK] = { .nr = SYS_msync, .arg = { at & ~(PAGE - 1), PAGE, MS_INVALIDATE } },
	};
	if (!ret)
		ret = trace_may(u->p->threads[0]->trace, SYS_msync, calls[ASK_LOCK].arg, &may);
	return ret ? ret : ask_add(a, calls, may ? 2 : 1);
}

static int collect(const struct ckpt_unit *u)
{
	struct mm *mm = u->rec;
	const struct outside *o;
	const char *why;
	struct answers answers;
	void *seen;
	int ret = ahead_take(u->c, &kind_mm, u->p, &seen);

	if (ret)
		return ret;
	o = seen;
	why = look_path(u->c, &o->exe, &mm->exe);
	if (why)
		return fail(ENOTSUP, "process %d: its program %s: %s", u->p->pid, o->exe.text, why);
	ret = ask_answers(&kind_mm, u, &answers);
	if (ret)
		return ret;
	tree_told(u->p, &o->stat); /* which is read once */
	mm->auxv = o->auxv;
	mm->auxv_len = o->auxv_len;
	mm->brk = (uint64_t)answers.calls[ASK_BRK].ret; /* brk(2) of 0 has no errors */
	mm->start_code = o->stat.start_code;
	mm->end_code = o->stat.end_code;
	mm->start_data = o->stat.start_data;
	mm->end_data = o->stat.end_data;
	mm->start_brk = o->stat.start_brk;
	mm->start_stack = o->stat.start_stack;
	mm->arg_start = o->stat.arg_start;
	mm->arg_end = o->stat.arg_end;
	mm->env_start = o->stat.env_start;
	mm->env_end = o->stat.env_end;
	return ask_lock(u, &answers, mm);
}

/* All at once, by the one call that needs no right over the machine's resources (PR_SET_MM_MAP). */
static int add_map(struct ckpt_batch *b, const struct mm *mm, int64_t exe)
{
	struct prctl_mm_map map = {
		.start_code = mm->start_code,
		.end_code = mm->end_code,
		.start_data = mm->start_data,
		.end_data = mm->end_data,
		.start_brk = mm->start_brk,
		.brk = mm->brk,
		.start_stack = mm->start_stack,
		.arg_start = mm->arg_start,
		.arg_end = mm->arg_end,
		.env_start = mm->env_start,
		.env_end = mm->env_end,
		.auxv_size = (uint32_t)mm->auxv_len,
		.exe_fd = (uint32_t)exe,
	};
	uint64_t auxv, addr;
	int ret = batch_data(b, mm->auxv, mm->auxv_len, &auxv);

	map.auxv = (void *)(uintptr_t)auxv;
	if (!ret)
		ret = batch_data(b, &map, sizeof(map), &addr);
	return ret ? ret
		   : batch_add(b, "set the layout of its memory and its program", 0, SYS_prctl,
			       PR_SET_MM, PR_SET_MM_MAP, addr, sizeof(map), 0);
}

static int add_open(const struct ckpt_unit *u, struct ckpt_batch *b, int64_t exe)
{
	const struct mm *mm = u->rec;
	const struct open_how how = ckpt_how(O_RDONLY | O_NONBLOCK);
	const char *open = arena_printf(u->c->arena, "open the program: %s", mm->exe);
	uint64_t path, how_at;
	int ret = batch_data(b, mm->exe, strlen(mm->exe) + 1, &path);

	if (!ret)
		ret = batch_data(b, &how, sizeof(how), &how_at);
	return ret ? ret
		   : batch_add(b, open, exe, SYS_openat2, (uint64_t)AT_FDCWD, path, how_at,
			       sizeof(how));
}

/* What no path leads to. Its number in the process, or -errno. */
static int64_t hand_over(const struct ckpt_unit *u, const char *exe)
{
	auto_fd fd = shown_open(u->c, exe, O_RDONLY | O_NONBLOCK);

	return fd < 0 ? fd : ckpt_send_fd(u->c, u->p->threads[0], fd);
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct mm *mm = u->rec;
	const bool shown = shown_is(mm->exe);
	const int64_t exe = shown ? hand_over(u, mm->exe) : ckpt_next_fd(u->c, u->p);
	struct ckpt_batch *b = batch_begin(u->c, u->p->threads[0]);
	int ret = exe < 0 ? (int)exe : 0;

	if (!ret && !shown)
		ret = add_open(u, b, exe);
	if (!ret)
		ret = add_map(b, mm, exe);
	if (!ret)
		ret = batch_add(b, "close its program", 0, SYS_close, (uint64_t)exe);
	if (!ret && mm->lock_future)
		ret = batch_add(b, "lock what it maps later", 0, SYS_mlockall, mm->lock_future);
	if (!ret)
		ret = batch_run(b);
	return ret ? fail_in(ret, "%s", mm->exe) : 0;
}

const struct ckpt_kind kind_mm = {
	.name = "mm",
	.scope = KIND_PROCESS,
	.table = &table,
	.look = look,
	.look_frozen = look_frozen,
	.check = check,
	.ask = ask,
	.collect = collect,
	.rebuild = { [PHASE_MM] = rebuild },
};
