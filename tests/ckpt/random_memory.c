/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of all sorts, laid out by chance in one stretch of memory, of which each byte is
 * compared. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chance.h"
#include "cycle.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define PAGE 4096ul
#define PAGES 4096ul
#define OBJECTS 16
#define MOST 48ul /* pages of one mapping */
#define STEPS 1500
#define REPORT (8ul << 20)

static char *place; /* PAGES of it */
static int object[OBJECTS], mem;

/* What lies behind the end of a file with a name, in its last page, is nobody's. */
static void cut_object(int i, size_t len)
{
	must(ftruncate(object[i], (off_t)(i % 4 == 0 || i % 4 == 3 ? len & ~(PAGE - 1) : len)));
}

static void make_objects(void)
{
	struct stat st;

	const char *at = getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle";
	char path[512];

	for (int i = 0; i < OBJECTS; i++) {
		snprintf(path, sizeof(path), "%s/object%d", i % 4 ? "/dev/shm" : at, i);
		object[i] = i % 4 == 1 ? memfd_create("object", MFD_CLOEXEC)
				       : open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		must(object[i]);
		fill_file(object[i], 400000);
		must(fstat(object[i], &st));
		cut_object(i, (size_t)st.st_size);
		if (i % 4 == 2)
			must(unlink(path));
	}
}

static char *some_place(size_t *out_len)
{
	size_t n = any(MOST) + 1, from = any(PAGES - n);

	*out_len = n * PAGE;
	return place + from * PAGE;
}

static void map_some(void)
{
	static const int prots[] = { PROT_NONE,
				     PROT_READ,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_WRITE,
				     PROT_READ | PROT_EXEC,
				     PROT_WRITE };
	int flags = MAP_FIXED | (any(2) ? MAP_PRIVATE : MAP_SHARED), fd = -1;
	size_t len;
	char *at = some_place(&len);

	if (any(2))
		flags |= MAP_ANONYMOUS;
	else
		fd = object[any(OBJECTS)];
	if (any(4) == 0)
		flags |= MAP_NORESERVE;
	if (mmap(at, len, prots[any(sizeof(prots) / sizeof(prots[0]))], flags, fd,
		 fd < 0 ? 0 : (off_t)(any(40) * PAGE)) == MAP_FAILED)
		errno = 0; /* what can't be executed, say */
}

/* What is not writable, or not there, is passed over: the kernel says so without a signal. */
static void write_some(void)
{
	static char buf[MOST * PAGE];
	size_t len;
	char *at = some_place(&len);

	if (any(4) == 0)
		memset(buf, 0, len);
	else
		scribble(buf, len);
	if (any(3) == 0) {
		at += any(PAGE);
		len = any_len(len);
	}
	for (size_t i = 0; i < len; i += PAGE)
		if (pwrite(mem, buf + i, len - i < PAGE ? len - i : PAGE,
			   (off_t)(uintptr_t)(at + i)) < 0)
			errno = 0;
}

static void protect_some(void)
{
	size_t len;
	char *at = some_place(&len);

	mprotect(at, len, (int)any(8));
}

static void advise_some(void)
{
	static const int advices[] = { MADV_DONTNEED,   MADV_DONTNEED,  MADV_DONTNEED, MADV_FREE,
				       MADV_HUGEPAGE,   MADV_MERGEABLE, MADV_DONTDUMP, MADV_RANDOM,
				       MADV_SEQUENTIAL, MADV_REMOVE,    MADV_COLLAPSE };
	size_t len;
	char *at = some_place(&len);

	madvise(at, len, advices[any(sizeof(advices) / sizeof(advices[0]))]);
}

/* Of private memory: what is beneath a guard of shared memory not everybody can save. */
static void guard_some(void)
{
	char *at = place + any(PAGES - 3) * PAGE;

	if (mmap(at, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return;
	scribble(at, 3 * PAGE);
	madvise(at + any(3) * PAGE, PAGE, MADV_GUARD_INSTALL); /* where the kernel has them */
}

static void move_some(void)
{
	size_t len, other;
	char *at = some_place(&len), *to = some_place(&other);

	if (to < at + len && at < to + other)
		return;
	mremap(at, len, any(2) ? len : other,
	       MREMAP_MAYMOVE | MREMAP_FIXED | (any(4) ? 0 : MREMAP_DONTUNMAP), to);
}

static void unmap_some(void)
{
	size_t len;
	char *at = some_place(&len);

	must(munmap(at, any(MOST) + 1 > len / PAGE ? PAGE : len));
}

static void cut_some(void)
{
	cut_object((int)any(OBJECTS), any_len(400000));
}

static void lock_some(void)
{
	if (any(2))
		mlock2(place + any(PAGES) * PAGE, PAGE, MLOCK_ONFAULT);
	else
		munlock(place + any(PAGES) * PAGE, PAGE);
}

static const struct {
	void (*step)(void);
	unsigned weight;
} steps[] = {
	{ map_some, 20 },   { write_some, 30 }, { protect_some, 10 },
	{ advise_some, 8 }, { guard_some, 2 },  { move_some, 8 },
	{ unmap_some, 4 },  { cut_some, 1 },    { lock_some, 1 },
};

static void any_step(void)
{
	uint64_t which = any(84);
	size_t i = 0;

	while (which >= steps[i].weight)
		which -= steps[i++].weight;
	steps[i].step();
}

/* ---- what came of it */

static void tell_pages(struct text *t)
{
	char buf[PAGE];

	for (size_t i = 0; i < PAGES; i++) {
		off_t at = (off_t)(uintptr_t)(place + i * PAGE);

		if (pread(mem, buf, PAGE, at) == (ssize_t)PAGE)
			tell(t, "page %zu at %p: %llx\n", i, (void *)(place + i * PAGE),
			     (unsigned long long)hash(buf, PAGE));
		else
			tell(t, "page %zu at %p: none\n", i, (void *)(place + i * PAGE));
	}
}

struct mapping {
	unsigned long start, end, offset, inode;
	char perms[8], path[256], flags[128];
};

/* Neighbours may have become one. */
static bool is_one(const struct mapping *a, const struct mapping *b)
{
	return a->end == b->start && strcmp(a->perms, b->perms) == 0 &&
	       strcmp(a->flags, b->flags) == 0 && strcmp(a->path, b->path) == 0 &&
	       a->inode == b->inode && (!a->inode || a->offset + (a->end - a->start) == b->offset);
}

static void tell_mapping(struct text *t, struct mapping *last, const struct mapping *m)
{
	if (m && is_one(last, m)) {
		last->end = m->end;
		return;
	}
	if (last->end)
		tell(t, "%lx-%lx %s %lx %s%s\n", last->start, last->end, last->perms,
		     last->inode ? last->offset : 0, last->flags, last->path);
	if (m)
		*last = *m;
}

/* Whether memory is accounted for, was written to, or had a guard once, is the kernel's affair. */
static void keep_flags(struct mapping *m, char *flags)
{
	char *save;

	for (char *flag = strtok_r(flags, " ", &save); flag; flag = strtok_r(NULL, " ", &save))
		if (!strstr("ac sd gu", flag))
			strncat(strncat(m->flags, flag, 3), " ", 2);
}

static void tell_mappings(struct text *t)
{
	static char smaps[4 << 20];
	struct mapping m = { 0 }, last = { 0 };
	int path;

	cycle_read("/proc/self/smaps", smaps, sizeof(smaps));
	for (char *at = strtok(smaps, "\n"); at; at = strtok(NULL, "\n")) {
		struct mapping n = { 0 };

		if (sscanf(at, "%lx-%lx %7s %lx %*s %lu %n", &n.start, &n.end, n.perms, &n.offset,
			   &n.inode, &path) == 5) {
			/* what has no name may have another one */
			snprintf(n.path, sizeof(n.path), "%s",
				 strstr(at + path, " (deleted)") ? "nameless" : at + path);
			m = n;
		} else if (strncmp(at, "VmFlags:", 8) == 0 && m.start >= (uintptr_t)place &&
			   m.end <= (uintptr_t)place + PAGES * PAGE) {
			keep_flags(&m, at + 8);
			tell_mapping(t, &last, &m);
		}
	}
	tell_mapping(t, &last, NULL);
}

static void tell_all(void *report)
{
	struct text t = { .at = report, .room = REPORT };

	mem = (int)must(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
	tell_pages(&t);
	for (int i = 0; i < OBJECTS; i++) {
		struct stat st;

		must(fstat(object[i], &st));
		tell(&t, "object %d of %ld", i, (long)st.st_size);
		tell_content(&t, object[i], false);
		tell(&t, "\n");
	}
}

/* A child looks at the pages: to read one may be to get it. */
static struct text tell_state(void)
{
	struct text t = { .room = REPORT };
	size_t len;

	t.at = mmap(NULL, REPORT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(t.at == MAP_FAILED ? -1 : 0);
	tell_mappings(&t);
	len = t.len;
	cycle_join(cycle_child(tell_all, t.at + len));
	t.len = strlen(t.at);
	return t;
}

static void layout(void)
{
	struct text was, is;

	sow(3);
	make_objects();
	/* what is beside it is not of a sort with what is in it */
	place = mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(place == MAP_FAILED ? -1 : 0);
	place += PAGE;
	must(munmap(place, PAGES * PAGE));
	mem = (int)must(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
	for (size_t i = 0; i < STEPS; i++)
		any_step();
	close(mem);
	was = tell_state();
	cycle();
	is = tell_state();
	compare(&was, &is);
}

const struct cycle_case random_memory_cases[] = {
	{ "random-memory", layout },
	{ NULL, NULL },
};
