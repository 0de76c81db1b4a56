/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"

enum { LOOK_AGAIN_MS = 1000 };

static int call(struct cx_cli *cli, const char *method, const char *tail, const json_t *body,
		json_t **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };

	if (cx_cli_sandbox_path(&path, cli->args.words[0], tail, err) < 0)
		return -err->errnum;
	return cx_cli_call(cli, method, path.p, body, ret, err);
}

int cx_cmd_egress_show(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *policy = NULL;

	if (call(cli, "GET", "/egress", NULL, &policy, err) < 0)
		return -err->errnum;
	return cx_output_object(cli, policy, err);
}

/* ---- set ------------------------------------------------------------------------------------ */

static int policy_body(const struct cx_args *a, json_t *body, struct cx_err *err)
{
	int said = (a->network >= 0) + (a->net_allow.n > 0) + (a->net_deny.n > 0);

	if (said > 1)
		return cx_refuse(err, CX_INVALID,
				 "--network-access, --no-network-access, --network-allow and "
				 "--network-deny: just one");
	if (said == 0 && a->net_name == NULL)
		return cx_refuse(err, CX_INVALID, "say what it may reach, as --help tells");
	if (a->network >= 0 &&
	    cx_cli_set(body, a->network ? "denylist" : "allowlist", json_array(), err) < 0)
		return -err->errnum;
	if (cx_cli_set_texts(body, "allowlist", &a->net_allow, err) < 0 ||
	    cx_cli_set_texts(body, "denylist", &a->net_deny, err) < 0)
		return -err->errnum;
	return cx_cli_set_text(body, "network", a->net_name, err);
}

int cx_cmd_egress_set(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *policy = NULL;

	if (policy_body(&cli->args, body, err) < 0 ||
	    call(cli, "PUT", "/egress", body, &policy, err) < 0)
		return -err->errnum;
	if (!json_is_true(json_object_get(policy, "applied")))
		(void)fputs("caisson: recorded, but not in force yet\n", stderr);
	return cx_output_object(cli, policy, err);
}

/* ---- log ------------------------------------------------------------------------------------ */

static const struct cx_column columns[] = {
	{ "TIME", "time", CX_CELL_TEXT },	{ "PROTO", "protocol", CX_CELL_TEXT },
	{ "ADDRESS", "address", CX_CELL_TEXT }, { "PORT", "port", CX_CELL_TEXT },
	{ "NAME", "name", CX_CELL_TEXT },	{ "COUNT", "count", CX_CELL_TEXT },
	{ "RULE", "rule", CX_CELL_TEXT },	{ "WHY", "why", CX_CELL_TEXT },
};

static int fetch(struct cx_cli *cli, json_int_t after, json_t **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	double limit = cli->args.count >= 0 ? cli->args.count : 100;
	char tail[96];

	(void)snprintf(tail, sizeof tail, "/egress/log?after=%lld&limit=%.0f", (long long)after,
		       limit);
	if (call(cli, "GET", tail, NULL, &answer, err) < 0)
		return -err->errnum;
	*ret = json_incref(json_object_get(answer, "denials"));
	return json_is_array(*ret) ? 0 : cx_refuse(err, CX_INTERNAL, "the answer holds no denials");
}

static void print_line(json_t *denial)
{
	for (size_t i = 0; i < CX_LEN(columns); i++) {
		const json_t *value = json_object_get(denial, columns[i].key);

		if (i > 0)
			(void)putchar(' ');
		if (json_is_integer(value))
			(void)printf("%lld", (long long)json_integer_value(value));
		else
			cx_cli_print_word(json_string_value(value), stdout);
	}
	(void)putchar('\n');
}

static int print_new(struct cx_cli *cli, json_int_t *after, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *denials = NULL;
	json_t *denial;
	size_t i;

	if (fetch(cli, *after, &denials, err) < 0)
		return -err->errnum;
	json_array_foreach(denials, i, denial)
	{
		json_int_t seq = json_integer_value(json_object_get(denial, "seq"));

		*after = seq > *after ? seq : *after;
		if (!cx_output_is_data(cli))
			print_line(denial);
		else if (cx_cli_print_event(denial, err) < 0)
			return -err->errnum;
	}
	return fflush(stdout) == 0 ? 0 : cx_fail(err, errno, "write the output");
}

/* Until it is interrupted. */
static int follow(struct cx_cli *cli, struct cx_err *err)
{
	json_int_t after = 0;

	for (;;) {
		if (print_new(cli, &after, err) < 0)
			return -err->errnum;
		(void)poll(NULL, 0, LOOK_AGAIN_MS);
	}
}

int cx_cmd_egress_log(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *denials = NULL;

	if (cli->args.follow)
		return follow(cli, err);
	if (fetch(cli, 0, &denials, err) < 0)
		return -err->errnum;
	return cx_output_list(cli, denials, columns, CX_LEN(columns), err);
}
