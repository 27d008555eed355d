/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/template.h"

#include "base/names.h"
#include "oci/json.h"
#include "oci/spec.h"

struct mount_row {
	const char *destination, *type, *source;
	const char *options[8];
};

static const struct mount_row mounts[] = {
	{ "/proc", "proc", "proc", { NULL } },
	{ "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
	{ "/dev/pts",
	  "devpts",
	  "devpts",
	  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" } },
	{ "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
	{ "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
	{ "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" } },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", { "nosuid", "noexec", "nodev", "relatime", "ro" } },
};

/*
 * The same for an ordinary user: the group 5 is not mapped, sysfs belongs to the host's network
 * namespace, and there is no cgroup of one's own.
 */
static const struct mount_row rootless_mounts[] = {
	{ "/proc", "proc", "proc", { NULL } },
	{ "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
	{ "/dev/pts",
	  "devpts",
	  "devpts",
	  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620" } },
	{ "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
	{ "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
	{ "/sys", "none", "/sys", { "rbind", "nosuid", "noexec", "nodev", "ro" } },
};

static const char *const env[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"TERM=xterm",
	NULL,
};
static const char *const args[] = { "sh", NULL };
static const char *const caps[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", NULL };
static const char *const cap_sets[] = { "bounding", "effective", "permitted", NULL };

static const char *const masked[] = {
	"/proc/acpi",
	"/proc/asound",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/proc/sched_debug",
	"/sys/firmware",
	"/proc/scsi",
	NULL,
};
static const char *const read_only[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static const char *const namespaces[] = {
	"pid", "network", "ipc", "uts", "mount", "cgroup", NULL,
};
static const char *const rootless_namespaces[] = {
	"pid", "ipc", "uts", "mount", "cgroup", "user", NULL,
};

static void put_process(struct json_writer *w)
{
	json_open_object(w, "process");
	json_put_bool(w, "terminal", true);
	json_open_object(w, "user");
	json_put_u64(w, "uid", 0);
	json_put_u64(w, "gid", 0);
	json_close(w);
	json_put_strs(w, "args", args);
	json_put_strs(w, "env", env);
	json_put_str(w, "cwd", "/");
	json_open_object(w, "capabilities");
	for (const char *const *set = cap_sets; *set; set++)
		json_put_strs(w, *set, caps);
	json_close(w);
	json_open_array(w, "rlimits");
	json_open_object(w, NULL);
	json_put_str(w, "type", "RLIMIT_NOFILE");
	json_put_u64(w, "hard", 1024);
	json_put_u64(w, "soft", 1024);
	json_close(w);
	json_close(w);
	json_put_bool(w, "noNewPrivileges", true);
	json_close(w);
}

static void put_mounts(struct json_writer *w, const struct mount_row *rows, size_t n)
{
	json_open_array(w, "mounts");
	for (size_t i = 0; i < n; i++) {
		json_open_object(w, NULL);
		json_put_str(w, "destination", rows[i].destination);
		json_put_str(w, "type", rows[i].type);
		json_put_str(w, "source", rows[i].source);
		if (rows[i].options[0])
			json_put_strs(w, "options", rows[i].options);
		json_close(w);
	}
	json_close(w);
}

static void put_map(struct json_writer *w, const char *key, uint32_t outside)
{
	json_open_array(w, key);
	json_open_object(w, NULL);
	json_put_u64(w, "containerID", 0);
	json_put_u64(w, "hostID", outside);
	json_put_u64(w, "size", 1);
	json_close(w);
	json_close(w);
}

/* No device but the usual ones. */
static void put_resources(struct json_writer *w)
{
	json_open_object(w, "resources");
	json_open_array(w, "devices");
	json_open_object(w, NULL);
	json_put_bool(w, "allow", false);
	json_put_str(w, "access", "rwm");
	json_close(w);
	json_close(w);
	json_close(w);
}

const char *template_write(struct arena *a, bool rootless, uid_t uid, gid_t gid, size_t *out_len)
{
	struct json_writer *w = json_writer_new(a, true);

	json_open_object(w, NULL);
	json_put_str(w, "ociVersion", SPEC_VERSION_MAX);
	put_process(w);
	json_open_object(w, "root");
	json_put_str(w, "path", "rootfs");
	json_put_bool(w, "readonly", true);
	json_close(w);
	json_put_str(w, "hostname", "thole");
	if (rootless)
		put_mounts(w, rootless_mounts, NAME_COUNT(rootless_mounts));
	else
		put_mounts(w, mounts, NAME_COUNT(mounts));
	json_open_object(w, "linux");
	if (rootless) {
		put_map(w, "uidMappings", uid);
		put_map(w, "gidMappings", gid);
	} else {
		put_resources(w);
	}
	json_open_array(w, "namespaces");
	for (const char *const *ns = rootless ? rootless_namespaces : namespaces; *ns; ns++) {
		json_open_object(w, NULL);
		json_put_str(w, "type", *ns);
		json_close(w);
	}
	json_close(w);
	json_put_strs(w, "maskedPaths", masked);
	json_put_strs(w, "readonlyPaths", read_only);
	json_close(w);
	json_close(w);
	return json_writer_text(w, out_len);
}
