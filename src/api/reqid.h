/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_REQID_H
#define CX_API_REQID_H

/*
 * The name of one request, in its answer, its error and our log: X-Request-Id. A client or a proxy
 * may choose it, as long as it is fit for a log.
 */
enum { CX_REQUEST_ID_MAX = 64 };

/* The given one (or NULL), if it is 1 to 64 letters, digits and "._-"; else 16 random digits. */
void cx_request_id_choose(const char *given, char ret[CX_REQUEST_ID_MAX + 1]);

#endif
