/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/result.h"

const char *cx_reason_name(enum cx_reason reason)
{
	static const char *const names[CX_REASON_MAX] = {
		[CX_REASON_EXITED] = "exited",
		[CX_REASON_SIGNALLED] = "signalled",
		[CX_REASON_WALL_TIMEOUT] = "wall_timeout",
		[CX_REASON_CPU_TIMEOUT] = "cpu_timeout",
		[CX_REASON_OOM] = "oom",
		[CX_REASON_PIDS_LIMIT] = "pids_limit",
		[CX_REASON_OUTPUT_LIMIT] = "output_limit",
		[CX_REASON_DISK_FULL] = "disk_full",
		[CX_REASON_SANDBOX_STOPPED] = "sandbox_stopped",
		[CX_REASON_ENGINE_ERROR] = "engine_error",
	};

	return names[reason];
}
