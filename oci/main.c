/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the command, reads its options, runs it, and tells once what went wrong. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/cmd.h"

static const char *const format_words[] = { "text", "json", NULL };
static const char *const level_words[] = { "error", "warning", "info", "debug", NULL };
static const char *const manager_words[] = { "cgroupfs", "systemd", "disabled", NULL };

#define AT(member) offsetof(struct cmd_globals, member)

static const struct opt global_rows[] = {
	{ "root", 0, OPT_TEXT, AT(root), "DIR",
	  "where containers are remembered (default: /run/thole, or $XDG_RUNTIME_DIR/thole for an "
	  "ordinary user)",
	  NULL },
	{ "log", 0, OPT_TEXT, AT(log), "FILE",
	  "append messages to FILE (also file:PATH, journald:NAME, syslog:NAME); errors go to "
	  "standard error as well",
	  NULL },
	{ "log-format", 0, OPT_TEXT, AT(log_format), "text|json", "the form of the log",
	  format_words },
	{ "log-level", 0, OPT_TEXT, AT(log_level), "error|warning|info|debug",
	  "how much is logged (default: error in a log file, warning on standard error)",
	  level_words },
	{ "debug", 0, OPT_FLAG, AT(debug), NULL, "the same as --log-level debug", NULL },
	{ "systemd-cgroup", 0, OPT_FLAG, AT(systemd_cgroup), NULL,
	  "let systemd make the cgroups; remembered for the container", NULL },
	{ "cgroup-manager", 0, OPT_TEXT, AT(cgroup_manager), "cgroupfs|systemd|disabled",
	  "who makes the cgroups; remembered for the container", manager_words },
	{ "version", 'v', OPT_FLAG, AT(version), NULL, "print what this is and end", NULL },
	{ "rootless", 0, OPT_SKIP_TEXT, 0, "BOOL", NULL, NULL },
	{ "criu", 0, OPT_SKIP_TEXT, 0, "PATH", NULL, NULL },
};

static const struct opt_table globals = CMD_OPTS_IN_ORDER(global_rows);

static const struct command *const commands[] = {
	&cmd_create,  &cmd_start,  &cmd_run,      &cmd_exec,   &cmd_state, &cmd_list,
	&cmd_kill,    &cmd_delete, &cmd_pause,    &cmd_resume, &cmd_ps,    &cmd_events,
	&cmd_update,  &cmd_spec,   &cmd_features, &cmd_policy, &cmd_why,   &cmd_checkpoint,
	&cmd_restore, &cmd_image,  &cmd_ports,    &cmd_cow,
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int flushed(void)
{
	if (fflush(stdout) == EOF)
		return fail_errno("write to standard output");
	return 0;
}

static int help(void)
{
	fputs("Usage: thole [options] COMMAND [options] [ID] ...\n\n"
	      "Runs containers from OCI bundles, confined by Landlock and seccomp.\n\n"
	      "Commands:\n",
	      stdout);
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-12s%s\n", commands[i]->name, commands[i]->summary);
	opts_help(stdout, &globals);
	fputs("\n\"thole COMMAND --help\" tells more about a command.\n", stdout);
	return flushed();
}

static int command_help(const struct command *cmd)
{
	printf("Usage: thole %s [options]%s%s\n\n", cmd->name, *cmd->args ? " " : "", cmd->args);
	if (cmd->text)
		opts_wrap(stdout, cmd->text, 0, 0);
	else
		printf("%c%s.\n", toupper((unsigned char)cmd->summary[0]), cmd->summary + 1);
	opts_help(stdout, &cmd->opts);
	return flushed();
}

static int open_log(const struct cmd_globals *g)
{
	bool json = g->log_format && strcmp(g->log_format, "json") == 0;
	enum log_level level = g->log ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING;

	for (int i = 0; g->log_level && level_words[i]; i++)
		if (strcmp(g->log_level, level_words[i]) == 0)
			level = (enum log_level)i;
	log_set_level(g->debug ? LOG_LEVEL_DEBUG : level);
	if (!g->log || log_open(g->log, json) == 0)
		return 0;
	/* the reason stays out: callers look for words like it in what a failing command prints */
	log_open(NULL, false);
	log_warning("the log %s can't be opened, messages go to standard error", g->log);
	err_clear();
	return 0;
}

static int check_args(const struct command *cmd, const struct cmd *c)
{
	if (c->n_args < cmd->min_args)
		return fail(EINVAL, "%s needs %s: thole %s [options] %s", cmd->name,
			    cmd->min_args == 1 ? "an argument" : "more arguments", cmd->name,
			    cmd->args);
	if (c->n_args > cmd->max_args)
		return fail(EINVAL, "%s takes no argument \"%s\": thole %s [options] %s", cmd->name,
			    c->args[cmd->max_args], cmd->name, cmd->args);
	return 0;
}

static int run_command(const struct command *cmd, struct cmd *c, char *const *args)
{
	void *options = arena_alloc(c->arena, cmd->size ? cmd->size : 1);
	int ret = opts_parse(c->arena, &cmd->opts, args, options, &c->args);

	if (ret > 0)
		return command_help(cmd);
	if (ret < 0)
		return fail_in(ret, "%s", cmd->name);
	while (c->args[c->n_args])
		c->n_args++;
	ret = check_args(cmd, c);
	return ret ? ret : cmd->run(c, options);
}

static int dispatch(struct arena *a, char *const *argv, int *out_failure)
{
	struct cmd_globals global = { 0 };
	struct cmd c = { .arena = a, .global = &global, .argv = argv, .root = -1 };
	const struct command *cmd;
	char **rest;
	int ret;

	ret = opts_parse(a, &globals, argv + 1, &global, &rest);
	if (ret < 0) {
		open_log(&global);
		return ret;
	}
	if (ret > 0)
		return help();
	if (global.version) {
		cmd_print_version();
		return flushed();
	}
	if (!rest[0])
		return help();
	open_log(&global);
	if (strcmp(rest[0], "help") == 0) {
		cmd = rest[1] ? find_command(rest[1]) : NULL;
		if (cmd || !rest[1])
			return cmd ? command_help(cmd) : help();
		rest++;
	}
	cmd = find_command(rest[0]);
	if (!cmd)
		return fail(EINVAL, "unknown command \"%s\"; see thole --help", rest[0]);
	*out_failure = cmd->failure;
	return run_command(cmd, &c, rest + 1);
}

/* One line, whatever a file name or a helper's output brought in. */
static void report(void)
{
	char text[ERR_TEXT_MAX];
	size_t n = 0;

	for (const char *p = err_last()->text; *p && n + 1 < sizeof(text); p++)
		text[n++] = (unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p;
	text[n] = '\0';
	log_error("%s", n ? text : "unknown error");
}

static void on_failed_write(int sig)
{
	(void)sig;
}

/* A descriptor of ours must not become a standard stream that the caller had closed. */
static void guard_standard_fds(void)
{
	int fd;

	for (fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(1);
}

int main(int argc, char **argv)
{
	/* a handler, where SIG_IGN would be inherited by the container through execve(2) */
	struct sigaction quiet = { .sa_handler = on_failed_write, .sa_flags = SA_RESTART };
	auto_arena a = arena_new();
	int failure = 1;
	int ret;

	(void)argc;
	guard_standard_fds();
	sigaction(SIGPIPE, &quiet, NULL);
	sigaction(SIGXFSZ, &quiet, NULL); /* write(2) says EFBIG */
	signal(SIGCHLD, SIG_DFL);         /* ignored by the caller, no child could be waited for */
	if (!argv[0])
		return 1;
	log_hold();
	ret = dispatch(a, argv, &failure);
	log_release(ret >= 0);
	if (ret >= 0)
		return ret;
	report();
	return failure ? failure : 1;
}
