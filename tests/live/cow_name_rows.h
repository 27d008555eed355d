/* SPDX-License-Identifier: Apache-2.0 */
/* What cow_name_test calls: the language is its own. */
#ifndef TEST_COW_NAME_ROWS_H
#define TEST_COW_NAME_ROWS_H

#include <stddef.h>

struct cow_name_row {
	const char *before; /* made by root, in a directory that everybody may write to */
	const char *calls;
	const char *want; /* results, where a plain directory's would be others */
};

#define COW_NAME_ROWS(group)                                 \
	extern const struct cow_name_row cow_name_##group[]; \
	extern const size_t n_cow_name_##group

COW_NAME_ROWS(mkdir_rows);
COW_NAME_ROWS(rmdir_rows);
COW_NAME_ROWS(unlink_rows);
COW_NAME_ROWS(symlink_rows);
COW_NAME_ROWS(mknod_rows);
COW_NAME_ROWS(rename_rows);
COW_NAME_ROWS(link_rows);
COW_NAME_ROWS(chdir_rows);
COW_NAME_ROWS(edge_rows);

#endif
