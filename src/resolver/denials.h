/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_DENIALS_H
#define CX_RESOLVER_DENIALS_H

#include "resolver/guests.h"
#include "resolver/nflog.h"

/*
 * What sandboxes were refused, on its way to the gateway: the same thing again is counted, and a
 * sandbox that is refused many different things has only some of them told.
 */
enum {
	CX_DENIALS_KEPT = 1024, /* of all sandboxes, of which each may be counted */
	CX_DENIALS_SAME_MS = 2000,
	CX_DENIALS_A_SECOND = 4, /* of one sandbox */
	CX_DENIALS_AT_ONCE = 16,
};

struct cx_denial {
	uint32_t slot, number, generation;
	struct cx_address to; /* or name */
	uint8_t protocol;
	uint16_t port;
	uint32_t count;	  /* not told yet */
	uint64_t told_ms; /* 0: free */
	char name[CX_NAME_TEXT], why[CX_WHY_MAX + 1];
};

struct cx_denials {
	void (*tell)(void *arg, const struct cx_msg_denied *m);
	void *arg;
	struct cx_denial kept[CX_DENIALS_KEPT];
	unsigned next;
};

void cx_denials_packet(struct cx_denials *denials, struct cx_guest *guest,
		       const struct cx_refusal *refusal, uint64_t now_ms);
/* why: "policy" or "private". */
void cx_denials_name(struct cx_denials *denials, struct cx_guest *guest, const char *name,
		     const char *why, uint64_t now_ms);
/* Tells what was counted. True: something is kept, so to be called again. */
bool cx_denials_tick(struct cx_denials *denials, uint64_t now_ms);

#endif
