/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of all threads, in one file a process: a thousand threads are one file, not a thousand.
 * An entry is a struct cpu_head, then what arch/regs.h packs: general registers, vector state.
 *
 * A thread that was in a system call has the kernel start it again. A call that the kernel would
 * give up because of the stop is made to start again as well; and one that goes on from a state of
 * the kernel's (restart_syscall) is entered anew with the time that was left, and stopped in it.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/call.h"
#include "base/err.h"
#include "base/mem.h"
#include "ckpt/calls.h"
#include "ckpt/cpu.h"
#include "ckpt/kinds.h"
#include "ckpt/memory.h"
#include "ckpt/sockets.h"
#include "task/trace.h"

#define CPU_FILE_MAX (1u << 30)
#define NS_PER_S 1000000000ull

/* ---- dump */

/* It was stopped in connect(2) when the connection stood already: begun again on the socket that is
 * restored, it would fail for that. */
static void end_connect(struct ckpt *c, const struct ckpt_thread *t, struct regs *r)
{
	const struct ckpt_file *f;
	int64_t nr;

	if (regs_restart(r, &nr) != RESTART_AGAIN || nr != SYS_connect)
		return;
	f = ckpt_file_of(c, t->proc, (uint32_t)call_arg(r, 0));
	if (f && inet_is_connected(f))
		call_set_result(r, 0);
}

static int save_thread(struct ckpt *c, const struct ckpt_thread *t, struct image_stream *s)
{
	struct cpu_head head = { .tid = (uint32_t)t->tid, .rearm = CALLS_NONE };
	static const uint8_t pad[8];
	uint8_t regs[REGS_PACKED_MAX], vector[VECTOR_MAX];
	struct regs r = t->trace->regs;
	ssize_t vector_len = vector_get(t->trace->tid, vector, sizeof(vector));
	int ret;

	if (vector_len < 0)
		return (int)vector_len;
	ret = calls_left(t, &r, &head.rearm, &head.left);
	if (ret)
		return ret;
	end_connect(c, t, &r);
	head.regs_len = (uint32_t)regs_pack(&r, regs);
	head.vector_len = (uint32_t)vector_len;
	ret = image_stream_write(s, &head, sizeof(head));
	if (!ret)
		ret = image_stream_write(s, regs, head.regs_len);
	if (!ret)
		ret = image_stream_write(s, vector, head.vector_len);
	if (!ret)
		ret = image_stream_write(s, pad, -(head.regs_len + head.vector_len) % 8);
	return ret;
}

static int save(const struct ckpt_unit *u)
{
	struct image_stream *s;
	int ret = image_stream_open(u->c->writer, ckpt_file_name(u->c, u->p, "threads.bin"), &s);
	int closed;

	if (ret)
		return ret;
	for (size_t i = 0; i < u->p->n_threads && !ret; i++)
		ret = save_thread(u->c, u->p->threads[i], s);
	closed = image_stream_close(s);
	ret = ret ? ret : closed;
	return ret ? fail_in(ret, "process %d", u->p->pid) : 0;
}

/* ---- restore */

size_t cpu_entry_length(const uint8_t *data, size_t len)
{
	struct cpu_head head;
	size_t need;

	if (len < sizeof(head))
		return 0;
	memcpy(&head, data, sizeof(head));
	if (head.regs_len > REGS_PACKED_MAX || head.vector_len > VECTOR_MAX)
		return 0;
	need = sizeof(head) + ((head.regs_len + head.vector_len + 7u) & ~(size_t)7);
	return need <= len ? need : 0;
}

struct cpu {
	struct cpu_head head;
	struct regs regs;
	const uint8_t *vector;
};

static int refuse(const struct ckpt_proc *p, size_t i, const char *why)
{
	return fail(EBADMSG, "the image: process.%d.threads.bin: thread %zu: %s", p->pid, i, why);
}

static int prepare(const struct ckpt_unit *u)
{
	struct cpu *cpus = arena_array(u->c->arena, u->p->n_threads, sizeof(*cpus));
	const void *data;
	const uint8_t *at;
	size_t left, need;
	int ret = image_get(u->c->image, ckpt_file_name(u->c, u->p, "threads.bin"), CPU_FILE_MAX,
			    &data, &left);

	at = data;
	for (size_t i = 0; i < u->p->n_threads && !ret; i++) {
		struct cpu_head *head = &cpus[i].head;

		need = cpu_entry_length(at, left);
		if (!need)
			return refuse(u->p, i, "is cut short, or its lengths are out of range");
		memcpy(head, at, sizeof(*head));
		if (head->tid != (uint32_t)u->p->threads[i]->tid)
			return refuse(u->p, i, "has another number than in info.json");
		ret = regs_unpack(at + sizeof(*head), head->regs_len, &cpus[i].regs);
		cpus[i].vector = at + sizeof(*head) + head->regs_len;
		at += need;
		left -= need;
	}
	if (!ret && left)
		return refuse(u->p, u->p->n_threads, "is not known");
	*ckpt_note(&kind_cpu, u->p) = cpus;
	return ret;
}

/* Enters the call again with what was left of its time. One that does not wait any more, as its
 * time is over or there is what it waits for, has answered. */
static int rearm(const struct ckpt_thread *t, const struct cpu *cpu)
{
	struct timespec left = {
		.tv_sec = (time_t)(cpu->head.left / NS_PER_S),
		.tv_nsec = (long)(cpu->head.left % NS_PER_S),
	};
	struct inject_call call = { 0 };
	uint64_t addr;
	int ret = ckpt_put(t, 0, &left, sizeof(left), &addr);

	if (!ret)
		ret = calls_rearm(&cpu->regs, cpu->head.rearm, cpu->head.left, addr, &call);
	if (!ret)
		ret = trace_rearm(t->trace, &call);
	if (ret != -EPROTO)
		return ret;
	call_set_result(&t->trace->regs, call.ret);
	return 0;
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct cpu *cpus = *ckpt_note(&kind_cpu, u->p);
	const struct ckpt_thread *t;
	int ret = 0;

	for (size_t i = 0; i < u->p->n_threads && !ret; i++) {
		t = u->p->threads[i];
		t->trace->regs = cpus[i].regs;
		if (memory_in_other_vdso(u->p, regs_ip(&cpus[i].regs)))
			return fail(ENOTSUP,
				    "thread %d reads the clock by the vDSO of another kernel: it "
				    "can't go on here",
				    t->tid);
		if (cpus[i].head.rearm != CALLS_NONE)
			ret = rearm(t, &cpus[i]);
		if (!ret)
			ret = vector_set(t->trace->tid, cpus[i].vector, cpus[i].head.vector_len);
		if (ret)
			return fail_in(ret, "thread %d", t->tid);
	}
	return 0;
}

const struct ckpt_kind kind_cpu = {
	.name = "cpu",
	.scope = KIND_PROCESS,
	.save = save,
	.prepare = prepare,
	.rebuild = { [PHASE_CPU] = rebuild },
};
