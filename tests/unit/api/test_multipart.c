/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/multipart.h"
#include "check_main.h"

static struct cx_err err;
static struct cx_buf got;
static unsigned pieces; /* of what was fed at once */

static int keep(void *arg, const char *p, size_t len, struct cx_err *failed)
{
	ck_assert_ptr_eq(arg, &got);
	ck_assert_uint_gt(len, 0);
	ck_assert_uint_le(++pieces, CX_MULTIPART_PIECES);
	return cx_buf_add(&got, p, len, failed);
}

/* Feeds body in steps of so many bytes; returns the first failure. */
static int parse(const char *type, const char *body, size_t len, size_t step)
{
	CX_AUTO(cx_multipart_close)
	struct cx_multipart mp = { .name = "file", .data = keep, .arg = &got };

	cx_buf_free(&got);
	got.max = 1 << 20;
	err = (struct cx_err){ 0 };
	if (cx_multipart_open(&mp, type, &err) < 0)
		return -err.errnum;
	for (size_t i = 0; i < len; i += step) {
		pieces = 0;
		if (cx_multipart_feed(&mp, body + i, step < len - i ? step : len - i, &err) < 0)
			return -err.errnum;
	}
	return cx_multipart_end(&mp, &err);
}

#define TYPE	 "multipart/form-data; boundary=B"
#define FILE_IS	 "Content-Disposition: form-data; name=\"file\"\r\n\r\n"
#define OTHER_IS "Content-Disposition: form-data; name=\"other\"\r\n\r\n"

static const struct {
	const char *type, *body, *content; /* NULL: refused */
	const char *why;
} bodies[] = {
	{ TYPE, "--B\r\n" FILE_IS "abc\r\n--B--\r\n", "abc", NULL },
	{ TYPE, "--B\r\n" FILE_IS "abc\r\n--B--", "abc", NULL },
	{ TYPE, "--B\r\n" FILE_IS "\r\n--B--", "", NULL },
	{ TYPE, "pre\r\n--B\r\n" FILE_IS "a\r\n--B--\r\npost", "a", NULL },
	{ TYPE, "--B \t\r\n" FILE_IS "a\r\n--B--", "a", NULL },
	{ TYPE, "--B\r\n" FILE_IS "\r\r\n\r\n-\r\n--\r\n--A\r\n\r\n--B--",
	  "\r\r\n\r\n-\r\n--\r\n--A\r\n", NULL },
	{ TYPE, "--B\r\n" FILE_IS "--B\r\n--B--", "--B", NULL },
	{ TYPE, "--B\r\n" OTHER_IS "x\r\n--B\r\n" FILE_IS "a\r\n--B--", "a", NULL },
	{ TYPE, "--B\r\n\r\nx\r\n--B\r\n" FILE_IS "a\r\n--B--", "a", NULL },
	{ TYPE,
	  "--B\r\nX: file\r\ncontent-DISPOSITION: form-data;name=file; x=\"\\\"; name=z\"\r\n\r\na"
	  "\r\n--B--",
	  "a", NULL },
	{ "Multipart/Form-Data;charset=utf-8 ; boundary=\"a b:c\"",
	  "--a b:c\r\n" FILE_IS "a\r\n--a b:c--", "a", NULL },
	{ NULL, "", NULL, "send the file as multipart/form-data, in a part named 'file'" },
	{ "text/plain; boundary=B", "", NULL, "multipart/form-data" },
	{ "multipart/form-data", "", NULL, "multipart/form-data" },
	{ "multipart/form-data; boundary=", "", NULL, "multipart/form-data" },
	{ "multipart/form-data; boundary=\"\"", "", NULL, "multipart/form-data" },
	{ "multipart/form-data; boundary=\"B", "", NULL, "multipart/form-data" },
	{ "multipart/form-data; boundary=B; boundary=C", "", NULL, "multipart/form-data" },
	{ "multipart/form-data; boundary=1234567890123456789012345678901234567890123456789012345678"
	  "9012345678901",
	  "", NULL, "multipart/form-data" },
	{ TYPE, "", NULL, "last boundary" },
	{ TYPE, "--B\r\n" FILE_IS "abc", NULL, "last boundary" },
	{ TYPE, "--B\r\n" FILE_IS "abc\r\n--B", NULL, "last boundary" },
	{ TYPE, "--B\r\n" FILE_IS "abc\r\n--B-", NULL, "last boundary" },
	{ TYPE, "--B\r\n" FILE_IS "abc\r\n--B\r\n", NULL, "last boundary" },
	{ TYPE, "--B\r\n" FILE_IS "abc\n--B--\r\n", NULL, "last boundary" },
	{ TYPE, "--B--", NULL, "no part named 'file'" },
	{ TYPE, "--B\r\n" OTHER_IS "abc\r\n--B--", NULL, "no part named 'file'" },
	{ TYPE, "--B\r\n" FILE_IS "a\r\n--B\r\n" FILE_IS "b\r\n--B--", NULL, "more than one file" },
	{ TYPE, "--Bx\r\n" FILE_IS "a\r\n--B--", NULL, "behind a boundary" },
	{ TYPE, "--B\r\nA: b\n\r\nx\r\n--B--", NULL, "does not end with CR LF" },
};

START_TEST(bodies_are_taken_apart)
{
	size_t len = strlen(bodies[_i].body);

	for (size_t step = 1; step <= len + 1; step++) {
		int r = parse(bodies[_i].type, bodies[_i].body, len, step);

		if (bodies[_i].content == NULL) {
			ck_assert_int_lt(r, 0);
			ck_assert_msg(strstr(err.msg, bodies[_i].why) != NULL, "%s", err.msg);
			continue;
		}
		ck_assert_msg(r == 0, "in steps of %zu: %s", step, err.msg);
		ck_assert_uint_eq(got.len, strlen(bodies[_i].content));
		ck_assert_mem_eq(got.p != NULL ? got.p : "", bodies[_i].content, got.len);
	}
	cx_buf_free(&got);
}
END_TEST

START_TEST(headers_and_parts_are_bounded)
{
	static char body[CX_MULTIPART_HEADERS_MAX + 100];
	CX_AUTO(cx_buf_free) struct cx_buf many = { .max = 1 << 20 };

	memset(body, 'x', sizeof body);
	memcpy(body, "--B\r\n", 5);
	ck_assert_int_lt(parse(TYPE, body, sizeof body, 100), 0);
	ck_assert_msg(strstr(err.msg, "longer than") != NULL, "%s", err.msg);
	for (int i = 0; i <= CX_MULTIPART_PARTS_MAX; i++)
		ck_assert_int_eq(cx_buf_add(&many, "\r\n--B\r\n\r\n", 9, &err), 0);
	ck_assert_int_lt(parse(TYPE, many.p, many.len, many.len), 0);
	ck_assert_msg(strstr(err.msg, "parts") != NULL, "%s", err.msg);
	memcpy(body, "--B\r\nA\0B\r\n", 10);
	ck_assert_int_lt(parse(TYPE, body, 10, 10), 0);
	ck_assert_msg(strstr(err.msg, "NUL") != NULL, "%s", err.msg);
	cx_buf_free(&got);
}
END_TEST

START_TEST(any_byte_is_content)
{
	char body[2048];
	size_t len = (size_t)sprintf(body, "--B\r\n" FILE_IS);

	for (int i = 0; i < 1000; i++)
		body[len + (size_t)i] = (char)(i * 7 % 5 == 0 ? '\r' : i);
	memcpy(body + len + 1000, "\r\n--B--", 7);
	for (size_t step = 1; step < 40; step++) {
		ck_assert_int_eq(parse(TYPE, body, len + 1007, step), 0);
		ck_assert_uint_eq(got.len, 1000);
		ck_assert_mem_eq(got.p, body + len, 1000);
	}
	cx_buf_free(&got);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/multipart");
	TCase *tc = tcase_create("multipart");

	tcase_add_loop_test(tc, bodies_are_taken_apart, 0, CX_LEN(bodies));
	tcase_add_test(tc, headers_and_parts_are_bounded);
	tcase_add_test(tc, any_byte_is_content);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
