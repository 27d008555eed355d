/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of a supervised thread that waits for an answer: seccomp_unotify(2).
 *
 * What the thread points to and its descriptors may change at any moment, for other threads go on:
 * bytes are copied once, a descriptor is taken once, and only the copies are looked at. Functions
 * return 0 or a value >= 0, or -errno without a text: errors are the guest's, and are its answer.
 */
#ifndef SUPER_NOTIF_H
#define SUPER_NOTIF_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct passed;

#define NOTIF_HELD 64

/* The number of no error: whoever comes to it when he is to answer a call leaves it unanswered, and
 * is asked again. */
#define NOTIF_LATER 4000

/* The kernel's ERESTARTSYS (include/linux/errno.h), for a thread that a signal or a tracer waits
 * for: the call is made again, or is EINTR. */
#define NOTIF_RESTART 512

/* Threads that asked lately are held by a pidfd: what opens it is the dearest part of a call. */
struct notif_threads {
	struct {
		pid_t tid;
		int pidfd;
		uint64_t serial; /* of the times that one was opened */
	} held[NOTIF_HELD];
	uint64_t opened;
	bool killable; /* a call that was received is interrupted by the thread's end alone */
	struct passed *passed; /* where pidfd_getfd(2) is forbidden: passed.h */
	/* and by their directories in /proc */
	struct {
		pid_t tid;
		int dir;
	} proc[NOTIF_HELD];
};

void notif_threads_init(struct notif_threads *t);
void notif_threads_close(struct notif_threads *t);

struct notif {
	int listener;
	struct notif_threads *threads;
	uint64_t id;
	pid_t tid; /* as this process sees it */
	int nr;
	uint64_t args[6];
	uint64_t ip;   /* behind the instruction that made the call */
	bool answered; /* or nobody waits for it any more */
	bool later;    /* or it is to be looked at once more: see NOTIF_LATER */
};

/* Does this kernel have what is needed, and is it allowed here? 0, or -errno with a text. */
int notif_check(void);

/* The listener is told to run whom it wakes on the same processor, where the kernel can (6.6). */
void notif_prepare(int listener);

/* The next call. -ENOENT where it has gone meanwhile, -EINTR. */
int notif_receive(int listener, struct notif_threads *threads, struct notif *out);

/*
 * True if the thread still waits: what was read of it until then was its own, and no other's that
 * came by its number. To be asked before anything is done on its behalf.
 */
bool notif_valid(struct notif *n);

/* All of len bytes, by process_vm_readv(2), or where that is forbidden or might wait for the guest
 * (absent.h) through /proc/PID/mem. -EFAULT as the kernel would have it. */
int notif_read(const struct notif *n, uint64_t addr, void *buf, size_t len);
/* A text that ends within size bytes, else -ENAMETOOLONG. */
int notif_read_text(const struct notif *n, uint64_t addr, char *out, size_t size);
int notif_write(const struct notif *n, uint64_t addr, const void *data, size_t len);

/*
 * Writes an address as the kernel does: as much as there is room for (an int of the guest's at
 * len_at), and its whole length there. 0 or -errno.
 */
int notif_put_addr(const struct notif *n, uint64_t at, uint64_t len_at, const void *addr,
		   size_t len);

/* A copy of its descriptor: pidfd_getfd(2), or where that is forbidden passed by the thread itself
 * (-EAGAIN for the first time: the call comes again). -EBADF; -EPERM where it may not be had. */
int notif_take_fd(const struct notif *n, int fd);

/* What is known of a thread is known of no other that came by its number as long as this is the
 * same; 0 where the kernel can't tell (PIDFD_THREAD, 6.9). */
uint64_t notif_serial(const struct notif *n);

/* A file of its directory in /proc ("root", "status"): openat(2) with O_CLOEXEC, readlink(2); the
 * latter ends the text. */
int notif_proc_open(const struct notif *n, const char *name, int flags);
ssize_t notif_proc_link(const struct notif *n, const char *name, char *out, size_t size);

/* The number of its mount namespace. */
int notif_mounts(const struct notif *n, uint64_t *out);

/* The process of the thread, the one above, who traces it or 0, and its effective capabilities. */
struct notif_status {
	pid_t pid, parent, tracer;
	uint64_t caps;
};
int notif_status(const struct notif *n, struct notif_status *out);

/* Answers; a thread that has gone is no error. result is what the call returns, or -errno;
 * -NOTIF_LATER answers nothing, and while absent_met() nothing does. Whatever it is, and what is
 * passed on or given, while guest_is_lost(): EPERM. */
void notif_answer(struct notif *n, int64_t result);

/* Has it a number left for a descriptor? To be asked before what can't be undone; true as well
 * where that can't be told (before Linux 6.2). */
bool notif_has_room(const struct notif *n);

/* A copy of fd, which is not O_PATH, for the thread, which goes on waiting: its number there, or
 * -errno. */
int notif_give_fd(struct notif *n, int fd, bool cloexec);

/* The same in the place of a descriptor that it has: dup2(2). 0 or -errno. */
int notif_put_fd(struct notif *n, int fd, int at, bool cloexec);

/* The kernel is to make the call after all: only for what needs no decision, since the thread's
 * memory may have changed. */
void notif_pass(struct notif *n);

/* The call returns a new descriptor, a copy of fd, which stays the caller's. Where there is no room
 * for it, it fails as it would by itself. */
void notif_answer_fd(struct notif *n, int fd, bool cloexec);

/* The same with an end of a FIFO, which is taken over: the other end would not see it closed while
 * a copy of it is still here. */
void notif_answer_end(struct notif *n, int fd, bool cloexec);

#endif
