/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/syscall.h>

#include "super/handler.h"
#include "super/port.h"

const struct super_handler port_handlers[] = {
	{ { "bind", -1 }, SYS_bind, port_on_bind },
	{ { "connect", -1 }, SYS_connect, port_on_connect },
	{ { "getsockname", -1 }, SYS_getsockname, port_on_getsockname },
	{ { "getpeername", -1 }, SYS_getpeername, port_on_getpeername },
	/* who doesn't ask for the address needs no other one */
	{ { "accept", 1 }, SYS_accept, port_on_accept },
	{ { "accept4", 1 }, SYS_accept4, port_on_accept4 },
	{ { "sendto", 4 }, SYS_sendto, port_on_sendto },
	{ { "recvfrom", 4 }, SYS_recvfrom, port_on_recvfrom },
	{ { "sendmsg", -1 }, SYS_sendmsg, port_on_sendmsg },
	{ { "recvmsg", -1 }, SYS_recvmsg, port_on_recvmsg },
};

const size_t n_port_handlers = sizeof(port_handlers) / sizeof(port_handlers[0]);
