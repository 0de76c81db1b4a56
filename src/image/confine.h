/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_IMAGE_CONFINE_H
#define CX_IMAGE_CONFINE_H

#include "base/err.h"

enum cx_confine_for {
	CX_CONFINE_ARCHIVE,    /* descriptors 0 to 3, an empty root, two dozen system calls */
	CX_CONFINE_TREE,       /* the root is descriptor 0, a detached mount, which it may read */
	CX_CONFINE_HANDED,     /* as ARCHIVE, but that it receives descriptors */
	CX_CONFINE_NETWORK,    /* descriptors 0 to 2, IP sockets, threads, files of the resolver */
	CX_CONFINE_NAMES,      /* descriptors 0 to 9, an empty root, IP sockets */
	CX_CONFINE_CONNECTION, /* descriptors 0 to 2, and those that it receives */
	CX_CONFINE_MAX,
};

/*
 * Shuts the calling process off before it looks at the first byte from outside. It was started in
 * user, IPC, pid and other namespaces of its own (engine/build.c); what is left to lose is lost
 * here: the sight of any file, all descriptors but its own, every capability, and every system
 * call that is not listed for its purpose. One that is not ends a process, but fails in one of
 * NETWORK and CONNECTION, whose libraries try what they may not need.
 *
 * TREE keeps CAP_DAC_READ_SEARCH, over files of its user namespace's ids. That its mount cannot be
 * written is for the maker of the mount to see to, and made sure of here.
 *
 * NETWORK keeps copies of the host's resolv.conf, hosts and nsswitch.conf in a root that is
 * otherwise empty. A library that wants to load more has to have done so before.
 *
 * Not to be undone; a failure must end the process.
 */
CX_MUST int cx_confine(enum cx_confine_for purpose, struct cx_err *err);

#endif
