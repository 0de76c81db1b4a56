/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_PRIME_MESSAGE_H
#define CX_API_PRIME_MESSAGE_H

#include "api/proc.h"

/*
 * The door to protobuf: the messages of command_session.proto as plain structs, and back. Pure. Any
 * bytes may come in; what is no such message, or says what cannot be, is CX_INVALID.
 */
struct cx_prime_selector {
	uint32_t pid; /* when uuid is "" */
	char uuid[CX_PROC_UUID_MAX + 1];
};

struct cx_prime_input {
	struct cx_prime_selector process;
	struct cx_buf data;
	char uuid[CX_PROC_UUID_MAX + 1]; /* "": none */
};
void cx_prime_input_clear(struct cx_prime_input *input);

struct cx_prime_signal {
	struct cx_prime_selector process;
	unsigned signo;
	char uuid[CX_PROC_UUID_MAX + 1];
};

/* Equal environments give equal plans, in whatever order they come. */
CX_MUST int cx_prime_read_start(const char *p, size_t len, struct cx_proc_plan *ret,
				struct cx_err *err);
CX_MUST int cx_prime_read_connect(const char *p, size_t len, struct cx_prime_selector *ret,
				  struct cx_err *err);
CX_MUST int cx_prime_read_input(const char *p, size_t len, struct cx_prime_input *ret,
				struct cx_err *err);
CX_MUST int cx_prime_read_signal(const char *p, size_t len, struct cx_prime_signal *ret,
				 struct cx_err *err);

/* Adds a message with the event (any but CX_PROC_FAILED), or with a sign of life, to out. */
CX_MUST int cx_prime_write_event(struct cx_buf *out, const struct cx_proc_event *event,
				 struct cx_err *err);
CX_MUST int cx_prime_write_keepalive(struct cx_buf *out, struct cx_err *err);

#endif
