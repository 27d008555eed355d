/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the processor a process was given by a call of its own, and no restore gives back: found
 * here so that it is refused, never lost. Keys are asked for where the processor has them.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/arch.h"
#include "base/err.h"
#include "ckpt/ask.h"
#include "ckpt/kinds.h"
#include "task/trace.h"

#define GRANT_BYTES 8

/*
 * pkeys(7): number 0 is everybody's. mprotect of a key that is nobody's fails before it is seen
 * that at such an address nothing can be mapped.
 */
#define PROTECTION_KEYS 16
#define NOWHERE (1ull << 62)
#define PAGE 4096

static bool has_protection_keys(void)
{
	return syscall(SYS_pkey_mprotect, NOWHERE, PAGE, PROT_READ, 0) < 0 && errno == ENOMEM;
}

static int ask_if_may(const struct ckpt_unit *u, struct ask *a, const struct inject_call *call)
{
	bool may;
	int ret = trace_may(u->p->threads[0]->trace, (int64_t)call->nr, call->arg, &may);

	return ret ? ret : ask_add(a, call, may);
}

static int ask_grants(const struct ckpt_unit *u, struct ask *a)
{
	const struct arch *arch = arch_native();
	uint64_t at = 0;
	int ret = arch->n_grants ? ask_room(a, arch->n_grants * GRANT_BYTES, &at) : 0;

	for (size_t i = 0; i < arch->n_grants && !ret; i++, at += GRANT_BYTES)
		ret = ask_if_may(u, a,
				 &(struct inject_call){
					 .nr = arch->grants[i].nr,
					 .arg = { arch->grants[i].command, at, GRANT_BYTES },
				 });
	return ret;
}

static int ask_keys(const struct ckpt_unit *u, struct ask *a)
{
	int ret = 0;

	for (uint64_t key = 1; key < PROTECTION_KEYS && !ret; key++)
		ret = ask_if_may(u, a,
				 &(struct inject_call){
					 .nr = SYS_pkey_mprotect,
					 .arg = { NOWHERE, PAGE, PROT_READ, key },
				 });
	return ret;
}

static int ask(const struct ckpt_unit *u, struct ask *a)
{
	int ret = ask_grants(u, a);

	return ret || !has_protection_keys() ? ret : ask_keys(u, a);
}

static const struct arch_grant *grant_of(const struct inject_call *call)
{
	const struct arch *arch = arch_native();

	for (size_t i = 0; i < arch->n_grants; i++)
		if (arch->grants[i].nr == call->nr)
			return &arch->grants[i];
	return NULL;
}

/* data: where the answers of all grants lie. */
static bool has_it(const struct arch_grant *g, const struct inject_call *call, const uint8_t *data)
{
	uint64_t bits;

	memcpy(&bits, data + (size_t)(g - arch_native()->grants) * GRANT_BYTES, sizeof(bits));
	return g->bits ? call->ret == 0 && bits & g->bits : call->ret > 0;
}

static int collect(const struct ckpt_unit *u)
{
	const struct inject_call *call;
	const struct arch_grant *g;
	struct answers answers;
	const char *what = NULL;
	int ret = ask_answers(&kind_features, u, &answers);

	for (size_t i = 0; !ret && i < answers.n && !what; i++) {
		call = &answers.calls[i];
		g = grant_of(call);
		if (g && has_it(g, call, answers.data))
			what = g->what;
		if (call->nr == SYS_pkey_mprotect && call->ret == -ENOMEM)
			what = "protection keys (pkeys(7))";
	}
	return ret || !what
		       ? ret
		       : fail(ENOTSUP, "process %d: it has %s of its own, which can't be restored",
			      u->p->pid, what);
}

const struct ckpt_kind kind_features = {
	.name = "features",
	.scope = KIND_PROCESS,
	.ask = ask,
	.collect = collect,
};
