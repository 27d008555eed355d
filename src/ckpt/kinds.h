/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind there is: a line here, a line in kinds.c, a file k_<name>.c. */
#ifndef CKPT_KINDS_H
#define CKPT_KINDS_H

#include "ckpt/kind.h"

extern const struct ckpt_kind kind_unowned_container; /* k_unowned.c */
extern const struct ckpt_kind kind_clock;             /* k_clock.c */
extern const struct ckpt_kind kind_net;               /* k_net.c */
extern const struct ckpt_kind kind_fs;                /* k_fs.c */
extern const struct ckpt_kind kind_shm;               /* k_shm.c */
extern const struct ckpt_kind kind_memory;            /* k_memory.c */
extern const struct ckpt_kind kind_mempolicy;         /* k_memory.c */
extern const struct ckpt_kind kind_program;           /* k_program.c */
extern const struct ckpt_kind kind_mm;                /* k_mm.c */
extern const struct ckpt_kind kind_task;              /* k_task.c */
extern const struct ckpt_kind kind_cred;              /* k_cred.c */
extern const struct ckpt_kind kind_signal;            /* k_signal.c */
extern const struct ckpt_kind kind_timer;             /* k_timer.c */
extern const struct ckpt_kind kind_thread;            /* k_thread.c */
extern const struct ckpt_kind kind_pipe;              /* k_pipe.c */
extern const struct ckpt_kind kind_uts;               /* k_uts.c */
extern const struct ckpt_kind kind_inotify;           /* k_inotify.c */
extern const struct ckpt_kind kind_mounts;            /* k_mounts.c */
extern const struct ckpt_kind kind_lock;              /* k_lock.c */
extern const struct ckpt_kind kind_sigio;             /* k_sigio.c */
extern const struct ckpt_kind kind_mqueue;            /* k_mqueue.c */
extern const struct ckpt_kind kind_tmpfs;             /* k_tmpfs.c */
extern const struct ckpt_kind kind_ports;             /* k_ports.c */
extern const struct ckpt_kind kind_layers;            /* k_layers.c */
extern const struct ckpt_kind kind_unix;              /* k_unix.c */
extern const struct ckpt_kind kind_inet;              /* k_inet.c */
extern const struct ckpt_kind kind_tty;               /* k_tty.c */
extern const struct ckpt_kind kind_confine;           /* k_confine.c */
extern const struct ckpt_kind kind_domain;            /* k_domain.c */
extern const struct ckpt_kind kind_keys;              /* k_keys.c */
extern const struct ckpt_kind kind_features;          /* k_features.c */
extern const struct ckpt_kind kind_filters;           /* k_confine.c */
extern const struct ckpt_kind kind_cpu;               /* k_cpu.c */
extern const struct ckpt_kind kind_fds;               /* files.c */

extern const struct file_kind file_stdio;   /* k_stdio.c */
extern const struct file_kind file_pipe;    /* k_pipe.c */
extern const struct file_kind file_event;   /* k_event.c */
extern const struct file_kind file_timer;   /* k_event.c */
extern const struct file_kind file_signals; /* k_event.c */
extern const struct file_kind file_pidfd;   /* k_pidfd.c */
extern const struct file_kind file_refused; /* k_refused.c */
extern const struct file_kind file_epoll;   /* k_epoll.c */
extern const struct file_kind file_memfd;   /* k_deleted.c */
extern const struct file_kind file_deleted; /* k_deleted.c */
extern const struct file_kind file_inotify; /* k_inotify.c */
extern const struct file_kind file_mqueue;  /* k_mqueue.c */
extern const struct file_kind file_unix;    /* k_unix.c */
extern const struct file_kind file_inet;    /* k_inet.c */
extern const struct file_kind file_tty;     /* k_tty.c */
extern const struct file_kind file_proc;    /* k_file.c */
extern const struct file_kind file_regular; /* k_file.c */

#endif
