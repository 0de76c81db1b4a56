/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/http.h"

#include <errno.h>
#include <http_parser.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/tls.h"

enum {
	HEAD_MAX = 64 << 10,
	PIECE = 256 << 10, /* read or sent at once; memory that is not used costs nothing */
	CHUNK_HEAD = 10,   /* bytes: its length, with zeros in front, and a line's end */
	CHUNK_TAIL = 2,
};

static const char how_to_start[] =
	"is caissond running? Start it with 'systemctl start caissond' or, "
	"in the source tree, 'sudo ./setup start'";

CX_DEFINE_AUTO(struct addrinfo *, freeaddrinfo);

/* ---- where ---------------------------------------------------------------------------------- */

static int split_url(struct cx_target *t, const char *url, struct cx_err *err)
{
	struct http_parser_url u;

	http_parser_url_init(&u);
	if (http_parser_parse_url(url, strlen(url), 0, &u) != 0 ||
	    (u.field_set & 1U << UF_HOST) == 0)
		return cx_refuse(err, CX_INVALID, "'%.100s' is no URL; write https://HOST:PORT",
				 url);
	t->tls = strncasecmp(url, "https:", 6) == 0;
	if (!t->tls && strncasecmp(url, "http:", 5) != 0)
		return cx_refuse(err, CX_INVALID,
				 "'%.100s' does not begin with http:// or https://", url);
	if ((u.field_set & 1U << UF_PATH) != 0 && u.field_data[UF_PATH].len > 1)
		return cx_refuse(err, CX_INVALID, "'%.100s' has a path; write https://HOST:PORT",
				 url);
	if (u.field_data[UF_HOST].len >= sizeof t->host)
		return cx_refuse(err, CX_INVALID, "the host name in the URL is too long");
	memcpy(t->host, url + u.field_data[UF_HOST].off, u.field_data[UF_HOST].len);
	return cx_format(t->port, sizeof t->port, "%u", err,
			 u.port != 0 ? u.port
			 : t->tls    ? 443U
				     : 80U);
}

int cx_target_resolve(struct cx_target *ret, const char *socket_path, const char *url,
		      const char *key, struct cx_err *err)
{
	struct cx_target t = { .key = key != NULL && *key != '\0' ? key : NULL };

	for (const char *p = t.key; p != NULL && *p != '\0'; p++)
		if (*p <= ' ' || *p == 0x7f)
			return cx_refuse(err, CX_INVALID,
					 "CAISSON_API_KEY holds a space or a control character");
	if (socket_path == NULL && url != NULL && split_url(&t, url, err) < 0)
		return -err->errnum;
	if (socket_path != NULL || url == NULL)
		t.path = socket_path != NULL ? socket_path : CX_RUNDIR "/caisson.sock";
	*ret = t;
	return 0;
}

static int connect_unix(const struct cx_target *t, struct cx_err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	cx_autofd int fd = -EBADF;

	if (strlen(t->path) >= sizeof addr.sun_path)
		return cx_refuse(err, CX_INVALID, "the socket's name is longer than %zu bytes",
				 sizeof addr.sun_path - 1);
	memcpy(addr.sun_path, t->path, strlen(t->path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return cx_fail(err, errno, "socket");
	if (connect(fd, (const struct sockaddr *)&addr, sizeof addr) == 0)
		return cx_take_fd(&fd);
	if (errno == EACCES || errno == EPERM)
		return cx_refuse(err, CX_DENIED,
				 "no permission to use %s: be root or a member of group caisson",
				 t->path);
	return cx_refuse(err, CX_UNAVAILABLE, "cannot reach caissond at %s (%s): %s", t->path,
			 strerror(errno), how_to_start);
}

static int connect_tcp(const struct cx_target *t, struct cx_err *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	CX_AUTO(freeaddrinfop) struct addrinfo *list = NULL;
	int r = getaddrinfo(t->host, t->port, &hints, &list), saved = 0;

	if (r != 0)
		return cx_refuse(err, CX_UNAVAILABLE, "cannot find host '%s': %s", t->host,
				 gai_strerror(r));
	for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
		cx_autofd int fd =
			socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		const int on = 1;

		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
			/* A command may be silent for hours: a dead peer has to be noticed. */
			(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
			return cx_take_fd(&fd);
		}
		saved = errno;
	}
	return cx_refuse(err, CX_UNAVAILABLE, "cannot reach caissond at %s:%s (%s): %s", t->host,
			 t->port, strerror(saved), how_to_start);
}

static int connect_to(const struct cx_target *t, struct cx_err *err)
{
	int sock = t->path != NULL ? connect_unix(t, err) : connect_tcp(t, err);

	return sock >= 0 && t->tls ? cx_tls_wrap(&sock, t->host, t->cacert, err) : sock;
}

/* ---- the answer ----------------------------------------------------------------------------- */

struct exchange {
	const struct cx_call *call;
	struct cx_reply *reply;
	struct cx_buf in, out;
	size_t out_sent;    /* bytes of out */
	struct cx_err *err; /* a failure inside the parser */
	bool sent, begun, complete, interrupted;
	char field[32], value[24]; /* the last ones, as much of them as there is room for */
	bool named;		   /* the field; its value may follow */
	int sock;
};

static bool is_taken(const struct exchange *x, const http_parser *parser)
{
	return x->call->take != NULL && parser->status_code >= 200 && parser->status_code < 300;
}

static void append(char *to, size_t size, const char *at, size_t len)
{
	size_t have = strlen(to);

	(void)snprintf(to + have, size - have, "%.*s", (int)len, at);
}

static void end_field(struct exchange *x)
{
	struct cx_err ignored;

	if (x->call->number != NULL && strcasecmp(x->field, x->call->number) == 0)
		(void)!cx_parse_u64(x->value, 0, INT64_MAX, x->call->number, x->call->ret_number,
				    &ignored);
	x->field[0] = x->value[0] = '\0';
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
	struct exchange *x = parser->data;

	if (!x->named)
		end_field(x);
	x->named = true;
	append(x->field, sizeof x->field, at, len);
	return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
	struct exchange *x = parser->data;

	x->named = false;
	append(x->value, sizeof x->value, at, len);
	return 0;
}

static int on_headers(http_parser *parser)
{
	struct exchange *x = parser->data;

	end_field(x);
	x->begun = true;
	if (!is_taken(x, parser) || (parser->flags & (F_CHUNKED | F_CONTENTLENGTH)) != 0)
		return 0;
	(void)cx_refuse(x->err, CX_UNAVAILABLE,
			"the answer does not say where it ends, so it could be cut without anybody "
			"noticing: does a proxy for HTTP/1.0 stand between?");
	return -1;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
	struct exchange *x = parser->data;

	if (is_taken(x, parser))
		return x->call->take(x->call->take_arg, at, len, x->err) < 0 ? -1 : 0;
	return cx_buf_add(&x->reply->body, at, len, x->err) < 0 ? -1 : 0;
}

static int on_complete(http_parser *parser)
{
	struct exchange *x = parser->data;

	/* 1xx but 101 only says that more is to come. */
	x->complete = parser->status_code >= 200 || parser->status_code == 101;
	x->reply->status = parser->status_code;
	return 0;
}

static const http_parser_settings parser_settings = {
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/* Takes what the socket has. Sets x->complete at the end of the answer. */
static int receive(struct exchange *x, http_parser *parser, struct cx_err *err)
{
	char *bytes = cx_buf_reserve(&x->in, PIECE, err);
	ssize_t n;
	size_t used;

	if (bytes == NULL)
		return -err->errnum;
	n = recv(x->sock, bytes, PIECE, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return cx_fail(err, errno, "read the answer");
	n = n < 0 ? 0 : n;
	used = http_parser_execute(parser, &parser_settings, bytes, (size_t)n);
	if (err->errnum != 0)
		return -err->errnum;
	if (x->complete) /* what is behind an upgrade belongs to the stream */
		return parser->upgrade && used < (size_t)n
			       ? cx_buf_add(&x->reply->body, bytes + used, (size_t)n - used, err)
			       : 0;
	if (n == 0)
		return cx_refuse(err, CX_UNAVAILABLE,
				 x->begun ? "the server broke the answer off before its end"
					  : "the server closed the connection without an answer");
	if (HTTP_PARSER_ERRNO(parser) != HPE_OK || used != (size_t)n)
		return cx_refuse(err, CX_INTERNAL, "the answer is not HTTP: %s",
				 http_errno_description(HTTP_PARSER_ERRNO(parser)));
	return 0;
}

/* ---- the request ---------------------------------------------------------------------------- */

static int add(struct exchange *x, const char *text, struct cx_err *err)
{
	return cx_buf_add(&x->out, text, strlen(text), err);
}

static int add_head(struct exchange *x, const struct cx_target *t, struct cx_err *err)
{
	const struct cx_call *c = x->call;
	char line[128];
	int64_t size = c->has_upload ? c->upload_size : (int64_t)c->body_len;

	if (add(x, c->method, err) < 0 || add(x, " ", err) < 0 || add(x, c->path, err) < 0 ||
	    add(x, " HTTP/1.1\r\nUser-Agent: caisson/" CX_VERSION "\r\nHost: ", err) < 0 ||
	    add(x, t->path != NULL ? "localhost" : t->host, err) < 0 ||
	    add(x, "\r\nAccept: application/json\r\nConnection: ", err) < 0 ||
	    add(x, c->upgrade ? "Upgrade\r\nUpgrade: caisson-exec/1\r\n" : "close\r\n", err) < 0)
		return -err->errnum;
	if (t->key != NULL && (add(x, "Authorization: Bearer ", err) < 0 ||
			       add(x, t->key, err) < 0 || add(x, "\r\n", err) < 0))
		return -err->errnum;
	if (c->body == NULL && !c->has_upload)
		return add(x, "\r\n", err);
	if (size < 0)
		(void)snprintf(line, sizeof line, "Transfer-Encoding: chunked");
	else
		(void)snprintf(line, sizeof line, "Content-Length: %lld", (long long)size);
	if (add(x, "Content-Type: ", err) < 0 ||
	    add(x, c->type != NULL ? c->type : "application/json", err) < 0 ||
	    add(x, "\r\n", err) < 0 || add(x, line, err) < 0 || add(x, "\r\n\r\n", err) < 0)
		return -err->errnum;
	return c->body != NULL ? cx_buf_add(&x->out, c->body, c->body_len, err) : 0;
}

static int upload_ended(struct exchange *x, int64_t left, struct cx_err *err)
{
	const struct cx_call *c = x->call;

	if (left > 0)
		return cx_refuse(err, CX_INVALID, "the file became shorter while it was sent");
	if (c->upload_end != NULL && c->upload_end(c->upload_arg, err) < 0)
		return -err->errnum;
	x->sent = true;
	return c->upload_size < 0 ? add(x, "0\r\n\r\n", err) : 0;
}

static ssize_t read_upload(const struct cx_call *c, char *to, size_t max, struct cx_err *err)
{
	ssize_t n;

	if (c->upload_read != NULL)
		return c->upload_read(c->upload_arg, to, max, err);
	do
		n = read(c->upload, to, max);
	while (n < 0 && errno == EINTR);
	return n < 0 ? cx_fail(err, errno, "read what is to be sent") : n;
}

/* Brings the next piece of the upload into x->out, which is empty: it is sent from where it lies.
 */
static int add_upload(struct exchange *x, int64_t *left, struct cx_err *err)
{
	const struct cx_call *c = x->call;
	bool chunked = c->upload_size < 0;
	size_t head = chunked ? CHUNK_HEAD : 0;
	size_t want = !chunked && *left < PIECE ? (size_t)*left : PIECE;
	char *to = cx_buf_reserve(&x->out, CHUNK_HEAD + PIECE + CHUNK_TAIL, err);
	char size[CHUNK_HEAD + 1];
	ssize_t n;

	if (to == NULL)
		return -err->errnum;
	n = want == 0 ? 0 : read_upload(c, to + head, want, err);
	if (n < 0)
		return -err->errnum;
	if (n == 0)
		return upload_ended(x, chunked ? 0 : *left, err);
	*left -= n;
	if (c->upload_seen != NULL)
		c->upload_seen(c->upload_arg, to + head, (size_t)n);
	x->out.len = head + (size_t)n;
	if (!chunked)
		return 0;
	(void)snprintf(size, sizeof size, "%08x\r\n", (unsigned)n);
	memcpy(to, size, CHUNK_HEAD);
	return add(x, "\r\n", err);
}

static int transmit(struct exchange *x, struct cx_err *err)
{
	ssize_t n = send(x->sock, x->out.p + x->out_sent, x->out.len - x->out_sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0) {
		x->out_sent += (size_t)n;
		if (x->out_sent == x->out.len)
			x->out_sent = x->out.len = 0;
		return 0;
	}
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	if (errno != EPIPE && errno != ECONNRESET)
		return cx_fail(err, errno, "send the request");
	/* The server wants no more of it. Mostly it has said why. */
	x->out_sent = x->out.len = 0;
	x->sent = true;
	return 0;
}

/* The first signal waits for the answer, so that it is known what to clean up. */
static int on_signal(struct exchange *x, struct cx_err *err)
{
	struct signalfd_siginfo info;

	if (read(x->call->signals, &info, sizeof info) != sizeof info || info.ssi_signo == SIGWINCH)
		return 0;
	if (x->call->ret_signo != NULL)
		*x->call->ret_signo = (int)info.ssi_signo;
	if (x->interrupted || x->call->take != NULL)
		return cx_refuse(err, CX_UNAVAILABLE, "interrupted before the server had answered");
	x->interrupted = true;
	return 0;
}

static int exchange(struct exchange *x, struct cx_err *err)
{
	const int patience = x->call->timeout_ms > 0 ? x->call->timeout_ms : CX_HTTP_PATIENCE_MS;
	int64_t left = x->call->upload_size;
	http_parser parser;

	http_parser_init(&parser, HTTP_RESPONSE);
	parser.data = x;
	x->sent = !x->call->has_upload;
	while (!x->complete) {
		struct pollfd fds[] = { { .fd = x->sock, .events = POLLIN },
					{ .fd = x->call->signals, .events = POLLIN } };
		int n;

		if (x->out.len == 0 && !x->sent && add_upload(x, &left, err) < 0)
			return -err->errnum;
		if (x->out.len > 0)
			fds[0].events |= POLLOUT;
		n = poll(fds, CX_LEN(fds), patience);
		if (n < 0 && errno != EINTR)
			return cx_fail(err, errno, "poll");
		if (n == 0)
			return cx_refuse(err, CX_TIMEOUT, "no answer for %d seconds",
					 patience / 1000);
		if ((fds[1].revents & POLLIN) != 0 && on_signal(x, err) < 0)
			return -err->errnum;
		if ((fds[0].revents & POLLOUT) != 0 && transmit(x, err) < 0)
			return -err->errnum;
		if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
		    receive(x, &parser, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static void exchange_free(struct exchange *x)
{
	cx_buf_free(&x->in);
	cx_buf_free(&x->out);
	cx_close(&x->sock);
}

int cx_http_call(const struct cx_target *target, const struct cx_call *call, struct cx_reply *ret,
		 struct cx_err *err)
{
	CX_AUTO(cx_reply_free)
	struct cx_reply reply = { .sock = -EBADF, .body = { .max = CX_HTTP_BODY_MAX } };
	CX_AUTO(exchange_free)
	struct exchange x = {
		.call = call,
		.reply = &reply,
		.err = err,
		.in = { .max = PIECE },
		.out = { .max = HEAD_MAX + 2 * PIECE + call->body_len },
	};

	*err = (struct cx_err){ 0 }; /* what the parser calls back tells of a failure so */
	x.sock = connect_to(target, err);
	if (x.sock < 0 || add_head(&x, target, err) < 0 || exchange(&x, err) < 0)
		return -err->errnum;
	if (reply.status == 101)
		reply.sock = cx_take_fd(&x.sock);
	*ret = reply;
	reply = (struct cx_reply){ .sock = -EBADF };
	return 0;
}

void cx_reply_free(struct cx_reply *reply)
{
	cx_buf_free(&reply->body);
	cx_close(&reply->sock);
}

int cx_http_escape(struct cx_buf *out, const char *text, const char *keep, struct cx_err *err)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	for (const char *p = text; *p != '\0'; p++) {
		char hex[4];

		if (strchr(plain, *p) != NULL || strchr(keep, *p) != NULL) {
			if (cx_buf_add(out, p, 1, err) < 0)
				return -err->errnum;
			continue;
		}
		(void)snprintf(hex, sizeof hex, "%%%02X", (unsigned)(unsigned char)*p);
		if (cx_buf_add(out, hex, 3, err) < 0)
			return -err->errnum;
	}
	return 0;
}

int cx_http_query(struct cx_buf *path, const char *key, const char *value, const char *keep,
		  struct cx_err *err)
{
	const char *mark = memchr(path->p, '?', path->len) == NULL ? "?" : "&";

	if (value == NULL)
		return 0;
	if (cx_buf_add(path, mark, 1, err) < 0 || cx_buf_add(path, key, strlen(key), err) < 0 ||
	    cx_buf_add(path, "=", 1, err) < 0)
		return -err->errnum;
	return cx_http_escape(path, value, keep, err);
}
