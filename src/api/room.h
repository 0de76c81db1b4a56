/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_ROOM_H
#define CX_API_ROOM_H

#include <stddef.h>

#include "proto/control_msgs.h"

/* caissond's word on what the host has for sandboxes, one row for each resource. */
struct cx_room {
	const char *name, *unit;
	uint64_t total, reserve;
	uint64_t limit; /* 0: no bound */
	uint64_t promised;
	uint64_t left; /* UINT64_MAX: unknown */
};
enum { CX_ROOM_ROWS = 6 };
void cx_room_read(const struct cx_msg_capacity_is *m, struct cx_room ret[CX_ROOM_ROWS]);

#endif
