/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_SPAWN_MSGS_H
#define CX_PROTO_SPAWN_MSGS_H

#include "proto/msg.h"

/*
 * Between caissond and its spawner, both root: make the process of one blank.
 *
 * fds of spawn: listening socket, /dev mount; then ntasks files of the agent's group, to each of
 * which the child writes "0"; then, with has_ns, the cgroup namespace to be in (v2); then nwork
 * descriptors of the work group. fds of spawned: pidfd, user namespace, mount namespace. The
 * process is a child of caissond (CLONE_PARENT). link 1: it gets a link to the router
 * (net/slots.h), with the address of slot; address6 is empty where there is no IPv6.
 */
#define CX_SPAWN_MSGS(M)                    \
	M(0x01, spawn, CX_FIELDS_SPAWN)     \
	M(0x02, spawned, CX_FIELDS_SPAWNED) \
	M(0x03, spawn_error, CX_FIELDS_SPAWN_ERROR)
#define CX_FIELDS_SPAWN(F)           \
	F(u32, uid_base, UINT32_MAX) \
	F(u32, ntasks, 8) F(u32, has_ns, 1) F(u32, nwork, 8) CX_FIELDS_SPAWN_LINK(F)
#define CX_FIELDS_SPAWN_LINK(F)  \
	F(u32, link, 1)          \
	F(u32, slot, UINT32_MAX) \
	F(u32, index, INT32_MAX) \
	F(u32, mtu, UINT32_MAX)  \
	F(u64, bandwidth, UINT64_MAX) F(bytes, address4, 4) F(bytes, address6, 16)
#define CX_FIELDS_SPAWNED(F) F(u32, pid, UINT32_MAX)
/* pid: of a child that died on the way, to be waited for; or 0. */
#define CX_FIELDS_SPAWN_ERROR(F) \
	F(u32, kind, CX_KIND_MAX - 1) F(u32, errnum, 4095) F(str, text, 503) F(u32, pid, UINT32_MAX)

/* Descriptors that the spawner inherits from caissond, by number. */
enum {
	CX_SPAWNER_FD_CONTROL = 3, /* SOCK_SEQPACKET to caissond */
	CX_SPAWNER_FD_AGENT = 4,   /* sealed memfd: the agent's executable, root's, mode 0111 */
	CX_SPAWNER_FD_SECCOMP = 5, /* sealed memfd: the compiled filter */
	CX_SPAWNER_FD_ROUTER = 6,  /* the router's network namespace; not open without a network */
};

CX_SPAWN_MSGS(CX_AS_MSG)

#endif
