/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_FREEZER_H
#define CX_ENGINE_FREEZER_H

#include "engine/sandbox.h"

/*
 * Two reasons for a sandbox to stand still, each undone only by who had it: a commit stops all of
 * it, its agent too; a pause stops all but the agent, and is recorded. Both take a moment. A
 * sandbox that ends is let go on by both, for what stands still does not die.
 */

/* Of a RUNNING sandbox. CX_CONFLICT when it is frozen already. */
CX_MUST int cx_sandbox_freeze(struct cx_sandbox *sb, struct cx_err *err);
CX_MUST int cx_sandbox_is_frozen(const struct cx_sandbox *sb, struct cx_err *err); /* 0, 1 */
void cx_sandbox_thaw(struct cx_sandbox *sb); /* harmless when it does not */

/* The same for its user; fine when it is paused already, or is not. */
CX_MUST int cx_sandbox_pause(struct cx_sandbox *sb, struct cx_err *err);
CX_MUST int cx_sandbox_is_paused(const struct cx_sandbox *sb, struct cx_err *err); /* 0, 1 */
void cx_sandbox_resume(struct cx_sandbox *sb);

/* Both let it go on; the record is left alone. */
void cx_sandbox_release(struct cx_sandbox *sb);
/* Of one that an earlier daemon left: as its record says, and no commit is under way. */
void cx_sandbox_find_frozen(struct cx_sandbox *sb);

#endif
