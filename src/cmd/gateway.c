/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "api/boxes.h"
#include "api/checkpoint.h"
#include "api/denials.h"
#include "api/exec_store.h"
#include "api/expose.h"
#include "api/exposedoor.h"
#include "api/fence.h"
#include "api/json.h"
#include "api/later.h"
#include "api/metrics.h"
#include "api/proxy.h"
#include "api/resolver.h"
#include "api/ssh.h"
#include "api/sweep.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

/* caisson-gateway: started by caissond with everything it needs open (ARCHITECTURE.md). */
enum {
	FD_CONTROL = 3,
	FD_STATE = 4,
	FD_UNIX = 5,
	FD_KEY = 6,
	FD_TLS_CERT = 7,
	FD_TLS_KEY = 8,
	FD_EXPOSE_CERT = 9,
	FD_EXPOSE_KEY = 10,
	FD_TCP = 11,
	TCP_MAX = 16,
	TLS_MAX = 32768,      /* bytes of a certificate and its chain, or of a key */
	RECORDS_KEPT = 20000, /* of sandboxes that have ended */
	QUEUE_MAX = 100000,
	QUEUE_WAIT_S = 900,
};

static const char default_registries[] = CX_SYSCONFDIR "/registries.conf";
static const char default_templates[] = CX_SYSCONFDIR "/templates.conf";
static const uint64_t upload_max = (uint64_t)64 << 30; /* bytes of one archive */

struct pem { /* "": none */
	char cert[TLS_MAX], key[TLS_MAX];
};

struct program {
	struct cx_gateway gw;
	const char *registries, *templates, *domain;
	struct cx_loop loop;
	struct cx_auth auth;
	struct cx_metrics metrics;
	struct cx_http *http;
	struct cx_engine_call hello, networking, disks;
	unsigned ntcp;
	struct pem api, exposed;
	int status;
};

static void give_up(struct program *prog, const struct cx_err *err, const char *what)
{
	cx_log_err(CX_LOG_ERROR, err, what, NULL);
	prog->status = EXIT_FAILURE;
	prog->loop.stop = true;
}

/* ---- serving -------------------------------------------------------------------------------- */

/*
 * Each command costs six descriptors, each connection one or two. The Unix socket has an eighth of
 * all, and all TCP addresses together another one, so that neither can crowd out the other.
 */
static unsigned connections_max(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > 8 * 4096 ? 4096 : (unsigned)limit.rlim_cur / 8;
}

static void on_over(void *arg, const struct cx_route *route, unsigned status, uint64_t us)
{
	struct program *prog = arg;

	cx_metrics_request(&prog->metrics, route, status, us);
}

static int read_text(int fd, char ret[TLS_MAX], struct cx_err *err)
{
	ssize_t n = cx_read_upto(fd, ret, TLS_MAX, err);

	if (n < 0)
		return cx_wrap(err, "read the certificate and its key");
	if (n == TLS_MAX)
		return cx_refuse(err, CX_INVALID, "a certificate or key is longer than %d bytes",
				 TLS_MAX - 1);
	ret[n] = '\0';
	cx_close(&fd);
	return 0;
}

static int read_pem(int cert, int key, struct pem *ret, struct cx_err *err)
{
	return read_text(cert, ret->cert, err) < 0 || read_text(key, ret->key, err) < 0
		       ? -err->errnum
		       : 0;
}

static int serve(struct program *prog, struct cx_err *err)
{
	struct cx_http_options options = { .loop = &prog->loop,
					   .gateway = &prog->gw,
					   .auth = &prog->auth,
					   .over = on_over,
					   .over_arg = prog,
					   .spool_dir = prog->gw.state_dir,
					   .file_body_max = upload_max,
					   .connections_max = connections_max(),
					   .strangers_max = connections_max() /
							    (prog->ntcp > 0 ? prog->ntcp : 1) };
	int sock = FD_UNIX;

	if (prog->api.cert[0] != '\0') {
		options.tls_cert = prog->api.cert;
		options.tls_key = prog->api.key;
	}

	if (cx_http_open(&options, &prog->http, err) < 0 ||
	    cx_http_listen(prog->http, &sock, true, err) < 0)
		return -err->errnum;
	for (unsigned i = 0; i < prog->ntcp; i++) {
		sock = FD_TCP + (int)i;
		if (cx_http_listen(prog->http, &sock, false, err) < 0)
			return -err->errnum;
	}
	return cx_fence_close(err);
}

static int restore_exposures(struct program *prog, struct cx_err *err)
{
	if (prog->domain != NULL && cx_exposedoor_open(&prog->gw, prog->domain, prog->exposed.cert,
						       prog->exposed.key, err) < 0)
		return -err->errnum;
	return cx_exposures_restore(&prog->gw, err);
}

static void on_adopted(struct cx_gateway *gw, const struct cx_err *err)
{
	struct program *prog = cx_container_of(gw, struct program, gw);
	struct cx_err failed;

	if (err == NULL && (restore_exposures(prog, &failed) < 0 || cx_ssh_open(gw, &failed) < 0 ||
			    serve(prog, &failed) < 0))
		err = &failed;
	if (err != NULL) {
		give_up(prog, err, "start failed");
		return;
	}
	if (cx_store_network_sweep(gw->store, &failed) < 0)
		cx_log_err(CX_LOG_WARNING, &failed, "networks not forgotten", NULL);
	cx_store_sweep(gw);
	cx_log(CX_LOG_INFO, "serving", NULL);
}

static void on_disks(struct cx_engine_call *call, struct cx_engine_answer *answer,
		     const struct cx_err *err)
{
	struct program *prog = cx_container_of(call, struct program, disks);
	struct cx_host *host = &prog->gw.host;
	struct cx_err failed;

	if (err == NULL) {
		(void)cx_str_copy(answer->disks.backend, host->disks, sizeof host->disks);
		host->disk_bytes = answer->disks.default_bytes;
		if (cx_boxes_adopt(&prog->gw, on_adopted, &failed) < 0)
			err = &failed;
	}
	if (err != NULL)
		give_up(prog, err, "start failed");
}

static void on_networking(struct cx_engine_call *call, struct cx_engine_answer *answer,
			  const struct cx_err *err)
{
	struct program *prog = cx_container_of(call, struct program, networking);
	struct cx_err failed;

	if (err == NULL) {
		prog->gw.host.network = answer->networking.enabled != 0;
		if (cx_engine_disks(prog->gw.engine, &prog->disks, &failed) < 0)
			err = &failed;
	}
	if (err != NULL)
		give_up(prog, err, "start failed");
}

static void on_ready(struct cx_engine_call *call, struct cx_engine_answer *answer,
		     const struct cx_err *err)
{
	struct program *prog = cx_container_of(call, struct program, hello);
	struct cx_err failed;

	if (err == NULL) {
		prog->gw.host.cpus = answer->ready.host_cpus;
		prog->gw.host.memory_bytes = answer->ready.host_memory_bytes;
		if (cx_engine_networking(prog->gw.engine, &prog->networking, &failed) < 0)
			err = &failed;
	}
	if (err != NULL)
		give_up(prog, err, "start failed");
}

static void on_ended(void *arg, const char *id, enum cx_end reason)
{
	struct program *prog = arg;

	cx_boxes_ended(&prog->gw, id, reason);
}

static void on_oom_report(void *arg, const char *id, const struct cx_msg_oom_report *report)
{
	struct program *prog = arg;

	cx_boxes_oom_report(&prog->gw, id, report);
}

static void on_oom(void *arg, const char *id)
{
	struct program *prog = arg;

	cx_boxes_oom(&prog->gw, id);
}

static void on_room(void *arg)
{
	struct program *prog = arg;

	cx_queue_look(&prog->gw);
}

static void on_resolver(void *arg, int *sock)
{
	struct program *prog = arg;
	struct cx_err err;

	if (cx_resolver_connect(prog->gw.resolver, sock, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "resolver not taken", NULL);
}

/* both: certificate, NUL, key, NUL */
static int use_certificate(struct program *prog, bool exposed, const char *both, size_t len,
			   struct cx_err *err)
{
	struct pem *pem = exposed ? &prog->exposed : &prog->api;
	const char *key = both + strlen(both) + 1;

	if (key > both + len || strlen(both) >= TLS_MAX || strlen(key) >= TLS_MAX)
		return cx_refuse(err, CX_INVALID, "a certificate or its key is no text");
	if (!exposed && prog->http != NULL && cx_http_renew(prog->http, both, key, err) < 0)
		return -err->errnum;
	if (exposed && cx_exposedoor_renew(&prog->gw, both, key, err) < 0)
		return -err->errnum;
	(void)strcpy(pem->cert, both);
	(void)strcpy(pem->key, key);
	cx_log(CX_LOG_INFO, "new certificate", "of", exposed ? "exposed ports" : "the API", NULL);
	return 0;
}

static void on_certificate(void *arg, bool exposed, int *pipe)
{
	static char both[2 * TLS_MAX];
	struct cx_err err;
	ssize_t n = cx_read_upto(*pipe, both, sizeof both - 1, &err);

	both[n > 0 ? n : 0] = '\0';
	if (n < 0 || use_certificate(arg, exposed, both, (size_t)n, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "the certificate stays as it was", NULL);
	explicit_bzero(both, sizeof both);
}

static void on_lost(void *arg, const struct cx_err *err)
{
	struct program *prog = arg;

	cx_log_err(CX_LOG_INFO, err, "caissond is gone or stops us", NULL);
	prog->loop.stop = true;
}

/* ---- starting ------------------------------------------------------------------------------- */

static int open_state(struct program *prog, struct cx_err *err)
{
	struct cx_gateway *gw = &prog->gw;
	uint8_t ends[CX_KEYFILE_BYTES];
	int key = FD_KEY;

	gw->state_dir = FD_STATE;
	if (fchdir(FD_STATE) < 0)
		return cx_fail(err, errno, "enter the state directory");
	gw->scratch = malloc(sizeof *gw->scratch);
	if (gw->scratch == NULL)
		return cx_fail(err, ENOMEM, "packet");
	if (read_pem(FD_TLS_CERT, FD_TLS_KEY, &prog->api, err) < 0 ||
	    read_pem(FD_EXPOSE_CERT, FD_EXPOSE_KEY, &prog->exposed, err) < 0 ||
	    cx_auth_load(&prog->auth, FD_KEY, err) < 0 ||
	    cx_store_open("state.db", &gw->store, err) < 0 ||
	    cx_checkpoint_open(gw->store, &prog->loop, err) < 0 ||
	    cx_later_open(gw->store, FD_STATE, &prog->loop, err) < 0 ||
	    cx_blobs_open(&gw->blobs, FD_STATE, err) < 0)
		return -err->errnum;
	cx_close(&key);
	prog->auth.accounts = gw->store;
	if (cx_seal_open(&gw->seal, FD_STATE, gw->store, err) < 0 ||
	    cx_keyfile_load(FD_STATE, "ends.key", ends, err) < 0 ||
	    cx_keyfile_load(FD_STATE, "token.key", prog->auth.tokens.bytes, err) < 0)
		return -err->errnum;
	cx_store_exec_key(gw->store, ends);
	explicit_bzero(ends, sizeof ends);
	if (cx_registries_open(prog->registries, strcmp(prog->registries, default_registries) != 0,
			       gw->state_dir, &gw->registries, err) < 0 ||
	    cx_templates_open(prog->templates, strcmp(prog->templates, default_templates) != 0,
			      &gw->templates, err) < 0)
		return -err->errnum;
	gw->host.registry = cx_registries_default(gw->registries);
	return cx_store_sandbox_prune(gw->store, RECORDS_KEPT, err);
}

static int start(struct program *prog, struct cx_err *err)
{
	struct cx_engine_events events = { .ended = on_ended,
					   .oom_report = on_oom_report,
					   .oom = on_oom,
					   .room = on_room,
					   .resolver = on_resolver,
					   .certificate = on_certificate,
					   .lost = on_lost,
					   .arg = prog };
	struct cx_resolver_events names = { .denied = cx_boxes_denied };
	int sock = FD_CONTROL;

	cx_json_start();
	if (cx_metrics_open(&prog->metrics, err) < 0 || cx_loop_open(&prog->loop, err) < 0 ||
	    open_state(prog, err) < 0)
		return -err->errnum;
	prog->gw.loop = &prog->loop;
	prog->gw.auth = &prog->auth;
	prog->gw.metrics = &prog->metrics;
	if (cx_denials_open(&prog->gw, err) < 0 ||
	    cx_proxies_open(&prog->gw, &prog->gw.proxies, err) < 0 ||
	    cx_resolver_open(&prog->loop, prog->gw.scratch, &names, &prog->gw.resolver, err) < 0)
		return -err->errnum;
	if (cx_engine_open(&prog->loop, prog->gw.scratch, &sock, &events, &prog->gw.engine, err) <
	    0)
		return -err->errnum;
	prog->hello.done = on_ready;
	prog->networking.done = on_networking;
	prog->disks.done = on_disks;
	return cx_engine_hello(prog->gw.engine, &prog->hello, err);
}

static int parse_options(int argc, char **argv, struct program *prog, struct cx_err *err)
{
	enum cx_level level = CX_LOG_INFO;
	uint64_t number = 0, length = 0, wait_s = QUEUE_WAIT_S;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return cx_refuse(err, CX_INVALID, "option %s needs a value", argv[i]);
		if (strcmp(argv[i], "--tcp") == 0) {
			if (cx_parse_u64(argv[i + 1], 0, TCP_MAX, "--tcp", &number, err) < 0)
				return -err->errnum;
		} else if (strcmp(argv[i], "--queue-length") == 0) {
			if (cx_parse_u64(argv[i + 1], 0, QUEUE_MAX, argv[i], &length, err) < 0)
				return -err->errnum;
		} else if (strcmp(argv[i], "--queue-wait") == 0) {
			if (cx_parse_u64(argv[i + 1], 1, UINT32_MAX, argv[i], &wait_s, err) < 0)
				return -err->errnum;
		} else if (strcmp(argv[i], "--log-level") == 0) {
			if (cx_log_parse_level(argv[i + 1], &level, err) < 0)
				return -err->errnum;
		} else if (strcmp(argv[i], "--registries") == 0) {
			prog->registries = argv[i + 1];
		} else if (strcmp(argv[i], "--templates") == 0) {
			prog->templates = argv[i + 1];
		} else if (strcmp(argv[i], "--domain") == 0) {
			prog->domain = argv[i + 1];
		} else {
			return cx_refuse(err, CX_INVALID, "unknown option %s", argv[i]);
		}
	}
	cx_log_open("caisson-gateway", level);
	prog->ntcp = (unsigned)number;
	cx_queue_open(&prog->gw, (unsigned)length, wait_s * 1000);
	return 0;
}

/* Descriptors that we inherited are nobody else's: nothing is executed from here, but still. */
static void close_on_exec(unsigned ntcp)
{
	for (int fd = FD_CONTROL; fd < FD_TCP + (int)ntcp; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Method, path, scope and body of each, for tests that must miss none. */
static int print_routes(void)
{
	static const char *const scopes[] = { [CX_SCOPE_PUBLIC] = "public",
					      [CX_SCOPE_USER] = "user",
					      [CX_SCOPE_SANDBOX] = "sandbox",
					      [CX_SCOPE_ADMIN] = "admin" };

	for (size_t i = 0; i < cx_route_tables_count; i++)
		for (size_t k = 0; k < cx_route_tables[i]->count; k++) {
			const struct cx_route *route = &cx_route_tables[i]->rows[k];

			(void)printf("%s %s %s\n", route->method, route->path,
				     scopes[route->scope]);
		}
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static struct program prog = { .status = EXIT_SUCCESS,
				       .registries = default_registries,
				       .templates = default_templates };
	struct cx_err err;

	/* Executed by descriptor: older kernels take its number for a name. */
	(void)prctl(PR_SET_NAME, "caisson-gateway");
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("caisson-gateway %s\n", CX_VERSION);
		return EXIT_SUCCESS;
	}
	if (argc == 2 && strcmp(argv[1], "--routes") == 0)
		return print_routes();
	cx_log_open("caisson-gateway", CX_LOG_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(077); /* the database holds what clients said */
	if (parse_options(argc, argv, &prog, &err) < 0) {
		cx_log_err(CX_LOG_ERROR, &err,
			   "caissond starts this program; it takes --tcp N, "
			   "--log-level LEVEL, --registries FILE, --templates FILE, "
			   "--queue-length N, --queue-wait SECONDS, --domain NAME",
			   NULL);
		return EXIT_FAILURE;
	}
	close_on_exec(prog.ntcp);
	if (start(&prog, &err) < 0 || cx_loop_run(&prog.loop, &err) < 0)
		give_up(&prog, &err, "start failed");
	cx_denials_close(&prog.gw);
	cx_proxies_close(prog.gw.proxies);
	cx_store_close(prog.gw.store);
	cx_registries_close(prog.gw.registries);
	cx_metrics_close(&prog.metrics);
	cx_templates_close(prog.gw.templates);
	return prog.status;
}
