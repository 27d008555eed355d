/* SPDX-License-Identifier: Apache-2.0 */
/* The two tables. Their order is that of the calls, and of the question who owns a descriptor. */
#include "ckpt/kinds.h"

const struct ckpt_kind *const ckpt_kinds[] = {
	&kind_thread, /* first: a thread is as it was before errands were run on it */
	&kind_pipe,   &kind_memory, &kind_mm,   &kind_fs,
	&kind_signal, &kind_task,   &kind_cred, /* after the last that needs rights */
	&kind_cpu,    NULL,
};

const struct file_kind *const file_kinds[] = {
	&file_stdio, /* first: a file of the caller's may look like one of the container's */
	&file_pipe,  &file_event, &file_timer, &file_signals, &file_epoll, &file_regular, NULL,
};
