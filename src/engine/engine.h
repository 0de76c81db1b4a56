/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_ENGINE_H
#define CX_ENGINE_ENGINE_H

#include "engine/config.h"

/*
 * All of caissond: opens the host, recovers, serves the gateway, and stops at SIGTERM or SIGINT,
 * leaving running sandboxes to the next caissond or ending them, as configured. Blocks these
 * signals in the calling process.
 */
CX_MUST int cx_engine_run(const struct cx_config *config, struct cx_err *err);

#endif
