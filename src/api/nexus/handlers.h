/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_NEXUS_HANDLERS_H
#define CX_API_NEXUS_HANDLERS_H

/* What the rows of nexus/routes.c call, all in rpc.c. */
struct cx_request;

void cx_nexus_handle(struct cx_request *req);
void cx_nexus_whoami(struct cx_request *req);

#endif
