/* SPDX-License-Identifier: Apache-2.0 */
/* A vDSO: found, given a clock, its functions led elsewhere. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/vdso.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int good)
{
	if (!good)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct arch_offset offset = { 1, 2000, 2 };
	struct arch_offset got;
	auto_arena a = arena_new();
	uint8_t *bytes = arena_memdup(a, data, size);
	struct vdso v;
	size_t at, len;

	if (vdso_parse(bytes, size, &v)) {
		want(err_last()->code != 0);
		return 0;
	}
	for (size_t i = 0; i < v.arch->n_entries; i++)
		if (vdso_find(&v, v.arch->entries[i].name, &at, &len) == 0) {
			want(at < size && len <= size - at);
			vdso_redirect(&v, at, len, 0x7f0000000000, i % 2 ? 0x1000 : 0x7f0000010000);
		}
	/* tables that overlap may be spoilt by what is put into them */
	if (vdso_add_clock(&v, &offset, &at) == 0 && vdso_parse(bytes, size, &v) == 0 &&
	    vdso_clock(&v, &got) == 0)
		want(at + sizeof(offset) <= size);
	return 0;
}
