/* SPDX-License-Identifier: Apache-2.0 */
/* What a new process gets where its container is supervised. */
#ifndef SUPERVISE_H
#define SUPERVISE_H

#include "super/super.h"

struct enter;

/*
 * The filters and a connection to the supervisor, in *e, where its plan asks for it; for init the
 * supervisor is started, but for one with layers. 0 or -errno with a text.
 */
int supervise(struct enter *e);

/* Init has told what became of its layers (e->found): *out is a connection to a supervisor that is
 * started now, untouched where there is to be none. */
int supervise_layers(struct enter *e, int *out);

/* What a supervisor is there for: notified as struct layers_plan has it. */
struct sandbox;
struct super_plan supervise_plan(const struct sandbox *sb, uint32_t notified);

#endif
