/* SPDX-License-Identifier: Apache-2.0 */
/* The table in the kernel. Nothing here allocates. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/elf.h"
#include "base/err.h"
#include "base/fd.h"
#include "jail/layers.h"
#include "jail/policy.h"

#define LAYERS_RIGHTS (LL_READ_FILE | LL_READ_DIR | LL_EXECUTE)
#define INTERPRETERS_MAX 6 /* execve(2) follows five, and a loader comes last */

static int refuse(const struct policy_rule *r, const char *path, int code)
{
	return fail(code, "%s: grant %s by Landlock: %s", r->where, path, err_reason(code));
}

static int allow_path(int ruleset, int root, const struct policy_rule *r, uint64_t rights)
{
	auto_fd fd = fd_open_in_root(root, r->path, O_PATH);
	int ret;

	/* covered by a later mount, or out of this container's reach anyway */
	if (!r->required && (fd == -ENOENT || fd == -EACCES))
		return 0;
	ret = fd < 0 ? fd : landlock_allow_fd(ruleset, fd, rights);
	return ret ? refuse(r, r->path, -ret) : 0;
}

/* A file is opened again in the way in which it is open: input stays input. */
static uint64_t rights_of_fd(int fd, const struct stat *st)
{
	static const uint64_t by_mode[] = {
		[O_RDONLY] = ~(uint64_t)(LL_WRITE_FILE | LL_TRUNCATE),
		[O_WRONLY] = ~(uint64_t)LL_READ_FILE,
		[O_RDWR] = ~(uint64_t)0,
	};
	int mode = fcntl(fd, F_GETFL) & O_ACCMODE;

	if (S_ISFIFO(st->st_mode) || isatty(fd) || mode > O_RDWR)
		return by_mode[O_RDWR];
	return by_mode[mode];
}

/* A terminal, a file or a named pipe that the caller handed over may be opened again by
 * /dev/stdout. */
static int allow_fds(int ruleset, int n, uint64_t rights)
{
	struct stat st;
	int ret;

	for (int fd = 0; fd < n; fd++) {
		/* the runtime's own among them are close-on-exec */
		if (fd > 2 && fcntl(fd, F_GETFD) != 0)
			continue;
		if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
			continue;
		ret = landlock_allow_fd(ruleset, fd, rights & rights_of_fd(fd, &st));
		if (ret && ret != -EBADFD && ret != -EBADF) /* pipes and sockets need no rule */
			return fail(-ret, "grant descriptor %d by Landlock: %s", fd,
				    err_reason(-ret));
	}
	return 0;
}

/* What executes the program for it: of "#!/bin/sh -e" the path, of an ELF file its loader. */
static bool find_interpreter(int fd, char *out)
{
	unsigned char head[256] = { 0 }; /* BINPRM_BUF_SIZE */
	ssize_t n = pread(fd, head, sizeof(head) - 1, 0);
	char *path = (char *)head + 2;

	if (elf_interpreter(fd, out))
		return true;
	if (n < 3 || memcmp(head, "#!", 2) != 0)
		return false;
	path += strspn(path, " \t");
	path[strcspn(path, " \t\n")] = '\0';
	memcpy(out, path, strlen(path) + 1);
	return *out == '/';
}

/* Of the program's path, or of an interpreter's. */
static int open_program(const struct policy_own *own, bool first, const char *path)
{
	int fd = first && own->program_fd >= 0 ? fcntl(own->program_fd, F_DUPFD_CLOEXEC, 3)
					       : open(path, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int allow_program(int ruleset, const struct policy_rule *r, const struct policy_own *own,
			 uint64_t rights)
{
	const char *program = own->program;
	char path[PATH_MAX];
	int ret;

	if (strlen(program) >= sizeof(path))
		return refuse(r, program, ENAMETOOLONG);
	memcpy(path, program, strlen(program) + 1);
	for (int i = 0; i < INTERPRETERS_MAX; i++) {
		auto_fd fd = open_program(own, i == 0, path);
		auto_fd file = fd < 0 ? fd : fd_reopen(fd, O_RDONLY | O_NONBLOCK | O_NOCTTY);

		ret = fd < 0 ? fd : landlock_allow_fd(ruleset, fd, rights);
		if (ret)
			return refuse(r, path, -ret);
		/* one that may be executed and not read names no interpreter to anybody but the
		 * kernel */
		if (file < 0 || !find_interpreter(file, path))
			return 0;
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

/* Files of a layer come from the supervisor; whoever executes one needs the right himself. */
static int allow_layers(int ruleset, const struct layers *l, uint64_t rights)
{
	int parts[LAYERS_PARTS], ret = 0;

	for (size_t i = 0; i < SUPER_MAP_MAX; i++) {
		size_t n = layers_parts(l, i, parts);

		for (size_t k = 0; !ret && k < n; k++)
			if (parts[k] != l->work[i])
				ret = landlock_allow_fd(ruleset, parts[k], rights);
	}
	return ret ? fail(-ret, "grant what layers are made of by Landlock: %s", err_reason(-ret))
		   : 0;
}

static int allow(int ruleset, int root, const struct policy_rule *r, uint64_t rights,
		 const struct policy_own *own)
{
	switch (r->kind) {
	case POLICY_FILES:
		return allow_path(ruleset, root, r, rights);
	case POLICY_STDIO:
		return allow_fds(ruleset, own->n_fds, rights);
	case POLICY_PROGRAM:
		return own->program ? allow_program(ruleset, r, own, rights) : 0;
	case POLICY_PORTS:
		return allow_ports(ruleset, r);
	case POLICY_OTHER_FILES:
	case POLICY_OTHER_PORTS:
	case POLICY_SCOPE:
		break;
	}
	return 0;
}

int policy_ruleset(const struct policy *p, const struct policy_own *own)
{
	auto_fd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd ruleset = -1;
	int ret = 0;

	if (root < 0)
		return fail_errno("open the container's root");
	ruleset = landlock_open(p->handled);
	if (ruleset < 0)
		return ruleset;
	for (size_t i = 0; i < p->n_rules && !ret; i++)
		if (p->rules[i].in_ruleset)
			ret = allow(ruleset, root, &p->rules[i],
				    p->rules[i].granted & p->handled[LANDLOCK_FS], own);
	if (!ret && p->files && own->layers)
		ret = allow_layers(ruleset, own->layers, LAYERS_RIGHTS & p->handled[LANDLOCK_FS]);
	return ret ? ret : fd_take(&ruleset);
}
