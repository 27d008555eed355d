/* SPDX-License-Identifier: Apache-2.0 */
/* One process more in a container that runs. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/sys.h"
#include "jail/enter.h"
#include "sandbox_priv.h"

/* What a process that joins takes with it into the stage. */
struct join {
	struct enter e; /* first: the stage is given its address */
	const struct sandbox_join *to;
	int flags; /* CLONE_NEW* of the namespaces that differ */
	int root;  /* the container's root where it has no mount namespace of its own, or -1 */
	/* where no cgroup was asked for: init's will do if its programs have turned the container's
	 * into one that only holds others */
	struct cgroup_entry *own_place;
};

static int look_at_init(struct join *j)
{
	struct stat own, theirs;
	char path[64];
	int dead;

	j->flags = 0;
	j->root = -1;
	for (int k = 0; k < NS_KINDS; k++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", ns_info[k].proc);
		if (stat(path, &own) < 0)
			continue; /* a kernel without this kind */
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", j->to->pid, ns_info[k].proc);
		if (stat(path, &theirs) < 0)
			return fail_errno("look at the %s namespace of the container",
					  ns_info[k].oci);
		if (own.st_ino != theirs.st_ino || own.st_dev != theirs.st_dev)
			j->flags |= ns_info[k].flag;
	}
	if (!(j->flags & CLONE_NEWNS) && !policy_alone(j->e.sb)) {
		snprintf(path, sizeof(path), "/proc/%d/root", j->to->pid);
		j->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (j->root < 0)
			return fail_errno("open the root of the container");
	}
	/* the numbers above were those of this process only if it is still there */
	dead = sys_pidfd_send_signal(j->to->pidfd, 0, NULL, 0) < 0;
	return dead ? fail(ESRCH, "the container's init has ended: no such process") : 0;
}

static int set_initial_cpus(const struct enter *e)
{
	const char *cpus = e->sb->process.limits.cpus_initial;
	unsigned long mask[1024 / 8 / sizeof(long)];

	if (!cpus || !*cpus) {
		/* the caller's is not the container's: its cpuset is */
		memset(mask, 0xff, sizeof(mask));
		syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask);
		return 0;
	}
	if (limits_parse_cpus(cpus, mask, sizeof(mask)))
		return fail(EINVAL, "process.execCPUAffinity.initial \"%s\" is no list of CPUs",
			    cpus);
	return syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask) < 0
		       ? fail_errno("set the CPUs %s (process.execCPUAffinity.initial)", cpus)
		       : 0;
}

static int enter_container(struct join *j)
{
	struct enter *e = &j->e;
	int ret = set_initial_cpus(e);

	if (!ret)
		ret = cgroup_entry_join(e->entry);
	if (!ret)
		ret = sandbox_hide_stage(e);
	if (ret)
		return ret;
	if (j->flags && setns(j->to->pidfd, j->flags) < 0)
		return fail_errno("join the namespaces of the container");
	if (j->root >= 0 && (fchdir(j->root) < 0 || chroot(".") < 0))
		return fail_errno("enter the root of the container");
	return chdir("/") < 0 ? fail_errno("enter the root of the container") : 0;
}

static int clone_joined(struct enter *e, pid_t *out_pid, int *out_pidfd)
{
	struct join *j = (struct join *)e;
	pid_t stage, pid;
	int status;

	e->staged = true;
	*out_pidfd = -1;
	*out_pid = 0;
	stage = sandbox_clone(0, e->entry, NULL);
	if (stage < 0 && j->own_place && (errno == EBUSY || errno == EOPNOTSUPP)) {
		int ret = cgroup_entry_open_like(j->to->pid, j->own_place);

		if (ret)
			return ret;
		stage = sandbox_clone(0, e->entry, NULL);
	}
	if (stage < 0)
		return fail_errno("clone a process into the container's cgroup");
	if (stage == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (enter_container(j) == 0) {
			pid = sandbox_clone(CLONE_PARENT, NULL, NULL);
			if (pid == 0)
				enter_run(e);
			if (pid > 0)
				_exit(0);
			fail_errno("clone a process in the container");
		}
		enter_report(e, NOTE_FAILED);
		_exit(1);
	}
	sandbox_reap(stage, &status);
	return 0;
}

int sandbox_exec(struct arena *a, const struct sandbox *sb, const struct sandbox_join *join,
		 const struct sandbox_io *io, struct sandbox_task *out)
{
	struct cgroup_entry entry = { .v2 = -1 };
	struct join j = { .to = join,
			  .root = -1,
			  .own_place = join->exact ? NULL : &entry,
			  .e = { .arena = a,
				 .sb = sb,
				 .io = io,
				 .entry = &entry,
				 .cgroup = join->cgroup,
				 .joined = true } };
	int ret = cgroup_entry_open(join->cgroup, NULL, &entry);

	if (ret)
		return ret;
	ret = enter_prepare(&j.e);
	if (!ret) {
		ret = look_at_init(&j);
		if (!ret)
			ret = sandbox_launch(&j.e, clone_joined, out);
		fd_close(j.root);
		enter_close(&j.e);
	}
	cgroup_entry_close(&entry);
	return ret;
}
