/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/tap.h"

static char path[80];

int scratch_make(void)
{
	const char *dir = getenv("TMPDIR");
	int fd, n = snprintf(path, sizeof(path), "%s/thole-test-XXXXXX", dir ? dir : "/tmp");

	if (n >= (int)sizeof(path))
		fprintf(stderr, "TMPDIR is too long for a socket's path: %s\n", dir);
	if (n >= (int)sizeof(path) || !mkdtemp(path))
		abort();
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		abort();
	return fd;
}

const char *scratch_path(void)
{
	return path;
}

void scratch_drop(int dir)
{
	close(dir);
	is_int(fd_remove_tree(AT_FDCWD, path), 0, "%s goes", path);
}
