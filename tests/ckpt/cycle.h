/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs for checkpoint and restore: each sets a state, says that it is ready, waits across as
 * many cycles as there are, then checks that it finds everything as it was. All are one static
 * binary, that runs as a container's first process:
 *
 *	cycle NAME      in $CYCLE_DIR (default /cycle): makes the file "ready", waits for a file
 *	                "go", writes "OK", or what differs, or "SKIP: why" to "result" and to
 *	                standard output. Exit status 0, 1 or 77.
 *	cycle           prints the names
 *
 * With "go" there from the start nothing happens in between: the programs check themselves.
 */
#ifndef CYCLE_H
#define CYCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cycle_case {
	const char *name;
	void (*run)(void);
};

/* Of each file, ended by an empty row. */
/* clang-format off */
extern const struct cycle_case clock_cases[];
extern const struct cycle_case confine_cases[];
extern const struct cycle_case container_cases[];
extern const struct cycle_case cpu_cases[];
extern const struct cycle_case cred_cases[];
extern const struct cycle_case device_cases[];
extern const struct cycle_case dirty_cases[];
extern const struct cycle_case event_cases[];
extern const struct cycle_case file_cases[];
extern const struct cycle_case file_more_cases[];
extern const struct cycle_case inet_cases[];
extern const struct cycle_case limit_cases[];
extern const struct cycle_case lock_cases[];
extern const struct cycle_case memory_cases[];
extern const struct cycle_case memory_more_cases[];
extern const struct cycle_case pidfd_cases[];
extern const struct cycle_case pipe_cases[];
extern const struct cycle_case process_cases[];
extern const struct cycle_case random_cases[];
extern const struct cycle_case random_memory_cases[];
extern const struct cycle_case process_more_cases[];
extern const struct cycle_case signal_cases[];
extern const struct cycle_case socket_more_cases[];
extern const struct cycle_case thread_cases[];
extern const struct cycle_case timer_cases[];
extern const struct cycle_case tmpfs_cases[];
extern const struct cycle_case trait_cases[];
extern const struct cycle_case tty_cases[];
extern const struct cycle_case unix_cases[];
extern const struct cycle_case wait_cases[];
extern const struct cycle_case wait_more_cases[];
extern const struct cycle_case watch_cases[];
/* clang-format on */

/* Says that all is set, and waits. Once, by the first process. */
void cycle(void);

/* Only says so. */
void cycle_ready(void);

/* Only waits: for its children and threads. */
void cycle_wait(void);
bool cycle_over(void); /* whether there is nothing to wait for any more */

/* Something differs: the text goes to the result. Also in children and threads. Returns cond. */
#define check(cond, ...) cycle_check((cond), __FILE__, __LINE__, #cond, __VA_ARGS__)
bool cycle_check(bool cond, const char *file, int line, const char *expr, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* A step towards the state: negative ends the program with the reason. Returns the value. */
#define must(call) cycle_must((long)(call), __FILE__, __LINE__, #call)
long cycle_must(long ret, const char *file, int line, const char *call);

/* This container can't have that state. */
void cycle_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* A child that runs fn and ends with 1 if a check of its own failed. cycle_join() waits for it. */
pid_t cycle_child(void (*fn)(void *ctx), void *ctx);
void cycle_join(pid_t pid);

/* Tells another process or thread that this one is where it should be, and waits for n of those. It
 * is a file: nothing of it is in the state that is saved. */
struct cycle_gate {
	int number;
};
struct cycle_gate cycle_gate(void);
void cycle_pass(struct cycle_gate g);
void cycle_await(struct cycle_gate g, int n);

/* The task is asleep in a system call; waits until it is. */
bool cycle_asleep(pid_t pid, pid_t tid);
void cycle_until_asleep(pid_t pid, pid_t tid);

/* The whole of a file, at most size - 1 bytes, NUL-terminated. Returns its length. */
size_t cycle_read(const char *path, char *buf, size_t size);

/* The line of a text of "Name:\tvalue" lines, without its end, in a buffer of the caller's. */
const char *cycle_line(const char *path, const char *name, char *buf, size_t size);

int64_t cycle_now(int clock); /* milliseconds */
void cycle_sleep(int ms);     /* all of it, whatever interrupts */

#endif
