/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_WRITE_H
#define CX_IMAGE_WRITE_H

#include "image/erofs.h"
#include "image/report.h"

/* Entry stream in, EROFS image out (an empty regular file), which is on the disk then. Fills
 * *report in any case. */
CX_MUST int cx_write_layer(int in, int out, const struct cx_erofs_limits *limits,
			   struct cx_report *report);

#endif
