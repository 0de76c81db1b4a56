/* SPDX-License-Identifier: Apache-2.0 */
#include "api/proc.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "proto/packet.h"

struct lane { /* one descriptor of the command */
	struct cx_source source;
	struct cx_proc *process;
	enum cx_proc_event_kind kind;
	uint32_t armed; /* what epoll watches for */
	uint64_t left;	/* after the command's end: bytes still to pass on */
};

struct cx_piece { /* of output */
	struct cx_piece *next;
	uint64_t number;
	enum cx_proc_event_kind kind;
	size_t len;
	char data[];
};

enum state {
	STARTING,
	RUNNING,
	DRAINING, /* it has ended; what was in its pipes is still read */
	OVER,	  /* all that there will ever be is held */
};

struct cx_proc { /* freed when nothing holds it: list, exec, lanes, watchers */
	struct cx_gateway *gw;
	char sandbox[CX_SANDBOX_ID_MAX + 1];
	struct cx_proc_plan plan;
	struct cx_exec exec;
	struct lane in, out[2];
	enum state state;
	uint32_t pid;
	struct cx_msg_exited end;
	struct cx_err why; /* instead of end, when errnum is set */

	struct cx_piece *first, **last;
	size_t held;	       /* bytes of memory */
	uint64_t next, unread; /* numbers: of the next piece, of the first that nobody took */
	struct cx_proc_watch *watchers;
	struct cx_timer patience;
	uint64_t stuck_at; /* the first piece's number when patience began */

	struct cx_buf input;
	struct cx_proc_sender *senders;	    /* that wait for room */
	char (*seen)[CX_PROC_UUID_MAX + 1]; /* a ring */
	unsigned nseen;

	struct cx_timer kept;
	bool listed;
	struct cx_proc *next_listed, **link;
	unsigned holders;
};

/* ---- memory ---------------------------------------------------------------------------------- */

void cx_proc_plan_clear(struct cx_proc_plan *plan)
{
	cx_exec_spec_clear(&plan->spec);
}

static void release(struct cx_proc *p)
{
	if (--p->holders > 0)
		return;
	for (struct cx_piece *piece = p->first, *next; piece != NULL; piece = next) {
		next = piece->next;
		free(piece);
	}
	cx_timer_clear(&p->patience);
	cx_buf_free(&p->input);
	cx_proc_plan_clear(&p->plan);
	free(p->seen);
	free(p);
}

static void list(struct cx_proc *p)
{
	struct cx_gateway *gw = p->gw;

	p->next_listed = gw->processes;
	p->link = &gw->processes;
	if (p->next_listed != NULL)
		p->next_listed->link = &p->next_listed;
	gw->processes = p;
	p->listed = true;
	p->holders++;
}

/* Nobody finds it any more. */
static void unlist(struct cx_proc *p)
{
	if (!p->listed)
		return;
	p->listed = false;
	cx_timer_clear(&p->kept);
	*p->link = p->next_listed;
	if (p->next_listed != NULL)
		p->next_listed->link = p->link;
	release(p);
}

static void kept_long_enough(struct cx_timer *timer)
{
	unlist(cx_container_of(timer, struct cx_proc, kept));
}

/* Of too many the one that was started first goes. */
static void keep(struct cx_proc *p)
{
	struct cx_proc *oldest = p;
	unsigned n = 0;

	for (struct cx_proc *one = p->gw->processes; one != NULL; one = one->next_listed) {
		if (one->state != OVER)
			continue;
		n++;
		oldest = one;
	}
	p->kept.fire = kept_long_enough;
	cx_timer_set(p->gw->loop, &p->kept, CX_PROC_KEPT_MS);
	if (n > CX_PROC_KEPT_MAX)
		unlist(oldest);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static void lane_closed(struct cx_source *source)
{
	release(cx_container_of(source, struct lane, source)->process);
}

static bool is_open(const struct lane *lane)
{
	return lane->source.added && !lane->source.dead;
}

static void close_lane(struct lane *lane)
{
	if (is_open(lane))
		cx_loop_drop(lane->process->gw->loop, &lane->source);
}

/* Children of a command that has ended may go on writing. */
static void leave_lane(struct lane *lane)
{
	struct cx_gateway *gw = lane->process->gw;

	if (is_open(lane) && lane->kind != CX_PROC_TERMINAL)
		cx_leftover_keep(&gw->leftovers, gw->loop, lane->source.fd);
	close_lane(lane);
}

static int open_lane(struct cx_proc *p, struct lane *lane, int *fd, enum cx_proc_event_kind kind,
		     void (*ready)(struct cx_source *, uint32_t), struct cx_err *err)
{
	*lane = (struct lane){ .process = p,
			       .kind = kind,
			       .armed = EPOLLONESHOT,
			       .left = UINT64_MAX,
			       .source = { .fd = *fd, .ready = ready, .destroy = lane_closed } };
	if (cx_loop_add(p->gw->loop, &lane->source, EPOLLONESHOT, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(fd);
	p->holders++;
	return 0;
}

/* Nothing, as EPOLLONESHOT: a hang-up, which cannot be masked, is then told once only. */
static void arm(struct lane *lane, uint32_t want)
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

static void tell_watchers(struct cx_proc *p)
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

static void drop_taken(struct cx_proc *p)
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
	*piece = (struct cx_piece){ .number = p->next++, .kind = kind, .len = len };
	memcpy(piece->data, data, len);
	*p->last = piece;
	p->last = &piece->next;
	p->held += size_of(piece);
	for (struct cx_proc_watch *w = p->watchers; w != NULL; w = w->next)
		if (w->at == NULL && !w->cut)
			w->at = piece;
	tell_watchers(p);
	return 0;
}

/* One piece at most; false when there is no more for now. */
static bool read_lane(struct cx_proc *p, struct lane *lane)
{
	CX_UNINITIALIZED char data[CX_PROC_PIECE_MAX];
	size_t most = lane->left < sizeof data ? (size_t)lane->left : sizeof data;
	struct cx_err err;
	ssize_t n;

	if (!is_open(lane) || !has_room(p))
		return false;
	n = most > 0 ? read(lane->source.fd, data, most) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		if (p->state == DRAINING) /* fewer than were counted: somebody inside read them */
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

static void pump(struct cx_proc *p);

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
	drop_taken(p);
	pump(p);
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
	if (sender->link == NULL)
		return;
	*sender->link = sender->next;
	if (sender->next != NULL)
		sender->next->link = sender->link;
	sender->link = NULL;
}

static void add_sender(struct cx_proc *p, struct cx_proc_sender *sender)
{
	struct cx_proc_sender **end = &p->senders;

	while (*end != NULL)
		end = &(*end)->next;
	sender->next = NULL;
	sender->link = end;
	*end = sender;
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

/* ---- its life -------------------------------------------------------------------------------- */

static void conclude(struct cx_proc *p)
{
	if (p->state != DRAINING || is_open(&p->out[0]) || is_open(&p->out[1]))
		return;
	p->state = OVER;
	if (p->listed && p->plan.uuid[0] != '\0' && p->why.errnum == 0)
		keep(p);
	else
		unlist(p);
	tell_watchers(p);
}

/* Moves what can be moved; called after anything that may have changed that. */
static void pump(struct cx_proc *p)
{
	p->holders++;
	write_input(p);
	for (unsigned i = 0; i < 2; i++)
		while (read_lane(p, &p->out[i]) && p->state == DRAINING)
			;
	for (unsigned i = 0; i < 2; i++)
		arm(&p->out[i], has_room(p) ? EPOLLIN : 0);
	arm(&p->in, p->input.len > 0 ? EPOLLOUT : 0);
	watch_patience(p);
	conclude(p);
	release(p);
}

static void lane_ready(struct cx_source *source, uint32_t events)
{
	struct lane *lane = cx_container_of(source, struct lane, source);
	struct cx_proc *p = lane->process;

	if (lane->armed == EPOLLONESHOT && lane != &p->in) /* at rest; told no more */
		return;
	if (lane == &p->in && (events & (EPOLLERR | EPOLLHUP)) != 0)
		close_lane(lane);
	pump(p);
}

static void on_started(struct cx_exec *exec, uint32_t pid)
{
	struct cx_proc *p = cx_container_of(exec, struct cx_proc, exec);

	p->pid = pid;
	p->state = RUNNING;
	tell_watchers(p);
}

/* What is in the pipes now was written before the end; what follows is not the command's. */
static void limit_output(struct cx_proc *p)
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

static void on_ended(struct cx_exec *exec, const struct cx_msg_exited *end,
		     const struct cx_err *err)
{
	struct cx_proc *p = cx_container_of(exec, struct cx_proc, exec);

	if (err != NULL)
		p->why = *err;
	else
		p->end = *end;
	close_lane(&p->in);
	p->input.len = 0;
	limit_output(p);
	p->state = DRAINING;
	pump(p);
	release(p); /* the exec's hold */
}

static void kill_it(struct cx_proc *p)
{
	struct cx_err err;

	if (cx_exec_pending(&p->exec) && cx_exec_signal(&p->exec, SIGKILL, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "command not killed", NULL);
}

/* ---- watchers -------------------------------------------------------------------------------- */

int cx_proc_watch(struct cx_proc *p, struct cx_proc_watch *w, struct cx_err *err)
{
	unsigned n = 0;

	for (const struct cx_proc_watch *one = p->watchers; one != NULL; one = one->next)
		n++;
	if (n >= CX_PROC_WATCHERS_MAX)
		return cx_refuse(err, CX_LIMIT, "%d clients watch this process already",
				 CX_PROC_WATCHERS_MAX);
	*w = (struct cx_proc_watch){ .ready = w->ready, .process = p, .at = p->first };
	while (w->at != NULL && w->at->number < p->unread)
		w->at = w->at->next;
	w->next = p->watchers;
	w->link = &p->watchers;
	if (w->next != NULL)
		w->next->link = &w->next;
	p->watchers = w;
	p->holders++;
	return 0;
}

void cx_proc_leave(struct cx_proc_watch *w)
{
	struct cx_proc *p = w->process;

	if (p == NULL)
		return;
	w->process = NULL;
	*w->link = w->next;
	if (w->next != NULL)
		w->next->link = w->link;
	drop_taken(p);
	if (p->watchers == NULL && p->plan.uuid[0] == '\0') {
		kill_it(p);
		unlist(p);
	}
	pump(p);
	release(p);
}

static bool next_event(struct cx_proc_watch *w, struct cx_proc_event *event)
{
	static const struct cx_err cut = {
		.kind = CX_UNAVAILABLE,
		.refused = 1,
		.msg = "others watch this process and are kept waiting; attach again",
	};
	struct cx_proc *p = w->process;

	if (w->cut)
		*event = (struct cx_proc_event){ .kind = CX_PROC_FAILED, .err = &cut };
	else if (!w->told_start && p->pid != 0)
		*event = (struct cx_proc_event){ .kind = CX_PROC_STARTED, .pid = p->pid };
	else if (w->at != NULL && p->state != STARTING) /* the start is told first */
		*event = (struct cx_proc_event){ .kind = w->at->kind,
						 .p = w->at->data,
						 .len = w->at->len };
	else if (p->state == OVER && p->why.errnum == 0)
		*event = (struct cx_proc_event){ .kind = CX_PROC_ENDED, .end = &p->end };
	else if (p->state == OVER)
		*event = (struct cx_proc_event){ .kind = CX_PROC_FAILED, .err = &p->why };
	else
		return false;
	return true;
}

static void advance(struct cx_proc_watch *w)
{
	struct cx_proc *p = w->process;

	if (w->at->number >= p->unread)
		p->unread = w->at->number + 1;
	w->at = w->at->next;
	drop_taken(p);
	if (p->state < OVER && (w->at == NULL || p->held < CX_PROC_HELD_MAX / 2))
		pump(p);
}

enum cx_taken cx_proc_take(struct cx_proc_watch *w,
			   void (*visit)(const struct cx_proc_event *event, void *arg), void *arg)
{
	struct cx_proc_event event;

	if (w->process == NULL || w->told_end || !next_event(w, &event))
		return w->told_end ? CX_TAKEN_LAST : CX_TAKEN_NONE;
	visit(&event, arg);
	if (event.kind == CX_PROC_STARTED)
		w->told_start = true;
	else if (event.kind == CX_PROC_ENDED || event.kind == CX_PROC_FAILED)
		w->told_end = true;
	else
		advance(w);
	return w->told_end ? CX_TAKEN_LAST : CX_TAKEN_ONE;
}

/* ---- beginnings ------------------------------------------------------------------------------ */

static bool same_bytes(const struct cx_buf *a, const struct cx_buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

static bool same_plan(const struct cx_proc_plan *a, const struct cx_proc_plan *b)
{
	return a->spec.flags == b->spec.flags && a->input == b->input &&
	       same_bytes(&a->spec.argv, &b->spec.argv) && same_bytes(&a->spec.env, &b->spec.env) &&
	       strcmp(a->spec.cwd, b->spec.cwd) == 0 && strcmp(a->spec.user, b->spec.user) == 0;
}

static int open_lanes(struct cx_proc *p, struct cx_pipes *pipes, struct cx_err *err)
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

static void give_up(struct cx_proc *p, struct cx_pipes *pipes)
{
	kill_it(p);
	cx_exec_forget(&p->exec);
	for (unsigned i = 0; i < 2; i++)
		close_lane(&p->out[i]);
	close_lane(&p->in);
	cx_pipes_close(pipes);
	release(p);
}

static int begin(struct cx_proc *p, struct cx_session *session, struct cx_proc_watch *watcher,
		 struct cx_err *err)
{
	struct cx_pipes pipes;

	if (cx_command_start(session, &p->plan.spec, &p->exec, &pipes, err) < 0) {
		release(p);
		return -err->errnum;
	}
	if (open_lanes(p, &pipes, err) < 0 || cx_proc_watch(p, watcher, err) < 0) {
		give_up(p, &pipes);
		return -err->errnum;
	}
	cx_pipes_close(&pipes); /* stdin, when there is none */
	list(p);
	pump(p);
	return 0;
}

static struct cx_proc *find_uuid(struct cx_gateway *gw, const char *sandbox, const char *uuid)
{
	struct cx_proc *p = gw->processes;

	while (p != NULL && (strcmp(p->sandbox, sandbox) != 0 || strcmp(p->plan.uuid, uuid) != 0))
		p = p->next_listed;
	return p;
}

int cx_proc_start(struct cx_gateway *gw, const char *sandbox, struct cx_session *session,
		  struct cx_proc_plan *plan, struct cx_proc_watch *watcher, bool *ret_attached,
		  struct cx_err *err)
{
	struct cx_proc *p = plan->uuid[0] != '\0' ? find_uuid(gw, sandbox, plan->uuid) : NULL;

	*ret_attached = p != NULL;
	if (p != NULL && !same_plan(&p->plan, plan))
		return cx_refuse(err, CX_CONFLICT,
				 "another command has been started under this session_uuid");
	if (p != NULL)
		return cx_proc_watch(p, watcher, err);
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return cx_fail(err, ENOMEM, "process");
	p->gw = gw;
	(void)snprintf(p->sandbox, sizeof p->sandbox, "%s", sandbox);
	p->plan = *plan;
	*plan = (struct cx_proc_plan){ 0 };
	p->last = &p->first;
	p->holders = 1; /* the exec's */
	p->exec = (struct cx_exec){ .started = on_started, .ended = on_ended };
	return begin(p, session, watcher, err);
}

/* A pid may be a later process's, too: of those that run there is one. */
static struct cx_proc *find_pid(struct cx_gateway *gw, const char *sandbox, uint32_t pid)
{
	struct cx_proc *ended = NULL;

	for (struct cx_proc *p = gw->processes; p != NULL && pid != 0; p = p->next_listed) {
		if (p->pid != pid || strcmp(p->sandbox, sandbox) != 0)
			continue;
		if (p->state != OVER)
			return p;
		if (ended == NULL)
			ended = p;
	}
	return ended;
}

int cx_proc_find(struct cx_gateway *gw, const char *sandbox, const char *uuid, uint32_t pid,
		 struct cx_proc **ret, struct cx_err *err)
{
	struct cx_proc *p = uuid != NULL && uuid[0] != '\0' ? find_uuid(gw, sandbox, uuid)
							    : find_pid(gw, sandbox, pid);

	if (p == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "there is no such process in this sandbox");
	*ret = p;
	return 0;
}

/* ---- what a client does to one --------------------------------------------------------------- */

int cx_proc_send(struct cx_proc *p, struct cx_proc_sender *sender, struct cx_err *err)
{
	sender->link = NULL;
	if (was_seen(p, sender->uuid))
		return 1;
	if (p->state >= DRAINING)
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
	pump(p);
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
