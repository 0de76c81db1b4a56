/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caisson-resolver
 *
 * Answers sandboxes' questions for names, on the descriptors of proto/resolver_msgs.h. caissond
 * starts it with each gateway.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "image/confine.h"
#include "resolver/resolver.h"

int main(void)
{
	struct cx_err err;

	/* Executed by descriptor: older kernels take its number for a name. */
	(void)prctl(PR_SET_NAME, "caisson-resolve"); /* 15 bytes */
	(void)signal(SIGPIPE, SIG_IGN);		     /* a peer that is gone shows as an error */
	if (cx_confine(CX_CONFINE_NAMES, &err) < 0 || cx_resolver_run(&err) < 0) {
		(void)fprintf(stderr, "caisson-resolver: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
