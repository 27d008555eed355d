/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/sys.h"
#include "jail/landlock.h"
#include "jail/plan.h"

#define READ_ONLY (LL_READ_FILE | LL_READ_DIR | LL_EXECUTE | LL_RESOLVE_UNIX)
#define DEVICE_MAKING (LL_MAKE_CHAR | LL_MAKE_BLOCK | LL_IOCTL_DEV)
#define OPEN_FILE (LL_READ_FILE | LL_WRITE_FILE | LL_TRUNCATE | LL_IOCTL_DEV)

int policy_wanted(const struct sandbox *sb)
{
	const struct cred_caps *caps = &sb->process.cred.caps;
	bool may_mount = !caps->set || caps->permitted & 1ull << CAP_SYS_ADMIN;

	switch (sb->landlock.mode) {
	case LANDLOCK_OFF:
		return 0;
	case LANDLOCK_ENFORCE:
		if (landlock_abi() < 1)
			return fail(
				ENOTSUP,
				"run.thole.landlock is enforce, but this kernel has no Landlock");
		return 1;
	case LANDLOCK_AUTO:
		break;
	}
	/* a Landlock domain can't change mounts: step aside for a container that is meant to */
	return landlock_abi() >= 1 && !may_mount && ns_new(&sb->ns, NS_MOUNT);
}

static uint64_t rights_of(const struct mount_plan *m, uint64_t all)
{
	uint64_t set = m->set | m->rset;
	uint64_t rights = set & MOUNT_ATTR_RDONLY ? all & READ_ONLY : all;

	if (set & MOUNT_ATTR_NOEXEC)
		rights &= ~LL_EXECUTE;
	if (set & MOUNT_ATTR_NODEV)
		rights &= ~DEVICE_MAKING;
	return rights;
}

static int allow_path(int ruleset, int root, const char *path, uint64_t rights)
{
	auto_fd fd = fd_open_in_root(root, path, O_PATH);
	int ret;

	if (fd == -ENOENT)
		return 0; /* a mount that a later one covers */
	ret = fd < 0 ? fd : landlock_allow_fd(ruleset, fd, rights);
	return ret ? fail(-ret, "grant %s by Landlock: %s", path, err_reason(-ret)) : 0;
}

/* A terminal, a file or a named pipe that the caller handed over may be opened again by
 * /dev/stdout. */
static int allow_stdio(int ruleset, uint64_t all)
{
	struct stat st;
	int ret;

	for (int fd = 0; fd <= 2; fd++) {
		if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
			continue;
		ret = landlock_allow_fd(ruleset, fd, all & OPEN_FILE);
		if (ret && ret != -EBADFD && ret != -EBADF) /* pipes and sockets need no rule */
			return fail(-ret, "grant descriptor %d by Landlock: %s", fd,
				    err_reason(-ret));
	}
	return 0;
}

static int allow_files(const struct sandbox *sb, int ruleset, int root, uint64_t all)
{
	const struct rootfs_plan *p = &sb->rootfs;
	int ret = allow_path(ruleset, root, "/", p->readonly ? all & READ_ONLY : all);

	for (size_t i = 0; !ret && i < p->n_mounts; i++)
		ret = allow_path(ruleset, root, p->mounts[i].target, rights_of(&p->mounts[i], all));
	/* device nodes sit on a /dev that may be read-only itself */
	if (!ret)
		ret = allow_path(ruleset, root, "/dev", all & (OPEN_FILE | LL_READ_DIR));
	for (size_t i = 0; !ret && i < p->n_devices; i++)
		ret = allow_path(ruleset, root, p->devices[i].path, all & OPEN_FILE);
	for (size_t i = 0; !ret && i < sb->landlock.n_extra; i++)
		ret = allow_path(ruleset, root, sb->landlock.extra[i].path,
				 all & sb->landlock.extra[i].rights);
	return ret;
}

static int allow_ports(int ruleset, const uint16_t *ports, size_t n, uint64_t right)
{
	int ret;

	for (size_t i = 0; i < n; i++) {
		ret = landlock_allow_port(ruleset, ports[i], right);
		if (ret)
			return fail(-ret, "grant TCP port %u by Landlock: %s", ports[i],
				    err_reason(-ret));
	}
	return 0;
}

int policy_ruleset(const struct sandbox *sb, bool stdio)
{
	const struct landlock_plan *l = &sb->landlock;
	int abi = landlock_abi();
	uint64_t all = landlock_fs_rights(abi);
	uint64_t net = ((l->has_bind ? LL_BIND_TCP : 0) | (l->has_connect ? LL_CONNECT_TCP : 0)) &
		       landlock_net_rights(abi);
	auto_fd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd ruleset = -1;
	int ret;

	if (root < 0)
		return fail_errno("open the container's root");
	ruleset = landlock_open(all, net, l->scope & landlock_scopes(abi));
	if (ruleset < 0)
		return ruleset;
	ret = allow_files(sb, ruleset, root, all);
	if (!ret && stdio)
		ret = allow_stdio(ruleset, all);
	if (!ret && net & LL_BIND_TCP)
		ret = allow_ports(ruleset, l->bind, l->n_bind, LL_BIND_TCP);
	if (!ret && net & LL_CONNECT_TCP)
		ret = allow_ports(ruleset, l->connect, l->n_connect, LL_CONNECT_TCP);
	return ret ? ret : fd_take(&ruleset);
}
