/* SPDX-License-Identifier: Apache-2.0 */
#include "api/transfer.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/list.h"
#include "proto/outbox.h"

enum {
	WAITING_MAX =
		2 * CX_FETCH_REQUESTS_MAX + CX_FETCH_ENDPOINTS_MAX, /* each may be cancelled */
	PACKETS_PER_TURN = 64,
	END_MS = 2000, /* between the two signs of a worker's end */
};

struct cx_transfer {
	struct cx_gateway *gw;
	struct cx_source source;
	struct cx_outbox outbox;
	struct cx_engine_call worker; /* done when its process has ended */
	struct cx_timer timer;
	struct cx_transfer_call *calls;
	unsigned ncalls, nforgotten; /* of the latter the answers are still to come */
	uint32_t last_request;
	struct cx_err said, how; /* why it ended: its last words, and what caissond saw */
	bool hung_up;		 /* its socket is closed */
	bool ended;		 /* its process is gone */
	bool failing, closed;
};

/* ---- calls ---------------------------------------------------------------------------------- */

static void unlink_call(struct cx_transfer_call *call)
{
	cx_list_remove(call);
	call->transfer->ncalls--;
}

static struct cx_transfer_call *find_call(const struct cx_transfer *t, uint32_t request)
{
	struct cx_transfer_call *call = t->calls;

	while (call != NULL && call->request != request)
		call = call->next;
	return call;
}

static void finish(struct cx_transfer_call *call, const struct cx_transfer_answer *answer,
		   const struct cx_err *err)
{
	unlink_call(call);
	call->done(call, answer, err);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void bury(struct cx_source *source)
{
	struct cx_transfer *t = cx_container_of(source, struct cx_transfer, source);

	cx_outbox_clear(&t->outbox);
	free(t);
}

static void release(struct cx_transfer *t)
{
	if (!t->source.added) { /* dropped, and its batch is over */
		bury(&t->source);
		return;
	}
	t->source.destroy = bury;
	cx_loop_drop(t->gw->loop, &t->source);
}

static void hang_up(struct cx_transfer *t)
{
	t->hung_up = true;
	cx_loop_drop(t->gw->loop, &t->source);
	cx_outbox_clear(&t->outbox);
}

/* A callback may close the transfer: no call is left then, and it is released here. */
static void give_up(struct cx_transfer *t)
{
	const struct cx_transfer_answer answer = { .reason = CX_FETCH_OTHER };
	struct cx_err why;

	hang_up(t);
	cx_timer_clear(&t->timer);
	cx_engine_forget(&t->worker);
	if (t->said.errnum != 0)
		why = t->said;
	else if (t->how.errnum != 0)
		why = t->how;
	else
		(void)cx_refuse(&why, CX_UNAVAILABLE, "the registry worker has ended; try again");
	t->failing = true;
	while (t->calls != NULL)
		finish(t->calls, &answer, &why);
	t->failing = false;
	if (t->closed)
		release(t);
}

static void waited_enough(struct cx_timer *timer)
{
	give_up(cx_container_of(timer, struct cx_transfer, timer));
}

/*
 * A worker's end shows twice: its socket closes, behind its last words, and caissond tells how its
 * process ended. With both at hand it is clear what to say; the second is not waited for long.
 */
static void one_sign(struct cx_transfer *t)
{
	if (t->hung_up && t->ended)
		give_up(t);
	else
		cx_timer_set(t->gw->loop, &t->timer, END_MS);
}

static void on_worker_ended(struct cx_engine_call *call, struct cx_engine_answer *answer,
			    const struct cx_err *err)
{
	struct cx_transfer *t = cx_container_of(call, struct cx_transfer, worker);

	(void)answer;
	t->ended = true;
	if (err != NULL) {
		t->how = *err;
		if (t->how.kind == CX_INVALID) /* no client's fault: the process died */
			t->how.kind = CX_INTERNAL;
		(void)cx_wrap(&t->how, "the registry worker has ended");
	}
	one_sign(t);
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* What it says in answer to a request, or false when it answers to nobody. */
static bool settle(struct cx_transfer *t, uint32_t request, const struct cx_transfer_answer *answer,
		   const struct cx_err *err)
{
	struct cx_transfer_call *call = find_call(t, request);

	if (call != NULL) {
		finish(call, answer, err);
		return true;
	}
	if (t->nforgotten == 0)
		return false;
	t->nforgotten--;
	return true;
}

static bool on_progress(struct cx_transfer *t, struct cx_packet *pkt)
{
	struct cx_transfer_call *call = find_call(t, pkt->request);
	struct cx_msg_fetch_progress m;

	if (!cx_msg_fetch_progress_get(&pkt->body, &m))
		return false;
	if (call != NULL && call->progress != NULL)
		call->progress(call, m.bytes, m.total);
	return true;
}

static bool on_got(struct cx_transfer *t, struct cx_packet *pkt)
{
	struct cx_transfer_answer answer = { 0 };
	struct cx_msg_fetch_got m;

	if (!cx_msg_fetch_got_get(&pkt->body, &m) ||
	    (m.digest.len != 0 && m.digest.len != sizeof answer.digest) ||
	    !cx_str_copy(m.media_type, answer.media_type, sizeof answer.media_type) ||
	    !cx_str_copy(m.claimed, answer.claimed, sizeof answer.claimed) ||
	    !cx_str_copy(m.endpoint, answer.endpoint, sizeof answer.endpoint))
		return false;
	if (m.digest.len > 0)
		memcpy(answer.digest, m.digest.p, m.digest.len);
	answer.how = (enum cx_fetch_how)m.how;
	answer.size = m.size;
	return settle(t, pkt->request, &answer, NULL);
}

static bool on_failed(struct cx_transfer *t, struct cx_packet *pkt)
{
	struct cx_transfer_answer answer = { 0 };
	struct cx_msg_fetch_failed m;
	struct cx_err err;

	if (!cx_msg_fetch_failed_get(&pkt->body, &m))
		return false;
	(void)cx_err_adopt(&err, m.kind, m.errnum, m.text.p, m.text.len);
	answer.reason = (enum cx_fetch_reason)m.reason;
	answer.http_status = m.http_status;
	if (pkt->request != 0)
		return settle(t, pkt->request, &answer, &err);
	t->said = err; /* it gives up */
	return true;
}

static const struct {
	uint16_t type;
	bool (*run)(struct cx_transfer *t, struct cx_packet *pkt);
} answers[] = {
	{ CX_MSG_fetch_progress, on_progress },
	{ CX_MSG_fetch_got, on_got },
	{ CX_MSG_fetch_failed, on_failed },
};

static bool take(struct cx_transfer *t, struct cx_packet *pkt)
{
	for (size_t i = 0; i < CX_LEN(answers); i++)
		if (answers[i].type == pkt->type)
			return pkt->nfds == 0 && answers[i].run(t, pkt);
	return false;
}

/* 1: a packet was taken; 0: end of file; -EAGAIN: none is there; -errno: not to be trusted. */
static int receive(struct cx_transfer *t, struct cx_err *err)
{
	struct cx_packet *pkt = t->gw->scratch;
	int r = cx_packet_recv(t->source.fd, pkt, err);
	bool good;

	if (r <= 0)
		return r == -ECONNRESET ? 0 : r;
	good = take(t, pkt);
	cx_packet_drop(pkt);
	return good ? 1 : cx_refuse(err, CX_INTERNAL, "message %#x breaks the protocol", pkt->type);
}

static void on_ready(struct cx_source *source, uint32_t events)
{
	struct cx_transfer *t = cx_container_of(source, struct cx_transfer, source);
	struct cx_err err;
	int r = 1;

	/* That nothing can be sent is no news: what it said last is worth reading first. */
	if ((events & EPOLLOUT) != 0 && cx_outbox_flush(&t->outbox, &err) < 0)
		cx_outbox_clear(&t->outbox);
	for (unsigned i = 0; r > 0 && i < PACKETS_PER_TURN && !t->closed && !t->hung_up; i++)
		r = receive(t, &err);
	if (r > 0 || r == -EAGAIN || t->closed || t->hung_up)
		return;
	if (r == 0) {
		hang_up(t);
		one_sign(t);
		return;
	}
	(void)cx_wrap(&err, "the registry worker");
	t->said = err;
	t->said.kind = CX_INTERNAL; /* whatever it is, no client caused it */
	give_up(t);
}

/* ---- opening and closing -------------------------------------------------------------------- */

static int post(struct cx_transfer *t, uint8_t *packet, size_t len, uint16_t type, uint32_t request,
		const int *fds, unsigned nfds, struct cx_err *err)
{
	int r = cx_outbox_post(&t->outbox, packet, len, type, request, fds, nfds, err);

	explicit_bzero(packet, len);
	if (r == -EPIPE || r == -ECONNRESET) /* its end is about to be seen */
		return cx_refuse(err, CX_UNAVAILABLE, "the registry worker has ended; try again");
	return r < 0 ? cx_wrap(err, "ask the registry worker") : 0;
}

/* Message m of type name, as a packet that has room for its header. */
#define ENCODE(name, m)                                                    \
	CX_UNINITIALIZED uint8_t packet[CX_PACKET_MAX];                    \
	struct cx_writer w = { .p = packet + CX_PACKET_HEADER,             \
			       .left = sizeof packet - CX_PACKET_HEADER }; \
                                                                           \
	if (!cx_msg_##name##_put(&w, m))                                   \
	return cx_refuse(err, CX_INVALID,                                  \
			 "a field of message '" #name "' is too long or holds a NUL byte")

static int post_endpoint(struct cx_transfer *t, const struct cx_msg_fetch_endpoint *m,
			 struct cx_err *err)
{
	ENCODE(fetch_endpoint, m);
	return post(t, packet, (size_t)(w.p - packet), CX_MSG_fetch_endpoint, 0, NULL, 0, err);
}

static int post_cancel(struct cx_transfer *t, uint32_t request, struct cx_err *err)
{
	static const struct cx_msg_fetch_cancel none;

	ENCODE(fetch_cancel, &none);
	return post(t, packet, (size_t)(w.p - packet), CX_MSG_fetch_cancel, request, NULL, 0, err);
}

static int start_worker(struct cx_transfer *t, struct cx_err *err)
{
	cx_autofd int ours = -EBADF, theirs = -EBADF;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail(err, errno, "socket of a registry worker");
	ours = pair[0];
	theirs = pair[1];
	t->source = (struct cx_source){ .fd = ours, .ready = on_ready };
	cx_outbox_open(&t->outbox, t->gw->loop, &t->source, WAITING_MAX);
	t->worker.done = on_worker_ended;
	if (cx_set_nonblock(ours, true, err) < 0 ||
	    cx_loop_add(t->gw->loop, &t->source, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&ours);
	return cx_engine_fetch(t->gw->engine, theirs, &t->worker, err);
}

int cx_transfer_open(struct cx_gateway *gw, const struct cx_msg_fetch_endpoint *endpoints,
		     unsigned n, struct cx_transfer **ret, struct cx_err *err)
{
	struct cx_transfer *t;

	if (n == 0 || n > CX_FETCH_ENDPOINTS_MAX)
		return cx_refuse(err, CX_INVALID, "a registry with %u endpoints; 1 to %d are", n,
				 CX_FETCH_ENDPOINTS_MAX);
	t = calloc(1, sizeof *t);
	if (t == NULL)
		return cx_fail(err, ENOMEM, "a registry worker");
	t->gw = gw;
	t->timer.fire = waited_enough;
	if (start_worker(t, err) < 0) {
		cx_transfer_close(t);
		return -err->errnum;
	}
	for (unsigned i = 0; i < n; i++) {
		if (post_endpoint(t, &endpoints[i], err) < 0) {
			cx_transfer_close(t);
			return -err->errnum;
		}
	}
	*ret = t;
	return 0;
}

int cx_transfer_open_for(struct cx_gateway *gw, const struct cx_ref *ref,
			 const struct cx_login *login, struct cx_transfer **ret, struct cx_err *err)
{
	CX_AUTO(cx_endpoints_free) struct cx_endpoints *endpoints = calloc(1, sizeof *endpoints);
	struct cx_msg_fetch_endpoint messages[CX_FETCH_ENDPOINTS_MAX];

	if (endpoints == NULL)
		return cx_fail(err, ENOMEM, "where an image is");
	if (cx_registries_find(gw->registries, ref, login, endpoints, err) < 0)
		return -err->errnum;
	cx_endpoints_messages(endpoints, messages);
	return cx_transfer_open(gw, messages, endpoints->n, ret, err);
}

void cx_transfer_close(struct cx_transfer *t)
{
	if (t == NULL || t->closed)
		return;
	while (t->calls != NULL)
		unlink_call(t->calls);
	cx_timer_clear(&t->timer);
	cx_engine_forget(&t->worker);
	t->closed = true;
	if (!t->failing)
		release(t);
}

/* ---- asking --------------------------------------------------------------------------------- */

void cx_transfer_cancel(struct cx_transfer_call *call)
{
	struct cx_err ignored; /* then it is at its end, which answers too */

	if (call->link != NULL && !call->transfer->hung_up)
		(void)!post_cancel(call->transfer, call->request, &ignored);
}

void cx_transfer_forget(struct cx_transfer_call *call)
{
	if (call->link == NULL)
		return;
	cx_transfer_cancel(call);
	unlink_call(call);
	call->transfer->nforgotten++;
}

static int ask(struct cx_transfer *t, uint8_t *packet, size_t len, uint16_t type, const int *fds,
	       unsigned nfds, struct cx_transfer_call *call, struct cx_err *err)
{
	if (t->hung_up)
		return cx_refuse(err, CX_UNAVAILABLE, "the registry worker has ended; try again");
	if (t->ncalls + t->nforgotten >= CX_FETCH_REQUESTS_MAX)
		return cx_refuse(err, CX_LIMIT, "%d requests to one registry at once",
				 CX_FETCH_REQUESTS_MAX);
	if (++t->last_request == 0) /* 0 is the worker itself */
		t->last_request = 1;
	if (post(t, packet, len, type, t->last_request, fds, nfds, err) < 0)
		return -err->errnum;
	call->transfer = t;
	call->request = t->last_request;
	cx_list_add(&t->calls, call);
	t->ncalls++;
	return 0;
}

#define ASK(name, m, fds, nfds) \
	ENCODE(name, m);        \
	return ask(t, packet, (size_t)(w.p - packet), CX_MSG_##name, fds, nfds, call, err)

int cx_transfer_login(struct cx_transfer *t, struct cx_transfer_call *call, struct cx_err *err)
{
	static const struct cx_msg_fetch_login none;

	ASK(fetch_login, &none, NULL, 0);
}

int cx_transfer_manifest(struct cx_transfer *t, const char *repository, const char *reference,
			 uint32_t max_bytes, int file, struct cx_transfer_call *call,
			 struct cx_err *err)
{
	struct cx_msg_fetch_manifest m = { .repository = cx_str_of(repository),
					   .reference = cx_str_of(reference),
					   .max_bytes = max_bytes };

	ASK(fetch_manifest, &m, &file, 1);
}

static struct cx_str digest_bytes(const uint8_t digest[32])
{
	return (struct cx_str){ .p = (const char *)digest, .len = 32 };
}

int cx_transfer_blob(struct cx_transfer *t, const char *repository, const uint8_t digest[32],
		     uint64_t size, uint64_t offset, int file, int pipe,
		     struct cx_transfer_call *call, struct cx_err *err)
{
	struct cx_msg_fetch_blob m = { .repository = cx_str_of(repository),
				       .digest = digest_bytes(digest),
				       .size = size,
				       .offset = offset };
	const int fds[] = { file, pipe };

	ASK(fetch_blob, &m, fds, pipe >= 0 ? 2 : 1);
}

int cx_transfer_put_blob(struct cx_transfer *t, const char *repository, const uint8_t digest[32],
			 uint64_t size, const char *from, int file, struct cx_transfer_call *call,
			 struct cx_err *err)
{
	struct cx_msg_fetch_put_blob m = { .repository = cx_str_of(repository),
					   .digest = digest_bytes(digest),
					   .size = size,
					   .from = cx_str_of(from) };

	ASK(fetch_put_blob, &m, &file, 1);
}

int cx_transfer_put_manifest(struct cx_transfer *t, const char *repository, const char *reference,
			     const char *media_type, int file, struct cx_transfer_call *call,
			     struct cx_err *err)
{
	struct cx_msg_fetch_put_manifest m = { .repository = cx_str_of(repository),
					       .reference = cx_str_of(reference),
					       .media_type = cx_str_of(media_type) };

	ASK(fetch_put_manifest, &m, &file, 1);
}
