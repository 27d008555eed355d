/* SPDX-License-Identifier: Apache-2.0 */
#include "chance.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cycle.h"

#define PAGE 4096ul
#define FAR (1ull << 32)

static uint64_t state;

uint64_t any(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

void sow(uint64_t usual)
{
	const char *seed = getenv("CYCLE_SEED");

	state = 88172645463325252ull ^ (seed ? strtoull(seed, NULL, 0) * 0x9e3779b97f4a7c15ull : 0);
	for (uint64_t i = 0; i < usual + 8; i++)
		any(2);
}

size_t any_len(size_t most)
{
	size_t len = any((most >> any(12)) | 1) + 1;

	if (len > most)
		len = most;
	return any(3) && len > PAGE ? len & ~(PAGE - 1) : len;
}

void scribble(void *at, size_t len)
{
	uint64_t word;

	for (size_t i = 0; i < len; i += 8) {
		word = any(UINT64_MAX);
		memcpy((char *)at + i, &word, len - i < 8 ? len - i : 8);
	}
}

uint64_t hash(const void *data, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ull ^ len, word = 0;

	for (size_t i = 0; i < len; i += 8) {
		word = 0;
		memcpy(&word, (const char *)data + i, len - i < 8 ? len - i : 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h;
}

void tell(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	if (t->room - t->len < 8192) {
		t->room = t->room * 2 + 65536;
		t->at = realloc(t->at, t->room);
		must(t->at ? 0 : -1);
	}
	va_start(args, fmt);
	n = vsnprintf(t->at + t->len, t->room - t->len, fmt, args);
	va_end(args);
	t->len += (size_t)n;
}

void compare(const struct text *was, const struct text *is)
{
	size_t i = 0;

	while (was->at[i] && was->at[i] == is->at[i])
		i++;
	if (!was->at[i] && !is->at[i])
		return;
	while (i && was->at[i - 1] != '\n')
		i--;
	check(false, "\"%.*s\", was \"%.*s\"", (int)strcspn(is->at + i, "\n"), is->at + i,
	      (int)strcspn(was->at + i, "\n"), was->at + i);
}

void fill_file(int fd, size_t most)
{
	static char buf[1 << 16];
	size_t size = any(8) ? any_len(most) : 0, at = 0, len;

	must(ftruncate(fd, (off_t)size));
	if (any(16) == 0) /* past what 32 bits count */
		must(pwrite(fd, "far", 3, (off_t)(FAR + any(FAR))));
	while (at < size && any(12)) {
		at += any(2) ? 0 : any_len(most / 4);
		len = any_len(sizeof(buf));
		if (at >= size)
			break;
		if (len > size - at)
			len = size - at;
		if (any(8))
			scribble(buf, len);
		else
			memset(buf, 0, len);
		must(pwrite(fd, buf, len, (off_t)at) == (ssize_t)len ? 0 : -1);
		at += len;
	}
}

void tell_content(struct text *t, int fd, bool holes)
{
	static const char zeros[PAGE];
	char buf[PAGE];
	uint64_t sum = 0;
	off_t at = 0, end, i;
	ssize_t n;

	for (; (at = lseek(fd, at, SEEK_DATA)) >= 0; at = end) {
		end = lseek(fd, at, SEEK_HOLE);
		for (i = at; i < end; i += n) {
			n = must(pread(fd, buf, sizeof(buf), i));
			if (memcmp(buf, zeros, (size_t)n) != 0)
				sum = sum * 31 + (uint64_t)i + hash(buf, (size_t)n);
		}
		if (holes)
			tell(t, " %lx-%lx", (long)at, (long)end);
	}
	tell(t, " content %llx", (unsigned long long)sum);
}
