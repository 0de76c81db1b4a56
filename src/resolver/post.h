/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_POST_H
#define CX_RESOLVER_POST_H

#include "proto/outbox.h"
#include "proto/resolver_msgs.h"

/* cx_post_permit(outbox, request, &m, err), and so on for every message of this process. */
#define CX_AS_POST(id, name, FIELDS)                                                             \
	CX_MUST static inline int cx_post_##name(struct cx_outbox *outbox, uint32_t request,     \
						 const struct cx_msg_##name *m,                  \
						 struct cx_err *err)                             \
	{                                                                                        \
		CX_UNINITIALIZED uint8_t out[CX_PACKET_HEADER + FIELDS(CX_AS_SIZE) 0];           \
		struct cx_writer w = { .p = out + CX_PACKET_HEADER,                              \
				       .left = sizeof out - CX_PACKET_HEADER };                  \
                                                                                                 \
		if (!cx_msg_##name##_put(&w, m))                                                 \
			return cx_refuse(err, CX_INTERNAL, "message '" #name "' out of bounds"); \
		return cx_outbox_post(outbox, out, (size_t)(w.p - out), id, request, NULL, 0,    \
				      err);                                                      \
	}
CX_AS_POST(CX_MSG_names_set, names_set, CX_FIELDS_SLOT)
CX_AS_POST(CX_MSG_denied, denied, CX_FIELDS_DENIED)
CX_AS_POST(CX_MSG_permit, permit, CX_FIELDS_PERMIT)

#endif
