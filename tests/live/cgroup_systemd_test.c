/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd driver against a systemd of our own: a bus of its own (dbus-daemon), on which a child
 * answers as org.freedesktop.systemd1, makes the scope's cgroup in the name=systemd or version 2
 * hierarchy, and writes down every call as text.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"
#include "lib/tap.h"

#define SET(x) ((struct opt_i64){ true, (x) })

/* ---- the fake ---- */

enum temper { WILLING, EXISTS_ONCE, EXISTS, FAILING, REFUSING };

struct fake {
	enum temper temper;
	int log;
	const char *cgroup; /* where scopes go */
	int refusals;
	unsigned job;
};

static void dump(sd_bus_message *m, struct str *s)
{
	union {
		uint8_t y;
		uint16_t q;
		uint32_t u;
		int32_t i;
		uint64_t t;
		const char *s;
		int b;
	} v;
	const char *contents;
	char type;

	while (sd_bus_message_peek_type(m, &type, &contents) > 0) {
		if (strchr("aver", type)) {
			sd_bus_message_enter_container(m, type, contents);
			str_add(s, type == 'a' ? "[" : type == 'v' ? contents : "");
			str_add(s, type == 'v' ? " " : "");
			dump(m, s);
			sd_bus_message_exit_container(m);
			str_add(s, type == 'a' ? "]" : type == 'v' ? ";" : "");
			continue;
		}
		if (sd_bus_message_read_basic(m, type, &v) < 0)
			return;
		if (strchr("sog", type))
			str_addf(s, "%s ", v.s);
		else if (type == 't')
			str_addf(s, "%llu ", (unsigned long long)v.t);
		else if (type == 'y')
			str_addf(s, "%u ", v.y);
		else if (type == 'b')
			str_addf(s, "%s ", v.b ? "true" : "false");
		else if (type == 'i')
			str_addf(s, "%d ", v.i);
		else
			str_addf(s, "%u ", v.u);
	}
}

static void record(struct fake *f, sd_bus_message *m, char *out, size_t size)
{
	struct str s = { .buf = out, .size = size };

	out[0] = '\0';
	str_addf(&s, "%s: ", sd_bus_message_get_member(m));
	sd_bus_message_rewind(m, 1);
	dump(m, &s);
	str_add(&s, "\n");
	if (fd_write_all(f->log, out, s.len))
		_exit(3);
	sd_bus_message_rewind(m, 1);
}

static int answer_job(struct fake *f, sd_bus_message *m, const char *unit)
{
	sd_bus *bus = sd_bus_message_get_bus(m);
	char job[64];

	snprintf(job, sizeof(job), "/org/freedesktop/systemd1/job/%u", ++f->job);
	/* before the answer, as can happen: the caller must not miss it */
	sd_bus_emit_signal(bus, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
			   "JobRemoved", "uoss", f->job, job, unit,
			   f->temper == FAILING ? "failed" : "done");
	return sd_bus_reply_method_return(m, "o", job);
}

/* Puts the first of PIDs into the scope's cgroup: text is what record() wrote. */
static void make_scope(const struct fake *f, const char *unit, const char *text)
{
	const char *pids = strstr(text, "PIDs au [");
	const char *slice = strstr(text, "Slice s ");
	char path[512], pid[16];

	if (!pids || !slice || !*f->cgroup)
		return;
	slice += strlen("Slice s ");
	snprintf(path, sizeof(path), "%s/%.*s", f->cgroup, (int)strcspn(slice, " "), slice);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%.*s/%s", f->cgroup, (int)strcspn(slice, " "), slice,
		 unit);
	mkdir(path, 0755);
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "/cgroup.procs");
	snprintf(pid, sizeof(pid), "%d", atoi(pids + strlen("PIDs au [")));
	if (fd_put(AT_FDCWD, path, pid))
		_exit(4);
}

static int start_unit(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct fake *f = data;
	char text[8192];
	const char *unit;

	record(f, m, text, sizeof(text));
	if (f->temper == REFUSING)
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Cannot set property X");
	if (f->temper == EXISTS || (f->temper == EXISTS_ONCE && !f->refusals++))
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.UnitExists",
					 "Unit was already loaded.");
	if (sd_bus_message_read(m, "s", &unit) < 0)
		return -EINVAL;
	if (f->temper != FAILING)
		make_scope(f, unit, text);
	return answer_job(f, m, unit);
}

static int stop_unit(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct fake *f = data;
	char text[8192];
	const char *unit;

	record(f, m, text, sizeof(text));
	if (f->temper == FAILING)
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit",
					 "Unit not loaded.");
	if (sd_bus_message_read(m, "s", &unit) < 0)
		return -EINVAL;
	return answer_job(f, m, unit);
}

static int just_record(sd_bus_message *m, void *data, sd_bus_error *error)
{
	char text[8192];

	(void)error;
	record(data, m, text, sizeof(text));
	return sd_bus_reply_method_return(m, "");
}

static int version(sd_bus *bus, const char *path, const char *interface, const char *property,
		   sd_bus_message *reply, void *data, sd_bus_error *error)
{
	(void)bus, (void)path, (void)interface, (void)property, (void)data, (void)error;
	return sd_bus_message_append(reply, "s", "252.39-1~deb12u1");
}

static const sd_bus_vtable manager[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Subscribe", "", "", just_record, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", start_unit,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StopUnit", "ss", "o", stop_unit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("ResetFailedUnit", "s", "", just_record, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("SetUnitProperties", "sba(sv)", "", just_record, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("Version", "s", version, 0, 0),
	SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
	SD_BUS_VTABLE_END,
};

static void serve(struct fake *f, const char *address, int ready)
{
	sd_bus *bus;

	if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 ||
	    sd_bus_set_bus_client(bus, 1) < 0 || sd_bus_start(bus) < 0 ||
	    sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/systemd1",
				     "org.freedesktop.systemd1.Manager", manager, f) < 0 ||
	    sd_bus_request_name(bus, "org.freedesktop.systemd1", 0) < 0 ||
	    write(ready, "y", 1) != 1)
		_exit(1);
	for (;;)
		if (sd_bus_process(bus, NULL) <= 0 && sd_bus_wait(bus, UINT64_MAX) < 0)
			_exit(0);
}

/* ---- the scene: a bus, the fake on it, a slice of our own ---- */

struct scene {
	struct arena *a;
	char dir[64], slice[64];
	pid_t daemon, fake;
	int log;
	struct cgroup_plan plan;
	struct cgroup cg;
};

static const char config[] =
	"<busconfig><type>session</type><listen>unix:path=%s/bus</listen>"
	"<auth>EXTERNAL</auth><policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>"
	"<allow send_destination=\"*\"/><allow eavesdrop=\"true\"/></policy></busconfig>";

static pid_t start_daemon(const char *dir)
{
	char path[96], text[1024], arg[128];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/bus.conf", dir);
	snprintf(text, sizeof(text), config, dir);
	if (fd_replace_file(AT_FDCWD, path, 0600, text, strlen(text)))
		return -1;
	snprintf(arg, sizeof(arg), "--config-file=%s", path);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* it complains about limits it can't raise */
		fd = open("/dev/null", O_WRONLY);
		if (fd >= 0)
			dup2(fd, STDERR_FILENO);
		execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nosyslog", "--nopidfile", arg,
		       (char *)NULL);
		_exit(127);
	}
	snprintf(path, sizeof(path), "%s/bus", dir);
	for (int i = 0; i < 6000; i++) {
		fd = fd_unix_connect(AT_FDCWD, path);
		if (fd >= 0) {
			close(fd);
			return pid;
		}
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return -1;
		cgroup_sleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return -1;
}

static struct scene open_scene(enum temper temper, const char *variable)
{
	const struct cgroup_trees *t = cgroup_host_trees();
	struct scene s = { .a = arena_new() };
	char address[128], path[128], c;
	struct fake f = { .temper = temper, .cgroup = "" };
	int ready[2];

	if (geteuid() != 0)
		tap_skip("only root may make cgroups");
	for (size_t i = 0; t && i < t->n; i++)
		if (strcmp(t->v[i].controllers, "name=systemd") == 0 || (t->v[i].v2 && !t->v1))
			f.cgroup = t->v[i].mount;
	snprintf(s.dir, sizeof(s.dir), "/tmp/thole-bus-XXXXXX");
	if (!mkdtemp(s.dir))
		tap_skip("no directory in /tmp: %s", strerror(errno));
	s.daemon = start_daemon(s.dir);
	if (s.daemon < 0) {
		fd_remove_tree(AT_FDCWD, s.dir);
		tap_skip("no dbus-daemon here");
	}
	snprintf(address, sizeof(address), "unix:path=%s/bus", s.dir);
	unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
	unsetenv("DBUS_SESSION_BUS_ADDRESS");
	setenv(variable, address, 1);
	snprintf(path, sizeof(path), "%s/log", s.dir);
	s.log = f.log = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (!ok(s.log >= 0 && pipe(ready) == 0, "log"))
		_exit(1);
	s.fake = fork();
	if (s.fake == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(&f, address, ready[1]);
	}
	close(ready[1]);
	ok(read(ready[0], &c, 1) == 1, "the fake is on its bus");
	close(ready[0]);
	snprintf(s.slice, sizeof(s.slice), "tholetest%d.slice", getpid());
	s.plan = (struct cgroup_plan){ .manager = CGROUP_SYSTEMD, .id = "box", .delegate_uid = -1 };
	s.plan.path = arena_printf(s.a, "%s:t:box", s.slice);
	return s;
}

/* What was called since the start, "" if nothing. */
static const char *calls(struct scene *s)
{
	char *buf = arena_alloc(s->a, 65536);
	ssize_t n = pread(s->log, buf, 65535, 0);

	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

static void close_scene(struct scene *s)
{
	const struct cgroup_trees *t = cgroup_host_trees();

	kill(s->fake, SIGKILL);
	waitpid(s->fake, NULL, 0);
	kill(s->daemon, SIGKILL);
	waitpid(s->daemon, NULL, 0);
	for (size_t i = 0; t && i < t->n; i++) {
		/* the real one would have removed the scope it made */
		rmdir(arena_printf(s->a, "%s/%s/t-box.scope", t->v[i].mount, s->slice));
		rmdir(arena_printf(s->a, "%s/%s", t->v[i].mount, s->slice));
		ok(access(arena_printf(s->a, "%s/%s", t->v[i].mount, s->slice), F_OK) < 0,
		   "%s is gone", s->slice);
	}
	close(s->log);
	fd_remove_tree(AT_FDCWD, s->dir);
	arena_free(s->a);
}

static void lives(const char *variable)
{
	static const struct cgroup_property properties[] = { { "KillSignal", "15" },
							     { "TimeoutStopSec", "7" } };
	static const struct cgroup_device devices[] = { { false, 'a', -1, -1, "rwm" } };
	struct scene s = open_scene(WILLING, variable);
	const char *want, *got;
	pid_t *pids;
	size_t n = 0;

	s.plan.limits.pids = SET(44);
	s.plan.limits.has_devices = true;
	s.plan.limits.devices = devices;
	s.plan.limits.n_devices = 1;
	s.plan.properties = properties;
	s.plan.n_properties = 2;
	if (!ok(cgroup_locate(s.a, &s.plan, &s.cg) == 0, "locate: %s", err_last()->text) ||
	    !ok(cgroup_create(s.a, &s.plan, &s.cg, 0) == 0, "create: %s", err_last()->text)) {
		close_scene(&s);
		return;
	}
	ok(s.cg.keeper > 0, "a process keeps the scope open");
	is_int(cgroup_pids(s.a, &s.cg, &pids, &n), 0, "pids");
	got = calls(&s);
	want = arena_printf(s.a,
			    "Subscribe: \nStartTransientUnit: t-box.scope replace "
			    "[Description s container box ;Slice s %s ;Delegate b true ;"
			    "PIDs au [%d ];MemoryAccounting b true ;CPUAccounting b true ;",
			    s.slice, s.cg.keeper);
	ok(str_starts(got, want), "got %s want %s", got, want);
	ok(strstr(got, "TasksAccounting b true ;DefaultDependencies b false ;DevicePolicy s strict "
		       ";DeviceAllow a(ss) [char-* m "),
	   "%s", got);
	ok(strstr(got, "TasksMax t 44 ;KillSignal i 15 ;TimeoutStopUSec t 7000000 ;][]\n"), "%s",
	   got);
	cgroup_settle(&s.cg);
	is_int(s.cg.keeper, 0, "and is ended when the first is inside");

	ok(cgroup_update(s.a, &s.cg, &(struct cgroup_limits){ .pids = SET(55) }) == 0, "update: %s",
	   err_last()->text);
	ok(strstr(calls(&s), "SetUnitProperties: t-box.scope true [TasksMax t 55 ;]\n"), "%s",
	   calls(&s));
	ok(cgroup_destroy(s.a, &s.cg) == 0, "destroy: %s", err_last()->text);
	ok(strstr(calls(&s), "StopUnit: t-box.scope replace \nResetFailedUnit: t-box.scope \n"),
	   "%s", calls(&s));
	close_scene(&s);
}

static void starts_a_scope(void)
{
	lives("DBUS_SYSTEM_BUS_ADDRESS");
}

/* The user's own systemd is asked on the session bus. */
static void asks_the_users(void)
{
	struct scene s = open_scene(WILLING, "DBUS_SESSION_BUS_ADDRESS");
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	s.plan.rootless = true;
	ok(cgroup_locate(s.a, &s.plan, &s.cg) == 0, "locate: %s", err_last()->text);
	ok(cgroup_systemd_start(s.a, &s.plan, &s.cg, pid) == 0, "start: %s", err_last()->text);
	ok(strstr(calls(&s), "StartTransientUnit: t-box.scope"), "%s", calls(&s));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close_scene(&s);
}

static void retries_what_exists(void)
{
	struct scene s = open_scene(EXISTS_ONCE, "DBUS_SYSTEM_BUS_ADDRESS");

	ok(cgroup_locate(s.a, &s.plan, &s.cg) == 0, "locate: %s", err_last()->text);
	ok(cgroup_create(s.a, &s.plan, &s.cg, 0) == 0, "create: %s", err_last()->text);
	ok(strstr(calls(&s), "ResetFailedUnit: t-box.scope \nStartTransientUnit: "), "%s",
	   calls(&s));
	cgroup_settle(&s.cg);
	ok(cgroup_destroy(s.a, &s.cg) == 0, "destroy: %s", err_last()->text);
	close_scene(&s);
}

static void fails(enum temper temper, const char *text, bool stops)
{
	struct scene s = open_scene(temper, "DBUS_SYSTEM_BUS_ADDRESS");

	ok(cgroup_locate(s.a, &s.plan, &s.cg) == 0, "locate: %s", err_last()->text);
	ok(cgroup_create(s.a, &s.plan, &s.cg, 0) < 0, "create fails");
	ok(strstr(err_last()->text, text), "%s", err_last()->text);
	ok(!s.cg.keeper, "nobody is left");
	/* somebody else's unit of that name is not ours to stop */
	is_int(strstr(calls(&s), "StopUnit") != NULL, stops, "%s", calls(&s));
	close_scene(&s);
}

static void explains_failures(void)
{
	fails(EXISTS, "Unit was already loaded", false);
	fails(REFUSING, "Cannot set property X", false);
	fails(FAILING, "the job ended with \"failed\"", false);
}

static void stops_what_is_gone(void)
{
	struct scene s = open_scene(FAILING, "DBUS_SYSTEM_BUS_ADDRESS");

	ok(cgroup_locate(s.a, &s.plan, &s.cg) == 0, "locate: %s", err_last()->text);
	ok(cgroup_destroy(s.a, &s.cg) == 0, "no such unit is no error: %s", err_last()->text);
	close_scene(&s);
}

static void needs_a_bus(void)
{
	struct cgroup_plan plan = { .manager = CGROUP_SYSTEMD, .id = "box", .delegate_uid = -1 };
	auto_arena a = arena_new();
	struct cgroup cg;

	setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
	ok(cgroup_locate(a, &plan, &cg) == 0, "locate: %s", err_last()->text);
	ok(cgroup_create(a, &plan, &cg, 0) < 0, "create fails");
	ok(strstr(err_last()->text, "systemd") && strstr(err_last()->text, "cgroupfs"), "%s",
	   err_last()->text);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(starts_a_scope),    TAP(asks_the_users),     TAP(retries_what_exists),
		TAP(explains_failures), TAP(stops_what_is_gone), TAP(needs_a_bus),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
