/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/cases.h"
#include "resolver/message.h"

#include "check_main.h"

static const uint8_t asks[] = "\0\7\1\0\0\1\0\0\0\0\0\0\3WWW\1a\3com\0\0\1\0\1";
enum { ASKS = sizeof asks - 1 };

static struct cx_query query(void)
{
	struct cx_query q;

	ck_assert_int_eq(cx_query_parse(asks, ASKS, false, &q), 0);
	return q;
}

START_TEST(question)
{
	struct cx_query q = query();

	ck_assert_str_eq(q.name, "www.a.com");
	ck_assert(q.id == 7 && q.type == CX_TYPE_A && q.rd && !q.edns && q.room == CX_DNS_PLAIN);
	for (size_t len = 0; len < ASKS; len++)
		ck_assert_int_eq(cx_query_parse(asks, len, false, &q),
				 len < CX_DNS_HEADER ? -EBADMSG : CX_RCODE_FORMERR);
}
END_TEST

/* What we ask a name server is what another resolver would understand. */
START_TEST(asked)
{
	static const uint8_t cases[CX_CASES] = { 2 };
	uint8_t out[CX_DNS_QUERY_MAX];
	struct cx_query q;
	struct cx_err err;
	int len = cx_question_build("www.a.com", CX_TYPE_AAAA, 0x1234, out, &err);

	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(cx_query_parse(out, (size_t)len, false, &q), 0);
	ck_assert(q.id == 0x1234 && q.type == CX_TYPE_AAAA && q.edns && q.rd);
	ck_assert_uint_eq(q.room, CX_DNS_UDP_MAX);
	ck_assert_str_eq(q.name, "www.a.com");
	cx_cases_set(out, (size_t)len, cases);
	ck_assert_mem_eq(out + CX_DNS_HEADER, "\3Www\1a\3com", 11);
	ck_assert(cx_cases_same(out, (size_t)len, out, CX_DNS_HEADER + 15));
	ck_assert(!cx_cases_same(out, (size_t)len, out, CX_DNS_HEADER + 14));
}
END_TEST

START_TEST(own)
{
	const struct cx_address addresses[] = { { 4, { 1, 2, 3, 4 } }, { 16, { 0x20, 1 } }, { 0 } };
	struct cx_answer *a = cx_answer_own("www.a.com", CX_TYPE_A, addresses, 3, 9), *back = NULL;
	struct cx_query q = query();
	uint8_t out[CX_DNS_TCP_MAX];
	struct cx_err err;
	int len;

	ck_assert_ptr_nonnull(a);
	ck_assert_uint_eq(a->naddresses, 1);
	len = cx_answer_build(&q, a, 1, 9, out, &err);
	ck_assert_int_gt(len, 0);
	ck_assert_mem_eq(out + 12, asks + 12, ASKS - 12); /* as it was asked */
	ck_assert_int_eq(cx_answer_parse(out, (size_t)len, "www.a.com", CX_TYPE_A, 7, &back),
			 CX_SAID_ANSWER);
	ck_assert(back->naddresses == 1 && back->ttl_s == 9);
	ck_assert(cx_address_equal(&back->addresses[0], &addresses[0]));
	cx_answer_unref(&back);
	ck_assert_int_eq(cx_answer_parse(out, (size_t)len, "www.a.com", CX_TYPE_A, 8, &back),
			 CX_SAID_OTHER);
	ck_assert_int_eq(cx_answer_parse(out, (size_t)len, "a.com", CX_TYPE_A, 7, &back),
			 CX_SAID_OTHER);
	ck_assert_int_eq(cx_answer_parse(out, (size_t)len, "www.a.com", CX_TYPE_AAAA, 7, &back),
			 CX_SAID_OTHER);
	len = cx_answer_build(&q, a, 0, 9, out, &err); /* without any of its addresses */
	ck_assert_int_eq(len, ASKS);
	cx_answer_unref(&a);
}
END_TEST

START_TEST(refusals)
{
	struct cx_query q = query(), unread = { .id = 3, .room = CX_DNS_PLAIN };
	uint8_t out[CX_DNS_PLAIN];
	struct cx_err err;

	ck_assert_int_eq(cx_message_refuse(&q, CX_RCODE_REFUSED, out, &err), ASKS);
	ck_assert_uint_eq(out[3] & 15, CX_RCODE_REFUSED);
	ck_assert_int_eq(cx_message_refuse(&unread, CX_RCODE_FORMERR, out, &err), CX_DNS_HEADER);
	q.edns = true;
	ck_assert_int_eq(cx_message_refuse(&q, CX_RCODE_BADVERS, out, &err), ASKS + 11);
	ck_assert_uint_eq(out[3] & 15, 0);
	ck_assert_uint_eq(out[ASKS + 5], 1); /* the higher bits of 16 */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver/message");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, question);
	tcase_add_test(tc, asked);
	tcase_add_test(tc, own);
	tcase_add_test(tc, refusals);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
