/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "cli/commands.h"
#include "cli/output.h"

/* ---- expose --------------------------------------------------------------------------------- */

static int body_of(const struct cx_args *a, json_t **ret, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *body = json_object();
	bool tcp = a->protocol != NULL && strcmp(a->protocol, "tcp") == 0;
	uint64_t port = 0;

	if (cx_parse_u64(a->words[1], 1, 65535, "the port", &port, err) < 0 ||
	    cx_cli_set(body, "port", json_integer((json_int_t)port), err) < 0 ||
	    cx_cli_set_text(body, "name", a->name, err) < 0 ||
	    cx_cli_set_text(body, "protocol", tcp ? "TCP" : "HTTP", err) < 0)
		return -err->errnum;
	*ret = cx_take_ptr(&body);
	return 0;
}

int cx_cmd_expose(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	CX_AUTO(json_decrefp) json_t *body = NULL;
	CX_AUTO(json_decrefp) json_t *exposure = NULL;

	if (body_of(&cli->args, &body, err) < 0 ||
	    cx_cli_sandbox_path(&path, cli->args.words[0], "/expose", err) < 0 ||
	    cx_cli_call(cli, "POST", path.p, body, &exposure, err) < 0)
		return -err->errnum;
	if (cx_output_is_data(cli))
		return cx_output_data(cli, exposure, err);
	cx_cli_print_word(json_string_value(json_object_get(exposure, "exposure_id")), stdout);
	(void)putchar(' ');
	cx_cli_print_word(json_string_value(json_object_get(exposure, "url")), stdout);
	(void)putchar('\n');
	return 0;
}

/* ---- unexpose ------------------------------------------------------------------------------- */

static int unexpose(struct cx_cli *cli, const char *id, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	char tail[80];

	/* As ids are: nothing that would be another path. */
	if (!cx_is_plain_name(id, 64) || cx_format(tail, sizeof tail, "/expose/%s", err, id) < 0)
		return cx_refuse(err, CX_INVALID, "'%.64s' is no id of an exposed port", id);
	if (cx_cli_sandbox_path(&path, cli->args.words[0], tail, err) < 0)
		return -err->errnum;
	return cx_cli_call(cli, "DELETE", path.p, NULL, NULL, err);
}

int cx_cmd_unexpose(struct cx_cli *cli, struct cx_err *err)
{
	for (size_t i = 1; i < cli->args.nwords; i++)
		if (unexpose(cli, cli->args.words[i], err) < 0)
			return -err->errnum;
	return 0;
}

/* ---- list-ports ----------------------------------------------------------------------------- */

int cx_cmd_list_ports(struct cx_cli *cli, struct cx_err *err)
{
	static const struct cx_column columns[] = {
		{ "ID", "exposure_id", CX_CELL_TEXT },	  { "SANDBOX", "sandbox_id", CX_CELL_TEXT },
		{ "PORT", "port", CX_CELL_TEXT },	  { "NAME", "name", CX_CELL_TEXT },
		{ "PROTOCOL", "protocol", CX_CELL_TEXT }, { "URL", "url", CX_CELL_TEXT },
	};
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	const char *all = "/api/v1/sandbox/expose/all";
	json_t *list;

	if (cli->args.nwords > 0 &&
	    cx_cli_sandbox_path(&path, cli->args.words[0], "/expose", err) < 0)
		return -err->errnum;
	if (cx_cli_call(cli, "GET", path.p != NULL ? path.p : all, NULL, &answer, err) < 0)
		return -err->errnum;
	list = json_object_get(answer, "exposures");
	if (!json_is_array(list))
		return cx_refuse(err, CX_INTERNAL, "the answer holds no list of exposed ports");
	return cx_output_list(cli, list, columns, CX_LEN(columns), err);
}
