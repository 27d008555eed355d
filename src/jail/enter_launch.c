/* SPDX-License-Identifier: Apache-2.0 */
/* The last steps of a new process: its executable, the wait for start, the filter, execve(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "jail/enter.h"
#include "jail/hooks.h"
#include "jail/plan.h"
#include "super/super.h"

extern char **environ;

#define SENDER_STACK (64 * 1024)
#define MESSAGE_MAX 65536

static const char *env_of(const struct enter *e, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = e->n_env; i > 0; i--) /* of duplicates the last counts */
		if (strncmp(e->env[i - 1], name, n) == 0 && e->env[i - 1][n] == '=')
			return e->env[i - 1] + n + 1;
	return NULL;
}

/* 0 if this user may execute the file, else -errno. */
static int may_execute(const struct enter *e, const char *path)
{
	bool layers = enter_has_layers(e);
	auto_fd fd = layers ? enter_open_in_layers(e, path) : -1;
	struct stat st;
	int ret;

	if (layers && fd < 0)
		return fd;
	if ((layers ? fstat(fd, &st) : stat(path, &st)) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	ret = layers ? faccessat(fd, "", X_OK, AT_EACCESS | AT_EMPTY_PATH)
		     : faccessat(AT_FDCWD, path, X_OK, AT_EACCESS);
	return ret < 0 ? -errno : 0;
}

/* The words are those that podman, docker and containerd match. */
static int refuse(const char *name, int code)
{
	switch (code) {
	case ENOENT:
	case ENOTDIR:
		return fail(ENOENT, "exec: \"%s\": stat %s: no such file or directory", name, name);
	case EISDIR:
		return fail(EACCES, "exec: \"%s\": is a directory: permission denied", name);
	default:
		return fail(code, "exec: \"%s\": %s", name, err_reason(code));
	}
}

int enter_find_executable(struct enter *e)
{
	const char *name, *path = env_of(e, "PATH");
	int ret, worst = 0;
	size_t n;

	if (!e->sb->process.args)
		return 0;
	name = e->sb->process.args[0];
	if (strchr(name, '/')) {
		if ((size_t)snprintf(e->executable, sizeof(e->executable), "%s", name) >=
		    sizeof(e->executable))
			return refuse(name, ENAMETOOLONG);
		ret = may_execute(e, name);
		return ret ? refuse(name, -ret) : 0;
	}
	for (; *name && path && *path; path += n + (path[n] == ':')) {
		n = strcspn(path, ":");
		if ((size_t)snprintf(e->executable, sizeof(e->executable), "%.*s/%s",
				     n ? (int)n : 1, n ? path : ".", name) >= sizeof(e->executable))
			continue;
		ret = may_execute(e, e->executable);
		if (ret == 0)
			return 0;
		if (ret == -EACCES)
			worst = EACCES;
	}
	if (worst)
		return refuse(name, worst);
	return fail(ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

/*
 * Everything of the runtime's that init still holds is let go while it waits, a lock on the state
 * among it. What the caller passed is told by not being close-on-exec.
 */
static void drop_descriptors(const struct enter *e)
{
	const int keep[] = { e->channel, e->io->start, e->listener, e->supervisor };
	const size_t n = sizeof(keep) / sizeof(keep[0]);
	int passed = 3 + e->io->preserve_fds, last = passed;

	for (size_t i = 0; i < n; i++)
		last = keep[i] >= last ? keep[i] + 1 : last;
	for (int fd = 3; fd < last; fd++) {
		bool kept = false;

		for (size_t i = 0; i < n; i++)
			kept = kept || fd == keep[i];
		if (kept)
			continue;
		if (fd >= passed || fcntl(fd, F_GETFD) == FD_CLOEXEC)
			close(fd);
	}
	sys_close_range((unsigned)last, ~0u, 0);
}

/*
 * The start socket tells `created` from `running`; the connection stays open over the rest, so that
 * the one who starts reads what goes wrong, or the end of file that a successful execve makes.
 */
int enter_wait_start(struct enter *e)
{
	int fd;

	if (e->io->start < 0)
		return 0;
	drop_descriptors(e);
	do
		fd = accept4(e->io->start, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return fail_errno("wait for start");
	fd_close(e->channel);
	e->channel = fd;
	return e->sb->process.args
		       ? 0
		       : fail(EINVAL, "config.json has no process: there is nothing to start");
}

/* A hook without an environment has the container's: the runtime's is not the container's to
 * see. */
int enter_start_hooks(struct enter *e)
{
	environ = e->env;
	return enter_run_hooks(e, HOOK_START_CONTAINER, getpid(), -1);
}

/*
 * Whoever installs a filter that notifies can't be sure of a single further system call: nobody
 * answers yet. So a thread that the filter doesn't bind sends the descriptor, and the installing
 * one only looks at memory until that is done. The thread ends by itself.
 */
struct sender {
	int sock;
	bool answered;        /* by a struct super_reply, which is waited for */
	_Atomic int listener; /* -1 until it is there */
	_Atomic int result;   /* 1 until it is sent: 0 or -errno */
	char message[MESSAGE_MAX];
	size_t len;
};

static int exchange(struct sender *s, int fd)
{
	struct super_reply reply;
	int ret = fd_send(s->sock, s->message, s->len, &fd, 1);
	ssize_t n;

	if (ret || !s->answered)
		return ret;
	n = fd_recv(s->sock, &reply, sizeof(reply), NULL, NULL);
	if (n != sizeof(reply))
		return n < 0 ? (int)n : -EPIPE;
	return -reply.error;
}

static int send_listener(void *arg)
{
	struct sender *s = arg;
	int fd;

	while ((fd = atomic_load(&s->listener)) == -1)
		sched_yield();
	if (fd >= 0)
		atomic_store(&s->result, exchange(s, fd));
	syscall(SYS_exit, 0); /* the thread alone */
	return 0;
}

static int start_sender(struct sender *s)
{
	const int flags =
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	char *stack;

	atomic_store(&s->listener, -1);
	atomic_store(&s->result, 1);
	stack = mmap(NULL, SENDER_STACK, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED || clone(send_listener, stack + SENDER_STACK, flags, s) < 0)
		return fail_errno("start a thread for the seccomp listener");
	return 0;
}

static int install_and_send(const struct filter *filter, uint32_t flags, struct sender *s,
			    const char *what)
{
	int ret = start_sender(s), listener;

	if (ret)
		return ret;
	/* there is one thread to bind: TSYNC would bind the sender as well */
	ret = filter_install(filter, flags & ~(uint32_t)SECCOMP_FILTER_FLAG_TSYNC, &listener);
	atomic_store(&s->listener, ret ? -2 : listener);
	while (!ret && atomic_load(&s->result) == 1)
		;
	if (!ret && s->result)
		ret = fail(-s->result, "%s: %s", what, err_reason(-s->result));
	return ret;
}

const struct filter *enter_guard(const struct enter *e)
{
	uint32_t notified = e->found ? e->found->notified : e->sb->layers.notified;

	return e->guards[notified != 0];
}

static int install_filter(struct enter *e)
{
	struct filter filter = { .code = e->filter->code,
				 .len = e->filter->len,
				 .notifies = e->notifies };
	static struct sender s;
	uint32_t flags = e->sb->seccomp_flags;
	int listener, n;

	/* the sender of the guard's listener may not have ended quite yet */
	if (enter_guard(e))
		flags &= ~(uint32_t)SECCOMP_FILTER_FLAG_TSYNC;
	if (!e->notifies)
		return filter_install(&filter, flags, &listener);
	s.sock = e->listener;
	n = snprintf(s.message, sizeof(s.message), "%s%d%s", e->io->listener_head, e->pid,
		     e->io->listener_tail);
	if (n >= (int)sizeof(s.message))
		return fail(E2BIG, "the message for the seccomp listener is longer than %zu bytes",
			    sizeof(s.message));
	s.len = (size_t)n;
	return install_and_send(&filter, flags, &s, "send the seccomp descriptor");
}

static int install_guard(struct enter *e)
{
	const struct super_request request = { .op = SUPER_ADOPT };
	static struct sender s;

	s.sock = e->supervisor;
	s.answered = true;
	memcpy(s.message, &request, sizeof(request));
	s.len = sizeof(request);
	return install_and_send(enter_guard(e), 0, &s,
				"give the supervisor of the container its listener");
}

/* To whoever may trace it now it has nothing of the host's to give away: no descriptor, and a
 * program file that can't be changed (sandbox_seal_self). */
static int become_traceable(const struct enter *e)
{
	if (!e->followed || !enter_guard(e))
		return 0;
	drop_descriptors(e);
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? fail_errno("become dumpable") : 0;
}

int enter_execute(struct enter *e)
{
	const char *name = e->sb->process.args[0];
	int ret = fd_cloexec_from(3 + (unsigned)e->io->preserve_fds);

	if (ret)
		return fail(-ret, "mark descriptors close-on-exec: %s", err_reason(-ret));
	ret = become_traceable(e);
	if (!ret && enter_guard(e))
		ret = install_guard(e);
	if (!ret && e->filter)
		ret = install_filter(e);
	if (!ret && (e->filter || enter_guard(e)) && !e->sb->process.cred.no_new_privs)
		ret = cred_finish(&e->sb->process.cred);
	if (ret)
		return ret;
	execve(e->executable, e->sb->process.args, e->env);
	if (errno == ENOENT)
		return fail(ENOENT, "exec: \"%s\": its interpreter: no such file or directory",
			    name);
	return refuse(name, errno);
}
