/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_NETWORK_STORE_H
#define CX_API_NETWORK_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/resolver_msgs.h"

/* The store's part about networks: numbers of named ones, and what sandboxes were refused. */
struct cx_store;

/* The number of an owner's network, from 1; it is made when it is new. */
CX_MUST int cx_store_network_number(struct cx_store *store, const char *user, const char *name,
				    uint32_t *ret, struct cx_err *err);
/* Forgets networks that no live sandbox has. */
CX_MUST int cx_store_network_sweep(struct cx_store *store, struct cx_err *err);

enum { CX_DENIALS_KEPT = 1000 }; /* of each sandbox; the newest 100,000 of all */

struct cx_denial {
	int64_t row;	 /* set when read; grows */
	int64_t sandbox; /* row of its record */
	int64_t at_ms, generation, count;
	unsigned protocol, port;
	uint8_t address[16];
	unsigned naddress; /* 4, 16, or 0: a name was refused */
	char name[CX_NAME_MAX + 1];
	char why[CX_WHY_MAX + 1]; /* resolver_msgs.h's word */
};

/* In one transaction; those of sandboxes that have no record any more are left out. */
CX_MUST int cx_store_denials_add(struct cx_store *store, const struct cx_denial *denials, size_t n,
				 struct cx_err *err);
/* The oldest first: those behind row after, or with after 0 the newest, limit of them at most. */
CX_MUST int
cx_store_denial_each(struct cx_store *store, int64_t sandbox, int64_t after, int64_t limit,
		     int (*each)(const struct cx_denial *denial, void *arg, struct cx_err *err),
		     void *arg, struct cx_err *err);

#endif
