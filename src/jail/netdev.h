/* SPDX-License-Identifier: Apache-2.0 */
/* Moves network devices of the host into a container's network namespace. rtnetlink(7) */
#ifndef JAIL_NETDEV_H
#define JAIL_NETDEV_H

#include <stddef.h>
#include <sys/types.h>

struct sandbox_net_device;

/*
 * The namespace is the one at ns_path, or that of process pid where ns_path is NULL. A device keeps
 * its permanent addresses of global scope, takes its new name and is brought up. It does not come
 * back by itself. Returns 0 or -errno with a text that names the device.
 */
int netdev_move(const struct sandbox_net_device *devices, size_t n, const char *ns_path, pid_t pid);

#endif
