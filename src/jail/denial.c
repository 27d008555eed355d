/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/denial.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "base/str.h"

#define WORD_MAX_LEN 64

/* Numbers where the kernel's log is read, names in a daemon's file. linux/audit.h */
static const struct name_row types[] = {
	{ "1326", DENIAL_SECCOMP },
	{ "SECCOMP", DENIAL_SECCOMP },
	{ "1423", DENIAL_ACCESS },
	{ "LANDLOCK_ACCESS", DENIAL_ACCESS },
	{ "1424", DENIAL_DOMAIN },
	{ "LANDLOCK_DOMAIN", DENIAL_DOMAIN },
	{ "1300", DENIAL_SYSCALL },
	{ "SYSCALL", DENIAL_SYSCALL },
	/* what daemons that do not know the types yet write */
	{ "UNKNOWN[1423]", DENIAL_ACCESS },
	{ "UNKNOWN[1424]", DENIAL_DOMAIN },
};

/* Where the value of a key begins, or NULL. A quoted value can't hold a quote: it is hex then. */
static const char *find(const char *line, const char *key)
{
	size_t n = strlen(key);
	bool quoted = false;

	for (const char *p = line; *p; p++) {
		if (*p == '"')
			quoted = !quoted;
		if (!quoted && (p == line || p[-1] == ' ') && strncmp(p, key, n) == 0 &&
		    p[n] == '=')
			return p + n + 1;
	}
	return NULL;
}

/* A plain word, up to the next space. */
static bool get_word(const char *line, const char *key, char *out, size_t size)
{
	const char *p = find(line, key);
	size_t n = p ? strcspn(p, " \n") : 0;

	if (!p || n == 0 || n >= size)
		return false;
	memcpy(out, p, n);
	out[n] = '\0';
	return true;
}

static bool get_number(const char *line, const char *key, int base, uint64_t *out)
{
	char word[WORD_MAX_LEN], *end;
	const char *p = word;

	if (!get_word(line, key, word, sizeof(word)))
		return false;
	if (base == 16 && str_starts(p, "0x"))
		p += 2;
	if (!isxdigit((unsigned char)*p))
		return false;
	*out = strtoull(p, &end, base);
	return *end == '\0';
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10
					    : -1;
}

/*
 * A text the kernel does not trust: in quotes, or as hexadecimal bytes where it has a quote, a
 * space or a control character (audit_log_untrustedstring).
 */
static void get_text(const char *line, const char *key, char *out, size_t size)
{
	const char *p = find(line, key);
	size_t n = 0, len;

	out[0] = '\0';
	if (!p || *p == '(') /* "(null)" */
		return;
	if (*p == '"') {
		len = strcspn(++p, "\"");
		n = len < size ? len : size - 1;
		memcpy(out, p, n);
	} else {
		for (; n + 1 < size && hex_digit(p[0]) >= 0 && hex_digit(p[1]) >= 0; p += 2)
			out[n++] = (char)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
	}
	out[n] = '\0';
}

/* "audit(1795330957.490:13):": seconds, milliseconds and serial of the event. */
static bool get_event(const char *line, struct denial_record *r)
{
	unsigned long long seconds, serial;
	unsigned ms;
	const char *p = strstr(line, "audit(");

	if (!p || sscanf(p, "audit(%12llu.%3u:%20llu)", &seconds, &ms, &serial) != 3)
		return false;
	r->ms = seconds * 1000 + ms;
	r->serial = serial;
	return true;
}

static bool read_seccomp(const char *line, struct denial_record *r)
{
	uint64_t arch, nr, code;

	if (!get_number(line, "arch", 16, &arch) || !get_number(line, "syscall", 10, &nr) ||
	    !get_number(line, "code", 16, &code))
		return false;
	r->arch = (uint32_t)arch;
	r->nr = (int)nr;
	r->code = (uint32_t)code;
	return r->pid > 0;
}

static bool read_access(const char *line, struct denial_record *r)
{
	uint64_t port;

	if (!get_number(line, "domain", 16, &r->domain) ||
	    !get_word(line, "blockers", r->blockers, sizeof(r->blockers)))
		return false;
	get_text(line, "path", r->path, sizeof(r->path));
	if (!r->path[0])
		get_text(line, "name", r->path, sizeof(r->path));
	if ((get_number(line, "dest", 10, &port) || get_number(line, "src", 10, &port)) &&
	    port <= UINT16_MAX)
		r->port = (int)port;
	get_text(line, "ocomm", r->other, sizeof(r->other));
	return true;
}

static bool read_domain(const char *line, struct denial_record *r)
{
	char status[WORD_MAX_LEN];

	if (!get_number(line, "domain", 16, &r->domain) ||
	    !get_word(line, "status", status, sizeof(status)))
		return false;
	r->made = strcmp(status, "allocated") == 0;
	return true;
}

bool denial_parse(const char *line, struct denial_record *out)
{
	struct denial_record r = { .port = -1, .nr = -1 };
	const struct name_row *type;
	char word[WORD_MAX_LEN];
	const char *fields;
	uint64_t pid, nr;
	bool whole = true;

	/* "audit: type=..." in the kernel's log, "type=..." in a file */
	if (str_starts(line, "audit: "))
		line += strlen("audit: ");
	if (!str_starts(line, "type=") || !get_word(line, "type", word, sizeof(word)))
		return false;
	type = name_find(types, NAME_COUNT(types), word);
	fields = strstr(line, "): ");
	if (!type || !get_event(line, &r) || !fields)
		return false;
	fields += strlen("): ");
	r.kind = (enum denial_kind)type->value;
	if (get_number(fields, "pid", 10, &pid))
		r.pid = (pid_t)pid;
	get_text(fields, "comm", r.comm, sizeof(r.comm));
	get_text(fields, "exe", r.exe, sizeof(r.exe));
	switch (r.kind) {
	case DENIAL_SECCOMP:
		whole = read_seccomp(fields, &r);
		break;
	case DENIAL_ACCESS:
		whole = read_access(fields, &r);
		break;
	case DENIAL_DOMAIN:
		whole = read_domain(fields, &r);
		break;
	case DENIAL_SYSCALL:
		whole = r.pid > 0 && get_number(fields, "syscall", 10, &nr);
		r.nr = whole ? (int)nr : -1;
		break;
	}
	if (whole)
		*out = r;
	return whole;
}
