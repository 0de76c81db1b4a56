/* SPDX-License-Identifier: Apache-2.0 */
#include "net/setup.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "net/keep.h"
#include "net/sysctl.h"
#include "net/uplink.h"

enum { LO = 1 };

static int open_rtnl(void *arg, struct cx_err *err)
{
	return cx_rtnl_open(arg, err);
}

/* ---- settings -------------------------------------------------------------------------------- */

static const struct cx_sysctl_row settings[] = {
	{ "net/ipv4/ip_forward", "1", "it is a router", CX_SYSCTL_ALWAYS },
	{ "net/ipv4/conf/all/rp_filter", "0", "the ruleset looks at sources, and more strictly",
	  CX_SYSCTL_ALWAYS },
	{ "net/ipv4/conf/default/rp_filter", "0", "the same", CX_SYSCTL_ALWAYS },
	{ "net/ipv4/conf/all/send_redirects", "0", "no sandbox is to hear of a way to another",
	  CX_SYSCTL_ALWAYS },
	{ "net/ipv4/conf/default/send_redirects", "0", "the same", CX_SYSCTL_ALWAYS },
	{ "net/ipv4/conf/all/accept_redirects", "0", "nobody tells it where to send",
	  CX_SYSCTL_ALWAYS },
	{ "net/ipv4/conf/default/accept_redirects", "0", "the same", CX_SYSCTL_ALWAYS },
	{ "net/ipv4/conf/all/accept_source_route", "0", "the same", CX_SYSCTL_ALWAYS },
	{ "net/ipv4/icmp_ratemask", "0",
	  "who is refused hears it each time; the ruleset has limits per sandbox",
	  CX_SYSCTL_ALWAYS },
	{ "net/ipv6/conf/all/disable_ipv6", "1", "nobody has an address", CX_SYSCTL_WITHOUT_IP6 },
	{ "net/ipv6/conf/default/disable_ipv6", "1", "the same", CX_SYSCTL_WITHOUT_IP6 },
	{ "net/ipv6/conf/all/disable_ipv6", "0", "an earlier caissond may have had none",
	  CX_SYSCTL_WITH_IP6 },
	{ "net/ipv6/conf/default/disable_ipv6", "0", "the same", CX_SYSCTL_WITH_IP6 },
	{ "net/ipv6/conf/all/forwarding", "1", "it is a router", CX_SYSCTL_WITH_IP6 },
	{ "net/ipv6/conf/all/accept_redirects", "0", "nobody tells it where to send",
	  CX_SYSCTL_WITH_IP6 },
	{ "net/ipv6/conf/default/accept_redirects", "0", "the same", CX_SYSCTL_WITH_IP6 },
	{ "net/ipv6/conf/default/accept_ra", "0", "the same", CX_SYSCTL_WITH_IP6 },
	{ "net/ipv6/conf/default/addr_gen_mode", "1",
	  "links have the addresses that they are given, no others", CX_SYSCTL_WITH_IP6 },
	{ "net/ipv6/icmp/ratelimit", "0", "as with IPv4", CX_SYSCTL_WITH_IP6 },
};

static int write_settings(void *arg, struct cx_err *err)
{
	const struct cx_router *r = arg;

	if (cx_sysctl_write("/proc/sys", settings, CX_LEN(settings), r->ip6, err) < 0)
		return cx_wrap(err, "setting of the router");
	return 0;
}

static int add_gateway(struct cx_rtnl *inside, const struct cx_router *r, struct cx_err *err)
{
	const struct cx_ip ip4 = cx_ip_of(CX_ROUTER_GATEWAY4), ip6 = cx_ip_of(CX_ROUTER_GATEWAY6);

	if (cx_rtnl_set_link(inside, LO, 0, err) < 0 ||
	    cx_rtnl_add_address(inside, LO, &ip4, 32, err) < 0)
		return cx_wrap(err, "the router's lo");
	if (r->ip6 && cx_rtnl_add_address(inside, LO, &ip6, 128, err) < 0)
		return cx_wrap(err, "the router's lo");
	return 0;
}

/* ---- the host's side ------------------------------------------------------------------------- */

CX_DEFINE_AUTO(struct if_nameindex *, if_freenameindex);

/* A host that forwards believes routers only where it is told to: those it believes today, it does.
 */
static void go_on_believing_routers(void)
{
	CX_AUTO(if_freenameindexp) struct if_nameindex *links = if_nameindex();
	char path[96], text[16];
	struct cx_err err;
	unsigned i;

	for (i = 0; links != NULL && links[i].if_index != 0; i++)
		if (cx_format(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/accept_ra", &err,
			      links[i].if_name) >= 0 &&
		    cx_read_small_file(AT_FDCWD, path, text, sizeof text, &err) >= 0 &&
		    text[0] == '1' && cx_write_file(AT_FDCWD, path, "2", &err) < 0)
			cx_log_err(CX_LOG_WARNING, &err, "routers not believed any more", NULL);
}

static int allow_forwarding(const char *path, bool may, struct cx_err *err)
{
	char full[64], text[16];

	if (cx_format(full, sizeof full, "/proc/sys/%s", err, path) < 0 ||
	    cx_read_small_file(AT_FDCWD, full, text, sizeof text, err) < 0)
		return -err->errnum;
	if (text[0] == '1')
		return 0;
	if (!may)
		return cx_refuse(
			err, CX_UNAVAILABLE,
			"this host does not forward packets, which sandboxes need: set %s to 1, "
			"or [network] forward = yes, or [network] enabled = no",
			path);
	if (strstr(path, "ipv6") != NULL)
		go_on_believing_routers();
	if (cx_write_file(AT_FDCWD, full, "1", err) < 0)
		return cx_wrap(err, "switch forwarding on");
	cx_log(CX_LOG_INFO, "forwarding switched on", "sysctl", path, NULL);
	return 0;
}

/* Its own end has nothing to listen to and nobody to talk to. */
static const struct cx_sysctl_row end4[] = {
	{ "forwarding", "1", "sandboxes go out by it", CX_SYSCTL_ALWAYS },
	{ "accept_redirects", "0", "nobody tells the host where to send", CX_SYSCTL_ALWAYS },
	{ "send_redirects", "0", "the router has one way", CX_SYSCTL_ALWAYS },
};
static const struct cx_sysctl_row end6[] = {
	{ "disable_ipv6", "0", "the host may make links without", CX_SYSCTL_WITH_IP6 },
	{ "disable_ipv6", "1", "nobody has an address", CX_SYSCTL_WITHOUT_IP6 },
	{ "accept_ra", "0", "nobody tells the host where to send", CX_SYSCTL_WITH_IP6 },
};

static int set_host_end(const struct cx_router *r, struct cx_err *err)
{
	char dir4[64], dir6[64];

	if (cx_format(dir4, sizeof dir4, "/proc/sys/net/ipv4/conf/%s", err, r->host_name) < 0 ||
	    cx_format(dir6, sizeof dir6, "/proc/sys/net/ipv6/conf/%s", err, r->host_name) < 0 ||
	    cx_sysctl_write(dir4, end4, CX_LEN(end4), r->ip6, err) < 0 ||
	    cx_sysctl_write(dir6, end6, CX_LEN(end6), r->ip6, err) < 0)
		return cx_wrap(err, "setting of the uplink");
	return 0;
}

static int prepare_host(const struct cx_router *r, bool may, struct cx_err *err)
{
	if (allow_forwarding("net/ipv4/ip_forward", may, err) < 0)
		return -err->errnum;
	if (r->ip6 && allow_forwarding("net/ipv6/conf/all/forwarding", may, err) < 0)
		return -err->errnum;
	return set_host_end(r, err);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_netns(struct cx_err *err)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? fd : cx_fail(err, errno, "open a network namespace");
}

static int make_netns(const struct cx_router *r, struct cx_err *err)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return cx_fail(err, errno, "new network namespace");
	fd = open_netns(err);
	cx_router_leave(r->home);
	return fd;
}

static int find_or_make_netns(const struct cx_router_plan *plan, struct cx_router *r,
			      struct cx_err *err)
{
	r->netns = cx_keep_find(plan->run_path, r->mounts, err);
	r->adopted = r->netns >= 0;
	if (r->adopted)
		return 0;
	if (r->netns != -ENOENT)
		return r->netns;
	r->netns = make_netns(r, err);
	if (r->netns < 0 || cx_keep(plan->run_path, r->mounts, r->netns, err) < 0)
		return -err->errnum;
	return 0;
}

static int open_surroundings(const struct cx_router_plan *plan, struct cx_router *r,
			     struct cx_err *err)
{
	r->run_path = plan->run_path;
	r->ip6 = plan->ip6;
	if (cx_format(r->host_name, sizeof r->host_name, "cx%s", err, plan->instance) < 0)
		return -err->errnum;
	r->home = open_netns(err);
	if (r->home < 0)
		return -err->errnum;
	r->mounts = cx_keep_mounts(plan->run_path, plan->run, plan->mounts, err);
	return r->mounts < 0 ? -err->errnum : 0;
}

static int open_parts(const struct cx_router_plan *plan, struct cx_router *r, struct cx_err *err)
{
	CX_AUTO(cx_rtnl_closep) struct cx_rtnl *host = NULL;
	CX_AUTO(cx_rtnl_closep) struct cx_rtnl *inside = NULL;

	if (open_surroundings(plan, r, err) < 0 || find_or_make_netns(plan, r, err) < 0 ||
	    cx_rtnl_open(&host, err) < 0 || cx_router_run(r, open_rtnl, &inside, err) < 0 ||
	    cx_router_run(r, write_settings, r, err) < 0 || add_gateway(inside, r, err) < 0 ||
	    cx_uplink_open(host, inside, r, err) < 0)
		return -err->errnum;
	return prepare_host(r, plan->forward, err);
}

int cx_router_open(const struct cx_router_plan *plan, struct cx_router *ret, struct cx_err *err)
{
	struct cx_router r = CX_ROUTER_NONE;

	if (open_parts(plan, &r, err) < 0) {
		cx_router_close(&r, r.netns >= 0 && !r.adopted);
		return cx_wrap(err, "network of the sandboxes (see [network] enabled)");
	}
	*ret = r;
	return 0;
}

void cx_router_discard(const struct cx_router_plan *plan)
{
	struct cx_router r = CX_ROUTER_NONE;
	struct cx_err err;

	if (open_surroundings(plan, &r, &err) == 0) {
		r.netns = cx_keep_find(plan->run_path, r.mounts, &err);
		if (r.netns >= 0)
			cx_log(CX_LOG_INFO, "network of an earlier start is removed", NULL);
	}
	cx_router_close(&r, true);
}

/* The namespace goes by itself with its last link and a moment later; its end here goes now. */
void cx_router_close(struct cx_router *router, bool clean)
{
	CX_AUTO(cx_rtnl_closep) struct cx_rtnl *host = NULL;
	struct cx_err err;

	if (clean && router->netns >= 0) {
		if (cx_rtnl_open(&host, &err) == 0)
			cx_uplink_remove(host, router);
		cx_keep_drop(router->run_path, router->mounts);
	}
	cx_close(&router->netns);
	cx_close(&router->home);
	cx_close(&router->mounts);
}
