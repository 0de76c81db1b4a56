/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_CODE_H
#define CX_CLI_CODE_H

#include <jansson.h>

#include "cli/args.h"

/*
 * Code to run in place of a command: --code TEXT, --code - (standard input) or --file, in the
 * language of --language or of the file's name, Python if neither says. The command, an array of
 * words, that runs it inside; the caller's.
 */
CX_MUST int cx_code_command(const struct cx_args *args, json_t **ret, struct cx_err *err);

#endif
