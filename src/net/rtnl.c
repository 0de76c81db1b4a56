/* SPDX-License-Identifier: Apache-2.0 */
#include "net/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	CREATE = NLM_F_CREATE | NLM_F_EXCL,
	REPLACE = NLM_F_CREATE | NLM_F_REPLACE,
	BURST_MIN = 256 * 1024, /* bytes: some of the largest packets that one system call makes */
	BURST_PARTS = 50,	/* of what may leave in a second */
	QUEUE_PARTS = 20,	/* the same, of what may wait */
	LEFT_MAX = 65536,	/* packets of an answer that nobody reads */
};

struct cx_rtnl {
	struct nl_sock *sock;
	int errnum; /* what the kernel said last */
};

CX_DEFINE_AUTO(struct nl_msg *, nlmsg_free);

static int note_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	struct cx_rtnl *rtnl = arg;

	(void)from;
	rtnl->errnum = -e->error;
	return NL_STOP;
}

int cx_rtnl_open(struct cx_rtnl **ret, struct cx_err *err)
{
	CX_AUTO(cx_rtnl_closep) struct cx_rtnl *rtnl = calloc(1, sizeof *rtnl);

	if (rtnl != NULL)
		rtnl->sock = nl_socket_alloc();
	if (rtnl == NULL || rtnl->sock == NULL)
		return cx_fail(err, ENOMEM, "a netlink socket");
	if (nl_connect(rtnl->sock, NETLINK_ROUTE) < 0)
		return cx_fail(err, errno != 0 ? errno : EIO, "connect to rtnetlink");
	nl_socket_disable_auto_ack(rtnl->sock);
	nl_socket_disable_seq_check(rtnl->sock); /* drop_answer() sees to it */
	(void)nl_socket_modify_err_cb(rtnl->sock, NL_CB_CUSTOM, note_error, rtnl);
	*ret = cx_take_ptr(&rtnl);
	return 0;
}

void cx_rtnl_close(struct cx_rtnl *rtnl)
{
	if (rtnl == NULL)
		return;
	nl_socket_free(rtnl->sock);
	free(rtnl);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* A message with its fixed part, or NULL when memory is short. */
static struct nl_msg *begin(int type, int flags, const void *head, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
	void *at = msg != NULL ? nlmsg_reserve(msg, len, NLMSG_ALIGNTO) : NULL;

	if (at == NULL) {
		nlmsg_free(msg);
		return NULL;
	}
	memcpy(at, head, len);
	return msg;
}

/*
 * What is left of an answer that was not read to its end, for want of memory, say, would be taken
 * for that of the next question, and so on for ever. The kernel has answered when it was asked.
 */
static void drop_answer(const struct cx_rtnl *rtnl)
{
	int fd = nl_socket_get_fd(rtnl->sock);
	char byte;

	for (unsigned i = 0; i < LEFT_MAX; i++)
		if (recv(fd, &byte, sizeof byte, MSG_DONTWAIT) < 0 && errno != EINTR &&
		    errno != ENOBUFS)
			break;
}

/* Takes msg. An answer with content goes to fn; without fn there is only an acknowledgement. */
static int talk(struct cx_rtnl *rtnl, struct nl_msg **msg, int (*fn)(struct nl_msg *msg, void *arg),
		void *arg, struct cx_err *err)
{
	int r;

	rtnl->errnum = 0;
	if (fn == NULL)
		nlmsg_hdr(*msg)->nlmsg_flags |= NLM_F_ACK;
	else
		(void)nl_socket_modify_cb(rtnl->sock, NL_CB_VALID, NL_CB_CUSTOM, fn, arg);
	r = nl_send_auto(rtnl->sock, *msg);
	nlmsg_freep(msg);
	if (r < 0)
		return cx_fail(err, EIO, "ask the kernel: %s", nl_geterror(r));
	r = fn == NULL ? nl_wait_for_ack(rtnl->sock) : nl_recvmsgs_default(rtnl->sock);
	if (r < 0 || rtnl->errnum != 0)
		drop_answer(rtnl);
	if (rtnl->errnum != 0)
		return cx_fail(err, rtnl->errnum, "rtnetlink");
	/* A list that changed while it was told is as good as one of a moment earlier or later. */
	if (r < 0 && r != -NLE_DUMP_INTR)
		return cx_fail(err, EIO, "the kernel's answer: %s", nl_geterror(r));
	return 0;
}

static int no_memory(struct cx_err *err)
{
	return cx_fail(err, ENOMEM, "a netlink message");
}

/* ---- links ----------------------------------------------------------------------------------- */

/* Several queues for each possible processor would be the default, of which nobody has any use. */
static bool put_end(struct nl_msg *msg, const struct cx_veth_end *end, uint32_t mtu)
{
	return nla_put_string(msg, IFLA_IFNAME, end->name) == 0 &&
	       nla_put(msg, IFLA_ADDRESS, sizeof end->mac, end->mac) == 0 &&
	       nla_put_u32(msg, IFLA_MTU, mtu) == 0 &&
	       nla_put_u32(msg, IFLA_NUM_TX_QUEUES, 1) == 0 &&
	       nla_put_u32(msg, IFLA_NUM_RX_QUEUES, 1) == 0;
}

static bool put_veth(struct nl_msg *msg, const struct cx_veth_end *far, int far_ns, uint32_t mtu)
{
	/* Up comes later: the kernel does not know the other end yet when it makes this one. */
	const struct ifinfomsg head = { .ifi_index = (int)far->index,
					.ifi_flags = IFF_NOARP,
					.ifi_change = IFF_NOARP };
	struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO), *data, *peer;

	if (info == NULL || nla_put_string(msg, IFLA_INFO_KIND, "veth") < 0)
		return false;
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	peer = data != NULL ? nla_nest_start(msg, VETH_INFO_PEER) : NULL;
	if (peer == NULL ||
	    nlmsg_append(msg, (void *)(uintptr_t)&head, sizeof head, NLMSG_ALIGNTO) < 0 ||
	    !put_end(msg, far, mtu) || nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)far_ns) < 0)
		return false;
	(void)nla_nest_end(msg, peer);
	(void)nla_nest_end(msg, data);
	(void)nla_nest_end(msg, info);
	return true;
}

int cx_rtnl_add_veth(struct cx_rtnl *rtnl, const struct cx_veth_end *near,
		     const struct cx_veth_end *far, int far_ns, uint32_t mtu, struct cx_err *err)
{
	const struct ifinfomsg head = { .ifi_index = (int)near->index,
					.ifi_flags = IFF_UP | IFF_NOARP,
					.ifi_change = IFF_UP | IFF_NOARP };
	CX_AUTO(nlmsg_freep)
	struct nl_msg *msg = begin(RTM_NEWLINK, CREATE, &head, sizeof head);

	if (msg == NULL || !put_end(msg, near, mtu) || !put_veth(msg, far, far_ns, mtu))
		return no_memory(err);
	if (talk(rtnl, &msg, NULL, NULL, err) < 0)
		return cx_wrap(err, "make link %s to %s", near->name, far->name);
	return 0;
}

struct each_link {
	void (*fn)(const struct cx_link_info *link, void *arg);
	void *arg;
};

static int take_link(struct nl_msg *msg, void *arg)
{
	const struct each_link *each = arg;
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct nlattr *attrs[IFLA_MAX + 1];
	struct cx_link_info link = { 0 };

	if (h->nlmsg_type != RTM_NEWLINK ||
	    nlmsg_parse(h, sizeof(struct ifinfomsg), attrs, IFLA_MAX, NULL) < 0)
		return NL_SKIP;
	link.index = (uint32_t)((const struct ifinfomsg *)nlmsg_data(h))->ifi_index;
	if (attrs[IFLA_LINK] != NULL)
		link.peer = nla_get_u32(attrs[IFLA_LINK]);
	if (attrs[IFLA_MTU] != NULL)
		link.mtu = nla_get_u32(attrs[IFLA_MTU]);
	if (attrs[IFLA_IFNAME] != NULL)
		(void)nla_strlcpy(link.name, attrs[IFLA_IFNAME], sizeof link.name);
	each->fn(&link, each->arg);
	return NL_OK;
}

static void keep_link(const struct cx_link_info *link, void *arg)
{
	*(struct cx_link_info *)arg = *link;
}

int cx_rtnl_find_link(struct cx_rtnl *rtnl, const char *name, uint32_t index,
		      struct cx_link_info *ret, struct cx_err *err)
{
	const struct ifinfomsg head = { .ifi_index = (int)index };
	CX_AUTO(nlmsg_freep) struct nl_msg *msg = begin(RTM_GETLINK, 0, &head, sizeof head);
	struct cx_link_info found = { 0 };
	struct each_link each = { keep_link, &found };

	if (msg == NULL || (name != NULL && nla_put_string(msg, IFLA_IFNAME, name) < 0))
		return no_memory(err);
	if (talk(rtnl, &msg, take_link, &each, err) < 0)
		return name != NULL ? cx_wrap(err, "link %s", name)
				    : cx_wrap(err, "link %u", index);
	*ret = found;
	return 0;
}

int cx_rtnl_each_link(struct cx_rtnl *rtnl, void (*fn)(const struct cx_link_info *link, void *arg),
		      void *arg, struct cx_err *err)
{
	const struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	CX_AUTO(nlmsg_freep)
	struct nl_msg *msg = begin(RTM_GETLINK, NLM_F_DUMP, &head, sizeof head);
	struct each_link each = { fn, arg };

	if (msg == NULL)
		return no_memory(err);
	return talk(rtnl, &msg, take_link, &each, err) < 0 ? cx_wrap(err, "list links") : 0;
}

int cx_rtnl_remove_link(struct cx_rtnl *rtnl, uint32_t index, struct cx_err *err)
{
	const struct ifinfomsg head = { .ifi_index = (int)index };
	CX_AUTO(nlmsg_freep) struct nl_msg *msg = begin(RTM_DELLINK, 0, &head, sizeof head);

	if (msg == NULL)
		return no_memory(err);
	if (talk(rtnl, &msg, NULL, NULL, err) < 0)
		return cx_wrap(err, "remove link %u", index);
	return 0;
}

int cx_rtnl_set_link(struct cx_rtnl *rtnl, uint32_t index, uint32_t mtu, struct cx_err *err)
{
	const struct ifinfomsg head = { .ifi_index = (int)index,
					.ifi_flags = IFF_UP,
					.ifi_change = IFF_UP };
	CX_AUTO(nlmsg_freep) struct nl_msg *msg = begin(RTM_NEWLINK, 0, &head, sizeof head);

	if (msg == NULL || (mtu > 0 && nla_put_u32(msg, IFLA_MTU, mtu) < 0))
		return no_memory(err);
	return talk(rtnl, &msg, NULL, NULL, err) < 0 ? cx_wrap(err, "link %u up", index) : 0;
}

int cx_rtnl_limit(struct cx_rtnl *rtnl, uint32_t index, uint64_t bytes_s, struct cx_err *err)
{
	const struct tcmsg head = { .tcm_ifindex = (int)index, .tcm_parent = TC_H_ROOT };
	uint64_t burst = bytes_s / BURST_PARTS > BURST_MIN ? bytes_s / BURST_PARTS : BURST_MIN;
	const struct tc_tbf_qopt options = {
		.rate = { .linklayer = TC_LINKLAYER_ETHERNET,
			  .rate = bytes_s < UINT32_MAX ? (uint32_t)bytes_s : UINT32_MAX },
		.limit = (uint32_t)(burst + bytes_s / QUEUE_PARTS),
	};
	CX_AUTO(nlmsg_freep) struct nl_msg *msg = begin(RTM_NEWQDISC, REPLACE, &head, sizeof head);
	struct nlattr *nest;

	if (msg == NULL || nla_put_string(msg, TCA_KIND, "tbf") < 0)
		return no_memory(err);
	nest = nla_nest_start(msg, TCA_OPTIONS);
	if (nest == NULL || nla_put(msg, TCA_TBF_PARMS, sizeof options, &options) < 0 ||
	    nla_put_u64(msg, TCA_TBF_RATE64, bytes_s) < 0 ||
	    nla_put_u32(msg, TCA_TBF_BURST, (uint32_t)burst) < 0)
		return no_memory(err);
	(void)nla_nest_end(msg, nest);
	return talk(rtnl, &msg, NULL, NULL, err) < 0 ? cx_wrap(err, "limit of link %u", index) : 0;
}

/* ---- addresses ------------------------------------------------------------------------------- */

struct cx_ip cx_ip4(struct in_addr address)
{
	return (struct cx_ip){ .family = AF_INET, .v4 = address };
}

struct cx_ip cx_ip6(struct in6_addr address)
{
	return (struct cx_ip){ .family = AF_INET6, .v6 = address };
}

struct cx_ip cx_ip_of(const char *text)
{
	struct cx_ip ip = { .family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET };

	if (inet_pton(ip.family, text, &ip.v6) != 1)
		ip.family = AF_UNSPEC;
	return ip;
}

uint8_t cx_ip_size(const struct cx_ip *ip)
{
	return ip->family == AF_INET ? 4 : ip->family == AF_INET6 ? 16 : 0;
}

static bool put_ip(struct nl_msg *msg, int attr, const struct cx_ip *ip)
{
	return ip->family == AF_UNSPEC || nla_put(msg, attr, cx_ip_size(ip), &ip->v6) == 0;
}

/* Nobody else is on any of these links who could have the same IPv6 address: it is valid at once.
 */
int cx_rtnl_add_address(struct cx_rtnl *rtnl, uint32_t index, const struct cx_ip *ip,
			uint8_t prefix, struct cx_err *err)
{
	const struct ifaddrmsg head = { .ifa_family = ip->family,
					.ifa_prefixlen = prefix,
					.ifa_flags = ip->family == AF_INET6 ? IFA_F_NODAD : 0,
					.ifa_index = index };
	CX_AUTO(nlmsg_freep) struct nl_msg *msg = begin(RTM_NEWADDR, REPLACE, &head, sizeof head);

	if (msg == NULL || !put_ip(msg, IFA_LOCAL, ip) || !put_ip(msg, IFA_ADDRESS, ip))
		return no_memory(err);
	return talk(rtnl, &msg, NULL, NULL, err) < 0 ? cx_wrap(err, "address of link %u", index)
						     : 0;
}

struct each_address {
	void (*fn)(uint32_t index, const struct cx_ip *ip, void *arg);
	void *arg;
};

static int take_address(struct nl_msg *msg, void *arg)
{
	const struct each_address *each = arg;
	struct nlmsghdr *h = nlmsg_hdr(msg);
	const struct ifaddrmsg *head = nlmsg_data(h);
	struct nlattr *attrs[IFA_MAX + 1], *at;
	struct cx_ip ip = { 0 };

	if (h->nlmsg_type != RTM_NEWADDR ||
	    nlmsg_parse(h, sizeof(struct ifaddrmsg), attrs, IFA_MAX, NULL) < 0)
		return NL_SKIP;
	ip.family = head->ifa_family;
	at = attrs[IFA_LOCAL] != NULL ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
	if (at == NULL || cx_ip_size(&ip) == 0 || nla_len(at) != cx_ip_size(&ip))
		return NL_SKIP;
	memcpy(&ip.v6, nla_data(at), cx_ip_size(&ip));
	each->fn(head->ifa_index, &ip, each->arg);
	return NL_OK;
}

int cx_rtnl_each_address(struct cx_rtnl *rtnl, int family,
			 void (*fn)(uint32_t index, const struct cx_ip *ip, void *arg), void *arg,
			 struct cx_err *err)
{
	const struct ifaddrmsg head = { .ifa_family = (uint8_t)family };
	CX_AUTO(nlmsg_freep)
	struct nl_msg *msg = begin(RTM_GETADDR, NLM_F_DUMP, &head, sizeof head);
	struct each_address each = { fn, arg };

	if (msg == NULL)
		return no_memory(err);
	return talk(rtnl, &msg, take_address, &each, err) < 0 ? cx_wrap(err, "list addresses") : 0;
}

/* ---- routes and neighbours ------------------------------------------------------------------- */

int cx_rtnl_add_route(struct cx_rtnl *rtnl, const struct cx_route *route, struct cx_err *err)
{
	bool direct = route->via.family == AF_UNSPEC;
	const struct rtmsg head = {
		.rtm_family = direct ? route->to.family : route->via.family,
		.rtm_dst_len = route->prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = direct ? 0 : RTNH_F_ONLINK,
	};
	CX_AUTO(nlmsg_freep) struct nl_msg *msg = begin(RTM_NEWROUTE, REPLACE, &head, sizeof head);

	if (msg == NULL || !put_ip(msg, RTA_DST, &route->to) ||
	    !put_ip(msg, RTA_GATEWAY, &route->via) || !put_ip(msg, RTA_PREFSRC, &route->source) ||
	    nla_put_u32(msg, RTA_OIF, route->index) < 0)
		return no_memory(err);
	return talk(rtnl, &msg, NULL, NULL, err) < 0
		       ? cx_wrap(err, "route over link %u", route->index)
		       : 0;
}

static int take_route(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct nlattr *attrs[RTA_MAX + 1];

	if (h->nlmsg_type != RTM_NEWROUTE ||
	    nlmsg_parse(h, sizeof(struct rtmsg), attrs, RTA_MAX, NULL) < 0 ||
	    attrs[RTA_OIF] == NULL)
		return NL_SKIP;
	*(uint32_t *)arg = nla_get_u32(attrs[RTA_OIF]);
	return NL_OK;
}

int cx_rtnl_route_to(struct cx_rtnl *rtnl, const struct cx_ip *ip, uint32_t *ret_index,
		     struct cx_err *err)
{
	const struct rtmsg head = { .rtm_family = ip->family,
				    .rtm_dst_len = (uint8_t)(8 * cx_ip_size(ip)) };
	CX_AUTO(nlmsg_freep) struct nl_msg *msg = begin(RTM_GETROUTE, 0, &head, sizeof head);
	uint32_t index = 0;

	if (msg == NULL || !put_ip(msg, RTA_DST, ip))
		return no_memory(err);
	if (talk(rtnl, &msg, take_route, &index, err) < 0)
		return cx_wrap(err, "look a route up");
	if (index == 0)
		return cx_fail(err, ENETUNREACH, "look a route up");
	*ret_index = index;
	return 0;
}

int cx_rtnl_add_neighbour(struct cx_rtnl *rtnl, uint32_t index, const struct cx_ip *ip,
			  const uint8_t mac[6], struct cx_err *err)
{
	const struct ndmsg head = { .ndm_family = ip->family,
				    .ndm_ifindex = (int)index,
				    .ndm_state = NUD_PERMANENT };
	CX_AUTO(nlmsg_freep) struct nl_msg *msg = begin(RTM_NEWNEIGH, REPLACE, &head, sizeof head);

	if (msg == NULL || !put_ip(msg, NDA_DST, ip) || nla_put(msg, NDA_LLADDR, 6, mac) < 0)
		return no_memory(err);
	return talk(rtnl, &msg, NULL, NULL, err) < 0 ? cx_wrap(err, "neighbour on link %u", index)
						     : 0;
}
