/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_CREDENTIALS_H
#define CX_CLI_CREDENTIALS_H

#include "cli/cli.h"
#include "image/authfile.h"

/*
 * Who the caller is for a registry: by options, or by the files that Docker and podman keep. From
 * the first call on this process leaves no core dump.
 */

/*
 * --username and --password-stdin. With ask, what is missing is asked for on the terminal; without,
 * both or neither are wanted. Returns 1, or 0 when neither is given and nothing was to be asked.
 */
CX_MUST int cx_credentials_given(struct cx_cli *cli, bool ask, struct cx_login *ret,
				 struct cx_err *err);

/*
 * Sets "username" and "password" of a request about image (a name as the user wrote it), when there
 * are any: those given, or of the first file that has some: --authfile or $REGISTRY_AUTH_FILE
 * alone, else $XDG_RUNTIME_DIR/containers/auth.json, $DOCKER_CONFIG/config.json or
 * ~/.docker/config.json. Only a file that was named must exist.
 */
CX_MUST int cx_credentials_add(struct cx_cli *cli, const char *image, json_t *body,
			       struct cx_err *err);

#endif
