/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exposure.h"

struct cx_exposure *cx_exposure_next(const struct cx_gateway *gw, const struct cx_box *box,
				     const struct cx_exposure *after)
{
	struct cx_exposure *e = after != NULL ? after->next : gw->exposures;

	while (e != NULL && box != NULL && e->box != box)
		e = e->next;
	return e;
}
