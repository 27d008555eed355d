/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller's side of a runtime, for the tests: sockets that receive descriptors, a subreaper, a
 * process that is killed at a chosen system call, a rename race.
 *
 *	host console SOCKET INPUT COMMAND...
 *		accept after the command has ended (as containerd does), write INPUT to the
 *		terminal, print what comes back
 *	host receive SOCKET COMMAND...
 *		print each message and what its descriptors are
 *	host deny SOCKET ERRNO COMMAND...
 *		as receive; answer a seccomp listener with that error
 *	host notify SOCKET COMMAND...
 *		NOTIFY_SOCKET for the command; print the datagrams
 *	host subreap SCRIPT...
 *		run shell scripts one after the other; nothing that they orphan is reaped before the
 *		last has ended
 *	host killat N COMMAND...
 *		SIGKILL the command as it enters its Nth system call
 *	host doat N SCRIPT COMMAND...
 *		run a shell script, with its number as $PID, while the command is held at its entry
 *		into the Nth system call
 *	host killchild N COMMAND...
 *		the same with its first child
 *	host late child|parent MS COMMAND...
 *		hold that one of the two back from the moment the first child is there
 *	host swap PATH1 PATH2
 *		exchange two names until killed
 *	host mangle FD PATH COMMAND...
 *		run with PATH open as descriptor FD
 *	host forbid COMMAND...
 *		run where nobody may take descriptors and memory of another process by the calls
 *		made for that (EPERM), as under an engine's filter
 *
 * The exit status is the command's where there is one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_FDS 8
#define PATIENCE_MS 60000

static void die(const char *what)
{
	perror(what);
	exit(98);
}

static int listen_on(const char *path, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path)) {
		/* Longer than an address: bind in the directory. */
		char *dir = strdup(path), *slash = strrchr(dir, '/');

		*slash = '\0';
		if (chdir(dir))
			die(dir);
		strcpy(addr.sun_path, slash + 1);
	} else {
		strcpy(addr.sun_path, path);
	}
	if (sock < 0 || bind(sock, (struct sockaddr *)&addr, sizeof(addr)) ||
	    (type == SOCK_STREAM && listen(sock, 8)))
		die(path);
	return sock;
}

static pid_t start(char **argv)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		execvp(argv[0], argv);
		die(argv[0]);
	}
	return pid;
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int end_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) != pid)
		if (errno != EINTR)
			die("waitpid");
	return exit_status(status);
}

/* Receives one message, its text and its descriptors; returns the length. */
static ssize_t receive(int conn, char *text, size_t size, int *fds, int *n_fds, int *n_controls)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { text, size - 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t len = recvmsg(conn, &msg, MSG_CMSG_CLOEXEC);

	*n_fds = *n_controls = 0;
	if (len < 0)
		die("recvmsg");
	text[len] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		++*n_controls;
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*n_fds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), (size_t)*n_fds * sizeof(int));
	}
	return len;
}

static void copy_out(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[4096];
	ssize_t n;

	while (poll(&p, 1, timeout) > 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	fflush(stdout);
}

static int console(char **args)
{
	int sock = listen_on(args[0], SOCK_STREAM), fds[MAX_FDS], n_fds, n_controls, conn, status;
	struct pollfd p = { .fd = sock, .events = POLLIN };
	char text[4096];
	ssize_t len;

	status = end_of(start(args + 2));
	if (poll(&p, 1, 0) <= 0) {
		printf("no connection\n");
		return status;
	}
	conn = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
	len = receive(conn, text, sizeof(text), fds, &n_fds, &n_controls);
	printf("payload=%s fds=%d controls=%d master=%d more=%d second=%d\n",
	       len >= 1 ? "yes" : "no", n_fds, n_controls,
	       n_fds == 1 && ioctl(fds[0], TIOCGPTN, &(int){ 0 }) == 0,
	       (int)(recv(conn, text, 1, MSG_DONTWAIT) > 0), poll(&p, 1, 0));
	fflush(stdout);
	close(conn);
	if (n_fds != 1)
		return status;
	if (write(fds[0], args[1], strlen(args[1])) < 0)
		die("write to the terminal");
	copy_out(fds[0], PATIENCE_MS);
	return status;
}

static void describe(int fd)
{
	char path[64], target[256], line[256];
	ssize_t n;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	printf("fd: %.*s\n", n < 0 ? 0 : (int)n, target);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info))
		if (!strncmp(line, "Pid:", 4))
			printf("pid: %d\n", atoi(line + 4));
	if (info)
		fclose(info);
}

static void answer(int listener, int error)
{
	struct seccomp_notif req = { 0 };
	struct seccomp_notif_resp resp = { 0 };

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req))
		return;
	printf("notified: %d\n", req.data.nr);
	resp.id = req.id;
	resp.error = -error;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}

static int serve(const char *path, int error, char **command)
{
	int sock = listen_on(path, SOCK_STREAM), listener = -1, fds[MAX_FDS], n_fds, n_controls;
	static char text[65536];
	pid_t pid = start(command);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	for (;;) {
		struct pollfd p[3] = { { sock, POLLIN, 0 },
				       { listener, POLLIN, 0 },
				       { pidfd, POLLIN, 0 } };

		if (poll(p, 3, PATIENCE_MS) <= 0)
			break;
		if (p[0].revents & POLLIN) {
			int conn = accept4(sock, NULL, NULL, SOCK_CLOEXEC);

			receive(conn, text, sizeof(text), fds, &n_fds, &n_controls);
			printf("message: %s\n", text);
			for (int i = 0; i < n_fds; i++)
				describe(fds[i]);
			if (error && n_fds)
				listener = fds[0];
			close(conn);
		} else if (p[1].revents & POLLIN) {
			answer(listener, error);
		} else if (p[1].revents) {
			listener = -1;
		} else if (p[2].revents) {
			break;
		}
		fflush(stdout);
	}
	return end_of(pid);
}

static int receive_only(char **args)
{
	return serve(args[0], 0, args + 1);
}

static int deny(char **args)
{
	return serve(args[0], atoi(args[1]), args + 2);
}

static int notify(char **args)
{
	int sock = listen_on(args[0], SOCK_DGRAM), fds[MAX_FDS], n_fds, n_controls;
	struct pollfd p[2] = { { .fd = sock, .events = POLLIN }, { .events = POLLIN } };
	char text[4096];
	pid_t pid;

	setenv("NOTIFY_SOCKET", args[0], 1);
	pid = start(args + 1);
	p[1].fd = (int)syscall(SYS_pidfd_open, pid, 0);
	while (poll(p, 2, PATIENCE_MS) > 0 && p[0].revents) {
		receive(sock, text, sizeof(text), fds, &n_fds, &n_controls);
		printf("%s\n", text);
		for (int i = 0; i < n_fds; i++)
			close(fds[i]); /* the answer to BARRIER=1: sd_notify_barrier(3) */
	}
	return end_of(pid);
}

static int subreap(char **args)
{
	int status = 0;
	char self[16];

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		die("subreaper");
	snprintf(self, sizeof(self), "%d", getpid());
	setenv("SUBREAPER", self, 1);
	for (; *args && !status; args++)
		status = end_of(start((char *[]){ "bash", "-c", *args, NULL }));
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return status;
}

/*
 * Counts the entries of pid, which is stopped, into system calls, across its execve(2), and at the
 * given one kills it, or runs the script. Ends when it is dead, or when parent (its own, or -1) has
 * ended, and returns the status of that one.
 */
static int count_calls(pid_t pid, long at, pid_t parent, const char *script)
{
	int status = 0, entering = 1, sig;
	long seen = 0;
	pid_t got;

	ptrace(PTRACE_SYSCALL, pid, 0, 0);
	while ((got = waitpid(-1, &status, __WALL)) > 0 && WIFSTOPPED(status)) {
		sig = WSTOPSIG(status);
		if (sig == (SIGTRAP | 0x80)) {
			if (entering && seen++ == at && script) {
				if (system(script) < 0)
					die(script);
				fprintf(stderr, "done at %ld\n", at);
			} else if (entering && seen == at + 1) {
				kill(pid, SIGKILL);
				fprintf(stderr, "killed at %ld\n", at);
				status = end_of(pid); /* its parent is told only after its tracer */
				return parent < 0 ? status : end_of(parent);
			}
			entering = !entering;
			sig = 0;
		} else if (status >> 16) {
			sig = 0;
		}
		ptrace(PTRACE_SYSCALL, pid, 0, sig);
	}
	fprintf(stderr, "calls: %ld\n", seen);
	return got == parent || parent < 0 ? exit_status(status) : end_of(parent);
}

static pid_t start_stopped(char **argv, long options)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		raise(SIGSTOP);
		/* a leak checker, where one is built in, is a tracer itself */
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execvp(argv[0], argv);
		die(argv[0]);
	}
	if (waitpid(pid, &status, WUNTRACED) != pid ||
	    ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | options))
		die("seize");
	kill(pid, SIGCONT);
	return pid;
}

static int killat(char **args)
{
	return count_calls(start_stopped(args + 1, 0), atol(args[0]), -1, NULL);
}

static int doat(char **args)
{
	pid_t pid = start_stopped(args + 2, 0);
	char number[16];

	snprintf(number, sizeof(number), "%d", pid);
	setenv("PID", number, 1);
	return count_calls(pid, atol(args[0]), -1, args[1]);
}

#define TRACE_CHILDREN (PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK)

/* Both it and pid are stopped. 0 where pid has ended without one, with the status. */
static pid_t first_child(pid_t pid, int *out_status)
{
	unsigned long child = 0;
	int status = 0, event;

	while (!child && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		event = status >> 16;
		if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK ||
		    event == PTRACE_EVENT_VFORK)
			ptrace(PTRACE_GETEVENTMSG, pid, 0, &child);
		else
			ptrace(PTRACE_CONT, pid, 0, event ? 0 : WSTOPSIG(status));
	}
	*out_status = status;
	if (child && waitpid((pid_t)child, &status, __WALL) != (pid_t)child)
		die("first child");
	return (pid_t)child;
}

/* The first child is followed instead; the command runs on, and its status is returned. */
static int killchild(char **args)
{
	pid_t pid = start_stopped(args + 1, TRACE_CHILDREN);
	int status;
	pid_t child = first_child(pid, &status);

	if (!child)
		return exit_status(status);
	ptrace(PTRACE_DETACH, pid, 0, 0);
	return count_calls(child, atol(args[0]), pid, NULL);
}

/* Which of the two goes on first is no longer the scheduler's choice. */
static int late(char **args)
{
	pid_t pid = start_stopped(args + 2, TRACE_CHILDREN);
	int status, child_waits = !strcmp(args[0], "child");
	pid_t child = first_child(pid, &status);

	if (!child)
		return exit_status(status);
	ptrace(PTRACE_DETACH, child_waits ? pid : child, 0, 0);
	usleep((useconds_t)atoi(args[1]) * 1000);
	ptrace(PTRACE_DETACH, child_waits ? child : pid, 0, 0);
	return end_of(pid);
}

static int swap(char **args)
{
	pid_t parent = getppid();

	while (getppid() == parent)
		if (renameat2(AT_FDCWD, args[0], AT_FDCWD, args[1], RENAME_EXCHANGE) &&
		    errno != ENOENT)
			die("exchange");
	return 0;
}

static int mangle(char **args)
{
	int fd = open(args[1], O_RDONLY);

	if (fd < 0 || dup2(fd, atoi(args[0])) < 0)
		die(args[1]);
	if (fd != atoi(args[0]))
		close(fd);
	execvp(args[2], args + 2);
	die(args[2]);
	return 0;
}

static int forbid(char **args)
{
	static const unsigned calls[] = { SYS_pidfd_getfd, SYS_process_vm_readv,
					  SYS_process_vm_writev };
	enum { N = sizeof(calls) / sizeof(calls[0]) };
	struct sock_filter f[N + 3] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr)) };
	const struct sock_fprog program = { N + 3, f };

	for (unsigned i = 0; i < N; i++)
		f[i + 1] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], N - i, 0);
	f[N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	f[N + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	     prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0))
		die("seccomp");
	execvp(args[0], args);
	die(args[0]);
	return 0;
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **args);
} commands[] = {
	{ "console", 3, console },     { "receive", 2, receive_only },
	{ "deny", 3, deny },           { "notify", 2, notify },
	{ "subreap", 1, subreap },     { "killat", 2, killat },
	{ "killchild", 2, killchild }, { "late", 3, late },
	{ "swap", 2, swap },           { "mangle", 3, mangle },
	{ "doat", 3, doat },           { "forbid", 1, forbid },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name) && argc - 2 >= commands[i].args)
			return commands[i].run(argv + 2);
	fprintf(stderr, "host: unknown: %s\n", argc > 1 ? argv[1] : "nothing");
	return 99;
}
