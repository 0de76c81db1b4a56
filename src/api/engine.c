/* SPDX-License-Identifier: Apache-2.0 */
#include "api/engine.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/log.h"

enum {
	MESSAGE_MAX = 8192, /* bytes of fields; create is the longest */
	FDS_MAX = 3,
	PACKETS_PER_TURN = 64,
};

struct queued { /* a packet that caissond has not taken yet */
	struct queued *next;
	uint16_t type;
	uint32_t request;
	int fds[FDS_MAX];
	unsigned nfds;
	size_t len;
	uint8_t bytes[];
};

struct cx_engine {
	struct cx_loop *loop;
	struct cx_packet *scratch;
	struct cx_engine_events events;
	struct cx_source source;
	struct cx_engine_call *calls;
	struct queued *first, **last;
	unsigned nqueued;
	uint32_t next_request;
	bool closed;
};

/* ---- calls ---------------------------------------------------------------------------------- */

void cx_engine_forget(struct cx_engine_call *call)
{
	if (call->link == NULL)
		return;
	cx_timer_clear(&call->timer);
	*call->link = call->next;
	if (call->next != NULL)
		call->next->link = call->link;
	call->link = NULL;
}

static void finish(struct cx_engine_call *call, struct cx_engine_answer *answer,
		   const struct cx_err *err)
{
	cx_engine_forget(call);
	call->done(call, answer, err);
}

static void overdue(struct cx_timer *timer)
{
	struct cx_engine_call *call = cx_container_of(timer, struct cx_engine_call, timer);
	struct cx_err err;

	(void)cx_refuse(&err, CX_TIMEOUT, "caissond has not answered in time");
	finish(call, NULL, &err);
}

static struct cx_engine_call *find_call(struct cx_engine *engine, uint32_t request)
{
	struct cx_engine_call *call = engine->calls;

	while (call != NULL && call->request != request)
		call = call->next;
	return call;
}

/* ---- sending -------------------------------------------------------------------------------- */

static void drop_queued(struct queued *q)
{
	for (unsigned i = 0; i < q->nfds; i++)
		cx_close(&q->fds[i]);
	free(q);
}

static int enqueue(struct cx_engine *engine, const struct queued *head, const uint8_t *bytes,
		   size_t len, const int *fds, struct cx_err *err)
{
	struct queued *q;

	if (engine->nqueued == CX_ENGINE_QUEUE_MAX)
		return cx_refuse(err, CX_UNAVAILABLE, "too many requests wait for caissond");
	q = malloc(sizeof *q + len);
	if (q == NULL)
		return cx_fail(err, ENOMEM, "queue a request to caissond");
	*q = *head;
	q->next = NULL;
	q->len = len;
	q->nfds = 0;
	memcpy(q->bytes, bytes, len);
	for (; q->nfds < head->nfds; q->nfds++) {
		q->fds[q->nfds] = fcntl(fds[q->nfds], F_DUPFD_CLOEXEC, 3);
		if (q->fds[q->nfds] < 0) {
			(void)cx_fail(err, errno, "queue a request to caissond");
			drop_queued(q);
			return -err->errnum;
		}
	}
	*engine->last = q;
	engine->last = &q->next;
	if (engine->nqueued++ == 0)
		return cx_loop_change(engine->loop, &engine->source, EPOLLIN | EPOLLOUT, err);
	return 0;
}

/* What could not be sent at once goes out in order; 0 also when something is left. */
static int flush(struct cx_engine *engine, struct cx_err *err)
{
	while (engine->first != NULL) {
		struct queued *q = engine->first;
		int r = cx_packet_send(engine->source.fd, q->bytes, q->len, q->type, q->request,
				       q->fds, q->nfds, err);

		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r;
		engine->first = q->next;
		engine->nqueued--;
		drop_queued(q);
	}
	engine->last = &engine->first;
	return cx_loop_change(engine->loop, &engine->source, EPOLLIN, err);
}

static int post(struct cx_engine *engine, const struct queued *head, uint8_t *packet, size_t len,
		const int *fds, struct cx_err *err)
{
	int r = -EAGAIN;

	if (engine->first == NULL)
		r = cx_packet_send(engine->source.fd, packet, len, head->type, head->request, fds,
				   head->nfds, err);
	return r == -EAGAIN ? enqueue(engine, head, packet, len, fds, err) : r;
}

struct request {
	uint16_t type, wants;
	uint64_t deadline_ms;
	const int *fds;
	unsigned nfds;
};

/* packet has its fields in place behind CX_PACKET_HEADER; call is NULL when nobody waits. */
static int ask(struct cx_engine *engine, const struct request *what, uint8_t *packet, size_t len,
	       struct cx_engine_call *call, struct cx_err *err)
{
	struct queued head = { .type = what->type, .nfds = what->nfds };

	if (engine->closed)
		return cx_refuse(err, CX_UNAVAILABLE, "the connection to caissond is lost");
	if (++engine->next_request == 0) /* 0 marks events */
		engine->next_request = 1;
	head.request = engine->next_request;
	if (post(engine, &head, packet, len, what->fds, err) < 0)
		return cx_wrap(err, "ask caissond");
	if (call == NULL)
		return 0;
	call->engine = engine;
	call->request = head.request;
	call->wants = what->wants;
	call->timer = (struct cx_timer){ .fire = overdue };
	call->next = engine->calls;
	call->link = &engine->calls;
	if (call->next != NULL)
		call->next->link = &call->next;
	engine->calls = call;
	cx_timer_set(engine->loop, &call->timer, what->deadline_ms);
	return 0;
}

/* Encodes message m of type name and asks; answer is the type that is its reply. */
#define ASK(name, answer, limit_ms, m, given_fds, n)                                             \
	uint8_t packet[CX_PACKET_HEADER + MESSAGE_MAX];                                          \
	struct cx_writer w = { .p = packet + CX_PACKET_HEADER, .left = MESSAGE_MAX };            \
	struct request what = { .type = CX_MSG_##name,                                           \
				.wants = CX_MSG_##answer,                                        \
				.deadline_ms = limit_ms,                                         \
				.fds = given_fds,                                                \
				.nfds = n };                                                     \
                                                                                                 \
	if (!cx_msg_##name##_put(&w, m))                                                         \
		return cx_refuse(err, CX_INVALID, "a field of message '" #name "' is too long"); \
	return ask(engine, &what, packet, (size_t)(w.p - packet), call, err)

int cx_engine_hello(struct cx_engine *engine, struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_hello m = { .version = 1 };

	ASK(hello, ready, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_create(struct cx_engine *engine, const struct cx_msg_create *plan,
		     struct cx_engine_call *call, struct cx_err *err)
{
	ASK(create, created, CX_ENGINE_ANSWER_MS, plan, NULL, 0);
}

int cx_engine_connect(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
		      struct cx_err *err)
{
	struct cx_msg_connect m = { .id = cx_str_of(id) };

	ASK(connect, connected, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_destroy(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
		      struct cx_err *err)
{
	struct cx_msg_destroy m = { .id = cx_str_of(id) };

	ASK(destroy, destroyed, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_usage(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
		    struct cx_err *err)
{
	struct cx_msg_usage m = { .id = cx_str_of(id) };

	ASK(usage, used, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_list(struct cx_engine *engine, struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_list m;

	ASK(list, list_end, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_layer_build(struct cx_engine *engine, const struct cx_msg_layer_build *plan,
			  const int fds[3], struct cx_engine_call *call, struct cx_err *err)
{
	ASK(layer_build, layer_built, CX_ENGINE_BUILD_MS, plan, fds, 3);
}

static struct cx_str id_bytes(const uint8_t diff_id[32])
{
	return (struct cx_str){ .p = (const char *)diff_id, .len = 32 };
}

int cx_engine_layer_commit(struct cx_engine *engine, uint64_t token, const uint8_t diff_id[32],
			   struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_layer_commit m = { .token = token, .id = id_bytes(diff_id) };

	ASK(layer_commit, layer_done, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_layer_check(struct cx_engine *engine, uint64_t token, const uint8_t diff_id[32],
			  int report, struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_layer_check m = { .token = token, .id = id_bytes(diff_id) };

	ASK(layer_check, layer_checked, CX_ENGINE_BUILD_MS, &m, &report, 1);
}

int cx_engine_layer_abort(struct cx_engine *engine, uint64_t token, struct cx_engine_call *call,
			  struct cx_err *err)
{
	struct cx_msg_layer_abort m = { .token = token };

	ASK(layer_abort, layer_done, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_layer_remove(struct cx_engine *engine, const uint8_t diff_id[32],
			   struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_layer_remove m = { .id = id_bytes(diff_id) };

	ASK(layer_remove, layer_done, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_layer_stat(struct cx_engine *engine, const uint8_t diff_id[32],
			 struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_layer_stat m = { .id = id_bytes(diff_id) };

	ASK(layer_stat, layer_info, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_scan(struct cx_engine *engine, const int fds[3], struct cx_engine_call *call,
		   struct cx_err *err)
{
	struct cx_msg_scan m;

	ASK(scan, scanned, CX_ENGINE_BUILD_MS, &m, fds, 3);
}

int cx_engine_fetch(struct cx_engine *engine, int sock, struct cx_engine_call *call,
		    struct cx_err *err)
{
	struct cx_msg_fetch m;

	ASK(fetch, fetched, CX_ENGINE_FETCH_MS, &m, &sock, 1);
}

/* ---- receiving ------------------------------------------------------------------------------ */

static bool decode_id(struct cx_str id, char out[33])
{
	return id.len > 0 && cx_str_copy(id, out, 33);
}

static bool on_ended(struct cx_engine *engine, struct cx_packet *pkt)
{
	struct cx_msg_ended m;
	char id[33];

	if (pkt->type != CX_MSG_ended || !cx_msg_ended_get(&pkt->body, &m) || !decode_id(m.id, id))
		return false;
	engine->events.ended(engine->events.arg, id, (enum cx_end)m.reason);
	return true;
}

static bool on_late_sandbox(struct cx_engine *engine, struct cx_packet *pkt)
{
	struct cx_msg_created m;
	struct cx_err err;
	char id[33];

	if (!cx_msg_created_get(&pkt->body, &m) || !decode_id(m.id, id))
		return false;
	cx_log(CX_LOG_WARNING, "a sandbox came too late and is destroyed", "id", id, NULL);
	if (cx_engine_destroy(engine, id, NULL, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "destroy failed", "id", id, NULL);
	return true;
}

static bool on_late_layer(struct cx_engine *engine, struct cx_packet *pkt)
{
	struct cx_msg_layer_built m;
	struct cx_err err;

	if (!cx_msg_layer_built_get(&pkt->body, &m))
		return false;
	if (cx_engine_layer_abort(engine, m.token, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "layer not dropped", NULL);
	return true;
}

/* An answer that nobody waits for any more: what it brings would stay for good. */
static bool on_late(struct cx_engine *engine, struct cx_packet *pkt)
{
	switch (pkt->type) {
	case CX_MSG_created:
		return on_late_sandbox(engine, pkt);
	case CX_MSG_layer_built:
		return on_late_layer(engine, pkt);
	default:
		return true;
	}
}

static bool on_error(struct cx_engine_call *call, struct cx_packet *pkt)
{
	struct cx_msg_control_error m;
	struct cx_err err;

	if (!cx_msg_control_error_get(&pkt->body, &m))
		return false;
	(void)cx_err_adopt(&err, m.kind, m.errnum, m.text.p, m.text.len);
	finish(call, NULL, &err);
	return true;
}

static bool on_listed(struct cx_engine_call *call, struct cx_packet *pkt)
{
	struct cx_msg_listed m;
	char id[33];

	if (call->wants != CX_MSG_list_end || !cx_msg_listed_get(&pkt->body, &m) ||
	    !decode_id(m.id, id))
		return false;
	call->listed(call, id);
	return true;
}

static bool decode_answer(struct cx_packet *pkt, struct cx_engine_answer *a)
{
	struct cx_reader *r = &pkt->body;

	switch (pkt->type) {
	case CX_MSG_ready:
		return cx_msg_ready_get(r, &a->ready);
	case CX_MSG_created:
		return pkt->nfds == 1 && cx_msg_created_get(r, &a->created);
	case CX_MSG_connected:
		return pkt->nfds == 1 && r->left == 0;
	case CX_MSG_used:
		return cx_msg_used_get(r, &a->used);
	case CX_MSG_layer_built:
		return cx_msg_layer_built_get(r, &a->layer_built);
	case CX_MSG_layer_info:
		return cx_msg_layer_info_get(r, &a->layer_info);
	default: /* destroyed, list_end, layer_done, scanned, fetched: no fields */
		return r->left == 0;
	}
}

static bool on_answer(struct cx_engine *engine, struct cx_packet *pkt)
{
	struct cx_engine_call *call = find_call(engine, pkt->request);
	struct cx_engine_answer answer = { .fd = -EBADF };

	if (call == NULL)
		return on_late(engine, pkt);
	if (pkt->type == CX_MSG_control_error)
		return on_error(call, pkt);
	if (pkt->type == CX_MSG_listed)
		return on_listed(call, pkt);
	if (pkt->type != call->wants || !decode_answer(pkt, &answer))
		return false;
	if (pkt->nfds > 0)
		answer.fd = cx_take_fd(&pkt->fds[0]);
	finish(call, &answer, NULL);
	cx_close(&answer.fd);
	return true;
}

static void lose(struct cx_engine *engine, const struct cx_err *why)
{
	engine->closed = true;
	cx_loop_drop(engine->loop, &engine->source);
	while (engine->calls != NULL)
		finish(engine->calls, NULL, why);
	engine->events.lost(engine->events.arg, why);
}

static int receive(struct cx_engine *engine, struct cx_err *err)
{
	struct cx_packet *pkt = engine->scratch;
	int r = cx_packet_recv(engine->source.fd, pkt, err);
	bool good;

	if (r < 0)
		return r;
	if (r == 0)
		return cx_refuse(err, CX_UNAVAILABLE, "caissond has closed the connection");
	good = pkt->request == 0 ? on_ended(engine, pkt) : on_answer(engine, pkt);
	cx_packet_drop(pkt);
	return good ? 1
		    : cx_refuse(err, CX_INTERNAL, "unexpected message %#x from caissond",
				pkt->type);
}

static void on_ready(struct cx_source *source, uint32_t events)
{
	struct cx_engine *engine = cx_container_of(source, struct cx_engine, source);
	struct cx_err err;
	int r = 0;

	if ((events & EPOLLOUT) != 0)
		r = flush(engine, &err);
	for (unsigned i = 0; r >= 0 && i < PACKETS_PER_TURN && !engine->closed; i++)
		r = receive(engine, &err);
	if (r < 0 && r != -EAGAIN && !engine->closed)
		lose(engine, &err);
}

int cx_engine_open(struct cx_loop *loop, struct cx_packet *scratch, int *sock,
		   const struct cx_engine_events *events, struct cx_engine **ret,
		   struct cx_err *err)
{
	cx_autofd int taken = cx_take_fd(sock);
	cx_autofree struct cx_engine *engine = calloc(1, sizeof *engine);

	if (engine == NULL)
		return cx_fail(err, ENOMEM, "connection to caissond");
	if (cx_set_nonblock(taken, true, err) < 0)
		return -err->errnum;
	engine->loop = loop;
	engine->scratch = scratch;
	engine->events = *events;
	engine->last = &engine->first;
	engine->source = (struct cx_source){ .fd = taken, .ready = on_ready };
	if (cx_loop_add(loop, &engine->source, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&taken);
	*ret = cx_take_ptr(&engine);
	return 0;
}

static void bury(struct cx_source *source)
{
	struct cx_engine *engine = cx_container_of(source, struct cx_engine, source);

	while (engine->first != NULL) {
		struct queued *q = engine->first;

		engine->first = q->next;
		drop_queued(q);
	}
	free(engine);
}

void cx_engine_close(struct cx_engine *engine)
{
	if (engine == NULL)
		return;
	while (engine->calls != NULL)
		cx_engine_forget(engine->calls);
	engine->closed = true;
	if (!engine->source.added) { /* lost, and its batch is over */
		bury(&engine->source);
		return;
	}
	engine->source.destroy = bury;
	cx_loop_drop(engine->loop, &engine->source);
}
