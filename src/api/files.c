/* SPDX-License-Identifier: Apache-2.0 */
#include "api/files.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/errors.h"
#include "base/fd.h"

unsigned cx_files_status(const struct cx_err *err)
{
	return err->errnum == EFBIG ? 413 : cx_error_status(err->kind);
}

void cx_files_fail(struct cx_request *req, const struct cx_err *err)
{
	cx_request_fail_as(req, cx_files_status(err), err);
}

int cx_files_refuse_large(struct cx_err *err, const char *fmt, ...)
{
	char text[sizeof err->msg];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	(void)cx_refuse(err, CX_LIMIT, "%s", text);
	err->errnum = EFBIG;
	return -EFBIG;
}

void cx_files_explain(struct cx_request *req, const struct cx_err *said, struct cx_err *ret)
{
	struct cx_session *session;

	*ret = *said;
	if (said->kind != CX_CONFLICT && said->kind != CX_UNAVAILABLE)
		return;
	if (cx_access_session(req, req->param, &session, ret) < 0)
		return;
	*ret = *said;
	if (ret->kind == CX_CONFLICT)
		ret->kind = CX_INVALID;
}

int cx_files_pipe(bool ours_writes, int *ret_ours, int *ret_theirs, struct cx_err *err)
{
	cx_autofd int reads = -EBADF, writes = -EBADF;

	if (cx_pipe(&reads, &writes, err) < 0 ||
	    cx_set_nonblock(ours_writes ? writes : reads, true, err) < 0)
		return cx_wrap(err, "pipe of a file");
	(void)fcntl(writes, F_SETPIPE_SZ, CX_FILE_PIPE_BYTES); /* less does, too */
	*ret_ours = cx_take_fd(ours_writes ? &writes : &reads);
	*ret_theirs = cx_take_fd(ours_writes ? &reads : &writes);
	return 0;
}

int cx_files_path(const struct cx_request *req, struct cx_str *ret, struct cx_err *err)
{
	const char *path = cx_request_query(req, "path");

	if (path == NULL || path[0] == '\0')
		return cx_refuse(err, CX_INVALID, "say which file: '?path=...'");
	if (strlen(path) >= PATH_MAX)
		return cx_refuse(err, CX_INVALID, "the path has %zu bytes; at most %d are taken",
				 strlen(path), PATH_MAX - 1);
	*ret = cx_str_of(path);
	return 0;
}
