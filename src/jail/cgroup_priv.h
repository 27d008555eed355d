/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the cgroup module share; nobody else includes this. */
#ifndef JAIL_CGROUP_PRIV_H
#define JAIL_CGROUP_PRIV_H

#include <linux/bpf.h>

#include "jail/cgroup.h"

struct arena;

/* ---- cgroup_host.c: what this host mounts ---- */

struct cgroup_tree {
	const char *controllers; /* as struct cgroup_dir */
	const char *mount;       /* where it is mounted, no trailing slash */
	const char
		*own; /* the calling process's cgroup below the mount: "" for the top, or "/a/b" */
	bool v2;
};

struct cgroup_trees {
	struct cgroup_tree v[CGROUP_HIERARCHIES];
	size_t n;
	bool v1, v2;
};

/* This host's, from /proc/self; read once per process. NULL with a text where it can't be read. */
const struct cgroup_trees *cgroup_host_trees(void);

/* The same from the text of mountinfo and cgroup (proc(5)). Everything is copied to the arena. */
void cgroup_host_parse(struct arena *a, const char *mountinfo, const char *cgroup,
		       struct cgroup_trees *out);

/* True if the word is in the comma list. */
bool cgroup_host_lists(const char *list, const char *word);

/* ---- cgroup_path.c: where a container's cgroup lives ---- */

int cgroup_path_locate(struct arena *a, const struct cgroup_trees *trees,
		       const struct cgroup_plan *plan, struct cgroup *out);

/* "a-b.slice" to "a.slice/a-b.slice", "-.slice" to "". systemd.slice(5) */
int cgroup_path_slice(struct arena *a, const char *slice, char **out);

/* The slice a scope goes into: the first part of linux.cgroupsPath, or the default. */
const char *cgroup_path_slice_name(struct arena *a, const struct cgroup_plan *plan);

/* ---- cgroup_limits.c: limits to files, a pure function ---- */

enum cgroup_ctl {
	CTL_CPU,
	CTL_CPUACCT,
	CTL_CPUSET,
	CTL_MEMORY,
	CTL_IO,
	CTL_PIDS,
	CTL_HUGETLB,
	CTL_RDMA,
	CTL_NET_CLS,
	CTL_NET_PRIO,
	CTL_DEVICES,
	CTL_FREEZER,
	CTL_CORE, /* cgroup.* of version 2 */
	CTL_COUNT
};

/* Names in both versions; NULL where a version has none. */
struct cgroup_ctl_name {
	const char *v1, *v2;
};
extern const struct cgroup_ctl_name cgroup_ctl_names[CTL_COUNT];

enum {
	WRITE_RETRY = 1 << 0,    /* refused because of another file's old value: again at the end */
	WRITE_OPTIONAL = 1 << 1, /* a missing file is no error */
};

struct cgroup_write {
	enum cgroup_ctl ctl;
	const char *file, *text;
	const char *alt_file, *alt_text; /* instead, where file is missing; or NULL */
	const char *field;               /* of the config, for messages */
	unsigned flags;
};

struct cgroup_writes {
	struct cgroup_write *v;
	size_t n, cap;
};

/* What the conversions need to know about where they are written. */
struct cgroup_limits_context {
	unsigned v1;    /* 1 << enum cgroup_ctl: mounted as version 1 */
	bool update;    /* of a running container: the values below are the current ones */
	int64_t memory; /* memory.max; -1: max; 0: unknown */
	int64_t cpu_quota, cpu_period; /* of cpu.max; -1: max */
};

int cgroup_limits_build(struct arena *a, const struct cgroup_limits *l,
			const struct cgroup_limits_context *context, struct cgroup_writes *out);

/* What no kernel takes: a swap limit below the memory limit, unified keys that are no file name. */
int cgroup_limits_check(const struct cgroup_limits *l, bool pure_v2);

/* True if something is asked for that needs a cgroup. */
bool cgroup_limits_any(const struct cgroup_limits *l);

/* cpu.weight of cpu.shares, io.weight of blkio.weight */
uint64_t cgroup_limits_cpu_weight(uint64_t shares);
uint64_t cgroup_limits_io_weight(uint64_t weight);

/* ---- cgroup.c ---- */

/* The directory whose files govern the controller: version 1's, else version 2's, else NULL. */
const struct cgroup_dir *cgroup_find(const struct cgroup *cg, enum cgroup_ctl ctl);
const struct cgroup_dir *cgroup_find_v2(const struct cgroup *cg);

/* 1 << enum cgroup_ctl for those that are written the way of version 1; 0: a pure version 2
 * host. */
unsigned cgroup_v1_mask(const struct cgroup *cg);

static inline bool cgroup_dir_v2(const struct cgroup_dir *d)
{
	return !*d->controllers;
}

/* The whole of a small file (at most size - 1 bytes), NUL-terminated. Returns its length or -errno,
 * no text. */
ssize_t cgroup_read(int dir, const char *name, char *buf, size_t size);

/* The number after "key " at the start of a line; false if there is none. */
bool cgroup_line_value(const char *text, const char *key, uint64_t *out);

/* The number in a file; "max" and what is above INT64_MAX is UINT64_MAX. False where there is
 * none. */
bool cgroup_read_u64(int dir, const char *name, uint64_t *out);

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t cgroup_now(void);
void cgroup_sleep(long microseconds);

/* ---- cgroup_write.c: files of limits written, with retries and explained failures ---- */

int cgroup_write_all(const struct cgroup *cg, const struct cgroup_writes *w);
int cgroup_write_unified(struct arena *a, const struct cgroup *cg, const struct cgroup_limits *l);

/* ---- cgroup_tree.c: a directory and what is below it ---- */

/* Every process, sorted, each once. A missing directory has none. */
int cgroup_tree_pids(struct arena *a, const char *path, pid_t **out, size_t *out_n);
/* rmdir(2) of what is below path; then of path itself if self is set. No text. */
int cgroup_tree_remove(const char *path, bool self);

/* ---- cgroup_v1.c ---- */

/* Makes the directory, sets d->made if it was not there before, copies cpusets down. */
int cgroup_v1_make(struct arena *a, const struct cgroup_plan *plan, struct cgroup_dir *d);
int cgroup_v1_freeze(const char *path, bool frozen);
int cgroup_v1_is_frozen(const char *path);

/* ---- cgroup_v2.c ---- */

/* Makes the directory and enables controllers in those above: all, or those of the bits of need. */
int cgroup_v2_make(struct arena *a, const struct cgroup_plan *plan, struct cgroup_dir *d,
		   unsigned need);
int cgroup_v2_freeze(const char *path, bool frozen);
int cgroup_v2_is_frozen(const char *path);
int cgroup_v2_delegate(struct arena *a, const char *path, int64_t uid);
#define CGROUP_NEED_ALL (~0u)

/* In use by somebody else: an error that says so. */
int cgroup_check_empty(struct arena *a, const char *path);
int cgroup_fail_taken(const char *path);

/* ---- cgroup_device.c: device rules ---- */

enum { DEVICE_MKNOD = 1, DEVICE_READ = 2, DEVICE_WRITE = 4, DEVICE_ALL = 7 };

struct cgroup_device_rule {
	bool allow;
	char type;            /* 'b', 'c', 'a' both */
	int64_t major, minor; /* -1: any */
	unsigned access;      /* DEVICE_* */
	bool implicit;        /* ours, not the config's */
};

struct cgroup_device_rules {
	struct cgroup_device_rule *v;
	size_t n, cap;
};

/*
 * The rules in order, then what every container needs. A request is granted if for each of its
 * access bits the last rule that matches allows it; none matches: denied.
 */
int cgroup_device_rules(struct arena *a, const struct cgroup_limits *l,
			struct cgroup_device_rules *out);

/*
 * The same as version 1 and systemd know it: a default and exceptions from it. Fails with -EINVAL
 * where a rule takes a part out of a wider one, which they can't express.
 */
int cgroup_device_exceptions(struct arena *a, const struct cgroup_device_rules *rules,
			     bool *out_default, struct cgroup_device_rules *out);

/* An eBPF program of BPF_PROG_TYPE_CGROUP_DEVICE in the arena. bpf(2) */
int cgroup_device_program(struct arena *a, const struct cgroup_device_rules *rules,
			  struct bpf_insn **out, size_t *out_n);

int cgroup_device_apply_v1(struct arena *a, const char *path, const struct cgroup_limits *l);
/* replace: programs that are already there are taken off. */
int cgroup_device_apply_v2(struct arena *a, const char *path, const struct cgroup_limits *l,
			   bool replace);

/* ---- cgroup_gvariant.c: the text form of a value, as annotations carry it ---- */

enum gvariant_kind { GV_BOOL, GV_INT, GV_UINT, GV_DOUBLE, GV_STRING, GV_ARRAY, GV_PAIRS };

struct gvariant {
	enum gvariant_kind kind;
	char type[8]; /* D-Bus signature: "b", "i", "t", "s", "as", "ay"; GV_PAIRS: "a(ss)" */
	int64_t i;    /* also a bool */
	uint64_t u;
	double d;
	const char *s;
	struct gvariant *items; /* GV_PAIRS: strings, two by two */
	size_t n;
};

/*
 * Booleans, numbers (a bare one is an int32), typed ones ("uint64 5", "@t 5"), strings in single or
 * double quotes, byte strings (b'..', which end in NUL), arrays of these ("@as []" if empty),
 * nothing after them. https://docs.gtk.org/glib/gvariant-text-format.html
 */
int gvariant_parse(struct arena *a, const char *text, struct gvariant *out);

/* ---- cgroup_property.c: properties of a unit, a pure function ---- */

struct cgroup_unit_property {
	const char *name;
	struct gvariant value;
};

struct cgroup_unit_properties {
	struct arena *arena;
	struct cgroup_unit_property *v;
	size_t n, cap;
	unsigned version; /* of systemd: what it does not know is left to the files */
	bool v2;          /* cpu, memory, ... are version 2 */
};

/* What every container's unit has. pid: its first process. */
int cgroup_property_unit(struct cgroup_unit_properties *p, const struct cgroup_plan *plan,
			 const char *unit, pid_t pid);
/* Limits that systemd has a property for. */
int cgroup_property_limits(struct cgroup_unit_properties *p, const struct cgroup_limits *l);
int cgroup_property_devices(struct cgroup_unit_properties *p, const struct cgroup_limits *l);
/* org.systemd.property.NAME: letters only, three at least; FooSec becomes FooUSec in
 * microseconds. */
int cgroup_property_custom(struct cgroup_unit_properties *p, const struct cgroup_property *one);

/* ---- cgroup_systemd.c ---- */

/* Starts the scope around pid; corrects the paths of *cg to what systemd chose. */
int cgroup_systemd_start(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg,
			 pid_t pid);
int cgroup_systemd_update(struct arena *a, const struct cgroup *cg, const struct cgroup_limits *l);
/* A scope that is gone is no error. */
int cgroup_systemd_stop(const struct cgroup *cg);

#endif
