/* SPDX-License-Identifier: Apache-2.0 */
/* The table in the kernel. Nothing here allocates. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "jail/policy.h"

static int allow_path(int ruleset, int root, const struct policy_rule *r, uint64_t rights)
{
	auto_fd fd = fd_open_in_root(root, r->path, O_PATH);
	int ret;

	if (fd == -ENOENT)
		return 0; /* a mount that a later one covers */
	ret = fd < 0 ? fd : landlock_allow_fd(ruleset, fd, rights);
	return ret ? fail(-ret, "%s: grant %s by Landlock: %s", r->where, r->path, err_reason(-ret))
		   : 0;
}

/* A terminal, a file or a named pipe that the caller handed over may be opened again by
 * /dev/stdout. */
static int allow_stdio(int ruleset, uint64_t rights)
{
	struct stat st;
	int ret;

	for (int fd = 0; fd <= 2; fd++) {
		if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
			continue;
		ret = landlock_allow_fd(ruleset, fd, rights);
		if (ret && ret != -EBADFD && ret != -EBADF) /* pipes and sockets need no rule */
			return fail(-ret, "grant descriptor %d by Landlock: %s", fd,
				    err_reason(-ret));
	}
	return 0;
}

static int allow_ports(int ruleset, const struct policy_rule *r)
{
	int ret;

	for (unsigned port = r->first; port <= r->last; port++) {
		ret = landlock_allow_port(ruleset, (uint16_t)port, r->granted);
		if (ret)
			return fail(-ret, "%s: grant port %u by Landlock: %s", r->where, port,
				    err_reason(-ret));
	}
	return 0;
}

int policy_ruleset(const struct policy *p, bool stdio)
{
	uint64_t files = p->handled[LANDLOCK_FS];
	auto_fd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd ruleset = -1;
	int ret = 0;

	if (root < 0)
		return fail_errno("open the container's root");
	ruleset = landlock_open(p->handled);
	if (ruleset < 0)
		return ruleset;
	for (size_t i = 0; i < p->n_rules && !ret; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (!r->in_ruleset)
			continue;
		if (r->kind == POLICY_FILES)
			ret = allow_path(ruleset, root, r, r->granted & files);
		else if (r->kind == POLICY_STDIO && stdio)
			ret = allow_stdio(ruleset, r->granted & files);
		else if (r->kind == POLICY_PORTS)
			ret = allow_ports(ruleset, r);
	}
	return ret ? ret : fd_take(&ruleset);
}
