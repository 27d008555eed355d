/* SPDX-License-Identifier: Apache-2.0 */
#include "base/names.h"

#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "base/str.h"

#define RT_FIRST 34 /* what libc leaves of the kernel's 32: callers count from here */
#define RT_LAST 64

static const struct name_row signals[] = {
	{ "HUP", SIGHUP },   { "INT", SIGINT },       { "QUIT", SIGQUIT }, { "ILL", SIGILL },
	{ "TRAP", SIGTRAP }, { "ABRT", SIGABRT },     { "BUS", SIGBUS },   { "FPE", SIGFPE },
	{ "KILL", SIGKILL }, { "USR1", SIGUSR1 },     { "SEGV", SIGSEGV }, { "USR2", SIGUSR2 },
	{ "PIPE", SIGPIPE }, { "ALRM", SIGALRM },     { "TERM", SIGTERM }, { "STKFLT", SIGSTKFLT },
	{ "CHLD", SIGCHLD }, { "CONT", SIGCONT },     { "STOP", SIGSTOP }, { "TSTP", SIGTSTP },
	{ "TTIN", SIGTTIN }, { "TTOU", SIGTTOU },     { "URG", SIGURG },   { "XCPU", SIGXCPU },
	{ "XFSZ", SIGXFSZ }, { "VTALRM", SIGVTALRM }, { "PROF", SIGPROF }, { "WINCH", SIGWINCH },
	{ "IO", SIGIO },     { "PWR", SIGPWR },       { "SYS", SIGSYS },   { "IOT", SIGABRT },
	{ "CLD", SIGCHLD },  { "POLL", SIGIO },
};

#define CAP_ROW(name)                    \
	{                                \
		"CAP_" #name, CAP_##name \
	}
static const struct name_row capabilities[] = {
	CAP_ROW(CHOWN),
	CAP_ROW(DAC_OVERRIDE),
	CAP_ROW(DAC_READ_SEARCH),
	CAP_ROW(FOWNER),
	CAP_ROW(FSETID),
	CAP_ROW(KILL),
	CAP_ROW(SETGID),
	CAP_ROW(SETUID),
	CAP_ROW(SETPCAP),
	CAP_ROW(LINUX_IMMUTABLE),
	CAP_ROW(NET_BIND_SERVICE),
	CAP_ROW(NET_BROADCAST),
	CAP_ROW(NET_ADMIN),
	CAP_ROW(NET_RAW),
	CAP_ROW(IPC_LOCK),
	CAP_ROW(IPC_OWNER),
	CAP_ROW(SYS_MODULE),
	CAP_ROW(SYS_RAWIO),
	CAP_ROW(SYS_CHROOT),
	CAP_ROW(SYS_PTRACE),
	CAP_ROW(SYS_PACCT),
	CAP_ROW(SYS_ADMIN),
	CAP_ROW(SYS_BOOT),
	CAP_ROW(SYS_NICE),
	CAP_ROW(SYS_RESOURCE),
	CAP_ROW(SYS_TIME),
	CAP_ROW(SYS_TTY_CONFIG),
	CAP_ROW(MKNOD),
	CAP_ROW(LEASE),
	CAP_ROW(AUDIT_WRITE),
	CAP_ROW(AUDIT_CONTROL),
	CAP_ROW(SETFCAP),
	CAP_ROW(MAC_OVERRIDE),
	CAP_ROW(MAC_ADMIN),
	CAP_ROW(SYSLOG),
	CAP_ROW(WAKE_ALARM),
	CAP_ROW(BLOCK_SUSPEND),
	CAP_ROW(AUDIT_READ),
	CAP_ROW(PERFMON),
	CAP_ROW(BPF),
	CAP_ROW(CHECKPOINT_RESTORE),
};

#define RLIMIT_ROW(name)                       \
	{                                      \
		"RLIMIT_" #name, RLIMIT_##name \
	}
static const struct name_row rlimits[] = {
	RLIMIT_ROW(AS),     RLIMIT_ROW(CORE),   RLIMIT_ROW(CPU),        RLIMIT_ROW(DATA),
	RLIMIT_ROW(FSIZE),  RLIMIT_ROW(LOCKS),  RLIMIT_ROW(MEMLOCK),    RLIMIT_ROW(MSGQUEUE),
	RLIMIT_ROW(NICE),   RLIMIT_ROW(NOFILE), RLIMIT_ROW(NPROC),      RLIMIT_ROW(RSS),
	RLIMIT_ROW(RTPRIO), RLIMIT_ROW(RTTIME), RLIMIT_ROW(SIGPENDING), RLIMIT_ROW(STACK),
};

const struct name_row *name_find(const struct name_row *rows, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

const char *name_of(const struct name_row *rows, size_t n, uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].value == value)
			return rows[i].name;
	return NULL;
}

int name_signal(const char *text)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint64_t n;

	if (num_u64(text, 1, RT_LAST, &n) == 0)
		return (int)n;
	for (size_t i = 0; i < NAME_COUNT(signals); i++)
		if (strcasecmp(signals[i].name, name) == 0)
			return (int)signals[i].value;
	if (strncasecmp(name, "RTMIN", 5) == 0) {
		if (!name[5])
			return RT_FIRST;
		if (name[5] == '+' && num_u64(name + 6, 0, RT_LAST - RT_FIRST, &n) == 0)
			return RT_FIRST + (int)n;
	} else if (strncasecmp(name, "RTMAX", 5) == 0) {
		if (!name[5])
			return RT_LAST;
		if (name[5] == '-' && num_u64(name + 6, 0, RT_LAST - RT_FIRST, &n) == 0)
			return RT_LAST - (int)n;
	}
	return -1;
}

const char *name_of_signal(int sig)
{
	static _Thread_local char text[16];
	const char *name = name_of(signals, NAME_COUNT(signals), (uint64_t)sig);

	if (!name)
		return NULL;
	snprintf(text, sizeof(text), "SIG%s", name);
	return text;
}

int name_capability(const char *text)
{
	const char *name = strncasecmp(text, "CAP_", 4) == 0 ? text + 4 : text;

	for (size_t i = 0; i < NAME_COUNT(capabilities); i++)
		if (strcasecmp(capabilities[i].name + 4, name) == 0)
			return (int)capabilities[i].value;
	return -1;
}

const char *name_of_capability(int cap)
{
	return name_of(capabilities, NAME_COUNT(capabilities), (uint64_t)cap);
}

int name_rlimit(const char *text)
{
	const struct name_row *row = name_find(rlimits, NAME_COUNT(rlimits), text);

	return row ? (int)row->value : -1;
}

const char *name_of_rlimit(int resource)
{
	return name_of(rlimits, NAME_COUNT(rlimits), (uint64_t)resource);
}
