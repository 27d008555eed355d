/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/sys.h"

#define OUTPUT_MAX 1024

extern char **environ;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* In the child: never returns. The exec error goes back over report. */
static void child(const struct spawn *s, int in, int out, int report)
{
	char *const self[] = { (char *)s->path, NULL };
	sigset_t none;
	int code;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (s->cwd >= 0 && fchdir(s->cwd) < 0)
		goto failed;
	if (dup2(in, STDIN_FILENO) < 0 || dup2(s->out >= 0 ? s->out : out, STDOUT_FILENO) < 0 ||
	    dup2(s->err >= 0 ? s->err : out, STDERR_FILENO) < 0)
		goto failed;
	fd_cloexec_from(3);
	execve(s->path, s->args ? s->args : self, s->env ? s->env : environ);
failed:
	code = errno;
	(void)!write(report, &code, sizeof(code));
	_exit(127);
}

/* The helper's end of things. */
struct talk {
	int pidfd, in, out;
	char *text; /* what it wrote */
	size_t size;
};

/*
 * Feeds the input and drains the output until the child has closed it or time is up.
 * A child of the child may hold the output open: the child's own end is what counts.
 */
static int converse(const struct spawn *s, const struct talk *t)
{
	int64_t deadline = s->timeout > 0 ? now_ms() + (int64_t)s->timeout * 1000 : 0;
	struct pollfd p[3] = {
		{ .fd = t->pidfd, .events = POLLIN },
		{ .fd = t->out, .events = POLLIN },
		{ .fd = t->in, .events = POLLOUT },
	};
	size_t sent = 0, kept = 0;
	char buf[512];
	int64_t left;
	ssize_t n;

	for (;;) {
		left = deadline ? deadline - now_ms() : -1;
		if (deadline && left <= 0)
			return -ETIMEDOUT;
		if (poll(p, 3, (int)left) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[2].revents) {
			n = sent < s->input_len ? write(t->in, s->input + sent, s->input_len - sent)
						: 0;
			if (n > 0)
				sent += (size_t)n;
			if (sent == s->input_len || (n < 0 && errno != EAGAIN && errno != EINTR)) {
				close(t->in); /* a helper need not read it */
				p[2].fd = -1;
			}
		}
		if (p[1].revents) {
			n = read(t->out, buf, sizeof(buf));
			if (n > 0) {
				if ((size_t)n > t->size - kept - 1)
					n = (ssize_t)(t->size - kept - 1);
				memcpy(t->text + kept, buf, (size_t)n);
				kept += (size_t)n;
				t->text[kept] = '\0';
				continue;
			}
			if (n == 0 || (errno != EAGAIN && errno != EINTR))
				p[1].fd = -1;
		}
		if (p[0].revents && !(p[1].revents & POLLIN))
			break;
	}
	if (p[2].fd >= 0)
		close(t->in);
	return 0;
}

static int outcome(const struct spawn *s, int status, const char *text)
{
	int n = (int)strcspn(text, "\n");

	if (WIFSIGNALED(status))
		return fail(ECANCELED, "%s was killed by signal %d%s%.*s", s->path,
			    WTERMSIG(status), n ? ": " : "", n, text);
	if (WEXITSTATUS(status))
		return fail(ECANCELED, "%s ended with status %d%s%.*s", s->path,
			    WEXITSTATUS(status), n ? ": " : "", n, text);
	return 0;
}

int spawn_run(const struct spawn *s)
{
	char own[OUTPUT_MAX];
	char *text = s->output ? s->output : own;
	size_t size = s->output ? s->output_size : sizeof(own);
	int in[2], out[2], report[2];
	auto_fd pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	int code = 0, status = 0, ret;
	void (*old)(int);
	long pid;

	text[0] = '\0';
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
		return fail_errno("run %s: pipe", s->path);
	old = signal(SIGPIPE, SIG_IGN);
	pid = sys_clone3(&args);
	if (pid == 0)
		child(s, in[0], out[1], report[1]);
	close(in[0]);
	close(out[1]);
	close(report[1]);
	if (pid < 0) {
		ret = fail_errno("run %s: clone", s->path);
		close(in[1]);
		goto out;
	}
	if (read(report[0], &code, sizeof(code)) == sizeof(code)) {
		ret = fail(code, "run %s: %s", s->path, err_reason(code));
		close(in[1]);
	} else {
		fcntl(in[1], F_SETFL, O_NONBLOCK);
		fcntl(out[0], F_SETFL, O_NONBLOCK);
		ret = converse(s, &(struct talk){ pidfd, in[1], out[0], text, size });
		if (ret == -ETIMEDOUT)
			ret = fail(ETIMEDOUT, "%s did not end within %d s and was killed", s->path,
				   s->timeout);
		else if (ret)
			ret = fail(-ret, "run %s: %s", s->path, err_reason(-ret));
		if (ret)
			kill((pid_t)pid, SIGKILL);
	}
	while (waitpid((pid_t)pid, &status, __WALL) < 0 && errno == EINTR)
		;
	if (!ret)
		ret = outcome(s, status, text);
out:
	signal(SIGPIPE, old);
	close(out[0]);
	close(report[0]);
	return ret;
}
