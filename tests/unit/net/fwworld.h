/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_TESTS_FWWORLD_H
#define CX_TESTS_FWWORLD_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "check_main.h"

#include "engine/fwload.h"
#include "net/firewall.h"

/*
 * A world for packets, in namespaces that end with the process (Check forks for each test):
 *
 *	a, b (sandboxes of slots 0 and 1) --- router --- home (the host) --- out (all else)
 */
enum { HOME, OUT, ROUTER, A, B, NPLACES };
#define OUT4	 "198.51.100.1"
#define OUT4B	 "198.51.100.2"
#define OUT6	 "2001:db8::1"
#define PRIVATE4 "10.6.6.6" /* of out */
#define ALLOWED4 "10.5.5.5" /* the same; in allow_private */
#define SERVICE4 "10.9.9.9" /* the same; a service, on port 80 */
#define SERVICE6 "2001:db8:9::9"
#define HOST4	 "203.0.113.1" /* of home; a service on port 8080 */
#define HOST6	 "fd98::1"     /* the same */
#define A4	 "100.96.0.1"
#define B4	 "100.96.0.2"
#define A6	 "fd77::1"
#define GATEWAY4 CX_ROUTER_GATEWAY4
#define GATEWAY6 CX_ROUTER_GATEWAY6

struct world {
	int place[NPLACES];
	struct cx_router router;
	struct cx_firewall_plan plan;
	struct cx_firewall *fw;
};

static inline void enter(const struct world *w, int place)
{
	ck_assert_int_eq(setns(w->place[place], CLONE_NEWNET), 0);
}

__attribute__((format(printf, 3, 4))) static inline void run(const struct world *w, int place,
							     const char *fmt, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, fmt);
	ck_assert_int_lt(vsnprintf(command, sizeof command, fmt, ap), (int)sizeof command);
	va_end(ap);
	enter(w, place);
	ck_assert_msg(system(command) == 0, "%s", command);
}

/* ---- sockets --------------------------------------------------------------------------------- */

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

static inline struct address address(const char *text, unsigned port)
{
	struct address r = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&r.sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&r.sa;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		r.len = sizeof *v4;
		return r;
	}
	ck_assert_int_eq(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	r.len = sizeof *v6;
	return r;
}

static inline int make_socket(const struct world *w, int place, const char *like, int type)
{
	int fd;

	enter(w, place);
	fd = socket(strchr(like, ':') != NULL ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* A server's socket; of TCP it listens. */
static inline int serve(const struct world *w, int place, const char *at, unsigned port, int type)
{
	static const int on = 1;
	int fd = make_socket(w, place, at, type);
	struct address a = address(at, port);

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
	if (strchr(at, ':') != NULL)
		ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on), 0);
	ck_assert_msg(bind(fd, (struct sockaddr *)&a.sa, a.len) == 0, "bind %s %u: %s", at, port,
		      strerror(errno));
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 4096), 0);
	return fd;
}

static inline bool is_ready(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) == 1;
}

/* How long to wait for what is to come, and for what is not. */
enum { COMES_MS = 2000, SILENT_MS = 200 };

/* Connects within ms. Returns 0 or the error; *ret_fd is kept when that is not NULL. */
static inline int dial_for(const struct world *w, int place, const char *to, unsigned port, int ms,
			   int *ret_fd)
{
	cx_autofd int fd = make_socket(w, place, to, SOCK_STREAM | SOCK_NONBLOCK);
	struct address a = address(to, port);
	int e = 0;
	socklen_t len = sizeof e;

	if (connect(fd, (struct sockaddr *)&a.sa, a.len) < 0 && errno != EINPROGRESS)
		return errno;
	if (!is_ready(fd, POLLOUT, ms))
		return ETIMEDOUT;
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len), 0);
	if (e == 0 && ret_fd != NULL)
		*ret_fd = cx_take_fd(&fd);
	return e;
}

static inline int dial(const struct world *w, int place, const char *to, unsigned port, int *ret_fd)
{
	return dial_for(w, place, to, port, COMES_MS, ret_fd);
}

/* Where nothing is answered. */
static inline bool is_silent(const struct world *w, int place, const char *to, unsigned port)
{
	return dial_for(w, place, to, port, SILENT_MS, NULL) != 0;
}

/* A datagram of len bytes there and its answer back, through a server's socket. */
static inline int ask(const struct world *w, int place, const char *to, unsigned port, int server,
		      size_t len)
{
	static char buf[16384];
	cx_autofd int fd = make_socket(w, place, to, SOCK_DGRAM);
	struct address a = address(to, port), from = { .len = sizeof from.sa };
	struct pollfd either[2];

	if (connect(fd, (struct sockaddr *)&a.sa, a.len) < 0)
		return errno;
	if (send(fd, buf, len, 0) < 0)
		return errno;
	either[0] = (struct pollfd){ .fd = server, .events = POLLIN };
	either[1] = (struct pollfd){ .fd = fd, .events = POLLIN };
	if (poll(either, 2, COMES_MS) > 0 && either[0].revents != 0) {
		ck_assert_int_eq(recvfrom(server, buf, sizeof buf, 0, (struct sockaddr *)&from.sa,
					  &from.len),
				 (int)len);
		ck_assert_int_eq(sendto(server, buf, len, 0, (struct sockaddr *)&from.sa, from.len),
				 (int)len);
	}
	if (!is_ready(fd, POLLIN, COMES_MS))
		return ETIMEDOUT;
	return recv(fd, buf, sizeof buf, 0) < 0 ? errno : 0;
}

/* Whether an echo request of ICMP is answered: 0, or the error. */
static inline int echo(const struct world *w, const char *to)
{
	const uint8_t request[] = { 8, 0, 0xf7, 0xff, 0, 0, 0, 0 };
	cx_autofd int fd = -EBADF;
	struct address a = address(to, 0);
	uint8_t buf[64];

	enter(w, A);
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a.sa, a.len), 0);
	ck_assert_int_eq(send(fd, request, sizeof request, 0), sizeof request);
	while (is_ready(fd, POLLIN, 300)) {
		if (recv(fd, buf, sizeof buf, 0) < 0)
			return errno;
		if (buf[20] == 0)
			return 0;
	}
	return ETIMEDOUT;
}

/* The server's end of the newest connection. */
static inline int take_newest(int listener)
{
	int fd = -EBADF;

	while (is_ready(listener, POLLIN, fd < 0 ? 1000 : 0)) {
		cx_close(&fd);
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ck_assert_int_ge(fd, 0);
	}
	return fd;
}

static inline bool passes_for(int from, int to, int ms)
{
	char c = 'x';

	(void)!send(from, &c, 1, MSG_NOSIGNAL);
	return is_ready(to, POLLIN, ms) && recv(to, &c, 1, MSG_DONTWAIT) == 1;
}

/* Whether a byte sent at one end of a connection comes out at the other. */
static inline bool passes(int from, int to)
{
	return passes_for(from, to, COMES_MS);
}

static inline bool is_cut(int from, int to)
{
	return !passes_for(from, to, SILENT_MS);
}

/* ---- making it ------------------------------------------------------------------------------- */

static inline int new_place(void)
{
	int fd;

	ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(system("ip link set lo up"), 0);
	return fd;
}

static inline void join(const struct world *w, int near, const char *name, int far,
			const char *far_name)
{
	run(w, near, "ip link add %s type veth peer name %s netns /proc/%d/fd/%d", name, far_name,
	    (int)getpid(), w->place[far]);
	run(w, near, "ip link set %.*s up", (int)strcspn(name, " "), name);
	run(w, far, "ip link set %.*s up", (int)strcspn(far_name, " "), far_name);
}

static inline void add_addresses(const struct world *w, int place, const char *dev,
				 const char *const *list)
{
	for (; *list != NULL; list++)
		run(w, place, "ip addr add %s dev %s%s", *list, dev,
		    strchr(*list, ':') != NULL ? " nodad" : "");
}

static inline void make_sandbox(const struct world *w, int place, unsigned slot)
{
	char name[64];

	(void)snprintf(name, sizeof name, "s%u index %u address 02:00:00:00:00:01", slot,
		       CX_ROUTER_LINK_INDEX + slot);
	join(w, ROUTER, name, place, "eth0 address 02:00:00:00:00:01");
	run(w, ROUTER,
	    "ip link set s%u arp off && ip route add 100.96.0.%u dev s%u && "
	    "ip -6 route add fd77::%u dev s%u",
	    slot, slot + 1, slot, slot + 1, slot);
	run(w, place,
	    "ip link set eth0 arp off && ip addr add 100.96.0.%u/32 dev eth0 && "
	    "ip addr add fd77::%u/128 dev eth0 nodad && "
	    "ip route add default via 169.254.1.1 dev eth0 onlink && "
	    "ip -6 route add default via fe80::1 dev eth0",
	    slot + 1, slot + 1);
}

static inline void make_places(struct world *w)
{
	static const char *const of_router[] = { GATEWAY4 "/32", GATEWAY6 "/128", NULL };
	static const char *const of_uplink[] = { "169.254.9.1/31", "fd99::1/127", NULL };
	static const char *const of_home[] = { "169.254.9.0/31", "fd99::/127", NULL };
	static const char *const of_home_lan[] = { HOST4 "/24", HOST6 "/64", NULL };
	static const char *const of_out_lan[] = { "203.0.113.2/24", "fd98::2/64", NULL };
	static const char *const of_out[] = { OUT4 "/32",      OUT4B "/32",
					      PRIVATE4 "/32",  ALLOWED4 "/32",
					      SERVICE4 "/32",  OUT6 "/128",
					      SERVICE6 "/128", NULL };

	for (int i = 0; i < NPLACES; i++)
		w->place[i] = new_place();
	join(w, ROUTER, "uplink index 15", HOME, "cxtest");
	join(w, HOME, "lan", OUT, "lan");
	add_addresses(w, ROUTER, "lo", of_router);
	add_addresses(w, ROUTER, "uplink", of_uplink);
	add_addresses(w, HOME, "cxtest", of_home);
	add_addresses(w, HOME, "lan", of_home_lan);
	add_addresses(w, OUT, "lan", of_out_lan);
	add_addresses(w, OUT, "lo", of_out);
	run(w, ROUTER,
	    "ip route add default via 169.254.9.0 && ip -6 route add default via fd99::");
	run(w, HOME, "ip route add default via 203.0.113.2 && ip -6 route add default via fd98::2");
	make_sandbox(w, A, 0);
	make_sandbox(w, B, 1);
	for (int i = HOME; i <= ROUTER; i += ROUTER - HOME)
		run(w, i,
		    "echo 1 >/proc/sys/net/ipv4/ip_forward && "
		    "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
}

static const struct cx_netrule test_allowed[] = {
	{ .family = 4, .prefix = 16, .address = { 10, 5 } },
};
static const struct cx_service test_services[] = {
	{ .name = "mirror", .family = 4, .port = 80, .address = { 10, 9, 9, 9 } },
	{ .name = "mirror6",
	  .family = 6,
	  .port = 80,
	  .address = { 0x20, 0x01, 0x0d, 0xb8, 0, 9, [15] = 9 } },
	{ .name = "host6", .family = 6, .port = 8080, .address = { 0xfd, 0x98, [15] = 1 } },
	{ .name = "host", .family = 4, .port = 8080, .address = { 203, 0, 113, 1 } },
};

static inline void open_firewall(struct world *w)
{
	struct cx_err err = { 0 };
	int r = cx_firewall_open(&w->plan, &w->fw, &err);

	ck_assert_msg(r == 0, "%s", err.msg);
}

/* The whole, with a firewall that is open and closed policies. */
static inline void make_world(struct world *w)
{
	static char program[PATH_MAX];

	ck_assert_ptr_nonnull(realpath("caisson-firewall", program));
	make_places(w);
	w->router = (struct cx_router){ .netns = w->place[ROUTER],
					.home = w->place[HOME],
					.ip6 = true,
					.host_name = "cxtest" };
	ck_assert_int_eq(inet_pton(AF_INET, "169.254.9.0", &w->router.host4), 1);
	ck_assert_int_eq(inet_pton(AF_INET, "169.254.9.1", &w->router.uplink4), 1);
	ck_assert_int_eq(inet_pton(AF_INET6, "fd99::", &w->router.host6), 1);
	ck_assert_int_eq(inet_pton(AF_INET6, "fd99::1", &w->router.uplink6), 1);
	w->plan = (struct cx_firewall_plan){ .router = &w->router,
					     .load = cx_fwload,
					     .arg = program,
					     .table = "caisson-test",
					     .slots = 16,
					     .allowed = test_allowed,
					     .nallowed = CX_LEN(test_allowed),
					     .services = test_services,
					     .nservices = CX_LEN(test_services),
					     .connections = 1000,
					     .packets = 100000 };
	enter(w, HOME);
	open_firewall(w);
}

/* Sets the policy of a slot; rules are written as in "198.51.100.0/24 tcp 80-90". */
static inline struct cx_netrule rule_of(const char *text)
{
	struct cx_netrule rule = { 0 };
	char host[64], protocol[8] = "";
	unsigned prefix, low = 0, high = 0;
	int n = sscanf(text, "%63[^/]/%u %7s %u-%u", host, &prefix, protocol, &low, &high);

	ck_assert_int_ge(n, 2);
	rule.family = strchr(host, ':') != NULL ? 6 : 4;
	rule.prefix = (uint8_t)prefix;
	ck_assert_int_eq(inet_pton(rule.family == 6 ? AF_INET6 : AF_INET, host, rule.address), 1);
	rule.protocol = strcmp(protocol, "tcp") == 0   ? IPPROTO_TCP
			: strcmp(protocol, "udp") == 0 ? IPPROTO_UDP
						       : 0;
	rule.low = (uint16_t)low;
	rule.high = (uint16_t)(n == 5 ? high : low);
	return rule;
}

static inline uint32_t put_policy(struct world *w, uint32_t slot, struct cx_firewall_policy policy,
				  const char *const *texts)
{
	struct cx_netrule rules[64] = { 0 };
	struct cx_err err = { 0 };
	uint32_t number = 0;
	int r;

	for (; texts != NULL && texts[policy.nrules] != NULL; policy.nrules++)
		rules[policy.nrules] = rule_of(texts[policy.nrules]);
	policy.rules = rules;
	r = cx_firewall_set(w->fw, slot, &policy, &number, &err);
	ck_assert_msg(r == 0, "%s", err.msg);
	ck_assert_uint_eq(cx_firewall_number(w->fw, slot), number);
	return number;
}

static inline uint32_t set_policy(struct world *w, uint32_t slot, enum cx_egress mode,
				  uint32_t link, const char *const *texts)
{
	return put_policy(w, slot, (struct cx_firewall_policy){ .mode = mode, .link = link },
			  texts);
}

/* An allow-list that has names, too. */
static inline uint32_t set_names(struct world *w, uint32_t slot, const char *const *texts)
{
	const struct cx_firewall_policy policy = { .mode = CX_EGRESS_ALLOW, .names = true };

	return put_policy(w, slot, policy, texts);
}
/* With other limits. */
static inline void reopen(struct world *w, uint32_t connections, uint32_t packets)
{
	cx_firewall_close(w->fw, false);
	w->plan.connections = connections;
	w->plan.packets = packets;
	enter(w, HOME);
	open_firewall(w);
}

/* ---- packets by hand ------------------------------------------------------------------------- */

static inline void send_packet(const struct world *w, const char *from, const char *to,
			       uint16_t port, uint16_t id, uint16_t fragment)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
		char text[4];
	} packet = { .ip = { .version = 4, .ihl = 5, .ttl = 9, .protocol = IPPROTO_UDP } };
	struct address a = address(to, 0);
	cx_autofd int fd = -EBADF;

	packet.ip.saddr = inet_addr(from);
	packet.ip.daddr = inet_addr(to);
	packet.ip.tot_len = htons(sizeof packet);
	packet.ip.id = htons(id);
	packet.ip.frag_off = htons(fragment);
	packet.udp = (struct udphdr){ .source = htons(999),
				      .dest = htons(port),
				      .len = htons(sizeof packet - sizeof packet.ip) };
	enter(w, A);
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	ck_assert_int_eq(sendto(fd, &packet, sizeof packet, 0, (struct sockaddr *)&a.sa, a.len),
			 sizeof packet);
}

static inline void send_raw(const struct world *w, const char *from, const char *to, uint16_t port)
{
	send_packet(w, from, to, port, 0, 0);
}

/* Of sandbox A in a file's own world. */
#define PASSES(to, port)  ck_assert_int_eq(dial(&w, A, to, port, NULL), 0)
#define REFUSED(to, port) ck_assert_int_eq(dial(&w, A, to, port, NULL), ECONNREFUSED)
#define RULES(...)	  ((const char *const[]){ __VA_ARGS__, NULL })

#endif
