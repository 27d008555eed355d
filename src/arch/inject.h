/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code that makes a stopped thread run system calls for its tracer (native: arch/<cpu>/inject.c).
 *
 * It is written where the thread can execute and nothing else stands, and has these places:
 *
 *	call    one system call, then end
 *	batch   a loop over an array of struct inject_call, then end
 *	end     the thread sends itself a signal that a program ignores by default: a tracer sees
 *	        the thread stop; without a tracer nothing happens
 *	home    puts everything back as it was: processors, mapping, registers, signal mask
 *
 *	map, unmap   as call, for the tracer's own mapping
 *	clone        as call; what is cloned ends at once if it ever runs from there
 *
 * Whoever is away has the address of that mapping in a register, which the code itself fills and
 * empties: so it is unmapped on the way home whenever the tracer dies. Where two threads are away
 * it is unmapped by that one alone that a word of the tracer's names.
 *
 * A breakpoint or a single step would kill the thread if the tracer died at that moment, and resets
 * a disposition of SIGTRAP that ignores it. Here whatever happens to the tracer, the thread's own
 * way leads home. The user's stack is not touched: it may have no room (Go, alternate stacks).
 */
#ifndef ARCH_INJECT_H
#define ARCH_INJECT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch/regs.h"

#define INJECT_CODE_MAX ARCH_INJECT_MAX
#define INJECT_CPUS_MAX 128

#define INJECT_NO_MAP UINT64_MAX /* munmap(2) of it does nothing */

extern const uint8_t inject_magic[8]; /* the code begins with it */

struct inject_call {
	uint64_t nr, arg[6];
	int64_t ret; /* -errno as the kernel gives it */
};

struct inject_plan {
	int signal;         /* ends a run */
	uint64_t map_len;   /* of the tracer's mapping; 0: the way home leaves it alone */
	uint64_t keeper_at; /* where the word is that names the thread which unmaps it */
	uint64_t sigmask;   /* the thread's own */
	size_t cpus_len;    /* 0: no processors to set */
	uint64_t cpus[INJECT_CPUS_MAX / 8];
};

struct inject {
	/* offsets */
	uint32_t call, map, unmap, clone, batch, after_call, after_map, after_unmap, after_clone;
	uint32_t stop, home;
	uint32_t len;
	uint64_t mapped; /* the tracer's mapping as the tracer knows it, INJECT_NO_MAP */
	uint8_t code[INJECT_CODE_MAX] __attribute__((aligned(16)));
};

/*
 * The code for a thread that goes on with r, to stand at `base` (aligned to 16). Where the
 * processor needs it, the vector state of tid goes in. Returns 0 or -errno with a text.
 */
int inject_build(pid_t tid, const struct regs *r, uint64_t base, const struct inject_plan *plan,
		 struct inject *out);

/* Registers of the thread while it runs errands: r with what the run needs, and no call to start
 * again. arg has six. */
void inject_set_call(struct regs *r, uint64_t base, const struct inject *code, uint64_t nr,
		     const uint64_t *arg);
void inject_set_batch(struct regs *r, uint64_t base, const struct inject *code, uint64_t array,
		      size_t n);
void inject_set_home(struct regs *r, uint64_t base, const struct inject *code);

/* The result of the call, at the end or right behind the call. */
int64_t inject_result(const struct regs *r, uint64_t base, const struct inject *code);

/* Whether a call that was interrupted on its way in left the kernel with a state to go on from. */
bool inject_waits(const struct regs *r, uint64_t base, const struct inject *code);

/* System calls lose part of the vector state on some processors: *out_len bytes to be given back
 * by vector_set(), 0 where none is lost. Returns 0 or -errno with a text. */
int inject_keep(pid_t tid, void *out, size_t size, size_t *out_len);

#endif
