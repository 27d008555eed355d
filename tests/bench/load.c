/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is saved and restored in the checkpoint benchmark:
 *
 *	load [WORD NUMBER FILE]
 *
 * In a container /shape holds the word and the number, and the file is /ready. It is made when that
 * much is there, and then nothing happens any more.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define STACK (64ul << 10)

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t *map(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		fail("mmap");
	return at;
}

/* MiB of pages that nothing makes smaller. */
static void memory(unsigned long n)
{
	size_t words = (n << 20) / sizeof(uint64_t);
	uint64_t *at = map(n << 20), v = 88172645463325252ull;

	for (size_t i = 0; i < words; i++) {
		v ^= v << 13;
		v ^= v >> 7;
		v ^= v << 17;
		at[i] = v;
	}
}

static void processes(unsigned long n)
{
	for (unsigned long i = 1; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		while (!pid)
			pause();
	}
}

static void *sleeper(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void threads(unsigned long n)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (unsigned long i = 1; i < n; i++)
		if (pthread_create(&thread, &attr, sleeper, NULL))
			fail("pthread_create");
}

/* Neighbours that differ by their protection, every second with a page in it. */
static void mappings(unsigned long n)
{
	char *at = (char *)map(n * PAGE);

	for (unsigned long i = 0; i < n; i += 2) {
		at[i * PAGE] = 1;
		if (mprotect(at + i * PAGE, PAGE, PROT_READ))
			fail("mprotect");
	}
}

static const struct {
	const char *word;
	void (*make)(unsigned long n);
} kinds[] = {
	{ "memory", memory },
	{ "processes", processes },
	{ "threads", threads },
	{ "mappings", mappings },
};

int main(int argc, char **argv)
{
	const char *ready = argc == 4 ? argv[3] : "/ready";
	char word[32] = "";
	unsigned long n = 0;
	FILE *f = argc == 4 ? NULL : fopen("/shape", "re");
	int fd;

	if (argc == 4) {
		snprintf(word, sizeof(word), "%s", argv[1]);
		n = strtoul(argv[2], NULL, 10);
	} else if (!f || fscanf(f, "%31s %lu", word, &n) != 2) {
		fail("/shape");
	}
	if (f)
		fclose(f);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].word, word) == 0)
			kinds[i].make(n);
	fd = open(ready, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		fail(ready);
	close(fd);
	for (;;)
		pause();
}
