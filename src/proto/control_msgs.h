/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_CONTROL_MSGS_H
#define CX_PROTO_CONTROL_MSGS_H

#include "proto/msg.h"

/*
 * What the unprivileged caisson-gateway may ask of caissond, and what caissond answers. Never a
 * path, never a command, nothing that an image or a client wrote is to be interpreted.
 *
 * Each request gets exactly one answer with the same request number: the named reply, or
 * control_error. Request number 0 is an event that nobody asked for. Descriptors that travel with a
 * message are listed behind it, in order. engine/dispatch_table.c says in which state each is
 * legal. An id or a field is never changed or reused: add a message instead.
 */
#define CX_CONTROL_MSGS(M)                                                                         \
	M(0x01, hello, CX_FIELDS_HELLO) /* gateway first -> ready */                               \
	M(0x02, ready, CX_FIELDS_READY)                                                            \
	M(0x03, control_error, CX_FIELDS_CONTROL_ERROR)                                            \
	M(0x10, create, CX_FIELDS_CREATE)   /* -> created */                                       \
	M(0x11, created, CX_FIELDS_CREATED) /* fds: connection to the agent, accounts */           \
	M(0x12, connect, CX_FIELDS_SANDBOX) /* -> connected */                                     \
	M(0x13, connected, CX_FIELDS_NONE)  /* fds: connection to the agent, accounts */           \
	M(0x14, destroy, CX_FIELDS_SANDBOX) /* -> destroyed, when nothing of it runs, nor can */   \
	M(0x15, destroyed, CX_FIELDS_NONE)                                                         \
	M(0x16, list, CX_FIELDS_NONE) /* -> listed for each, then list_end */                      \
	M(0x17, listed, CX_FIELDS_LISTED)                                                          \
	M(0x18, list_end, CX_FIELDS_NONE)                                                          \
	M(0x19, usage, CX_FIELDS_SANDBOX) /* -> used */                                            \
	M(0x1a, used, CX_FIELDS_USED)                                                              \
	M(0x1b, ended, CX_FIELDS_ENDED)	   /* event: nothing of a sandbox runs any more */         \
	M(0x1c, oom, CX_FIELDS_SANDBOX)	   /* event: the kernel killed in it for want of memory */ \
	M(0x1d, pause, CX_FIELDS_SANDBOX)  /* -> changed, when all but its agent stands still */   \
	M(0x1e, resume, CX_FIELDS_SANDBOX) /* -> changed */                                        \
	M(0x1f, changed, CX_FIELDS_NONE)                                                           \
	M(0x20, layer_build, CX_FIELDS_LAYER_BUILD) /* fds: archive, two report pipes -> built */  \
	M(0x21, layer_built, CX_FIELDS_LAYER_BUILT)                                                \
	M(0x22, layer_commit, CX_FIELDS_LAYER_COMMIT) /* -> layer_done: it exists under its id */  \
	M(0x23, layer_abort, CX_FIELDS_LAYER_TOKEN)   /* -> layer_done: it is forgotten */         \
	M(0x24, layer_done, CX_FIELDS_NONE)                                                        \
	M(0x25, layer_remove, CX_FIELDS_LAYER_ID) /* -> layer_done; refused while in use */        \
	M(0x26, layer_stat, CX_FIELDS_LAYER_ID)	  /* -> layer_info */                              \
	M(0x27, layer_info, CX_FIELDS_LAYER_INFO)                                                  \
	M(0x28, scan, CX_FIELDS_NONE) /* fds: archive, entry pipe, report pipe -> scanned */       \
	M(0x29, scanned, CX_FIELDS_NONE)                                                           \
	M(0x2a, fetch, CX_FIELDS_NONE)	 /* fd: the worker's end (fetch_msgs.h) -> fetched */      \
	M(0x2b, fetched, CX_FIELDS_NONE) /* that worker has ended */                               \
	M(0x2c, layer_check, CX_FIELDS_LAYER_COMMIT) /* fd: report pipe -> layer_checked */        \
	M(0x2d, layer_checked, CX_FIELDS_NONE) /* the report tells whether both are the same */    \
	M(0x30, export, CX_FIELDS_EXPORT) /* fds: archive out, two report pipes -> archived */     \
	M(0x31, commit, CX_FIELDS_COMMIT) /* the same, of a sandbox, which stands still */         \
	M(0x32, bundle, CX_FIELDS_NONE)	  /* fds: a socket (bundle_msgs.h), archive, report */     \
	M(0x33, archived, CX_FIELDS_NONE)                                                          \
	M(0x40, count, CX_FIELDS_NONE) /* -> counted */                                            \
	M(0x41, counted, CX_FIELDS_COUNTED)                                                        \
	M(0x42, command_slot, CX_FIELDS_COMMAND_SLOT) /* -> command_slot_made */                   \
	M(0x43, command_slot_made, CX_FIELDS_NONE)                                                 \
	M(0x44, oom_report, CX_FIELDS_OOM_REPORT) /* event: before oom, or ended for CX_END_OOM */ \
	M(0x45, trouble, CX_FIELDS_SANDBOX) /* -> trouble_is: why a command may have failed */     \
	M(0x46, trouble_is, CX_FIELDS_TROUBLE)                                                     \
	M(0x47, room, CX_FIELDS_NONE) /* event: what an ended sandbox had has been given back */   \
	M(0x50, network, CX_FIELDS_SANDBOX) /* -> network_is */                                    \
	M(0x51, network_is, CX_FIELDS_NETWORK_IS)                                                  \
	M(0x52, egress, CX_FIELDS_EGRESS) /* -> egress_set, when it is in force */                 \
	M(0x53, egress_set, CX_FIELDS_EGRESS_SET)                                                  \
	M(0x54, listen, CX_FIELDS_LISTEN)	/* -> listening */                                 \
	M(0x55, listening, CX_FIELDS_LISTENING) /* fd: the listening TCP socket */                 \
	M(0x56, resolver, CX_FIELDS_NONE)	/* event, fd: a new resolver (resolver_msgs.h) */  \
	M(0x57, ssh, CX_FIELDS_NONE)		/* fds: worker's end (ssh_msgs.h), connection */   \
	M(0x58, ssh_ended, CX_FIELDS_NONE)                                                         \
	M(0x59, networking, CX_FIELDS_NONE) /* -> networking_is */                                 \
	M(0x5a, networking_is, CX_FIELDS_NETWORKING)                                               \
	M(0x5b, disks, CX_FIELDS_NONE) /* -> disks_are */                                          \
	M(0x5c, disks_are, CX_FIELDS_DISKS)                                                        \
	M(0x5d, capacity, CX_FIELDS_NONE) /* -> capacity_is */                                     \
	M(0x5e, capacity_is, CX_FIELDS_CAPACITY)                                                   \
	M(0x60, certificate, CX_FIELDS_NONE) /* event, fd: a pipe with a new one, NUL, its key */  \
	M(0x61, expose_certificate, CX_FIELDS_NONE)	  /* the same of exposed ports */          \
	M(0x62, create_linked, CX_FIELDS_CREATE_LINKED)	  /* create, network and egress in one */  \
	M(0x63, created_linked, CX_FIELDS_CREATED_LINKED) /* its answer; fds: as of created */

#define CX_FIELDS_HELLO(F) F(u32, version, 1)
#define CX_FIELDS_READY(F) \
	F(u32, version, 1) \
	F(str, cgroup_mode, 16) F(u64, host_memory_bytes, UINT64_MAX) F(u32, host_cpus, 65536)
#define CX_FIELDS_CONTROL_ERROR(F) \
	F(u32, kind, CX_KIND_MAX - 1) F(u32, errnum, 4095) F(str, text, 503)
/* Limits are checked by the gateway for the client's sake and by caissond for the host's. */
#define CX_FIELDS_CREATE(F)                                               \
	F(u32, cpu_milli, 1024000) /* thousandths of a core, from 10 */   \
	F(u64, memory_bytes, (uint64_t)1 << 44)                           \
	F(u32, pids, 4194304)                                             \
	F(str, hostname, 63)                                              \
	F(bytes, layers, 32 * 127) /* diff ids (SHA-256), lowest first */ \
	F(u64, disk_bytes, (uint64_t)1 << 50)                             \
	F(u32, in_memory, 1) /* what it writes, whatever the back end is */
#define CX_FIELDS_CREATED(F) F(str, id, 32) F(u32, uid_base, UINT32_MAX) F(u32, micros, UINT32_MAX)
#define CX_FIELDS_SANDBOX(F) F(str, id, 32)
#define CX_FIELDS_LISTED(F)  F(str, id, 32) F(u32, uid_base, UINT32_MAX)
#define CX_FIELDS_USED(F)                \
	F(u64, cpu_us, UINT64_MAX)       \
	F(u64, memory_bytes, UINT64_MAX) \
	F(u64, memory_peak_bytes, UINT64_MAX) F(u32, pids, UINT32_MAX) F(u32, oom_kills, UINT32_MAX)
/*
 * As the kernel tells it (runtime/cgroup.h, cx_memory_report); process: what one of the sandbox
 * calls itself, any bytes, or empty.
 */
#define CX_FIELDS_OOM_REPORT(F)             \
	F(str, id, 32)                      \
	F(u64, limit_bytes, UINT64_MAX)     \
	F(u64, peak_bytes, UINT64_MAX)      \
	F(u64, anonymous_bytes, UINT64_MAX) \
	F(u64, shared_bytes, UINT64_MAX)    \
	F(u64, file_bytes, UINT64_MAX)      \
	F(u64, kernel_bytes, UINT64_MAX)    \
	F(u32, processes, UINT32_MAX)       \
	F(str, process, 15)                 \
	F(u32, pid, UINT32_MAX)             \
	F(u64, process_bytes, UINT64_MAX)
#define CX_FIELDS_TROUBLE(F)                                              \
	F(u32, oom_kills, UINT32_MAX) /* in it, for want of its memory */ \
	F(u32, disk_full, 1)	      /* what it writes has no room (runtime/quota.h) */
/* Sandboxes by state (engine/sandbox.h), and how many gateways were there before this one. */
#define CX_FIELDS_COUNTED(F)      \
	F(u32, starting, 1 << 20) \
	F(u32, blank, 1 << 20)    \
	F(u32, claiming, 1 << 20) \
	F(u32, running, 1 << 20)  \
	F(u32, ending, 1 << 20)   \
	F(u64, gateways, UINT64_MAX)
/*
 * Accounts: directories of control groups, on v1 those of memory, cpuacct and pids, on v2 the one.
 * The command of slot N runs there in "cmd-N" (runtime/cgroup.h). Slot 1 is there from the
 * beginning; command_slot makes another one, or one anew that nobody is in.
 */
#define CX_FIELDS_COMMAND_SLOT(F) F(str, id, 32) F(u32, number, CX_COMMAND_SLOTS_MAX)
#define CX_FIELDS_ENDED(F)	  F(str, id, 32) F(u32, reason, CX_END_MAX - 1)
/* blob_is_known: the reader's report may leave the archive's own digest out */
#define CX_FIELDS_LAYER_BUILD(F) \
	F(u64, max_bytes, UINT64_MAX) F(u32, max_entries, UINT32_MAX) F(u32, blob_is_known, 1)
#define CX_FIELDS_LAYER_BUILT(F)  F(u64, token, UINT64_MAX) F(u64, size_bytes, UINT64_MAX)
#define CX_FIELDS_LAYER_COMMIT(F) F(u64, token, UINT64_MAX) F(bytes, id, 32)
#define CX_FIELDS_LAYER_TOKEN(F)  F(u64, token, UINT64_MAX)
#define CX_FIELDS_LAYER_ID(F)	  F(bytes, id, 32)
#define CX_FIELDS_LAYER_INFO(F)	  F(u64, size_bytes, UINT64_MAX) F(u32, users, UINT32_MAX)
#define CX_FIELDS_EXPORT(F)           \
	F(u64, max_bytes, UINT64_MAX) \
	F(u32, max_entries, UINT32_MAX) F(bytes, layers, 32 * 127) /* diff ids, lowest first */
/* layers: those that the sandbox is known to be made of; of others it is refused. */
#define CX_FIELDS_COMMIT(F) \
	F(str, id, 32)      \
	F(u64, max_bytes, UINT64_MAX) F(u32, max_entries, UINT32_MAX) F(bytes, layers, 32 * 127)

/* What limits the disks of sandboxes (engine/config.h: "none" is nothing), and their size if none
 * is asked for. */
#define CX_FIELDS_DISKS(F) F(str, backend, 16) F(u64, default_bytes, UINT64_MAX)
/* What the host has for sandboxes: engine/capacity.h. cpu in thousandths of a core. */
#define CX_FIELDS_RESOURCE(F, name)                        \
	F(u64, name##_total, UINT64_MAX)                   \
	F(u64, name##_reserve, UINT64_MAX)                 \
	F(u64, name##_limit, UINT64_MAX) /* 0: no bound */ \
	F(u64, name##_promised, UINT64_MAX)                \
	F(u64, name##_left, UINT64_MAX) /* its maximum: unknown */
#define CX_FIELDS_CAPACITY(F)            \
	CX_FIELDS_RESOURCE(F, sandboxes) \
	CX_FIELDS_RESOURCE(F, files)     \
	CX_FIELDS_RESOURCE(F, cpu)       \
	CX_FIELDS_RESOURCE(F, memory)    \
	CX_FIELDS_RESOURCE(F, disk)      \
	CX_FIELDS_RESOURCE(F, pids)      \
	CX_FIELDS_REMAINS(F)
/* Of ended sandboxes, and not given back yet: see ARCHITECTURE.md, "Remains". */
#define CX_FIELDS_REMAINS(F)                                                     \
	F(u32, remains, 1 << 20)    /* sandboxes of which something is left */   \
	F(u32, links, CX_SLOTS_MAX) /* that the kernel has not taken away yet */ \
	F(u32, trash, 1)	    /* files of theirs are being deleted */
/* Are sandboxes made with a link? Without one network, egress and the event resolver do not come.
 */
#define CX_FIELDS_NETWORKING(F) F(u32, enabled, 1)
/*
 * slot: what the resolver knows it by (resolver_msgs.h). number: of the policy that is in force;
 * 0: none was set. An address that it lacks is empty.
 */
#define CX_FIELDS_NETWORK_IS(F)        \
	F(u32, slot, CX_SLOTS_MAX - 1) \
	F(u32, number, UINT32_MAX) F(bytes, address4, 4) F(bytes, address6, 16)
/*
 * Replaces what a sandbox may reach; before the first of these it is CX_EGRESS_NONE. names: does
 * the list allow names, whose addresses the resolver is to permit? link: 0, or the number of the
 * network whose other members it reaches. rules: netrule.h.
 */
#define CX_FIELDS_EGRESS(F) F(str, id, 32) CX_FIELDS_POLICY(F)
#define CX_FIELDS_POLICY(F)             \
	F(u32, mode, CX_EGRESS_MAX - 1) \
	F(u32, names, 1)                \
	F(u32, link, UINT32_MAX)        \
	F(bytes, rules, CX_NETRULES_MAX *CX_NETRULE_SIZE)
#define CX_FIELDS_CREATE_LINKED(F)  CX_FIELDS_CREATE(F) CX_FIELDS_POLICY(F)
#define CX_FIELDS_CREATED_LINKED(F) CX_FIELDS_CREATED(F) CX_FIELDS_NETWORK_IS(F)
/* number: of this policy; each has its own, and none is used twice. */
#define CX_FIELDS_EGRESS_SET(F) F(u32, number, UINT32_MAX)
/* port: 0 is any free one of the range that is configured for the purpose. */
#define CX_FIELDS_LISTEN(F)    F(u32, purpose, CX_LISTEN_PURPOSE_MAX - 1) F(u32, port, 65535)
#define CX_FIELDS_LISTENING(F) F(u32, port, 65535)

enum cx_egress {
	CX_EGRESS_NONE,	 /* nothing but the resolver, declared services and linked sandboxes */
	CX_EGRESS_ALL,	 /* these, and all that is not the host's or private */
	CX_EGRESS_ALLOW, /* these, and what the rules and the permitted names say */
	CX_EGRESS_DENY,	 /* as CX_EGRESS_ALL, without what the rules say */
	CX_EGRESS_MAX,
};

enum cx_listen_purpose { CX_LISTEN_EXPOSE, CX_LISTEN_SSH, CX_LISTEN_HTTPS, CX_LISTEN_PURPOSE_MAX };

enum {
	CX_COMMAND_SLOTS_MAX = 1024,
	CX_ACCOUNTS_MAX = 3,	/* directories */
	CX_SLOTS_MAX = 65536,	/* links, and so sandboxes with a network */
	CX_NETRULES_MAX = 2048, /* of one sandbox: an entry with a port is one of TCP, one of UDP */
	CX_NETRULE_SIZE = 24,	/* bytes, netrule.h */
};

/* Why a sandbox ended, as far as the host knows. */
enum cx_end {
	CX_END_AGENT_EXITED, /* its PID 1 ended: everything in it is gone */
	CX_END_OOM,	     /* the same, after its memory limit was hit */
	CX_END_DESTROYED,    /* asked for */
	CX_END_LOST,	     /* found dead when caissond started */
	CX_END_MAX,
};

CX_CONTROL_MSGS(CX_AS_MSG)

#endif
