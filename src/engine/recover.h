/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_RECOVER_H
#define CX_ENGINE_RECOVER_H

#include "engine/sandbox.h"

/*
 * What an earlier caissond left, looked up in every place where something may be: records, cgroups,
 * writable directories, id reservations. A sandbox whose record says RUNNING and whose process is
 * the recorded one is adopted; all else goes the way of every ended sandbox, from which watch.gone
 * follows. After a reboot nothing runs, and only writable directories are found.
 */
CX_MUST int cx_recover(struct cx_sandboxes *set, struct cx_err *err);

#endif
