/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_HOST_H
#define CX_ENGINE_HOST_H

#include "base/loop.h"
#include "engine/config.h"
#include "engine/dirs.h"
#include "engine/ids.h"
#include "engine/layers.h"
#include "net/firewall.h"
#include "net/hostaddr.h"
#include "net/slots.h"
#include "proto/packet.h"
#include "runtime/cgroup.h"
#include "runtime/quota.h"
#include "runtime/spawn.h"

/* What everything else in this layer stands on, opened once in the order that start needs. */
struct cx_host {
	const struct cx_config *config; /* the caller's */
	uid_t uid;			/* of the gateway */
	gid_t gid;
	uint64_t memory_bytes;
	uint32_t cpus;
	struct cx_loop loop;
	struct cx_dirs dirs;
	struct cx_ids ids;
	struct cx_layers layers;
	struct cx_cgroups *cgroups;
	struct cx_quota *quota;
	int mounts;			/* mount namespace that caissond was started in */
	struct cx_router router;	/* netns is -EBADF with [network] enabled = no */
	struct cx_slots *slots;		/* NULL with the same */
	struct cx_firewall *firewall;	/* the same */
	struct cx_hostaddrs *hostaddrs; /* the same */
	struct cx_spawner spawner;	/* control is -EBADF while there is none */
	struct cx_timer strays;		/* looks for what a spawner's end left without an owner */
	pid_t stray;			/* seen at the last look; 0: none */
	int stray_looks;		/* that are left */
	struct cx_oom *ooms;		/* watches of running sandboxes' memory */
	struct cx_timer sockets;	/* looks what waits in their sockets (oom.c) */
	int agent_image, filter;
	char self[CX_CONFIG_TEXT]; /* this program, for the sweeper */
	struct cx_packet packet;   /* scratch of every connection */
};

/*
 * Checks what the kernel offers, takes the directories, leaves the host's mount namespace, gives up
 * what capabilities caissond does not need and prepares what every sandbox is made from. Refusals
 * say what to do.
 */
CX_MUST int cx_host_open(const struct cx_config *config, struct cx_host *ret, struct cx_err *err);
/* With clean, nothing of this instance is left but its state directory. */
void cx_host_close(struct cx_host *host, bool clean);

/* Sees to it that a spawner is there, starting one if needed. */
CX_MUST int cx_host_need_spawner(struct cx_host *host, struct cx_err *err);
void cx_host_drop_spawner(struct cx_host *host);

/* The host's memory and cores, as limits are checked against. */
CX_MUST int cx_host_check_limits(const struct cx_host *host, const struct cx_limits *limits,
				 struct cx_err *err);

/* What stays free of the disk that has the sandboxes' files, which is so large. */
uint64_t cx_host_disk_reserve(const struct cx_host *host, uint64_t disk_bytes);
/*
 * The limits of a disk that a client asks for, for the back end that it gets. Refuses what can
 * never be kept, and what the host has no room for now.
 */
CX_MUST int cx_host_plan_disk(const struct cx_host *host, uint64_t bytes, bool in_memory,
			      uint64_t memory_bytes, struct cx_quota_limit *ret,
			      struct cx_err *err);

/* Environment of every program that caissond starts. */
extern char *const cx_host_environment[];

#endif
