/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/challenge.h"

#include <string.h>

#include "check_main.h"

static const struct {
	const char *text;
	enum cx_scheme scheme;
	const char *realm, *service, *scope, *error;
} good[] = {
	{ "Basic realm=\"x\"", CX_SCHEME_BASIC, "x", "", "", "" },
	{ "basic", CX_SCHEME_BASIC, "", "", "", "" },
	{ "BASIC realm=token", CX_SCHEME_BASIC, "token", "", "", "" },
	{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull,push\"",
	  CX_SCHEME_BEARER, "https://a/t", "s", "repository:a/b:pull,push", "" },
	{ "Bearer  Realm = \"https://a/t\" , ERROR=invalid_token", CX_SCHEME_BEARER, "https://a/t",
	  "", "", "invalid_token" },
	{ "Bearer realm=\"a\\\"b\\\\c\"", CX_SCHEME_BEARER, "a\"b\\c", "", "", "" },
	{ "Bearer unknown=\"x, y=z\", realm=\"r\"", CX_SCHEME_BEARER, "r", "", "", "" },
	{ "Basic realm=\"b\", Bearer realm=\"r\"", CX_SCHEME_BEARER, "r", "", "", "" },
	{ "Bearer realm=\"r\", Basic realm=\"b\"", CX_SCHEME_BEARER, "r", "", "", "" },
	{ "Negotiate, Basic realm=\"b\"", CX_SCHEME_BASIC, "b", "", "", "" },
	{ "Negotiate YWJj==, Basic realm=\"b\"", CX_SCHEME_BASIC, "b", "", "", "" },
	{ "Negotiate a/b=, NTLM, Digest realm=\"d\", nonce=1 , Basic", CX_SCHEME_BASIC, "", "", "",
	  "" },
	{ "Bearer service=\"no realm\", Basic realm=\"b\"", CX_SCHEME_BASIC, "b", "", "", "" },
	{ ",, \t,Basic realm=\"x\",,", CX_SCHEME_BASIC, "x", "", "", "" },
};

START_TEST(understood)
{
	struct cx_challenge c;
	struct cx_err err;

	ck_assert_msg(cx_challenge_parse(good[_i].text, &c, &err) == 0, "%s", good[_i].text);
	ck_assert_msg(c.scheme == good[_i].scheme, "%s", good[_i].text);
	ck_assert_str_eq(c.realm, good[_i].realm);
	ck_assert_str_eq(c.service, good[_i].service);
	ck_assert_str_eq(c.scope, good[_i].scope);
	ck_assert_str_eq(c.error, good[_i].error);
}
END_TEST

static const char *const bad[] = {
	"",
	" , ,",
	"\n", /* no token at all */
	"Negotiate",
	"Bearer",
	"Bearer realm",
	"Bearer realm=\"\"",
	"Bearer service=\"s\"",
	"Bearer realm=\"open",
	"Bearer realm=\"open\\",
	"Bearer realm=\"a\" service=\"b\"",
	"Bearer realm=\"a\", realm=\"b\"",
	"Bearer realm=\"a\nb\"",
	"Bearer realm=\"a\x7f\"",
	"Basic realm=\"a\"x",
	"\"Basic\"",
	"=",
	"Basic realm=\"a\", (",
};

START_TEST(refused)
{
	struct cx_challenge c;
	struct cx_err err;

	ck_assert_msg(cx_challenge_parse(bad[_i], &c, &err) < 0, "%s", bad[_i]);
}
END_TEST

/* The longest value of each fits with its NUL; one byte more is refused, not cut. */
START_TEST(lengths)
{
	static const size_t max = sizeof((struct cx_challenge *)0)->realm - 1;
	char text[4096] = "Bearer realm=\"";
	struct cx_challenge c;
	struct cx_err err;

	memset(text + 14, 'x', max);
	memcpy(text + 14 + max, "\"", 2);
	ck_assert_int_eq(cx_challenge_parse(text, &c, &err), 0);
	ck_assert_uint_eq(strlen(c.realm), max);
	memcpy(text + 14 + max, "x\"", 3);
	ck_assert_int_lt(cx_challenge_parse(text, &c, &err), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/challenge");
	TCase *t = tcase_create("challenge");

	tcase_add_loop_test(t, understood, 0, (int)CX_LEN(good));
	tcase_add_loop_test(t, refused, 0, (int)CX_LEN(bad));
	tcase_add_test(t, lengths);
	suite_add_tcase(s, t);
	return run_suite(s);
}
