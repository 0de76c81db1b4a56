/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EGRESS_H
#define CX_API_EGRESS_H

#include "api/boxes.h"

/* What the routes about a sandbox's network have in common. */

struct cx_egress_form {
	bool network; /* "network" may be given, and lists left out */
	void (*answer)(struct cx_request *req, const struct cx_sandbox_row *row);
};

/* Answers with what is wanted now; or fails the request. */
void cx_egress_show(struct cx_request *req, const struct cx_egress_form *form);

/* Takes over what the body says, and answers when that is in force; or fails the request. */
void cx_egress_change(struct cx_request *req, const struct cx_egress_form *form);

/* The newest generation of the row's policy that is in force, or was when the sandbox ended. */
int64_t cx_egress_applied(const struct cx_request *req, const struct cx_sandbox_row *row);

#endif
