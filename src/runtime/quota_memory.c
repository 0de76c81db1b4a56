/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <sys/mount.h>

#include "runtime/quota_inner.h"

/*
 * Pages are charged to who writes them. The superblock is private to the sandbox, so a limit is
 * changed by making another one: it costs no more than changing this one.
 */
static int make(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		struct cx_writable *w, struct cx_err *err)
{
	char size[24], inodes[24];
	const char *const options[] = { "size", size, "nr_inodes", inodes, "mode", "0700", NULL };

	(void)snprintf(size, sizeof size, "%llu", (unsigned long long)limit->bytes);
	(void)snprintf(inodes, sizeof inodes, "%llu", (unsigned long long)limit->inodes);
	(void)quota;
	(void)id;
	w->dir = cx_quota_mount("tmpfs", options, err);
	return w->dir < 0 ? w->dir : 0;
}

static int find(struct cx_quota *quota, const char *id, struct cx_writable *w, struct cx_err *err)
{
	(void)quota;
	(void)w;
	return cx_refuse(err, CX_UNAVAILABLE,
			 "what '%s' has written is in memory, and only the caissond that made it "
			 "could reach it from outside",
			 id);
}

const struct cx_quota_ops cx_quota_memory = {
	.make = make, .find = find, .is_mount = true, .counts_inodes = true
};
