/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/gateway.h"

#include <errno.h>
#include <sys/epoll.h>

#include "resolver/post.h"

enum { BATCH = 256, OUTBOX_MAX = 2 * CX_SLOTS_MAX };

union message {
	struct cx_msg_names_begin names_begin;
	struct cx_msg_name_rule name_rule;
	struct cx_msg_peer peer;
	struct cx_msg_names_end names_end;
	struct cx_msg_names_forget names_forget;
	struct cx_msg_names_told names_told;
};

static int begin(struct cx_gateway_link *link, struct cx_guest *guest, uint32_t request,
		 const union message *m, struct cx_err *err)
{
	(void)link;
	(void)request;
	return cx_guest_begin(guest, &m->names_begin, err);
}

static int rule(struct cx_gateway_link *link, struct cx_guest *guest, uint32_t request,
		const union message *m, struct cx_err *err)
{
	(void)link;
	(void)request;
	return cx_guest_rule(guest, &m->name_rule, err);
}

static int peer(struct cx_gateway_link *link, struct cx_guest *guest, uint32_t request,
		const union message *m, struct cx_err *err)
{
	(void)link;
	(void)request;
	return cx_guest_peer(guest, &m->peer, err);
}

static int end(struct cx_gateway_link *link, struct cx_guest *guest, uint32_t request,
	       const union message *m, struct cx_err *err)
{
	(void)m;
	if (cx_guest_end(guest, err) < 0)
		return -err->errnum;
	link->watch.changed(link->watch.arg, guest, request);
	return 0;
}

static int forget(struct cx_gateway_link *link, struct cx_guest *guest, uint32_t request,
		  const union message *m, struct cx_err *err)
{
	(void)request;
	(void)m;
	(void)err;
	link->watch.forgotten(link->watch.arg, guest);
	cx_guest_forget(link->guests, guest);
	return 0;
}

#define DECODER(name)                                                                        \
	static bool get_##name(struct cx_reader *body, union message *m, uint32_t *ret_slot) \
	{                                                                                    \
		if (!cx_msg_##name##_get(body, &m->name))                                    \
			return false;                                                        \
		*ret_slot = m->name.slot;                                                    \
		return true;                                                                 \
	}
DECODER(names_begin)
DECODER(name_rule)
DECODER(peer)
DECODER(names_end)
DECODER(names_forget)

static const struct {
	uint16_t type;
	bool (*get)(struct cx_reader *body, union message *m, uint32_t *ret_slot);
	int (*take)(struct cx_gateway_link *link, struct cx_guest *guest, uint32_t request,
		    const union message *m, struct cx_err *err);
} messages[] = {
	{ CX_MSG_names_begin, get_names_begin, begin },
	{ CX_MSG_name_rule, get_name_rule, rule },
	{ CX_MSG_peer, get_peer, peer },
	{ CX_MSG_names_end, get_names_end, end },
	{ CX_MSG_names_forget, get_names_forget, forget },
};

static int take_told(struct cx_gateway_link *link, struct cx_packet *packet, struct cx_err *err)
{
	struct cx_msg_names_told m;

	if (!cx_msg_names_told_get(&packet->body, &m))
		return cx_refuse(err, CX_INVALID, "garbled message %u", packet->type);
	link->watch.told(link->watch.arg);
	return 0;
}

static int take(struct cx_gateway_link *link, struct cx_packet *packet, struct cx_err *err)
{
	union message m;

	if (packet->type == CX_MSG_names_told)
		return take_told(link, packet, err);
	for (size_t i = 0; i < CX_LEN(messages); i++) {
		struct cx_guest *guest;
		uint32_t number = 0;

		if (messages[i].type != packet->type)
			continue;
		if (packet->nfds > 0 || !messages[i].get(&packet->body, &m, &number))
			return cx_refuse(err, CX_INVALID, "garbled message %u", packet->type);
		guest = cx_guests_at(link->guests, number);
		if (guest == NULL)
			return cx_refuse(err, CX_INVALID, "there is no slot %u", number);
		return messages[i].take(link, guest, packet->request, &m, err);
	}
	return cx_refuse(err, CX_INVALID, "message %u", packet->type);
}

static int receive(struct cx_gateway_link *link, struct cx_err *err)
{
	for (unsigned i = 0; i < BATCH; i++) {
		int r = cx_packet_recv(link->source.fd, link->packet, err);

		if (r == -EAGAIN)
			return 0;
		if (r == 0)
			return cx_refuse(err, CX_UNAVAILABLE, "the gateway is gone");
		if (r < 0)
			return r;
		r = take(link, link->packet, err);
		cx_packet_drop(link->packet);
		if (r < 0 || link->source.dead)
			return r;
	}
	return 0;
}

static void ready(struct cx_source *source, uint32_t events)
{
	struct cx_gateway_link *link = cx_container_of(source, struct cx_gateway_link, source);
	struct cx_err err;
	int r = 0;

	if ((events & EPOLLOUT) != 0)
		r = cx_outbox_flush(&link->outbox, &err);
	if (r == 0 && (events & ~(uint32_t)EPOLLOUT) != 0)
		r = receive(link, &err);
	if (r < 0)
		link->watch.lost(link->watch.arg, &err);
}

int cx_gateway_link_open(struct cx_gateway_link *ret, struct cx_loop *loop,
			 struct cx_packet *packet, int sock, struct cx_guests *guests,
			 const struct cx_gateway_link_watch *watch, struct cx_err *err)
{
	*ret = (struct cx_gateway_link){
		.loop = loop, .packet = packet, .guests = guests, .watch = *watch
	};
	ret->source = (struct cx_source){ .fd = sock, .ready = ready };
	cx_outbox_open(&ret->outbox, loop, &ret->source, OUTBOX_MAX);
	return cx_loop_add(loop, &ret->source, EPOLLIN, err);
}

void cx_gateway_link_close(struct cx_gateway_link *link)
{
	cx_outbox_clear(&link->outbox);
	cx_loop_drop(link->loop, &link->source);
}

void cx_gateway_link_set(struct cx_gateway_link *link, uint32_t slot, uint32_t request)
{
	const struct cx_msg_names_set m = { .slot = slot };
	struct cx_err err;

	if (cx_post_names_set(&link->outbox, request, &m, &err) < 0)
		link->watch.lost(link->watch.arg, &err);
}

void cx_gateway_link_denied(struct cx_gateway_link *link, const struct cx_msg_denied *m)
{
	struct cx_err err;

	if (link->outbox.n < CX_GATEWAY_DENIALS_WAITING &&
	    cx_post_denied(&link->outbox, 0, m, &err) < 0)
		link->watch.lost(link->watch.arg, &err);
}
