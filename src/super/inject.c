/* SPDX-License-Identifier: Apache-2.0 */
#include "super/inject.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "super/absent.h"

#define PAGE 4096u
#define DESCRIPTORS 8      /* beyond a limit, for the moment */
#define PATIENCE_WAITING 2 /* ticks, for a call that may wait for others */

/* With SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV only an answer takes the thread out of the call;
 * without it the stop does, and there is nobody to answer. Should this process end before the
 * thread goes on, its call fails as all the others do then. */
#define ANSWER (-ENOSYS)

size_t inject_tend(struct inject_strays *s)
{
	for (size_t i = s->n; i-- > 0;)
		if (hold_tend(&s->v[i]))
			s->v[i] = s->v[--s->n];
	return s->n;
}

/* There is one tracer to a thread, and nothing but that takes it elsewhere. */
static void tell_traced(struct inject_strays *s, const struct notif *n)
{
	struct notif_status status;

	if (s->told || notif_status(n, &status) || !status.tracer)
		return;
	s->told = true;
	log_warning("thread %d is traced by process %d: what it would have to do itself in a "
		    "copy-on-write directory (chdir, execve, connect) fails with EPERM, and so "
		    "for all that are traced",
		    n->tid, status.tracer);
}

int inject_begin(struct inject_strays *s, struct notif *n, struct inject *out)
{
	struct call own = { .behind = n->ip, .nr = n->nr };
	int ret;

	/* there must be room for one more to be late */
	if (s->n == INJECT_STRAYS_MAX)
		return -EAGAIN;
	/* it is to be looked at again, and has to wait as it does for that */
	if (!n->answered && absent_met())
		return -EFAULT;
	*out = (struct inject){ .n = n, .strays = s };
	memcpy(own.arg, n->args, sizeof(own.arg));
	ret = hold_seize(n->tid, &own, &out->hold);
	if (ret == -EPERM)
		tell_traced(s, n);
	if (!ret && !notif_valid(n)) {
		hold_leave(&out->hold);
		if (out->hold.late)
			s->v[s->n++] = out->hold;
		ret = -ESRCH;
	}
	return ret;
}

/* Who has all the descriptors that he may have can go to another directory, and run a program. */
int inject_fd(struct inject *in, int fd)
{
	int ret = notif_give_fd(in->n, fd, true);
	struct rlimit limit, more;

	if (ret != -EMFILE || prlimit(in->n->tid, RLIMIT_NOFILE, NULL, &limit) < 0)
		return ret;
	more = limit;
	more.rlim_cur += DESCRIPTORS;
	if (more.rlim_cur > more.rlim_max || prlimit(in->n->tid, RLIMIT_NOFILE, &more, NULL) < 0)
		return ret;
	ret = notif_give_fd(in->n, fd, true);
	prlimit(in->n->tid, RLIMIT_NOFILE, &limit, NULL);
	return ret;
}

int inject_stop(struct inject *in)
{
	int ret = hold_ask(&in->hold);

	if (!in->n->answered)
		notif_answer(in->n, ANSWER);
	return ret ? ret : hold_stop(&in->hold);
}

static int64_t done(struct inject *in, int ret, int64_t result)
{
	in->again |= ret == -EINTR;
	return ret ? ret : result;
}

int64_t inject_call_args(struct inject *in, long nr, const uint64_t *args)
{
	struct call c = { .behind = in->hold.own.behind, .nr = nr };
	int64_t result = 0;
	int ret;

	memcpy(c.arg, args, sizeof(c.arg));
	ret = hold_call(&in->hold, &c, PATIENCE_WAITING, &result);
	return done(in, ret, result);
}

int64_t inject_exec(struct inject *in, long nr, const uint64_t *args)
{
	struct call c = { .behind = in->hold.own.behind, .nr = nr };
	struct notif_status status = { .pid = in->hold.tid };
	int64_t result = 0;
	int ret;

	memcpy(c.arg, args, sizeof(c.arg));
	ret = notif_status(in->n, &status);
	if (!ret)
		ret = hold_exec(&in->hold, &c, status.pid, &result);
	return done(in, ret, result);
}

void inject_end(struct inject *in, int64_t result)
{
	struct hold *h = &in->hold;

	if (!h->stopped && !h->late && !h->gone)
		inject_stop(in);
	if (in->again)
		hold_again(h);
	else
		hold_end(h, result);
	if (h->late)
		in->strays->v[in->strays->n++] = *h;
	in->n->answered = true;
}

/* ---- room */

#define RED_ZONE 128 /* below the stack pointer, and a program's own: x86-64's ABI */

/* Its parent's memory is its own, too. */
static bool shares_memory(const struct notif *n)
{
	struct notif_status status;

	return notif_status(n, &status) == 0 &&
	       syscall(SYS_kcmp, n->tid, status.parent, KCMP_VM, 0, 0) == 0;
}

static int map_room(struct inject *in, size_t len, struct inject_room *out)
{
	int64_t at = inject_call(in, SYS_mmap, 0, len, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);

	if (at < 0 && at > -(int64_t)PAGE)
		return (int)at;
	*out = (struct inject_room){ .at = (uint64_t)at, .len = len, .mapped = true };
	return 0;
}

static bool is_there(const struct notif *n, uint64_t from, uint64_t to)
{
	char byte;

	for (uint64_t at = from; at < to; at = (at | (PAGE - 1)) + 1)
		if (notif_read(n, at, &byte, 1) || notif_write(n, at, &byte, 1))
			return false;
	return true;
}

/* Where the kernel would put a signal's frame: on the alternate stack, if there is one. */
static int stack_room(struct inject *in, size_t len, struct inject_room *out)
{
	uint64_t sp = regs_sp(&in->hold.regs) - RED_ZONE, at;
	stack_t kept, alternate;
	int64_t ret;

	at = (sp - sizeof(alternate)) & ~(uint64_t)15;
	if (notif_read(in->n, at, &kept, sizeof(kept)))
		return -EFAULT;
	ret = inject_call(in, SYS_sigaltstack, 0, at);
	if (ret || notif_read(in->n, at, &alternate, sizeof(alternate)) ||
	    notif_write(in->n, at, &kept, sizeof(kept)))
		return ret ? (int)ret : -EFAULT;
	if (!(alternate.ss_flags & (SS_DISABLE | SS_ONSTACK)) && alternate.ss_size >= len)
		sp = (uint64_t)(uintptr_t)alternate.ss_sp + alternate.ss_size;
	at = (sp - len) & ~(uint64_t)15;
	if (!is_there(in->n, at, sp))
		return -EFAULT;
	*out = (struct inject_room){ .at = at, .len = len };
	return 0;
}

int inject_room(struct inject *in, size_t len, struct inject_room *out)
{
	if (shares_memory(in->n) && stack_room(in, len, out) == 0)
		return 0;
	return map_room(in, len, out);
}

void inject_room_end(struct inject *in, const struct inject_room *room)
{
	if (room->mapped)
		inject_call(in, SYS_munmap, room->at, room->len);
}
