/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPER_LOOP_H
#define SUPER_LOOP_H

#include "super/super.h"

#define SUPER_LISTENERS_MAX 512 /* processes of exec that run, and init */
#define SUPER_CLIENTS_MAX 16    /* requests under way */

/*
 * Answers until the channel and every listener have ended, or a signal ends it. Takes the
 * descriptors over. Returns 0 or -errno with a text.
 */
int loop_run(const struct super_config *config, int channel);

#endif
