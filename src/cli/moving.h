/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_MOVING_H
#define CX_CLI_MOVING_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/sum.h"

/*
 * One file on its way: its SHA-256, and a line on the terminal about how far it is, drawn on
 * standard error when that is a terminal and it takes a while.
 */
enum { CX_MOVING_HEX = 64 };

struct cx_moving {
	const char *name; /* borrowed */
	uint64_t total;	  /* 0: not known */
	bool shown;	  /* wanted */
	bool unsummed;	  /* nobody will ask for the SHA-256 */
	uint64_t bytes;	  /* that were added */
	/* private */
	struct cx_sum sum;
	uint64_t began_ms, drawn_ms;
	bool drawn;
};

/* name, total and shown are set. */
void cx_moving_begin(struct cx_moving *m);
void cx_moving_add(void *m, const char *bytes, size_t len); /* m: a struct cx_moving */
/* Takes the line away; also for what failed. Idempotent. */
void cx_moving_clear(struct cx_moving *m);
/* Of all that was added; once. */
void cx_moving_sum(struct cx_moving *m, char hex[CX_MOVING_HEX + 1]);

/* "SHA-256  NAME" as sha256sum(1) prints it, names with odd characters included. */
void cx_moving_print(const char *hex, const char *name);

#endif
