/* SPDX-License-Identifier: Apache-2.0 */
#include "task/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/sys.h"

#define PAGE 4096u
#define IOVS 128 /* of one system call: 1024 are allowed, and copied to the stack of the kernel */

enum way { READ, WRITE };

int peek_open(pid_t pid, struct peek *out)
{
	int fd = (int)sys_pidfd_open(pid, 0);

	*out = (struct peek){ pid, -1, -1 };
	if (fd < 0)
		return fail_errno("hold process %d", pid);
	out->pidfd = fd;
	return 0;
}

void peek_of_tracee(pid_t pid, struct peek *out)
{
	*out = (struct peek){ pid, -1, -1 };
}

void peek_close(struct peek *p)
{
	fd_close(p->pidfd);
	fd_close(p->mem);
	p->pidfd = p->mem = -1;
}

/* Asked after the bytes were moved: a process that lives now had its number all the time. */
static int still_there(const struct peek *p)
{
	if (p->pidfd < 0 || sys_pidfd_send_signal(p->pidfd, 0, NULL, 0) == 0 || errno == EPERM)
		return 0;
	return -ESRCH;
}

static int mem_fd(struct peek *p)
{
	char path[32];

	if (p->mem >= 0)
		return p->mem;
	snprintf(path, sizeof(path), "/proc/%d/mem", p->pid);
	p->mem = open(path, O_RDWR | O_CLOEXEC);
	return p->mem < 0 ? -errno : p->mem;
}

/* One range through /proc/PID/mem, which takes no notice of protections. Bytes moved or -errno. */
static ssize_t by_mem(struct peek *p, enum way way, uint64_t addr, void *buf, size_t len)
{
	int fd = mem_fd(p);
	size_t done = 0;
	ssize_t n = 0;

	if (fd < 0)
		return fd;
	if (addr > (uint64_t)INT64_MAX)
		return -EFAULT;
	while (done < len) {
		char *at = (char *)buf + done;

		n = way == READ ? pread(fd, at, len - done, (off_t)(addr + done))
				: pwrite(fd, at, len - done, (off_t)(addr + done));
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	if (done)
		return (ssize_t)done;
	/* an end of file is an address space that has ended */
	if (n == 0)
		return -ESRCH;
	return errno == EIO ? -EFAULT : -errno;
}

static ssize_t vm(pid_t pid, enum way way, const struct iovec *local, const struct iovec *remote,
		  size_t n)
{
	ssize_t moved = way == READ ? process_vm_readv(pid, local, 1, remote, n, 0)
				    : process_vm_writev(pid, local, 1, remote, n, 0);

	return moved < 0 ? -errno : moved;
}

/* Where a request stands: done bytes of span i are moved, and buf is at the next. */
struct cursor {
	const struct peek_span *spans;
	size_t n, i, done;
	char *buf;
};

static void advance(struct cursor *c, size_t moved)
{
	c->buf += moved;
	while (c->i < c->n && moved >= c->spans[c->i].len - c->done) {
		moved -= c->spans[c->i].len - c->done;
		c->done = 0;
		c->i++;
	}
	c->done += moved;
}

/* As much as one system call moves: bytes, or -errno. */
static ssize_t step(struct peek *p, enum way way, const struct cursor *c)
{
	struct iovec remote[IOVS], local = { c->buf, 0 };
	size_t n = 0;

	for (size_t i = c->i; i < c->n && n < IOVS; i++, n++) {
		size_t skip = i == c->i ? c->done : 0;

		remote[n].iov_base = (void *)(uintptr_t)(c->spans[i].addr + skip);
		remote[n].iov_len = c->spans[i].len - skip;
		local.iov_len += remote[n].iov_len;
	}
	return vm(p->pid, way, &local, remote, n);
}

/* The first page that process_vm_readv refuses, by the other door. */
static ssize_t step_by_mem(struct peek *p, enum way way, const struct cursor *c)
{
	uint64_t addr = c->spans[c->i].addr + c->done;
	size_t len = c->spans[c->i].len - c->done, page = PAGE - addr % PAGE;

	return by_mem(p, way, addr, c->buf, len < page ? len : page);
}

static int move(struct peek *p, enum way way, struct cursor *c)
{
	ssize_t n = 0;
	int ret;

	advance(c, 0);
	while (c->i < c->n) {
		n = step(p, way, c);
		if (n == -EFAULT || n == 0)
			n = step_by_mem(p, way, c);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		advance(c, (size_t)n);
	}
	ret = still_there(p);
	return ret ? ret : c->i < c->n ? (int)n : 0;
}

static int request(struct peek *p, enum way way, struct cursor *c)
{
	const char *verb = way == READ ? "read" : "write";
	size_t sum = 0;
	int ret;

	for (size_t i = 0; i < c->n; i++) {
		const struct peek_span *s = &c->spans[i];

		if (c->n > PEEK_SPANS_MAX || s->len > PEEK_MAX - sum || s->addr + s->len < s->addr)
			return fail(E2BIG,
				    "%s memory of process %d: %zu ranges of more than %zu bytes",
				    verb, p->pid, c->n, PEEK_MAX);
		sum += s->len;
	}
	ret = move(p, way, c);
	if (ret == -ESRCH)
		return fail(ESRCH, "%s memory of process %d: it has ended", verb, p->pid);
	if (ret)
		return fail(-ret, "%s memory of process %d at %#llx: %s", verb, p->pid,
			    (unsigned long long)(c->spans[c->i].addr + c->done), err_reason(-ret));
	return 0;
}

int peek_gather(struct peek *p, const struct peek_span *spans, size_t n, void *buf)
{
	struct cursor c = { spans, n, 0, 0, buf };

	return request(p, READ, &c);
}

int peek_scatter(struct peek *p, const struct peek_span *spans, size_t n, const void *data)
{
	struct cursor c = { spans, n, 0, 0, (char *)(uintptr_t)data };

	return request(p, WRITE, &c);
}

int peek_read(struct peek *p, uint64_t addr, void *buf, size_t len)
{
	return peek_gather(p, &(struct peek_span){ addr, len }, 1, buf);
}

int peek_write(struct peek *p, uint64_t addr, const void *data, size_t len)
{
	return peek_scatter(p, &(struct peek_span){ addr, len }, 1, data);
}

int peek_patch(struct peek *p, uint64_t addr, const void *code, size_t len)
{
	ssize_t n = by_mem(p, WRITE, addr, (void *)(uintptr_t)code, len);

	if (n < 0)
		return fail((int)-n, "write code of process %d at %#llx: %s", p->pid,
			    (unsigned long long)addr, err_reason((int)-n));
	if ((size_t)n != len)
		return fail(EFAULT, "write code of process %d at %#llx: %zd of %zu bytes", p->pid,
			    (unsigned long long)addr, n, len);
	return 0;
}

ssize_t peek_some(struct peek *p, uint64_t addr, void *buf, size_t len)
{
	struct peek_span span = { addr, len };
	struct cursor c = { &span, 1, 0, 0, buf };
	int ret;

	if (len > PEEK_MAX || addr + len < addr)
		return -E2BIG;
	ret = move(p, READ, &c);
	if (ret == -ESRCH || (ret && c.buf == (char *)buf))
		return ret;
	return c.buf - (char *)buf;
}

ssize_t peek_string(struct peek *p, uint64_t addr, char *buf, size_t size)
{
	size_t have = 0;

	while (have < size) {
		size_t page = PAGE - (addr + have) % PAGE;
		size_t want = size - have < page ? size - have : page;
		char *end;
		int ret = peek_read(p, addr + have, buf + have, want);

		if (ret)
			return ret;
		end = memchr(buf + have, '\0', want);
		if (end)
			return end - buf;
		have += want;
	}
	return fail(ENAMETOOLONG, "a string of process %d at %#llx has no end within %zu bytes",
		    p->pid, (unsigned long long)addr, size);
}
