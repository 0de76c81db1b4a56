/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_LISTEN_H
#define CX_ENGINE_LISTEN_H

#include "engine/config.h"
#include "proto/control_msgs.h"

/* Listening TCP sockets of the host: the API's, and those that a gateway may have. */

/* IPv4 as a mapped address. A port that somebody listens on already is CX_CONFLICT. */
CX_MUST int cx_listen_at(const struct sockaddr_in6 *at, int backlog, int *ret, struct cx_err *err);

/*
 * One for a gateway, at the address that is configured for the purpose. port: one of those that are
 * configured for it; 0: any of them that is free, a random one. *ret_port is what it became.
 */
CX_MUST int cx_listen_for(const struct cx_config *config, enum cx_listen_purpose purpose,
			  uint16_t port, int *ret, uint16_t *ret_port, struct cx_err *err);

#endif
