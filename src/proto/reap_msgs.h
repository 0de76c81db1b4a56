/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_REAP_MSGS_H
#define CX_PROTO_REAP_MSGS_H

#include "proto/msg.h"

/*
 * Between caissond and its reaper (engine/reaper.h), both root: take away what an ended sandbox
 * left in the kernel.
 *
 * fds of reap: what holds its mounts, to be closed. Each gets one answer with the same request
 * number; without a text nothing is left. fds of let_go are only closed, and it has no answer.
 */
#define CX_REAP_MSGS(M)                   \
	M(0x01, reap, CX_FIELDS_REAP)     \
	M(0x02, reaped, CX_FIELDS_REAPED) \
	M(0x03, let_go, CX_FIELDS_NONE)
#define CX_FIELDS_REAP(F)   F(str, id, 32) /* of its control groups */
#define CX_FIELDS_REAPED(F) F(u32, kind, CX_KIND_MAX - 1) F(u32, errnum, 4095) F(str, text, 503)

/* Descriptors that the reaper inherits from caissond, by number. */
enum {
	CX_REAPER_FD_CONTROL = 3, /* SOCK_SEQPACKET to caissond */
	CX_REAPER_FD_TREES = 4,	  /* and on: the instance's directory in each tree of cgroups */
};

CX_REAP_MSGS(CX_AS_MSG)

#endif
