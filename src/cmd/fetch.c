/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caisson-fetch
 *
 * Moves images between registries and the descriptors it is given, as proto/fetch_msgs.h says on
 * descriptor 0. caissond starts it for the gateway.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fetch/fetch.h"
#include "image/confine.h"

int main(void)
{
	struct cx_fetch_ready ready;
	struct cx_err err;
	int r;

	/* Executed by descriptor: older kernels take its number for a name. */
	(void)prctl(PR_SET_NAME, "caisson-fetch");
	(void)signal(SIGPIPE, SIG_IGN); /* a reader that is gone shows as an error */
	r = cx_fetch_prepare(&ready, &err);
	if (r == 0)
		r = cx_confine(CX_CONFINE_NETWORK, &err);
	if (r == 0)
		r = cx_fetch_run(STDIN_FILENO, &ready, &err);
	if (r < 0)
		(void)fprintf(stderr, "caisson-fetch: %s\n", err.msg);
	cx_buf_free(&ready.ca);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
