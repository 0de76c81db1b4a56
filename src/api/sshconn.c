/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "api/accounts_store.h"
#include "api/ssh_inner.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"

enum {
	PACKETS_PER_TURN = 32,
	QUEUE_MAX = 256,
	LOGIN_MS = CX_SSH_LOGIN_MS + 5000, /* the worker gives up first, and says so */
	CHANS_MAX = 2 * CX_SSH_CHANNELS_MAX,
};

/* ---- its end --------------------------------------------------------------------------------- */

static void bury(struct cx_source *source)
{
	struct cx_ssh_conn *conn = cx_container_of(source, struct cx_ssh_conn, source);

	cx_outbox_clear(&conn->outbox);
	free(conn);
}

/* The worker sees it, closes the client's connection and goes. */
void cx_ssh_conn_close(struct cx_ssh_conn *conn)
{
	if (conn->closed)
		return;
	conn->closed = true;
	while (conn->chans != NULL)
		cx_ssh_chan_hang_up(conn->chans);
	cx_timer_clear(&conn->timer);
	cx_box_unwatch(&conn->watch);
	cx_engine_forget(&conn->worker);
	cx_list_remove(conn);
	conn->door->n--;
	conn->door->strangers -= !conn->logged_in;
	cx_loop_drop(conn->door->gw->loop, &conn->source);
}

static void on_time(struct cx_timer *timer)
{
	cx_ssh_conn_close(cx_container_of(timer, struct cx_ssh_conn, timer));
}

static void on_box_ended(struct cx_box_watch *watch, const struct cx_sandbox_row *row)
{
	(void)row;
	cx_ssh_conn_close(cx_container_of(watch, struct cx_ssh_conn, watch));
}

static void on_worker_ended(struct cx_engine_call *call, struct cx_engine_answer *answer,
			    const struct cx_err *err)
{
	(void)answer;
	if (err != NULL)
		cx_log_err(CX_LOG_WARNING, err, "SSH connection", NULL);
	cx_ssh_conn_close(cx_container_of(call, struct cx_ssh_conn, worker));
}

void cx_ssh_conn_post(struct cx_ssh_conn *conn, uint8_t *packet, size_t len, uint16_t type,
		      uint32_t number, const int *fds, unsigned nfds)
{
	struct cx_err err;

	if (conn->closed ||
	    cx_outbox_post(&conn->outbox, packet, len, type, number, fds, nfds, &err) == 0)
		return;
	cx_log_err(CX_LOG_DEBUG, &err, "SSH worker", NULL);
	/* Its end follows like that of one that has gone by itself. */
	(void)shutdown(conn->source.fd, SHUT_RDWR);
}

/* ---- the login ------------------------------------------------------------------------------- */

/* The session that lets them in, in *ret; all of it is looked at, whatever is wrong first. */
static bool may_log_in(struct cx_gateway *gw, const struct cx_msg_ssh_login *m,
		       struct cx_ssh_session_row *ret)
{
	char id[CX_SSH_USER_MAX + 1];
	struct cx_box *box = NULL;
	struct cx_err err = { 0 };
	int found = cx_str_copy(m->user, id, sizeof id) ? cx_store_ssh_get(gw->store, id, ret, &err)
							: 0;
	bool key_fits;

	if (found < 0)
		cx_log_err(CX_LOG_ERROR, &err, "SSH login", NULL);
	if (found != 1)
		*ret = (struct cx_ssh_session_row){ 0 };
	key_fits = cx_ssh_key_equal(&ret->key, m->key);
	box = cx_box_find(gw, ret->sandbox);
	return key_fits && cx_wall_ms() < ret->expires_ms && box != NULL &&
	       cx_box_agent(box, &err) != NULL;
}

static void audit(struct cx_gateway *gw, struct cx_ssh_session_row *session)
{
	char action[] = "SSH", id[CX_SSH_USER_MAX + 1];
	struct cx_audit_row row = { .at_ms = cx_wall_ms(),
				    .user_id = session->user_id,
				    .action = action,
				    .object = session->sandbox,
				    .outcome = 200,
				    .request_id = id };
	struct cx_err err;

	memcpy(id, session->id, sizeof id);
	if (cx_store_audit_insert(gw->store, &row, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "audit log not written", NULL);
}

static void let_in(struct cx_ssh_conn *conn)
{
	struct cx_gateway *gw = conn->door->gw;

	conn->logged_in = true;
	conn->door->strangers--;
	conn->watch.ended = on_box_ended;
	cx_box_watch(cx_box_find(gw, conn->session.sandbox), &conn->watch);
	cx_timer_set(gw->loop, &conn->timer, (uint64_t)(conn->session.expires_ms - cx_wall_ms()));
	audit(gw, &conn->session);
	cx_log(CX_LOG_INFO, "SSH login", "session", conn->session.id, "sandbox",
	       conn->session.sandbox, NULL);
}

static bool on_login(struct cx_ssh_conn *conn, const struct cx_msg_ssh_login *m)
{
	bool allowed = may_log_in(conn->door->gw, m, &conn->session);

	if (++conn->tries > CX_SSH_LOGIN_TRIES)
		return false;
	CX_SSH_POST(conn, ssh_verdict, 0, NULL, 0, .allowed = allowed);
	if (allowed && m->proven != 0)
		let_in(conn);
	return true;
}

/* ---- what the worker says -------------------------------------------------------------------- */

static bool start(struct cx_ssh_conn *conn, struct cx_packet *pkt)
{
	struct cx_msg_ssh_start m;
	struct cx_msg_ssh_dial dial;

	if (pkt->request == 0 || cx_ssh_chan_find(conn, pkt->request) != NULL)
		return false;
	if (conn->nchans >= CHANS_MAX) {
		CX_SSH_POST(conn, ssh_refused, pkt->request, NULL, 0,
			    .text = cx_str_of("too many channels"));
		return true;
	}
	if (pkt->type == CX_MSG_ssh_start)
		return cx_msg_ssh_start_get(&pkt->body, &m) &&
		       cx_ssh_chan_start(conn, pkt->request, &m);
	return cx_msg_ssh_dial_get(&pkt->body, &dial) &&
	       cx_ssh_chan_dial(conn, pkt->request, &dial);
}

/* About a channel that may have ended just now. */
static bool steer(struct cx_ssh_conn *conn, struct cx_packet *pkt)
{
	struct cx_ssh_chan *chan = cx_ssh_chan_find(conn, pkt->request);
	struct cx_msg_ssh_resize resize;
	struct cx_msg_ssh_signal signal;
	struct cx_err ignored;

	switch (pkt->type) {
	case CX_MSG_ssh_resize:
		if (!cx_msg_ssh_resize_get(&pkt->body, &resize))
			return false;
		if (chan != NULL)
			(void)!cx_exec_resize(&chan->exec, resize.rows, resize.cols, NULL,
					      &ignored);
		return true;
	case CX_MSG_ssh_signal:
		if (!cx_msg_ssh_signal_get(&pkt->body, &signal) || signal.signo == 0)
			return false;
		if (chan != NULL)
			(void)!cx_exec_signal(&chan->exec, signal.signo, NULL, &ignored);
		return true;
	default: /* ssh_hangup */
		if (chan != NULL)
			cx_ssh_chan_hang_up(chan);
		return pkt->body.left == 0;
	}
}

static bool dispatch(struct cx_ssh_conn *conn, struct cx_packet *pkt)
{
	struct cx_msg_ssh_login login;

	if (pkt->nfds != 0)
		return false;
	if (!conn->logged_in)
		return pkt->type == CX_MSG_ssh_login && cx_msg_ssh_login_get(&pkt->body, &login) &&
		       on_login(conn, &login);
	switch (pkt->type) {
	case CX_MSG_ssh_start:
	case CX_MSG_ssh_dial:
		return start(conn, pkt);
	case CX_MSG_ssh_resize:
	case CX_MSG_ssh_signal:
	case CX_MSG_ssh_hangup:
		return steer(conn, pkt);
	default:
		return false;
	}
}

/* 1: there may be more; 0: it has gone; -errno. */
static int receive(struct cx_ssh_conn *conn, struct cx_err *err)
{
	struct cx_packet *pkt = conn->door->gw->scratch;
	int r = cx_packet_recv(conn->source.fd, pkt, err);
	bool good;

	if (r <= 0)
		return r;
	good = dispatch(conn, pkt);
	cx_packet_drop(pkt);
	return good ? 1 : cx_refuse(err, CX_INTERNAL, "message %#x of an SSH worker", pkt->type);
}

static void on_packets(struct cx_source *source, uint32_t events)
{
	struct cx_ssh_conn *conn = cx_container_of(source, struct cx_ssh_conn, source);
	struct cx_err err;
	int r = (events & EPOLLOUT) != 0 ? cx_outbox_flush(&conn->outbox, &err) : 0;

	if (r == 0)
		r = 1;
	for (unsigned i = 0; r > 0 && i < PACKETS_PER_TURN && !conn->closed; i++)
		r = receive(conn, &err);
	if (r > 0 || r == -EAGAIN || conn->closed)
		return;
	if (r < 0)
		cx_log_err(CX_LOG_WARNING, &err, "SSH connection ended", NULL);
	cx_ssh_conn_close(conn);
}

/* ---- its beginning --------------------------------------------------------------------------- */

static void enlist(struct cx_ssh_conn *conn)
{
	struct cx_ssh *door = conn->door;

	cx_list_add(&door->conns, conn);
	door->n++;
	door->strangers++;
	cx_timer_set(door->gw->loop, &conn->timer, LOGIN_MS);
}

static int make_pair(int *ret_ours, int *ret_theirs, struct cx_err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail(err, errno, "socket pair");
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return cx_set_nonblock(pair[0], true, err);
}

int cx_ssh_conn_open(struct cx_ssh *door, int *sock, const struct in6_addr *from,
		     struct cx_err *err)
{
	cx_autofd int client = cx_take_fd(sock), ours = -EBADF, theirs = -EBADF;
	struct cx_ssh_conn *conn = calloc(1, sizeof *conn);

	if (conn == NULL)
		return cx_fail(err, ENOMEM, "SSH connection");
	*conn = (struct cx_ssh_conn){ .door = door,
				      .source = { .ready = on_packets, .destroy = bury },
				      .worker = { .done = on_worker_ended },
				      .from = *from,
				      .timer = { .fire = on_time } };
	if (make_pair(&ours, &theirs, err) < 0 ||
	    cx_engine_ssh(door->gw->engine, (const int[]){ theirs, client }, &conn->worker, err) <
		    0) {
		free(conn);
		return -err->errnum;
	}
	conn->source.fd = ours;
	cx_outbox_open(&conn->outbox, door->gw->loop, &conn->source, QUEUE_MAX);
	if (cx_loop_add(door->gw->loop, &conn->source, EPOLLIN, err) < 0) {
		cx_engine_forget(&conn->worker);
		free(conn);
		return -err->errnum;
	}
	(void)cx_take_fd(&ours);
	enlist(conn);
	CX_SSH_POST(conn, ssh_begin, 0, NULL, 0,
		    .host_key = { (const char *)door->key.raw, sizeof door->key.raw });
	return 0;
}
