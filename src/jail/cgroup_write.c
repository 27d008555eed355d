/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"

/* Directories stay open while their files are written: one walk of the path for each. */
struct opened {
	const struct cgroup *cg;
	int fd[CGROUP_HIERARCHIES];
};

static void opened_init(struct opened *o, const struct cgroup *cg)
{
	o->cg = cg;
	for (size_t i = 0; i < CGROUP_HIERARCHIES; i++)
		o->fd[i] = -1;
}

static void opened_cleanup(struct opened *o)
{
	for (size_t i = 0; i < CGROUP_HIERARCHIES; i++)
		fd_close(o->fd[i]);
}

static int dir_fd(struct opened *o, const struct cgroup_dir *d)
{
	int *fd = &o->fd[d - o->cg->dirs];

	if (*fd < 0)
		*fd = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? fail_errno("open the cgroup %s", d->path) : *fd;
}

/* Why a file is not there: the kernel lacks it, or (version 2) the controller is not enabled. */
static int missing(int dir, const struct cgroup_dir *d, const char *field, const char *ctl,
		   const char *file)
{
	char list[512];

	if (!cgroup_dir_v2(d) || !ctl || strcmp(ctl, "cgroup") == 0)
		return fail(ENOTSUP, "%s: this kernel has no %s in %s", field, file, d->path);
	if (cgroup_read(dir, "cgroup.controllers", list, sizeof(list)) < 0)
		list[0] = '\0';
	for (char *p = list; *p; p++)
		if (*p == ' ' || *p == '\n')
			*p = ',';
	if (cgroup_host_lists(list, ctl))
		return fail(ENOTSUP, "%s: this kernel has no %s in %s", field, file, d->path);
	return fail(ENOTSUP,
		    "%s: controller not available: %s is not in %s/cgroup.controllers: enable it "
		    "in the cgroups above",
		    field, ctl, d->path);
}

/* One write; text is stored only where the failure is final. */
static int put(struct opened *o, const struct cgroup_write *w, bool last)
{
	const struct cgroup_ctl_name *name = &cgroup_ctl_names[w->ctl];
	const struct cgroup_dir *d = cgroup_find(o->cg, w->ctl);
	int dir, ret;

	if (!d && w->flags & WRITE_OPTIONAL)
		return 0;
	if (!d)
		return fail(ENOTSUP, "%s: no %s cgroup controller is mounted here", w->field,
			    name->v1 ? name->v1 : name->v2);
	dir = dir_fd(o, d);
	if (dir < 0)
		return dir;
	ret = fd_put(dir, w->file, w->text);
	if (ret == -ENOENT && w->alt_file)
		ret = fd_put(dir, w->alt_file, w->alt_text);
	if (!ret || (ret == -ENOENT && w->flags & WRITE_OPTIONAL))
		return 0;
	if (!last && w->flags & WRITE_RETRY && (ret == -EINVAL || ret == -EBUSY))
		return -EAGAIN;
	if (ret == -ENOENT)
		return missing(dir, d, w->field, cgroup_dir_v2(d) ? name->v2 : name->v1, w->file);
	return fail(-ret, "%s: write \"%s\" to %s/%s: %s", w->field, w->text, d->path, w->file,
		    ret == -EBUSY && w->ctl == CTL_MEMORY
			    ? "less than what is in use, and it can't be reclaimed"
			    : err_reason(-ret));
}

int cgroup_write_all(const struct cgroup *cg, const struct cgroup_writes *w)
{
	__attribute__((cleanup(opened_cleanup))) struct opened o;
	uint64_t again = 0;
	int ret;

	opened_init(&o, cg);
	for (size_t i = 0; i < w->n; i++) {
		ret = put(&o, &w->v[i], i >= 64);
		if (ret == -EAGAIN)
			again |= 1ull << i;
		else if (ret)
			return ret;
	}
	for (size_t i = 0; again >> i; i++) {
		ret = again & 1ull << i ? put(&o, &w->v[i], true) : 0;
		if (ret || i == 63)
			return ret;
	}
	return 0;
}

/* The kernel takes one line a write. */
static int put_lines(struct arena *a, int dir, const char *file, const char *text)
{
	size_t n;
	int ret = 0;

	do {
		n = strcspn(text, "\n");
		if (n || !text[n])
			ret = fd_put(dir, file, arena_strndup(a, text, n));
		text += n + (text[n] == '\n');
	} while (!ret && *text);
	return ret;
}

int cgroup_write_unified(struct arena *a, const struct cgroup *cg, const struct cgroup_limits *l)
{
	const struct cgroup_dir *d = cgroup_find_v2(cg);
	const struct cgroup_unified *u;
	const char *field;
	auto_fd dir = -1;
	int ret;

	if (!l->n_unified)
		return 0;
	if (!d)
		return fail(ENOTSUP,
			    "linux.resources.unified: no version 2 cgroup for this container");
	dir = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return fail_errno("open the cgroup %s", d->path);
	for (size_t i = 0; i < l->n_unified; i++) {
		u = &l->unified[i];
		ret = put_lines(a, dir, u->key, u->value);
		field = arena_printf(a, "linux.resources.unified[\"%s\"]", u->key);
		if (ret == -ENOENT)
			return missing(dir, d, field,
				       arena_strndup(a, u->key, strcspn(u->key, ".")), u->key);
		if (ret)
			return fail(-ret, "%s: write \"%s\" to %s/%s: %s", field, u->value, d->path,
				    u->key, err_reason(-ret));
	}
	return 0;
}
