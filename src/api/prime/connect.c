/* SPDX-License-Identifier: Apache-2.0 */
#include "api/prime/connect.h"

#include <string.h>
#include <strings.h>

#include "api/errors.h"
#include "api/gzip.h"
#include "api/jsonw.h"
#include "base/str.h"

/* Clients take not_found for "the sandbox is no more", and repeat after unavailable. */
const struct cx_connect_row cx_connect_rows[CX_KIND_MAX] = {
	{ CX_INTERNAL, "internal", 500, "a fault of ours or of the host" },
	{ CX_INVALID, "invalid_argument", 400, "the request can never succeed as it stands" },
	{ CX_DENIED, "permission_denied", 403, "understood and refused" },
	{ CX_NOT_FOUND, "not_found", 404, "the sandbox has ended, or has no such process" },
	{ CX_CONFLICT, "failed_precondition", 400, "what is inside the sandbox does not allow it" },
	{ CX_LIMIT, "resource_exhausted", 429, "a finite resource is used up" },
	{ CX_TIMEOUT, "deadline_exceeded", 504, "the client's own deadline is over" },
	{ CX_UNAVAILABLE, "unavailable", 503, "not now; the same request may succeed in a moment" },
	{ CX_BUSY, "resource_exhausted", 429, "the caller has as much as it may at a time" },
	{ CX_SPENT, "resource_exhausted", 402, "the caller has used up what it was given" },
};

int cx_connect_encoding(const char *header, enum cx_connect_encoding *ret, struct cx_err *err)
{
	if (header == NULL || header[0] == '\0' || strcasecmp(header, "identity") == 0)
		*ret = CX_CONNECT_IDENTITY;
	else if (strcasecmp(header, "gzip") == 0)
		*ret = CX_CONNECT_GZIP;
	else
		return cx_refuse(err, CX_INVALID,
				 "the encoding '%.32s' is not offered here; send "
				 "identity or gzip",
				 header);
	return 0;
}

int cx_connect_timeout(const char *header, uint32_t *ret_ms, struct cx_err *err)
{
	uint64_t ms = 0;

	if (header == NULL) {
		*ret_ms = 0;
		return 0;
	}
	if (strlen(header) > 10 || /* the protocol's own bound */
	    cx_parse_u64(header, 0, 9999999999, "Connect-Timeout-Ms", &ms, err) < 0)
		return cx_refuse(err, CX_INVALID,
				 "Connect-Timeout-Ms must be a number of at most ten digits");
	if (ms == 0)
		ms = 1;
	*ret_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
	return 0;
}

static int refuse_size(struct cx_err *err)
{
	return cx_refuse(err, CX_LIMIT, "a message has at most %d bytes", CX_CONNECT_MESSAGE_MAX);
}

int cx_connect_message(const char *body, size_t len, enum cx_connect_encoding encoding,
		       struct cx_buf *ret, struct cx_err *err)
{
	ret->max = CX_CONNECT_MESSAGE_MAX;
	if (len > CX_CONNECT_MESSAGE_MAX)
		return refuse_size(err);
	if (encoding == CX_CONNECT_IDENTITY || len == 0)
		return len > 0 ? cx_buf_add(ret, body, len, err) : 0;
	return cx_gzip_unpack(body, len, ret, err);
}

int cx_connect_stream_message(const char *body, size_t len, enum cx_connect_encoding encoding,
			      struct cx_buf *ret, struct cx_err *err)
{
	const uint8_t *h = (const uint8_t *)body;
	size_t size;

	if (len < CX_CONNECT_HEADER)
		return cx_refuse(err, CX_INVALID, "the body has no envelope");
	size = (size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4];
	if (size > CX_CONNECT_MESSAGE_MAX)
		return refuse_size(err);
	if ((h[0] & ~(unsigned)CX_CONNECT_PACKED) != 0)
		return cx_refuse(err, CX_INVALID, "an envelope with the flags %u", h[0]);
	if (size != len - CX_CONNECT_HEADER)
		return cx_refuse(err, CX_INVALID,
				 "the body must be one envelope: it says %zu bytes, %zu came", size,
				 len - CX_CONNECT_HEADER);
	if ((h[0] & CX_CONNECT_PACKED) == 0)
		encoding = CX_CONNECT_IDENTITY;
	else if (encoding == CX_CONNECT_IDENTITY)
		return cx_refuse(err, CX_INVALID,
				 "a packed envelope without 'Connect-Content-Encoding: gzip'");
	return cx_connect_message(body + CX_CONNECT_HEADER, size, encoding, ret, err);
}

void cx_connect_header(char to[CX_CONNECT_HEADER], unsigned flags, size_t len)
{
	to[0] = (char)flags;
	for (unsigned i = 0; i < 4; i++)
		to[1 + i] = (char)(len >> (24 - 8 * i) & 0xff);
}

static void write_error(struct cx_jsonw *w, const struct cx_err *why, const char *request_id)
{
	char text[CX_ERROR_TEXT_MAX];

	cx_jsonw_text(w, "code", cx_connect_rows[why->kind].code);
	cx_jsonw_text(w, "message", cx_error_text(why, request_id, text));
}

int cx_connect_error(struct cx_buf *out, const struct cx_err *why, const char *request_id,
		     struct cx_err *err)
{
	struct cx_jsonw w = { .out = out };

	cx_jsonw_object(&w, NULL);
	write_error(&w, why, request_id);
	cx_jsonw_end(&w);
	return cx_jsonw_finish(&w, err);
}

int cx_connect_end(struct cx_buf *out, const struct cx_err *why, const char *request_id,
		   struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = CX_CONNECT_END_MAX };
	struct cx_jsonw w = { .out = &json };
	char header[CX_CONNECT_HEADER];

	cx_jsonw_object(&w, NULL);
	if (why != NULL) {
		cx_jsonw_object(&w, "error");
		write_error(&w, why, request_id);
		cx_jsonw_end(&w);
	}
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0)
		return -err->errnum;
	cx_connect_header(header, CX_CONNECT_END, json.len);
	if (cx_buf_add(out, header, sizeof header, err) < 0)
		return -err->errnum;
	return cx_buf_add(out, json.p, json.len, err);
}
