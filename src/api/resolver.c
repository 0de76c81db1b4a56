/* SPDX-License-Identifier: Apache-2.0 */
#include "api/resolver.h"

#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/log.h"
#include "proto/control_msgs.h"
#include "proto/outbox.h"

enum { PACKETS_PER_TURN = 64, PACKET_BYTES = 1024 };
enum { QUIET, QUEUED, SENT }; /* state of a slot; SENT: it owes a names_set */

/* One resolver; a new one has its own, as the old one's may still be in the running batch. */
struct line {
	struct cx_source source;
	struct cx_outbox outbox;
	struct cx_resolver *resolver; /* NULL: it is closed */
	bool told_all;
};

struct cx_resolver {
	struct cx_loop *loop;
	struct cx_packet *scratch;
	struct cx_resolver_events events;
	struct line *line;
	struct cx_timer patience;
	struct cx_resolver_slot *first, **last; /* QUEUED */
	unsigned sent, holds;
	uint32_t owed; /* request number of the last names_end */
	/* By number: who is told, and the request whose names_set is its answer. */
	struct cx_resolver_slot *slots[CX_SLOTS_MAX];
	uint32_t requests[CX_SLOTS_MAX];
};

static_assert(PACKET_BYTES > CX_PACKET_HEADER + 16 + CX_NAME_MAX + 2 + 4 * CX_PERMIT_PORTS_MAX,
	      "every message fits");

/* ---- the line ------------------------------------------------------------------------------- */

static void bury(struct cx_source *source)
{
	struct line *line = cx_container_of(source, struct line, source);

	cx_outbox_clear(&line->outbox);
	free(line);
}

static void queue(struct cx_resolver *r, struct cx_resolver_slot *slot)
{
	slot->state = QUEUED;
	slot->again = false;
	slot->next = NULL;
	*r->last = slot;
	r->last = &slot->next;
}

static void unqueue(struct cx_resolver *r, struct cx_resolver_slot *slot)
{
	struct cx_resolver_slot **at = &r->first;

	while (*at != slot)
		at = &(*at)->next;
	*at = slot->next;
	if (r->last == &slot->next)
		r->last = at;
}

/* What was told is worth nothing any more; what was not answered waits for the next one. */
static void hang_up(struct cx_resolver *r)
{
	struct line *line = r->line;

	if (line == NULL)
		return;
	r->line = NULL;
	r->sent = 0;
	cx_timer_clear(&r->patience);
	line->resolver = NULL;
	cx_loop_drop(r->loop, &line->source);
	for (size_t i = 0; i < CX_SLOTS_MAX; i++)
		if (r->slots[i] != NULL && r->slots[i]->state != QUEUED)
			queue(r, r->slots[i]);
}

static void give_up(struct cx_resolver *r, const struct cx_err *why)
{
	cx_log_err(CX_LOG_WARNING, why, "resolver lost", NULL);
	hang_up(r);
}

static void overdue(struct cx_timer *timer)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_TIMEOUT, "the resolver has not answered in time");
	give_up(cx_container_of(timer, struct cx_resolver, patience), &err);
}

/* ---- saying --------------------------------------------------------------------------------- */

#define POST(resolver, name, m, request)                                                         \
	CX_UNINITIALIZED uint8_t packet[PACKET_BYTES];                                           \
	struct cx_writer w = { .p = packet + CX_PACKET_HEADER,                                   \
			       .left = sizeof packet - CX_PACKET_HEADER };                       \
                                                                                                 \
	if ((resolver)->line == NULL)                                                            \
		return cx_refuse(err, CX_UNAVAILABLE, "there is no resolver");                   \
	if (!cx_msg_##name##_put(&w, m))                                                         \
		return cx_refuse(err, CX_INVALID, "a field of message '" #name "' is too long"); \
	return cx_outbox_post(&(resolver)->line->outbox, packet, (size_t)(w.p - packet),         \
			      CX_MSG_##name, request, NULL, 0, err)

int cx_resolver_put_begin(struct cx_resolver *resolver, const struct cx_msg_names_begin *m,
			  struct cx_err *err)
{
	POST(resolver, names_begin, m, 0);
}

int cx_resolver_put_rule(struct cx_resolver *resolver, const struct cx_msg_name_rule *m,
			 struct cx_err *err)
{
	POST(resolver, name_rule, m, 0);
}

int cx_resolver_put_peer(struct cx_resolver *resolver, const struct cx_msg_peer *m,
			 struct cx_err *err)
{
	POST(resolver, peer, m, 0);
}

static int put_end(struct cx_resolver *resolver, uint32_t slot, uint32_t request,
		   struct cx_err *err)
{
	struct cx_msg_names_end m = { .slot = slot };

	POST(resolver, names_end, &m, request);
}

static int put_forget(struct cx_resolver *resolver, uint32_t slot, struct cx_err *err)
{
	struct cx_msg_names_forget m = { .slot = slot };

	POST(resolver, names_forget, &m, 0);
}

static int put_told(struct cx_resolver *resolver, struct cx_err *err)
{
	struct cx_msg_names_told m;

	POST(resolver, names_told, &m, 0);
}

static int say_one(struct cx_resolver *r, struct cx_err *err)
{
	struct cx_resolver_slot *slot = r->first;

	if (++r->owed == 0)
		r->owed = 1;
	unqueue(r, slot);
	slot->state = SENT;
	r->requests[slot->slot] = r->owed;
	r->sent++;
	if (slot->write(slot, r, err) < 0)
		return cx_wrap(err, "the names of slot %u", slot->slot);
	return put_end(r, slot->slot, r->owed, err);
}

static int say_more(struct cx_resolver *r, struct cx_err *err)
{
	while (r->first != NULL && r->sent < CX_RESOLVER_AT_ONCE)
		if (say_one(r, err) < 0)
			return -err->errnum;
	if (r->sent > 0 && r->patience.link == NULL)
		cx_timer_set(r->loop, &r->patience, CX_RESOLVER_ANSWER_MS);
	if (r->first != NULL || r->sent > 0 || r->holds > 0 || r->line->told_all)
		return 0;
	r->line->told_all = true;
	return put_told(r, err);
}

static void go_on(struct cx_resolver *r)
{
	struct cx_err err;

	if (r->line != NULL && say_more(r, &err) < 0)
		give_up(r, &err);
}

/* ---- hearing -------------------------------------------------------------------------------- */

static struct cx_resolver_slot *find(struct cx_resolver *r, uint32_t slot)
{
	return slot < CX_SLOTS_MAX ? r->slots[slot] : NULL;
}

/* An answer to what was asked of a slot before it was another's is nobody's. */
static bool on_set(struct cx_resolver *r, struct cx_packet *pkt)
{
	struct cx_msg_names_set m;
	struct cx_resolver_slot *slot;

	if (!cx_msg_names_set_get(&pkt->body, &m))
		return false;
	slot = find(r, m.slot);
	if (slot == NULL || slot->state != SENT || r->requests[m.slot] != pkt->request)
		return true;
	r->sent--;
	cx_timer_clear(&r->patience);
	slot->state = QUIET;
	if (slot->again)
		queue(r, slot);
	else
		slot->told(slot);
	go_on(r);
	return true;
}

static bool on_denied(struct cx_resolver *r, struct cx_packet *pkt)
{
	struct cx_msg_denied m;
	struct cx_resolver_slot *slot;

	if (!cx_msg_denied_get(&pkt->body, &m) ||
	    (m.address.len != 0 && m.address.len != 4 && m.address.len != 16))
		return false;
	slot = find(r, m.slot);
	if (slot != NULL)
		r->events.denied(slot, &m, r->events.arg);
	return true;
}

static int receive(struct line *line, struct cx_err *err)
{
	struct cx_packet *pkt = line->resolver->scratch;
	int r = cx_packet_recv(line->source.fd, pkt, err);
	bool good = false;

	if (r < 0)
		return r;
	if (r == 0)
		return cx_refuse(err, CX_UNAVAILABLE, "the resolver has ended");
	if (pkt->nfds == 0 && pkt->type == CX_MSG_names_set)
		good = on_set(line->resolver, pkt);
	else if (pkt->nfds == 0 && pkt->type == CX_MSG_denied)
		good = on_denied(line->resolver, pkt);
	cx_packet_drop(pkt);
	return good ? 1
		    : cx_refuse(err, CX_INTERNAL, "unexpected message %#x from the resolver",
				pkt->type);
}

static void on_ready(struct cx_source *source, uint32_t events)
{
	struct line *line = cx_container_of(source, struct line, source);
	struct cx_err err;
	int r = 0;

	if (line->resolver != NULL && (events & EPOLLOUT) != 0)
		r = cx_outbox_flush(&line->outbox, &err);
	for (unsigned i = 0; r >= 0 && i < PACKETS_PER_TURN && line->resolver != NULL; i++)
		r = receive(line, &err);
	if (r < 0 && r != -EAGAIN && line->resolver != NULL)
		give_up(line->resolver, &err);
}

/* ---- the whole ------------------------------------------------------------------------------ */

int cx_resolver_open(struct cx_loop *loop, struct cx_packet *scratch,
		     const struct cx_resolver_events *events, struct cx_resolver **ret,
		     struct cx_err *err)
{
	struct cx_resolver *r = calloc(1, sizeof *r);

	if (r == NULL)
		return cx_fail(err, ENOMEM, "the resolver's slots");
	r->loop = loop;
	r->scratch = scratch;
	r->events = *events;
	r->patience.fire = overdue;
	r->last = &r->first;
	r->holds = 1;
	*ret = r;
	return 0;
}

void cx_resolver_close(struct cx_resolver *resolver)
{
	if (resolver == NULL)
		return;
	hang_up(resolver);
	free(resolver);
}

int cx_resolver_connect(struct cx_resolver *resolver, int *sock, struct cx_err *err)
{
	cx_autofd int fd = cx_take_fd(sock);
	cx_autofree struct line *line = calloc(1, sizeof *line);

	hang_up(resolver);
	if (line == NULL)
		return cx_fail(err, ENOMEM, "connection to the resolver");
	if (cx_set_nonblock(fd, true, err) < 0)
		return -err->errnum;
	line->resolver = resolver;
	line->source = (struct cx_source){ .fd = fd, .ready = on_ready, .destroy = bury };
	cx_outbox_open(&line->outbox, resolver->loop, &line->source, CX_RESOLVER_QUEUE_MAX);
	if (cx_loop_add(resolver->loop, &line->source, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&fd);
	resolver->line = cx_take_ptr(&line);
	go_on(resolver);
	return 0;
}

void cx_resolver_hold(struct cx_resolver *resolver)
{
	resolver->holds++;
}

void cx_resolver_release(struct cx_resolver *resolver)
{
	resolver->holds--;
	go_on(resolver);
}

void cx_resolver_tell(struct cx_resolver *resolver, struct cx_resolver_slot *slot)
{
	if (slot->resolver == NULL) {
		assert(slot->slot < CX_SLOTS_MAX);
		slot->resolver = resolver;
		slot->state = QUIET;
		resolver->slots[slot->slot] = slot;
	}
	if (slot->state == SENT)
		slot->again = true;
	else if (slot->state == QUIET)
		queue(resolver, slot);
	go_on(resolver);
}

void cx_resolver_forget(struct cx_resolver_slot *slot)
{
	struct cx_resolver *r = slot->resolver;
	struct cx_err err;

	if (r == NULL)
		return;
	if (slot->state == QUEUED)
		unqueue(r, slot);
	if (slot->state == SENT)
		r->sent--;
	slot->resolver = NULL;
	slot->state = QUIET;
	if (r->slots[slot->slot] == slot)
		r->slots[slot->slot] = NULL;
	if (r->line != NULL && put_forget(r, slot->slot, &err) < 0)
		give_up(r, &err);
	go_on(r);
}
