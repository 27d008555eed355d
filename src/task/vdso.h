/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO, a library that the kernel maps into every process (vdso(7)): its functions found by
 * name, and replaced. Works on a copy of the mapping's bytes, which are hostile: every offset and
 * count is checked, and nothing outside of the copy is looked at.
 */
#ifndef TASK_VDSO_H
#define TASK_VDSO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch/arch.h"

struct arena;
struct peek;

#define VDSO_MAX (1u << 20)

struct vdso {
	const struct arch *arch;
	uint8_t *bytes; /* of the whole mapping; the caller's */
	size_t len;

	/* of vdso.c alone: offsets in bytes */
	size_t load;   /* the program header of what is loaded */
	uint64_t bias; /* the address that its beginning has in the tables */
	size_t loaded; /* its end */
	size_t symbols, n_symbols, strings, strings_len;
	size_t room; /* from here on nothing is used */
};

/* 0, or -EINVAL with a text where the bytes are no vDSO of an architecture that is known here. */
int vdso_parse(uint8_t *bytes, size_t len, struct vdso *out);

/* Where in the mapping the function begins, and its length; -ENOENT (no text). */
int vdso_find(const struct vdso *v, const char *name, size_t *out_at, size_t *out_len);

/*
 * Puts functions into the unused end that add the offset to what the real ones tell of the wall
 * clocks, and has the names lead to them, those of all aliases too. The real ones stay, for they
 * are what is called. The bytes do not depend on where they will be mapped. *out_at is where the
 * struct arch_offset is. 0, or -ENOSPC, -ENOENT (there is no clock_gettime), -EEXIST (it has them
 * already) with a text; then nothing is changed.
 */
int vdso_add_clock(struct vdso *v, const struct arch_offset *offset, size_t *out_at);

/* The offset that such functions add. -ENOENT (no text) where there are none. */
int vdso_clock(const struct vdso *v, struct arch_offset *out);

/*
 * Replaces the function by a jump to another address: `base` is where the bytes are mapped. Where
 * the function is too short for it, the jump stands in the unused end, and a shorter one leads to
 * it. -ENOSPC with a text.
 */
int vdso_redirect(struct vdso *v, size_t at, size_t len, uint64_t base, uint64_t to);

/* A copy of this process's own, in the arena. -ENOENT with a text where it has none. */
int vdso_own(struct arena *a, struct vdso *out);

#endif
