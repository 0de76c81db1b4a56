/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/commands.h"
#include "cli/credentials.h"

#define LOGINS "/api/v1/registries"

enum { PATH_BYTES_MAX = 1024 };

int cx_cmd_image_login(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(cx_login_wipe) struct cx_login login = { 0 };
	CX_AUTO(json_decrefp) json_t *body = json_object();
	CX_AUTO(json_decrefp) json_t *answer = NULL;

	if (cx_credentials_given(cli, true, &login, err) < 0 ||
	    cx_cli_set(body, "registry", json_string(cli->args.words[0]), err) < 0 ||
	    cx_cli_set(body, "username", json_string(login.username), err) < 0 ||
	    cx_cli_set(body, "password", json_string(login.secret), err) < 0 ||
	    cx_cli_call(cli, "POST", LOGINS, body, &answer, err) < 0)
		return -err->errnum;
	(void)fputs("logged in to ", stdout);
	cx_cli_print_word(json_string_value(json_object_get(answer, "registry")), stdout);
	(void)putchar('\n');
	return 0;
}

int cx_cmd_image_logout(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { .max = PATH_BYTES_MAX };
	const char *registry = cli->args.words[0];

	if (*registry == '\0')
		return cx_refuse(err, CX_INVALID, "the registry's name is empty");
	if (cx_buf_add(&path, LOGINS "/", strlen(LOGINS "/"), err) < 0 ||
	    cx_http_escape(&path, registry, ":", err) < 0 || cx_buf_add(&path, "", 1, err) < 0 ||
	    cx_cli_call(cli, "DELETE", path.p, NULL, NULL, err) < 0)
		return -err->errnum;
	(void)printf("logged out of %s\n", registry);
	return 0;
}
