/* SPDX-License-Identifier: Apache-2.0 */
/* The line in front of SSH, the host key as libssh takes it, and the names of signals. */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "check_main.h"

#include "base/loop.h"
#include "ssh/hostkey.h"
#include "ssh/inner.h"
#include "ssh/preamble.h"
#include "ssh/raw_key.h"

static int feed(const char *text)
{
	struct cx_preamble preamble = { 0 };
	struct cx_err err;
	int r = 0;

	for (; r == 0 && *text != '\0'; text++)
		r = cx_preamble_take(&preamble, *text, &err);
	return *text == '\0' ? r : -EINVAL; /* it must be the last one that decides */
}

static const char *const good[] = {
	"PRIME-SSH-SESSION a\n",
	"PRIME-SSH-SESSION abc-DEF_1.2\n",
	"PRIME-SSH-SESSION abc\r\n",
	"PRIME-SSH-SESSION aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
};

static const char *const bad[] = {
	"PRIME-SSH-SESSION \n",
	"PRIME-SSH-SESSION  a\n",
	"PRIME-SSH-SESSION a b\n",
	"PRIME-SSH-SESSION a\r\r\n",
	"PRIME-SSH-SESSION a\rb\n",
	"PRIME-SSH-SESSION \r\n",
	"PRIME-SSH-SESSIONa\n",
	"PRIME\n",
	"prime-ssh-session a\n",
	"PRIME-SSH-SESSION a/../b\n",
	"PRIME-SSH-SESSION aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
};

START_TEST(lines_that_are_one)
{
	ck_assert_int_eq(feed(good[_i]), 1);
}
END_TEST

START_TEST(lines_that_are_none)
{
	ck_assert_int_lt(feed(bad[_i]), 0);
}
END_TEST

static int pair[2];

static void open_pair(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void close_pair(void)
{
	close(pair[0]);
	close(pair[1]);
}

static void after_preamble(const char *sent, const char *rest)
{
	struct cx_err err;
	char got[64] = "";

	ck_assert_int_eq(write(pair[1], sent, strlen(sent)), (ssize_t)strlen(sent));
	ck_assert_int_eq(cx_preamble_read(pair[0], cx_now_ms() + 5000, &err), 0);
	ck_assert_int_eq(read(pair[0], got, sizeof got - 1), (ssize_t)strlen(rest));
	ck_assert_str_eq(got, rest);
}

START_TEST(not_a_byte_more_is_taken)
{
	after_preamble("PRIME-SSH-SESSION abc\nSSH-2.0-x\r\n", "SSH-2.0-x\r\n");
	after_preamble("SSH-2.0-y\r\n", "SSH-2.0-y\r\n");
}
END_TEST

START_TEST(a_client_that_does_not_begin_is_left)
{
	struct cx_err err;

	ck_assert_int_lt(cx_preamble_read(pair[0], cx_now_ms() + 20, &err), 0);
	ck_assert_uint_eq(err.kind, CX_TIMEOUT);
	ck_assert_int_eq(write(pair[1], "PRIME", 5), 5);
	ck_assert_int_lt(cx_preamble_read(pair[0], cx_now_ms() + 20, &err), 0);
	ck_assert_uint_eq(err.kind, CX_TIMEOUT);
	ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
	ck_assert_int_lt(cx_preamble_read(pair[0], cx_now_ms() + 5000, &err), 0);
	ck_assert_uint_eq(err.kind, CX_INVALID);
}
END_TEST

START_TEST(libssh_takes_the_host_key)
{
	struct cx_err err;
	ssh_key key = NULL;
	char *text = NULL;

	ck_assert_int_eq(cx_hostkey_import((struct cx_str){ raw_key, 64 }, &key, &err), 0);
	ck_assert_int_eq(ssh_key_type(key), SSH_KEYTYPE_ED25519);
	ck_assert_int_eq(ssh_key_is_private(key), 1);
	ck_assert_int_eq(ssh_pki_export_pubkey_base64(key, &text), SSH_OK);
	ck_assert_str_eq(text, "AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3"
			       "B1Ea");
	ssh_string_free_char(text);
	ssh_key_free(key);
	ck_assert_int_lt(cx_hostkey_import((struct cx_str){ raw_key, 63 }, &key, &err), 0);
}
END_TEST

START_TEST(signals_have_their_names)
{
	ck_assert_uint_eq(cx_signal_number("TERM"), SIGTERM);
	ck_assert_str_eq(cx_signal_name(SIGTERM), "TERM");
	ck_assert_uint_eq(cx_signal_number("SIGTERM"), 0);
	ck_assert_uint_eq(cx_signal_number(""), 0);
	ck_assert_str_eq(cx_signal_name(SIGXCPU), "OTHER@caisson");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ssh/preamble");
	TCase *tc = tcase_create("bytes"), *io = tcase_create("connection");

	tcase_add_loop_test(tc, lines_that_are_one, 0, (int)CX_LEN(good));
	tcase_add_loop_test(tc, lines_that_are_none, 0, (int)CX_LEN(bad));
	tcase_add_test(tc, libssh_takes_the_host_key);
	tcase_add_test(tc, signals_have_their_names);
	tcase_add_checked_fixture(io, open_pair, close_pair);
	tcase_add_test(io, not_a_byte_more_is_taken);
	tcase_add_test(io, a_client_that_does_not_begin_is_left);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, io);
	return run_suite(suite);
}
