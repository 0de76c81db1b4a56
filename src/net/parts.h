/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_PARTS_H
#define CX_NET_PARTS_H

#include "proto/netrule.h"

/*
 * Rules of a policy as the kernel's sets take them: no two parts have a packet in common, and
 * together they are what the rules are together.
 */
struct cx_part {
	uint8_t family;	    /* 4 or 6 */
	uint8_t protocol;   /* as in a rule */
	uint8_t first[16];  /* addresses; 4 bytes of IPv4 */
	uint8_t last[16];   /* the last one that belongs to it */
	uint16_t low, high; /* ports; 0 and 65535 with every protocol */
};

enum { CX_PARTS_MAX = 4096 };

/* *ret is the caller's, NULL for none. CX_LIMIT when there would be more than CX_PARTS_MAX. */
CX_MUST int cx_parts_make(const struct cx_netrule *rules, uint32_t nrules, struct cx_part **ret,
			  uint32_t *ret_n, struct cx_err *err);

#endif
