/* SPDX-License-Identifier: Apache-2.0 */
/* Dump: descriptors, and the open file descriptions that they share. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/ahead.h"
#include "ckpt/ask.h"
#include "ckpt/engine.h"
#include "ckpt/kinds.h"
#include "ckpt/lock.h"
#include "task/trace.h"

/* What tells whether the description is known already. */
static int glance(struct ckpt *c, struct ckpt_proc *p, uint32_t fd, struct file_look *out)
{
	struct file_look l = {
		.c = c,
		.p = p,
		.fd = fd,
		.passing = arena_alloc(c->arena, sizeof(bool)),
	};
	struct proc_fdinfo *info = arena_alloc(c->arena, sizeof(*info));
	char path[96];
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/fd/%u", p->host, fd);
	if (stat(path, &l.st) < 0)
		return fail_errno("look at %s", path);
	ret = proc_fdinfo(c->arena, p->host, (int)fd, info);
	if (ret)
		return ret;
	l.info = info;
	l.pos = (uint64_t)info->pos;
	l.cloexec = info->flags & O_CLOEXEC;
	l.flags = info->flags & ~(uint32_t)O_CLOEXEC;
	*out = l;
	return 0;
}

/* And the rest. */
static int look_closer(struct file_look *l)
{
	char name[64], path[96], link[PATH_MAX + 16];
	struct statfs fs;
	int ret;

	snprintf(name, sizeof(name), "fd/%u", l->fd);
	ret = proc_link(l->p->host, name, link, sizeof(link));
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/proc/%d/fd/%u", l->p->host, l->fd);
	if (statfs(path, &fs) == 0)
		l->fs_type = fs.f_type;
	l->link = arena_strdup(l->c->arena, link);
	l->sort = proc_fd_kind(link, NULL);
	return 0;
}

static const struct file_kind *owner_of(const struct file_look *l)
{
	for (size_t k = 0; file_kinds[k]; k++)
		if (file_kinds[k]->owns(l))
			return file_kinds[k];
	return NULL;
}

static const char *refusal(const struct file_look *l, const struct file_kind **out)
{
	const char *why;

	*out = owner_of(l);
	if (!*out)
		return "descriptors of that sort can't be saved";
	if ((*out)->check && (why = (*out)->check(l)))
		return why;
	/* what the caller gave is the caller's to lock */
	return *out == &file_stdio ? NULL : lock_refusal(l);
}

/* Most processes have what the caller gave the container where their parents had it. */
struct given {
	struct ckpt_proc *to[3]; /* by number: who was found to have it there */
};

static bool is_given(const struct given *g, const struct ckpt_proc *p, int fd)
{
	return fd < 3 && g->to[fd] &&
	       syscall(SYS_kcmp, g->to[fd]->host, p->host, KCMP_FILE, fd, fd) == 0;
}

static int check_proc(struct ckpt *c, struct ckpt_proc *p, struct given *given)
{
	const struct file_kind *kind;
	struct file_look l;
	const char *why;
	int *fds;
	size_t n;
	int ret = proc_fds(c->arena, p->host, &fds, &n);

	for (size_t i = 0; !ret && i < n; i++) {
		if (is_given(given, p, fds[i]) || glance(c, p, (uint32_t)fds[i], &l) ||
		    look_closer(&l))
			continue; /* it was closed, or the process has ended */
		why = refusal(&l, &kind);
		if (kind == &file_stdio && !why && fds[i] < 3)
			given->to[fds[i]] = p;
		/* what passes is looked at when all stand still */
		if (why && !(c->saves && *l.passing))
			ckpt_problem(c, p, fds[i], l.link, "%s", why);
	}
	return ret;
}

int files_check(struct ckpt *c)
{
	struct given given = { 0 };
	int ret;

	for (size_t i = 0; i < c->n_procs; i++) {
		if (c->procs[i]->zombie)
			continue;
		ret = check_proc(c, c->procs[i], &given);
		/* a process may end at any moment: the frozen ones are looked at again */
		if (ret && ret != -ENOENT && ret != -ESRCH && ret != -EACCES)
			return ret;
	}
	return 0;
}

static bool same_description(const struct ckpt_file *f, const struct file_look *l)
{
	if (f->dev != l->st.st_dev || f->ino != l->st.st_ino || f->flags != l->flags)
		return false;
	return syscall(SYS_kcmp, f->owner->host, l->p->host, KCMP_FILE, f->owner_fd, l->fd) == 0;
}

/* ---- frozen */

#define FDS_ASKED 64 /* descriptors of a process that are asked for with all else */

/* Which there are, and how many of them, the first ones, were asked for their flags. */
struct fds {
	int *v;
	size_t n, asked;
};

static int look_frozen(struct arena *a, pid_t host, void **out)
{
	struct fds *fds = arena_alloc(a, sizeof(*fds));

	*out = fds;
	return proc_fds(a, host, &fds->v, &fds->n);
}

/* One call tells what takes two files of /proc to be read. */
static int ask_flags(const struct ckpt_unit *u, struct ask *a)
{
	struct inject_call calls[FDS_ASKED];
	struct fds *fds;
	bool may = true;
	void *seen;
	size_t n;
	int ret = ahead_take(u->c, &kind_fds, u->p, &seen);

	if (ret)
		return ret;
	fds = seen;
	for (n = 0; !ret && n < fds->n && n < FDS_ASKED && may; n += may) {
		calls[n] = (struct inject_call){ .nr = SYS_fcntl,
						 .arg = { (uint64_t)fds->v[n], F_GETFD } };
		ret = trace_may(u->p->threads[0]->trace, SYS_fcntl, calls[n].arg, &may);
	}
	fds->asked = n;
	*ckpt_note(&kind_fds, u->p) = fds;
	return ret ? ret : ask_add(a, calls, n);
}

/* TIOCGPTPEER leaves O_CLOEXEC among the flags of the description, and so fdinfo has it for each of
 * its descriptors: then the process itself knows. */
static int ask_cloexec(struct file_look *l)
{
	int64_t ret;

	if (!l->cloexec || !S_ISCHR(l->st.st_mode) || !l->p->n_threads)
		return 0;
	ret = ckpt_call(l->p->threads[0], "ask for the flags of a descriptor", SYS_fcntl, l->fd,
			F_GETFD);
	if (ret >= 0)
		l->cloexec = ret & FD_CLOEXEC;
	return ret < 0 ? (int)ret : 0;
}

/* Where the parent has it, it is mostly the same description. */
static struct ckpt_file *inherited(struct ckpt *c, const struct ckpt_proc *p, uint32_t fd)
{
	struct ckpt_file *f = p->parent ? ckpt_file_of(c, p->parent, fd) : NULL;

	if (f && syscall(SYS_kcmp, f->owner->host, p->host, KCMP_FILE, f->owner_fd, fd) == 0)
		return f;
	return NULL;
}

/* flags: of F_GETFD, or -1 where nobody has asked. */
static int collect_fd(struct ckpt *c, struct ckpt_proc *p, uint32_t fd, int64_t flags,
		      struct ckpt_fd *out)
{
	const struct file_kind *kind;
	struct ckpt_file *f = flags < 0 ? NULL : inherited(c, p, fd);
	struct file_look *l;
	const char *why;
	int ret;

	if (f) {
		*out = (struct ckpt_fd){ fd, flags & FD_CLOEXEC, f->id };
		return 0;
	}
	l = arena_alloc(c->arena, sizeof(*l));
	ret = glance(c, p, fd, l);
	if (!ret && flags >= 0)
		l->cloexec = flags & FD_CLOEXEC;
	else if (!ret)
		ret = ask_cloexec(l);
	if (ret)
		return ret;
	*out = (struct ckpt_fd){ .fd = fd, .cloexec = l->cloexec };
	for (size_t i = 0; i < c->n_files; i++) {
		if (!same_description(c->files[i], l))
			continue;
		out->file = c->files[i]->id;
		return 0;
	}
	ret = look_closer(l);
	if (ret)
		return ret;
	why = refusal(l, &kind);
	if (why)
		return fail(*l->passing ? EAGAIN : ENOTSUP, "process %d: descriptor %u (%s): %s",
			    p->pid, fd, l->link, why);
	f = ckpt_add_file(c);
	f->kind = kind;
	f->flags = l->flags;
	f->pos = l->pos;
	f->owner = p;
	f->owner_fd = fd;
	f->dev = l->st.st_dev;
	f->ino = l->st.st_ino;
	if (kind->table)
		f->record = arena_alloc(c->arena, kind->table->size);
	out->file = f->id;
	ret = kind->collect ? kind->collect(l, f) : 0;
	return ret ? fail_in(ret, "process %d: descriptor %u (%s)", p->pid, fd, l->link) : 0;
}

/* We are the one who has it: it stays open until the dump is over. */
int ckpt_adopt(struct ckpt *c, int fd, uint32_t *out_file)
{
	struct ckpt_proc *self = arena_alloc(c->arena, sizeof(*self));
	struct ckpt_fd there;
	int ret;

	self->host = getpid();
	ret = collect_fd(c, self, (uint32_t)fd, -1, &there);
	if (!ret)
		*out_file = there.file;
	return ret;
}

static int collect_proc(struct ckpt *c, struct ckpt_proc *p)
{
	const struct ckpt_unit u = { .c = c, .p = p };
	const struct fds *fds;
	struct answers answers;
	int ret = ask_answers(&kind_fds, &u, &answers);

	if (ret)
		return ret;
	fds = *ckpt_note(&kind_fds, p);
	p->fds = arena_array(c->arena, fds->n ? fds->n : 1, sizeof(*p->fds));
	p->n_fds = 0;
	for (; p->n_fds < fds->n && !ret; p->n_fds++)
		ret = collect_fd(c, p, (uint32_t)fds->v[p->n_fds],
				 p->n_fds < fds->asked ? answers.calls[p->n_fds].ret : -1,
				 &p->fds[p->n_fds]);
	return ret;
}

int files_collect(struct ckpt *c)
{
	int ret = 0;

	for (size_t i = 0; i < c->n_procs && !ret; i++)
		if (!c->procs[i]->zombie)
			ret = collect_proc(c, c->procs[i]);
	return ret;
}

const struct ckpt_kind kind_fds = {
	.name = "fds",
	.scope = KIND_PROCESS,
	.look_frozen = look_frozen,
	.ask = ask_flags,
};
