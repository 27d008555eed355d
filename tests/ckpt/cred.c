/* SPDX-License-Identifier: Apache-2.0 */
/* Who a task is and what it may: ids, groups, capabilities, securebits. Each child another. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cycle.h"

static struct cycle_gate gate;

/* Every line about rights of /proc/self/status must be as it was. */
static void same_rights(void)
{
	static const char *const names[] = {
		"Uid",    "Gid",    "Groups", "CapInh",     "CapPrm",
		"CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"
	};
	static char was[10][1024], is[1024];
	int securebits = prctl(PR_GET_SECUREBITS);

	for (int i = 0; i < 10; i++)
		cycle_line("/proc/self/status", names[i], was[i], sizeof(was[i]));
	cycle_pass(gate);
	cycle_wait();
	for (int i = 0; i < 10; i++) {
		cycle_line("/proc/self/status", names[i], is, sizeof(is));
		check(strcmp(is, was[i]) == 0, "\"%s\", was \"%s\"", is, was[i]);
	}
	check(prctl(PR_GET_SECUREBITS) == securebits, "securebits 0x%x, were 0x%x",
	      (unsigned)prctl(PR_GET_SECUREBITS), (unsigned)securebits);
}

static void as_root(void *ctx)
{
	(void)ctx;
	same_rights();
}

static void as_others(void *ctx)
{
	gid_t groups[] = { 11, 22, 33, 444 };

	(void)ctx;
	must(setgroups(4, groups));
	must(setresgid(101, 102, 103));
	must(prctl(PR_SET_KEEPCAPS, 1));
	must(setresuid(201, 202, 203));
	same_rights();
	check(prctl(PR_GET_KEEPCAPS) == 1, "PR_SET_KEEPCAPS is gone");
	check(setfsuid((uid_t)-1) == 202, "fsuid");
}

static void with_few(void *ctx)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	(void)ctx;
	must(syscall(SYS_capget, &head, data));
	data[0].inheritable = data[0].permitted & (1u << CAP_CHOWN | 1u << CAP_KILL);
	data[0].effective &= 1u << CAP_CHOWN | 1u << CAP_SETPCAP;
	must(syscall(SYS_capset, &head, data));
	must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
	must(prctl(PR_CAPBSET_DROP, CAP_MKNOD));
	same_rights();
}

static void with_bits(void *ctx)
{
	(void)ctx;
	must(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
					      SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS));
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	same_rights();
}

static void credentials(void)
{
	void (*const kinds[])(void *) = { as_root, as_others, with_few, with_bits };
	pid_t child[4];
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	gid_t probe = 11;

	must(syscall(SYS_capget, &head, data));
	if (~data[0].effective & (1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_SETPCAP))
		cycle_skip("takes CAP_SETUID, CAP_SETGID and CAP_SETPCAP");
	if (setgroups(1, &probe) < 0)
		cycle_skip("the user namespace has no other ids, or allows no groups");
	gate = cycle_gate();
	for (int i = 0; i < 4; i++)
		child[i] = cycle_child(kinds[i], NULL);
	cycle_await(gate, 4);
	cycle();
	for (int i = 0; i < 4; i++)
		cycle_join(child[i]);
}

/* What any container has. */
static void rights(void)
{
	pid_t child;

	gate = cycle_gate();
	child = cycle_child(as_root, NULL);
	cycle_await(gate, 1);
	cycle();
	cycle_join(child);
}

/* Keyrings that hold nothing may be made anew. */
static void keyrings_empty(void)
{
	long key = syscall(SYS_add_key, "user", "thole-test", "x", 1, KEY_SPEC_PROCESS_KEYRING);

	if (key < 0)
		cycle_skip("this kernel has no keys, or they are forbidden here");
	must(syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_PROCESS_KEYRING));
	cycle();
}

static void keep_a_key(int keyring)
{
	if (syscall(SYS_add_key, "user", "thole-test", "x", 1, keyring) < 0)
		cycle_skip("this kernel has no keys, or they are forbidden here");
	cycle();
}

static void key_of_process(void)
{
	keep_a_key(KEY_SPEC_PROCESS_KEYRING);
}

static void key_of_session(void)
{
	keep_a_key(KEY_SPEC_SESSION_KEYRING);
}

struct key_of_other {
	struct cycle_gate gate;
	int keyring;
	bool joins; /* a session of its own */
};

static void *with_a_key(void *ctx)
{
	const struct key_of_other *k = ctx;

	if (k->joins)
		must(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
	must(syscall(SYS_add_key, "user", "thole-test", "x", 1, k->keyring));
	cycle_pass(k->gate);
	pause();
	return NULL;
}

/* The key of a thread that is not the first. */
static void key_of_other(int keyring, bool joins)
{
	struct key_of_other k = { cycle_gate(), keyring, joins };
	pthread_t t;

	if (syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1) < 0)
		cycle_skip("this kernel has no keys, or they are forbidden here");
	must(pthread_create(&t, NULL, with_a_key, &k));
	cycle_await(k.gate, 1);
	cycle();
}

static void key_of_thread(void)
{
	key_of_other(KEY_SPEC_THREAD_KEYRING, false);
}

static void key_of_threads_session(void)
{
	key_of_other(KEY_SPEC_SESSION_KEYRING, true);
}

const struct cycle_case cred_cases[] = {
	{ "credentials", credentials },
	{ "rights", rights },
	{ "keyrings-empty", keyrings_empty },
	{ "key-of-process", key_of_process },
	{ "key-of-session", key_of_session },
	{ "key-of-thread", key_of_thread },
	{ "key-of-threads-session", key_of_threads_session },
	{ NULL, NULL },
};
