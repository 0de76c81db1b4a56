/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/session_inner.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int on_error(struct cx_session *session, struct cx_pending *slot, struct cx_reader *body,
		    struct cx_err *err)
{
	struct cx_msg_agent_error m;
	struct cx_err said;

	if (!cx_msg_agent_error_get(body, &m))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	slot->closed = true;
	(void)cx_err_adopt(&said, m.kind, m.errnum, m.text.p, m.text.len);
	cx_session_fail_pending(session, slot, &said);
	return 0;
}

static int on_ok(struct cx_session *session, struct cx_pending *slot, struct cx_reader *body,
		 struct cx_err *err)
{
	struct cx_msg_agent_ok m;
	struct cx_answer answer = { 0 };

	if (!cx_msg_agent_ok_get(body, &m))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	if (slot->waits != CX_WAIT_DONE) {
		cx_pending_answer(slot, &answer);
		return 0;
	}
	if (session->events.used != NULL)
		session->events.used(session, session->events.arg);
	cx_pending_fail(slot, false, NULL, NULL);
	return 0;
}

static int on_log_data(struct cx_session *session, struct cx_pending *slot, struct cx_reader *body,
		       struct cx_err *err)
{
	struct cx_answer answer = { 0 };
	const struct cx_msg_log_data *m = &answer.log;

	(void)session;
	if (!cx_msg_log_data_get(body, &answer.log) || m->data.len > slot->limit ||
	    m->offset > m->end || m->data.len > m->end - m->offset)
		return cx_refuse(err, CX_INVALID, "malformed fields");
	cx_pending_answer(slot, &answer);
	return 0;
}

static int on_main_state(struct cx_session *session, struct cx_pending *slot,
			 struct cx_reader *body, struct cx_err *err)
{
	struct cx_answer answer = { 0 };

	if (!cx_msg_main_state_get(body, &answer.main))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	if (slot != NULL)
		cx_pending_answer(slot, &answer);
	else if (session->events.main_ended != NULL)
		session->events.main_ended(session, &answer.main, session->events.arg);
	return 0;
}

static int on_file_info(struct cx_session *session, struct cx_pending *slot, struct cx_reader *body,
			struct cx_err *err)
{
	struct cx_msg_file_info m;
	struct cx_file *file = slot->owner;

	if (!cx_msg_file_info_get(body, &m) || m.length > slot->length ||
	    (slot->reads && (m.offset > m.size || m.length > m.size - m.offset)))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	slot->waits = CX_WAIT_DONE;
	slot->deadline_ms = 0;
	if (slot->limit > 0)
		slot->deadline_ms = cx_now_ms() + slot->limit + CX_SESSION_ANSWER_MS;
	if (slot->kill_late)
		cx_session_kill_latecomer(session, slot->request);
	else if (file != NULL)
		file->ready(file, &m);
	return 0;
}

static bool option_is(int sock, int option, int wanted)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(sock, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

/* Whatever else it is handed would do something else when it is read, written or closed. */
static bool is_tcp_socket(int sock)
{
	return option_is(sock, SO_TYPE, SOCK_STREAM) && option_is(sock, SO_PROTOCOL, IPPROTO_TCP) &&
	       (option_is(sock, SO_DOMAIN, AF_INET) || option_is(sock, SO_DOMAIN, AF_INET6));
}

/* No more when the server has reset it meanwhile, which is no lie of the agent's. */
static bool is_connected(int sock)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;

	return getpeername(sock, (struct sockaddr *)&peer, &len) == 0;
}

static int on_port_opened(struct cx_session *session, struct cx_pending *slot,
			  struct cx_reader *body, struct cx_err *err)
{
	struct cx_msg_port_opened m;
	struct cx_answer answer = { .sock = &session->scratch->fds[0] };
	struct cx_err cut;

	if (!cx_msg_port_opened_get(body, &m))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	if (!is_tcp_socket(*answer.sock))
		return cx_refuse(err, CX_INVALID, "a descriptor that is no TCP socket");
	if (is_connected(*answer.sock)) {
		cx_pending_answer(slot, &answer);
		return 0;
	}
	(void)cx_refuse(&cut, CX_UNAVAILABLE, "the server closed the connection at once");
	cx_pending_fail(slot, false, NULL, &cut);
	return 0;
}

static const struct answer_row {
	uint16_t type;
	uint16_t waits; /* what the request of this number must be waiting for */
	bool may_event; /* legal with request 0, to which no slot belongs */
	int (*run)(struct cx_session *session, struct cx_pending *slot, struct cx_reader *body,
		   struct cx_err *err);
	unsigned nfds, or_nfds; /* descriptors that come along, exactly */
} answers[] = {
	{ CX_MSG_agent_error,
	  CX_WAIT_OK | CX_WAIT_LOG | CX_WAIT_MAIN | CX_WAIT_START | CX_WAIT_FILE | CX_WAIT_PORT,
	  false, on_error, 0, 0 },
	{ CX_MSG_agent_ok, CX_WAIT_OK | CX_WAIT_DONE, false, on_ok, 0, 0 },
	{ CX_MSG_log_data, CX_WAIT_LOG, false, on_log_data, 0, 0 },
	{ CX_MSG_main_state, CX_WAIT_MAIN, true, on_main_state, 0, 0 },
	{ CX_MSG_started, CX_WAIT_START, false, cx_session_on_started, 0, 0 },
	{ CX_MSG_exited, CX_WAIT_EXIT, false, cx_session_on_exited, 0, 1 },
	{ CX_MSG_file_info, CX_WAIT_INFO, false, on_file_info, 0, 0 },
	{ CX_MSG_port_opened, CX_WAIT_PORT, false, on_port_opened, 1, 1 },
};

static int take_answer(struct cx_session *session, struct cx_packet *pkt, struct cx_err *err)
{
	const struct answer_row *row = NULL;
	struct cx_pending *slot = cx_session_find(session, pkt->request);

	for (size_t i = 0; i < CX_LEN(answers); i++)
		if (answers[i].type == pkt->type)
			row = &answers[i];
	if (row == NULL)
		return cx_refuse(err, CX_INVALID, "message of unknown type %#x", pkt->type);
	if (slot == NULL ? !row->may_event || pkt->request != 0 : (slot->waits & row->waits) == 0)
		return cx_refuse(err, CX_INVALID,
				 "message of type %#x to request %u, which does not "
				 "wait for it",
				 pkt->type, pkt->request);
	if (pkt->nfds != row->nfds && pkt->nfds != row->or_nfds)
		return cx_refuse(err, CX_INVALID, "message of type %#x with %u descriptors",
				 pkt->type, pkt->nfds);
	if (row->run(session, slot, &pkt->body, err) < 0)
		return cx_wrap(err, "message of type %#x", pkt->type);
	return 0;
}

static int take_hello(struct cx_session *session, struct cx_packet *pkt, struct cx_err *err)
{
	struct cx_msg_agent_hello m;

	if (pkt->type != CX_MSG_agent_hello || pkt->request != 0 || pkt->nfds != 0 ||
	    !cx_msg_agent_hello_get(&pkt->body, &m) || m.version != 1)
		return cx_refuse(err, CX_INVALID,
				 "a first message of type %#x that is no hello of "
				 "this version",
				 pkt->type);
	if (m.state != CX_AGENT_CLAIMED)
		return cx_refuse(err, CX_CONFLICT, "the sandbox has not been claimed");
	session->greeted = true;
	return cx_session_flush(session, err);
}

/*
 * What the agent has handed over and nobody has taken. What it set a socket to must not make the
 * last close(2) wait for it; what is no socket does not mind.
 */
static void drop_packet(struct cx_packet *pkt)
{
	static const struct linger none;

	for (unsigned i = 0; i < pkt->nfds; i++)
		(void)setsockopt(pkt->fds[i], SOL_SOCKET, SO_LINGER, &none, sizeof none);
	cx_packet_drop(pkt);
}

int cx_session_receive(struct cx_session *session, struct cx_err *err)
{
	struct cx_packet *pkt = session->scratch;
	int r = cx_packet_recv(session->src.fd, pkt, err);

	if (r == -EAGAIN)
		return 0;
	if (r == 0)
		return cx_refuse(err, CX_UNAVAILABLE, "the sandbox closed the connection");
	if (r < 0)
		return r;
	r = session->greeted ? take_answer(session, pkt, err) : take_hello(session, pkt, err);
	drop_packet(pkt);
	return r < 0 ? r : 1;
}
