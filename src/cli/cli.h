/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_CLI_CLI_H
#define CX_CLI_CLI_H

#include <jansson.h>

#include "cli/args.h"
#include "cli/http.h"

/* How this program ends when it is not by a command's own status; caisson(1) lists them. */
enum {
	CX_EXIT_USAGE = 2,
	CX_EXIT_TIMEOUT = 124,
	CX_EXIT_OWN = 125, /* run and once: our failure, not the command's */
	CX_EXIT_NOT_EXECUTABLE = 126,
	CX_EXIT_NO_COMMAND = 127,
	CX_EXIT_SIGNAL = 128, /* + its number */
};

/* What a command works with. */
struct cx_cli {
	struct cx_args args;
	struct cx_target target;
	int signals; /* signalfd, or -1 when signals end this program as usual */
	int signo;   /* the first signal that came meanwhile, 0 if none */
};

/*
 * One request with a JSON body (or NULL; borrowed). An answer that is not 2xx becomes the error it
 * describes. *ret_json is the answer's object, the caller's; ret_json may be NULL.
 */
CX_MUST int cx_cli_call(struct cx_cli *cli, const char *method, const char *path,
			const json_t *body, json_t **ret_json, struct cx_err *err);

/* The same for a prepared call, whose body and signals this fills in. */
CX_MUST int cx_cli_call_raw(struct cx_cli *cli, struct cx_call *call, const json_t *body,
			    json_t **ret_json, struct cx_err *err);

/* The error that {"detail", "code"} (or, without it, HTTP status) stands for. Returns -errno. */
int cx_cli_error_of(json_t *body, unsigned status, struct cx_err *err);

/* The exit status for a failure of this kind; 0 for none. */
int cx_exit_status(const struct cx_err *err);

/* "/api/v1/sandbox/" + escaped id + tail into out (zeroed but for max). */
CX_MUST int cx_cli_sandbox_path(struct cx_buf *out, const char *id, const char *tail,
				struct cx_err *err);

/* Fails with CX_LIMIT when the memory for a JSON value was not there. */
CX_MUST int cx_cli_set(json_t *object, const char *key, json_t *value, struct cx_err *err);

/* The same for a text; NULL: not set. */
CX_MUST int cx_cli_set_text(json_t *object, const char *key, const char *text, struct cx_err *err);

/* KEY=VALUE and KEY (taken from our environment) as members of an object under key. */
CX_MUST int cx_cli_set_pairs(json_t *object, const char *key, const struct cx_texts *pairs,
			     struct cx_err *err);

/* From here on signals are bytes to be read: none can end us before we have cleaned up. */
CX_MUST int cx_cli_take_signals(struct cx_cli *cli, struct cx_err *err);

/* Text of the server's (NULL: "-"), without what drives a terminal. */
void cx_cli_print_word(const char *text, FILE *to);

/* An event as JSON on one line, at once; wanted with --json. */
CX_MUST int cx_cli_print_event(const json_t *value, struct cx_err *err);
bool cx_cli_wants_events(const struct cx_cli *cli);

#endif
