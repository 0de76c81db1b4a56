/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_GATEWAY_H
#define CX_ENGINE_GATEWAY_H

#include "engine/child.h"
#include "engine/host.h"
#include "engine/link.h"

/*
 * Keeps one caisson-gateway running: started with the descriptors of ARCHITECTURE.md, started again
 * when it dies, ended when it breaks the protocol. The listening sockets stay here, so clients that
 * connect meanwhile only wait.
 */
struct cx_gateway_watch {
	void (*packet)(void *arg, struct cx_packet *packet);
	void (*lost)(void *arg); /* its requests are void; a new one will follow */
	void *arg;
};

enum cx_certificate_of { CX_CERTIFICATE_API, CX_CERTIFICATE_EXPOSE, CX_CERTIFICATE_MAX };

struct cx_certificate {
	char cert[32768], key[32768]; /* PEM, "": none; together as large as a pipe holds */
};

struct cx_gateway {
	struct cx_host *host;
	struct cx_gateway_watch watch;
	int unix_socket, tcp[CX_LISTEN_MAX];
	char admin_key[4096]; /* "": none */
	struct cx_certificate certificates[CX_CERTIFICATE_MAX];
	struct cx_child *child;
	struct cx_link *link; /* NULL while there is none to talk to */
	struct cx_timer timer;
	uint64_t generation; /* of the running one; tells late answers from its successor's */
	uint64_t started_ms, backoff_ms;
	bool stopping;
};

/* Binds the sockets and reads the key, while we still may. */
CX_MUST int cx_gateway_open(struct cx_gateway *ret, struct cx_host *host,
			    const struct cx_gateway_watch *watch, struct cx_err *err);
void cx_gateway_start(struct cx_gateway *gateway);
/*
 * Reads a certificate and its key anew, for every gateway to come. *ret: a pipe with both, NUL
 * between, for the present one; -EBADF: there is none to be read. On failure all is as it was.
 */
CX_MUST int cx_gateway_renew(struct cx_gateway *gateway, enum cx_certificate_of of, int *ret,
			     struct cx_err *err);
/* Ends the present one, which is replaced. */
void cx_gateway_kill(struct cx_gateway *gateway, const struct cx_err *why);
/* Ends it for good; cx_gateway_busy() until it is gone. */
void cx_gateway_stop(struct cx_gateway *gateway);
bool cx_gateway_busy(const struct cx_gateway *gateway);
void cx_gateway_close(struct cx_gateway *gateway);

#endif
