/* SPDX-License-Identifier: Apache-2.0 */
#include "net/hostaddr.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/firewall_inner.h"
#include "net/rtnl.h"

enum { EVENTS_MAX = 1024 }; /* in one turn */

struct list {
	size_t n;
	struct cx_ip at[CX_HOSTADDRS_MAX];
};

struct cx_hostaddrs {
	struct cx_loop *loop;
	struct cx_firewall *fw;
	struct cx_rtnl *rtnl;
	struct cx_source events;
	struct list own, told; /* told: what is in the router's sets */
};

static void add(struct list *list, const struct cx_ip *ip)
{
	if (list->n < CX_HOSTADDRS_MAX)
		list->at[list->n++] = *ip;
}

static bool has(const struct list *list, const struct cx_ip *ip)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->at[i].family == ip->family &&
		    memcmp(&list->at[i].v6, &ip->v6, cx_ip_size(ip)) == 0)
			return true;
	return false;
}

/* ---- what the router knows ------------------------------------------------------------------- */

static const struct own_set {
	const char *name;
	uint8_t family;
} sets[] = { { "host4", AF_INET }, { "host6", AF_INET6 } };

struct adoption {
	struct list *told;
	uint8_t family;
};

static void adopt(void *arg, const struct cx_nft_elem *elem)
{
	struct adoption *a = arg;
	struct cx_ip ip = { .family = a->family };

	memcpy(&ip.v6, elem->key.bytes, cx_ip_size(&ip));
	add(a->told, &ip);
}

/* What an earlier caissond has told. */
static int adopt_all(struct cx_hostaddrs *h, struct cx_err *err)
{
	for (size_t i = 0; i < CX_LEN(sets); i++) {
		struct adoption a = { .told = &h->told, .family = sets[i].family };

		if (cx_nft_each(&h->fw->nft, sets[i].name, adopt, &a, err) < 0)
			return -err->errnum;
	}
	return 0;
}

/* Those of one list that are not in the other. */
static void put_others(struct cx_nft_batch *batch, enum cx_nft_op op, const struct list *of,
		       const struct list *but)
{
	for (size_t i = 0; i < of->n; i++) {
		const struct cx_ip *ip = &of->at[i];
		struct cx_nft_elem elem = { 0 };

		if (has(but, ip))
			continue;
		cx_nft_key_add(&elem.key, &ip->v6, cx_ip_size(ip));
		cx_nft_put(batch, op, sets[ip->family == AF_INET6].name, &elem);
	}
}

static int tell_router(struct cx_hostaddrs *h, struct cx_err *err)
{
	CX_AUTO(cx_nft_drop) struct cx_nft_batch batch;

	cx_nft_begin(&h->fw->nft, &batch);
	put_others(&batch, CX_NFT_DELETE, &h->told, &h->own);
	put_others(&batch, CX_NFT_ADD, &h->own, &h->told);
	if (cx_nft_commit(&batch, err) < 0)
		return -err->errnum;
	h->told = h->own;
	return 0;
}

/* ---- what the host has ----------------------------------------------------------------------- */

static void note(uint32_t index, const struct cx_ip *ip, void *arg)
{
	struct list *own = arg;

	(void)index;
	if (!has(own, ip)) /* one of two links */
		add(own, ip);
}

static int look(struct cx_hostaddrs *h, struct cx_err *err)
{
	h->own.n = 0;
	if (cx_rtnl_each_address(h->rtnl, AF_INET, note, &h->own, err) < 0 ||
	    cx_rtnl_each_address(h->rtnl, AF_INET6, note, &h->own, err) < 0 ||
	    tell_router(h, err) < 0)
		return cx_wrap(err, "addresses of the host");
	return 0;
}

/* What exactly has changed does not matter, nor when some of it was lost. */
static void on_events(struct cx_source *source, uint32_t events)
{
	struct cx_hostaddrs *h = cx_container_of(source, struct cx_hostaddrs, events);
	char ignored[4096];
	struct cx_err err;

	(void)events;
	for (unsigned i = 0; i < EVENTS_MAX; i++)
		if (recv(source->fd, ignored, sizeof ignored, MSG_DONTWAIT) < 0 && errno == EAGAIN)
			break;
	if (look(h, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "refusals of new ones are not told", NULL);
}

static int listen_to_kernel(struct cx_hostaddrs *h, struct cx_err *err)
{
	const struct sockaddr_nl at = { .nl_family = AF_NETLINK,
					.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	cx_autofd int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) < 0)
		return cx_fail(err, errno, "listen to what becomes of addresses");
	h->events = (struct cx_source){ .fd = fd, .ready = on_events };
	if (cx_loop_add(h->loop, &h->events, EPOLLIN, err) < 0)
		return -err->errnum;
	(void)cx_take_fd(&fd);
	return 0;
}

/* ---- its life -------------------------------------------------------------------------------- */

int cx_hostaddrs_open(struct cx_loop *loop, struct cx_firewall *fw, struct cx_hostaddrs **ret,
		      struct cx_err *err)
{
	struct cx_hostaddrs *h = calloc(1, sizeof *h);

	if (h == NULL)
		return cx_fail(err, ENOMEM, "addresses of the host");
	h->loop = loop;
	h->fw = fw;
	/* Listening comes first: one that comes meanwhile is heard of. */
	if (cx_rtnl_open(&h->rtnl, err) < 0 || adopt_all(h, err) < 0 ||
	    listen_to_kernel(h, err) < 0 || look(h, err) < 0) {
		cx_hostaddrs_close(h);
		return -err->errnum;
	}
	*ret = h;
	return 0;
}

static void destroy(struct cx_source *source)
{
	free(cx_container_of(source, struct cx_hostaddrs, events));
}

/* An event that is on its way may still name it. */
void cx_hostaddrs_close(struct cx_hostaddrs *addrs)
{
	if (addrs == NULL)
		return;
	cx_rtnl_close(addrs->rtnl);
	if (!addrs->events.added) {
		free(addrs);
		return;
	}
	addrs->events.destroy = destroy;
	cx_loop_drop(addrs->loop, &addrs->events);
}
