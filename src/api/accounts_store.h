/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_ACCOUNTS_STORE_H
#define CX_API_ACCOUNTS_STORE_H

#include "api/store.h"

/*
 * Users, teams, keys and the audit log, as rows. Times are Unix milliseconds. A struct is cleared
 * by its cx_*_clear(), which is for CX_AUTO(). What is named "find" takes an id or a name and gives
 * CX_NOT_FOUND. each() must not change the store; it returns 0 or stops the walk with -errno.
 */

/* ---- users ---------------------------------------------------------------------------------- */

#define CX_USER_COLUMNS(C)                                                               \
	C(text, id)                                                                      \
	C(text, name)                                                                    \
	C(text, email)	     /* may be NULL */                                           \
	C(text, role)	     /* "admin" or "user" */                                     \
	C(integer, unix_uid) /* who comes through the socket; -1: nobody */              \
	C(integer, disabled)                                                             \
	C(integer, created_ms)                                                           \
	C(integer, max_sandboxes) /* at the same time; -1, here and below: any number */ \
	C(real, max_cpu_cores)	  /* of all live sandboxes */                            \
	C(real, max_memory_gb)	  /* of all live sandboxes */                            \
	C(real, max_core_hours)	  /* for good */                                         \
	C(real, used_core_ms)	  /* of sandboxes that have ended: their cores times their time */

struct cx_user_row {
	CX_USER_COLUMNS(CX_COLUMN)
};
void cx_user_row_clear(struct cx_user_row *row);

/* CX_CONFLICT when the name or the uid is taken. */
CX_MUST int cx_store_user_insert(struct cx_store *store, const struct cx_user_row *row,
				 struct cx_err *err);
CX_MUST int cx_store_user_update(struct cx_store *store, const struct cx_user_row *row,
				 struct cx_err *err);
/* Its keys and memberships go with it. */
CX_MUST int cx_store_user_remove(struct cx_store *store, const char *id, struct cx_err *err);
CX_MUST int cx_store_user_find(struct cx_store *store, const char *id_or_name,
			       struct cx_user_row *ret, struct cx_err *err);
/* 1 when there is one, 0 when not. */
CX_MUST int cx_store_user_by_id(struct cx_store *store, const char *id, struct cx_user_row *ret,
				struct cx_err *err);
CX_MUST int cx_store_user_by_uid(struct cx_store *store, int64_t uid, struct cx_user_row *ret,
				 struct cx_err *err);
/* 1: the owner of this sandbox is disabled; 0: not, or it has none. */
CX_MUST int cx_store_owner_disabled(struct cx_store *store, const char *sandbox_id,
				    struct cx_err *err);
CX_MUST int cx_store_user_each(struct cx_store *store,
			       int (*each)(const struct cx_user_row *row, void *arg,
					   struct cx_err *err),
			       void *arg, struct cx_err *err);

/* What a user's live sandboxes have, and all core time that has been used up to now_ms. */
struct cx_user_usage {
	int64_t sandboxes;
	double cpu_cores, memory_gb, core_ms;
};
CX_MUST int cx_store_user_usage(struct cx_store *store, const char *id, int64_t now_ms,
				struct cx_user_usage *ret, struct cx_err *err);

/* ---- teams ---------------------------------------------------------------------------------- */

#define CX_TEAM_COLUMNS(C) \
	C(text, id)        \
	C(text, name)      \
	C(integer, created_ms)

struct cx_team_row {
	CX_TEAM_COLUMNS(CX_COLUMN)
	char *role; /* of the user who was asked for, "owner" or "member"; else NULL */
};
void cx_team_row_clear(struct cx_team_row *row);

CX_MUST int cx_store_team_insert(struct cx_store *store, const struct cx_team_row *row,
				 struct cx_err *err);
CX_MUST int cx_store_team_remove(struct cx_store *store, const char *id, struct cx_err *err);
CX_MUST int cx_store_team_find(struct cx_store *store, const char *id_or_name,
			       struct cx_team_row *ret, struct cx_err *err);
/* All, or those of a user. */
CX_MUST int cx_store_team_each(struct cx_store *store, const char *user_id,
			       int (*each)(const struct cx_team_row *row, void *arg,
					   struct cx_err *err),
			       void *arg, struct cx_err *err);

struct cx_member_row {
	char *team_id, *user_id, *name, *role;
};
void cx_member_row_clear(struct cx_member_row *row);
/* Who is a member already gets the new role. */
CX_MUST int cx_store_member_put(struct cx_store *store, const char *team_id, const char *user_id,
				const char *role, struct cx_err *err);
/* CX_NOT_FOUND when it is none. */
CX_MUST int cx_store_member_remove(struct cx_store *store, const char *team_id, const char *user_id,
				   struct cx_err *err);
CX_MUST int cx_store_member_each(struct cx_store *store, const char *team_id,
				 int (*each)(const struct cx_member_row *row, void *arg,
					     struct cx_err *err),
				 void *arg, struct cx_err *err);
enum cx_membership { CX_MEMBER_NONE, CX_MEMBER, CX_MEMBER_OWNER };
/* One of the above; -errno. */
CX_MUST int cx_store_membership(struct cx_store *store, const char *team_id, const char *user_id,
				struct cx_err *err);

/* ---- keys ----------------------------------------------------------------------------------- */

#define CX_KEY_COLUMNS(C)                                       \
	C(text, id)                                             \
	C(text, user_id)                                        \
	C(text, name)	/* may be NULL */                       \
	C(text, prefix) /* the first characters, to be shown */ \
	C(integer, created_ms)                                  \
	C(integer, expires_ms) /* 0: never */                   \
	C(integer, revoked_ms) /* 0: not */                     \
	C(integer, used_ms)    /* about when last; 0: not yet */

struct cx_key_row {
	CX_KEY_COLUMNS(CX_COLUMN)
};
void cx_key_row_clear(struct cx_key_row *row);

CX_MUST int cx_store_key_insert(struct cx_store *store, const struct cx_key_row *row,
				const uint8_t hash[32], struct cx_err *err);
/* 1 when there is one, 0 when not. */
CX_MUST int cx_store_key_by_hash(struct cx_store *store, const uint8_t hash[32],
				 struct cx_key_row *ret, struct cx_err *err);
CX_MUST int cx_store_key_by_id(struct cx_store *store, const char *id, struct cx_key_row *ret,
			       struct cx_err *err);
CX_MUST int cx_store_key_update(struct cx_store *store, const struct cx_key_row *row,
				struct cx_err *err);
/* All, or those of a user. */
CX_MUST int cx_store_key_each(struct cx_store *store, const char *user_id,
			      int (*each)(const struct cx_key_row *row, void *arg,
					  struct cx_err *err),
			      void *arg, struct cx_err *err);

/* ---- audit ---------------------------------------------------------------------------------- */

#define CX_AUDIT_COLUMNS(C)                                            \
	C(integer, row) /* grows; 0 when inserted */                   \
	C(integer, at_ms)                                              \
	C(text, user_id)                                               \
	C(text, key_id)	    /* NULL: by the socket or the admin key */ \
	C(text, action)	    /* method and path of the route */         \
	C(text, object)	    /* what it was done to; may be NULL */     \
	C(integer, outcome) /* HTTP status */                          \
	C(text, request_id)

struct cx_audit_row {
	CX_AUDIT_COLUMNS(CX_COLUMN)
};
void cx_audit_row_clear(struct cx_audit_row *row);

/* Kept, but not at once in the database (later.h). The newest 200,000 are kept. */
CX_MUST int cx_store_audit_insert(struct cx_store *store, const struct cx_audit_row *row,
				  struct cx_err *err);
/* Newest first: those of a user (NULL: of all) that come before a row (0: the newest). */
CX_MUST int
cx_store_audit_each(struct cx_store *store, const char *user_id, int64_t before, int64_t limit,
		    int (*each)(const struct cx_audit_row *row, void *arg, struct cx_err *err),
		    void *arg, struct cx_err *err);

#endif
