/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/name.h"

#include "check_main.h"

static const struct {
	const char *wire;
	size_t len;
	const char *text; /* NULL: it has none */
} wires[] = {
	{ "\3WwW\7ex-mple\3com", 17, "www.ex-mple.com" },
	{ "\1_", 3, "_" },
	{ "", 1, NULL },
	{ "\3www", 4, NULL },	/* no end */
	{ "\3www\0", 6, NULL }, /* something behind it */
	{ "\4www", 5, NULL },	/* the label is longer than what is there */
	{ "\3a.b\1c", 7, NULL },
	{ "\3a b\1c", 7, NULL },
	{ "\1\xe4", 3, NULL },
	{ "\300\14", 3, NULL }, /* a pointer */
};

START_TEST(from_wire)
{
	char text[CX_NAME_TEXT];
	bool known = cx_name_from_wire((const uint8_t *)wires[_i].wire, wires[_i].len, text);

	ck_assert_int_eq(known, wires[_i].text != NULL);
	if (known)
		ck_assert_str_eq(text, wires[_i].text);
}
END_TEST

/* The longest name there can be, and one byte more. */
START_TEST(longest)
{
	uint8_t wire[300];
	char text[CX_NAME_TEXT];

	memset(wire, 'a', sizeof wire);
	wire[0] = wire[64] = wire[128] = 63;
	wire[192] = 61;
	wire[254] = 0;
	ck_assert(cx_name_from_wire(wire, 255, text));
	ck_assert_uint_eq(strlen(text), 253);
	wire[192] = 62;
	wire[254] = 'a';
	wire[255] = 0;
	ck_assert(!cx_name_from_wire(wire, 256, text));
}
END_TEST

static const struct {
	const char *text;
	bool good;
} texts[] = {
	{ "example.com", true }, { "a_b-c", true }, { "", false },     { ".", false },
	{ ".com", false },	 { "com.", false }, { "a..b", false }, { "Example.com", false },
	{ "*.com", false },	 { "a b", false },
};

START_TEST(taken)
{
	char text[CX_NAME_TEXT];

	ck_assert_int_eq(cx_name_take(cx_str_of(texts[_i].text), text), texts[_i].good);
}
END_TEST

static const struct {
	const char *rule, *name;
	bool matches;
} rules[] = {
	{ "example.com", "example.com", true },
	{ "example.com", "www.example.com", false },
	{ "*.example.com", "www.example.com", true },
	{ "*.example.com", "a.b.example.com", true },
	{ "*.example.com", "example.com", false },
	{ "*.example.com", "notexample.com", false },
	{ "*.example.com", ".example.com", false },
	{ "*.example.com", "example.com.evil.org", false },
};

START_TEST(matched)
{
	ck_assert_int_eq(cx_name_matches(rules[_i].rule, rules[_i].name), rules[_i].matches);
}
END_TEST

static const struct {
	const char *name;
	bool local;
} locals[] = {
	{ "db", true },
	{ "example.com", false },
	{ "printer.local", true },
	{ "local.example.com", false },
	{ "metadata.google.internal", true },
	{ "1.0.0.10.in-addr.arpa", true },
	{ "1.0.0.11.in-addr.arpa", false },
	{ "1.0.15.172.in-addr.arpa", false },
	{ "1.0.16.172.in-addr.arpa", true },
	{ "31.172.in-addr.arpa", true },
	{ "1.0.32.172.in-addr.arpa", false },
	{ "1.0.x.172.in-addr.arpa", false },
	{ "1.0.64.100.in-addr.arpa", true },
	{ "1.0.128.100.in-addr.arpa", false },
	{ "1.0.4294967312.172.in-addr.arpa", false },
};

START_TEST(local)
{
	ck_assert_msg(cx_name_is_local(locals[_i].name) == locals[_i].local, "%s", locals[_i].name);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver/name");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, from_wire, 0, CX_LEN(wires));
	tcase_add_test(tc, longest);
	tcase_add_loop_test(tc, taken, 0, CX_LEN(texts));
	tcase_add_loop_test(tc, matched, 0, CX_LEN(rules));
	tcase_add_loop_test(tc, local, 0, CX_LEN(locals));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
