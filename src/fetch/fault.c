/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fetch/reply.h"

enum { RETRY_AFTER_MAX_S = 60 }; /* nobody waits longer without a word */

bool cx_fault_local(struct cx_fault *fault, const struct cx_err *err)
{
	*fault = (struct cx_fault){ .reason = CX_FETCH_LOCAL, .err = *err };
	return false;
}

bool cx_fault_set(struct cx_fault *fault, enum cx_fetch_reason reason, enum cx_kind kind,
		  const char *fmt, ...)
{
	char text[sizeof fault->err.msg];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	*fault = (struct cx_fault){ .reason = reason };
	(void)cx_refuse(&fault->err, kind, "%s", text);
	return false;
}

enum again { NEVER, IF_KNOWN, ALWAYS };

static const struct {
	enum cx_web_end end;
	enum cx_fetch_reason reason;
	enum again again;
	const char *says, *hint;
} ends[] = {
	{ CX_WEB_NO_NAME, CX_FETCH_UNREACHABLE, IF_KNOWN, "has a name without an address",
	  "check the name, and this machine's DNS" },
	{ CX_WEB_REFUSED, CX_FETCH_UNREACHABLE, IF_KNOWN, "cannot be connected to",
	  "is it running, at this port?" },
	{ CX_WEB_SILENT, CX_FETCH_UNREACHABLE, ALWAYS, "does not answer in time",
	  "try again later" },
	{ CX_WEB_CUT, CX_FETCH_UNREACHABLE, ALWAYS, "broke the connection off", "try again later" },
	{ CX_WEB_UNTRUSTED, CX_FETCH_CERTIFICATE, NEVER, "has a certificate that is not trusted",
	  "if it has a CA of its own, name its file with 'ca' in the registry's section of "
	  "caisson-registries.conf" },
	{ CX_WEB_NOT_TLS, CX_FETCH_NOT_TLS, NEVER, "does not speak TLS",
	  "if plain HTTP is good enough for it, set 'plain_http = yes' in the registry's section "
	  "of caisson-registries.conf" },
	{ CX_WEB_TLS, CX_FETCH_CERTIFICATE, NEVER, "does not agree with us on TLS",
	  "TLS 1.2 or newer is needed" },
	{ CX_WEB_BAD_URL, CX_FETCH_PROTOCOL, NEVER, "has a URL that is not allowed",
	  "from TLS no way leads to plain HTTP" },
	{ CX_WEB_NONSENSE, CX_FETCH_PROTOCOL, NEVER, "does not answer as an HTTP server does",
	  "check host and port" },
	{ CX_WEB_STOPPED, CX_FETCH_PROTOCOL, NEVER, "sends more than it should",
	  "check host and port" },
};

static bool no_answer(struct cx_fault *fault, const struct cx_web_answer *answer,
		      const struct cx_question *question)
{
	const char *detail = answer->errnum != 0 ? strerrordesc_np(answer->errnum) : answer->detail;
	size_t i = 0;

	if (answer->end == CX_WEB_LOCAL) {
		struct cx_err err;

		(void)cx_fail(&err, answer->errnum != 0 ? answer->errnum : ENOMEM, "send to %s",
			      question->who);
		return cx_fault_local(fault, &err);
	}
	while (i + 1 < CX_LEN(ends) && ends[i].end != answer->end)
		i++;
	(void)cx_fault_set(fault, ends[i].reason, CX_UNAVAILABLE, "%s %s%s%.160s%s; %s",
			   question->who, ends[i].says, *detail != '\0' ? " (" : "", detail,
			   *detail != '\0' ? ")" : "", ends[i].hint);
	fault->again = ends[i].again == ALWAYS || (ends[i].again == IF_KNOWN && question->known);
	return false;
}

enum { ANY_SENT = -1 };

/* The first row that fits. In "says" %s is the object, in "hint" the host to log in to. */
static const struct {
	unsigned first, last;
	int sent;
	enum cx_fetch_reason reason;
	enum cx_kind kind;
	bool again;
	const char *says, *hint;
} statuses[] = {
	{ 401, 401, CX_SENT_NOTHING, CX_FETCH_UNAUTHORIZED, CX_DENIED, false,
	  "wants credentials for %s, or there is no such repository",
	  "; log in with 'caisson image login %s', or use --username" },
	{ 401, 401, CX_SENT_PASSWORD, CX_FETCH_UNAUTHORIZED, CX_DENIED, false,
	  "refuses the user name or the password for %s",
	  "; log in anew with 'caisson image login %s'" },
	{ 401, 401, CX_SENT_TOKEN, CX_FETCH_UNAUTHORIZED, CX_DENIED, false,
	  "does not accept the token for %s: who asks may not have it, or there is no such "
	  "repository",
	  "; log in with 'caisson image login %s'" },
	{ 403, 403, ANY_SENT, CX_FETCH_UNAUTHORIZED, CX_DENIED, false, "denies access to %s",
	  "; log in as somebody who has it with 'caisson image login %s'" },
	{ 404, 404, ANY_SENT, CX_FETCH_NOT_FOUND, CX_NOT_FOUND, false, "has no %s",
	  "; check the name" },
	{ 429, 429, ANY_SENT, CX_FETCH_TOO_MANY, CX_UNAVAILABLE, true,
	  "has had too many requests from here, with that for %s",
	  "; wait, or log in with 'caisson image login %s' if that raises the limit" },
	{ 408, 408, ANY_SENT, CX_FETCH_SERVER, CX_UNAVAILABLE, true, "fails with %s", "" },
	{ 500, 599, ANY_SENT, CX_FETCH_SERVER, CX_UNAVAILABLE, true, "fails with %s", "" },
	{ 0, 999, ANY_SENT, CX_FETCH_PROTOCOL, CX_UNAVAILABLE, false,
	  "has no sensible answer about %s", "; is this a registry?" },
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* of the table above */

static void fill_in(char *to, size_t size, const char *fmt, const char *value)
{
	(void)snprintf(to, size, fmt, value);
}

#pragma GCC diagnostic pop

static bool bad_answer(struct cx_fault *fault, const struct cx_web_answer *answer,
		       const struct cx_question *question)
{
	char words[CX_WORDS_SIZE], says[400], hint[400];
	bool too_long = answer->retry_after_s > RETRY_AFTER_MAX_S;
	size_t i = 0;

	while (answer->status < statuses[i].first || answer->status > statuses[i].last ||
	       (statuses[i].sent != ANY_SENT && statuses[i].sent != (int)question->sent))
		i++;
	cx_reply_words(answer->words, answer->words_len, words);
	fill_in(says, sizeof says, statuses[i].says, question->object);
	fill_in(hint, sizeof hint, statuses[i].hint, question->login);
	if (statuses[i].again && too_long)
		(void)snprintf(hint, sizeof hint, "; it is not to be asked again for %llu seconds",
			       (unsigned long long)answer->retry_after_s);
	(void)cx_fault_set(fault, statuses[i].reason, statuses[i].kind, "%s %s (HTTP %u%s%s)%s",
			   question->who, says, answer->status, words[0] != '\0' ? ": " : "", words,
			   hint);
	fault->status = answer->status;
	fault->again = statuses[i].again && !too_long;
	fault->after_ms = too_long ? 0 : 1000 * answer->retry_after_s;
	return false;
}

bool cx_fault_of(struct cx_fault *fault, const struct cx_web_answer *answer,
		 const struct cx_question *question)
{
	return answer->end == CX_WEB_ANSWERED ? bad_answer(fault, answer, question)
					      : no_answer(fault, answer, question);
}
