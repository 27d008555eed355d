/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/cow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "oci/cmd.h"
#include "oci/container.h"
#include "oci/spec.h"
#include "oci/state.h"
#include "sandbox.h"

#define SUPERVISOR_PATIENCE_US 50000
#define SUPERVISOR_TRIES 200

bool cow_has_ended(const struct state_dir *d)
{
	for (int i = 0; i < SUPERVISOR_TRIES; i++) {
		auto_fd fd = fd_unix_connect(d->dir, STATE_SUPER);

		if (fd < 0)
			return true;
		usleep(SUPERVISOR_PATIENCE_US);
	}
	return false;
}

/* The root of a new user namespace writes there: it is to be the owner. */
static int give(const struct sandbox *sb, int dir)
{
	const struct ns_maps *maps = &sb->ns.maps;
	uint32_t uid, gid;

	if (geteuid() != 0 || !ns_new(&sb->ns, NS_USER) ||
	    ns_map_out(maps->uid, maps->n_uid, 0, &uid) ||
	    ns_map_out(maps->gid, maps->n_gid, 0, &gid))
		return 0;
	return fchownat(dir, "", uid, gid, AT_EMPTY_PATH) < 0
		       ? fail_errno("give the upper directory to the container's root")
		       : 0;
}

static int make_part(const struct sandbox *sb, int store, const char *name, bool *out_made)
{
	bool made = mkdirat(store, name, 0700) == 0;
	auto_fd fd = -1;

	if (!made && errno != EEXIST)
		return fail_errno("make the directory %s", name);
	fd = openat(store, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_errno("open the directory %s", name);
	*out_made = made;
	return made ? give(sb, fd) : 0;
}

static int make_store(struct arena *a, int base, const struct sandbox *sb, size_t i)
{
	struct layers_dir *d = &sb->layers.dirs[i];
	const char *name = d->store ? d->store : arena_printf(a, "%zu", i);
	char path[PATH_MAX];
	auto_fd fd = -1;
	bool made;
	int ret;

	if (!d->store && mkdirat(base, name, 0700) < 0)
		return fail_errno("make the upper directory");
	fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno("open the directory %s (upper)", name);
	ret = fd_path(fd, path, sizeof(path));
	if (ret)
		return fail(-ret, "find the upper directory: %s", err_reason(-ret));
	d->store = arena_strdup(a, path);
	ret = make_part(sb, fd, LAYERS_WORK, &made);
	return ret ? ret : make_part(sb, fd, LAYERS_UPPER, &d->fresh);
}

/* What two containers write at once is nobody's: neither overlayfs nor the supervisor shares it. */
static int check_unused(struct arena *a, const struct state_dir *d, const struct layers_dir *dir)
{
	const char *const *ids;
	int ret = state_list(a, d->root, &ids);

	for (; !ret && *ids; ids++) {
		auto_state_dir other = { .dir = -1 };
		bool stopped;
		struct state s;

		/* one that is none any more, or not yet, is in nobody's way */
		if (strcmp(*ids, d->id) == 0 || state_find(d->root, *ids, &other) ||
		    state_read(a, &other, &s))
			continue;
		stopped = state_status(&other, &s, NULL) == STATE_STOPPED;
		for (size_t i = 0; !ret && i < s.n_layers; i++)
			if (s.layers[i].store && strcmp(s.layers[i].store, dir->store) == 0 &&
			    !(stopped && cow_has_ended(&other)))
				ret = fail(EBUSY, "%s (upper) is in use by container %s",
					   dir->store, *ids);
	}
	return ret;
}

int cow_prepare(struct arena *a, const struct state_dir *d, struct sandbox *sb)
{
	auto_fd base = -1;
	int ret = 0;

	if (!sb->layers.n)
		return 0;
	if (mkdirat(d->dir, STATE_COW, 0700) < 0)
		return fail_errno("make the directory of the upper layers");
	base = openat(d->dir, STATE_COW, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (base < 0)
		return fail_errno("open the directory of the upper layers");
	for (size_t i = 0; !ret && i < sb->layers.n; i++)
		if (sb->layers.dirs[i].mode == LAYER_COW)
			ret = make_store(a, base, sb, i);
	for (size_t i = 0; !ret && i < sb->layers.n; i++)
		if (sb->layers.dirs[i].kept)
			ret = check_unused(a, d, &sb->layers.dirs[i]);
	return ret ? fail_in(ret, "run.thole.cow") : 0;
}

void cow_undo(const struct sandbox *sb)
{
	static const char *const parts[] = { LAYERS_UPPER, LAYERS_WORK };

	for (size_t i = 0; i < sb->layers.n; i++) {
		const struct layers_dir *d = &sb->layers.dirs[i];
		auto_fd dir =
			d->kept && d->fresh ? open(d->store, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

		for (size_t k = 0; dir >= 0 && k < sizeof(parts) / sizeof(parts[0]); k++) {
			int ret = fd_remove_tree(dir, parts[k]);

			if (ret)
				log_debug("remove %s/%s: %s", d->store, parts[k], err_reason(-ret));
		}
	}
}

void cow_note(struct arena *a, const struct sandbox *sb, const struct layers_found *found,
	      struct state *out)
{
	struct state_layer *v = arena_array(a, sb->layers.n, sizeof(*v));

	for (size_t i = 0; i < sb->layers.n; i++) {
		const struct layers_dir *d = &sb->layers.dirs[i];

		v[i] = (struct state_layer){
			.path = d->guest,
			.mode = d->mode,
			.notified = found->notified & 1u << i,
			.store = d->store,
			.host = d->host,
			.shown = { found->lower[i].dev, found->lower[i].ino },
		};
	}
	out->layers = v;
	out->n_layers = sb->layers.n;
}

void cow_recall(const struct state *s, struct sandbox *sb)
{
	sb->layers.notified = 0;
	for (size_t i = 0; i < sb->layers.n && i < s->n_layers; i++) {
		sb->layers.dirs[i].store = s->layers[i].store;
		sb->layers.notified |= (uint32_t)s->layers[i].notified << i;
	}
}

int cow_take_rights(struct cmd *c, const struct container *ct)
{
	const struct spec *spec;
	struct ns_maps maps;
	auto_fd fd = -1;
	int ret;

	if (geteuid() == 0 || !ct->state.userns)
		return 0;
	ret = container_config(c, ct, &spec);
	if (ret)
		return ret;
	maps = (struct ns_maps){ spec->uid_map, spec->gid_map, spec->n_uid, spec->n_gid };
	/* of a namespace that was joined by its path the ids are not known here */
	if (!maps.n_uid)
		return 0;
	fd = ns_open_mapped(&maps);
	if (fd < 0)
		return fd;
	if (setns(fd, CLONE_NEWUSER) < 0)
		return fail_errno("join a user namespace with the container's ids");
	/* EINVAL: it has no such id, and no files of root's either */
	if ((setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) && errno != EINVAL)
		return fail_errno("become the container's root");
	return 0;
}

/* By a child: the rights are for good, and there is more to do. */
static int remove_with_rights(struct cmd *c, const struct container *ct)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int ret = cow_take_rights(c, ct);

		_exit(ret ? -ret : -fd_remove_tree(ct->dir.dir, STATE_COW));
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

int cow_remove(struct cmd *c, const struct container *ct)
{
	int ret = fd_remove_tree(ct->dir.dir, STATE_COW);

	if ((ret == -EACCES || ret == -EPERM) && ct->state.userns && geteuid() != 0)
		ret = remove_with_rights(c, ct);
	return ret ? fail(-ret,
			  "remove what container %s has changed in its copy-on-write "
			  "directories: %s",
			  ct->dir.id, err_reason(-ret))
		   : 0;
}
