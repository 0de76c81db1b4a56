/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_BUNDLE_H
#define CX_IMAGE_BUNDLE_H

#include "image/pack.h"

/*
 * Writes files that arrive over a socket (proto/bundle_msgs.h) as a tar archive: regular files of
 * root's, mode 0644, time 0, in the order in which they come. The report is that of
 * cx_pack_entries().
 */
CX_MUST int cx_bundle_files(int sock, int out, const struct cx_pack_limits *limits,
			    struct cx_report *report);

#endif
