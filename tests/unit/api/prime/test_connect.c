/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"

#include "api/gzip.h"
#include "api/prime/connect.h"

static struct cx_err err;

START_TEST(every_kind_has_a_code)
{
	ck_assert_int_eq(cx_connect_rows[_i].kind, _i);
	ck_assert_str_ne(cx_connect_rows[_i].code, "");
	ck_assert_uint_ge(cx_connect_rows[_i].status, 400);
	ck_assert_ptr_nonnull(cx_connect_rows[_i].why);
}
END_TEST

/* Traps of the clients: by these words they tell what has become of a sandbox or a command. */
START_TEST(words_that_clients_look_for)
{
	ck_assert_str_eq(cx_connect_rows[CX_NOT_FOUND].code, "not_found");
	ck_assert_str_eq(cx_connect_rows[CX_TIMEOUT].code, "deadline_exceeded");
	ck_assert_str_eq(cx_connect_rows[CX_CONFLICT].code, "failed_precondition");
	ck_assert_str_eq(cx_connect_rows[CX_UNAVAILABLE].code, "unavailable");
}
END_TEST

static const struct {
	const char *body;
	size_t len;
	int kind; /* -1: it is fine */
	const char *message;
} envelopes[] = {
	{ "\0\0\0\0\3abc", 8, -1, "abc" },
	{ "\0\0\0\0\0", 5, -1, "" },
	{ "", 0, CX_INVALID, NULL },
	{ "\0\0\0\0", 4, CX_INVALID, NULL },
	{ "\0\0\0\0\3ab", 7, CX_INVALID, NULL },
	{ "\0\0\0\0\3abcd", 9, CX_INVALID, NULL },
	{ "\0\0\0\0\1a\0\0\0\0\1b", 12, CX_INVALID, NULL },
	{ "\1\0\0\0\3abc", 8, CX_INVALID, NULL }, /* packed, and nobody said how */
	{ "\2\0\0\0\2{}", 7, CX_INVALID, NULL },  /* an end, of a client */
	{ "\200\0\0\0\0", 5, CX_INVALID, NULL },
	{ "\0\0\100\0\1abc", 8, CX_LIMIT, NULL },
	{ "\0\377\377\377\377abc", 8, CX_LIMIT, NULL },
};

START_TEST(an_envelope_is)
{
	CX_AUTO(cx_buf_free) struct cx_buf message = { 0 };
	int r = cx_connect_stream_message(envelopes[_i].body, envelopes[_i].len,
					  CX_CONNECT_IDENTITY, &message, &err);

	if (envelopes[_i].kind >= 0) {
		ck_assert_int_lt(r, 0);
		ck_assert_int_eq(err.kind, envelopes[_i].kind);
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(message.len, strlen(envelopes[_i].message));
	ck_assert_mem_eq(message.len > 0 ? message.p : "", envelopes[_i].message, message.len);
}
END_TEST

/* "hello" by gzip(1) without a name. */
static const char hello[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00"
			    "\x86\xa6\x10\x36\x05\x00\x00\x00";
enum { HELLO = sizeof hello - 1 };

START_TEST(packed_messages_are_unpacked)
{
	CX_AUTO(cx_buf_free) struct cx_buf message = { 0 }, call = { 0 };
	char body[CX_CONNECT_HEADER + HELLO];

	cx_connect_header(body, CX_CONNECT_PACKED, HELLO);
	memcpy(body + CX_CONNECT_HEADER, hello, HELLO);
	ck_assert_int_eq(
		cx_connect_stream_message(body, sizeof body, CX_CONNECT_GZIP, &message, &err), 0);
	ck_assert_uint_eq(message.len, 5);
	ck_assert_mem_eq(message.p, "hello", 5);
	ck_assert_int_eq(cx_connect_message(hello, HELLO, CX_CONNECT_GZIP, &call, &err), 0);
	ck_assert_mem_eq(call.p, "hello", 5);
}
END_TEST

START_TEST(half_a_packed_message_is_none)
{
	CX_AUTO(cx_buf_free) struct cx_buf message = { 0 };

	ck_assert_int_lt(cx_connect_message(hello, (size_t)_i, CX_CONNECT_GZIP, &message, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
}
END_TEST

START_TEST(a_bomb_stops_at_the_bound)
{
	CX_AUTO(cx_buf_free) struct cx_buf bomb = { .max = 16 << 20 }, out = { .max = 1 << 20 };
	size_t size = 4 << 20;

	ck_assert_ptr_nonnull(cx_buf_reserve(&bomb, size, &err));
	memset(bomb.p, 0, size);
	bomb.len = size;
	ck_assert(cx_gzip_pack(&bomb));
	ck_assert_uint_lt(bomb.len, 100000);
	ck_assert_int_lt(cx_gzip_unpack(bomb.p, bomb.len, &out, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	ck_assert_uint_le(out.size, 2 << 20);
	out.max = size;
	out.len = 0;
	ck_assert_int_eq(cx_gzip_unpack(bomb.p, bomb.len, &out, &err), 0);
	ck_assert_uint_eq(out.len, size);
}
END_TEST

static const struct {
	const char *header;
	int result; /* -1: refused, else milliseconds */
} timeouts[] = {
	{ NULL, 0 },   { "300000", 300000 }, { "0", 1 },   { "86400000", 86400000 },
	{ "", -1 },    { "1s", -1 },	     { "-1", -1 }, { "12345678901", -1 },
	{ "1.5", -1 },
};

START_TEST(a_deadline_is)
{
	uint32_t ms = 99;
	int r = cx_connect_timeout(timeouts[_i].header, &ms, &err);

	ck_assert_int_eq(r < 0, timeouts[_i].result < 0);
	if (r == 0)
		ck_assert_int_eq(ms, timeouts[_i].result);
}
END_TEST

START_TEST(a_long_deadline_is_the_longest)
{
	uint32_t ms;

	ck_assert_int_eq(cx_connect_timeout("9999999999", &ms, &err), 0);
	ck_assert_uint_eq(ms, UINT32_MAX);
}
END_TEST

START_TEST(encodings)
{
	enum cx_connect_encoding encoding;

	ck_assert_int_eq(cx_connect_encoding(NULL, &encoding, &err), 0);
	ck_assert_int_eq(encoding, CX_CONNECT_IDENTITY);
	ck_assert_int_eq(cx_connect_encoding("identity", &encoding, &err), 0);
	ck_assert_int_eq(cx_connect_encoding("gzip", &encoding, &err), 0);
	ck_assert_int_eq(encoding, CX_CONNECT_GZIP);
	ck_assert_int_lt(cx_connect_encoding("br", &encoding, &err), 0);
}
END_TEST

START_TEST(ends)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = 4096 };
	static const char failed[] = "{\"error\":{\"code\":\"not_found\",\"message\":\"gone\"}}";

	ck_assert_int_eq(cx_connect_end(&out, NULL, "r1", &err), 0);
	ck_assert_uint_eq(out.len, 7);
	ck_assert_mem_eq(out.p, "\2\0\0\0\2{}", 7);
	out.len = 0;
	(void)cx_refuse(&err, CX_NOT_FOUND, "gone");
	ck_assert_int_eq(cx_connect_end(&out,
					&(struct cx_err){ .errnum = err.errnum,
							  .kind = CX_NOT_FOUND,
							  .refused = 1,
							  .len = 4,
							  .msg = "gone" },
					"r1", &err),
			 0);
	ck_assert_uint_eq(out.len, CX_CONNECT_HEADER + sizeof failed - 1);
	ck_assert_mem_eq(out.p, "\2\0\0\0", 4);
	ck_assert_mem_eq(out.p + CX_CONNECT_HEADER, failed, sizeof failed - 1);
}
END_TEST

START_TEST(faults_of_the_host_are_not_told)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = 4096 };
	struct cx_err why;

	(void)cx_fail(&why, EIO, "open '/var/lib/caisson/secret'");
	ck_assert_int_eq(cx_connect_error(&out, &why, "r1", &err), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &err), 0);
	ck_assert_ptr_null(strstr(out.p, "/var"));
	ck_assert_ptr_nonnull(strstr(out.p, "\"code\":\"internal\""));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/prime/connect");
	TCase *tc = tcase_create("connect");

	tcase_add_loop_test(tc, every_kind_has_a_code, 0, CX_KIND_MAX);
	tcase_add_test(tc, words_that_clients_look_for);
	tcase_add_loop_test(tc, an_envelope_is, 0, CX_LEN(envelopes));
	tcase_add_test(tc, packed_messages_are_unpacked);
	tcase_add_loop_test(tc, half_a_packed_message_is_none, 1, HELLO);
	tcase_add_test(tc, a_bomb_stops_at_the_bound);
	tcase_add_loop_test(tc, a_deadline_is, 0, CX_LEN(timeouts));
	tcase_add_test(tc, a_long_deadline_is_the_longest);
	tcase_add_test(tc, encodings);
	tcase_add_test(tc, ends);
	tcase_add_test(tc, faults_of_the_host_are_not_told);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
