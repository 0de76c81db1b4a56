/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_UNTAR_H
#define CX_AGENT_UNTAR_H

#include <limits.h>
#include <time.h>

#include "agent/content.h"

/*
 * Reads a tar archive, entry by entry: ustar, its extension pax, and GNU's long names. Whatever
 * else there is (sparse files, multiple volumes, old forms of numbers) is refused, as a guess at it
 * could be another file than was packed.
 */
enum cx_untar_kind {
	CX_UNTAR_REGULAR,
	CX_UNTAR_DIRECTORY,
	CX_UNTAR_LINK,
	CX_UNTAR_HARD_LINK, /* to what target names, an earlier entry's path */
	CX_UNTAR_OTHER,	    /* a device or FIFO */
};

struct cx_untar_entry {
	enum cx_untar_kind kind;
	char path[PATH_MAX];   /* below where it is unpacked: not absolute, without ".."; "" is that
				*/
	char target[PATH_MAX]; /* of a link, whatever it is; of a hard link, like path */
	uint32_t mode;	       /* 07777 */
	uint64_t uid, gid, size;
	struct timespec mtime;
};

struct cx_untar { /* all but content is zero at first */
	struct cx_content *content;
	uint64_t left; /* bytes of the last entry, with what fills its last block */
	struct {       /* of the next entry, from those in front of it */
		char path[PATH_MAX], target[PATH_MAX];
		bool has_path, has_target, has_size, has_uid, has_gid;
		uint64_t size, uid, gid;
	} extended;
};

/* 1 and the next entry, or 0 at the end, behind which all is read. CX_INVALID: it is no archive. */
CX_MUST int cx_untar_next(struct cx_untar *u, struct cx_untar_entry *ret, struct cx_err *err);
/* The bytes of a regular file into fd; before the next entry, once. */
CX_MUST int cx_untar_save(struct cx_untar *u, const struct cx_untar_entry *entry, int fd,
			  struct cx_err *err);

#endif
