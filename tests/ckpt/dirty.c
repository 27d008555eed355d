/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that goes on changing, in all the ways a page can come to have other contents. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cycle.h"

#define PAGE 4096ul
#define PAGES 4096ul
#define HOT 1024ul /* those that change, all over the mapping */
#define EVERY (PAGES / HOT)
#define GIVEN_BACK UINT32_MAX

static char *pages;
static uint32_t version[PAGES]; /* 0 for zeros that were written */
static atomic_bool stop;
static _Atomic uint64_t changes;

static uint64_t word_of(size_t page, uint32_t v, size_t i)
{
	return v && v != GIVEN_BACK ? (i + 1) * 0x9e3779b97f4a7c15ull ^ ((uint64_t)page << 32 | v)
				    : 0;
}

static void write_page(size_t page, uint32_t v)
{
	for (size_t i = 0; i < PAGE / 8; i++) {
		uint64_t word = word_of(page, v, i);

		memcpy(pages + page * PAGE + i * 8, &word, 8);
	}
	version[page] = v;
}

static size_t wrong_words(size_t page)
{
	size_t wrong = 0;

	for (size_t i = 0; i < PAGE / 8; i++) {
		uint64_t word;

		memcpy(&word, pages + page * PAGE + i * 8, 8);
		wrong += word != word_of(page, version[page], i);
	}
	return wrong;
}

/* Given back to the kernel, mapped anew, moved away and back: the page is another one each time. */
static void replace(size_t page, uint64_t way)
{
	char *at = pages + page * PAGE, *there;

	if (way == 0) {
		must(madvise(at, PAGE, MADV_DONTNEED));
		version[page] = GIVEN_BACK;
	} else if (way == 1) {
		must(mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			  -1, 0) == at
			     ? 0
			     : -1);
		version[page] = GIVEN_BACK;
	} else {
		there = mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
		must(there == MAP_FAILED ? -1 : 0);
		must(mremap(there, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at ? 0 : -1);
	}
}

static void *change(void *unused)
{
	uint64_t r = 88172645463325252ull;

	while (!atomic_load(&stop)) {
		size_t page;

		r ^= r << 13;
		r ^= r >> 7;
		r ^= r << 17;
		page = (r >> 8) % HOT * EVERY;
		if (r % 16 < 3)
			replace(page, r % 16);
		else
			write_page(page, r % 16 == 3 ? 0 : (uint32_t)(r >> 33) | 1);
		atomic_fetch_add(&changes, 1);
		usleep(50);
	}
	return unused;
}

static void changing(void)
{
	uint64_t before;
	pthread_t thread;
	size_t wrong = 0;

	pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	must(pages == MAP_FAILED ? -1 : 0);
	for (size_t i = 0; i < PAGES; i++)
		write_page(i, (uint32_t)i + 1);
	must(-pthread_create(&thread, NULL, change, NULL));
	cycle();
	before = atomic_load(&changes);
	while (atomic_load(&changes) == before)
		cycle_sleep(1);
	atomic_store(&stop, true);
	must(-pthread_join(thread, NULL));
	for (size_t i = 0; i < PAGES; i++)
		wrong += wrong_words(i) != 0;
	check(wrong == 0, "%zu of %lu pages", wrong, PAGES);
}

#define FILES 400

static void *unlink_all(void *unused)
{
	char path[64];

	for (int i = 0; i < FILES && !atomic_load(&stop); i++) {
		snprintf(path, sizeof(path), "/dev/shm/mapped%d", i);
		must(unlink(path));
		usleep(1500);
	}
	return unused;
}

/* Files that are mapped, and removed one after the other all the time. */
static void unlinked(void)
{
	uint32_t *at[FILES];
	pthread_t thread;
	char path[64];

	for (uint32_t i = 0; i < FILES; i++) {
		int fd;

		snprintf(path, sizeof(path), "/dev/shm/mapped%u", i);
		fd = (int)must(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
		must(pwrite(fd, &i, sizeof(i), PAGE - sizeof(i)));
		at[i] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		must(at[i] == MAP_FAILED ? -1 : 0);
		close(fd);
	}
	must(-pthread_create(&thread, NULL, unlink_all, NULL));
	cycle();
	atomic_store(&stop, true);
	must(-pthread_join(thread, NULL));
	for (uint32_t i = 0; i < FILES; i++)
		check(at[i][PAGE / sizeof(i) - 1] == i, "file %u", i);
}

/* More than a checkpoint may need for itself. */
static void large(void)
{
	const size_t len = 160ul << 20;
	uint64_t *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t wrong = 0;

	must(at == MAP_FAILED ? -1 : 0);
	for (size_t i = 0; i < len / 8; i++)
		at[i] = word_of(i / 512, 1, i % 512);
	cycle();
	for (size_t i = 0; i < len / 8; i++)
		wrong += at[i] != word_of(i / 512, 1, i % 512);
	check(wrong == 0, "%zu words", wrong);
}

const struct cycle_case dirty_cases[] = {
	{ "memory-changing", changing },
	{ "memory-large", large },
	{ "memory-unlinked", unlinked },
	{ NULL, NULL },
};
