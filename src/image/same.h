/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_SAME_H
#define CX_IMAGE_SAME_H

#include "image/report.h"

/*
 * Compares two files from their beginnings. The report is ok when they hold the same bytes; else it
 * is refused with CX_CONFLICT and says where they differ.
 */
CX_MUST int cx_same_files(int a, int b, struct cx_report *report);

#endif
