/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of a ptrace-stopped thread on this processor (native: arch/<cpu>/regs.c).
 * `struct regs` is all that the thread goes on with but the floating point and vector state.
 */
#ifndef ARCH_REGS_H
#define ARCH_REGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch_native.h"

/*
 * Reads and writes them whole. Return 0 or -errno with a text; -ESRCH if the thread is gone or not
 * stopped, -ENOTSUP if it runs code of another architecture (32 bit).
 */
int regs_get(pid_t tid, struct regs *out);
int regs_set(pid_t tid, const struct regs *r);

uint64_t regs_ip(const struct regs *r);
uint64_t regs_sp(const struct regs *r);
uint64_t regs_tls(const struct regs *r); /* the thread pointer */
void regs_set_ip(struct regs *r, uint64_t ip);

/*
 * As bytes of an image: a header that says what follows and how much, then the registers as the
 * kernel lays them out. Packing returns the length; unpacking checks every field of the header and
 * returns 0 or -EBADMSG with a text.
 */
struct regset_head {
	uint32_t audit; /* AUDIT_ARCH_* of the processor */
	uint32_t note;  /* NT_*, elf.h; 0 for struct regs */
	uint32_t len;   /* of what follows */
	uint32_t zero;
};
#define REGS_PACKED_MAX (sizeof(struct regset_head) + sizeof(struct regs))
size_t regs_pack(const struct regs *r, uint8_t out[REGS_PACKED_MAX]);
int regs_unpack(const void *data, size_t len, struct regs *out);

/*
 * The floating point and vector state, packed the same way. vector_get returns the length;
 * vector_set takes what a processor with fewer or more extensions made, as long as none that this
 * one lacks was in use. -errno with a text.
 */
#define VECTOR_MAX (64u << 10)
ssize_t vector_get(pid_t tid, void *out, size_t size);
int vector_set(pid_t tid, const void *data, size_t len);

/*
 * An interrupted system call: signal(7). The kernel starts a call again by itself when a stopped
 * thread goes on, but for those it gives up with EINTR; a sleep with a relative time it continues
 * by restart_syscall(2), from a state of its own that is lost when registers move to a new thread.
 */
enum restart_kind {
	RESTART_NONE,  /* was not in a call, or the call is done */
	RESTART_AGAIN, /* begins again with the registers as they are */
	RESTART_BLOCK, /* goes on as restart_syscall: a new thread has to be armed for it */
	RESTART_EINTR, /* would fail with EINTR for no other reason than the stop */
};

enum restart_unit {
	RESTART_FOREVER, /* the call has no time argument */
	RESTART_MS,      /* an int of milliseconds, negative for ever */
	RESTART_TIMESPEC /* the address of a struct timespec, 0 for ever */
};

struct restart_call {
	uint16_t nr;
	bool eintr; /* fails with EINTR after any stop */
	uint8_t time_arg;
	enum restart_unit unit;
	int8_t remain_arg;   /* where the kernel stores what is left; -1 for nowhere */
	int8_t absolute_arg; /* has TIMER_ABSTIME (bit 0) if the time is absolute */
};

/* NULL for a call of no interest here. */
const struct restart_call *restart_find(int64_t nr);

/*
 * Where registers do not tell of an interrupted call (ARCH_HIDES_CALLS): what the thread waited in
 * shortly before it was stopped, as /proc/PID/syscall has it. Kept in *r if it is in there yet.
 */
struct regs_wait {
	int64_t nr;
	uint64_t arg[6], sp, ip;
};
void regs_waited(struct regs *r, const struct regs_wait *wait);

/* What a thread with these registers was about; *out_nr is the call, -1 for none. */
enum restart_kind regs_restart(const struct regs *r, int64_t *out_nr);

/* RESTART_EINTR becomes RESTART_AGAIN unless a handler runs first: what the program would have seen
 * without the stop. Others are left alone. */
void regs_restart_quietly(struct regs *r);

/* The number loaded before the instruction at the end of code (which is restart_syscall's, made by
 * the kernel on the way of another call). -ENOENT (no text) where it cannot be told. */
int restart_decode(const uint8_t *code, size_t len, int64_t *out_nr);

#endif
