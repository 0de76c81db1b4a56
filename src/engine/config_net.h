/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_CONFIG_NET_H
#define CX_ENGINE_CONFIG_NET_H

#include "net/firewall.h"

/* Values of caissond's settings that are addresses. Errors say what would be allowed. */

/* "CIDR, CIDR, ...", at most max of them. */
CX_MUST int cx_config_nets(const char *value, struct cx_netrule *ret, uint32_t max, uint32_t *ret_n,
			   struct cx_err *err);
/* "NAME=ADDRESS:PORT", "NAME=[ADDRESS6]:PORT". NAME is one of DNS, in lower case. */
CX_MUST int cx_config_service(const char *value, struct cx_service *ret, struct cx_err *err);

#endif
