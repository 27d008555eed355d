/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/maps and smaps, read piece by piece: smaps of a large process has 50 MB. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "task/proc.h"
#include "task/proc_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CHUNK 65536u

static const struct {
	char code[3];
	uint32_t flag;
} vma_flags[] = {
	/* said elsewhere, or about this moment only */
	{ "rd", 0 },
	{ "wr", 0 },
	{ "ex", 0 },
	{ "sh", 0 },
	{ "mr", 0 },
	{ "me", 0 },
	{ "ms", 0 },
	{ "ac", 0 },
	{ "nl", 0 },
	{ "mm", 0 },
	{ "ss", PROC_VMA_SHADOW_STACK },
	{ "mw", PROC_VMA_MAYWRITE },
	{ "gd", PROC_VMA_GROWSDOWN },
	{ "gu", 0 },
	{ "pf", PROC_VMA_IO },
	{ "lo", PROC_VMA_LOCKED },
	{ "lf", PROC_VMA_LOCKONFAULT },
	{ "io", PROC_VMA_IO },
	{ "sr", PROC_VMA_SEQ_READ },
	{ "rr", PROC_VMA_RAND_READ },
	{ "dc", PROC_VMA_DONTFORK },
	{ "wf", PROC_VMA_WIPEONFORK },
	{ "de", PROC_VMA_DONTEXPAND },
	{ "dd", PROC_VMA_DONTDUMP },
	{ "nr", PROC_VMA_NORESERVE },
	{ "ht", PROC_VMA_HUGETLB },
	{ "hg", PROC_VMA_HUGEPAGE },
	{ "nh", PROC_VMA_NOHUGEPAGE },
	{ "mg", PROC_VMA_MERGEABLE },
	{ "um", PROC_VMA_UFFD },
	{ "uw", PROC_VMA_UFFD },
	{ "ui", PROC_VMA_UFFD },
	{ "sl", PROC_VMA_SEALED },
	{ "dp", PROC_VMA_DROPPABLE },
	{ "sf", PROC_VMA_SYNC },
	{ "sd", PROC_VMA_SOFTDIRTY },
	{ "mt", PROC_VMA_MTE },
	{ "bt", PROC_VMA_BTI },
};

static uint32_t flag_of(const char *word, size_t len)
{
	for (size_t i = 0; len == 2 && i < COUNT(vma_flags); i++)
		if (memcmp(vma_flags[i].code, word, 2) == 0)
			return vma_flags[i].flag;
	return (uint32_t)PROC_VMA_UNKNOWN;
}

/* Of "rwxp" */
static bool take_perms(const char **p, struct proc_vma *v)
{
	static const struct {
		char yes;
		uint8_t prot;
	} bits[] = { { 'r', PROT_READ }, { 'w', PROT_WRITE }, { 'x', PROT_EXEC } };

	for (size_t i = 0; i < COUNT(bits); i++, (*p)++) {
		if (**p == bits[i].yes)
			v->prot |= bits[i].prot;
		else if (**p != '-')
			return false;
	}
	v->shared = **p == 's';
	if (**p != 's' && **p != 'p')
		return false;
	(*p)++;
	return true;
}

/* The kernel escapes the newline and nothing else. */
static const char *unescape_name(struct arena *a, const char *text, size_t len)
{
	static const char newline[] = "\\012";
	char *out = arena_strndup(a, text, len), *to = out;

	for (const char *p = out; *p;) {
		if (take_text(&p, newline))
			*to++ = '\n';
		else
			*to++ = *p++;
	}
	*to = '\0';
	return out;
}

static void set_name(struct arena *a, const char *text, size_t len, struct proc_vma *v)
{
	static const char deleted[] = " (deleted)";
	const size_t tail = sizeof(deleted) - 1;

	if (len == 0) {
		v->name = "";
		return;
	}
	v->deleted = v->inode && len > tail && memcmp(text + len - tail, deleted, tail) == 0;
	v->name = unescape_name(a, text, v->deleted ? len - tail : len);
}

/* "7f00-7f10 r--p 00000000 fe:00 332383     /path" up to the end of the line */
static bool take_vma(struct arena *a, const char **p, struct proc_vma *v)
{
	size_t len;

	*v = (struct proc_vma){ .name = "" };
	if (!take_u64(p, 16, &v->start) || !take_text(p, "-") || !take_u64(p, 16, &v->end) ||
	    !take_blanks(p) || !take_perms(p, v) || !take_blanks(p) ||
	    !take_u64(p, 16, &v->offset) || !take_blanks(p) || !take_u32(p, 16, &v->major) ||
	    !take_text(p, ":") || !take_u32(p, 16, &v->minor) || !take_blanks(p) ||
	    !take_u64(p, 10, &v->inode))
		return false;
	skip_blanks(p);
	len = strcspn(*p, "\n");
	if (len > 4 * PATH_MAX)
		return false;
	set_name(a, *p, len, v);
	*p += len;
	return v->start < v->end && take_eol(p);
}

static bool take_flags(const char **p, struct proc_vma *v)
{
	const char *word;
	size_t len;

	v->has_flags = true;
	while (skip_blanks(p), take_word(p, &word, &len))
		v->flags |= flag_of(word, len);
	return true;
}

static const struct {
	const char *label;
	uint16_t offset;
} sizes[] = {
	{ "KernelPageSize:", offsetof(struct proc_vma, page_size) },
	{ "Rss:", offsetof(struct proc_vma, rss) },
	{ "Anonymous:", offsetof(struct proc_vma, anonymous) },
	{ "Swap:", offsetof(struct proc_vma, swap) },
};

/* A line "Label:   value kB" of smaps; labels of no interest are passed over. */
static bool take_detail(const char **p, struct proc_vma *v)
{
	uint64_t kb;

	if (take_text(p, "VmFlags:"))
		return take_flags(p, v) && take_eol(p);
	if (take_text(p, "ProtectionKey:")) {
		skip_blanks(p);
		return take_u32(p, 10, &v->pkey) && take_eol(p);
	}
	for (size_t i = 0; i < COUNT(sizes); i++) {
		if (!take_text(p, sizes[i].label))
			continue;
		skip_blanks(p);
		if (!take_u64(p, 10, &kb) || kb > UINT64_MAX / 1024 || !take_text(p, " kB"))
			return false;
		kb *= 1024;
		memcpy((char *)v + sizes[i].offset, &kb, sizeof(kb));
		return take_eol(p);
	}
	skip_line(p);
	return true;
}

/* [vsyscall] is at the top, where no mapping can be. */
static bool is_mapping(const struct proc_vma *v)
{
	return v->end <= (uint64_t)INT64_MAX;
}

struct reader {
	struct arena *a;
	struct proc_vmas *out;
	struct proc_vma aside; /* takes the details of what is left out */
	bool left_out;
};

/* Of a process that runs the kernel tells one mapping after the other: what has grown, or was
 * joined with its neighbour, since it was told is told again. What was told last counts. */
static void make_way(struct proc_vmas *all, uint64_t start)
{
	while (all->n && all->v[all->n - 1].start >= start)
		all->n--;
	if (all->n && all->v[all->n - 1].end > start)
		all->v[all->n - 1].end = start;
}

/* One line, NUL-terminated behind its newline. */
static int read_line(struct reader *r, const char *line)
{
	struct proc_vmas *all = r->out;
	const char *p = line;
	struct proc_vma v;

	/* a label begins with a capital letter, an address does not */
	if (*p >= 'A' && *p <= 'Z') {
		struct proc_vma *last = r->left_out ? &r->aside
					: all->n    ? &all->v[all->n - 1]
						    : NULL;

		return last && take_detail(&p, last) ? 0 : proc_bad_line("maps", line);
	}
	if (!take_vma(r->a, &p, &v))
		return proc_bad_line("maps", line);
	r->left_out = !is_mapping(&v);
	if (r->left_out)
		return 0;
	if (all->n && v.end <= all->v[all->n - 1].start)
		return proc_bad_line("maps", line);
	make_way(all, v.start);
	if (all->n == PROC_LIST_MAX)
		return fail(E2BIG, "maps: more than %u mappings", PROC_LIST_MAX);
	all->v = arena_grow(r->a, all->v, all->n, &all->cap, sizeof(v));
	all->v[all->n++] = v;
	return 0;
}

int proc_maps_parse(struct arena *a, const char *text, struct proc_vmas *out)
{
	struct proc_vmas all = { 0 };
	struct reader r = { .a = a, .out = &all };
	int ret = 0;

	for (const char *p = text; !ret && *p; skip_line(&p))
		ret = read_line(&r, p);
	if (!ret)
		*out = all;
	return ret;
}

/* Feeds the lines of buf that are whole; returns how many bytes they are. */
static int feed(struct reader *r, char *buf, size_t len, size_t *out_used)
{
	size_t used = 0;
	char *end;
	int ret = 0;

	while (!ret && (end = memchr(buf + used, '\n', len - used))) {
		*end = '\0';
		ret = read_line(r, buf + used);
		used = (size_t)(end - buf) + 1;
	}
	*out_used = used;
	return ret;
}

static int read_maps(struct arena *a, pid_t pid, const char *name, struct proc_vmas *out)
{
	auto_fd fd = proc_open(pid, 0, name, O_RDONLY);
	char buf[CHUNK];
	struct proc_vmas all = { 0 };
	struct reader r = { .a = a, .out = &all };
	size_t len = 0, used;
	ssize_t n;
	int ret = 0;

	if (fd == -ESRCH)
		return fd;
	if (fd < 0)
		return fail(-fd, "open /proc/%d/%s: %s", pid, name, err_reason(-fd));
	while (!ret && (n = read(fd, buf + len, CHUNK - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ESRCH ? -ESRCH : fail_errno("read /proc/%d/%s", pid, name);
		len += (size_t)n;
		ret = feed(&r, buf, len, &used);
		len -= used;
		memmove(buf, buf + used, len);
		if (!ret && len == CHUNK)
			ret = fail(EPROTO, "/proc/%d/%s: a line of more than %u bytes", pid, name,
				   CHUNK);
	}
	if (!ret)
		*out = all;
	return ret ? fail_in(ret, "/proc/%d/%s", pid, name) : 0;
}

int proc_maps(struct arena *a, pid_t pid, struct proc_vmas *out)
{
	return read_maps(a, pid, "maps", out);
}

int proc_smaps(struct arena *a, pid_t pid, struct proc_vmas *out)
{
	return read_maps(a, pid, "smaps", out);
}

/* struct procmap_query of linux/fs.h since 6.11 */
struct query {
	uint64_t size, flags, addr;
	uint64_t start, end, vma_flags, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define QUERY_IOCTL _IOWR('f', 17, struct query)
enum { QUERY_READ = 1, QUERY_WRITE = 2, QUERY_EXEC = 4, QUERY_SHARED = 8 };

/* -ENOTTY on an older kernel. */
static int query_vma(struct arena *a, int maps, uint64_t addr, struct proc_vma *out)
{
	char name[PATH_MAX + 64] = "";
	struct query q = {
		.size = sizeof(q), .addr = addr, .name_size = sizeof(name), .name = (uintptr_t)name
	};

	if (ioctl(maps, QUERY_IOCTL, &q) < 0)
		return errno == EINVAL ? -ENOTTY : -errno;
	*out = (struct proc_vma){ .start = q.start,
				  .end = q.end,
				  .offset = q.offset,
				  .inode = q.inode,
				  .major = q.major,
				  .minor = q.minor,
				  .page_size = q.page_size,
				  .shared = q.vma_flags & QUERY_SHARED };
	out->prot = (uint8_t)((q.vma_flags & QUERY_READ ? PROT_READ : 0) |
			      (q.vma_flags & QUERY_WRITE ? PROT_WRITE : 0) |
			      (q.vma_flags & QUERY_EXEC ? PROT_EXEC : 0));
	set_name(a, name, strnlen(name, sizeof(name)), out);
	return 0;
}

int proc_vma_at(struct arena *a, pid_t pid, uint64_t addr, struct proc_vma *out)
{
	auto_fd fd = proc_open(pid, 0, "maps", O_RDONLY);
	struct proc_vmas all;
	int ret;

	if (fd == -ESRCH)
		return fd;
	ret = fd < 0 ? fd : query_vma(a, fd, addr, out);
	if (ret == 0 || ret == -ESRCH)
		return ret;
	if (ret == -ENOTTY) {
		ret = proc_maps(a, pid, &all);
		for (size_t i = 0; !ret && i < all.n; i++) {
			if (addr < all.v[i].start || addr >= all.v[i].end)
				continue;
			*out = all.v[i];
			return 0;
		}
		ret = ret ? ret : -ENOENT;
	}
	if (ret == -ENOENT)
		return fail(ENOENT, "process %d has nothing mapped at %#llx", pid,
			    (unsigned long long)addr);
	return fail(-ret, "look at %#llx in /proc/%d/maps: %s", (unsigned long long)addr, pid,
		    err_reason(-ret));
}

int proc_vma_named(struct arena *a, pid_t pid, const char *name, struct proc_vma *out)
{
	struct proc_vmas all;
	int ret = proc_maps(a, pid, &all);

	for (size_t i = 0; !ret && i < all.n; i++) {
		if (strcmp(all.v[i].name, name) != 0)
			continue;
		*out = all.v[i];
		return 0;
	}
	return ret ? ret : fail(ENOENT, "process %d has no mapping named %s", pid, name);
}
