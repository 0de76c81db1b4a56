/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"

#include "api/json.h"
#include "api/jsonw.h"

static struct json_t *parse(const char *text)
{
	struct json_t *doc = NULL;
	struct cx_err err;

	ck_assert_int_eq(cx_json_parse_object(text, strlen(text), &doc, &err), 0);
	return doc;
}

static const char *const malformed[] = {
	"{",
	"[1]",
	"1",
	"\"a\"",
	"null",
	"{\"a\":1} x",
	"{\"a\":NaN}",
	"{\"a\":1e999}",
	"{\"a\":1,\"a\":2}",
	"{\"a\":\"\\u0000\"}",
	"{'a':1}",
	"{\"a\":\"\xff\"}",
	"{\"a\":99999999999999999999}",
};

START_TEST(malformed_documents_are_refused)
{
	struct json_t *doc = NULL;
	struct cx_err err = { 0 };

	ck_assert_int_lt(cx_json_parse_object(malformed[_i], strlen(malformed[_i]), &doc, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_ptr_null(doc);
}
END_TEST

/* The nesting that would overflow a stack is refused, not followed. */
START_TEST(deep_documents_are_refused)
{
	static char deep[1 << 20];
	struct json_t *doc = NULL;
	struct cx_err err = { 0 };

	memset(deep, '[', sizeof deep);
	ck_assert_int_lt(cx_json_parse(deep, sizeof deep, &doc, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
}
END_TEST

START_TEST(no_body_is_an_empty_object)
{
	struct json_t *doc = parse("");

	ck_assert_int_eq(cx_json_type(doc, "a"), CX_JSON_ABSENT);
	cx_json_free(&doc);
	ck_assert_ptr_null(doc);
}
END_TEST

static const struct {
	const char *body;
	int result;
	double value;
} reals[] = {
	{ "{\"f\":1.5}", 1, 1.5 },  { "{\"f\":2}", 1, 2 },
	{ "{\"f\":null}", 0, 7 },   { "{}", 0, 7 },
	{ "{\"f\":\"1\"}", -1, 7 }, { "{\"f\":-1}", -1, 7 },
	{ "{\"f\":0}", -1, 7 },	    { "{\"f\":1e300}", -1, 7 },
	{ "{\"f\":true}", -1, 7 },
};

START_TEST(reals_are_bounded)
{
	struct json_t *doc = parse(reals[_i].body);
	struct cx_err err = { 0 };
	double value = 7;
	int r = cx_json_real(doc, "f", 0.5, 10, &value, &err);

	ck_assert_int_eq(r < 0 ? -1 : r, reals[_i].result);
	ck_assert_double_eq(value, reals[_i].value);
	ck_assert(r >= 0 || strstr(err.msg, "'f'") != NULL);
	cx_json_free(&doc);
}
END_TEST

START_TEST(whole_numbers_are_whole)
{
	struct json_t *doc = parse("{\"a\":2.0,\"b\":2.5,\"c\":9223372036854775807,\"d\":3}");
	struct cx_err err = { 0 };
	int64_t value = 0;

	ck_assert_int_eq(cx_json_int(doc, "a", 0, 10, &value, &err), 1);
	ck_assert_int_eq(value, 2);
	ck_assert_int_lt(cx_json_int(doc, "b", 0, 10, &value, &err), 0);
	ck_assert_int_lt(cx_json_int(doc, "c", 0, 10, &value, &err), 0);
	ck_assert_int_eq(cx_json_int(doc, "c", 0, INT64_MAX, &value, &err), 1);
	ck_assert_int_eq(value, INT64_MAX);
	ck_assert_int_lt(cx_json_int(doc, "d", 4, 10, &value, &err), 0);
	cx_json_free(&doc);
}
END_TEST

START_TEST(lists_and_maps_become_strv)
{
	struct json_t *doc = parse("{\"l\":[\"a\",\"\",\"b c\"],\"m\":{\"K\":\"v\",\"E\":\"\"}}");
	struct cx_buf out = { .max = 64 };
	struct cx_err err = { 0 };

	ck_assert_int_eq(cx_json_strv(doc, "l", &out, &err), 1);
	ck_assert_uint_eq(out.len, 7);
	ck_assert_mem_eq(out.p, "a\0\0b c\0", 7);
	out.len = 0;
	ck_assert_int_eq(cx_json_env(doc, "m", &out, &err), 1);
	ck_assert_uint_eq(out.len, 7);
	ck_assert_mem_eq(out.p, "K=v\0E=\0", 7);
	out.len = 0;
	out.max = 6;
	ck_assert_int_lt(cx_json_env(doc, "m", &out, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "'m'"));
	cx_buf_free(&out);
	cx_json_free(&doc);
}
END_TEST

static const char *const bad_maps[] = { "{\"m\":[]}", "{\"m\":{\"\":\"x\"}}",
					"{\"m\":{\"A=B\":\"x\"}}", "{\"m\":{\"A\":1}}",
					"{\"m\":\"x\"}" };

START_TEST(maps_hold_names_and_texts)
{
	struct json_t *doc = parse(bad_maps[_i]);
	struct cx_buf out = { .max = 64 };
	struct cx_err err = { 0 };

	ck_assert_int_lt(cx_json_env(doc, "m", &out, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	cx_buf_free(&out);
	cx_json_free(&doc);
}
END_TEST

static const struct {
	const char *bytes, *json;
	size_t len;
} strings[] = {
	{ "plain", "\"plain\"", 5 },
	{ "q\"b\\n\n\x1b", "\"q\\\"b\\\\n\\n\\u001b\"", 7 },
	{ "\0", "\"\\u0000\"", 1 },
	{ "\x7f", "\"\\u007f\"", 1 },
	{ "\xc3\xa9", "\"\xc3\xa9\"", 2 },
	{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", 4 },
	{ "\xff", "\"\xef\xbf\xbd\"", 1 },
	{ "\xc3", "\"\xef\xbf\xbd\"", 1 },				   /* cut */
	{ "\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2 },		   /* overlong NUL */
	{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 3 }, /* surrogate */
	{ "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 4 },
};

START_TEST(any_bytes_become_a_string)
{
	struct cx_buf out = { .max = 256 };
	struct cx_jsonw w = { .out = &out };
	struct json_t *doc = NULL;
	struct cx_err err;

	cx_jsonw_bytes(&w, NULL, strings[_i].bytes, strings[_i].len);
	ck_assert_int_eq(cx_jsonw_finish(&w, &err), 0);
	ck_assert_uint_eq(out.len, strlen(strings[_i].json));
	ck_assert_mem_eq(out.p, strings[_i].json, out.len);
	/* And another reader agrees that it is JSON, but for NUL, which it does not want. */
	if (strings[_i].bytes[0] != '\0')
		ck_assert_int_eq(cx_json_parse(out.p, out.len, &doc, &err), 0);
	cx_json_free(&doc);
	cx_buf_free(&out);
}
END_TEST

START_TEST(documents_are_written)
{
	struct cx_buf out = { .max = 256 };
	struct cx_jsonw w = { .out = &out };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_array(&w, "a");
	cx_jsonw_int(&w, NULL, -1);
	cx_jsonw_real(&w, NULL, 1);
	cx_jsonw_real(&w, NULL, 0.25);
	cx_jsonw_end(&w);
	cx_jsonw_object(&w, "o");
	cx_jsonw_end(&w);
	cx_jsonw_bool(&w, "b", true);
	cx_jsonw_text(&w, "n", NULL);
	cx_jsonw_raw(&w, "r", "[1]");
	cx_jsonw_end(&w);
	ck_assert_int_eq(cx_jsonw_finish(&w, &err), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &err), 0);
	ck_assert_str_eq(out.p, "{\"a\":[-1,1.0,0.25],\"o\":{},\"b\":true,\"n\":null,\"r\":[1]}");
	cx_buf_free(&out);
}
END_TEST

START_TEST(a_full_buffer_is_an_error)
{
	struct cx_buf out = { .max = 8 };
	struct cx_jsonw w = { .out = &out };
	struct cx_err err = { 0 };

	cx_jsonw_text(&w, NULL, "0123456789");
	ck_assert_int_lt(cx_jsonw_finish(&w, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	cx_buf_free(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/json");
	TCase *tc = tcase_create("json");

	cx_json_start();
	tcase_add_loop_test(tc, malformed_documents_are_refused, 0, CX_LEN(malformed));
	tcase_add_test(tc, deep_documents_are_refused);
	tcase_add_test(tc, no_body_is_an_empty_object);
	tcase_add_loop_test(tc, reals_are_bounded, 0, CX_LEN(reals));
	tcase_add_test(tc, whole_numbers_are_whole);
	tcase_add_test(tc, lists_and_maps_become_strv);
	tcase_add_loop_test(tc, maps_hold_names_and_texts, 0, CX_LEN(bad_maps));
	tcase_add_loop_test(tc, any_bytes_become_a_string, 0, CX_LEN(strings));
	tcase_add_test(tc, documents_are_written);
	tcase_add_test(tc, a_full_buffer_is_an_error);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
