/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <microhttpd.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>

#include "api/http_inner.h"
#include "base/fd.h"

enum {
	DROP_MAX = 64 << 20, /* bytes of a body that is read only so that its answer arrives */
	DROP_STREAM_MAX = 512 << 20, /* the same where clients send all of a file first */
};

/* ---- where it ends ------------------------------------------------------------------------- */

struct framing {
	unsigned lengths, codings;
	bool odd;
};

static enum MHD_Result count_framing(void *cls, enum MHD_ValueKind kind, const char *key,
				     const char *value)
{
	static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789!#$%&'*+-.^_`|~";
	struct framing *f = cls;

	(void)kind;
	/* "Content-Length : 5" is a length for some who read it and none for others. */
	f->odd = f->odd || key[0] == '\0' || key[strspn(key, token)] != '\0';
	if (strcasecmp(key, "Content-Length") == 0) {
		f->lengths++;
		f->odd = f->odd || value == NULL || value[0] == '\0' ||
			 strspn(value, "0123456789") != strlen(value);
	}
	if (strcasecmp(key, "Transfer-Encoding") == 0) {
		f->codings++;
		f->odd = f->odd || value == NULL || strcasecmp(value, "chunked") != 0;
	}
	return MHD_YES;
}

/* Two readings of where a request ends are how one request is smuggled in another. */
bool cx_http_framing_is_clear(struct cx_request *req)
{
	struct framing f = { 0 };

	(void)MHD_get_connection_values(req->connection, MHD_HEADER_KIND, count_framing, &f);
	return !f.odd && f.lengths + f.codings <= 1;
}

/* ---- where it goes ------------------------------------------------------------------------- */

static void open_spool(struct cx_request *req, uint64_t announced)
{
	int dir = req->http->o.spool_dir;
	struct statvfs fs;

	if (fstatvfs(dir, &fs) == 0 && announced > fs.f_bavail * fs.f_frsize) {
		(void)cx_refuse(&req->body_err, CX_LIMIT,
				"the body has %llu bytes; %llu are free in the state directory",
				(unsigned long long)announced,
				(unsigned long long)(fs.f_bavail * fs.f_frsize));
		cx_request_fail(req, &req->body_err);
		return;
	}
	req->body_fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (req->body_fd < 0) {
		(void)cx_fail(&req->body_err, errno, "make a spool file");
		cx_request_fail(req, &req->body_err);
	}
}

uint64_t cx_request_announced(const struct cx_request *req)
{
	const char *length = cx_request_header(req, "Content-Length");

	return length != NULL ? strtoull(length, NULL, 10) : 0;
}

static bool is_archive(const struct cx_request *req)
{
	const char *kind = cx_request_query(req, "kind");

	return kind != NULL && strcmp(kind, "tar") == 0;
}

static uint64_t body_max(const struct cx_request *req)
{
	switch (req->route->body) {
	case CX_BODY_FILE:
	case CX_BODY_COMES:
		return req->http->o.file_body_max;
	case CX_BODY_LONG:
		return CX_LONG_BODY_MAX;
	case CX_BODY_STREAM:
		return is_archive(req) ? CX_ARCHIVE_BODY_MAX : CX_STREAM_BODY_MAX;
	case CX_BODY_CALL:
		return CX_CALL_BODY_MAX;
	case CX_BODY_JSON:
	case CX_BODY_NONE:
		break;
	}
	return CX_JSON_BODY_MAX;
}

void cx_http_prepare_body(struct cx_request *req)
{
	uint64_t announced = cx_request_announced(req);

	req->body_max = body_max(req);
	req->body.max = CX_LONG_BODY_MAX;
	if (announced > req->body_max)
		cx_http_refuse(req, 413, "too_large",
			       "the body has %llu bytes; at most %llu are taken",
			       (unsigned long long)announced, (unsigned long long)req->body_max);
	else if (req->route->body == CX_BODY_FILE || req->route->body == CX_BODY_COMES)
		open_spool(req, announced);
}

/* ---- its bytes ----------------------------------------------------------------------------- */

static int keep_bytes(struct cx_request *req, const char *data, size_t len, struct cx_err *err)
{
	switch (req->route->body) {
	case CX_BODY_JSON:
	case CX_BODY_LONG:
	case CX_BODY_CALL:
		return cx_buf_add(&req->body, data, len, err);
	case CX_BODY_FILE:
	case CX_BODY_COMES:
		return cx_write_all(req->body_fd, data, len, err);
	case CX_BODY_STREAM:
	case CX_BODY_NONE:
		break;
	}
	return 0;
}

uint64_t cx_http_drop_max(const struct cx_request *req)
{
	bool stream = req->route != NULL && req->route->body == CX_BODY_STREAM;

	return stream ? DROP_STREAM_MAX : DROP_MAX;
}

static void count_bytes(struct cx_request *req, size_t n)
{
	cx_http_enter(req, CX_PEER_SENDING);
	req->body_bytes += n;
	req->from->peer.bytes += n;
}

/* What is not taken is offered again: at once, or after cx_inflow_wake(). */
static enum MHD_Result feed_inflow(struct cx_request *req, const char *data, size_t *len)
{
	struct cx_inflow *in = req->inflow;
	size_t n = in->take(in, data, *len);

	if (req->inflow == NULL)
		n = *len;
	count_bytes(req, n);
	*len -= n;
	if (req->body_bytes > req->body_max && req->inflow != NULL) {
		in->lost(in);
		cx_http_refuse(req, 413, "too_large", "the body is larger than %llu bytes",
			       (unsigned long long)req->body_max);
	} else if (n == 0) {
		cx_http_enter(req, CX_PEER_SERVED); /* it waits for us */
		cx_http_suspend(req);
	}
	return MHD_YES;
}

/*
 * MHD cannot answer in the middle of a body: what is not wanted is thrown away until its end, but
 * not without end.
 */
enum MHD_Result cx_http_take_bytes(struct cx_request *req, const char *data, size_t *len)
{
	size_t n = *len;

	if (req->inflow != NULL)
		return feed_inflow(req, data, len);
	*len = 0;
	count_bytes(req, n);
	if (req->body_bytes > req->body_max)
		req->too_large = true;
	if (req->handled || req->too_large)
		return req->body_bytes > req->body_max + cx_http_drop_max(req) ? MHD_NO : MHD_YES;
	if (req->body_err.errnum == 0 && keep_bytes(req, data, n, &req->body_err) < 0) {
		(void)cx_wrap(&req->body_err, "keep the body");
		if (req->body_err.errnum == ENOSPC)
			(void)cx_refuse(&req->body_err, CX_LIMIT,
					"the disk of the state directory is full");
		cx_close(&req->body_fd);
	}
	if (req->grown != NULL && req->body_err.errnum == 0)
		req->grown(req);
	return MHD_YES;
}

void cx_request_take(struct cx_request *req, struct cx_inflow *in)
{
	in->req = req;
	req->inflow = in;
}

void cx_inflow_wake(struct cx_inflow *in)
{
	cx_http_resume(in->req);
}
