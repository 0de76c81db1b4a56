/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_SSH_STORE_H
#define CX_API_SSH_STORE_H

#include "api/sshkey.h"
#include "api/store.h"

/*
 * Who may log in by SSH: sessions of sandboxes. One without a key lets nobody in. They go with
 * their sandbox's end.
 */
enum { CX_SSH_SESSIONS_MAX = 256 }; /* of a sandbox at once: CX_LIMIT */

struct cx_ssh_session_row {
	char id[CX_SSH_USER_MAX + 1];
	char sandbox[CX_SSH_USER_MAX + 1];
	char user_id[CX_SSH_USER_MAX + 1]; /* who made it; "": unknown */
	int64_t created_ms, expires_ms;
	struct cx_ssh_key key; /* len 0: none yet */
};

/* Forgets those of all sandboxes that are over at created_ms, too. */
CX_MUST int cx_store_ssh_insert(struct cx_store *store, const struct cx_ssh_session_row *row,
				struct cx_err *err);
/* 1 when there is one, 0 when not. */
CX_MUST int cx_store_ssh_get(struct cx_store *store, const char *id, struct cx_ssh_session_row *ret,
			     struct cx_err *err);
CX_MUST int cx_store_ssh_update(struct cx_store *store, const struct cx_ssh_session_row *row,
				struct cx_err *err);
CX_MUST int cx_store_ssh_remove(struct cx_store *store, const char *id, struct cx_err *err);

#endif
