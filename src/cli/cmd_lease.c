/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>

#include "cli/commands.h"

/* The owner's side of a lease: one request in each third of it, until a signal or the end. */
enum { PARTS = 3, AGAIN_MS = 500 };

/* Milliseconds until the next one. */
static int renew(struct cx_cli *cli, const char *path, struct cx_err *err)
{
	CX_AUTO(json_decrefp) json_t *answer = NULL;
	json_int_t seconds;

	if (cx_cli_call(cli, "POST", path, NULL, &answer, err) < 0)
		return -err->errnum;
	seconds = json_integer_value(json_object_get(answer, "heartbeat_seconds"));
	if (seconds < 1 || seconds > 86400)
		return cx_refuse(err, CX_INTERNAL, "the answer is no lease");
	return (int)(seconds * 1000 / PARTS);
}

int cx_cmd_lease(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	struct pollfd signals = { .events = POLLIN };
	bool begun = false;

	if (cx_cli_take_signals(cli, err) < 0 ||
	    cx_cli_sandbox_path(&path, cli->args.words[0], "/lease", err) < 0)
		return -err->errnum;
	signals.fd = cli->signals;
	for (;;) {
		int ms = renew(cli, path.p, err);

		/* A server that is away is mostly started anew, and leases with it. */
		if (ms < 0 && !(begun && err->kind == CX_UNAVAILABLE))
			return ms;
		begun = true;
		if (cli->signo != 0 || poll(&signals, 1, ms < 0 ? AGAIN_MS : ms) != 0)
			return 0;
	}
}
