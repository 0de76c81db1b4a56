/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/session_inner.h"

struct cx_pending cx_session_want_answer(uint16_t waits, void *owner)
{
	return (struct cx_pending){ .owner = owner,
				    .waits = waits,
				    .deadline_ms = cx_now_ms() + CX_SESSION_ANSWER_MS };
}

int cx_session_bind_call(struct cx_session *session, struct cx_call *call, uint32_t request)
{
	if (call != NULL) {
		call->session = session;
		call->request = request;
	}
	return 0;
}

int cx_session_configure(struct cx_session *session, const struct cx_msg_configure *config,
			 struct cx_call *call, struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_OK, call);
	uint32_t request;

	if (cx_session_ask_configure(session, &want, config, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return cx_session_bind_call(session, call, request);
}

int cx_session_log(struct cx_session *session, uint64_t offset, uint32_t max, struct cx_call *call,
		   struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_LOG, call);
	struct cx_msg_log_read m = { .offset = offset, .max = max };
	uint32_t request;

	want.limit = max;
	if (cx_session_ask_log_read(session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return cx_session_bind_call(session, call, request);
}

int cx_session_exec_output(struct cx_session *session, const char *key, bool of_stderr,
			   uint64_t offset, uint32_t max, uint32_t wait_ms, struct cx_call *call,
			   struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_LOG, call);
	struct cx_msg_exec_output m = { .key = cx_str_of(key),
					.which = of_stderr,
					.offset = offset,
					.max = max,
					.wait_ms = wait_ms };
	uint32_t request;

	want.limit = max;
	want.deadline_ms += wait_ms;
	if (cx_session_ask_exec_output(session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return cx_session_bind_call(session, call, request);
}

int cx_session_main(struct cx_session *session, struct cx_call *call, struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_MAIN, call);
	struct cx_msg_main_status m;
	uint32_t request;

	if (cx_session_ask_main_status(session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return cx_session_bind_call(session, call, request);
}

int cx_session_port(struct cx_session *session, uint16_t port, uint32_t timeout_ms,
		    struct cx_call *call, struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_PORT, call);
	struct cx_msg_port_open m = { .port = port, .timeout_ms = timeout_ms };
	uint32_t request;

	want.deadline_ms += timeout_ms;
	if (cx_session_ask_port_open(session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return cx_session_bind_call(session, call, request);
}

void cx_call_forget(struct cx_call *call)
{
	struct cx_pending *slot = NULL;

	if (call->session != NULL)
		slot = cx_session_find(call->session, call->request);
	if (slot != NULL)
		slot->owner = NULL;
	call->session = NULL;
}

static void bind_file(struct cx_session *session, struct cx_file *file, uint32_t request)
{
	file->session = session;
	file->request = request;
	if (session->events.used != NULL)
		session->events.used(session, session->events.arg);
}

int cx_session_file_put(struct cx_session *session, const struct cx_msg_file_put *what, int *pipe,
			struct cx_file *file, struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_INFO, file);
	uint32_t request = 0;
	int r;

	want.limit = what->timeout_ms;
	r = cx_session_ask_file_put(session, &want, what, pipe, 1, &request, err);
	cx_close(pipe);
	if (r == 0)
		bind_file(session, file, request);
	return r;
}

int cx_session_file_get(struct cx_session *session, const struct cx_msg_file_get *what, int *pipe,
			struct cx_file *file, struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_INFO, file);
	uint32_t request = 0;
	int r;

	want.limit = what->timeout_ms;
	want.length = what->length;
	want.reads = true;
	r = cx_session_ask_file_get(session, &want, what, pipe, 1, &request, err);
	cx_close(pipe);
	if (r == 0)
		bind_file(session, file, request);
	return r;
}

int cx_session_file_list(struct cx_session *session, const struct cx_msg_file_list *what, int *pipe,
			 struct cx_file *file, struct cx_err *err)
{
	struct cx_pending want = cx_session_want_answer(CX_WAIT_INFO, file);
	uint32_t request = 0;
	int r;

	want.limit = what->timeout_ms;
	want.length = UINT64_MAX;
	r = cx_session_ask_file_list(session, &want, what, pipe, 1, &request, err);
	cx_close(pipe);
	if (r == 0)
		bind_file(session, file, request);
	return r;
}

void cx_file_cancel(struct cx_file *file)
{
	struct cx_session *session = file->session;
	struct cx_pending *slot = NULL;

	file->session = NULL;
	if (session != NULL)
		slot = cx_session_find(session, file->request);
	if (slot == NULL)
		return;
	slot->owner = NULL;
	if (cx_session_alive(session))
		cx_session_kill_latecomer(session, file->request);
}
