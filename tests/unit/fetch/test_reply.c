/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/reply.h"

#include <string.h>

#include "check_main.h"

static const struct {
	const char *body, *words;
} errors[] = {
	{ "", "" },
	{ "{}", "" },
	{ "[]", "" },
	{ "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}", "DENIED: no" },
	{ "{\"errors\":[{\"code\":\"A\"},{\"message\":\"b\"},{},{\"code\":\"D\"}]}", "A; b" },
	{ "{\"errors\":5,\"details\":\"x\"}", "x" },
	{ "{\"errors\":[],\"message\":\"m\"}", "m" },
	{ "{\"error\":\"e\",\"error_description\":\"d\"}", "d" },
	{ "{\"errors\":[{\"code\":5,\"message\":[]}]}", "" },
	{ "{\"details\":\"a\\u0000b\"}", "{\"details\":\"a\\u0000b\"}" }, /* no JSON of ours */
	{ "{\"details\":\"\\u001b[1m\\u00e4\"}", "?[1m??" },
	{ "plain text\nand more", "plain text and more" },
	{ "<html><h1>Bad\r\n gateway</h1>\n</html>", "Bad gateway" },
	{ "a > b", "a > b" },
	{ "\xff\x1b", "??" },
	{ "<never closed", "" },
};

START_TEST(words)
{
	char got[CX_WORDS_SIZE];

	cx_reply_words(errors[_i].body, strlen(errors[_i].body), got);
	ck_assert_str_eq(got, errors[_i].words);
}
END_TEST

START_TEST(words_are_cut)
{
	char body[5000], got[CX_WORDS_SIZE];

	memset(body, 'x', sizeof body);
	cx_reply_words(body, sizeof body, got);
	ck_assert_uint_eq(strlen(got), CX_WORDS_SIZE - 1);
}
END_TEST

static const struct {
	const char *body, *token; /* NULL: refused */
	uint32_t seconds;
} tokens[] = {
	{ "{\"token\":\"abc\"}", "abc", CX_TOKEN_SECONDS },
	{ "{\"access_token\":\"a.b-c_d~e+f/g==\",\"expires_in\":300}", "a.b-c_d~e+f/g==", 300 },
	{ "{\"token\":\"\",\"access_token\":\"b\"}", "b", CX_TOKEN_SECONDS },
	{ "{\"token\":\"a\",\"access_token\":\"b\",\"expires_in\":1}", "a", CX_TOKEN_SECONDS },
	{ "{\"token\":\"a\",\"expires_in\":-5}", "a", CX_TOKEN_SECONDS },
	{ "{\"token\":\"a\",\"expires_in\":\"x\"}", "a", CX_TOKEN_SECONDS },
	{ "{\"token\":\"a\",\"expires_in\":99999999999}", "a", CX_TOKEN_SECONDS_MAX },
	{ "{\"token\":\"a b\"}", NULL, 0 },
	{ "{\"token\":\"a\\r\\nX: y\"}", NULL, 0 },
	{ "{\"token\":\"\"}", NULL, 0 },
	{ "{\"token\":5}", NULL, 0 },
	{ "{\"token\":\"a\",\"token\":\"b\"}", NULL, 0 },
	{ "{}", NULL, 0 },
	{ "[\"token\"]", NULL, 0 },
	{ "", NULL, 0 },
};

START_TEST(token)
{
	char got[CX_TOKEN_SIZE];
	uint32_t seconds = 0;
	struct cx_err err;
	int r = cx_reply_token(tokens[_i].body, strlen(tokens[_i].body), got, &seconds, &err);

	ck_assert_msg((r == 0) == (tokens[_i].token != NULL), "%s", tokens[_i].body);
	if (r == 0)
		ck_assert_str_eq(got, tokens[_i].token);
	ck_assert_uint_eq(seconds, tokens[_i].seconds);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/reply");
	TCase *t = tcase_create("reply");

	tcase_add_loop_test(t, words, 0, (int)CX_LEN(errors));
	tcase_add_test(t, words_are_cut);
	tcase_add_loop_test(t, token, 0, (int)CX_LEN(tokens));
	suite_add_tcase(s, t);
	return run_suite(s);
}
