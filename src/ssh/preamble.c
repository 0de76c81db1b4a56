/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/preamble.h"

#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/loop.h"

static const char word[] = "PRIME-SSH-SESSION ";
enum { WORD = sizeof word - 1 };

static bool may_be_id(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

int cx_preamble_take(struct cx_preamble *p, char c, struct cx_err *err)
{
	if (p->at < WORD && c == word[p->at]) {
		p->at++;
		return 0;
	}
	if (p->at == WORD && p->id_len > 0 && c == '\n')
		return 1;
	if (p->at == WORD && p->id_len > 0 && c == '\r' && !p->carriage_return) {
		p->carriage_return = 1;
		return 0;
	}
	if (p->at == WORD && may_be_id(c) && p->id_len < CX_PREAMBLE_ID_MAX &&
	    !p->carriage_return) {
		p->id_len++;
		return 0;
	}
	return cx_refuse(err, CX_INVALID,
			 "the connection begins neither with SSH nor with a line "
			 "that names a session");
}

static int wait_for_bytes(int sock, uint64_t deadline_ms, struct cx_err *err)
{
	struct pollfd wait = { .fd = sock, .events = POLLIN };
	uint64_t now = cx_now_ms();
	int r = now < deadline_ms ? poll(&wait, 1, (int)(deadline_ms - now)) : 0;

	if (r < 0)
		return cx_fail(err, errno, "wait for the client");
	return r > 0 ? 0 : cx_refuse(err, CX_TIMEOUT, "the client did not begin in time");
}

/* One byte; with MSG_PEEK it stays. */
static int next_byte(int sock, uint64_t deadline_ms, int flags, char *ret, struct cx_err *err)
{
	ssize_t n;

	do {
		if (wait_for_bytes(sock, deadline_ms, err) < 0)
			return -err->errnum;
		n = recv(sock, ret, 1, flags);
	} while (n < 0 && errno == EAGAIN);
	if (n < 0)
		return cx_fail(err, errno, "read from the client");
	return n > 0 ? 0 : cx_refuse(err, CX_INVALID, "the client said nothing");
}

int cx_preamble_read(int sock, uint64_t deadline_ms, struct cx_err *err)
{
	struct cx_preamble preamble = { 0 };
	char c;
	int r = 0;

	if (next_byte(sock, deadline_ms, MSG_PEEK, &c, err) < 0)
		return -err->errnum;
	if (c != word[0])
		return 0;
	while (r == 0) {
		if (next_byte(sock, deadline_ms, 0, &c, err) < 0)
			return -err->errnum;
		r = cx_preamble_take(&preamble, c, err);
	}
	return r < 0 ? r : 0;
}
