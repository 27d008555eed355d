/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SKIPPED 77

static int failures;

__attribute__((format(printf, 3, 0))) static void complain(const char *file, int line,
							   const char *fmt, va_list ap)
{
	failures++;
	printf("# %s:%d: ", file, line);
	vprintf(fmt, ap);
	putchar('\n');
}

bool tap_check(bool cond, const char *file, int line, const char *expr, const char *fmt, ...)
{
	va_list ap;

	if (cond)
		return true;
	va_start(ap, fmt);
	complain(file, line, fmt, ap);
	va_end(ap);
	printf("#   not true: %s\n", expr);
	return false;
}

bool tap_is_int(long long got, long long want, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	if (got == want)
		return true;
	va_start(ap, fmt);
	complain(file, line, fmt, ap);
	va_end(ap);
	printf("#   got %lld, want %lld\n", got, want);
	return false;
}

bool tap_is_str(const char *got, const char *want, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	if (got == want || (got && want && strcmp(got, want) == 0))
		return true;
	va_start(ap, fmt);
	complain(file, line, fmt, ap);
	va_end(ap);
	printf("#   got \"%s\"\n#   want \"%s\"\n", got ? got : "(null)", want ? want : "(null)");
	return false;
}

void tap_end_child(const char *file, int line, const char *expr)
{
	printf("# %s:%d: %s: %m\n", file, line, expr);
	fflush(stdout);
	_exit(1);
}

void tap_skip(const char *fmt, ...)
{
	va_list ap;

	printf("# skip: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	_exit(EXIT_SKIPPED);
}

static bool chosen(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc < 2;
}

int tap_main(int argc, char **argv, const struct tap_case *cases, size_t n)
{
	int status, bad = 0, number = 0, count = 0;
	pid_t pid;

	for (size_t i = 0; i < n; i++)
		count += chosen(cases[i].name, argc, argv);
	printf("1..%d\n", count);
	for (size_t i = 0; i < n; i++) {
		if (!chosen(cases[i].name, argc, argv))
			continue;
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			cases[i].run();
			fflush(stdout);
			_exit(failures ? 1 : 0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			abort();
		number++;
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
			printf("ok %d - %s # SKIP\n", number, cases[i].name);
		} else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
			printf("ok %d - %s\n", number, cases[i].name);
		} else {
			bad++;
			if (WIFSIGNALED(status))
				printf("# killed by signal %d\n", WTERMSIG(status));
			printf("not ok %d - %s\n", number, cases[i].name);
		}
	}
	return bad ? 1 : 0;
}
