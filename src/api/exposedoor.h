/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_EXPOSEDOOR_H
#define CX_API_EXPOSEDOOR_H

#include "api/exposure.h"
#include "proto/wire.h"

/*
 * Exposed ports of HTTP by https://<exposure>.<domain>: one listening socket (caissond makes it)
 * and one certificate, for all names below the domain. Only where a domain is configured; then they
 * have no ports of their own.
 */
enum { CX_EXPOSEDOOR_DOMAIN_MAX = 200 };

/* Once, gw->door, for good. cert, key: PEM; CX_INVALID when they cannot be used. */
CX_MUST int cx_exposedoor_open(struct cx_gateway *gw, const char *domain, const char *cert,
			       const char *key, struct cx_err *err);
/* For connections from now on; on failure all is as it was. */
CX_MUST int cx_exposedoor_renew(struct cx_gateway *gw, const char *cert, const char *key,
				struct cx_err *err);

/* CX_UNAVAILABLE, with the reason: it is not served now. */
CX_MUST int cx_exposedoor_check(const struct cx_gateway *gw, struct cx_err *err);
/* CX_EXPOSEDOOR_URL_MAX bytes at most, with the NUL. */
enum { CX_EXPOSEDOOR_URL_MAX = CX_EXPOSEDOOR_DOMAIN_MAX + 64 };
void cx_exposedoor_url(const struct cx_exposure *exposure, char ret[CX_EXPOSEDOOR_URL_MAX]);
/* Whose name a request's Host is, with or without a port; NULL: nobody's. */
struct cx_exposure *cx_exposedoor_find(const struct cx_gateway *gw, struct cx_str host);

/* The one label before the domain in a Host; empty: it is not of this form. */
struct cx_str cx_exposedoor_label(const char *domain, struct cx_str host);

#endif
