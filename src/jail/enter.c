/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a container's init comes to be.
 *
 * The parent makes everything ready that needs the host's rights or memory (enter_prepare), clones
 * the child straight into its new namespaces and version 2 cgroup, makes the version 1 cgroups, and
 * then only answers notes. The
 * child works down steps[]; the order is the design:
 *
 *   - signals, session and cgroup first: whatever is done for the container is done inside its
 *     cgroup, all but an empty network namespace, which takes as long as the cgroups do;
 *   - id maps, then namespaces that exist already, before anything is done as the container's root;
 *   - the process becomes undumpable before it can be seen from a container (CVE-2016-9962);
 *   - mounts are made by descriptor beneath the new root while the host's /proc and /dev/null can
 *     still be trusted, layers over them; hooks see the finished tree before pivot_root;
 *   - the supervisor is shown the root and its directories there before a process can change them;
 *   - sysctls through the host's procfs, opened by the parent (CVE-2025-52881);
 *   - Landlock when no mount is left to be made, before the capability it needs is dropped;
 *     it is the whole confinement of a container that has the host's root and no mount namespace
 *     (policy_alone): nothing is mounted, made or changed for that one;
 *   - credentials, working directory and the search for the executable at create, so that their
 *     errors are create's; the seccomp filter after start, with only execve to follow, and before
 *     it that of the supervised calls, which the former can't hinder then.
 *
 * EXEC is the shorter way of a process that joins a running container: an intermediate
 * process has joined its namespaces already (join.c).
 */
#include "jail/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/sys.h"
#include "jail/cgroup.h"
#include "jail/hooks.h"
#include "jail/plan.h"
#include "jail/tty.h"

/* What the process is to be. */
enum way { INIT = 1, EXEC = 2, RESTORE = 4, ALL = INIT | EXEC | RESTORE };
static const char *const way_names[] = { [INIT] = "init", [EXEC] = "exec", [RESTORE] = "restore" };

struct step {
	const char *name;
	int (*run)(struct enter *e);
	unsigned ways; /* who takes it */
};

int enter_report(struct enter *e, enum enter_note_kind kind)
{
	struct enter_note note = { .kind = kind };
	int ret;

	if (kind == NOTE_FAILED)
		note.err = *err_last();
	ret = fd_send(e->channel, &note, sizeof(note), NULL, 0);
	return ret ? fail(-ret, "report to the runtime: %s", err_reason(-ret)) : 0;
}

int enter_await_with(struct enter *e, int *fds, size_t *n_fds)
{
	struct enter_go go;
	ssize_t n = fd_recv(e->channel, &go, sizeof(go), fds, n_fds);

	if (n != sizeof(go))
		return fail(EPIPE, "the runtime ended while the container was being made");
	e->pid = go.pid;
	return 0;
}

int enter_await(struct enter *e)
{
	return enter_await_with(e, NULL, NULL);
}

static int detach(struct enter *e)
{
	sigset_t none;

	/* one call a signal, but only for what the caller left ignored would it show */
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!e->joined)
		limits_set_own_score(&e->sb->process.limits);
	/* a parent that died before this is noticed by the end of the channel */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	fd_close(e->parent_end);
	if (setsid() < 0 && errno != EPERM)
		return fail_errno("start a session");
	return e->staged ? enter_report(e, NOTE_HELLO) : 0;
}

/* The dearest of the namespaces, made while the parent makes cgroups and compiles the filter. */
static int make_net(void)
{
	return unshare(CLONE_NEWNET) < 0 ? fail_errno("make a network namespace") : 0;
}

/* One of a user namespace is the container's root's only once the ids are mapped. */
static bool net_waits(const struct enter *e)
{
	return e->sb->ns.want[NS_USER].wanted;
}

static int make_net_early(struct enter *e)
{
	return enter_makes_net(e->sb) && !net_waits(e) ? make_net() : 0;
}

/* Ids, limits, cgroups and network devices come from the parent; nothing may run ahead of them. */
static int await_birth(struct enter *e)
{
	e->given = (struct cgroup_entry){ .v2 = -1, .n = CGROUP_HIERARCHIES };
	return enter_await_with(e, e->given.tasks, &e->given.n);
}

static int join_cgroup(struct enter *e)
{
	cpu_set_t all;
	int ret = cgroup_entry_join(&e->given);

	cgroup_entry_close(&e->given);
	if (ret)
		return ret;
	/* an affinity inherited from whoever called is not the container's: its cpuset is */
	memset(&all, 0xff, sizeof(all));
	sched_setaffinity(0, sizeof(all), &all);
	if (ns_new(&e->sb->ns, NS_CGROUP) && unshare(CLONE_NEWCGROUP) < 0)
		return fail_errno("make a cgroup namespace");
	return 0;
}

/* The ids of the container's root, where it has one: files made from here on are its own. */
static int become_root(struct enter *e)
{
	if (!e->sb->ns.want[NS_USER].wanted)
		return 0;
	/* EINVAL: this namespace has no such id */
	if (setresgid(0, 0, 0) < 0 && errno != EINVAL)
		return fail_errno("become group 0 of the user namespace");
	if (!e->sb->process.cred.keep_groups && setgroups(0, NULL) < 0 && errno != EPERM)
		return fail_errno("drop the supplementary groups");
	if (setresuid(0, 0, 0) < 0 && errno != EINVAL)
		return fail_errno("become root of the user namespace");
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a change of ids clears it */
	return 0;
}

bool enter_makes_net(const struct sandbox *sb)
{
	/* devices are moved into it by the parent, as soon as the child is born */
	return ns_new(&sb->ns, NS_NET) && !sb->n_net_devices;
}

static int join_namespaces(struct enter *e)
{
	for (int k = 0; k < NS_KINDS; k++) {
		if (e->ns[k] < 0)
			continue;
		if (setns(e->ns[k], ns_info[k].flag) < 0)
			return fail_errno("join the %s namespace %s", ns_info[k].oci,
					  e->sb->ns.want[k].path);
	}
	if (enter_makes_net(e->sb) && net_waits(e) && make_net())
		return -err_last()->code;
	return ns_new(&e->sb->ns, NS_TIME) ? ns_enter_time(&e->sb->ns) : 0;
}

static bool has_mount_ns(const struct enter *e)
{
	return e->sb->ns.want[NS_MOUNT].wanted;
}

static int open_rootfs(struct enter *e)
{
	return has_mount_ns(e) ? rootfs_open(&e->rootfs) : 0;
}

static int hide_from_others(struct enter *e)
{
	int ret = become_root(e);

	if (ret)
		return ret;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? fail_errno("become undumpable") : 0;
}

static int join_keyring(struct enter *e)
{
	char name[256];

	if (!e->sb->new_keyring)
		return 0;
	snprintf(name, sizeof(name), "_ses.%s", e->sb->id);
	return cred_join_keyring(name);
}

static int set_names(struct enter *e)
{
	const struct sandbox *sb = e->sb;

	if (sb->hostname && sethostname(sb->hostname, strlen(sb->hostname)) < 0)
		return fail_errno("set the host name %s (hostname)", sb->hostname);
	if (sb->domainname && setdomainname(sb->domainname, strlen(sb->domainname)) < 0)
		return fail_errno("set the domain name %s (domainname)", sb->domainname);
	return 0;
}

static int bring_loopback_up(struct enter *e)
{
	return ns_new(&e->sb->ns, NS_NET) ? ns_loopback_up() : 0;
}

static int make_rootfs(struct enter *e)
{
	int ret;

	if (!has_mount_ns(e))
		return 0;
	ret = rootfs_attach(&e->rootfs);
	if (!ret)
		ret = rootfs_mount_all(&e->rootfs);
	return ret ? ret : rootfs_make_devices(&e->rootfs);
}

static int open_terminal(struct enter *e)
{
	const struct sandbox_process *p = &e->sb->process;
	const struct winsize size = { .ws_row = p->rows, .ws_col = p->cols };
	auto_fd dev = -1, master = -1;
	int ret;

	if (!p->terminal || !p->args)
		return 0;
	dev = e->joined || !has_mount_ns(e)
		      ? open("/dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
		      : fd_open_beneath(e->rootfs.tree, "dev", O_PATH | O_DIRECTORY);
	if (dev < 0)
		return fail(ENOENT, "open /dev of the container for its terminal");
	ret = tty_open(dev, &size, p->cred.uid, &master, &e->slave);
	if (!ret && !e->joined && has_mount_ns(e))
		ret = rootfs_bind_console(&e->rootfs, e->slave);
	if (!ret && e->io->console >= 0)
		ret = tty_send(e->io->console, master);
	return ret ? ret : tty_adopt(e->slave);
}

static int runtime_hooks(struct enter *e)
{
	int ret;

	if (!e->sb->hooks[HOOK_PRESTART].n && !e->sb->hooks[HOOK_CREATE_RUNTIME].n)
		return 0;
	ret = enter_report(e, NOTE_HOOKS);
	return ret ? ret : enter_await(e);
}

static int container_hooks(struct enter *e)
{
	return enter_run_hooks(e, HOOK_CREATE_CONTAINER, getpid(), e->io->cwd);
}

static int change_root(struct enter *e)
{
	int ret;

	if (policy_alone(e->sb))
		return chdir("/") < 0 ? fail_errno("enter the root") : 0;
	if (!has_mount_ns(e)) {
		if (chdir(e->sb->rootfs.path) < 0 || chroot(".") < 0)
			return fail_errno("chroot into %s (root.path)", e->sb->rootfs.path);
		return 0;
	}
	ret = rootfs_hide(&e->rootfs);
	if (!ret)
		ret = rootfs_seal(&e->rootfs);
	return ret ? ret : rootfs_enter(&e->rootfs);
}

/* One at a time beneath the parent's procfs: no symbolic link, no other mount on the way. */
static int set_sysctls(struct enter *e)
{
	char path[PATH_MAX];
	int ret;

	for (size_t i = 0; i < e->sb->n_sysctls; i++) {
		const struct sandbox_sysctl *s = &e->sb->sysctls[i];
		auto_fd fd = -1;

		snprintf(path, sizeof(path), "sys/%s", s->key);
		fd = fd_open(e->proc, path, O_WRONLY, 0,
			     RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS |
				     RESOLVE_NO_MAGICLINKS);
		ret = fd < 0 ? fd : fd_write_all(fd, s->value, strlen(s->value));
		if (ret)
			return fail(-ret, "set sysctl %s to \"%s\": %s", s->key, s->value,
				    err_reason(-ret));
	}
	return 0;
}

static int set_limits(struct enter *e)
{
	const char *cpus = e->joined ? e->sb->process.limits.cpus_final : NULL;
	unsigned long mask[1024 / sizeof(long) / 8];

	if (cpus && *cpus) {
		if (limits_parse_cpus(cpus, mask, sizeof(mask)))
			return fail(EINVAL,
				    "process.execCPUAffinity.final \"%s\" is no list of CPUs",
				    cpus);
		if (syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask) < 0)
			return fail_errno("set the CPUs %s (process.execCPUAffinity.final)", cpus);
	}
	return limits_apply_inside(&e->sb->process.limits);
}

/* A process that isn't root may reopen its output by /dev/stdout only if it owns it. */
static int own_stdio(struct enter *e)
{
	uid_t uid = e->sb->process.cred.uid;
	struct stat st;

	for (int fd = 0; fd <= 2; fd++) {
		if (fstat(fd, &st) < 0 || st.st_uid == uid)
			continue;
		if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
			continue;
		if (fchown(fd, uid, (gid_t)-1) < 0 && errno != EPERM && errno != EROFS &&
		    errno != EINVAL)
			return fail_errno("give descriptor %d to user %u", fd, uid);
	}
	return 0;
}

/* What is to be restored executes nothing that would take a label on. */
static int set_labels(struct enter *e)
{
	return cred_label(&e->sb->process.cred, &e->modules, e->proc,
			  e->io->restored ? CRED_LABEL_NOW : CRED_LABEL_AT_EXEC);
}

static const char *cwd_of(const struct enter *e)
{
	return e->sb->process.cwd ? e->sb->process.cwd : "/";
}

/* 1 if that is where the process is now, 0 if only another user may go there. */
static int go_to_cwd(struct enter *e)
{
	bool there = chdir(cwd_of(e)) == 0;
	int code = errno, ret = enter_layer_cwd(e, there ? NULL : cwd_of(e));

	if (ret < 0)
		return fail_in(ret, "change to the working directory %s (process.cwd)", cwd_of(e));
	e->in_layer = ret;
	if (ret || there)
		return 1;
	errno = code;
	return errno == EACCES || errno == EPERM
		       ? 0
		       : fail_errno("change to the working directory %s (process.cwd)", cwd_of(e));
}

static int restrict_paths(struct enter *e)
{
	struct policy_own own = { .n_fds = 3 + e->io->preserve_fds,
				  .program_fd = -1,
				  .layers = &e->layers };
	bool no_new_privs = e->sb->process.cred.no_new_privs || !cred_has(CAP_SYS_ADMIN);
	auto_fd ruleset = -1, program = -1;
	int ret;

	if (!e->policy.enforced)
		return 0;
	/* the kernel wants one of the two: an ordinary user's process can't have the other */
	if (no_new_privs && !e->sb->process.cred.no_new_privs)
		log_info("no_new_privs is set: Landlock needs it or CAP_SYS_ADMIN");
	if (no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno("set no_new_privs");
	if (policy_alone(e->sb)) {
		ret = go_to_cwd(e);
		if (ret >= 0)
			ret = enter_find_executable(e);
		if (ret)
			return ret;
		own.program = e->executable[0] ? e->executable : NULL;
		if (own.program && enter_has_layers(e))
			own.program_fd = program = enter_open_in_layers(e, own.program);
	}
	ruleset = policy_ruleset(&e->policy, &own);
	return ruleset < 0 ? ruleset : landlock_enter(ruleset, e->policy.abi);
}

/* The path the kernel reports must be inside the root: a directory leaked from outside is not. */
static int check_cwd(const char *cwd)
{
	char path[PATH_MAX];
	long n = syscall(SYS_getcwd, path, sizeof(path));

	if (n > 0 && path[0] == '/')
		return 0;
	return fail(EPERM, "the working directory %s (process.cwd) is outside of the container",
		    cwd);
}

/* Changes the directory with the runtime's rights where it may, else with the user's. */
static int change_identity(struct enter *e)
{
	const struct cred_plan *cred = &e->sb->process.cred;
	const char *cwd = cwd_of(e);
	uint64_t keep =
		(e->filter || enter_guard(e)) && !cred->no_new_privs ? 1ull << CAP_SYS_ADMIN : 0;
	int ret, there;

	if (!e->sb->process.args)
		return 0;
	there = go_to_cwd(e);
	if (there < 0)
		return there;
	ret = limits_set_rlimits(&e->sb->process.limits);
	if (!ret)
		ret = cred_drop(cred, keep);
	if (ret)
		return ret;
	/* new ids made it what fs.suid_dumpable says */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail_errno("become undumpable");
	if (!there && chdir(cwd) < 0)
		return fail_errno("change to the working directory %s (process.cwd)", cwd);
	/* in the mount of an upper directory, which lies nowhere, there is no such path */
	return e->in_layer ? 0 : check_cwd(cwd);
}

/* A missing working directory is made, by the container's root and inside its root. */
static int make_cwd(struct enter *e)
{
	auto_fd root = -1, fd = -1;

	/* the host's directories are not the runtime's to make */
	if (policy_alone(e->sb) || !e->sb->process.cwd || access(e->sb->process.cwd, F_OK) == 0 ||
	    errno != ENOENT)
		return 0;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = root < 0 ? -errno : mount_target(root, e->sb->process.cwd, true, false);
	/* on a read-only root the change of directory tells what is wrong */
	if (fd < 0 && fd != -EROFS && fd != -EACCES)
		return fail(-fd, "make the working directory %s (process.cwd): %s",
			    e->sb->process.cwd, err_reason(-fd));
	return 0;
}

static int find_home(struct enter *e)
{
	uid_t uid = e->sb->process.cred.uid;
	char home[PATH_MAX];
	auto_fd passwd = -1;
	struct stat st;

	for (size_t i = 0; i < e->n_env; i++) {
		if (!str_starts(e->env[i], "HOME="))
			continue;
		if (e->env[i][5])
			return 0;
		memmove(&e->env[i], &e->env[i + 1], (e->n_env - i) * sizeof(*e->env));
		e->n_env--;
		break;
	}
	/* the container's: no descriptor of ours in the place of a file, nothing that is no file */
	passwd = fd_open(AT_FDCWD, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
			 RESOLVE_NO_MAGICLINKS);
	if (passwd < 0 || fstat(passwd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    !cred_home(passwd, uid, home, sizeof(home)))
		snprintf(home, sizeof(home), "%s", uid ? "/" : "/root");
	snprintf(e->home, sizeof(e->home), "HOME=%s", home);
	e->env[e->n_env++] = e->home;
	e->env[e->n_env] = NULL;
	return 0;
}

static int ready(struct enter *e)
{
	int ret = enter_report(e, NOTE_READY);

	if (!ret)
		ret = enter_await(e);
	if (!ret && prctl(PR_SET_PDEATHSIG, e->io->tied ? SIGKILL : 0, 0, 0, 0) < 0)
		ret = fail_errno("let the caller's death be");
	if (!ret && e->io->start >= 0)
		ret = enter_report(e, NOTE_FREE);
	return ret;
}

static const struct step steps[] = {
	{ "detach from the caller", detach, ALL },
	{ "make the network namespace", make_net_early, INIT | RESTORE },
	{ "wait for what the runtime gives", await_birth, ALL },
	{ "join the control groups", join_cgroup, INIT | RESTORE },
	{ "join namespaces", join_namespaces, INIT | RESTORE },
	{ "open the root directory", open_rootfs, INIT | RESTORE },
	{ "open the layers' directories", enter_open_layers, INIT | RESTORE },
	{ "wait for what was in them", enter_await_fill, RESTORE },
	{ "hide from other processes", hide_from_others, ALL },
	{ "join the session keyring", join_keyring, ALL },
	{ "set the host name", set_names, INIT | RESTORE },
	{ "bring the loopback up", bring_loopback_up, INIT | RESTORE },
	{ "make the root file system", make_rootfs, INIT | RESTORE },
	{ "lay the layers", enter_lay_layers, INIT | RESTORE },
	{ "open the terminal", open_terminal, ALL },
	{ "run the runtime's hooks", runtime_hooks, INIT | RESTORE },
	{ "run the container's hooks", container_hooks, INIT },
	{ "change the root", change_root, INIT | RESTORE },
	{ "show the supervisor the root", enter_show_root, INIT | RESTORE },
	{ "set sysctls", set_sysctls, INIT | RESTORE },
	{ "set limits", set_limits, INIT | EXEC },
	{ "make the working directory", make_cwd, INIT | RESTORE },
	{ "hand over the standard descriptors", own_stdio, ALL },
	{ "set labels", set_labels, ALL },
	{ "find the home directory", find_home, INIT | EXEC },
	{ "restrict by Landlock", restrict_paths, ALL },
	{ "wait to be taken over", enter_hand_over, RESTORE },
	{ "change the identity", change_identity, INIT | EXEC },
	{ "find the executable", enter_find_executable, INIT | EXEC },
	{ "wait for the runtime", ready, INIT | EXEC },
	{ "wait for start", enter_wait_start, INIT },
	{ "run the start hooks", enter_start_hooks, INIT },
	{ "execute", enter_execute, INIT | EXEC },
};

void enter_run(struct enter *e)
{
	enum way way = e->joined ? EXEC : e->io->restored ? RESTORE : INIT;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (!(steps[i].ways & way))
			continue;
		log_debug("%s: %s", way_names[way], steps[i].name);
		err_clear();
		if (steps[i].run(e) == 0)
			continue;
		enter_report(e, NOTE_FAILED);
		_exit(1);
	}
	_exit(1);
}
