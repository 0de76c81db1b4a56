/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_BLANK_H
#define CX_AGENT_BLANK_H

#include "base/err.h"

/*
 * What a sandbox needs whatever its image is, made before there is one: a tmpfs that nothing names
 * (the skeleton) holds /proc with its masks, /dev, /sys and /tmp as mounted trees. It is "/"
 * already and all that is mounted; the image's root comes over it. No untrusted code or data exists
 * yet.
 */
struct cx_blank {
	int skeleton;
	int devpts; /* root of the sandbox's devpts; stays open for terminals */
};

/*
 * dev is the detached mount with the device nodes, made by the host. groups: descriptors of control
 * groups, of which the directories are roots of detached mounts; they stay so, but who closes one
 * last does not wait for all processors any more.
 */
CX_MUST int cx_blank_prepare(struct cx_blank *ret, int dev, unsigned cpus, const int *groups,
			     unsigned ngroups, struct cx_err *err);

/* 0 when "/" is the root of the mount at fd and nothing is over it, to this process. */
CX_MUST int cx_blank_check_root(int fd, struct cx_err *err);

/* The trees that a claim moves below the new root, up to NULL: names in both. */
extern const char *const cx_blank_trees[];

#endif
