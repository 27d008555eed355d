/* SPDX-License-Identifier: Apache-2.0 */
/* The two tables. Their order is that of the calls, and of the question who owns a descriptor. */
#include "ckpt/kinds.h"

/* clang-format off */
const struct ckpt_kind *const ckpt_kinds[] = {
	&kind_confine, /* before others ask what a filter allows */
	&kind_shm,
	&kind_memory, /* before any errand, which needs memory of its own */
	&kind_mempolicy,
	&kind_program,
	&kind_thread,
	&kind_domain,
	&kind_keys,
	&kind_features,
	&kind_unowned_container,
	&kind_clock,
	&kind_net,
	&kind_mm,
	&kind_fs,
	&kind_uts,
	&kind_tmpfs,
	&kind_layers,
	&kind_ports,
	&kind_mounts,
	&kind_mqueue,
	&kind_inotify,
	&kind_pipe,
	&kind_unix,
	&kind_inet,
	&kind_tty,
	&kind_signal,
	&kind_timer,
	&kind_task,
	&kind_filters,
	&kind_cred, /* after the last that needs rights */
	&kind_sigio, /* with the rights that the process has */
	&kind_lock,
	&kind_cpu,
	&kind_fds,
	NULL,
};

const struct file_kind *const file_kinds[] = {
	&file_stdio, /* a file of the caller's may look like one of the container's */
	&file_pipe,
	&file_unix,
	&file_inet,
	&file_event,
	&file_timer,
	&file_signals,
	&file_pidfd,
	&file_epoll,
	&file_tty,
	&file_refused, /* memory of memfd_secret(2), to the next one */
	&file_mqueue,
	&file_inotify,
	&file_memfd, /* a file that was removed, to the next one, */
	&file_deleted, /* and one that is there, to the one after */
	&file_proc,
	&file_regular,
	NULL,
};
/* clang-format on */
