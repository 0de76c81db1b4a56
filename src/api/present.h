/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PRESENT_H
#define CX_API_PRESENT_H

#include "api/jsonw.h"
#include "api/store.h"

/*
 * The Sandbox object of the API. agent is the User-Agent or NULL: one generation of clients takes
 * startCommand as a text only, the other as an object only.
 */
struct cx_gateway;
void cx_present_open(struct cx_jsonw *w, const struct cx_gateway *gw,
		     const struct cx_sandbox_row *row,
		     const char *agent); /* left open for more members */
void cx_present_sandbox(struct cx_jsonw *w, const struct cx_gateway *gw,
			const struct cx_sandbox_row *row, const char *agent);

#endif
