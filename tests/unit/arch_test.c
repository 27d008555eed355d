/* SPDX-License-Identifier: Apache-2.0 */
/* Code for both processors, byte by byte; and on the one that is here, run. */
#include "lib/tap.h"

#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"
#include "arch/inject.h"
#include "arch/regs.h"
#include "base/err.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *hex(const uint8_t *bytes, size_t n)
{
	static char text[8][128];
	static int next;
	char *out = text[next++ % 8];

	out[0] = '\0';
	for (size_t i = 0; i < n && i < 40; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	return out;
}

static void is_found(void)
{
	const struct arch *x86 = arch_find(AUDIT_ARCH_X86_64), *arm = arch_find(AUDIT_ARCH_AARCH64);

	ok(x86 && arm, "both are known");
	is_str(x86->name, "x86_64", "one");
	is_str(arm->name, "aarch64", "the other");
	ok(arch_find(AUDIT_ARCH_I386) == NULL, "another is not");
	ok(arch_find_machine(EM_X86_64) == x86 && arch_find_machine(EM_AARCH64) == arm,
	   "by machine");
	ok(arch_find_machine(EM_386) == NULL, "and another is not");
	ok(arch_native() == x86 || arch_native() == arm, "this one is one of them");
}

static void stubs(void)
{
	static const struct {
		uint32_t audit, nr;
		const char *want;
	} rows[] = {
		/* mov eax, nr; syscall; ret */
		{ AUDIT_ARCH_X86_64, 228, "b8e40000000f05c3" },
		{ AUDIT_ARCH_X86_64, 96, "b8600000000f05c3" },
		{ AUDIT_ARCH_X86_64, 0x12345678, "b8785634120f05c3" },
		/* mov x8, #nr; svc #0; ret */
		{ AUDIT_ARCH_AARCH64, 113, "280e80d2010000d4c0035fd6" },
		{ AUDIT_ARCH_AARCH64, 169, "281580d2010000d4c0035fd6" },
		{ AUDIT_ARCH_AARCH64, 0, "080080d2010000d4c0035fd6" },
		{ AUDIT_ARCH_AARCH64, 0xffff, "e8ff9fd2010000d4c0035fd6" },
	};
	uint8_t out[ARCH_STUB_MAX];

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = arch_stub(arch_find(rows[i].audit), rows[i].nr, out);

		is_str(hex(out, n), rows[i].want, "row %zu", i);
	}
}

/* Disassembled, they are what the encoders' comments say: the real function at 0xaf0, the offset at
 * 0x1a20. They run in vdso_test. */
static void clocks(void)
{
	static const struct {
		uint32_t audit;
		enum arch_clock which;
		const char *want;
	} rows[] = {
		{ AUDIT_ARCH_X86_64, ARCH_CLOCK_GETTIME,
		  "f30f1efa554889e55756e8a1f0ffff5e5f5d85c0753b83ff0b7736b921090000"
		  "0fa3f9732c488b4e0848030db8ffffff488b3da9ffffff4881f900ca9a3b7c0a"
		  "4881e900ca9a3b48ffc748894e0848013ec3" },
		{ AUDIT_ARCH_X86_64, ARCH_CLOCK_TIMEOFDAY,
		  "f30f1efa554889e55756e8a1f0ffff5e5f5d85c075314885ff742c488b4f0848"
		  "030dcaffffff488b35b3ffffff4881f940420f007c0a4881e940420f0048ffc6"
		  "48894f08480137c3" },
		{ AUDIT_ARCH_X86_64, ARCH_CLOCK_TIME,
		  "f30f1efa554889e5574883ec18bf050000004889e6e896f0ffff488b0424488b"
		  "4c24084883c4185f5d480305b0ffffff48030db1ffffff4881f900ca9a3b7c03"
		  "48ffc04885ff7403488907c3" },
		{ AUDIT_ARCH_AARCH64, ARCH_CLOCK_GETTIME,
		  "5f2403d5fd7bbea9fd030091e00701a928fcff97e92b41a9fd7bc2a840020035"
		  "3f2d0071080200542b2481526b25c91aab01003669fdff102b3140a94d3940a9"
		  "ce010c8bad010b8b0c4099524c73a772df010ceb6b000054ce010ccbad050091"
		  "4d3900a9c0035fd6" },
		{ AUDIT_ARCH_AARCH64, ARCH_CLOCK_TIMEOFDAY,
		  "5f2403d5fd7bbea9fd030091e00701a928fcff97e92b41a9fd7bc2a800020035"
		  "ea0309aaca0100b4c9fdff102b0140f92c0940f94d3940a9ce010c8bad010b8b"
		  "0c488852ec01a072df010ceb6b000054ce010ccbad0500914d3900a9c0035fd6" },
	};
	const struct arch_clock_at at = { 0x1a40, 0xaf0, 0x1a20 };
	uint8_t out[ARCH_CLOCK_MAX];
	char got[2 * ARCH_CLOCK_MAX + 1];

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = arch_clock(arch_find(rows[i].audit), rows[i].which, &at, out);

		for (size_t k = 0; k < n; k++)
			snprintf(got + 2 * k, 3, "%02x", out[k]);
		is_str(got, rows[i].want, "row %zu", i);
	}
	is_int((long long)arch_clock(arch_find(AUDIT_ARCH_AARCH64), ARCH_CLOCK_TIME, &at, out), 0,
	       "aarch64 has no time");
}

/* The code for this processor, run by a child: it says its piece, and stays as long as there is
 * somebody who has heard it. */
static void idles(void)
{
	static const char said[] = "said";
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0),
		other[ARCH_IDLE_MAX];
	char got[16] = "";
	int ends[2] = { -1, -1 }, status = 0;
	pid_t child;
	size_t n;

	is_int(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0, "a socket");
	n = arch_idle(arch_native(), (uint32_t)ends[1], (uintptr_t)said, sizeof(said), code);
	ok(n > 0 && n <= ARCH_IDLE_MAX, "%zu bytes", n);
	is_int(mprotect(code, 4096, PROT_READ | PROT_EXEC), 0, "it can be executed");
	child = fork();
	if (child == 0) {
		close(ends[0]);
		((void (*)(void))(uintptr_t)code)();
	}
	close(ends[1]);
	is_int(read(ends[0], got, sizeof(got)), sizeof(said), "all of it");
	is_str(got, said, "what it was given");
	is_int(waitpid(child, &status, WNOHANG), 0, "it is still there");
	close(ends[0]);
	is_int(waitpid(child, &status, 0), child, "until it is alone");
	is_int(status, 0, "and then it ends by itself");
	munmap(code, 4096);
	n = arch_idle(arch_find(AUDIT_ARCH_X86_64), 5, 0x10000080, 16, other);
	is_str(hex(other, n),
	       "bf0500000048be8000001000000000ba10000000b8010000000f0531c00f05"
	       "31ffb8e70000000f05",
	       "x86_64");
	n = arch_idle(arch_find(AUDIT_ARCH_AARCH64), 5, 0x10000080, 16, other);
	is_int((long long)n, 4 * 23, "aarch64: 23 instructions");
}

static void jumps(void)
{
	static const struct {
		uint32_t audit;
		uint64_t from, to;
		const char *want;
	} rows[] = {
		/* jmp rel32, counted from the next instruction */
		{ AUDIT_ARCH_X86_64, 0x1000, 0x1005, "e900000000" },
		{ AUDIT_ARCH_X86_64, 0x1000, 0x1000, "e9fbffffff" },
		{ AUDIT_ARCH_X86_64, 0x7fff00000000, 0x7fff00000123, "e91e010000" },
		{ AUDIT_ARCH_X86_64, 0x7fff00000000, 0x7fff80000004, "e9ffffff7f" },
		{ AUDIT_ARCH_X86_64, 0x7fff80000000, 0x7fff00000005, "e900000080" },
		/* one further: jmp [rip+0] and the address */
		{ AUDIT_ARCH_X86_64, 0x7fff00000000, 0x7fff80000005,
		  "ff250000000005000080ff7f0000" },
		{ AUDIT_ARCH_X86_64, 0x7fff80000000, 0x7fff00000004,
		  "ff250000000004000000ff7f0000" },
		{ AUDIT_ARCH_X86_64, 0, 0x1122334455667788, "ff25000000008877665544332211" },
		/* b, in units of four bytes */
		{ AUDIT_ARCH_AARCH64, 0x1000, 0x1000, "00000014" },
		{ AUDIT_ARCH_AARCH64, 0x1000, 0x1004, "01000014" },
		{ AUDIT_ARCH_AARCH64, 0x1000, 0xffc, "ffffff17" },
		{ AUDIT_ARCH_AARCH64, 0x10000000, 0x17fffffc, "ffffff15" },
		{ AUDIT_ARCH_AARCH64, 0x10000000, 0x8000000, "00000016" },
		/* one further: ldr x16, .+8; br x16 and the address */
		{ AUDIT_ARCH_AARCH64, 0x10000000, 0x18000000, "5000005800021fd60000001800000000" },
		{ AUDIT_ARCH_AARCH64, 0x10000000, 0x7fffffc, "5000005800021fd6fcffff0700000000" },
		{ AUDIT_ARCH_AARCH64, 4, 0xffff8899aabbccdc, "5000005800021fd6dcccbbaa9988ffff" },
		/* no instruction stands there */
		{ AUDIT_ARCH_AARCH64, 2, 0x1000, "" },
		{ AUDIT_ARCH_AARCH64, 0x1000, 0x1001, "" },
	};
	uint8_t out[ARCH_JUMP_MAX];

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = arch_jump(arch_find(rows[i].audit), rows[i].from, rows[i].to, out);

		is_str(hex(out, n), rows[i].want, "row %zu", i);
	}
}

static void finds_calls(void)
{
	static const uint8_t x86[] = { 0x90, 0x0f, 0x0f, 0x05, 0xc3 };
	/* the bytes of svc stand across two instructions first */
	static const uint8_t arm[] = { 0x1f, 0x20, 0x01, 0x00, 0x00, 0xd4,
				       0x00, 0x00, 0x01, 0x00, 0x00, 0xd4 };
	size_t at = 99;

	is_int(arch_find_call(arch_find(AUDIT_ARCH_X86_64), x86, sizeof(x86), &at), 0, "syscall");
	is_int((long long)at, 2, "stands there");
	is_int(arch_find_call(arch_find(AUDIT_ARCH_X86_64), x86, 3, &at), -ENOENT, "cut");
	is_int(arch_find_call(arch_find(AUDIT_ARCH_AARCH64), arm, sizeof(arm), &at), 0, "svc");
	is_int((long long)at, 8, "stands there");
	is_int(arch_find_call(arch_find(AUDIT_ARCH_AARCH64), arm, 8, &at), -ENOENT, "cut");
	is_int(arch_find_call(arch_find(AUDIT_ARCH_AARCH64), arm, 0, &at), -ENOENT, "nothing");
}

static void knows_entries(void)
{
	const struct arch *x86 = arch_find(AUDIT_ARCH_X86_64), *arm = arch_find(AUDIT_ARCH_AARCH64);

	is_int(arch_entry(x86, "__vdso_clock_gettime")->nr, 228, "clock_gettime");
	is_int(arch_entry(x86, "__vdso_time")->nr, 201, "time");
	is_int(arch_entry(x86, "__vdso_getrandom")->nr, ARCH_NO_CALL,
	       "getrandom has more arguments");
	is_int(arch_entry(arm, "__kernel_gettimeofday")->nr, 169, "gettimeofday");
	is_int(arch_entry(arm, "__kernel_rt_sigreturn")->nr, 139, "rt_sigreturn");
	ok(arch_entry(arm, "__vdso_time") == NULL, "aarch64 has no time");
}

/* What the encoder says runs. */
static void runs(void)
{
	const struct arch *arch = arch_native();
	uint8_t *code =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *far = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct timespec t = { 0, 0 }, now;
	int (*call)(clockid_t, struct timespec *);
	size_t n;

	if (code == MAP_FAILED || far == MAP_FAILED)
		tap_skip("no memory");
	arch_stub(arch, SYS_clock_gettime, far);
	/* as if it stood far away: the long form, with the true target */
	n = arch_jump(arch, (uintptr_t)far ^ 1ull << 46, (uintptr_t)far, code);
	ok(n > 8, "the long jump has %zu bytes", n);
	n = arch_jump(arch, (uintptr_t)(code + 256), (uintptr_t)far, code + 256);
	ok(n > 0 && n <= 5, "the short jump has %zu bytes", n);
	mprotect(code, 4096, PROT_READ | PROT_EXEC);
	mprotect(far, 4096, PROT_READ | PROT_EXEC);
	__builtin___clear_cache((char *)code, (char *)code + 4096);
	__builtin___clear_cache((char *)far, (char *)far + 4096);
	clock_gettime(CLOCK_MONOTONIC, &now);
	for (int i = 0; i < 2; i++) {
		uintptr_t at = (uintptr_t)code + (i ? 256 : 0);

		memcpy(&call, &at, sizeof(call));
		is_int(call(CLOCK_MONOTONIC, &t), 0, "it answers");
		ok(t.tv_sec - now.tv_sec >= 0 && t.tv_sec - now.tv_sec < 60, "the time");
	}
	munmap(code, 4096);
	munmap(far, 4096);
}

/* The kernel's own vDSO: its names are ours, and a call into the kernel is found in it. */
static void knows_this_vdso(void)
{
	const uint8_t *vdso = (const uint8_t *)getauxval(AT_SYSINFO_EHDR); /* NOLINT */
	const Elf64_Ehdr *eh = (const void *)vdso;
	size_t at;

	if (!vdso)
		tap_skip("no vDSO here");
	ok(arch_find_machine(eh->e_machine) == arch_native(), "of this machine");
	is_int(arch_find_call(arch_native(), vdso, 4096, &at), 0, "a call is found");
}

static void packs(void)
{
	uint8_t packed[REGS_PACKED_MAX];
	struct regs in, out;
	struct regset_head head;

	for (size_t i = 0; i < sizeof(in); i++)
		((uint8_t *)&in)[i] = (uint8_t)(i * 7);
	is_int((long long)regs_pack(&in, packed), sizeof(packed), "packed");
	is_int(regs_unpack(packed, sizeof(packed), &out), 0, "unpacked");
	ok(memcmp(&in, &out, sizeof(in)) == 0, "the same");
	is_int(regs_unpack(packed, sizeof(packed) - 1, &out), -EBADMSG, "cut");
	is_int(regs_unpack(packed, 3, &out), -EBADMSG, "no header");
	memcpy(&head, packed, sizeof(head));
	head.note = 1;
	memcpy(packed, &head, sizeof(head));
	is_int(regs_unpack(packed, sizeof(packed), &out), -EBADMSG, "another set");
	head.note = 0;
	head.zero = 1;
	memcpy(packed, &head, sizeof(head));
	is_int(regs_unpack(packed, sizeof(packed), &out), -EBADMSG, "a field that is none");
	ok(strstr(err_last()->text, "registers"), "says so: %s", err_last()->text);
}

static void knows_waits(void)
{
	const struct restart_call *c = restart_find(SYS_epoll_pwait);

	ok(c && c->eintr && c->time_arg == 3 && c->unit == RESTART_MS, "epoll_pwait");
	c = restart_find(SYS_clock_nanosleep);
	ok(c && !c->eintr && c->remain_arg == 3 && c->absolute_arg == 1, "clock_nanosleep");
	c = restart_find(SYS_semop);
	ok(c && c->eintr && c->unit == RESTART_FOREVER, "semop");
	ok(restart_find(SYS_getpid) == NULL && restart_find(-1) == NULL,
	   "others are of no interest");
}

static void decodes(void)
{
	/* mov eax, 35; mov edi, esi; syscall | nop; movz w8, #101; nop */
	static const uint8_t x86[] = { 0xb8, 0x23, 0, 0, 0, 0x89, 0xf7 };
	static const uint8_t arm[] = { 0x1f, 0x20, 0x03, 0xd5, 0xa8, 0x0c,
				       0x80, 0x52, 0x1f, 0x20, 0x03, 0xd5 };
	bool here = arch_native()->machine == EM_X86_64;
	int64_t nr = -7;

	is_int(restart_decode(here ? x86 : arm, here ? sizeof(x86) : sizeof(arm), &nr), 0,
	       "decoded");
	is_int(nr, here ? 35 : 101, "the number");
	is_int(restart_decode(arm, 4, &nr), -ENOENT, "there is none");
	is_int(restart_decode(arm, 0, &nr), -ENOENT, "nothing");
}

/* The layout of the code: what stands where, and that all of it is in it. */
static void builds(void)
{
	struct inject_plan plan = { .signal = 23, .sigmask = 0x1122334455667788 };
	struct regs r;
	struct inject small, big;
	const uint64_t args[6] = { 1, 2, 3, 4, 5, 6 };

	if (arch_native()->machine != EM_X86_64)
		tap_skip("on aarch64 it takes a stopped thread");
	memset(&r, 0x5a, sizeof(r));
	is_int(inject_build(0, &r, 0x10000, &plan, &small), 0, "built");
	ok(small.len <= INJECT_CODE_MAX && memcmp(small.code, inject_magic, 8) == 0, "%u bytes",
	   small.len);
	is_str(hex(small.code + small.call, 5), "0f054989c4", "the call, and its result is kept");
	is_str(hex(small.code + small.after_call + 3, small.stop - small.after_call - 3),
	       "b8ba0000000f0589c7be17000000b8c80000000f05", "its end");
	is_str(hex(small.code + small.map, 6), "0f054989c5e9", "a mapping, and where it is");
	is_str(hex(small.code + small.unmap, 7), "0f054983cdffe9", "its end, and that it is gone");
	is_str(hex(small.code + small.clone, 6), "0f0585c00f85", "a clone, and who is it");
	is_str(hex(small.code + small.clone + 10, 12), "bf00000000b8e70000000f05",
	       "the one that was cloned ends");
	plan.keeper_at = 0x7f0000000000;
	plan.map_len = 0x18000;
	plan.cpus_len = INJECT_CPUS_MAX;
	is_int(inject_build(0, &r, 0x10000, &plan, &big), 0, "with all there is");
	ok(big.len > small.len && big.len <= INJECT_CODE_MAX, "%u bytes", big.len);
	is_int((long long)(big.call - small.call), INJECT_CPUS_MAX, "the processors are data");
	plan.cpus_len = INJECT_CPUS_MAX + 8;
	is_int(inject_build(0, &r, 0x10000, &plan, &big), -E2BIG, "too many processors");
	inject_set_call(&r, 0x10000, &small, 39, args);
	is_int((long long)regs_ip(&r), 0x10000 + small.call, "where a call begins");
	inject_set_home(&r, 0x10000, &small);
	is_int((long long)regs_ip(&r), 0x10000 + small.home, "where the way home begins");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(is_found),    TAP(stubs),         TAP(clocks), TAP(idles),           TAP(jumps),
		TAP(finds_calls), TAP(knows_entries), TAP(runs),   TAP(knows_this_vdso), TAP(packs),
		TAP(knows_waits), TAP(decodes),       TAP(builds),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
