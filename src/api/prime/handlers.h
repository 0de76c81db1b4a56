/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PRIME_HANDLERS_H
#define CX_API_PRIME_HANDLERS_H

#include <stdbool.h>

/*
 * What Prime's clients call and caisson's own API does not have. The platform answers below
 * /api/v1, the gateway below CX_PRIME_GATEWAY with a token of one sandbox.
 */
struct cx_request;

#define CX_PRIME_GATEWAY  "/gw/s/{}" /* gateway_url/user_ns/job_id */
#define CX_PRIME_COMMANDS CX_PRIME_GATEWAY "/command_session.CommandSession"

/* account.c */
void cx_prime_whoami(struct cx_request *req);
void cx_prime_teams(struct cx_request *req);

/* token.c */
void cx_prime_token(struct cx_request *req);

/* exec.c */
void cx_prime_exec(struct cx_request *req);

/* status.c */
void cx_prime_error_context(struct cx_request *req);
void cx_prime_statuses(struct cx_request *req);

/* egress.c */
void cx_prime_egress(struct cx_request *req);
void cx_prime_set_egress(struct cx_request *req);

/* images.c: a page of them, at a path that caisson's own list has, too */
bool cx_prime_asks_images(const struct cx_request *req);
void cx_prime_images(struct cx_request *req);

/* ssh.c */
void cx_prime_ssh_session(struct cx_request *req);
void cx_prime_ssh_session_delete(struct cx_request *req);
void cx_prime_ssh_authorize(struct cx_request *req);
/* expose.c */
void cx_prime_expose(struct cx_request *req);
void cx_prime_exposures(struct cx_request *req);
void cx_prime_all_exposures(struct cx_request *req);
void cx_prime_unexpose(struct cx_request *req);

/* absent.c: refuses in the words of the route's why */
void cx_prime_absent(struct cx_request *req);
/* commands.c */
void cx_prime_command_start(struct cx_request *req);
void cx_prime_command_connect(struct cx_request *req);
void cx_prime_command_input(struct cx_request *req);
void cx_prime_command_signal(struct cx_request *req);

/* files.c */
void cx_prime_upload(struct cx_request *req);
void cx_prime_download(struct cx_request *req);
void cx_prime_read_file(struct cx_request *req);

#endif
