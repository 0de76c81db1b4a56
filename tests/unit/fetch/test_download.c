/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/download.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "check_main.h"

enum { SIZE = 9 << 20 }; /* more than one turn of rehashing, more than a pipe holds */

static uint8_t *data;
static uint8_t digest[32], got[32];
static struct cx_download d;
static struct cx_err err;
static int reader, writer;

static void setup(void)
{
	data = malloc(SIZE);
	ck_assert_ptr_nonnull(data);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 31 + (i >> 9));
	ck_assert_int_eq(EVP_Digest(data, SIZE, digest, NULL, EVP_sha256(), NULL), 1);
	ck_assert_int_eq(cx_pipe(&reader, &writer, &err), 0);
	(void)signal(SIGPIPE, SIG_IGN);
}

static void teardown(void)
{
	cx_download_close(&d);
	cx_download_close(&d);
	cx_close(&reader);
	cx_close(&writer);
	free(data);
}

static int file_of(size_t len)
{
	int fd = memfd_create("download", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(cx_write_all(fd, data, len, &err), 0);
	return fd;
}

static void assert_whole(void)
{
	ck_assert_uint_eq(d.have, SIZE);
	ck_assert_int_eq(cx_download_digest(&d, got, &err), 0);
	ck_assert_int_eq(memcmp(got, digest, sizeof digest), 0);
}

START_TEST(in_pieces)
{
	ck_assert_int_eq(cx_download_open(&d, file_of(0), -EBADF, SIZE, 0, &err), 0);
	ck_assert_int_eq(cx_download_rehash(&d, &err), 0);
	for (size_t at = 0, n; at < SIZE; at += n) {
		n = SIZE - at < 100003 ? SIZE - at : 100003;
		ck_assert_int_eq(cx_download_add(&d, data + at, n, &err), 0);
	}
	assert_whole();
	ck_assert_int_eq(lseek(d.file, 0, SEEK_END), SIZE);
}
END_TEST

START_TEST(what_was_there_is_hashed_in_turns)
{
	const size_t begin = SIZE - 5;
	int turns = 0, r;

	ck_assert_int_eq(cx_download_open(&d, file_of(SIZE), -EBADF, SIZE, begin, &err), 0);
	ck_assert_int_eq(lseek(d.file, 0, SEEK_END), (off_t)begin);
	while ((r = cx_download_rehash(&d, &err)) > 0)
		turns++;
	ck_assert_int_eq(r, 0);
	ck_assert_int_gt(turns, 0);
	ck_assert_uint_eq(d.have, begin);
	ck_assert_int_eq(cx_download_add(&d, data + begin, 5, &err), 0);
	assert_whole();
}
END_TEST

START_TEST(known_bytes_go_by)
{
	ck_assert_int_eq(cx_download_open(&d, file_of(1000), -EBADF, SIZE, 1000, &err), 0);
	ck_assert_int_eq(cx_download_rehash(&d, &err), 0);
	d.skip = 1000;
	ck_assert_int_eq(cx_download_add(&d, data, 999, &err), 0);
	ck_assert_uint_eq(d.have, 1000);
	ck_assert_int_eq(cx_download_add(&d, data + 999, SIZE - 999, &err), 0);
	assert_whole();
}
END_TEST

START_TEST(no_more_than_allowed)
{
	ck_assert_int_eq(cx_download_open(&d, file_of(0), -EBADF, 10, 0, &err), 0);
	ck_assert_int_eq(cx_download_add(&d, data, 10, &err), 0);
	ck_assert_int_eq(cx_download_add(&d, data, 1, &err), -EINVAL);
	ck_assert(err.refused);
	ck_assert_int_eq(lseek(d.file, 0, SEEK_END), 10);
}
END_TEST

START_TEST(a_beginning_that_is_not_there)
{
	ck_assert_int_lt(cx_download_open(&d, file_of(5), -EBADF, 10, 6, &err), 0);
	cx_download_close(&d);
	ck_assert_int_lt(cx_download_open(&d, file_of(15), -EBADF, 10, 11, &err), 0);
}
END_TEST

START_TEST(from_the_beginning_again)
{
	ck_assert_int_eq(cx_download_open(&d, file_of(7), -EBADF, SIZE, 7, &err), 0);
	ck_assert_int_eq(cx_download_rehash(&d, &err), 0);
	ck_assert_int_eq(cx_download_digest(&d, got, &err), 0);
	ck_assert(cx_download_restart(&d));
	ck_assert_int_eq(lseek(d.file, 0, SEEK_END), 0);
	ck_assert_int_eq(cx_download_add(&d, data, SIZE, &err), 0);
	assert_whole();
}
END_TEST

START_TEST(through_a_pipe)
{
	uint8_t piece[8192];
	size_t at = 0;
	ssize_t n;

	ck_assert_int_eq(cx_download_open(&d, file_of(0), cx_take_fd(&writer), SIZE, 0, &err), 0);
	ck_assert(!cx_download_pump(&d)); /* nothing yet */
	ck_assert_int_eq(cx_download_add(&d, data, SIZE, &err), 0);
	ck_assert(cx_download_pump(&d)); /* full, and it did not wait */
	ck_assert_uint_gt(d.piped, 0);
	ck_assert_uint_lt(d.piped, SIZE);
	ck_assert(!cx_download_restart(&d));
	while (at < SIZE) {
		n = read(reader, piece, sizeof piece);
		ck_assert_int_gt(n, 0);
		ck_assert_int_eq(memcmp(piece, data + at, (size_t)n), 0);
		at += (size_t)n;
		(void)cx_download_pump(&d);
	}
	ck_assert_uint_eq(d.piped, SIZE);
	cx_download_close(&d);
	ck_assert_int_eq(read(reader, piece, 1), 0);
}
END_TEST

START_TEST(nobody_reads)
{
	ck_assert_int_eq(cx_download_open(&d, file_of(0), cx_take_fd(&writer), SIZE, 0, &err), 0);
	cx_close(&reader);
	ck_assert_int_eq(cx_download_add(&d, data, 100, &err), 0);
	ck_assert(!cx_download_pump(&d));
	ck_assert_int_lt(d.pipe, 0);
	ck_assert_int_eq(cx_download_add(&d, data + 100, SIZE - 100, &err), 0);
	assert_whole();
}
END_TEST

START_TEST(a_file_that_cannot_grow)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	ck_assert_int_eq(cx_download_open(&d, fd, -EBADF, SIZE, 0, &err), 0);
	ck_assert_int_eq(cx_download_add(&d, data, 100, &err), -EPERM);
	ck_assert(!err.refused);
	ck_assert_uint_eq(d.have, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/download");
	TCase *t = tcase_create("download");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, in_pieces);
	tcase_add_test(t, what_was_there_is_hashed_in_turns);
	tcase_add_test(t, known_bytes_go_by);
	tcase_add_test(t, no_more_than_allowed);
	tcase_add_test(t, a_beginning_that_is_not_there);
	tcase_add_test(t, from_the_beginning_again);
	tcase_add_test(t, through_a_pipe);
	tcase_add_test(t, nobody_reads);
	tcase_add_test(t, a_file_that_cannot_grow);
	suite_add_tcase(s, t);
	return run_suite(s);
}
