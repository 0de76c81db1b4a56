/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_WALK_H
#define CX_IMAGE_WALK_H

#include "image/report.h"

/*
 * Writes a tree of files, whose every name, link and number may be hostile, as an entry stream:
 * directories before what is in them, names in the order of their bytes, so that the same tree
 * gives the same entries.
 *
 *	regular file		its data, holes left out; ids, mode, time, user.* attributes
 *	further name of a file	a hard link to the first one met, with its mode, ids and time
 *	0/0 character device	a whiteout, as overlayfs has it in a writable layer
 *	user.overlay.opaque=y	the directory again, opaque
 *	other user.overlay.*	nothing, as are all attributes but user.*
 *	the tree's own root	time 0: it is made anew for each sandbox
 *	device, socket		nothing, counted as skipped
 *	gone since it was listed	nothing
 *	changed while read	an error
 *
 * Only regular files and directories are ever opened for reading, and whatever is opened lies in
 * the tree: openat2 follows no link and crosses no mount. Ids are those that the process sees; the
 * caller has root's right to read (CAP_DAC_READ_SEARCH) over them.
 */
struct cx_walk_limits {
	uint64_t max_bytes; /* of all files, holes included */
	uint64_t max_entries;
	const char *const *without; /* paths of what is left out, ended by NULL; or NULL */
};
/* What every sandbox is given anew: no change of its image. */
extern const char *const cx_walk_made_anew[];

/* dir: a directory, which stays the caller's. Fills *report in any case; 0 when it is ok. */
CX_MUST int cx_walk_tree(int dir, int out, const struct cx_walk_limits *limits,
			 struct cx_report *report);

#endif
