/* SPDX-License-Identifier: Apache-2.0 */
/* The annotations run.thole.cow and run.thole.map: what they become, and what is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "jail/policy.h"
#include "lib/tap.h"
#include "oci/build.h"
#include "oci/check.h"
#include "oci/json.h"
#include "oci/spec.h"

#define MOUNTS ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}"
#define ALONE ",\"linux\":{}"

static const struct build_context context = {
	.id = "box",
	.bundle = "/bundle",
	.bundle_dir = -1,
	.manager = CGROUP_FS,
};

/* A config with this root and these annotations, whose end and what follows is in more, too. */
static int try_build(struct arena *a, const char *root, const char *more, struct sandbox *out)
{
	char *text =
		arena_printf(a,
			     "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"%s\"},\"process\":"
			     "{\"cwd\":\"/\",\"args\":[\"sh\"]},\"annotations\":{%s}",
			     root, more);
	const struct json *v;
	const struct spec *s;
	int ret;

	ret = json_parse(a, "config.json", text, strlen(text), &v);
	if (!ret)
		ret = spec_bind(a, "config.json", v, &s);
	if (!ret)
		ret = check_spec(s);
	return ret ? ret : build_sandbox(a, s, &context, out);
}

static void build(struct arena *a, const char *root, const char *more, struct sandbox *out)
{
	if (!ok(try_build(a, root, more, out) == 0, "%s: %s", more, err_last()->text))
		exit(1);
}

static void copy_on_write(void)
{
	auto_arena a = arena_new();
	const struct layers_dir *d;
	struct sandbox sb;

	build(a, "rootfs", "\"run.thole.cow\":\"/work\"}" MOUNTS, &sb);
	d = sb.layers.dirs;
	is_int((int)sb.layers.n, 1, "one");
	is_int(sb.layers.backend, LAYERS_AUTO, "the backend");
	is_int((int)sb.layers.notified, 0, "an overlay mount is to be");
	is_str(d->guest, "/work", "path");
	is_str(d->host, "/bundle/rootfs/work", "what is there");
	is_str(d->where, "annotations.run.thole.cow", "where");
	ok(d->mode == LAYER_COW && !d->quota && !d->store && !d->kept, "nothing else");

	build(a, "rootfs",
	      "\"run.thole.cow\":\"/a/:quota=1m:upper=/u/v/,/b:upper=/w,/c:quota=2g\","
	      "\"run.thole.cow.backend\":\"auto\"}" MOUNTS,
	      &sb);
	d = sb.layers.dirs;
	is_int((int)sb.layers.n, 3, "three");
	is_str(d[0].guest, "/a", "a slash at the end is cut");
	is_int((long long)d[0].quota, 1 << 20, "quota");
	is_str(d[0].store, "/u/v", "upper");
	ok(d[0].kept && d[1].kept && !d[2].kept, "what is given is kept");
	is_str(d[1].store, "/w", "upper");
	is_int((long long)d[2].quota, 2ll << 30, "quota");
	is_int((int)sb.layers.notified, 5, "who has a quota is answered for");

	build(a, "rootfs",
	      "\"run.thole.cow\":\"/a,/b\",\"run.thole.cow.backend\":\"notify\"}" MOUNTS, &sb);
	is_int((int)sb.layers.notified, 3, "notify");
	build(a, "rootfs",
	      "\"run.thole.cow\":\"/a,/b\",\"run.thole.cow.backend\":\"overlay\"}" MOUNTS, &sb);
	ok(sb.layers.backend == LAYERS_OVERLAY && !sb.layers.notified, "overlay");
	build(a, "rootfs", "}" MOUNTS, &sb);
	ok(!sb.layers.n && !sb.layers.notified, "nothing is asked for");
}

#define MOUNT(text) MOUNTS ",\"mounts\":[" text "]"

static void what_is_there(void)
{
	static const struct {
		const char *cow, *mount, *host;
	} rows[] = {
		{ "/a/b", "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/h\"}", "/h/b" },
		{ "/a", "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/h\"}", "/h" },
		{ "/ab", "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/h\"}",
		  "/bundle/rootfs/ab" },
		{ "/a/b", "{\"destination\":\"/a\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}",
		  NULL },
		{ "/a/b",
		  "{\"destination\":\"/a\",\"type\":\"tmpfs\"},{\"destination\":\"/a\","
		  "\"type\":\"bind\",\"source\":\"h\"}",
		  "/bundle/h/b" },
	};
	auto_arena a = arena_new();
	struct sandbox sb;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		build(a, "rootfs",
		      arena_printf(a, "\"run.thole.cow\":\"%s\"}" MOUNT("%s"), rows[i].cow,
				   rows[i].mount),
		      &sb);
		if (rows[i].host)
			is_str(sb.layers.dirs[0].host, rows[i].host, "%s", rows[i].mount);
		else
			ok(!sb.layers.dirs[0].host, "%s", rows[i].mount);
	}
}

static void without_a_mount_namespace(void)
{
	auto_arena a = arena_new();
	struct sandbox sb;

	build(a, "/", "\"run.thole.cow\":\"/a\",\"run.thole.map\":\"/m=/h:ro,/n=/h/n/:rw\"}" ALONE,
	      &sb);
	is_int((int)sb.layers.n, 3, "three");
	is_int((int)sb.layers.notified, 7, "all of them are answered for");
	is_str(sb.layers.dirs[0].host, "/a", "what is copied on write");
	ok(sb.layers.dirs[1].mode == LAYER_RO && sb.layers.dirs[2].mode == LAYER_RW, "modes");
	is_str(sb.layers.dirs[1].guest, "/m", "path");
	is_str(sb.layers.dirs[2].host, "/h/n", "directory");
	is_str(sb.layers.dirs[2].where, "annotations.run.thole.map", "where");
}

/* "/a,/b" and so on. */
static const char *list_of(struct arena *a, size_t n)
{
	const char *list = "/a";

	for (size_t i = 1; i < n; i++)
		list = arena_printf(a, "%s,/%c", list, (char)('a' + i));
	return list;
}

static void too_many(void)
{
	auto_arena a = arena_new();
	struct sandbox sb;

	build(a, "rootfs",
	      arena_printf(a, "\"run.thole.cow\":\"%s\"}" MOUNTS, list_of(a, SUPER_MAP_MAX)), &sb);
	is_int((int)sb.layers.n, SUPER_MAP_MAX, "as many as there may be");
	is_int(try_build(a, "rootfs",
			 arena_printf(a, "\"run.thole.cow\":\"%s\"}" MOUNTS,
				      list_of(a, SUPER_MAP_MAX + 1)),
			 &sb),
	       -EINVAL, "one more");
	is_str(err_last()->text,
	       "config.json: annotations.run.thole.cow, annotations.run.thole.map: more than 16 "
	       "directories",
	       "why");
}

#define COW(value) "\"run.thole.cow\":\"" value "\"}"
#define BACKEND(value) "\"run.thole.cow.backend\":\"" value "\","
#define MAP(value) "\"run.thole.map\":\"" value "\"}"
#define OF_COW(text) "config.json: annotations.run.thole.cow: " text
#define OF_MAP(text) "config.json: annotations.run.thole.map: " text
#define BIND(path, options)                                                                     \
	"{\"destination\":\"" path "\",\"source\":\"" path "\",\"type\":\"bind\",\"options\":[" \
	"\"bind\"" options "]}"

static const struct {
	const char *root, *more, *error;
} bad[] = {
	{ "rootfs", COW("") MOUNTS, OF_COW(": is not an absolute path") },
	{ "rootfs", COW("work") MOUNTS, OF_COW("work: is not an absolute path") },
	{ "rootfs", COW("/a,") MOUNTS, OF_COW(": is not an absolute path") },
	{ "rootfs", COW("/a//b") MOUNTS, OF_COW("/a//b: has an empty component") },
	{ "rootfs", COW("//") MOUNTS,
	  OF_COW("/: the whole root can't be one: name directories in it") },
	{ "rootfs", COW("/") MOUNTS,
	  OF_COW("/: the whole root can't be one: name directories in it") },
	{ "rootfs", COW("/a/..") MOUNTS, OF_COW("/a/..: must be written without . and ..") },
	{ "rootfs", COW("/../a") MOUNTS, OF_COW("/../a: must be written without . and ..") },
	{ "rootfs", COW("/a/./b") MOUNTS, OF_COW("/a/./b: must be written without . and ..") },
	{ "rootfs", COW("/proc/sys") MOUNTS, OF_COW("/proc/sys: is inside /proc") },
	{ "rootfs", COW("/sys") MOUNTS, OF_COW("/sys: is inside /sys") },
	{ "rootfs", COW("/dev/shm") MOUNTS, OF_COW("/dev/shm: is inside /dev") },
	{ "rootfs", COW("/a,/a") MOUNTS, OF_COW("/a and /a overlap") },
	{ "rootfs", COW("/a,/b,/a/c") MOUNTS, OF_COW("/a and /a/c overlap") },
	{ "rootfs", COW("/a:upper=/u,/b:upper=/u/v") MOUNTS,
	  OF_COW("the upper directories of /a and /b overlap") },
	{ "rootfs", COW("/a:quota=0") MOUNTS,
	  OF_COW("/a: quota must be a size above zero like 512m or 2g") },
	{ "rootfs", COW("/a:quota=-1") MOUNTS,
	  OF_COW("/a: quota must be a size above zero like 512m or 2g") },
	{ "rootfs", COW("/a:quota=1 m") MOUNTS,
	  OF_COW("/a: quota must be a size above zero like 512m or 2g") },
	{ "rootfs", COW("/a:quota=99999999999t") MOUNTS,
	  OF_COW("/a: quota must be a size above zero like 512m or 2g") },
	{ "rootfs", COW("/a:quota=1m:quota=1m") MOUNTS, OF_COW("/a: quota is given twice") },
	{ "rootfs", COW("/a:upper=/u:upper=/v") MOUNTS, OF_COW("/a: upper is given twice") },
	{ "rootfs", COW("/a:upper=u") MOUNTS,
	  OF_COW("/a: upper must be an absolute path without . and ..") },
	{ "rootfs", COW("/a:upper=") MOUNTS,
	  OF_COW("/a: upper must be an absolute path without . and ..") },
	{ "rootfs", COW("/a:upper=/") MOUNTS,
	  OF_COW("/a: upper must be an absolute path without . and ..") },
	{ "rootfs", COW("/a:ro") MOUNTS,
	  OF_COW("/a: \"ro\" is no option (known: quota=SIZE, upper=DIR)") },
	{ "rootfs", COW("/a:") MOUNTS,
	  OF_COW("/a: \"\" is no option (known: quota=SIZE, upper=DIR)") },
	{ "rootfs", COW("/a") MOUNT("{\"destination\":\"/a/b\",\"type\":\"tmpfs\"}"),
	  OF_COW("/a: mounts[0] lies inside it") },
	{ "rootfs",
	  COW("/a") ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"maskedPaths\":[\"/x\","
		    "\"/a\"]}",
	  OF_COW("/a: linux.maskedPaths[1] lies inside it") },
	{ "rootfs",
	  COW("/a") ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"readonlyPaths\":[\"/a/b\"]}",
	  OF_COW("/a: linux.readonlyPaths[0] lies inside it") },
	{ "rootfs", BACKEND("fast") COW("/a") MOUNTS,
	  "config.json: annotations.run.thole.cow.backend: must be auto, overlay or notify" },
	{ "rootfs", "\"run.thole.cow.backend\":\"auto\"}" MOUNTS,
	  "config.json: annotations.run.thole.cow.backend: there is no run.thole.cow to be made "
	  "that way" },
	{ "rootfs", BACKEND("overlay") COW("/a:quota=1m") MOUNTS,
	  OF_COW("/a: annotations.run.thole.cow.backend is overlay, which has no quota") },
	{ "rootfs", "\"run.thole.cow.0\":\"/a\"}" MOUNTS,
	  "config.json: annotations.run.thole.cow.0: is unknown to this version" },
	{ "rootfs", MAP("/m=/h:ro") MOUNTS,
	  OF_MAP("/m: in a mount namespace a bind mount (mounts) does that") },
	{ "rootfs", COW("/a") ALONE, OF_COW("/a: without a mount namespace root.path must be /") },
	{ "/", BACKEND("overlay") COW("/a") ALONE,
	  OF_COW("/a: annotations.run.thole.cow.backend is overlay, which needs a mount namespace "
		 "(linux.namespaces)") },
	{ "/", "\"run.thole.landlock\":\"off\"," COW("/a") ALONE,
	  OF_COW("/a: without a mount namespace only Landlock keeps writes out of it, and "
		 "run.thole.landlock is off") },
	{ "/", COW("/a:upper=/a/u") ALONE, OF_COW("/a: upper is inside the directory itself") },
	{ "/", COW("/a/b") ALONE ",\"mounts\":[" BIND("/a", "") "]",
	  OF_COW("/a/b: mounts[0] lets all of /a be written, and Landlock can't except a "
		 "directory in it") },
	{ "/", COW("/a:upper=/u/v") ALONE ",\"mounts\":[" BIND("/u", "") "]",
	  OF_COW("/a: mounts[0] lets its upper directory be written") },
	{ "/", "\"run.thole.landlock.extra\":\"/a:rw\"," COW("/a") ALONE,
	  OF_COW("/a: run.thole.landlock.extra grants rights in it") },
	{ "/", MAP("/m") ALONE, OF_MAP("/m: must be GUEST=HOST:ro or GUEST=HOST:rw") },
	{ "/", MAP("/m=/h") ALONE, OF_MAP("/m=/h: must be GUEST=HOST:ro or GUEST=HOST:rw") },
	{ "/", MAP("/m=/h:cow") ALONE, OF_MAP("/m=/h: must be GUEST=HOST:ro or GUEST=HOST:rw") },
	{ "/", MAP("/m=/h:ro:x") ALONE, OF_MAP("/m=/h: must be GUEST=HOST:ro or GUEST=HOST:rw") },
	{ "/", MAP("/m=h:ro") ALONE,
	  OF_MAP("/m: the host's directory h must be an absolute path without . and ..") },
	{ "/", MAP("/m=/h/../x:ro") ALONE,
	  OF_MAP("/m: the host's directory /h/../x must be an absolute path without . and ..") },
	{ "/", "\"run.thole.cow\":\"/m\"," MAP("/m/n=/h:ro") ALONE, OF_MAP("/m and /m/n overlap") },
	{ "/", MAP("/proc/m=/h:rw") ALONE, OF_MAP("/proc/m: is inside /proc") },
};

static void refused(void)
{
	auto_arena a = arena_new();
	struct sandbox sb;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err_clear();
		is_int(try_build(a, bad[i].root, bad[i].more, &sb), -EINVAL, "%s is refused",
		       bad[i].more);
		is_str(err_last()->text, bad[i].error, "%s", bad[i].more);
	}
}

/* A listener is the profile's then: what takes one of the supervisor's is refused, auto does
 * without. */
static void profile_that_notifies(void)
{
#define NOTIFIES                                                                            \
	",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"seccomp\":{\"defaultAction\":" \
	"\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/s\",\"syscalls\":[{\"names\":[\"mkdir\"],"  \
	"\"action\":\"SCMP_ACT_NOTIFY\"}]}}"
	auto_arena a = arena_new();
	struct sandbox sb;

	build(a, "rootfs", COW("/a") NOTIFIES, &sb);
	is_int(sb.layers.backend, LAYERS_OVERLAY, "no other way");
	is_int(try_build(a, "rootfs", COW("/a:quota=1m") NOTIFIES, &sb), -EINVAL, "a quota");
	is_int(try_build(a, "rootfs", BACKEND("notify") COW("/a") NOTIFIES, &sb), -EINVAL,
	       "notify");
	is_str(err_last()->text,
	       OF_COW("/a: the seccomp profile notifies (SCMP_ACT_NOTIFY), and a process can have "
		      "one listener only"),
	       "why");
}

/* What Landlock is to let through. */
static void rights(void)
{
	auto_arena a = arena_new();
	struct policy_answer answer;
	struct policy p;
	struct sandbox sb;

	build(a, "rootfs", COW("/a") MOUNTS, &sb);
	sb.rootfs.readonly = true;
	is_int(policy_plan(a, &sb, LANDLOCK_ABI_NEWEST, &p), 0, "plan");
	policy_ask_path(&p, "/a/x", LL_WRITE_FILE | LL_MAKE_REG, &answer);
	ok(!answer.denied, "an overlay mount is written on a read-only root");
	policy_ask_path(&p, "/ab", LL_WRITE_FILE, &answer);
	ok(answer.denied, "what is beside it is not");
	build(a, "/", COW("/a") ALONE ",\"mounts\":[" BIND("/a", "") "," BIND("/b", "") "]", &sb);
	is_int(policy_plan(a, &sb, LANDLOCK_ABI_NEWEST, &p), 0, "plan");
	policy_ask_path(&p, "/a/x", LL_WRITE_FILE, &answer);
	ok(answer.denied == LL_WRITE_FILE && answer.by == POLICY_LANDLOCK,
	   "with Landlock alone nothing of it is written but by the supervisor");
	policy_ask_path(&p, "/a/x", LL_READ_FILE | LL_EXECUTE, &answer);
	ok(!answer.denied, "it is read");
	policy_ask_path(&p, "/b/x", LL_WRITE_FILE, &answer);
	ok(!answer.denied, "another mount is as it was");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(copy_on_write), TAP(what_is_there), TAP(without_a_mount_namespace),
		TAP(too_many),      TAP(refused),       TAP(profile_that_notifies),
		TAP(rights),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
