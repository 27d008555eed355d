/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/landlock.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/str.h"
#include "base/sys.h"

#define CREATE_RULESET_VERSION (1u << 0)
#define CREATE_RULESET_ERRATA (1u << 1) /* ABI 7 */
#define RULE_NET_PORT 2                 /* enum landlock_rule_type, ABI 4 */

/*
 * Flags of landlock_restrict_self(2), ABI 7. RESTRICT_SELF_TSYNC (ABI 8) is for programs with
 * threads: the child has one. Quiet rules (ABI 10) would keep from the audit log what is to be
 * found there.
 */
#define LOG_NEW_EXEC_ON (1u << 1)
#define LOG_SUBDOMAINS_OFF (1u << 2)
#define ABI_OF_LOG 7

/* What every kernel with Landlock knows of the structure, and what came with ABI 4 and 6. */
struct ruleset_attr {
	uint64_t handled[LANDLOCK_CLASSES];
};

struct net_port_attr {
	uint64_t allowed_access, port;
};

const struct landlock_right landlock_rights[] = {
	{ "execute", LANDLOCK_FS, LL_EXECUTE, 1 },
	{ "write_file", LANDLOCK_FS, LL_WRITE_FILE, 1 },
	{ "read_file", LANDLOCK_FS, LL_READ_FILE, 1 },
	{ "read_dir", LANDLOCK_FS, LL_READ_DIR, 1 },
	{ "remove_dir", LANDLOCK_FS, LL_REMOVE_DIR, 1 },
	{ "remove_file", LANDLOCK_FS, LL_REMOVE_FILE, 1 },
	{ "make_char", LANDLOCK_FS, LL_MAKE_CHAR, 1 },
	{ "make_dir", LANDLOCK_FS, LL_MAKE_DIR, 1 },
	{ "make_reg", LANDLOCK_FS, LL_MAKE_REG, 1 },
	{ "make_sock", LANDLOCK_FS, LL_MAKE_SOCK, 1 },
	{ "make_fifo", LANDLOCK_FS, LL_MAKE_FIFO, 1 },
	{ "make_block", LANDLOCK_FS, LL_MAKE_BLOCK, 1 },
	{ "make_sym", LANDLOCK_FS, LL_MAKE_SYM, 1 },
	{ "refer", LANDLOCK_FS, LL_REFER, 2 },
	{ "truncate", LANDLOCK_FS, LL_TRUNCATE, 3 },
	{ "ioctl_dev", LANDLOCK_FS, LL_IOCTL_DEV, 5 },
	{ "resolve_unix", LANDLOCK_FS, LL_RESOLVE_UNIX, 9 },
	{ "bind_tcp", LANDLOCK_NET, LL_BIND_TCP, 4 },
	{ "connect_tcp", LANDLOCK_NET, LL_CONNECT_TCP, 4 },
	{ "bind_udp", LANDLOCK_NET, LL_BIND_UDP, 10 },
	{ "connect_send_udp", LANDLOCK_NET, LL_CONNECT_SEND_UDP, 10 },
	{ "abstract_unix_socket", LANDLOCK_SCOPE, LL_SCOPE_ABSTRACT_UNIX, 6 },
	{ "signal", LANDLOCK_SCOPE, LL_SCOPE_SIGNAL, 6 },
};

const size_t landlock_n_rights = sizeof(landlock_rights) / sizeof(landlock_rights[0]);

int landlock_abi(void)
{
	static int abi = -1;
	long version;

	if (abi < 0) {
		version = sys_landlock_create_ruleset(NULL, 0, CREATE_RULESET_VERSION);
		abi = version < 0 ? 0 : (int)version;
	}
	return abi;
}

unsigned landlock_errata(void)
{
	long errata = sys_landlock_create_ruleset(NULL, 0, CREATE_RULESET_ERRATA);

	return errata < 0 ? 0 : (unsigned)errata;
}

uint64_t landlock_all(enum landlock_class class, int abi)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < landlock_n_rights; i++)
		if (landlock_rights[i].class == class && landlock_rights[i].abi <= abi)
			bits |= landlock_rights[i].bit;
	return bits;
}

uint64_t landlock_right(enum landlock_class class, const char *name)
{
	for (size_t i = 0; i < landlock_n_rights; i++)
		if (landlock_rights[i].class == class &&
		    strcasecmp(landlock_rights[i].name, name) == 0)
			return landlock_rights[i].bit;
	return 0;
}

void landlock_add_names(struct str *s, enum landlock_class class, uint64_t bits)
{
	bool some = false;

	for (size_t i = 0; i < landlock_n_rights; i++) {
		if (landlock_rights[i].class != class || !(bits & landlock_rights[i].bit))
			continue;
		str_addf(s, "%s%s", some ? "+" : "", landlock_rights[i].name);
		some = true;
	}
}

int landlock_open(const uint64_t handled[LANDLOCK_CLASSES])
{
	struct ruleset_attr attr;
	size_t n = LANDLOCK_CLASSES;
	long fd;

	memcpy(attr.handled, handled, sizeof(attr.handled));
	/* a kernel refuses a structure longer than the one it knows unless the rest is zero; an
	 * empty one it refuses in any case */
	while (n > 1 && !attr.handled[n - 1])
		n--;
	fd = sys_landlock_create_ruleset(&attr, n * sizeof(attr.handled[0]), 0);
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

int landlock_enter(int ruleset, int abi)
{
	unsigned flags = abi >= ABI_OF_LOG ? LOG_NEW_EXEC_ON | LOG_SUBDOMAINS_OFF : 0;

	return sys_landlock_restrict_self(ruleset, flags) < 0
		       ? fail_errno("enter the Landlock ruleset")
		       : 0;
}
