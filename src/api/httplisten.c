/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http_inner.h"
#include "api/identity.h"
#include "api/tcp.h"
#include "base/fd.h"
#include "base/log.h"

enum {
	HEADER_MEMORY = 128 * 1024, /* of one connection: its headers, then a window on its body */
	SWEEP_MS = 5000,	    /* between looks at slow connections */
	PAUSE_MS = 100,		    /* when nobody can be accepted */
	ACCEPTS = 16,		    /* at a time: others are served in between */
};

/* ---- connections --------------------------------------------------------------------------- */

void cx_http_enter(struct cx_request *req, enum cx_peer_phase phase)
{
	if (req->from->peer.phase != phase)
		cx_peers_move(&req->from->at->peers, &req->from->peer, phase, cx_now_ms());
}

static struct cx_connection *connection_of(struct cx_peer *peer)
{
	return cx_container_of(peer, struct cx_connection, peer);
}

/* libmicrohttpd sees its end and closes it. */
static void shut(struct cx_peer *peer)
{
	(void)shutdown(connection_of(peer)->fd, SHUT_RDWR);
}

/* Ends the streams of keys and accounts that are not good any more. True: there are others. */
static bool sweep_streams(const struct cx_listener *at)
{
	bool again = false;

	for (struct cx_peer *p = at->peers.lists[CX_PEER_SERVED].first; p != NULL; p = p->next) {
		struct cx_connection *c = connection_of(p);

		if (!c->streams)
			continue;
		c->streams = cx_identity_holds(at->http->o.auth, &c->caller);
		again |= c->streams;
		if (!c->streams)
			shut(p);
	}
	return again;
}

static void release(struct cx_listener *at)
{
	if (--at->holders == 0)
		free(at);
}

static void listener_gone(struct cx_source *source)
{
	release(cx_container_of(source, struct cx_listener, source));
}

static void door_gone(struct cx_source *source)
{
	release(cx_container_of(source, struct cx_listener, door));
}

static void close_listener(struct cx_listener *at)
{
	struct cx_listener **link = &at->http->listeners;

	while (*link != at)
		link = &(*link)->next;
	*link = at->next;
	at->closing = true;
	MHD_stop_daemon(at->daemon);
	cx_timer_clear(&at->pause);
	cx_loop_drop(at->http->o.loop, &at->door);
	cx_loop_drop(at->http->o.loop, &at->source);
	release(at);
}

static void on_sweep(struct cx_timer *timer)
{
	struct cx_http *http = cx_container_of(timer, struct cx_http, sweep);
	uint64_t now_ms = cx_now_ms();
	bool again = false;

	for (struct cx_listener *at = http->listeners; at != NULL; at = at->next) {
		again |= cx_peers_sweep(&at->peers, now_ms);
		again |= sweep_streams(at);
	}
	if (again)
		cx_timer_set(http->o.loop, timer, SWEEP_MS);
}

static void sweep_later(struct cx_http *http)
{
	if (http->sweep.link == NULL)
		cx_timer_set(http->o.loop, &http->sweep, SWEEP_MS);
}

void cx_http_note_stream(struct cx_request *req)
{
	req->from->streams = true;
	req->from->caller = req->caller;
	sweep_later(req->http);
}

void cx_request_recheck(const struct cx_request *req)
{
	cx_timer_set(req->http->o.loop, &req->http->sweep, 0);
}

static void ask_uid(struct cx_connection *c)
{
	struct ucred peer;
	socklen_t len = sizeof peer;

	c->has_uid =
		getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && len == sizeof peer;
	c->uid = c->has_uid ? peer.uid : (uid_t)-1;
}

static uint64_t origin_of(const struct cx_connection *c, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	if (!c->at->local)
		return info != NULL ? cx_peer_origin(info->client_addr) : 0;
	if (!c->has_uid || c->uid == 0 || c->uid == geteuid())
		return 0;
	return (uint64_t)CX_PEER_UID << 32 | c->uid;
}

static void run(struct cx_listener *at);
static void set_timer(struct cx_http *http);

/*
 * libmicrohttpd misses the end that has come together with the last bytes: it waits for a change of
 * the descriptor, and reads no further when a read has given less than was asked for. So what it
 * knows of is read, and then this is a change. (What has arrived stays to be read.)
 */
static void show_end(struct cx_connection *c)
{
	c->ended = true;
	run(c->at);
	set_timer(c->at->http);
	if (!c->watch.dead)
		(void)shutdown(c->fd, SHUT_RD);
}

static void client_moved(struct cx_source *watch, uint32_t events)
{
	struct cx_connection *c = cx_container_of(watch, struct cx_connection, watch);

	c->gone = c->gone || (events & (EPOLLHUP | EPOLLERR)) != 0;
	if (!c->ended)
		show_end(c);
	if (!watch->dead && c->req != NULL)
		cx_http_client_ended(c->req);
}

static void free_connection(struct cx_source *watch)
{
	free(cx_container_of(watch, struct cx_connection, watch));
}

static void open_connection(struct cx_listener *at, struct MHD_Connection *connection,
			    void **context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct cx_connection *c = calloc(1, sizeof *c);
	struct cx_err err;

	if (c == NULL)
		return;
	c->at = at;
	c->fd = info != NULL ? info->connect_fd : -EBADF;
	c->watch = (struct cx_source){ .fd = c->fd,
				       .ready = client_moved,
				       .destroy = free_connection };
	if (cx_loop_add(at->http->o.loop, &c->watch, EPOLLRDHUP | EPOLLET, &err) < 0) {
		free(c);
		return;
	}
	*context = c;
	if (at->local)
		ask_uid(c);
	cx_peers_add(&at->peers, &c->peer, origin_of(c, connection), cx_now_ms());
	sweep_later(at->http);
}

/* When its epoll_ctl() fails libmicrohttpd drops a connection without ending its request. */
static void end_request(struct MHD_Connection *connection, void *req)
{
	cx_http_on_completed(NULL, connection, &req, MHD_REQUEST_TERMINATED_WITH_ERROR);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct cx_connection *c = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		open_connection(cls, connection, context);
		return;
	}
	if (c == NULL)
		return;
	*context = NULL;
	end_request(connection, c->req);
	cx_http_end_connection(c);
	cx_peers_remove(&c->at->peers, &c->peer);
	cx_loop_leave(c->at->http->o.loop, &c->watch); /* and c is freed */
}

/* ---- the loop ------------------------------------------------------------------------------ */

/* Runs libmicrohttpd once more: with a loop of our own it cannot wake itself up. */
void cx_http_run_soon(struct cx_http *http)
{
	http->resumed = true;
	cx_timer_set(http->o.loop, &http->timer, 0);
}

void cx_http_resume(struct cx_request *req)
{
	if (!req->suspended)
		return;
	req->suspended = false;
	MHD_resume_connection(req->connection);
	cx_http_run_soon(req->http);
}

static void set_timer(struct cx_http *http)
{
	MHD_UNSIGNED_LONG_LONG next = http->resumed ? 0 : UINT64_MAX, one;

	for (const struct cx_listener *at = http->listeners; at != NULL; at = at->next)
		if (MHD_get_timeout(at->daemon, &one) == MHD_YES && one < next)
			next = one;
	if (next != UINT64_MAX)
		cx_timer_set(http->o.loop, &http->timer, next);
	else
		cx_timer_clear(&http->timer);
}

static void run(struct cx_listener *at)
{
	(void)MHD_run(at->daemon);
}

static void on_ready(struct cx_source *source, uint32_t events)
{
	struct cx_listener *at = cx_container_of(source, struct cx_listener, source);

	(void)events;
	run(at);
	set_timer(at->http);
}

static void on_timer(struct cx_timer *timer)
{
	struct cx_http *http = cx_container_of(timer, struct cx_http, timer);

	http->resumed = false;
	for (struct cx_listener *at = http->listeners; at != NULL; at = at->next)
		run(at);
	set_timer(http);
}

/* ---- listeners ----------------------------------------------------------------------------- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%00" stays as it is: decoded, it would cut the path behind the back of the route table. */
static size_t unescape(void *cls, struct MHD_Connection *connection, char *s)
{
	char *to = s;

	(void)cls;
	(void)connection;
	for (const char *from = s; *from != '\0'; from++) {
		int high = from[0] == '%' ? hex_value(from[1]) : -1;
		int low = high >= 0 ? hex_value(from[2]) : -1;

		if (low >= 0 && high + low > 0) {
			*to++ = (char)(high << 4 | low);
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return (size_t)(to - s);
}

__attribute__((format(printf, 2, 0))) static void log_mhd(void *cls, const char *fmt, va_list args)
{
	char text[256];

	(void)cls;
	(void)vsnprintf(text, sizeof text, fmt, args);
	cx_log(CX_LOG_DEBUG, "libmicrohttpd", "says", text, NULL);
}

int cx_http_open(const struct cx_http_options *options, struct cx_http **ret, struct cx_err *err)
{
	struct cx_http *http = calloc(1, sizeof *http);

	if (http == NULL)
		return cx_fail(err, ENOMEM, "http server");
	http->o = *options;
	http->timer.fire = on_timer;
	http->sweep.fire = on_sweep;
	http->lingers.loop = options->loop;
	if (cx_http_find_queue(http, err) < 0) {
		free(http);
		return -err->errnum;
	}
	if (options->tls_cert != NULL &&
	    cx_tlsfront_open(options->loop, options->tls_cert, options->tls_key, &http->front,
			     err) < 0) {
		free(http);
		return cx_wrap(err, "--tls-cert and --tls-key");
	}
	*ret = http;
	return 0;
}

/* MHD_USE_TURBO: it closes without shutdown(), so that there may be a last word of ours. */
static struct MHD_Daemon *start_daemon(struct cx_listener *at)
{
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE |
			 MHD_USE_ERROR_LOG | MHD_USE_TURBO | MHD_USE_NO_LISTEN_SOCKET;

	return MHD_start_daemon(
		flags, 0, NULL, NULL, cx_http_on_access, at, MHD_OPTION_EXTERNAL_LOGGER, log_mhd,
		NULL, MHD_OPTION_NOTIFY_COMPLETED, cx_http_on_completed, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, at, MHD_OPTION_CONNECTION_LIMIT,
		at->most, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CX_HTTP_IDLE_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_MEMORY,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
		MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_END);
}

/* A connection in the clear, from the front. */
static void take_plain(void *arg, int plain, const struct sockaddr *addr, socklen_t len)
{
	struct cx_listener *at = arg;

	(void)MHD_add_connection(at->daemon, plain, addr, len); /* which closes it on failure */
	cx_http_run_soon(at->http);
}

static void pause_accepting(struct cx_listener *at)
{
	struct cx_err err;

	(void)!cx_loop_change(at->http->o.loop, &at->door, 0, &err);
	cx_timer_set(at->http->o.loop, &at->pause, PAUSE_MS);
}

static void accept_again(struct cx_timer *timer)
{
	struct cx_listener *at = cx_container_of(timer, struct cx_listener, pause);
	struct cx_err err;

	if (cx_loop_change(at->http->o.loop, &at->door, EPOLLIN, &err) < 0)
		cx_timer_set(at->http->o.loop, timer, PAUSE_MS);
}

static bool is_full(const struct cx_listener *at)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(at->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info != NULL && info->num_connections >= at->most;
}

/*
 * libmicrohttpd would do it, but after one want of a descriptor or of memory it accepts nobody
 * until a client leaves, which may be never.
 */
static void door_ready(struct cx_source *source, uint32_t events)
{
	struct cx_listener *at = cx_container_of(source, struct cx_listener, door);

	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage addr = { 0 };
		socklen_t len = sizeof addr;
		int sock;

		if (is_full(at)) {
			pause_accepting(at);
			return;
		}
		sock = accept4(source->fd, (struct sockaddr *)&addr, &len,
			       SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (sock >= 0) {
			take_plain(at, sock, (struct sockaddr *)&addr, len);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accepting(at);
		return;
	}
}

static int open_door(struct cx_listener *at, int *sock, struct cx_err *err)
{
	at->door = (struct cx_source){ .fd = *sock, .ready = door_ready, .destroy = door_gone };
	at->pause.fire = accept_again;
	if (cx_loop_add(at->http->o.loop, &at->door, EPOLLIN, err) < 0)
		return -err->errnum;
	at->holders++;
	(void)cx_take_fd(sock); /* the loop's now */
	return 0;
}

/* Serves what connects to *sock, which is taken over when there is a daemon. */
static int open_listener(struct cx_listener *at, int *sock, struct cx_err *err)
{
	struct cx_http *http = at->http;
	const union MHD_DaemonInfo *info;

	at->most = at->local ? http->o.connections_max : http->o.strangers_max;
	cx_peers_open(&at->peers, at->most - at->most / 16, shut);
	at->daemon = start_daemon(at);
	if (at->daemon == NULL)
		return cx_fail(err, EIO, "start libmicrohttpd");
	at->next = http->listeners;
	http->listeners = at;
	if ((at->tls ? cx_tlsfront_listen(http->front, sock, at->most, take_plain, at, err)
		     : open_door(at, sock, err)) < 0)
		return -err->errnum;
	info = MHD_get_daemon_info(at->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	at->source.ready = on_ready;
	at->source.destroy = listener_gone;
	at->source.fd = fcntl(info->epoll_fd, F_DUPFD_CLOEXEC, 3);
	if (at->source.fd < 0)
		return cx_fail(err, errno, "duplicate the epoll descriptor");
	if (cx_loop_add(http->o.loop, &at->source, EPOLLIN, err) < 0)
		return -err->errnum;
	at->holders++;
	return 0;
}

static bool is_unix(int sock)
{
	int domain;
	socklen_t len = sizeof domain;

	return getsockopt(sock, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

int cx_http_listen(struct cx_http *http, int *sock, bool local, struct cx_err *err)
{
	cx_autofd int taken = cx_take_fd(sock);
	struct cx_listener *at;

	if (http->n == CX_HTTP_LISTENERS_MAX)
		return cx_refuse(err, CX_LIMIT, "more than %d listening sockets",
				 CX_HTTP_LISTENERS_MAX);
	if (cx_set_nonblock(taken, true, err) < 0)
		return -err->errnum;
	at = calloc(1, sizeof *at);
	if (at == NULL)
		return cx_fail(err, ENOMEM, "http server");
	*at = (struct cx_listener){
		.http = http, .local = local, .holders = 1, .tls = !local && http->front != NULL
	};
	at->sees_gone = !at->tls && is_unix(taken);
	cx_tcp_tune(taken);
	if (open_listener(at, &taken, err) < 0) {
		if (at->daemon == NULL)
			free(at);
		return -err->errnum;
	}
	http->n++;
	return 0;
}

int cx_http_renew(struct cx_http *http, const char *cert, const char *key, struct cx_err *err)
{
	return http->front != NULL ? cx_tlsfront_renew(http->front, cert, key, err) : 0;
}

void cx_http_close(struct cx_http *http)
{
	cx_timer_clear(&http->timer);
	cx_timer_clear(&http->sweep);
	if (http->front != NULL)
		cx_tlsfront_close(http->front);
	while (http->listeners != NULL)
		close_listener(http->listeners);
	cx_lingers_close(&http->lingers);
	free(http);
}
