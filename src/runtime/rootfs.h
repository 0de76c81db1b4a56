/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RUNTIME_ROOTFS_H
#define CX_RUNTIME_ROOTFS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Mounts the EROFS file `file` (a descriptor open for reading) read-only, nodev, nosuid at the
 * directory `at` of our private mount namespace: file-backed, or over a loop device that goes with
 * the mount where the kernel cannot (before 6.12). Returns an O_PATH descriptor of its root.
 */
CX_MUST int cx_layer_mount(int file, const char *at, struct cx_err *err);
/* Lazily; the last sandbox that uses it keeps its own reference. */
void cx_layer_unmount(const char *at);

/* Where a sandbox writes: upper and work in `dir` (O_PATH), which may be that of a detached mount.
 */
struct cx_rootfs_writable {
	int dir;
	bool is_mount;
	const char *at; /* any directory, over which a kernel before 6.15 mounts for a moment */
};

/*
 * Layers as one sandbox sees them. The overlay made of them has mounts of its own: they are only to
 * be let go, and for each of them the kernel waits until no processor can be looking at it (RCU,
 * some 200 us). So they are for the caller to close, where nobody waits for it.
 */
enum { CX_ROOTFS_LAYERS_MAX = 127 };
struct cx_rootfs_clones {
	int fds[CX_ROOTFS_LAYERS_MAX + 1];
	unsigned n;
	unsigned attached; /* the first of them have a place in our mount namespace */
};

/*
 * The root of one sandbox as a detached mount: the layers (lowest first), each through a clone
 * idmapped by the sandbox's user namespace, under upper, which belongs to uid_base. nodev, nosuid;
 * userxattr, volatile. The same descriptor may come twice. *ret_clones, which is all 0 before, may
 * hold some also after a failure.
 */
CX_MUST int cx_rootfs_make(const int *layers, unsigned nlayers, int userns,
			   const struct cx_rootfs_writable *writable,
			   struct cx_rootfs_clones *ret_clones, struct cx_err *err);
/* Idempotent. */
void cx_rootfs_drop(struct cx_rootfs_clones *clones);

/*
 * Detached mounts to be read by a worker, whose root they become: read-only, nodev, nosuid, noexec.
 * The first shows the layers (lowest first) as a sandbox would see them, with the ids of userns;
 * at: a directory where kernels before 6.15 have the overlay for a moment. The second is a
 * sandbox's writable directory as it lies on disk, with overlayfs's whiteouts and attributes.
 */
CX_MUST int cx_rootfs_view(const int *layers, unsigned nlayers, int userns, const char *at,
			   struct cx_err *err);
CX_MUST int cx_rootfs_upper(const struct cx_rootfs_writable *writable, struct cx_err *err);

/* A detached tmpfs with the devices of policy/devices.c, owned by uid_base: the sandbox's /dev. */
CX_MUST int cx_devfs_make(uint32_t uid_base, struct cx_err *err);

/* Gives the calling process a mount namespace of its own, private in both directions. */
CX_MUST int cx_mounts_unshare(struct cx_err *err);

#endif
