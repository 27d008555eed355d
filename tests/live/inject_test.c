/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in a thread's stead: a child's chdir(2) is made to a directory that only this process has a
 * descriptor of. Each case is a process of its own, and its child another.
 */
#include "super/inject.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bpf/filter.h"
#include "bpf/guard.h"
#include "lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 200
#define NOBODY 65534

static struct {
	int dir, listener; /* where children are led to */
	pid_t child;
	struct notif_threads threads;
	struct inject_strays strays;
	bool unkillable;          /* the filter is as before 5.19 */
	int asked, unled;         /* calls; those that could not be made */
	void (*meanwhile)(pid_t); /* called while the thread is stopped */
} box;

static void on_alarm(int sig)
{
	(void)sig;
}

/* ---- the supervisor's side */

static int64_t lead(struct inject *in)
{
	int fd = inject_fd(in, box.dir), ret = fd < 0 ? fd : inject_stop(in);
	int64_t result;

	if (ret)
		return ret;
	if (box.meanwhile)
		box.meanwhile(box.child);
	result = inject_call(in, SYS_fchdir, (uint64_t)fd);
	inject_call(in, SYS_close, (uint64_t)fd);
	return result;
}

/* To a socket whose name is a descriptor's; the address is where the child has put it. */
static int64_t join(struct inject *in)
{
	return inject_stop(in) ? -EINTR
			       : inject_call(in, SYS_connect, in->n->args[0], in->n->args[1],
					     GUARD_PASSING(in->n->args[2]));
}

static int64_t run(struct inject *in)
{
	return inject_stop(in)
		       ? -EINTR
		       : inject_exec(in, SYS_execveat,
				     (const uint64_t[6]){ (uint64_t)AT_FDCWD, in->n->args[0],
							  in->n->args[1], in->n->args[2],
							  GUARD_PASSING(0) });
}

static void answer(void)
{
	struct inject in;
	struct notif n;
	int64_t result;
	int ret;

	if (notif_receive(box.listener, &box.threads, &n))
		return;
	box.asked++;
	ret = inject_begin(&box.strays, &n, &in);
	if (ret) {
		box.unled++;
		notif_answer(&n, ret);
		return;
	}
	result = n.nr == SYS_chdir ? lead(&in) : n.nr == SYS_connect ? join(&in) : run(&in);
	inject_end(&in, result);
}

static int install(struct arena *a, struct filter *f)
{
	static const struct guard_call calls[] = { GUARD_ALL("chdir"), GUARD_UNMADE("connect", 2),
						   GUARD_ALL("execve"),
						   GUARD_UNMADE("execveat", 4) };
	struct sock_fprog program;
	int listener = -1;

	if (guard_build(a, calls, 4, f))
		return -1;
	program = (struct sock_fprog){ .len = f->len, .filter = f->code };
	if (box.unkillable)
		return (int)sys_seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
					&program);
	return filter_install(f, 0, &listener) ? -1 : listener;
}

static void in_child(int report, int go, void (*run_child)(void))
{
	auto_arena a = arena_new();
	struct filter f;
	int listener;
	char byte;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	listener = install(a, &f);
	if (write(report, &listener, sizeof(listener)) != sizeof(listener) ||
	    read(go, &byte, 1) != 1)
		_exit(2);
	close(listener);
	run_child();
	fflush(stdout);
	_exit(0);
}

static void begin(void (*run_child)(void))
{
	struct sigaction alarm = { .sa_handler = on_alarm };
	char name[] = "/tmp/thole-inject-XXXXXX";
	int report[2], go[2], number = -1, pidfd;

	sigaction(SIGALRM, &alarm, NULL);
	notif_threads_init(&box.threads);
	ok(mkdtemp(name) && pipe(report) == 0 && pipe(go) == 0, "a directory");
	/* O_PATH descriptors are none that ADDFD takes */
	box.dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(openat(box.dir, "here", O_CREAT | O_WRONLY, 0600));
	fflush(stdout);
	box.child = fork();
	if (box.child == 0) {
		close(box.dir);
		in_child(report[1], go[0], run_child);
	}
	if (read(report[0], &number, sizeof(number)) != sizeof(number) || number < 0)
		tap_skip("no filter can be installed here");
	pidfd = (int)sys_pidfd_open(box.child, 0);
	box.listener = (int)sys_pidfd_getfd(pidfd, number, 0);
	close(pidfd);
	if (write(go[1], "", 1) != 1)
		exit(1);
}

static void serve(void)
{
	struct pollfd p = { .fd = box.listener, .events = POLLIN };

	while (poll(&p, 1, -1) < 0 ? errno == EINTR : p.revents & POLLIN)
		answer();
}

static void finish(int want)
{
	char path[64], dir[64] = "";
	int status = -1;

	serve();
	waitpid(box.child, &status, 0);
	is_int(status, want, "the child's end");
	is_int((long long)inject_tend(&box.strays), 0, "nobody is left behind");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", box.dir);
	unlinkat(box.dir, "here", 0);
	unlinkat(box.dir, "socket", 0);
	if (readlink(path, dir, sizeof(dir) - 1) > 0)
		rmdir(dir);
}

static void led(void (*run_child)(void))
{
	begin(run_child);
	finish(0);
}

/* ---- the children */

static int fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void changes(void)
{
	int before = fds();

	must(access("here", F_OK) < 0);
	must(chdir("/nowhere") == 0);
	must(access("here", F_OK) == 0);
	must(fds() == before);
}

static void leads_there(void)
{
	led(changes);
	is_int(box.asked, 1, "one call");
}

static void before_5_19(void)
{
	box.unkillable = true;
	led(changes);
}

static bool be_nobody(void)
{
	return setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
	       setresuid(NOBODY, NOBODY, NOBODY) == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

static void as_an_ordinary_user(void)
{
	if (!be_nobody())
		tap_skip("it takes root to be somebody else");
	led(changes);
}

static void forks(void)
{
	int status;
	pid_t pid;

	must(chdir("/") == 0);
	pid = fork();
	if (pid == 0) {
		must(access("here", F_OK) == 0);
		must(fchdir(open("/", O_RDONLY)) == 0 && access("here", F_OK) < 0);
		must(chdir("/") == 0 && access("here", F_OK) == 0);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid && status == 0);
}

static void children_too(void)
{
	led(forks);
	is_int(box.asked, 2, "two calls");
}

static atomic_bool stop_now;

static void *spin(void *arg)
{
	unsigned long *n = arg;

	while (!stop_now)
		++*n;
	return NULL;
}

static void *change_often(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		must(chdir("/nowhere") == 0 && access("here", F_OK) == 0);
	return arg;
}

static void has_threads(void)
{
	unsigned long n = 0;
	pthread_t busy, others[4];
	int before = fds();

	must(pthread_create(&busy, NULL, spin, &n) == 0);
	for (int i = 0; i < 4; i++)
		must(pthread_create(&others[i], NULL, change_often, NULL) == 0);
	for (int i = 0; i < 4; i++)
		must(pthread_join(others[i], NULL) == 0);
	stop_now = true;
	must(pthread_join(busy, NULL) == 0 && n > 0);
	must(fds() == before);
}

static void many_threads(void)
{
	led(has_threads);
	is_int(box.asked, 4 * ROUNDS, "none was asked about twice");
}

static void many_threads_before_5_19(void)
{
	box.unkillable = true;
	led(has_threads);
}

static volatile sig_atomic_t alarms;

static void count(int sig)
{
	(void)sig;
	alarms++;
}

static void has_signals(void)
{
	const struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = count, .sa_flags = SA_RESTART };
	sigset_t before, after;
	int seen;

	sigaction(SIGALRM, &action, NULL);
	sigprocmask(SIG_SETMASK, NULL, &before);
	setitimer(ITIMER_REAL, &often, NULL);
	change_often(NULL);
	setitimer(ITIMER_REAL, &never, NULL);
	sigprocmask(SIG_SETMASK, NULL, &after);
	must(alarms > 0 && memcmp(&before, &after, 8) == 0);
	seen = alarms;
	raise(SIGALRM);
	must(alarms == seen + 1);
}

static void under_signals(void)
{
	led(has_signals);
}

static void under_signals_before_5_19(void)
{
	box.unkillable = true;
	led(has_signals);
}

/* A signal that came while it was stopped has its handler run after the call, whose result
 * stays. */
static void send_one(pid_t pid)
{
	kill(pid, SIGALRM);
}

static void has_one(void)
{
	struct sigaction action = { .sa_handler = count };

	sigaction(SIGALRM, &action, NULL);
	must(chdir("/nowhere") == 0 && alarms == 1);
	must(access("here", F_OK) == 0);
}

static void a_signal_waits(void)
{
	box.meanwhile = send_one;
	led(has_one);
}

static void send_stop(pid_t pid)
{
	kill(pid, SIGSTOP);
}

static void job_control_holds_it_too(void)
{
	int status;

	begin(changes);
	box.meanwhile = send_stop;
	answer();
	is_int(waitpid(box.child, &status, WUNTRACED), box.child, "it is stopped");
	ok(WIFSTOPPED(status), "by the signal");
	kill(box.child, SIGCONT);
	finish(0);
}

static void send_kill(pid_t pid)
{
	kill(pid, SIGKILL);
}

static void killed_while_stopped(void)
{
	box.meanwhile = send_kill;
	begin(changes);
	finish(SIGKILL);
}

static void refused(void)
{
	must(chdir("/nowhere") < 0 && errno == EPERM);
}

static void traced_already(void)
{
	int ready[2];
	pid_t other;
	char byte;

	begin(refused);
	ok(pipe(ready) == 0, "a pipe");
	other = fork();
	if (other == 0) {
		if (ptrace(PTRACE_SEIZE, box.child, NULL, NULL) == 0 && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	is_int(read(ready[0], &byte, 1), 1, "somebody else traces it");
	answer();
	is_int(box.unled, 1, "it can't be led");
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	finish(0);
}

static int to_socket(bool wait)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "socket" };
	int fd = socket(AF_UNIX, SOCK_STREAM | (wait ? 0 : SOCK_NONBLOCK), 0);

	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : fd;
}

/* A server that never accepts: one waits in the queue, the next has to wait for room. */
static void has_to_wait(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "socket" };
	struct sigaction action = { .sa_handler = count };
	/* the first may come before it waits */
	const struct itimerval often = { { 0, 100000 }, { 0, 100000 } },
			       never = { { 0, 0 }, { 0, 0 } };
	int server = socket(AF_UNIX, SOCK_STREAM, 0), status;
	pid_t pid;

	must(chdir("/nowhere") == 0);
	must(bind(server, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(server, 0) == 0);
	must(to_socket(true) >= 0);
	must(to_socket(false) == -EAGAIN);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	must(to_socket(true) == -EINTR && alarms > 0);
	setitimer(ITIMER_REAL, &never, NULL);
	pid = fork();
	if (pid == 0)
		_exit(to_socket(true) < 0);
	must(accept(server, NULL, NULL) >= 0);
	must(waitpid(pid, &status, 0) == pid && status == 0);
}

static void nobody_is_waited_for(void)
{
	led(has_to_wait);
	ok(box.asked >= 5, "each call was asked about: %d", box.asked);
}

static void execute(const char *path)
{
	char *argv[] = { (char *)path, "-c", "test $0 = sh && test $X = 1", "sh", NULL };
	char *envp[] = { "X=1", NULL };

	execve(path, argv, envp);
	must(errno == ENOENT);
}

static void runs_programs(void)
{
	execute("/no/such/file");
	execute("/bin/sh");
}

static void another_program(void)
{
	led(runs_programs);
	is_int(box.asked, 2, "two calls");
}

static void *execute_there(void *arg)
{
	execute("/bin/sh");
	return arg;
}

static void runs_in_a_thread(void)
{
	unsigned long n = 0;
	pthread_t busy, other;

	must(pthread_create(&busy, NULL, spin, &n) == 0);
	must(pthread_create(&other, NULL, execute_there, NULL) == 0);
	for (;;)
		pause();
}

static void another_program_of_a_thread(void)
{
	led(runs_in_a_thread);
}

static void blocks_and_runs(void)
{
	char *argv[] = { "sh", "-c",
			 "test $(grep SigBlk /proc/self/status | cut -f2) = "
			 "0000000000000200",
			 NULL };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_SETMASK, &set, NULL);
	execve("/bin/sh", argv, NULL);
}

static void the_mask_stays(void)
{
	led(blocks_and_runs);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(leads_there),
		TAP(before_5_19),
		TAP(as_an_ordinary_user),
		TAP(children_too),
		TAP(many_threads),
		TAP(many_threads_before_5_19),
		TAP(under_signals),
		TAP(under_signals_before_5_19),
		TAP(a_signal_waits),
		TAP(job_control_holds_it_too),
		TAP(killed_while_stopped),
		TAP(traced_already),
		TAP(nobody_is_waited_for),
		TAP(another_program),
		TAP(another_program_of_a_thread),
		TAP(the_mask_stays),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
