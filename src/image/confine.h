/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_CONFINE_H
#define CX_IMAGE_CONFINE_H

#include "base/err.h"

/*
 * Shuts the calling process off before it looks at the first byte of an archive. It was started in
 * user, network, IPC, pid and other namespaces of its own (engine/build.c); what is left to lose
 * is lost here: the sight of any file, all descriptors but 0 to 3, every capability, and every
 * system call but the dozen that copying bytes takes. Not to be undone; a failure must end the
 * process.
 */
CX_MUST int cx_confine(struct cx_err *err);

#endif
