/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_PACK_H
#define CX_IMAGE_PACK_H

#include "image/report.h"

struct cx_pack_limits {
	uint64_t max_bytes; /* of the archive */
	uint64_t max_entries;
};

/*
 * Writes an entry stream as a tar archive (image/tar.h). The report has the archive's digest and
 * size, as blob and as tar both: nothing is compressed. It is filled in any case; returns 0 when it
 * is ok.
 */
CX_MUST int cx_pack_entries(int in, int out, const struct cx_pack_limits *limits,
			    struct cx_report *report);

#endif
