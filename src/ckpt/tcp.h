/* SPDX-License-Identifier: Apache-2.0 */
/* Established connections of TCP: TCP_REPAIR of linux/tcp.h. */
#ifndef CKPT_TCP_H
#define CKPT_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "ckpt/record.h"

struct ckpt;
struct ckpt_file;

struct tcp_state {
	uint32_t mss, options; /* TCPI_OPT_* */
	uint32_t send_scale, receive_scale, timestamp;
	uint32_t send_seq, receive_seq; /* of the first byte of the queues */
	uint32_t sent, unsent,
		received;       /* bytes in the queues: sent ones that are not acknowledged */
	uint32_t window[5];     /* struct tcp_repair_window */
	bool ended, peer_ended; /* nothing more is sent; nothing more comes behind what is queued */
};

extern const struct record_table tcp_state_table;

/* Dump: between these two the connection stands still. 0 or -errno with a text. */
int tcp_hold(int fd);
int tcp_let_go(int fd);

/* Dump, held: all there is; the bytes go to a file of the image. */
int tcp_save(struct ckpt *c, const struct ckpt_file *f, int fd, struct tcp_state *out);

/* Restore: makes a fresh socket the end of that connection, and lets it go on. */
int tcp_connect(int fd, const struct tcp_state *s, const struct sockaddr *local,
		const struct sockaddr *peer, socklen_t len);
int tcp_resume(struct ckpt *c, const struct ckpt_file *f, const struct tcp_state *s);

/* The state of the other end of a connection where nobody has that end any more: nothing is
 * queued. */
struct tcp_state tcp_mirrored(const struct tcp_state *s);

#endif
