/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries what its arguments say, and prints for each what came of it: "read=ok list=EACCES".
 *
 *	reach read:PATH list:PATH rename:FROM:TO connect:PORT ...
 *
 * Static: a container's root file system has no libc.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int opened(int fd)
{
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int done(int ret)
{
	return ret < 0 ? errno : 0;
}

static int try_read(const char *a, const char *b)
{
	(void)b;
	return opened(open(a, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

static int try_list(const char *a, const char *b)
{
	(void)b;
	return opened(open(a, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int try_write(const char *a, const char *b)
{
	(void)b;
	return opened(open(a, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

static int try_create(const char *a, const char *b)
{
	(void)b;
	return opened(open(a, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

static int try_trunc(const char *a, const char *b)
{
	(void)b;
	return done(truncate(a, 0));
}

static int try_mkdir(const char *a, const char *b)
{
	(void)b;
	return done(mkdir(a, 0700));
}

static int try_rmdir(const char *a, const char *b)
{
	(void)b;
	return done(rmdir(a));
}

static int try_unlink(const char *a, const char *b)
{
	(void)b;
	return done(unlink(a));
}

static int try_rename(const char *a, const char *b)
{
	return done(rename(a, b));
}

static int try_link(const char *a, const char *b)
{
	return done(link(a, b));
}

static int try_symlink(const char *a, const char *b)
{
	return done(symlink(a, b));
}

static int try_chdir(const char *a, const char *b)
{
	(void)b;
	return done(chdir(a));
}

/* The null device: harmless where it can be made. */
static int try_mknod(const char *a, const char *b)
{
	(void)b;
	return done(mknod(a, S_IFCHR | 0600, makedev(1, 3)));
}

static int try_mount(const char *a, const char *b)
{
	(void)b;
	return done(mount("none", a, "tmpfs", 0, NULL));
}

static int try_exec(const char *a, const char *b)
{
	int status;
	pid_t pid = fork();

	(void)b;
	if (pid == 0) {
		execl(a, a, NULL);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

static int try_kill(const char *a, const char *b)
{
	(void)b;
	return done(kill(atoi(a), 0));
}

/* "@name" is abstract, unix(7). */
static int unix_socket(int (*act)(int, const struct sockaddr *, socklen_t), const char *name)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int n = snprintf(at.sun_path, sizeof(at.sun_path), "%s", name);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (name[0] == '@')
		at.sun_path[0] = '\0';
	return act(fd, (struct sockaddr *)&at, len) < 0 ? -errno : fd;
}

static int try_sock(const char *a, const char *b)
{
	int fd = unix_socket(bind, a);

	(void)b;
	return fd < 0 ? -fd : opened(fd);
}

static int try_unix(const char *a, const char *b)
{
	int fd = unix_socket(connect, a);

	(void)b;
	return fd < 0 ? -fd : opened(fd);
}

/* Listens until it is killed. */
static int try_serve(const char *a, const char *b)
{
	int fd = unix_socket(bind, a);

	(void)b;
	if (fd < 0 || listen(fd, 8) < 0)
		return errno;
	pause();
	return 0;
}

static int inet_socket(int (*act)(int, const struct sockaddr *, socklen_t), const char *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)atoi(port)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, ret;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ret = done(act(fd, (struct sockaddr *)&at, sizeof(at)));
	close(fd);
	return ret;
}

static int try_bind(const char *a, const char *b)
{
	(void)b;
	return inet_socket(bind, a);
}

static int try_connect(const char *a, const char *b)
{
	(void)b;
	return inet_socket(connect, a);
}

static const struct {
	const char *name;
	int (*try)(const char *a, const char *b);
} acts[] = {
	{ "read", try_read },     { "list", try_list },       { "write", try_write },
	{ "create", try_create }, { "trunc", try_trunc },     { "mkdir", try_mkdir },
	{ "rmdir", try_rmdir },   { "unlink", try_unlink },   { "rename", try_rename },
	{ "link", try_link },     { "symlink", try_symlink }, { "chdir", try_chdir },
	{ "mknod", try_mknod },   { "mount", try_mount },     { "exec", try_exec },
	{ "kill", try_kill },     { "sock", try_sock },       { "unix", try_unix },
	{ "serve", try_serve },   { "bind", try_bind },       { "connect", try_connect },
};

static int try_one(char *text)
{
	char *a = strchr(text, ':'), *b = a ? strchr(a + 1, ':') : NULL;
	int ret;

	if (!a)
		return 99;
	*a++ = '\0';
	if (b)
		*b++ = '\0';
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (strcmp(acts[i].name, text) != 0)
			continue;
		ret = acts[i].try(a, b);
		printf("%s=%s ", text, ret ? strerrorname_np(ret) : "ok");
		return 0;
	}
	return 99;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (try_one(argv[i]))
			return 99;
	puts("");
	return 0;
}
