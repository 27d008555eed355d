/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Not CRIU. It answers the one question that engines put to a program of that name before they let
 * any runtime checkpoint a container: which version are you? podman (and CRI-O, and containerd's
 * CRI) run "criu swrk FD" for it, although their runtime may need no CRIU, as thole does not; there
 * is no setting to leave the question out.
 *
 * It is a program of its own, and no mode of thole: a runtime should not become something else by
 * the name that it is called by, and this one is to be found by nobody but who was told of it. It
 * is installed as $(libexecdir)/thole/criu, in a directory that is in no PATH; thole.conf puts that
 * directory at the end of podman's, where a real CRIU comes first.
 *
 * FD is a SOCK_SEQPACKET socket, every message a protobuf. Of a request (CriuReq) field 1 is its
 * type and field 5 the features asked for; of an answer (CriuResp) 1 is the type, 2 success, 7 an
 * errno, 8 features, 9 a text, 10 the version, which has 1 major, 2 minor and 6 a name. What it
 * can't answer it refuses, so that a runtime that does use CRIU fails with a reason.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The lowest that every engine is content with: restoring into a pod takes it. */
#define MAJOR 3
#define MINOR 16

#define NAME "thole's responder, not CRIU"

enum request { REQ_EMPTY = 0, REQ_FEATURES = 9, REQ_VERSION = 10 };

#define MESSAGE_MAX 8192

struct reader {
	const unsigned char *at, *end;
};

struct message {
	unsigned char buf[256];
	size_t len;
};

static bool get_varint(struct reader *r, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64 && r->at < r->end; shift += 7) {
		v |= (uint64_t)(*r->at & 0x7f) << shift;
		if (!(*r->at++ & 0x80)) {
			*out = v;
			return true;
		}
	}
	return false;
}

static bool skip_bytes(struct reader *r, uint64_t n)
{
	if (n > (uint64_t)(r->end - r->at))
		return false;
	r->at += n;
	return true;
}

/* The type of a request, REQ_EMPTY where it has none. False: it is none. */
static bool read_type(const unsigned char *buf, size_t len, uint64_t *out)
{
	struct reader r = { buf, buf + len };
	uint64_t key, v;
	bool fits = true;

	*out = REQ_EMPTY;
	while (fits && r.at < r.end) {
		if (!get_varint(&r, &key))
			return false;
		switch (key & 7) {
		case 0:
			fits = get_varint(&r, &v);
			if (fits && key >> 3 == 1)
				*out = v;
			break;
		case 1:
			fits = skip_bytes(&r, 8);
			break;
		case 2:
			fits = get_varint(&r, &v) && skip_bytes(&r, v);
			break;
		case 5:
			fits = skip_bytes(&r, 4);
			break;
		default:
			return false;
		}
	}
	return fits;
}

static void put_varint(struct message *m, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		m->buf[m->len++] = (unsigned char)(v | 0x80);
	m->buf[m->len++] = (unsigned char)v;
}

static void put_number(struct message *m, unsigned int field, uint64_t v)
{
	put_varint(m, field << 3);
	put_varint(m, v);
}

static void put_bytes(struct message *m, unsigned int field, const void *data, size_t len)
{
	put_varint(m, field << 3 | 2);
	put_varint(m, len);
	memcpy(m->buf + m->len, data, len);
	m->len += len;
}

static void answer(struct message *out, uint64_t type)
{
	static const char refusal[] = NAME ": it only tells a version";
	struct message inner = { .len = 0 };

	put_number(out, 1, type);
	put_number(out, 2, type == REQ_VERSION || type == REQ_FEATURES);
	switch (type) {
	case REQ_VERSION:
		put_number(&inner, 1, MAJOR);
		put_number(&inner, 2, MINOR);
		put_bytes(&inner, 6, NAME, strlen(NAME));
		put_bytes(out, 10, inner.buf, inner.len);
		break;
	case REQ_FEATURES:
		/* that a kernel can't track memory thole says when it is asked to */
		put_number(&inner, 1, 1);
		put_bytes(out, 8, inner.buf, inner.len);
		break;
	default:
		put_number(out, 7, ENOTSUP);
		put_bytes(out, 9, refusal, strlen(refusal));
	}
}

/* Until the other end is closed. */
static int serve(int sock)
{
	unsigned char in[MESSAGE_MAX];
	uint64_t type;
	ssize_t n;

	for (;;) {
		struct message out = { .len = 0 };

		n = recv(sock, in, sizeof(in), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (!read_type(in, (size_t)n, &type)) {
			fprintf(stderr, "criu (%s): a request of %zd bytes is no protobuf\n", NAME,
				n);
			return 1;
		}
		answer(&out, type);
		if (send(sock, out.buf, out.len, MSG_NOSIGNAL) < 0)
			break;
	}
	if (n == 0)
		return 0;
	fprintf(stderr, "criu (%s): descriptor %d: %s\n", NAME, sock, strerror(errno));
	return 1;
}

static int tell(FILE *out)
{
	fprintf(out,
		"criu: " NAME "\n"
		"It tells podman, CRI-O and containerd, which ask \"criu swrk FD\" before a runtime may\n"
		"checkpoint, that there is a version %d.%d; thole itself uses no CRIU. Nothing else works.\n",
		MAJOR, MINOR);
	return fflush(out) == EOF;
}

static bool parse_fd(const char *text, int *out)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < 0 || v > 1 << 20)
		return false;
	*out = (int)v;
	return true;
}

int main(int argc, char **argv)
{
	int sock;

	if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 ||
			  strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return tell(stdout);
	if (argc == 3 && strcmp(argv[1], "swrk") == 0 && parse_fd(argv[2], &sock))
		return serve(sock);
	tell(stderr);
	return 2;
}
