/* SPDX-License-Identifier: Apache-2.0 */
/* What "checkpoint --check" prints. */
#ifndef OCI_CKPT_SHOW_H
#define OCI_CKPT_SHOW_H

#include <stdbool.h>
#include <stdio.h>

struct arena;
struct ckpt_problems;

/* Text of 80 columns, a paragraph a process; the list gets into that order. Colour: for a
 * terminal. */
void ckpt_show_text(struct arena *a, struct ckpt_problems *list, FILE *out, bool colour);

/* An array of objects: process, hostPid, fd, what, why; the first three where there are such. */
const char *ckpt_show_json(struct arena *a, const struct ckpt_problems *list, size_t *out_len);

#endif
