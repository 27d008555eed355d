/* SPDX-License-Identifier: Apache-2.0 */
/* Flags that create, run and restore have in common. */
#include "oci/birth.h"
#include "oci/cmd.h"

#define AT(member) offsetof(struct create_options, member)

static const struct opt rows[] = {
	{ "bundle", 'b', OPT_TEXT, AT(bundle), "DIR", "the bundle (default: the working directory)",
	  NULL },
	{ "config", 'f', OPT_TEXT, AT(config), "FILE",
	  "its configuration (default: config.json in the bundle)", NULL },
	{ "pid-file", 0, OPT_TEXT, AT(pid_file), "FILE",
	  "write the pid of the container's first process to FILE", NULL },
	{ "console-socket", 0, OPT_TEXT, AT(console_socket), "PATH",
	  "send the master of the container's terminal to this socket", NULL },
	{ "pidfd-socket", 0, OPT_TEXT, AT(pidfd_socket), "PATH",
	  "send a pidfd of the first process to this socket", NULL },
	{ "preserve-fds", 0, OPT_COUNT, AT(preserve_fds), "N",
	  "pass N descriptors from 3 on (behind those of LISTEN_FDS)", NULL },
	{ "no-pivot", 0, OPT_FLAG, AT(no_pivot), NULL,
	  "change the root by chroot, for a root file system that can't be pivoted", NULL },
	{ "no-new-keyring", 0, OPT_FLAG, AT(no_new_keyring), NULL,
	  "keep the caller's session keyring", NULL },
};

const struct opt_table birth_opts = CMD_OPTS(rows);

static const struct opt run_rows[] = {
	{ "detach", 'd', OPT_FLAG, AT(detach), NULL, "return when the container runs", NULL },
	{ "keep", 0, OPT_FLAG, AT(keep), NULL, "do not delete the container when it has ended",
	  NULL },
	{ "no-subreaper", 0, OPT_FLAG, AT(no_subreaper), NULL,
	  "do not adopt the container's orphans", NULL },
};

const struct opt_table birth_run_opts = CMD_OPTS_ALSO(run_rows, birth_opts);
