/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_EXEC_SESSION_INNER_H
#define CX_EXEC_SESSION_INNER_H

#include "exec/session.h"

/*
 * The inside of a session: session_slots.c knows who waits for what, session_send.c sends requests,
 * session_groups.c finds commands their control groups, session_answers.c checks what the agent
 * says, session_exec.c is the life of a command, session_ask.c asks for everything else, and
 * session_life.c is the connection's.
 */

/* What a request waits for. A bit each, so that the table of answers can name several. */
enum {
	CX_WAIT_OK = 1,
	CX_WAIT_LOG = 2,
	CX_WAIT_MAIN = 4,
	CX_WAIT_START = 8,
	CX_WAIT_EXIT = 16,
	CX_WAIT_INFO = 32,
	CX_WAIT_DONE = 64,
	CX_WAIT_HELD = 128,
	CX_WAIT_PORT = 256,
	CX_WAIT_EXEC = CX_WAIT_START | CX_WAIT_EXIT | CX_WAIT_HELD,
	CX_WAIT_FILE = CX_WAIT_INFO | CX_WAIT_DONE,
};

enum {
	CX_SESSION_TICK_MS = 1000, /* between two looks at deadlines */
	CX_SESSION_NUMBER_STEP = 2 * CX_SESSION_PENDING_MAX,
};

/* One request; slots[i] has number i + 1 plus a multiple of CX_SESSION_NUMBER_STEP, which tells its
 * users apart. */
struct cx_pending {
	void *owner;	      /* struct cx_exec, cx_file or cx_call */
	uint64_t deadline_ms; /* 0: none */
	uint32_t request;     /* 0: the slot is free */
	uint32_t limit;	      /* CX_WAIT_LOG: bytes asked for; execs and files: timeout_ms */
	uint64_t length;      /* CX_WAIT_INFO: bytes asked for */
	uint16_t waits;
	struct cx_exec_limits limits;
	enum cx_reason why;   /* execs: of our own for ending it; CX_REASON_EXITED: none */
	bool closed;	      /* execs: what is in its slot may have been killed */
	bool reads;	      /* CX_WAIT_INFO: file_get */
	bool kill_late;	      /* we have said that it did not start */
	uint32_t group;	      /* execs: the slot of the accounts; 0: none */
	uint32_t pid;	      /* execs: inside, as the agent says; 0: it has not started */
	uint64_t asked_us;    /* execs: when it was sent */
	struct cx_result end; /* CX_WAIT_HELD: what its owner has not been told ... */
	unsigned held;	      /* ... until this number is released */
};

/* A packet that the agent has not had room for. */
struct cx_queued {
	struct cx_queued *next;
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
	struct cx_pending *slots;
	unsigned nslots, rounds;
	struct cx_queued *head, **tail;
	struct cx_queued *slotless, **slotless_tail; /* commands that wait for a slot */
	size_t queued_bytes;
	struct cx_accounts *accounts; /* NULL: nothing is measured */
	bool asking;		      /* for a slot */
	struct cx_timer settle, look;
	unsigned cpus;
	uint64_t hello_deadline_ms;
	bool greeted, lost, closed;
	unsigned telling; /* a walk over the slots is under way: the session is not freed */
};

/* ---- session_slots.c ------------------------------------------------------------------------- */

/* NULL: no such request is pending. Any request that is made may move the slots. */
struct cx_pending *cx_session_find(struct cx_session *session, uint32_t request);
CX_MUST int cx_session_take_slot(struct cx_session *session, const struct cx_pending *want,
				 uint32_t *ret_request, struct cx_err *err);
void cx_pending_free(struct cx_pending *slot); /* NULL is fine */
/* Detaches the owner, so that it may free or reuse its struct within the callback. */
void *cx_pending_release(struct cx_pending *slot);
/* The callback may ask again and so move the slots: it comes last. */
void cx_pending_fail(struct cx_pending *slot, bool keep_slot, const struct cx_result *end,
		     const struct cx_err *err);
void cx_pending_answer(struct cx_pending *slot, const struct cx_answer *answer);
/* cx_pending_fail() for a request that the sandbox may or may not have got. NULL is fine. */
void cx_session_fail_pending(struct cx_session *session, struct cx_pending *slot,
			     const struct cx_err *err);

/* ---- session_send.c -------------------------------------------------------------------------- */

/* cx_session_ask_NAME(): takes a slot, encodes, sends or queues. */
#define CX_DECLARE_ASK(name)                                                                      \
	CX_MUST int cx_session_ask_##name(struct cx_session *session,                             \
					  const struct cx_pending *want,                          \
					  const struct cx_msg_##name *m, int *fds, unsigned nfds, \
					  uint32_t *ret_request, struct cx_err *err);

CX_DECLARE_ASK(configure)
CX_DECLARE_ASK(exec)
CX_DECLARE_ASK(exec_signal)
CX_DECLARE_ASK(exec_resize)
CX_DECLARE_ASK(exec_watch)
CX_DECLARE_ASK(exec_output)
CX_DECLARE_ASK(log_read)
CX_DECLARE_ASK(main_status)
CX_DECLARE_ASK(file_put)
CX_DECLARE_ASK(file_get)
CX_DECLARE_ASK(file_list)
CX_DECLARE_ASK(port_open)

/* Sends now if it can be, else later. Descriptors that were queued are taken: -EBADF in fds. */
CX_MUST int cx_session_post(struct cx_session *session, const struct cx_queued *head,
			    uint8_t *bytes, int *fds, struct cx_err *err);
CX_MUST int cx_session_flush(struct cx_session *session, struct cx_err *err);
struct cx_queued *cx_session_take_slotless(struct cx_session *session);
void cx_session_free_queue(struct cx_session *session);
void cx_queued_free(struct cx_queued *q);
void cx_queued_free_all(struct cx_queued *q);

/* ---- session_groups.c ------------------------------------------------------------------------ */

/* What the kernel is to hold: before the command is there. */
CX_MUST int cx_session_limit(struct cx_session *session, const struct cx_pending *slot,
			     struct cx_err *err);
/* Its slot is looked at when who waits for the end has been told. */
void cx_session_give_back(struct cx_session *session, struct cx_pending *slot);
void cx_session_settle_soon(struct cx_session *session);
void cx_session_settle(struct cx_timer *timer);

/* ---- session_answers.c ----------------------------------------------------------------------- */

/* One packet: 1, 0 when there is none yet, or -errno when the session is over. */
CX_MUST int cx_session_receive(struct cx_session *session, struct cx_err *err);

/* ---- session_exec.c -------------------------------------------------------------------------- */

/* Nobody waits for it any more: we have already said that it did not start. */
void cx_session_kill_latecomer(struct cx_session *session, uint32_t request);
void cx_session_look(struct cx_timer *timer); /* at commands with limits */
CX_MUST int cx_session_on_started(struct cx_session *session, struct cx_pending *slot,
				  struct cx_reader *body, struct cx_err *err);
CX_MUST int cx_session_on_exited(struct cx_session *session, struct cx_pending *slot,
				 struct cx_reader *body, struct cx_err *err);
void cx_pending_tell_end(struct cx_pending *slot, bool disk_full);
/* What is known of a command that had begun, now that nothing more will be; else false. */
bool cx_session_last_seen(struct cx_session *session, const struct cx_pending *slot,
			  enum cx_reason why, struct cx_result *ret);

/* ---- session_ask.c --------------------------------------------------------------------------- */

struct cx_pending cx_session_want_answer(uint16_t waits, void *owner);
/* Ties a call to the request that was made for it. Always 0. */
int cx_session_bind_call(struct cx_session *session, struct cx_call *call, uint32_t request);

#endif
