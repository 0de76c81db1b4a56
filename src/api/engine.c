/* SPDX-License-Identifier: Apache-2.0 */
#include "api/engine.h"

#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "proto/outbox.h"

enum {
	MESSAGE_MAX = 8192, /* bytes of fields, but of egress; create is the longest */
	EGRESS_MAX = 256 + CX_NETRULES_MAX * CX_NETRULE_SIZE,
	PACKETS_PER_TURN = 64,
};

struct cx_engine {
	struct cx_loop *loop;
	struct cx_packet *scratch;
	struct cx_engine_events events;
	struct cx_source source;
	struct cx_engine_call *calls;
	struct cx_outbox outbox;
	uint32_t next_request;
	bool closed;
};

/* ---- calls ---------------------------------------------------------------------------------- */

void cx_engine_forget(struct cx_engine_call *call)
{
	if (call->link == NULL)
		return;
	cx_timer_clear(&call->timer);
	cx_list_remove(call);
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
	uint32_t request;

	if (engine->closed)
		return cx_refuse(err, CX_UNAVAILABLE, "the connection to caissond is lost");
	if (++engine->next_request == 0) /* 0 marks events */
		engine->next_request = 1;
	request = engine->next_request;
	if (cx_outbox_post(&engine->outbox, packet, len, what->type, request, what->fds, what->nfds,
			   err) < 0)
		return cx_wrap(err, "ask caissond");
	if (call == NULL)
		return 0;
	call->engine = engine;
	call->request = request;
	call->wants = what->wants;
	call->timer = (struct cx_timer){ .fire = overdue };
	cx_list_add(&engine->calls, call);
	cx_timer_set(engine->loop, &call->timer, what->deadline_ms);
	return 0;
}

/* Encodes message m of type name and asks; answer is the type that is its reply. */
#define ASK(...) ASK_LONG(MESSAGE_MAX, __VA_ARGS__)
#define ASK_LONG(max, name, answer, limit_ms, m, given_fds, n)                                   \
	CX_UNINITIALIZED uint8_t packet[CX_PACKET_HEADER + (max)];                               \
	struct cx_writer w = { .p = packet + CX_PACKET_HEADER, .left = (max) };                  \
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

int cx_engine_create_linked(struct cx_engine *engine, const struct cx_msg_create_linked *plan,
			    struct cx_engine_call *call, struct cx_err *err)
{
	ASK_LONG(MESSAGE_MAX + EGRESS_MAX, create_linked, created_linked, CX_ENGINE_ANSWER_MS, plan,
		 NULL, 0);
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

int cx_engine_pause(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
		    struct cx_err *err)
{
	struct cx_msg_pause m = { .id = cx_str_of(id) };

	ASK(pause, changed, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_resume(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
		     struct cx_err *err)
{
	struct cx_msg_resume m = { .id = cx_str_of(id) };

	ASK(resume, changed, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_usage(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
		    struct cx_err *err)
{
	struct cx_msg_usage m = { .id = cx_str_of(id) };

	ASK(usage, used, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_trouble(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
		      struct cx_err *err)
{
	struct cx_msg_trouble m = { .id = cx_str_of(id) };

	ASK(trouble, trouble_is, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_count(struct cx_engine *engine, struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_count m;

	ASK(count, counted, CX_ENGINE_COUNT_MS, &m, NULL, 0);
}

int cx_engine_capacity(struct cx_engine *engine, struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_capacity m;

	ASK(capacity, capacity_is, CX_ENGINE_COUNT_MS, &m, NULL, 0);
}

int cx_engine_slot(struct cx_engine *engine, const char *id, uint32_t number,
		   struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_command_slot m = { .id = cx_str_of(id), .number = number };

	ASK(command_slot, command_slot_made, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
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

int cx_engine_listen(struct cx_engine *engine, enum cx_listen_purpose purpose, uint16_t port,
		     struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_listen m = { .purpose = purpose, .port = port };

	ASK(listen, listening, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_fetch(struct cx_engine *engine, int sock, struct cx_engine_call *call,
		    struct cx_err *err)
{
	struct cx_msg_fetch m;

	ASK(fetch, fetched, CX_ENGINE_FETCH_MS, &m, &sock, 1);
}

int cx_engine_export(struct cx_engine *engine, const struct cx_msg_export *plan, const int fds[3],
		     struct cx_engine_call *call, struct cx_err *err)
{
	ASK(export, archived, CX_ENGINE_FETCH_MS, plan, fds, 3);
}

int cx_engine_commit(struct cx_engine *engine, const struct cx_msg_commit *plan, const int fds[3],
		     struct cx_engine_call *call, struct cx_err *err)
{
	ASK(commit, archived, CX_ENGINE_BUILD_MS, plan, fds, 3);
}

int cx_engine_bundle(struct cx_engine *engine, const int fds[3], struct cx_engine_call *call,
		     struct cx_err *err)
{
	struct cx_msg_bundle m;

	ASK(bundle, archived, CX_ENGINE_FETCH_MS, &m, fds, 3);
}

int cx_engine_networking(struct cx_engine *engine, struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_networking m;

	ASK(networking, networking_is, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_disks(struct cx_engine *engine, struct cx_engine_call *call, struct cx_err *err)
{
	struct cx_msg_disks m;

	ASK(disks, disks_are, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_network(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
		      struct cx_err *err)
{
	struct cx_msg_network m = { .id = cx_str_of(id) };

	ASK(network, network_is, CX_ENGINE_ANSWER_MS, &m, NULL, 0);
}

int cx_engine_egress(struct cx_engine *engine, const struct cx_msg_egress *policy,
		     struct cx_engine_call *call, struct cx_err *err)
{
	ASK_LONG(EGRESS_MAX, egress, egress_set, CX_ENGINE_ANSWER_MS, policy, NULL, 0);
}

int cx_engine_ssh(struct cx_engine *engine, const int fds[2], struct cx_engine_call *call,
		  struct cx_err *err)
{
	struct cx_msg_ssh m;

	ASK(ssh, ssh_ended, CX_ENGINE_SSH_MS, &m, fds, 2);
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

	if (!cx_msg_ended_get(&pkt->body, &m) || !decode_id(m.id, id))
		return false;
	engine->events.ended(engine->events.arg, id, (enum cx_end)m.reason);
	return true;
}

static bool on_oom(struct cx_engine *engine, struct cx_packet *pkt)
{
	struct cx_msg_oom m;
	char id[33];

	if (!cx_msg_oom_get(&pkt->body, &m) || !decode_id(m.id, id))
		return false;
	engine->events.oom(engine->events.arg, id);
	return true;
}

static bool on_oom_report(struct cx_engine *engine, struct cx_packet *pkt)
{
	struct cx_msg_oom_report m;
	char id[33];

	if (!cx_msg_oom_report_get(&pkt->body, &m) || !decode_id(m.id, id))
		return false;
	engine->events.oom_report(engine->events.arg, id, &m);
	return true;
}

static bool on_resolver(struct cx_engine *engine, struct cx_packet *pkt)
{
	if (pkt->nfds != 1 || pkt->body.left != 0)
		return false;
	engine->events.resolver(engine->events.arg, &pkt->fds[0]);
	return true;
}

static bool on_certificate(struct cx_engine *engine, struct cx_packet *pkt)
{
	if (pkt->nfds != 1 || pkt->body.left != 0)
		return false;
	engine->events.certificate(engine->events.arg, pkt->type == CX_MSG_expose_certificate,
				   &pkt->fds[0]);
	return true;
}

static bool on_room(struct cx_engine *engine, struct cx_packet *pkt)
{
	if (pkt->nfds != 0 || pkt->body.left != 0)
		return false;
	engine->events.room(engine->events.arg);
	return true;
}

static bool on_event(struct cx_engine *engine, struct cx_packet *pkt)
{
	switch (pkt->type) {
	case CX_MSG_ended:
		return on_ended(engine, pkt);
	case CX_MSG_oom:
		return on_oom(engine, pkt);
	case CX_MSG_oom_report:
		return on_oom_report(engine, pkt);
	case CX_MSG_room:
		return on_room(engine, pkt);
	case CX_MSG_resolver:
		return on_resolver(engine, pkt);
	case CX_MSG_certificate:
	case CX_MSG_expose_certificate:
		return on_certificate(engine, pkt);
	default:
		return false;
	}
}

static bool decode_created(struct cx_packet *pkt, struct cx_engine_answer *a)
{
	struct cx_msg_created_linked m;

	if (pkt->type == CX_MSG_created)
		return cx_msg_created_get(&pkt->body, &a->created);
	if (!cx_msg_created_linked_get(&pkt->body, &m))
		return false;
	a->created = (struct cx_msg_created){ m.id, m.uid_base, m.micros };
	a->network = (struct cx_msg_network_is){ m.slot, m.number, m.address4, m.address6 };
	return true;
}

static bool on_late_sandbox(struct cx_engine *engine, struct cx_packet *pkt)
{
	struct cx_engine_answer a;
	struct cx_err err;
	char id[33];

	if (!decode_created(pkt, &a) || !decode_id(a.created.id, id))
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
	case CX_MSG_created_linked:
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

/* The connection to an agent, and where its commands are counted. */
static bool has_reach(const struct cx_packet *pkt)
{
	return pkt->nfds >= 1 && pkt->nfds <= 1 + CX_ACCOUNTS_MAX;
}

static bool decode_answer(struct cx_packet *pkt, struct cx_engine_answer *a)
{
	struct cx_reader *r = &pkt->body;

	switch (pkt->type) {
	case CX_MSG_ready:
		return cx_msg_ready_get(r, &a->ready);
	case CX_MSG_created:
	case CX_MSG_created_linked:
		return has_reach(pkt) && decode_created(pkt, a);
	case CX_MSG_connected:
		return has_reach(pkt) && r->left == 0;
	case CX_MSG_used:
		return cx_msg_used_get(r, &a->used);
	case CX_MSG_trouble_is:
		return cx_msg_trouble_is_get(r, &a->trouble);
	case CX_MSG_counted:
		return cx_msg_counted_get(r, &a->counted);
	case CX_MSG_layer_built:
		return cx_msg_layer_built_get(r, &a->layer_built);
	case CX_MSG_listening:
		return pkt->nfds == 1 && cx_msg_listening_get(r, &a->listening);
	case CX_MSG_layer_info:
		return cx_msg_layer_info_get(r, &a->layer_info);
	case CX_MSG_networking_is:
		return cx_msg_networking_is_get(r, &a->networking);
	case CX_MSG_disks_are:
		return cx_msg_disks_are_get(r, &a->disks);
	case CX_MSG_capacity_is:
		return cx_msg_capacity_is_get(r, &a->capacity);
	case CX_MSG_network_is:
		return cx_msg_network_is_get(r, &a->network);
	case CX_MSG_egress_set:
		return cx_msg_egress_set_get(r, &a->egress);
	default: /* destroyed, list_end, layer_done, scanned, fetched, archived: no fields */
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
	for (unsigned i = 1; has_reach(pkt) && i < pkt->nfds; i++)
		answer.accounts[answer.naccounts++] = cx_take_fd(&pkt->fds[i]);
	finish(call, &answer, NULL);
	cx_close(&answer.fd);
	for (unsigned i = 0; i < answer.naccounts; i++)
		cx_close(&answer.accounts[i]);
	return true;
}

bool cx_engine_is_lost(const struct cx_engine *engine)
{
	return engine->closed;
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
	good = pkt->request == 0 ? on_event(engine, pkt) : on_answer(engine, pkt);
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
		r = cx_outbox_flush(&engine->outbox, &err);
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
	engine->source = (struct cx_source){ .fd = taken, .ready = on_ready };
	cx_outbox_open(&engine->outbox, loop, &engine->source, CX_ENGINE_QUEUE_MAX);
	if (cx_loop_add(loop, &engine->source, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&taken);
	*ret = cx_take_ptr(&engine);
	return 0;
}

static void bury(struct cx_source *source)
{
	struct cx_engine *engine = cx_container_of(source, struct cx_engine, source);

	cx_outbox_clear(&engine->outbox);
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
