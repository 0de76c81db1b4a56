/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

enum { PACKETS_PER_ROUND = 16 };

struct cx_kept {
	struct cx_kept *next;
	size_t len;
	uint32_t request;
	uint16_t type;
	int fd; /* that goes along, or -EBADF */
	uint8_t bytes[];
};

struct cx_conn *cx_conn_find(const struct cx_agent *agent, uint32_t number)
{
	for (struct cx_conn *conn = agent->conns; conn != NULL; conn = conn->next)
		if (conn->number == number)
			return conn;
	return NULL;
}

void cx_conn_close(struct cx_conn *conn)
{
	struct cx_agent *agent = conn->agent;

	if (conn->src.dead)
		return;
	for (struct cx_conn **at = &agent->conns; *at != NULL; at = &(*at)->next) {
		if (*at == conn) {
			*at = conn->next;
			agent->nconns--;
			break;
		}
	}
	cx_loop_drop(&agent->loop, &conn->src);
}

static void free_kept(struct cx_kept *kept)
{
	cx_close(&kept->fd);
	free(kept);
}

static void destroy(struct cx_source *src)
{
	struct cx_conn *conn = cx_container_of(src, struct cx_conn, src);

	while (conn->head != NULL) {
		struct cx_kept *kept = conn->head;

		conn->head = kept->next;
		free_kept(kept);
	}
	free(conn);
}

/* Input is wanted when nothing is left to say and nobody asks us to wait. */
static int watch(struct cx_conn *conn, struct cx_err *err)
{
	uint32_t events = 0;

	if (conn->head != NULL)
		events = EPOLLOUT;
	else if (!conn->agent->held)
		events = EPOLLIN;
	return cx_loop_change(&conn->agent->loop, &conn->src, events, err);
}

void cx_conns_hold(struct cx_agent *agent, bool on)
{
	struct cx_conn *next;
	struct cx_err err;

	if (agent->held == on)
		return;
	agent->held = on;
	for (struct cx_conn *conn = agent->conns; conn != NULL; conn = next) {
		next = conn->next;
		if (watch(conn, &err) < 0)
			cx_conn_close(conn);
	}
}

static int flush(struct cx_conn *conn, struct cx_err *err)
{
	while (conn->head != NULL) {
		struct cx_kept *kept = conn->head;
		int r = cx_packet_send(conn->src.fd, kept->bytes, kept->len, kept->type,
				       kept->request, &kept->fd, kept->fd >= 0 ? 1 : 0, err);

		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r;
		conn->head = kept->next;
		conn->kept_bytes -= kept->len;
		free_kept(kept);
	}
	conn->tail = &conn->head;
	return watch(conn, err);
}

static int keep(struct cx_conn *conn, const struct cx_kept *head, const uint8_t *bytes,
		struct cx_err *err)
{
	struct cx_kept *kept;

	if (conn->kept_bytes + head->len > CX_CONN_QUEUE_MAX)
		return cx_refuse(err, CX_LIMIT, "the host does not read");
	kept = malloc(sizeof *kept + head->len);
	if (kept == NULL)
		return cx_fail(err, ENOMEM, "message of %zu bytes", head->len);
	*kept = *head;
	kept->fd = -EBADF;
	if (head->fd >= 0)
		kept->fd = fcntl(head->fd, F_DUPFD_CLOEXEC, 0);
	if (head->fd >= 0 && kept->fd < 0) {
		free(kept);
		return cx_fail(err, errno, "keep a descriptor");
	}
	memcpy(kept->bytes, bytes, head->len);
	*conn->tail = kept;
	conn->tail = &kept->next;
	conn->kept_bytes += head->len;
	return watch(conn, err);
}

static void say(struct cx_conn *conn, const struct cx_kept *head, uint8_t *bytes)
{
	struct cx_err err = { 0 };
	int r = -EAGAIN;

	if (conn->head == NULL)
		r = cx_packet_send(conn->src.fd, bytes, head->len, head->type, head->request,
				   &head->fd, head->fd >= 0 ? 1 : 0, &err);
	if (r == -EAGAIN)
		r = keep(conn, head, bytes, &err);
	if (r < 0)
		cx_conn_close(conn);
}

/* send_NAME(): with a descriptor, which stays the caller's, or with -EBADF. */
#define DEFINE_SEND(name, FIELDS)                                                              \
	static void send_##name(struct cx_conn *conn, uint32_t request,                        \
				const struct cx_msg_##name *m, int fd)                         \
	{                                                                                      \
		CX_UNINITIALIZED uint8_t out[CX_PACKET_HEADER + FIELDS(CX_AS_SIZE) 0];         \
		struct cx_writer w = { .p = out + CX_PACKET_HEADER,                            \
				       .left = sizeof out - CX_PACKET_HEADER };                \
		struct cx_kept head = { .type = CX_MSG_##name, .request = request, .fd = fd }; \
                                                                                               \
		if (conn == NULL || conn->src.dead)                                            \
			return;                                                                \
		if (!cx_msg_##name##_put(&w, m)) {                                             \
			cx_conn_close(conn);                                                   \
			return;                                                                \
		}                                                                              \
		head.len = (size_t)(w.p - out);                                                \
		say(conn, &head, out);                                                         \
	}
CX_CONN_SAYS(DEFINE_SEND)
DEFINE_SEND(exited, CX_FIELDS_EXITED)
DEFINE_SEND(port_opened, CX_FIELDS_AGENT_NONE)

#define DEFINE_SAY(name, FIELDS)                                        \
	void cx_conn_say_##name(struct cx_conn *conn, uint32_t request, \
				const struct cx_msg_##name *m)          \
	{                                                               \
		send_##name(conn, request, m, -EBADF);                  \
	}
CX_CONN_SAYS(DEFINE_SAY)

void cx_conn_exited(struct cx_conn *conn, uint32_t request, const struct cx_msg_exited *m,
		    int pidfd)
{
	send_exited(conn, request, m, pidfd);
}

void cx_conn_port_opened(struct cx_conn *conn, uint32_t request, int sock)
{
	struct cx_msg_port_opened m;

	send_port_opened(conn, request, &m, sock);
}

void cx_conn_refuse(struct cx_conn *conn, uint32_t request, const struct cx_err *err)
{
	struct cx_msg_agent_error m = { .kind = err->kind,
					.errnum = err->refused ? 0 : (uint32_t)err->errnum,
					.text = { .p = err->msg, .len = err->len } };

	cx_conn_say_agent_error(conn, request, &m);
}

void cx_conn_ok(struct cx_conn *conn, uint32_t request)
{
	struct cx_msg_agent_ok m;

	cx_conn_say_agent_ok(conn, request, &m);
}

static bool may_read(const struct cx_conn *conn)
{
	return conn->head == NULL && !conn->src.dead && !conn->agent->held;
}

static void ready(struct cx_source *src, uint32_t events)
{
	struct cx_conn *conn = cx_container_of(src, struct cx_conn, src);
	struct cx_packet *pkt = &conn->agent->packet;
	struct cx_err err = { 0 };

	if ((events & EPOLLOUT) != 0 && flush(conn, &err) < 0) {
		cx_conn_close(conn);
		return;
	}
	if ((events & (EPOLLHUP | EPOLLERR)) != 0 && (conn->head != NULL || conn->agent->held)) {
		cx_conn_close(conn); /* nobody will hear an answer */
		return;
	}
	for (int i = 0; i < PACKETS_PER_ROUND && may_read(conn); i++) {
		int r = cx_packet_recv(src->fd, pkt, &err);

		if (r == -EAGAIN)
			return;
		if (r <= 0) {
			cx_conn_close(conn);
			return;
		}
		conn->request(conn, pkt);
		cx_packet_drop(pkt);
	}
}

int cx_conn_open(struct cx_agent *agent, int *fd,
		 void (*request)(struct cx_conn *conn, struct cx_packet *pkt), struct cx_err *err)
{
	cx_autofd int sock = cx_take_fd(fd);
	cx_autofree struct cx_conn *conn = calloc(1, sizeof *conn);
	struct cx_msg_agent_hello hello = { .version = 1 };

	if (agent->nconns >= CX_AGENT_CONNS_MAX)
		return cx_refuse(err, CX_LIMIT, "%d connections are open", CX_AGENT_CONNS_MAX);
	if (conn == NULL)
		return cx_fail(err, ENOMEM, "connection");
	*conn = (struct cx_conn){
		.src = { .fd = sock, .ready = ready, .destroy = destroy },
		.agent = agent,
		.number = ++agent->last_conn,
		.request = request,
		.next = agent->conns,
		.tail = &conn->head,
	};
	if (cx_loop_add(&agent->loop, &conn->src, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&sock);
	agent->conns = conn;
	agent->nconns++;
	hello.state = agent->phase == CX_PHASE_BLANK ? CX_AGENT_BLANK : CX_AGENT_CLAIMED;
	cx_conn_say_agent_hello(cx_take_ptr(&conn), 0, &hello);
	return 0;
}
