/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/files.h"

#include "agent/job.h"

static void tell_ready(struct cx_job *job, const struct cx_msg_file_info *info)
{
	cx_conn_say_file_info(cx_conn_find(job->agent, job->asker.conn), job->asker.request, info);
}

static void tell_failed(struct cx_job *job, const struct cx_err *err)
{
	cx_conn_refuse(cx_conn_find(job->agent, job->asker.conn), job->asker.request, err);
}

static void tell_ended(struct cx_job *job, const struct cx_msg_exited *end)
{
	struct cx_err err;

	if (job->said.errnum == 0 && end->how == CX_EXITED_CODE && end->status == 0) {
		cx_conn_ok(cx_conn_find(job->agent, job->asker.conn), job->asker.request);
		return;
	}
	if (job->said.errnum != 0)
		err = job->said;
	else if (end->how == CX_EXITED_TIMEOUT)
		(void)cx_refuse(&err, CX_TIMEOUT, "the transfer took longer than it may");
	else
		(void)cx_refuse(&err, CX_LIMIT,
				"the transfer was killed; the sandbox may be out of memory");
	tell_failed(job, &err);
}

static const struct cx_job_events tell_asker = {
	.ready = tell_ready,
	.failed = tell_failed,
	.exited = tell_ended,
};

/* Whoever names a path from the root needs no working directory, which may be gone. */
static struct cx_msg_exec as_command(struct cx_str path, struct cx_str user, uint32_t timeout_ms)
{
	bool absolute = path.len > 0 && path.p[0] == '/';

	return (struct cx_msg_exec){ .user = user,
				     .cwd = cx_str_of(absolute ? "/" : ""),
				     .timeout_ms = timeout_ms };
}

int cx_files_request(struct cx_agent *agent, struct cx_conn_ref asker, const struct cx_fileop *op,
		     int data, struct cx_err *err)
{
	struct cx_msg_exec as;

	if (cx_job_find(agent, asker) != NULL)
		return cx_refuse(err, CX_INVALID, "a request with number %u is running",
				 asker.request);
	if (op->type == CX_MSG_file_put)
		as = as_command(op->m.put.path, op->m.put.user, op->m.put.timeout_ms);
	else if (op->type == CX_MSG_file_get)
		as = as_command(op->m.get.path, op->m.get.user, op->m.get.timeout_ms);
	else
		as = as_command(op->m.list.path, op->m.list.user, op->m.list.timeout_ms);
	return cx_job_start_file(agent, op, &as, data, &tell_asker, asker, err);
}
