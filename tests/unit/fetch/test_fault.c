/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fault.h"

#include <errno.h>
#include <string.h>

#include "check_main.h"

static struct cx_question question = {
	.who = "registry 'h'", .object = "'a:b'", .login = "h", .sent = CX_SENT_NOTHING
};

static const struct {
	unsigned status;
	enum cx_sent sent;
	enum cx_fetch_reason reason;
	enum cx_kind kind;
	bool again;
	const char *says;
} statuses[] = {
	{ 401, CX_SENT_NOTHING, CX_FETCH_UNAUTHORIZED, CX_DENIED, false,
	  "registry 'h' wants credentials for 'a:b', or there is no such repository (HTTP 401: "
	  "CODE: words); log in with 'caisson image login h', or use --username" },
	{ 401, CX_SENT_PASSWORD, CX_FETCH_UNAUTHORIZED, CX_DENIED, false, "password" },
	{ 401, CX_SENT_TOKEN, CX_FETCH_UNAUTHORIZED, CX_DENIED, false, "token" },
	{ 403, CX_SENT_TOKEN, CX_FETCH_UNAUTHORIZED, CX_DENIED, false, "denies access" },
	{ 404, CX_SENT_TOKEN, CX_FETCH_NOT_FOUND, CX_NOT_FOUND, false, "has no 'a:b'" },
	{ 429, CX_SENT_TOKEN, CX_FETCH_TOO_MANY, CX_UNAVAILABLE, true, "too many requests" },
	{ 408, CX_SENT_TOKEN, CX_FETCH_SERVER, CX_UNAVAILABLE, true, "fails" },
	{ 500, CX_SENT_TOKEN, CX_FETCH_SERVER, CX_UNAVAILABLE, true, "fails" },
	{ 599, CX_SENT_TOKEN, CX_FETCH_SERVER, CX_UNAVAILABLE, true, "fails" },
	{ 418, CX_SENT_TOKEN, CX_FETCH_PROTOCOL, CX_UNAVAILABLE, false, "HTTP 418" },
	{ 0, CX_SENT_TOKEN, CX_FETCH_PROTOCOL, CX_UNAVAILABLE, false, "HTTP 0" },
};

START_TEST(of_one_who_asks_for_more_patience_than_there_is)
{
	struct cx_web_answer answer = { .status = 429, .retry_after_s = 61 };
	struct cx_fault fault;

	question.sent = CX_SENT_TOKEN;
	ck_assert(!cx_fault_of(&fault, &answer, &question));
	ck_assert_int_eq(fault.reason, CX_FETCH_TOO_MANY);
	ck_assert(!fault.again);
	ck_assert_ptr_nonnull(strstr(fault.err.msg, "for 61 seconds"));
}
END_TEST

START_TEST(of_an_answer)
{
	struct cx_web_answer answer = { .status = statuses[_i].status, .retry_after_s = 60 };
	static const char words[] = "{\"errors\":[{\"code\":\"CODE\",\"message\":\"words\"}]}";
	struct cx_fault fault;

	question.sent = statuses[_i].sent;
	memcpy(answer.words, words, sizeof words);
	answer.words_len = sizeof words - 1;
	ck_assert(!cx_fault_of(&fault, &answer, &question));
	ck_assert_int_eq(fault.reason, statuses[_i].reason);
	ck_assert_int_eq(fault.err.kind, statuses[_i].kind);
	ck_assert_int_eq(fault.again, statuses[_i].again);
	ck_assert_uint_eq(fault.status, statuses[_i].status);
	ck_assert_uint_eq(fault.after_ms, 60000);
	ck_assert_ptr_nonnull(strstr(fault.err.msg, statuses[_i].says));
	ck_assert_ptr_nonnull(strstr(fault.err.msg, "CODE: words"));
}
END_TEST

static const struct {
	enum cx_web_end end;
	enum cx_fetch_reason reason;
	bool again, again_known;
} ends[] = {
	{ CX_WEB_NO_NAME, CX_FETCH_UNREACHABLE, false, true },
	{ CX_WEB_REFUSED, CX_FETCH_UNREACHABLE, false, true },
	{ CX_WEB_SILENT, CX_FETCH_UNREACHABLE, true, true },
	{ CX_WEB_CUT, CX_FETCH_UNREACHABLE, true, true },
	{ CX_WEB_UNTRUSTED, CX_FETCH_CERTIFICATE, false, false },
	{ CX_WEB_NOT_TLS, CX_FETCH_NOT_TLS, false, false },
	{ CX_WEB_TLS, CX_FETCH_CERTIFICATE, false, false },
	{ CX_WEB_BAD_URL, CX_FETCH_PROTOCOL, false, false },
	{ CX_WEB_NONSENSE, CX_FETCH_PROTOCOL, false, false },
	{ CX_WEB_STOPPED, CX_FETCH_PROTOCOL, false, false },
	{ CX_WEB_LOCAL, CX_FETCH_LOCAL, false, false },
};

START_TEST(of_no_answer)
{
	struct cx_web_answer answer = { .end = ends[_i].end, .detail = "detail" };
	struct cx_fault fault;

	for (int known = 0; known < 2; known++) {
		question.known = known;
		ck_assert(!cx_fault_of(&fault, &answer, &question));
		ck_assert_int_eq(fault.reason, ends[_i].reason);
		ck_assert_int_eq(fault.again, known ? ends[_i].again_known : ends[_i].again);
		ck_assert_int_ne(fault.err.errnum, 0);
		ck_assert_ptr_nonnull(strstr(fault.err.msg, "registry 'h'"));
		if (ends[_i].reason != CX_FETCH_LOCAL)
			ck_assert_ptr_nonnull(strstr(fault.err.msg, "(detail)"));
	}
}
END_TEST

START_TEST(of_ours)
{
	struct cx_fault fault;
	struct cx_err err;

	(void)cx_fail(&err, ENOSPC, "write the file");
	ck_assert(!cx_fault_local(&fault, &err));
	ck_assert_int_eq(fault.reason, CX_FETCH_LOCAL);
	ck_assert_int_eq(fault.err.errnum, ENOSPC);
	ck_assert(!fault.again);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/fault");
	TCase *t = tcase_create("fault");

	tcase_add_test(t, of_one_who_asks_for_more_patience_than_there_is);
	tcase_add_loop_test(t, of_an_answer, 0, (int)CX_LEN(statuses));
	tcase_add_loop_test(t, of_no_answer, 0, (int)CX_LEN(ends));
	tcase_add_test(t, of_ours);
	suite_add_tcase(s, t);
	return run_suite(s);
}
