/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/dispatch.h"
#include "engine/notify.h"
#include "engine/recover.h"
#include "engine/resolver.h"
#include "engine/sweep.h"

enum { STOP_POLL_MS = 10, STOP_MS_MAX = 30000 };

struct engine {
	struct cx_host host;
	struct cx_sandboxes sandboxes;
	struct cx_pool pool;
	struct cx_builds builds;
	struct cx_ssh_workers ssh;
	struct cx_archives archives;
	struct cx_pauses pauses;
	struct cx_gateway gateway;
	struct cx_resolver resolver;
	struct cx_dispatch dispatch;
	struct cx_sweeper sweeper;
	struct cx_reaper reaper;
	struct cx_source signals;
	struct cx_timer stop_timer;
	uint64_t stop_since_ms; /* 0: not stopping */
	bool told_ready;
	bool recovered; /* it knows of all sandboxes that there are */
};

/* ---- who is told what ------------------------------------------------------------------------ */

static void on_blank(void *arg, struct cx_sandbox *sb)
{
	struct engine *e = arg;

	cx_pool_blank(&e->pool, sb);
}

static void on_running(void *arg, struct cx_sandbox *sb)
{
	struct engine *e = arg;

	cx_log(CX_LOG_INFO, "sandbox runs", "id", sb->record.id, NULL);
	cx_pool_running(&e->pool, sb);
}

static void on_sandbox_lost(void *arg, struct cx_sandbox *sb)
{
	struct engine *e = arg;

	cx_pool_lost(&e->pool, sb);
}

static void on_ended(void *arg, struct cx_sandbox *sb)
{
	struct engine *e = arg;

	cx_dispatch_ended(&e->dispatch, sb);
}

static void on_gone(void *arg, struct cx_sandbox *sb)
{
	struct engine *e = arg;

	if (sb->was_running)
		cx_log(CX_LOG_INFO, "sandbox is gone", "id", sb->record.id, NULL);
	if (sb->has_trash)
		cx_sweeper_kick(&e->sweeper);
	cx_pool_gone(&e->pool, sb);
	cx_dispatch_gone(&e->dispatch);
}

static void on_oom(void *arg, struct cx_sandbox *sb)
{
	struct engine *e = arg;

	cx_log(CX_LOG_INFO, "sandbox is out of memory", "id", sb->record.id, NULL);
	cx_dispatch_oom(&e->dispatch, sb);
}

static void on_packet(void *arg, struct cx_packet *packet)
{
	struct engine *e = arg;

	cx_dispatch_packet(&e->dispatch, packet);
}

static void on_lost(void *arg)
{
	struct engine *e = arg;

	cx_dispatch_lost(&e->dispatch);
	cx_resolver_stop(&e->resolver);
}

static void on_resolver(void *arg, int sock)
{
	struct engine *e = arg;

	cx_dispatch_resolver(&e->dispatch, sock);
}

static void on_ready(void *arg)
{
	struct engine *e = arg;

	if (!e->told_ready) {
		cx_log(CX_LOG_INFO, "ready", "version", CX_VERSION, "cgroups",
		       cx_cgroups_mode(e->host.cgroups), "instance", e->host.dirs.instance, NULL);
		cx_notify("READY=1");
	}
	e->told_ready = true;
	cx_resolver_start(&e->resolver);
}

/* ---- stopping -------------------------------------------------------------------------------- */

static bool keeps(const struct engine *e, const struct cx_sandbox *sb)
{
	return e->host.config->on_stop == CX_STOP_KEEP && sb->state == CX_SANDBOX_RUNNING;
}

/* A sandbox that was destroyed may be freed at once, so the walk begins anew after each. */
static void end_sandboxes(struct engine *e)
{
	struct cx_sandbox *sb = e->sandboxes.first;

	while (sb != NULL) {
		bool passed = keeps(e, sb) || sb->state >= CX_SANDBOX_ENDING;

		if (!passed)
			cx_sandbox_destroy(sb);
		sb = passed ? sb->next : e->sandboxes.first;
	}
}

static bool ends_sandboxes(const struct engine *e)
{
	unsigned kept = e->host.config->on_stop == CX_STOP_KEEP
				? e->sandboxes.count[CX_SANDBOX_RUNNING]
				: 0;
	unsigned all = 0;

	for (unsigned i = 0; i < CX_SANDBOX_STATE_MAX; i++)
		all += e->sandboxes.count[i];
	return all > kept;
}

static bool is_busy(const struct engine *e)
{
	return ends_sandboxes(e) || cx_gateway_busy(&e->gateway) || cx_builds_busy(&e->builds) ||
	       cx_sweeper_busy(&e->sweeper);
}

static void stop_step(struct cx_timer *timer)
{
	struct engine *e = cx_container_of(timer, struct engine, stop_timer);
	bool too_long = cx_now_ms() - e->stop_since_ms > STOP_MS_MAX;

	end_sandboxes(e);
	/* The gateway goes after them, so that it has heard of every end and recorded it. */
	if (!ends_sandboxes(e) && !e->gateway.stopping)
		cx_gateway_stop(&e->gateway);
	if (too_long)
		cx_log(CX_LOG_WARNING, "stopping with remains, which the next start removes", NULL);
	if (too_long || !is_busy(e))
		e->host.loop.stop = true;
	else
		cx_timer_set(&e->host.loop, timer, STOP_POLL_MS);
}

static void begin_stop(struct engine *e)
{
	if (e->stop_since_ms != 0)
		return;
	cx_log(CX_LOG_INFO, "stopping", "sandboxes",
	       e->host.config->on_stop == CX_STOP_KEEP ? "kept" : "ended", NULL);
	cx_notify("STOPPING=1");
	e->stop_since_ms = cx_now_ms();
	e->dispatch.stopping = true;
	cx_pool_stop(&e->pool);
	cx_archives_close(&e->archives);
	cx_pauses_close(&e->pauses);
	cx_builds_close(&e->builds);
	cx_ssh_close(&e->ssh);
	stop_step(&e->stop_timer);
}

static void renew(struct engine *e)
{
	bool any = false;
	struct cx_err err;

	for (enum cx_certificate_of of = 0; of < CX_CERTIFICATE_MAX; of++) {
		cx_autofd int pipe = -EBADF;
		int r = cx_gateway_renew(&e->gateway, of, &pipe, &err);

		any |= r < 0 || pipe >= 0;
		if (r < 0)
			cx_log_err(CX_LOG_ERROR, &err, "signal HUP: the certificate stays", NULL);
		else if (pipe >= 0)
			cx_dispatch_certificate(&e->dispatch, of, pipe);
	}
	if (!any)
		cx_log(CX_LOG_INFO, "signal HUP: settings are read at start only", NULL);
}

static void on_signal(struct cx_source *source, uint32_t events)
{
	struct engine *e = cx_container_of(source, struct engine, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	if (info.ssi_signo == SIGHUP)
		renew(e);
	else
		begin_stop(e);
}

/* ---- starting -------------------------------------------------------------------------------- */

static int watch_signals(struct engine *e, struct cx_err *err)
{
	static const int watched[] = { SIGTERM, SIGINT, SIGHUP };
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < CX_LEN(watched); i++)
		(void)sigaddset(&set, watched[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return cx_fail(err, errno, "block signals");
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return cx_fail(err, errno, "signalfd");
	e->signals = (struct cx_source){ .fd = fd, .ready = on_signal };
	if (cx_loop_add(&e->host.loop, &e->signals, EPOLLIN, err) < 0) {
		cx_close(&fd);
		return -err->errnum;
	}
	return 0;
}

/* A policy whose sandbox ended while no caissond looked. */
static void close_unowned(void *arg, uint32_t slot)
{
	struct engine *e = arg;
	struct cx_err err;

	for (const struct cx_sandbox *sb = e->sandboxes.first; sb != NULL; sb = sb->next)
		if (sb->record.slot == slot)
			return;
	if (cx_firewall_forget(e->host.firewall, slot, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "policy of an ended sandbox is left", NULL);
}

static int start(struct engine *e, struct cx_err *err)
{
	const struct cx_config *c = e->host.config;
	const struct cx_sandbox_watch sandboxes = { .blank = on_blank,
						    .running = on_running,
						    .lost = on_sandbox_lost,
						    .oom = on_oom,
						    .ended = on_ended,
						    .gone = on_gone,
						    .arg = e };
	const struct cx_gateway_watch gateway = { .packet = on_packet, .lost = on_lost, .arg = e };
	const struct cx_resolver_watch resolver = { .started = on_resolver, .arg = e };

	cx_reaper_open(&e->reaper, &e->host);
	cx_sandboxes_open(&e->sandboxes, &e->host, &e->reaper, &sandboxes);
	cx_pool_open(&e->pool, &e->sandboxes, c->pool);
	cx_builds_open(&e->builds, &e->host);
	cx_ssh_open(&e->ssh, &e->host);
	cx_archives_open(&e->archives, &e->sandboxes, &e->builds);
	e->pauses.sandboxes = &e->sandboxes;
	cx_sweeper_open(&e->sweeper, &e->host);
	e->dispatch = (struct cx_dispatch){ .host = &e->host,
					    .sandboxes = &e->sandboxes,
					    .pool = &e->pool,
					    .builds = &e->builds,
					    .ssh = &e->ssh,
					    .archives = &e->archives,
					    .pauses = &e->pauses,
					    .gateway = &e->gateway,
					    .sweeper = &e->sweeper,
					    .state = CX_PEER_NEW,
					    .ready = on_ready,
					    .arg = e };
	cx_capacity_open(&e->host, &e->dispatch.capacity);
	e->stop_timer.fire = stop_step;
	if (cx_gateway_open(&e->gateway, &e->host, &gateway, err) < 0 ||
	    cx_resolver_open(&e->resolver, &e->host, &resolver, err) < 0 ||
	    watch_signals(e, err) < 0 || cx_recover(&e->sandboxes, err) < 0)
		return -err->errnum;
	e->recovered = true;
	if (e->host.firewall != NULL)
		cx_firewall_each(e->host.firewall, close_unowned, e);
	cx_sweeper_kick(&e->sweeper);
	cx_pool_start(&e->pool);
	cx_gateway_start(&e->gateway);
	return 0;
}

static void close_engine(struct engine *e)
{
	bool clean = e->sandboxes.first == NULL && (e->recovered || !e->host.router.adopted);

	cx_dispatch_close(&e->dispatch);
	cx_archives_close(&e->archives);
	cx_pauses_close(&e->pauses);
	cx_builds_close(&e->builds);
	cx_ssh_close(&e->ssh);
	cx_sweeper_close(&e->sweeper);
	cx_reaper_close(&e->reaper);
	cx_resolver_close(&e->resolver);
	cx_gateway_close(&e->gateway);
	cx_sandboxes_close(&e->sandboxes);
	cx_loop_drop(&e->host.loop, &e->signals);
	cx_host_close(&e->host, clean);
}

int cx_engine_run(const struct cx_config *config, struct cx_err *err)
{
	cx_autofree struct engine *e = calloc(1, sizeof *e);
	int r;

	if (e == NULL)
		return cx_fail(err, ENOMEM, "the engine");
	if (cx_host_open(config, &e->host, err) < 0)
		return -err->errnum;
	r = start(e, err);
	if (r == 0)
		r = cx_loop_run(&e->host.loop, err);
	close_engine(e);
	return r;
}
