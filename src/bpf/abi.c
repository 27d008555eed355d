/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/abi.h"

#include "bpf/filter.h"

#include <seccomp.h>
#include <string.h>

enum { MUX_X86, MUX_PPC, MUX_PPC64, MUX_S390, MUX_S390X, MUX_MIPS, MUX_COUNT, NO_MUX = -1 };

#ifdef SCMP_ARCH_LOONGARCH64
#define LOONGARCH64(X) X(LOONGARCH64, WIDE, NO_MUX)
#else
#define LOONGARCH64(X)
#endif
#ifdef SCMP_ARCH_M68K
#define M68K(X) X(M68K, NARROW_BIG, NO_MUX)
#else
#define M68K(X)
#endif
#ifdef SCMP_ARCH_SH
#define SH(X) X(SH, NARROW, NO_MUX) X(SHEB, NARROW_BIG, NO_MUX)
#else
#define SH(X)
#endif

/* X(name, layout, column of the multiplexed calls) */
#define ABIS(X)                          \
	X(X86, NARROW, MUX_X86)          \
	X(X86_64, WIDE, NO_MUX)          \
	X(X32, NARROW, NO_MUX)           \
	X(ARM, NARROW, NO_MUX)           \
	X(AARCH64, WIDE, NO_MUX)         \
	X(MIPS, NARROW_BIG, MUX_MIPS)    \
	X(MIPS64, WIDE_BIG, NO_MUX)      \
	X(MIPS64N32, NARROW_BIG, NO_MUX) \
	X(MIPSEL, NARROW, MUX_MIPS)      \
	X(MIPSEL64, WIDE, NO_MUX)        \
	X(MIPSEL64N32, NARROW, NO_MUX)   \
	X(PPC, NARROW_BIG, MUX_PPC)      \
	X(PPC64, WIDE_BIG, MUX_PPC64)    \
	X(PPC64LE, WIDE, MUX_PPC64)      \
	X(S390, NARROW_BIG, MUX_S390)    \
	X(S390X, WIDE_BIG, MUX_S390X)    \
	X(PARISC, NARROW_BIG, NO_MUX)    \
	X(PARISC64, WIDE_BIG, NO_MUX)    \
	X(RISCV64, WIDE, NO_MUX)         \
	LOONGARCH64(X) M68K(X) SH(X)

#define NARROW                \
	{                     \
		.wide = false \
	}
#define WIDE                 \
	{                    \
		.wide = true \
	}
#define NARROW_BIG                                \
	{                                         \
		.wide = false, .big_endian = true \
	}
#define WIDE_BIG                                 \
	{                                        \
		.wide = true, .big_endian = true \
	}

/* To the kernel x32 is x86_64; SCMP_ARCH_X32 is a number of libseccomp's own. */
#define AUDIT(token) ((token) == FILTER_ARCH_X32 ? SCMP_ARCH_X86_64 : (token))
#define ROW(arch, layout, mux) \
	{ "SCMP_ARCH_" #arch, SCMP_ARCH_##arch, AUDIT(SCMP_ARCH_##arch), layout, mux },
#define NAME(arch, layout, mux) "SCMP_ARCH_" #arch,

static const struct abi abis[] = { ABIS(ROW) };
static const char *const names[] = { ABIS(NAME) NULL };

/* The multiplexers' own numbers. */
static const int socketcall_nr[MUX_COUNT] = { 102, 102, 102, 102, 102, 4102 };
static const int ipc_nr[MUX_COUNT] = { 117, 117, 117, 117, 117, 4117 };

/*
 * Their calls (linux/net.h, linux/ipc.h) and the number of the direct call on x86, ppc, ppc64,
 * s390, s390x and mips (arch/ * /kernel/syscalls/syscall*.tbl), 0 where it has none.
 */
static const int16_t socket_direct[][MUX_COUNT] = {
	[1] = { 359, 326, 326, 359, 359, 4183 },  /* socket */
	[2] = { 361, 327, 327, 361, 361, 4169 },  /* bind */
	[3] = { 362, 328, 328, 362, 362, 4170 },  /* connect */
	[4] = { 363, 329, 329, 363, 363, 4174 },  /* listen */
	[5] = { 0, 330, 330, 0, 0, 4168 },        /* accept */
	[6] = { 367, 331, 331, 367, 367, 4172 },  /* getsockname */
	[7] = { 368, 332, 332, 368, 368, 4171 },  /* getpeername */
	[8] = { 360, 333, 333, 360, 360, 4184 },  /* socketpair */
	[9] = { 0, 334, 334, 0, 0, 4178 },        /* send */
	[10] = { 0, 336, 336, 0, 0, 4175 },       /* recv */
	[11] = { 369, 335, 335, 369, 369, 4180 }, /* sendto */
	[12] = { 371, 337, 337, 371, 371, 4176 }, /* recvfrom */
	[13] = { 373, 338, 338, 373, 373, 4182 }, /* shutdown */
	[14] = { 366, 339, 339, 366, 366, 4181 }, /* setsockopt */
	[15] = { 365, 340, 340, 365, 365, 4173 }, /* getsockopt */
	[16] = { 370, 341, 341, 370, 370, 4179 }, /* sendmsg */
	[17] = { 372, 342, 342, 372, 372, 4177 }, /* recvmsg */
	[18] = { 364, 344, 344, 364, 364, 4334 }, /* accept4 */
	[19] = { 337, 343, 343, 357, 357, 4335 }, /* recvmmsg */
	[20] = { 345, 349, 349, 358, 358, 4343 }, /* sendmmsg */
};

static const int16_t ipc_direct[][MUX_COUNT] = {
	[1] = { 0, 0, 0, 0, 0, 0 },               /* semop */
	[2] = { 393, 393, 393, 393, 393, 4393 },  /* semget */
	[3] = { 394, 394, 394, 394, 394, 4394 },  /* semctl */
	[4] = { 0, 0, 392, 0, 392, 0 },           /* semtimedop */
	[11] = { 400, 400, 400, 400, 400, 4400 }, /* msgsnd */
	[12] = { 401, 401, 401, 401, 401, 4401 }, /* msgrcv */
	[13] = { 399, 399, 399, 399, 399, 4399 }, /* msgget */
	[14] = { 402, 402, 402, 402, 402, 4402 }, /* msgctl */
	[21] = { 397, 397, 397, 397, 397, 4397 }, /* shmat */
	[22] = { 398, 398, 398, 398, 398, 4398 }, /* shmdt */
	[23] = { 395, 395, 395, 395, 395, 4395 }, /* shmget */
	[24] = { 396, 396, 396, 396, 396, 4396 }, /* shmctl */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct abi *abi_all(size_t *out_n)
{
	*out_n = COUNT(abis);
	return abis;
}

const char *const *abi_names(void)
{
	return names;
}

const struct abi *abi_find(uint32_t token)
{
	for (size_t i = 0; i < COUNT(abis); i++)
		if (abis[i].token == token)
			return &abis[i];
	return NULL;
}

const struct abi *abi_find_name(const char *name)
{
	for (size_t i = 0; i < COUNT(abis); i++)
		if (strcmp(abis[i].name, name) == 0)
			return &abis[i];
	return NULL;
}

const struct abi *abi_native(void)
{
	return abi_find(seccomp_arch_native());
}

bool abi_mux(const struct abi *abi, int nr, int *out_mux_nr, int *out_call, int *out_direct_nr)
{
	int call, direct;

	if (abi->mux == NO_MUX)
		return false;
	if (nr < -100 && nr >= -100 - 20) {
		call = -100 - nr;
		direct = socket_direct[call][abi->mux];
		*out_mux_nr = socketcall_nr[abi->mux];
	} else if (nr < -200 && nr >= -200 - 24) {
		call = -200 - nr;
		direct = ipc_direct[call][abi->mux];
		*out_mux_nr = ipc_nr[abi->mux];
	} else {
		return false;
	}
	*out_call = call;
	*out_direct_nr = direct ? direct : nr;
	return true;
}
