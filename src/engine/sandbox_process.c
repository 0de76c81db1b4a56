/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "engine/sandbox_inner.h"
#include "runtime/rootfs.h"

void cx_sandbox_process_exited(void *owner, const struct cx_child_end *end)
{
	struct cx_sandbox *sb = owner;
	struct cx_err err;
	char how[48];

	sb->process = NULL;
	/* What it said before, why it cannot do what the claim says, has been heard before. */
	sb->lost |= sb->state == CX_SANDBOX_CLAIMING;
	(void)cx_refuse(&err, CX_INTERNAL, "its first process %s",
			cx_child_describe(end, how, sizeof how));
	if (sb->state != CX_SANDBOX_ENDING)
		cx_sandbox_blame(sb, &err);
	cx_sandbox_deliver(sb, CX_EVENT_EXIT);
}

/* ---- the spawner is asked, and answers when others have had their turn ----------------------- */

struct cx_answers { /* of one spawner */
	struct cx_source source;
	struct cx_sandboxes *set;
	pid_t spawner;
};

static void free_answers(struct cx_source *source)
{
	free(cx_container_of(source, struct cx_answers, source));
}

void cx_sandboxes_stop_hearing(struct cx_sandboxes *set)
{
	struct cx_answers *answers = cx_take_ptr(&set->answers);

	if (answers != NULL)
		cx_loop_drop(&set->host->loop, &answers->source);
}

static void wait_for_process(struct cx_sandbox *sb)
{
	struct cx_sandbox **at = &sb->set->spawning;

	while (*at != NULL)
		at = &(*at)->next_spawning;
	sb->next_spawning = NULL;
	sb->spawn = sb->set->spawns;
	*at = sb;
}

/* Harmless when it does not. */
void cx_sandbox_wait_no_more(struct cx_sandbox *sb)
{
	struct cx_sandbox **at = &sb->set->spawning;

	while (*at != NULL && *at != sb)
		at = &(*at)->next_spawning;
	if (*at == sb)
		*at = sb->next_spawning;
	sb->spawn = 0;
}

static int take_process(struct cx_sandbox *sb, struct cx_spawned *made, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	int r;

	sb->userns = cx_take_fd(&made->userns);
	sb->mounts = cx_take_fd(&made->mounts);
	sb->record.pid = (uint32_t)made->pid;
	r = cx_record_start_ticks(made->pid, &sb->record.start_ticks, err);
	if (r == 0)
		r = cx_child_adopt(&h->loop, &made->pidfd, cx_sandbox_process_exited, sb,
				   &sb->process, err);
	cx_spawned_close(made);
	if (r < 0) {
		siginfo_t info;

		/* Our own child, not reaped: the number is still its. */
		(void)kill(made->pid, SIGKILL);
		(void)waitid(P_PID, (id_t)made->pid, &info, WEXITED | __WALL);
		return r;
	}
	return cx_sandbox_save(sb, err);
}

/* One that is ending meanwhile has only to be told of what was made for it. */
static int go_on(struct cx_sandbox *sb, struct cx_spawned *made, struct cx_err *err)
{
	if (take_process(sb, made, err) < 0)
		return cx_wrap(err, "blank sandbox: process");
	if (sb->state == CX_SANDBOX_STARTING &&
	    (cx_fault_step("connection", err) < 0 || cx_sandbox_open_agent(sb, err) < 0))
		return cx_wrap(err, "blank sandbox: connection");
	return 0;
}

static void not_made(struct cx_sandbox *sb, const struct cx_err *err)
{
	if (sb->state == CX_SANDBOX_STARTING)
		cx_sandbox_fault(sb, err);
	else
		cx_sandbox_blame(sb, err);
}

/* The next one, which is waited for; without it none comes any more, from this spawner. */
void cx_sandboxes_take_answer(struct cx_sandboxes *set)
{
	struct cx_sandbox *sb = set->spawning;
	struct cx_spawned made = CX_SPAWNED_NONE;
	bool lost = false;
	struct cx_err err;
	int r = cx_spawn_answer(&set->host->spawner, sb->spawn, &made, &lost, &err);

	cx_sandbox_wait_no_more(sb);
	if (lost) { /* no late answer may be taken for another's */
		cx_host_drop_spawner(set->host);
		cx_sandboxes_stop_hearing(set);
	}
	if (r == 0)
		r = go_on(sb, &made, &err);
	if (r < 0)
		not_made(sb, &err);
	while (lost && set->spawning != NULL) {
		sb = set->spawning;
		cx_sandbox_wait_no_more(sb);
		not_made(sb, &err);
	}
}

static void answer_is_there(struct cx_source *source, uint32_t events)
{
	struct cx_sandboxes *set = cx_container_of(source, struct cx_answers, source)->set;

	(void)events;
	if (set->spawning != NULL)
		cx_sandboxes_take_answer(set);
	else
		cx_sandboxes_stop_hearing(
			set); /* it ended, which the next who needs it finds out */
}

/* What one that has ended had made before is not lost. */
static int need_spawner(struct cx_sandboxes *set, struct cx_err *err)
{
	struct cx_host *h = set->host;
	struct pollfd end = { .fd = h->spawner.pidfd, .events = POLLIN };

	while (set->spawning != NULL && poll(&end, 1, 0) != 0)
		cx_sandboxes_take_answer(set);
	/* One that is waited for was alive just now; should it not be any more, the asking fails.
	 */
	return set->spawning != NULL ? 0 : cx_host_need_spawner(h, err);
}

static int hear_spawner(struct cx_sandboxes *set, struct cx_err *err)
{
	struct cx_host *h = set->host;
	cx_autofree struct cx_answers *answers = NULL;

	if (set->answers != NULL && set->answers->spawner == h->spawner.pid)
		return 0;
	cx_sandboxes_stop_hearing(set);
	answers = calloc(1, sizeof *answers);
	if (answers == NULL)
		return cx_fail(err, ENOMEM, "watch the spawner");
	*answers = (struct cx_answers){ .set = set,
					.spawner = h->spawner.pid,
					.source = {
						.fd = fcntl(h->spawner.control, F_DUPFD_CLOEXEC, 3),
						.ready = answer_is_there,
						.destroy = free_answers } };
	if (answers->source.fd < 0)
		return cx_fail(err, errno, "watch the spawner");
	if (cx_loop_add(&h->loop, &answers->source, EPOLLIN, err) < 0) {
		cx_close(&answers->source.fd);
		return -err->errnum;
	}
	set->answers = cx_take_ptr(&answers);
	return 0;
}

/* What only the agent needs from now on; the gateway is to have the work groups, too. */
static void drop_handed_over(struct cx_cgroup *group)
{
	for (unsigned i = 0; i < group->ntasks; i++)
		cx_close(&group->tasks[i]);
	cx_close(&group->ns);
	group->ntasks = 0;
}

int cx_sandbox_ask_process(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	cx_autofd int listener = cx_sandbox_listen(sb, err);
	cx_autofd int dev = listener >= 0 ? cx_devfs_make(sb->record.uid_base, err) : -EBADF;
	struct cx_blank_plan plan = { .uid_base = sb->record.uid_base,
				      .listener = listener,
				      .dev = dev,
				      .group = &sb->group };
	struct cx_slot_link link;

	if (listener < 0 || dev < 0 || need_spawner(sb->set, err) < 0)
		return -err->errnum;
	if (sb->record.slot != CX_SLOT_NONE) {
		cx_slots_link(h->slots, sb->record.slot, &link);
		plan.link = &link;
	}
	if (hear_spawner(sb->set, err) < 0 ||
	    cx_spawn_ask(&h->spawner, ++sb->set->spawns, &plan, err) < 0)
		return -err->errnum;
	drop_handed_over(&sb->group);
	wait_for_process(sb);
	return 0;
}
