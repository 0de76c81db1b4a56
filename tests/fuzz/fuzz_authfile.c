/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with credentials, as Docker and podman write them, read for one registry and changed: what
 * is put in is found again, and nothing is found after it was taken out.
 */
#include "image/authfile.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const words[] = {
	"{\"auths\":{",
	"\"h.x\":",
	"\"h.x/a\":",
	"\"https://h.x/v1/\":",
	"\"https://index.docker.io/v1/\":",
	"\"auth\":\"dTE6cDE=\"",
	"\"auth\":\"",
	"\"identitytoken\":\"",
	"\"registrytoken\":\"",
	"\"username\":\"",
	"\"password\":\"",
	"\"credsStore\":\"x\"",
	"\"credHelpers\":{",
	"{\"",
	"},",
	"\\u0000",
	"\xc3\xa4",
};

static void look_at(const struct cx_login *login)
{
	if (login->kind == CX_LOGIN_NONE || login->username[0] == '\0' ||
	    login->secret[0] == '\0' || strlen(login->username) > CX_LOGIN_NAME_MAX ||
	    strlen(login->secret) > CX_LOGIN_TOKEN_MAX)
		abort();
}

static int look_at_one(const char *host, const char *username, void *arg, struct cx_err *err)
{
	(void)arg;
	(void)err;
	if (host[0] == '\0' || username[0] == '\0')
		abort();
	return 0;
}

static void try_change(const struct cx_buf *file, const struct cx_login *login)
{
	struct cx_buf with = { .max = CX_AUTHFILE_MAX }, without = { .max = CX_AUTHFILE_MAX };
	struct cx_login again = { 0 };
	struct cx_err err;

	if (cx_authfile_change(file, "h.x", login, &with, &err) < 0) {
		cx_buf_wipe(&with);
		return;
	}
	if (cx_authfile_find(&with, "h.x", "", &again, &err) != 1 ||
	    strcmp(again.secret, login->secret) != 0 || again.kind != login->kind ||
	    strcmp(again.username, login->username) != 0 ||
	    cx_authfile_change(&with, "h.x", NULL, &without, &err) != 1 ||
	    cx_authfile_find(&without, "h.x", "", &again, &err) > 0)
		abort();
	cx_buf_wipe(&with);
	cx_buf_wipe(&without);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[1 << 16];
	struct cx_login login = { 0 };
	struct cx_buf file = { .len = expand_json(data, size, words, CX_LEN(words), text,
						  sizeof text) };
	struct cx_err err;

	/* A copy of exactly its size, so that a byte too far is seen. */
	file.p = malloc(file.len > 0 ? file.len : 1);
	if (file.p == NULL)
		abort();
	memcpy(file.p, text, file.len);
	if (cx_authfile_find(&file, "h.x", "a/b", &login, &err) == 1)
		look_at(&login);
	else if (cx_login_set(&login, "user", "password", &err) < 0)
		abort();
	try_change(&file, &login);
	(void)!cx_authfile_each(&file, look_at_one, NULL, &err);
	free(file.p);
	return 0;
}
