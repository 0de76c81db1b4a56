/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/permits.h"

#include <errno.h>
#include <sys/epoll.h>

#include "resolver/post.h"

enum { OUTBOX_MAX = CX_PERMITS_WAITING, BATCH = 64 };

union message {
	struct cx_msg_pools pools;
	struct cx_msg_service service;
	struct cx_msg_upstream upstream;
	struct cx_msg_reachable reachable;
	struct cx_msg_services_end services_end;
	struct cx_msg_permitted permitted;
	struct cx_msg_permit_error permit_error;
};

static void answered(struct cx_permits *p, uint32_t request, const struct cx_err *err)
{
	struct cx_permit_waiting waiting;

	if (request >= CX_PERMITS_WAITING || p->waiting[request].done == NULL)
		return;
	waiting = p->waiting[request];
	p->waiting[request] = (struct cx_permit_waiting){ 0 };
	waiting.done(waiting.arg, waiting.tag, err);
}

static int take_permitted(struct cx_permits *p, const struct cx_packet *packet,
			  const union message *m, struct cx_err *err)
{
	(void)m;
	(void)err;
	answered(p, packet->request, NULL);
	return 0;
}

static int take_refused(struct cx_permits *p, const struct cx_packet *packet,
			const union message *m, struct cx_err *err)
{
	struct cx_err why;

	(void)err;
	(void)cx_err_adopt(&why, m->permit_error.kind, m->permit_error.errnum,
			   m->permit_error.text.p, m->permit_error.text.len);
	answered(p, packet->request, &why);
	return 0;
}

#define TELLS(name)                                                               \
	static int take_##name(struct cx_permits *p, const struct cx_packet *pkt, \
			       const union message *m, struct cx_err *err)        \
	{                                                                         \
		(void)pkt;                                                        \
		return p->watch.name(p->watch.arg, &m->name, err);                \
	}
TELLS(pools)
TELLS(service)
TELLS(upstream)
TELLS(reachable)

static int take_end(struct cx_permits *p, const struct cx_packet *packet, const union message *m,
		    struct cx_err *err)
{
	(void)packet;
	(void)m;
	(void)err;
	p->told = true;
	p->watch.told(p->watch.arg);
	return 0;
}

#define DECODER(name)                                                    \
	static bool get_##name(struct cx_reader *body, union message *m) \
	{                                                                \
		return cx_msg_##name##_get(body, &m->name);              \
	}
DECODER(pools)
DECODER(service)
DECODER(upstream)
DECODER(reachable)
DECODER(services_end)
DECODER(permitted)
DECODER(permit_error)

static const struct {
	uint16_t type;
	bool begins; /* has its place before services_end; the others behind it */
	bool (*get)(struct cx_reader *body, union message *m);
	int (*take)(struct cx_permits *p, const struct cx_packet *packet, const union message *m,
		    struct cx_err *err);
} messages[] = {
	{ CX_MSG_pools, true, get_pools, take_pools },
	{ CX_MSG_service, true, get_service, take_service },
	{ CX_MSG_upstream, true, get_upstream, take_upstream },
	{ CX_MSG_reachable, true, get_reachable, take_reachable },
	{ CX_MSG_services_end, true, get_services_end, take_end },
	{ CX_MSG_permitted, false, get_permitted, take_permitted },
	{ CX_MSG_permit_error, false, get_permit_error, take_refused },
};

static int take(struct cx_permits *p, struct cx_packet *packet, struct cx_err *err)
{
	union message m;

	for (size_t i = 0; i < CX_LEN(messages); i++) {
		if (messages[i].type != packet->type || messages[i].begins == p->told)
			continue;
		if (packet->nfds > 0 || !messages[i].get(&packet->body, &m))
			return cx_refuse(err, CX_INVALID, "garbled message %u", packet->type);
		return messages[i].take(p, packet, &m, err);
	}
	return cx_refuse(err, CX_INVALID, "message %u at this time", packet->type);
}

static int receive(struct cx_permits *p, struct cx_err *err)
{
	for (unsigned i = 0; i < BATCH; i++) {
		int r = cx_packet_recv(p->source.fd, p->packet, err);

		if (r == -EAGAIN)
			return 0;
		if (r == 0)
			return cx_refuse(err, CX_UNAVAILABLE, "caissond is gone");
		if (r < 0)
			return r;
		r = take(p, p->packet, err);
		cx_packet_drop(p->packet);
		if (r < 0 || p->source.dead)
			return r;
	}
	return 0;
}

static void ready(struct cx_source *source, uint32_t events)
{
	struct cx_permits *p = cx_container_of(source, struct cx_permits, source);
	struct cx_err err;
	int r = 0;

	if ((events & EPOLLOUT) != 0)
		r = cx_outbox_flush(&p->outbox, &err);
	if (r == 0 && (events & ~(uint32_t)EPOLLOUT) != 0)
		r = receive(p, &err);
	if (r < 0)
		p->watch.lost(p->watch.arg, &err);
}

int cx_permits_open(struct cx_permits *ret, struct cx_loop *loop, struct cx_packet *packet,
		    int sock, const struct cx_permits_watch *watch, struct cx_err *err)
{
	*ret = (struct cx_permits){ .loop = loop, .packet = packet, .watch = *watch };
	ret->source = (struct cx_source){ .fd = sock, .ready = ready };
	cx_outbox_open(&ret->outbox, loop, &ret->source, OUTBOX_MAX);
	return cx_loop_add(loop, &ret->source, EPOLLIN, err);
}

void cx_permits_close(struct cx_permits *permits)
{
	cx_outbox_clear(&permits->outbox);
	cx_loop_drop(permits->loop, &permits->source);
}

int cx_permits_ask(struct cx_permits *permits, const struct cx_msg_permit *m, cx_permit_done *done,
		   void *arg, unsigned tag, struct cx_err *err)
{
	for (unsigned i = 0; i < CX_PERMITS_WAITING; i++) {
		unsigned at = (permits->next + i) % CX_PERMITS_WAITING;

		if (permits->waiting[at].done != NULL)
			continue;
		if (cx_post_permit(&permits->outbox, at, m, err) < 0)
			return -err->errnum;
		permits->waiting[at] = (struct cx_permit_waiting){ done, arg, tag };
		permits->next = (at + 1) % CX_PERMITS_WAITING;
		return 0;
	}
	return cx_refuse(err, CX_UNAVAILABLE, "%d permits wait already", CX_PERMITS_WAITING);
}
