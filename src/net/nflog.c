/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "net/firewall_inner.h"

enum {
	RECEIVE_BUFFER = 1 << 20, /* bytes; what does not fit is lost, which is fine */
	FLUSH_CENTISECONDS = 20,  /* the kernel gathers messages for so long */
};

static struct nlmsghdr *config(char *buf, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *group = mnl_nlmsg_put_extra_header(nlh, sizeof *group);

	nlh->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = seq;
	*group = (struct nfgenmsg){ .version = NFNETLINK_V0,
				    .res_id = htons(CX_FIREWALL_LOG_GROUP) };
	return nlh;
}

/* The kernel has answered when sendto() returns. */
static int ask(int sock, const struct nlmsghdr *nlh, struct cx_err *err)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	char buf[1024];
	ssize_t n;

	if (sendto(sock, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return cx_fail(err, errno, "ask for refused packets");
	n = recv(sock, buf, sizeof buf, MSG_DONTWAIT);
	if (n < 0 || mnl_cb_run(buf, (size_t)n, nlh->nlmsg_seq, 0, NULL, NULL) < 0)
		return cx_fail(err, errno, "ask for refused packets");
	return 0;
}

int cx_firewall_listen(const struct cx_firewall *fw, struct cx_err *err)
{
	static const int bytes = RECEIVE_BUFFER, on = 1;
	struct nfulnl_msg_config_cmd bind_group = { .command = NFULNL_CFG_CMD_BIND };
	struct nfulnl_msg_config_mode mode = { .copy_range = htonl(CX_FIREWALL_LOG_BYTES),
					       .copy_mode = NFULNL_COPY_PACKET };
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	cx_autofd int sock =
		cx_router_socket(fw->router, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER, err);
	struct nlmsghdr *nlh;
	char buf[256];

	if (sock < 0)
		return sock;
	if (bind(sock, (struct sockaddr *)&any, sizeof any) < 0 ||
	    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0 ||
	    setsockopt(sock, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on) < 0)
		return cx_fail(err, errno, "a socket for refused packets");
	nlh = config(buf, 1);
	mnl_attr_put(nlh, NFULA_CFG_CMD, sizeof bind_group, &bind_group);
	if (ask(sock, nlh, err) < 0)
		return -err->errnum;
	nlh = config(buf, 2);
	mnl_attr_put(nlh, NFULA_CFG_MODE, sizeof mode, &mode);
	mnl_attr_put_u32(nlh, NFULA_CFG_TIMEOUT, htonl(FLUSH_CENTISECONDS));
	if (ask(sock, nlh, err) < 0 || cx_set_nonblock(sock, true, err) < 0)
		return -err->errnum;
	return cx_take_fd(&sock);
}
