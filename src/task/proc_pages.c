/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages a process has: PAGEMAP_SCAN, or on older kernels the entries of /proc/PID/pagemap, one
 * of eight bytes for each page and each page that is not there
 * (Documentation/admin-guide/mm/pagemap.rst).
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/names.h"
#include "task/proc.h"

/* struct pm_scan_arg of linux/fs.h since 6.7 */
struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, all, any, told;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan)

#define ENTRIES 4096u /* read at once */

/* Who may not see the numbers of pages is not told which one is that of zeros. */
static const struct {
	uint64_t bit;
	enum proc_page category;
} entry_bits[] = {
	{ 1ull << 63, PROC_PAGE_PRESENT },
	{ 1ull << 62, PROC_PAGE_SWAPPED },
	{ 1ull << 61, PROC_PAGE_FILE },
	{ 1ull << 55, PROC_PAGE_SOFT_DIRTY },
};

const struct proc_pages_query proc_pages_private = {
	.inverted = PROC_PAGE_PFNZERO | PROC_PAGE_FILE,
	.all = PROC_PAGE_PFNZERO | PROC_PAGE_FILE,
	.any = PROC_PAGE_PRESENT | PROC_PAGE_SWAPPED,
	.told = PROC_PAGE_PRESENT,
};

static uint64_t categories_of(uint64_t entry)
{
	uint64_t categories = 0;

	for (size_t i = 0; i < NAME_COUNT(entry_bits); i++)
		if (entry & entry_bits[i].bit)
			categories |= entry_bits[i].category;
	return categories;
}

static bool matches(const struct proc_pages_query *q, uint64_t categories)
{
	categories ^= q->inverted;
	return (categories & q->all) == q->all && (!q->any || categories & q->any);
}

/* What is being found: runs[0] to runs[n - 1]. */
struct finding {
	const struct proc_pages_query *query;
	struct proc_page_run *runs;
	size_t n, max;
	uint64_t at, page;
};

/* False where there is no room for one more run. */
static bool add_page(struct finding *f, uint64_t entry)
{
	uint64_t categories = categories_of(entry), told = categories & f->query->told;
	struct proc_page_run *last = f->n ? &f->runs[f->n - 1] : NULL;

	if (!matches(f->query, categories)) {
		f->at += f->page;
		return true;
	}
	if (last && last->end == f->at && last->categories == told) {
		last->end += f->page;
	} else {
		if (f->n == f->max)
			return false;
		f->runs[f->n++] = (struct proc_page_run){ f->at, f->at + f->page, told };
	}
	f->at += f->page;
	return true;
}

static int read_entries(int pagemap, struct finding *f, uint64_t end)
{
	uint64_t entries[ENTRIES], pages;
	bool room = true;
	ssize_t n;

	while (room && f->at < end) {
		pages = (end - f->at) / f->page;
		n = pread(pagemap, entries, (pages < ENTRIES ? pages : ENTRIES) * sizeof(*entries),
			  (off_t)(f->at / f->page * sizeof(*entries)));
		if (n < 0)
			return errno == EINTR ? -EINTR
					      : fail_errno("read the pages from %#llx to %#llx",
							   (unsigned long long)f->at,
							   (unsigned long long)end);
		if (n < (ssize_t)sizeof(*entries))
			f->at = end; /* no process has memory there */
		for (ssize_t i = 0; room && i < n / (ssize_t)sizeof(*entries); i++)
			room = add_page(f, entries[i]);
	}
	return 0;
}

int proc_pages_read(int pagemap, uint64_t start, uint64_t end, const struct proc_pages_query *query,
		    struct proc_page_run *runs, size_t max, size_t *out_n, uint64_t *out_next)
{
	/* lint: parameters, those of the ioctl */
	struct finding f = { .query = query,
			     .runs = runs,
			     .max = max,
			     .at = start,
			     .page = (uint64_t)sysconf(_SC_PAGESIZE) };
	int ret = read_entries(pagemap, &f, end);

	*out_n = f.n;
	*out_next = f.at;
	return ret;
}

bool proc_pages_scans(int pagemap)
{
	struct scan nothing = { .size = sizeof(nothing) };

	return ioctl(pagemap, SCAN_IOCTL, &nothing) >= 0 || errno != ENOTTY;
}

int proc_pages(int pagemap, uint64_t start, uint64_t end, const struct proc_pages_query *query,
	       struct proc_page_run *runs, size_t max, size_t *out_n, uint64_t *out_next)
{
	/* lint: parameters, those of the ioctl */
	struct scan arg = { .size = sizeof(arg),
			    .start = start,
			    .end = end,
			    .vec = (uintptr_t)runs,
			    .vec_len = max,
			    .inverted = query->inverted,
			    .all = query->all,
			    .any = query->any,
			    .told = query->told };
	int n = ioctl(pagemap, SCAN_IOCTL, &arg);

	if (n < 0 && errno == ENOTTY)
		return proc_pages_read(pagemap, start, end, query, runs, max, out_n, out_next);
	if (n < 0 && errno == EINTR)
		return -EINTR;
	if (n < 0)
		return fail_errno("scan the pages from %#llx to %#llx", (unsigned long long)start,
				  (unsigned long long)end);
	/* walk_end may lie before the last run (6.18): going on from there tells pages twice */
	*out_next = (size_t)n < max ? end : arg.walk_end;
	if (n && runs[n - 1].end > *out_next)
		*out_next = runs[n - 1].end;
	*out_n = (size_t)n;
	return 0;
}
