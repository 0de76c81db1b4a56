/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_IMAGECONFIG_H
#define CX_API_IMAGECONFIG_H

#include "base/buf.h"

/* What is kept of an image's configuration, and read again when a sandbox is made from it. */
struct cx_image_config {
	struct cx_buf env;	       /* strv: KEY=VALUE */
	struct cx_buf entrypoint, cmd; /* strv */
	char *cwd, *user;	       /* "" when the image has none */
};
void cx_image_config_clear(struct cx_image_config *config); /* for CX_AUTO() */

/* A JSON object with the fields' names; *ret is freed with free(3). */
CX_MUST int cx_image_config_dump(const struct cx_image_config *config, char **ret,
				 struct cx_err *err);
CX_MUST int cx_image_config_load(const char *json, struct cx_image_config *ret, struct cx_err *err);

#endif
