/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EVENTS_H
#define CX_API_EVENTS_H

#include "api/store.h"

/*
 * Who watches hears of every change of status of the sandboxes that he may see, each once and in
 * order: first the last one of those that live, or all behind the number where he was, then each as
 * it comes. They are read from the store, as fast as he takes them; nobody waits for him.
 */
struct cx_gateway;
struct cx_watcher;

enum { CX_WATCHERS_MAX = 256 };

/* A row was written. */
void cx_events_written(struct cx_gateway *gw);

#endif
