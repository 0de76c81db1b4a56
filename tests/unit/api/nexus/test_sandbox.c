/* SPDX-License-Identifier: Apache-2.0 */
#include "api/nexus/sandbox.h"

#include <string.h>

#include "check_main.h"

static char s_run[] = "RUNNING", s_paused[] = "PAUSED", s_ended[] = "TERMINATED", id[] = "abc",
	    name[] = "box", owner[] = "u1";

static struct cx_sandbox_row row_of(char *status)
{
	return (struct cx_sandbox_row){ .id = id,
					.name = name,
					.user_id = owner,
					.status = status,
					.created_ms = 1762131820000, /* 2025-11-03T01:03:40 */
					.started_ms = 1762131820100,
					.active_ms = 1762131820100,
					.idle_timeout_minutes = 10,
					.timeout_minutes = -1 };
}

static void present(const struct cx_sandbox_row *row, enum cx_nexus_verified verified,
		    int64_t now_ms, char *ret, size_t size)
{
	CX_AUTO(cx_nexus_traits_clear) struct cx_nexus_traits traits;
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = 8192 };
	struct cx_jsonw w = { .out = &out };
	struct cx_err err;

	cx_nexus_traits_load(row, &traits);
	cx_nexus_present(&w, NULL, row, &traits, verified, now_ms);
	ck_assert_int_eq(cx_jsonw_finish(&w, &err), 0);
	ck_assert_uint_lt(out.len, size);
	memcpy(ret, out.p, out.len);
	ret[out.len] = '\0';
}

START_TEST(has_the_keys_of_the_document)
{
	struct cx_sandbox_row row = row_of(s_run);
	char text[2048];

	present(&row, CX_NEXUS_UNASKED, 1762131820005, text, sizeof text);
	ck_assert_str_eq(text, "{\"sandbox_id\":\"abc\",\"name\":\"box\",\"user_id\":\"u1\","
			       "\"agent_id\":null,\"tenant_id\":\"default\","
			       "\"provider\":\"caisson\",\"template_id\":null,"
			       "\"status\":\"active\",\"created_at\":\"2025-11-03T01:03:40\","
			       "\"last_active_at\":\"2025-11-03T01:03:40\",\"paused_at\":null,"
			       "\"stopped_at\":null,\"ttl_minutes\":10,"
			       "\"expires_at\":\"2025-11-03T01:13:40\",\"uptime_seconds\":0.005}");
}
END_TEST

START_TEST(one_that_is_gone_is_stopped_whatever_its_record_says)
{
	struct cx_sandbox_row row = row_of(s_run);
	char text[2048];

	present(&row, CX_NEXUS_GONE, 1762131880000, text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, "\"status\":\"stopped\""));
	ck_assert_ptr_nonnull(strstr(text, "\"stopped_at\":\"2025-11-03T01:04:40\""));
	ck_assert_ptr_nonnull(strstr(text, "\"expires_at\":null"));
	ck_assert_ptr_nonnull(strstr(text, "\"verified\":true,\"provider_status\":\"stopped\""));
	present(&row, CX_NEXUS_ALIVE, 1762131880000, text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, "\"verified\":true,\"provider_status\":\"active\""));
}
END_TEST

START_TEST(time_stands_still_at_the_end)
{
	struct cx_sandbox_row row = row_of(s_ended);
	char text[2048];

	row.ended_ms = row.created_ms + 90000;
	present(&row, CX_NEXUS_UNASKED, row.created_ms + 900000, text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, "\"status\":\"stopped\""));
	ck_assert_ptr_nonnull(strstr(text, "\"stopped_at\":\"2025-11-03T01:05:10\""));
	ck_assert_ptr_nonnull(strstr(text, "\"uptime_seconds\":90.0"));
}
END_TEST

START_TEST(a_paused_one_does_not_expire)
{
	struct cx_sandbox_row row = row_of(s_paused);
	char text[2048];

	row.paused_ms = row.created_ms + 60000;
	present(&row, CX_NEXUS_UNASKED, row.created_ms + 900000, text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, "\"status\":\"paused\""));
	ck_assert_ptr_nonnull(strstr(text, "\"paused_at\":\"2025-11-03T01:04:40\""));
	ck_assert_ptr_nonnull(strstr(text, "\"expires_at\":null"));
}
END_TEST

START_TEST(expires_at_the_sooner_of_its_ends)
{
	struct cx_sandbox_row row = row_of(s_run);
	char text[2048];

	row.expires_ms = row.created_ms + 300000;
	present(&row, CX_NEXUS_UNASKED, row.created_ms, text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, "\"expires_at\":\"2025-11-03T01:08:40\""));
	row.expires_ms = row.created_ms + 3000000;
	present(&row, CX_NEXUS_UNASKED, row.created_ms, text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, "\"expires_at\":\"2025-11-03T01:13:40\""));
	row.idle_timeout_minutes = 0;
	row.timeout_minutes = 50;
	present(&row, CX_NEXUS_UNASKED, row.created_ms, text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, "\"ttl_minutes\":50"));
	ck_assert_ptr_nonnull(strstr(text, "\"expires_at\":\"2025-11-03T01:53:40\""));
	row.expires_ms = 0;
	row.timeout_minutes = -1;
	present(&row, CX_NEXUS_UNASKED, row.created_ms, text, sizeof text);
	ck_assert_ptr_nonnull(strstr(text, "\"ttl_minutes\":null,\"expires_at\":null"));
}
END_TEST

START_TEST(keeps_what_the_client_said)
{
	struct cx_nexus_traits said = {
		.provider = "e2b", .tenant_id = "t\"1", .template_id = "gpu", .agent_id = "a1"
	};
	CX_AUTO(cx_nexus_traits_clear) struct cx_nexus_traits read;
	struct cx_sandbox_row row = { 0 };
	struct cx_err err;

	ck_assert_int_eq(cx_nexus_traits_dump(&said, &row.attributes, &err), 0);
	cx_nexus_traits_load(&row, &read);
	ck_assert_str_eq(read.provider, said.provider);
	ck_assert_str_eq(read.tenant_id, said.tenant_id);
	ck_assert_str_eq(read.template_id, said.template_id);
	ck_assert_str_eq(read.agent_id, said.agent_id);
	free(row.attributes);
}
END_TEST

START_TEST(what_others_keep_means_nothing)
{
	static const char *const texts[] = { "{\"prime\":{}}", "[", "{\"nexus\":7}",
					     "{\"nexus\":{\"provider\":1}}" };
	CX_AUTO(cx_nexus_traits_clear) struct cx_nexus_traits read;
	cx_autofree char *text = strdup(texts[_i]);
	struct cx_sandbox_row row = { .attributes = text };

	cx_nexus_traits_load(&row, &read);
	ck_assert_str_eq(read.provider, "caisson");
	ck_assert_str_eq(read.tenant_id, "default");
	ck_assert_ptr_null(read.agent_id);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("nexus sandbox");
	TCase *t = tcase_create("all");

	tcase_add_test(t, has_the_keys_of_the_document);
	tcase_add_test(t, one_that_is_gone_is_stopped_whatever_its_record_says);
	tcase_add_test(t, time_stands_still_at_the_end);
	tcase_add_test(t, a_paused_one_does_not_expire);
	tcase_add_test(t, expires_at_the_sooner_of_its_ends);
	tcase_add_test(t, keeps_what_the_client_said);
	tcase_add_loop_test(t, what_others_keep_means_nothing, 0, 4);
	suite_add_tcase(s, t);
	return run_suite(s);
}
