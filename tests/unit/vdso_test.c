/* SPDX-License-Identifier: Apache-2.0 */
/* The vDSO: one made by hand for each processor, hostile ones, and the kernel's own, run. */
#include "task/vdso.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "lib/tap.h"
#include "task/peek.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- one made by hand */

#define MADE_LEN 4096u
#define MADE_LOADED 1024u

enum { GETTIME, GETTIME_ALIAS, TIMEOFDAY, TIME, GETCPU, FUNCTIONS };

struct made {
	uint8_t bytes[MADE_LEN];
	Elf64_Ehdr *eh;
	Elf64_Phdr *ph;
	Elf64_Dyn *dynamic;
	uint32_t *hash;
	Elf64_Sym *symbols; /* the first one is of no name */
	char *strings;
};

static const char *const names[][FUNCTIONS] = {
	{ "__vdso_clock_gettime", "clock_gettime", "__vdso_gettimeofday", "__vdso_time",
	  "__vdso_getcpu" },
	{ "__kernel_clock_gettime", "clock_gettime", "__kernel_gettimeofday", "unknown",
	  "__kernel_clock_getres" },
};

static const uint16_t machines[] = { EM_X86_64, EM_AARCH64 };

/* As addresses the tables count from `bias`. */
static void make(struct made *m, size_t machine, uint64_t bias)
{
	static const uint64_t at[FUNCTIONS] = { 768, 768, 832, 896, 960 };
	size_t n = 1;

	memset(m, 0, sizeof(*m));
	m->eh = (Elf64_Ehdr *)(void *)m->bytes;
	m->ph = (Elf64_Phdr *)(void *)(m->bytes + sizeof(*m->eh));
	m->dynamic = (Elf64_Dyn *)(void *)(m->bytes + 256);
	m->hash = (uint32_t *)(void *)(m->bytes + 384);
	m->symbols = (Elf64_Sym *)(void *)(m->bytes + 448);
	m->strings = (char *)m->bytes + 600;
	memcpy(m->eh->e_ident, ELFMAG, SELFMAG);
	m->eh->e_ident[EI_CLASS] = ELFCLASS64;
	m->eh->e_ident[EI_DATA] = ELFDATA2LSB;
	m->eh->e_machine = machines[machine];
	m->eh->e_phoff = sizeof(*m->eh);
	m->eh->e_phentsize = sizeof(*m->ph);
	m->eh->e_phnum = 2;
	m->ph[0] = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_vaddr = bias, .p_filesz = MADE_LOADED, .p_memsz = MADE_LOADED
	};
	m->ph[1] = (Elf64_Phdr){ .p_type = PT_DYNAMIC, .p_offset = 256, .p_filesz = 128 };
	m->dynamic[0] = (Elf64_Dyn){ DT_HASH, { bias + 384 } };
	m->dynamic[1] = (Elf64_Dyn){ DT_SYMTAB, { bias + 448 } };
	m->dynamic[2] = (Elf64_Dyn){ DT_STRTAB, { bias + 600 } };
	m->dynamic[3] = (Elf64_Dyn){ DT_STRSZ, { 160 } };
	m->dynamic[4] = (Elf64_Dyn){ DT_SYMENT, { sizeof(Elf64_Sym) } };
	m->hash[1] = FUNCTIONS + 1;
	for (size_t i = 0; i < FUNCTIONS; i++) {
		m->symbols[i + 1] = (Elf64_Sym){
			.st_name = (uint32_t)n,
			.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
			.st_shndx = 1,
			.st_value = bias + at[i],
			.st_size = 64,
		};
		strcpy(m->strings + n, names[machine][i]);
		n += strlen(names[machine][i]) + 1;
	}
}

/* GNU's table in its place: one bucket, which begins with symbol 1. */
static void use_gnu_hash(struct made *m)
{
	static const uint32_t table[] = { 1, 1, 1, 0, 0, 0, 1, 2, 4, 6, 8, 9 };

	m->dynamic[0].d_tag = DT_GNU_HASH;
	memcpy(m->hash, table, sizeof(table));
}

static void finds_functions(void)
{
	static const uint64_t biases[] = { 0, 0xffffffffff700000 };
	static struct made m;
	struct vdso v;
	size_t at, len;

	for (size_t machine = 0; machine < COUNT(machines); machine++)
		for (size_t i = 0; i < 2 * COUNT(biases); i++) {
			make(&m, machine, biases[i / 2]);
			if (i % 2)
				use_gnu_hash(&m);
			if (!is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "%zu %zu: %s", machine, i,
				    err_last()->text))
				continue;
			is_int(v.arch->machine, machines[machine], "of its machine");
			is_int(vdso_find(&v, names[machine][TIMEOFDAY], &at, &len), 0, "found");
			is_int((long long)at, 832, "where it is");
			is_int((long long)len, 64, "and how long");
			is_int(vdso_find(&v, names[machine][GETCPU], &at, &len), 0, "the last one");
			is_int(vdso_find(&v, "gettime", &at, &len), -ENOENT, "no part of a name");
			is_int(vdso_find(&v, "", &at, &len), -ENOENT, "and no symbol without one");
		}
}

/* ---- hostile ones */

static void no_magic(struct made *m)
{
	m->bytes[1] = 'F';
}
static void narrow(struct made *m)
{
	m->eh->e_ident[EI_CLASS] = ELFCLASS32;
}
static void backward(struct made *m)
{
	m->eh->e_ident[EI_DATA] = ELFDATA2MSB;
}
static void foreign(struct made *m)
{
	m->eh->e_machine = EM_386;
}
static void far_headers(struct made *m)
{
	m->eh->e_phoff = UINT64_MAX - 8;
}
static void cut_headers(struct made *m)
{
	m->eh->e_phoff = MADE_LEN - sizeof(*m->ph) - 1;
}
static void many_headers(struct made *m)
{
	m->eh->e_phnum = UINT16_MAX;
}
static void no_headers(struct made *m)
{
	m->eh->e_phnum = 0;
}
static void long_headers(struct made *m)
{
	m->eh->e_phentsize = sizeof(*m->ph) + 8;
}
static void loads_twice(struct made *m)
{
	m->ph[1].p_type = PT_LOAD;
}
static void loads_too_much(struct made *m)
{
	m->ph[0].p_filesz = MADE_LEN + 1;
}
static void loads_from_elsewhere(struct made *m)
{
	m->ph[0].p_offset = 16;
}
static void no_dynamic(struct made *m)
{
	m->ph[1].p_type = PT_NOTE;
}
static void far_dynamic(struct made *m)
{
	m->ph[1].p_offset = UINT64_MAX - 15;
}
static void endless_dynamic(struct made *m)
{
	m->ph[1].p_offset = 1024;
	m->ph[1].p_filesz = UINT64_MAX;
}
static void no_hash(struct made *m)
{
	m->dynamic[0].d_tag = DT_DEBUG;
}
static void far_hash(struct made *m)
{
	m->dynamic[0].d_un.d_ptr = MADE_LEN - 4;
}
static void many_symbols(struct made *m)
{
	m->hash[1] = UINT32_MAX;
}
static void more_symbols_than_room(struct made *m)
{
	m->hash[1] = 160;
}
static void gnu_of_many_buckets(struct made *m)
{
	use_gnu_hash(m);
	m->hash[0] = UINT32_MAX;
}
static void gnu_of_a_great_filter(struct made *m)
{
	use_gnu_hash(m);
	m->hash[2] = 4096;
}
static void gnu_without_end(struct made *m)
{
	use_gnu_hash(m);
	m->hash[6] = 4000;
}
static void far_symbols(struct made *m)
{
	m->dynamic[1].d_un.d_ptr = UINT64_MAX;
}
static void far_strings(struct made *m)
{
	m->dynamic[2].d_un.d_ptr = MADE_LEN + 1;
}
static void long_strings(struct made *m)
{
	m->dynamic[3].d_un.d_val = UINT64_MAX;
}
static void long_symbols(struct made *m)
{
	m->dynamic[4].d_un.d_val = 16;
}

#define BAD(fn)         \
	{               \
#fn, fn \
	}

static void refuses_hostile_ones(void)
{
	static const struct {
		const char *name;
		void (*spoil)(struct made *m);
	} rows[] = {
		BAD(no_magic),
		BAD(narrow),
		BAD(backward),
		BAD(foreign),
		BAD(far_headers),
		BAD(cut_headers),
		BAD(many_headers),
		BAD(no_headers),
		BAD(long_headers),
		BAD(loads_twice),
		BAD(loads_too_much),
		BAD(loads_from_elsewhere),
		BAD(no_dynamic),
		BAD(far_dynamic),
		BAD(endless_dynamic),
		BAD(no_hash),
		BAD(far_hash),
		BAD(many_symbols),
		BAD(more_symbols_than_room),
		BAD(gnu_of_many_buckets),
		BAD(gnu_of_a_great_filter),
		BAD(gnu_without_end),
		BAD(far_symbols),
		BAD(far_strings),
		BAD(long_strings),
		BAD(long_symbols),
	};
	static struct made m;
	struct vdso v;

	for (size_t i = 0; i < COUNT(rows); i++) {
		make(&m, i % 2, 0);
		rows[i].spoil(&m);
		is_int(vdso_parse(m.bytes, MADE_LEN, &v), -EINVAL, "%s", rows[i].name);
	}
	make(&m, 0, 0);
	for (size_t len = 0; len < MADE_LOADED; len += 8)
		ok(vdso_parse(m.bytes, len, &v) < 0, "cut at %zu", len);
}

static void leaves_odd_symbols(void)
{
	static struct made m;
	struct vdso v;
	size_t at, len;

	make(&m, 0, 0);
	m.symbols[1].st_name = 159;
	m.strings[159] = 'x'; /* no end within the strings */
	m.symbols[2].st_name = UINT32_MAX;
	m.symbols[3].st_value = MADE_LOADED;
	m.symbols[4].st_shndx = SHN_UNDEF;
	m.symbols[5].st_size = UINT64_MAX;
	is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "a vDSO");
	for (size_t i = 0; i < GETCPU; i++)
		is_int(vdso_find(&v, names[0][i], &at, &len), -ENOENT, "%s", names[0][i]);
	is_int(vdso_find(&v, names[0][GETCPU], &at, &len), 0, "the other one");
	is_int((long long)len, (long long)(MADE_LOADED - at), "is not longer than what is loaded");
}

/* ---- the clock */

static const struct arch_offset offset = { -5, 250000000, 250000 };

static void adds_a_clock(void)
{
	static struct made m, before;
	struct arch_offset got;
	struct vdso v;
	size_t at, len, alias, where;
	uint8_t code[ARCH_CLOCK_MAX];

	for (size_t machine = 0; machine < COUNT(machines); machine++) {
		make(&m, machine, 0x1000);
		before = m;
		is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "a vDSO");
		is_int(vdso_clock(&v, &got), -ENOENT, "without an offset");
		is_int(vdso_add_clock(&v, &offset, &where), 0, "added: %s", err_last()->text);
		is_int(vdso_find(&v, names[machine][GETTIME], &at, &len), 0, "clock_gettime");
		ok(at > MADE_LOADED && at % 16 == 0, "stands at %zu", at);
		is_int(vdso_find(&v, names[machine][GETTIME_ALIAS], &alias, &len), 0, "its alias");
		is_int((long long)alias, (long long)at, "is the same");
		is_int((long long)arch_clock(v.arch, ARCH_CLOCK_GETTIME,
					     &(struct arch_clock_at){ at, 768, where }, code),
		       (long long)len, "its length");
		ok(memcmp(m.bytes + at, code, len) == 0, "its code");
		is_int(vdso_find(&v, names[machine][GETCPU], &at, &len), 0, "another one");
		is_int((long long)at, 960, "is where it was");
		ok(memcmp(m.bytes + 768, before.bytes + 768, MADE_LOADED - 768) == 0,
		   "the real ones are as they were");
		is_int(vdso_add_clock(&v, &offset, &where), -EEXIST, "once only");
		is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "it still is a vDSO");
		is_int(vdso_clock(&v, &got), 0, "with an offset");
		ok(memcmp(&got, &offset, sizeof(got)) == 0, "that is the one");
		ok(m.ph[0].p_filesz > where && m.ph[0].p_memsz == m.ph[0].p_filesz,
		   "which is loaded");
	}
}

/* Where room ends with the section headers they are given up. */
static void takes_the_room_of_sections(void)
{
	static struct made m;
	struct vdso v;
	size_t where;

	make(&m, 0, 0);
	m.eh->e_shoff = MADE_LOADED + 16;
	m.eh->e_shnum = 40;
	m.eh->e_shentsize = 64;
	memset(m.bytes + m.eh->e_shoff, 0x55, 40 * 64);
	is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "a vDSO");
	is_int(vdso_add_clock(&v, &offset, &where), 0, "behind its sections");
	ok(where > MADE_LOADED + 40 * 64 && m.eh->e_shnum == 40, "at %zu", where);
	make(&m, 0, 0);
	m.eh->e_shoff = MADE_LOADED + 16;
	m.eh->e_shnum = 47;
	m.eh->e_shentsize = 64;
	memset(m.bytes + m.eh->e_shoff, 0x55, 47 * 64);
	is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "one that is nearly full");
	is_int(vdso_add_clock(&v, &offset, &where), 0, "in place of them");
	ok(where < MADE_LOADED + 64 && m.eh->e_shnum == 0 && m.eh->e_shoff == 0, "at %zu", where);
}

static void refuses_without_room(void)
{
	static struct made m, before;
	struct vdso v;
	size_t where;

	make(&m, 0, 0);
	m.ph[0].p_filesz = MADE_LEN - 64;
	before = m;
	is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "a full one");
	is_int(vdso_add_clock(&v, &offset, &where), -ENOSPC, "no room");
	ok(memcmp(m.bytes, before.bytes, MADE_LEN) == 0, "nothing is changed");
	make(&m, 0, 0);
	memset(m.bytes + MADE_LOADED + 256, 1, 16);
	is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "one with something behind its end");
	is_int(vdso_add_clock(&v, &offset, &where), -ENOSPC, "is left alone");
	make(&m, 0, 0);
	m.symbols[1].st_shndx = SHN_UNDEF;
	is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "one without clock_gettime");
	is_int(vdso_add_clock(&v, &offset, &where), -ENOENT, "tells no time");
}

/* ---- jumps elsewhere */

static void redirects(void)
{
	static struct made m;
	const uint64_t base = 0x7f0000000000;
	uint8_t code[ARCH_JUMP_MAX];
	struct vdso v;
	size_t n;

	for (size_t machine = 0; machine < COUNT(machines); machine++) {
		make(&m, machine, 0);
		is_int(vdso_parse(m.bytes, MADE_LEN, &v), 0, "a vDSO");
		is_int(vdso_redirect(&v, 768, 64, base, base + 0x10000), 0, "near");
		n = arch_jump(v.arch, base + 768, base + 0x10000, code);
		ok(memcmp(m.bytes + 768, code, n) == 0, "a jump in its place");
		is_int(vdso_redirect(&v, 832, 8, base, 0x550000000000), 0, "far, and short");
		n = arch_jump(v.arch, base + 832, base + MADE_LOADED, code);
		ok(memcmp(m.bytes + 832, code, n) == 0, "a jump to the end");
		n = arch_jump(v.arch, base + MADE_LOADED, 0x550000000000, code);
		ok(memcmp(m.bytes + MADE_LOADED, code, n) == 0, "and from there");
		is_int(vdso_redirect(&v, 896, 8, base, 0x550000000000), 0, "another one");
		ok(memcmp(m.bytes + MADE_LOADED, code, n) == 0, "leaves the first one alone");
		is_int(vdso_redirect(&v, 960, 2, base, 0x550000000000), -ENOSPC, "too short");
		is_int(vdso_redirect(&v, MADE_LEN, 8, base, base), -EINVAL, "outside");
		is_int(vdso_redirect(&v, 960, MADE_LEN, base, base), -EINVAL, "too long");
	}
}

/* ---- the kernel's own */

#define STEP_SEC 1000000
#define CALL(type, at) ((type)(uintptr_t)(at))

typedef int gettime_fn(clockid_t, struct timespec *);
typedef int timeofday_fn(struct timeval *, void *);
typedef time_t time_fn(time_t *);

static long long ns(const struct timespec *t)
{
	return t->tv_sec * 1000000000ll + t->tv_nsec;
}

static void check_clock(gettime_fn *call, clockid_t clock, long long want)
{
	struct timespec a, b, c;

	/* one that this machine lacks: CLOCK_REALTIME_ALARM needs a real-time clock */
	if (syscall(SYS_clock_gettime, clock, &a) < 0) {
		ok(call(clock, &b) < 0, "clock %d is missing here", clock);
		return;
	}
	is_int(call(clock, &b), 0, "clock %d answers", clock);
	syscall(SYS_clock_gettime, clock, &c);
	ok(b.tv_nsec >= 0 && b.tv_nsec < 1000000000, "a whole time");
	ok(ns(&b) >= ns(&a) + want && ns(&b) <= ns(&c) + want,
	   "clock %d: %lld between %lld and %lld", clock, ns(&b) - want, ns(&a), ns(&c));
}

static void check_others(const struct vdso *v, uintptr_t base, const struct arch_offset *o)
{
	struct timespec before, after;
	struct timeval tv;
	size_t at, len;
	time_t t = 0, told;
	long long us;

	if (vdso_find(v, "__vdso_gettimeofday", &at, &len) == 0 ||
	    vdso_find(v, "__kernel_gettimeofday", &at, &len) == 0) {
		syscall(SYS_clock_gettime, CLOCK_REALTIME, &before);
		is_int(CALL(timeofday_fn *, base + at)(&tv, NULL), 0, "gettimeofday answers");
		syscall(SYS_clock_gettime, CLOCK_REALTIME, &after);
		us = (tv.tv_sec - o->sec) * 1000000ll + tv.tv_usec - o->usec;
		ok(us >= ns(&before) / 1000 && us <= ns(&after) / 1000, "within");
		is_int(CALL(timeofday_fn *, base + at)(NULL, NULL), 0, "for nothing, too");
	}
	if (vdso_find(v, "__vdso_time", &at, &len) == 0) {
		syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &before);
		told = CALL(time_fn *, base + at)(&t);
		syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &after);
		is_int(told, t, "time stores what it tells");
		ok(t >= (ns(&before) + o->sec * 1000000000ll + o->nsec) / 1000000000 &&
			   t <= (ns(&after) + o->sec * 1000000000ll + o->nsec) / 1000000000,
		   "it is the one");
		is_int(CALL(time_fn *, base + at)(NULL) - t <= 1, 1, "for nothing, too");
	}
}

/* Its functions with an offset, run in this process. */
static void runs(void)
{
	static const struct arch_offset rows[] = {
		{ STEP_SEC, 0, 0 },
		{ -STEP_SEC, 999999000, 999999 },
		{ -STEP_SEC, 1000, 1 },
		{ 3ll * STEP_SEC * 1000, 500000000, 500000 },
	};
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI,
					    CLOCK_REALTIME_ALARM },
			       others[] = { CLOCK_MONOTONIC,          CLOCK_MONOTONIC_RAW,
					    CLOCK_MONOTONIC_COARSE,   CLOCK_BOOTTIME,
					    CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID };
	uintptr_t base = getauxval(AT_SYSINFO_EHDR);
	auto_arena a = arena_new();
	struct peek self;
	struct timespec t;
	struct vdso v;
	size_t at, len, where;
	gettime_fn *call;

	if (vdso_own(a, &v))
		tap_skip("%s", err_last()->text);
	is_int(vdso_add_clock(&v, &rows[0], &where), 0, "added: %s", err_last()->text);
	peek_of_tracee(getpid(), &self);
	is_int(peek_patch(&self, base, v.bytes, v.len), 0, "written: %s", err_last()->text);
	__builtin___clear_cache((char *)base, (char *)base + v.len);
	if (vdso_find(&v, "__vdso_clock_gettime", &at, &len))
		is_int(vdso_find(&v, "__kernel_clock_gettime", &at, &len), 0, "the function");
	call = CALL(gettime_fn *, base + at);
	for (size_t i = 0; i < COUNT(rows); i++) {
		is_int(peek_patch(&self, base + where, &rows[i], sizeof(rows[i])), 0, "row %zu", i);
		for (size_t c = 0; c < COUNT(clocks); c++)
			check_clock(call, clocks[c], rows[i].sec * 1000000000ll + rows[i].nsec);
		for (size_t c = 0; c < COUNT(others); c++)
			check_clock(call, others[c], 0);
		ok(call(99, &t) < 0 && call(-1, &t) < 0, "no such clock");
		check_others(&v, base, &rows[i]);
	}
	peek_close(&self);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(finds_functions),
		TAP(refuses_hostile_ones),
		TAP(leaves_odd_symbols),
		TAP(adds_a_clock),
		TAP(takes_the_room_of_sections),
		TAP(refuses_without_room),
		TAP(redirects),
		TAP(runs),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
