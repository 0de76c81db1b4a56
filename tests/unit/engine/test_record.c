/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/record.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

/* Of the file only this, from its beginning on. */
static void write_file(const void *bytes, size_t len)
{
	cx_autofd int fd = openat(dir, "abcdefghijk1/record", O_WRONLY | O_TRUNC | O_CLOEXEC);

	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
}

static size_t length(void)
{
	return offsetof(struct cx_record, layers) + (size_t)record.nlayers * CX_DIFF_ID;
}

START_TEST(any_changed_byte_is_noticed)
{
	struct cx_record back;
	uint8_t bytes[sizeof record];

	write_file(&record, length());
	ck_assert_int_eq(cx_record_load(dir, "abcdefghijk1", &back, &err), 0);
	for (size_t at = 0; at < length(); at++) {
		memcpy(bytes, &record, sizeof bytes);
		bytes[at] ^= 0x40;
		write_file(bytes, length());
		ck_assert_int_lt(cx_record_load(dir, "abcdefghijk1", &back, &err), 0);
	}
}
END_TEST

START_TEST(any_cut_is_noticed)
{
	const size_t lengths[] = { 0, 1, offsetof(struct cx_record, layers) - 1, length() - 1 };
	struct cx_record back;

	for (size_t i = 0; i < CX_LEN(lengths); i++) {
		write_file(&record, lengths[i]);
		ck_assert_int_lt(cx_record_load(dir, "abcdefghijk1", &back, &err), 0);
	}
}
END_TEST

static ino_t file_number(void)
{
	struct stat st;

	ck_assert_int_eq(fstatat(dir, "abcdefghijk1/record", &st, 0), 0);
	return st.st_ino;
}

static void save(uint32_t state)
{
	record.state = state;
	ck_assert_int_eq(cx_record_save(dir, &record, &err), 0);
}

static uint32_t loaded_state(void)
{
	struct cx_record back;

	ck_assert_msg(cx_record_load(dir, "abcdefghijk1", &back, &err) == 0, "%s", err.msg);
	return back.state;
}

/* Wherever it lies: all that the file has of it is lost. */
static void damage(uint64_t turn)
{
	cx_autofd int fd = openat(dir, "abcdefghijk1/record", O_RDWR | O_CLOEXEC);
	struct cx_record found;

	for (off_t at = 0; pread(fd, &found, sizeof found, at) > 0; at += 4096)
		if (memcmp(found.magic, record.magic, sizeof found.magic) == 0 &&
		    found.turn == turn)
			ck_assert_int_eq(pwrite(fd, "", 1, at), 1);
}

START_TEST(the_last_whole_one_counts)
{
	ino_t number = file_number();

	save(CX_RECORD_CLAIMED);
	save(CX_RECORD_RUNNING);
	ck_assert_uint_eq(loaded_state(), CX_RECORD_RUNNING);
	save(CX_RECORD_ENDING);
	ck_assert_uint_eq(loaded_state(), CX_RECORD_ENDING);
	damage(record.turn);
	ck_assert_uint_eq(loaded_state(), CX_RECORD_RUNNING);
	ck_assert_uint_eq(file_number(), number);
}
END_TEST

/* What failed may have left half of itself: the next one may not take the place of what is whole.
 */
START_TEST(after_a_save_that_failed)
{
	static const struct rlimit tiny = { 4096, RLIM_INFINITY };
	struct rlimit before;

	save(CX_RECORD_CLAIMED);
	ck_assert_uint_eq(record.turn % 2, 0); /* the next one is farther behind */
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tiny), 0);
	record.state = CX_RECORD_RUNNING;
	for (int i = 0; i < 3; i++)
		ck_assert_int_lt(cx_record_save(dir, &record, &err), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	ck_assert_uint_eq(loaded_state(), CX_RECORD_CLAIMED);
	save(CX_RECORD_ENDING);
	ck_assert_uint_eq(loaded_state(), CX_RECORD_ENDING);
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
	tcase_add_test(tc, any_cut_is_noticed);
	tcase_add_test(tc, the_last_whole_one_counts);
	tcase_add_test(tc, after_a_save_that_failed);
	tcase_add_test(tc, stat_files);
	tcase_add_test(tc, ids);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
