/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "api/http_inner.h"
#include "base/fd.h"

/* What libmicrohttpd has memory for with each such answer: as much as a pipe of a file holds. */
enum { PIECE = 64 << 10, PIECE_SIZED = 256 << 10 };

/* ---- clients that leave -------------------------------------------------------------------- */

/*
 * Is this said in vain? Where the kernel does not tell whether the client is still there, to say
 * something shows it; who says nothing for long cannot wait for that.
 */
static bool is_in_vain(const struct cx_request *req)
{
	const struct cx_connection *c = req->from;

	return c->gone || (c->ended && !c->at->sees_gone && req->stream->quiet);
}

/*
 * A client that waits ignores it; the host of one that has gone resets the connection. One that
 * goes later, or speaks HTTP/1.0, is missed by TCP itself (api/tcp.h).
 */
static bool may_be_there(struct cx_request *req)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	ssize_t len = sizeof interim - 1, n;

	if (req->probed || req->from->at->sees_gone || req->http_1_0)
		return true;
	n = send(req->from->fd, interim, sizeof interim - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN) /* it has an earlier answer to read */
		return true;
	req->probed = true;
	if (n > 0 && n < len) /* of no use any more */
		(void)shutdown(req->from->fd, SHUT_RDWR);
	return n == len;
}

void cx_http_client_ended(struct cx_request *req)
{
	void (*gone)(struct cx_request *) = req->gone;

	if (req->stream != NULL) {
		if (is_in_vain(req))
			cx_http_resume(req); /* to its end */
		return;
	}
	if (gone == NULL || !req->handled || req->answered)
		return;
	if (!req->from->gone && may_be_there(req))
		return;
	req->gone = NULL;
	gone(req);
}

/* ---- bodies in pieces ---------------------------------------------------------------------- */

static ssize_t read_piece(void *cls, uint64_t pos, char *to, size_t max)
{
	struct cx_request *req = cls;
	ssize_t n = is_in_vain(req) ? CX_PIECES_CUT : req->stream->read(req->stream, to, max);

	(void)pos;
	if (n == CX_PIECES_END)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n < 0) {
		cx_http_run_soon(req->http); /* it is closed only when MHD looks the next time */
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	if (n == 0) {
		req->suspended = true;
		MHD_suspend_connection(req->connection);
	}
	return n;
}

static size_t piece_of(uint64_t size)
{
	if (size == MHD_SIZE_UNKNOWN)
		return PIECE;
	return size < PIECE_SIZED ? (size_t)size + 1 : PIECE_SIZED; /* it must not be none */
}

void cx_request_stream_sized(struct cx_request *req, unsigned status, const char *type,
			     uint64_t size, struct cx_pieces *body)
{
	struct MHD_Response *response =
		MHD_create_response_from_callback(size, piece_of(size), read_piece, req, NULL);

	body->req = req;
	req->stream = body;
	if (response != NULL)
		(void)MHD_add_response_header(response, "Content-Type", type);
	cx_http_note_stream(req);
	cx_http_deliver(req, status, response);
}

void cx_request_stream(struct cx_request *req, unsigned status, const char *type,
		       struct cx_pieces *body)
{
	cx_request_stream_sized(req, status, type, MHD_SIZE_UNKNOWN, body);
}

void cx_pieces_wake(struct cx_pieces *body)
{
	cx_http_resume(body->req);
}

void cx_request_bound_silence(struct cx_request *req, unsigned ms)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (info != NULL) /* a Unix socket has no such option and needs none */
		(void)setsockopt(info->connect_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

bool cx_request_sees_cut(const struct cx_request *req)
{
	return !req->http_1_0;
}

/* ---- upgrades ------------------------------------------------------------------------------ */

struct cx_upgrade {
	struct cx_http *http;
	struct MHD_UpgradeResponseHandle *handle;
};

static void hand_over(void *cls, struct MHD_Connection *connection, void *con_cls,
		      const char *extra, size_t extra_len, MHD_socket sock,
		      struct MHD_UpgradeResponseHandle *handle)
{
	struct cx_request *req = cls;
	void (*upgraded)(void *, int, struct cx_upgrade *) = req->upgraded;
	struct cx_upgrade *upgrade = malloc(sizeof *upgrade);
	int own = fcntl(sock, F_DUPFD_CLOEXEC, 3);
	struct cx_err err;

	(void)connection;
	(void)con_cls;
	(void)extra;
	req->upgraded = NULL;
	req->from->ended = true; /* from here on that is told by the socket that is handed over */
	/* A client waits for 101 before its first frame; bytes sent before are not worth a path. */
	if (upgrade == NULL || own < 0 || extra_len > 0 || cx_set_nonblock(own, true, &err) < 0) {
		free(upgrade);
		cx_close(&own);
		(void)MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
		upgraded(req->upgrade_arg, -1, NULL);
		return;
	}
	*upgrade = (struct cx_upgrade){ .http = req->http, .handle = handle };
	upgraded(req->upgrade_arg, own, upgrade);
}

void cx_upgrade_close(struct cx_upgrade *upgrade)
{
	(void)MHD_upgrade_action(upgrade->handle, MHD_UPGRADE_ACTION_CLOSE);
	cx_http_run_soon(upgrade->http);
	free(upgrade);
}

void cx_request_upgrade(struct cx_request *req, const char *protocol,
			void (*upgraded)(void *arg, int sock, struct cx_upgrade *upgrade),
			void *arg)
{
	struct MHD_Response *response = MHD_create_response_for_upgrade(hand_over, req);

	req->upgraded = upgraded;
	req->upgrade_arg = arg;
	cx_http_note_stream(req);
	if (response != NULL)
		(void)MHD_add_response_header(response, "Upgrade", protocol);
	cx_http_deliver(req, MHD_HTTP_SWITCHING_PROTOCOLS, response);
}

bool cx_request_wants_upgrade(const struct cx_request *req, const char *protocol)
{
	const char *value = cx_request_header(req, "Upgrade");

	return value != NULL && strcasecmp(value, protocol) == 0;
}
