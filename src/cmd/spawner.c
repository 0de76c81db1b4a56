/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/prctl.h>

#include "base/log.h"
#include "proto/spawn_msgs.h"
#include "runtime/spawn.h"

/* caisson-spawner: started by caissond only, with the descriptors of proto/spawn_msgs.h. */
int main(int argc, char **argv)
{
	struct cx_err err = { 0 };

	(void)argv;
	/* Executed by descriptor: older kernels take its number for a name. */
	(void)prctl(PR_SET_NAME, "caisson-spawner");
	cx_log_open("caisson-spawner", CX_LOG_INFO);
	if (argc == 1 && cx_spawner_serve(CX_SPAWNER_FD_CONTROL, CX_SPAWNER_FD_AGENT,
					  CX_SPAWNER_FD_SECCOMP, CX_SPAWNER_FD_ROUTER, &err) == 0)
		return EXIT_SUCCESS;
	if (argc != 1)
		(void)cx_refuse(&err, CX_INVALID, "it is started by caissond only");
	cx_log_err(CX_LOG_ERROR, &err, "spawner ended", NULL);
	return EXIT_FAILURE;
}
