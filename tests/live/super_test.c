/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's loop with a child under its filter. Each case is a process of its own with a
 * supervisor of its own; ports are the kernel's choice, so cases run beside each other.
 */
#include "super/super.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bpf/filter.h"
#include "lib/guarded.h"
#include "lib/tap.h"
#include "super/loop.h"
#include "super/notif.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#define THREADS 8
#define ROUNDS 1000

static struct {
	struct guarded guard;
	uint16_t taken; /* a port that somebody outside has, at 127.0.0.1: TCP and UDP */
	uint16_t forbidden;
} box;

static bool may(const void *arg, enum super_use use, uint16_t port)
{
	(void)arg;
	(void)use;
	return port != box.forbidden;
}

static struct sockaddr_in at(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

static int bind_at(int fd, uint16_t port)
{
	struct sockaddr_in a = at(port);

	return bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

static int connect_to(int fd, uint16_t port)
{
	struct sockaddr_in a = at(port);

	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

static uint16_t name_of(int fd, bool peer)
{
	struct sockaddr_in a = { .sin_port = 0 };
	socklen_t len = sizeof(a);
	int ret = peer ? getpeername(fd, (struct sockaddr *)&a, &len)
		       : getsockname(fd, (struct sockaddr *)&a, &len);

	return ret < 0 ? 0 : ntohs(a.sin_port);
}

static int tcp(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int udp(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* Somebody outside: a port that both protocols have. */
static void take_a_port(void)
{
	for (int i = 0; i < 100; i++) {
		int t = tcp(), u = udp();

		if (bind_at(t, 0) == 0 && listen(t, 8) == 0 && bind_at(u, name_of(t, false)) == 0) {
			box.taken = name_of(t, false);
			return;
		}
		close(t);
		close(u);
	}
	ok(false, "a port of TCP and UDP is to be had");
	exit(1);
}

static void start_loop(void)
{
	const struct super_config config = { .plan = { .ports = true }, .may = may };

	guarded_start(&box.guard, &config);
}

static int call(void *run)
{
	(*(void (**)(void))run)();
	return 0;
}

static pid_t begin(void (*run)(void))
{
	return guarded_begin(&box.guard, call, &run);
}

/* The whole: run() in a child; its checks are its own output, its end is looked at here. */
static void finish(pid_t child)
{
	is_int(guarded_end(child), 0, "the child is content");
	guarded_stop(&box.guard);
}

static void supervised(void (*run)(void))
{
	take_a_port();
	start_loop();
	finish(begin(run));
}

/* ---- what is answered */

static void serve_here(void)
{
	int a = tcp(), b = tcp(), c = tcp(), d;

	must(bind_at(a, box.taken) == 0);
	must(name_of(a, false) == box.taken);
	must(listen(a, 8) == 0);
	must(bind_at(b, box.taken) == -EADDRINUSE);
	must(connect_to(c, box.taken) == 0);
	must(name_of(c, true) == box.taken);
	d = accept(a, NULL, NULL);
	must(d >= 0 && name_of(d, false) == box.taken);
	must(name_of(d, true) == name_of(c, false));
	must(write(c, "x", 1) == 1);
}

static void shows_the_wanted_port(void)
{
	supervised(serve_here);
}

static void client_here(void)
{
	struct sockaddr_in from = { .sin_port = 0 };
	socklen_t len = sizeof(from);
	int a = tcp(), b = tcp(), d;

	must(bind_at(a, 0) == 0 && listen(a, 8) == 0);
	must(bind_at(b, box.taken) == 0);
	must(connect_to(b, name_of(a, false)) == 0);
	d = accept4(a, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	must(d >= 0 && len == sizeof(from));
	must(ntohs(from.sin_port) == box.taken);
	must(fcntl(d, F_GETFD) == FD_CLOEXEC);
	must(fcntl(d, F_GETFL) & O_NONBLOCK);
	must(name_of(d, true) == box.taken);
	/* one without waiting, where nobody is */
	fcntl(a, F_SETFL, O_NONBLOCK);
	must(accept(a, (struct sockaddr *)&from, &len) < 0 && errno == EAGAIN);
}

static void accepts_from_itself(void)
{
	supervised(client_here);
}

static void datagrams_here(void)
{
	struct sockaddr_in to = at(box.taken), from;
	socklen_t len = sizeof(from);
	char data[16], more[16];
	struct iovec parts[2] = { { data, 2 }, { more, sizeof(more) } };
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = parts, .msg_iovlen = 2
	};
	int a = udp(), b = udp();

	must(bind_at(a, box.taken) == 0 && bind_at(b, 0) == 0);
	must(sendto(b, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5);
	must(recvfrom(a, data, sizeof(data), 0, (struct sockaddr *)&from, &len) == 5);
	must(memcmp(data, "hello", 5) == 0 && ntohs(from.sin_port) == name_of(b, false));
	must(sendto(a, "back", 4, 0, (struct sockaddr *)&from, len) == 4);
	must(recvmsg(b, &m, 0) == 4);
	must(memcmp(data, "ba", 2) == 0 && memcmp(more, "ck", 2) == 0);
	must(m.msg_namelen == sizeof(from) && ntohs(from.sin_port) == box.taken);
	memcpy(data, "co", 2);
	memcpy(more, "uld", 3);
	parts[1].iov_len = 3;
	from = to;
	must(sendmsg(b, &m, 0) == 5);
	must(recv(a, data, sizeof(data), 0) == 5 && memcmp(data, "could", 5) == 0);
	must(recvfrom(a, data, 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len) < 0 &&
	     errno == EAGAIN);
}

static void carries_datagrams(void)
{
	supervised(datagrams_here);
}

#define MANY 3

/* Messages of five bytes, each with a name of its own. */
struct many {
	struct mmsghdr v[MANY];
	struct sockaddr_in names[MANY];
	struct iovec parts[MANY];
	char data[MANY][8];
};

static struct mmsghdr *prepare(struct many *m)
{
	memset(m, 0, sizeof(*m));
	for (int i = 0; i < MANY; i++) {
		snprintf(m->data[i], sizeof(m->data[i]), "data%d", i);
		m->parts[i] = (struct iovec){ m->data[i], 5 };
		m->v[i].msg_hdr = (struct msghdr){ .msg_name = &m->names[i],
						   .msg_namelen = sizeof(m->names[i]),
						   .msg_iov = &m->parts[i],
						   .msg_iovlen = 1 };
	}
	return m->v;
}

static struct mmsghdr *address(struct many *m, uint16_t first, uint16_t second, uint16_t third)
{
	struct mmsghdr *v = prepare(m);

	m->names[0] = at(first);
	m->names[1] = at(second);
	m->names[2] = at(third);
	return v;
}

static bool gets(int fd, const char *text)
{
	char data[16];

	return recv(fd, data, sizeof(data), MSG_DONTWAIT) == 5 && memcmp(data, text, 5) == 0;
}

static void many_sent_here(void)
{
	int a = udp(), b = udp(), c = udp();
	struct mmsghdr *v;
	uint16_t other;
	struct many m;

	must(bind_at(a, box.taken) == 0 && bind_at(b, 0) == 0 && bind_at(c, 0) == 0);
	other = name_of(c, false);
	v = address(&m, box.taken, box.taken, box.taken);
	must(sendmmsg(b, v, MANY, 0) == MANY && v[0].msg_len == 5 && v[2].msg_len == 5);
	must(gets(a, "data0") && gets(a, "data1") && gets(a, "data2"));
	/* each goes where it belongs, be it with the next call */
	v = address(&m, box.taken, other, box.taken);
	must(sendmmsg(b, v, MANY, 0) == 1 && v[1].msg_len == 0);
	must(sendmmsg(b, v + 1, 2, 0) == 1 && v[1].msg_len == 5);
	must(sendmmsg(b, v + 2, 1, 0) == 1);
	must(gets(a, "data0") && gets(c, "data1") && gets(a, "data2"));
	v = address(&m, other, other, other);
	must(sendmmsg(b, v, MANY, 0) == MANY);
	must(gets(c, "data0") && gets(c, "data1") && gets(c, "data2"));
	/* what goes wrong is told where it is the first one */
	v = address(&m, box.taken, box.taken, box.taken);
	v[1].msg_hdr.msg_name = (void *)8;
	must(sendmmsg(b, v, MANY, 0) == 1 && v[1].msg_len == 0);
	must(sendmmsg(b, v + 1, 2, 0) < 0 && errno == EFAULT);
	v = address(&m, box.taken, box.taken, box.taken);
	m.parts[1].iov_base = (void *)8;
	must(sendmmsg(b, v, MANY, 0) == 1);
	must(sendmmsg(b, v + 1, 2, 0) < 0 && errno == EFAULT);
	must(gets(a, "data0") && gets(a, "data0"));
	must(sendmmsg(b, v, 0, 0) == 0);
	must(sendmmsg(b, (void *)8, 1, 0) < 0 && errno == EFAULT);
	must(sendmmsg(-1, v, 1, 0) < 0 && errno == EBADF);
	/* one that needs no name */
	must(connect_to(b, box.taken) == 0);
	v = prepare(&m);
	v[0].msg_hdr.msg_name = NULL;
	must(sendmmsg(b, v, 1, 0) == 1 && gets(a, "data0"));
}

static void sends_many(void)
{
	supervised(many_sent_here);
}

/* Which nobody shows but /proc: proc_pid_net(5). */
static uint16_t real_port(int fd)
{
	FILE *f = fopen("/proc/net/udp", "r");
	unsigned long inode;
	char line[256];
	unsigned port = 0;
	struct stat st;

	must(f && fstat(fd, &st) == 0);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " %*d: %*x:%x %*x:%*x %*x %*x:%*x %*x:%*x %*x %*u %*u %lu", &port,
			   &inode) == 2 &&
		    inode == st.st_ino)
			break;
	fclose(f);
	must(port && port != box.taken);
	return (uint16_t)port;
}

static int answerer;
static uint16_t asker;

static void *answer_late(void *arg)
{
	struct sockaddr_in to = at(asker);

	usleep(30000);
	must(sendto(answerer, "late", 4, 0, (struct sockaddr *)&to, sizeof(to)) == 4);
	return arg;
}

static void many_received_here(void)
{
	int a = udp(), b = udp(), c = udp();
	struct sockaddr_in to;
	pthread_t thread;
	struct mmsghdr *v;
	struct many m;

	must(bind_at(a, box.taken) == 0 && bind_at(b, 0) == 0 && bind_at(c, 0) == 0);
	asker = name_of(b, false);
	answerer = a;
	to = at(asker);
	v = prepare(&m);
	must(recvmmsg(b, v, MANY, MSG_DONTWAIT, NULL) < 0 && errno == EAGAIN);
	must(sendto(a, "one", 3, 0, (struct sockaddr *)&to, sizeof(to)) == 3);
	must(sendto(c, "other", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5);
	must(sendto(a, "three", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5);
	must(recvmmsg(b, v, MANY, 0, NULL) == MANY);
	must(v[0].msg_len == 3 && memcmp(m.data[0], "one", 3) == 0 && v[1].msg_len == 5);
	must(ntohs(m.names[0].sin_port) == box.taken && ntohs(m.names[2].sin_port) == box.taken);
	must(ntohs(m.names[1].sin_port) == name_of(c, false));
	must(v[0].msg_hdr.msg_namelen == sizeof(m.names[0]));
	/* as it waits for one, and no longer */
	v = prepare(&m);
	must(pthread_create(&thread, NULL, answer_late, NULL) == 0);
	must(recvmmsg(b, v, MANY, MSG_WAITFORONE, NULL) == 1 && v[0].msg_len == 4);
	must(ntohs(m.names[0].sin_port) == box.taken);
	pthread_join(thread, NULL);
	/* no more is written than there is room for */
	v = prepare(&m);
	v[0].msg_hdr.msg_namelen = 2;
	m.names[0] = at(real_port(a));
	must(sendto(a, "short", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5);
	must(recvmmsg(b, v, 1, 0, NULL) == 1 && v[0].msg_hdr.msg_namelen == sizeof(m.names[0]));
	must(ntohs(m.names[0].sin_port) == real_port(a));
	v[0].msg_hdr.msg_name = NULL;
	must(sendto(a, "blind", 5, 0, (struct sockaddr *)&to, sizeof(to)) == 5);
	must(recvmmsg(b, v, 1, 0, NULL) == 1);
	must(recvmmsg(b, (void *)8, 1, MSG_DONTWAIT, NULL) < 0 && errno == EFAULT);
}

static int listener, caller;

static void *call_late(void *arg)
{
	struct sockaddr_in to = at(asker);
	int c = tcp();

	usleep(30000);
	/* a client that is bound itself, where another one is */
	must(bind_at(c, box.taken) == 0 && name_of(c, false) == box.taken);
	must(connect(c, (struct sockaddr *)&to, sizeof(to)) == 0);
	caller = c;
	return arg;
}

/* As many ways to wait as there are, each for who comes later. */
static void waiting_here(void)
{
	struct sockaddr_in from;
	struct iovec span;
	struct msghdr head = { .msg_name = &from, .msg_iov = &span, .msg_iovlen = 1 };
	socklen_t len;
	pthread_t thread;
	char text[8];

	for (int four = 0; four < 2; four++) {
		listener = tcp();
		must(bind_at(listener, 0) == 0 && listen(listener, 8) == 0);
		asker = name_of(listener, false);
		must(pthread_create(&thread, NULL, call_late, NULL) == 0);
		len = sizeof(from);
		must((four ? accept4(listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC)
			   : accept(listener, (struct sockaddr *)&from, &len)) >= 0);
		must(len == sizeof(from) && ntohs(from.sin_port) == box.taken);
		pthread_join(thread, NULL);
		close(caller);
	}
	answerer = udp();
	listener = udp();
	must(bind_at(answerer, box.taken) == 0 && bind_at(listener, 0) == 0);
	asker = name_of(listener, false);
	must(pthread_create(&thread, NULL, answer_late, NULL) == 0);
	len = sizeof(from);
	must(recvfrom(listener, text, sizeof(text), 0, (struct sockaddr *)&from, &len) == 4);
	must(len == sizeof(from) && ntohs(from.sin_port) == box.taken);
	pthread_join(thread, NULL);
	must(pthread_create(&thread, NULL, answer_late, NULL) == 0);
	span = (struct iovec){ text, sizeof(text) };
	head.msg_namelen = sizeof(from);
	memset(&from, 0, sizeof(from));
	must(recvmsg(listener, &head, 0) == 4 && memcmp(text, "late", 4) == 0);
	must(head.msg_namelen == sizeof(from) && ntohs(from.sin_port) == box.taken);
	pthread_join(thread, NULL);
}

static void who_waits_is_shown_the_same(void)
{
	supervised(waiting_here);
}

static void receives_many(void)
{
	supervised(many_received_here);
}

static volatile sig_atomic_t told_to_end;

static void end_waiting(int sig)
{
	(void)sig;
	told_to_end = 1;
}

/* A call that gives up for a signal, as it has a limit of its own (signal(7)), does not for a
 * tracer. */
static void limited_here(void)
{
	const struct sigaction end = { .sa_handler = end_waiting };
	const struct timeval limit = { .tv_sec = 60 };
	int a = udp(), b = udp();
	struct many m;

	must(bind_at(a, box.taken) == 0 && bind_at(b, 0) == 0);
	must(setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
	sigaction(SIGUSR1, &end, NULL);
	must(recvmmsg(b, prepare(&m), MANY, 0, NULL) < 0 && errno == EINTR && told_to_end);
}

static void lets_go(void)
{
	pid_t child;

	take_a_port();
	start_loop();
	child = begin(limited_here);
	ok(guarded_followed(&box.guard, child, 1), "it waits");
	guarded_hold(&box.guard, child);
	is_int(super_go_on(box.guard.channel), 0, "the supervisor goes on");
	ok(guarded_followed(&box.guard, child, 1), "it waits again");
	kill(child, SIGUSR1);
	finish(child);
}

static void both_families_here(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(box.taken) }, got;
	int six = socket(AF_INET6, SOCK_STREAM, 0), four = tcp(), c = tcp(), off = 0;
	socklen_t len = sizeof(got);

	must(setsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0);
	must(bind(six, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(six, 8) == 0);
	must(getsockname(six, (struct sockaddr *)&got, &len) == 0);
	must(ntohs(got.sin6_port) == box.taken && len == sizeof(got));
	must(bind_at(four, box.taken) == -EADDRINUSE);
	must(connect_to(c, box.taken) == 0 && name_of(c, true) == box.taken);
}

static void one_socket_for_both_families(void)
{
	int probe = socket(AF_INET6, SOCK_STREAM, 0);

	if (probe < 0)
		tap_skip("no IPv6 on this machine");
	close(probe);
	supervised(both_families_here);
}

static void shared_here(void)
{
	int a = tcp(), b = tcp(), on = 1, value = 0;
	socklen_t len = sizeof(value);

	must(setsockopt(a, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0);
	must(setsockopt(b, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0);
	must(bind_at(a, box.taken) == 0 && bind_at(b, box.taken) == 0);
	must(listen(a, 64) == 0 && listen(b, 64) == 0);
	must(name_of(a, false) == box.taken && name_of(b, false) == box.taken);
	must(getsockopt(a, SOL_SOCKET, SO_REUSEPORT, &value, &len) == 0 && value == 1);
	for (int i = 0; i < 16; i++)
		must(connect_to(tcp(), box.taken) == 0);
}

/* Two of the container share a port; nobody of them does with one outside, whose user is the
 * same. */
static void shares_within_only(void)
{
	int outside = tcp(), on = 1;

	setsockopt(outside, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	is_int(bind_at(outside, 0), 0, "a port outside");
	is_int(listen(outside, 8), 0, "that is listened on");
	box.taken = name_of(outside, false);
	start_loop();
	finish(begin(shared_here));
	fcntl(outside, F_SETFL, O_NONBLOCK);
	ok(accept(outside, NULL, NULL) < 0, "nobody has come here");
}

static void ends_here(void)
{
	int a = tcp(), b = tcp();

	must(bind_at(a, box.taken) == 0 && listen(a, 8) == 0);
	close(a);
	/* the own one has ended: this reaches the one outside */
	must(connect_to(b, box.taken) == 0);
	a = tcp();
	must(bind_at(a, box.taken) == 0 && name_of(a, false) == box.taken);
}

static void ends_with_the_socket(void)
{
	supervised(ends_here);
}

static void forbidden_here(void)
{
	int a = tcp(), b = tcp();

	/* the kernel answers for itself: the port is taken */
	must(bind_at(a, box.taken) == -EADDRINUSE);
	must(bind_at(b, 0) == 0);
}

static void leaves_what_is_forbidden(void)
{
	take_a_port();
	box.forbidden = box.taken;
	start_loop();
	finish(begin(forbidden_here));
}

static void others_here(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len = sizeof(sa_family_t);
	int t = tcp();

	must(bind_at(t, box.taken) == 0);
	must(bind(a, (struct sockaddr *)&name, sizeof(sa_family_t)) == 0);
	must(listen(a, 1) == 0);
	len = sizeof(name);
	must(getsockname(a, (struct sockaddr *)&name, &len) == 0 && len > sizeof(sa_family_t));
	must(connect(b, (struct sockaddr *)&name, len) == 0);
	must(getpeername(b, (struct sockaddr *)&name, &len) == 0 && name.sun_family == AF_UNIX);
}

static void leaves_other_families(void)
{
	supervised(others_here);
}

/* The kernel's own word on who listens. */
static bool listens_at(uint16_t port)
{
	char text[4096] = "", want[16];
	int fd = open("/proc/thread-self/net/tcp", O_RDONLY);

	snprintf(want, sizeof(want), ":%04X 00000000:", port);
	return read(fd, text, sizeof(text) - 1) > 0 && strstr(text, want);
}

static void networks_here(void)
{
	int a = tcp(), b;

	must(bind_at(a, box.taken) == 0 && name_of(a, false) == box.taken);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return;
	b = tcp();
	/* a port of the other network is another port; its loopback is down, any address will do */
	must(bind(b,
		  (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET,
							    .sin_port = htons(box.taken) },
		  sizeof(struct sockaddr_in)) == 0);
	must(listen(b, 1) == 0 && listens_at(box.taken));
	must(name_of(a, false) == box.taken);
}

static void leaves_other_networks(void)
{
	supervised(networks_here);
}

/* ---- a hostile guest */

/* Not by libc's functions: sanitizers look at what those are given. */
static void bad_pointers_here(void)
{
	const size_t page = 4096;
	char *readonly = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *none = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sockaddr_in a = at(box.taken);
	socklen_t len = sizeof(a), less = 4;
	int t = tcp(), u = udp(), negative = -1;
	char byte;

	must(syscall(SYS_bind, t, (struct sockaddr *)none, sizeof(a)) < 0 && errno == EFAULT);
	must(syscall(SYS_bind, t, (struct sockaddr *)8, sizeof(a)) < 0 && errno == EFAULT);
	must(syscall(SYS_bind, t, (struct sockaddr *)&a, 5) < 0 && errno == EINVAL);
	must(syscall(SYS_bind, t, (struct sockaddr *)&a, (socklen_t)negative) < 0 &&
	     errno == EINVAL);
	must(syscall(SYS_bind, t, (struct sockaddr *)&a, 1 << 20) < 0 && errno == EINVAL);
	must(syscall(SYS_bind, -1, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == EBADF);
	must(syscall(SYS_bind, 0, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == ENOTSOCK);
	must(bind_at(t, box.taken) == 0 && bind_at(u, box.taken) == 0);
	must(bind_at(t, box.taken) == -EINVAL);
	must(syscall(SYS_getsockname, t, (struct sockaddr *)none, &len) < 0 && errno == EFAULT);
	must(syscall(SYS_getsockname, t, (struct sockaddr *)readonly, &len) < 0 && errno == EFAULT);
	must(syscall(SYS_getsockname, t, (struct sockaddr *)&a, (socklen_t *)none) < 0 &&
	     errno == EFAULT);
	must(syscall(SYS_getsockname, t, (struct sockaddr *)&a, (socklen_t *)&negative) < 0 &&
	     errno == EINVAL);
	must(syscall(SYS_getsockname, t, (struct sockaddr *)&a, &less) == 0 && less == sizeof(a));
	must(syscall(SYS_getpeername, t, (struct sockaddr *)&a, &len) < 0 && errno == ENOTCONN);
	must(syscall(SYS_connect, t, (struct sockaddr *)none, sizeof(a)) < 0 && errno == EFAULT);
	must(syscall(SYS_sendto, u, none, 5, 0, (struct sockaddr *)&a, sizeof(a)) < 0 &&
	     errno == EFAULT);
	must(syscall(SYS_sendto, u, "x", 1, 0, (struct sockaddr *)none, sizeof(a)) < 0 &&
	     errno == EFAULT);
	must(syscall(SYS_sendto, u, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)) == 1);
	must(syscall(SYS_recvfrom, u, readonly, 1, 0, (struct sockaddr *)&a, &len) < 0 &&
	     errno == EFAULT);
	must(syscall(SYS_recvmsg, u, (struct msghdr *)none, MSG_DONTWAIT) < 0 && errno == EFAULT);
	must(syscall(SYS_recvfrom, u, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)&a, &len) < 0 &&
	     errno == EAGAIN);
}

static void answers_bad_pointers(void)
{
	supervised(bad_pointers_here);
}

static void *flood(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		if (name_of(*(int *)arg, false) != box.taken)
			return arg;
	return NULL;
}

static void flood_here(void)
{
	pthread_t threads[THREADS];
	void *failed;
	int t = tcp();

	must(bind_at(t, box.taken) == 0);
	for (int i = 0; i < THREADS; i++)
		must(pthread_create(&threads[i], NULL, flood, &t) == 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		must(!failed);
	}
}

static void stands_a_flood(void)
{
	supervised(flood_here);
}

static _Atomic bool racing = true;

/* A descriptor that is a socket, a file and nothing in turns. */
static void *change_descriptor(void *arg)
{
	int fd = *(int *)arg, file = open("/dev/null", O_RDONLY), sock;

	while (racing) {
		sock = tcp();
		dup2(sock, fd);
		close(sock);
		dup2(file, fd);
		close(fd);
	}
	return NULL;
}

static void race_here(void)
{
	static const int expected[] = { 0, EBADF, ENOTSOCK, EINVAL };
	struct sockaddr_in a = at(box.taken);
	pthread_t thread;
	int fd = 100, error, t = tcp();
	bool known;

	must(bind_at(t, box.taken) == 0);
	must(pthread_create(&thread, NULL, change_descriptor, &fd) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		socklen_t len = sizeof(a);

		error = i % 2 ? -bind_at(fd, 0)
			      : (getsockname(fd, (struct sockaddr *)&a, &len) < 0 ? errno : 0);
		known = false;
		for (size_t k = 0; k < sizeof(expected) / sizeof(expected[0]); k++)
			known = known || error == expected[k];
		must(known);
	}
	racing = false;
	pthread_join(thread, NULL);
	must(name_of(t, false) == box.taken);
}

static void descriptors_may_change(void)
{
	supervised(race_here);
}

static void *alone(void *arg)
{
	int t;

	if (unshare(CLONE_FILES) < 0)
		return arg;
	/* a number that is none, or another, in the rest of the process */
	t = fcntl(tcp(), F_DUPFD, 200);
	return bind_at(t, box.taken) == 0 && name_of(t, false) == box.taken ? NULL : arg;
}

static void own_descriptors_here(void)
{
	pthread_t thread;
	void *failed;

	must(pthread_create(&thread, NULL, alone, &failed) == 0);
	pthread_join(thread, &failed);
	must(!failed);
}

static void threads_may_have_descriptors_of_their_own(void)
{
	int pidfd = (int)sys_pidfd_open(getpid(), O_EXCL);

	if (pidfd < 0)
		tap_skip("this kernel holds no threads (PIDFD_THREAD, 6.9)");
	close(pidfd);
	supervised(own_descriptors_here);
}

static volatile sig_atomic_t signals;

static void count_signal(int sig)
{
	(void)sig;
	signals = signals + 1;
}

static void signals_here(void)
{
	const struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
	struct sigaction plain = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	int t;

	sigaction(SIGALRM, &plain, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < ROUNDS || signals < 20; i++) {
		t = tcp();
		must(bind_at(t, box.taken) == 0);
		must(name_of(t, false) == box.taken);
		close(t);
	}
}

static void signals_change_nothing(void)
{
	uint32_t killable = filter_flag("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");

	if (!(filter_flags_supported() & killable))
		tap_skip("this kernel has no SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
	supervised(signals_here);
}

static void loop_of_calls(void)
{
	for (;;) {
		int t = tcp();

		bind_at(t, box.taken);
		listen(t, 1);
		name_of(t, false);
		close(t);
	}
}

static void killed_here(void)
{
	pid_t pid;
	int t;

	for (int i = 0; i < 60; i++) {
		pid = fork();
		if (pid == 0)
			loop_of_calls();
		usleep((useconds_t)(i * 37 % 1500));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	t = tcp();
	must(bind_at(t, box.taken) == 0 && name_of(t, false) == box.taken);
	/* the parent looks at the supervisor now */
	raise(SIGSTOP);
}

static void keeps_nothing_of_the_killed(void)
{
	int status, before, after;
	pid_t child;

	take_a_port();
	start_loop();
	child = begin(killed_here);
	before = guarded_fds(&box.guard);
	waitpid(child, &status, WUNTRACED);
	ok(WIFSTOPPED(status), "the child is where it stops");
	/* besides the threads that are held: a stated number; it may be at the last call still */
	for (int i = 0; i < 6000 && guarded_fds(&box.guard) > before + 2 * NOTIF_HELD; i++)
		usleep(10000);
	after = guarded_fds(&box.guard);
	ok(after <= before + 2 * NOTIF_HELD, "%d descriptors before, %d after", before, after);
	is_int(guarded_ask(&box.guard, SUPER_PORTS, -1), 0, "it answers");
	kill(child, SIGCONT);
	finish(child);
}

/* Its queue is full: who connects has to wait, and nobody else has. */
static void full_queue_here(void)
{
	int a = tcp(), waiting[8], other;
	pid_t pid;

	must(bind_at(a, box.taken) == 0 && listen(a, 0) == 0);
	for (int i = 0; i < 8; i++) {
		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect_to(waiting[i], box.taken);
	}
	pid = fork();
	if (pid == 0) {
		other = tcp();
		connect_to(other, box.taken);
		_exit(0);
	}
	for (int i = 0; i < 100; i++) {
		other = tcp();
		must(bind_at(other, 0) == 0 && name_of(other, false));
		close(other);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void nobody_waits_for_another(void)
{
	supervised(full_queue_here);
}

static void refused_here(void)
{
	int a = tcp(), b = tcp();

	must(bind_at(a, box.taken) == 0);
	/* bound, not listening */
	must(connect_to(b, box.taken) == -ECONNREFUSED);
	must(!(fcntl(b, F_GETFL) & O_NONBLOCK));
}

static void tells_what_is_refused(void)
{
	supervised(refused_here);
}

/* ---- the supervisor's end */

static void orphan_here(void)
{
	int t = tcp();

	while (bind_at(t, 0) != -ENOSYS)
		usleep(1000);
	must(connect_to(t, box.taken) == -ENOSYS);
	must(write(STDOUT_FILENO, "", 0) == 0);
}

static void its_death_hangs_nobody(void)
{
	int status;
	pid_t child;

	take_a_port();
	start_loop();
	child = begin(orphan_here);
	kill(box.guard.loop, SIGKILL);
	waitpid(box.guard.loop, &status, 0);
	waitpid(child, &status, 0);
	is_int(status, 0, "its calls fail with ENOSYS");
}

static void ends_without_a_listener(void)
{
	start_loop();
	is_int(guarded_ask(&box.guard, SUPER_ADOPT, box.guard.channel), -EINVAL,
	       "a socket is no listener");
	is_int(guarded_ask(&box.guard, SUPER_ADOPT, -1), -EINVAL, "nor is nothing");
	is_int(guarded_ask(&box.guard, 77, -1), -EINVAL, "an unknown request");
	guarded_stop(&box.guard);
}

/* Who could be heard later is a thread of the container. */
static void is_shown_the_root_once(void)
{
	const char *const guests[] = { "/" };
	struct guarded g;
	struct cow_box b;

	cow_box_make(&b, 0);
	guarded_start(&g, &b.config);
	is_int(super_show_root(g.channel, guests, 1), -EEXIST, "it is known");
	is_int(guarded_ask(&g, SUPER_ROOT, b.map.lower), -EINVAL, "a root without directories");
	guarded_stop(&g);
	cow_box_drop(&b);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(shows_the_wanted_port),
		TAP(accepts_from_itself),
		TAP(carries_datagrams),
		TAP(sends_many),
		TAP(receives_many),
		TAP(who_waits_is_shown_the_same),
		TAP(lets_go),
		TAP(one_socket_for_both_families),
		TAP(shares_within_only),
		TAP(ends_with_the_socket),
		TAP(leaves_what_is_forbidden),
		TAP(leaves_other_families),
		TAP(leaves_other_networks),
		TAP(answers_bad_pointers),
		TAP(stands_a_flood),
		TAP(descriptors_may_change),
		TAP(threads_may_have_descriptors_of_their_own),
		TAP(signals_change_nothing),
		TAP(keeps_nothing_of_the_killed),
		TAP(nobody_waits_for_another),
		TAP(tells_what_is_refused),
		TAP(its_death_hangs_nobody),
		TAP(ends_without_a_listener),
		TAP(is_shown_the_root_once),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
