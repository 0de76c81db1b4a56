/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ssh.h"

#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>

#include "base/str.h"

enum {
	ALONE = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
		CLONE_NEWNET,
	FILES = 256,
	CPU_SECONDS = 7200,
	GRACE_MS = 5000, /* for what is still to be said to the client */
};
static const uint64_t memory = (uint64_t)1 << 30; /* bytes of addresses, not of memory in use */

struct cx_ssh_worker {
	struct cx_ssh_workers *set;
	struct cx_ssh_worker *next;
	struct cx_child *child;
	uint32_t uid_base;
	struct cx_source
		gateway; /* a duplicate of the worker's end: hangs up when the gateway has */
	struct cx_timer grace;
	cx_ssh_done *done;
	void *arg;
	uint64_t tag;
};

void cx_ssh_open(struct cx_ssh_workers *ret, struct cx_host *host)
{
	*ret = (struct cx_ssh_workers){ .host = host };
}

static void destroy(struct cx_source *source)
{
	free(cx_container_of(source, struct cx_ssh_worker, gateway));
}

/* Its process is gone, or will be: killed, and reaped by the loop. */
static void free_worker(struct cx_ssh_worker *w)
{
	struct cx_ssh_worker **at = &w->set->first;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	w->set->n--;
	cx_timer_clear(&w->grace);
	cx_child_forget(w->child, true);
	cx_ids_release(&w->set->host->ids, w->uid_base);
	if (w->gateway.added) {
		cx_loop_drop(&w->set->host->loop, &w->gateway);
		return;
	}
	cx_close(&w->gateway.fd);
	free(w);
}

void cx_ssh_close(struct cx_ssh_workers *workers)
{
	while (workers->first != NULL)
		free_worker(workers->first);
}

static void exited(void *owner, const struct cx_child_end *end)
{
	struct cx_ssh_worker *w = owner;
	cx_ssh_done *done = w->done;
	void *arg = w->arg;
	uint64_t tag = w->tag;
	char how[48];

	w->child = NULL;
	cx_log(CX_LOG_DEBUG, "SSH worker ended", "how", cx_child_describe(end, how, sizeof how),
	       NULL);
	free_worker(w);
	done(arg, tag);
}

static void grace_over(struct cx_timer *timer)
{
	struct cx_ssh_worker *w = cx_container_of(timer, struct cx_ssh_worker, grace);

	cx_log(CX_LOG_WARNING, "an SSH worker did not end with its connection", NULL);
	cx_child_signal(w->child, SIGKILL);
}

static void gateway_closed(struct cx_source *source, uint32_t events)
{
	struct cx_ssh_worker *w = cx_container_of(source, struct cx_ssh_worker, gateway);
	struct cx_err err;

	(void)events;
	/* It would be told again and again. */
	if (cx_loop_change(&w->set->host->loop, source, EPOLLONESHOT, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "SSH worker", NULL);
	if (w->grace.link == NULL)
		cx_timer_set(&w->set->host->loop, &w->grace, GRACE_MS);
}

static int execute(struct cx_ssh_worker *w, const int given[2], struct cx_err *err)
{
	struct cx_host *h = w->set->host;
	const int fds[] = { given[0], given[1], -EBADF };
	char name[] = "caisson-ssh";
	char path[CX_CONFIG_TEXT + 32], owner[CX_ID_OWNER_MAX];
	char *argv[] = { name, NULL };
	struct cx_process_plan plan = { .path = path,
					.argv = argv,
					.envp = cx_host_environment,
					.fds = fds,
					.nfds = CX_LEN(fds),
					.namespaces = ALONE,
					.nofile = FILES,
					.address_space = memory,
					.cpu_seconds = CPU_SECONDS,
					.die_with_parent = 1,
					.new_mounts = 1 };

	if (cx_format(path, sizeof path, "%s/caisson-ssh", err, h->config->libexec) < 0 ||
	    cx_format(owner, sizeof owner, "%s/lock", err, h->dirs.run_path) < 0 ||
	    cx_ids_reserve(&h->ids, owner, &w->uid_base, err) < 0)
		return -err->errnum;
	plan.uid_base = w->uid_base;
	return cx_child_start(&h->loop, &plan, exited, w, &w->child, err);
}

int cx_ssh_start(struct cx_ssh_workers *workers, int fds[2], cx_ssh_done *done, void *arg,
		 uint64_t tag, struct cx_err *err)
{
	cx_autofd int control = cx_take_fd(&fds[0]), client = cx_take_fd(&fds[1]);
	struct cx_ssh_worker *w;

	if (workers->n >= CX_SSH_WORKERS_MAX)
		return cx_refuse(err, CX_UNAVAILABLE, "%d SSH connections are served already",
				 CX_SSH_WORKERS_MAX);
	w = calloc(1, sizeof *w);
	if (w == NULL)
		return cx_fail(err, ENOMEM, "SSH worker");
	*w = (struct cx_ssh_worker){
		.set = workers,
		.next = workers->first,
		.gateway = { .fd = -EBADF, .ready = gateway_closed, .destroy = destroy },
		.grace = { .fire = grace_over },
		.done = done,
		.arg = arg,
		.tag = tag
	};
	workers->first = w;
	workers->n++;
	if (execute(w, (const int[]){ control, client }, err) < 0) {
		free_worker(w);
		return cx_wrap(err, "start caisson-ssh");
	}
	w->gateway.fd = cx_take_fd(&control);
	if (cx_loop_add(&workers->host->loop, &w->gateway, 0, err) < 0) {
		free_worker(w);
		return -err->errnum;
	}
	return 0;
}
