/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/tcp.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "api/http_inner.h"
#include "base/log.h"
#include "base/str.h"

enum { ANSWER_MAX = 2048 }; /* bytes */

static const struct refusal {
	unsigned status; /* libmicrohttpd's, too */
	const char *reason, *code, *detail;
} refusals[] = {
	{ 413, "Content Too Large", "too_large",
	  "the body, or one of its chunks, is larger than any that is taken" },
	{ 414, "URI Too Long", "too_large", "the first line of the request is too long" },
	{ 431, "Request Header Fields Too Large", "too_large",
	  "the header of the request is too large" },
	{ 500, "Internal Server Error", "internal", "an error on the host" },
	{ 505, "HTTP Version Not Supported", "invalid", "HTTP/1.1 and HTTP/1.0 are spoken here" },
	/* The last one is for all others. */
	{ 400, "Bad Request", "invalid",
	  "this is no request of HTTP/1.1: its first line, a header field, the length or a chunk "
	  "of its body is not as it has to be" },
};

static const struct refusal *refusal_of(unsigned status)
{
	size_t i = 0;

	while (i < CX_LEN(refusals) - 1 && refusals[i].status != status)
		i++;
	return &refusals[i];
}

static int write_answer(const struct refusal *r, const char *id, char ret[ANSWER_MAX])
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = ANSWER_MAX };
	time_t now = time(NULL);
	struct cx_err err;
	struct tm utc;
	char date[40];

	(void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
	if (cx_http_write_refusal(id, r->code, r->detail, &json, &err) < 0 ||
	    cx_format(ret, ANSWER_MAX,
		      "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n"
		      "Content-Type: application/json\r\nX-Request-Id: %s\r\n"
		      "Content-Length: %zu\r\n\r\n%.*s",
		      &err, r->status, r->reason, date, id, json.len, (int)json.len, json.p) < 0) {
		cx_log_err(CX_LOG_ERROR, &err, "no answer", "request_id", id, NULL);
		return -err.errnum;
	}
	return 0;
}

/*
 * The last word on this connection: what came before has been sent, and what libmicrohttpd would
 * send after it (its page, some of them with two heads) cannot be.
 */
static void refuse(struct cx_connection *c, const struct refusal *r, const char *id)
{
	char answer[ANSWER_MAX], status[16];

	(void)snprintf(status, sizeof status, "%u", r->status);
	cx_log(CX_LOG_DEBUG, "request refused", "request_id", id, "route", "none", "status", status,
	       "detail", r->detail, NULL);
	if (write_answer(r, id, answer) == 0)
		(void)!send(c->fd, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(c->fd, SHUT_WR);
	c->refused = true;
}

static void refuse_unknown(struct cx_connection *c, const struct refusal *r)
{
	const struct cx_http_options *o = &c->at->http->o;
	char id[CX_REQUEST_ID_MAX + 1];

	cx_request_id_choose(NULL, id);
	refuse(c, r, id);
	if (o->over != NULL)
		o->over(o->over_arg, NULL, r->status, 0);
}

/* ---- in place of a page ---------------------------------------------------------------------- */

int cx_http_find_queue(struct cx_http *http, struct cx_err *err)
{
	void *found = dlsym(RTLD_NEXT, "MHD_queue_response");

	if (found == NULL)
		return cx_fail(err, ENOSYS, "find MHD_queue_response in libmicrohttpd");
	memcpy(&http->queue, &found, sizeof found);
	return 0;
}

/* What it is the answer to, when we know of it: wrong chunks come late. Its end is counted then. */
static struct cx_request *request_of(const struct cx_http *http,
				     const struct MHD_Connection *connection)
{
	struct cx_request *req = http->requests;

	while (req != NULL && req->connection != connection)
		req = req->next;
	return req;
}

/*
 * In the program this comes before the library's function of that name, which our own answers reach
 * through cx_http.queue. So what comes here is a page with which the library refuses by itself.
 */
enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status,
				   struct MHD_Response *page)
{
	struct cx_connection *c = cx_http_connection_of(connection);
	const struct refusal *r = refusal_of(status);
	struct cx_request *req;

	if (c == NULL) /* no memory: it is closed */
		return MHD_NO;
	req = request_of(c->at->http, connection);
	if (req != NULL) {
		req->status = r->status;
		refuse(c, r, req->id);
	} else {
		refuse_unknown(c, r);
	}
	return c->at->http->queue(connection, status, page);
}

/* ---- without a word -------------------------------------------------------------------------- */

static bool has_left(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* As whoever only looks whether somebody listens; of a Unix socket, whoever has left. */
static bool said_nothing(int fd)
{
	struct pollfd left = { .fd = fd };
	struct tcp_info tcp = { 0 };
	socklen_t len = sizeof tcp;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &tcp, &len) == 0)
		return tcp.tcpi_data_segs_in == 0;
	return poll(&left, 1, 0) == 1 && (left.revents & POLLHUP) != 0;
}

/*
 * It was closed where a request should have begun: not after an answer that was the last one, nor
 * because it was idle, or had to make room. Who has left after an answer had nothing more to ask.
 * Behind an answer that broke off, ours would be taken for the rest of it.
 */
static bool is_owed_an_answer(const struct cx_connection *c)
{
	uint64_t waited_ms = cx_now_ms() - c->peer.since_ms;

	if (c->refused || c->last || c->peer.told || c->at->closing ||
	    c->peer.phase != CX_PEER_WAITING || waited_ms >= (CX_HTTP_IDLE_SECONDS - 1) * 1000)
		return false;
	return c->asked ? !has_left(c->fd) : !said_nothing(c->fd);
}

void cx_http_refuse_rest(struct cx_request *req)
{
	const struct refusal *r = refusal_of(400);

	req->status = r->status;
	refuse(req->from, r, req->id);
}

void cx_http_end_connection(struct cx_connection *c)
{
	if (is_owed_an_answer(c))
		refuse_unknown(c, refusal_of(400));
	if (c->refused && !has_left(c->fd))
		cx_linger_add(&c->at->http->lingers, c->fd);
}
