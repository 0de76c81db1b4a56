/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_BUDGET_H
#define CX_API_BUDGET_H

#include "api/store.h"

/*
 * Has the owner of this row room for it? CX_BUSY when what lives must end first (the same request
 * may succeed later), CX_SPENT when the core-hours are used up.
 */
CX_MUST int cx_budget_check(struct cx_store *store, const struct cx_sandbox_row *row,
			    struct cx_err *err);

#endif
