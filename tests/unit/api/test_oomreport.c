/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"

#include "api/oomreport.h"
#include "base/cleanup.h"

enum { MIB = 1 << 20 };

static struct cx_msg_oom_report report(const char *name, uint64_t mib)
{
	return (struct cx_msg_oom_report){ .limit_bytes = 64 * MIB,
					   .peak_bytes = 64 * MIB,
					   .anonymous_bytes = 4096,
					   .processes = 3,
					   .process = cx_str_of(name),
					   .pid = 9,
					   .process_bytes = mib * MIB };
}

static const struct {
	const char *name, *is;
} names[] = {
	{ "python3", "python3" },	  { "kworker/0:1", "kworker/0:1" },
	{ "a b\tc\n", "a?b?c?" },	  { "\033[31m\"},{", "??31m????" },
	{ "\xff\xc3\xa9 '\\", "??????" }, { "sixteen-bytes-xx", "sixteen-bytes-x" },
};

START_TEST(a_name_is_hostile)
{
	struct cx_msg_oom_report r = report(names[_i].name, 60);
	char message[CX_OOM_MESSAGE_MAX], quoted[64], *json = NULL;
	struct cx_err err;

	cx_oom_message(&r, message);
	(void)snprintf(quoted, sizeof quoted, "process '%s' with 60 MiB", names[_i].is);
	ck_assert_msg(strstr(message, quoted) != NULL, "%s", message);
	ck_assert_int_eq(cx_oom_json(&r, &json, &err), 0);
	(void)snprintf(quoted, sizeof quoted, "\"name\":\"%s\",", names[_i].is);
	ck_assert_msg(strstr(json, quoted) != NULL, "%s", json);
	free(json);
}
END_TEST

START_TEST(what_fills_it)
{
	struct cx_msg_oom_report r = report("", 0);
	char message[CX_OOM_MESSAGE_MAX], *json = strdup("before");
	struct cx_err err;

	cx_oom_message(&r, message);
	ck_assert_str_eq(message, "the sandbox ran out of its memory: limit 64 MiB, peak 64 MiB");
	r.shared_bytes = 60 * MIB;
	cx_oom_message(&r, message);
	ck_assert_ptr_nonnull(strstr(message, ", 60 MiB of files in memory"));
	r = report("who", 0);
	r.kernel_bytes = 50 * MIB;
	cx_oom_message(&r, message);
	ck_assert_ptr_nonnull(strstr(message, ", 50 MiB of what the kernel keeps"));
	ck_assert_ptr_nonnull(strstr(message, "; killed process 'who'"));
	ck_assert_int_eq(cx_oom_json(&r, &json, &err), 0);
	ck_assert_str_eq(json, "{\"limitBytes\":67108864,\"peakBytes\":67108864,"
			       "\"anonymousBytes\":4096,\"sharedBytes\":0,\"fileBytes\":0,"
			       "\"kernelBytes\":52428800,\"processes\":3,\"process\":"
			       "{\"name\":\"who\",\"pid\":9,\"residentBytes\":null}}");
	r.process.len = 0;
	ck_assert_int_eq(cx_oom_json(&r, &json, &err), 0);
	ck_assert_ptr_nonnull(strstr(json, "\"process\":null}"));
	free(json);
}
END_TEST

START_TEST(the_largest_numbers_fit)
{
	struct cx_msg_oom_report r = { .limit_bytes = UINT64_MAX,
				       .peak_bytes = UINT64_MAX,
				       .shared_bytes = UINT64_MAX,
				       .kernel_bytes = UINT64_MAX,
				       .process = cx_str_of("fifteen-bytes-x"),
				       .process_bytes = UINT64_MAX };
	char message[CX_OOM_MESSAGE_MAX];

	cx_oom_message(&r, message);
	ck_assert_uint_lt(strlen(message), CX_OOM_MESSAGE_MAX - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/oomreport");
	TCase *tc = tcase_create("texts");

	tcase_add_loop_test(tc, a_name_is_hostile, 0, (int)CX_LEN(names));
	tcase_add_test(tc, what_fills_it);
	tcase_add_test(tc, the_largest_numbers_fit);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
