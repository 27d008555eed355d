/* SPDX-License-Identifier: Apache-2.0 */
/* The two tables. Their order is that of the calls, and of the question who owns a descriptor. */
#include "ckpt/kinds.h"

const struct ckpt_kind *const ckpt_kinds[] = {
	&kind_memory, &kind_mm,     &kind_fs,  &kind_task, &kind_cred,
	&kind_signal, &kind_thread, &kind_cpu, NULL,
};

const struct file_kind *const file_kinds[] = {
	&file_stdio, /* first: a file of the caller's may look like one of the container's */
	&file_regular,
	NULL,
};
