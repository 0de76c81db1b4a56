/* SPDX-License-Identifier: Apache-2.0 */
/* What the router's sets say of the host's addresses. */
#include "net/hostaddr.h"

#include "fwworld.h"
#include "net/firewall_inner.h"

enum { LOOK_MS = 20, LOOKS = 500 };

static struct world w;
static struct cx_loop loop;
static struct cx_hostaddrs *addrs;

struct search {
	const char *set;
	uint8_t bytes[16];
	size_t len;
	bool found;
};

static void compare(void *arg, const struct cx_nft_elem *elem)
{
	struct search *s = arg;

	s->found |= elem->key.len == s->len && memcmp(elem->key.bytes, s->bytes, s->len) == 0;
}

static bool is_told(const char *text)
{
	bool six = strchr(text, ':') != NULL;
	struct search s = { .set = six ? "host6" : "host4", .len = six ? 16 : 4 };
	struct cx_err err;

	ck_assert_int_eq(inet_pton(six ? AF_INET6 : AF_INET, text, s.bytes), 1);
	ck_assert_int_eq(cx_nft_each(&w.fw->nft, s.set, compare, &s, &err), 0);
	return s.found;
}

struct waiting {
	struct cx_timer timer;
	const char *text;
	bool wanted;
	unsigned left;
};

static void look(struct cx_timer *timer)
{
	struct waiting *waiting = cx_container_of(timer, struct waiting, timer);

	if (is_told(waiting->text) == waiting->wanted || --waiting->left == 0)
		loop.stop = true;
	else
		cx_timer_set(&loop, timer, LOOK_MS);
}

static bool becomes_told(const char *text, bool wanted)
{
	struct waiting waiting = {
		.timer.fire = look, .text = text, .wanted = wanted, .left = LOOKS
	};
	struct cx_err err;

	loop.stop = false;
	cx_timer_set(&loop, &waiting.timer, 0);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	return waiting.left > 0;
}

static void open_addrs(void)
{
	struct cx_err err = { 0 };

	enter(&w, HOME);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_msg(cx_hostaddrs_open(&loop, w.fw, &addrs, &err) == 0, "%s", err.msg);
}

static void close_addrs(void)
{
	cx_hostaddrs_close(addrs);
	cx_loop_close(&loop);
}

static void set_up(void)
{
	make_world(&w);
	open_addrs();
}

static void tear_down(void)
{
	close_addrs();
	cx_firewall_close(w.fw, false);
}

START_TEST(those_that_are_there_are_told)
{
	ck_assert(is_told(HOST4));
	ck_assert(is_told("fd98::1"));
	ck_assert(is_told("169.254.9.0"));
	ck_assert(!is_told(OUT4));
	ck_assert(!is_told("203.0.113.2"));
}
END_TEST

START_TEST(they_come_and_go)
{
	run(&w, HOME,
	    "ip addr add 203.0.113.9/32 dev lan && ip addr add 203.0.113.9/32 dev lo && "
	    "ip addr add fd98::9/128 dev lan nodad");
	ck_assert(becomes_told("203.0.113.9", true));
	ck_assert(becomes_told("fd98::9", true));
	run(&w, HOME, "ip addr del 203.0.113.9/32 dev lan && ip addr del fd98::9/128 dev lan");
	ck_assert(becomes_told("fd98::9", false));
	ck_assert(is_told("203.0.113.9")); /* by the other link */
	run(&w, HOME, "ip addr del 203.0.113.9/32 dev lo");
	ck_assert(becomes_told("203.0.113.9", false));
	ck_assert(is_told(HOST4));
}
END_TEST

START_TEST(a_restart_finds_what_changed_meanwhile)
{
	cx_firewall_close(w.fw, false);
	close_addrs();
	run(&w, HOME, "ip addr add 203.0.113.9/32 dev lan && ip addr del fd98::1/64 dev lan");
	enter(&w, HOME);
	open_firewall(&w);
	ck_assert(is_told("fd98::1"));
	open_addrs();
	ck_assert(!is_told("fd98::1"));
	ck_assert(is_told("203.0.113.9"));
	ck_assert(is_told(HOST4));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net/hostaddr");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, those_that_are_there_are_told);
	tcase_add_test(tc, they_come_and_go);
	tcase_add_test(tc, a_restart_finds_what_changed_meanwhile);
	suite_add_tcase(suite, tc);
	return run_root_suite(suite);
}
