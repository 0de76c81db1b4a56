/* SPDX-License-Identifier: Apache-2.0 */
/* Router, uplink, slots and links, in a network and a mount namespace of the test's own. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "check_main.h"

#include "base/fd.h"
#include "net/setup.h"
#include "net/slots.h"
#include "net/veth.h"

#define RUN	 "/tmp/caisson-test-links"
#define INSTANCE "00c0ffee"

static struct cx_err err;
static struct cx_router router = CX_ROUTER_NONE;
static struct cx_loop loop = { .epfd = -EBADF };
static struct cx_slots *slots;
static struct cx_router_plan plan = {
	.run_path = RUN, .run = -EBADF, .mounts = -EBADF, .instance = INSTANCE, .forward = true
};
static struct cx_slots_plan small = { .prefix4 = 29 }; /* six slots */

#define OK(call) ck_assert_msg((call) == 0, "%s", err.msg)

static void write_sysctl(const char *path, const char *value)
{
	OK(cx_write_file(AT_FDCWD, path, value, &err));
}

static char read_sysctl(const char *path)
{
	char text[16];

	ck_assert_msg(cx_read_small_file(AT_FDCWD, path, text, sizeof text, &err) > 0, "%s",
		      err.msg);
	return text[0];
}

static void setup(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS | CLONE_NEWNET), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("tmpfs", "/tmp", "tmpfs", 0, "size=1m"), 0);
	ck_assert_int_eq(mkdir(RUN, 0700), 0);
	plan.run = open(RUN, O_PATH | O_CLOEXEC);
	plan.mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(inet_pton(AF_INET, "10.9.8.0", &small.pool4), 1);
	ck_assert_int_eq(inet_pton(AF_INET6, "fd00:9::", &small.pool6), 1);
	write_sysctl("/proc/sys/net/ipv4/ip_forward", "0");
	OK(cx_loop_open(&loop, &err));
}

static void open_router(void)
{
	OK(cx_router_open(&plan, &router, &err));
}

static void open_slots(void)
{
	OK(cx_slots_open(&loop, &router, &small, &slots, &err));
}

static void close_slots(void)
{
	cx_slots_close(slots);
	slots = NULL;
}

static ino_t inode(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return st.st_ino;
}

static uint32_t get_slot(void)
{
	uint32_t slot = CX_SLOT_NONE;

	OK(cx_slots_get(slots, &slot, &err));
	return slot;
}

/* ---- router ---------------------------------------------------------------------------------- */

START_TEST(router_comes_and_goes_without_a_trace)
{
	open_router();
	ck_assert(!router.adopted);
	ck_assert_uint_eq(if_nametoindex("cx" INSTANCE), router.host_index);
	ck_assert_uint_eq(router.mtu, 1500); /* there is no default route here */
	ck_assert_int_eq(read_sysctl("/proc/sys/net/ipv4/ip_forward"), '1');
	ck_assert_int_eq(read_sysctl("/proc/sys/net/ipv6/conf/cx" INSTANCE "/disable_ipv6"), '1');
	ck_assert_int_eq(access(RUN "/net", F_OK), 0);
	cx_router_close(&router, true);
	ck_assert_uint_eq(if_nametoindex("cx" INSTANCE), 0);
	ck_assert_int_eq(access(RUN "/net", F_OK), -1);
}
END_TEST

START_TEST(router_is_adopted_and_repaired)
{
	struct in_addr host4;
	ino_t made;

	open_router();
	made = inode(router.netns);
	host4 = router.host4;
	cx_router_close(&router, false);
	open_router();
	ck_assert(router.adopted);
	ck_assert_uint_eq(inode(router.netns), made);
	ck_assert_uint_eq(router.host4.s_addr, host4.s_addr);
	{
		CX_AUTO(cx_rtnl_closep) struct cx_rtnl *host = NULL;

		OK(cx_rtnl_open(&host, &err));
		OK(cx_rtnl_remove_link(host, router.host_index, &err));
	}
	cx_router_close(&router, false);
	open_router();
	ck_assert_uint_eq(inode(router.netns), made);
	ck_assert_uint_ne(if_nametoindex("cx" INSTANCE), 0);
	cx_router_close(&router, true);
}
END_TEST

START_TEST(forwarding_is_only_switched_on_where_it_may)
{
	plan.forward = false;
	ck_assert_int_lt(cx_router_open(&plan, &router, &err), 0);
	ck_assert_int_eq(err.kind, CX_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(err.msg, "[network] enabled = no"));
	ck_assert_int_eq(read_sysctl("/proc/sys/net/ipv4/ip_forward"), '0');
	ck_assert_uint_eq(if_nametoindex("cx" INSTANCE), 0);
	ck_assert_int_eq(access(RUN "/net", F_OK), -1);
	write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
	open_router();
	cx_router_close(&router, true);
}
END_TEST

START_TEST(what_is_left_of_a_router_is_discarded)
{
	open_router();
	cx_router_close(&router, false);
	cx_router_discard(&plan);
	ck_assert_uint_eq(if_nametoindex("cx" INSTANCE), 0);
	ck_assert_int_eq(access(RUN "/net", F_OK), -1);
	cx_router_discard(&plan); /* nothing is fine */
}
END_TEST

START_TEST(uplink_takes_addresses_that_are_free)
{
	CX_AUTO(cx_rtnl_closep) struct cx_rtnl *host = NULL;
	struct cx_ip taken;
	struct in_addr first;

	open_router();
	first = router.host4;
	cx_router_close(&router, true);
	OK(cx_rtnl_open(&host, &err));
	taken = cx_ip4(first);
	OK(cx_rtnl_add_address(host, 1, &taken, 32, &err));
	open_router();
	ck_assert_uint_ne(router.host4.s_addr, first.s_addr);
	cx_router_close(&router, true);
}
END_TEST

/* ---- slots ----------------------------------------------------------------------------------- */

START_TEST(slots_without_links_are_given_in_turn)
{
	uint32_t slot;

	open_router();
	open_slots();
	ck_assert_uint_eq(cx_slots_count(slots), 6);
	for (uint32_t i = 0; i < 6; i++)
		ck_assert_uint_eq(get_slot(), i);
	ck_assert_int_lt(cx_slots_get(slots, &slot, &err), 0);
	ck_assert_int_eq(err.kind, CX_LIMIT);
	cx_slots_release(slots, 4);
	cx_slots_release(slots, 4); /* once counts */
	cx_slots_release(slots, 1);
	cx_slots_release(slots, CX_SLOT_NONE);
	cx_slots_release(NULL, 3);
	ck_assert_uint_eq(get_slot(), 4);
	ck_assert_uint_eq(get_slot(), 1);
	ck_assert_int_lt(cx_slots_get(slots, &slot, &err), 0);
	close_slots();
	cx_router_close(&router, true);
}
END_TEST

START_TEST(recorded_slots_are_taken_by_their_address)
{
	struct cx_slot_link link;

	open_router();
	open_slots();
	cx_slots_link(slots, 2, &link);
	OK(cx_slots_take(slots, 2, link.address4, &err));
	ck_assert_int_lt(cx_slots_take(slots, 2, link.address4, &err), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ck_assert_int_lt(cx_slots_take(slots, 3, link.address4, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_int_lt(cx_slots_take(slots, 6, link.address4, &err), 0);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(get_slot(), i < 2 ? i : i + 1);
	close_slots();
	cx_router_close(&router, true);
}
END_TEST

/* ---- links ----------------------------------------------------------------------------------- */

static int connect_inside(void *arg, struct cx_err *e)
{
	return cx_rtnl_open(arg, e);
}

/* In a new network namespace, where the caller then is. */
static void make_link(uint32_t slot)
{
	CX_AUTO(cx_rtnl_closep) struct cx_rtnl *inside = NULL;
	struct cx_slot_link link;

	cx_slots_link(slots, slot, &link);
	OK(cx_router_run(&router, connect_inside, &inside, &err));
	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	OK(cx_veth_make(inside, router.netns, &link, &err));
}

static void go_home(void)
{
	ck_assert_int_eq(setns(router.home, CLONE_NEWNET), 0);
}

/* Until one arrives: the kernel drops what is sent in the moment in which it sets a link up. */
static void send_one(int from, const struct sockaddr *at, socklen_t at_len, int to,
		     struct sockaddr_in6 *ret_from)
{
	socklen_t len = sizeof *ret_from;
	char byte;

	for (int tries = 0; tries < 50; tries++) {
		(void)!sendto(from, "?", 1, 0, at, at_len);
		if (recvfrom(to, &byte, 1, 0, (struct sockaddr *)ret_from, &len) == 1)
			return;
	}
	ck_abort_msg("nothing arrives");
}

/* Sends to the gateway and looks who the router says it was, then the other way. */
static void check_way(int family, const char *gateway, const char *own)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(53) }, from, back;
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(53) };
	bool is4 = family == AF_INET;
	struct sockaddr *at = is4 ? (struct sockaddr *)&four : (struct sockaddr *)&six;
	socklen_t len = is4 ? sizeof four : sizeof six;
	cx_autofd int server = cx_router_socket(&router, family, SOCK_DGRAM, 0, &err);
	cx_autofd int client = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval wait = { .tv_usec = 100000 };
	char text[INET6_ADDRSTRLEN];

	/* router_socket went home in between */
	ck_assert_int_eq(inet_pton(family, gateway, is4 ? (void *)&four.sin_addr : &six.sin6_addr),
			 1);
	ck_assert_int_eq(bind(server, at, len), 0);
	ck_assert_int_eq(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
	ck_assert_int_eq(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
	send_one(client, at, len, server, &from);
	ck_assert_str_eq(
		inet_ntop(family,
			  is4 ? (void *)&((struct sockaddr_in *)&from)->sin_addr : &from.sin6_addr,
			  text, sizeof text),
		own);
	send_one(server, (struct sockaddr *)&from, len, client, &back);
}

static void nothing_more(struct cx_timer *timer)
{
	(void)timer;
	loop.stop = true;
}

/* Until the kernel has told what it has to tell, at most a while. */
static void wait_for_links(void)
{
	struct cx_timer timer = { .fire = nothing_more };

	for (int i = 0; i < 1000 && cx_slots_leaving(slots) > 0; i++) {
		loop.stop = false;
		cx_timer_set(&loop, &timer, 10);
		OK(cx_loop_run(&loop, &err));
	}
	ck_assert_uint_eq(cx_slots_leaving(slots), 0);
}

START_TEST(link_carries_both_families)
{
	cx_autofd int there = -EBADF;

	plan.ip6 = true;
	small.prefix6 = 64;
	open_router();
	open_slots();
	ck_assert_uint_eq(get_slot(), 0);
	make_link(0);
	there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ck_assert_uint_ne(if_nametoindex("eth0"), 0);
	router.home = there; /* so that sockets of the router are made from here */
	check_way(AF_INET, CX_ROUTER_GATEWAY4, "10.9.8.1");
	check_way(AF_INET6, CX_ROUTER_GATEWAY6, "fd00:9::1");
}
END_TEST

START_TEST(link_without_ipv6_has_none)
{
	open_router();
	open_slots();
	make_link(get_slot());
	ck_assert_int_eq(read_sysctl("/proc/sys/net/ipv6/conf/eth0/disable_ipv6"), '1');
	ck_assert_int_eq(read_sysctl("/proc/sys/net/ipv6/conf/lo/disable_ipv6"), '0');
	go_home();
	close_slots();
	cx_router_close(&router, true);
}
END_TEST

START_TEST(slot_waits_for_its_link_to_go)
{
	cx_autofd int there = -EBADF;
	uint32_t slot;

	open_router();
	open_slots();
	ck_assert_uint_eq(get_slot(), 0);
	make_link(0);
	there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	go_home();
	ck_assert(cx_slots_linked(slots, 0));
	cx_slots_release(slots, 0);
	ck_assert_uint_eq(cx_slots_leaving(slots), 1);
	for (uint32_t i = 1; i < 6; i++)
		ck_assert_uint_eq(get_slot(), i);
	ck_assert_int_lt(cx_slots_get(slots, &slot, &err), 0);
	cx_close(&there);
	wait_for_links();
	ck_assert_uint_eq(get_slot(), 0);
	close_slots();
	cx_router_close(&router, true);
}
END_TEST

/* A first link goes unheard, a second gets its number: then the end of the first is heard. */
START_TEST(old_news_frees_no_slot)
{
	struct cx_timer timer = { .fire = nothing_more };
	struct cx_slot_link link;

	open_router();
	open_slots();
	cx_slots_link(slots, 0, &link);
	OK(cx_slots_take(slots, 0, link.address4, &err));
	make_link(0);
	go_home();
	for (int i = 0; i < 1000 && cx_slots_linked(slots, 0); i++)
		(void)usleep(10000);
	cx_slots_release(slots, 0);
	OK(cx_slots_take(slots, 0, link.address4, &err));
	make_link(0);
	cx_slots_release(slots, 0);
	cx_timer_set(&loop, &timer, 50);
	OK(cx_loop_run(&loop, &err));
	ck_assert_uint_eq(cx_slots_leaving(slots), 1);
	go_home();
	wait_for_links();
	close_slots();
	cx_router_close(&router, true);
}
END_TEST

START_TEST(links_of_an_earlier_start_are_in_use)
{
	cx_autofd int there = -EBADF;
	struct cx_slot_link link;

	open_router();
	open_slots();
	make_link(get_slot());
	there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	go_home();
	close_slots();
	open_slots();
	ck_assert_uint_eq(cx_slots_leaving(slots), 1);
	ck_assert_uint_eq(get_slot(), 1);
	cx_slots_link(slots, 0, &link);
	OK(cx_slots_take(slots, 0, link.address4, &err));
	ck_assert_uint_eq(cx_slots_leaving(slots), 0);
	close_slots();
	small.pool4.s_addr = htonl(0x0a010000); /* another pool: that link is cut */
	open_slots();
	ck_assert_int_lt(cx_slots_take(slots, 0, link.address4, &err), 0);
	wait_for_links();
	ck_assert(!cx_slots_linked(slots, 0));
	close_slots();
	cx_router_close(&router, true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("links");
	TCase *tc = tcase_create("links");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, router_comes_and_goes_without_a_trace);
	tcase_add_test(tc, router_is_adopted_and_repaired);
	tcase_add_test(tc, forwarding_is_only_switched_on_where_it_may);
	tcase_add_test(tc, what_is_left_of_a_router_is_discarded);
	tcase_add_test(tc, uplink_takes_addresses_that_are_free);
	tcase_add_test(tc, slots_without_links_are_given_in_turn);
	tcase_add_test(tc, recorded_slots_are_taken_by_their_address);
	tcase_add_test(tc, link_carries_both_families);
	tcase_add_test(tc, link_without_ipv6_has_none);
	tcase_add_test(tc, slot_waits_for_its_link_to_go);
	tcase_add_test(tc, old_news_frees_no_slot);
	tcase_add_test(tc, links_of_an_earlier_start_are_in_use);
	suite_add_tcase(suite, tc);
	return run_root_suite(suite);
}
