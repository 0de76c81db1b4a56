/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of a running command against a server that says what the fuzzer likes. The first
 * byte says how much of it came with the handshake. Every byte of output must arrive, in order.
 */
#include <sys/socket.h>

#include "cli/frame.h"
#include "cli/stream.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_MAX = 1 << 15 };

/* What the frames up to the last one say on a channel. */
static size_t said(const uint8_t *data, size_t size, uint8_t channel, char *out)
{
	size_t len = 0;
	struct cx_frame f;
	struct cx_err err;
	int n;

	while ((n = cx_frame_peek(data, size, &f, &err)) > 0 &&
	       (f.channel == CX_CHANNEL_STDOUT || f.channel == CX_CHANNEL_STDERR ||
		f.channel == CX_CHANNEL_STARTED)) {
		if (f.channel == channel) {
			memcpy(out + len, f.data, f.len);
			len += f.len;
		}
		data += n;
		size -= (size_t)n;
	}
	return len;
}

static void look_at(int fd, const uint8_t *data, size_t size, uint8_t channel)
{
	static char want[STREAM_MAX], got[STREAM_MAX + 1];
	size_t len = said(data, size, channel, want);
	ssize_t n = pread(fd, got, sizeof got, 0);

	if (n < 0 || (size_t)n != len || memcmp(want, got, len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int out = -1, errors = -1;
	struct cx_stream stream = { .signals = -1, .in = -1 };
	struct input in = { data, size };
	size_t early = take_byte(&in);
	struct cx_err err;
	int pair[2], status;

	if (in.left > STREAM_MAX)
		return 0;
	if (out < 0) {
		out = memory_file();
		errors = memory_file();
	}
	fill_file(out, NULL, 0);
	fill_file(errors, NULL, 0);
	early = early < in.left ? early : in.left;
	stream.first.max = 256;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    (early > 0 && cx_buf_add(&stream.first, in.p, early, &err) < 0) ||
	    (in.left > early &&
	     send(pair[1], in.p + early, in.left - early, 0) != (ssize_t)(in.left - early)) ||
	    shutdown(pair[1], SHUT_WR) < 0)
		abort();
	stream.sock = pair[0];
	stream.out = out;
	stream.err = errors;
	status = cx_stream_run(&stream, &err);
	if (status < 0 ? err.errnum == 0 : status > 255)
		abort();
	look_at(out, in.p, in.left, CX_CHANNEL_STDOUT);
	look_at(errors, in.p, in.left, CX_CHANNEL_STDERR);
	cx_buf_free(&stream.first);
	if (close(pair[0]) < 0 || close(pair[1]) < 0)
		abort();
	return 0;
}
