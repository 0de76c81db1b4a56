/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/accounts_store.h"
#include "api/gateway.h"
#include "api/handlers.h"
#include "api/identity.h"
#include "api/json.h"
#include "api/jsonw.h"
#include "base/str.h"

enum { ANSWER_MAX = 16 << 20, NAME_MAX_BYTES = 63, EMAIL_MAX = 254 };

/* ---- answers -------------------------------------------------------------------------------- */

/* -1 is any number. */
static void write_max(struct cx_jsonw *w, const char *key, double max)
{
	if (max < 0)
		cx_jsonw_null(w, key);
	else
		cx_jsonw_real(w, key, max);
}

static void write_budget(struct cx_jsonw *w, const struct cx_user_row *user)
{
	cx_jsonw_object(w, "budget");
	write_max(w, "maxSandboxes", (double)user->max_sandboxes);
	write_max(w, "maxCpuCores", user->max_cpu_cores);
	write_max(w, "maxMemoryGB", user->max_memory_gb);
	write_max(w, "maxCoreHours", user->max_core_hours);
	cx_jsonw_end(w);
}

static int write_usage(struct cx_jsonw *w, struct cx_store *store, const char *id,
		       struct cx_err *err)
{
	struct cx_user_usage usage;

	if (cx_store_user_usage(store, id, cx_wall_ms(), &usage, err) < 0)
		return -err->errnum;
	cx_jsonw_object(w, "usage");
	cx_jsonw_int(w, "sandboxes", usage.sandboxes);
	cx_jsonw_real(w, "cpuCores", usage.cpu_cores);
	cx_jsonw_real(w, "memoryGB", usage.memory_gb);
	cx_jsonw_real(w, "coreHours", usage.core_ms / 3600e3);
	cx_jsonw_end(w);
	return 0;
}

static void write_user(struct cx_jsonw *w, const struct cx_user_row *user)
{
	cx_jsonw_text(w, "id", user->id);
	cx_jsonw_text(w, "name", user->name);
	cx_jsonw_text(w, "email", user->email);
	cx_jsonw_text(w, "role", user->role);
	if (user->unix_uid >= 0)
		cx_jsonw_int(w, "unixUid", user->unix_uid);
	else
		cx_jsonw_null(w, "unixUid");
	cx_jsonw_bool(w, "disabled", user->disabled != 0);
	cx_jsonw_time(w, "createdAt", user->created_ms);
	write_budget(w, user);
}

static void answer_user(struct cx_request *req, const struct cx_user_row *user)
{
	struct cx_buf json = { .max = 8192 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	write_user(&w, user);
	if (write_usage(&w, req->gateway->store, user->id, &err) < 0) {
		cx_buf_free(&json);
		cx_request_fail(req, &err);
		return;
	}
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static int list_one(const struct cx_user_row *user, void *arg, struct cx_err *err)
{
	(void)err;
	cx_jsonw_object(arg, NULL);
	write_user(arg, user);
	cx_jsonw_end(arg);
	return 0;
}

static int list(struct cx_request *req, struct cx_jsonw *w, struct cx_err *err)
{
	return cx_store_user_each(req->gateway->store, list_one, w, err);
}

void cx_handle_user_list(struct cx_request *req)
{
	cx_request_answer_list(req, "users", list);
}

/* ---- what a client sends -------------------------------------------------------------------- */

static int set_text(const struct json_t *doc, const char *field, size_t max, char **slot,
		    struct cx_err *err)
{
	const char *text = NULL;
	char *copy;

	if (cx_json_text(doc, field, max, &text, err) < 0)
		return -err->errnum;
	if (text == NULL)
		return 0;
	copy = strdup(text);
	if (copy == NULL)
		return cx_fail(err, ENOMEM, "'%s'", field);
	free(*slot);
	*slot = copy;
	return 0;
}

static int set_budget(const struct json_t *doc, struct cx_user_row *user, struct cx_err *err)
{
	double used_hours = -1;

	if (cx_json_int(doc, "max_sandboxes", -1, 1000000, &user->max_sandboxes, err) < 0 ||
	    cx_json_real(doc, "max_cpu_cores", -1, 1e6, &user->max_cpu_cores, err) < 0 ||
	    cx_json_real(doc, "max_memory_gb", -1, 1e6, &user->max_memory_gb, err) < 0 ||
	    cx_json_real(doc, "max_core_hours", -1, 1e9, &user->max_core_hours, err) < 0 ||
	    cx_json_real(doc, "used_core_hours", 0, 1e9, &used_hours, err) < 0)
		return -err->errnum;
	if (used_hours >= 0)
		user->used_core_ms = used_hours * 3600e3;
	return 0;
}

static int check_user(const struct cx_user_row *user, struct cx_err *err)
{
	if (user->name == NULL || !cx_is_plain_name(user->name, NAME_MAX_BYTES))
		return cx_refuse(err, CX_INVALID,
				 "'name' must be 1 to %d letters, digits, '.', '_' or '-', and not "
				 "begin with '.' or '-'",
				 NAME_MAX_BYTES);
	if (strcmp(user->role, "admin") != 0 && strcmp(user->role, "user") != 0)
		return cx_refuse(err, CX_INVALID, "'role' must be admin or user");
	if (strcmp(user->id, CX_ADMIN_USER) == 0 &&
	    (user->disabled != 0 || strcmp(user->role, "admin") != 0 ||
	     strcmp(user->name, CX_ADMIN_USER) != 0))
		return cx_refuse(err, CX_DENIED,
				 "the account '" CX_ADMIN_USER "' stays what it is");
	return 0;
}

/* What the document names is changed, the rest stays. */
static int apply(const struct json_t *doc, struct cx_user_row *user, struct cx_err *err)
{
	bool disabled = user->disabled != 0;

	if (set_text(doc, "name", NAME_MAX_BYTES, &user->name, err) < 0 ||
	    set_text(doc, "email", EMAIL_MAX, &user->email, err) < 0 ||
	    set_text(doc, "role", 8, &user->role, err) < 0 ||
	    cx_json_int(doc, "unix_uid", -1, UINT32_MAX - 1, &user->unix_uid, err) < 0 ||
	    cx_json_bool(doc, "disabled", &disabled, err) < 0 || set_budget(doc, user, err) < 0)
		return -err->errnum;
	if (user->unix_uid == 0)
		return cx_refuse(err, CX_INVALID,
				 "'unix_uid' 0 is root, which is the admin always");
	user->disabled = disabled;
	return check_user(user, err);
}

static int add_user(struct cx_request *req, struct cx_user_row *user, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	char id[17];

	cx_account_id(id);
	*user = (struct cx_user_row){ .id = strdup(id),
				      .role = strdup("user"),
				      .unix_uid = -1,
				      .created_ms = cx_wall_ms(),
				      .max_sandboxes = -1,
				      .max_cpu_cores = -1,
				      .max_memory_gb = -1,
				      .max_core_hours = -1 };
	if (user->id == NULL || user->role == NULL)
		return cx_fail(err, ENOMEM, "user");
	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    apply(doc, user, err) < 0)
		return -err->errnum;
	cx_request_about(req, user->name);
	return cx_store_user_insert(req->gateway->store, user, err);
}

void cx_handle_user_add(struct cx_request *req)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	struct cx_err err;

	if (add_user(req, &user, &err) < 0)
		cx_request_fail(req, &err);
	else
		answer_user(req, &user);
}

static int change_user(struct cx_request *req, struct cx_user_row *user, struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;

	if (cx_json_parse_object(req->body.p, req->body.len, &doc, err) < 0 ||
	    cx_store_user_find(req->gateway->store, req->param, user, err) < 0 ||
	    apply(doc, user, err) < 0)
		return -err->errnum;
	return cx_store_user_update(req->gateway->store, user, err);
}

void cx_handle_user_change(struct cx_request *req)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	struct cx_err err;

	if (change_user(req, &user, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_request_recheck(req);
	answer_user(req, &user);
}

/* Others learn of nobody but themselves. */
void cx_handle_user_get(struct cx_request *req)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	struct cx_err err;

	if (cx_store_user_find(req->gateway->store, req->param, &user, &err) == 0 &&
	    !req->caller.admin && strcmp(user.id, req->caller.user) != 0)
		(void)cx_refuse(&err, CX_NOT_FOUND, "there is no user '%.128s'", req->param);
	else if (user.id != NULL) {
		answer_user(req, &user);
		return;
	}
	cx_request_fail(req, &err);
}

static int remove_user(struct cx_request *req, struct cx_user_row *user, struct cx_err *err)
{
	struct cx_store *store = req->gateway->store;
	struct cx_user_usage usage;

	if (cx_store_user_find(store, req->param, user, err) < 0 ||
	    cx_store_user_usage(store, user->id, 0, &usage, err) < 0)
		return -err->errnum;
	if (strcmp(user->id, CX_ADMIN_USER) == 0)
		return cx_refuse(err, CX_DENIED, "the account '" CX_ADMIN_USER "' stays");
	if (usage.sandboxes > 0)
		return cx_refuse(err, CX_CONFLICT,
				 "the user '%.64s' has %lld sandboxes; delete them first, or "
				 "disable the account",
				 user->name, (long long)usage.sandboxes);
	return cx_store_user_remove(store, user->id, err);
}

void cx_handle_user_remove(struct cx_request *req)
{
	CX_AUTO(cx_user_row_clear) struct cx_user_row user = { 0 };
	struct cx_buf json = { .max = 1024 };
	struct cx_jsonw w = { .out = &json };
	struct cx_err err;

	if (remove_user(req, &user, &err) < 0) {
		cx_request_fail(req, &err);
		return;
	}
	cx_request_recheck(req);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "id", user.id);
	cx_jsonw_text(&w, "name", user.name);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}
