/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of check share. Each function is one section: 0 or -EINVAL with a text. */
#ifndef OCI_CHECK_PRIV_H
#define OCI_CHECK_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "oci/spec.h"

/* check_mounts.c */
int check_mounts(const struct spec *s);
int check_paths(const struct spec *s);

/* check_linux.c */
int check_namespaces(const struct spec *s);
int check_mappings(const struct spec *s);
int check_time_offsets(const struct spec *s);
int check_names(const struct spec *s);
int check_sysctl(const struct spec *s);
int check_devices(const struct spec *s);
int check_net_devices(const struct spec *s);
int check_seccomp(const struct spec *s);
int check_rdt(const struct spec *s);
int check_memory_policy(const struct spec *s);

/* A list of mappings; place is its JSON path ("linux.uidMappings"). */
int check_maps(const char *doc, const char *place, const struct ns_map *maps, size_t n);

/* True if text is a list like "0-3,7". */
bool check_is_list(const char *text);

#endif
