/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker makes of what it is sent; what servers do to it, tests/fetch shows. */
#include "fetch/fetch.h"

#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "check_main.h"
#include "proto/fetch_msgs.h"

static struct cx_fetch_ready ready;
static struct cx_packet pkt;
static struct cx_err err, why;
static int pair[2];

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(cx_fetch_prepare(&ready, &err), 0);
}

static void teardown(void)
{
	close(pair[0]);
	close(pair[1]);
	cx_buf_free(&ready.ca);
}

static void send_endpoint(const char *host, const char *prefix, const char *user, const char *token)
{
	struct cx_msg_fetch_endpoint m = {
		.host = cx_str_of(host),
		.prefix = cx_str_of(prefix),
		.flags = CX_FETCH_PLAIN_HTTP,
		.ca = cx_str_of("pem"),
		.user = cx_str_of(user),
		.password = cx_str_of("p"),
		.registry_token = cx_str_of(token),
	};

	ck_assert_int_eq(cx_msg_fetch_endpoint_send(pair[0], 0, &m, NULL, 0, &err), 0);
}

static void send_manifest(uint32_t request, const char *repository, const char *reference, int fds)
{
	struct cx_msg_fetch_manifest m = { .repository = cx_str_of(repository),
					   .reference = cx_str_of(reference),
					   .max_bytes = 10 };
	int both[2] = { fileno(tmpfile()), fileno(tmpfile()) };

	ck_assert_int_eq(
		cx_msg_fetch_manifest_send(pair[0], request, &m, both, (unsigned)fds, &err), 0);
}

static void send_cancel(uint32_t request)
{
	struct cx_msg_fetch_cancel m;

	memset(&m, 0, sizeof m);
	ck_assert_int_eq(cx_msg_fetch_cancel_send(pair[0], request, &m, NULL, 0, &err), 0);
}

static int run(void)
{
	ck_assert_int_eq(shutdown(pair[0], SHUT_WR), 0);
	return cx_fetch_run(pair[1], &ready, &why);
}

START_TEST(ends_with_the_gateway)
{
	send_endpoint("127.0.0.1:1", "a/b", "u", "");
	send_manifest(1, "a", "b", 1);
	send_cancel(1);
	send_cancel(77);
	ck_assert_int_eq(run(), 0);
}
END_TEST

static const struct {
	const char *what, *host, *prefix, *user, *token;
} bad_endpoints[] = {
	{ "host with a path", "a/b", "", "", "" },
	{ "host with a user", "u@a", "", "", "" },
	{ "no host", "", "", "", "" },
	{ "prefix that leads up", "a", "../b", "", "" },
	{ "two secrets", "a", "", "u", "t" },
};

/* The other side hears why, with request number 0, before the worker ends. */
static void assert_gives_up(const char *what)
{
	struct cx_msg_fetch_failed m;

	ck_assert_msg(run() < 0, "%s", what);
	ck_assert_int_eq(cx_packet_recv(pair[0], &pkt, &err), 1);
	ck_assert_uint_eq(pkt.type, CX_MSG_fetch_failed);
	ck_assert_uint_eq(pkt.request, 0);
	ck_assert(cx_msg_fetch_failed_get(&pkt.body, &m));
	ck_assert_uint_gt(m.text.len, 0);
}

START_TEST(bad_endpoint)
{
	send_endpoint(bad_endpoints[_i].host, bad_endpoints[_i].prefix, bad_endpoints[_i].user,
		      bad_endpoints[_i].token);
	assert_gives_up(bad_endpoints[_i].what);
}
END_TEST

START_TEST(no_endpoint)
{
	send_manifest(1, "a", "b", 1);
	assert_gives_up("no endpoint");
}
END_TEST

START_TEST(two_registries)
{
	send_endpoint("a", "", "", "");
	send_endpoint("b", "", "", "");
	assert_gives_up("two registries");
}
END_TEST

START_TEST(wrong_number_of_descriptors)
{
	send_endpoint("a", "", "", "");
	send_manifest(1, "a", "b", _i);
	assert_gives_up("descriptors");
}
END_TEST

START_TEST(number_in_use)
{
	send_endpoint("127.0.0.1:1", "", "", "");
	send_manifest(1, "a", "b", 1);
	send_manifest(1, "a", "b", 1);
	assert_gives_up("number in use");
}
END_TEST

START_TEST(number_zero)
{
	send_endpoint("127.0.0.1:1", "", "", "");
	send_manifest(0, "a", "b", 1);
	assert_gives_up("number 0");
}
END_TEST

START_TEST(too_many_requests)
{
	int size = 1 << 20;

	ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size), 0);
	send_endpoint("127.0.0.1:1", "", "", "");
	for (uint32_t i = 1; i <= CX_FETCH_REQUESTS_MAX + 1; i++) {
		struct cx_msg_fetch_login m;

		memset(&m, 0, sizeof m);
		ck_assert_int_eq(cx_msg_fetch_login_send(pair[0], i, &m, NULL, 0, &err), 0);
	}
	assert_gives_up("too many requests");
	ck_assert_int_eq(why.kind, CX_LIMIT);
}
END_TEST

START_TEST(garbage)
{
	ck_assert_int_eq(send(pair[0], "garbage", 7, 0), 7);
	assert_gives_up("garbage");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fetch/fetch");
	TCase *t = tcase_create("fetch");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, ends_with_the_gateway);
	tcase_add_loop_test(t, bad_endpoint, 0, (int)CX_LEN(bad_endpoints));
	tcase_add_test(t, no_endpoint);
	tcase_add_test(t, two_registries);
	tcase_add_loop_test(t, wrong_number_of_descriptors, 0, 1);
	tcase_add_loop_test(t, wrong_number_of_descriptors, 2, 3);
	tcase_add_test(t, number_in_use);
	tcase_add_test(t, number_zero);
	tcase_add_test(t, garbage);
	if (geteuid() == 0)
		tcase_add_test(t, too_many_requests);
	suite_add_tcase(s, t);
	return run_suite(s);
}
