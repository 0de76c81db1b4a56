/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/number.h"
#include "cli/output.h"

#define USERS "/api/v1/users"
#define TEAMS "/api/v1/teams"
#define KEYS  "/api/v1/keys"

enum { PATH_BYTES_MAX = 2048 };

/* ---- shared --------------------------------------------------------------------------------- */

/* base + "/" + escaped name + tail. */
static int path_of(struct cx_buf *out, const char *base, const char *name, const char *tail,
		   struct cx_err *err)
{
	out->max = PATH_BYTES_MAX;
	if (*name == '\0')
		return cx_refuse(err, CX_INVALID, "the name is empty");
	if (cx_buf_add(out, base, strlen(base), err) < 0 || cx_buf_add(out, "/", 1, err) < 0 ||
	    cx_http_escape(out, name, "", err) < 0)
		return -err->errnum;
	return cx_buf_add(out, tail, strlen(tail) + 1, err);
}

static int call_named(struct cx_cli *cli, const char *method, const char *base, const char *tail,
		      const json_t *body, json_t **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };

	if (path_of(&path, base, cli->args.words[0], tail, err) < 0)
		return -err->errnum;
	return cx_cli_call(cli, method, path.p, body, ret, err);
}

/* "NAME ID" for people, all of it as data. */
static int print_made(struct cx_cli *cli, json_t *object, struct cx_err *err)
{
	if (cx_output_is_data(cli))
		return cx_output_data(cli, object, err);
	cx_cli_print_word(json_string_value(json_object_get(object, "name")), stdout);
	(void)putchar(' ');
	cx_cli_print_word(json_string_value(json_object_get(object, "id")), stdout);
	(void)putchar('\n');
	return 0;
}

static int print_list(struct cx_cli *cli, const char *path, const char *member,
		      const struct cx_column *columns, size_t n, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	json_t *list;

	if (cx_cli_call(cli, "GET", path, NULL, &answer, err) < 0)
		return -err->errnum;
	list = json_object_get(answer, member);
	if (!json_is_array(list))
		return cx_refuse(err, CX_INTERNAL, "the answer holds no list of %s", member);
	return cx_output_list(cli, list, columns, n, err);
}

/* ---- users ---------------------------------------------------------------------------------- */

static int set_number(json_t *body, const char *key, double value, bool none, struct cx_err *err)
{
	if (value < 0 && !none)
		return 0;
	if (value < 0)
		return cx_cli_set(body, key, json_integer(-1), err);
	if (value == floor(value) && value < 1e15)
		return cx_cli_set(body, key, json_integer((json_int_t)value), err);
	return cx_cli_set(body, key, json_real(value), err);
}

static int set_budget(const struct cx_args *a, json_t *body, struct cx_err *err)
{
	if (set_number(body, "max_sandboxes", a->max_sandboxes, a->no_limits, err) < 0 ||
	    set_number(body, "max_cpu_cores", a->max_cores, a->no_limits, err) < 0 ||
	    set_number(body, "max_memory_gb", a->max_memory_gb, a->no_limits, err) < 0 ||
	    set_number(body, "max_core_hours", a->max_core_hours, a->no_limits, err) < 0)
		return -err->errnum;
	return a->reset_usage ? cx_cli_set(body, "used_core_hours", json_integer(0), err) : 0;
}

int cx_cmd_user_add(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *user = NULL;

	if (cx_cli_set_text(body, "name", a->words[0], err) < 0 ||
	    cx_cli_set_text(body, "email", a->email, err) < 0 ||
	    cx_cli_set_text(body, "role", a->role, err) < 0 ||
	    set_number(body, "unix_uid", a->uid, false, err) < 0 || set_budget(a, body, err) < 0 ||
	    cx_cli_call(cli, "POST", USERS, body, &user, err) < 0)
		return -err->errnum;
	return print_made(cli, user, err);
}

int cx_cmd_user_list(struct cx_cli *cli, struct cx_err *err)
{
	static const struct cx_column columns[] = {
		{ "NAME", "name", CX_CELL_TEXT },   { "ID", "id", CX_CELL_TEXT },
		{ "ROLE", "role", CX_CELL_TEXT },   { "UID", "unixUid", CX_CELL_TEXT },
		{ "EMAIL", "email", CX_CELL_TEXT }, { "DISABLED", "disabled", CX_CELL_TEXT },
	};

	return print_list(cli, USERS, "users", columns, CX_LEN(columns), err);
}

int cx_cmd_user_show(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *user = NULL;

	if (call_named(cli, "GET", USERS, "", NULL, &user, err) < 0)
		return -err->errnum;
	return cx_output_object(cli, user, err);
}

static int change(struct cx_cli *cli, const json_t *body, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *user = NULL;

	if (call_named(cli, "PATCH", USERS, "", body, &user, err) < 0)
		return -err->errnum;
	return cx_output_object(cli, user, err);
}

static int set_disabled(struct cx_cli *cli, bool disabled, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();

	if (cx_cli_set(body, "disabled", json_boolean(disabled), err) < 0)
		return -err->errnum;
	return change(cli, body, err);
}

int cx_cmd_user_disable(struct cx_cli *cli, struct cx_err *err)
{
	return set_disabled(cli, true, err);
}

int cx_cmd_user_enable(struct cx_cli *cli, struct cx_err *err)
{
	return set_disabled(cli, false, err);
}

int cx_cmd_user_budget(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();

	if (set_budget(&cli->args, body, err) < 0)
		return -err->errnum;
	return change(cli, body, err);
}

static int remove_named(struct cx_cli *cli, const char *base, const char *what, struct cx_err *err)
{
	char question[160];

	(void)snprintf(question, sizeof question, "Remove the %s %.100s", what, cli->args.words[0]);
	if (cx_confirm(cli, question, err) < 0 ||
	    call_named(cli, "DELETE", base, "", NULL, NULL, err) < 0)
		return -err->errnum;
	(void)printf("%s removed\n", cli->args.words[0]);
	return 0;
}

int cx_cmd_user_remove(struct cx_cli *cli, struct cx_err *err)
{
	return remove_named(cli, USERS, "user", err);
}

/* ---- teams ---------------------------------------------------------------------------------- */

int cx_cmd_team_add(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *team = NULL;

	if (cx_cli_set_text(body, "name", cli->args.words[0], err) < 0 ||
	    cx_cli_call(cli, "POST", TEAMS, body, &team, err) < 0)
		return -err->errnum;
	return print_made(cli, team, err);
}

int cx_cmd_team_list(struct cx_cli *cli, struct cx_err *err)
{
	static const struct cx_column columns[] = {
		{ "NAME", "name", CX_CELL_TEXT },
		{ "ID", "id", CX_CELL_TEXT },
		{ "ROLE", "role", CX_CELL_TEXT },
		{ "CREATED", "createdAt", CX_CELL_TEXT },
	};

	return print_list(cli, TEAMS, "teams", columns, CX_LEN(columns), err);
}

static int print_members(struct cx_cli *cli, json_t *team, struct cx_err *err)
{
	static const struct cx_column columns[] = {
		{ "NAME", "name", CX_CELL_TEXT },
		{ "ID", "userId", CX_CELL_TEXT },
		{ "ROLE", "role", CX_CELL_TEXT },
	};

	if (cx_output_is_data(cli))
		return cx_output_data(cli, team, err);
	return cx_output_list(cli, json_object_get(team, "members"), columns, CX_LEN(columns), err);
}

int cx_cmd_team_show(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *team = NULL;

	if (call_named(cli, "GET", TEAMS, "", NULL, &team, err) < 0)
		return -err->errnum;
	return print_members(cli, team, err);
}

int cx_cmd_team_remove(struct cx_cli *cli, struct cx_err *err)
{
	return remove_named(cli, TEAMS, "team", err);
}

static int move_member(struct cx_cli *cli, const char *tail, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *team = NULL;

	if (cx_cli_set_text(body, "user", cli->args.words[1], err) < 0 ||
	    cx_cli_set_text(body, "role", cli->args.role, err) < 0 ||
	    call_named(cli, "POST", TEAMS, tail, body, &team, err) < 0)
		return -err->errnum;
	return print_members(cli, team, err);
}

int cx_cmd_team_join(struct cx_cli *cli, struct cx_err *err)
{
	return move_member(cli, "/join", err);
}

int cx_cmd_team_leave(struct cx_cli *cli, struct cx_err *err)
{
	return move_member(cli, "/leave", err);
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* "30d", "12h", "90m", "45s" or "45" as seconds. */
static int parse_duration(const char *text, json_int_t *ret, struct cx_err *err)
{
	static const struct {
		char unit;
		double seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	size_t len = strlen(text);
	char digits[32] = "";
	double value, factor = 1;

	for (size_t i = 0; len > 0 && i < CX_LEN(units); i++) {
		if (text[len - 1] == units[i].unit) {
			factor = units[i].seconds;
			len--;
			break;
		}
	}
	if (len < sizeof digits)
		memcpy(digits, text, len);
	if (cx_number_parse(digits, "--expires", &value, err) < 0)
		return cx_refuse(err, CX_INVALID,
				 "--expires '%.32s' is no duration like 30d, 12h, 90m or 45s",
				 text);
	*ret = value * factor < 4e9 ? (json_int_t)(value * factor) : 4000000000;
	return 0;
}

int cx_cmd_key_create(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *key = NULL;
	json_int_t seconds = 0;

	if ((a->expires != NULL && parse_duration(a->expires, &seconds, err) < 0) ||
	    (a->expires != NULL && cx_cli_set(body, "expires_s", json_integer(seconds), err) < 0) ||
	    cx_cli_set_text(body, "user", a->account, err) < 0 ||
	    cx_cli_set_text(body, "name", a->name, err) < 0 ||
	    cx_cli_call(cli, "POST", KEYS, body, &key, err) < 0)
		return -err->errnum;
	if (cx_output_is_data(cli))
		return cx_output_data(cli, key, err);
	cx_cli_print_word(json_string_value(json_object_get(key, "key")), stdout);
	(void)putchar('\n');
	(void)fputs("caisson: keep it safe: it is not shown again\n", stderr);
	return 0;
}

int cx_cmd_key_list(struct cx_cli *cli, struct cx_err *err)
{
	static const struct cx_column columns[] = {
		{ "ID", "id", CX_CELL_TEXT },
		{ "USER", "userId", CX_CELL_TEXT },
		{ "NAME", "name", CX_CELL_TEXT },
		{ "PREFIX", "prefix", CX_CELL_TEXT },
		{ "CREATED", "createdAt", CX_CELL_TEXT },
		{ "EXPIRES", "expiresAt", CX_CELL_TEXT },
		{ "LAST USED", "lastUsedAt", CX_CELL_TEXT },
		{ "REVOKED", "revokedAt", CX_CELL_TEXT },
	};
	CX_AUTO(cx_buf_free) struct cx_buf path = { .max = PATH_BYTES_MAX };

	if (cx_buf_add(&path, KEYS, strlen(KEYS), err) < 0 ||
	    cx_http_query(&path, "user", cli->args.account, "", err) < 0 ||
	    cx_buf_add(&path, "", 1, err) < 0)
		return -err->errnum;
	return print_list(cli, path.p, "keys", columns, CX_LEN(columns), err);
}

int cx_cmd_key_revoke(struct cx_cli *cli, struct cx_err *err)
{
	if (call_named(cli, "DELETE", KEYS, "", NULL, NULL, err) < 0)
		return -err->errnum;
	(void)printf("%s revoked\n", cli->args.words[0]);
	return 0;
}

int cx_cmd_rotate(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;

	if (cx_cli_call(cli, "POST", "/api/v1/secret-key/rotate", NULL, &answer, err) < 0)
		return -err->errnum;
	if (cx_output_is_data(cli))
		return cx_output_data(cli, answer, err);
	(void)printf("%lld sealed anew\n",
		     (long long)json_integer_value(json_object_get(answer, "resealed")));
	return 0;
}

/* ---- audit ---------------------------------------------------------------------------------- */

int cx_cmd_audit(struct cx_cli *cli, struct cx_err *err)
{
	static const struct cx_column columns[] = {
		{ "TIME", "time", CX_CELL_TEXT },     { "USER", "userId", CX_CELL_TEXT },
		{ "KEY", "keyId", CX_CELL_TEXT },     { "ACTION", "action", CX_CELL_TEXT },
		{ "OBJECT", "object", CX_CELL_TEXT }, { "OUTCOME", "outcome", CX_CELL_TEXT },
	};
	CX_AUTO(cx_buf_free) struct cx_buf path = { .max = PATH_BYTES_MAX };
	char limit[32] = "";

	if (cli->args.count >= 0)
		(void)snprintf(limit, sizeof limit, "%.0f", cli->args.count);
	if (cx_buf_add(&path, "/api/v1/audit", strlen("/api/v1/audit"), err) < 0 ||
	    cx_http_query(&path, "user", cli->args.account, "", err) < 0 ||
	    cx_http_query(&path, "limit", limit[0] != '\0' ? limit : NULL, "", err) < 0 ||
	    cx_buf_add(&path, "", 1, err) < 0)
		return -err->errnum;
	return print_list(cli, path.p, "audit", columns, CX_LEN(columns), err);
}
