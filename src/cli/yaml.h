/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_YAML_H
#define CX_CLI_YAML_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

/*
 * The door to libyaml: a JSON value as one YAML document. Texts are always quoted, so that none is
 * read as a number or a date; unicode: as UTF-8, else escaped.
 */
CX_MUST int cx_yaml_write(json_t *value, FILE *to, bool unicode, struct cx_err *err);

#endif
