/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "api/errors.h"
#include "api/handlers.h"
#include "api/jsonw.h"
#include "api/upload.h"
#include "base/str.h"

/* caisson's own way to the files of a sandbox. */
enum { LIST_MAX = 8 << 20, USER_MAX = 255, NAME_BYTES_MAX = 255 };

static const char *const kinds[CX_FILE_KIND_MAX] = {
	[CX_FILE_REGULAR] = "file", [CX_FILE_DIRECTORY] = "directory", [CX_FILE_LINK] = "link",
	[CX_FILE_TAR] = "tar",	    [CX_FILE_OTHER] = "other",
};

/* ---- what is asked --------------------------------------------------------------------------- */

static int query_text(const struct cx_request *req, const char *name, size_t max,
		      struct cx_str *ret, struct cx_err *err)
{
	const char *text = cx_request_query(req, name);

	*ret = cx_str_of(text != NULL ? text : "");
	if (ret->len > max)
		return cx_refuse(err, CX_INVALID, "'%s' has %u bytes; at most %zu are taken", name,
				 ret->len, max);
	return 0;
}

static int query_mode(const struct cx_request *req, uint32_t *ret, struct cx_err *err)
{
	const char *text = cx_request_query(req, "mode");
	size_t len = text != NULL ? strlen(text) : 0;

	*ret = CX_FILE_MODE_NONE;
	if (text == NULL)
		return 0;
	if (len == 0 || len > 4 || strspn(text, "01234567") != len)
		return cx_refuse(err, CX_INVALID, "'mode' is three or four octal digits: 644");
	*ret = (uint32_t)strtoul(text, NULL, 8);
	return 0;
}

static int query_kind(const struct cx_request *req, uint32_t *ret, struct cx_err *err)
{
	const char *text = cx_request_query(req, "kind");

	*ret = CX_FILE_REGULAR;
	if (text == NULL)
		return 0;
	for (uint32_t i = 0; i < CX_FILE_OTHER; i++) {
		if (strcmp(text, kinds[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return cx_refuse(err, CX_INVALID, "'kind' is file, directory, link or tar");
}

static int query_digest(const struct cx_request *req, struct cx_upload_plan *plan,
			struct cx_err *err)
{
	const char *text = cx_request_query(req, "sha256");
	const char *summed = cx_request_query(req, "summed");

	if (summed != NULL && strcmp(summed, "true") != 0 && strcmp(summed, "false") != 0)
		return cx_refuse(err, CX_INVALID, "'summed' must be true or false");
	plan->unsummed = summed != NULL && strcmp(summed, "false") == 0;
	plan->has_digest = text != NULL;
	if (plan->has_digest && plan->unsummed)
		return cx_refuse(err, CX_INVALID, "'sha256' cannot be checked without 'summed'");
	if (text != NULL && !cx_from_hex(text, plan->digest, sizeof plan->digest))
		return cx_refuse(err, CX_INVALID, "'sha256' is 64 hexadecimal digits");
	return 0;
}

/* ---- in -------------------------------------------------------------------------------------- */

static void put_done(struct cx_request *req, const struct cx_upload_result *result,
		     const struct cx_err *err)
{
	struct cx_buf json = { .max = LIST_MAX };
	struct cx_jsonw w = { .out = &json };
	char digest[2 * sizeof result->digest + 1];

	if (err != NULL) {
		cx_files_fail(req, err);
		return;
	}
	cx_to_hex(result->digest, sizeof result->digest, digest);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "path", cx_request_query(req, "path"));
	cx_jsonw_int(&w, "size", (int64_t)result->size);
	if (result->summed)
		cx_jsonw_text(&w, "sha256", digest);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

void cx_handle_file_put(struct cx_request *req)
{
	struct cx_upload_plan plan = { .field = NULL };
	struct cx_session *session;
	struct cx_err err;

	if (cx_access_session(req, req->param, &session, &err) < 0 ||
	    cx_files_path(req, &plan.what.path, &err) < 0 ||
	    query_text(req, "user", USER_MAX, &plan.what.user, &err) < 0 ||
	    query_mode(req, &plan.what.mode, &err) < 0 ||
	    query_kind(req, &plan.what.kind, &err) < 0 || query_digest(req, &plan, &err) < 0)
		cx_files_fail(req, &err);
	else
		cx_upload_start(req, session, &plan, put_done);
}

/* ---- out ------------------------------------------------------------------------------------- */

void cx_handle_file_get(struct cx_request *req)
{
	struct cx_msg_file_get what = { .length = UINT64_MAX };
	struct cx_session *session;
	struct cx_err err;

	if (cx_access_session(req, req->param, &session, &err) < 0 ||
	    cx_files_path(req, &what.path, &err) < 0 ||
	    query_text(req, "user", USER_MAX, &what.user, &err) < 0 ||
	    cx_request_query_u64(req, "offset", 0, INT64_MAX, &what.offset, &err) < 0 ||
	    cx_request_query_u64(req, "length", 0, INT64_MAX, &what.length, &err) < 0)
		cx_files_fail(req, &err);
	else
		cx_download_start(req, session, &what);
}

/* ---- a directory ----------------------------------------------------------------------------- */

static void write_stat(struct cx_jsonw *w, uint32_t kind, uint32_t mode, uint64_t size,
		       uint64_t mtime)
{
	char octal[8];

	(void)snprintf(octal, sizeof octal, "%04o", mode & 07777U);
	cx_jsonw_text(w, "kind", kinds[kind]);
	cx_jsonw_text(w, "mode", octal);
	cx_jsonw_int(w, "size", (int64_t)size);
	cx_jsonw_int(w, "mtime", (int64_t)mtime);
}

/* The next entry of a page; false when there is none, or not a whole one. */
static bool next_entry(struct cx_reader *page, struct cx_msg_file_entry *ret)
{
	struct cx_reader one;
	struct cx_str bytes;

	if (!cx_get_bytes(page, &bytes, CX_FILE_LIST_MAX))
		return false;
	one = (struct cx_reader){ .p = (const uint8_t *)bytes.p, .left = bytes.len };
	return cx_msg_file_entry_get(&one, ret) && ret->name.len > 0 &&
	       memchr(ret->name.p, '/', ret->name.len) == NULL;
}

static int write_entries(struct cx_jsonw *w, const struct cx_collected *got, struct cx_err *err)
{
	struct cx_reader page = { .p = (const uint8_t *)got->p, .left = got->len };
	struct cx_msg_file_entry entry;
	uint64_t n = 0;

	cx_jsonw_array(w, "entries");
	for (; page.left > 0; n++) {
		if (n == CX_FILE_LIST_ENTRIES_MAX || !next_entry(&page, &entry))
			return cx_refuse(err, CX_INTERNAL, "the sandbox lists a directory wrongly");
		cx_jsonw_object(w, NULL);
		cx_jsonw_bytes(w, "name", entry.name.p, entry.name.len);
		write_stat(w, entry.kind, entry.mode, entry.size, entry.mtime);
		if (entry.kind == CX_FILE_LINK)
			cx_jsonw_bytes(w, "target", entry.target.p, entry.target.len);
		cx_jsonw_end(w);
	}
	cx_jsonw_end(w);
	cx_jsonw_bool(w, "more", n > 0 && n < got->info.length);
	return 0;
}

static void list_done(struct cx_request *req, const struct cx_collected *got,
		      const struct cx_err *err)
{
	struct cx_buf json = { .max = LIST_MAX };
	struct cx_jsonw w = { .out = &json };
	struct cx_err failed;

	if (err != NULL) {
		cx_files_fail(req, err);
		return;
	}
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "path", cx_request_query(req, "path"));
	write_stat(&w, got->info.kind, got->info.mode, got->info.size, got->info.mtime);
	if (write_entries(&w, got, &failed) < 0) {
		cx_buf_free(&json);
		cx_files_fail(req, &failed);
		return;
	}
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

void cx_handle_file_list(struct cx_request *req)
{
	struct cx_msg_file_list what = { .path = { 0 } };
	struct cx_session *session;
	struct cx_err err;

	if (cx_access_session(req, req->param, &session, &err) < 0 ||
	    cx_files_path(req, &what.path, &err) < 0 ||
	    query_text(req, "user", USER_MAX, &what.user, &err) < 0 ||
	    query_text(req, "after", NAME_BYTES_MAX, &what.after, &err) < 0)
		cx_files_fail(req, &err);
	else
		cx_collect_list(req, session, &what, list_done);
}
