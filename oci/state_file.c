/* SPDX-License-Identifier: Apache-2.0 */
/* state.json: what is remembered of a container, and the files it is in. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/names.h"
#include "oci/json.h"
#include "oci/state.h"

#define STATE_MARK "thole"

static const char *const manager_names[] = {
	[CGROUP_DISABLED] = "disabled",
	[CGROUP_FS] = "cgroupfs",
	[CGROUP_SYSTEMD] = "systemd",
};

static void put_cgroup(struct json_writer *w, const struct cgroup *cg)
{
	json_open_object(w, "cgroup");
	json_put_str(w, "manager", manager_names[cg->manager]);
	json_put_str(w, "scope", cg->scope);
	json_put_bool(w, "rootless", cg->rootless);
	json_open_array(w, "dirs");
	for (size_t i = 0; i < cg->n; i++) {
		json_open_object(w, NULL);
		json_put_str(w, "controllers", cg->dirs[i].controllers);
		json_put_str(w, "path", cg->dirs[i].path);
		json_put_str(w, "made", cg->dirs[i].made);
		json_close(w);
	}
	json_close(w);
	json_close(w);
}

static const char *const mode_names[] = {
	[LAYER_RO] = "ro",
	[LAYER_RW] = "rw",
	[LAYER_COW] = "cow",
};

static void put_layers(struct json_writer *w, const struct state *s)
{
	json_open_array(w, "layers");
	for (size_t i = 0; i < s->n_layers; i++) {
		const struct state_layer *l = &s->layers[i];

		json_open_object(w, NULL);
		json_put_str(w, "path", l->path);
		json_put_str(w, "mode", mode_names[l->mode]);
		json_put_bool(w, "notified", l->notified);
		json_put_str(w, "store", l->store);
		json_put_str(w, "host", l->host);
		json_put_u64(w, "dev", l->shown.dev);
		json_put_u64(w, "ino", l->shown.ino);
		json_close(w);
	}
	json_close(w);
}

static const char *state_text(struct arena *a, const struct state *s, size_t *out_len)
{
	struct json_writer *w = json_writer_new(a, false);

	json_open_object(w, NULL);
	json_put_str(w, "runtime", STATE_MARK);
	json_put_str(w, "ociVersion", s->oci_version);
	json_put_str(w, "id", s->id);
	json_put_i64(w, "pid", s->pid);
	json_put_u64(w, "startTime", s->start_time);
	json_put_str(w, "bundle", s->bundle);
	json_put_str(w, "rootfs", s->rootfs);
	json_put_str(w, "created", s->created);
	json_put_u64(w, "owner", s->owner);
	json_put_bool(w, "userns", s->userns);
	json_put_bool(w, "process", s->process);
	json_put_bool(w, "poststart", s->poststart);
	json_put_bool(w, "poststop", s->poststop);
	put_cgroup(w, &s->cgroup);
	json_put_str(w, "rdtClass", s->rdt_class);
	json_put_bool(w, "rdtMonitoring", s->rdt_monitoring);
	json_open_array(w, "stdio");
	for (size_t i = 0; i < sizeof(s->stdio) / sizeof(s->stdio[0]); i++) {
		json_put_u64(w, NULL, s->stdio[i].dev);
		json_put_u64(w, NULL, s->stdio[i].ino);
	}
	json_close(w);
	put_layers(w, s);
	json_put_tree(w, "annotations", s->annotations);
	json_close(w);
	return json_writer_text(w, out_len);
}

int state_create(struct arena *a, const struct state_dir *d, const struct state *s)
{
	size_t len;
	const char *text = state_text(a, s, &len);
	int ret = fd_create_file(d->dir, STATE_FILE, 0600, text, len);

	return ret ? fail_in(ret, "the state of container %s", d->id) : 0;
}

int state_keep_config(const struct state_dir *d, const char *config, size_t len)
{
	int ret = fd_create_file(d->dir, STATE_CONFIG, 0600, config, len);

	return ret ? fail_in(ret, "the state of container %s", d->id) : 0;
}

int state_prepare(struct arena *a, const struct state_dir *d, const struct state *s)
{
	size_t len;
	const char *text = state_text(a, s, &len);
	int ret = fd_prepare_file(d->dir, STATE_FILE, 0600, text, len);

	return ret ? fail_in(ret, "the state of container %s", d->id) : 0;
}

int state_commit(const struct state_dir *d)
{
	int ret = fd_commit_file(d->dir, STATE_FILE);

	return ret ? fail_in(ret, "the state of container %s", d->id) : 0;
}

int state_write(struct arena *a, const struct state_dir *d, const struct state *s)
{
	int ret = state_prepare(a, d, s);

	return ret ? ret : state_commit(d);
}

static int broken(const struct state_dir *d, const char *field)
{
	return fail(EINVAL, "the state of container %s is damaged: %s; delete --force removes it",
		    d->id, field);
}

static int read_cgroup(const struct state_dir *d, const struct json *v, struct cgroup *out)
{
	const char *manager = json_str(json_get(v, "manager"));
	const struct json *dirs = json_get(v, "dirs");
	struct cgroup cg = { .scope = json_str(json_get(v, "scope")),
			     .rootless = json_bool(json_get(v, "rootless")) };
	size_t i;

	for (i = 0; i < NAME_COUNT(manager_names); i++)
		if (manager && strcmp(manager, manager_names[i]) == 0)
			break;
	if (i == NAME_COUNT(manager_names))
		return broken(d, "cgroup.manager");
	cg.manager = (enum cgroup_manager)i;
	for (dirs = dirs ? dirs->first : NULL; dirs; dirs = dirs->next) {
		struct cgroup_dir *dir = &cg.dirs[cg.n];

		if (cg.n == CGROUP_HIERARCHIES)
			return broken(d, "cgroup.dirs has too many entries");
		dir->controllers = json_str(json_get(dirs, "controllers"));
		dir->path = json_str(json_get(dirs, "path"));
		dir->made = json_str(json_get(dirs, "made"));
		if (!dir->controllers || !dir->path || dir->path[0] != '/')
			return broken(d, "cgroup.dirs");
		cg.n++;
	}
	*out = cg;
	return 0;
}

/* Pairs of numbers; absent in what an older version wrote. */
static int read_stdio(const struct state_dir *d, const struct json *v, struct state *s)
{
	const struct json *n = v ? v->first : NULL;

	for (size_t i = 0; i < sizeof(s->stdio) / sizeof(s->stdio[0]) && n; i++) {
		if (json_u64(n, 0, UINT64_MAX, &s->stdio[i].dev) ||
		    json_u64(n->next, 0, UINT64_MAX, &s->stdio[i].ino))
			return broken(d, "stdio");
		n = n->next->next;
	}
	return 0;
}

/* Absent in what an older version wrote. */
static int read_layers(struct arena *a, const struct state_dir *d, const struct json *v,
		       struct state *s)
{
	struct state_layer *layers = arena_array(a, SUPER_MAP_MAX, sizeof(*layers));

	s->layers = layers;
	for (v = v ? v->first : NULL; v; v = v->next) {
		struct state_layer *l = &layers[s->n_layers];
		const char *mode = json_str(json_get(v, "mode"));
		size_t m = 0;

		if (s->n_layers == SUPER_MAP_MAX)
			return broken(d, "layers has too many entries");
		while (m < NAME_COUNT(mode_names) && mode && strcmp(mode, mode_names[m]) != 0)
			m++;
		*l = (struct state_layer){
			.path = json_str(json_get(v, "path")),
			.mode = (enum layer_mode)m,
			.notified = json_bool(json_get(v, "notified")),
			.store = json_str(json_get(v, "store")),
			.host = json_str(json_get(v, "host")),
		};
		s->n_layers++;
		if (!l->path || !mode || m == NAME_COUNT(mode_names) ||
		    (l->mode == LAYER_COW && !l->store) ||
		    json_u64(json_get(v, "dev"), 0, UINT64_MAX, &l->shown.dev) ||
		    json_u64(json_get(v, "ino"), 0, UINT64_MAX, &l->shown.ino))
			return broken(d, "layers");
	}
	return 0;
}

int state_read(struct arena *a, const struct state_dir *d, struct state *out)
{
	const struct json *v;
	const char *mark;
	uint64_t owner, start_time;
	struct state s;
	int64_t pid;
	int ret;

	if (faccessat(d->dir, STATE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(ENODATA,
			    "container %s has no state: its creation was cut short; "
			    "delete --force removes it",
			    d->id);
	ret = json_read(a, d->dir, STATE_FILE, &v);
	if (ret)
		return fail_in(ret, "the state of container %s", d->id);
	mark = json_str(json_get(v, "runtime"));
	if (!mark || strcmp(mark, STATE_MARK) != 0)
		return fail(EMEDIUMTYPE, "container %s was made by another runtime", d->id);
	if (json_i64(json_get(v, "pid"), 0, INT_MAX, &pid))
		return broken(d, "pid");
	if (json_u64(json_get(v, "startTime"), 0, UINT64_MAX, &start_time))
		return broken(d, "startTime");
	if (json_u64(json_get(v, "owner"), 0, UINT_MAX, &owner))
		return broken(d, "owner");
	s = (struct state){
		.id = d->id,
		.oci_version = json_str(json_get(v, "ociVersion")),
		.bundle = json_str(json_get(v, "bundle")),
		.rootfs = json_str(json_get(v, "rootfs")),
		.created = json_str(json_get(v, "created")),
		.owner = (uid_t)owner,
		.pid = (pid_t)pid,
		.start_time = start_time,
		.userns = json_bool(json_get(v, "userns")),
		.process = json_bool(json_get(v, "process")),
		.poststart = json_bool(json_get(v, "poststart")),
		.poststop = json_bool(json_get(v, "poststop")),
		.rdt_class = json_str(json_get(v, "rdtClass")),
		.rdt_monitoring = json_bool(json_get(v, "rdtMonitoring")),
		.annotations = json_get(v, "annotations"),
	};
	if (!s.oci_version || !s.bundle || !s.rootfs || !s.created)
		return broken(d, "a field is missing");
	ret = read_cgroup(d, json_get(v, "cgroup"), &s.cgroup);
	if (!ret)
		ret = read_stdio(d, json_get(v, "stdio"), &s);
	if (!ret)
		ret = read_layers(a, d, json_get(v, "layers"), &s);
	if (ret)
		return ret;
	*out = s;
	return 0;
}
