/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/proxy.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/batch.h"
#include "ckpt/engine.h"
#include "ckpt/ids.h"
#include "task/trace.h"

#define UNCHANGED ((uint64_t)(uint32_t)-1)

struct proxy {
	struct peer who;
	struct ckpt_proc proc;
	struct proxy *next;
};

/* ---- dump */

/* One that has ended has no number for us any more, but still for the container. */
static int ask_inside(const struct file_look *l, struct ucred *out)
{
	const struct ckpt_thread *t = l->p->threads[0];
	socklen_t len = sizeof(*out);
	uint64_t addr;
	int64_t ret = ckpt_put(t, 0, &len, sizeof(len), &addr);

	if (ret >= 0)
		ret = ckpt_call(t, "ask for the peer of a socket", SYS_getsockopt, l->fd,
				SOL_SOCKET, SO_PEERCRED, addr + 8, addr);
	if (ret >= 0)
		ret = ckpt_get(t, 8, out, sizeof(*out));
	return ret < 0 ? (int)ret : 0;
}

int peer_of_socket(const struct file_look *l, int fd, struct peer *out)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int ret;

	*out = (struct peer){ 0 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return fail_errno("ask for the peer of a socket");
	if (cred.uid == (uid_t)-1) /* nobody has connected it yet */
		return 0;
	for (size_t i = 0; i < l->c->n_procs && cred.pid > 0; i++)
		if (l->c->procs[i]->host == cred.pid) {
			out->pid = (uint32_t)l->c->procs[i]->pid;
			return ids_inside(l->c, cred.uid, cred.gid, &out->uid, &out->gid);
		}
	/* in flight it is nobody's whom one could ask */
	ret = l->p->trace ? ask_inside(l, &cred) : 0;
	if (!ret && l->p->trace)
		*out = (struct peer){ (uint32_t)cred.pid, cred.uid, cred.gid };
	return ret;
}

/* ---- restore */

/* Rights are kept (capabilities(7), SECBIT_NO_SETUID_FIXUP): a path may be one of another's. */
static int set_ids(struct ckpt *c, const struct ckpt_thread *t, uint64_t uid, uint64_t gid)
{
	struct ckpt_batch *b = batch_begin(c, t);
	int ret = batch_add(b, "keep capabilities", 0, SYS_prctl, PR_SET_SECUREBITS,
			    SECBIT_NO_SETUID_FIXUP, 0, 0, 0);

	if (!ret)
		ret = batch_add(b, "be another group", 0, SYS_setresgid, UNCHANGED, gid, UNCHANGED);
	if (!ret)
		ret = batch_add(b, "be another user", 0, SYS_setresuid, UNCHANGED, uid, UNCHANGED);
	return ret ? ret : batch_run(b);
}

static int make_proxy(struct ckpt *c, const struct peer *who, struct proxy **out)
{
	struct ckpt_thread *root = ckpt_root(c), *t;
	struct proxy *p = arena_alloc(c->arena, sizeof(*p));
	int ret = tree_clone(root, CLONE_FILES | CLONE_FS, 0, (pid_t)who->pid);

	*p = (struct proxy){ .who = *who, .proc = { .pid = (pid_t)who->pid } };
	if (!ret)
		ret = trace_adopt_process(root->trace, &p->proc.trace);
	if (ret)
		return ret;
	p->proc.host = p->proc.trace->pid;
	t = ckpt_add_thread(c, &p->proc);
	t->tid = p->proc.pid;
	t->host = p->proc.host;
	t->trace = p->proc.trace->threads[0];
	p->next = c->proxies;
	c->proxies = p;
	*out = p;
	return 0;
}

int proxy_for(struct ckpt *c, const struct peer *who, const struct ckpt_thread **out)
{
	struct proxy *p = c->proxies;
	int ret = 0;

	*out = ckpt_root(c);
	if (!who->pid)
		return 0;
	if (who->pid > 1) {
		while (p && p->who.pid != who->pid)
			p = p->next;
		if (!p)
			ret = make_proxy(c, who, &p);
		if (ret)
			return ret;
		*out = p->proc.threads[0];
	}
	return who->uid || who->gid || who->pid > 1 ? set_ids(c, *out, who->uid, who->gid) : 0;
}

int proxy_done(struct ckpt *c, const struct ckpt_thread *t)
{
	return t == ckpt_root(c) ? set_ids(c, t, 0, 0) : 0;
}

int proxies_end(struct ckpt *c)
{
	int64_t ret = 0, answer;

	for (struct proxy *p = c->proxies; p && ret >= 0; p = p->next) {
		ret = trace_syscall(p->proc.threads[0]->trace, &answer, SYS_exit_group, 0);
		if (!ret)
			ret = fail(EPROTO, "process %d does not end", p->proc.pid);
		else if (ret == -ESRCH)
			ret = ckpt_call(ckpt_root(c), "wait for a helper", SYS_wait4,
					(uint64_t)p->proc.pid, 0, __WALL, 0);
	}
	c->proxies = NULL;
	return ret < 0 ? (int)ret : 0;
}
