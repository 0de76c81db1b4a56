/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "api/ssh_inner.h"
#include "api/tcp.h"
#include "base/fd.h"
#include "base/log.h"

enum {
	REST_MS = 1000,
	ACCEPTS_PER_TURN = 16,
	PREFIX_BYTES = 8, /* one customer of IPv6 has at least so many addresses */
};

/* ---- who may come in ------------------------------------------------------------------------- */

static void address_of(const struct sockaddr_storage *sa, struct in6_addr *ret)
{
	*ret = (struct in6_addr){ 0 };
	if (sa->ss_family == AF_INET6)
		memcpy(ret, &((const struct sockaddr_in6 *)sa)->sin6_addr, PREFIX_BYTES);
	else
		memcpy(&ret->s6_addr[12], &((const struct sockaddr_in *)sa)->sin_addr, 4);
}

static bool has_room(const struct cx_ssh *door, const struct in6_addr *from)
{
	unsigned all = 0, strangers = 0;

	for (const struct cx_ssh_conn *conn = door->conns; conn != NULL; conn = conn->next) {
		bool same = IN6_ARE_ADDR_EQUAL(&conn->from, from);

		all += same;
		strangers += same && !conn->logged_in;
	}
	return door->n < CX_SSH_CONNECTIONS_MAX && all < CX_SSH_CONNECTIONS_FROM_MAX &&
	       door->strangers < CX_SSH_STRANGERS_MAX && strangers < CX_SSH_STRANGERS_FROM_MAX;
}

/* False: nobody is there now. */
static bool take_one(struct cx_ssh *door, struct cx_err *err)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof sa;
	struct in6_addr from;
	cx_autofd int sock = accept4(door->source.fd, (struct sockaddr *)&sa, &len,
				     SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (sock < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
		return errno != EAGAIN;
	if (sock < 0) {
		(void)cx_fail(err, errno, "accept");
		return false;
	}
	address_of(&sa, &from);
	if (!has_room(door, &from)) {
		cx_log(CX_LOG_WARNING, "an SSH connection was refused: too many", NULL);
		return true;
	}
	cx_tcp_tune(sock);
	return cx_ssh_conn_open(door, &sock, &from, err) == 0;
}

static void rest_over(struct cx_timer *timer)
{
	struct cx_ssh *door = cx_container_of(timer, struct cx_ssh, rest);
	struct cx_err err;

	if (cx_loop_change(door->gw->loop, &door->source, EPOLLIN, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "SSH is not served any more", NULL);
}

static void on_client(struct cx_source *source, uint32_t events)
{
	struct cx_ssh *door = cx_container_of(source, struct cx_ssh, source);
	struct cx_err err = { 0 }, ignored;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_PER_TURN && take_one(door, &err); i++)
		;
	if (err.errnum == 0)
		return;
	cx_log_err(CX_LOG_WARNING, &err, "SSH connection", NULL);
	if (cx_loop_change(door->gw->loop, source, 0, &ignored) == 0)
		cx_timer_set(door->gw->loop, &door->rest, REST_MS);
}

/* ---- the socket ------------------------------------------------------------------------------ */

static int note_address(struct cx_ssh *door, int sock, uint16_t port, struct cx_err *err)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof sa;
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)&sa)->sin6_addr;
	const struct in_addr *v4 = &((const struct sockaddr_in *)&sa)->sin_addr;
	bool is_v6, any;

	if (getsockname(sock, (struct sockaddr *)&sa, &len) < 0)
		return cx_fail(err, errno, "address of a socket");
	is_v6 = sa.ss_family == AF_INET6;
	any = is_v6 ? IN6_IS_ADDR_UNSPECIFIED(v6) : v4->s_addr == htonl(INADDR_ANY);
	door->at = (struct cx_ssh_where){ .port = port, .host_key = door->key.public };
	if (!any && inet_ntop(sa.ss_family, is_v6 ? (const void *)v6 : (const void *)v4,
			      door->at.host, sizeof door->at.host) == NULL)
		return cx_fail(err, errno, "address of a socket");
	return 0;
}

static void on_listening(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *why)
{
	struct cx_ssh *door = cx_container_of(call, struct cx_ssh, listen);
	struct cx_err err;

	if (why == NULL &&
	    (note_address(door, answer->fd, (uint16_t)answer->listening.port, &err) < 0 ||
	     cx_set_nonblock(answer->fd, true, &err) < 0))
		why = &err;
	if (why == NULL) {
		door->source = (struct cx_source){ .fd = answer->fd, .ready = on_client };
		if (cx_loop_add(door->gw->loop, &door->source, EPOLLIN, &err) < 0)
			why = &err;
		else
			answer->fd = -EBADF;
	}
	if (why != NULL) {
		door->why = *why;
		cx_log_err(CX_LOG_WARNING, why, "SSH is not served", NULL);
		return;
	}
	door->why.errnum = 0;
}

int cx_ssh_open(struct cx_gateway *gw, struct cx_err *err)
{
	struct cx_ssh *door = calloc(1, sizeof *door);

	if (door == NULL)
		return cx_fail(err, ENOMEM, "SSH");
	gw->ssh = door; /* as long as the process */
	door->gw = gw;
	door->source.fd = -EBADF;
	door->rest.fire = rest_over;
	door->listen.done = on_listening;
	(void)cx_refuse(&door->why, CX_UNAVAILABLE, "SSH is not served yet");
	if (cx_ssh_host_key_load(gw->state_dir, &door->key, err) < 0)
		return -err->errnum;
	return cx_engine_listen(gw->engine, CX_LISTEN_SSH, 0, &door->listen, err);
}

int cx_ssh_where(const struct cx_gateway *gw, struct cx_ssh_where *ret, struct cx_err *err)
{
	if (gw->ssh != NULL && gw->ssh->why.errnum != 0 && gw->ssh->why.kind == CX_UNAVAILABLE) {
		*err = gw->ssh->why;
		return -err->errnum;
	}
	if (gw->ssh == NULL || gw->ssh->why.errnum != 0)
		return cx_refuse(err, CX_INVALID, "SSH is not served by this engine%s%s",
				 gw->ssh != NULL ? ": " : "",
				 gw->ssh != NULL ? gw->ssh->why.msg : "");
	*ret = gw->ssh->at;
	return 0;
}

void cx_ssh_end_session(struct cx_gateway *gw, const char *id)
{
	struct cx_ssh_conn *next;

	for (struct cx_ssh_conn *conn = gw->ssh != NULL ? gw->ssh->conns : NULL; conn != NULL;
	     conn = next) {
		next = conn->next;
		if (conn->logged_in && strcmp(conn->session.id, id) == 0)
			cx_ssh_conn_close(conn);
	}
}
