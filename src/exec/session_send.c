/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/session_inner.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"

void cx_queued_free(struct cx_queued *q)
{
	for (unsigned i = 0; i < q->nfds; i++)
		cx_close(&q->fds[i]);
	free(q);
}

void cx_queued_free_all(struct cx_queued *q)
{
	while (q != NULL) {
		struct cx_queued *next = q->next;

		cx_queued_free(q);
		q = next;
	}
}

struct cx_queued *cx_session_take_slotless(struct cx_session *session)
{
	struct cx_queued *q = session->slotless;

	session->slotless = NULL;
	session->slotless_tail = &session->slotless;
	return q;
}

void cx_session_free_queue(struct cx_session *session)
{
	cx_queued_free_all(session->head);
	cx_queued_free_all(cx_session_take_slotless(session));
	session->head = NULL;
	session->tail = &session->head;
	session->queued_bytes = 0;
}

static int watch(struct cx_session *session, bool output, struct cx_err *err)
{
	uint32_t events = EPOLLIN | (output && session->greeted ? EPOLLOUT : 0U);

	return cx_loop_change(session->loop, &session->src, events, err);
}

/* Keeps a copy and takes over the descriptors. */
static int append(struct cx_session *session, struct cx_queued ***tail,
		  const struct cx_queued *head, const uint8_t *bytes, int *fds, struct cx_err *err)
{
	struct cx_queued *q;

	if (session->queued_bytes + head->len > CX_SESSION_QUEUE_MAX)
		return cx_refuse(err, CX_LIMIT, "the sandbox does not take its requests");
	q = malloc(sizeof *q + head->len);
	if (q == NULL)
		return cx_fail(err, ENOMEM, "request of %zu bytes", head->len);
	*q = *head;
	memcpy(q->bytes, bytes, head->len);
	for (unsigned i = 0; i < q->nfds; i++)
		q->fds[i] = cx_take_fd(&fds[i]);
	**tail = q;
	*tail = &q->next;
	session->queued_bytes += q->len;
	return 0;
}

static int enqueue(struct cx_session *session, const struct cx_queued *head, const uint8_t *bytes,
		   int *fds, struct cx_err *err)
{
	if (watch(session, true, err) < 0)
		return -err->errnum;
	return append(session, &session->tail, head, bytes, fds, err);
}

/* A command without a slot, and what is said of one: it stays behind it. */
static bool has_to_wait(struct cx_session *session, const struct cx_queued *head)
{
	const struct cx_pending *slot = cx_session_find(session, head->request);

	if (head->type == CX_MSG_exec)
		return session->accounts != NULL && slot != NULL && slot->group == 0;
	return session->slotless != NULL &&
	       (head->type == CX_MSG_exec_signal || head->type == CX_MSG_exec_resize);
}

int cx_session_post(struct cx_session *session, const struct cx_queued *head, uint8_t *bytes,
		    int *fds, struct cx_err *err)
{
	int r;

	if (!session->greeted || session->head != NULL)
		return enqueue(session, head, bytes, fds, err);
	r = cx_packet_send(session->src.fd, bytes, head->len, head->type, head->request, fds,
			   head->nfds, err);
	if (r == -EAGAIN)
		return enqueue(session, head, bytes, fds, err);
	return r < 0 ? cx_wrap(err, "ask the sandbox") : 0;
}

static int transmit(struct cx_session *session, const struct cx_queued *head, uint8_t *bytes,
		    int *fds, struct cx_err *err)
{
	if (head->len > CX_PACKET_MAX)
		return cx_refuse(err, CX_INVALID,
				 "a request of %zu bytes; command, arguments and environment "
				 "together may have %d",
				 head->len, CX_PACKET_MAX);
	if (has_to_wait(session, head))
		return append(session, &session->slotless_tail, head, bytes, fds, err);
	return cx_session_post(session, head, bytes, fds, err);
}

#define DEFINE_ASK(name, FIELDS)                                                             \
	int cx_session_ask_##name(struct cx_session *session, const struct cx_pending *want, \
				  const struct cx_msg_##name *m, int *fds, unsigned nfds,    \
				  uint32_t *ret_request, struct cx_err *err)                 \
	{                                                                                    \
		CX_UNINITIALIZED uint8_t out[CX_PACKET_HEADER + FIELDS(CX_AS_SIZE) 0];       \
		struct cx_writer w = { .p = out + CX_PACKET_HEADER,                          \
				       .left = sizeof out - CX_PACKET_HEADER };              \
		struct cx_queued head = { .type = CX_MSG_##name, .nfds = nfds };             \
                                                                                             \
		if (!cx_msg_##name##_put(&w, m))                                             \
			return cx_refuse(err, CX_INVALID,                                    \
					 "a field of message '" #name                        \
					 "' is too long or holds a NUL byte");               \
		head.len = (size_t)(w.p - out);                                              \
		if (cx_session_take_slot(session, want, &head.request, err) < 0)             \
			return -err->errnum;                                                 \
		if (transmit(session, &head, out, fds, err) < 0) {                           \
			cx_pending_free(cx_session_find(session, head.request));             \
			return -err->errnum;                                                 \
		}                                                                            \
		*ret_request = head.request;                                                 \
		return 0;                                                                    \
	}

DEFINE_ASK(configure, CX_FIELDS_CONFIGURE)
DEFINE_ASK(exec, CX_FIELDS_EXEC)
DEFINE_ASK(exec_signal, CX_FIELDS_EXEC_SIGNAL)
DEFINE_ASK(exec_resize, CX_FIELDS_EXEC_RESIZE)
DEFINE_ASK(exec_watch, CX_FIELDS_EXEC_WATCH)
DEFINE_ASK(exec_output, CX_FIELDS_EXEC_OUTPUT)
DEFINE_ASK(log_read, CX_FIELDS_LOG_READ)
DEFINE_ASK(main_status, CX_FIELDS_AGENT_NONE)
DEFINE_ASK(file_put, CX_FIELDS_FILE_PUT)
DEFINE_ASK(file_get, CX_FIELDS_FILE_GET)
DEFINE_ASK(file_list, CX_FIELDS_FILE_LIST)
DEFINE_ASK(port_open, CX_FIELDS_PORT_OPEN)

int cx_session_flush(struct cx_session *session, struct cx_err *err)
{
	while (session->head != NULL) {
		struct cx_queued *q = session->head;
		int r = cx_packet_send(session->src.fd, q->bytes, q->len, q->type, q->request,
				       q->fds, q->nfds, err);

		if (r == -EAGAIN)
			break;
		if (r < 0)
			return r;
		session->head = q->next;
		if (session->head == NULL)
			session->tail = &session->head;
		session->queued_bytes -= q->len;
		for (unsigned i = 0; i < q->nfds; i++)
			cx_close(&q->fds[i]);
		free(q);
	}
	return watch(session, session->head != NULL, err);
}
