/* SPDX-License-Identifier: Apache-2.0 */
/* The last steps of a new process: its executable, the wait for start, the filter, execve(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "jail/enter.h"
#include "jail/hooks.h"
#include "jail/plan.h"

#define ENV_ROOM 4 /* HOME, LISTEN_FDS, LISTEN_PID and the NULL */
#define SENDER_STACK (64 * 1024)
#define MESSAGE_MAX 65536

static int copy_env(struct arena *a, struct enter *e)
{
	char *const *env = e->sb->process.env;
	size_t n = 0;

	while (env && env[n])
		n++;
	e->env = arena_array(a, n + ENV_ROOM, sizeof(*e->env));
	if (n)
		memcpy(e->env, env, n * sizeof(*e->env));
	if (e->io->listen_fds > 0) {
		e->env[n++] = arena_printf(a, "LISTEN_FDS=%d", e->io->listen_fds);
		e->env[n++] = (char *)"LISTEN_PID=1";
	}
	e->n_env = n;
	return 0;
}

static int open_procfs(struct enter *e)
{
	struct statfs fs;

	e->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (e->proc < 0)
		return fail_errno("open /proc");
	if (fstatfs(e->proc, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return fail(ENODEV, "/proc is no procfs");
	return 0;
}

/* The sysctls that belong to a namespace, by the beginning of their names. */
static const struct {
	const char *prefix;
	enum ns_kind kind;
} sysctl_owners[] = {
	{ "net/", NS_NET },       { "fs/mqueue/", NS_IPC }, { "kernel/domainname", NS_UTS },
	{ "kernel/msg", NS_IPC }, { "kernel/sem", NS_IPC }, { "kernel/shm", NS_IPC },
};

/* A path may lead to the namespace of the host: what is set there would be set for all. */
static int check_sysctls(const struct sandbox *sb, enum ns_kind host)
{
	const char *key, *prefix;

	for (size_t i = 0; i < sb->n_sysctls; i++) {
		key = sb->sysctls[i].key;
		for (size_t o = 0; o < sizeof(sysctl_owners) / sizeof(sysctl_owners[0]); o++) {
			prefix = sysctl_owners[o].prefix;
			if (sysctl_owners[o].kind != host || !str_starts(key, prefix))
				continue;
			return fail(EINVAL,
				    "linux.sysctl.%s: the %s namespace at %s is the host's own",
				    key, ns_info[host].oci, sb->ns.want[host].path);
		}
	}
	return 0;
}

static int open_namespaces(struct enter *e)
{
	const struct ns_plan *p = &e->sb->ns;
	int fd, ret = 0;

	for (int k = 0; k < NS_KINDS && !ret; k++) {
		if (!p->want[k].wanted || !p->want[k].path)
			continue;
		fd = ns_open(p->want[k].path, k);
		if (fd < 0)
			return fd;
		e->ns[k] = fd;
		if (ns_is_own(fd, k) != 1)
			continue;
		/* joining what one is in is an error for user namespaces and needless for others */
		fd_close(fd);
		e->ns[k] = -1;
		ret = check_sysctls(e->sb, k);
	}
	return ret;
}

int enter_prepare(struct arena *a, const struct sandbox *sb, const struct sandbox_io *io,
		  const struct cgroup_entry *entry, const struct cgroup *cg, bool joined,
		  struct enter *e)
{
	int ret;

	*e = (struct enter){
		.sb = sb,
		.io = io,
		.entry = entry,
		.joined = joined,
		.channel = -1,
		.proc = -1,
		.listener = -1,
		.slave = -1,
	};
	for (int k = 0; k < NS_KINDS; k++)
		e->ns[k] = -1;
	if (!joined && geteuid() != 0 && !sb->ns.want[NS_USER].wanted &&
	    (!policy_alone(sb) || ns_new_flags(&sb->ns)))
		return fail(
			EPERM,
			"an ordinary user's container needs a user namespace in linux.namespaces "
			"(thole spec --rootless writes such a bundle)");
	ret = policy_plan(a, sb, landlock_abi(), &e->policy);
	if (ret)
		return ret;
	if (e->policy.why && sb->landlock.mode == LANDLOCK_AUTO)
		log_info("Landlock steps aside: %s", e->policy.why);
	copy_env(a, e);
	ret = open_procfs(e);
	if (!ret && sb->seccomp) {
		ret = filter_build(a, sb->seccomp, &e->filter);
		e->has_filter = true;
	}
	if (!ret && !joined)
		ret = open_namespaces(e);
	if (!ret && !joined)
		ret = rootfs_prepare(a, &sb->rootfs, &sb->ns, cg, &e->rootfs);
	if (ret)
		enter_close(e);
	return ret;
}

void enter_close(struct enter *e)
{
	for (int k = 0; k < NS_KINDS; k++)
		fd_close(e->ns[k]);
	fd_close(e->proc);
	rootfs_close(&e->rootfs);
}

static const char *env_of(const struct enter *e, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = e->n_env; i > 0; i--) /* of duplicates the last counts */
		if (strncmp(e->env[i - 1], name, n) == 0 && e->env[i - 1][n] == '=')
			return e->env[i - 1] + n + 1;
	return NULL;
}

/* 0 if this user may execute the file, else -errno. */
static int may_execute(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* The words are those that podman, docker and containerd match. */
static int refuse(const char *name, int code)
{
	switch (code) {
	case ENOENT:
	case ENOTDIR:
		return fail(ENOENT, "exec: \"%s\": stat %s: no such file or directory", name, name);
	case EISDIR:
		return fail(EACCES, "exec: \"%s\": is a directory: permission denied", name);
	default:
		return fail(code, "exec: \"%s\": %s", name, err_reason(code));
	}
}

int enter_find_executable(struct enter *e)
{
	const char *name, *path = env_of(e, "PATH");
	int ret, worst = 0;
	size_t n;

	if (!e->sb->process.args)
		return 0;
	name = e->sb->process.args[0];
	if (strchr(name, '/')) {
		if ((size_t)snprintf(e->executable, sizeof(e->executable), "%s", name) >=
		    sizeof(e->executable))
			return refuse(name, ENAMETOOLONG);
		ret = may_execute(name);
		return ret ? refuse(name, -ret) : 0;
	}
	for (; *name && path && *path; path += n + (path[n] == ':')) {
		n = strcspn(path, ":");
		if ((size_t)snprintf(e->executable, sizeof(e->executable), "%.*s/%s",
				     n ? (int)n : 1, n ? path : ".", name) >= sizeof(e->executable))
			continue;
		ret = may_execute(e->executable);
		if (ret == 0)
			return 0;
		if (ret == -EACCES)
			worst = EACCES;
	}
	if (worst)
		return refuse(name, worst);
	return fail(ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

/*
 * Everything of the runtime's that init still holds is let go while it waits, a lock on the state
 * among it. What the caller passed is told by not being close-on-exec.
 */
static void drop_descriptors(const struct enter *e)
{
	const int keep[] = { e->channel, e->io->start, e->listener };
	int passed = 3 + e->io->preserve_fds, last = passed;

	for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
		last = keep[i] >= last ? keep[i] + 1 : last;
	for (int fd = 3; fd < last; fd++) {
		if (fd == keep[0] || fd == keep[1] || fd == keep[2])
			continue;
		if (fd >= passed || fcntl(fd, F_GETFD) == FD_CLOEXEC)
			close(fd);
	}
	sys_close_range((unsigned)last, ~0u, 0);
}

/*
 * The start socket tells `created` from `running`; the connection stays open over the rest, so that
 * the one who starts reads what goes wrong, or the end of file that a successful execve makes.
 */
int enter_wait_start(struct enter *e)
{
	int fd;

	if (e->io->start < 0)
		return 0;
	drop_descriptors(e);
	do
		fd = accept4(e->io->start, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return fail_errno("wait for start");
	fd_close(e->channel);
	e->channel = fd;
	return e->sb->process.args
		       ? 0
		       : fail(EINVAL, "config.json has no process: there is nothing to start");
}

int enter_start_hooks(struct enter *e)
{
	return hooks_run(&e->sb->hooks[HOOK_START_CONTAINER],
			 e->io->state_head[HOOK_START_CONTAINER], getpid(), e->io->state_tail, -1,
			 false);
}

/*
 * Whoever installs a filter that notifies can't be sure of a single further system call: nobody
 * answers yet. So a thread that the filter doesn't bind sends the descriptor, and the installing
 * one only looks at memory until that is done. The thread ends by itself.
 */
struct sender {
	struct enter *e;
	_Atomic int listener; /* -1 until it is there */
	_Atomic int result;   /* 1 until it is sent: 0 or -errno */
	char message[MESSAGE_MAX];
	size_t len;
};

static int send_listener(void *arg)
{
	struct sender *s = arg;
	int fd;

	while ((fd = atomic_load(&s->listener)) == -1)
		sched_yield();
	if (fd >= 0)
		atomic_store(&s->result, fd_send(s->e->listener, s->message, s->len, &fd, 1));
	syscall(SYS_exit, 0); /* the thread alone */
	return 0;
}

static int start_sender(struct sender *s)
{
	const int flags =
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	const struct sandbox_io *io = s->e->io;
	char *stack;
	int n;

	n = snprintf(s->message, sizeof(s->message), "%s%d%s", io->listener_head, s->e->pid,
		     io->listener_tail);
	if (n >= (int)sizeof(s->message))
		return fail(E2BIG, "the message for the seccomp listener is longer than %zu bytes",
			    sizeof(s->message));
	s->len = (size_t)n;
	stack = mmap(NULL, SENDER_STACK, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED || clone(send_listener, stack + SENDER_STACK, flags, s) < 0)
		return fail_errno("start a thread for the seccomp listener");
	return 0;
}

static int install_filter(struct enter *e)
{
	static struct sender s;
	uint32_t flags = e->sb->seccomp_flags;
	int ret, listener;

	if (!e->filter.notifies) {
		ret = filter_install(&e->filter, flags, &listener);
		return ret;
	}
	s.e = e;
	atomic_store(&s.listener, -1);
	atomic_store(&s.result, 1);
	ret = start_sender(&s);
	if (ret)
		return ret;
	/* there is one thread to bind: TSYNC would bind the sender as well */
	ret = filter_install(&e->filter, flags & ~(uint32_t)SECCOMP_FILTER_FLAG_TSYNC, &listener);
	atomic_store(&s.listener, ret ? -2 : listener);
	while (!ret && atomic_load(&s.result) == 1)
		;
	if (!ret && s.result)
		ret = fail(-s.result, "send the seccomp descriptor: %s", err_reason(-s.result));
	return ret;
}

int enter_execute(struct enter *e)
{
	const char *name = e->sb->process.args[0];
	int ret = fd_cloexec_from(3 + (unsigned)e->io->preserve_fds);

	if (ret)
		return fail(-ret, "mark descriptors close-on-exec: %s", err_reason(-ret));
	ret = e->has_filter ? install_filter(e) : 0;
	if (!ret && e->has_filter && !e->sb->process.cred.no_new_privs)
		ret = cred_finish(&e->sb->process.cred);
	if (ret)
		return ret;
	execve(e->executable, e->sb->process.args, e->env);
	if (errno == ENOENT)
		return fail(ENOENT, "exec: \"%s\": its interpreter: no such file or directory",
			    name);
	return refuse(name, errno);
}
