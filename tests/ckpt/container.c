/* SPDX-License-Identifier: Apache-2.0 */
/* What belongs to the container as a whole: its names, its message queues. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cycle.h"

static void host_name(void)
{
	struct utsname name;

	if (sethostname("changed", 7) < 0)
		cycle_skip("no right to change the host name: %s", strerror(errno));
	must(setdomainname("domain.example", 14));
	cycle();
	must(uname(&name));
	check(strcmp(name.nodename, "changed") == 0, "\"%s\"", name.nodename);
	check(strcmp(name.domainname, "domain.example") == 0, "\"%s\"", name.domainname);
}

static void wants(mqd_t q, const char *text, unsigned priority)
{
	char buf[64] = "";
	unsigned got = 0;
	ssize_t n = mq_receive(q, buf, sizeof(buf), &got);

	check(n == (ssize_t)strlen(text) && memcmp(buf, text, strlen(text)) == 0 && got == priority,
	      "received %zd bytes \"%s\" of priority %u, errno %d", n, buf, got, errno);
}

static void queues(void)
{
	struct mq_attr attr = { .mq_maxmsg = 5, .mq_msgsize = 64 }, is;
	mqd_t q, other, empty;
	struct stat st;

	q = mq_open("/queue", O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
	if (q < 0)
		cycle_skip("no message queues: %s", strerror(errno));
	other = (mqd_t)must(mq_open("/queue", O_RDONLY | O_NONBLOCK));
	empty = (mqd_t)must(
		mq_open("/empty", O_CREAT | O_EXCL | O_RDONLY | O_NONBLOCK, 0640, NULL));
	must(fchmod(empty, 0604));
	must(mq_send(q, "low", 3, 1));
	must(mq_send(q, "high", 4, 9));
	must(mq_send(q, "low again", 9, 1));
	must(mq_send(q, "", 0, 5));
	cycle();
	must(mq_getattr(other, &is));
	check(is.mq_maxmsg == 5 && is.mq_msgsize == 64 && is.mq_curmsgs == 4 &&
		      is.mq_flags == O_NONBLOCK,
	      "%ld messages of %ld, %ld bytes, flags 0x%lx", is.mq_curmsgs, is.mq_maxmsg,
	      is.mq_msgsize, is.mq_flags);
	must(mq_getattr(q, &is));
	check(is.mq_flags == 0, "flags 0x%lx", is.mq_flags);
	wants(other, "high", 9);
	wants(q, "", 5);
	wants(other, "low", 1);
	wants(q, "low again", 1);
	must(fstat(empty, &st));
	check((st.st_mode & 07777) == 0604, "mode 0%o", (unsigned)st.st_mode);
	check(mq_receive(other, (char[64]){ 0 }, 64, NULL) < 0 && errno == EAGAIN,
	      "a message more");
	check(mq_unlink("/queue") == 0 && mq_unlink("/empty") == 0, "unlink: %s", strerror(errno));
}

/* Whom a message would wake can't be saved. */
static void notified(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	mqd_t q = mq_open("/notified", O_CREAT | O_EXCL | O_RDWR, 0600, NULL);

	if (q < 0)
		cycle_skip("no message queues: %s", strerror(errno));
	must(mq_notify(q, &event));
	cycle();
}

const struct cycle_case container_cases[] = {
	{ "host-name", host_name },
	{ "queues", queues },
	{ "queues-notified", notified },
	{ NULL, NULL },
};
