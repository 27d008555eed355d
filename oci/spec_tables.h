/* SPDX-License-Identifier: Apache-2.0 */
/* The field tables of the three things that are read: shared by the files of spec. */
#ifndef OCI_SPEC_TABLES_H
#define OCI_SPEC_TABLES_H

#include "oci/bind.h"

extern const struct bind_table spec_process_table;   /* struct spec_process */
extern const struct bind_table spec_resources_table; /* struct spec_resources */
extern const struct bind_table spec_linux_table;     /* struct spec, its linux.* part */
extern const struct bind_table spec_map_table;       /* struct ns_map */

#endif
