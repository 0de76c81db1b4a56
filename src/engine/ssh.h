/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_SSH_H
#define CX_ENGINE_SSH_H

#include "engine/child.h"
#include "engine/host.h"

/*
 * caisson-ssh processes: one for each connection of a client, shut into namespaces and ids of its
 * own like the workers of images, with no network but that connection. One that goes on when the
 * gateway has closed its side is ended.
 */
enum { CX_SSH_WORKERS_MAX = 512 };

struct cx_ssh_worker;
struct cx_ssh_workers {
	struct cx_host *host;
	struct cx_ssh_worker *first;
	unsigned n;
};

/* Once, when it has ended. */
typedef void cx_ssh_done(void *arg, uint64_t tag);

void cx_ssh_open(struct cx_ssh_workers *ret, struct cx_host *host);
/* Ends all; their callbacks do not come. */
void cx_ssh_close(struct cx_ssh_workers *workers);

/* fds: the worker's end of proto/ssh_msgs.h, the connection; taken over (left -EBADF). */
CX_MUST int cx_ssh_start(struct cx_ssh_workers *workers, int fds[2], cx_ssh_done *done, void *arg,
			 uint64_t tag, struct cx_err *err);

#endif
