/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "engine/record.h"
#include "policy/policy.h"
#include "proto/reap_msgs.h"
#include "runtime/caps.h"

enum {
	AGAIN_MS = 1000,       /* between two starts of one that does not live */
	UNREAD_MAX = 64 << 10, /* bytes; orders have the rest of the socket's buffer */
	SENDER_CLOSES_MS = 1,
};

static void send_waiting(struct cx_reaper *r);

/* ---- the queue ------------------------------------------------------------------------------- */

static void put_last(struct cx_reaper *r, struct cx_reaping *one)
{
	one->next = NULL;
	*r->last = one;
	r->last = &one->next;
}

static struct cx_reaping *take_first(struct cx_reaper *r)
{
	struct cx_reaping *one = r->first;

	r->first = one->next;
	if (r->first == NULL)
		r->last = &r->first;
	return one;
}

static void close_fds(struct cx_reaping *one)
{
	for (unsigned i = 0; i < CX_REAP_FDS; i++)
		cx_close(&one->fds[i]);
}

/* ---- the connection -------------------------------------------------------------------------- */

/* What it had not answered is not done, or done without our knowing: the next one does it again. */
static void lost(struct cx_reaper *r)
{
	uint64_t lived = cx_now_ms() - r->started_ms;

	cx_link_close(r->link);
	r->link = NULL;
	cx_child_forget(r->child, true);
	r->child = NULL;
	for (unsigned i = 0; i < CX_REAP_AT_ONCE; i++)
		if (r->sent[i] != NULL)
			put_last(r, cx_take_ptr(&r->sent[i]));
	cx_timer_set(&r->host->loop, &r->timer, lived < AGAIN_MS ? AGAIN_MS : 0);
}

static void lost_for(struct cx_reaper *r, const struct cx_err *why)
{
	cx_log_err(CX_LOG_WARNING, why, "reaper is replaced", NULL);
	lost(r);
}

static void exited(void *owner, const struct cx_child_end *end)
{
	struct cx_reaper *r = owner;
	struct cx_err err;
	char how[48];

	r->child = NULL;
	(void)cx_refuse(&err, CX_INTERNAL, "it %s", cx_child_describe(end, how, sizeof how));
	lost_for(r, &err);
}

static void closed(void *owner, const struct cx_err *why)
{
	struct cx_reaper *r = owner;
	struct cx_err err;

	r->link = NULL;
	(void)cx_refuse(&err, CX_INTERNAL, "it closed the connection");
	lost_for(r, why != NULL ? why : &err);
}

static void answered(void *owner, struct cx_packet *packet)
{
	struct cx_reaper *r = owner;
	struct cx_reaping **place = NULL, *one;
	struct cx_msg_reaped m;
	struct cx_err err;

	if (packet->request >= 1 && packet->request <= CX_REAP_AT_ONCE)
		place = &r->sent[packet->request - 1];
	if (packet->type != CX_MSG_reaped || place == NULL || *place == NULL ||
	    !cx_msg_reaped_get(&packet->body, &m)) {
		(void)cx_refuse(&err, CX_INTERNAL, "it sent a malformed answer");
		lost_for(r, &err);
		return;
	}
	one = cx_take_ptr(place);
	one->taken = false;
	(void)cx_err_adopt(&err, m.kind, m.errnum, m.text.p, m.text.len);
	one->done(one, m.text.len > 0 ? &err : NULL);
	send_waiting(r);
}

static int send_one(struct cx_reaper *r, const struct cx_reaping *one, unsigned place,
		    struct cx_err *err)
{
	const struct cx_msg_reap m = { .id = cx_str_of(one->id) };
	int fds[CX_REAP_FDS];
	unsigned n = 0;

	for (unsigned i = 0; i < CX_REAP_FDS; i++)
		if (one->fds[i] >= 0)
			fds[n++] = one->fds[i];
	return cx_msg_reap_send(cx_link_sock(r->link), place + 1, &m, fds, n, err);
}

static void send_waiting(struct cx_reaper *r)
{
	struct cx_err err;

	for (unsigned i = 0; i < CX_REAP_AT_ONCE && r->link != NULL && r->first != NULL; i++) {
		if (r->sent[i] != NULL)
			continue;
		if (send_one(r, r->first, i, &err) < 0) {
			lost_for(r, &err);
			return;
		}
		r->sent[i] = take_first(r);
		close_fds(r->sent[i]); /* before it does, or the closing would be ours */
	}
}

/* ---- the process ----------------------------------------------------------------------------- */

static int start_child(struct cx_reaper *r, int theirs, struct cx_err *err)
{
	char name[] = "caissond", option[] = "--reap";
	char *argv[] = { name, option, NULL };
	int fds[CX_REAPER_FD_TREES + CX_CGROUP_TREES_MAX] = { -EBADF, -EBADF, STDERR_FILENO,
							      theirs };
	const struct cx_process_plan plan = {
		.path = r->host->self,
		.argv = argv,
		.envp = cx_host_environment,
		.fds = fds,
		.nfds = CX_REAPER_FD_TREES +
			cx_cgroups_dirs(r->host->cgroups, fds + CX_REAPER_FD_TREES),
		.die_with_parent = 1,
	};

	return cx_child_start(&r->host->loop, &plan, exited, r, &r->child, err);
}

static int start(struct cx_reaper *r, struct cx_err *err)
{
	static const struct cx_link_ops ops = { .packet = answered, .closed = closed };
	cx_autofd int ours = -EBADF, theirs = -EBADF;
	int pair[2];

	r->started_ms = cx_now_ms();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail(err, errno, "socket pair");
	ours = pair[0];
	theirs = pair[1];
	if (start_child(r, theirs, err) < 0)
		return -err->errnum;
	return cx_link_open(&r->host->loop, &r->host->packet, &ours, &ops, r, &r->link, err);
}

static void start_timer(struct cx_timer *timer)
{
	struct cx_reaper *r = cx_container_of(timer, struct cx_reaper, timer);
	struct cx_err err;

	if (start(r, &err) < 0)
		lost_for(r, &err);
	else
		send_waiting(r);
}

/* ---- what others call ------------------------------------------------------------------------ */

void cx_reaper_open(struct cx_reaper *ret, struct cx_host *host)
{
	*ret = (struct cx_reaper){ .host = host, .timer = { .fire = start_timer } };
	ret->last = &ret->first;
	cx_timer_set(&host->loop, &ret->timer, 0);
}

void cx_reaper_take(struct cx_reaper *reaper, struct cx_reaping *reaping)
{
	reaping->taken = true;
	put_last(reaper, reaping);
	send_waiting(reaper);
}

static bool reads(const struct cx_reaper *r)
{
	int unread;

	return r->link != NULL && ioctl(cx_link_sock(r->link), SIOCOUTQ, &unread) == 0 &&
	       unread < UNREAD_MAX;
}

void cx_reaper_let_go(struct cx_reaper *reaper, int *fds, unsigned n)
{
	static const struct cx_msg_let_go none;
	struct cx_err err;

	for (unsigned some; n > 0; n -= some) {
		int *last;

		some = n < CX_PACKET_FDS_MAX ? n : CX_PACKET_FDS_MAX;
		last = fds + n - some;
		if (reads(reaper)) /* else, or if it fails, closed here; the loop hears why */
			(void)!cx_msg_let_go_send(cx_link_sock(reaper->link), 0, &none, last, some,
						  &err);
		for (unsigned i = 0; i < some; i++)
			cx_close(&last[i]);
	}
}

static void withdraw(struct cx_reaper *r, const struct cx_reaping *one)
{
	struct cx_reaping **at = &r->first;

	while (*at != NULL && *at != one)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	*at = one->next;
	if (r->last == &one->next)
		r->last = at;
}

void cx_reaper_forget(struct cx_reaper *reaper, struct cx_reaping *reaping)
{
	for (unsigned i = 0; i < CX_REAP_AT_ONCE && reaping->taken; i++)
		if (reaper->sent[i] == reaping)
			reaper->sent[i] = NULL; /* its answer, if one comes, ends the reaper */
	if (reaping->taken)
		withdraw(reaper, reaping);
	reaping->taken = false;
	close_fds(reaping);
}

void cx_reaper_close(struct cx_reaper *reaper)
{
	cx_timer_clear(&reaper->timer);
	if (reaper->child != NULL)
		cx_child_signal(reaper->child, SIGKILL);
	cx_child_forget(reaper->child, false); /* the loop is over, and soon its parent */
	reaper->child = NULL;
	cx_link_close(reaper->link);
	reaper->link = NULL;
}

/* ---- caissond --reap ------------------------------------------------------------------------- */

static int take_trees(struct cx_cgroups **ret, struct cx_err *err)
{
	int dirs[CX_CGROUP_TREES_MAX];
	unsigned n = 0;

	while (n < CX_CGROUP_TREES_MAX &&
	       fcntl(CX_REAPER_FD_TREES + (int)n, F_SETFD, FD_CLOEXEC) == 0) {
		dirs[n] = CX_REAPER_FD_TREES + (int)n;
		n++;
	}
	return cx_cgroups_of_dirs(dirs, n, ret, err);
}

/*
 * Who has sent descriptors closes its own behind that. Were it the last to close one, it would be
 * the one who waits. What it sends next shows that it has.
 */
static void let_sender_close(void)
{
	struct pollfd next = { .fd = CX_REAPER_FD_CONTROL, .events = POLLIN };

	(void)poll(&next, 1, SENDER_CLOSES_MS);
}

static bool is_let_go(struct cx_packet *packet)
{
	struct cx_msg_let_go m;

	return packet->type == CX_MSG_let_go && cx_msg_let_go_get(&packet->body, &m);
}

/* Dropping the packet is closing what came with it; the mounts go before the groups do. */
static int reap_one(struct cx_cgroups *groups, struct cx_packet *packet, struct cx_err *err)
{
	char id[CX_ID_LEN + 1];
	struct cx_msg_reap m;
	struct cx_err why = { 0 };
	struct cx_msg_reaped answer;

	if (packet->type != CX_MSG_reap || !cx_msg_reap_get(&packet->body, &m) ||
	    !cx_str_copy(m.id, id, sizeof id))
		return cx_refuse(err, CX_INVALID, "malformed order of type %#x", packet->type);
	cx_packet_drop(packet);
	(void)!cx_cgroup_remove(groups, id, &why);
	answer = (struct cx_msg_reaped){ .kind = why.kind,
					 .errnum = why.refused ? 0 : (uint32_t)why.errnum,
					 .text = { why.msg, why.len } };
	return cx_msg_reaped_send(CX_REAPER_FD_CONTROL, packet->request, &answer, NULL, 0, err);
}

int cx_reap_main(struct cx_err *err)
{
	static struct cx_packet packet;
	struct cx_cgroups *groups = NULL;
	int r;

	(void)prctl(PR_SET_NAME, "caisson-reaper");
	if (cx_caps_bound(cx_policy_reaper_caps, cx_policy_nreaper_caps, err) < 0 ||
	    cx_caps_keep(cx_policy_reaper_caps, cx_policy_nreaper_caps, err) < 0 ||
	    take_trees(&groups, err) < 0)
		return -err->errnum;
	do {
		r = cx_packet_recv(CX_REAPER_FD_CONTROL, &packet, err);
		let_sender_close();
		if (r > 0 && !is_let_go(&packet) && reap_one(groups, &packet, err) < 0)
			r = -err->errnum;
		cx_packet_drop(&packet);
	} while (r > 0);
	cx_cgroups_close(groups, false);
	return r;
}
