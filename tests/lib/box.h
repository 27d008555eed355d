/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup for a live test, under a name of the test process's own. */
#ifndef TEST_BOX_H
#define TEST_BOX_H

#include "base/err.h"
#include "base/mem.h"
#include "jail/cgroup_priv.h"

#define SET(x) ((struct opt_i64){ true, (x) })

struct box {
	struct arena *a;
	struct cgroup_plan plan; /* to be filled before box_make() */
	struct cgroup cg;
};

/* At /thole-test-<pid><tail>. Skips the case where this user may make no cgroups. */
struct box box_open(const char *tail);
/* Locates and creates; false, and the check has failed, if that does not work. */
bool box_make(struct box *b);
/* Destroys, checks that nothing is left, and frees. */
void box_close(struct box *b);

/* The first line of a file of the controller's directory, by version; "" if there is none. */
const char *box_file(struct box *b, enum cgroup_ctl ctl, const char *v1, const char *v2);
/* Is the controller there, and enabled? */
bool box_has(struct box *b, enum cgroup_ctl ctl);
/* A child that enters as init does and then calls run(). Returns when it is inside. */
pid_t box_enter(struct box *b, void (*run)(void));
/* For run(): until killed. */
void box_sleep(void);

#endif
