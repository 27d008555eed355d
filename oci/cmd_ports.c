/* SPDX-License-Identifier: Apache-2.0 */
/* ports */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "oci/cmd.h"
#include "oci/container.h"
#include "oci/json.h"
#include "super/super.h"

struct ports_options {
	bool json;
};

static const struct opt ports_rows[] = {
	{ "json", 0, OPT_FLAG, offsetof(struct ports_options, json), NULL, "print it as JSON",
	  NULL },
};

static const char *proto_name(const struct super_port *p)
{
	return p->proto == IPPROTO_TCP ? "tcp" : "udp";
}

static const char *address_of(const struct super_port *p, char text[INET6_ADDRSTRLEN])
{
	return inet_ntop(p->family, p->ip, text, INET6_ADDRSTRLEN);
}

static int print_json(struct cmd *c, const struct super_port *ports, size_t n)
{
	struct json_writer *w = json_writer_new(c->arena, true);
	char address[INET6_ADDRSTRLEN];
	const char *text;
	size_t len;

	json_open_array(w, NULL);
	for (size_t i = 0; i < n; i++) {
		json_open_object(w, NULL);
		json_put_str(w, "protocol", proto_name(&ports[i]));
		json_put_str(w, "address", address_of(&ports[i], address));
		json_put_i64(w, "virtual", ports[i].virtual_port);
		json_put_i64(w, "real", ports[i].real_port);
		json_close(w);
	}
	json_close(w);
	text = json_writer_text(w, &len);
	return cmd_print(text, len);
}

static int print_table(const struct super_port *ports, size_t n)
{
	char address[INET6_ADDRSTRLEN];

	printf("%-8s   %-45s   %7s   %5s\n", "PROTOCOL", "ADDRESS", "VIRTUAL", "REAL");
	for (size_t i = 0; i < n; i++)
		printf("%-8s   %-45s   %7u   %5u\n", proto_name(&ports[i]),
		       address_of(&ports[i], address), ports[i].virtual_port, ports[i].real_port);
	return fflush(stdout) == EOF ? fail_errno("write to standard output") : 0;
}

static int run_ports(struct cmd *c, const void *options)
{
	const struct ports_options *o = options;
	auto_container ct = CONTAINER_NONE;
	struct super_port *ports = NULL;
	auto_fd conn = -1;
	size_t n = 0;
	int ret = container_open(c, c->args[0], &ct);

	if (ret)
		return ret;
	if (ct.status == STATE_STOPPED)
		return fail(ESRCH, "container not running");
	conn = container_supervisor(&ct);
	ret = conn < 0 ? conn : super_ask_ports(conn, c->arena, &ports, &n);
	if (ret)
		return ret;
	return o->json ? print_json(c, ports, n) : print_table(ports, n);
}

const struct command cmd_ports = {
	.name = "ports",
	.args = "ID",
	.summary = "list the ports of a container that has them remapped",
	.text = "Lists the sockets of a container with the annotation run.thole.ports=remap that are "
		"bound: the port that they have to the container (virtual), and the one they have "
		"on the host (real).",
	.opts = CMD_OPTS(ports_rows),
	.size = sizeof(struct ports_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_ports,
};
