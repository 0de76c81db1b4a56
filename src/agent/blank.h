/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_AGENT_BLANK_H
#define CX_AGENT_BLANK_H

#include "base/err.h"

/*
 * What a sandbox needs whatever its image is, made before there is one: a tmpfs that nothing names
 * (the skeleton) holds /proc with its masks, /dev, /sys and /tmp as mounted trees, and an empty
 * "root" for the image. No untrusted code or data exists yet.
 */
struct cx_blank {
	int skeleton;
	int devpts; /* root of the sandbox's devpts; stays open for terminals */
};

/* dev is the detached mount with the device nodes, made by the host. */
CX_MUST int cx_blank_prepare(struct cx_blank *ret, int dev, unsigned cpus, struct cx_err *err);

/*
 * Puts detached mounts of control groups (those of the n descriptors that are directories) below
 * the skeleton: they go with it, at once. A detached mount of its own keeps who closes it last
 * waiting for all processors.
 */
CX_MUST int cx_blank_attach(const struct cx_blank *blank, const int *dirs, unsigned n,
			    struct cx_err *err);

/* The trees that a claim moves below the new root, up to NULL: names in both. */
extern const char *const cx_blank_trees[];

#endif
