/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_NAMESERVERS_H
#define CX_ENGINE_NAMESERVERS_H

#include <netinet/in.h>

#include "base/err.h"

enum { CX_NAMESERVERS_MAX = 8 };

/* "ADDRESS", "ADDRESS:PORT", "[ADDRESS6]:PORT"; IPv4 as a mapped address, the port is 53. */
CX_MUST int cx_nameserver_parse(const char *text, struct sockaddr_in6 *ret, struct cx_err *err);

/*
 * The name servers that a resolv.conf names; lines that are not understood, as addresses with a
 * zone, are passed over. Returns how many there are.
 */
unsigned cx_nameservers_of(const char *resolv_conf, struct sockaddr_in6 ret[CX_NAMESERVERS_MAX]);

#endif
