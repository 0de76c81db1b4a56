/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "ssh/inner.h"

void cx_pump_init(struct cx_pump *pump)
{
	pump->in = -EBADF;
	pump->input = (struct cx_buf){ .max = CX_PUMP_INPUT_MAX };
	for (size_t i = 0; i < CX_LEN(pump->out); i++) {
		pump->out[i].fd = -EBADF;
		pump->out[i].left = UINT64_MAX;
		pump->out[i].is_stderr = i == 1;
	}
}

int cx_pump_open(struct cx_pump *pump, int *fds, unsigned n, struct cx_err *err)
{
	pump->opened = true;
	pump->is_socket = n == 1;
	pump->in = cx_take_fd(&fds[0]);
	if (n == 1)
		pump->out[0].fd = fcntl(pump->in, F_DUPFD_CLOEXEC, 3);
	for (unsigned i = 1; i < n; i++)
		pump->out[i - 1].fd = cx_take_fd(&fds[i]);
	if (pump->out[0].fd < 0)
		return cx_fail(err, errno, "duplicate a stream");
	return 0;
}

/* ---- from the client ------------------------------------------------------------------------- */

static void close_input(struct cx_pump *pump)
{
	if (pump->in >= 0 && pump->is_socket)
		(void)shutdown(pump->in, SHUT_WR);
	cx_close(&pump->in);
	cx_buf_free(&pump->input);
	pump->input_at = 0;
}

/*
 * All that libssh holds at once, and nothing before that is gone: it opens its window for more when
 * something was taken, so it would hold ever more of what is taken bit by bit.
 */
static int take_input(struct cx_pump *pump, ssh_channel ssh)
{
	int n = ssh_channel_poll(ssh, 0);
	struct cx_err err;
	char *to;

	if (n <= 0)
		return n;
	to = cx_buf_reserve(&pump->input, (size_t)n, &err);
	if (to == NULL)
		return SSH_ERROR;
	n = ssh_channel_read_nonblocking(ssh, to, (uint32_t)n, 0);
	if (n > 0)
		pump->input.len += (size_t)n;
	return n;
}

/* False: it takes nothing now, or never again. */
static bool write_input(struct cx_pump *pump)
{
	while (pump->input_at < pump->input.len) {
		const char *p = pump->input.p + pump->input_at;
		size_t len = pump->input.len - pump->input_at;
		ssize_t n = pump->is_socket ? send(pump->in, p, len, MSG_DONTWAIT | MSG_NOSIGNAL)
					    : write(pump->in, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			close_input(pump); /* nobody will read it */
		if (n < 0)
			return false;
		pump->input_at += (size_t)n;
	}
	pump->input.len = pump->input_at = 0;
	return true;
}

void cx_pump_from_client(struct cx_pump *pump, ssh_channel ssh)
{
	int n = pump->opened ? 1 : 0;

	while (n > 0 && (pump->in < 0 || write_input(pump))) {
		n = take_input(pump, ssh);
		if (pump->in < 0)
			pump->input.len = 0;
	}
	if (pump->in >= 0 && pump->input_at == pump->input.len && ssh_channel_is_eof(ssh) != 0)
		close_input(pump);
}

/* ---- to the client --------------------------------------------------------------------------- */

static bool may_send(ssh_session session, ssh_channel ssh)
{
	return (ssh_get_poll_flags(session) & SSH_WRITE_PENDING) == 0 &&
	       ssh_channel_window_size(ssh) > 0;
}

/* False: nothing more to be had for now. */
static bool read_piece(const struct cx_pump *pump, struct cx_pump_out *out)
{
	size_t most = out->left < sizeof out->piece ? (size_t)out->left : sizeof out->piece;
	ssize_t n;

	if (out->fd < 0)
		return false;
	do
		n = most == 0	      ? 0
		    : pump->is_socket ? recv(out->fd, out->piece, most, MSG_DONTWAIT)
				      : read(out->fd, out->piece, most);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		cx_close(&out->fd);
		return false;
	}
	if (out->left != UINT64_MAX)
		out->left -= (uint64_t)n;
	out->at = 0;
	out->len = (size_t)n;
	return true;
}

/* False: the client takes nothing now. */
static bool send_piece(struct cx_pump_out *out, ssh_channel ssh)
{
	uint32_t most = ssh_channel_window_size(ssh);
	size_t len = out->len - out->at;
	int n;

	if (len > most)
		len = most;
	if (len == 0)
		return false;
	n = out->is_stderr ? ssh_channel_write_stderr(ssh, out->piece + out->at, (uint32_t)len)
			   : ssh_channel_write(ssh, out->piece + out->at, (uint32_t)len);
	if (n <= 0)
		return false;
	out->at += (size_t)n;
	return true;
}

void cx_pump_to_client(struct cx_pump *pump, ssh_session session, ssh_channel ssh)
{
	if (!may_send(session, ssh))
		return;
	for (size_t i = 0; i < CX_LEN(pump->out); i++) {
		struct cx_pump_out *out = &pump->out[i];

		for (unsigned pieces = 0; pieces < CX_PUMP_PIECES; pieces++)
			if ((out->at == out->len && !read_piece(pump, out)) ||
			    !send_piece(out, ssh))
				break;
	}
}

void cx_pump_limit(struct cx_pump *pump)
{
	for (size_t i = 0; i < CX_LEN(pump->out) && !pump->is_socket; i++) {
		int n = 0;

		if (pump->out[i].fd >= 0 && ioctl(pump->out[i].fd, FIONREAD, &n) == 0)
			pump->out[i].left = n > 0 ? (uint64_t)n : 0;
	}
	close_input(pump);
}

bool cx_pump_drained(const struct cx_pump *pump)
{
	for (size_t i = 0; i < CX_LEN(pump->out); i++)
		if (pump->out[i].fd >= 0 || pump->out[i].at < pump->out[i].len)
			return false;
	return true;
}

unsigned cx_pump_wants(const struct cx_pump *pump, ssh_session session, ssh_channel ssh,
		       struct pollfd *ret)
{
	unsigned n = 0;

	if (pump->in >= 0 && pump->input_at < pump->input.len)
		ret[n++] = (struct pollfd){ .fd = pump->in, .events = POLLOUT };
	if (!may_send(session, ssh))
		return n;
	for (size_t i = 0; i < CX_LEN(pump->out); i++)
		if (pump->out[i].fd >= 0 && pump->out[i].at == pump->out[i].len)
			ret[n++] = (struct pollfd){ .fd = pump->out[i].fd, .events = POLLIN };
	return n;
}

void cx_pump_close(struct cx_pump *pump)
{
	cx_close(&pump->in);
	cx_buf_free(&pump->input);
	pump->input_at = 0;
	for (size_t i = 0; i < CX_LEN(pump->out); i++)
		cx_close(&pump->out[i].fd);
}
