/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_USERS_H
#define CX_AGENT_USERS_H

#include <sys/types.h>

#include "base/err.h"

/*
 * Who a command runs as, from /etc/passwd and /etc/group of the sandbox: files that an image or a
 * sandbox wrote. Only regular files of at most CX_USERS_FILE_MAX bytes are read, nothing blocks,
 * and every number must lie in the ids that a sandbox has.
 */
enum {
	CX_USERS_FILE_MAX = 1 << 20,
	CX_USERS_ID_MAX = 65535,
	CX_USERS_GROUPS_MAX = 128,
	CX_USERS_NAME_MAX = 255,
};

struct cx_user {
	uid_t uid;
	gid_t gid;
	gid_t groups[CX_USERS_GROUPS_MAX]; /* supplementary */
	size_t ngroups;
	char name[CX_USERS_NAME_MAX + 1]; /* "" when it is not listed */
	char home[256];			  /* "/" when nothing is known */
};

/*
 * spec is "name|uid[:group|gid]"; "" is root. A name that is not listed is CX_NOT_FOUND; a number
 * need not be. Without a group: the user's own (0 for an unlisted number) and those that list it as
 * member. etc is a descriptor of the directory that holds passwd and group; a missing file is an
 * empty one.
 */
CX_MUST int cx_user_resolve(int etc, const char *spec, struct cx_user *ret, struct cx_err *err);

#endif
