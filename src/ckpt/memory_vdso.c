/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO of another kernel. Programs have the addresses of its functions, so it is where it was,
 * as ordinary memory, and each function of it is a jump to the same one of this kernel's, which is
 * mapped elsewhere. What this kernel's lacks is a system call there.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/engine.h"
#include "ckpt/image_digest.h"
#include "ckpt/memory.h"
#include "task/trace.h"

#define FILE_NAME "vdso.bin"

int memory_save_vdso(struct ckpt *c, uint64_t len)
{
	const void *code = (const void *)getauxval(AT_SYSINFO_EHDR);

	return image_put(c->writer, FILE_NAME, code, code ? (size_t)len : 0);
}

int memory_verify_vdso(struct ckpt *c)
{
	const void *bytes;
	size_t len;

	return image_has(c->image, FILE_NAME)
		       ? image_get(c->image, FILE_NAME, VDSO_MAX, &bytes, &len)
		       : 0;
}

/* Each function of theirs has one here, or a call; but a call would tell a virtual time of day by
 * itself, and what has been led here adds to it. */
static int check_functions(struct ckpt *c, const struct vdso *theirs, const struct vdso *own)
{
	bool adds = image_has(c->image, MEMORY_CLOCK_FILE);
	size_t at, len;

	for (size_t i = 0; i < theirs->arch->n_entries; i++) {
		const struct arch_entry *e = &theirs->arch->entries[i];

		if ((e->nr == ARCH_NO_CALL || (adds && e->clock)) &&
		    vdso_find(theirs, e->name, &at, &len) == 0 &&
		    vdso_find(own, e->name, &at, &len))
			return fail(ENOTSUP, "this kernel's has no %s", e->name);
	}
	return 0;
}

int memory_other_vdso(struct ckpt *c, const struct memory_map *map, uint64_t len,
		      struct memory_vdso **out)
{
	struct memory_vdso *v = arena_alloc(c->arena, sizeof(*v));
	struct image_digest digest;
	const void *bytes;
	size_t there;
	int ret;

	if (!image_has(c->image, FILE_NAME))
		return fail(ENOTSUP, "the image has no copy of it");
	ret = image_get(c->image, FILE_NAME, VDSO_MAX, &bytes, &there);
	if (ret)
		return ret;
	digest = image_digest_of(bytes, there);
	if (there != len || map->vdso_len != sizeof(digest) ||
	    memcmp(&digest, map->vdso, sizeof(digest)) != 0)
		return fail(EBADMSG, "the image's copy of it is another one");
	ret = vdso_parse(arena_memdup(c->arena, bytes, there), there, &v->theirs);
	if (!ret)
		ret = vdso_own(c->arena, &v->own);
	if (!ret && v->own.arch != v->theirs.arch)
		ret = fail(ENOTSUP, "it is one of another processor");
	if (!ret)
		ret = check_functions(c, &v->theirs, &v->own);
	*out = v;
	return ret;
}

/* The copy, as it is to be where it was. What tells a virtual time of day calls what is found here
 * under the names that led to it before. */
static int lead(const struct memory_vdso *v, uint64_t base, struct vdso *copy)
{
	uint8_t stub[ARCH_STUB_MAX];
	size_t at, len, to, to_len, n;
	int ret = 0;

	for (size_t i = 0; i < copy->arch->n_entries && !ret; i++) {
		const struct arch_entry *e = &copy->arch->entries[i];

		if (vdso_find(&v->theirs, e->name, &at, &len))
			continue;
		if (vdso_find(&v->own, e->name, &to, &to_len) == 0) {
			ret = vdso_redirect(copy, at, len, base, v->at + to);
			continue;
		}
		n = arch_stub(copy->arch, (uint32_t)e->nr, stub);
		if (n > len)
			return fail(ENOSPC, "%s has no room for a system call", e->name);
		memcpy(copy->bytes + at, stub, n);
	}
	return ret;
}

int memory_rebuild_vdso(const struct ckpt_proc *p, const struct memory_vdso *v,
			const struct memory_clock *clock, uint64_t base)
{
	const struct vdso *from = clock ? &clock->theirs : &v->theirs;
	const struct ckpt_thread *t = p->threads[0];
	auto_arena a = arena_new();
	size_t len = v->theirs.len;
	struct vdso copy;
	int64_t ret;

	ret = vdso_parse(arena_memdup(a, from->bytes, len), len, &copy);
	if (!ret)
		ret = lead(v, base, &copy);
	if (!ret)
		ret = ckpt_call(t, "map the vDSO of another kernel", SYS_mmap, base, len,
				PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0);
	if (ret < 0)
		return (int)ret;
	ret = peek_write(&p->trace->mem, base, copy.bytes, len);
	if (!ret)
		ret = ckpt_call(t, "protect the vDSO of another kernel", SYS_mprotect, base, len,
				PROT_READ | PROT_EXEC);
	return ret < 0 ? (int)ret : 0;
}
