/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the code of errands stands: in the end of the vDSO's mapping, which nothing uses, in parts
 * of INJECT_CODE_MAX bytes counted from the top, where the word of the keeper is.
 *
 * A tracer that dies leaves its code behind (it begins with inject_magic), and threads that go home
 * on it: they may be on it now, or come back to it from the handler of a signal that was let in on
 * the way. Such threads are given time, and such a part is not written to.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/proc.h"
#include "task/trace_priv.h"

#define ALIGN 16u
#define KEEPER 16u /* 8 of them are used */
#define VDSO_MAX (1u << 20)
#define STACK_MAX (1u << 20) /* how much of a stack is searched for a way back */
#define PARTS_MAX 64
#define PHDRS_MAX 16

static int find_vdso(struct trace_thread *th, struct proc_vma *out)
{
	struct trace *t = th->of;
	uint64_t at;
	int ret = proc_auxv(th->tid, AT_SYSINFO_EHDR, &at);

	if (!ret && proc_vma_at(t->arena, th->tid, at, out) == 0 &&
	    strcmp(out->name, "[vdso]") == 0)
		return 0;
	/* moved by the program, or by whoever restored it */
	ret = proc_vma_named(t->arena, th->tid, "[vdso]", out);
	return ret ? fail_in(ret, "process %d runs no errands without a vDSO", t->pid) : 0;
}

/* Where the loader's part of it ends. In all that are known both headers stand together. */
static int read_end(struct trace *t, const struct proc_vma *vma, uint64_t *out)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[PHDRS_MAX];
	} head;
	uint64_t end = 0;
	int ret = peek_read(&t->mem, vma->start, &head, sizeof(head));

	if (ret)
		return ret;
	if (memcmp(head.eh.e_ident, ELFMAG, SELFMAG) || head.eh.e_phnum > PHDRS_MAX ||
	    head.eh.e_phentsize != sizeof(head.ph[0]) || vma->end - vma->start > VDSO_MAX)
		return fail(ENOTSUP, "the vDSO of process %d at %#llx is not one", t->pid,
			    (unsigned long long)vma->start);
	if (head.eh.e_phoff != sizeof(head.eh))
		ret = peek_read(&t->mem, vma->start + head.eh.e_phoff, head.ph,
				head.eh.e_phnum * sizeof(head.ph[0]));
	for (size_t i = 0; i < head.eh.e_phnum && !ret; i++)
		if (head.ph[i].p_type == PT_LOAD && head.ph[i].p_offset + head.ph[i].p_filesz > end)
			end = head.ph[i].p_offset + head.ph[i].p_filesz;
	*out = end;
	return ret;
}

/* From the end of what the loader sees of the vDSO to the end of its mapping nothing is used. */
int trace_room(struct trace_thread *th, uint64_t vdso)
{
	struct trace *t = th->of;
	struct proc_vma vma;
	uint64_t end;
	int ret = vdso ? proc_vma_at(t->arena, th->tid, vdso, &vma) : find_vdso(th, &vma);

	if (!ret)
		ret = read_end(t, &vma, &end);
	if (ret)
		return fail_in(ret, "the vDSO of process %d", t->pid);
	end = vma.start + (end + ALIGN - 1) / ALIGN * ALIGN;
	if (end > vma.end || vma.end - end < INJECT_CODE_MAX + ALIGN + KEEPER)
		return fail(ENOSPC, "the vDSO of process %d has no room for %u bytes of code",
			    t->pid, INJECT_CODE_MAX);
	t->room = end;
	t->keeper_at = vma.end - KEEPER;
	t->room_len = t->keeper_at - end;
	t->seen = NULL;
	return 0;
}

/* The k-th part from the top. */
static uint64_t part(const struct trace *t, size_t k)
{
	return (t->room + t->room_len - (k + 1) * INJECT_CODE_MAX) / ALIGN * ALIGN;
}

static size_t parts(const struct trace *t)
{
	size_t n = (t->room_len - ALIGN) / INJECT_CODE_MAX;

	return n < PARTS_MAX ? n : PARTS_MAX;
}

static bool in_room(const struct trace *t, uint64_t addr)
{
	return addr - t->room < t->room_len;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static void mark(const struct trace *t, uint64_t addr, uint64_t *used)
{
	for (size_t k = 0; in_room(t, addr) && k < parts(t); k++)
		if (addr - part(t, k) < INJECT_CODE_MAX)
			*used |= 1ull << k;
}

/* What the thread is on, and what any word above its stack pointer leads back to. */
static void mark_thread(struct trace *t, const struct trace_thread *th, uint64_t *used)
{
	uint64_t words[1024], at = regs_sp(&th->regs) & ~7ull, end = at + STACK_MAX;
	ssize_t n;

	mark(t, regs_ip(&th->regs), used);
	for (; at < end; at += sizeof(words)) {
		n = peek_some(&t->mem, at, words, sizeof(words));
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(words[0]); i++)
			mark(t, words[i], used);
		if (n < (ssize_t)sizeof(words))
			break;
	}
}

static bool was_left(const uint8_t *bytes)
{
	return memcmp(bytes, inject_magic, sizeof(inject_magic)) == 0;
}

/* Whether any part has code of a tracer that died. bytes: the room. */
static bool any_left(const struct trace *t, const uint8_t *bytes)
{
	for (size_t k = 0; k < parts(t); k++)
		if (was_left(bytes + (part(t, k) - t->room)))
			return true;
	return false;
}

/* What stands there, and the word of the keeper. */
static int see_room(struct trace *t)
{
	uint8_t *bytes = arena_alloc(t->arena, t->room_len + KEEPER);
	int ret = peek_read(&t->mem, t->room, bytes, t->room_len + KEEPER);

	if (!ret)
		t->seen = bytes;
	return ret;
}

int trace_going_home(struct trace *t, struct trace_thread *th, bool *out)
{
	uint64_t used = 0;
	int ret = 0;

	if (!t->seen) {
		ret = see_room(t);
		if (ret)
			return ret;
		t->left = any_left(t, t->seen);
	}
	if (t->left)
		mark_thread(t, th, &used);
	*out = used != 0;
	return 0;
}

/* How willingly a part is taken; negative: not at all. */
static int rank(const uint8_t *bytes, bool used)
{
	if (used)
		return -1;
	if (all_zero(bytes, INJECT_CODE_MAX))
		return 2;
	return was_left(bytes);
}

/* The best part that is left, 0 for none. bytes gets what is to stand there afterwards. */
static uint64_t take_part(const struct trace *t, uint8_t *bytes, uint64_t *used)
{
	uint8_t *taken = NULL;
	size_t which = 0;
	int best = -1;

	for (size_t k = 0; k < parts(t); k++) {
		uint8_t *at = bytes + (part(t, k) - t->room);
		int mine = rank(at, *used >> k & 1);

		if (mine <= best)
			continue;
		best = mine;
		taken = at;
		which = k;
	}
	if (!taken)
		return 0;
	*used |= 1ull << which;
	if (was_left(taken))
		memset(taken, 0, INJECT_CODE_MAX);
	return part(t, which);
}

int trace_choose_area(struct trace *t)
{
	uint8_t *bytes;
	uint64_t used = 0;
	bool left;
	int ret;

	if (t->saved)
		return 0;
	ret = t->seen && !t->left ? 0 : see_room(t);
	if (ret)
		return ret;
	bytes = t->seen;
	t->seen = NULL;
	left = any_left(t, bytes);
	for (size_t i = 0; left && i < t->n; i++)
		if (!t->threads[i]->gone)
			mark_thread(t, t->threads[i], &used);
	if (left)
		memset(bytes + t->room_len, 0, KEEPER);
	t->area = take_part(t, bytes, &used);
	t->other = take_part(t, bytes, &used);
	if (!t->area)
		return fail(EAGAIN,
			    "process %d: threads are still on their way back from a tracer that "
			    "died",
			    t->pid);
	t->saved = bytes;
	return 0;
}

/* What stood there, where no thread is on it any more. */
int trace_restore_room(struct trace *t)
{
	const uint64_t areas[] = { t->area, t->other };
	int ret = 0, err;

	if (!t->saved)
		return 0;
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
		err = areas[i] ? peek_patch(&t->mem, areas[i], t->saved + (areas[i] - t->room),
					    INJECT_CODE_MAX)
			       : 0;
		ret = ret ? ret : err;
	}
	if (t->keeper) {
		err = peek_patch(&t->mem, t->keeper_at, t->saved + (t->keeper_at - t->room),
				 KEEPER);
		ret = ret ? ret : err;
	}
	t->keeper = NULL;
	t->saved = NULL;
	return ret;
}
