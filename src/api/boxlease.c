/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

/*
 * Counted by the clock that stands still while the host is suspended and that nobody sets: an owner
 * on this host could not renew meanwhile either. Only its length is on record, so after a restart
 * of the gateway each lease begins anew.
 */
static const struct cx_ending over = {
	"TERMINATED", NULL, "LEASE", "its owner has not renewed its lease for 'heartbeat_seconds'"
};

static void end(struct cx_timer *timer)
{
	struct cx_box *box = cx_container_of(timer, struct cx_box, lease);

	if (box->phase != CX_BOX_ENDING)
		cx_box_end(box, &over);
}

void cx_lease_begin(struct cx_box *box)
{
	if (box->row.lease_s == 0 || box->holders > 0 || box->phase == CX_BOX_ENDING)
		return;
	box->lease.fire = end;
	cx_timer_set(box->gw->loop, &box->lease, (uint64_t)box->row.lease_s * 1000);
}

int cx_box_lease(const struct cx_box *box, struct cx_err *err)
{
	if (box->phase == CX_BOX_ENDING)
		return cx_refuse(err, CX_CONFLICT, "the sandbox has ended, it is %s",
				 box->row.status);
	if (box->row.lease_s == 0)
		return cx_refuse(err, CX_CONFLICT,
				 "the sandbox has no lease; 'lease' gives it one when it is made");
	return 0;
}

void cx_box_renew_lease(struct cx_box *box)
{
	cx_lease_begin(box);
}

void cx_box_hold(struct cx_box *box)
{
	box->holders++;
	cx_timer_clear(&box->lease);
}

void cx_box_let_go(struct cx_box *box)
{
	box->holders--;
	cx_lease_begin(box);
}
