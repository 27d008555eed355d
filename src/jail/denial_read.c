/* SPDX-License-Identifier: Apache-2.0 */
/* The places where records of denials are kept. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "jail/denial.h"

#define LINE_SIZE 8192 /* more than the kernel puts into one line (CONSOLE_EXT_LOG_MAX) */
#define AUDIT_FILE "/var/log/audit/audit.log"

struct reader {
	void (*each)(void *arg, const struct denial_record *record);
	void *arg;
};

static void take(const struct reader *r, const char *line)
{
	struct denial_record record;

	if (denial_parse(line, &record))
		r->each(r->arg, &record);
}

/* The clock of the log starts with the machine. */
static uint64_t boot_ms(void)
{
	struct timespec now, up;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_MONOTONIC, &up);
	return (uint64_t)((now.tv_sec - up.tv_sec) * 1000 + (now.tv_nsec - up.tv_nsec) / 1000000);
}

/* printk_ratelimit() on the way from the audit queue to the log */
static uint64_t dropped_of(const char *text)
{
	unsigned long long n = 0;

	return sscanf(text, "kauditd_printk_skb: %20llu callbacks suppressed", &n) == 1 ? n : 0;
}

/* "6,339,5140900,-;text": priority, number, microseconds. dev-kmsg */
static void read_log(const struct reader *r, uint64_t since, struct denial_sources *out)
{
	auto_fd fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	unsigned long long number, us;
	char line[LINE_SIZE], *text;
	ssize_t n;

	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return;
	for (;;) {
		n = read(fd, line, sizeof(line) - 1);
		if (n < 0 &&
		    (errno == EPIPE || errno == EINTR)) /* overwritten: the next is there */
			continue;
		if (n <= 0)
			break;
		line[n] = '\0';
		text = strchr(line, ';');
		if (!text || sscanf(line, "%*u,%20llu,%20llu", &number, &us) != 2)
			continue;
		if (!out->log) {
			out->log = true;
			out->log_begins = number == 0;
			out->log_ms = boot_ms() + us / 1000;
		}
		text[1 + strcspn(text + 1, "\n")] = '\0';
		take(r, text + 1);
		if (boot_ms() + us / 1000 >= since)
			out->dropped += dropped_of(text + 1);
	}
}

static void read_file(const struct reader *r, struct denial_sources *out)
{
	FILE *file = fopen(AUDIT_FILE, "re");
	char line[LINE_SIZE];

	if (!file)
		return;
	out->file = true;
	while (fgets(line, sizeof(line), file))
		take(r, line);
	fclose(file);
}

/* Asks the kernel for struct audit_status. Takes CAP_AUDIT_CONTROL of the host. */
static int ask_status(struct audit_status *out)
{
	struct {
		struct nlmsghdr head;
		char body[256];
	} m = { .head = { .nlmsg_len = NLMSG_LENGTH(0),
			  .nlmsg_type = AUDIT_GET,
			  .nlmsg_flags = NLM_F_REQUEST,
			  .nlmsg_seq = 1 } };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = 1 };
	auto_fd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
	struct nlmsgerr error;
	size_t len;
	ssize_t n;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (sendto(fd, &m, m.head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	n = recv(fd, &m, sizeof(m), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(0))
		return -EPROTO;
	len = (size_t)n - NLMSG_LENGTH(0);
	if (m.head.nlmsg_type == NLMSG_ERROR && len >= sizeof(error)) {
		memcpy(&error, m.body, sizeof(error));
		return error.error ? error.error : -EPROTO;
	}
	if (m.head.nlmsg_type != AUDIT_GET || len < offsetof(struct audit_status, rate_limit))
		return -EPROTO;
	memcpy(out, m.body, len < sizeof(*out) ? len : sizeof(*out));
	return 0;
}

void denial_read(uint64_t since, struct denial_sources *out,
		 void (*each)(void *arg, const struct denial_record *record), void *arg)
{
	const struct reader r = { each, arg };
	struct audit_status status = { 0 };
	int ret = ask_status(&status);

	*out = (struct denial_sources){ .audit = ret ? ret : status.enabled != 0,
					.daemon = status.pid != 0 };
	read_file(&r, out);
	read_log(&r, since, out);
}
