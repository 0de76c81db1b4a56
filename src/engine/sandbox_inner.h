/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_ENGINE_SANDBOX_INNER_H
#define CX_ENGINE_SANDBOX_INNER_H

#include "engine/sandbox.h"

/*
 * The inside of a sandbox, a file for each part of its life: sandbox_state.c has the table of state
 * and event and the set of all, sandbox_make.c makes a blank, sandbox_process.c asks the spawner
 * for its first process, sandbox_agent.c hears what its agent says, sandbox_claim.c gives it an
 * image and limits, sandbox_end.c removes it, sandbox_adopt.c takes over an earlier daemon's.
 */
enum { CX_CLAIM_REQUEST = 1 }; /* the only request of caissond's own connection to an agent */

/* ---- sandbox_state.c ------------------------------------------------------------------------- */

/* An event may free the sandbox: nothing may touch it afterwards. */
void cx_sandbox_deliver(struct cx_sandbox *sb, enum cx_sandbox_event event);
/* Why it ends; the first cause counts. */
void cx_sandbox_blame(struct cx_sandbox *sb, const struct cx_err *err);
/* Both: CX_EVENT_FAULT for that reason. */
void cx_sandbox_fault(struct cx_sandbox *sb, const struct cx_err *err);
/* Makes this its part of what the set has promised. */
void cx_sandbox_promise(struct cx_sandbox *sb, const struct cx_promises *part);
/* The same of what its record and state say. */
void cx_sandbox_promise_recorded(struct cx_sandbox *sb);
/* An empty one; NULL with err. cx_sandbox_forget() frees it. */
struct cx_sandbox *cx_sandboxes_add(struct cx_sandboxes *set, enum cx_sandbox_state state,
				    struct cx_err *err);

/* ---- sandbox_make.c -------------------------------------------------------------------------- */

/* Into its record, which is not saved by this. */
void cx_sandbox_note_writable(struct cx_sandbox *sb);
/* Hears of want of memory in its groups from now on; without it, later (cx_sandbox_end()). */
void cx_sandbox_watch_memory(struct cx_sandbox *sb);

/* ---- sandbox_process.c ----------------------------------------------------------------------- */

/* Its first process, connected with its agent, or a fault follows. */
CX_MUST int cx_sandbox_ask_process(struct cx_sandbox *sb, struct cx_err *err);
/* As of struct cx_child; owner: the sandbox. */
void cx_sandbox_process_exited(void *owner, const struct cx_child_end *end);
/* No answer for it is expected any more; harmless when none was. */
void cx_sandbox_wait_no_more(struct cx_sandbox *sb);
/* The next answer of the spawner, which is waited for; there must be one to come. */
void cx_sandboxes_take_answer(struct cx_sandboxes *set);
/* Forgets the spawner's connection; harmless without one. */
void cx_sandboxes_stop_hearing(struct cx_sandboxes *set);

/* ---- sandbox_agent.c ------------------------------------------------------------------------- */

/* The socket that its agent accepts from. Returns the descriptor. */
CX_MUST int cx_sandbox_listen(struct cx_sandbox *sb, struct cx_err *err);
/* caissond's own connection to it, until it is claimed. */
CX_MUST int cx_sandbox_open_agent(struct cx_sandbox *sb, struct cx_err *err);

/* ---- actions of the table: sandbox_claim.c, sandbox_end.c -------------------------------------
 */

void cx_sandbox_announce(struct cx_sandbox *sb);
void cx_sandbox_begin_claim(struct cx_sandbox *sb);
void cx_sandbox_confirm(struct cx_sandbox *sb);
void cx_sandbox_end(struct cx_sandbox *sb);
void cx_sandbox_insist(struct cx_sandbox *sb); /* it was killed, and lives */
void cx_sandbox_over(struct cx_sandbox *sb);   /* nothing of it runs; may free it, as the next */
void cx_sandbox_clean(struct cx_sandbox *sb);

/* As of struct cx_reaping: its mounts and groups are gone, or why != NULL. */
void cx_sandbox_reaped(struct cx_reaping *reaping, const struct cx_err *why);
/* Frees it; what the kernel has of it stays. */
void cx_sandbox_forget(struct cx_sandbox *sb);

#endif
