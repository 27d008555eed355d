/* SPDX-License-Identifier: Apache-2.0 */
/* Network devices of a container: moved into its namespace (rtnetlink(7)), and what they
 * carried. */
#ifndef JAIL_NETDEV_H
#define JAIL_NETDEV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;
struct sandbox_net_device;

/*
 * The namespace is the one at ns_path, or that of process pid where ns_path is NULL. A device keeps
 * its permanent addresses of global scope, takes its new name and is brought up. It does not come
 * back by itself. Returns 0 or -errno with a text that names the device.
 */
int netdev_move(const struct sandbox_net_device *devices, size_t n, const char *ns_path, pid_t pid);

/* What the devices of the network namespace of a process have carried. */
struct netdev_count {
	const char *name;
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

/* All but the loopback, from /proc/PID/net/dev; none where it is the caller's own namespace. */
int netdev_counts(struct arena *a, pid_t pid, struct netdev_count **out, size_t *out_n);

#endif
