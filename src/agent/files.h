/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_FILES_H
#define CX_AGENT_FILES_H

#include "agent/conn.h"
#include "agent/fileop.h"

/*
 * "file_put", "file_get" and "file_list": a job each (job.h), told of by file_info and then by ok
 * or agent_error. data is the pipe, borrowed.
 */
CX_MUST int cx_files_request(struct cx_agent *agent, struct cx_conn_ref asker,
			     const struct cx_fileop *op, int data, struct cx_err *err);

#endif
