/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/regset.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "arch/arch.h"
#include "arch/inject.h"
#include "base/err.h"

const uint8_t inject_magic[8] = "thole\x90\x0d";

ssize_t regset_get(pid_t tid, uint32_t note, void *out, size_t size)
{
	struct iovec iov = { out, size };

	if (ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)note, &iov) < 0)
		return -errno;
	return (ssize_t)iov.iov_len;
}

int regset_set(pid_t tid, uint32_t note, const void *data, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };

	return ptrace(PTRACE_SETREGSET, tid, (void *)(uintptr_t)note, &iov) < 0 ? -errno : 0;
}

void regset_head(uint32_t note, size_t len, void *out)
{
	struct regset_head head = { arch_native()->audit, note, (uint32_t)len, 0 };

	memcpy(out, &head, sizeof(head));
}

int regset_check(const void *data, size_t len, struct regset_head *out)
{
	const struct arch *arch;
	struct regset_head head;

	if (len < sizeof(head))
		return fail(EBADMSG, "registers: %zu bytes, too few for their header", len);
	memcpy(&head, data, sizeof(head));
	arch = arch_find(head.audit);
	if (arch != arch_native())
		return fail(EBADMSG, "registers: of %s, and this is %s",
			    arch ? arch->name : "an unknown processor", arch_native()->name);
	if (head.zero || head.len != len - sizeof(head))
		return fail(EBADMSG, "registers: the header says %u bytes, and %zu follow",
			    head.len, len - sizeof(head));
	*out = head;
	return 0;
}

size_t regs_pack(const struct regs *r, uint8_t out[REGS_PACKED_MAX])
{
	regset_head(0, sizeof(*r), out);
	memcpy(out + sizeof(struct regset_head), r, sizeof(*r));
	return REGS_PACKED_MAX;
}

int regs_unpack(const void *data, size_t len, struct regs *out)
{
	struct regset_head head;
	int ret = regset_check(data, len, &head);

	if (ret)
		return ret;
	if (head.note != 0 || head.len != sizeof(*out))
		return fail(EBADMSG,
			    "registers: set %u of %u bytes where the general ones were due",
			    head.note, head.len);
	memcpy(out, (const uint8_t *)data + sizeof(head), sizeof(*out));
	return 0;
}
