/* SPDX-License-Identifier: Apache-2.0 */
/* Every right of the table on this kernel: denied where it is handled, had where it is granted. */
#include "jail/landlock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "lib/scratch.h"
#include "lib/tap.h"

#define UNSURE 255 /* no answer from the child */

static uint64_t full[LANDLOCK_CLASSES];

static void need_landlock(void)
{
	if (landlock_abi() < 1)
		tap_skip("this kernel has no Landlock");
	for (int c = 0; c < LANDLOCK_CLASSES; c++)
		full[c] = landlock_all((enum landlock_class)c, landlock_abi());
}

static int result(int ret)
{
	return ret < 0 ? errno : 0;
}

/* Each acts on what prepare() made in the working directory. */

static int execute(void)
{
	char *const none[] = { NULL };

	execve("garbage", none, none);
	return errno == ENOEXEC ? 0 : errno; /* it got as far as being looked at */
}

static int write_file(void)
{
	auto_fd fd = open("file", O_WRONLY | O_CLOEXEC);

	return result(fd);
}

static int read_file(void)
{
	auto_fd fd = open("file", O_RDONLY | O_CLOEXEC);

	return result(fd);
}

static int read_dir(void)
{
	auto_fd fd = open("sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return result(fd);
}

static int remove_dir(void)
{
	return result(rmdir("empty"));
}

static int remove_file(void)
{
	return result(unlink("file"));
}

static int make_char(void)
{
	return result(mknod("made", S_IFCHR | 0600, makedev(1, 3)));
}

static int make_block(void)
{
	return result(mknod("made", S_IFBLK | 0600, makedev(7, 0)));
}

static int make_dir(void)
{
	return result(mkdir("made", 0700));
}

static int make_reg(void)
{
	return result(mknod("made", S_IFREG | 0600, 0));
}

static int make_sock(void)
{
	return result(mknod("made", S_IFSOCK | 0600, 0));
}

static int make_fifo(void)
{
	return result(mkfifo("made", 0600));
}

static int make_sym(void)
{
	return result(symlink("file", "made"));
}

static int refer(void)
{
	return result(link("file", "sub/made"));
}

static int cut(void)
{
	return result(truncate("file", 0));
}

static int ioctl_dev(void)
{
	auto_fd fd = open("null", O_RDONLY | O_CLOEXEC);
	struct termios t;

	if (fd < 0)
		return errno;
	return ioctl(fd, TCGETS, &t) < 0 && errno != ENOTTY ? errno : 0;
}

static int resolve_unix(void)
{
	auto_fd fd = fd_unix_connect(AT_FDCWD, "socket");

	return fd < 0 ? -fd : 0;
}

static const struct {
	uint64_t right;
	int (*act)(void);
	int denied; /* errno where the right is missing */
	bool root;
} file_rows[] = {
	{ LL_EXECUTE, execute, EACCES, false },
	{ LL_WRITE_FILE, write_file, EACCES, false },
	{ LL_READ_FILE, read_file, EACCES, false },
	{ LL_READ_DIR, read_dir, EACCES, false },
	{ LL_REMOVE_DIR, remove_dir, EACCES, false },
	{ LL_REMOVE_FILE, remove_file, EACCES, false },
	{ LL_MAKE_CHAR, make_char, EACCES, true },
	{ LL_MAKE_DIR, make_dir, EACCES, false },
	{ LL_MAKE_REG, make_reg, EACCES, false },
	{ LL_MAKE_SOCK, make_sock, EACCES, false },
	{ LL_MAKE_FIFO, make_fifo, EACCES, false },
	{ LL_MAKE_BLOCK, make_block, EACCES, true },
	{ LL_MAKE_SYM, make_sym, EACCES, false },
	{ LL_REFER, refer, EXDEV, false },
	{ LL_TRUNCATE, cut, EACCES, false },
	{ LL_IOCTL_DEV, ioctl_dev, EACCES, true },
	{ LL_RESOLVE_UNIX, resolve_unix, EACCES, false },
};

static void put_file(const char *name, const char *text)
{
	auto_fd fd = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0700);

	ok(fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0, "%s is made", name);
}

/* In a directory of its own: what is in it belongs to one row. Returns a listening socket. */
static int prepare(int dir, const char *name)
{
	ok(fchdir(dir) == 0 && mkdir(name, 0700) == 0 && chdir(name) == 0, "%s is made", name);
	put_file("file", "text");
	put_file("garbage", "\1 is no program");
	ok(mkdir("empty", 0700) == 0 && mkdir("sub", 0700) == 0, "directories are made");
	if (geteuid() == 0)
		ok(mknod("null", S_IFCHR | 0600, makedev(1, 3)) == 0, "a device is made");
	return fd_unix_listen(AT_FDCWD, "socket", 0700, 1);
}

/* The errno of the act in a child that may do all but `missing` here. */
static int act_without(int (*act)(void), uint64_t missing)
{
	int status, ruleset;
	pid_t pid = fork();

	if (pid == 0) {
		const uint64_t handled[LANDLOCK_CLASSES] = { [LANDLOCK_FS] = full[LANDLOCK_FS] };
		int here = open(".", O_PATH | O_CLOEXEC);

		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		ruleset = landlock_open(handled);
		if (ruleset < 0 || landlock_allow_fd(ruleset, here, full[LANDLOCK_FS] & ~missing) ||
		    landlock_enter(ruleset, landlock_abi()))
			_exit(UNSURE);
		_exit(act());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : UNSURE;
}

static void file_rights(void)
{
	char name[32];
	int dir;

	need_landlock();
	dir = scratch_make();
	for (size_t i = 0; i < TAP_COUNT(file_rows); i++) {
		auto_fd listener = -1;

		if (!(full[LANDLOCK_FS] & file_rows[i].right) ||
		    (file_rows[i].root && geteuid() != 0))
			continue;
		snprintf(name, sizeof(name), "row%zu", i);
		listener = prepare(dir, name);
		is_int(act_without(file_rows[i].act, file_rows[i].right), file_rows[i].denied,
		       "right %zu is denied", i);
		is_int(act_without(file_rows[i].act, 0), 0, "right %zu is granted", i);
	}
	ok(chdir("/") == 0, "back");
	scratch_drop(dir);
}

/* The rows above are all that the table has: a new right comes with its row. */
static void rows_complete(void)
{
	uint64_t have = 0;

	for (size_t i = 0; i < TAP_COUNT(file_rows); i++)
		have |= file_rows[i].right;
	ok(have == landlock_all(LANDLOCK_FS, LANDLOCK_ABI_NEWEST), "each right has a row");
}

static void table_is_the_kernels(void)
{
	need_landlock();
	for (size_t i = 0; i < landlock_n_rights; i++) {
		const struct landlock_right *r = &landlock_rights[i];
		uint64_t handled[LANDLOCK_CLASSES] = { 0 };
		auto_fd fd = -1;

		handled[r->class] = r->bit;
		fd = landlock_open(handled);
		if (r->abi <= landlock_abi())
			ok(fd >= 0, "ABI %d has %s", landlock_abi(), r->name);
		else
			ok(fd == -EINVAL || fd == -E2BIG, "ABI %d lacks %s", landlock_abi(),
			   r->name);
	}
}

static void errata(void)
{
	unsigned fixed = landlock_errata();

	need_landlock();
	if (landlock_abi() < 7)
		is_int(fixed, 0, "a kernel that can't tell has none");
	else
		ok((fixed & ~0xffu) == 0, "numbers of mistakes, 0x%x", fixed);
}

/* A file handed out as a directory's rule loses what makes no sense for it. */
static void rights_of_a_file(void)
{
	const uint64_t handled[LANDLOCK_CLASSES] = { [LANDLOCK_FS] = LL_READ_FILE | LL_READ_DIR };
	auto_fd ruleset = -1, file = -1;

	need_landlock();
	ruleset = landlock_open(handled);
	file = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	is_int(landlock_allow_fd(ruleset, file, LL_READ_FILE | LL_READ_DIR), 0, "read_dir is left");
	is_int(landlock_allow_fd(ruleset, file, LL_READ_DIR), 0, "and nothing is no error");
}

struct port_try {
	uint64_t right;
	uint16_t granted, used;
	int type;
};

static int use_port(const struct port_try *t)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(t->used),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_fd fd = socket(AF_INET, t->type | SOCK_CLOEXEC, 0);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (t->right & (LL_BIND_TCP | LL_BIND_UDP))
		return result(bind(fd, (struct sockaddr *)&at, sizeof(at)));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 && errno != ECONNREFUSED)
		return errno; /* nobody listens: as far as Landlock goes that is through */
	return 0;
}

static int port_answer(const struct port_try *t)
{
	uint64_t handled[LANDLOCK_CLASSES] = { 0 };
	int status, ruleset;
	pid_t pid = fork();

	if (pid == 0) {
		handled[LANDLOCK_NET] = t->right;
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		ruleset = landlock_open(handled);
		if (ruleset < 0 || landlock_allow_port(ruleset, t->granted, t->right) ||
		    landlock_enter(ruleset, landlock_abi()))
			_exit(UNSURE);
		_exit(use_port(t));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : UNSURE;
}

/* A port that the kernel gives away, which others may have that share it, while fd is open. */
static uint16_t shared_port(int fd)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		tap_skip("no port of the loopback can be had");
	return ntohs(at.sin_port);
}

static void ports(void)
{
	static const struct {
		uint64_t right;
		int type;
	} rows[] = {
		{ LL_BIND_TCP, SOCK_STREAM },
		{ LL_CONNECT_TCP, SOCK_STREAM },
		{ LL_BIND_UDP, SOCK_DGRAM },
		{ LL_CONNECT_SEND_UDP, SOCK_DGRAM },
	};

	need_landlock();
	if (!full[LANDLOCK_NET])
		tap_skip("Landlock ABI %d has no network rights", landlock_abi());
	for (size_t i = 0; i < TAP_COUNT(rows); i++) {
		struct port_try t = { .right = rows[i].right, .type = rows[i].type };
		auto_fd fd = socket(AF_INET, t.type | SOCK_CLOEXEC, 0);

		if (!(full[LANDLOCK_NET] & t.right))
			continue;
		t.used = t.granted = shared_port(fd);
		is_int(port_answer(&t), 0, "row %zu: the granted port", i);
		t.granted ^= 1;
		is_int(port_answer(&t), EACCES, "row %zu: another one", i);
	}
}

static int signal_parent(void)
{
	return result(kill(getppid(), 0));
}

static const struct sockaddr_un *abstract_name(socklen_t *len)
{
	static struct sockaddr_un at = { .sun_family = AF_UNIX };
	int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "thole-test-%d", getpgrp());

	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	return &at;
}

static int connect_abstract(void)
{
	auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len;
	const struct sockaddr_un *at = abstract_name(&len);

	return result(connect(fd, (const struct sockaddr *)at, len));
}

static int scoped_answer(int (*act)(void), uint64_t scope)
{
	uint64_t handled[LANDLOCK_CLASSES] = { [LANDLOCK_SCOPE] = scope };
	int status, ruleset;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		ruleset = landlock_open(handled);
		if (ruleset < 0 || landlock_enter(ruleset, landlock_abi()))
			_exit(UNSURE);
		_exit(act());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : UNSURE;
}

static void scopes(void)
{
	auto_fd listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_un *at;
	socklen_t len;

	need_landlock();
	if (!full[LANDLOCK_SCOPE])
		tap_skip("Landlock ABI %d has no scopes", landlock_abi());
	setpgid(0, 0);
	at = abstract_name(&len);
	ok(bind(listener, (const struct sockaddr *)at, len) == 0 && listen(listener, 4) == 0,
	   "a socket with an abstract name");
	is_int(scoped_answer(signal_parent, LL_SCOPE_SIGNAL), EPERM, "no signal to the outside");
	is_int(scoped_answer(signal_parent, LL_SCOPE_ABSTRACT_UNIX), 0, "only that scope");
	is_int(scoped_answer(connect_abstract, LL_SCOPE_ABSTRACT_UNIX), EPERM,
	       "no abstract name of the outside");
	is_int(scoped_answer(connect_abstract, LL_SCOPE_SIGNAL), 0, "only that scope");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(table_is_the_kernels),
		TAP(rows_complete),
		TAP(file_rights),
		TAP(rights_of_a_file),
		TAP(ports),
		TAP(scopes),
		TAP(errata),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
