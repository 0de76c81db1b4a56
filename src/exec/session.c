/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* What a request waits for. A bit each, so that the table of answers can name several. */
enum {
	WAIT_OK = 1,
	WAIT_LOG = 2,
	WAIT_MAIN = 4,
	WAIT_START = 8,
	WAIT_EXIT = 16,
	WAIT_INFO = 32,
	WAIT_DONE = 64,
	HELD = 128,
	WAIT_PORT = 256,
	WAIT_EXEC = WAIT_START | WAIT_EXIT | HELD,
	WAIT_FILE = WAIT_INFO | WAIT_DONE,
};

/* One request; slots[i] has number i + 1 plus a multiple of NUMBER_STEP, which tells its users
 * apart. */
struct pending {
	void *owner;	      /* struct cx_exec, cx_file or cx_call */
	uint64_t deadline_ms; /* 0: none */
	uint32_t request;     /* 0: the slot is free */
	uint32_t limit;	      /* WAIT_LOG: bytes asked for; execs and files: timeout_ms */
	uint64_t length;      /* WAIT_INFO: bytes asked for */
	uint16_t waits;
	struct cx_exec_limits limits;
	enum cx_reason why;   /* execs: of our own for ending it; CX_REASON_EXITED: none */
	bool closed;	      /* execs: what is in its slot may have been killed */
	bool reads;	      /* WAIT_INFO: file_get */
	bool kill_late;	      /* we have said that it did not start */
	uint32_t group;	      /* execs: the slot of the accounts; 0: none */
	uint64_t asked_us;    /* execs: when it was sent */
	struct cx_result end; /* HELD: what its owner has not been told ... */
	unsigned held;	      /* ... until this number is released */
};

enum { SETTLE_MS = 1000 }; /* between two looks at what commands have left behind */
/* Between two looks at a command with limits, and the least when its CPU time may be over soon. */
enum { LOOK_MS = 100, LOOK_SOON_MS = 10 };
enum { NUMBER_STEP = 2 * CX_SESSION_PENDING_MAX, TICK_MS = 1000, PACKETS_PER_ROUND = 16 };

/* A packet that the agent has not had room for. */
struct queued {
	struct queued *next;
	size_t len;
	uint32_t request;
	uint16_t type;
	unsigned nfds;
	int fds[3];
	uint8_t bytes[];
};

struct cx_session {
	struct cx_source src;
	struct cx_loop *loop;
	struct cx_packet *scratch;
	struct cx_session_events events;
	struct cx_timer tick;
	struct pending *slots;
	unsigned nslots, rounds;
	struct queued *head, **tail;
	struct queued *slotless, **slotless_tail; /* commands that wait for a slot */
	size_t queued_bytes;
	struct cx_accounts *accounts; /* NULL: nothing is measured */
	bool asking;		      /* for a slot */
	struct cx_timer settle, look;
	unsigned cpus;
	uint64_t hello_deadline_ms;
	bool greeted, lost, closed;
	unsigned telling; /* a walk over the slots is under way: the session is not freed */
};

bool cx_session_alive(const struct cx_session *session)
{
	return !session->lost && !session->closed;
}

/* ---- slots ---------------------------------------------------------------------------------- */

static struct pending *find_slot(struct cx_session *session, uint32_t request)
{
	uint32_t i = (request - 1) % NUMBER_STEP;

	if (request == 0 || i >= session->nslots || session->slots[i].request != request)
		return NULL;
	return &session->slots[i];
}

static int grow_slots(struct cx_session *session, struct cx_err *err)
{
	unsigned n = session->nslots > 0 ? 2 * session->nslots : 16;
	struct pending *slots;

	if (n > CX_SESSION_PENDING_MAX)
		return cx_refuse(err, CX_LIMIT, "%d requests to one sandbox are unanswered",
				 CX_SESSION_PENDING_MAX);
	slots = realloc(session->slots, n * sizeof *slots);
	if (slots == NULL)
		return cx_fail(err, ENOMEM, "table of requests");
	memset(slots + session->nslots, 0, (n - session->nslots) * sizeof *slots);
	session->slots = slots;
	session->nslots = n;
	return 0;
}

static int take_slot(struct cx_session *session, const struct pending *want, uint32_t *ret_request,
		     struct cx_err *err)
{
	unsigned i = 0;

	if (!cx_session_alive(session))
		return cx_refuse(err, CX_UNAVAILABLE, "the connection to the sandbox is closed");
	while (i < session->nslots && session->slots[i].request != 0)
		i++;
	if (i == session->nslots && grow_slots(session, err) < 0)
		return -err->errnum;
	session->rounds = (session->rounds + 1) % (UINT32_MAX / NUMBER_STEP);
	session->slots[i] = *want;
	session->slots[i].request = session->rounds * NUMBER_STEP + i + 1;
	if (want->deadline_ms != 0 && session->tick.link == NULL)
		cx_timer_set(session->loop, &session->tick, TICK_MS);
	*ret_request = session->slots[i].request;
	return 0;
}

static void give_back(struct cx_session *session, struct pending *slot);

static void free_slot(struct pending *slot)
{
	if (slot != NULL)
		*slot = (struct pending){ .request = 0 };
}

/* Detaches the owner, so that it may free or reuse its struct within the callback. */
static void *release_owner(struct pending *slot)
{
	void *owner = slot->owner;

	slot->owner = NULL;
	if (owner == NULL)
		return NULL;
	if ((slot->waits & WAIT_EXEC) != 0)
		((struct cx_exec *)owner)->session = NULL;
	else if ((slot->waits & WAIT_FILE) != 0)
		((struct cx_file *)owner)->session = NULL;
	else
		((struct cx_call *)owner)->session = NULL;
	return owner;
}

/* The callback may ask again and so move the slots: it comes last. */
static void fail_owner(struct pending *slot, bool keep_slot, const struct cx_err *err)
{
	unsigned waits = slot->waits;
	void *owner = release_owner(slot);

	if (!keep_slot)
		free_slot(slot);
	if (owner == NULL)
		return;
	if ((waits & WAIT_EXEC) != 0)
		((struct cx_exec *)owner)->ended(owner, NULL, err);
	else if ((waits & WAIT_FILE) != 0)
		((struct cx_file *)owner)->ended(owner, err);
	else
		((struct cx_call *)owner)->done(owner, NULL, err);
}

/* The same for a request that the sandbox may or may not have got. */
static void fail_pending(struct cx_session *session, struct pending *slot, const struct cx_err *err)
{
	if (slot == NULL)
		return;
	give_back(session, slot);
	fail_owner(slot, false, err);
}

static void answer_call(struct pending *slot, const struct cx_answer *answer)
{
	struct cx_call *call = release_owner(slot);

	free_slot(slot);
	if (call != NULL)
		call->done(call, answer, NULL);
}

/* ---- sending -------------------------------------------------------------------------------- */

static void free_queued(struct queued *q)
{
	for (unsigned i = 0; i < q->nfds; i++)
		cx_close(&q->fds[i]);
	free(q);
}

static void free_packets(struct queued *q)
{
	while (q != NULL) {
		struct queued *next = q->next;

		free_queued(q);
		q = next;
	}
}

static struct queued *take_slotless(struct cx_session *session)
{
	struct queued *q = session->slotless;

	session->slotless = NULL;
	session->slotless_tail = &session->slotless;
	return q;
}

static void free_queue(struct cx_session *session)
{
	free_packets(session->head);
	free_packets(take_slotless(session));
	session->head = NULL;
	session->tail = &session->head;
	session->queued_bytes = 0;
}

static int watch(struct cx_session *session, bool output, struct cx_err *err)
{
	uint32_t events = EPOLLIN | (output && session->greeted ? EPOLLOUT : 0U);

	return cx_loop_change(session->loop, &session->src, events, err);
}

/* Keeps a copy and takes over the descriptors. */
static int append(struct cx_session *session, struct queued ***tail, const struct queued *head,
		  const uint8_t *bytes, int *fds, struct cx_err *err)
{
	struct queued *q;

	if (session->queued_bytes + head->len > CX_SESSION_QUEUE_MAX)
		return cx_refuse(err, CX_LIMIT, "the sandbox does not take its requests");
	q = malloc(sizeof *q + head->len);
	if (q == NULL)
		return cx_fail(err, ENOMEM, "request of %zu bytes", head->len);
	*q = *head;
	memcpy(q->bytes, bytes, head->len);
	for (unsigned i = 0; i < q->nfds; i++)
		q->fds[i] = cx_take_fd(&fds[i]);
	**tail = q;
	*tail = &q->next;
	session->queued_bytes += q->len;
	return 0;
}

static int enqueue(struct cx_session *session, const struct queued *head, const uint8_t *bytes,
		   int *fds, struct cx_err *err)
{
	if (watch(session, true, err) < 0)
		return -err->errnum;
	return append(session, &session->tail, head, bytes, fds, err);
}

/* A command without a slot, and what is said of one: it stays behind it. */
static bool has_to_wait(struct cx_session *session, const struct queued *head)
{
	const struct pending *slot = find_slot(session, head->request);

	if (head->type == CX_MSG_exec)
		return session->accounts != NULL && slot != NULL && slot->group == 0;
	return session->slotless != NULL &&
	       (head->type == CX_MSG_exec_signal || head->type == CX_MSG_exec_resize);
}

/* Sends now if it can be, else later. Descriptors that were queued are taken: -EBADF in fds. */
static int post(struct cx_session *session, const struct queued *head, uint8_t *bytes, int *fds,
		struct cx_err *err)
{
	int r;

	if (!session->greeted || session->head != NULL)
		return enqueue(session, head, bytes, fds, err);
	r = cx_packet_send(session->src.fd, bytes, head->len, head->type, head->request, fds,
			   head->nfds, err);
	if (r == -EAGAIN)
		return enqueue(session, head, bytes, fds, err);
	return r < 0 ? cx_wrap(err, "ask the sandbox") : 0;
}

static int transmit(struct cx_session *session, const struct queued *head, uint8_t *bytes, int *fds,
		    struct cx_err *err)
{
	if (head->len > CX_PACKET_MAX)
		return cx_refuse(err, CX_INVALID,
				 "a request of %zu bytes; command, arguments and environment "
				 "together may have %d",
				 head->len, CX_PACKET_MAX);
	if (has_to_wait(session, head))
		return append(session, &session->slotless_tail, head, bytes, fds, err);
	return post(session, head, bytes, fds, err);
}

/* ask_NAME(): takes a slot, encodes, sends or queues. */
#define DEFINE_ASK(name, FIELDS)                                                       \
	static int ask_##name(struct cx_session *session, const struct pending *want,  \
			      const struct cx_msg_##name *m, int *fds, unsigned nfds,  \
			      uint32_t *ret_request, struct cx_err *err)               \
	{                                                                              \
		CX_UNINITIALIZED uint8_t out[CX_PACKET_HEADER + FIELDS(CX_AS_SIZE) 0]; \
		struct cx_writer w = { .p = out + CX_PACKET_HEADER,                    \
				       .left = sizeof out - CX_PACKET_HEADER };        \
		struct queued head = { .type = CX_MSG_##name, .nfds = nfds };          \
                                                                                       \
		if (!cx_msg_##name##_put(&w, m))                                       \
			return cx_refuse(err, CX_INVALID,                              \
					 "a field of message '" #name                  \
					 "' is too long or holds a NUL byte");         \
		head.len = (size_t)(w.p - out);                                        \
		if (take_slot(session, want, &head.request, err) < 0)                  \
			return -err->errnum;                                           \
		if (transmit(session, &head, out, fds, err) < 0) {                     \
			free_slot(find_slot(session, head.request));                   \
			return -err->errnum;                                           \
		}                                                                      \
		*ret_request = head.request;                                           \
		return 0;                                                              \
	}

DEFINE_ASK(configure, CX_FIELDS_CONFIGURE)
DEFINE_ASK(exec, CX_FIELDS_EXEC)
DEFINE_ASK(exec_signal, CX_FIELDS_EXEC_SIGNAL)
DEFINE_ASK(exec_resize, CX_FIELDS_EXEC_RESIZE)
DEFINE_ASK(log_read, CX_FIELDS_LOG_READ)
DEFINE_ASK(main_status, CX_FIELDS_AGENT_NONE)
DEFINE_ASK(file_put, CX_FIELDS_FILE_PUT)
DEFINE_ASK(file_get, CX_FIELDS_FILE_GET)
DEFINE_ASK(file_list, CX_FIELDS_FILE_LIST)
DEFINE_ASK(port_open, CX_FIELDS_PORT_OPEN)

/* The last field of exec. */
static void put_slot(struct queued *q, uint32_t number)
{
	struct cx_writer w = { .p = q->bytes + q->len - sizeof number, .left = sizeof number };

	(void)cx_put_u32(&w, &number, UINT32_MAX);
}

/* What the kernel is to hold: before the command is there. */
static int limit(struct cx_session *session, const struct pending *slot, struct cx_err *err)
{
	if (slot->group == 0 || (slot->limits.memory_bytes == 0 && slot->limits.processes == 0))
		return 0;
	return cx_accounts_limit(session->accounts, slot->group, &slot->limits, err);
}

/* Gives slots to commands that wait for one, as many as there are. */
static void send_slotless(struct cx_session *session)
{
	struct cx_err err;

	while (session->slotless != NULL && cx_session_alive(session)) {
		struct queued *q = session->slotless;
		struct pending *slot = find_slot(session, q->request);

		if (q->type == CX_MSG_exec && slot != NULL) {
			slot->group = cx_accounts_take(session->accounts);
			if (slot->group == 0)
				return;
			put_slot(q, slot->group);
		}
		session->slotless = q->next;
		if (session->slotless == NULL)
			session->slotless_tail = &session->slotless;
		q->next = NULL;
		session->queued_bytes -= q->len;
		if ((slot != NULL && limit(session, slot, &err) < 0) ||
		    post(session, q, q->bytes, q->fds, &err) < 0)
			fail_pending(session, slot, &err);
		free_queued(q);
	}
}

static void need_slot(struct cx_session *session)
{
	uint32_t number;

	if (session->asking || session->events.need_slot == NULL)
		return;
	number = cx_accounts_want(session->accounts, session->slotless != NULL);
	if (number == 0)
		return;
	session->asking = true;
	session->events.need_slot(session, number, session->events.arg);
}

static void settle(struct cx_timer *timer)
{
	struct cx_session *session = cx_container_of(timer, struct cx_session, settle);
	bool more = cx_accounts_settle(session->accounts);

	send_slotless(session);
	if (!cx_session_alive(session))
		return;
	need_slot(session);
	if (more && session->settle.link == NULL)
		cx_timer_set(session->loop, &session->settle, SETTLE_MS);
}

static void settle_soon(struct cx_session *session)
{
	cx_timer_clear(&session->settle);
	cx_timer_set(session->loop, &session->settle, 0);
}

/* Its slot is looked at when who waits for the end has been told. */
static void give_back(struct cx_session *session, struct pending *slot)
{
	if (slot->group == 0 || session->accounts == NULL)
		return;
	cx_accounts_give_back(session->accounts, slot->group, slot->closed);
	slot->group = 0;
	settle_soon(session);
}

static int flush(struct cx_session *session, struct cx_err *err)
{
	while (session->head != NULL) {
		struct queued *q = session->head;
		int r = cx_packet_send(session->src.fd, q->bytes, q->len, q->type, q->request,
				       q->fds, q->nfds, err);

		if (r == -EAGAIN)
			break;
		if (r < 0)
			return r;
		session->head = q->next;
		if (session->head == NULL)
			session->tail = &session->head;
		session->queued_bytes -= q->len;
		for (unsigned i = 0; i < q->nfds; i++)
			cx_close(&q->fds[i]);
		free(q);
	}
	return watch(session, session->head != NULL, err);
}

/* ---- what the agent says -------------------------------------------------------------------- */

static int on_error(struct cx_session *session, struct pending *slot, struct cx_reader *body,
		    struct cx_err *err)
{
	struct cx_msg_agent_error m;
	struct cx_err said;

	if (!cx_msg_agent_error_get(body, &m))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	slot->closed = true;
	(void)cx_err_adopt(&said, m.kind, m.errnum, m.text.p, m.text.len);
	fail_pending(session, slot, &said);
	return 0;
}

static int on_ok(struct cx_session *session, struct pending *slot, struct cx_reader *body,
		 struct cx_err *err)
{
	struct cx_msg_agent_ok m;
	struct cx_answer answer = { 0 };

	if (!cx_msg_agent_ok_get(body, &m))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	if (slot->waits != WAIT_DONE) {
		answer_call(slot, &answer);
		return 0;
	}
	if (session->events.used != NULL)
		session->events.used(session, session->events.arg);
	fail_owner(slot, false, NULL);
	return 0;
}

static int on_log_data(struct cx_session *session, struct pending *slot, struct cx_reader *body,
		       struct cx_err *err)
{
	struct cx_answer answer = { 0 };
	const struct cx_msg_log_data *m = &answer.log;

	(void)session;
	if (!cx_msg_log_data_get(body, &answer.log) || m->data.len > slot->limit ||
	    m->offset > m->end || m->data.len > m->end - m->offset)
		return cx_refuse(err, CX_INVALID, "malformed fields");
	answer_call(slot, &answer);
	return 0;
}

static int on_main_state(struct cx_session *session, struct pending *slot, struct cx_reader *body,
			 struct cx_err *err)
{
	struct cx_answer answer = { 0 };

	if (!cx_msg_main_state_get(body, &answer.main))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	if (slot != NULL)
		answer_call(slot, &answer);
	else if (session->events.main_ended != NULL)
		session->events.main_ended(session, &answer.main, session->events.arg);
	return 0;
}

/* Nobody waits for it any more: we have already said that it did not start. */
static void kill_latecomer(struct cx_session *session, uint32_t request)
{
	struct pending want = { .waits = WAIT_OK,
				.deadline_ms = cx_now_ms() + CX_SESSION_ANSWER_MS };
	struct cx_msg_exec_signal m = { .exec = request, .signo = SIGKILL };
	struct cx_err ignored;
	uint32_t number;

	(void)!ask_exec_signal(session, &want, &m, NULL, 0, &number, &ignored);
}

/* ---- limits of commands --------------------------------------------------------------------- */

static bool is_limited(const struct pending *slot)
{
	return slot->group > 0 && (slot->limits.cpu_us > 0 || slot->limits.memory_bytes > 0 ||
				   slot->limits.processes > 0);
}

static enum cx_reason exceeded(const struct cx_exec_limits *limits,
			       const struct cx_accounts_hits *hits)
{
	if (limits->cpu_us > 0 && hits->cpu_us >= limits->cpu_us)
		return CX_REASON_CPU_TIMEOUT;
	if (limits->memory_bytes > 0 && hits->kills > 0)
		return CX_REASON_OOM;
	if (limits->processes > 0 && hits->refused > 0)
		return CX_REASON_PIDS_LIMIT;
	return CX_REASON_EXITED;
}

static void end_for(struct cx_session *session, struct pending *slot, enum cx_reason why)
{
	slot->why = why;
	slot->closed = true;
	kill_latecomer(session, slot->request); /* may move the slots */
}

/* In how many milliseconds to look again: no sooner than its CPU time can be over. */
static uint64_t look_at(struct cx_session *session, struct pending *slot)
{
	struct cx_accounts_hits hits;
	enum cx_reason why;
	uint64_t ms = LOOK_MS;

	cx_accounts_look(session->accounts, slot->group, &hits);
	why = exceeded(&slot->limits, &hits);
	if (why != CX_REASON_EXITED) {
		end_for(session, slot, why);
		return UINT64_MAX;
	}
	if (slot->limits.cpu_us > 0)
		ms = (slot->limits.cpu_us - hits.cpu_us) / 1000 / session->cpus;
	if (ms < LOOK_SOON_MS)
		return LOOK_SOON_MS;
	return slot->limits.memory_bytes + slot->limits.processes > 0 && ms > LOOK_MS ? LOOK_MS
										      : ms;
}

static void look(struct cx_timer *timer)
{
	struct cx_session *session = cx_container_of(timer, struct cx_session, look);
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < session->nslots; i++) {
		struct pending *slot = &session->slots[i];
		uint64_t ms;

		if (slot->waits != WAIT_EXIT || slot->why != CX_REASON_EXITED || !is_limited(slot))
			continue;
		ms = look_at(session, slot);
		next = ms < next ? ms : next;
	}
	if (next != UINT64_MAX)
		cx_timer_set(session->loop, &session->look, next);
}

static int on_started(struct cx_session *session, struct pending *slot, struct cx_reader *body,
		      struct cx_err *err)
{
	struct cx_msg_started m;
	struct cx_exec *exec = slot->owner;
	uint32_t request = slot->request;

	if (!cx_msg_started_get(body, &m))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	slot->waits = WAIT_EXIT;
	slot->deadline_ms = 0;
	if (slot->limit > 0)
		slot->deadline_ms = cx_now_ms() + slot->limit + CX_SESSION_ANSWER_MS;
	if (slot->kill_late) {
		kill_latecomer(session, request);
		return 0;
	}
	if (is_limited(slot))
		cx_timer_set(session->loop, &session->look, 0);
	if (exec != NULL && exec->started != NULL)
		exec->started(exec, m.pid);
	return 0;
}

static void tell_end(struct pending *slot)
{
	struct cx_result end = slot->end;
	struct cx_exec *exec = release_owner(slot);

	free_slot(slot);
	if (exec != NULL)
		exec->ended(exec, &end, NULL);
}

/* Also what ended by itself was over its limits, if it was so in the end. */
static enum cx_reason judge(struct cx_session *session, const struct pending *slot)
{
	const struct cx_figures *used = &slot->end.used;
	bool fine = slot->end.how == CX_EXITED_CODE && slot->end.status == 0;
	struct cx_accounts_hits hits;

	if (slot->why != CX_REASON_EXITED)
		return slot->why;
	if (slot->end.how == CX_EXITED_TIMEOUT || (fine && !is_limited(slot)))
		return slot->end.reason;
	cx_accounts_look(session->accounts, slot->group, &hits);
	if (hits.kills > 0)
		return CX_REASON_OOM;
	if (slot->limits.cpu_us > 0 && used->user_us + used->system_us >= slot->limits.cpu_us)
		return CX_REASON_CPU_TIMEOUT;
	return hits.refused > 0 && !fine ? CX_REASON_PIDS_LIMIT : slot->end.reason;
}

/* What it used is read at once: only so long is the slot its own. */
static void measure(struct cx_session *session, struct pending *slot,
		    const struct cx_msg_exited *said)
{
	static const enum cx_reason reasons[CX_EXITED_MAX] = {
		[CX_EXITED_CODE] = CX_REASON_EXITED,
		[CX_EXITED_SIGNAL] = CX_REASON_SIGNALLED,
		[CX_EXITED_TIMEOUT] = CX_REASON_WALL_TIMEOUT,
	};

	slot->end = (struct cx_result){ .how = (enum cx_exited)said->how,
					.status = said->status,
					.reason = reasons[said->how],
					.wall_us = cx_now_us() - slot->asked_us };
	if (slot->group == 0)
		return;
	slot->end.source = cx_accounts_source(session->accounts);
	cx_accounts_read(session->accounts, slot->group, &slot->end.used);
	slot->end.reason = judge(session, slot);
	slot->closed |= slot->end.how == CX_EXITED_TIMEOUT;
	give_back(session, slot);
}

static int on_exited(struct cx_session *session, struct pending *slot, struct cx_reader *body,
		     struct cx_err *err)
{
	struct cx_msg_exited said;
	bool fine;

	if (!cx_msg_exited_get(body, &said))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	if (said.how == CX_EXITED_TIMEOUT && slot->limit == 0)
		return cx_refuse(err, CX_INVALID, "a timeout that nobody set");
	measure(session, slot, &said);
	slot->waits = HELD;
	slot->deadline_ms = 0;
	fine = slot->end.how == CX_EXITED_CODE && slot->end.status == 0;
	if (session->events.used != NULL)
		session->events.used(session, session->events.arg);
	slot->held = 0;
	if (!fine && session->events.hold != NULL)
		slot->held = session->events.hold(session, session->events.arg);
	if (slot->held == 0)
		tell_end(slot);
	return 0;
}

static int on_file_info(struct cx_session *session, struct pending *slot, struct cx_reader *body,
			struct cx_err *err)
{
	struct cx_msg_file_info m;
	struct cx_file *file = slot->owner;

	if (!cx_msg_file_info_get(body, &m) || m.length > slot->length ||
	    (slot->reads && (m.offset > m.size || m.length > m.size - m.offset)))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	slot->waits = WAIT_DONE;
	slot->deadline_ms = 0;
	if (slot->limit > 0)
		slot->deadline_ms = cx_now_ms() + slot->limit + CX_SESSION_ANSWER_MS;
	if (slot->kill_late)
		kill_latecomer(session, slot->request);
	else if (file != NULL)
		file->ready(file, &m);
	return 0;
}

static bool option_is(int sock, int option, int wanted)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(sock, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

/* Whatever else it is handed would do something else when it is read, written or closed. */
static bool is_tcp_socket(int sock)
{
	return option_is(sock, SO_TYPE, SOCK_STREAM) && option_is(sock, SO_PROTOCOL, IPPROTO_TCP) &&
	       (option_is(sock, SO_DOMAIN, AF_INET) || option_is(sock, SO_DOMAIN, AF_INET6));
}

/* No more when the server has reset it meanwhile, which is no lie of the agent's. */
static bool is_connected(int sock)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;

	return getpeername(sock, (struct sockaddr *)&peer, &len) == 0;
}

static int on_port_opened(struct cx_session *session, struct pending *slot, struct cx_reader *body,
			  struct cx_err *err)
{
	struct cx_msg_port_opened m;
	struct cx_answer answer = { .sock = &session->scratch->fds[0] };
	struct cx_err cut;

	if (!cx_msg_port_opened_get(body, &m))
		return cx_refuse(err, CX_INVALID, "malformed fields");
	if (!is_tcp_socket(*answer.sock))
		return cx_refuse(err, CX_INVALID, "a descriptor that is no TCP socket");
	if (is_connected(*answer.sock)) {
		answer_call(slot, &answer);
		return 0;
	}
	(void)cx_refuse(&cut, CX_UNAVAILABLE, "the server closed the connection at once");
	fail_owner(slot, false, &cut);
	return 0;
}

static const struct answer_row {
	uint16_t type;
	uint16_t waits; /* what the request of this number must be waiting for */
	bool may_event; /* legal with request 0, to which no slot belongs */
	int (*run)(struct cx_session *session, struct pending *slot, struct cx_reader *body,
		   struct cx_err *err);
	unsigned nfds; /* descriptors that come along, exactly */
} answers[] = {
	{ CX_MSG_agent_error, WAIT_OK | WAIT_LOG | WAIT_MAIN | WAIT_START | WAIT_FILE | WAIT_PORT,
	  false, on_error, 0 },
	{ CX_MSG_agent_ok, WAIT_OK | WAIT_DONE, false, on_ok, 0 },
	{ CX_MSG_log_data, WAIT_LOG, false, on_log_data, 0 },
	{ CX_MSG_main_state, WAIT_MAIN, true, on_main_state, 0 },
	{ CX_MSG_started, WAIT_START, false, on_started, 0 },
	{ CX_MSG_exited, WAIT_EXIT, false, on_exited, 0 },
	{ CX_MSG_file_info, WAIT_INFO, false, on_file_info, 0 },
	{ CX_MSG_port_opened, WAIT_PORT, false, on_port_opened, 1 },
};

static int take_answer(struct cx_session *session, struct cx_packet *pkt, struct cx_err *err)
{
	const struct answer_row *row = NULL;
	struct pending *slot = find_slot(session, pkt->request);

	for (size_t i = 0; i < CX_LEN(answers); i++)
		if (answers[i].type == pkt->type)
			row = &answers[i];
	if (row == NULL)
		return cx_refuse(err, CX_INVALID, "message of unknown type %#x", pkt->type);
	if (slot == NULL ? !row->may_event || pkt->request != 0 : (slot->waits & row->waits) == 0)
		return cx_refuse(err, CX_INVALID,
				 "message of type %#x to request %u, which does not "
				 "wait for it",
				 pkt->type, pkt->request);
	if (pkt->nfds != row->nfds)
		return cx_refuse(err, CX_INVALID, "message of type %#x with %u descriptors",
				 pkt->type, pkt->nfds);
	if (row->run(session, slot, &pkt->body, err) < 0)
		return cx_wrap(err, "message of type %#x", pkt->type);
	return 0;
}

static int take_hello(struct cx_session *session, struct cx_packet *pkt, struct cx_err *err)
{
	struct cx_msg_agent_hello m;

	if (pkt->type != CX_MSG_agent_hello || pkt->request != 0 || pkt->nfds != 0 ||
	    !cx_msg_agent_hello_get(&pkt->body, &m) || m.version != 1)
		return cx_refuse(err, CX_INVALID,
				 "a first message of type %#x that is no hello of "
				 "this version",
				 pkt->type);
	if (m.state != CX_AGENT_CLAIMED)
		return cx_refuse(err, CX_CONFLICT, "the sandbox has not been claimed");
	session->greeted = true;
	return flush(session, err);
}

static int receive(struct cx_session *session, struct cx_err *err)
{
	struct cx_packet *pkt = session->scratch;
	int r = cx_packet_recv(session->src.fd, pkt, err);

	if (r == -EAGAIN)
		return 0;
	if (r == 0)
		return cx_refuse(err, CX_UNAVAILABLE, "the sandbox closed the connection");
	if (r < 0)
		return r;
	r = session->greeted ? take_answer(session, pkt, err) : take_hello(session, pkt, err);
	cx_packet_drop(pkt);
	return r < 0 ? r : 1;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void disconnect(struct cx_session *session)
{
	session->lost = true;
	cx_timer_clear(&session->tick);
	cx_timer_clear(&session->settle);
	cx_timer_clear(&session->look);
	free_queue(session);
	cx_loop_drop(session->loop, &session->src);
}

static void lose(struct cx_session *session, const struct cx_err *err)
{
	disconnect(session);
	session->events.lost(session, err, session->events.arg);
}

static void ready(struct cx_source *src, uint32_t events)
{
	struct cx_session *session = cx_container_of(src, struct cx_session, src);
	struct cx_err err = { 0 };
	int r = 0;

	if ((events & EPOLLOUT) != 0)
		r = flush(session, &err);
	for (int i = 0; r >= 0 && i < PACKETS_PER_ROUND && cx_session_alive(session); i++) {
		r = receive(session, &err);
		if (r == 0)
			break;
	}
	if (r < 0 && cx_session_alive(session)) {
		(void)cx_wrap(&err, "agent");
		lose(session, &err);
	}
}

/* The owner stops waiting; the slot stays, so that an answer that comes after all is recognised. */
static void expire(struct cx_session *session, unsigned i, const struct cx_err *err)
{
	struct pending *slot = &session->slots[i];
	uint32_t request = slot->request;

	slot->deadline_ms = 0;
	slot->kill_late = (slot->waits & (WAIT_START | WAIT_INFO)) != 0;
	if ((slot->waits & (WAIT_EXIT | WAIT_DONE)) != 0)
		kill_latecomer(session, request); /* may move the slots */
	fail_owner(&session->slots[i], true, err);
}

static void tick(struct cx_timer *timer)
{
	struct cx_session *session = cx_container_of(timer, struct cx_session, tick);
	uint64_t now = cx_now_ms();
	struct cx_err err = { 0 };
	bool more = !session->greeted;

	(void)cx_refuse(&err, CX_TIMEOUT, "the sandbox did not answer in time");
	if (!session->greeted && now >= session->hello_deadline_ms) {
		lose(session, &err);
		return;
	}
	for (unsigned i = 0; i < session->nslots && cx_session_alive(session); i++) {
		uint64_t due = session->slots[i].deadline_ms;

		more |= due > now;
		if (due == 0 || due > now)
			continue;
		expire(session, i, &err);
	}
	if (more && cx_session_alive(session))
		cx_timer_set(session->loop, &session->tick, TICK_MS);
}

static void free_session(struct cx_session *session)
{
	cx_accounts_close(session->accounts);
	free(session->slots);
	free(session);
}

static void destroy(struct cx_source *src)
{
	struct cx_session *session = cx_container_of(src, struct cx_session, src);

	if (session->closed && session->telling == 0)
		free_session(session);
}

int cx_session_open(struct cx_loop *loop, struct cx_packet *scratch, int *sock,
		    const struct cx_session_events *events, struct cx_session **ret,
		    struct cx_err *err)
{
	cx_autofd int fd = cx_take_fd(sock);
	cx_autofree struct cx_session *session = calloc(1, sizeof *session);

	if (session == NULL)
		return cx_fail(err, ENOMEM, "session with a sandbox");
	if (cx_set_nonblock(fd, true, err) < 0)
		return cx_wrap(err, "session with a sandbox");
	*session = (struct cx_session){
		.src = { .fd = fd, .ready = ready, .destroy = destroy },
		.loop = loop,
		.scratch = scratch,
		.events = *events,
		.tick = { .fire = tick },
		.settle = { .fire = settle },
		.look = { .fire = look },
		.cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
		.tail = &session->head,
		.slotless_tail = &session->slotless,
		.hello_deadline_ms = cx_now_ms() + CX_SESSION_HELLO_MS,
	};
	if (cx_loop_add(loop, &session->src, EPOLLIN, err) < 0)
		return cx_wrap(err, "session with a sandbox");
	(void)cx_take_fd(&fd);
	cx_timer_set(loop, &session->tick, TICK_MS);
	*ret = cx_take_ptr(&session);
	return 0;
}

void cx_session_measure(struct cx_session *session, struct cx_accounts *accounts)
{
	session->accounts = accounts;
}

static void fail_slotless(struct cx_session *session, const struct cx_err *err)
{
	struct queued *all = take_slotless(session);

	for (const struct queued *q = all; q != NULL && cx_session_alive(session); q = q->next) {
		session->queued_bytes -= q->len;
		fail_pending(session, find_slot(session, q->request), err);
	}
	free_packets(all);
}

void cx_session_slot_made(struct cx_session *session, uint32_t number, const struct cx_err *err)
{
	if (!cx_session_alive(session) || !session->asking)
		return;
	session->asking = false;
	cx_accounts_made(session->accounts, number, err == NULL);
	if (err != NULL && session->slotless != NULL)
		fail_slotless(session, err);
	send_slotless(session);
	if (cx_session_alive(session) && err == NULL)
		need_slot(session);
}

/* Callbacks may close the session: it is freed by the last walk over its slots. */
static void end_walk(struct cx_session *session)
{
	if (--session->telling == 0 && session->closed && !session->src.added)
		free_session(session);
}

void cx_session_fail(struct cx_session *session, const struct cx_err *err)
{
	if (session->closed)
		return;
	if (!session->lost)
		disconnect(session);
	session->telling++;
	for (unsigned i = 0; i < session->nslots; i++)
		fail_owner(&session->slots[i], false, err);
	end_walk(session);
}

void cx_session_give_up(struct cx_session *session, const struct cx_err *err)
{
	session->telling++;
	for (unsigned i = 0; i < session->nslots; i++)
		fail_owner(&session->slots[i], session->slots[i].waits != HELD, err);
	end_walk(session);
}

void cx_session_release(struct cx_session *session, unsigned number)
{
	session->telling++;
	for (unsigned i = 0; i < session->nslots; i++)
		if (session->slots[i].waits == HELD && session->slots[i].held <= number)
			tell_end(&session->slots[i]);
	end_walk(session);
}

bool cx_session_busy(const struct cx_session *session)
{
	for (unsigned i = 0; i < session->nslots; i++)
		if (session->slots[i].owner != NULL)
			return true;
	return false;
}

void cx_session_close(struct cx_session *session)
{
	if (session == NULL || session->closed)
		return;
	session->closed = true;
	cx_timer_clear(&session->tick);
	cx_timer_clear(&session->settle);
	cx_timer_clear(&session->look);
	free_queue(session);
	for (unsigned i = 0; i < session->nslots; i++)
		(void)release_owner(&session->slots[i]);
	if (!session->src.added) {
		if (session->telling == 0)
			free_session(session);
		return;
	}
	cx_loop_drop(session->loop, &session->src); /* destroy() frees, after the running batch */
}

/* ---- requests ------------------------------------------------------------------------------- */

static struct pending want_answer(uint16_t waits, void *owner)
{
	return (struct pending){ .owner = owner,
				 .waits = waits,
				 .deadline_ms = cx_now_ms() + CX_SESSION_ANSWER_MS };
}

/* Ties a call to the request that was made for it. */
static int bind_call(struct cx_session *session, struct cx_call *call, uint32_t request)
{
	if (call != NULL) {
		call->session = session;
		call->request = request;
	}
	return 0;
}

int cx_session_configure(struct cx_session *session, const struct cx_msg_configure *config,
			 struct cx_call *call, struct cx_err *err)
{
	struct pending want = want_answer(WAIT_OK, call);
	uint32_t request;

	if (ask_configure(session, &want, config, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return bind_call(session, call, request);
}

int cx_session_log(struct cx_session *session, uint64_t offset, uint32_t max, struct cx_call *call,
		   struct cx_err *err)
{
	struct pending want = want_answer(WAIT_LOG, call);
	struct cx_msg_log_read m = { .offset = offset, .max = max };
	uint32_t request;

	want.limit = max;
	if (ask_log_read(session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return bind_call(session, call, request);
}

int cx_session_main(struct cx_session *session, struct cx_call *call, struct cx_err *err)
{
	struct pending want = want_answer(WAIT_MAIN, call);
	struct cx_msg_main_status m;
	uint32_t request;

	if (ask_main_status(session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return bind_call(session, call, request);
}

int cx_session_port(struct cx_session *session, uint16_t port, uint32_t timeout_ms,
		    struct cx_call *call, struct cx_err *err)
{
	struct pending want = want_answer(WAIT_PORT, call);
	struct cx_msg_port_open m = { .port = port, .timeout_ms = timeout_ms };
	uint32_t request;

	want.deadline_ms += timeout_ms;
	if (ask_port_open(session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return bind_call(session, call, request);
}

void cx_call_forget(struct cx_call *call)
{
	struct pending *slot = NULL;

	if (call->session != NULL)
		slot = find_slot(call->session, call->request);
	if (slot != NULL)
		slot->owner = NULL;
	call->session = NULL;
}

int cx_session_exec(struct cx_session *session, const struct cx_msg_exec *plan,
		    struct cx_pipes *pipes, struct cx_exec *exec, struct cx_err *err)
{
	struct pending want = want_answer(WAIT_START, exec);
	struct cx_msg_exec m = *plan;
	unsigned nfds = (plan->flags & CX_EXEC_TTY) != 0 ? 1 : 3;
	uint32_t request = 0;
	int r;

	want.limit = plan->timeout_ms;
	want.asked_us = cx_now_us();
	if (session->accounts != NULL && session->slotless == NULL)
		want.group = m.slot = cx_accounts_take(session->accounts);
	want.limits = exec->limits;
	if (limit(session, &want, err) < 0)
		r = -err->errnum;
	else if (pipes->ntheirs != nfds)
		r = cx_refuse(err, CX_INVALID, "%u descriptors for a command that needs %u",
			      pipes->ntheirs, nfds);
	else
		r = ask_exec(session, &want, &m, pipes->theirs, nfds, &request, err);
	cx_pipes_close_theirs(pipes);
	if (r < 0) {
		give_back(session, &want);
		return r;
	}
	exec->session = session;
	exec->request = request;
	if (session->slotless != NULL) /* a refusal must not come before this returns */
		settle_soon(session);
	if (session->events.used != NULL)
		session->events.used(session, session->events.arg);
	return 0;
}

bool cx_exec_pending(const struct cx_exec *exec)
{
	return exec->session != NULL;
}

void cx_exec_forget(struct cx_exec *exec)
{
	struct pending *slot = NULL;

	if (exec->session != NULL)
		slot = find_slot(exec->session, exec->request);
	if (slot != NULL)
		slot->owner = NULL;
	exec->session = NULL;
}

int cx_exec_signal(struct cx_exec *exec, uint32_t signo, struct cx_call *call, struct cx_err *err)
{
	struct pending want = want_answer(WAIT_OK, call);
	struct cx_msg_exec_signal m = { .exec = exec->request, .signo = signo };
	struct pending *slot;
	uint32_t request;

	if (exec->session == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "the command has ended");
	slot = find_slot(exec->session, exec->request);
	if (slot != NULL && signo == SIGKILL)
		slot->closed = true;
	if (ask_exec_signal(exec->session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return bind_call(exec->session, call, request);
}

int cx_exec_end(struct cx_exec *exec, enum cx_reason why, struct cx_err *err)
{
	struct pending *slot = NULL;

	if (exec->session != NULL)
		slot = find_slot(exec->session, exec->request);
	if (slot == NULL || slot->waits == HELD)
		return cx_refuse(err, CX_NOT_FOUND, "the command has ended");
	if (slot->why == CX_REASON_EXITED)
		end_for(exec->session, slot, why);
	return 0;
}

int cx_exec_resize(struct cx_exec *exec, uint32_t rows, uint32_t cols, struct cx_call *call,
		   struct cx_err *err)
{
	struct pending want = want_answer(WAIT_OK, call);
	struct cx_msg_exec_resize m = { .exec = exec->request, .rows = rows, .cols = cols };
	uint32_t request;

	if (exec->session == NULL)
		return cx_refuse(err, CX_NOT_FOUND, "the command has ended");
	if (ask_exec_resize(exec->session, &want, &m, NULL, 0, &request, err) < 0)
		return -err->errnum;
	return bind_call(exec->session, call, request);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void bind_file(struct cx_session *session, struct cx_file *file, uint32_t request)
{
	file->session = session;
	file->request = request;
	if (session->events.used != NULL)
		session->events.used(session, session->events.arg);
}

int cx_session_file_put(struct cx_session *session, const struct cx_msg_file_put *what, int *pipe,
			struct cx_file *file, struct cx_err *err)
{
	struct pending want = want_answer(WAIT_INFO, file);
	uint32_t request = 0;
	int r;

	want.limit = what->timeout_ms;
	r = ask_file_put(session, &want, what, pipe, 1, &request, err);
	cx_close(pipe);
	if (r == 0)
		bind_file(session, file, request);
	return r;
}

int cx_session_file_get(struct cx_session *session, const struct cx_msg_file_get *what, int *pipe,
			struct cx_file *file, struct cx_err *err)
{
	struct pending want = want_answer(WAIT_INFO, file);
	uint32_t request = 0;
	int r;

	want.limit = what->timeout_ms;
	want.length = what->length;
	want.reads = true;
	r = ask_file_get(session, &want, what, pipe, 1, &request, err);
	cx_close(pipe);
	if (r == 0)
		bind_file(session, file, request);
	return r;
}

int cx_session_file_list(struct cx_session *session, const struct cx_msg_file_list *what, int *pipe,
			 struct cx_file *file, struct cx_err *err)
{
	struct pending want = want_answer(WAIT_INFO, file);
	uint32_t request = 0;
	int r;

	want.limit = what->timeout_ms;
	want.length = UINT64_MAX;
	r = ask_file_list(session, &want, what, pipe, 1, &request, err);
	cx_close(pipe);
	if (r == 0)
		bind_file(session, file, request);
	return r;
}

void cx_file_cancel(struct cx_file *file)
{
	struct cx_session *session = file->session;
	struct pending *slot = NULL;

	file->session = NULL;
	if (session != NULL)
		slot = find_slot(session, file->request);
	if (slot == NULL)
		return;
	slot->owner = NULL;
	if (cx_session_alive(session))
		kill_latecomer(session, file->request);
}
