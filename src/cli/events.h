/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_EVENTS_H
#define CX_CLI_EVENTS_H

#include "cli/cli.h"

/*
 * A request that is answered by events, one JSON object per line, and shown as they come: as
 * progress on standard error (nothing with --quiet), with --json as lines on standard output.
 * *ret_done is the last one, {"status":"done"}; {"status":"error"} is returned as the error that it
 * describes, and an answer without either is one too.
 */
CX_MUST int cx_events_call(struct cx_cli *cli, const char *path, json_t *body, json_t **ret_done,
			   struct cx_err *err);

#endif
