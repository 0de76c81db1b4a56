/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_FETCH_FAULT_H
#define CX_FETCH_FAULT_H

#include "fetch/web.h"
#include "proto/fetch_msgs.h"

/* Why a transfer fails: what a program may act on, and a text that says what happened, where, in
 * the other side's own words, and what to do. */
struct cx_fault {
	enum cx_fetch_reason reason;
	unsigned status;   /* of HTTP; 0: none */
	bool again;	   /* the same question may get a better answer later */
	uint64_t after_ms; /* but not before, says the server */
	struct cx_err err;
};

/* Each returns false, so that "return cx_fault_...()" is a whole error path. */
bool cx_fault_local(struct cx_fault *fault, const struct cx_err *err); /* not worth another try */
__attribute__((format(printf, 4, 5))) bool cx_fault_set(struct cx_fault *fault,
							enum cx_fetch_reason reason,
							enum cx_kind kind, const char *fmt, ...);

enum cx_sent { CX_SENT_NOTHING, CX_SENT_PASSWORD, CX_SENT_TOKEN }; /* to prove who asks */

/* Whom we asked for what, in words. */
struct cx_question {
	const char *who;    /* "registry 'localhost:5000'", "token service 'auth.example.com'" */
	const char *object; /* "repository 'a/b'", "'a/b:tag'" */
	const char *login;  /* host to log in to */
	enum cx_sent sent;
	bool known; /* it has answered before, so that it is only gone for a while */
};

/* For an exchange that ended without an answer, and for an answer that is no success. */
bool cx_fault_of(struct cx_fault *fault, const struct cx_web_answer *answer,
		 const struct cx_question *question);

#endif
