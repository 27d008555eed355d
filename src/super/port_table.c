/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/syscall.h>

#include "super/handler.h"
#include "super/port.h"

const struct super_handler port_handlers[] = {
	{ GUARD_ALL("bind"), SYS_bind, port_on_bind },
	{ GUARD_UNMADE("connect", 2), SYS_connect, port_on_connect },
	{ GUARD_ALL("getsockname"), SYS_getsockname, port_on_getsockname },
	{ GUARD_ALL("getpeername"), SYS_getpeername, port_on_getpeername },
	/* who doesn't ask for the address needs no other one */
	{ GUARD_UNMADE_SET("accept", 1, 0), SYS_accept, port_on_accept },
	{ GUARD_UNMADE_SET("accept4", 1, 3), SYS_accept4, port_on_accept4 },
	{ GUARD_SET("sendto", 4), SYS_sendto, port_on_sendto },
	{ GUARD_UNMADE_SET("recvfrom", 4, 3), SYS_recvfrom, port_on_recvfrom },
	{ GUARD_UNMADE("sendmsg", 2), SYS_sendmsg, port_on_sendmsg },
	{ GUARD_UNMADE("recvmsg", 2), SYS_recvmsg, port_on_recvmsg },
	{ GUARD_UNMADE("sendmmsg", 3), SYS_sendmmsg, port_on_sendmmsg },
	{ GUARD_UNMADE("recvmmsg", 3), SYS_recvmmsg, port_on_recvmmsg },
};

const size_t n_port_handlers = sizeof(port_handlers) / sizeof(port_handlers[0]);
