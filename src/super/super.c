/* SPDX-License-Identifier: Apache-2.0 */
/* How a supervisor comes to be, and how it is asked. */
#include "super/super.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "super/handler.h"
#include "super/loop.h"
#include "super/map.h"
#include "super/notif.h"

int super_filter(struct arena *a, const struct super_plan *plan, struct filter *out)
{
	const struct super_handler *handlers[SUPER_HANDLERS_MAX];
	size_t n = super_handlers(plan, handlers);
	struct guard_call calls[SUPER_HANDLERS_MAX];

	/* one that was left out would go past the supervisor */
	if (n == SUPER_HANDLERS_MAX)
		return fail(E2BIG, "a supervisor has at most %d calls to answer",
			    SUPER_HANDLERS_MAX - 1);
	for (size_t i = 0; i < n; i++)
		calls[i] = handlers[i]->call;
	return guard_build(a, calls, n, out);
}

/* Of all the descriptors of whoever makes the container these are its own. */
static int keep_only(const int *fds, size_t n)
{
	unsigned from = STDERR_FILENO + 1;
	auto_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int next;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			return fail_errno("open /dev/null");
	fd_close(fd_take(&null));
	do {
		next = -1;
		for (size_t i = 0; i < n; i++)
			if (fds[i] >= (int)from && (next < 0 || fds[i] < next))
				next = fds[i];
		if (next < 0)
			sys_close_range(from, ~0u, 0);
		else if (next > (int)from)
			sys_close_range(from, (unsigned)next - 1, 0);
		from = (unsigned)next + 1;
	} while (next >= 0);
	return 0;
}

static void supervise(const struct super_config *config, int channel)
{
	int keep[3 + 2 * SUPER_MAP_MAX] = { config->control, channel, log_fd() }, ret;
	size_t n_keep = 3;

	for (size_t i = 0; i < config->n_dirs && i < SUPER_MAP_MAX; i++) {
		keep[n_keep++] = config->dirs[i].upper;
		keep[n_keep++] = config->dirs[i].lower;
	}
	prctl(PR_SET_NAME, "thole-super", 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* what is held back is the other process's to write */
	log_release(false);
	ret = keep_only(keep, n_keep);
	if (!ret && chdir("/") < 0)
		ret = fail_errno("enter /");
	if (!ret)
		ret = loop_run(config, channel);
	if (ret)
		log_error("the supervisor of container %s: %s; its calls fail with ENOSYS now",
			  config->id, err_last()->text);
	_exit(ret ? 1 : 0);
}

/* By a child that ends at once: the supervisor is nobody's child who would have to know of it. */
static int detach(const struct super_config *config, int channel)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		setsid();
		pid = fork();
		if (pid == 0)
			supervise(config, channel);
		_exit(pid < 0 ? 1 : 0);
	}
	if (pid < 0)
		return fail_errno("start the supervisor");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status ? fail(EAGAIN, "start the supervisor: no more processes can be made") : 0;
}

int super_start(const struct super_config *config, int *out_channel)
{
	int ends[2], ret = notif_check();

	if (ret)
		return ret;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return fail_errno("make a socket pair");
	ret = detach(config, ends[1]);
	fd_close(ends[1]);
	if (ret)
		fd_close(ends[0]);
	else
		*out_channel = ends[0];
	return ret;
}

/* A request with the descriptor that goes along, or -1; file is where the one goes that comes back,
 * or NULL. what is being done, for messages. */
struct question {
	const void *request;
	size_t len;
	int fd, *file;
	const char *what;
};

static int ask(int connection, const struct question *q, struct super_reply *out)
{
	size_t n_fds = q->file ? 1 : 0;
	int ret = fd_send(connection, q->request, q->len, &q->fd, q->fd >= 0);
	ssize_t n = ret ? ret : fd_recv(connection, out, sizeof(*out), q->file, &n_fds);

	if (n < 0)
		return fail((int)-n, "%s: %s", q->what, err_reason((int)-n));
	if (n != sizeof(*out))
		return fail(EPIPE, "%s: it has ended", q->what);
	return out->error ? fail(out->error, "%s: %s", q->what, err_reason(out->error)) : 0;
}

int super_adopt(int connection, int listener)
{
	const struct super_request request = { .op = SUPER_ADOPT };
	struct super_reply reply;

	return ask(connection,
		   &(struct question){ &request, sizeof(request), listener, NULL,
				       "give the supervisor a listener" },
		   &reply);
}

static int send_root(int connection, const int *fds, size_t n)
{
	const struct super_request request = { .op = SUPER_ROOT };
	struct super_reply reply = { .error = EPIPE };
	int ret = fd_send(connection, &request, sizeof(request), fds, n);
	ssize_t got = ret ? ret : fd_recv(connection, &reply, sizeof(reply), NULL, NULL);

	if (got < 0 || reply.error)
		return fail(got < 0 ? (int)-got : reply.error,
			    "show the supervisor the container's root: %s",
			    err_reason(got < 0 ? (int)-got : reply.error));
	return 0;
}

int super_show_root(int connection, const char *const *guests, size_t n)
{
	int fds[1 + SUPER_MAP_MAX], ret = 0;
	size_t done = 1;

	fds[0] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fds[0] < 0)
		return fail_errno("open the container's root");
	for (; !ret && done <= n && done <= SUPER_MAP_MAX; done++) {
		const char *guest = guests[done - 1];

		fds[done] = fd_open_in_root(fds[0], guest, O_PATH | O_DIRECTORY);
		if (fds[done] < 0)
			ret = fail(-fds[done], "open %s, that the supervisor is to show: %s", guest,
				   err_reason(-fds[done]));
	}
	if (!ret)
		ret = send_root(connection, fds, done);
	while (done-- > 0)
		fd_close(fds[done]);
	return ret;
}

int super_put_port(int connection, const struct super_put_port *put, int sock)
{
	struct super_reply reply;

	return ask(connection,
		   &(struct question){ put, sizeof(*put), sock, NULL,
				       "tell the supervisor of a port" },
		   &reply);
}

/* What has no more to it than a number either way. */
static int ask_number(int connection, enum super_op op, uint32_t index, const char *what,
		      uint32_t *out)
{
	const struct super_request request = { .op = op, .index = index };
	struct super_reply reply;
	int ret = ask(connection, &(struct question){ &request, sizeof(request), -1, NULL, what },
		      &reply);

	if (!ret)
		*out = reply.count;
	return ret;
}

int super_hold(int connection, uint32_t *out_left)
{
	return ask_number(connection, SUPER_HOLD, 0, "have the supervisor let go of the container",
			  out_left);
}

int super_go_on(int connection)
{
	uint32_t none;

	return ask_number(connection, SUPER_GO_ON, 0, "have the supervisor go on", &none);
}

int super_yield(int connection, pid_t tid)
{
	uint32_t none;

	return ask_number(connection, SUPER_YIELD, (uint32_t)tid,
			  "have the supervisor let a thread stop", &none);
}

int super_ask_pid(int connection, pid_t *out)
{
	uint32_t pid;
	int ret = ask_number(connection, SUPER_WHO, 0, "ask the supervisor who it is", &pid);

	if (!ret)
		*out = (pid_t)pid;
	return ret;
}

int super_ask_side(int connection, size_t index, enum layer_side side)
{
	const struct super_side request = {
		.request = { .op = SUPER_SIDE, .index = (uint32_t)index },
		.side = side,
	};
	struct super_reply reply;
	auto_fd fd = -1;
	int ret = ask(connection,
		      &(struct question){ &request, sizeof(request), -1, &fd,
					  "ask the supervisor for a directory that it shows" },
		      &reply);

	if (!ret && fd < 0)
		ret = fail(EPROTO, "the supervisor's answer is cut");
	return ret ? ret : fd_take(&fd);
}

/* An answer in a file: count elements of that size. */
static int ask_for(int connection, struct arena *a, enum super_op op, size_t size, char **out,
		   size_t *out_n)
{
	/* lint: parameters: what is asked for, and two results */
	const struct super_request request = { .op = op };
	struct super_reply reply;
	auto_fd file = -1;
	size_t len;
	int ret = ask(
		connection,
		&(struct question){ &request, sizeof(request), -1, &file, "ask the supervisor" },
		&reply);

	if (ret)
		return ret;
	lseek(file, 0, SEEK_SET);
	ret = fd_read_all(file, a, reply.count * size + 1, out, &len);
	if (ret)
		return ret;
	if (len != reply.count * size)
		return fail(EPROTO, "the supervisor's answer is cut");
	*out_n = reply.count;
	return 0;
}

int super_ask_ports(int connection, struct arena *a, struct super_port **out, size_t *out_n)
{
	char *data;
	int ret = ask_for(connection, a, SUPER_PORTS, sizeof(**out), &data, out_n);

	if (!ret)
		*out = (struct super_port *)data;
	return ret;
}

int super_ask_clock(int connection, struct arena *a, struct super_time *out)
{
	char *data;
	size_t n;
	int ret = ask_for(connection, a, SUPER_CLOCK, sizeof(*out), &data, &n);

	if (!ret && n != 1)
		ret = fail(EPROTO, "the supervisor has no time of day");
	if (!ret)
		memcpy(out, data, sizeof(*out));
	return ret;
}
