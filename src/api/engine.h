/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_ENGINE_H
#define CX_API_ENGINE_H

#include <stdint.h>

#include "base/loop.h"
#include "proto/control_msgs.h"

/*
 * The connection to caissond: requests with a number, a callback and a deadline each. Nothing here
 * blocks. A packet that breaks the protocol ends the connection, and with it the gateway: caissond
 * starts a new one.
 *
 * Who asks embeds a struct cx_engine_call with done set. done() comes exactly once, never inside
 * the function that asked, unless cx_engine_forget() was called first. When a forgotten or
 * overdue create or layer_build succeeds after all, its sandbox is destroyed, its layer dropped.
 */
struct cx_engine;

enum {
	CX_ENGINE_ANSWER_MS = 120000,
	CX_ENGINE_COUNT_MS = 2000, /* who asks how it is does not wait for long */
	CX_ENGINE_BUILD_MS = 3600000,
	CX_ENGINE_FETCH_MS = 12 * 3600000, /* engine/build.c ends a worker long before */
	CX_ENGINE_SSH_MS = 48 * 3600000,   /* longer than any session lasts */
	CX_ENGINE_QUEUE_MAX = 4096,
};

struct cx_engine_answer { /* the member that belongs to the request; valid in done() only */
	struct cx_msg_ready ready;
	struct cx_msg_created created;
	struct cx_msg_used used;
	struct cx_msg_trouble_is trouble;
	struct cx_msg_counted counted;
	struct cx_msg_layer_built layer_built;
	struct cx_msg_layer_info layer_info;
	struct cx_msg_networking_is networking;
	struct cx_msg_disks_are disks;
	struct cx_msg_capacity_is capacity;
	struct cx_msg_network_is network;
	struct cx_msg_egress_set egress;
	struct cx_msg_listening listening;
	int fd; /* of created, connected and listening; closed after done() unless it was taken */
	int accounts[CX_ACCOUNTS_MAX]; /* of created and connected; likewise */
	unsigned naccounts;
};

struct cx_engine_call {
	void (*done)(struct cx_engine_call *call, struct cx_engine_answer *answer,
		     const struct cx_err *err); /* err is NULL on success, answer on failure */
	void (*listed)(struct cx_engine_call *call, const char *id); /* list only */
	struct cx_engine *engine;				     /* private from here */
	uint32_t request;
	uint16_t wants;
	struct cx_timer timer;
	struct cx_engine_call *next, **link;
};

struct cx_engine_events {
	void (*ended)(void *arg, const char *id, enum cx_end reason);
	/* What filled its memory; oom() or ended() follows. */
	void (*oom_report)(void *arg, const char *id, const struct cx_msg_oom_report *report);
	void (*oom)(void *arg, const char *id); /* it ran out of its memory; it has not ended */
	void (*room)(void *arg);		/* what was refused for want of room may fit now */
	/* A new resolver (resolver_msgs.h), instead of any before; *sock may be taken. */
	void (*resolver)(void *arg, int *sock);
	/*
	 * A new certificate, of the API or of exposed ports: it, NUL and its key are in *pipe,
	 * which may be taken.
	 */
	void (*certificate)(void *arg, bool exposed, int *pipe);
	void (*lost)(void *arg, const struct cx_err *err); /* after every call has failed */
	void *arg;
};

/* Takes over *sock, a connected SOCK_SEQPACKET socket (left -EBADF, also on failure). */
CX_MUST int cx_engine_open(struct cx_loop *loop, struct cx_packet *scratch, int *sock,
			   const struct cx_engine_events *events, struct cx_engine **ret,
			   struct cx_err *err);
void cx_engine_close(struct cx_engine *engine); /* no callback follows; NULL is fine */
void cx_engine_forget(struct cx_engine_call *call);
/* caissond has gone, and with it this gateway does: what is on record is for the next. */
bool cx_engine_is_lost(const struct cx_engine *engine);

/* 0: done() will come. -errno: it will not. Descriptors are borrowed (duplicated when queued). */
CX_MUST int cx_engine_hello(struct cx_engine *engine, struct cx_engine_call *call,
			    struct cx_err *err);
CX_MUST int cx_engine_create(struct cx_engine *engine, const struct cx_msg_create *plan,
			     struct cx_engine_call *call, struct cx_err *err);
/* With a link, and a policy that is in force when it is answered: created and network are told. */
CX_MUST int cx_engine_create_linked(struct cx_engine *engine,
				    const struct cx_msg_create_linked *plan,
				    struct cx_engine_call *call, struct cx_err *err);
CX_MUST int cx_engine_connect(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
			      struct cx_err *err);
CX_MUST int cx_engine_destroy(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
			      struct cx_err *err);
CX_MUST int cx_engine_pause(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
			    struct cx_err *err);
CX_MUST int cx_engine_resume(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
			     struct cx_err *err);
CX_MUST int cx_engine_usage(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
			    struct cx_err *err);
/* What a command of it may have failed for. */
CX_MUST int cx_engine_trouble(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
			      struct cx_err *err);
/* A control group for commands: proto/control_msgs.h. */
CX_MUST int cx_engine_slot(struct cx_engine *engine, const char *id, uint32_t number,
			   struct cx_engine_call *call, struct cx_err *err);
CX_MUST int cx_engine_count(struct cx_engine *engine, struct cx_engine_call *call,
			    struct cx_err *err);
CX_MUST int cx_engine_capacity(struct cx_engine *engine, struct cx_engine_call *call,
			       struct cx_err *err);
CX_MUST int cx_engine_list(struct cx_engine *engine, struct cx_engine_call *call,
			   struct cx_err *err);
CX_MUST int cx_engine_layer_build(struct cx_engine *engine, const struct cx_msg_layer_build *plan,
				  const int fds[3], struct cx_engine_call *call,
				  struct cx_err *err);
CX_MUST int cx_engine_layer_commit(struct cx_engine *engine, uint64_t token,
				   const uint8_t diff_id[32], struct cx_engine_call *call,
				   struct cx_err *err);
/* The report says whether both are the same; the answer only, that it is complete. */
CX_MUST int cx_engine_layer_check(struct cx_engine *engine, uint64_t token,
				  const uint8_t diff_id[32], int report,
				  struct cx_engine_call *call, struct cx_err *err);
CX_MUST int cx_engine_layer_abort(struct cx_engine *engine, uint64_t token,
				  struct cx_engine_call *call, struct cx_err *err);
CX_MUST int cx_engine_layer_remove(struct cx_engine *engine, const uint8_t diff_id[32],
				   struct cx_engine_call *call, struct cx_err *err);
CX_MUST int cx_engine_layer_stat(struct cx_engine *engine, const uint8_t diff_id[32],
				 struct cx_engine_call *call, struct cx_err *err);
CX_MUST int cx_engine_scan(struct cx_engine *engine, const int fds[3], struct cx_engine_call *call,
			   struct cx_err *err);
/* port: 0 is any that is free. The socket is as of a new file: it blocks. */
CX_MUST int cx_engine_listen(struct cx_engine *engine, enum cx_listen_purpose purpose,
			     uint16_t port, struct cx_engine_call *call, struct cx_err *err);
/* A worker for proto/fetch_msgs.h gets sock; done() comes when it has ended or cannot start. */
CX_MUST int cx_engine_fetch(struct cx_engine *engine, int sock, struct cx_engine_call *call,
			    struct cx_err *err);
/* fds: the archive out (blocking), the report of who walks and of who packs. */
CX_MUST int cx_engine_export(struct cx_engine *engine, const struct cx_msg_export *plan,
			     const int fds[3], struct cx_engine_call *call, struct cx_err *err);
CX_MUST int cx_engine_commit(struct cx_engine *engine, const struct cx_msg_commit *plan,
			     const int fds[3], struct cx_engine_call *call, struct cx_err *err);
/* Do sandboxes have a network at all? */
CX_MUST int cx_engine_disks(struct cx_engine *engine, struct cx_engine_call *call,
			    struct cx_err *err);
CX_MUST int cx_engine_networking(struct cx_engine *engine, struct cx_engine_call *call,
				 struct cx_err *err);
CX_MUST int cx_engine_network(struct cx_engine *engine, const char *id, struct cx_engine_call *call,
			      struct cx_err *err);
CX_MUST int cx_engine_egress(struct cx_engine *engine, const struct cx_msg_egress *policy,
			     struct cx_engine_call *call, struct cx_err *err);
/* fds: the worker's end of proto/bundle_msgs.h, the archive out, its report. */
CX_MUST int cx_engine_bundle(struct cx_engine *engine, const int fds[3],
			     struct cx_engine_call *call, struct cx_err *err);
/* fds: the worker's end of proto/ssh_msgs.h, the connection; done() comes when it has ended. */
CX_MUST int cx_engine_ssh(struct cx_engine *engine, const int fds[2], struct cx_engine_call *call,
			  struct cx_err *err);

#endif
