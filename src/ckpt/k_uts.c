/* SPDX-License-Identifier: Apache-2.0 */
/* Host and domain name, where the container has changed them: else they are as the new
 * configuration says. uts_namespaces(7) */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/kinds.h"
#include "jail/plan.h"

#define NAME_LENGTH_MAX 64 /* __NEW_UTS_LEN */

struct uts {
	const char *host, *domain; /* NULL: not changed */
};

static const struct record_field rows[] = {
	RECORD(TEXT, struct uts, "hostName", host, RECORD_OPTIONAL, RECORD_MAX(NAME_LENGTH_MAX)),
	RECORD(TEXT, struct uts, "domainName", domain, RECORD_OPTIONAL,
	       RECORD_MAX(NAME_LENGTH_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct uts, rows);

static int collect(const struct ckpt_unit *u)
{
	const struct sandbox *sb = u->c->subject->sb;
	const struct ckpt_thread *init = u->c->procs[0]->threads[0];
	struct utsname name = { .nodename = "" }, own;
	struct uts *uts = u->rec;
	uint64_t addr;
	int64_t ret;

	if (!ns_new(&sb->ns, NS_UTS))
		return 0;
	ret = ckpt_put(init, 0, &name, sizeof(name), &addr);
	if (ret >= 0)
		ret = ckpt_call(init, "ask for the host name", SYS_uname, addr);
	if (ret >= 0)
		ret = ckpt_get(init, 0, &name, sizeof(name));
	if (ret < 0)
		return (int)ret;
	uname(&own);
	if (strcmp(name.nodename, sb->hostname ? sb->hostname : own.nodename) != 0)
		uts->host = arena_strndup(u->c->arena, name.nodename, NAME_LENGTH_MAX);
	if (strcmp(name.domainname, sb->domainname ? sb->domainname : own.domainname) != 0)
		uts->domain = arena_strndup(u->c->arena, name.domainname, NAME_LENGTH_MAX);
	return 0;
}

static int set(struct ckpt *c, const char *what, long nr, const char *name)
{
	uint64_t addr;
	int ret;

	if (!name)
		return 0;
	ret = ckpt_put(ckpt_root(c), 0, name, strlen(name) + 1, &addr);
	return ret ? ret : (int)ckpt_call(ckpt_root(c), what, nr, addr, strlen(name));
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct uts *uts = u->rec;
	int ret;

	if ((uts->host || uts->domain) && !ns_new(&u->c->sb->ns, NS_UTS))
		return fail(ENOTSUP,
			    "the container had changed its host or domain name, and the new "
			    "configuration gives it no uts namespace of its own");
	ret = set(u->c, "set the host name", SYS_sethostname, uts->host);
	return ret ? ret : set(u->c, "set the domain name", SYS_setdomainname, uts->domain);
}

const struct ckpt_kind kind_uts = {
	.name = "uts",
	.scope = KIND_CONTAINER,
	.table = &table,
	.collect = collect,
	.rebuild = { [PHASE_ROOT] = rebuild },
};
