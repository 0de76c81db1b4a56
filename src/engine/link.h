/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_LINK_H
#define CX_ENGINE_LINK_H

#include "base/loop.h"
#include "proto/control_msgs.h"

/*
 * One connection of packets in the event loop: to the gateway, or to an agent. Its memory is the
 * loop's: an owner may go at any time after cx_link_close(), also inside a callback.
 */
struct cx_link;

enum { CX_LINK_QUEUE_MAX = 32768 }; /* packets that wait for a peer that does not read */

struct cx_link_ops {
	void (*packet)(void *owner, struct cx_packet *packet); /* dropped after the call */
	/* Once: end of file (err NULL), a broken packet or a failure. The link is closed then. */
	void (*closed)(void *owner, const struct cx_err *err);
};

/* Takes over *sock on success. scratch is shared: packets are handled one at a time. */
CX_MUST int cx_link_open(struct cx_loop *loop, struct cx_packet *scratch, int *sock,
			 const struct cx_link_ops *ops, void *owner, struct cx_link **ret,
			 struct cx_err *err);
void cx_link_close(struct cx_link *link); /* NULL does no harm */
int cx_link_sock(const struct cx_link *link);

/*
 * Sends one packet of len bytes (header room included), or keeps a copy, with duplicates of the
 * descriptors (CX_LINK_FDS_MAX at most), until the peer reads. A failure means that the link must
 * be closed.
 */
enum { CX_LINK_FDS_MAX = 4 };
CX_MUST int cx_link_send(struct cx_link *link, uint8_t *packet, size_t len, uint16_t type,
			 uint32_t request, const int *fds, unsigned nfds, struct cx_err *err);

/*
 * cx_reply_created(link, request, &m, fd, err), and so on for every control message; fd may be
 * -EBADF. cx_reply_created_fds() is the same with several.
 */
#define CX_AS_REPLY(id, name, FIELDS)                                                             \
	CX_MUST static inline int cx_reply_##name##_fds(                                          \
		struct cx_link *link, uint32_t request, const struct cx_msg_##name *m,            \
		const int *fds, unsigned nfds, struct cx_err *err)                                \
	{                                                                                         \
		CX_UNINITIALIZED uint8_t out[CX_PACKET_HEADER + FIELDS(CX_AS_SIZE) 0];            \
		struct cx_writer w = { .p = out + CX_PACKET_HEADER,                               \
				       .left = sizeof out - CX_PACKET_HEADER };                   \
                                                                                                  \
		if (!cx_msg_##name##_put(&w, m))                                                  \
			return cx_refuse(err, CX_INTERNAL, "reply '" #name "' out of bounds");    \
		return cx_link_send(link, out, (size_t)(w.p - out), id, request, fds, nfds, err); \
	}                                                                                         \
	CX_MUST static inline int cx_reply_##name(struct cx_link *link, uint32_t request,         \
						  const struct cx_msg_##name *m, int fd,          \
						  struct cx_err *err)                             \
	{                                                                                         \
		return cx_reply_##name##_fds(link, request, m, &fd, fd >= 0 ? 1 : 0, err);        \
	}
CX_CONTROL_MSGS(CX_AS_REPLY)

#endif
