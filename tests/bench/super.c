/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a supervised call costs, beside the barest that a notification can cost: receive, send, the
 * same flags, nothing else; and what it takes to walk to a file of a copy-on-write directory. A
 * sample is a process under its filter and one that answers; the contenders take turns.
 *
 * Ends with 1 where a goal is missed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bench/median.h"
#include "bpf/filter.h"
#include "super/loop.h"
#include "super/notif.h"

#define SAMPLES 15
#define CALLS 200
#define ROUNDS 40 /* of so many calls: the best counts, what else runs here disturbs the others */
#define MOST 1.3  /* of the barest round trip */

/* The call of PASSED is left to the kernel, as long as no port is another one; that of SHOWN is
 * made by the supervisor, which puts another port into the answer. */
enum { NONE, BAREST, PASSED, SHOWN, FIRST_STAT };

/* Who answers, and what is asked: without a depth getsockname(2), else stat(2) of a file so many
 * directories below, by a relative path. */
static const struct contender {
	const char *name;
	enum { NOBODY, BARELY, LOOP } by;
	bool moved;
	unsigned depth;
} contenders[] = {
	[NONE] = { "no notification", NOBODY, false, 0 },
	[BAREST] = { "the barest notification", BARELY, false, 0 },
	[PASSED] = { "a call that is left to the kernel", LOOP, false, 0 },
	[SHOWN] = { "getsockname that is made for the caller", LOOP, true, 0 },
	[FIRST_STAT] = { "stat, 1 directory below, plain", NOBODY, false, 1 },
	{ "stat, 1 directory below, copy-on-write", LOOP, false, 1 },
	{ "stat, 4 directories below, plain", NOBODY, false, 4 },
	{ "stat, 4 directories below, copy-on-write", LOOP, false, 4 },
	{ "stat, 8 directories below, plain", NOBODY, false, 8 },
	{ "stat, 8 directories below, copy-on-write", LOOP, false, 8 },
};

#define CONTENDERS (sizeof(contenders) / sizeof(contenders[0]))
#define DEEPEST 8

/* A directory with files at each depth, and what it is shown by. */
static char tree[] = "/tmp/thole-bench-super.XXXXXX", guest[sizeof(tree) + sizeof("/lower")];
static struct super_dir shown = { .guest = guest, .mode = LAYER_COW };

static int make_dir(const char *name)
{
	return mkdirat(AT_FDCWD, name, 0755) < 0 ? -1 : open(name, O_PATH | O_CLOEXEC);
}

static int make_tree(void)
{
	char path[4 * DEEPEST] = "";
	int fd;

	if (!mkdtemp(tree) || chdir(tree) < 0)
		return fail_errno("make a directory");
	snprintf(guest, sizeof(guest), "%s/lower", tree);
	shown.upper = make_dir("upper");
	shown.work = make_dir("work");
	shown.lower = make_dir("lower");
	if (shown.upper < 0 || shown.work < 0 || shown.lower < 0 || chdir("lower") < 0)
		return fail_errno("make directories in %s", tree);
	for (int i = 0; i < DEEPEST; i++) {
		strcat(path, "d/");
		if (mkdir(path, 0755) < 0)
			return fail_errno("make %s in %s", path, guest);
		strcat(path, "f");
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			return fail_errno("make %s in %s", path, guest);
		close(fd);
		path[strlen(path) - 1] = '\0';
	}
	return 0;
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static bool may(const void *arg, enum super_use use, uint16_t port)
{
	(void)arg;
	(void)use;
	(void)port;
	return true;
}

static void answer_barely(int channel)
{
	struct seccomp_notif req;
	struct seccomp_notif_resp res = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	int listener = -1;
	size_t n = 1;
	char byte;

	if (fd_recv(channel, &byte, 1, &listener, &n) != 1)
		_exit(1);
	notif_prepare(listener);
	for (;;) {
		memset(&req, 0, sizeof(req));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0)
			_exit(0);
		res.id = req.id;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &res);
	}
}

static struct super_plan plan_of(const struct contender *who)
{
	return (struct super_plan){ .ports = !who->depth, .map = who->depth };
}

static pid_t start(const struct contender *who, int *out_channel)
{
	const struct super_config config = {
		.plan = plan_of(who),
		.dirs = &shown,
		.n_dirs = who->depth > 0,
		.control = -1,
		.may = may,
	};
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		if (who->by == BARELY)
			answer_barely(ends[1]);
		_exit(loop_run(&config, ends[1]) ? 1 : 0);
	}
	close(ends[1]);
	*out_channel = ends[0];
	return pid;
}

static void hand_over(const struct contender *who, int channel, int listener)
{
	const char *const guests[] = { guest };

	if (who->by == BARELY)
		fd_send(channel, "", 1, &listener, 1);
	else if ((who->depth && super_show_root(channel, guests, 1)) ||
		 super_adopt(channel, listener))
		_exit(1);
	close(listener);
	close(channel);
}

/* From here on the process is under the filter. A helper, which it doesn't bind, hands the listener
 * over. */
static void enter(const struct contender *who, const struct filter *f)
{
	int go[2], number, listener = -1, channel = -1;
	pid_t pid = getpid(), helper;

	if (pipe(go) < 0 || start(who, &channel) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(1);
	helper = fork();
	if (helper == 0) {
		int pidfd = (int)sys_pidfd_open(pid, 0);

		if (read(go[0], &number, sizeof(number)) != sizeof(number))
			_exit(1);
		hand_over(who, channel, (int)sys_pidfd_getfd(pidfd, number, 0));
		_exit(0);
	}
	close(channel);
	if (filter_install(f, 0, &listener) ||
	    write(go[1], &listener, sizeof(listener)) != sizeof(listener))
		_exit(1);
	waitpid(helper, NULL, 0);
	close(listener);
}

/* A process of the kind that is measured: what it says is microseconds a call. */
static void measure(const struct contender *who, const struct filter *f, int report)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int taken = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(addr);
	char path[4 * DEEPEST] = "";
	double from, round, us = 0;
	struct stat st;

	for (unsigned i = 0; i < who->depth; i++)
		strcat(path, "d/");
	strcat(path, "f");
	if (bind(taken, (struct sockaddr *)&addr, len) < 0 || listen(taken, 1) < 0 ||
	    getsockname(taken, (struct sockaddr *)&addr, &len) < 0)
		_exit(1);
	if (who->by != NOBODY)
		enter(who, f);
	if ((who->moved && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) ||
	    (who->depth && (chdir(guest) < 0 || stat(path, &st) < 0)))
		_exit(1);
	for (int r = 0; r < ROUNDS; r++) {
		from = now_us();
		for (int i = 0; i < CALLS; i++)
			if (who->depth)
				stat(path, &st);
			else
				getsockname(fd, (struct sockaddr *)&addr, &len);
		round = (now_us() - from) / CALLS;
		us = r == 0 || round < us ? round : us;
	}
	_exit(write(report, &us, sizeof(us)) != sizeof(us));
}

static int sample(const struct contender *who, const struct filter *f, double *out)
{
	int ends[2];
	ssize_t n;
	pid_t pid;

	if (pipe(ends) < 0)
		return fail_errno("make a pipe");
	pid = fork();
	if (pid == 0)
		measure(who, f, ends[1]);
	close(ends[1]);
	n = read(ends[0], out, sizeof(*out));
	close(ends[0]);
	if (pid < 0 || waitpid(pid, NULL, 0) < 0 || n != sizeof(*out))
		return fail(EIO, "a measurement failed");
	return 0;
}

static int measure_all(double us[CONTENDERS][SAMPLES])
{
	auto_arena a = arena_new();
	struct filter filters[2]; /* of getsockname, of stat */
	int ret = make_tree();

	for (unsigned depth = 0; !ret && depth < 2; depth++) {
		const struct super_plan plan = plan_of(&(struct contender){ .depth = depth });

		ret = super_filter(a, &plan, &filters[depth]);
	}
	for (int i = 0; !ret && i < SAMPLES; i++)
		for (size_t who = 0; !ret && who < CONTENDERS; who++)
			ret = sample(&contenders[who], &filters[contenders[who].depth > 0],
				     &us[who][i]);
	if (chdir("/") == 0)
		fd_remove_tree(AT_FDCWD, tree);
	return ret;
}

int main(void)
{
	static double us[CONTENDERS][SAMPLES], ratio[SAMPLES];
	double times;

	if (measure_all(us)) {
		fprintf(stderr, "super: %s\n", err_last()->text);
		return 2;
	}
	for (int i = 0; i < SAMPLES; i++)
		ratio[i] = us[PASSED][i] / us[BAREST][i];
	puts("a supervised call, microseconds");
	for (size_t who = 0; who < CONTENDERS; who++)
		printf("  %-44s %9.2f\n", contenders[who].name, median_of(us[who], SAMPLES));
	times = median_of(ratio, SAMPLES);
	printf("  %-44s %9.2f of %8.2f  %s\n\n", "times the barest", times, MOST,
	       times <= MOST ? "met" : "missed");
	return times <= MOST ? 0 : 1;
}
