/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that every container has. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cycle.h"

static void devices(void)
{
	int null = (int)must(open("/dev/null", O_RDWR | O_CLOEXEC));
	int zero = (int)must(open("/dev/zero", O_RDONLY | O_CLOEXEC));
	int full = (int)must(open("/dev/full", O_WRONLY | O_CLOEXEC));
	int random = (int)must(open("/dev/urandom", O_RDONLY | O_CLOEXEC));
	char c = 1, bytes[64] = "";
	unsigned set = 0;

	cycle();
	check(write(null, "x", 1) == 1, "null takes nothing: errno %d", errno);
	check(read(null, &c, 1) == 0, "null gives something: errno %d", errno);
	check(read(zero, &c, 1) == 1 && c == 0, "zero");
	check(write(full, "x", 1) < 0, "full");
	check(read(random, bytes, sizeof(bytes)) == sizeof(bytes), "urandom");
	for (size_t i = 0; i < sizeof(bytes); i++)
		set += bytes[i] != 0;
	check(set > 32, "urandom gives %u bytes of 64", set);
}

const struct cycle_case device_cases[] = {
	{ "devices", devices },
	{ NULL, NULL },
};
