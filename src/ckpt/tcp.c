/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/tcp.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/kind.h"

#define QUEUE_MAX (64u << 20)
#define WINDOW_SCALE_MAX 14
#define REPAIR_OFF_QUIETLY (-1) /* TCP_REPAIR_OFF_NO_WP: sends nothing */

/* linux/tcp.h, which clashes with netinet/tcp.h */
#ifndef TCP_REPAIR_WINDOW
#define TCP_REPAIR_WINDOW 29
#endif

static const struct record_field rows[] = {
	RECORD(U, struct tcp_state, "mss", mss),
	RECORD(HEX, struct tcp_state, "options", options),
	RECORD(U, struct tcp_state, "sendScale", send_scale, RECORD_MAX(WINDOW_SCALE_MAX)),
	RECORD(U, struct tcp_state, "receiveScale", receive_scale, RECORD_MAX(WINDOW_SCALE_MAX)),
	RECORD(U, struct tcp_state, "timestamp", timestamp),
	RECORD(U, struct tcp_state, "sendSequence", send_seq),
	RECORD(U, struct tcp_state, "receiveSequence", receive_seq),
	RECORD(U, struct tcp_state, "sent", sent, RECORD_MAX(QUEUE_MAX)),
	RECORD(U, struct tcp_state, "unsent", unsent, RECORD_MAX(QUEUE_MAX)),
	RECORD(U, struct tcp_state, "received", received, RECORD_MAX(QUEUE_MAX)),
	RECORD(U, struct tcp_state, "windowUpdate", window[0]),
	RECORD(U, struct tcp_state, "sendWindow", window[1]),
	RECORD(U, struct tcp_state, "largestWindow", window[2]),
	RECORD(U, struct tcp_state, "receiveWindow", window[3]),
	RECORD(U, struct tcp_state, "receiveWindowUpdate", window[4]),
	RECORD(BOOL, struct tcp_state, "ended", ended, RECORD_OPTIONAL),
	RECORD(BOOL, struct tcp_state, "peerEnded", peer_ended, RECORD_OPTIONAL),
};
const struct record_table tcp_state_table = RECORD_TABLE(struct tcp_state, rows);

static int set(int fd, int name, const char *what, const void *value, size_t len)
{
	return setsockopt(fd, IPPROTO_TCP, name, value, (socklen_t)len) < 0
		       ? fail_errno("set %s of a connection", what)
		       : 0;
}

static int get(int fd, int name, const char *what, void *out, size_t size)
{
	socklen_t len = (socklen_t)size;

	return getsockopt(fd, IPPROTO_TCP, name, out, &len) < 0
		       ? fail_errno("ask for %s of a connection", what)
		       : 0;
}

static int repair(int fd, int value)
{
	return set(fd, TCP_REPAIR, "TCP_REPAIR", &value, sizeof(value));
}

int tcp_hold(int fd)
{
	return repair(fd, 1);
}

int tcp_let_go(int fd)
{
	return repair(fd, REPAIR_OFF_QUIETLY);
}

static int choose(int fd, int queue)
{
	return set(fd, TCP_REPAIR_QUEUE, "TCP_REPAIR_QUEUE", &queue, sizeof(queue));
}

static const char *data_name(struct ckpt *c, const struct ckpt_file *f)
{
	return arena_printf(c->arena, "tcp.%u.data", f->id);
}

/* The chosen queue: the number after its last byte, and its bytes. */
static int look(int fd, int queue, uint32_t *out_end, char *buf, size_t len)
{
	int ret = choose(fd, queue);
	ssize_t n;

	if (!ret)
		ret = get(fd, TCP_QUEUE_SEQ, "TCP_QUEUE_SEQ", out_end, sizeof(*out_end));
	if (ret || !len)
		return ret;
	n = recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return fail_errno("look into the queue of a connection");
	return (size_t)n == len
		       ? 0
		       : fail(EIO, "a queue of a connection has %zd bytes instead of %zu", n, len);
}

int tcp_save(struct ckpt *c, const struct ckpt_file *f, int fd, struct tcp_state *out)
{
	struct tcp_info info = { 0 };
	int in, queued, unsent, ret;
	char *buf;

	if (ioctl(fd, SIOCINQ, &in) < 0 || ioctl(fd, SIOCOUTQ, &queued) < 0 ||
	    ioctl(fd, SIOCOUTQNSD, &unsent) < 0)
		return fail_errno("ask for the queues of a connection");
	if (in < 0 || unsent < 0 || queued < unsent || (unsigned)in > QUEUE_MAX ||
	    (unsigned)queued > QUEUE_MAX)
		return fail(E2BIG, "a connection has %d and %d bytes in its queues", in, queued);
	buf = arena_alloc(c->arena, (size_t)in + (size_t)queued + 1);
	ret = look(fd, TCP_RECV_QUEUE, &out->receive_seq, buf, (size_t)in);
	if (!ret)
		ret = look(fd, TCP_SEND_QUEUE, &out->send_seq, buf + in, (size_t)queued);
	if (!ret)
		ret = get(fd, TCP_INFO, "TCP_INFO", &info, sizeof(info));
	if (!ret)
		ret = get(fd, TCP_MAXSEG, "TCP_MAXSEG", &out->mss, sizeof(out->mss));
	if (!ret)
		ret = get(fd, TCP_TIMESTAMP, "TCP_TIMESTAMP", &out->timestamp,
			  sizeof(out->timestamp));
	if (!ret)
		ret = get(fd, TCP_REPAIR_WINDOW, "TCP_REPAIR_WINDOW", out->window,
			  sizeof(out->window));
	if (ret)
		return ret;
	out->ended = info.tcpi_state == TCP_FIN_WAIT2;
	out->peer_ended = info.tcpi_state == TCP_CLOSE_WAIT;
	/* the end takes a number, too, and comes anew */
	out->receive_seq -= out->peer_ended;
	out->send_seq -= out->ended;
	if ((int32_t)(out->window[4] - out->receive_seq) > 0)
		out->window[4] = out->receive_seq;
	out->receive_seq -= (uint32_t)in;
	out->send_seq -= (uint32_t)queued;
	out->received = (uint32_t)in;
	out->unsent = (uint32_t)unsent;
	out->sent = (uint32_t)(queued - unsent);
	out->options = info.tcpi_options;
	out->send_scale = info.tcpi_snd_wscale;
	out->receive_scale = info.tcpi_rcv_wscale;
	return in + queued ? image_put(c->writer, data_name(c, f), buf, (size_t)(in + queued)) : 0;
}

/* ---- restore */

static int set_sequence(int fd, int queue, uint32_t seq)
{
	int ret = choose(fd, queue);

	return ret ? ret : set(fd, TCP_QUEUE_SEQ, "TCP_QUEUE_SEQ", &seq, sizeof(seq));
}

/* What both ends agreed upon when they met. */
static int set_options(int fd, const struct tcp_state *s)
{
	struct tcp_repair_opt o[4];
	size_t n = 0;

	o[n++] = (struct tcp_repair_opt){ TCPOPT_MAXSEG, s->mss };
	if (s->options & TCPI_OPT_SACK)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_SACK_PERMITTED, 0 };
	if (s->options & TCPI_OPT_WSCALE)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_WINDOW,
						  s->send_scale | s->receive_scale << 16 };
	if (s->options & TCPI_OPT_TIMESTAMPS)
		o[n++] = (struct tcp_repair_opt){ TCPOPT_TIMESTAMP, 0 };
	return set(fd, TCP_REPAIR_OPTIONS, "TCP_REPAIR_OPTIONS", o, n * sizeof(o[0]));
}

int tcp_connect(int fd, const struct tcp_state *s, const struct sockaddr *local,
		const struct sockaddr *peer, socklen_t len)
{
	int ret = tcp_hold(fd);

	if (!ret && bind(fd, local, len) < 0)
		ret = fail_errno("bind an end of a connection");
	if (!ret)
		ret = set_sequence(fd, TCP_SEND_QUEUE, s->send_seq);
	if (!ret)
		ret = set_sequence(fd, TCP_RECV_QUEUE, s->receive_seq);
	if (!ret && connect(fd, peer, len) < 0)
		ret = fail_errno("connect an end of a connection");
	if (!ret)
		ret = set_options(fd, s);
	if (!ret && (s->options & TCPI_OPT_TIMESTAMPS))
		ret = set(fd, TCP_TIMESTAMP, "TCP_TIMESTAMP", &s->timestamp, sizeof(s->timestamp));
	return ret;
}

static int fill(int fd, const char *data, size_t len)
{
	ssize_t n;

	for (size_t at = 0; at < len; at += (size_t)n) {
		n = send(fd, data + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return fail_errno("fill the queue of a connection with %zu bytes", len);
	}
	return 0;
}

/* Before: no more room than it had. It gets its own size again with its options. */
static void widen(int fd)
{
	const int most = QUEUE_MAX;

	/* without the right to it as much as anybody may have; what does not fit fails by itself */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof(most)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &most, sizeof(most)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &most, sizeof(most));
}

int tcp_resume(struct ckpt *c, const struct ckpt_file *f, const struct tcp_state *s)
{
	size_t want = (size_t)s->received + s->sent + s->unsent, len = 0;
	const void *bytes = "";
	const char *data;
	int ret = 0;

	if (want)
		ret = image_get(c->image, data_name(c, f), 2 * (size_t)QUEUE_MAX, &bytes, &len);
	if (!ret && len != want)
		return fail(EBADMSG, "the image: %s has %zu bytes instead of %zu", data_name(c, f),
			    len, want);
	data = bytes;
	widen(f->fd);
	if (!ret)
		ret = choose(f->fd, TCP_RECV_QUEUE);
	if (!ret)
		ret = fill(f->fd, data, s->received);
	if (!ret)
		ret = choose(f->fd, TCP_SEND_QUEUE);
	if (!ret)
		ret = fill(f->fd, data + s->received, s->sent);
	if (!ret)
		ret = set(f->fd, TCP_REPAIR_WINDOW, "TCP_REPAIR_WINDOW", s->window,
			  sizeof(s->window));
	if (!ret)
		ret = repair(f->fd, 0);
	/* what was never sent is sent as anything new is */
	return ret ? ret : fill(f->fd, data + s->received + s->sent, s->unsent);
}

/* What the one end has not got any more has come to this one. */
struct tcp_state tcp_mirrored(const struct tcp_state *s)
{
	return (struct tcp_state){
		.mss = s->mss,
		.options = s->options,
		.send_scale = s->receive_scale,
		.receive_scale = s->send_scale,
		.timestamp = s->timestamp,
		.send_seq = s->receive_seq + s->received,
		.receive_seq = s->send_seq,
		.window = { s->send_seq, s->window[3], s->window[3], s->window[1], s->send_seq },
	};
}
