/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_OOMREPORT_H
#define CX_API_OOMREPORT_H

#include "base/err.h"
#include "proto/control_msgs.h"

/*
 * What filled the memory of a sandbox, for people and for programs. The name of a process is its
 * own invention: of it only letters, digits and a few signs are kept, the rest is '?'.
 */
enum { CX_OOM_MESSAGE_MAX = 256 };
void cx_oom_message(const struct cx_msg_oom_report *report, char ret[CX_OOM_MESSAGE_MAX]);
/* A JSON object; *ret is the caller's and replaces what was there. */
CX_MUST int cx_oom_json(const struct cx_msg_oom_report *report, char **ret, struct cx_err *err);

#endif
