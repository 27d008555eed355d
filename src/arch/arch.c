/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/arch.h"

#include <errno.h>
#include <string.h>

#include "arch/arch_priv.h"
#include "arch_native.h"

static const struct arch *const all[] = { &arch_x86_64, &arch_aarch64 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct arch *arch_find(uint32_t audit)
{
	for (size_t i = 0; i < COUNT(all); i++)
		if (all[i]->audit == audit)
			return all[i];
	return NULL;
}

const struct arch *arch_find_machine(uint16_t machine)
{
	for (size_t i = 0; i < COUNT(all); i++)
		if (all[i]->machine == machine)
			return all[i];
	return NULL;
}

const struct arch *arch_native(void)
{
	return &ARCH_NATIVE;
}

const struct arch_entry *arch_entry(const struct arch *arch, const char *name)
{
	for (size_t i = 0; i < arch->n_entries; i++)
		if (strcmp(arch->entries[i].name, name) == 0)
			return &arch->entries[i];
	return NULL;
}

size_t arch_stub(const struct arch *arch, uint32_t nr, uint8_t out[ARCH_STUB_MAX])
{
	return arch->stub(nr, out);
}

size_t arch_jump(const struct arch *arch, uint64_t from, uint64_t to, uint8_t out[ARCH_JUMP_MAX])
{
	if (from % arch->insn_size || to % arch->insn_size)
		return 0;
	return arch->jump(from, to, out);
}

size_t arch_idle(const struct arch *arch, uint32_t fd, uint64_t addr, uint32_t len,
		 uint8_t out[ARCH_IDLE_MAX])
{
	return arch->idle(fd, addr, len, out);
}

size_t arch_clock(const struct arch *arch, enum arch_clock which, const struct arch_clock_at *at,
		  uint8_t out[ARCH_CLOCK_MAX])
{
	return arch->clock(which, at, out);
}

int arch_find_call(const struct arch *arch, const uint8_t *code, size_t len, size_t *out_offset)
{
	for (size_t i = 0; i + arch->call_len <= len; i += arch->insn_size) {
		if (memcmp(code + i, arch->call_insn, arch->call_len) == 0) {
			*out_offset = i;
			return 0;
		}
	}
	return -ENOENT;
}
