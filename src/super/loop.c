/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the supervisor works.
 *
 * A process under the guard filter (bpf/guard.h) stands still in a call that the filter asks
 * about, until somebody answers on the filter's listener: this loop. It receives one call, looks
 * its handler up, lets it run, and what the handler did not answer the kernel makes after all.
 * Then the next. There is one thread, and calls that wait do so in the kernel, in order. So no
 * handler may wait, whatever the guest does: what would take time is begun and left to the kernel,
 * which is where signals of the guest interrupt it. Those that need a copy which takes long, or
 * memory that another thread provides (absent.h), are put aside (aside.h), and looked at from their
 * beginning once it is there; copies that are many are made a part at a time, in turns between
 * other calls. Until it is received a call is interrupted as one that has not begun (EINTR, or it
 * is made again: SA_RESTART); once it is, by SIGKILL alone (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
 * 5.19), so that what was done for it is told.
 *
 * A handler copies what it needs of the guest once (notif_read, notif_take_fd), asks whether the
 * thread still waits (notif_valid), acts on the copies, and answers. All it keeps is in tables of
 * fixed size, made before the first call.
 *
 * Who saves the container traces its threads, which can have one tracer only: for that time the
 * loop holds still (SUPER_HOLD), and calls wait in the kernel as those that have not begun.
 *
 * Listeners come in over the control socket: init's through the channel that the supervisor was
 * started with, one more for each process of exec. A listener hangs up when the last task under its
 * filter has ended; with the last one, and when the channel is closed too, the supervisor ends.
 */
#include "super/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "super/absent.h"
#include "super/aside.h"
#include "super/clock.h"
#include "super/cow.h"
#include "super/cow_lead.h"
#include "super/follow.h"
#include "super/guest.h"
#include "super/handler.h"
#include "super/notif.h"
#include "super/passed.h"
#include "super/port.h"

#define STRAYS_MS 20  /* between looks at threads that stop late */
#define TURN_AFTER 64 /* rounds in which others were answered */

enum {
	AT_CONTROL,
	AT_CHANNEL,
	AT_FOLLOWED,
	AT_ABSENT,
	AT_COPIES = AT_ABSENT + ABSENT_MAX,
	AT_CLIENTS = AT_COPIES + LAYER_LATE_MAX,
	AT_LISTENERS = AT_CLIENTS + SUPER_CLIENTS_MAX
};

struct loop {
	struct super_state state;
	struct notif_threads threads;
	struct passed passed;
	struct aside aside;
	bool lost; /* its own credentials: guest.h */
	unsigned passed_over;
	const struct super_handler *handlers[SUPER_HANDLERS_MAX];
	size_t n_handlers, n_listeners;
	size_t holder; /* the connection of SUPER_HOLD; 0: there is none */
	bool yields;   /* but calls are received */
	/* by the places above; listeners are kept without gaps */
	struct pollfd polls[AT_LISTENERS + SUPER_LISTENERS_MAX];
};

static volatile sig_atomic_t ended_by;

static void on_end(int sig)
{
	ended_by = sig;
}

static void on_alarm(int sig)
{
	(void)sig;
	follow_collect();
}

static void set_signals(void)
{
	static const int ends[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	struct sigaction end = { .sa_handler = on_end }, alarm = { .sa_handler = on_alarm };
	sigset_t none;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaction(ends[i], &end, NULL);
	sigaction(SIGALRM, &alarm, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* its own limit, which a copy may meet: EFBIG */
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What was passed for a call that is put aside is kept for it. */
static void attend(struct loop *l, struct notif *n)
{
	bool absent;
	uint64_t job;

	for (size_t i = 0; i < l->n_handlers && !n->answered; i++) {
		if (l->handlers[i]->nr != n->nr)
			continue;
		l->handlers[i]->run(&l->state, n);
		/* it comes again */
		n->answered |= l->passed.id == n->id;
	}
	if (!n->answered && l->state.cow)
		cow_lead(&l->state, n);
	if (!n->answered)
		notif_pass(n);
	if (guest_recover())
		l->lost = true;
	absent = absent_take(&job);
	if (!n->later || !aside_put(&l->aside, n, absent ? job : l->state.cow->late.asked))
		passed_end(&l->passed, n);
}

static void answer_call(struct loop *l, int listener)
{
	struct notif n;

	/* it was killed before it could be received */
	if (notif_receive(listener, &l->threads, &n))
		return;
	passed_begin(&l->passed, &n);
	attend(l, &n);
}

static void answer_who_waits(struct loop *l, uint64_t job)
{
	struct notif n;

	for (size_t left = l->aside.n; left > 0 && aside_next(&l->aside, job, &n); left--) {
		if (l->state.cow)
			cow_lead_anew(l->state.cow);
		attend(l, &n);
	}
}

static void answer_put_aside(struct loop *l, size_t copy)
{
	uint64_t job = layer_late_look(&l->state.cow->late, copy);

	answer_who_waits(l, job);
	/* nobody wanted it after all */
	layer_late_drop_id(&l->state.cow->late, job);
}

static void answer_who_waits_for_page(struct loop *l, size_t i)
{
	uint64_t job = absent_look(i);

	answer_who_waits(l, job);
	/* else the place may be another's by now */
	if (job)
		absent_drop(i);
}

/* Who has been killed, or interrupted, waits no more. */
static void tidy_aside(struct loop *l)
{
	struct notif n;

	if (!aside_is_due(&l->aside))
		return;
	while (aside_gone(&l->aside, &n))
		passed_end(&l->passed, &n);
	for (size_t i = 0; l->state.cow && i < LAYER_LATE_MAX; i++)
		if (!aside_has(&l->aside, l->state.cow->late.v[i].id))
			layer_late_drop(&l->state.cow->late, i);
	for (size_t i = 0; i < ABSENT_MAX; i++)
		if (!aside_has(&l->aside, absent_job(i)))
			absent_drop(i);
}

static void go_on(struct loop *l)
{
	l->holder = 0;
	l->yields = false;
	follow_go_on(l->state.follow);
}

static void close_at(struct loop *l, size_t at)
{
	if (at == l->holder)
		go_on(l);
	fd_close(l->polls[at].fd);
	l->polls[at].fd = -1;
}

static void drop_listener(struct loop *l, size_t at)
{
	struct notif n;

	while (aside_of(&l->aside, l->polls[at].fd, &n))
		passed_end(&l->passed, &n);
	close_at(l, at);
	l->polls[at] = l->polls[AT_LISTENERS + --l->n_listeners];
	/* pidfds of what has ended need not wait for others to take their place */
	notif_threads_close(&l->threads);
}

static bool is_listener(int fd)
{
	uint64_t none = 0;

	return ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &none) < 0 && errno == ENOENT;
}

static int adopt(struct loop *l, int *fd)
{
	if (*fd < 0 || !is_listener(*fd))
		return EINVAL;
	if (l->state.cow && !cow_complete(l->state.cow))
		return ENODEV;
	if (l->n_listeners == SUPER_LISTENERS_MAX)
		return ENFILE;
	notif_prepare(*fd);
	if (l->state.clock)
		clock_begin(l->state.clock);
	l->polls[AT_LISTENERS + l->n_listeners++] =
		(struct pollfd){ .fd = fd_take(fd), .events = POLLIN };
	return 0;
}

/* A request with what came along, and its answer with what goes along. */
struct exchange {
	union {
		struct super_request request;
		struct super_place place;
		struct super_put_port port;
		struct super_side side;
	} in;
	size_t len;
	int fds[1 + SUPER_MAP_MAX];
	size_t n_fds;
	struct super_reply reply;
	int file;
};

/* It goes out in a file: whoever asks can't make the supervisor wait. */
static int tell(struct exchange *x, const void *list, size_t n, size_t size)
{
	auto_fd file = memfd_create("answer", MFD_CLOEXEC);
	int ret = file < 0 ? -errno : fd_write_all(file, list, n * size);

	if (ret)
		return -ret;
	x->reply.count = (uint32_t)n;
	x->file = fd_take(&file);
	return 0;
}

static int tell_ports(struct loop *l, struct exchange *x)
{
	struct ports *p = l->state.ports;

	return p ? tell(x, p->list, ports_list(p), sizeof(p->list[0])) : ENOTSUP;
}

static int tell_clock(struct loop *l, struct exchange *x)
{
	const struct clock *c = l->state.clock;
	struct super_time added;

	if (!c || !c->set)
		return ENOTSUP;
	added = (struct super_time){ .sec = c->offset.sec, .nsec = c->offset.nsec };
	return tell(x, &added, 1, sizeof(added));
}

static int hold(struct loop *l, size_t at, struct exchange *x)
{
	if (l->holder && l->holder != at)
		return EBUSY;
	l->holder = at;
	l->yields = false;
	x->reply.count = (uint32_t)(inject_tend(&l->state.strays) + follow_let_go(l->state.follow));
	return 0;
}

static int yield(struct loop *l, size_t at, pid_t tid)
{
	struct notif n;

	if (l->holder != at)
		return EINVAL;
	l->yields = true;
	if (!l->state.cow)
		return 0;
	cow_yield(l->state.cow, tid);
	while (aside_of_thread(&l->aside, tid, &n)) {
		notif_answer(&n, -NOTIF_RESTART);
		passed_end(&l->passed, &n);
	}
	return 0;
}

static int tell_side(struct loop *l, struct exchange *x)
{
	const struct super_side *s = &x->in.side;
	int fd;

	if (x->len != sizeof(*s) || !l->state.cow)
		return EINVAL;
	fd = cow_side(l->state.cow, s->request.index, s->side);
	x->file = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return ENOENT;
	return x->file < 0 ? errno : 0;
}

static int tell_number(struct exchange *x)
{
	x->reply.count = (uint32_t)getpid();
	return 0;
}

static int end_hold(struct loop *l, size_t at)
{
	if (l->holder != at)
		return EINVAL;
	go_on(l);
	return 0;
}

/* Up to where a process could have been asked, the container's user namespace is not joined: what
 * is copied for this is made as the process itself. */
static int find_place(struct loop *l, struct exchange *x)
{
	const struct super_place *p = &x->in.place;
	int fd;

	if (x->len != sizeof(*p) || !l->state.cow || !memchr(p->path, '\0', sizeof(p->path)))
		return EINVAL;
	fd = p->request.op == SUPER_PLACE ? cow_place(l->state.cow, p->path)
					  : cow_look(l->state.cow, p->path);
	if (fd >= 0)
		x->file = fd;
	return fd < 0 ? -fd : 0;
}

static int put_port(struct loop *l, struct exchange *x)
{
	if (x->len != sizeof(x->in.port) || !x->n_fds || !l->state.ports)
		return EINVAL;
	return -ports_put(l->state.ports, &x->in.port, x->fds[0]);
}

static int answer_request(struct loop *l, size_t at, struct exchange *x)
{
	const struct super_request *r = &x->in.request;

	if (x->len >= sizeof(*r) && (r->op == SUPER_PLACE || r->op == SUPER_LOOK))
		return find_place(l, x);
	if (x->len >= sizeof(*r) && r->op == SUPER_PUT_PORT)
		return put_port(l, x);
	if (x->len >= sizeof(*r) && r->op == SUPER_SIDE)
		return tell_side(l, x);
	if (x->len != sizeof(*r))
		return EINVAL;
	if (r->op == SUPER_ADOPT)
		return x->n_fds ? adopt(l, &x->fds[0]) : EINVAL;
	if (r->op == SUPER_PORTS)
		return tell_ports(l, x);
	if (r->op == SUPER_CLOCK)
		return tell_clock(l, x);
	if (r->op == SUPER_WHO)
		return tell_number(x);
	if (r->op == SUPER_HOLD)
		return hold(l, at, x);
	if (r->op == SUPER_GO_ON)
		return end_hold(l, at);
	if (r->op == SUPER_YIELD)
		return yield(l, at, (pid_t)r->index);
	if (r->op == SUPER_MAP && at == AT_CHANNEL && l->state.cow)
		return -cow_take(l->state.cow, r->index, x->fds, x->n_fds);
	if (r->op == SUPER_ROOT && at == AT_CHANNEL && l->state.cow)
		return -cow_settle(l->state.cow, x->fds, x->n_fds);
	return EINVAL;
}

static void serve(struct loop *l, size_t at)
{
	struct exchange x = { .n_fds = sizeof(x.fds) / sizeof(x.fds[0]), .file = -1 };
	ssize_t n = fd_recv(l->polls[at].fd, &x.in, sizeof(x.in), x.fds, &x.n_fds);

	guest_pause();
	if (n > 0) {
		x.len = (size_t)n;
		x.reply.error = answer_request(l, at, &x);
	}
	if (guest_recover())
		l->lost = true;
	for (size_t i = 0; n >= 0 && i < x.n_fds; i++)
		fd_close(x.fds[i]);
	if (n <= 0 || fd_send(l->polls[at].fd, &x.reply, sizeof(x.reply), &x.file, x.file >= 0))
		close_at(l, at);
	fd_close(x.file);
}

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       guest_is_trusted(peer.uid);
}

static void let_in(struct loop *l)
{
	auto_fd fd = accept4(l->polls[AT_CONTROL].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (size_t at = AT_CLIENTS; fd >= 0 && at < AT_LISTENERS; at++)
		if (l->polls[at].fd < 0 && may_ask(fd))
			l->polls[at] = (struct pollfd){ .fd = fd_take(&fd), .events = POLLIN };
}

static void look_at(struct loop *l, size_t at)
{
	short what = l->polls[at].revents;

	if (!what)
		return;
	if (at == AT_CONTROL)
		let_in(l);
	else if (at == AT_FOLLOWED)
		follow_look(l->state.follow);
	else if (at >= AT_ABSENT && at < AT_COPIES)
		answer_who_waits_for_page(l, at - AT_ABSENT);
	else if (at >= AT_COPIES && at < AT_CLIENTS)
		answer_put_aside(l, at - AT_COPIES);
	else if (at < AT_LISTENERS)
		serve(l, at);
	else if (what & POLLIN)
		answer_call(l, l->polls[at].fd);
	else
		drop_listener(l, at);
}

/* Copies, and pages that are absent. True if there are any. */
static bool watch_copies(struct loop *l)
{
	bool any = false;

	for (size_t i = 0; i < ABSENT_MAX; i++) {
		l->polls[AT_ABSENT + i].fd = absent_end(i);
		any |= l->polls[AT_ABSENT + i].fd >= 0;
	}
	for (size_t i = 0; l->state.cow && i < LAYER_LATE_MAX; i++) {
		l->polls[AT_COPIES + i].fd = layer_late_end(&l->state.cow->late, i);
		any |= l->polls[AT_COPIES + i].fd >= 0;
	}
	return any;
}

/* Somebody's work is done in parts, between what others ask for. */
static bool goes_on(const struct loop *l)
{
	return l->state.cow && !l->holder && aside_has(&l->aside, LAYER_LATE_TURN);
}

/* When nobody asks for anything, or those who do were many. */
static void take_turn(struct loop *l, bool idle)
{
	if (!idle && ++l->passed_over < TURN_AFTER)
		return;
	l->passed_over = 0;
	answer_who_waits(l, LAYER_LATE_TURN);
}

static int patience(struct loop *l, bool copies)
{
	if (goes_on(l))
		return 0;
	if (inject_tend(&l->state.strays))
		return STRAYS_MS;
	return copies ? ASIDE_MS : -1;
}

static int run(struct loop *l)
{
	while (l->n_listeners || l->polls[AT_CHANNEL].fd >= 0) {
		size_t n = AT_LISTENERS + (l->holder && !l->yields ? 0 : l->n_listeners);

		if (ended_by)
			return fail(EINTR, "it was ended by signal %d", ended_by);
		if (l->lost)
			return fail(EPERM, "its own credentials can't be taken on again");
		bool copies = watch_copies(l);
		int ready = poll(l->polls, n, patience(l, copies));

		if (ready < 0 && errno != EINTR)
			return fail_errno("wait for calls");
		if (copies)
			tidy_aside(l);
		/* backwards: the last one takes the place of one that goes */
		while (n-- > 0)
			look_at(l, n);
		if (goes_on(l))
			take_turn(l, ready == 0);
		if (l->state.cow && !l->aside.n)
			layer_late_rest(&l->state.cow->late);
	}
	return 0;
}

int loop_run(const struct super_config *config, int channel)
{
	auto_arena a = arena_new();
	struct loop *l = arena_alloc(a, sizeof(*l));
	int ret;

	l->state.config = config;
	l->n_handlers = super_handlers(&config->plan, l->handlers);
	if (config->plan.ports)
		l->state.ports = ports_new(a);
	if (config->plan.map) {
		l->state.cow = cow_new(a, config);
		if (!l->state.cow)
			return -err_last()->code;
	}
	set_signals();
	l->state.follow = follow_new(a, &l->state);
	if (!l->state.follow)
		return -err_last()->code;
	if (config->plan.time) {
		l->state.clock = clock_new(a, &l->state);
		if (l->state.cow)
			l->state.cow->clock = l->state.clock;
	}
	notif_threads_init(&l->threads);
	l->passed.strays = &l->state.strays;
	l->threads.passed = &l->passed;
	for (size_t at = 0; at < AT_LISTENERS; at++)
		l->polls[at] = (struct pollfd){ .fd = -1, .events = POLLIN };
	l->polls[AT_CONTROL].fd = config->control;
	l->polls[AT_CHANNEL].fd = channel;
	l->polls[AT_FOLLOWED].fd = l->state.follow->signals;
	ret = run(l);
	if (l->state.cow)
		layer_late_close(&l->state.cow->late);
	absent_close();
	for (size_t at = 0; at < AT_LISTENERS + l->n_listeners; at++)
		close_at(l, at);
	notif_threads_close(&l->threads);
	return ret;
}
