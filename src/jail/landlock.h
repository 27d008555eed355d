/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock rights by kernel ABI and the ruleset builder. landlock(7),
 * Documentation/userspace-api/landlock.rst */
#ifndef JAIL_LANDLOCK_H
#define JAIL_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str;

/* linux/landlock.h of the newest kernel; an older header lacks the later ones. */
#define LANDLOCK_ABI_NEWEST 10

#define LL_FS(n) (1ull << (n))
#define LL_EXECUTE LL_FS(0)
#define LL_WRITE_FILE LL_FS(1)
#define LL_READ_FILE LL_FS(2)
#define LL_READ_DIR LL_FS(3)
#define LL_REMOVE_DIR LL_FS(4)
#define LL_REMOVE_FILE LL_FS(5)
#define LL_MAKE_CHAR LL_FS(6)
#define LL_MAKE_DIR LL_FS(7)
#define LL_MAKE_REG LL_FS(8)
#define LL_MAKE_SOCK LL_FS(9)
#define LL_MAKE_FIFO LL_FS(10)
#define LL_MAKE_BLOCK LL_FS(11)
#define LL_MAKE_SYM LL_FS(12)
#define LL_REFER LL_FS(13)
#define LL_TRUNCATE LL_FS(14)
#define LL_IOCTL_DEV LL_FS(15)
#define LL_RESOLVE_UNIX LL_FS(16)

#define LL_BIND_TCP (1ull << 0)
#define LL_CONNECT_TCP (1ull << 1)
#define LL_BIND_UDP (1ull << 2)
#define LL_CONNECT_SEND_UDP (1ull << 3)

#define LL_SCOPE_ABSTRACT_UNIX (1ull << 0)
#define LL_SCOPE_SIGNAL (1ull << 1)

/* What makes sense for a path that is no directory. */
#define LL_OF_FILE \
	(LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE | LL_IOCTL_DEV | LL_RESOLVE_UNIX)

/* The three sets of bits of a ruleset. */
enum landlock_class { LANDLOCK_FS, LANDLOCK_NET, LANDLOCK_SCOPE, LANDLOCK_CLASSES };

struct landlock_right {
	const char *name; /* "read_file" */
	enum landlock_class class;
	uint64_t bit;
	int abi; /* the first that has it */
};

/* Every right of ABI 1 to LANDLOCK_ABI_NEWEST. */
extern const struct landlock_right landlock_rights[];
extern const size_t landlock_n_rights;

/* Mistakes of earlier kernels that this one has corrected: bits of landlock_errata(). */
enum landlock_erratum {
	LANDLOCK_ERRATUM_TCP = 1 << 0,          /* TCP rights bound other streams too */
	LANDLOCK_ERRATUM_SIGNAL = 1 << 1,       /* signals among threads were scoped */
	LANDLOCK_ERRATUM_DISCONNECTED = 1 << 2, /* directories moved out of a bind mount widened */
};

enum landlock_mode { LANDLOCK_AUTO, LANDLOCK_ENFORCE, LANDLOCK_OFF };

struct landlock_extra {
	const char *path; /* in the container */
	uint64_t rights;  /* LL_* */
};

struct landlock_range {
	uint16_t first, last; /* both among them */
};

/* The ports of one network right. */
struct landlock_ports {
	const char *where; /* JSON path, for messages */
	bool set;          /* asked for: an empty list denies every port */
	const struct landlock_range *ranges;
	size_t n;
};

enum { LANDLOCK_PORT_LISTS = 4 }; /* by the number of the right's bit */

struct landlock_plan {
	enum landlock_mode mode;
	bool may_mount; /* the container's first process: auto steps aside for all of them */
	struct landlock_ports ports[LANDLOCK_PORT_LISTS];
	uint64_t scope; /* LL_SCOPE_* asked for by annotation */
	bool has_scope; /* the annotation is there: no scope but those */
	const struct landlock_extra *extra;
	size_t n_extra;
};

/* The kernel's Landlock ABI, 0 where there is none. Asked once. */
int landlock_abi(void);

/* enum landlock_erratum of the running kernel; 0 below ABI 7, which can't tell. */
unsigned landlock_errata(void);

/* Every right of that class and ABI. */
uint64_t landlock_all(enum landlock_class class, int abi);

/* A right of that class by name ("read_file", "make_dir", ..., any case): 0 if unknown. */
uint64_t landlock_right(enum landlock_class class, const char *name);

/* "read_file+read_dir": the names of the bits, in the order of the table. */
void landlock_add_names(struct str *s, enum landlock_class class, uint64_t bits);

/* A ruleset that handles all these. Returns its fd or -errno with a text. */
int landlock_open(const uint64_t handled[LANDLOCK_CLASSES]);

/* Grants rights beneath what fd stands for; rights that make no sense for a file are left out
 * there. */
int landlock_allow_fd(int ruleset, int fd, uint64_t rights);
int landlock_allow_port(int ruleset, uint16_t port, uint64_t rights);

/*
 * Restricts the calling thread for good. What the programs executed later are denied goes to the
 * audit log where the kernel has one (ABI 7), not so what a sandbox inside denies. Between clone
 * and exec.
 */
int landlock_enter(int ruleset, int abi);

#endif
