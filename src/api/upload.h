/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_UPLOAD_H
#define CX_API_UPLOAD_H

#include "api/files.h"

struct cx_upload_plan {
	struct cx_msg_file_put what; /* its timeout is set here */
	const char *field;	     /* of multipart/form-data; NULL: the body is the file */
	bool has_digest;	     /* what comes has to have it */
	uint8_t digest[32];
	bool unsummed; /* nobody asks for the SHA-256; not with has_digest */
};

struct cx_upload_result {
	uint64_t size;
	bool summed;
	uint8_t digest[32]; /* SHA-256 */
};

/*
 * Takes the body of req, whose route is of CX_BODY_STREAM, into a file of its sandbox: all of it,
 * or nothing is changed. done() answers req, with result or err (cx_files_fail()) set: at once,
 * later, or never when the client left before.
 */
typedef void cx_upload_done(struct cx_request *req, const struct cx_upload_result *result,
			    const struct cx_err *err);
void cx_upload_start(struct cx_request *req, struct cx_session *session,
		     const struct cx_upload_plan *plan, cx_upload_done *done);

#endif
