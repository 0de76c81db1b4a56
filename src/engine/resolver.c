/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/egress.h"
#include "engine/nameservers.h"
#include "proto/resolver_msgs.h"

enum {
	PORT = 53,
	BACKLOG = 512,
	RECEIVE_BYTES = 1 << 20, /* questions of all sandboxes that wait for their turn */
	FDS = CX_RESOLVER_FD_TCP6 + 1,
	FILES = 4096,
	BACKOFF_MS = 100, /* when it died quickly, doubling */
	BACKOFF_MS_MAX = 5000,
	QUICKLY_MS = 10000,
	RESOLV_CONF_MAX = 65536,
	BIND_TRIES = 200,
	BIND_PAUSE_MS = 10,
};
#define MEMORY	   ((uint64_t)1 << 30)
#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)

static void start_or_retry(struct cx_timer *timer);

/* ---- its sockets ----------------------------------------------------------------------------- */

static int bind_one(const struct cx_router *router, int type, const struct sockaddr *at,
		    socklen_t len, int *ret, struct cx_err *err)
{
	cx_autofd int sock = cx_router_socket(router, at->sa_family, type | SOCK_NONBLOCK, 0, err);
	int on = 1, bytes = RECEIVE_BYTES;

	if (sock < 0)
		return sock;
	/* Without the right to more than the host's limit, the usual size does. */
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	if (setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    (at->sa_family == AF_INET6 &&
	     setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
	    bind(sock, at, len) < 0 || (type == SOCK_STREAM && listen(sock, BACKLOG) < 0))
		return cx_fail(err, errno, "bind in the router's network namespace");
	*ret = cx_take_fd(&sock);
	return 0;
}

static int bind_all(struct cx_resolver *r, struct cx_err *err)
{
	const struct cx_router *router = &r->host->router;
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	const struct sockaddr *at4 = (const void *)&v4, *at6 = (const void *)&v6;

	(void)inet_pton(AF_INET, CX_ROUTER_GATEWAY4, &v4.sin_addr);
	(void)inet_pton(AF_INET6, CX_ROUTER_GATEWAY6, &v6.sin6_addr);
	if (bind_one(router, SOCK_DGRAM, at4, sizeof v4, &r->udp, err) < 0 ||
	    bind_one(router, SOCK_STREAM, at4, sizeof v4, &r->tcp, err) < 0)
		return -err->errnum;
	if (router->ip6 && (bind_one(router, SOCK_DGRAM, at6, sizeof v6, &r->udp6, err) < 0 ||
			    bind_one(router, SOCK_STREAM, at6, sizeof v6, &r->tcp6, err) < 0))
		return -err->errnum;
	r->denials = cx_firewall_listen(r->host->firewall, err);
	return r->denials < 0 ? r->denials : 0;
}

static void close_sockets(struct cx_resolver *r)
{
	cx_close(&r->udp);
	cx_close(&r->tcp);
	cx_close(&r->udp6);
	cx_close(&r->tcp6);
	cx_close(&r->denials);
}

/* The resolver of a caissond that was killed a moment ago may still be on its way out. */
static int bind_patiently(struct cx_resolver *r, struct cx_err *err)
{
	static const struct timespec pause = { .tv_nsec = BIND_PAUSE_MS * 1000000L };

	for (unsigned i = 0; bind_all(r, err) < 0; i++) {
		close_sockets(r);
		if ((err->errnum != EADDRINUSE && err->errnum != EBUSY) || i == BIND_TRIES)
			return cx_wrap(err, "sockets of the resolver");
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

int cx_resolver_open(struct cx_resolver *ret, struct cx_host *host,
		     const struct cx_resolver_watch *watch, struct cx_err *err)
{
	*ret = (struct cx_resolver){ .host = host,
				     .watch = *watch,
				     .udp = -EBADF,
				     .tcp = -EBADF,
				     .udp6 = -EBADF,
				     .tcp6 = -EBADF,
				     .denials = -EBADF,
				     .timer = { .fire = start_or_retry } };
	return host->firewall != NULL ? bind_patiently(ret, err) : 0;
}

/* ---- what it is told ------------------------------------------------------------------------- */

#define CX_AS_SEND(id, name, FIELDS)                                                             \
	CX_MUST static int send_##name(struct cx_link *link, uint32_t request,                   \
				       const struct cx_msg_##name *m, struct cx_err *err)        \
	{                                                                                        \
		CX_UNINITIALIZED uint8_t out[CX_PACKET_HEADER + FIELDS(CX_AS_SIZE) 0];           \
		struct cx_writer w = { .p = out + CX_PACKET_HEADER,                              \
				       .left = sizeof out - CX_PACKET_HEADER };                  \
                                                                                                 \
		if (!cx_msg_##name##_put(&w, m))                                                 \
			return cx_refuse(err, CX_INTERNAL, "message '" #name "' out of bounds"); \
		return cx_link_send(link, out, (size_t)(w.p - out), id, request, NULL, 0, err);  \
	}
CX_AS_SEND(CX_MSG_service, service, CX_FIELDS_SERVICE)
CX_AS_SEND(CX_MSG_upstream, upstream, CX_FIELDS_UPSTREAM)
CX_AS_SEND(CX_MSG_services_end, services_end, CX_FIELDS_NONE)
CX_AS_SEND(CX_MSG_permitted, permitted, CX_FIELDS_NONE)
CX_AS_SEND(CX_MSG_permit_error, permit_error, CX_FIELDS_PERMIT_ERROR)
CX_AS_SEND(CX_MSG_pools, pools, CX_FIELDS_POOLS)
CX_AS_SEND(CX_MSG_reachable, reachable, CX_FIELDS_REACHABLE)

static struct cx_str view(const void *bytes, size_t len)
{
	return (struct cx_str){ .p = bytes, .len = (uint32_t)len };
}

static int tell_pools(struct cx_resolver *r, struct cx_err *err)
{
	struct cx_slot_link first;
	struct cx_msg_pools m;

	cx_slots_link(r->host->slots, 0, &first);
	m = (struct cx_msg_pools){
		.base4 = view(&first.address4, sizeof first.address4),
		.base6 = view(&first.address6, r->host->router.ip6 ? sizeof first.address6 : 0),
		.slots = cx_slots_count(r->host->slots),
		.ifindex = CX_ROUTER_LINK_INDEX,
	};
	return send_pools(r->link, 0, &m, err);
}

static int tell_declared(struct cx_resolver *r, struct cx_err *err)
{
	const struct cx_config *c = r->host->config;

	for (uint32_t i = 0; i < c->nservices; i++) {
		const struct cx_service *s = &c->services[i];
		const struct cx_msg_service m = { .name = cx_str_of(s->name),
						  .address =
							  view(s->address, s->family == 4 ? 4 : 16),
						  .port = s->port };

		if (send_service(r->link, 0, &m, err) < 0)
			return -err->errnum;
	}
	for (uint32_t i = 0; i < c->nprivate_nets; i++) {
		const struct cx_netrule *net = &c->private_nets[i];
		const struct cx_msg_reachable m = { .address = view(net->address,
								    net->family == 4 ? 4 : 16),
						    .prefix = net->prefix };

		if (send_reachable(r->link, 0, &m, err) < 0)
			return -err->errnum;
	}
	return 0;
}

/* Those of the host are looked up anew for each resolver: they change as the host moves. */
static unsigned find_upstream(const struct cx_config *c, struct sockaddr_in6 *ret)
{
	char text[RESOLV_CONF_MAX];
	struct cx_err err;
	unsigned n = 0;

	if (c->nupstream > 0) {
		memcpy(ret, c->upstream, c->nupstream * sizeof *ret);
		return (unsigned)c->nupstream;
	}
	if (cx_read_small_file(AT_FDCWD, "/etc/resolv.conf", text, sizeof text, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "name servers of the host are not known", NULL);
	else if ((n = cx_nameservers_of(text, ret)) == 0)
		cx_log(CX_LOG_WARNING,
		       "no name server in /etc/resolv.conf: sandboxes resolve "
		       "names of their own only",
		       NULL);
	return n;
}

static int tell_upstream(struct cx_resolver *r, struct cx_err *err)
{
	struct sockaddr_in6 servers[CX_NAMESERVERS_MAX];
	unsigned n = find_upstream(r->host->config, servers);

	for (unsigned i = 0; i < n; i++) {
		bool v4 = IN6_IS_ADDR_V4MAPPED(&servers[i].sin6_addr);
		const uint8_t *bytes = servers[i].sin6_addr.s6_addr;
		const struct cx_msg_upstream m = {
			.address = view(bytes + (v4 ? 12 : 0), v4 ? 4 : 16),
			.port = ntohs(servers[i].sin6_port),
		};

		if (send_upstream(r->link, 0, &m, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int tell_all(struct cx_resolver *r, struct cx_err *err)
{
	static const struct cx_msg_services_end end;

	if (tell_pools(r, err) < 0 || tell_declared(r, err) < 0 || tell_upstream(r, err) < 0)
		return -err->errnum;
	return send_services_end(r->link, 0, &end, err);
}

/* ---- what it asks ---------------------------------------------------------------------------- */

static void end(struct cx_resolver *r, const struct cx_err *why)
{
	cx_log_err(CX_LOG_ERROR, why, "the resolver broke the protocol and is replaced", NULL);
	cx_link_close(r->link);
	r->link = NULL;
	if (r->child != NULL)
		cx_child_signal(r->child, SIGKILL);
}

static int answer_permit(struct cx_resolver *r, uint32_t request, const struct cx_msg_permit *m,
			 struct cx_err *err)
{
	static const struct cx_msg_permitted granted;
	struct cx_msg_permit_error refusal;
	struct cx_err why;

	if (cx_egress_permit(r->host, m, &why) == 0)
		return send_permitted(r->link, request, &granted, err);
	refusal = (struct cx_msg_permit_error){ .kind = why.kind,
						.errnum = why.refused ? 0 : (uint32_t)why.errnum,
						.text = cx_str_of(why.msg) };
	return send_permit_error(r->link, request, &refusal, err);
}

static void on_packet(void *owner, struct cx_packet *packet)
{
	struct cx_resolver *r = owner;
	struct cx_msg_permit m;
	struct cx_err err;

	if (packet->type != CX_MSG_permit || packet->nfds > 0 ||
	    !cx_msg_permit_get(&packet->body, &m)) {
		(void)cx_refuse(&err, CX_INVALID, "message %u of %u descriptors", packet->type,
				packet->nfds);
		end(r, &err);
	} else if (answer_permit(r, packet->request, &m, &err) < 0) {
		end(r, &err);
	}
}

static void on_closed(void *owner, const struct cx_err *err)
{
	struct cx_resolver *r = owner;

	if (err != NULL)
		cx_log_err(CX_LOG_ERROR, err, "connection to the resolver broke", NULL);
	cx_link_close(r->link);
	r->link = NULL;
	if (r->child != NULL)
		cx_child_signal(r->child, SIGKILL);
}

static const struct cx_link_ops link_ops = { .packet = on_packet, .closed = on_closed };

/* ---- its life -------------------------------------------------------------------------------- */

static void again(struct cx_resolver *r, bool by_itself)
{
	bool quickly = cx_now_ms() - r->started_ms < QUICKLY_MS;

	if (!r->wanted)
		return;
	/* The first death is answered at once; only one that keeps dying has to wait. */
	r->backoff_ms = !quickly		     ? 0
			: r->backoff_ms == 0	     ? 1
			: r->backoff_ms < BACKOFF_MS ? BACKOFF_MS
						     : r->backoff_ms * 2;
	/* It ends by itself when the gateway is gone, which is about to be heard here, too. */
	if (by_itself && r->backoff_ms < BACKOFF_MS)
		r->backoff_ms = BACKOFF_MS;
	if (r->backoff_ms > BACKOFF_MS_MAX)
		r->backoff_ms = BACKOFF_MS_MAX;
	cx_timer_set(&r->host->loop, &r->timer, r->backoff_ms);
}

static void exited(void *owner, const struct cx_child_end *how)
{
	bool by_itself = how->code == CLD_EXITED && how->status == 0;
	struct cx_resolver *r = owner;
	char text[48];

	r->child = NULL;
	cx_link_close(r->link);
	r->link = NULL;
	cx_log(by_itself ? CX_LOG_DEBUG : CX_LOG_WARNING, "resolver ended", "how",
	       cx_child_describe(how, text, sizeof text), NULL);
	again(r, by_itself);
}

static int execute(struct cx_resolver *r, int control, int gateway, struct cx_err *err)
{
	struct cx_host *h = r->host;
	const int fds[FDS] = { -EBADF, STDERR_FILENO, STDERR_FILENO, control, gateway,
			       r->udp, r->tcp,	      r->denials,    r->udp6, r->tcp6 };
	char path[CX_CONFIG_TEXT + 32], name[] = "caisson-resolver", owner[CX_ID_OWNER_MAX];
	char *argv[] = { name, NULL };
	struct cx_process_plan plan = { .path = path,
					.argv = argv,
					.envp = cx_host_environment,
					.fds = fds,
					.nfds = FDS,
					.namespaces = NAMESPACES,
					.nofile = FILES,
					.address_space = MEMORY,
					.die_with_parent = 1,
					.new_mounts = 1 };

	if (cx_format(path, sizeof path, "%s/caisson-resolver", err, h->config->libexec) < 0 ||
	    cx_format(owner, sizeof owner, "%s/lock", err, h->dirs.run_path) < 0 ||
	    (r->uid_base == 0 && cx_ids_reserve(&h->ids, owner, &r->uid_base, err) < 0))
		return -err->errnum;
	plan.uid_base = r->uid_base;
	return cx_child_start(&h->loop, &plan, exited, r, &r->child, err);
}

static int make_pair(int *ret_ours, int *ret_theirs, struct cx_err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail(err, errno, "socket pair");
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

static int start(struct cx_resolver *r, int *ret_gateway, struct cx_err *err)
{
	cx_autofd int ours = -EBADF, theirs = -EBADF, asks = -EBADF, answers = -EBADF;

	if (make_pair(&ours, &theirs, err) < 0 || make_pair(&asks, &answers, err) < 0 ||
	    execute(r, theirs, answers, err) < 0)
		return -err->errnum;
	if (cx_link_open(&r->host->loop, &r->host->packet, &ours, &link_ops, r, &r->link, err) <
		    0 ||
	    tell_all(r, err) < 0) {
		cx_child_signal(r->child, SIGKILL); /* its end leads to the next */
		return -err->errnum;
	}
	*ret_gateway = cx_take_fd(&asks);
	return 0;
}

static void start_or_retry(struct cx_timer *timer)
{
	struct cx_resolver *r = cx_container_of(timer, struct cx_resolver, timer);
	cx_autofd int gateway = -EBADF;
	struct cx_err err;

	r->started_ms = cx_now_ms();
	if (start(r, &gateway, &err) == 0) {
		r->watch.started(r->watch.arg, gateway);
		return;
	}
	cx_log_err(CX_LOG_ERROR, &err, "resolver did not start", NULL);
	if (r->child == NULL)
		again(r, false);
}

void cx_resolver_start(struct cx_resolver *resolver)
{
	if (resolver->host->firewall == NULL)
		return;
	cx_resolver_stop(resolver);
	resolver->wanted = true;
	start_or_retry(&resolver->timer);
}

void cx_resolver_stop(struct cx_resolver *resolver)
{
	resolver->wanted = false;
	resolver->backoff_ms = 0;
	cx_timer_clear(&resolver->timer);
	cx_link_close(resolver->link);
	resolver->link = NULL;
	cx_child_forget(resolver->child, true);
	resolver->child = NULL;
}

void cx_resolver_close(struct cx_resolver *resolver)
{
	if (resolver->host == NULL)
		return;
	cx_resolver_stop(resolver);
	if (resolver->uid_base != 0)
		cx_ids_release(&resolver->host->ids, resolver->uid_base);
	resolver->uid_base = 0;
	close_sockets(resolver);
}
