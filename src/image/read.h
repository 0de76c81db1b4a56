/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_READ_H
#define CX_IMAGE_READ_H

#include "image/entries.h"
#include "image/report.h"

/*
 * Reads a tar archive and writes it as an entry stream. The door to libarchive, of which only the
 * tar reader is enabled, and only on bytes that image/stream.c has unwrapped.
 *
 * What becomes of an entry of a layer (tests/image tries it):
 *
 *	a name with ".."			refused
 *	leading "/" and "./", "//", trailing "/"	taken off
 *	.wh.NAME, .wh..wh..opq			whiteout, opaque directory
 *	other .wh..wh.*				nothing
 *	hard link				kept; its target by the rules of names
 *	hard link with data			refused
 *	device, socket				nothing, counted as skipped
 *	type that nobody knows			a regular file, as POSIX says
 *	last file without its padding		kept; nothing can follow it
 *	id of 65536 or more			refused: no sandbox could show it
 *	set-user-ID, set-group-ID		kept, without effect in a sandbox
 *	user.* attributes			kept, but of user.overlay.* nothing
 *	security.*, trusted.*, system.*, ACLs, flags	nothing
 */
struct cx_read_limits {
	uint64_t max_bytes; /* uncompressed */
	uint64_t max_entries;
};

/* Fills *report in any case, its error too; returns 0 when it is ok. */
CX_MUST int cx_read_layer(int in, int out, const struct cx_read_limits *limits,
			  struct cx_report *report);

/*
 * The same for an outer archive (OCI image layout, docker save): only the files that such an
 * archive consists of, by name. Whatever else comes makes it a tree of files: the stream then ends
 * early and the report says CX_REPORT_ROOTFS.
 */
CX_MUST int cx_read_scan(int in, int out, const struct cx_read_limits *limits,
			 struct cx_report *report);

#endif
