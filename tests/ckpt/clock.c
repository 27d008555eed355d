/* SPDX-License-Identifier: Apache-2.0 */
/* Time: clocks that count from the start go on, the fast way to ask them still works. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "cycle.h"

static void clocks(void)
{
	static const int ids[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME,
				   CLOCK_MONOTONIC_RAW };
	int64_t was[4], is, asked;
	struct timespec t;

	for (int i = 0; i < 4; i++)
		was[i] = cycle_now(ids[i]);
	cycle();
	for (int i = 0; i < 4; i++) {
		is = cycle_now(ids[i]);
		check(is >= was[i] && is < was[i] + 600000, "clock %d went from %ld to %ld ms",
		      ids[i], (long)was[i], (long)is);
		must(syscall(SYS_clock_gettime, ids[i], &t));
		asked = t.tv_sec * 1000 + t.tv_nsec / 1000000;
		check(asked >= is && asked <= cycle_now(ids[i]),
		      "clock %d: the vDSO and the kernel differ", ids[i]);
	}
}

/*
 * In a time namespace of its own: they stand still while there is no container. The caller lets
 * SLEPT_MS go by in between.
 */
#define SLEPT_MS 2000

static void clocks_kept(void)
{
	static const int ids[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME };
	int64_t was[2], real = cycle_now(CLOCK_REALTIME), gone;

	for (int i = 0; i < 2; i++)
		was[i] = cycle_now(ids[i]);
	cycle();
	gone = cycle_now(CLOCK_REALTIME) - real;
	if (gone < SLEPT_MS)
		cycle_skip("there was no cycle");
	for (int i = 0; i < 2; i++)
		check(cycle_now(ids[i]) >= was[i] && cycle_now(ids[i]) - was[i] <= gone - SLEPT_MS,
		      "clock %d went on by %ld of %ld ms", ids[i],
		      (long)(cycle_now(ids[i]) - was[i]), (long)gone);
}

static unsigned long vdso_address(void)
{
	static char maps[65536];
	const char *at;
	unsigned long start;

	cycle_read("/proc/self/maps", maps, sizeof(maps));
	at = strstr(maps, "[vdso]");
	while (at && at > maps && at[-1] != '\n')
		at--;
	return at && sscanf(at, "%lx-", &start) == 1 ? start : 0;
}

static void vdso(void)
{
	unsigned long at = getauxval(AT_SYSINFO_EHDR);
	struct timespec a, b;

	if (!at)
		cycle_skip("there is no vDSO");
	check(vdso_address() == at, "it is elsewhere from the start");
	cycle();
	check(getauxval(AT_SYSINFO_EHDR) == at && vdso_address() == at,
	      "the vDSO is at 0x%lx, was 0x%lx", vdso_address(), at);
	must(clock_gettime(CLOCK_MONOTONIC, &a));
	for (int i = 0; i < 1000; i++)
		must(clock_gettime(CLOCK_MONOTONIC, &b));
	check(b.tv_sec > a.tv_sec || b.tv_nsec > a.tv_nsec, "time stands still");
}

static void near(const char *what, long long told, long long asked)
{
	check(llabs(told - asked) < 100, "%s: %lld by the vDSO, %lld by the kernel", what, told,
	      asked);
}

/* Of another kernel perhaps (ckpt.bats): it is where it was, and each function works. */
static void other_vdso(void)
{
	unsigned long at = getauxval(AT_SYSINFO_EHDR);
	struct timespec a, b;
	struct timeval tv;
	unsigned cpu;

	if (!at)
		cycle_skip("there is no vDSO");
	must(clock_gettime(CLOCK_MONOTONIC, &a));
	cycle();
	check(memcmp((const void *)at, "\177ELF", 4) == 0, "there is none where it was");
	for (int i = 0; i < 1000; i++) {
		must(clock_gettime(CLOCK_MONOTONIC, &a));
		must(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &b));
		near("the monotonic clock", a.tv_sec, b.tv_sec);
		must(clock_gettime(CLOCK_REALTIME, &a));
		must(syscall(SYS_clock_gettime, CLOCK_REALTIME, &b));
		near("the time of day", a.tv_sec, b.tv_sec);
	}
	must(gettimeofday(&tv, NULL));
	near("gettimeofday", tv.tv_sec, b.tv_sec);
	near("time", time(NULL), b.tv_sec);
	must(clock_getres(CLOCK_MONOTONIC, &a));
	must(syscall(SYS_getcpu, &cpu, NULL, NULL));
	check(sched_getcpu() >= 0, "no processor");
}

/* What the namespaces hold. */
static void names(void)
{
	struct utsname was, is;

	must(uname(&was));
	cycle();
	must(uname(&is));
	check(strcmp(was.nodename, is.nodename) == 0, "hostname \"%s\", was \"%s\"", is.nodename,
	      was.nodename);
	check(getpid() == 1, "pid %d", getpid());
}

const struct cycle_case clock_cases[] = {
	{ "clocks", clocks },         { "clocks-kept", clocks_kept }, { "vdso", vdso },
	{ "other-vdso", other_vdso }, { "namespaces", names },        { NULL, NULL },
};
