/* SPDX-License-Identifier: Apache-2.0 */
/* What the makers of findings share: from records (finding.c) and from watching
 * (finding_live.c). */
#ifndef OCI_FINDING_PRIV_H
#define OCI_FINDING_PRIV_H

#include "oci/finding.h"

struct abi;
struct seccomp_data;

/* Adds one, or counts it with an equal one. */
void finding_add(struct findings *f, const struct finding *new);

/* The architecture of the filter that a call belongs to, or NULL. */
const struct abi *finding_abi(const struct explain *e, uint32_t arch, int nr);

/* Fill keeper, what, where and remedy. */
void finding_of_call(const struct explain *e, const struct abi *abi,
		     const struct seccomp_data *call, uint32_t verdict, struct finding *new);
void finding_of_file(const struct explain *e, const char *path, uint64_t rights,
		     struct finding *new);

/* keeper, where and remedy from the answer to a question; false where that is not no. */
bool finding_of_question(const struct explain *e, const char *question, struct finding *new);

#endif
