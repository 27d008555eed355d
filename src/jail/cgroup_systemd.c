/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd driver: a transient scope is asked for over D-Bus, and the rest is done in the files
 * below it. libsystemd is opened when the first such call is made: it costs every other start
 * nothing.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "jail/cgroup_priv.h"

#ifdef HAVE_SYSTEMD

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define JOB_SECONDS 30
#define MANAGER \
	"org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
#define ERROR_EXISTS "org.freedesktop.systemd1.UnitExists"
#define ERROR_MISSING "org.freedesktop.systemd1.NoSuchUnit"

#define FUNCTIONS(X)                      \
	X(sd_bus_open_system)             \
	X(sd_bus_open_user)               \
	X(sd_bus_new)                     \
	X(sd_bus_set_address)             \
	X(sd_bus_start)                   \
	X(sd_bus_flush_close_unref)       \
	X(sd_bus_unref)                   \
	X(sd_bus_call)                    \
	X(sd_bus_call_method)             \
	X(sd_bus_get_property_string)     \
	X(sd_bus_match_signal)            \
	X(sd_bus_process)                 \
	X(sd_bus_wait)                    \
	X(sd_bus_error_free)              \
	X(sd_bus_message_new_method_call) \
	X(sd_bus_message_append)          \
	X(sd_bus_message_append_basic)    \
	X(sd_bus_message_open_container)  \
	X(sd_bus_message_close_container) \
	X(sd_bus_message_read)            \
	X(sd_bus_message_unref)

static struct {
	void *library;
#define X(name) __typeof__(&name) name;
	FUNCTIONS(X)
#undef X
} lib;

static int load(void)
{
	static const struct {
		const char *name;
		size_t offset;
	} functions[] = {
#define X(name) { #name, offsetof(__typeof__(lib), name) },
		FUNCTIONS(X)
#undef X
	};
	void *library, *found;

	if (lib.library)
		return 0;
	library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return fail(ENOTSUP, "the systemd cgroup driver needs libsystemd.so.0: install it, "
				     "or use the cgroupfs driver");
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		found = dlsym(library, functions[i].name);
		if (!found) {
			dlclose(library);
			return fail(ENOTSUP, "libsystemd.so.0 has no %s: it is too old",
				    functions[i].name);
		}
		memcpy((char *)&lib + functions[i].offset, &found, sizeof(found));
	}
	lib.library = library;
	return 0;
}

/* One conversation with systemd; the jobs that ended meanwhile are noted. */
struct talk {
	sd_bus *bus;
	char job[256], result[64]; /* waited for, and how it ended */
	char ended[16][2][64];     /* ends that came before their job's name was known */
	size_t n;
};

static void talk_end(struct talk *t)
{
	if (t->bus)
		lib.sd_bus_flush_close_unref(t->bus);
}
#define auto_talk __attribute__((cleanup(talk_end))) struct talk

static void message_end(sd_bus_message **m)
{
	if (*m)
		lib.sd_bus_message_unref(*m);
}
#define auto_message __attribute__((cleanup(message_end))) sd_bus_message *

static void error_end(sd_bus_error *e)
{
	if (lib.library)
		lib.sd_bus_error_free(e);
}
#define auto_error __attribute__((cleanup(error_end))) sd_bus_error

/* systemd's own socket, where no bus is running (early boot, small systems) */
static int open_private(bool user, sd_bus **out)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char address[PATH_MAX];
	sd_bus *bus = NULL;
	int ret;

	if (user && !runtime)
		return -ENOENT;
	if (snprintf(address, sizeof(address), "unix:path=%s/systemd/private",
		     user ? runtime : "/run") >= (int)sizeof(address))
		return -ENAMETOOLONG;
	ret = lib.sd_bus_new(&bus);
	if (ret < 0)
		return ret;
	ret = lib.sd_bus_set_address(bus, address);
	if (ret >= 0)
		ret = lib.sd_bus_start(bus);
	if (ret < 0) {
		lib.sd_bus_unref(bus);
		return ret;
	}
	*out = bus;
	return 0;
}

static int job_removed(sd_bus_message *m, void *data, sd_bus_error *error)
{
	const char *path, *unit, *result;
	struct talk *t = data;
	uint32_t id;

	(void)error;
	if (lib.sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	if (*t->job && strcmp(path, t->job) == 0)
		snprintf(t->result, sizeof(t->result), "%s", result);
	else if (!*t->job && t->n < sizeof(t->ended) / sizeof(t->ended[0])) {
		snprintf(t->ended[t->n][0], sizeof(t->ended[0][0]), "%s", path);
		snprintf(t->ended[t->n++][1], sizeof(t->ended[0][1]), "%s", result);
	}
	return 0;
}

static int talk_begin(struct talk *t, bool user)
{
	const char *name = user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS";
	int ret = load();

	*t = (struct talk){ 0 };
	if (ret)
		return ret;
	ret = user ? lib.sd_bus_open_user(&t->bus) : lib.sd_bus_open_system(&t->bus);
	if (ret < 0 && !getenv(name) && open_private(user, &t->bus) == 0)
		ret = 0;
	if (ret < 0)
		return fail(-ret,
			    "connect to the %s's systemd: %s: is it running? Without it use "
			    "the cgroupfs driver",
			    user ? "user" : "system", err_reason(-ret));
	ret = lib.sd_bus_match_signal(
		t->bus, NULL, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", "JobRemoved", job_removed, t);
	if (ret < 0)
		return fail(-ret, "listen to systemd's signals: %s", err_reason(-ret));
	/* it may say that we did already; a private connection needs none */
	lib.sd_bus_call_method(t->bus, MANAGER, "Subscribe", NULL, NULL, NULL);
	return 0;
}

static int refused(const char *what, const char *unit, int ret, const sd_bus_error *e)
{
	return fail(-ret, "systemd: %s %s: %s", what, unit,
		    e->message ? e->message : err_reason(-ret));
}

static int wait_job(struct talk *t, const char *what, const char *unit)
{
	int64_t end = cgroup_now() + JOB_SECONDS * 1000, left;
	int ret;

	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->ended[i][0], t->job) == 0)
			memcpy(t->result, t->ended[i][1], sizeof(t->result));
	while (!*t->result) {
		ret = lib.sd_bus_process(t->bus, NULL);
		if (ret > 0)
			continue;
		left = end - cgroup_now();
		if (ret == 0 && left <= 0)
			return fail(ETIMEDOUT, "systemd: %s %s: no answer within %d s", what, unit,
				    JOB_SECONDS);
		if (ret == 0)
			ret = lib.sd_bus_wait(t->bus, (uint64_t)left * 1000);
		if (ret < 0 && ret != -EINTR)
			return fail(-ret, "systemd: %s %s: %s", what, unit, err_reason(-ret));
	}
	if (strcmp(t->result, "done") == 0)
		return 0;
	return fail(EIO,
		    "systemd: %s %s: the job ended with \"%s\": see journalctl and systemctl "
		    "status",
		    what, unit, t->result);
}

static int append_basic(sd_bus_message *m, const struct gvariant *v)
{
	/* D-Bus types as sd_bus_message_append_basic(3) wants them */
	uint8_t u8 = (uint8_t)v->u;
	uint16_t u16 = (uint16_t)(v->kind == GV_INT ? (uint64_t)v->i : v->u);
	uint32_t u32 = (uint32_t)(v->kind == GV_INT ? (uint64_t)v->i : v->u);
	uint64_t u64 = v->kind == GV_INT ? (uint64_t)v->i : v->u;
	int truth = v->i != 0;

	switch (v->type[0]) {
	case 'b':
		return lib.sd_bus_message_append_basic(m, 'b', &truth);
	case 'y':
		return lib.sd_bus_message_append_basic(m, 'y', &u8);
	case 'n':
	case 'q':
		return lib.sd_bus_message_append_basic(m, v->type[0], &u16);
	case 'i':
	case 'u':
		return lib.sd_bus_message_append_basic(m, v->type[0], &u32);
	case 'x':
	case 't':
		return lib.sd_bus_message_append_basic(m, v->type[0], &u64);
	case 'd':
		return lib.sd_bus_message_append_basic(m, 'd', &v->d);
	case 's':
	case 'o':
	case 'g':
		return lib.sd_bus_message_append_basic(m, v->type[0], v->s);
	default: /* a handle is a descriptor: an annotation has none */
		return -EINVAL;
	}
}

static int append_value(sd_bus_message *m, const struct gvariant *v)
{
	int ret;

	if (v->kind != GV_ARRAY && v->kind != GV_PAIRS)
		return append_basic(m, v);
	ret = lib.sd_bus_message_open_container(m, 'a', v->type + 1);
	if (v->kind == GV_PAIRS)
		for (size_t i = 0; ret >= 0 && i + 1 < v->n; i += 2)
			ret = lib.sd_bus_message_append(m, "(ss)", v->items[i].s,
							v->items[i + 1].s);
	else
		for (size_t i = 0; ret >= 0 && i < v->n; i++)
			ret = append_basic(m, &v->items[i]);
	return ret < 0 ? ret : lib.sd_bus_message_close_container(m);
}

static int append_properties(sd_bus_message *m, const struct cgroup_unit_properties *p)
{
	int ret = lib.sd_bus_message_open_container(m, 'a', "(sv)");

	for (size_t i = 0; ret >= 0 && i < p->n; i++) {
		ret = lib.sd_bus_message_open_container(m, 'r', "sv");
		if (ret >= 0)
			ret = lib.sd_bus_message_append_basic(m, 's', p->v[i].name);
		if (ret >= 0)
			ret = lib.sd_bus_message_open_container(m, 'v', p->v[i].value.type);
		if (ret >= 0)
			ret = append_value(m, &p->v[i].value);
		if (ret < 0)
			return fail(-ret, "systemd has no property %s of D-Bus type \"%s\"",
				    p->v[i].name, p->v[i].value.type);
		ret = lib.sd_bus_message_close_container(m);
		if (ret >= 0)
			ret = lib.sd_bus_message_close_container(m);
	}
	if (ret >= 0)
		ret = lib.sd_bus_message_close_container(m);
	return ret < 0 ? fail(-ret, "build a message to systemd: %s", err_reason(-ret)) : 0;
}

/* "252.39-1~deb12u1", "systemd 239", "v255" */
static unsigned manager_version(struct talk *t)
{
	char *text = NULL;
	unsigned version = 0;
	size_t skip;

	if (lib.sd_bus_get_property_string(t->bus, MANAGER, "Version", NULL, &text) >= 0) {
		skip = strcspn(text, "0123456789");
		version = (unsigned)strtoul(text + skip, NULL, 10);
	}
	free(text);
	return version;
}

static bool limits_are_v2(const struct cgroup *cg)
{
	const struct cgroup_dir *d = cgroup_find(cg, CTL_MEMORY);

	return d && cgroup_dir_v2(d);
}

static int start_once(struct talk *t, const char *unit, const struct cgroup_unit_properties *p,
		      sd_bus_error *error)
{
	auto_message m = NULL;
	auto_message reply = NULL;
	const char *job;
	int ret = lib.sd_bus_message_new_method_call(t->bus, &m, MANAGER, "StartTransientUnit");

	if (ret >= 0)
		ret = lib.sd_bus_message_append(m, "ss", unit, "replace");
	if (ret < 0)
		return fail(-ret, "build a message to systemd: %s", err_reason(-ret));
	ret = append_properties(m, p);
	if (ret)
		return ret;
	ret = lib.sd_bus_message_append(m, "a(sa(sv))", 0);
	if (ret >= 0)
		ret = lib.sd_bus_call(t->bus, m, JOB_SECONDS * 1000000ull, error, &reply);
	if (ret >= 0)
		ret = lib.sd_bus_message_read(reply, "o", &job);
	if (ret < 0)
		return refused("start", unit, ret, error);
	snprintf(t->job, sizeof(t->job), "%s", job);
	return 0;
}

/* A path of /proc/PID/cgroup for the hierarchy, or NULL. */
static char *path_of(struct arena *a, const char *text, const char *controllers)
{
	const char *c1, *c2;
	size_t n = strlen(controllers);

	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		c1 = strchr(p, ':');
		c2 = c1 ? strchr(c1 + 1, ':') : NULL;
		if (c2 && (size_t)(c2 - c1 - 1) == n && memcmp(c1 + 1, controllers, n) == 0)
			return arena_strndup(a, c2 + 1, strcspn(c2 + 1, "\n"));
	}
	return NULL;
}

/* Where systemd really put the process: a user's manager need not live where one expects it. */
static void correct_paths(struct arena *a, struct cgroup *cg, pid_t pid)
{
	const struct cgroup_trees *trees = cgroup_host_trees();
	char name[64], text[16384], *at;
	const char *sub;

	snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	if (!trees || cgroup_read(AT_FDCWD, name, text, sizeof(text)) < 0)
		return;
	for (size_t i = 0; i < cg->n; i++) {
		at = path_of(a, text, cg->dirs[i].controllers);
		sub = strstr(cg->dirs[i].path, cg->scope);
		if (!at || !sub || !str_ends(at, cg->scope))
			continue;
		sub += strlen(cg->scope);
		for (size_t k = 0; k < trees->n; k++)
			if (strcmp(trees->v[k].controllers, cg->dirs[i].controllers) == 0)
				cg->dirs[i].path =
					arena_printf(a, "%s%s%s", trees->v[k].mount, at, sub);
	}
}

int cgroup_systemd_start(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg,
			 pid_t pid)
{
	struct cgroup_unit_properties p = { .arena = a, .v2 = limits_are_v2(cg) };
	auto_error error = SD_BUS_ERROR_NULL;
	auto_talk t = { 0 };
	int ret = talk_begin(&t, plan->rootless);

	if (ret)
		return ret;
	p.version = manager_version(&t);
	ret = cgroup_property_unit(&p, plan, cg->scope, pid);
	if (!ret)
		ret = cgroup_property_devices(&p, &plan->limits);
	if (!ret)
		ret = cgroup_property_limits(&p, &plan->limits);
	for (size_t i = 0; !ret && i < plan->n_properties; i++)
		ret = cgroup_property_custom(&p, &plan->properties[i]);
	if (ret)
		return ret;
	ret = start_once(&t, cg->scope, &p, &error);
	if (ret && error.name && strcmp(error.name, ERROR_EXISTS) == 0) {
		/* one that failed stands in the way until it is forgotten */
		lib.sd_bus_call_method(t.bus, MANAGER, "ResetFailedUnit", NULL, NULL, "s",
				       cg->scope);
		lib.sd_bus_error_free(&error);
		ret = start_once(&t, cg->scope, &p, &error);
	}
	if (!ret)
		ret = wait_job(&t, "start", cg->scope);
	if (!ret)
		correct_paths(a, cg, pid);
	return ret;
}

int cgroup_systemd_update(struct arena *a, const struct cgroup *cg, const struct cgroup_limits *l)
{
	struct cgroup_unit_properties p = { .arena = a, .v2 = limits_are_v2(cg) };
	auto_error error = SD_BUS_ERROR_NULL;
	auto_message m = NULL;
	auto_talk t = { 0 };
	int ret = talk_begin(&t, cg->rootless);

	if (ret)
		return ret;
	p.version = manager_version(&t);
	ret = cgroup_property_limits(&p, l);
	if (ret || !p.n)
		return ret;
	ret = lib.sd_bus_message_new_method_call(t.bus, &m, MANAGER, "SetUnitProperties");
	if (ret >= 0)
		ret = lib.sd_bus_message_append(m, "sb", cg->scope, 1);
	if (ret < 0)
		return fail(-ret, "build a message to systemd: %s", err_reason(-ret));
	ret = append_properties(m, &p);
	if (ret)
		return ret;
	ret = lib.sd_bus_call(t.bus, m, JOB_SECONDS * 1000000ull, &error, NULL);
	return ret < 0 ? refused("change the limits of", cg->scope, ret, &error) : 0;
}

int cgroup_systemd_stop(const struct cgroup *cg)
{
	auto_error error = SD_BUS_ERROR_NULL;
	auto_message reply = NULL;
	auto_talk t = { 0 };
	const char *job;
	int ret = talk_begin(&t, cg->rootless);

	if (ret)
		return ret;
	ret = lib.sd_bus_call_method(t.bus, MANAGER, "StopUnit", &error, &reply, "ss", cg->scope,
				     "replace");
	if (ret < 0 && error.name && strcmp(error.name, ERROR_MISSING) == 0)
		return 0;
	if (ret >= 0)
		ret = lib.sd_bus_message_read(reply, "o", &job);
	if (ret < 0)
		return refused("stop", cg->scope, ret, &error);
	snprintf(t.job, sizeof(t.job), "%s", job);
	ret = wait_job(&t, "stop", cg->scope);
	/* what its processes left as "failed" would keep the name */
	lib.sd_bus_call_method(t.bus, MANAGER, "ResetFailedUnit", NULL, NULL, "s", cg->scope);
	return ret;
}

#else

static int absent(void)
{
	return fail(ENOTSUP, "this thole was built without the systemd cgroup driver: use the "
			     "cgroupfs driver");
}

int cgroup_systemd_start(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg,
			 pid_t pid)
{
	(void)a, (void)plan, (void)cg, (void)pid;
	return absent();
}

int cgroup_systemd_update(struct arena *a, const struct cgroup *cg, const struct cgroup_limits *l)
{
	(void)a, (void)cg, (void)l;
	return absent();
}

int cgroup_systemd_stop(const struct cgroup *cg)
{
	(void)cg;
	return absent();
}

#endif
