/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ARCH_ARCH_PRIV_H
#define ARCH_ARCH_PRIV_H

#include <string.h>

#include "arch/arch.h"

extern const struct arch arch_x86_64, arch_aarch64;

/* Little-endian, as both processors want it. Returns the address behind. */
static inline uint8_t *arch_put(uint8_t *out, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		*out++ = (uint8_t)(value >> (8 * i));
	return out;
}

static inline uint8_t *arch_copy(uint8_t *out, const void *code, size_t len)
{
	return (uint8_t *)memcpy(out, code, len) + len;
}

#endif
