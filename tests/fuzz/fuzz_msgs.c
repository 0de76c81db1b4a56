/* SPDX-License-Identifier: Apache-2.0 */
/* Every decoder of every protocol: what it accepts must encode to the same bytes again. */
#include <stdlib.h>
#include <string.h>

#include "proto/agent_msgs.h"
#include "proto/bundle_msgs.h"
#include "proto/control_msgs.h"
#include "proto/fetch_msgs.h"
#include "proto/reap_msgs.h"
#include "proto/resolver_msgs.h"
#include "proto/spawn_msgs.h"
#include "proto/ssh_msgs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TRY(id, name, FIELDS)                                                       \
	{                                                                           \
		struct cx_reader r = { .p = data, .left = size };                   \
		struct cx_writer w = { .p = out, .left = sizeof out };              \
		struct cx_msg_##name m;                                             \
                                                                                    \
		if (cx_msg_##name##_get(&r, &m) &&                                  \
		    (!cx_msg_##name##_put(&w, &m) || (size_t)(w.p - out) != size || \
		     memcmp(out, data, size) != 0))                                 \
			abort();                                                    \
	}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[CX_PACKET_MAX];

	if (size > sizeof out)
		return 0;
	CX_CONTROL_MSGS(TRY)
	CX_AGENT_MSGS(TRY)
	CX_SPAWN_MSGS(TRY)
	CX_REAP_MSGS(TRY)
	CX_FETCH_MSGS(TRY)
	CX_BUNDLE_MSGS(TRY)
	CX_SSH_MSGS(TRY)
	CX_RESOLVER_MSGS(TRY)
	CX_PERMIT_MSGS(TRY)
	return 0;
}
