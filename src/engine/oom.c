/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/oom.h"

#include <errno.h>

#include "base/list.h"
#include "base/log.h"

/*
 * The kernel tells before it kills: what fills the memory is asked at once, as long as it is there,
 * and the count is looked at again for a while.
 */
enum { LOOK_MS = 10, LOOKS_MAX = 200, REPORT_AGAIN_MS = 200 };
enum { SOCKETS_MS = 500 }; /* what waits in those of v1 nobody tells of */

struct cx_oom {
	struct cx_host *host;
	const struct cx_cgroup *group;
	struct cx_source source;
	struct cx_oom *next, **link; /* of host->ooms; link is NULL when it is found */
	struct cx_timer timer;
	unsigned looks; /* that are left */
	bool is_found;
	uint64_t heard; /* cx_cgroup_oom_heard() */
	uint64_t reported_ms;
	struct cx_memory_report report;
	cx_oom_found *found;
	void *arg;
};

static void take_report(struct cx_oom *oom)
{
	struct cx_err err;

	oom->reported_ms = cx_now_ms();
	if (cx_cgroup_memory_report(oom->host->cgroups, oom->group, &oom->report, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "want of memory not looked at", NULL);
}

static void tell(struct cx_oom *oom)
{
	cx_loop_drop(&oom->host->loop, &oom->source);
	cx_timer_clear(&oom->timer);
	cx_list_remove(oom);
	oom->is_found = true;
	if (oom->reported_ms == 0)
		take_report(oom);
	oom->found(oom->arg, &oom->report);
}

static void look(struct cx_oom *oom)
{
	uint32_t kills = 0;
	struct cx_err err;

	if (cx_cgroup_oom_kills(oom->host->cgroups, oom->group, &kills, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "want of memory not looked at", NULL);
	if (kills > 0) {
		tell(oom);
	} else if (oom->looks > 0) {
		oom->looks--;
		cx_timer_set(&oom->host->loop, &oom->timer, LOOK_MS);
	}
}

/* One look at all of them, and only if that is much at each. */
static void look_at_sockets(struct cx_timer *timer)
{
	struct cx_host *host = cx_container_of(timer, struct cx_host, sockets);
	struct cx_err err = { 0 };
	int filled = cx_cgroups_sockets_filled(host->cgroups, &err);
	bool is_v2 = filled < 0 && err.errnum == ENOENT; /* counts them as memory */

	for (struct cx_oom *oom = filled > 0 ? host->ooms : NULL, *next; oom != NULL; oom = next) {
		int full = cx_cgroup_sockets_full(host->cgroups, oom->group, &err);

		next = oom->next;
		if (full > 0)
			tell(oom);
	}
	if (host->ooms != NULL && !is_v2)
		cx_timer_set(&host->loop, &host->sockets, SOCKETS_MS);
}

static void join(struct cx_oom *oom)
{
	struct cx_host *host = oom->host;

	cx_list_add(&host->ooms, oom);
	host->sockets.fire = look_at_sockets;
	if (host->sockets.link == NULL)
		cx_timer_set(&host->loop, &host->sockets, SOCKETS_MS);
}

void cx_oom_look(struct cx_oom *oom)
{
	if (oom != NULL && !oom->is_found)
		look(oom);
}

static void look_again(struct cx_timer *timer)
{
	look(cx_container_of(timer, struct cx_oom, timer));
}

static void ready(struct cx_source *source, uint32_t events)
{
	struct cx_oom *oom = cx_container_of(source, struct cx_oom, source);
	uint64_t heard = cx_cgroup_oom_heard(source->fd, oom->heard);

	(void)events;
	if (heard == oom->heard)
		return;
	oom->heard = heard;
	if (oom->reported_ms == 0 || cx_now_ms() - oom->reported_ms >= REPORT_AGAIN_MS)
		take_report(oom);
	oom->looks = LOOKS_MAX;
	cx_timer_clear(&oom->timer);
	look(oom);
}

static void destroy(struct cx_source *source)
{
	struct cx_oom *oom = cx_container_of(source, struct cx_oom, source);

	if (oom->found == NULL)
		free(oom);
}

int cx_oom_watch(struct cx_host *host, const struct cx_cgroup *group, cx_oom_found *found,
		 void *arg, struct cx_oom **ret, struct cx_err *err)
{
	cx_autofree struct cx_oom *oom = calloc(1, sizeof *oom);
	cx_autofd int fd = -EBADF;
	uint32_t events = 0;

	if (oom == NULL)
		return cx_fail(err, ENOMEM, "watch for want of memory");
	fd = cx_cgroup_oom_watch(host->cgroups, group, &events, err);
	if (fd < 0)
		return -err->errnum;
	*oom = (struct cx_oom){ .host = host,
				.group = group,
				.source = { .fd = fd, .ready = ready, .destroy = destroy },
				.timer = { .fire = look_again },
				.found = found,
				.arg = arg };
	if (cx_loop_add(&host->loop, &oom->source, events, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&fd);
	*ret = cx_take_ptr(&oom);
	return 0;
}

void cx_oom_look_back(struct cx_oom *oom)
{
	if (oom != NULL)
		cx_timer_set(&oom->host->loop, &oom->timer, 0);
}

void cx_oom_begin(struct cx_oom *oom)
{
	if (oom != NULL && !oom->is_found && oom->link == NULL)
		join(oom);
}

void cx_oom_close(struct cx_oom *oom)
{
	if (oom == NULL)
		return;
	oom->found = NULL;
	cx_timer_clear(&oom->timer);
	cx_list_remove(oom);
	if (!oom->source.added) {
		free(oom);
		return;
	}
	cx_loop_drop(&oom->host->loop, &oom->source); /* destroy() frees, after the batch */
}
