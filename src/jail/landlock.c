/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/landlock.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/sys.h"

#ifndef LANDLOCK_CREATE_RULESET_VERSION
#define LANDLOCK_CREATE_RULESET_VERSION (1U << 0)
#endif
#define RULE_NET_PORT 2 /* enum landlock_rule_type, ABI 4 */

/* The structures of the newest ABI; a kernel takes the part it knows. */
struct ruleset_attr {
	uint64_t fs, net, scope;
};

struct net_port_attr {
	uint64_t allowed_access, port;
};

static const struct {
	const char *name;
	uint64_t right;
	int abi;
} fs_rights[] = {
	{ "execute", LL_EXECUTE, 1 },           { "write_file", LL_WRITE_FILE, 1 },
	{ "read_file", LL_READ_FILE, 1 },       { "read_dir", LL_READ_DIR, 1 },
	{ "remove_dir", LL_REMOVE_DIR, 1 },     { "remove_file", LL_REMOVE_FILE, 1 },
	{ "make_char", LL_MAKE_CHAR, 1 },       { "make_dir", LL_MAKE_DIR, 1 },
	{ "make_reg", LL_MAKE_REG, 1 },         { "make_sock", LL_MAKE_SOCK, 1 },
	{ "make_fifo", LL_MAKE_FIFO, 1 },       { "make_block", LL_MAKE_BLOCK, 1 },
	{ "make_sym", LL_MAKE_SYM, 1 },         { "refer", LL_REFER, 2 },
	{ "truncate", LL_TRUNCATE, 3 },         { "ioctl_dev", LL_IOCTL_DEV, 5 },
	{ "resolve_unix", LL_RESOLVE_UNIX, 9 },
};

#define N_FS_RIGHTS (sizeof(fs_rights) / sizeof(fs_rights[0]))

int landlock_abi(void)
{
	static int abi = -1;
	long version;

	if (abi < 0) {
		version = sys_landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
		abi = version < 0 ? 0 : (int)version;
	}
	return abi;
}

uint64_t landlock_fs_rights(int abi)
{
	uint64_t rights = 0;

	for (size_t i = 0; i < N_FS_RIGHTS; i++)
		if (fs_rights[i].abi <= abi)
			rights |= fs_rights[i].right;
	return rights;
}

uint64_t landlock_net_rights(int abi)
{
	return abi >= 4 ? LL_BIND_TCP | LL_CONNECT_TCP : 0;
}

uint64_t landlock_scopes(int abi)
{
	return abi >= 6 ? LL_SCOPE_ABSTRACT_UNIX | LL_SCOPE_SIGNAL : 0;
}

uint64_t landlock_right(const char *name)
{
	for (size_t i = 0; i < N_FS_RIGHTS; i++)
		if (strcasecmp(fs_rights[i].name, name) == 0)
			return fs_rights[i].right;
	return 0;
}

int landlock_open(uint64_t fs, uint64_t net, uint64_t scope)
{
	struct ruleset_attr attr = { .fs = fs, .net = net, .scope = scope };
	size_t size = scope ? sizeof(attr)
		      : net ? offsetof(struct ruleset_attr, scope)
			    : offsetof(struct ruleset_attr, net);
	long fd = sys_landlock_create_ruleset(&attr, size, 0);

	return fd < 0 ? fail_errno("make a Landlock ruleset") : (int)fd;
}

int landlock_allow_fd(int ruleset, int fd, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= LL_OF_FILE;
	if (!rule.allowed_access)
		return 0;
	return sys_landlock_add_rule(ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno
											: 0;
}

int landlock_allow_port(int ruleset, uint16_t port, uint64_t rights)
{
	struct net_port_attr rule = { .allowed_access = rights, .port = port };

	return sys_landlock_add_rule(ruleset, RULE_NET_PORT, &rule, 0) < 0 ? -errno : 0;
}

int landlock_enter(int ruleset)
{
	return sys_landlock_restrict_self(ruleset, 0) < 0 ? fail_errno("enter the Landlock ruleset")
							  : 0;
}
