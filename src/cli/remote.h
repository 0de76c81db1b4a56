/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_REMOTE_H
#define CX_CLI_REMOTE_H

#include "cli/cli.h"

/* What upload and download share: the routes of a sandbox's files, and names. */
enum { CX_REMOTE_PATH_MAX = 4095, CX_REMOTE_DEPTH_MAX = 128, CX_REMOTE_PATIENCE_MS = 3600 * 1000 };

/* "/api/v1/sandbox/ID<tail>?path=<path>[&user=...]", ended by NUL; --user is of cli's. */
CX_MUST int cx_remote_url(const struct cx_cli *cli, struct cx_buf *out, const char *tail,
			  const char *path, struct cx_err *err);
/* Adds a parameter; value NULL: none. */
CX_MUST int cx_remote_param(struct cx_buf *url, const char *key, const char *value,
			    struct cx_err *err);

/* What follows the last '/' that is not at the end: "c" of "/a/b/c/"; "" where there is none. */
CX_MUST int cx_remote_base(const char *path, char ret[256], struct cx_err *err);
/* dir + "/" + name, checked for its length; the caller's. */
CX_MUST int cx_remote_join(const char *dir, const char *name, char **ret, struct cx_err *err);

#endif
