/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_REPORT_H
#define CX_IMAGE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The one thing that a worker says besides its stream, through descriptor 3, when it ends. A report
 * that is missing, short, long or odd counts as "the worker died": it is read by the gateway, and
 * who wrote it had a hostile archive in its hands.
 */
enum { CX_REPORT_SIZE = 640 };

enum cx_report_kind {
	CX_REPORT_LAYER, /* read, write */
	/* scan: an OCI layout or a "docker save" archive went by; read: a layout's documents did */
	CX_REPORT_IMAGE,
	CX_REPORT_ROOTFS, /* scan: it is neither, so a tree of files */
	CX_REPORT_KIND_MAX,
};

struct cx_report {
	bool ok;
	uint32_t kind;
	uint8_t blob_id[32];  /* read: SHA-256 of what came in */
	uint8_t diff_id[32];  /* read: SHA-256 of the uncompressed tar */
	uint64_t blob_bytes;  /* read: came in */
	uint64_t tar_bytes;   /* read: uncompressed */
	uint64_t image_bytes; /* write: of the EROFS image */
	uint32_t entries;
	uint32_t skipped;  /* entries that became nothing: devices, sockets */
	struct cx_err err; /* when not ok */
};

void cx_report_encode(const struct cx_report *report, uint8_t out[CX_REPORT_SIZE]);
CX_MUST int cx_report_decode(const uint8_t *bytes, size_t len, struct cx_report *ret,
			     struct cx_err *err);

#endif
