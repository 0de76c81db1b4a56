/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's SFTP, byte by byte; tests/integration/test_ssh.py has it with OpenSSH's clients. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "check_main.h"

#include "agent/sftp.h"
#include "agent/sftp_wire.h"
#include "base/fd.h"

static struct cx_sftp_request q;

#define PARSE(bytes) cx_sftp_parse((const uint8_t *)(bytes), sizeof(bytes) - 1, &q)

START_TEST(requests_are_taken_apart)
{
	ck_assert(PARSE("\x03\0\0\0\x07\0\0\0\x02/a\0\0\0\x1a\0\0\0\x04\0\0\x01\xa4"));
	ck_assert_uint_eq(q.type, CX_SFTP_OPEN);
	ck_assert_uint_eq(q.id, 7);
	ck_assert_str_eq(q.path, "/a");
	ck_assert_uint_eq(q.flags, 26);
	ck_assert_uint_eq(q.attrs.has, CX_SFTP_MODE);
	ck_assert_uint_eq(q.attrs.mode, 0644);
	ck_assert(PARSE("\x05\0\0\0\x01\0\0\0\x02hh\0\0\0\x01\0\0\0\0\0\0\0\x09"));
	ck_assert_uint_eq(q.handle.len, 2);
	ck_assert_uint_eq(q.offset, (uint64_t)1 << 32);
	ck_assert_uint_eq(q.length, 9);
	ck_assert(PARSE("\xc8\0\0\0\x02\0\0\0\x18posix-rename@openssh.com\0\0\0\x01"
			"a\0\0\0\x01"
			"b"));
	ck_assert_uint_eq(q.type, CX_SFTP_POSIX_RENAME);
	ck_assert_str_eq(q.path2, "b");
}
END_TEST

START_TEST(what_is_not_known_is_not_offered)
{
	ck_assert(PARSE("\x7f\0\0\0\x01"));
	ck_assert_uint_eq(q.type, CX_SFTP_UNKNOWN);
	ck_assert(PARSE("\x02\0\0\0\x01")); /* VERSION is for servers to say */
	ck_assert_uint_eq(q.type, CX_SFTP_UNKNOWN);
	ck_assert(PARSE("\xc9\0\0\0\x01")); /* our own number of an extension */
	ck_assert_uint_eq(q.type, CX_SFTP_UNKNOWN);
	ck_assert(PARSE("\xc8\0\0\0\x01\0\0\0\x01x"));
	ck_assert_uint_eq(q.type, CX_SFTP_UNKNOWN);
}
END_TEST

START_TEST(what_is_cut_is_refused)
{
	static const char whole[] = "\x0e\0\0\0\x01\0\0\0\x02/a\0\0\0\x0f\0\0\0\0\0\0\0\0\0\0\0\x01"
				    "\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";

	for (size_t len = 0; len < sizeof whole - 1; len++)
		ck_assert(!cx_sftp_parse((const uint8_t *)whole, len, &q));
	ck_assert(cx_sftp_parse((const uint8_t *)whole, sizeof whole - 1, &q));
	ck_assert_uint_eq(q.attrs.mtime, 5);
	ck_assert(!PARSE("\x11\0\0\0\x01\0\0\0\x03"
			 "a\0b")); /* a NUL byte within a path */
}
END_TEST

/* ---- a server of our own --------------------------------------------------------------------- */

static char dir[64];
static int sock;
static pid_t server;
static struct cx_err err;
static uint8_t got[CX_SFTP_PACKET_MAX + 4];

static void setup(void)
{
	int pair[2];

	(void)strcpy(dir, "/tmp/caisson-sftp-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	sock = pair[0];
	server = fork();
	ck_assert_int_ge(server, 0);
	if (server == 0) {
		close(pair[0]);
		_exit(chdir(dir) < 0 || cx_sftp_serve(pair[1], pair[1], &err) < 0);
	}
	close(pair[1]);
}

static int end_server(void)
{
	int status = -1;

	close(sock);
	ck_assert_int_eq(waitpid(server, &status, 0), server);
	return status;
}

static void teardown(void)
{
	ck_assert_int_eq(rmdir(dir), 0);
}

/* Sends a packet without its length; the answer's type. */
static unsigned ask(const void *bytes, size_t len)
{
	uint8_t head[4] = { 0, 0, (uint8_t)(len >> 8), (uint8_t)len };
	size_t n;

	ck_assert_int_eq(cx_write_all(sock, head, sizeof head, &err), 0);
	ck_assert_int_eq(cx_write_all(sock, bytes, len, &err), 0);
	ck_assert_int_eq(cx_read_upto(sock, head, sizeof head, &err), 4);
	n = (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	ck_assert_uint_lt(n, sizeof got);
	memset(got, 0, sizeof got);
	ck_assert_int_eq(cx_read_upto(sock, got, n, &err), (ssize_t)n);
	return got[0];
}
#define ASK(bytes) ask(bytes, sizeof(bytes) - 1)

/* Of the last answer, which is a status. */
static unsigned status(void)
{
	return got[8];
}

START_TEST(a_file_comes_and_goes)
{
	ck_assert_uint_eq(ASK("\x01\0\0\0\x03"), CX_SFTP_VERSION);
	ck_assert_uint_eq(got[4], 3);
	/* "f" for writing, made, 0600: the first handle */
	ck_assert_uint_eq(ASK("\x03\0\0\0\x01\0\0\0\x01"
			      "f\0\0\0\x0a\0\0\0\x04\0\0\x01\x80"),
			  CX_SFTP_HANDLE);
	ck_assert_uint_eq(got[4], 1);
	ck_assert_uint_eq(got[8], 4);
	ck_assert_uint_eq(ASK("\x06\0\0\0\x02\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x03"
			      "abc"),
			  CX_SFTP_STATUS);
	ck_assert_uint_eq(status(), CX_SFTP_OK);
	ck_assert_uint_eq(ASK("\x04\0\0\0\x03\0\0\0\x04\0\0\0\0"), CX_SFTP_STATUS);
	ck_assert_uint_eq(status(), CX_SFTP_OK);
	ck_assert_uint_eq(ASK("\x04\0\0\0\x03\0\0\0\x04\0\0\0\0"), CX_SFTP_STATUS); /* closed */
	ck_assert_uint_eq(status(), CX_SFTP_FAILURE);
	ck_assert_uint_eq(ASK("\x11\0\0\0\x04\0\0\0\x01"
			      "f"),
			  CX_SFTP_ATTRS);
	ck_assert_uint_eq(got[16], 5); /* bytes: two of a hole, three */
	ck_assert_uint_eq(ASK("\x0d\0\0\0\x05\0\0\0\x01"
			      "f"),
			  CX_SFTP_STATUS);
	ck_assert_uint_eq(status(), CX_SFTP_OK);
	ck_assert_uint_eq(ASK("\x11\0\0\0\x06\0\0\0\x01"
			      "f"),
			  CX_SFTP_STATUS);
	ck_assert_uint_eq(status(), CX_SFTP_NO_SUCH_FILE);
	ck_assert_int_eq(end_server(), 0);
}
END_TEST

START_TEST(a_directory_is_read_to_its_end)
{
	ck_assert_uint_eq(ASK("\x0b\0\0\0\x01\0\0\0\x01."), CX_SFTP_HANDLE);
	ck_assert_uint_eq(ASK("\x0c\0\0\0\x02\0\0\0\x04\0\0\0\0"), CX_SFTP_NAME);
	ck_assert_uint_eq(got[8], 2); /* "." and ".." */
	ck_assert_uint_eq(ASK("\x0c\0\0\0\x03\0\0\0\x04\0\0\0\0"), CX_SFTP_STATUS);
	ck_assert_uint_eq(status(), CX_SFTP_EOF);
	ck_assert_uint_eq(ASK("\x05\0\0\0\x04\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
			  CX_SFTP_STATUS); /* is no file */
	ck_assert_uint_eq(status(), CX_SFTP_FAILURE);
	ck_assert_int_eq(end_server(), 0);
}
END_TEST

START_TEST(handles_are_bounded)
{
	for (unsigned i = 0; i < 128; i++)
		ck_assert_uint_eq(ASK("\x0b\0\0\0\x01\0\0\0\x01."), CX_SFTP_HANDLE);
	ck_assert_uint_eq(ASK("\x0b\0\0\0\x01\0\0\0\x01."), CX_SFTP_STATUS);
	ck_assert_uint_eq(status(), CX_SFTP_FAILURE);
	ck_assert_uint_eq(ASK("\x04\0\0\0\x03\0\0\0\x04\xff\xff\xff\xff"), CX_SFTP_STATUS);
	ck_assert_uint_eq(status(), CX_SFTP_FAILURE);
	ck_assert_int_eq(end_server(), 0);
}
END_TEST

START_TEST(names_of_what_is_yet_to_be_made)
{
	char wanted[128];

	(void)snprintf(wanted, sizeof wanted, "%s/new", dir);
	ck_assert_uint_eq(ASK("\x10\0\0\0\x01\0\0\0\x05./new"), CX_SFTP_NAME);
	ck_assert_str_eq((const char *)got + 13, wanted);
	ck_assert_uint_eq(ASK("\x10\0\0\0\x01\0\0\0\x0bno/such/dir"), CX_SFTP_STATUS);
	ck_assert_uint_eq(status(), CX_SFTP_NO_SUCH_FILE);
	ck_assert_int_eq(end_server(), 0);
}
END_TEST

START_TEST(a_packet_that_is_too_long_ends_it)
{
	ck_assert_int_eq(cx_write_all(sock, "\x7f\xff\xff\xff", 4, &err), 0);
	ck_assert_int_eq(cx_read_upto(sock, got, 1, &err), 0);
	ck_assert_int_ne(end_server(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent/sftp");
	TCase *bytes = tcase_create("bytes"), *tc = tcase_create("server");

	tcase_add_test(bytes, requests_are_taken_apart);
	tcase_add_test(bytes, what_is_not_known_is_not_offered);
	tcase_add_test(bytes, what_is_cut_is_refused);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_file_comes_and_goes);
	tcase_add_test(tc, a_directory_is_read_to_its_end);
	tcase_add_test(tc, handles_are_bounded);
	tcase_add_test(tc, names_of_what_is_yet_to_be_made);
	tcase_add_test(tc, a_packet_that_is_too_long_ends_it);
	suite_add_tcase(suite, bytes);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
