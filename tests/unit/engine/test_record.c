/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/record.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check_main.h"

static char path[] = "/tmp/caisson-record-XXXXXX";
static int dir;
static struct cx_err err;
static struct cx_record record;

static void setup(void)
{
	strcpy(path, "/tmp/caisson-record-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(mkdirat(dir, "abcdefghijk1", 0700), 0);
	cx_record_init(&record, "abcdefghijk1");
	record.state = CX_RECORD_RUNNING;
	record.uid_base = 524288;
	record.nlayers = 2;
	memset(record.layers[1], 7, sizeof record.layers[1]);
	ck_assert_int_eq(cx_record_save(dir, &record, &err), 0);
}

static void teardown(void)
{
	(void)unlinkat(dir, "abcdefghijk1/record", 0);
	(void)unlinkat(dir, "abcdefghijk1", AT_REMOVEDIR);
	cx_close(&dir);
	(void)rmdir(path);
}

START_TEST(comes_back_as_saved)
{
	struct cx_record back;

	ck_assert_int_eq(cx_record_load(dir, "abcdefghijk1", &back, &err), 0);
	ck_assert_mem_eq(&back, &record, sizeof back);
	ck_assert_int_eq(renameat(dir, "abcdefghijk1", dir, "abcdefghijk2"), 0);
	ck_assert_int_lt(cx_record_load(dir, "abcdefghijk2", &back, &err), 0);
	ck_assert_msg(strstr(err.msg, "another sandbox") != NULL, "%s", err.msg);
	ck_assert_int_eq(renameat(dir, "abcdefghijk2", dir, "abcdefghijk1"), 0);
}
END_TEST

START_TEST(what_has_no_name_has_no_record)
{
	struct cx_record none = { 0 };

	ck_assert_int_lt(cx_record_save(dir, &none, &err), 0);
	ck_assert_msg(strstr(err.msg, "without a name") != NULL, "%s", err.msg);
}
END_TEST

START_TEST(any_changed_byte_is_noticed)
{
	struct cx_record back;
	uint8_t bytes[sizeof record];

	for (size_t at = 0; at < sizeof record; at += at < 96 ? 1 : 61) {
		cx_autofd int fd =
			openat(dir, "abcdefghijk1/record", O_WRONLY | O_TRUNC | O_CLOEXEC);

		memcpy(bytes, &record, sizeof bytes);
		bytes[at] ^= 0x40;
		ck_assert_int_eq(write(fd, bytes, sizeof bytes), sizeof bytes);
		ck_assert_int_lt(cx_record_load(dir, "abcdefghijk1", &back, &err), 0);
	}
}
END_TEST

START_TEST(any_other_length_is_noticed)
{
	static const size_t lengths[] = { 0, 1, sizeof record - 1, sizeof record + 1 };
	char bytes[sizeof record + 1] = { 0 };
	struct cx_record back;

	memcpy(bytes, &record, sizeof record);
	for (size_t i = 0; i < CX_LEN(lengths); i++) {
		cx_autofd int fd =
			openat(dir, "abcdefghijk1/record", O_WRONLY | O_TRUNC | O_CLOEXEC);

		ck_assert_int_eq(write(fd, bytes, lengths[i]), (ssize_t)lengths[i]);
		ck_assert_int_lt(cx_record_load(dir, "abcdefghijk1", &back, &err), 0);
	}
}
END_TEST

START_TEST(stat_files)
{
	static const char rest[] =
		"S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 424242 20 21 22\n";
	static const char *const names[] = { "(sh)", "(a b)", "(x) R 1 1)", "(()", "())", "(\n)" };
	char text[256];
	uint64_t ticks = 0;

	for (size_t i = 0; i < CX_LEN(names); i++) {
		(void)snprintf(text, sizeof text, "17 %s %s", names[i], rest);
		ck_assert_int_eq(cx_record_parse_stat(text, &ticks, &err), 0);
		ck_assert_uint_eq(ticks, 424242);
	}
	ck_assert_int_lt(cx_record_parse_stat("17 (sh) S 1 2 3", &ticks, &err), 0);
	ck_assert_int_lt(cx_record_parse_stat("", &ticks, &err), 0);
	ck_assert_int_eq(cx_record_start_ticks(getpid(), &ticks, &err), 0);
	ck_assert_uint_gt(ticks, 0);
}
END_TEST

START_TEST(ids)
{
	char a[CX_ID_LEN + 1], b[CX_ID_LEN + 1];

	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(cx_record_new_id(a, &err), 0);
		ck_assert_int_eq(cx_record_new_id(b, &err), 0);
		ck_assert(cx_record_is_id(a) && cx_record_is_id(b) && strcmp(a, b) != 0);
	}
	ck_assert(!cx_record_is_id(""));
	ck_assert(!cx_record_is_id("1bcdefghijk1"));
	ck_assert(!cx_record_is_id("abcdefghijk"));
	ck_assert(!cx_record_is_id("abcdefghijk12"));
	ck_assert(!cx_record_is_id("abcdef/hijk1"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/record");
	TCase *tc = tcase_create("record");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, comes_back_as_saved);
	tcase_add_test(tc, what_has_no_name_has_no_record);
	tcase_add_test(tc, any_changed_byte_is_noticed);
	tcase_add_test(tc, any_other_length_is_noticed);
	tcase_add_test(tc, stat_files);
	tcase_add_test(tc, ids);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
