/* SPDX-License-Identifier: Apache-2.0 */
#include "task/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

int proc_stat(pid_t pid, struct proc_stat *out)
{
	char path[64], text[1024];
	struct proc_stat st;
	auto_fd fd = -1;
	char *rest;
	ssize_t n;
	int ppid;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	/* the name is the process's own choice: what counts begins after its last parenthesis */
	rest = strrchr(text, ')');
	if (!rest ||
	    sscanf(rest + 1,
		   " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lu",
		   &st.state, &ppid, &st.start_time) != 3)
		return -EPROTO;
	st.ppid = ppid;
	*out = st;
	return 0;
}

int proc_start_time(pid_t pid, uint64_t *out)
{
	struct proc_stat st;
	int ret = proc_stat(pid, &st);

	if (ret)
		return fail(-ret, "read /proc/%d/stat: %s", pid, err_reason(-ret));
	*out = st.start_time;
	return 0;
}
