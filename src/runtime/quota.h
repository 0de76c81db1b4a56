/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_QUOTA_H
#define CX_RUNTIME_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The directory that a sandbox writes to, and the kernel's limit on it. One interface, several back
 * ends (quota_*.c); which one a host has is found out by trying it.
 */
enum cx_quota_kind {
	CX_QUOTA_AUTO,	  /* of a plan: the first that works of project, loop, btrfs */
	CX_QUOTA_PROJECT, /* project quotas of ext4 or XFS */
	CX_QUOTA_BTRFS,	  /* a subvolume each, with a limit of its quota group; bytes only */
	CX_QUOTA_LOOP,	  /* an ext4 of that size each, in a sparse file without a name */
	CX_QUOTA_MEMORY,  /* a tmpfs each, charged to the sandbox that writes */
	CX_QUOTA_NONE,	  /* a plain directory: nothing is limited */
	CX_QUOTA_MAX,
};

struct cx_quota_limit {
	uint64_t bytes, inodes; /* both at least 1 */
};

/* One sandbox's. It holds the directories upper and work. */
struct cx_writable {
	int dir;	 /* O_PATH; -EBADF: there is none, or not for this daemon */
	uint32_t kind;	 /* enum cx_quota_kind; never AUTO when there is one */
	uint32_t device; /* of LOOP: N of /dev/loopN */
	struct cx_quota_limit limit;
};

#define CX_WRITABLE_NONE                             \
	{                                            \
		.dir = -EBADF, .kind = CX_QUOTA_NONE \
	}

struct cx_quota_plan {
	enum cx_quota_kind kind;
	int at;		  /* the directory in which they are, or their files; the caller's */
	const char *name; /* tells daemons apart; up to 32 bytes, the caller's */
	struct cx_quota_limit usual; /* what writable directories are made ready for at first */
};

struct cx_quota;

/*
 * Tries the back end, or those that are possible: sets a limit, writes beyond it and sees the write
 * fail. Refuses when none holds, saying why each does not.
 */
CX_MUST int cx_quota_open(const struct cx_quota_plan *plan, struct cx_quota **ret,
			  struct cx_err *err);
void cx_quota_close(struct cx_quota *quota); /* NULL is fine */
enum cx_quota_kind cx_quota_kind(const struct cx_quota *quota);
const char *cx_quota_name(unsigned kind); /* as configured and shown; never NULL */

/*
 * Makes one with upper and work, which belong to `owner`, ready for the limit that was asked for
 * last: the directory `id`, or a mount, of which nothing is there by name. On failure what was made
 * is left for cx_quota_remove().
 */
CX_MUST int cx_quota_make(struct cx_quota *quota, const char *id, uint32_t owner,
			  struct cx_writable *ret, struct cx_err *err);
/* Gives one that nobody has written to this kind (of the host, or MEMORY) and limit. */
CX_MUST int cx_quota_set(struct cx_quota *quota, const char *id, uint32_t owner,
			 enum cx_quota_kind kind, const struct cx_quota_limit *limit,
			 struct cx_writable *w, struct cx_err *err);
/*
 * The writable directory that an earlier daemon made, by its kind and device, which are set in *w.
 * One in memory cannot be found again.
 */
CX_MUST int cx_quota_find(struct cx_quota *quota, const char *id, struct cx_writable *w,
			  struct cx_err *err);
/*
 * No inode is left of its limit or of the file system that it is on, or so few bytes that writes
 * fail: less than 1 % and less than CX_QUOTA_ROOM, which file systems may keep for their own needs.
 * False also where nothing can be seen of it.
 */
enum { CX_QUOTA_ROOM = 1 << 20 };
bool cx_quota_is_full(const struct cx_quota *quota, const char *id, const struct cx_writable *w);
/* Whether ->dir is the root of a mount that is attached nowhere. */
bool cx_quota_is_mount(const struct cx_writable *w);
/*
 * Nobody will read it any more: what is not on disk yet need not get there. Processes that still
 * use one of a file system of its own see errors. Harmless when there is none.
 */
void cx_quota_discard(const struct cx_writable *w);
/* The same, and closes it, which takes a moment for a mount whose last user that is. */
void cx_quota_release(struct cx_writable *w);
/*
 * When no process uses it any more: frees what the kernel keeps by the name, whatever back end an
 * earlier daemon made it with. A directory that is left is the caller's to delete.
 */
CX_MUST int cx_quota_remove(struct cx_quota *quota, const char *id, struct cx_err *err);

#endif
