/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_TEMPLATES_H
#define CX_API_TEMPLATES_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Which image a client means that knows templates only: caisson-templates.conf(5), read before the
 * fence closes.
 */
struct cx_templates;

enum { CX_TEMPLATES_MAX = 256 };

/* No file at path is fine unless must_exist. Errors name file and line. */
CX_MUST int cx_templates_open(const char *path, bool must_exist, struct cx_templates **ret,
			      struct cx_err *err);
void cx_templates_close(struct cx_templates *templates); /* NULL is fine */

/* The image of a template, or with name NULL the default. NULL: no template has the name. */
const char *cx_templates_image(const struct cx_templates *templates, const char *name);

#endif
