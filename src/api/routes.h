/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_ROUTES_H
#define CX_API_ROUTES_H

#include "api/route.h"

/* caisson's own and each personality's. What is not there does not exist. */
extern const struct cx_route_table *const cx_route_tables[];
extern const size_t cx_route_tables_count;

/*
 * The route of a request and its parameter; a path without a hole wins. NULL: *ret_status is 404,
 * or 405 with the methods that the path allows in allow (for the Allow header).
 */
const struct cx_route *cx_route_find(const char *method, const char *path,
				     char param[CX_PARAM_MAX + 1], unsigned *ret_status,
				     char allow[64]);

/*
 * The matcher alone: does path fit pattern? Fills param ("" when the pattern has none); a second
 * one stands behind the first one's NUL.
 */
int cx_route_match(const char *pattern, const char *path, char param[CX_PARAM_MAX + 1]);

#endif
