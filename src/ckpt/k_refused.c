/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors whose state the kernel does not tell, or can't be given again: each with its reason.
 * A kind that comes to own one of these takes its line away.
 */
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/names.h"
#include "ckpt/kinds.h"
#include "ckpt/sockets.h"

/* linux/magic.h, since Linux 5.14 */
#define SECRETMEM 0x5345434d

static const struct {
	enum proc_fd_kind sort;
	const char *why;
} sorts[] = {
	{ PROC_FD_FANOTIFY, "what a fanotify group watches can't be restored" },
	{ PROC_FD_URING, "requests of an io_uring are under way in the kernel, which does not tell "
			 "of them" },
	{ PROC_FD_USERFAULT, "page faults that a userfaultfd serves can't be handed on" },
	{ PROC_FD_BPF, "programs and maps of bpf(2) live in the kernel, and can't be restored" },
	{ PROC_FD_PERF, "performance counters can't be restored" },
	{ PROC_FD_SECCOMP, "calls that another process's filter asks about can't be handed on" },
	{ PROC_FD_LANDLOCK, "the rules of a Landlock ruleset can't be read back" },
	{ PROC_FD_NAMESPACE, "a namespace that is held open can't be restored" },
	{ PROC_FD_MOUNT, "a file system that is being set up can't be restored" },
};

static const struct {
	int family;
	const char *why;
} families[] = {
	{ AF_NETLINK, "netlink sockets can't be restored" },
	{ AF_PACKET, "packet sockets can't be restored" },
	{ AF_VSOCK, "its peer is another machine's (vsock)" },
	{ AF_ALG, "operations of the kernel's cryptography (AF_ALG) can't be restored" },
	{ AF_KEY, "key sockets can't be restored" },
	{ AF_CAN, "CAN sockets can't be restored" },
	{ AF_XDP, "XDP sockets can't be restored" },
	{ AF_BLUETOOTH, "Bluetooth sockets can't be restored" },
};

static const char *why_socket(const struct file_look *l)
{
	struct socket_sort s;
	auto_fd fd = socket_borrow(l);

	if (fd < 0 || socket_sort(fd, &s) || s.family == AF_UNIX || s.family == AF_INET ||
	    s.family == AF_INET6)
		return NULL;
	for (size_t i = 0; i < NAME_COUNT(families); i++)
		if (families[i].family == s.family)
			return families[i].why;
	return arena_printf(l->c->arena, "sockets of family %d can't be restored", s.family);
}

static const char *check(const struct file_look *l)
{
	if (l->fs_type == SECRETMEM)
		return "memory of memfd_secret(2) is hidden from everybody else, us included";
	if (l->sort == PROC_FD_SOCKET)
		return why_socket(l);
	for (size_t i = 0; i < NAME_COUNT(sorts); i++)
		if (sorts[i].sort == l->sort)
			return sorts[i].why;
	return NULL;
}

static bool owns(const struct file_look *l)
{
	return check(l) != NULL;
}

const struct file_kind file_refused = {
	.name = "refused",
	.owns = owns,
	.check = check,
};
