/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "api/proc_inner.h"
#include "base/list.h"
#include "base/log.h"
#include "proto/packet.h"

/* ---- lanes ----------------------------------------------------------------------------------- */

static void lane_closed(struct cx_source *source)
{
	cx_proc_release(cx_container_of(source, struct cx_proc_lane, source)->process);
}

static bool is_open(const struct cx_proc_lane *lane)
{
	return lane->source.added && !lane->source.dead;
}

static void close_lane(struct cx_proc_lane *lane)
{
	if (is_open(lane))
		cx_loop_drop(lane->process->gw->loop, &lane->source);
}

/* Children of a command that has ended may go on writing. */
static void leave_lane(struct cx_proc_lane *lane)
{
	struct cx_gateway *gw = lane->process->gw;

	if (is_open(lane) && lane->kind != CX_PROC_TERMINAL)
		cx_leftover_keep(&gw->leftovers, gw->loop, lane->source.fd);
	close_lane(lane);
}

static int open_lane(struct cx_proc *p, struct cx_proc_lane *lane, int *fd,
		     enum cx_proc_event_kind kind, void (*ready)(struct cx_source *, uint32_t),
		     struct cx_err *err)
{
	*lane = (struct cx_proc_lane){
		.process = p,
		.kind = kind,
		.armed = EPOLLONESHOT,
		.left = UINT64_MAX,
		.source = { .fd = *fd, .ready = ready, .destroy = lane_closed }
	};
	if (cx_loop_add(p->gw->loop, &lane->source, EPOLLONESHOT, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(fd);
	p->holders++;
	return 0;
}

/* Nothing, as EPOLLONESHOT: a hang-up, which cannot be masked, is then told once only. */
static void arm(struct cx_proc_lane *lane, uint32_t want)
{
	struct cx_err err;

	want = want != 0 ? want : EPOLLONESHOT;
	if (!is_open(lane) || lane->armed == want)
		return;
	lane->armed = want;
	if (cx_loop_change(lane->process->gw->loop, &lane->source, want, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "process", NULL);
}

/* ---- output ---------------------------------------------------------------------------------- */

void cx_proc_tell(struct cx_proc *p)
{
	for (struct cx_proc_watch *w = p->watchers; w != NULL; w = w->next)
		w->ready(w);
}

static size_t size_of(const struct cx_piece *piece)
{
	return sizeof *piece + piece->len;
}

static void drop_first(struct cx_proc *p)
{
	struct cx_piece *piece = p->first;

	p->first = piece->next;
	if (p->first == NULL)
		p->last = &p->first;
	p->held -= size_of(piece);
	if (p->unread <= piece->number)
		p->unread = piece->number + 1;
	free(piece);
}

static bool is_awaited(const struct cx_proc *p, const struct cx_piece *piece)
{
	for (const struct cx_proc_watch *w = p->watchers; w != NULL; w = w->next)
		if (w->at != NULL && w->at->number <= piece->number)
			return true;
	return piece->number >= p->unread;
}

void cx_proc_drop_taken(struct cx_proc *p)
{
	while (p->first != NULL && !is_awaited(p, p->first))
		drop_first(p);
}

static bool has_room(struct cx_proc *p)
{
	while (p->watchers == NULL && p->held >= CX_PROC_HELD_MAX)
		drop_first(p);
	return p->held < CX_PROC_HELD_MAX;
}

static int add_piece(struct cx_proc *p, enum cx_proc_event_kind kind, const char *data, size_t len,
		     struct cx_err *err)
{
	struct cx_piece *piece = malloc(sizeof *piece + len);

	if (piece == NULL)
		return cx_fail(err, ENOMEM, "output of a process");
	*piece = (struct cx_piece){ .number = p->coming++, .kind = kind, .len = len };
	memcpy(piece->data, data, len);
	*p->last = piece;
	p->last = &piece->next;
	p->held += size_of(piece);
	for (struct cx_proc_watch *w = p->watchers; w != NULL; w = w->next)
		if (w->at == NULL && !w->cut)
			w->at = piece;
	cx_proc_tell(p);
	return 0;
}

/* One piece at most; false when there is no more for now. */
static bool read_lane(struct cx_proc *p, struct cx_proc_lane *lane)
{
	CX_UNINITIALIZED char data[CX_PROC_PIECE_MAX];
	size_t most = lane->left < sizeof data ? (size_t)lane->left : sizeof data;
	struct cx_err err;
	ssize_t n;

	if (!is_open(lane) || !has_room(p))
		return false;
	n = most > 0 ? read(lane->source.fd, data, most) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		if (p->state ==
		    CX_PROC_IS_DRAINING) /* fewer than were counted: somebody inside read them */
			leave_lane(lane);
		return false;
	}
	if (n <= 0 || add_piece(p, lane->kind, data, (size_t)n, &err) < 0) {
		leave_lane(lane);
		return false;
	}
	if (lane->left != UINT64_MAX)
		lane->left -= (uint64_t)n;
	return true;
}

/* ---- patience -------------------------------------------------------------------------------- */

static bool somebody_waits(const struct cx_proc *p)
{
	for (const struct cx_proc_watch *w = p->watchers; w != NULL; w = w->next)
		if (w->at == NULL && !w->cut)
			return true;
	return false;
}

static void patience_ends(struct cx_timer *timer)
{
	struct cx_proc *p = cx_container_of(timer, struct cx_proc, patience);

	if (p->first == NULL || p->first->number != p->stuck_at || !somebody_waits(p))
		return;
	for (struct cx_proc_watch *w = p->watchers; w != NULL; w = w->next)
		if (w->at == p->first) {
			w->at = NULL;
			w->cut = true;
			w->ready(w);
		}
	cx_proc_drop_taken(p);
	cx_proc_pump(p);
}

static void watch_patience(struct cx_proc *p)
{
	if (has_room(p) || !somebody_waits(p)) {
		cx_timer_clear(&p->patience);
		return;
	}
	if (p->patience.link != NULL && p->stuck_at == p->first->number)
		return;
	p->stuck_at = p->first->number;
	p->patience.fire = patience_ends;
	cx_timer_set(p->gw->loop, &p->patience, CX_PROC_PATIENCE_MS);
}

/* ---- input ----------------------------------------------------------------------------------- */

static bool was_seen(const struct cx_proc *p, const char *uuid)
{
	unsigned n = p->nseen < CX_PROC_SEEN_MAX ? p->nseen : CX_PROC_SEEN_MAX;

	for (unsigned i = 0; i < n; i++)
		if (uuid[0] != '\0' && strcmp(p->seen[i], uuid) == 0)
			return true;
	return false;
}

/* So that remember() cannot fail: what was done must be known again. */
static int can_remember(struct cx_proc *p, const char *uuid, struct cx_err *err)
{
	if (strlen(uuid) > CX_PROC_UUID_MAX)
		return cx_refuse(err, CX_INVALID, "a uuid of more than %d bytes", CX_PROC_UUID_MAX);
	if (uuid[0] != '\0' && p->seen == NULL)
		p->seen = calloc(CX_PROC_SEEN_MAX, sizeof *p->seen);
	if (uuid[0] != '\0' && p->seen == NULL)
		return cx_fail(err, ENOMEM, "uuids of a process");
	return 0;
}

static void remember(struct cx_proc *p, const char *uuid)
{
	if (uuid[0] != '\0')
		strcpy(p->seen[p->nseen++ % CX_PROC_SEEN_MAX], uuid);
}

void cx_proc_sender_forget(struct cx_proc_sender *sender)
{
	cx_list_remove(sender);
}

static void add_sender(struct cx_proc *p, struct cx_proc_sender *sender)
{
	struct cx_proc_sender **end = &p->senders;

	while (*end != NULL)
		end = &(*end)->next;
	cx_list_add(end, sender);
}

static unsigned count_senders(const struct cx_proc *p)
{
	unsigned n = 0;

	for (const struct cx_proc_sender *one = p->senders; one != NULL; one = one->next)
		n++;
	return n;
}

static int accept_input(struct cx_proc *p, const struct cx_proc_sender *sender, struct cx_err *err)
{
	if (was_seen(p, sender->uuid))
		return 0;
	if (!is_open(&p->in))
		return cx_refuse(err, CX_CONFLICT, "the process takes no input");
	p->input.max = p->input.len + sender->len;
	if (can_remember(p, sender->uuid, err) < 0 ||
	    cx_buf_add(&p->input, sender->p, sender->len, err) < 0)
		return -err->errnum;
	remember(p, sender->uuid);
	return 0;
}

/* Every sender for whom there is room; all of them when nobody reads. */
static void accept_senders(struct cx_proc *p)
{
	while (p->senders != NULL && (!is_open(&p->in) || p->input.len < CX_PROC_INPUT_MAX)) {
		struct cx_proc_sender *sender = p->senders;
		struct cx_err err;
		int r = accept_input(p, sender, &err);

		cx_proc_sender_forget(sender);
		sender->done(sender, r < 0 ? &err : NULL);
	}
}

static void write_input(struct cx_proc *p)
{
	ssize_t n;

	if (p->input.len > 0 && is_open(&p->in)) {
		n = write(p->in.source.fd, p->input.p, p->input.len);
		if (n > 0)
			cx_buf_drop_front(&p->input, (size_t)n);
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			close_lane(&p->in);
	}
	accept_senders(p);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Moves what can be moved; called after anything that may have changed that. */
void cx_proc_pump(struct cx_proc *p)
{
	p->holders++;
	write_input(p);
	for (unsigned i = 0; i < 2; i++)
		while (read_lane(p, &p->out[i]) && p->state == CX_PROC_IS_DRAINING)
			;
	for (unsigned i = 0; i < 2; i++)
		arm(&p->out[i], has_room(p) ? EPOLLIN : 0);
	arm(&p->in, p->input.len > 0 ? EPOLLOUT : 0);
	watch_patience(p);
	if (p->state == CX_PROC_IS_DRAINING && !is_open(&p->out[0]) && !is_open(&p->out[1]))
		cx_proc_conclude(p);
	cx_proc_release(p);
}

static void lane_ready(struct cx_source *source, uint32_t events)
{
	struct cx_proc_lane *lane = cx_container_of(source, struct cx_proc_lane, source);
	struct cx_proc *p = lane->process;

	if (lane->armed == EPOLLONESHOT && lane != &p->in) /* at rest; told no more */
		return;
	if (lane == &p->in && (events & (EPOLLERR | EPOLLHUP)) != 0)
		close_lane(lane);
	cx_proc_pump(p);
}

/* What is in the pipes now was written before the end; what follows is not the command's. */
void cx_proc_limit_output(struct cx_proc *p)
{
	for (unsigned i = 0; i < 2; i++) {
		int waiting = 0;

		if (!is_open(&p->out[i]))
			continue;
		(void)ioctl(p->out[i].source.fd, FIONREAD, &waiting);
		p->out[i].left = waiting > 0 ? (uint64_t)waiting : 0;
		if (waiting <= 0)
			leave_lane(&p->out[i]);
	}
}

void cx_proc_close_lanes(struct cx_proc *p)
{
	close_lane(&p->in);
	close_lane(&p->out[0]);
	close_lane(&p->out[1]);
}

void cx_proc_close_input(struct cx_proc *p)
{
	close_lane(&p->in);
	p->input.len = 0;
}

int cx_proc_open_lanes(struct cx_proc *p, struct cx_pipes *pipes, struct cx_err *err)
{
	bool tty = (p->plan.spec.flags & CX_EXEC_TTY) != 0;

	if (tty) { /* one socket, but two lanes: each end closes on its own */
		pipes->ours[1] = fcntl(pipes->ours[0], F_DUPFD_CLOEXEC, 3);
		if (pipes->ours[1] < 0)
			return cx_fail(err, errno, "duplicate the terminal's socket");
	}
	if ((p->plan.input || tty) &&
	    open_lane(p, &p->in, &pipes->ours[0], CX_PROC_STARTED, lane_ready, err) < 0)
		return -err->errnum;
	if (open_lane(p, &p->out[0], &pipes->ours[1], tty ? CX_PROC_TERMINAL : CX_PROC_STDOUT,
		      lane_ready, err) < 0)
		return -err->errnum;
	if (!tty && open_lane(p, &p->out[1], &pipes->ours[2], CX_PROC_STDERR, lane_ready, err) < 0)
		return -err->errnum;
	return 0;
}

/* ---- what a client does to one --------------------------------------------------------------- */

int cx_proc_send(struct cx_proc *p, struct cx_proc_sender *sender, struct cx_err *err)
{
	sender->link = NULL;
	if (was_seen(p, sender->uuid))
		return 1;
	if (p->state >= CX_PROC_IS_DRAINING)
		return cx_refuse(err, CX_CONFLICT, "the process has ended");
	if (p->senders != NULL || p->input.len >= CX_PROC_INPUT_MAX) {
		if (count_senders(p) >= CX_PROC_SENDERS_MAX)
			return cx_refuse(err, CX_UNAVAILABLE,
					 "the process does not read what waits for it already");
		add_sender(p, sender);
		return 0;
	}
	if (accept_input(p, sender, err) < 0)
		return -err->errnum;
	cx_proc_pump(p);
	return 1;
}

int cx_proc_signal(struct cx_proc *p, unsigned signo, const char *uuid, struct cx_err *err)
{
	if (was_seen(p, uuid) || !cx_exec_pending(&p->exec))
		return 0;
	if (can_remember(p, uuid, err) < 0 || cx_exec_signal(&p->exec, signo, NULL, err) < 0)
		return -err->errnum;
	remember(p, uuid);
	return 0;
}
