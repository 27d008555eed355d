/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shadows: processes that are cloned beside a stopped one and never go on from there.
 *
 * Should the tracer die before the new one is bound to die with it, it runs: from behind the call
 * that cloned it, to its end (arch/inject.h). What is left of it then is a zombie that no wait of
 * the program finds, as it was cloned without a signal.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "task/trace_priv.h"

static int clone_shadow(struct trace_thread *th, pid_t *out_pid)
{
	struct inject_call call = { .nr = SYS_clone, .arg = { CLONE_VM } };
	int ret = trace_set_options(th, trace_base_options(th->of) | PTRACE_O_TRACECLONE), back;

	if (ret)
		return ret;
	ret = trace_call_at(th, th->of->code.clone, &call);
	back = trace_set_options(th, trace_base_options(th->of));
	if (!ret && call.ret < 0)
		ret = fail((int)-call.ret, "clone process %d: %s", th->of->pid,
			   err_reason((int)-call.ret));
	*out_pid = ret ? 0 : (pid_t)call.ret;
	return ret ? ret : back;
}

static void kill_shadow(pid_t host)
{
	int status;
	pid_t got;

	kill(host, SIGKILL);
	do {
		got = waitpid(host, &status, __WALL);
	} while ((got < 0 && errno == EINTR) || (got == host && WIFSTOPPED(status)));
}

/* Its tracer has been told of its end: now its parent is. */
static int bury(struct trace_thread *th, pid_t pid)
{
	struct inject_call call = { .nr = SYS_wait4,
				    .arg = { (uint64_t)pid, 0, __WALL | WNOHANG, 0 } };
	int ret = trace_call(th, &call);

	if (!ret && call.ret != pid)
		ret = fail(call.ret < 0 ? (int)-call.ret : EPROTO,
			   "bury what was cloned from process %d", th->of->pid);
	return ret;
}

int trace_shadow(struct trace_thread *th, struct trace **out, pid_t *out_pid)
{
	static const uint64_t none[6];
	struct trace *shadow = NULL;
	uint64_t scratch;
	pid_t pid = 0;
	int ret = trace_depart(th);

	if (!ret &&
	    (!trace_allowed(th, SYS_exit_group, none) || !trace_allowed(th, SYS_wait4, none)))
		ret = trace_refuse(th, SYS_exit_group);
	/* it has the tracer's mapping, and can't make one of its own */
	if (!ret)
		ret = trace_scratch(th->of, &scratch);
	if (ret)
		return ret;
	th->born = 0;
	ret = clone_shadow(th, &pid);
	if (!ret)
		ret = trace_adopt_process(th, &shadow);
	if (!ret) {
		shadow->options.exitkill = true;
		ret = trace_set_options(shadow->threads[0], trace_base_options(shadow));
	}
	if (!ret) {
		*out = shadow;
		*out_pid = pid;
	} else if (pid) {
		struct err kept = *err_last();

		kill_shadow(shadow ? shadow->pid : th->born);
		bury(th, pid);
		err_set(&kept);
	}
	return ret;
}

int trace_shadow_end(struct trace_thread *th, struct trace *shadow, pid_t pid)
{
	kill_shadow(shadow->pid);
	peek_close(&shadow->mem);
	return bury(th, pid);
}
