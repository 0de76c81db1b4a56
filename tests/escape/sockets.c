/* SPDX-License-Identifier: Apache-2.0 */
/* Address families, netlink, options, links, and the host's own sockets. */
#include "escape/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

#include "base/cleanup.h"

enum { REPLY_MAX = 8192, SOL_IP_REPLACE = 64, BAD_PORT = 9 };

/* socket(a, b, c): a family whose module was not even asked. */
static int family(const struct probe_row *row)
{
	cx_autofd int fd = socket((int)row->a, (int)row->b | SOCK_CLOEXEC, (int)row->c);

	if (fd < 0 && (errno == EAFNOSUPPORT || errno == EPERM || errno == EACCES ||
		       errno == ENOSYS || errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT))
		return -errno;
	return probe_unreachable(fd);
}

static int pair(const struct probe_row *row)
{
	int fds[2];

	return probe_result(socketpair((int)row->a, (int)row->b | SOCK_CLOEXEC, 0, fds));
}

static int netlink(const struct probe_row *row)
{
	cx_autofd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, (int)row->a);

	if (fd < 0 && errno == EPROTONOSUPPORT)
		return -errno;
	return probe_unreachable(fd);
}

/* One rtnetlink request of type a; the kernel's verdict is in the answer. */
static int route_request(const struct probe_row *row)
{
	struct {
		struct nlmsghdr head;
		union {
			struct ifinfomsg link;
			struct ifaddrmsg address;
			struct rtmsg route;
			struct tcmsg queue;
		} body;
		struct rtattr info;
		struct rtattr kind;
		char name[8];
	} request = {
		.head = { .nlmsg_len = sizeof(request),
			  .nlmsg_type = (uint16_t)row->a,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL },
		.info = { .rta_len = sizeof(struct rtattr) * 2 + 8, .rta_type = IFLA_LINKINFO },
		.kind = { .rta_len = sizeof(struct rtattr) + 8, .rta_type = IFLA_INFO_KIND }
	};
	cx_autofd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	_Alignas(struct nlmsghdr) char reply[REPLY_MAX];
	struct nlmsghdr *head = (void *)reply;
	const struct nlmsgerr *verdict;

	if (fd < 0)
		return -errno;
	(void)strncpy(request.name, row->path, sizeof(request.name) - 1);
	if (row->a != RTM_NEWLINK)
		request.body.address = (struct ifaddrmsg){ .ifa_family = AF_INET, .ifa_index = 1 };
	else
		request.body.link.ifi_index = (int)row->b;
	if (send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	if (recv(fd, reply, sizeof(reply), 0) < (ssize_t)NLMSG_LENGTH(sizeof(*verdict)))
		return -errno;
	verdict = NLMSG_DATA(head);
	if (head->nlmsg_type == NLMSG_ERROR &&
	    (verdict->error == -EPERM || verdict->error == -EACCES))
		return verdict->error;
	probe_note("answered with %d", verdict->error);
	return PROBE_OPEN;
}

static int option(const struct probe_row *row)
{
	cx_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int value = 1000;

	return probe_unreachable(setsockopt(fd, (int)row->a, (int)row->b, &value, sizeof(value)));
}

/* The same for an option that is legal, but not with this value. */
static int option_value(const struct probe_row *row)
{
	cx_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int value = 1000;

	return probe_result(setsockopt(fd, (int)row->a, (int)row->b, &value, sizeof(value)));
}

/* TCP_ULP by name; the socket need not be connected for a refusal. */
static int upper_protocol(const struct probe_row *row)
{
	cx_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return probe_unreachable(
		setsockopt(fd, SOL_TCP, TCP_ULP, row->path, (socklen_t)strlen(row->path)));
}

/* Packet filter tables through socket options (x_tables): get and replace. */
static int tables(const struct probe_row *row)
{
	cx_autofd int fd = socket((int)row->a, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	static char info[1024] = "filter";
	socklen_t size = 84;

	if (fd < 0)
		return -errno;
	int rc = row->c == 0 ? getsockopt(fd, (int)row->b, SOL_IP_REPLACE, info, &size)
			     : setsockopt(fd, (int)row->b, SOL_IP_REPLACE, info, sizeof(info));

	if (rc < 0 && errno == ENOPROTOOPT)
		return -errno;
	return probe_unreachable(rc);
}

static int udp_encap(const struct probe_row *row)
{
	cx_autofd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int type = (int)row->a;

	if (fd < 0)
		return -errno;
	int rc = setsockopt(fd, IPPROTO_UDP, 100 /* UDP_ENCAP */, &type, sizeof(type));

	return rc < 0 && errno == ENOPROTOOPT ? -errno : probe_unreachable(rc);
}

static int link_ioctl(const struct probe_row *row)
{
	cx_autofd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_flags = 0 };

	(void)strcpy(request.ifr_name, row->path != NULL ? row->path : "lo");
	if (row->a == SIOCSIFFLAGS)
		request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	if (row->a == SIOCSIFMTU)
		request.ifr_mtu = 1500;
	return probe_result(ioctl(fd, (unsigned long)row->a, &request));
}

/* Any interface besides the loopback and the link to the router. */
static int interfaces(const struct probe_row *row)
{
	struct if_nameindex *list = if_nameindex();
	int result = -ENODEV;

	(void)row;
	for (const struct if_nameindex *i = list; list != NULL && i->if_index != 0; i++)
		/* Templates of tunnels appear in every namespace, down and without an address; eth0
		 * is the link. */
		if (strcmp(i->if_name, "lo") != 0 && strstr(i->if_name, "0") == NULL) {
			probe_note("%s", i->if_name);
			result = PROBE_OPEN;
		}
	if (list != NULL)
		if_freenameindex(list);
	return result;
}

/* What is sent nowhere says so at once, or is not answered. */
static int wait_connected(int fd)
{
	enum { WAIT_MS = 300 };
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&p, 1, WAIT_MS) != 1)
		return -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return error != 0 ? -error : PROBE_OPEN;
}

static int is_reached(const struct probe_row *row)
{
	cx_autofd int fd = socket((int)row->a, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(BAD_PORT) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(BAD_PORT) };

	if (fd < 0)
		return -errno;
	if (row->a == AF_INET) {
		(void)inet_pton(AF_INET, row->path, &four.sin_addr);
		if (connect(fd, (struct sockaddr *)&four, sizeof(four)) < 0 && errno != EINPROGRESS)
			return -errno;
		return wait_connected(fd);
	}
	(void)inet_pton(AF_INET6, row->path, &six.sin6_addr);
	if (connect(fd, (struct sockaddr *)&six, sizeof(six)) < 0 && errno != EINPROGRESS)
		return -errno;
	return wait_connected(fd);
}

static int host_abstract(const struct probe_row *row)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	cx_autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len;

	(void)row;
	if (probe_host.abstract == NULL) {
		probe_note("no --host-abstract");
		return PROBE_NA;
	}
	len = strlen(probe_host.abstract);
	if (len > sizeof(name.sun_path) - 1)
		return PROBE_NA;
	(void)memcpy(name.sun_path + 1, probe_host.abstract, len);
	return probe_result(connect(fd, (struct sockaddr *)&name,
				    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)));
}

static int host_port(const struct probe_row *row)
{
	cx_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)probe_host.port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	(void)row;
	if (probe_host.port == 0) {
		probe_note("no --host-port");
		return PROBE_NA;
	}
	return probe_result(connect(fd, (struct sockaddr *)&four, sizeof(four)));
}

/* Any abstract or named socket that is in our network namespace and not ours. */
static int foreign_sockets(const struct probe_row *row)
{
	static char text[65536];
	long size = probe_slurp("/proc/net/unix", text, sizeof(text));

	(void)row;
	if (size < 0)
		return (int)size;
	if (strstr(text, "@") != NULL || strstr(text, "/run/") != NULL) {
		probe_note("%.120s",
			   strstr(text, "@") != NULL ? strstr(text, "@") : strstr(text, "/run/"));
		return PROBE_OPEN;
	}
	return -ENOENT;
}

static int path_socket(const struct probe_row *row)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	cx_autofd int fd = socket(AF_UNIX, (int)row->a | SOCK_CLOEXEC, 0);

	(void)strncpy(name.sun_path, row->path, sizeof(name.sun_path) - 1);
	return probe_result(connect(fd, (struct sockaddr *)&name, sizeof(name)));
}

/* The agent's listening socket by each of its descriptors. */
static int agent_socket(const struct probe_row *row)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int saved = ENOENT;

	(void)row;
	for (int fd = 3; fd < 32; fd++) {
		cx_autofd int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		(void)snprintf(name.sun_path, sizeof(name.sun_path), "/proc/1/fd/%d", fd);
		if (connect(client, (struct sockaddr *)&name, sizeof(name)) == 0)
			return PROBE_OPEN;
		saved = errno;
	}
	return -saved;
}

/* Credentials that are not ours, sent along (CVE-2014-0181's kind). */
static int forged_credentials(const struct probe_row *row)
{
	struct ucred who = { .pid = (pid_t)row->a, .uid = (uid_t)row->b, .gid = 0 };
	char byte = 'x';
	struct iovec data = { &byte, 1 };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof(who)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_CREDENTIALS } };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control.space) };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	(void)memcpy(CMSG_DATA(&control.head), &who, sizeof(who));
	return probe_result(sendmsg(fds[0], &message, 0));
}

#define SAFE PROBE_SAFE_OUTSIDE
#define FAMILY(name, af, type, protocol, flags, why)               \
	{                                                          \
		name, family, NULL, af, type, protocol, flags, why \
	}
#define NETLINK(name, protocol, flags, why)                                \
	{                                                                  \
		"netlink_" name, netlink, NULL, protocol, 0, 0, flags, why \
	}
#define ROUTE(name, type, kind, why)                                      \
	{                                                                 \
		"route_" name, route_request, kind, type, 0, 0, SAFE, why \
	}
#define GONE(name, path, address)                                   \
	{                                                           \
		"no_way_" name, is_reached, address, path, 0, 0, 0, \
			"packets that leave the sandbox"            \
	}

static const struct probe_row rows[] = {
	FAMILY("packet_raw", AF_PACKET, SOCK_RAW, 0, SAFE,
	       "CVE-2020-14386; every packet of a link"),
	FAMILY("packet_dgram", AF_PACKET, SOCK_DGRAM, 0, SAFE, "CVE-2020-14386"),
	FAMILY("alg", AF_ALG, SOCK_SEQPACKET, 0, SAFE, "CVE-2026-31431"),
	FAMILY("vsock", 40, SOCK_STREAM, 0, SAFE, "the hypervisor (CVE-2025-21756)"),
	FAMILY("vsock_dgram", 40, SOCK_DGRAM, 0, 0, "the hypervisor"),
	FAMILY("key", 15, SOCK_RAW, 2, SAFE, "IPsec keys (CVE-2026-43500)"),
	FAMILY("rxrpc", 33, SOCK_DGRAM, AF_INET, 0, "CVE-2026-43500"),
	FAMILY("xdp", 44, SOCK_RAW, 0, SAFE, "frames of a link"),
	FAMILY("bluetooth", 31, SOCK_RAW, 1, 0, "a module loaded on demand"),
	FAMILY("can", 29, SOCK_RAW, 1, 0, "a module loaded on demand"),
	FAMILY("tipc", 30, SOCK_SEQPACKET, 0, 0, "CVE-2021-43267"),
	FAMILY("smc", 43, SOCK_STREAM, 0, 0, "a module loaded on demand"),
	FAMILY("rds", 21, SOCK_SEQPACKET, 0, 0, "CVE-2010-3904"),
	FAMILY("llc", 26, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("x25", 9, SOCK_SEQPACKET, 0, 0, "a module loaded on demand"),
	FAMILY("ax25", 3, SOCK_SEQPACKET, 0, 0, "a module loaded on demand"),
	FAMILY("netrom", 6, SOCK_SEQPACKET, 0, 0, "a module loaded on demand"),
	FAMILY("rose", 11, SOCK_SEQPACKET, 0, 0, "a module loaded on demand"),
	FAMILY("ipx", 4, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("appletalk", 5, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("decnet", 12, SOCK_STREAM, 0, 0, "a module loaded on demand"),
	FAMILY("econet", 19, SOCK_DGRAM, 0, 0, "CVE-2010-3848"),
	FAMILY("atm", 8, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("pppox", 24, SOCK_STREAM, 0, 0, "a module loaded on demand"),
	FAMILY("phonet", 35, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("ieee802154", 36, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("caif", 37, SOCK_SEQPACKET, 0, 0, "a module loaded on demand"),
	FAMILY("nfc", 39, SOCK_SEQPACKET, 0, 0, "a module loaded on demand"),
	FAMILY("kcm", 41, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("qipcrtr", 42, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("isdn", 34, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("mctp", 45, SOCK_DGRAM, 0, 0, "a module loaded on demand"),
	FAMILY("unknown", 46, SOCK_DGRAM, 0, 0, "what later kernels bring"),
	FAMILY("raw4_icmp", AF_INET, SOCK_RAW, IPPROTO_ICMP, SAFE, "packets with any source"),
	FAMILY("raw4_all", AF_INET, SOCK_RAW, IPPROTO_RAW, SAFE, "packets with any source"),
	FAMILY("raw4_tcp", AF_INET, SOCK_RAW, IPPROTO_TCP, SAFE, "others' connections"),
	FAMILY("raw6_icmp", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, SAFE, "packets with any source"),
	FAMILY("raw6_all", AF_INET6, SOCK_RAW, IPPROTO_RAW, SAFE, "packets with any source"),
	FAMILY("sctp", AF_INET, SOCK_STREAM, 132, 0, "a module loaded on demand"),
	FAMILY("dccp", AF_INET, 6, 33, 0, "CVE-2017-6074"),
	FAMILY("mptcp", AF_INET, SOCK_STREAM, 262, 0, "code that nobody inside needs"),
	FAMILY("udplite", AF_INET, SOCK_DGRAM, 136, 0, "code that nobody inside needs"),
	FAMILY("l2tp", AF_INET, SOCK_DGRAM, 115, 0, "CVE-2016-10200"),
	FAMILY("packet_old", AF_INET, SOCK_PACKET, 0, 0, "an old way to every packet"),
	{ "pair_tipc", pair, NULL, 30, SOCK_SEQPACKET, 0, 0, "a family by another call" },
	NETLINK("audit", 9, SAFE, "the host's audit log"),
	NETLINK("xfrm", 6, SAFE, "IPsec (CVE-2017-7184)"),
	NETLINK("netfilter", 12, SAFE, "packet filters (CVE-2024-1086)"),
	NETLINK("generic", 16, SAFE, "families loaded on demand"),
	NETLINK("uevent", 15, SAFE, "events for the host's udev"),
	NETLINK("crypto", 21, 0, "CVE-2013-7421"),
	NETLINK("selinux", 7, 0, "policy of security modules"),
	NETLINK("iscsi", 8, 0, "CVE-2021-27365"),
	NETLINK("fib", 10, SAFE, "routes by another way"),
	NETLINK("connector", 11, SAFE, "every fork of the machine"),
	NETLINK("scsi", 18, 0, "disks"),
	NETLINK("rdma", 20, 0, "devices"),
	NETLINK("nflog", 5, 0, "a dead interface"),
	NETLINK("usersock", 2, SAFE, "messages between processes that no group limits"),
	NETLINK("ecryptfs", 19, 0, "a dead interface"),
	NETLINK("smc", 22, 0, "a module loaded on demand"),
	ROUTE("link_dummy", RTM_NEWLINK, "dummy", "links of one's own"),
	ROUTE("link_bridge", RTM_NEWLINK, "bridge", "links of one's own"),
	ROUTE("link_veth", RTM_NEWLINK, "veth", "links to others"),
	ROUTE("address", RTM_NEWADDR, "", "other addresses"),
	ROUTE("route", RTM_NEWROUTE, "", "other routes"),
	ROUTE("qdisc", RTM_NEWQDISC, "pfifo", "queueing disciplines (CVE-2023-31436)"),
	ROUTE("filter", RTM_NEWTFILTER, "u32", "classifiers (CVE-2023-1829)"),
	{ "option_mark", option, NULL, SOL_SOCKET, SO_MARK, 0, SAFE,
	  "routing decisions of the host" },
	{ "option_rcvforce", option, NULL, SOL_SOCKET, SO_RCVBUFFORCE, 0, SAFE,
	  "buffers of any size" },
	{ "option_sndforce", option, NULL, SOL_SOCKET, SO_SNDBUFFORCE, 0, SAFE,
	  "buffers of any size" },
	{ "option_priority", option, NULL, SOL_SOCKET, SO_PRIORITY, 0, SAFE,
	  "a place before others" },
	{ "option_debug", option, NULL, SOL_SOCKET, SO_DEBUG, 0, SAFE, "the kernel's log" },
	{ "option_transparent", option, NULL, IPPROTO_IP, 19, 0, SAFE, "addresses of others" },
	{ "option_attach_bpf", option_value, NULL, SOL_SOCKET, 50, 0, 0, "programs of others" },
	{ "option_xfrm", option, NULL, IPPROTO_IP, 17, 0, 0, "CVE-2017-7184 by an option" },
	{ "ulp_tls", upper_protocol, "tls", 0, 0, 0, SAFE, "kernel TLS (CVE-2023-0461)" },
	{ "ulp_smc", upper_protocol, "smc", 0, 0, 0, 0, "a module loaded on demand" },
	{ "ulp_espintcp", upper_protocol, "espintcp", 0, 0, 0, 0, "CVE-2026-43503" },
	{ "ulp_any", upper_protocol, "no-such", 0, 0, 0, 0, "modules loaded by name" },
	{ "udp_encap_esp", udp_encap, NULL, 2, 0, 0, 0, "IPsec in UDP" },
	{ "tables4_get", tables, NULL, AF_INET, IPPROTO_IP, 0, 0, "packet filters" },
	{ "tables4_set", tables, NULL, AF_INET, IPPROTO_IP, 1, 0, "CVE-2021-22555" },
	{ "tables6_get", tables, NULL, AF_INET6, IPPROTO_IPV6, 0, 0, "packet filters" },
	{ "tables6_set", tables, NULL, AF_INET6, IPPROTO_IPV6, 1, 0, "CVE-2021-22555" },
	{ "link_flags", link_ioctl, NULL, SIOCSIFFLAGS, 0, 0, SAFE, "links up and down" },
	{ "link_mtu", link_ioctl, NULL, SIOCSIFMTU, 0, 0, SAFE, "settings of links" },
	{ "link_eth0_flags", link_ioctl, "eth0", SIOCSIFFLAGS, 0, 0, 0, "the link to the router" },
	{ "link_eth0_mtu", link_ioctl, "eth0", SIOCSIFMTU, 0, 0, 0, "the same" },
	{ "link_eth0_address", link_ioctl, "eth0", SIOCSIFHWADDR, 0, 0, 0, "the same" },
	{ "link_bridge", link_ioctl, NULL, SIOCBRADDBR, 0, 0, 0, "links of one's own" },
	{ "link_rename", link_ioctl, NULL, SIOCSIFNAME, 0, 0, 0, "settings of links" },
	{ "link_hwtstamp", link_ioctl, NULL, SIOCSHWTSTAMP, 0, 0, 0, "settings of links" },
	{ "interfaces", interfaces, NULL, 0, 0, 0, 0, "a link that was not meant to be there" },
	GONE("test_net", AF_INET, "192.0.2.1"),
	GONE("metadata", AF_INET, "169.254.169.254"),
	GONE("private_10", AF_INET, "10.0.0.1"),
	GONE("private_172", AF_INET, "172.17.0.1"),
	GONE("private_192", AF_INET, "192.168.0.1"),
	GONE("multicast", AF_INET, "224.0.0.1"),
	GONE("documentation6", AF_INET6, "2001:db8::1"),
	GONE("metadata6", AF_INET6, "fd00:ec2::254"),
	{ "host_abstract", host_abstract, NULL, 0, 0, 0, 0,
	  "services of the host (CVE-2020-15257)" },
	{ "host_port", host_port, NULL, 0, 0, 0, 0, "services of the host" },
	{ "foreign_sockets", foreign_sockets, NULL, 0, 0, 0, 0, "services of the host" },
	{ "api_socket", path_socket, "/run/caisson/caisson.sock", SOCK_STREAM, 0, 0, 0,
	  "the engine's API" },
	{ "agent_path", path_socket, "/run/caisson/agent.sock", SOCK_SEQPACKET, 0, 0, 0,
	  "the agent's commands" },
	{ "agent_fd", agent_socket, NULL, 0, 0, 0, 0, "the agent's commands" },
	{ "docker_socket", path_socket, "/var/run/docker.sock", SOCK_STREAM, 0, 0, 0,
	  "an engine that is root" },
	{ "syslog_socket", path_socket, "/dev/log", SOCK_DGRAM, 0, 0, 0, "the host's log" },
	{ "forged_uid", forged_credentials, NULL, 0, 65536, 0, 0, "an id of the host, claimed" },
	{ "forged_pid", forged_credentials, NULL, 0, 0, 0, 0, "the kernel's pid, claimed" },
};

const struct probe_group probe_sockets = { "socket", rows, CX_LEN(rows) };
