/* SPDX-License-Identifier: Apache-2.0 */
/* features: what this build and this kernel can do. runtime-spec: features.md, features-linux.md */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/sys.h"
#include "bpf/filter.h"
#include "jail/landlock.h"
#include "jail/mount.h"
#include "jail/ns.h"
#include "jail/rdt.h"
#include "oci/cmd.h"
#include "oci/json.h"
#include "oci/spec.h"

static void put_namespaces(struct arena *a, struct json_writer *w)
{
	json_open_array(w, "namespaces");
	for (int i = 0; i < NS_KINDS; i++)
		if (access(arena_printf(a, "/proc/self/ns/%s", ns_info[i].proc), F_OK) == 0)
			json_put_str(w, NULL, ns_info[i].oci);
	json_close(w);
}

static void put_capabilities(struct json_writer *w)
{
	const char *name;

	json_open_array(w, "capabilities");
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		name = name_of_capability(cap);
		if (name)
			json_put_str(w, NULL, name);
	}
	json_close(w);
}

static bool file_says(struct arena *a, const char *path, const char *text)
{
	char *all;

	return fd_read_file(AT_FDCWD, path, a, 65536, &all, NULL) == 0 && strstr(all, text);
}

#ifdef HAVE_SYSTEMD
static const bool with_systemd = true;
#else
static const bool with_systemd = false;
#endif

static int put_cgroup(struct arena *a, struct json_writer *w)
{
	struct cgroup_host host;
	int ret = cgroup_host(&host);

	if (ret)
		return ret;
	json_open_object(w, "cgroup");
	json_put_bool(w, "v1", host.v1 || host.hybrid);
	json_put_bool(w, "v2", host.v2 || host.hybrid);
	json_put_bool(w, "systemd", with_systemd);
	json_put_bool(w, "systemdUser", with_systemd);
	json_put_bool(w, "rdma", file_says(a, "/proc/cgroups", "rdma"));
	json_close(w);
	return 0;
}

static void put_seccomp(struct json_writer *w)
{
	uint32_t supported = filter_flags_supported();

	json_open_object(w, "seccomp");
	json_put_bool(w, "enabled", prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0);
	json_put_strs(w, "actions", filter_action_names());
	json_put_strs(w, "operators", filter_op_names());
	json_put_strs(w, "archs", filter_arch_names());
	json_put_strs(w, "knownFlags", filter_flag_names());
	json_open_array(w, "supportedFlags");
	for (const char *const *f = filter_flag_names(); *f; f++)
		if (filter_flag(*f) & supported)
			json_put_str(w, NULL, *f);
	json_close(w);
	json_close(w);
}

static void put_enabled(struct json_writer *w, const char *key, bool enabled)
{
	json_open_object(w, key);
	json_put_bool(w, "enabled", enabled);
	json_close(w);
}

static void put_words(struct json_writer *w, const char *key, const struct spec_words *words)
{
	json_open_array(w, key);
	for (size_t i = 0; i < words->n; i++)
		json_put_str(w, NULL, words->rows[i].name);
	json_close(w);
}

/* An empty call: a kernel that has it complains about the argument. mount_setattr(2) */
static bool has_idmap(void)
{
	return sys_mount_setattr(-1, "", 0, NULL) < 0 && errno != ENOSYS;
}

static int put_linux(struct arena *a, struct json_writer *w)
{
	struct rdt_host rdt;
	int ret = rdt_host(&rdt);

	if (ret)
		return ret;
	json_open_object(w, "linux");
	put_namespaces(a, w);
	put_capabilities(w);
	ret = put_cgroup(a, w);
	if (ret)
		return ret;
	put_seccomp(w);
	put_enabled(w, "apparmor", file_says(a, "/sys/module/apparmor/parameters/enabled", "Y"));
	put_enabled(w, "selinux", access("/sys/fs/selinux/enforce", F_OK) == 0);
	json_open_object(w, "intelRdt");
	json_put_bool(w, "enabled", rdt.mounted);
	json_put_bool(w, "schemata", rdt.schemata);
	json_put_bool(w, "monitoring", rdt.monitoring);
	json_close(w);
	json_open_object(w, "memoryPolicy");
	put_words(w, "modes", &spec_memory_policy_modes);
	put_words(w, "flags", &spec_memory_policy_flags);
	json_close(w);
	json_open_object(w, "mountExtensions");
	put_enabled(w, "idmap", has_idmap());
	json_close(w);
	put_enabled(w, "netDevices", true);
	json_close(w);
	return 0;
}

static void put_annotations(struct arena *a, struct json_writer *w)
{
	const struct scmp_version *v = seccomp_version();

	json_open_object(w, "annotations");
	json_put_str(w, "run.thole.version", PACKAGE_VERSION);
	json_put_str(w, "run.thole.commit", PACKAGE_COMMIT);
	json_put_str(w, "run.thole.landlock.abi", arena_printf(a, "%d", landlock_abi()));
	json_put_str(w, "io.github.seccomp.libseccomp.version",
		     arena_printf(a, "%u.%u.%u", v->major, v->minor, v->micro));
	json_close(w);
}

static int run_features(struct cmd *c, const void *options)
{
	/* annotations that change more than the container they stand in; "." at the end: a
	 * prefix */
	static const char *const unsafe[] = { "org.systemd.property.", "run.oci.", "run.thole.",
					      NULL };
	struct json_writer *w = json_writer_new(c->arena, true);
	const char *text;
	size_t len;
	int ret;

	(void)options;
	json_open_object(w, NULL);
	json_put_str(w, "ociVersionMin", SPEC_VERSION_MIN);
	json_put_str(w, "ociVersionMax", SPEC_VERSION_MAX);
	json_open_array(w, "hooks");
	for (int i = 0; i < HOOK_POINTS; i++)
		json_put_str(w, NULL, spec_hook_names[i]);
	json_close(w);
	json_put_strs(w, "mountOptions", mount_option_names());
	ret = put_linux(c->arena, w);
	if (ret)
		return ret;
	put_annotations(c->arena, w);
	json_put_strs(w, "potentiallyUnsafeConfigAnnotations", unsafe);
	json_close(w);
	text = json_writer_text(w, &len);
	return cmd_print(text, len);
}

const struct command cmd_features = {
	.name = "features",
	.args = "",
	.summary = "print what this build and this kernel can do, as JSON",
	.max_args = 0,
	.run = run_features,
};
