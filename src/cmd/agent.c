/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "agent/serve.h"
#include "base/log.h"
#include "base/str.h"

enum { EXIT_USAGE = 2, CPUS_MAX = 65536 };

/* Zeroed pages that cost nothing until they are used. */
static struct cx_agent agent;

/*
 * caisson-agent NWORK NCPUS, executed by caisson-spawner as PID 1 (proto/agent_msgs.h says with
 * which descriptors). It ends only when it cannot be a sandbox.
 */
static int run(int argc, char **argv, struct cx_err *err)
{
	uint64_t nwork, cpus;

	if (argc != 3)
		return cx_refuse(err, CX_INVALID,
				 "usage: caisson-agent NWORK NCPUS; it is started "
				 "by caisson-spawner only");
	if (cx_parse_u64(argv[1], 0, CX_AGENT_WORK_MAX, "number of work groups", &nwork, err) < 0 ||
	    cx_parse_u64(argv[2], 1, CPUS_MAX, "number of processors", &cpus, err) < 0)
		return -err->errnum;
	if (getpid() != 1)
		return cx_refuse(err, CX_INVALID,
				 "caisson-agent must be the first process of a "
				 "process id namespace");
	for (int fd = CX_AGENT_FD_LISTEN; fd < CX_AGENT_FD_WORK + (int)nwork; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return cx_refuse(err, CX_INVALID, "descriptor %d was not handed over", fd);
	/* Nothing else may be open: what a sandbox must not have, its first process does not have.
	 */
	if (syscall(SYS_close_range, CX_AGENT_FD_WORK + (unsigned)nwork, ~0U, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NAME, "caisson-agent") < 0)
		return cx_fail(err, errno, "shut off");
	return cx_serve(&agent, (unsigned)nwork, (unsigned)cpus, err);
}

int main(int argc, char **argv)
{
	struct cx_err err = { 0 };

	cx_log_open("caisson-agent", CX_LOG_INFO);
	if (run(argc, argv, &err) == 0)
		return EXIT_SUCCESS;
	cx_log_err(CX_LOG_ERROR, &err, "agent ended", NULL);
	return err.kind == CX_INVALID ? EXIT_USAGE : EXIT_FAILURE;
}
