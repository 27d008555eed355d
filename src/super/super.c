/* SPDX-License-Identifier: Apache-2.0 */
/* How a supervisor comes to be, and how it is asked. */
#include "super/super.h"

#include <errno.h>
#include <fcntl.h>
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

/* Of a request whose answer brings nothing. */
static int tell(int connection, const void *request, size_t len, int fd, const char *what)
{
	struct super_reply reply;
	int ret = fd_send(connection, request, len, &fd, 1);
	ssize_t n = ret ? ret : fd_recv(connection, &reply, sizeof(reply), NULL, NULL);

	if (n < 0)
		return fail((int)-n, "%s: %s", what, err_reason((int)-n));
	if (n != sizeof(reply))
		return fail(EPIPE, "%s: it has ended", what);
	return reply.error ? fail(reply.error, "%s: %s", what, err_reason(reply.error)) : 0;
}

int super_adopt(int connection, int listener)
{
	const struct super_request request = { .op = SUPER_ADOPT };

	return tell(connection, &request, sizeof(request), listener,
		    "give the supervisor a listener");
}

int super_put_port(int connection, const struct super_put_port *put, int sock)
{
	return tell(connection, put, sizeof(*put), sock, "tell the supervisor of a port");
}

int super_ask_ports(int connection, struct arena *a, struct super_port **out, size_t *out_n)
{
	const struct super_request request = { .op = SUPER_PORTS };
	struct super_reply reply;
	auto_fd file = -1;
	size_t n_fds = 1, len;
	int ret = fd_send(connection, &request, sizeof(request), NULL, 0);
	ssize_t n = ret ? ret : fd_recv(connection, &reply, sizeof(reply), &file, &n_fds);
	char *data;

	if (n < 0)
		return fail((int)-n, "ask the supervisor: %s", err_reason((int)-n));
	if (n != sizeof(reply))
		return fail(EPIPE, "the supervisor has ended");
	if (reply.error)
		return fail(reply.error, "ask the supervisor for its ports: %s",
			    err_reason(reply.error));
	lseek(file, 0, SEEK_SET);
	ret = fd_read_all(file, a, reply.count * sizeof(**out) + 1, &data, &len);
	if (ret)
		return ret;
	if (len != reply.count * sizeof(**out))
		return fail(EPROTO, "the supervisor's answer is cut");
	*out = (struct super_port *)data;
	*out_n = reply.count;
	return 0;
}
