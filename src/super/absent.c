/* SPDX-License-Identifier: Apache-2.0 */
#include "super/absent.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "super/handler.h"
#include "super/notif.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00) /* of /dev/userfaultfd: Linux 6.1 */
#endif
#define PAGE 4096u
#define JOB (1ull << 62) /* no number of a copy's (layer_late.h) */
#define REPORT_FD 3

/* Of all that are supervised. */
static struct {
	bool expected;
	struct page {
		uint64_t job; /* 0: there is none */
		uint64_t call, at;
		pid_t pid;
		int ended;
		bool done, dropped;
	} v[ABSENT_MAX];
	uint64_t last;
	/* the call that is looked at */
	bool met;
	uint64_t waits;
} absent;

bool absent_is_expected(void)
{
	return absent.expected;
}

/* It holds nothing that is another's to wait for the end of. */
static void wait_for(const struct notif *n, uint64_t addr, pid_t parent, int report)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { (void *)(uintptr_t)addr, 1 };

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent || dup2(report, REPORT_FD) < 0 ||
	    sys_close_range(REPORT_FD + 1, ~0u, 0) < 0)
		_exit(1);
	/* what comes of it is seen by who tries again */
	_exit(process_vm_readv(n->tid, &local, 1, &remote, 1, 0) == 1 ? 0 : 1);
}

static int begin(struct page *p, const struct notif *n, uint64_t addr)
{
	const pid_t self = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	p->pid = fork();
	if (p->pid == 0)
		wait_for(n, addr, self, ends[1]);
	fd_close(ends[1]);
	if (p->pid < 0) {
		fd_close(ends[0]);
		return -ENOMEM;
	}
	p->ended = ends[0];
	return 0;
}

static bool was_waited_for(const struct notif *n, uint64_t at)
{
	for (size_t i = 0; i < ABSENT_MAX; i++) {
		const struct page *p = &absent.v[i];

		if (p->job && p->done && p->call == n->id && p->at == at)
			return true;
	}
	return false;
}

/* Who is answered already, or followed through his call, can't be looked at again. */
void absent_note(const struct notif *n, uint64_t addr)
{
	const uint64_t at = addr - addr % PAGE;
	struct page *p = absent.v;

	if (!absent.expected || absent.met || n->answered || !n->threads || was_waited_for(n, at))
		return;
	while (p < absent.v + ABSENT_MAX && p->job)
		p++;
	if (p < absent.v + ABSENT_MAX) {
		*p = (struct page){ .call = n->id, .at = at };
		if (begin(p, n, addr))
			return;
		p->job = JOB | ++absent.last;
	}
	absent.waits = p < absent.v + ABSENT_MAX ? p->job : 0;
	absent.met = true;
}

bool absent_met(void)
{
	return absent.met;
}

bool absent_take(uint64_t *out_job)
{
	bool met = absent.met;

	*out_job = absent.waits;
	absent.met = false;
	return met;
}

int absent_end(size_t i)
{
	return absent.v[i].job && !absent.v[i].done ? absent.v[i].ended : -1;
}

static void finish(struct page *p)
{
	/* it has nothing left to do, but may have been stopped */
	kill(p->pid, SIGKILL);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(fd_take(&p->ended));
	p->done = true;
}

uint64_t absent_look(size_t i)
{
	struct page *p = &absent.v[i];

	finish(p);
	if (p->dropped)
		p->job = 0;
	return p->job;
}

uint64_t absent_job(size_t i)
{
	return absent.v[i].dropped ? 0 : absent.v[i].job;
}

void absent_drop(size_t i)
{
	struct page *p = &absent.v[i];

	if (!p->job || p->done)
		p->job = 0;
	else if (!p->dropped)
		p->dropped = kill(p->pid, SIGKILL) == 0;
}

void absent_close(void)
{
	for (size_t i = 0; i < ABSENT_MAX; i++)
		if (absent.v[i].job && !absent.v[i].done)
			finish(&absent.v[i]);
}

/* Whether it comes by one or not. */
static void on_userfaultfd(struct super_state *s, struct notif *n)
{
	(void)s;
	(void)n;
	absent.expected = true;
}

static const uint32_t requests[] = { USERFAULTFD_IOC_NEW };

/* To all others of its handlers it would be one that they know. */
static void on_ioctl(struct super_state *s, struct notif *n)
{
	(void)s;
	if ((uint32_t)n->args[1] != requests[0])
		return;
	absent.expected = true;
	notif_pass(n);
}

const struct super_handler absent_handlers[] = {
	{ GUARD_ALL("userfaultfd"), SYS_userfaultfd, on_userfaultfd },
	{ GUARD_IN("ioctl", 1, requests), SYS_ioctl, on_ioctl },
};
const size_t n_absent_handlers = sizeof(absent_handlers) / sizeof(absent_handlers[0]);
