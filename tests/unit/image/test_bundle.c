/* SPDX-License-Identifier: Apache-2.0 */
#include "image/bundle.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "entry_text.h"
#include "image/read.h"
#include "proto/bundle_msgs.h"

static int ours = -1, theirs = -1, out = -1;
static struct cx_err err;
static struct cx_report report;
static const struct cx_pack_limits limits = { 1 << 20, 3 };

static void begin(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ours = pair[0];
	theirs = pair[1];
	out = new_file(NULL, 0);
	err = (struct cx_err){ 0 };
}

static void end(void)
{
	(void)close(ours);
	(void)close(theirs);
	(void)close(out);
}

static void send_file(const char *name, int fd)
{
	struct cx_msg_bundle_file m = { .name = cx_str_of(name) };

	ck_assert_int_eq(cx_msg_bundle_file_send(ours, 1, &m, &fd, 1, &err), 0);
	(void)close(fd);
}

static void send_end(uint32_t files)
{
	const struct cx_msg_bundle_end m = { .files = files };

	ck_assert_int_eq(cx_msg_bundle_end_send(ours, 1, &m, NULL, 0, &err), 0);
}

static int bundle(void)
{
	(void)shutdown(ours, SHUT_WR);
	return cx_bundle_files(theirs, out, &limits, &report);
}

static void refused(const char *says)
{
	ck_assert_int_lt(bundle(), 0);
	ck_assert(!report.ok);
	ck_assert_msg(strstr(report.err.msg, says) != NULL, "%s", report.err.msg);
}

START_TEST(files_in_their_order)
{
	const struct cx_read_limits all = { 1 << 20, 10, false };
	struct cx_report again;
	struct cx_buf stream, text;
	int entries = new_file(NULL, 0);

	send_file("b/c", new_file("123", 3));
	send_file("a", new_file("", 0));
	send_end(2);
	ck_assert_msg(bundle() == 0, "%s", report.err.msg);
	ck_assert_uint_eq(report.entries, 2);
	ck_assert_int_eq(lseek(out, 0, SEEK_SET), 0);
	ck_assert_int_eq(cx_read_layer(out, entries, &all, &again), 0);
	ck_assert_mem_eq(again.blob_id, report.blob_id, 32);
	ck_assert_uint_eq(again.blob_bytes, report.blob_bytes);
	stream = content_of(entries);
	ck_assert_int_eq(text_of_stream(stream.p, stream.len, stream.len, 9, &text, &err), 0);
	ck_assert_str_eq(text.p, "f b/c 3;@0:123;f a 0;.");
	cx_buf_free(&stream);
	cx_buf_free(&text);
	(void)close(entries);
}
END_TEST

START_TEST(without_end)
{
	send_file("a", new_file("1", 1));
	refused("ends in the middle");
}
END_TEST

START_TEST(with_a_wrong_end)
{
	send_file("a", new_file("1", 1));
	send_end(2);
	refused("malformed");
}
END_TEST

START_TEST(without_descriptor)
{
	struct cx_msg_bundle_file m = { .name = cx_str_of("a") };

	ck_assert_int_eq(cx_msg_bundle_file_send(ours, 1, &m, NULL, 0, &err), 0);
	refused("malformed");
}
END_TEST

START_TEST(what_is_no_file)
{
	send_file("a", open("/dev/zero", O_RDONLY | O_CLOEXEC));
	refused("'a': it is no regular file");
}
END_TEST

START_TEST(names_that_lead_away)
{
	send_file("../a", new_file("1", 1));
	refused("'../a'");
}
END_TEST

START_TEST(too_many)
{
	for (int i = 0; i < 4; i++)
		send_file("a", new_file("1", 1));
	refused("more than 3 files");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bundle");
	TCase *tc = tcase_create("bundle");

	tcase_add_checked_fixture(tc, begin, end);
	tcase_add_test(tc, files_in_their_order);
	tcase_add_test(tc, without_end);
	tcase_add_test(tc, with_a_wrong_end);
	tcase_add_test(tc, without_descriptor);
	tcase_add_test(tc, what_is_no_file);
	tcase_add_test(tc, names_that_lead_away);
	tcase_add_test(tc, too_many);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
