/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_CAPS_H
#define CX_RUNTIME_CAPS_H

#include "base/err.h"
#include "policy/policy.h"

/* The one door to libcap. */

/* Takes every capability but those of the rows from the bounding set. Needs CAP_SETPCAP. */
CX_MUST int cx_caps_bound(const struct cx_cap_row *rows, size_t n, struct cx_err *err);

/*
 * Cuts permitted and effective to the rows, as far as the process has them; inheritable and ambient
 * are emptied. With n 0 nothing is left.
 */
CX_MUST int cx_caps_keep(const struct cx_cap_row *rows, size_t n, struct cx_err *err);

#endif
