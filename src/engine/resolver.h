/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_RESOLVER_H
#define CX_ENGINE_RESOLVER_H

#include "engine/child.h"
#include "engine/host.h"
#include "engine/link.h"

/*
 * Keeps one caisson-resolver running beside each gateway: started when the gateway has said hello,
 * started again when it dies, ended with the gateway. Its sockets in the router stay here, so
 * questions that come meanwhile only wait. It is believed no more than a sandbox that asks for
 * permits.
 */
struct cx_resolver_watch {
	/* A new one runs. sock is the gateway's end of the connection with it; stays the caller's.
	 */
	void (*started)(void *arg, int sock);
	void *arg;
};

struct cx_resolver {
	struct cx_host *host;
	struct cx_resolver_watch watch;
	int udp, tcp, udp6, tcp6, denials;
	uint32_t uid_base; /* 0: none reserved */
	struct cx_child *child;
	struct cx_link *link;
	struct cx_timer timer;
	uint64_t started_ms, backoff_ms;
	bool wanted;
};

/* Binds the sockets. Without a network nothing is opened and nothing will be started. */
CX_MUST int cx_resolver_open(struct cx_resolver *ret, struct cx_host *host,
			     const struct cx_resolver_watch *watch, struct cx_err *err);
/* A gateway is there, which shall have one of its own. */
void cx_resolver_start(struct cx_resolver *resolver);
/* The gateway is gone. */
void cx_resolver_stop(struct cx_resolver *resolver);
void cx_resolver_close(struct cx_resolver *resolver);

#endif
