/* SPDX-License-Identifier: Apache-2.0 */
/* A filter as text for people: one line an instruction, with the names of what it tests. */
#ifndef BPF_DUMP_H
#define BPF_DUMP_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct str;

/*
 * Calls line() for each instruction, in order, with a text without newline that is gone afterwards:
 *
 *	   0  look at arch
 *	   1  if arch == 0xc000003e X86_64, go on, else to 9
 *	   4  if nr >= 41 socket, go to 60
 *	  12  look at high half of argument 1
 *	  15  return ERRNO(1) EPERM
 *
 * Calls are named for the architecture that the way to the instruction has settled, if there is
 * one. Any program may be given: what is not understood is shown as numbers.
 */
void dump_program(struct arena *a, const struct sock_filter *code, size_t len,
		  void (*line)(void *arg, const char *text), void *arg);

/* "ALLOW", "ERRNO(1) EPERM", "TRACE(5)": a SECCOMP_RET_* value. */
void dump_verdict(struct str *out, uint32_t verdict);

#endif
