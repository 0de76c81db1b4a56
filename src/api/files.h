/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_FILES_H
#define CX_API_FILES_H

#include "api/access.h"

/* What everything that is done to files of a sandbox shares. */
enum {
	CX_FILE_MAX = 200 << 20, /* bytes of an upload, but for an archive of many files */
	CX_FILE_READ_MAX = 10 << 20,
	CX_FILE_MOVE_MS = 3600 * 1000,
	CX_FILE_READ_MS = 25 * 1000, /* clients wait for 30 s */
	CX_FILE_PIPE_BYTES = 256 << 10,
};

/* The HTTP status of a failure: 413 for what is too large, 4xx for what stays wrong. */
unsigned cx_files_status(const struct cx_err *err);
/* Answers with it. */
void cx_files_fail(struct cx_request *req, const struct cx_err *err);
/* Says that something is too large: the text is format's. */
CX_PRINTF(2) int cx_files_refuse_large(struct cx_err *err, const char *fmt, ...);
/*
 * What the agent says, as an answer to req: no state of a file is one of the sandbox; and where the
 * sandbox has gone meanwhile, that is the reason.
 */
void cx_files_explain(struct cx_request *req, const struct cx_err *said, struct cx_err *ret);

/* A pipe of which theirs is the agent's end; ours does not block. */
CX_MUST int cx_files_pipe(bool ours_writes, int *ret_ours, int *ret_theirs, struct cx_err *err);

/* Answers with a part of a file, its length known from the beginning; in every case. */
void cx_download_start(struct cx_request *req, struct cx_session *session,
		       struct cx_msg_file_get *what);

/*
 * Collects a part of a file (at most CX_FILE_READ_MAX bytes) or the page of a directory. done()
 * answers req, in every case, later or at once.
 */
struct cx_collected { /* valid in done() only */
	struct cx_msg_file_info info;
	const char *p;
	size_t len;
};
typedef void cx_collect_done(struct cx_request *req, const struct cx_collected *got,
			     const struct cx_err *err);
void cx_collect_get(struct cx_request *req, struct cx_session *session,
		    struct cx_msg_file_get *what, cx_collect_done *done);
void cx_collect_list(struct cx_request *req, struct cx_session *session,
		     struct cx_msg_file_list *what, cx_collect_done *done);

/* The query parameter "path", which must be there: 1 to 4095 bytes. */
CX_MUST int cx_files_path(const struct cx_request *req, struct cx_str *ret, struct cx_err *err);

#endif
