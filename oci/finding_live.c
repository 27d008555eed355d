/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that fail while a container is watched. What denied one is found by asking the filter with
 * the very arguments, then the rules about the path or port; what neither denies is the business of
 * file modes and of the kernel.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "bpf/abi.h"
#include "bpf/run.h"
#include "oci/container.h"
#include "oci/explain.h"
#include "oci/finding.h"
#include "oci/finding_priv.h"
#include "sandbox.h"

#define NONE (-1)

/* Where calls have their directory and their path, and the rights they take besides. */
static const struct path_call {
	const char *name;
	int dir, path, flags; /* indices of arguments */
	uint64_t rights;
} path_calls[] = {
	{ "open", NONE, 0, 1, 0 },
	{ "openat", 0, 1, 2, 0 },
	{ "creat", NONE, 0, NONE, LL_WRITE_FILE | LL_MAKE_REG | LL_TRUNCATE },
	{ "execve", NONE, 0, NONE, LL_EXECUTE },
	{ "execveat", 0, 1, NONE, LL_EXECUTE },
	{ "truncate", NONE, 0, NONE, LL_TRUNCATE },
	{ "mkdir", NONE, 0, NONE, LL_MAKE_DIR },
	{ "mkdirat", 0, 1, NONE, LL_MAKE_DIR },
	{ "rmdir", NONE, 0, NONE, LL_REMOVE_DIR },
	{ "unlink", NONE, 0, NONE, LL_REMOVE_FILE },
	{ "unlinkat", 0, 1, NONE, LL_REMOVE_FILE },
	{ "rename", NONE, 0, NONE, LL_REMOVE_FILE },
	{ "renameat", 0, 1, NONE, LL_REMOVE_FILE },
	{ "renameat2", 0, 1, NONE, LL_REMOVE_FILE },
	{ "symlink", NONE, 1, NONE, LL_MAKE_SYM },
	{ "symlinkat", 1, 2, NONE, LL_MAKE_SYM },
	{ "chmod", NONE, 0, NONE, LL_WRITE_FILE },
	{ "fchmodat", 0, 1, NONE, LL_WRITE_FILE },
	{ "chown", NONE, 0, NONE, LL_WRITE_FILE },
	{ "fchownat", 0, 1, NONE, LL_WRITE_FILE },
	{ "utimensat", 0, 1, NONE, LL_WRITE_FILE },
};

static const struct path_call *path_call_of(const char *name)
{
	for (size_t i = 0; i < sizeof(path_calls) / sizeof(path_calls[0]); i++)
		if (strcmp(path_calls[i].name, name) == 0)
			return &path_calls[i];
	return NULL;
}

/* The thread is stopped. Bytes are read up to the first page that is not there. */
static size_t read_memory(pid_t tid, uint64_t addr, void *out, size_t size)
{
	struct iovec local = { out, size }, remote = { (void *)(uintptr_t)addr, size };
	const size_t page = 4096;
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	if (n < 0 && addr % page) {
		local.iov_len = remote.iov_len =
			size < page - addr % page ? size : page - addr % page;
		n = process_vm_readv(tid, &local, 1, &remote, 1, 0);
	}
	return n < 0 ? 0 : (size_t)n;
}

/* Where a directory of the process's is, in the container. */
static const char *place_of(struct arena *a, pid_t tid, int dir)
{
	char real[PATH_MAX];
	const char *link = dir == AT_FDCWD ? arena_printf(a, "/proc/%d/cwd", tid)
					   : arena_printf(a, "/proc/%d/fd/%d", tid, dir);
	ssize_t n = readlink(link, real, sizeof(real) - 1);

	if (n <= 0)
		return "/";
	real[n] = '\0';
	return arena_strdup(a, real);
}

/* The path with its links followed: what the rules are about. A last part may be missing. */
static const char *real_path(struct arena *a, pid_t tid, const char *path)
{
	auto_fd root =
		open(arena_printf(a, "/proc/%d/root", tid), O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd file = root < 0 ? -1 : fd_open_in_root(root, path, O_PATH);
	const char *slash = strrchr(path, '/');
	char real[PATH_MAX];
	ssize_t n;

	if (file < 0 && root >= 0 && slash) {
		file = fd_open_in_root(root, arena_strndup(a, path, (size_t)(slash - path) + 1),
				       O_PATH);
		path = slash;
	} else {
		slash = "";
	}
	n = file < 0 ? -1
		     : readlink(arena_printf(a, "/proc/self/fd/%d", file), real, sizeof(real) - 1);
	if (n <= 0)
		return path;
	real[n] = '\0';
	return arena_printf(a, "%s%s", n == 1 && *slash ? "" : real, slash);
}

static const char *read_path(struct arena *a, const struct watch_call *c, const struct path_call *p)
{
	char text[PATH_MAX];
	size_t n = read_memory(c->tid, c->args[p->path], text, sizeof(text) - 1);
	const char *path;

	text[n] = '\0';
	if (!*text)
		return NULL;
	path = text[0] == '/'
		       ? arena_strdup(a, text)
		       : arena_printf(a, "%s/%s",
				      place_of(a, c->tid,
					       p->dir == NONE ? AT_FDCWD : (int)c->args[p->dir]),
				      text);
	return real_path(a, c->tid, path);
}

static uint64_t rights_of_open(struct arena *a, pid_t tid, const char *path, uint64_t flags)
{
	auto_fd root =
		open(arena_printf(a, "/proc/%d/root", tid), O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd file = root < 0 ? -1 : fd_open_in_root(root, path, O_PATH);
	struct stat st = { 0 };
	bool there = file >= 0 && fstat(file, &st) == 0;
	uint64_t rights = 0;

	if ((flags & O_ACCMODE) != O_WRONLY)
		rights |= S_ISDIR(st.st_mode) ? LL_READ_DIR : LL_READ_FILE;
	if ((flags & O_ACCMODE) != O_RDONLY)
		rights |= LL_WRITE_FILE;
	if (flags & O_TRUNC && there)
		rights |= LL_TRUNCATE;
	if (flags & O_CREAT && !there)
		rights |= LL_MAKE_REG;
	return rights;
}

/* The kernel's errors for a rule that says no; others are about the file. */
static bool is_denial(int error)
{
	return error == EACCES || error == EPERM || error == EROFS || error == EXDEV;
}

static bool explain_path(struct findings *f, const struct watch_call *c, const char *name,
			 struct finding *new)
{
	const struct explain *e = f->e;
	const struct path_call *p = path_call_of(name);
	const char *path = p ? read_path(e->a, c, p) : NULL;
	struct policy_answer answer;
	uint64_t rights;

	if (!path || *path != '/')
		return false;
	rights = p->rights;
	if (p->flags != NONE)
		rights |= rights_of_open(e->a, c->tid, path, c->args[p->flags]);
	policy_ask_path(&e->landlock, path, rights, &answer);
	if (!answer.denied) {
		new->what = arena_printf(e->a, "%s of %s: %s", name, path, err_reason(c->error));
		return false;
	}
	finding_of_file(e, path, answer.denied, new);
	new->keeper = answer.by == POLICY_MOUNT ? explain_keeper_names[KEPT_MOUNT]
						: explain_keeper_names[KEPT_LANDLOCK];
	return true;
}

static bool explain_port(struct findings *f, const struct watch_call *c, const char *name,
			 struct finding *new)
{
	bool bind = strcmp(name, "bind") == 0;
	struct arena *a = f->e->a;
	struct sockaddr_in6 addr = { 0 }; /* the port is in one place in both families */
	size_t n;
	int port;

	if (!bind && strcmp(name, "connect") != 0)
		return false;
	n = read_memory(c->tid, c->args[1], &addr, sizeof(addr));
	if (n < sizeof(struct sockaddr_in) ||
	    (addr.sin6_family != AF_INET && addr.sin6_family != AF_INET6))
		return false;
	port = ntohs(addr.sin6_port);
	new->what = arena_printf(a, "%s to port %d: %s", name, port, err_reason(c->error));
	if (!finding_of_question(f->e, arena_printf(a, "%s:%d", name, port), new))
		return false;
	if (str_starts(new->where, "annotations."))
		new->remedy = arena_printf(a, "add %d to the list", port);
	return true;
}

/* What the filter answers to this very call. */
static bool explain_filter(struct findings *f, const struct watch_call *c, const struct abi *abi,
			   struct finding *new)
{
	const struct explain *e = f->e;
	struct seccomp_data call = { .nr = (int)c->nr, .arch = c->arch };
	uint32_t verdict;

	if (!e->filter.len)
		return false;
	memcpy(call.args, c->args, sizeof(call.args));
	verdict = run_program(e->filter.code, e->filter.len, &call, NULL).verdict;
	if ((verdict & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO ||
	    (int)(verdict & SECCOMP_RET_DATA) != c->error)
		return false;
	finding_of_call(e, abi, &call, verdict, new);
	return true;
}

static void read_comm(struct arena *a, pid_t tid, struct finding *new)
{
	char *text;

	new->by = "";
	if (fd_read_file(AT_FDCWD, arena_printf(a, "/proc/%d/comm", tid), a, 64, &text, NULL)) {
		err_clear();
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	new->by = text;
}

void findings_see(void *findings, const struct watch_call *c)
{
	struct findings *f = findings;
	const struct explain *e = f->e;
	const struct abi *abi = finding_abi(e, c->arch, (int)c->nr);
	struct timespec now;
	const char *name;
	struct finding new = { .sure = true, .pid = c->tid };

	if (!abi && c->arch == abi_native()->audit)
		abi = abi_native();
	name = abi ? explain_call_name(e->a, abi, (uint32_t)c->nr) : NULL;
	if (!name)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	new.last = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	read_comm(e->a, c->tid, &new);
	if (explain_filter(f, c, abi, &new)) {
		finding_add(f, &new);
		return;
	}
	if (!is_denial(c->error))
		return;
	new.what = arena_printf(e->a, "%s: %s", name, err_reason(c->error));
	if (explain_path(f, c, name, &new) || explain_port(f, c, name, &new) ||
	    finding_of_question(e, arena_printf(e->a, "syscall:%s", name), &new)) {
		finding_add(f, &new);
		return;
	}
	new.keeper = "other";
	new.where = NULL;
	new.remedy = "no line of the configuration denies it: owner and mode of the file, or the "
		     "kernel itself";
	finding_add(f, &new);
}
