/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/commands.h"
#include "cli/credentials.h"
#include "cli/events.h"

/* ---- pull, push ----------------------------------------------------------------------------- */

/* "NAME DIGEST", as import prints it, or the events have told it. */
static int transfer(struct cx_cli *cli, const char *path, json_t *body, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *done = NULL;

	if (cx_events_call(cli, path, body, &done, err) < 0)
		return -err->errnum;
	if (!cx_cli_wants_events(cli))
		cx_image_print_name(json_object_get(done, "image"));
	return 0;
}

int cx_cmd_image_pull(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(json_decrefp) json_t *body = json_object();

	if (cx_cli_set_text(body, "image", a->words[0], err) < 0 ||
	    cx_cli_set_text(body, "policy", a->policy != NULL ? a->policy : "always", err) < 0 ||
	    cx_cli_set_text(body, "platform", a->platform, err) < 0 ||
	    cx_credentials_add(cli, a->words[0], body, err) < 0)
		return -err->errnum;
	return transfer(cli, "/api/v1/images/pull", body, err);
}

int cx_cmd_image_push(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(json_decrefp) json_t *body = json_object();

	if (cx_cli_set_text(body, "image", a->words[0], err) < 0 ||
	    cx_cli_set_text(body, "to", a->nwords > 1 ? a->words[1] : NULL, err) < 0 ||
	    cx_credentials_add(cli, a->words[a->nwords - 1], body, err) < 0)
		return -err->errnum;
	return transfer(cli, "/api/v1/images/push", body, err);
}

/* ---- verify --------------------------------------------------------------------------------- */

/* "damaged layer sha256:... of a:1: it is missing" */
static void print_each(const char *what, const json_t *list)
{
	static const struct {
		const char *before, *key;
	} parts[] = {
		{ " ", "kind" }, { " ", "digest" }, { " of ", "image" }, { ": ", "problem" }
	};
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		(void)fputs(what, stdout);
		for (size_t k = 0; k < CX_LEN(parts); k++) {
			const char *text = json_string_value(json_object_get(item, parts[k].key));

			if (text == NULL)
				continue;
			(void)fputs(parts[k].before, stdout);
			cx_cli_print_word(text, stdout);
		}
		(void)putchar('\n');
	}
}

int cx_cmd_image_verify(struct cx_cli *cli, struct cx_err *err)
{
	const struct cx_args *a = &cli->args;
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *done = NULL;
	size_t bad, repaired;

	if (cx_cli_set_text(body, "image", a->nwords > 0 ? a->words[0] : NULL, err) < 0 ||
	    cx_cli_set(body, "repair", json_boolean(a->repair), err) < 0 ||
	    cx_events_call(cli, "/api/v1/images/verify", body, &done, err) < 0)
		return -err->errnum;
	bad = json_array_size(json_object_get(done, "bad"));
	repaired = json_array_size(json_object_get(done, "repaired"));
	if (!cx_cli_wants_events(cli)) {
		print_each("damaged", json_object_get(done, "bad"));
		print_each("repaired", json_object_get(done, "repaired"));
		(void)printf("%lld checked, %zu damaged, %zu repaired\n",
			     (long long)json_integer_value(json_object_get(done, "checked")), bad,
			     repaired);
	}
	return bad > repaired ? 1 : 0;
}
