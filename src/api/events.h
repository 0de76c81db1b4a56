/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EVENTS_H
#define CX_API_EVENTS_H

#include "api/store.h"

/*
 * Who watches hears of every change of status of the sandboxes that he may see: first of those that
 * live, then of each change. A watcher who does not read misses events, and sees it by their
 * numbers; nobody waits for him.
 */
struct cx_gateway;
struct cx_watcher;

enum { CX_WATCHERS_MAX = 256 };

/* The row's status is another than before. Rows without an id are nobody's business yet. */
void cx_events_sandbox(struct cx_gateway *gw, const struct cx_sandbox_row *row);

#endif
