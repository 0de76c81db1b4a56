/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"

#include "base/clean.h"
#include "base/cleanup.h"

START_TEST(what_is_shown_drives_no_terminal)
{
	static const struct {
		const char *text, *shown;
	} texts[] = {
		{ "plain", "plain" },
		{ "a\033[2Jb\r\n\t\x7f", "a?[2Jb????" },
		{ "\xc2\x9b"
		  "2J \xc2\x80\xc2\x9f",
		  "??2J ????" }, /* the same in one character */
		{ "\xc2\xa0\xc3\x9b\xe2\x82\xac\xc2", "\xc2\xa0\xc3\x9b\xe2\x82\xac\xc2" },
	};

	for (size_t i = 0; i < CX_LEN(texts); i++) {
		char text[64];

		(void)snprintf(text, sizeof text, "%s", texts[i].text);
		cx_clean(text, strlen(text));
		ck_assert_str_eq(text, texts[i].shown);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base/clean");
	TCase *tc = tcase_create("clean");

	tcase_add_test(tc, what_is_shown_drives_no_terminal);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
