/* SPDX-License-Identifier: Apache-2.0 */
#include "api/describe.h"

#include "base/cleanup.h"

#define USERS "/api/v1/users"
#define TEAMS "/api/v1/teams"
#define KEYS  "/api/v1/keys"

enum {
	TEXT = CX_IS_TEXT,
	TEXT_OR_NONE = CX_IS_TEXT | CX_IS_NULL,
	INT = CX_IS_INT,
	INT_OR_NONE = CX_IS_INT | CX_IS_NULL,
	REAL = CX_IS_REAL,
	REAL_OR_NONE = CX_IS_REAL | CX_IS_NULL,
	BOOL_OR_NONE = CX_IS_BOOL | CX_IS_NULL,
	OBJECT = CX_IS_OBJECT,
	OBJECTS = CX_IS_OBJECTS,
	NEEDED = CX_IS_NEEDED,
};

/* ---- what is asked -------------------------------------------------------------------------- */

static const struct cx_field account[] = {
	{ "name", TEXT | NEEDED, 1, 63, NULL, "letters, digits, '.', '_', '-'" },
	{ "email", TEXT_OR_NONE, 0, 254, NULL, "" },
	{ "role", TEXT_OR_NONE, 0, 8, "admin|user", "user if left out" },
	{ "unix_uid", INT_OR_NONE, -1, 4294967294, NULL,
	  "who comes through the socket with it is this account; -1: nobody" },
	{ "disabled", BOOL_OR_NONE, 0, 0, NULL, "its keys open nothing" },
	{ "max_sandboxes", INT_OR_NONE, -1, 1000000, NULL, "at a time; -1: no bound" },
	{ "max_cpu_cores", REAL_OR_NONE, -1, 1000000, NULL, "at a time; -1: no bound" },
	{ "max_memory_gb", REAL_OR_NONE, -1, 1000000, NULL, "at a time; -1: no bound" },
	{ "max_core_hours", REAL_OR_NONE, -1, 1000000000, NULL, "in all; -1: no bound" },
	{ "used_core_hours", REAL_OR_NONE, 0, 1000000000, NULL, "where the count begins" },
};

static const struct cx_field account_change[] = {
	{ "name", TEXT_OR_NONE, 1, 63, NULL, "what is left out stays" },
	{ "email", TEXT_OR_NONE, 0, 254, NULL, "" },
	{ "role", TEXT_OR_NONE, 0, 8, "admin|user", "" },
	{ "unix_uid", INT_OR_NONE, -1, 4294967294, NULL, "-1: nobody" },
	{ "disabled", BOOL_OR_NONE, 0, 0, NULL, "" },
	{ "max_sandboxes", INT_OR_NONE, -1, 1000000, NULL, "-1: no bound" },
	{ "max_cpu_cores", REAL_OR_NONE, -1, 1000000, NULL, "-1: no bound" },
	{ "max_memory_gb", REAL_OR_NONE, -1, 1000000, NULL, "-1: no bound" },
	{ "max_core_hours", REAL_OR_NONE, -1, 1000000000, NULL, "-1: no bound" },
	{ "used_core_hours", REAL_OR_NONE, 0, 1000000000, NULL, "0 begins anew" },
};

static const struct cx_field team_new[] = {
	{ "name", TEXT | NEEDED, 1, 63, NULL, "" },
};

static const struct cx_field member_change[] = {
	{ "user", TEXT | NEEDED, 1, 128, NULL, "id or name" },
	{ "role", TEXT_OR_NONE, 0, 16, "owner|member", "member if left out" },
};

static const struct cx_field key_new[] = {
	{ "user", TEXT_OR_NONE, 0, 128, NULL, "whose; the caller's if left out" },
	{ "name", TEXT_OR_NONE, 0, 128, NULL, "" },
	{ "expires_s", INT_OR_NONE, 1, 0, NULL, "seconds from now; never if left out" },
};

static const struct cx_field key_query[] = {
	{ "user", TEXT, 0, 0, NULL, "whose; for an admin, everybody's if left out" },
};

static const struct cx_field audit_query[] = {
	{ "user", TEXT, 0, 0, NULL, "who did it" },
	{ "before", INT, 1, 0, NULL, "only older ones than this id" },
	{ "limit", INT, 1, 10000, NULL, "how many; 100 if left out" },
};

/* ---- what is answered ----------------------------------------------------------------------- */

static const struct cx_field user[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "email", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "role", TEXT | NEEDED, 0, 0, "admin|user", "" },
	{ "unixUid", INT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "disabled", CX_IS_BOOL | NEEDED, 0, 0, NULL, "" },
	{ "createdAt", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "budget", OBJECT | NEEDED, 0, 0, "Budget", "" },
	{ "usage", OBJECT, 0, 0, "BudgetUse", "of a single account" },
};

static const struct cx_field budget[] = {
	{ "maxSandboxes", REAL_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "maxCpuCores", REAL_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "maxMemoryGB", REAL_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "maxCoreHours", REAL_OR_NONE | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field budget_use[] = {
	{ "sandboxes", INT | NEEDED, 0, 0, NULL, "" },
	{ "cpuCores", REAL | NEEDED, 0, 0, NULL, "" },
	{ "memoryGB", REAL | NEEDED, 0, 0, NULL, "" },
	{ "coreHours", REAL | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field user_list[] = {
	{ "users", OBJECTS | NEEDED, 0, 0, "User", "" },
};

static const struct cx_field named[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
};

static const struct cx_field team[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "createdAt", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "members", OBJECTS, 0, 0, "Member", "of a single team" },
	{ "role", TEXT_OR_NONE, 0, 0, NULL, "the caller's, in a list" },
};

static const struct cx_field member[] = {
	{ "userId", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "name", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "role", TEXT | NEEDED, 0, 0, "owner|member", "" },
};

static const struct cx_field team_list[] = {
	{ "teams", OBJECTS | NEEDED, 0, 0, "Team", "" },
};

static const struct cx_field key[] = {
	{ "id", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "userId", TEXT | NEEDED, 0, 0, NULL, "" },
	{ "name", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "prefix", TEXT | NEEDED, 0, 0, NULL, "how it begins" },
	{ "createdAt", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "expiresAt", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "revokedAt", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "lastUsedAt", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "key", TEXT, 0, 0, NULL, "itself, in the answer that makes it" },
};

static const struct cx_field key_list[] = {
	{ "keys", OBJECTS | NEEDED, 0, 0, "Key", "" },
};

static const struct cx_field resealed[] = {
	{ "resealed", INT | NEEDED, 0, 0, NULL, "secrets" },
};

static const struct cx_field audit_list[] = {
	{ "audit", OBJECTS | NEEDED, 0, 0, "AuditEntry", "newest first" },
};

static const struct cx_field audit_entry[] = {
	{ "id", INT | NEEDED, 0, 0, NULL, "" },
	{ "time", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "userId", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
	{ "keyId", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "with which key" },
	{ "action", TEXT | NEEDED, 0, 0, NULL, "the route" },
	{ "object", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "on what" },
	{ "outcome", INT | NEEDED, 0, 0, NULL, "the answer's status" },
	{ "requestId", TEXT_OR_NONE | NEEDED, 0, 0, NULL, "" },
};

#define SCHEMA(name, fields)                 \
	{                                    \
		name, fields, CX_LEN(fields) \
	}

static const struct cx_schema schemas[] = {
	SCHEMA("UserNew", account),
	SCHEMA("UserChange", account_change),
	SCHEMA("TeamNew", team_new),
	SCHEMA("MemberChange", member_change),
	SCHEMA("KeyNew", key_new),
	SCHEMA("KeyQuery", key_query),
	SCHEMA("AuditQuery", audit_query),
	SCHEMA("User", user),
	SCHEMA("Budget", budget),
	SCHEMA("BudgetUse", budget_use),
	SCHEMA("UserList", user_list),
	SCHEMA("Named", named),
	SCHEMA("Team", team),
	SCHEMA("Member", member),
	SCHEMA("TeamList", team_list),
	SCHEMA("Key", key),
	SCHEMA("KeyList", key_list),
	SCHEMA("Resealed", resealed),
	SCHEMA("AuditList", audit_list),
	SCHEMA("AuditEntry", audit_entry),
};

static const struct cx_operation operations[] = {
	{ "GET", USERS, "listUsers", NULL, NULL, NULL, CX_FORM_JSON, "UserList" },
	{ "POST", USERS, "addUser", NULL, NULL, "UserNew", CX_FORM_JSON, "User" },
	{ "GET", USERS "/{}", "getUser", "user", NULL, NULL, CX_FORM_JSON, "User" },
	{ "PATCH", USERS "/{}", "changeUser", "user", NULL, "UserChange", CX_FORM_JSON, "User" },
	{ "DELETE", USERS "/{}", "removeUser", "user", NULL, NULL, CX_FORM_JSON, "Named" },
	{ "GET", TEAMS, "listTeams", NULL, NULL, NULL, CX_FORM_JSON, "TeamList" },
	{ "POST", TEAMS, "addTeam", NULL, NULL, "TeamNew", CX_FORM_JSON, "Team" },
	{ "GET", TEAMS "/{}", "getTeam", "team", NULL, NULL, CX_FORM_JSON, "Team" },
	{ "DELETE", TEAMS "/{}", "removeTeam", "team", NULL, NULL, CX_FORM_JSON, "Team" },
	{ "POST", TEAMS "/{}/join", "joinTeam", "team", NULL, "MemberChange", CX_FORM_JSON,
	  "Team" },
	{ "POST", TEAMS "/{}/leave", "leaveTeam", "team", NULL, "MemberChange", CX_FORM_JSON,
	  "Team" },
	{ "GET", KEYS, "listKeys", NULL, "KeyQuery", NULL, CX_FORM_JSON, "KeyList" },
	{ "POST", KEYS, "createKey", NULL, NULL, "KeyNew", CX_FORM_JSON, "Key" },
	{ "DELETE", KEYS "/{}", "revokeKey", "key", NULL, NULL, CX_FORM_JSON, "Key" },
	{ "POST", "/api/v1/secret-key/rotate", "rotateSecretKey", NULL, NULL, NULL, CX_FORM_JSON,
	  "Resealed" },
	{ "GET", "/api/v1/audit", "listAudit", NULL, "AuditQuery", NULL, CX_FORM_JSON,
	  "AuditList" },
};

const struct cx_description cx_accounts_description = { schemas, CX_LEN(schemas), operations,
							CX_LEN(operations) };
