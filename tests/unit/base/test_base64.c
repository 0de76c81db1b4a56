/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <string.h>

#include "check_main.h"

static const struct {
	const char *bytes, *text;
} both_ways[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "alice:s3cret", "YWxpY2U6czNjcmV0" },
	{ "\xff\xfe\xfb", "//77" },
	{ "\xfb\xef\xbe", "++++" },
};

START_TEST(round_trip)
{
	size_t len = strlen(both_ways[_i].bytes);
	char text[64], bytes[64];

	memset(text, 'x', sizeof text);
	cx_base64_encode(both_ways[_i].bytes, len, text);
	ck_assert_str_eq(text, both_ways[_i].text);
	ck_assert_uint_eq(strlen(text) + 1, CX_BASE64_SIZE(len));
	ck_assert_int_eq(cx_base64_decode(text, bytes, len), (ptrdiff_t)len);
	ck_assert_mem_eq(bytes, both_ways[_i].bytes, len);
	if (len > 0)
		ck_assert_int_lt(cx_base64_decode(text, bytes, len - 1), 0);
}
END_TEST

static const char *const bad[] = {
	"Z",	"Zg",	  "Zg=",      "Zg===", "=",    "====", "Zm9v=", "Z===",
	"Zm 9", "Zm9v\n", "Zg==Zm9v", "Zm=v",  "Zh==", "Zm9=", "Zm9-",	"Zm9_",
};

START_TEST(what_is_not_base64)
{
	char bytes[64];

	ck_assert_msg(cx_base64_decode(bad[_i], bytes, sizeof bytes) < 0, "'%s'", bad[_i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base64");
	TCase *tcase = tcase_create("base64");

	tcase_add_loop_test(tcase, round_trip, 0, CX_LEN(both_ways));
	tcase_add_loop_test(tcase, what_is_not_base64, 0, CX_LEN(bad));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
