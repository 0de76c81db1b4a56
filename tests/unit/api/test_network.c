/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <string.h>

#include "check_main.h"

#include "api/json.h"
#include "api/network.h"
#include "base/cleanup.h"

static const struct {
	const char *document;
	bool access;
	const char *allows, *denies; /* as recorded */
	const char *says;	     /* or the refusal */
} cases[] = {
	{ "{}", true, NULL, NULL, NULL },
	{ "{\"allow\":null,\"deny\":null}", true, NULL, NULL, NULL },
	{ "{}", false, "[]", NULL, NULL },
	{ "{\"allow\":[]}", true, "[]", NULL, NULL },
	{ "{\"allow\":[]}", false, "[]", NULL, NULL },
	{ "{\"deny\":[]}", true, NULL, "[]", NULL },
	{ "{\"deny\":[]}", false, NULL, NULL, "'deny'" },
	{ "{\"allow\":[],\"deny\":[]}", true, NULL, NULL, "exclude" },
	{ "{\"allow\":[\"a.b\"]}", true, NULL, NULL, "'allow'" },
	{ "{\"deny\":[\"10.0.0.0/8\"]}", true, NULL, NULL, "'deny'" },
	{ "{\"deny\":[\"\"]}", true, NULL, NULL, "'deny'" },
	{ "{\"deny\":[7]}", true, NULL, NULL, "'deny" },
	{ "{\"allow\":\"a.b\"}", true, NULL, NULL, "'allow'" },
};

static void expect(const char *seen, const char *wanted)
{
	ck_assert_int_eq(seen == NULL, wanted == NULL);
	if (wanted != NULL)
		ck_assert_str_eq(seen, wanted);
}

START_TEST(all_or_nothing)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *text = cases[_i].document;
	struct cx_err err;
	int r;

	ck_assert_int_eq(cx_json_parse_object(text, strlen(text), &doc, &err), 0);
	r = cx_network_parse(doc, cases[_i].access, "allow", "deny", &row, &err);
	if (cases[_i].says != NULL) {
		ck_assert_int_lt(r, 0);
		ck_assert_int_eq(err.kind, CX_INVALID);
		ck_assert_ptr_nonnull(strstr(err.msg, cases[_i].says));
		return;
	}
	ck_assert_int_eq(r, 0);
	expect(row.network_allowlist, cases[_i].allows);
	expect(row.network_denylist, cases[_i].denies);
	ck_assert_int_eq(row.network_access, cases[_i].allows == NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/network");
	TCase *tc = tcase_create("network");

	tcase_add_loop_test(tc, all_or_nothing, 0, CX_LEN(cases));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
