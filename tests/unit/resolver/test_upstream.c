/* SPDX-License-Identifier: Apache-2.0 */
/* Name servers that repeat a question as it was, and some that do not. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <sys/epoll.h>

#include "check_main.h"

#include "resolver/upstream.h"

#define NAME "a-name-with-enough-letters-for-luck-to-be-out-of-the-question.test"

enum { HEADER = CX_DNS_HEADER, PREFIX = 2, PACKET = 1024, PATIENCE_MS = 5000 };

static struct cx_loop loop;
static struct cx_upstream up;
static struct cx_err err;
static struct cx_source udp, tcp, connection;
static bool lowers; /* over UDP the server writes the question in lower case */
static unsigned by_udp, by_tcp, upper;
static struct cx_answer *told;
static struct cx_timer tired;

/* The packet becomes its answer, A 192.0.2.N. Returns its length. */
static size_t answer(uint8_t *packet, uint8_t n, bool lower)
{
	static const uint8_t record[] = { 0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2 };
	size_t end = HEADER;

	for (; packet[end] != 0; end++) {
		upper += isupper(packet[end]) != 0;
		if (lower)
			packet[end] = (uint8_t)tolower(packet[end]);
	}
	end += 1 + 4;
	packet[2] |= 0x80;
	packet[7] = 1;	/* answer */
	packet[11] = 0; /* additional */
	memcpy(packet + end, record, sizeof record);
	packet[end + sizeof record] = n;
	return end + sizeof record + 1;
}

static void on_udp(struct cx_source *source, uint32_t events)
{
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	uint8_t packet[PACKET];
	ssize_t n = recvfrom(source->fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &len);

	(void)events;
	ck_assert_int_gt(n, HEADER);
	by_udp++;
	ck_assert_int_gt(sendto(source->fd, packet, answer(packet, 1, lowers), 0,
				(struct sockaddr *)&from, len),
			 0);
}

static void on_question(struct cx_source *source, uint32_t events)
{
	uint8_t packet[PACKET];
	size_t len;

	(void)events;
	ck_assert_int_gt(recv(source->fd, packet, sizeof packet, 0), PREFIX + HEADER);
	by_tcp++;
	len = answer(packet + PREFIX, 2, true);
	packet[0] = (uint8_t)(len >> 8);
	packet[1] = (uint8_t)len;
	ck_assert_int_eq(send(source->fd, packet, PREFIX + len, 0), (ssize_t)(PREFIX + len));
	cx_loop_drop(&loop, source);
}

static void on_tcp(struct cx_source *source, uint32_t events)
{
	(void)events;
	connection = (struct cx_source){ .fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC),
					 .ready = on_question };
	ck_assert_int_ge(connection.fd, 0);
	ck_assert_int_eq(cx_loop_add(&loop, &connection, EPOLLIN, &err), 0);
}

static void too_late(struct cx_timer *timer)
{
	(void)timer;
	ck_abort_msg("no answer");
}

static void on_done(void *arg, struct cx_answer *got)
{
	(void)arg;
	told = got != NULL ? cx_answer_ref(got) : NULL;
	loop.stop = true;
}

static void serve(struct cx_source *source, int type, struct sockaddr_in *at,
		  void (*ready)(struct cx_source *, uint32_t))
{
	socklen_t len = sizeof *at;

	*source =
		(struct cx_source){ .fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), .ready = ready };
	ck_assert_int_ge(source->fd, 0);
	ck_assert_int_eq(bind(source->fd, (struct sockaddr *)at, sizeof *at), 0);
	ck_assert_int_eq(getsockname(source->fd, (struct sockaddr *)at, &len), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(source->fd, 8), 0);
	ck_assert_int_eq(cx_loop_add(&loop, source, EPOLLIN, &err), 0);
}

static void setup(void)
{
	static const struct cx_address here = { 4, { 127, 0, 0, 1 } };
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	by_udp = by_tcp = upper = 0;
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	serve(&tcp, SOCK_STREAM, &at, on_tcp);
	serve(&udp, SOCK_DGRAM, &at, on_udp); /* of the same port */
	up = (struct cx_upstream){ .loop = &loop };
	ck_assert_int_eq(cx_upstream_add(&up, &here, ntohs(at.sin_port), &err), 0);
	tired.fire = too_late;
	cx_timer_set(&loop, &tired, PATIENCE_MS);
}

static void teardown(void)
{
	cx_answer_unref(&told);
	cx_timer_clear(&tired);
	cx_upstream_close(&up);
	cx_loop_drop(&loop, &udp);
	cx_loop_drop(&loop, &tcp);
	cx_loop_close(&loop);
}

static void ask(void)
{
	ck_assert_int_eq(cx_upstream_ask(&up, NAME, CX_TYPE_A, on_done, NULL, &err), 0);
	if (told == NULL)
		ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	ck_assert_ptr_nonnull(told);
}

static void expect(uint8_t last)
{
	static const struct cx_query q = { .room = CX_DNS_TCP_MAX, .type = CX_TYPE_A };
	uint8_t out[CX_DNS_TCP_MAX];
	int len;

	ck_assert_uint_eq(told->naddresses, 1);
	ck_assert_uint_eq(told->addresses[0].bytes[3], last);
	len = cx_answer_build(&q, told, 1, 60, out, &err);
	ck_assert_int_gt(len, 0);
	for (int i = HEADER; i < len; i++) /* our cases are nobody else's matter */
		ck_assert(!isupper(out[i]));
}

START_TEST(letters_are_in_either_case)
{
	lowers = false;
	ask();
	expect(1);
	ck_assert_uint_eq(by_udp, 1);
	ck_assert_uint_eq(by_tcp, 0);
	ck_assert_uint_gt(upper, 5);
	ck_assert_uint_lt(upper, 50);
}
END_TEST

/* It may be a guess: the same server is asked in a way that nobody can guess. */
START_TEST(an_answer_in_other_cases_is_not_believed)
{
	lowers = true;
	ask();
	expect(2);
	ck_assert_uint_eq(by_udp, 1);
	ck_assert_uint_eq(by_tcp, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver/upstream");
	TCase *tc = tcase_create("upstream");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, letters_are_in_either_case);
	tcase_add_test(tc, an_answer_in_other_cases_is_not_believed);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
