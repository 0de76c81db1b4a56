/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EXPOSURE_STORE_H
#define CX_API_EXPOSURE_STORE_H

#include "api/store.h"

/* Exposed ports of sandboxes that live: the row of one goes with its sandbox's end. */
#define CX_EXPOSURE_COLUMNS(C)                                    \
	C(text, id)                                               \
	C(text, sandbox_id)                                       \
	C(integer, port) /* inside */                             \
	C(text, name)	 /* NULL: none */                         \
	C(text, protocol)                                         \
	C(integer, external_port) /* 0: it has had none so far */ \
	C(integer, created_ms)

struct cx_exposure_row {
	CX_EXPOSURE_COLUMNS(CX_COLUMN)
};
void cx_exposure_row_clear(struct cx_exposure_row *row); /* for CX_AUTO() */

/* Of an id that is there only external_port changes. */
CX_MUST int cx_store_exposure_put(struct cx_store *store, const struct cx_exposure_row *row,
				  struct cx_err *err);
CX_MUST int cx_store_exposure_remove(struct cx_store *store, const char *id, struct cx_err *err);
/* In the order of their making. each() must not use the store; a failure of it ends this. */
CX_MUST int cx_store_exposure_each(struct cx_store *store,
				   int (*each)(const struct cx_exposure_row *row, void *arg,
					       struct cx_err *err),
				   void *arg, struct cx_err *err);

#endif
