/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_LIFETIME_H
#define CX_API_LIFETIME_H

#include "api/store.h"

/*
 * Two times end a sandbox by themselves, both kept in its row as Unix time, so that they outlive
 * gateways: its lifetime, which counts from its start whatever it does, and the time that it may be
 * idle, which begins anew with every use and stands still while it is paused. Pure.
 */

/* When it will have been idle for too long; 0: never, or not while it is paused. */
int64_t cx_lifetime_idle_end(const struct cx_sandbox_row *row);

enum cx_lifetime { CX_LIFETIME_GOES_ON, CX_LIFETIME_OVER, CX_LIFETIME_IDLE };
/* What is true at now_ms; *ret_next is how many ms later to look again, 0: no need. */
enum cx_lifetime cx_lifetime_at(const struct cx_sandbox_row *row, int64_t now_ms,
				int64_t *ret_next);

#endif
