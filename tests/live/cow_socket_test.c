/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets with names in a copy-on-write directory: "old" is on the lower side, "new" not. */
#include "lib/guarded.h"

#include "base/fd.h"
#include "lib/scratch.h"
#include "lib/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD offsetof(struct sockaddr_un, sun_path)

static char work[128];

static socklen_t name_it(struct sockaddr_un *a, const char *text)
{
	size_t len = strlen(text);

	a->sun_family = AF_UNIX;
	memset(a->sun_path, 0, sizeof(a->sun_path));
	memcpy(a->sun_path, text, len);
	return (socklen_t)(HEAD + len + (len < sizeof(a->sun_path)));
}

static int stream(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int datagram(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int bind_to(int fd, const char *text)
{
	struct sockaddr_un a;
	socklen_t len = name_it(&a, text);

	return bind(fd, (struct sockaddr *)&a, len) < 0 ? -errno : 0;
}

static int connect_to(int fd, const char *text)
{
	struct sockaddr_un a;
	socklen_t len = name_it(&a, text);

	return connect(fd, (struct sockaddr *)&a, len) < 0 ? -errno : 0;
}

static bool is_called(int fd, bool peer, const char *text)
{
	struct sockaddr_un a, want;
	socklen_t len = sizeof(a), should = name_it(&want, text);
	int ret = peer ? getpeername(fd, (struct sockaddr *)&a, &len)
		       : getsockname(fd, (struct sockaddr *)&a, &len);

	if (ret < 0 || len != should || memcmp(&a, &want, len) != 0)
		printf("# it is called %.108s (%u bytes), not %s\n", a.sun_path, len, text);
	return ret == 0 && len == should && memcmp(&a, &want, len) == 0;
}

/* A server by that name, which a client finds by another, and both know what they are called. */
static void meets(const char *name, const char *by)
{
	int server = stream(), client = stream(), there;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	char byte = 'x';

	must(bind_to(server, name) == 0);
	must(is_called(server, false, name));
	must(connect_to(client, by) == -ECONNREFUSED);
	must(listen(server, 4) == 0);
	must(connect_to(client, by) == 0);
	must(is_called(client, true, name));
	there = accept(server, NULL, NULL);
	must(there >= 0 && is_called(there, false, name));
	must(getsockopt(there, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0);
	must(peer.pid == getpid() && peer.uid == geteuid());
	must(write(client, &byte, 1) == 1 && read(there, &byte, 1) == 1);
	close(there);
	close(client);
	close(server);
}

static char *in_work(const char *name)
{
	static char text[4][256];
	static unsigned next;
	char *out = text[next++ % 4];

	snprintf(out, 256, "%s/%s", work, name);
	return out;
}

static int streams_here(void *none)
{
	struct stat st;

	(void)none;
	must(chdir(work) == 0);
	umask(022);
	meets("s", "s");
	must(stat("s", &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0755);
	meets("./t", in_work("t"));
	meets(in_work("a"), "a");
	meets("old/s", in_work("old/s"));
	meets(in_work("old/../new"), "link");
	must(mkdir("made", 0755) == 0 && chdir("made") == 0);
	meets("../old/u", "../old/u");
	meets("s", in_work("made/s"));
	must(chdir("..") == 0);
	must(rename("made", "moved") == 0);
	meets("moved/again", "moved/again");
	must(unlink("old/gone") == 0);
	meets("old/gone", "old/gone");
	return 0;
}

static int fails_here(void *none)
{
	int fd = stream(), used = stream(), inet = socket(AF_INET, SOCK_STREAM, 0);

	(void)none;
	must(chdir(work) == 0);
	must(bind_to(fd, "old") == -EADDRINUSE);
	must(bind_to(fd, "old/file") == -EADDRINUSE);
	must(bind_to(fd, "none/s") == -ENOENT);
	must(bind_to(fd, "old/file/s") == -ENOTDIR);
	must(bind_to(fd, "s/") == -ENOENT);
	must(bind_to(fd, ".") == -EADDRINUSE);
	must(bind_to(inet, "old/s") == -EINVAL || errno == EAFNOSUPPORT);
	must(bind_to(99, "s") == -EBADF);
	must(bind_to(STDIN_FILENO, "s") == -ENOTSOCK || errno == ENOTSOCK);
	must(access("s", F_OK) < 0);
	must(bind_to(used, "used") == 0);
	must(bind_to(used, "old/twice") == -EINVAL);
	must(access("old/twice", F_OK) < 0);
	must(bind_to(fd, "used") == -EADDRINUSE);
	must(connect_to(fd, "none") == -ENOENT);
	must(connect_to(fd, "old/file/s") == -ENOTDIR);
	must(connect_to(fd, "old") == -ECONNREFUSED);
	must(connect_to(fd, "old/file") == -ECONNREFUSED);
	must(listen(used, 1) == 0 && unlink("used") == 0);
	must(connect_to(fd, "used") == -ENOENT);
	must(connect_to(datagram(), "old/file") == -ECONNREFUSED);
	return 0;
}

static int names_here(void *none)
{
	char longest[109], odd[] = "old/\1\2\3x";
	size_t dir = strlen(work) + 1;

	(void)none;
	must(chdir(work) == 0);
	memset(longest, 'n', sizeof(longest));
	longest[60] = '\0';
	meets(longest, longest);
	memset(longest, 'n', sizeof(longest));
	longest[0] = '.';
	longest[1] = '/';
	longest[90] = '\0';
	meets(longest, longest + 2);
	meets(odd, odd);
	/* without a slash, a name of the same first byte */
	meets(odd + 4, odd + 4);
	must(dir < 60);
	return 0;
}

static ssize_t send_to(int fd, const char *name, const char *text, bool message)
{
	struct sockaddr_un a;
	socklen_t len = name_it(&a, name);
	struct iovec data[2] = { { (void *)(uintptr_t)text, 1 },
				 { (void *)(uintptr_t)(text + 1), strlen(text) - 1 } };
	struct msghdr m = { .msg_name = &a, .msg_namelen = len, .msg_iov = data, .msg_iovlen = 2 };
	ssize_t n = message ? sendmsg(fd, &m, 0)
			    : sendto(fd, text, strlen(text), 0, (struct sockaddr *)&a, len);

	return n < 0 ? -errno : n;
}

static int datagrams_here(void *none)
{
	int server = datagram(), client = datagram(), third = datagram();
	struct sockaddr_un from;
	socklen_t len = sizeof(from);
	char text[16] = "";

	(void)none;
	must(chdir(work) == 0);
	must(bind_to(server, "old/server") == 0 && bind_to(client, in_work("client")) == 0);
	must(send_to(client, "old/server", "hello", false) == 5);
	must(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&from, &len) == 5);
	must(memcmp(text, "hello", 5) == 0);
	/* back to whom it came from */
	must(sendto(server, "back", 4, 0, (struct sockaddr *)&from, len) == 4);
	must(recv(client, text, sizeof(text), 0) == 4 && memcmp(text, "back", 4) == 0);
	must(send_to(third, in_work("old/server"), "message", true) == 7);
	must(recv(server, text, sizeof(text), 0) == 7 && memcmp(text, "message", 7) == 0);
	must(connect_to(third, "client") == 0 && is_called(third, true, in_work("client")));
	must(send(third, "x", 1, 0) == 1 && recv(client, text, sizeof(text), 0) == 1);
	must(send_to(third, "none", "x1", true) == -ENOENT);
	must(send_to(client, "old/file", "x1", false) == -ECONNREFUSED);
	return 0;
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

/* ---- the names of clients */

static bool is_from(const struct sockaddr_un *a, socklen_t len, const char *text)
{
	struct sockaddr_un want;
	socklen_t should = name_it(&want, text);

	if (len != should || memcmp(a, &want, len) != 0)
		printf("# it is from %.108s (%u bytes), not %s\n", a->sun_path, len, text);
	return len == should && memcmp(a, &want, len) == 0;
}

/* A child that does it when the parent is most likely to wait. */
static pid_t before_long(int (*run)(const char *), const char *name)
{
	pid_t pid = fork();

	if (pid == 0) {
		usleep(30000);
		_exit(run(name) < 0);
	}
	return pid;
}

static void ends(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0) == pid && status == 0);
}

static int connect_as(const char *name)
{
	int fd = stream();

	return bind_to(fd, name) ? -1 : connect_to(fd, "server");
}

/* Again and again: the first may come before anybody waits. 0: no more. */
static void alarm_each(int us)
{
	const struct itimerval often = { { 0, us }, { 0, us } };

	must(setitimer(ITIMER_REAL, &often, NULL) == 0);
}

static int accepts_here(void *none)
{
	struct sigaction once = { .sa_handler = on_alarm };
	int server = stream(), short_of = 6;
	struct sockaddr_un from;
	socklen_t len = sizeof(from);
	pid_t pid;

	(void)none;
	must(chdir(work) == 0);
	must(bind_to(server, "server") == 0 && listen(server, 4) == 0);
	must(connect_as("old/first") == 0);
	must(accept(server, (struct sockaddr *)&from, &len) >= 0);
	must(is_from(&from, len, "old/first"));
	/* one that is waited for; signals come through */
	sigaction(SIGALRM, &once, NULL);
	alarm_each(10000);
	must(accept(server, (struct sockaddr *)&from, &len) < 0 && errno == EINTR && alarms > 0);
	once.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &once, NULL);
	alarms = 0;
	pid = before_long(connect_as, in_work("second"));
	len = sizeof(from);
	must(accept4(server, (struct sockaddr *)&from, &len, SOCK_CLOEXEC) >= 0 && alarms > 0);
	alarm_each(0);
	must(is_from(&from, len, in_work("second")));
	ends(pid);
	must(connect_as("third") == 0);
	len = (socklen_t)short_of;
	memset(&from, 'x', sizeof(from));
	must(accept(server, (struct sockaddr *)&from, &len) >= 0);
	must(memcmp(from.sun_path, "thi", 3) == 0 && from.sun_path[4] == 'x');
	must(len == HEAD + sizeof("third") || len == HEAD + sizeof("third") - 1);
	must(connect_as("fourth") == 0);
	must(accept(server, (struct sockaddr *)8, &len) < 0 && errno == EFAULT);
	/* one without a name */
	must(connect_to(stream(), "server") == 0);
	len = sizeof(from);
	must(accept(server, (struct sockaddr *)&from, &len) >= 0 && len == HEAD);
	return 0;
}

static int send_as(const char *name)
{
	int fd = datagram();

	return bind_to(fd, name) ? -1 : (int)send_to(fd, "server", "text", false);
}

static int receives_here(void *none)
{
	int server = datagram();
	struct sockaddr_un from[2];
	socklen_t len = sizeof(from[0]);
	char text[16];
	struct iovec data = { text, sizeof(text) };
	struct msghdr m = { .msg_name = &from[0],
			    .msg_namelen = sizeof(from[0]),
			    .msg_iov = &data,
			    .msg_iovlen = 1 };
	struct mmsghdr both[2] = { { .msg_hdr = m }, { .msg_hdr = m } };
	pid_t pid;

	(void)none;
	must(chdir(work) == 0);
	must(bind_to(server, "server") == 0);
	pid = before_long(send_as, "old/first");
	must(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)from, &len) == 4);
	must(is_from(from, len, "old/first"));
	ends(pid);
	pid = before_long(send_as, in_work("second"));
	must(recvmsg(server, &m, 0) == 4 && is_from(from, m.msg_namelen, in_work("second")));
	ends(pid);
	must(send_as("third") == 4 && send_as("old/../fourth") == 4);
	both[1].msg_hdr.msg_name = &from[1];
	must(recvmmsg(server, both, 2, 0, NULL) == 2);
	must(is_from(&from[0], both[0].msg_hdr.msg_namelen, "third"));
	must(is_from(&from[1], both[1].msg_hdr.msg_namelen, "old/../fourth"));
	must(recvmsg(server, &m, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	must(recvmsg(server, (struct msghdr *)8, 0) < 0 && errno == EFAULT);
	return 0;
}

/* A queue that is full: the sender waits, is interrupted, and goes on when there is room. */
static int waits_here(void *none)
{
	struct sigaction action = { .sa_handler = on_alarm };
	int server = datagram(), client = datagram(), status;
	char byte;
	pid_t pid;

	(void)none;
	must(chdir(work) == 0);
	must(bind_to(server, "old/full") == 0);
	must(fcntl(client, F_SETFL, O_NONBLOCK) == 0);
	while (send_to(client, "old/full", "xx", true) == 2)
		;
	must(errno == EAGAIN);
	must(fcntl(client, F_SETFL, 0) == 0);
	sigaction(SIGALRM, &action, NULL);
	alarm_each(50000);
	must(send_to(client, "old/full", "xx", false) == -EINTR && alarms > 0);
	alarm_each(0);
	pid = fork();
	if (pid == 0)
		_exit(send_to(client, "old/full", "xx", false) != 2);
	must(read(server, &byte, 1) == 1);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static int as_others_here(void *none)
{
	int server = stream(), fd;

	(void)none;
	must(chdir(work) == 0);
	umask(077);
	must(bind_to(server, "old/closed") == 0 && listen(server, 1) == 0);
	must(setgroups(0, NULL) == 0 && setresgid(1000, 1000, 1000) == 0 &&
	     setresuid(1000, 1000, 1000) == 0);
	fd = stream();
	must(connect_to(fd, "old/closed") == -EACCES);
	must(bind_to(fd, "old/mine") == -EACCES);
	must(bind_to(fd, "open/mine") == 0 && is_called(fd, false, "open/mine"));
	must(listen(fd, 1) == 0 && connect_to(stream(), "open/mine") == 0);
	return 0;
}

static int outside_here(void *none)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "\0thole-cow-socket" };
	int fd = stream(), other = stream(), pair[2];
	char text[160];

	(void)none;
	must(chdir(work) == 0 && chdir("..") == 0);
	meets("outside", "outside");
	unlink("outside");
	snprintf(text, sizeof(text), "%s", work);
	strcpy(strrchr(text, '/'), "/out");
	meets(text, text);
	snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "thole-%d", getpid());
	must(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 1) == 0);
	must(connect(other, (struct sockaddr *)&a, sizeof(a)) == 0);
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && send(pair[0], "x", 1, 0) == 1);
	return 0;
}

/* The same calls are another feature's, too: one after the other says whether it is meant. */
static int with_ports_here(void *taken)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = *(in_port_t *)taken,
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(a);

	must(bind(server, (struct sockaddr *)&a, len) == 0 && listen(server, 1) == 0);
	must(getsockname(server, (struct sockaddr *)&a, &len) == 0);
	must(a.sin_port == *(in_port_t *)taken);
	must(connect(client, (struct sockaddr *)&a, len) == 0);
	must(getpeername(client, (struct sockaddr *)&a, &len) == 0);
	must(a.sin_port == *(in_port_t *)taken);
	return streams_here(NULL);
}

/* ---- */

static void shown_to(int (*run)(void *), void *arg, bool ports)
{
	struct cow_box b;
	int lower;

	umask(0);
	cow_box_make(&b, 0);
	b.config.plan.ports = ports;
	fchmod(b.dir, 0777);
	snprintf(work, sizeof(work), "%s", b.guest);
	lower = b.map.lower;
	ok(mkdirat(lower, "old", 0755) == 0 && mkdirat(lower, "open", 0777) == 0 &&
		   mknodat(lower, "old/file", S_IFREG | 0644, 0) == 0 &&
		   mknodat(lower, "old/gone", S_IFREG | 0644, 0) == 0 &&
		   symlinkat("new", lower, "link") == 0,
	   "what is there before");
	guarded_run(&b.config, run, arg);
	cow_box_drop(&b);
}

#define CASE(name, run)                     \
	static void name(void)              \
	{                                   \
		shown_to(run, NULL, false); \
	}
CASE(streams, streams_here)
CASE(failures, fails_here)
CASE(names, names_here)
CASE(datagrams, datagrams_here)
CASE(full_queues, waits_here)
CASE(clients, accepts_here)
CASE(senders, receives_here)
CASE(outside, outside_here)

static void other_users(void)
{
	if (geteuid() != 0)
		tap_skip("it takes root to be somebody else");
	shown_to(as_others_here, NULL, false);
}

static void beside_ports(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);

	ok(bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 1) == 0 &&
		   getsockname(fd, (struct sockaddr *)&a, &len) == 0,
	   "a port that is taken");
	shown_to(with_ports_here, &a.sin_port, true);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(streams), TAP(failures), TAP(names),   TAP(datagrams),   TAP(full_queues),
		TAP(clients), TAP(senders),  TAP(outside), TAP(other_users), TAP(beside_ports),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
