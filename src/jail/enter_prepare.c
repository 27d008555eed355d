/* SPDX-License-Identifier: Apache-2.0 */
/* What the parent makes ready for a new process: the child allocates nothing and trusts no path. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/enter.h"
#include "jail/hooks.h"
#include "jail/plan.h"

#define ENV_ROOM 4 /* HOME, LISTEN_FDS, LISTEN_PID and the NULL */

static void copy_env(struct enter *e)
{
	char *const *env = e->sb->process.env;
	size_t n = 0;

	while (env && env[n])
		n++;
	e->env = arena_array(e->arena, n + ENV_ROOM, sizeof(*e->env));
	if (n)
		memcpy(e->env, env, n * sizeof(*e->env));
	if (e->io->listen_fds > 0) {
		e->env[n++] = arena_printf(e->arena, "LISTEN_FDS=%d", e->io->listen_fds);
		e->env[n++] = (char *)"LISTEN_PID=1";
	}
	e->n_env = n;
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
	{ "user/", NS_USER },
};

/*
 * A path may lead to a namespace in which the runtime itself is. To live in it is what leaving the
 * entry out means; but what would be changed in it for the container is refused: it is the host's.
 */
static int check_own(const struct sandbox *sb, enum ns_kind own)
{
	const char *text = NULL;

	if (own == NS_MOUNT)
		text = "its mounts and root";
	if (own == NS_UTS && (sb->hostname || sb->domainname))
		text = sb->hostname ? "hostname" : "domainname";
	for (size_t i = 0; !text && i < sb->n_sysctls; i++)
		for (size_t o = 0; o < sizeof(sysctl_owners) / sizeof(sysctl_owners[0]); o++)
			if (sysctl_owners[o].kind == own &&
			    str_starts(sb->sysctls[i].key, sysctl_owners[o].prefix))
				text = sb->sysctls[i].key;
	return text ? fail(EINVAL,
			   "%s.path: %s is the %s namespace of the host: %s would be changed there",
			   sb->ns.want[own].where, sb->ns.want[own].path, ns_info[own].oci, text)
		    : 0;
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
			return fail_in(fd, "%s.path", p->want[k].where);
		e->ns[k] = fd;
		if (ns_is_own(fd, k) != 1)
			continue;
		/* joining what one is in is an error for user namespaces and needless for others */
		fd_close(fd);
		e->ns[k] = -1;
		ret = check_own(e->sb, k);
	}
	return ret;
}

/*
 * The program is compiled while the child is at work already: it gets it through memory that both
 * share, and only has to know now whether it will need a listener.
 */
static int prepare_filter(struct enter *e)
{
	const struct filter_profile *p = e->sb->seccomp;

	e->filter = mmap(NULL, sizeof(*e->filter), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (e->filter == MAP_FAILED) {
		e->filter = NULL;
		return fail_errno("share memory with the container's process");
	}
	for (size_t i = 0; i < p->n_rules; i++)
		e->notifies |= p->rules[i].verdict == SECCOMP_RET_USER_NOTIF;
	return 0;
}

static int share_findings(struct enter *e)
{
	e->found = mmap(NULL, sizeof(*e->found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (e->found != MAP_FAILED)
		return 0;
	e->found = NULL;
	return fail_errno("share memory with the container's process");
}

/* The receiver of a seccomp descriptor lives at a path of the host's. */
static int connect_listener(struct enter *e)
{
	if (!e->notifies)
		return 0;
	if (!e->sb->seccomp_listener)
		return fail(
			EINVAL,
			"the seccomp profile notifies (SCMP_ACT_NOTIFY) but linux.seccomp.listenerPath is not set");
	e->listener = fd_unix_connect(AT_FDCWD, e->sb->seccomp_listener);
	return e->listener < 0 ? fail(-e->listener, "connect to linux.seccomp.listenerPath %s: %s",
				      e->sb->seccomp_listener, err_reason(-e->listener))
			       : 0;
}

int enter_compile_filter(struct enter *e)
{
	struct filter f;
	int ret = e->filter ? filter_build(e->arena, e->sb->seccomp, &f) : 0;

	if (ret || !e->filter)
		return ret;
	memcpy(e->filter->code, f.code, f.len * sizeof(*f.code));
	e->filter->len = f.len;
	return 0;
}

int enter_prepare(struct enter *e)
{
	const struct sandbox *sb = e->sb;
	int ret;

	e->channel = e->proc = e->listener = e->supervisor = e->slave = -1;
	layers_init(&e->layers);
	for (int k = 0; k < NS_KINDS; k++)
		e->ns[k] = -1;
	if (!e->joined && geteuid() != 0 && !sb->ns.want[NS_USER].wanted &&
	    (!policy_alone(sb) || ns_new_flags(&sb->ns)))
		return fail(
			EPERM,
			"an ordinary user's container needs a user namespace in linux.namespaces "
			"(thole spec --rootless writes such a bundle)");
	ret = policy_plan(e->arena, sb, landlock_abi(), &e->policy);
	if (ret)
		return ret;
	if (e->policy.why && sb->landlock.mode == LANDLOCK_AUTO)
		log_info("Landlock steps aside: %s", e->policy.why);
	copy_env(e);
	ret = open_procfs(e);
	if (!ret && (sb->process.cred.selinux || sb->process.cred.apparmor))
		e->modules = cred_modules(e->proc);
	if (!ret && sb->seccomp)
		ret = prepare_filter(e);
	if (!ret && !e->joined && sb->layers.n)
		ret = share_findings(e);
	/* in the container the host's names lead nowhere */
	if (!ret && e->joined && sb->layers.notified)
		ret = layers_open(&sb->layers, false, &e->layers);
	if (!ret)
		ret = connect_listener(e);
	if (!ret && !e->joined)
		ret = open_namespaces(e);
	if (!ret && !e->joined)
		ret = rootfs_prepare(e->arena, &sb->rootfs, &sb->ns, e->cgroup, &e->rootfs);
	if (ret) {
		enter_close(e);
		enter_forget(e);
	}
	return ret;
}

void enter_forget(struct enter *e)
{
	if (e->found)
		munmap(e->found, sizeof(*e->found));
	e->found = NULL;
}

void enter_close(struct enter *e)
{
	for (int k = 0; k < NS_KINDS; k++)
		fd_close(fd_take(&e->ns[k]));
	fd_close(fd_take(&e->proc));
	fd_close(fd_take(&e->listener));
	fd_close(fd_take(&e->supervisor));
	if (e->filter)
		munmap(e->filter, sizeof(*e->filter));
	e->filter = NULL;
	layers_close(&e->layers);
	rootfs_close(&e->rootfs);
}

int enter_run_hooks(const struct enter *e, enum sandbox_hook_point point, pid_t pid, int cwd)
{
	const struct hooks_input input = {
		.head = e->io->state_head[point],
		.tail = e->io->state_tail,
		.pid = pid,
	};

	return hooks_run(&e->sb->hooks[point], &input, cwd, false);
}
