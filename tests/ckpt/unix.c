/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of AF_UNIX: pairs, names, data and descriptors in flight. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cycle.h"

static void expect(int fd, const char *want, const char *what)
{
	char buf[256] = "";
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	check(n == (ssize_t)strlen(want) && memcmp(buf, want, strlen(want)) == 0,
	      "%s: \"%.*s\" (%ld), wanted \"%s\", errno %d", what, n > 0 ? (int)n : 0, buf, (long)n,
	      want, n < 0 ? errno : 0);
}

static void answer(void *ctx)
{
	int fd = *(int *)ctx;
	char c;

	cycle_wait();
	must(read(fd, &c, 1));
	must(write(fd, "child", 5));
}

static void socketpairs(void)
{
	int stream[2], dgram[2], packet[2], shut[2], alone[2], shared[2], size = 65536, is = 0;
	socklen_t len = sizeof(is);
	pid_t child;
	char c;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream));
	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, dgram));
	must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packet));
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, shut));
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, alone));
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, shared));
	must(write(stream[0], "to one", 6));
	must(write(stream[1], "to zero", 7));
	must(write(dgram[0], "first", 5));
	must(write(dgram[0], "", 0));
	must(write(dgram[0], "second", 6));
	must(write(packet[1], "a packet", 8));
	must(write(packet[1], "another", 7));
	must(write(shut[0], "before", 6));
	must(shutdown(shut[0], SHUT_WR));
	must(write(alone[1], "left behind", 11));
	close(alone[1]);
	must(setsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	must(setsockopt(stream[0], SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)));
	must(getsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &size, &len));
	must(setsockopt(stream[0], SOL_SOCKET, SO_PASSCRED, &(int){ 0 }, sizeof(int)));
	child = cycle_child(answer, &shared[1]);
	close(shared[1]);
	cycle();
	expect(stream[1], "to one", "a stream");
	expect(stream[0], "to zero", "a stream, back");
	must(getsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &is, &len));
	check(is == size, "SO_SNDBUF %d, was %d", is, size);
	expect(dgram[1], "first", "a datagram");
	expect(dgram[1], "", "an empty datagram");
	expect(dgram[1], "second", "a datagram");
	check(recv(dgram[1], &c, 1, 0) < 0 && errno == EAGAIN, "O_NONBLOCK: errno %d", errno);
	expect(packet[0], "a packet", "a packet");
	expect(packet[0], "another", "a packet");
	expect(shut[1], "before", "one that was shut down");
	expect(shut[1], "", "its end");
	check(write(shut[1], "x", 1) == 1, "the other way: %s", strerror(errno));
	expect(shut[0], "x", "the other way");
	expect(alone[0], "left behind", "one whose peer has gone");
	expect(alone[0], "", "its end");
	must(write(shared[0], "?", 1));
	cycle_join(child);
	expect(shared[0], "child", "one to a child");
	expect(shared[0], "", "its end");
	must(write(stream[0], "new", 3));
	expect(stream[1], "new", "a stream, again");
}

static void send_fd(int sock, const char *text, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = "";
	struct iovec io = { (void *)text, strlen(text) };
	struct msghdr m = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	must(sendmsg(sock, &m, 0));
}

static int recv_fd(int sock, char *text, size_t size)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = "";
	struct iovec io = { text, size - 1 };
	struct msghdr m = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)
	};
	ssize_t n = recvmsg(sock, &m, MSG_DONTWAIT);
	struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int fd = -1;

	text[n > 0 ? n : 0] = '\0';
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

/* Descriptors that nobody has but the socket, and one that is the sender's still. */
static void descriptors_in_flight(void)
{
	int stream[2], dgram[2], lone[2], kept[2], fd;
	char text[64];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream));
	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, dgram));
	must(pipe2(lone, O_CLOEXEC));
	must(pipe2(kept, O_CLOEXEC));
	must(write(lone[1], "in a pipe in a socket", 21));
	send_fd(stream[0], "w", lone[0]);
	send_fd(dgram[0], "kept", kept[1]);
	close(lone[0]);
	cycle();
	fd = recv_fd(stream[1], text, sizeof(text));
	check(fd >= 0 && strcmp(text, "w") == 0, "no descriptor with \"%s\"", text);
	memset(text, 0, sizeof(text));
	check(read(fd, text, sizeof(text) - 1) == 21 && strcmp(text, "in a pipe in a socket") == 0,
	      "\"%s\"", text);
	must(write(lone[1], "!", 1));
	check(read(fd, text, 1) == 1, "the other end");
	fd = recv_fd(dgram[1], text, sizeof(text));
	check(fd >= 0 && strcmp(text, "kept") == 0, "no descriptor with \"%s\"", text);
	must(write(fd, "same", 4));
	check(read(kept[0], text, sizeof(text)) == 4, "the pipe that was kept");
}

static socklen_t name(struct sockaddr_un *a, const char *kind)
{
	const char *at = getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle";

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (kind[0] == '@')
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				   (size_t)snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1,
						    "%s-%d", kind + 1, (int)getpid()));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(a->sun_path, sizeof(a->sun_path), "%s/%s", at, kind));
}

static int bound(int type, const char *kind)
{
	struct sockaddr_un a;
	socklen_t len = name(&a, kind);
	int fd = (int)must(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));

	if (kind[0] != '@')
		unlink(a.sun_path);
	must(bind(fd, (struct sockaddr *)&a, len));
	return fd;
}

static int dialled(int type, const char *kind)
{
	struct sockaddr_un a;
	socklen_t len = name(&a, kind);
	int fd = (int)must(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));

	must(connect(fd, (struct sockaddr *)&a, len));
	return fd;
}

/* Under a name, abstract, and under the name that the kernel chose. */
static void listeners(void)
{
	int path = bound(SOCK_STREAM, "listens"), abstract = bound(SOCK_STREAM, "@listens");
	int packet = bound(SOCK_SEQPACKET, "listens packets"), autobound, fd, peer;
	struct sockaddr_un was = { 0 }, is = { 0 };
	socklen_t was_len = sizeof(was), is_len = sizeof(is);

	must(listen(path, 5));
	must(listen(abstract, 5));
	must(listen(packet, 5));
	autobound = (int)must(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	must(bind(autobound, (struct sockaddr *)&(struct sockaddr_un){ .sun_family = AF_UNIX },
		  sizeof(sa_family_t)));
	must(getsockname(autobound, (struct sockaddr *)&was, &was_len));
	cycle();
	must(getsockname(autobound, (struct sockaddr *)&is, &is_len));
	check(was_len == is_len && memcmp(&was, &is, was_len) == 0,
	      "the name that the kernel gave");
	fd = dialled(SOCK_STREAM, "listens");
	peer = (int)must(accept(path, NULL, NULL));
	must(write(fd, "hello", 5));
	expect(peer, "hello", "by a path");
	fd = dialled(SOCK_STREAM, "@listens");
	peer = (int)must(accept(abstract, NULL, NULL));
	must(write(peer, "hello", 5));
	expect(fd, "hello", "by an abstract name");
	fd = dialled(SOCK_SEQPACKET, "listens packets");
	peer = (int)must(accept(packet, NULL, NULL));
	must(write(fd, "hello", 5));
	expect(peer, "hello", "by packets");
	unlink(was.sun_path);
}

static void accept_named(void *ctx)
{
	struct sockaddr_un want, is = { 0 };
	socklen_t want_len = name(&want, "calls"), len = sizeof(is);
	const int listener = *(const int *)ctx;

	must(accept(listener, (struct sockaddr *)&is, &len));
	check(len == want_len && memcmp(&is, &want, len) == 0, "the name of who connects is \"%s\"",
	      is.sun_path);
}

/* One is waited for, and says who it is; by a name from before as well. */
static void awaited(void)
{
	int listener = bound(SOCK_STREAM, "awaits"), client = bound(SOCK_STREAM, "calls");
	int other = bound(SOCK_DGRAM, "receives"), sender = bound(SOCK_DGRAM, "sends");
	struct sockaddr_un to, want, is = { 0 };
	socklen_t to_len, want_len, len = sizeof(is);
	pid_t child;
	char byte;

	must(listen(listener, 5));
	child = cycle_child(accept_named, &listener);
	cycle_until_asleep(child, child);
	to_len = name(&to, "receives");
	must(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, to_len));
	cycle();
	to_len = name(&to, "awaits");
	must(connect(client, (struct sockaddr *)&to, to_len));
	cycle_join(child);
	want_len = name(&want, "sends");
	check(recvfrom(other, &byte, 1, 0, (struct sockaddr *)&is, &len) == 1 && len == want_len &&
		      memcmp(&is, &want, len) == 0,
	      "the name of who has sent is \"%s\"", is.sun_path);
	len = sizeof(is);
	want_len = name(&want, "receives");
	must(getsockname(other, (struct sockaddr *)&is, &len));
	check(len == want_len && memcmp(&is, &want, len) == 0, "its own name is \"%s\"",
	      is.sun_path);
}

/* Accepted before: both ends in the container. The listener's name is the peer's name. */
static void connections(void)
{
	int listener = bound(SOCK_STREAM, "accepts"), client, server, pending;
	struct sockaddr_un want, is = { 0 };
	socklen_t want_len = name(&want, "accepts"), len = sizeof(is);

	must(listen(listener, 5));
	client = dialled(SOCK_STREAM, "accepts");
	server = (int)must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	must(write(client, "from the client", 15));
	must(write(server, "from the server", 15));
	cycle();
	expect(server, "from the client", "the server");
	expect(client, "from the server", "the client");
	must(getpeername(client, (struct sockaddr *)&is, &len));
	check(len == want_len && strcmp(is.sun_path, want.sun_path) == 0, "the peer is \"%s\"",
	      is.sun_path);
	pending = dialled(SOCK_STREAM, "accepts");
	server = (int)must(accept(listener, NULL, NULL));
	must(write(pending, "new", 3));
	expect(server, "new", "a new connection");
}

static void datagrams(void)
{
	int server = bound(SOCK_DGRAM, "datagrams"), abstract = bound(SOCK_DGRAM, "@datagrams");
	int client = dialled(SOCK_DGRAM, "datagrams"), other = dialled(SOCK_DGRAM, "@datagrams");

	must(write(client, "before", 6));
	must(write(client, "between", 7));
	cycle();
	expect(server, "before", "a datagram");
	must(write(client, "after", 5));
	expect(server, "between", "a datagram");
	expect(server, "after", "a datagram");
	must(write(other, "abstract", 8));
	expect(abstract, "abstract", "to an abstract name");
}

/* Who is at the other end: also when it has ended since, or was another user then. */
static void told(int fd, struct ucred *out)
{
	socklen_t len = sizeof(*out);

	must(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, out, &len));
}

static void dial_and_hand_over(void *ctx)
{
	int pair[2];

	/* where there are other ids */
	if (setresgid((gid_t)-1, 22, (gid_t)-1) == 0)
		must(setresuid((uid_t)-1, 11, (uid_t)-1));
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	send_fd(*(int *)ctx, "a", pair[0]);
	send_fd(*(int *)ctx, "b", pair[1]);
	send_fd(*(int *)ctx, "c", dialled(SOCK_STREAM, "credentials"));
}

static void listen_and_hand_over(void *ctx)
{
	int fd = bound(SOCK_STREAM, "of a child");

	must(listen(fd, 3));
	send_fd(*(int *)ctx, "l", fd);
	send_fd(*(int *)ctx, "d", dialled(SOCK_STREAM, "of a child"));
}

static void credentials(void)
{
	int listener = bound(SOCK_STREAM, "credentials"), way[2], fd[7];
	struct ucred was[7], is;
	struct sockaddr_un at;
	char text[8];

	name(&at, "credentials");
	must(chmod(at.sun_path, 0777));
	must(listen(listener, 3));
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, way));
	cycle_join(cycle_child(dial_and_hand_over, &way[1]));
	for (int i = 0; i < 3; i++)
		fd[i] = recv_fd(way[0], text, 2);
	fd[3] = (int)must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	fd[4] = listener;
	cycle_join(cycle_child(listen_and_hand_over, &way[1]));
	fd[5] = recv_fd(way[0], text, 2);
	fd[6] = recv_fd(way[0], text, 2);
	must(accept4(fd[5], NULL, NULL, SOCK_CLOEXEC));
	for (int i = 0; i < 7; i++)
		told(fd[i], &was[i]);
	check(was[0].pid != getpid() && was[3].pid == was[0].pid && was[2].pid == getpid() &&
		      was[5].pid == was[6].pid && was[5].pid != was[0].pid,
	      "processes %d %d %d %d", was[0].pid, was[3].pid, was[2].pid, was[5].pid);
	cycle();
	for (int i = 0; i < 7; i++) {
		told(fd[i], &is);
		check(is.pid == was[i].pid && is.uid == was[i].uid && is.gid == was[i].gid,
		      "%d: process %d, user %d, group %d, was %d, %d, %d", i, is.pid, (int)is.uid,
		      (int)is.gid, was[i].pid, (int)was[i].uid, (int)was[i].gid);
	}
	must(write(fd[2], "x", 1));
	expect(fd[3], "x", "a connection");
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = (int)must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	must(bind(fd, (struct sockaddr *)&a, sizeof(a)));
	must(listen(fd, 2));
	return fd;
}

static void check_named(int fd, const char *path)
{
	struct sockaddr_un a = { 0 };
	socklen_t len = sizeof(a);

	must(getsockname(fd, (struct sockaddr *)&a, &len));
	check(strcmp(a.sun_path, path) == 0, "its name is \"%s\"", a.sun_path);
}

/* Whose path leads to something else now: that stays. */
static void replaced(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/dev/shm/b/name" };
	int by_file, by_socket, gone, fd;
	char text[16] = "";
	struct stat st;

	by_file = listen_at("/dev/shm/file");
	must(unlink("/dev/shm/file"));
	fd = (int)must(open("/dev/shm/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	must(write(fd, "a file", 6));
	close(fd);
	must(mkdir("/dev/shm/a", 0700));
	must(mkdir("/dev/shm/b", 0700));
	must(chdir("/dev/shm/b"));
	close(listen_at("name"));
	must(chmod("name", 0604));
	must(chdir("/dev/shm/a"));
	by_socket = listen_at("name");
	must(chdir("/dev/shm/b"));
	must(mkdir("/dev/shm/c", 0700));
	gone = listen_at("/dev/shm/c/gone");
	must(unlink("/dev/shm/c/gone"));
	must(rmdir("/dev/shm/c"));
	cycle();
	cycle_read("/dev/shm/file", text, sizeof(text));
	check(strcmp(text, "a file") == 0, "the file says \"%s\"", text);
	check_named(by_file, "/dev/shm/file");
	check_named(by_socket, "name");
	check_named(gone, "/dev/shm/c/gone");
	check(stat("/dev/shm/b/name", &st) == 0 && (st.st_mode & 07777) == 0604,
	      "mode 0%o of a socket that nobody has", (unsigned)st.st_mode);
	fd = (int)must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	check(connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == ECONNREFUSED,
	      "somebody else listens there, errno %d", errno);
}

/* A connection that a listener has accepted whose path is gone. */
static void outlived(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/dev/shm/old" };
	int listener = listen_at(a.sun_path), client, server, receiver, sender;

	client = (int)must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	must(connect(client, (struct sockaddr *)&a, sizeof(a)));
	server = (int)must(accept(listener, NULL, NULL));
	must(unlink(a.sun_path));
	must(write(client, "sent", 4));
	strcpy(a.sun_path, "/dev/shm/receiver");
	receiver = (int)must(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	sender = (int)must(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	must(bind(receiver, (struct sockaddr *)&a, sizeof(a)));
	must(connect(sender, (struct sockaddr *)&a, sizeof(a)));
	must(write(sender, "first", 5));
	must(unlink(a.sun_path));
	cycle();
	must(write(sender, "second", 6));
	expect(receiver, "first", "a datagram");
	expect(receiver, "second", "another one");
	check_named(receiver, a.sun_path);
	strcpy(a.sun_path, "/dev/shm/old");
	check_named(listener, a.sun_path);
	check_named(server, a.sun_path);
	expect(server, "sent", "what was sent");
	check(access(a.sun_path, F_OK) < 0, "its path is there again");
}

const struct cycle_case unix_cases[] = {
	{ "unix-pairs", socketpairs },       { "unix-descriptors", descriptors_in_flight },
	{ "unix-listeners", listeners },     { "unix-awaited", awaited },
	{ "unix-connections", connections }, { "unix-datagrams", datagrams },
	{ "unix-credentials", credentials }, { "unix-replaced", replaced },
	{ "unix-outlived", outlived },       { NULL, NULL },
};
