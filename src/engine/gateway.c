/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "engine/listen.h"

enum {
	BACKLOG = 512,
	FILES = 16384,	  /* connections, pipes of running commands */
	BACKOFF_MS = 100, /* when it died quickly, doubling */
	BACKOFF_MS_MAX = 5000,
	QUICKLY_MS = 10000,
	GRACE_MS = 3000, /* between being asked to stop and being made to */
	FIRST_PIPE = 6,	 /* admin key, certificates and their keys */
	FIXED_FDS = FIRST_PIPE + 1 + 2 * CX_CERTIFICATE_MAX,
};

/* ---- what it is given ------------------------------------------------------------------------ */

static int bind_unix(struct cx_gateway *g, struct cx_err *err)
{
	cx_autofd int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct cx_dirs *d = &g->host->dirs;
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	(void)snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/caisson.sock", d->run);
	if (unlinkat(d->run, "caisson.sock", 0) < 0 && errno != ENOENT)
		return cx_fail(err, errno, "remove the old '%s/caisson.sock'", d->run_path);
	if (sock < 0 || bind(sock, (struct sockaddr *)&at, sizeof at) < 0 ||
	    fchownat(d->run, "caisson.sock", 0, g->host->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(d->run, "caisson.sock", 0660, 0) < 0 || listen(sock, BACKLOG) < 0)
		return cx_fail(err, errno, "listen on '%s/caisson.sock'", d->run_path);
	g->unix_socket = cx_take_fd(&sock);
	return 0;
}

/* A text file; one that holds a secret must not be open to everybody. "" stays "". */
static int read_text(const char *path, bool secret, char *ret, size_t size, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	struct stat st;

	if (path[0] == '\0')
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return cx_fail(err, errno, "open '%s'", path);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return cx_refuse(err, CX_INVALID, "'%s' is not a file that holds it", path);
	if (secret && (st.st_mode & 07) != 0)
		return cx_refuse(err, CX_DENIED,
				 "'%s' is open to everybody; run 'chmod o= %s' and choose a new "
				 "key",
				 path, path);
	return cx_read_small_file(AT_FDCWD, path, ret, size, err) < 0 ? -err->errnum : 0;
}

static const struct cx_tls_files *files_of(const struct cx_config *c, enum cx_certificate_of of)
{
	return of == CX_CERTIFICATE_EXPOSE ? &c->expose_tls : &c->tls;
}

static int read_certificate(const struct cx_tls_files *files, struct cx_certificate *ret,
			    struct cx_err *err)
{
	if (read_text(files->cert, false, ret->cert, sizeof ret->cert, err) < 0)
		return cx_wrap(err, "TLS certificate");
	if (read_text(files->key, true, ret->key, sizeof ret->key, err) < 0)
		return cx_wrap(err, "TLS key");
	return 0;
}

static int read_texts(struct cx_gateway *g, struct cx_err *err)
{
	const struct cx_config *c = g->host->config;

	if (read_text(c->admin_key_file, true, g->admin_key, sizeof g->admin_key, err) < 0)
		return cx_wrap(err, "admin key");
	g->admin_key[strcspn(g->admin_key, "\r\n")] = '\0';
	for (enum cx_certificate_of of = 0; of < CX_CERTIFICATE_MAX; of++)
		if (read_certificate(files_of(c, of), &g->certificates[of], err) < 0)
			return -err->errnum;
	return 0;
}

int cx_gateway_open(struct cx_gateway *ret, struct cx_host *host,
		    const struct cx_gateway_watch *watch, struct cx_err *err)
{
	*ret = (struct cx_gateway){ .host = host, .watch = *watch, .unix_socket = -EBADF };
	for (size_t i = 0; i < CX_LISTEN_MAX; i++)
		ret->tcp[i] = -EBADF;
	if (bind_unix(ret, err) < 0)
		return cx_wrap(err, "API socket");
	for (size_t i = 0; i < host->config->nlisten; i++)
		if (cx_listen_at(&host->config->listen[i], BACKLOG, &ret->tcp[i], err) < 0)
			return cx_wrap(err, "API socket");
	return read_texts(ret, err);
}

/* A pipe with a text in it, which is never in an argument, an environment or a readable file. */
static int make_pipe_of(const char *bytes, size_t len, int *ret, struct cx_err *err)
{
	cx_autofd int in = -EBADF, out = -EBADF;

	if (cx_pipe(&in, &out, err) < 0 || cx_write_all(out, bytes, len, err) < 0)
		return -err->errnum;
	*ret = cx_take_fd(&in);
	return 0;
}

static int make_pipe(const char *text, int *ret, struct cx_err *err)
{
	return text[0] != '\0' ? make_pipe_of(text, strlen(text), ret, err) : 0;
}

/* One write of at most 64 KiB, which is what a pipe holds. */
static int make_certificate_pipe(const struct cx_certificate *c, int *ret, struct cx_err *err)
{
	size_t cert = strlen(c->cert) + 1, key = strlen(c->key);
	char *both = malloc(cert + key);
	int r;

	if (both == NULL)
		return cx_fail(err, ENOMEM, "certificate");
	memcpy(both, c->cert, cert);
	memcpy(both + cert, c->key, key);
	r = make_pipe_of(both, cert + key, ret, err);
	explicit_bzero(both, cert + key);
	free(both);
	return r;
}

int cx_gateway_renew(struct cx_gateway *g, enum cx_certificate_of of, int *ret, struct cx_err *err)
{
	const struct cx_tls_files *files = files_of(g->host->config, of);
	struct cx_certificate *fresh;
	int r;

	*ret = -EBADF;
	if (files->cert[0] == '\0')
		return 0;
	fresh = calloc(1, sizeof *fresh);
	if (fresh == NULL)
		return cx_fail(err, ENOMEM, "certificate");
	r = read_certificate(files, fresh, err);
	if (r == 0)
		r = make_certificate_pipe(fresh, ret, err);
	if (r == 0)
		g->certificates[of] = *fresh;
	explicit_bzero(fresh, sizeof *fresh);
	free(fresh);
	return r;
}

/* ---- its life -------------------------------------------------------------------------------- */

static void lost(struct cx_gateway *g)
{
	if (g->link == NULL)
		return;
	cx_link_close(g->link);
	g->link = NULL;
	g->generation++;
	g->watch.lost(g->watch.arg);
}

static void again(struct cx_gateway *g)
{
	bool quickly = cx_now_ms() - g->started_ms < QUICKLY_MS;

	if (g->stopping)
		return;
	/* The first death is answered at once; only one that keeps dying has to wait. */
	g->backoff_ms = !quickly		     ? 0
			: g->backoff_ms == 0	     ? 1
			: g->backoff_ms < BACKOFF_MS ? BACKOFF_MS
						     : g->backoff_ms * 2;
	if (g->backoff_ms > BACKOFF_MS_MAX)
		g->backoff_ms = BACKOFF_MS_MAX;
	cx_timer_set(&g->host->loop, &g->timer, g->backoff_ms);
}

static void exited(void *owner, const struct cx_child_end *end)
{
	struct cx_gateway *g = owner;
	char how[48];

	g->child = NULL;
	cx_log(g->stopping ? CX_LOG_DEBUG : CX_LOG_WARNING, "gateway ended", "how",
	       cx_child_describe(end, how, sizeof how), NULL);
	lost(g);
	again(g);
}

static void link_packet(void *owner, struct cx_packet *packet)
{
	struct cx_gateway *g = owner;

	g->watch.packet(g->watch.arg, packet);
}

static void link_closed(void *owner, const struct cx_err *err)
{
	struct cx_gateway *g = owner;

	if (err != NULL)
		cx_log_err(CX_LOG_ERROR, err, "connection to the gateway broke", NULL);
	lost(g); /* its end follows: without us it has nothing to do */
	if (g->child != NULL && !g->stopping)
		cx_child_signal(g->child, SIGKILL);
}

static const struct cx_link_ops link_ops = { .packet = link_packet, .closed = link_closed };

/* fds: admin key, then certificate and key of each kind; the caller closes those that are open. */
static int make_pipes(const struct cx_gateway *g, int fds[1 + 2 * CX_CERTIFICATE_MAX],
		      struct cx_err *err)
{
	if (make_pipe(g->admin_key, fds, err) < 0)
		return -err->errnum;
	for (enum cx_certificate_of of = 0; of < CX_CERTIFICATE_MAX; of++)
		if (make_pipe(g->certificates[of].cert, &fds[1 + 2 * of], err) < 0 ||
		    make_pipe(g->certificates[of].key, &fds[2 + 2 * of], err) < 0)
			return -err->errnum;
	return 0;
}

/* As execve(2) wants them: of our own. */
enum { OPTIONS = 7 };
struct arguments {
	char name[16], text[OPTIONS][2][CX_CONFIG_TEXT];
	char *argv[1 + 2 * OPTIONS + 1];
};

static int write_arguments(const struct cx_config *c, struct arguments *ret, struct cx_err *err)
{
	char tcp[8], length[24], wait[24];
	const char *const options[OPTIONS][2] = {
		{ "--tcp", tcp },
		{ "--log-level", cx_config_level_name((enum cx_level)c->log_level) },
		{ "--registries", c->registries },
		{ "--templates", c->templates },
		{ "--queue-length", length },
		{ "--queue-wait", wait },
		{ "--domain", c->expose_domain },
	};
	size_t n = c->expose_domain[0] != '\0' ? OPTIONS : OPTIONS - 1;

	(void)snprintf(tcp, sizeof tcp, "%u", (unsigned)c->nlisten);
	(void)snprintf(length, sizeof length, "%llu", (unsigned long long)c->queue_length);
	(void)snprintf(wait, sizeof wait, "%llu", (unsigned long long)c->queue_wait);
	(void)snprintf(ret->name, sizeof ret->name, "caisson-gateway");
	ret->argv[0] = ret->name;
	for (size_t i = 0; i < 2 * n; i++) {
		char *text = ret->text[i / 2][i % 2];

		if (cx_format(text, CX_CONFIG_TEXT, "%s", err, options[i / 2][i % 2]) < 0)
			return -err->errnum;
		ret->argv[1 + i] = text;
	}
	ret->argv[1 + 2 * n] = NULL;
	return 0;
}

static int execute(struct cx_gateway *g, int control, struct cx_err *err)
{
	struct cx_host *h = g->host;
	int fds[FIXED_FDS + CX_LISTEN_MAX] = {
		-EBADF, STDERR_FILENO, STDERR_FILENO, control, h->dirs.gateway, g->unix_socket,
		-EBADF, -EBADF,	       -EBADF,	      -EBADF,  -EBADF,
	};
	char path[CX_CONFIG_TEXT + 32];
	struct arguments args;
	struct cx_process_plan plan = { .path = path,
					.argv = args.argv,
					.envp = cx_host_environment,
					.fds = fds,
					.nfds = FIXED_FDS + (unsigned)h->config->nlisten,
					.uid = h->uid,
					.gid = h->gid,
					.drop_caps = 1,
					.nofile = FILES,
					.die_with_parent = 1 };
	int r;

	if (cx_format(path, sizeof path, "%s/caisson-gateway", err, h->config->libexec) < 0 ||
	    write_arguments(h->config, &args, err) < 0)
		return -err->errnum;
	memcpy(&fds[FIXED_FDS], g->tcp, sizeof g->tcp);
	r = make_pipes(g, &fds[FIRST_PIPE], err);
	if (r == 0)
		r = cx_child_start(&h->loop, &plan, exited, g, &g->child, err);
	for (int i = FIRST_PIPE; i < FIXED_FDS; i++)
		cx_close(&fds[i]);
	return r;
}

static int start(struct cx_gateway *g, struct cx_err *err)
{
	cx_autofd int ours = -EBADF, theirs = -EBADF;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail(err, errno, "socket pair");
	ours = pair[0];
	theirs = pair[1];
	if (execute(g, theirs, err) < 0)
		return -err->errnum;
	if (cx_link_open(&g->host->loop, &g->host->packet, &ours, &link_ops, g, &g->link, err) <
	    0) {
		cx_child_signal(g->child, SIGKILL);
		return -err->errnum;
	}
	return 0;
}

static void start_or_retry(struct cx_timer *timer)
{
	struct cx_gateway *g = cx_container_of(timer, struct cx_gateway, timer);
	struct cx_err err;

	if (g->stopping) { /* the grace is over */
		if (g->child != NULL)
			cx_child_signal(g->child, SIGKILL);
		return;
	}
	g->started_ms = cx_now_ms();
	if (start(g, &err) == 0)
		return;
	cx_log_err(CX_LOG_ERROR, &err, "gateway did not start", NULL);
	if (g->child == NULL)
		again(g);
}

void cx_gateway_start(struct cx_gateway *gateway)
{
	gateway->timer.fire = start_or_retry;
	start_or_retry(&gateway->timer);
}

void cx_gateway_kill(struct cx_gateway *gateway, const struct cx_err *why)
{
	cx_log_err(CX_LOG_ERROR, why, "gateway broke the protocol and is replaced", NULL);
	lost(gateway);
	if (gateway->child != NULL)
		cx_child_signal(gateway->child, SIGKILL);
}

void cx_gateway_stop(struct cx_gateway *gateway)
{
	gateway->stopping = true;
	cx_timer_clear(&gateway->timer);
	lost(gateway); /* it reads what was sent before, then the end, and goes */
	if (gateway->child == NULL)
		return;
	cx_timer_set(&gateway->host->loop, &gateway->timer, GRACE_MS);
}

bool cx_gateway_busy(const struct cx_gateway *gateway)
{
	return gateway->child != NULL;
}

void cx_gateway_close(struct cx_gateway *gateway)
{
	cx_timer_clear(&gateway->timer);
	cx_link_close(gateway->link);
	gateway->link = NULL;
	cx_child_forget(gateway->child, true);
	gateway->child = NULL;
	if (gateway->unix_socket >= 0)
		(void)unlinkat(gateway->host->dirs.run, "caisson.sock", 0);
	cx_close(&gateway->unix_socket);
	for (size_t i = 0; i < CX_LISTEN_MAX; i++)
		cx_close(&gateway->tcp[i]);
	explicit_bzero(gateway->admin_key, sizeof gateway->admin_key);
	explicit_bzero(gateway->certificates, sizeof gateway->certificates);
}
