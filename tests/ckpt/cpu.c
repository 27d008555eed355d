/* SPDX-License-Identifier: Apache-2.0 */
/* Registers: a loop that never enters the kernel holds its values in them. cpu_regs.h is the
 * CPU's. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "cpu_regs.h"
#include "cycle.h"

static struct cycle_gate gate;
static volatile int leave;

struct holder {
	struct cpu_values want, got;
	pthread_t thread;
};

static void *hold(void *ctx)
{
	struct holder *h = ctx;

	cycle_pass(gate);
	cpu_hold(&h->want, &h->got, &leave);
	return NULL;
}

static void registers(void)
{
	static struct holder h[2];
	const char *name;

	gate = cycle_gate();
	for (int i = 0; i < 2; i++) {
		for (size_t b = 0; b < sizeof(h[i].want); b++)
			((unsigned char *)&h[i].want)[b] =
				(unsigned char)(b * 7 + 31 * (unsigned)i + 1);
		cpu_make_valid(&h[i].want, i);
		must(-pthread_create(&h[i].thread, NULL, hold, &h[i]));
	}
	cycle_await(gate, 2);
	cycle_sleep(20);
	cycle();
	leave = 1;
	for (int i = 0; i < 2; i++) {
		must(-pthread_join(h[i].thread, NULL));
		name = cpu_difference(&h[i].want, &h[i].got);
		check(!name, "thread %d: %s", i, name);
	}
}

const struct cycle_case cpu_cases[] = {
	{ "registers", registers },
	{ NULL, NULL },
};
