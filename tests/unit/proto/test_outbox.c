/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "check_main.h"
#include "proto/outbox.h"

enum { MAX = 300, BODY = 16384 };

static struct cx_loop loop;
static struct cx_source source;
static struct cx_outbox outbox;
static struct cx_packet *received;
static uint8_t packet[CX_PACKET_HEADER + BODY];
static int peer;
static int flushed, got_fd;

static void on_ready(struct cx_source *src, uint32_t events)
{
	struct cx_err err;

	(void)src;
	if ((events & EPOLLOUT) != 0)
		flushed = cx_outbox_flush(&outbox, &err);
}

static void stop(struct cx_timer *timer)
{
	(void)timer;
	loop.stop = true;
}

static void turn(void)
{
	struct cx_timer timer = { .fire = stop };
	struct cx_err err;

	loop.stop = false;
	cx_timer_set(&loop, &timer, 5);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
}

static void set_up(void)
{
	struct cx_err err;
	int pair[2];

	received = malloc(sizeof *received);
	flushed = 0;
	got_fd = -EBADF;
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	source = (struct cx_source){ .fd = pair[0], .ready = on_ready };
	ck_assert_int_eq(cx_set_nonblock(pair[0], true, &err), 0);
	ck_assert_int_eq(cx_set_nonblock(peer, true, &err), 0);
	ck_assert_int_eq(cx_loop_add(&loop, &source, EPOLLIN, &err), 0);
	cx_outbox_open(&outbox, &loop, &source, MAX);
}

static void tear_down(void)
{
	cx_outbox_clear(&outbox);
	cx_loop_drop(&loop, &source);
	cx_loop_close(&loop);
	cx_close(&peer);
	free(received);
}

static int post(uint32_t request, const int *fds, unsigned nfds, struct cx_err *err)
{
	return cx_outbox_post(&outbox, packet, sizeof packet, 7, request, fds, nfds, err);
}

/* All that the peer gets, in the order in which it was posted. */
static uint32_t drain(uint32_t seen)
{
	struct cx_err err;

	for (int idle = 0; idle < 3; idle++, turn())
		while (cx_packet_recv(peer, received, &err) == 1) {
			ck_assert_uint_eq(received->request, ++seen);
			ck_assert_uint_eq(received->body.left, BODY);
			if (received->nfds == 1)
				got_fd = cx_take_fd(&received->fds[0]);
			idle = 0;
		}
	return seen;
}

START_TEST(what_does_not_fit_waits_in_order)
{
	struct cx_err err = { 0 };
	uint32_t n = 0;

	while (post(n + 1, NULL, 0, &err) == 0)
		n++;
	ck_assert_int_eq(err.kind, CX_UNAVAILABLE);
	ck_assert_uint_eq(outbox.n, MAX);
	ck_assert_uint_gt(n, MAX);
	ck_assert_uint_eq(drain(0), n);
	ck_assert_uint_eq(outbox.n, 0);
	/* And it goes on as if nothing had been. */
	ck_assert_int_eq(post(n + 1, NULL, 0, &err), 0);
	ck_assert_uint_eq(outbox.n, 0);
	ck_assert_uint_eq(drain(n), n + 1);
	ck_assert_int_eq(flushed, 0);
}
END_TEST

START_TEST(descriptors_wait_along)
{
	struct stat sent, got;
	struct cx_err err;
	uint32_t n = 0;
	int fd;

	while (outbox.n == 0) /* until the socket is full */
		ck_assert_int_eq(post(++n, NULL, 0, &err), 0);
	fd = memfd_create("sent", MFD_CLOEXEC);
	ck_assert_int_eq(post(++n, &fd, 1, &err), 0);
	ck_assert_int_eq(fstat(fd, &sent), 0);
	ck_assert_int_eq(close(fd), 0); /* it was borrowed */
	ck_assert_uint_eq(drain(0), n);
	ck_assert_int_eq(fstat(got_fd, &got), 0);
	ck_assert_uint_eq(got.st_ino, sent.st_ino);
	cx_close(&got_fd);
}
END_TEST

START_TEST(what_waits_can_be_dropped)
{
	struct cx_err err;
	int fd = memfd_create("sent", MFD_CLOEXEC), after;

	while (outbox.n < 3)
		ck_assert_int_eq(post(1, &fd, 1, &err), 0);
	cx_outbox_clear(&outbox);
	ck_assert_uint_eq(outbox.n, 0);
	after = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* no duplicate of it is left open */
	ck_assert_int_eq(after, fd + 1);
	(void)close(after);
	(void)close(fd);
}
END_TEST

START_TEST(a_peer_that_is_gone_is_an_error)
{
	struct cx_err err;

	cx_close(&peer);
	ck_assert_int_eq(post(1, NULL, 0, &err), -EPIPE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proto/outbox");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_does_not_fit_waits_in_order);
	tcase_add_test(tc, descriptors_wait_along);
	tcase_add_test(tc, what_waits_can_be_dropped);
	tcase_add_test(tc, a_peer_that_is_gone_is_an_error);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
