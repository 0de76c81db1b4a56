/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>

#include "check_main.h"

#include "api/peers.h"
#include "base/cleanup.h"

enum { N = 8 };

static struct cx_peers peers;
static struct cx_peer p[N];
static const struct cx_peer *dropped[N + 1];
static size_t ndropped;

static void note(struct cx_peer *peer)
{
	ck_assert_uint_lt(ndropped, N);
	dropped[ndropped++] = peer;
}

static void setup(void)
{
	ndropped = 0;
	cx_peers_open(&peers, 4, note);
}

START_TEST(who_waits_too_long_for_a_header_goes)
{
	cx_peers_add(&peers, &p[0], 0, 1000);
	cx_peers_add(&peers, &p[1], 0, 2000);
	cx_peers_add(&peers, &p[2], 0, 2000);
	cx_peers_move(&peers, &p[2], CX_PEER_SERVED, 2500);
	ck_assert(cx_peers_sweep(&peers, 1000 + CX_PEER_HEAD_MS));
	ck_assert_uint_eq(ndropped, 0);
	ck_assert(cx_peers_sweep(&peers, 1001 + CX_PEER_HEAD_MS));
	ck_assert(cx_peers_sweep(&peers, 1002 + CX_PEER_HEAD_MS));
	ck_assert_uint_eq(ndropped, 1); /* once */
	ck_assert_ptr_eq(dropped[0], &p[0]);
	cx_peers_remove(&peers, &p[0]);
	cx_peers_remove(&peers, &p[1]);
	ck_assert(!cx_peers_sweep(&peers, 1000000000)); /* who is served has time */
	ck_assert_uint_eq(ndropped, 1);
}
END_TEST

START_TEST(an_answer_gives_new_time)
{
	cx_peers_add(&peers, &p[0], 0, 0);
	cx_peers_move(&peers, &p[0], CX_PEER_SERVED, 50000);
	cx_peers_move(&peers, &p[0], CX_PEER_WAITING, 90000);
	(void)cx_peers_sweep(&peers, 90000 + CX_PEER_HEAD_MS);
	ck_assert_uint_eq(ndropped, 0);
	(void)cx_peers_sweep(&peers, 90001 + CX_PEER_HEAD_MS);
	ck_assert_uint_eq(ndropped, 1);
}
END_TEST

START_TEST(a_body_that_trickles_goes)
{
	cx_peers_add(&peers, &p[0], 0, 0);
	cx_peers_add(&peers, &p[1], 0, 0);
	cx_peers_move(&peers, &p[0], CX_PEER_SENDING, 0);
	cx_peers_move(&peers, &p[1], CX_PEER_SENDING, 0);
	p[0].bytes = 30;
	p[1].bytes = 41 * CX_PEER_BODY_RATE;
	ck_assert(cx_peers_sweep(&peers, CX_PEER_BODY_MS));
	ck_assert_uint_eq(ndropped, 0);
	(void)cx_peers_sweep(&peers, 40000);
	ck_assert_uint_eq(ndropped, 1);
	ck_assert_ptr_eq(dropped[0], &p[0]);
	(void)cx_peers_sweep(&peers, 42000); /* too slow by now */
	ck_assert_uint_eq(ndropped, 2);
}
END_TEST

START_TEST(in_a_crowd_the_idlest_goes)
{
	for (int i = 0; i < 4; i++)
		cx_peers_add(&peers, &p[i], 0, (uint64_t)i);
	cx_peers_move(&peers, &p[0], CX_PEER_SERVED, 10);
	ck_assert_uint_eq(ndropped, 0);
	cx_peers_add(&peers, &p[4], 0, 20);
	ck_assert_uint_eq(ndropped, 1);
	ck_assert_ptr_eq(dropped[0], &p[1]);
	cx_peers_add(&peers, &p[5], 0, 21); /* the first one is still there, and told */
	ck_assert_uint_eq(ndropped, 2);
	ck_assert_ptr_eq(dropped[1], &p[2]);
	cx_peers_remove(&peers, &p[1]);
	cx_peers_remove(&peers, &p[2]);
	ck_assert_uint_eq(peers.n, 4);
}
END_TEST

START_TEST(who_is_served_is_never_pushed_out)
{
	for (int i = 0; i < N; i++) {
		cx_peers_add(&peers, &p[i], 0, 0);
		cx_peers_move(&peers, &p[i], CX_PEER_SERVED, 0);
	}
	ck_assert_uint_eq(ndropped, 0);
	for (int i = 0; i < N; i++)
		cx_peers_remove(&peers, &p[i]);
	ck_assert_uint_eq(peers.n, 0);
}
END_TEST

START_TEST(nobody_gets_more_than_a_share)
{
	for (int i = 0; i < 3; i++)
		cx_peers_add(&peers, &p[i], 7, (uint64_t)i);
	cx_peers_move(&peers, &p[0], CX_PEER_SERVED, 10);
	ck_assert_uint_eq(ndropped, 0);
	cx_peers_add(&peers, &p[3], 7, 11); /* one of its own makes room */
	ck_assert_uint_eq(ndropped, 1);
	ck_assert_ptr_eq(dropped[0], &p[1]);
	cx_peers_remove(&peers, &p[1]);
	cx_peers_move(&peers, &p[2], CX_PEER_SERVED, 12);
	cx_peers_move(&peers, &p[3], CX_PEER_SENDING, 12);
	cx_peers_add(&peers, &p[4], 7, 13); /* none of its own can */
	ck_assert_uint_eq(ndropped, 2);
	ck_assert_ptr_eq(dropped[1], &p[4]);
	cx_peers_remove(&peers, &p[4]);
	cx_peers_add(&peers, &p[5], 8, 14); /* others come in all the same */
	ck_assert_uint_eq(ndropped, 2);
}
END_TEST

static const struct {
	const char *a, *b;
	bool same;
} addresses[] = {
	{ "192.0.2.1", "192.0.2.1", true },
	{ "192.0.2.1", "192.0.2.2", false },
	{ "192.0.2.1", "::ffff:192.0.2.1", true },
	{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
	{ "2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", true },
	{ "2001:db8:1:2::1", "2001:db8:1:3::1", false },
	{ "::1", "127.0.0.1", false },
};

static uint64_t origin_of(const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return cx_peer_origin((struct sockaddr *)&v4);
	ck_assert_int_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return cx_peer_origin((struct sockaddr *)&v6);
}

START_TEST(who_is_at_the_other_end)
{
	uint64_t a = origin_of(addresses[_i].a), b = origin_of(addresses[_i].b);

	ck_assert_uint_ne(a, 0);
	ck_assert_uint_ne(b, 0);
	ck_assert_int_eq(a == b, addresses[_i].same);
	ck_assert_uint_eq(cx_peer_origin(NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/peers");
	TCase *tc = tcase_create("peers");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, who_waits_too_long_for_a_header_goes);
	tcase_add_test(tc, an_answer_gives_new_time);
	tcase_add_test(tc, a_body_that_trickles_goes);
	tcase_add_test(tc, in_a_crowd_the_idlest_goes);
	tcase_add_test(tc, who_is_served_is_never_pushed_out);
	tcase_add_test(tc, nobody_gets_more_than_a_share);
	tcase_add_loop_test(tc, who_is_at_the_other_end, 0, CX_LEN(addresses));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
