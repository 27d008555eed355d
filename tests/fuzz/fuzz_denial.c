/* SPDX-License-Identifier: Apache-2.0 */
/* A line of the kernel's log, as `thole why` reads it: most of its texts are a process's own. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jail/denial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1); /* its end is the end of an allocation */
	struct denial_record r;

	if (!line)
		return 0;
	memcpy(line, data, size);
	line[size] = '\0';
	if (denial_parse(line, &r) &&
	    (strnlen(r.comm, sizeof(r.comm)) == sizeof(r.comm) ||
	     strnlen(r.exe, sizeof(r.exe)) == sizeof(r.exe) ||
	     strnlen(r.path, sizeof(r.path)) == sizeof(r.path) ||
	     strnlen(r.blockers, sizeof(r.blockers)) == sizeof(r.blockers) ||
	     strnlen(r.other, sizeof(r.other)) == sizeof(r.other) || r.port < -1 || r.port > 65535))
		__builtin_trap();
	free(line);
	return 0;
}
