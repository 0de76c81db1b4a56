/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_AUTHFILE_H
#define CX_IMAGE_AUTHFILE_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * Credentials of registries, and the files in which Docker (config.json) and podman (auth.json,
 * containers-auth.json(5)) keep them:
 *
 *	{"auths": {KEY: {"auth": base64("USER:PASSWORD")}}, "credsStore": .., "credHelpers": ..}
 *
 * KEY is "HOST[:PORT]", the same with a path (then for repositories at or below it only), or a URL
 * whose path does not count. An entry may have "username" and "password" instead of "auth", and an
 * "identitytoken" or "registrytoken" that goes before both. Programs that a file names
 *("credsStore", "credHelpers") are not run.
 *
 * Nothing here puts a user's name or a password into an error.
 */
enum {
	CX_AUTHFILE_MAX = 1 << 20, /* bytes of a file */
	CX_LOGIN_NAME_MAX = 255,
	CX_LOGIN_PASSWORD_MAX = 8192,
	CX_LOGIN_TOKEN_MAX = 16384,
};

enum cx_login_kind {
	CX_LOGIN_NONE, /* anonymous */
	CX_LOGIN_PASSWORD,
	CX_LOGIN_IDENTITY, /* a token that the registry's token service changes into others */
	CX_LOGIN_REGISTRY, /* a token that the registry takes as it is */
};

struct cx_login { /* a zeroed one: anonymous */
	enum cx_login_kind kind;
	char username[CX_LOGIN_NAME_MAX + 1]; /* "<token>" for tokens */
	char secret[CX_LOGIN_TOKEN_MAX + 1];
};
void cx_login_wipe(struct cx_login *login); /* for CX_AUTO() */

/*
 * Fills *ret from what a user gave. The name "<token>" says that the password is an identity token,
 * as it does for Docker. Refuses what no registry could be told: a part that is missing or too
 * long, ':' or a control character in the name.
 */
CX_MUST int cx_login_set(struct cx_login *ret, const char *username, const char *password,
			 struct cx_err *err);

/*
 * The credentials that a file has for a repository of a registry; the longest key wins. host is as
 * cx_ref_host() writes it; repository may be "". Returns 1 and *ret, 0 when it has none, CX_INVALID
 * when it is no such file, CX_DENIED when only a program that we do not run could tell them.
 */
CX_MUST int cx_authfile_find(const struct cx_buf *file, const char *host, const char *repository,
			     struct cx_login *ret, struct cx_err *err);

/* Calls each() with host and user of every entry that has credentials for a whole registry. */
CX_MUST int cx_authfile_each(const struct cx_buf *file,
			     int (*each)(const char *host, const char *username, void *arg,
					 struct cx_err *err),
			     void *arg, struct cx_err *err);

/*
 * The file with the entry of host replaced (login), or without any entry for it (login NULL; 0 when
 * there was none, else 1). An empty *file counts as {}. The new bytes are *ret's, whose max is set.
 */
CX_MUST int cx_authfile_change(const struct cx_buf *file, const char *host,
			       const struct cx_login *login, struct cx_buf *ret,
			       struct cx_err *err);

#endif
