/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_QUOTA_INNER_H
#define CX_RUNTIME_QUOTA_INNER_H

#include "base/buf.h"
#include "runtime/quota.h"

/* What the back ends share. */
struct cx_quota {
	enum cx_quota_kind kind;
	int at; /* the plan's */
	char name[33];
	struct cx_quota_limit usual; /* what was asked for last */
	struct cx_quota_image {	     /* of LOOP: empty ones, for the limits asked for last */
		struct cx_buf parts; /* quota_loop.c's; empty: none */
		struct cx_quota_limit limit;
	} images[8];
	unsigned next_image; /* which is replaced next */
};

struct cx_quota_ops {
	/* w->dir with the limit, and nothing of upper and work but with has_halves; but for
	 * a mount it is the directory `id`. */
	int (*make)(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		    struct cx_writable *w, struct cx_err *err);
	/* Another limit; NULL: only by making it anew. */
	int (*set)(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		   struct cx_writable *w, struct cx_err *err);
	/* w->dir of one that an earlier daemon made; NULL: that is a plain directory. */
	int (*find)(struct cx_quota *quota, const char *id, struct cx_writable *w,
		    struct cx_err *err);
	/* What statvfs() does not tell; NULL: it tells all. */
	bool (*is_full)(const struct cx_quota *quota, const char *id, const struct cx_writable *w);
	void (*discard)(const struct cx_writable *w); /* NULL: nothing to do */
	int (*remove)(struct cx_quota *quota, const char *id, struct cx_err *err); /* the same */
	bool is_mount, counts_inodes;
	bool has_halves; /* upper and work are in it already, root's */
};

extern const struct cx_quota_ops cx_quota_project, cx_quota_btrfs, cx_quota_loop, cx_quota_memory;

/* The directories upper and work. */
CX_MUST int cx_quota_make_halves(int dir, struct cx_err *err);

/* The plain directory `id`, mode 0700, which may be there; and one that is there (O_PATH). */
CX_MUST int cx_quota_mkdir(const struct cx_quota *quota, const char *id, struct cx_err *err);
CX_MUST int cx_quota_opendir(const struct cx_quota *quota, const char *id, struct cx_err *err);

/* A detached mount (O_PATH) of a new superblock; options: key, value (NULL: a flag), ..., NULL. */
CX_MUST int cx_quota_mount(const char *type, const char *const *options, struct cx_err *err);

#endif
