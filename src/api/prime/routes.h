/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PRIME_ROUTES_H
#define CX_API_PRIME_ROUTES_H

#include "api/route.h"

/* The routes of src/api/prime: what the Prime sandbox SDK and CLI call. */
extern const struct cx_route_table cx_prime_routes;
struct cx_description;
extern const struct cx_description cx_prime_description;

#endif
