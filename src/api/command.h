/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_COMMAND_H
#define CX_API_COMMAND_H

#include "api/boxes.h"
#include "api/jsonw.h"

/* What both ways of running a command share: exec.c (one answer) and stream.c (frames). */
enum { CX_EXIT_SIGNALLED = 128, CX_EXIT_TIMED_OUT = 124 };

/* As a shell has it: 128 and the signal, or 124 when its time was up. */
int cx_command_exit_code(const struct cx_result *end);

/*
 * Members of the open object: exit_code, signal, timed_out, detail and what it used. why: what was
 * told along with the end, or NULL.
 */
void cx_command_write_end(struct cx_jsonw *w, const struct cx_result *end,
			  const struct cx_err *why);

/* The part of it that other formats have beside their own members: reason and what it used. */
void cx_command_write_used(struct cx_jsonw *w, const struct cx_result *end);

/*
 * Asks for the command; *pipes are opened here, its ours are the caller's. spec is borrowed.
 * -errno: nothing runs, nothing is open.
 */
CX_MUST int cx_command_start(struct cx_session *session, const struct cx_exec_spec *spec,
			     struct cx_exec *exec, struct cx_pipes *pipes, struct cx_err *err);

/*
 * The same with pipes that are open; their theirs are taken over. With a key, not "", the agent
 * keeps the command, and they came from cx_pipes_open_input().
 */
CX_MUST int cx_command_ask(struct cx_session *session, const struct cx_exec_spec *spec,
			   const char *key, struct cx_pipes *pipes, struct cx_exec *exec,
			   struct cx_err *err);

/* The HTTP status of a command that could not be started. */
unsigned cx_command_status(const struct cx_err *err);

/* execs.c: one that goes on without its client; answers req later, or fails with nothing answered.
 */
struct cx_named;
CX_MUST int cx_exec_start_detached(struct cx_request *req, const struct cx_named *named,
				   const struct cx_exec_spec *spec, struct cx_err *err);

/* Runs spec (left empty) as a stream over the connection of req, or fails with nothing answered. */
CX_MUST int cx_stream_start(struct cx_request *req, struct cx_session *session,
			    struct cx_exec_spec *spec, struct cx_err *err);

#endif
