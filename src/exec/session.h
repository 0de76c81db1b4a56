/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_EXEC_SESSION_H
#define CX_EXEC_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "exec/pipes.h"
#include "exec/result.h"
#include "proto/agent_msgs.h"

/*
 * One connection to the agent of one sandbox, within a loop. Nothing here blocks. The agent is not
 * believed: a message that is malformed, of an unknown type, unasked for or out of order ends the
 * session; every answer has a deadline; memory is bounded whatever it sends.
 *
 * Requests may be made at once: before the agent's hello they wait in the session's queue.
 *
 * Who asks embeds a struct cx_call (one answer), a struct cx_exec or a struct cx_file (two) in its
 * own object and sets the callbacks; the rest of it belongs to the session until the last callback
 * has begun or cx_call_forget() / cx_exec_forget() / cx_file_cancel() was called, so before the
 * object is freed one of both must have happened. Callbacks never run inside the function that
 * asked, except from cx_session_fail(), cx_session_give_up() and cx_session_release(); they may
 * call anything here, cx_session_close() included.
 */
struct cx_session;

enum {
	CX_SESSION_HELLO_MS = 10000, /* an agent that does not say hello is lost */
	CX_SESSION_ANSWER_MS =
		60000, /* then the request fails with CX_TIMEOUT, the session goes on */
	CX_SESSION_PENDING_MAX = 4096, /* requests and commands at once; more: CX_LIMIT */
	CX_SESSION_QUEUE_MAX =
		4 << 20 /* bytes of requests that the agent has not taken yet: CX_LIMIT */
};

struct cx_session_events {
	const char *sandbox; /* its id, for the log; NULL: none. Outlives the session */
	/*
	 * The connection is over, last call for it. What is pending stays so until the owner, who
	 * may know why, says cx_session_fail() or cx_session_close().
	 */
	void (*lost)(struct cx_session *session, const struct cx_err *err, void *arg);
	/*
	 * A command ended, and not with status 0. A number that is not 0, and no less than the last
	 * one, keeps that to ourselves until cx_session_release() with such a number, or
	 * cx_session_fail() with a better reason. May be NULL; must not ask the session anything.
	 */
	unsigned (*hold)(struct cx_session *session, void *arg);
	/* A command or the moving of a file was begun or has ended. May be NULL. */
	void (*used)(struct cx_session *session, void *arg);
	/*
	 * A command needs control group slot "number", which caissond is to make. Follow with
	 * cx_session_slot_made(). NULL where nothing is measured.
	 */
	void (*need_slot)(struct cx_session *session, uint32_t number, void *arg);
	/* The start command ended; unasked. May be NULL. */
	void (*main_ended)(struct cx_session *session, const struct cx_msg_main_state *state,
			   void *arg);
	void *arg;
};

/*
 * Takes over *sock, a connected SOCK_SEQPACKET socket (left -EBADF, also on failure). scratch
 * receives every packet; all sessions of a loop share one, and it outlives them. The session is
 * freed by cx_session_close() only, also after lost().
 */
CX_MUST int cx_session_open(struct cx_loop *loop, struct cx_packet *scratch, int *sock,
			    const struct cx_session_events *events, struct cx_session **ret,
			    struct cx_err *err);
/*
 * Takes over accounts: from now on commands run in slots of theirs, and their results tell what
 * they used. A command waits until there is a slot for it.
 */
void cx_session_measure(struct cx_session *session, struct cx_accounts *accounts);
/* err: it could not be made, and the commands that wait for one fail with that. */
void cx_session_slot_made(struct cx_session *session, uint32_t number, const struct cx_err *err);
/* No callback follows, not even for what is pending. Commands go on inside. NULL is fine. */
void cx_session_close(struct cx_session *session);
/*
 * Ends the connection if there is still one, and whatever is pending with err; lost() is not told.
 * why: the reason for commands that had begun.
 */
void cx_session_fail(struct cx_session *session, enum cx_reason why, const struct cx_err *err);
/* Ends whatever is pending with err; the connection stays, for what its owner has yet to ask. */
void cx_session_give_up(struct cx_session *session, enum cx_reason why, const struct cx_err *err);
/*
 * The ends of commands that hold() kept back with numbers up to this one are told now. disk_full:
 * the sandbox's disk has no room.
 */
void cx_session_release(struct cx_session *session, unsigned number, bool disk_full);
bool cx_session_alive(const struct cx_session *session);
/* Somebody waits for an answer or for a command of it. */
bool cx_session_busy(const struct cx_session *session);

/* The answer to a request; which member counts depends on what was asked. Valid in done() only. */
struct cx_answer {
	struct cx_msg_log_data log;
	struct cx_msg_main_state main;
	int *sock; /* of cx_session_port(); who wants it takes it */
};

struct cx_call {
	/* Once. err is NULL on success, else what the agent (or the session) says is wrong. */
	void (*done)(struct cx_call *call, const struct cx_answer *answer,
		     const struct cx_err *err);
	struct cx_session *session; /* private, as is what follows */
	uint32_t request;
};
void cx_call_forget(struct cx_call *call); /* idempotent; fine on a zeroed or answered one */

/* Each returns 0 when done() will come, or -errno when it will not. Arguments are copied. */
CX_MUST int cx_session_configure(struct cx_session *session, const struct cx_msg_configure *config,
				 struct cx_call *call, struct cx_err *err);
CX_MUST int cx_session_log(struct cx_session *session, uint64_t offset, uint32_t max,
			   struct cx_call *call, struct cx_err *err);
CX_MUST int cx_session_main(struct cx_session *session, struct cx_call *call, struct cx_err *err);
/*
 * A connection to a TCP port inside: on the sandbox's 127.0.0.1, else on its ::1. What done() gets
 * is a connected TCP socket, but one that the agent may hold too: it may change any option of it at
 * any time. So every call on it has to say MSG_DONTWAIT, and splice(2), which cannot, would block.
 * CX_UNAVAILABLE: nobody listens, or it was closed at once. CX_TIMEOUT: nobody took it within
 * timeout_ms (60,000 at most).
 */
CX_MUST int cx_session_port(struct cx_session *session, uint16_t port, uint32_t timeout_ms,
			    struct cx_call *call, struct cx_err *err);

/*
 * A command. started() comes at most once, then ended() exactly once: with end set when it ran,
 * with err when it could not be started (kind and text say why, for the client) or was lost sight
 * of; with both when it had begun and the sandbox or the connection ended: end is what is known of
 * it, err says more. An exec whose start nobody confirmed within CX_SESSION_ANSWER_MS is ended with
 * CX_TIMEOUT, and killed should it start after all. One with timeout_ms that the agent does not end
 * in time is ended with CX_TIMEOUT, CX_SESSION_ANSWER_MS later.
 */
struct cx_exec {
	void (*started)(struct cx_exec *exec, uint32_t pid); /* may be NULL */
	void (*ended)(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *err);
	const char *id; /* for the log; NULL: none */
	struct cx_exec_limits
		limits; /* the host's; others are in the plan. Set before it is asked for */
	struct cx_session *session; /* private, as is what follows */
	uint32_t request;
};
/* The command goes on, nobody hears of it any more. Idempotent; fine on a zeroed or ended one. */
void cx_exec_forget(struct cx_exec *exec);
bool cx_exec_pending(const struct cx_exec *exec);

/*
 * Starts a command. plan's strings are copied; pipes->theirs are taken over (closed and -EBADF on
 * return, also on failure). plan->flags has CX_EXEC_TTY exactly when pipes came from
 * cx_pipes_open_tty(). With plan->key they came from cx_pipes_open_input(): the agent keeps the
 * output and the end, and cx_session_exec_again() finds the command. -errno when nothing was asked:
 * no callback follows.
 */
CX_MUST int cx_session_exec(struct cx_session *session, const struct cx_msg_exec *plan,
			    struct cx_pipes *pipes, struct cx_exec *exec, struct cx_err *err);

/* For who writes down how to go on counting one that has started; number is 0: it is not counted.
 */
struct cx_accounts_mark cx_exec_mark(const struct cx_exec *exec);

/*
 * A command that was started with a key, on whichever connection, goes on with this exec:
 * started(), then ended(). timeout_ms and asked_us (cx_now_us()) are those of its start, as is
 * mark; without one (NULL, or number 0) what it used is not known. CX_NOT_FOUND in ended(): the
 * agent knows nothing of it any more.
 */
CX_MUST int cx_session_exec_again(struct cx_session *session, const char *key, uint32_t timeout_ms,
				  uint64_t asked_us, const struct cx_accounts_mark *mark,
				  struct cx_exec *exec, struct cx_err *err);
/*
 * What such a command has written so far: answer->log, as of cx_session_log(). What lies between
 * the beginning that is kept and the newest part is left out: log.offset is then behind offset.
 * While it runs and there is nothing at offset the answer comes later, after wait_ms (60,000 at
 * most) if need be.
 */
CX_MUST int cx_session_exec_output(struct cx_session *session, const char *key, bool of_stderr,
				   uint64_t offset, uint32_t max, uint32_t wait_ms,
				   struct cx_call *call, struct cx_err *err);

/*
 * For an exec that is pending; CX_NOT_FOUND otherwise. call may be NULL: then nobody hears of the
 * answer. signo goes to every process of the command's group.
 */
CX_MUST int cx_exec_signal(struct cx_exec *exec, uint32_t signo, struct cx_call *call,
			   struct cx_err *err);
/* Ends it, all of it, and gives the reason to be told. */
CX_MUST int cx_exec_end(struct cx_exec *exec, enum cx_reason why, struct cx_err *err);
CX_MUST int cx_exec_resize(struct cx_exec *exec, uint32_t rows, uint32_t cols, struct cx_call *call,
			   struct cx_err *err);

/*
 * Something done to a file inside (proto/agent_msgs.h says what goes through the pipes). ready()
 * comes at most once, from when on bytes may be expected; then ended() exactly once, with err when
 * it did not come to a good end. What ready() says of a file that is read is within what was asked
 * for; whether so many bytes come is for the reader to see. Deadlines are those of a command.
 */
struct cx_file {
	void (*ready)(struct cx_file *file, const struct cx_msg_file_info *info);
	void (*ended)(struct cx_file *file, const struct cx_err *err);
	struct cx_session *session; /* private, as is what follows */
	uint32_t request;
};

/* *pipe is the agent's end, taken over (closed and -EBADF on return, also on failure). -errno when
 * nothing was asked: no callback follows. */
CX_MUST int cx_session_file_put(struct cx_session *session, const struct cx_msg_file_put *what,
				int *pipe, struct cx_file *file, struct cx_err *err);
CX_MUST int cx_session_file_get(struct cx_session *session, const struct cx_msg_file_get *what,
				int *pipe, struct cx_file *file, struct cx_err *err);
CX_MUST int cx_session_file_list(struct cx_session *session, const struct cx_msg_file_list *what,
				 int *pipe, struct cx_file *file, struct cx_err *err);

/* Ends it inside; no callback follows. Idempotent; fine on a zeroed or ended one. */
void cx_file_cancel(struct cx_file *file);

#endif
