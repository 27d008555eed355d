/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes: by path, without following, by descriptor, and the calls of 6.13. */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "super/cow_call.h"

_Static_assert(COW_BUFFER_MAX >= XATTR_SIZE_MAX && COW_BUFFER_MAX >= XATTR_LIST_MAX,
	       "an attribute, and a list of their names, has room");

/* struct xattr_args (linux/xattr.h, 6.13) */
struct args {
	uint64_t value;
	uint32_t size, flags;
};

#define ARGS_LEAST 16

static int read_name(struct cow_call *call, uint64_t addr, char name[XATTR_NAME_MAX + 1])
{
	int ret = notif_read_text(call->n, addr, name, XATTR_NAME_MAX + 1);

	if (ret == -ENAMETOOLONG || (!ret && !*name))
		return -ERANGE;
	return ret;
}

/* A path of no length is a descriptor, and none of O_PATH. */
static bool is_bad(const struct cow_call *call)
{
	return call->named && !call->p.text[0] && fcntl(call->fd, F_GETFL) & O_PATH;
}

/* What only the guest sees as a link of the lower side has none: it is looked at by its name. */
static ssize_t get(struct cow_call *call, const char *name, void *value, size_t size)
{
	char text[COW_TEXT_MAX];
	auto_fd dir = -1;
	bool link;
	ssize_t ret;

	if (call->in && layer_owns_xattr(name))
		return -ENODATA;
	ret = cow_text(call, text, &dir, &link);
	if (ret)
		return ret == -ENOENT ? -ENODATA : ret;
	ret = link ? lgetxattr(text, name, value, size) : getxattr(text, name, value, size);
	return ret < 0 ? -errno : ret;
}

static int64_t get_into(struct cow_call *call, uint64_t name_at, uint64_t value_at, size_t size)
{
	char name[XATTR_NAME_MAX + 1];
	ssize_t len = is_bad(call) ? -EBADF : read_name(call, name_at, name);

	if (len)
		return len;
	size = size < COW_BUFFER_MAX ? size : COW_BUFFER_MAX;
	len = get(call, name, call->c->buffer, size);
	if (len > 0 && size && notif_write(call->n, value_at, call->c->buffer, (size_t)len))
		return -EFAULT;
	return len;
}

int64_t cow_getxattr(struct cow_call *call)
{
	return get_into(call, call->rest[0], call->rest[1], call->rest[2]);
}

int64_t cow_getxattrat(struct cow_call *call)
{
	struct args args;
	int ret = cow_read_struct(call->n, &call->rest[1], ARGS_LEAST, &args, sizeof(args));

	if (ret || args.flags)
		return ret ? ret : -EINVAL;
	return get_into(call, call->rest[0], args.value, args.size);
}

/* One of those that who may write may set: xattr(7). */
static bool is_users(const struct cow_call *call, const char *name)
{
	struct stat st;

	return str_starts(name, XATTR_USER_PREFIX) && fstat(call->fd, &st) == 0 &&
	       (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* Before anything is copied. */
static int check(struct cow_call *call, const char *name)
{
	if (call->in && layer_owns_xattr(name))
		return -EPERM;
	return call->in && is_users(call, name) ? layer_may(call->fd, W_OK) : 0;
}

static int64_t set(struct cow_call *call, uint64_t name_at, const struct args *args)
{
	char name[XATTR_NAME_MAX + 1], text[COW_TEXT_MAX];
	void *value = call->c->buffer;
	auto_fd dir = -1;
	bool link;
	int ret;

	if (args->flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	ret = is_bad(call) ? -EBADF : read_name(call, name_at, name);
	if (!ret && args->size > XATTR_SIZE_MAX)
		ret = -E2BIG;
	if (!ret)
		ret = notif_read(call->n, args->value, value, args->size);
	if (ret)
		return ret;
	ret = check(call, name);
	if (!ret)
		ret = cow_change(call);
	if (!ret)
		ret = cow_text(call, text, &dir, &link);
	if (ret)
		return ret;
	ret = link ? lsetxattr(text, name, value, args->size, (int)args->flags)
		   : setxattr(text, name, value, args->size, (int)args->flags);
	return ret < 0 ? -errno : 0;
}

int64_t cow_setxattr(struct cow_call *call)
{
	const struct args args = {
		.value = call->rest[1],
		/* more than there can be is more than 32 bits hold, too */
		.size = call->rest[2] > XATTR_SIZE_MAX ? XATTR_SIZE_MAX + 1
						       : (uint32_t)call->rest[2],
		.flags = (uint32_t)call->rest[3],
	};

	return set(call, call->rest[0], &args);
}

int64_t cow_setxattrat(struct cow_call *call)
{
	struct args args;
	int ret = cow_read_struct(call->n, &call->rest[1], ARGS_LEAST, &args, sizeof(args));

	return ret ? ret : set(call, call->rest[0], &args);
}

/* Without those that are the layer's own. */
static size_t filter(char *list, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < len; at += n) {
		n = strnlen(list + at, len - at - 1) + 1;
		if (layer_owns_xattr(list + at))
			continue;
		memmove(list + kept, list + at, n);
		kept += n;
	}
	return kept;
}

int64_t cow_listxattr(struct cow_call *call)
{
	char *list = call->c->buffer, text[COW_TEXT_MAX];
	size_t size = call->rest[1];
	auto_fd dir = -1;
	bool link;
	ssize_t len = is_bad(call) ? -EBADF : cow_text(call, text, &dir, &link);

	if (len)
		return len == -ENOENT ? 0 : len;
	len = link ? llistxattr(text, list, COW_BUFFER_MAX) : listxattr(text, list, COW_BUFFER_MAX);
	if (len < 0)
		return -errno;
	if (call->in)
		len = (ssize_t)filter(list, (size_t)len);
	if (!size || !len)
		return len;
	if ((size_t)len > size)
		return -ERANGE;
	return notif_write(call->n, call->rest[0], list, (size_t)len) ? -EFAULT : len;
}

int64_t cow_removexattr(struct cow_call *call)
{
	char name[XATTR_NAME_MAX + 1], text[COW_TEXT_MAX];
	auto_fd dir = -1;
	bool link;
	ssize_t ret = is_bad(call) ? -EBADF : read_name(call, call->rest[0], name);

	if (!ret)
		ret = check(call, name);
	if (ret)
		return ret;
	/* what isn't there needs no copy */
	if (is_users(call, name) && get(call, name, NULL, 0) == -ENODATA)
		return -ENODATA;
	ret = cow_change(call);
	if (!ret)
		ret = cow_text(call, text, &dir, &link);
	if (ret)
		return ret;
	ret = link ? lremovexattr(text, name) : removexattr(text, name);
	return ret < 0 ? -errno : 0;
}
