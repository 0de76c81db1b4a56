/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_RUN_H
#define CX_API_RUN_H

#include "api/command.h"
#include "api/http.h"
#include "api/outcopy.h"

/*
 * A command with one answer: the beginning and the end of its output are kept while it runs, the
 * rest is read and counted, so that it never waits for us. What the answer looks like is a matter
 * of who asked.
 */
enum { CX_RUN_KEPT_MAX = 10 << 20, CX_RUN_TAIL_MAX = 1 << 20 }; /* bytes of each stream */

struct cx_run_output {
	const char *p; /* the beginning */
	size_t len;
	const char *tail; /* the last of what is not in it */
	size_t tail_len;  /* 0 when that is all */
	uint64_t bytes;	  /* also of what was not kept */
};

struct cx_run_result { /* valid in done() only */
	const struct cx_result *end;
	struct cx_run_output out, err;
	const struct cx_outcopy *copy; /* of both; NULL: none */
	uint32_t pid;
};

/*
 * Runs spec (its input is taken) for req, whose gone and owner it uses: a client that leaves takes
 * its command along. id: for the log, the caller's until done(), or NULL. 0: done() follows once,
 * later, with result or err set, or with both when the sandbox or its agent was lost while the
 * command ran (exec/session.h); it answers req.
 * -errno: nothing runs, and nothing follows.
 */
typedef void cx_run_done(struct cx_request *req, const struct cx_run_result *result,
			 const struct cx_err *err, void *arg);
CX_MUST int cx_run_start(struct cx_request *req, struct cx_session *session,
			 struct cx_exec_spec *spec, const char *id, cx_run_done *done, void *arg,
			 struct cx_err *err);

#endif
