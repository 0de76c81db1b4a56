/* SPDX-License-Identifier: Apache-2.0 */
#include "net/router.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"

void cx_router_leave(int home)
{
	if (setns(home, CLONE_NEWNET) == 0)
		return;
	cx_log(CX_LOG_ERROR, "own network namespace is lost", NULL);
	abort();
}

int cx_router_run(const struct cx_router *router, int (*fn)(void *arg, struct cx_err *err),
		  void *arg, struct cx_err *err)
{
	int r;

	if (setns(router->netns, CLONE_NEWNET) < 0)
		return cx_fail(err, errno, "enter the router's network namespace");
	r = fn(arg, err);
	cx_router_leave(router->home);
	return r;
}

struct wanted_socket {
	int domain, type, protocol;
};

static int open_socket(void *arg, struct cx_err *err)
{
	const struct wanted_socket *w = arg;
	int fd = socket(w->domain, w->type | SOCK_CLOEXEC, w->protocol);

	return fd >= 0 ? fd : cx_fail(err, errno, "socket in the router");
}

int cx_router_socket(const struct cx_router *router, int domain, int type, int protocol,
		     struct cx_err *err)
{
	struct wanted_socket w = { domain, type, protocol };

	return cx_router_run(router, open_socket, &w, err);
}
