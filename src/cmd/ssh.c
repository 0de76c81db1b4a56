/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caisson-ssh
 *
 * Speaks SSH with the one client whose connection is descriptor 1, and with the gateway as
 * proto/ssh_msgs.h says on descriptor 0. caissond starts it for the gateway.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "image/confine.h"
#include "ssh/server.h"

int main(void)
{
	struct cx_err err;
	int r;

	/* Executed by descriptor: older kernels take its number for a name. */
	(void)prctl(PR_SET_NAME, "caisson-ssh");
	(void)signal(SIGPIPE, SIG_IGN); /* a reader that is gone shows as an error */
	r = cx_ssh_prepare(&err);
	if (r == 0)
		r = cx_confine(CX_CONFINE_CONNECTION, &err);
	if (r == 0)
		r = cx_ssh_serve(STDIN_FILENO, STDOUT_FILENO, &err);
	if (r < 0)
		(void)fprintf(stderr, "caisson-ssh: %s\n", err.msg);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
