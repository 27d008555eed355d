/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a socket of the map still exist? The supervisor keeps no copy, which would keep the port
 * occupied: it looks when it has to know.
 */
#ifndef SUPER_PORT_ALIVE_H
#define SUPER_PORT_ALIVE_H

#include <stdbool.h>
#include <sys/types.h>

struct port_map;
struct port_entry;

/*
 * True if the socket exists: cheap where the descriptor is still where it was seen, or its port is
 * nobody's. Else the sockets of the network namespace are read through any process of it, `pid` or
 * one of the map's. Entries without a socket are removed, this one among them: false. Then the
 * others may have moved.
 */
bool port_alive(struct port_map *m, struct port_entry *e, pid_t pid);

/* Removes all entries whose socket has ended. */
void port_sweep(struct port_map *m, pid_t pid);

/* From a line of /proc/net/tcp, udp and so on: the inode of the socket, 0 where there is none. */
unsigned long long port_line_inode(const char *line);

#endif
