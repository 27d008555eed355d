/* SPDX-License-Identifier: Apache-2.0 */
/* What a new process gets where its container is supervised. */
#ifndef SUPERVISE_H
#define SUPERVISE_H

struct enter;

/*
 * The filter and a connection to the supervisor, in *e, where its plan asks for it; for init the
 * supervisor is started. 0 or -errno with a text.
 */
int supervise(struct enter *e);

#endif
