/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_NETWORK_H
#define CX_API_NETWORK_H

#include <stdbool.h>

#include "api/store.h"

/*
 * What a sandbox may reach, as a client says it: nothing (access false, or an empty list of what is
 * allowed) or everything (an empty list of what is not). Single destinations cannot be enforced, so
 * a list that names any is refused. Pure.
 */
struct json_t;

/* allow, deny: names of the fields with the two lists, of which one may be given. */
CX_MUST int cx_network_parse(const struct json_t *doc, bool access, const char *allow,
			     const char *deny, struct cx_sandbox_row *row, struct cx_err *err);

#endif
