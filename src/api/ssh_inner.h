/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_SSH_INNER_H
#define CX_API_SSH_INNER_H

#include <netinet/in.h>

#include "api/boxes.h"
#include "api/ssh.h"
#include "api/ssh_store.h"
#include "proto/outbox.h"

/*
 * The inside of SSH: sshdoor.c takes connections in, sshconn.c speaks with the worker of one and
 * decides about its login, sshchan.c is what runs in one channel of it.
 */
struct cx_ssh {
	struct cx_gateway *gw;
	struct cx_ssh_host_key key;
	struct cx_engine_call listen;
	struct cx_source source;
	struct cx_timer rest;	/* no descriptors: nobody is let in for a moment */
	struct cx_err why;	/* errnum set: there is no socket */
	struct cx_ssh_where at; /* its address, when there is one */
	struct cx_ssh_conn *conns;
	unsigned n, strangers;
};

struct cx_ssh_conn {
	struct cx_ssh *door;
	struct cx_source source; /* to the worker */
	struct cx_outbox outbox;
	struct cx_engine_call worker;
	struct in6_addr from;  /* of IPv6 the first half */
	struct cx_timer timer; /* the login's deadline, then the session's end */
	unsigned tries;
	bool logged_in, closed;
	struct cx_ssh_session_row session; /* when logged in */
	struct cx_box_watch watch;
	struct cx_ssh_chan *chans;
	unsigned nchans;
	struct cx_ssh_conn *next, **link;
};

struct cx_ssh_chan {
	struct cx_gateway *gw;
	struct cx_ssh_conn *conn; /* NULL: its client has gone, it is being ended */
	uint32_t number;
	struct cx_exec exec;
	struct cx_call dial;
	struct cx_timer kill;
	struct cx_ssh_chan *next, **link;
};

/* sshconn.c: takes *sock, a client's connection, over (left -EBADF). */
CX_MUST int cx_ssh_conn_open(struct cx_ssh *door, int *sock, const struct in6_addr *from,
			     struct cx_err *err);
void cx_ssh_conn_close(struct cx_ssh_conn *conn);

/* To the worker; a failure closes the connection, after this turn of the loop at the earliest. */
#define CX_SSH_POST(conn, name, number, fds, nfds, ...)                                          \
	do {                                                                                     \
		struct cx_msg_##name m_ = { __VA_ARGS__ };                                       \
		uint8_t out_[CX_PACKET_HEADER + CX_SSH_POST_MAX];                                \
		struct cx_writer w_ = { .p = out_ + CX_PACKET_HEADER, .left = CX_SSH_POST_MAX }; \
                                                                                                 \
		(void)cx_msg_##name##_put(&w_, &m_);                                             \
		cx_ssh_conn_post(conn, out_, (size_t)(w_.p - out_), CX_MSG_##name, number, fds,  \
				 nfds);                                                          \
	} while (0)
enum { CX_SSH_POST_MAX = 1024 };
void cx_ssh_conn_post(struct cx_ssh_conn *conn, uint8_t *packet, size_t len, uint16_t type,
		      uint32_t number, const int *fds, unsigned nfds);

/* sshchan.c: what the worker asks for. false: it breaks the protocol. */
bool cx_ssh_chan_start(struct cx_ssh_conn *conn, uint32_t number, const struct cx_msg_ssh_start *m);
bool cx_ssh_chan_dial(struct cx_ssh_conn *conn, uint32_t number, const struct cx_msg_ssh_dial *m);
struct cx_ssh_chan *cx_ssh_chan_find(struct cx_ssh_conn *conn, uint32_t number);
/* Nobody is told of it any more, and what runs ends. */
void cx_ssh_chan_hang_up(struct cx_ssh_chan *chan);

#endif
