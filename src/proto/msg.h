/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_MSG_H
#define CX_PROTO_MSG_H

#include "proto/packet.h"
#include "proto/wire.h"

/*
 * A message is a list of fields, each with a type of wire.h, a name and a maximum:
 *
 *	#define CX_FIELDS_EXAMPLE(F) F(u32, signo, 64) F(str, path, 4095)
 *	CX_AS_MSG(0x42, example, CX_FIELDS_EXAMPLE)
 *
 * This makes enum CX_MSG_example, struct cx_msg_example, its decoder cx_msg_example_get() (all
 * fields within their bounds and nothing behind them, or false) and cx_msg_example_send(). Fuzzers
 * and round-trip tests are expansions of the same lists.
 */
#define CX_FIELDS_NONE(F)

#define CX_SIZE_u32(max)   4
#define CX_SIZE_u64(max)   8
#define CX_SIZE_str(max)   (4 + (max))
#define CX_SIZE_bytes(max) (4 + (max))
#define CX_SIZE_strv(max)  (4 + (max))

#define CX_AS_MEMBER(type, name, max) cx_wire_##type name;
#define CX_AS_SIZE(type, name, max)   CX_SIZE_##type(max) +
#define CX_AS_GET(type, name, max)    cx_get_##type(r, &m->name, max) &&
#define CX_AS_PUT(type, name, max)    cx_put_##type(w, &m->name, max) &&
#define CX_AS_MSG(id, name, FIELDS)                                                                \
	enum { CX_MSG_##name = id };                                                               \
	__extension__ struct cx_msg_##name {                                                       \
		FIELDS(CX_AS_MEMBER)                                                               \
	};                                                                                         \
	static inline bool cx_msg_##name##_get(struct cx_reader *r, struct cx_msg_##name *m)       \
	{                                                                                          \
		(void)m;                                                                           \
		return FIELDS(CX_AS_GET) r->left == 0;                                             \
	}                                                                                          \
	static inline bool cx_msg_##name##_put(struct cx_writer *w, const struct cx_msg_##name *m) \
	{                                                                                          \
		(void)w;                                                                           \
		(void)m;                                                                           \
		return FIELDS(CX_AS_PUT) true;                                                     \
	}                                                                                          \
	CX_MUST static inline int cx_msg_##name##_send(                                            \
		int sock, uint32_t request, const struct cx_msg_##name *m, const int *fds,         \
		unsigned nfds, struct cx_err *err)                                                 \
	{                                                                                          \
		CX_UNINITIALIZED uint8_t out[CX_PACKET_HEADER + FIELDS(CX_AS_SIZE) 0];             \
		struct cx_writer w = { .p = out + CX_PACKET_HEADER,                                \
				       .left = sizeof out - CX_PACKET_HEADER };                    \
                                                                                                   \
		if (!cx_msg_##name##_put(&w, m))                                                   \
			return cx_refuse(err, CX_INVALID,                                          \
					 "a field of message '" #name                              \
					 "' is too long or holds a NUL byte");                     \
		return cx_packet_send(sock, out, (size_t)(w.p - out), id, request, fds, nfds,      \
				      err);                                                        \
	}

#endif
