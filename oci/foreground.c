/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/foreground.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "oci/console.h"
#include "oci/notify.h"

enum { POLL_SIGNAL, POLL_INIT, POLL_NOTIFY, POLL_CONSOLE, POLL_COUNT = POLL_CONSOLE + 3 };

int foreground_begin(struct foreground *f, bool adopt)
{
	sigset_t all;

	sigfillset(&all);
	if (adopt && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return fail_errno("become the reaper of the container's orphans");
	if (sigprocmask(SIG_BLOCK, &all, NULL) < 0)
		return fail_errno("block signals");
	f->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f->signals < 0)
		return fail_errno("signalfd");
	return 0;
}

/* Returns true when the process itself was among the dead. */
static bool reap(const struct foreground *f, int *out_status)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != f->pid)
			continue;
		*out_status = status;
		ended = true;
	}
	return ended;
}

static void pass_signal(const struct foreground *f, const struct console_proxy *proxy)
{
	struct signalfd_siginfo info;

	while (read(f->signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
		case SIGPIPE: /* ours: somebody closed our standard output */
			break;
		case SIGWINCH:
			if (proxy) {
				console_resize(proxy);
				break;
			}
			/* fall through */
		default:
			/* a process that has just ended needs no signal */
			sys_pidfd_send_signal(f->pidfd, (int)info.ssi_signo, NULL, 0);
		}
	}
}

static void relay_ready(struct foreground *f, int (*relay)(int sock, pid_t pid))
{
	int ret = relay(f->notify, getpid());

	if (ret < 0)
		log_warning("%s", err_last()->text);
	if (ret) {
		fd_close(f->notify);
		f->notify = -1;
	}
}

static int wait_loop(struct foreground *f, struct console_proxy *proxy, int *out_status)
{
	struct pollfd p[POLL_COUNT];
	nfds_t n = proxy ? POLL_COUNT : POLL_CONSOLE;

	while (!reap(f, out_status)) {
		p[POLL_SIGNAL] = (struct pollfd){ .fd = f->signals, .events = POLLIN };
		p[POLL_INIT] = (struct pollfd){ .fd = f->pidfd, .events = POLLIN };
		p[POLL_NOTIFY] = (struct pollfd){ .fd = f->notify, .events = POLLIN };
		if (proxy)
			console_poll(proxy, p + POLL_CONSOLE);
		if (poll(p, n, -1) < 0 && errno != EINTR)
			return fail_errno("wait for the container");
		if (p[POLL_SIGNAL].revents)
			pass_signal(f, proxy);
		if (p[POLL_NOTIFY].revents)
			relay_ready(f, notify_relay);
		if (proxy)
			console_move(proxy, p + POLL_CONSOLE);
	}
	/* a short life may be over before the first look at what it said */
	if (f->notify >= 0)
		relay_ready(f, notify_rest);
	return 0;
}

int foreground_wait(struct foreground *f)
{
	struct console_proxy proxy;
	int status = 0, master, ret;

	if (f->console < 0) {
		ret = wait_loop(f, NULL, &status);
	} else {
		master = console_receive(f->console);
		if (master < 0)
			return master;
		ret = console_begin(&proxy, master);
		if (!ret)
			ret = wait_loop(f, &proxy, &status);
		console_end(&proxy);
	}
	fd_close(f->signals);
	f->signals = -1;
	if (ret)
		return ret;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
