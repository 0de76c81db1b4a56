/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/jsonw.h"
#include "api/prime/handlers.h"
#include "api/upload.h"
#include "base/str.h"

/* One byte can become \u001b. */
enum { ANSWER_MAX = 6 * CX_FILE_READ_MAX + 8192 };

/* The sandbox's id may come twice; what is meant for another one is not done here. */
static int locate(struct cx_request *req, struct cx_session **session, struct cx_str *path,
		  struct cx_err *err)
{
	const char *id = cx_request_query(req, "sandbox_id");

	if (id != NULL && strcmp(id, req->param) != 0)
		return cx_refuse(err, CX_INVALID, "'sandbox_id' is another one than the path has");
	if (cx_access_session(req, req->param, session, err) < 0)
		return -err->errnum;
	return cx_files_path(req, path, err);
}

/* ---- upload, download ------------------------------------------------------------------------ */

static void upload_done(struct cx_request *req, const struct cx_upload_result *result,
			const struct cx_err *err)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };
	char digest[2 * sizeof result->digest + 1];

	if (err != NULL) {
		cx_files_fail(req, err);
		return;
	}
	cx_to_hex(result->digest, sizeof result->digest, digest);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_bool(&w, "success", true);
	cx_jsonw_text(&w, "path", cx_request_query(req, "path"));
	cx_jsonw_int(&w, "size", (int64_t)result->size);
	cx_jsonw_time(&w, "timestamp", cx_wall_ms());
	cx_jsonw_text(&w, "sha256", digest);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

void cx_prime_upload(struct cx_request *req)
{
	struct cx_upload_plan plan = { .field = "file", .what.mode = CX_FILE_MODE_NONE };
	struct cx_session *session;
	struct cx_err err;

	if (locate(req, &session, &plan.what.path, &err) < 0)
		cx_files_fail(req, &err);
	else
		cx_upload_start(req, session, &plan, upload_done);
}

void cx_prime_download(struct cx_request *req)
{
	struct cx_msg_file_get what = { .length = UINT64_MAX };
	struct cx_session *session;
	struct cx_err err;

	if (locate(req, &session, &what.path, &err) < 0)
		cx_files_fail(req, &err);
	else
		cx_download_start(req, session, &what);
}

/* ---- read-file ------------------------------------------------------------------------------- */

/* A negative offset counts from the end. */
static int read_window(const struct cx_request *req, struct cx_msg_file_get *what,
		       struct cx_err *err)
{
	const char *offset = cx_request_query(req, "offset");

	what->length = UINT64_MAX;
	if (offset != NULL && offset[0] == '-') {
		what->tail = 1;
		offset++;
	}
	if (offset != NULL && cx_parse_u64(offset, 0, INT64_MAX, "offset", &what->offset, err) < 0)
		return -err->errnum;
	return cx_request_query_u64(req, "length", 0, INT64_MAX, &what->length, err);
}

static void read_done(struct cx_request *req, const struct cx_collected *got,
		      const struct cx_err *err)
{
	struct cx_buf json = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &json };

	if (err != NULL) {
		cx_files_fail(req, err);
		return;
	}
	cx_jsonw_object(&w, NULL);
	cx_jsonw_bytes(&w, "content", got->p, got->len);
	cx_jsonw_int(&w, "size", (int64_t)got->len);
	cx_jsonw_int(&w, "total_size", (int64_t)got->info.size);
	cx_jsonw_int(&w, "offset", (int64_t)got->info.offset);
	cx_jsonw_bool(&w, "truncated", got->len < got->info.size);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

void cx_prime_read_file(struct cx_request *req)
{
	struct cx_msg_file_get what = { .tail = 0 };
	struct cx_session *session;
	struct cx_err err;

	if (locate(req, &session, &what.path, &err) < 0 || read_window(req, &what, &err) < 0)
		cx_files_fail(req, &err);
	else
		cx_collect_get(req, session, &what, read_done);
}
