/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_ACCESS_H
#define CX_API_ACCESS_H

#include "api/boxes.h"

/*
 * The one way from a request to a sandbox. What its caller may not use is CX_NOT_FOUND in the same
 * words as what does not exist: nobody learns which ids there are.
 */
struct cx_named {
	struct cx_box *box;		  /* NULL: it does not live any more */
	const struct cx_sandbox_row *row; /* valid as long as box is, or this struct */
	struct cx_sandbox_row ended;	  /* private */
};
void cx_named_clear(struct cx_named *named); /* for CX_AUTO(); a zeroed one is fine */

CX_MUST int cx_access_named(struct cx_request *req, const char *id_or_name, struct cx_named *ret,
			    struct cx_err *err);

/* Of one that was found: NULL with CX_CONFLICT, and its status, when it cannot take commands. */
struct cx_session *cx_named_session(const struct cx_named *named, struct cx_err *err);
/* The session of one that can take commands; CX_CONFLICT, with its status, of one that cannot. */
CX_MUST int cx_access_session(struct cx_request *req, const char *id_or_name,
			      struct cx_session **ret, struct cx_err *err);

/* May the caller see and use this sandbox? Its owner, members of its team and admins may. */
bool cx_access_allows(struct cx_request *req, const struct cx_sandbox_row *row);

/* For the filter of a list: whose eyes to look with; NULL: an admin's. */
const char *cx_access_viewer(const struct cx_request *req);

/* CX_DENIED when the caller is neither in the team (with owner: its owner) nor an admin. */
CX_MUST int cx_access_team(struct cx_request *req, const char *team_id, bool owner,
			   struct cx_err *err);

/* Makes the caller the owner of a sandbox to come; its team_id must be one of theirs, "" is none.
 */
CX_MUST int cx_access_own(struct cx_request *req, struct cx_sandbox_row *row, struct cx_err *err);

#endif
