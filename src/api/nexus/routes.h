/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_NEXUS_ROUTES_H
#define CX_API_NEXUS_ROUTES_H

#include "api/route.h"

/* The routes of src/api/nexus: what the remote client and the CLI of Nexus call. */
extern const struct cx_route_table cx_nexus_routes;
struct cx_description;
extern const struct cx_description cx_nexus_description;

#endif
