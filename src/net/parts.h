/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_NET_PARTS_H
#define CX_NET_PARTS_H

#include "proto/netrule.h"

/*
 * Rules of a policy as the kernel's hash sets take them, so that a change costs what is changed,
 * however much there is of other policies. Hash sets know equality only: addresses and ports are
 * cut at whole hexadecimal digits (a network of 22 bits is four of 24), with one set for each
 * number of digits.
 *
 * The longest network that an address is in says all of it: every protocol and port, or which
 * class. A class is what is said of ports, and the same for all networks of which the same is said.
 */
struct cx_part {
	uint8_t set;	   /* of cx_part_sets */
	uint16_t class;	   /* of a network also 0: every protocol and port */
	uint8_t value[16]; /* address or port as on the wire; what does not count is 0 */
};

struct cx_part_set {
	const char *name;
	uint8_t family; /* 4 or 6: networks; 0: ports */
	uint8_t digits; /* that count: 0-8, 0-32; 0-4 of ports */
	uint8_t protocol;
};

enum {
	CX_PARTS_MAX = 8192,
	CX_PART_CLASSES_MAX = 8191, /* 13 bits */
	CX_PART_SETS = 9 + 33 + 2 * 5,
};
extern const struct cx_part_set cx_part_sets[CX_PART_SETS]; /* of each kind fewer digits first */

/* Bytes of a value that a set has. */
unsigned cx_part_size(const struct cx_part_set *set);

/*
 * *ret is the caller's, NULL for none; sorted by set. CX_INVALID when there would be more than
 * CX_PARTS_MAX.
 */
CX_MUST int cx_parts_make(const struct cx_netrule *rules, uint32_t nrules, struct cx_part **ret,
			  uint32_t *ret_n, struct cx_err *err);

#endif
