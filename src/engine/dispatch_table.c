/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dispatch_inner.h"

#include "engine/listen.h"

/* ---- answers --------------------------------------------------------------------------------- */

void cx_answer_error(struct cx_dispatch *d, struct cx_asker asker, const struct cx_err *err)
{
	CX_ANSWER(d, asker, control_error, -EBADF, .kind = err->kind,
		  .errnum = err->refused ? 0 : (uint32_t)err->errnum, .text = cx_str_of(err->msg));
}

/* ---- requests about the engine --------------------------------------------------------------- */

int cx_do_hello(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		struct cx_err *err)
{
	(void)m;
	(void)fds;
	(void)err;
	d->state = CX_PEER_READY;
	CX_ANSWER(d, asker, ready, -EBADF, .version = 1,
		  .cgroup_mode = cx_str_of(cx_cgroups_mode(d->host->cgroups)),
		  .host_memory_bytes = d->host->memory_bytes, .host_cpus = d->host->cpus);
	d->ready(d->arg);
	return 0;
}

int cx_do_count(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		struct cx_err *err)
{
	const unsigned *n = d->sandboxes->count;

	(void)m;
	(void)fds;
	(void)err;
	CX_ANSWER(d, asker, counted, -EBADF, .starting = n[CX_SANDBOX_STARTING],
		  .blank = n[CX_SANDBOX_BLANK], .claiming = n[CX_SANDBOX_CLAIMING],
		  .running = n[CX_SANDBOX_RUNNING], .ending = n[CX_SANDBOX_ENDING],
		  .gateways = d->gateway->generation);
	return 0;
}

int cx_do_listen(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		 struct cx_err *err)
{
	cx_autofd int sock = -EBADF;
	uint16_t port = 0;

	(void)fds;
	if (cx_listen_for(d->host->config, (enum cx_listen_purpose)m->listen.purpose,
			  (uint16_t)m->listen.port, &sock, &port, err) < 0)
		return -err->errnum;
	CX_ANSWER(d, asker, listening, sock, .port = port);
	return 0;
}

#define RESOURCE(name, i)                                                                          \
	.name##_total = of[i].total, .name##_reserve = of[i].reserve, .name##_limit = of[i].limit, \
	.name##_promised = of[i].promised, .name##_left = of[i].left

int cx_do_capacity(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		   int *fds, struct cx_err *err)
{
	const struct cx_resource_state *of = d->capacity.of;

	(void)m;
	(void)fds;
	(void)err;
	cx_capacity_look(d->host, d->pool, &d->capacity);
	CX_ANSWER(d, asker, capacity_is, -EBADF, RESOURCE(sandboxes, CX_RESOURCE_SANDBOXES),
		  RESOURCE(files, CX_RESOURCE_FILES), RESOURCE(cpu, CX_RESOURCE_CPU),
		  RESOURCE(memory, CX_RESOURCE_MEMORY), RESOURCE(disk, CX_RESOURCE_DISK),
		  RESOURCE(pids, CX_RESOURCE_PIDS),
		  .remains = d->sandboxes->count[CX_SANDBOX_REMAINS],
		  .links = d->host->slots != NULL ? cx_slots_leaving(d->host->slots) : 0,
		  .trash = cx_sweeper_busy(d->sweeper));
	return 0;
}

int cx_do_disks(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
		struct cx_err *err)
{
	(void)m;
	(void)fds;
	(void)err;
	CX_ANSWER(d, asker, disks_are, -EBADF,
		  .backend = cx_str_of(cx_quota_name(cx_quota_kind(d->host->quota))),
		  .default_bytes = d->host->config->disk_size);
	return 0;
}

int cx_do_networking(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		     int *fds, struct cx_err *err)
{
	(void)m;
	(void)fds;
	(void)err;
	CX_ANSWER(d, asker, networking_is, -EBADF, .enabled = d->host->firewall != NULL);
	return 0;
}

static void ssh_ended(void *arg, uint64_t tag)
{
	struct cx_dispatch *d = arg;
	struct cx_asker asker = cx_asker_of_tag(d, tag);

	CX_ANSWER_EMPTY(d, asker, ssh_ended);
}

int cx_do_ssh(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m, int *fds,
	      struct cx_err *err)
{
	(void)m;
	return cx_ssh_start(d->ssh, fds, ssh_ended, d, asker.request, err);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define CX_REQUEST(name)                                                 \
	static bool get_##name(struct cx_reader *r, union cx_request *m) \
	{                                                                \
		return cx_msg_##name##_get(r, &m->name);                 \
	}
CX_REQUESTS(CX_REQUEST)
#undef CX_REQUEST

#define OP(name, states, nfds, begins) \
	[CX_MSG_##name] = { #name, states, nfds, begins, get_##name, cx_do_##name }

static const struct op {
	const char *name;
	unsigned states; /* in which the gateway may ask; 0: never */
	unsigned nfds;	 /* that must come along, exactly */
	bool begins;	 /* something that outlives the request: refused when stopping */
	bool (*get)(struct cx_reader *r, union cx_request *m);
	int (*run)(struct cx_dispatch *d, struct cx_asker asker, const union cx_request *m,
		   int *fds, struct cx_err *err);
} ops[] = {
	OP(hello, CX_PEER_NEW, 0, false),	   OP(create, CX_PEER_READY, 0, true),
	OP(create_linked, CX_PEER_READY, 0, true), OP(connect, CX_PEER_READY, 0, false),
	OP(destroy, CX_PEER_READY, 0, false),	   OP(list, CX_PEER_READY, 0, false),
	OP(usage, CX_PEER_READY, 0, false),	   OP(layer_build, CX_PEER_READY, 3, true),
	OP(layer_commit, CX_PEER_READY, 0, false), OP(layer_abort, CX_PEER_READY, 0, false),
	OP(layer_remove, CX_PEER_READY, 0, false), OP(layer_stat, CX_PEER_READY, 0, false),
	OP(scan, CX_PEER_READY, 3, true),	   OP(fetch, CX_PEER_READY, 1, true),
	OP(layer_check, CX_PEER_READY, 1, true),   OP(export, CX_PEER_READY, 3, true),
	OP(commit, CX_PEER_READY, 3, true),	   OP(bundle, CX_PEER_READY, 3, true),
	OP(count, CX_PEER_READY, 0, false),	   OP(pause, CX_PEER_READY, 0, true),
	OP(resume, CX_PEER_READY, 0, false),	   OP(network, CX_PEER_READY, 0, false),
	OP(egress, CX_PEER_READY, 0, false),	   OP(listen, CX_PEER_READY, 0, false),
	OP(networking, CX_PEER_READY, 0, false),   OP(ssh, CX_PEER_READY, 2, true),
	OP(command_slot, CX_PEER_READY, 0, false), OP(disks, CX_PEER_READY, 0, false),
	OP(capacity, CX_PEER_READY, 0, false),	   OP(trouble, CX_PEER_READY, 0, false),
};

bool cx_dispatch_is_legal(unsigned type, unsigned state, unsigned nfds)
{
	return type < CX_LEN(ops) && (ops[type].states & state) != 0 && ops[type].nfds == nfds;
}

static int run(struct cx_dispatch *d, struct cx_packet *packet, struct cx_err *err)
{
	struct cx_asker asker = cx_asker_of_tag(d, packet->request);
	struct cx_err failure;
	union cx_request m;
	const struct op *op;

	if (!cx_dispatch_is_legal(packet->type, d->state, packet->nfds) || packet->request == 0)
		return cx_refuse(err, CX_DENIED,
				 "message %#x, request %u, with %u descriptors %s hello",
				 packet->type, packet->request, packet->nfds,
				 d->state == CX_PEER_NEW ? "before" : "after");
	op = &ops[packet->type];
	if (!op->get(&packet->body, &m))
		return cx_refuse(err, CX_INVALID, "malformed request '%s'", op->name);
	if ((d->stopping && op->begins &&
	     cx_refuse(&failure, CX_UNAVAILABLE, "the engine is stopping") < 0) ||
	    op->run(d, asker, &m, packet->fds, &failure) < 0) {
		cx_log_err(CX_LOG_DEBUG, &failure, "request refused", "request", op->name, NULL);
		cx_answer_error(d, asker, &failure);
	}
	return 0;
}

void cx_dispatch_packet(struct cx_dispatch *d, struct cx_packet *packet)
{
	struct cx_err err;

	if (run(d, packet, &err) < 0)
		cx_gateway_kill(d->gateway, &err);
}

void cx_dispatch_lost(struct cx_dispatch *d)
{
	struct cx_err err;

	d->state = CX_PEER_NEW;
	(void)cx_refuse(&err, CX_UNAVAILABLE, "the gateway is gone");
	cx_pool_drop_waiting(d->pool, &err);
	cx_archives_close(d->archives);
	cx_pauses_close(d->pauses);
	cx_builds_close(d->builds);
	cx_ssh_close(d->ssh);
}

/* ---- unasked --------------------------------------------------------------------------------- */

void cx_dispatch_resolver(struct cx_dispatch *d, int sock)
{
	static const struct cx_msg_resolver m;
	struct cx_err err;

	if (d->gateway->link != NULL && cx_reply_resolver(d->gateway->link, 0, &m, sock, &err) < 0)
		cx_gateway_kill(d->gateway, &err);
}

/* One that has ended meanwhile is told of as such. */
void cx_dispatch_oom(struct cx_dispatch *d, struct cx_sandbox *sb)
{
	const struct cx_memory_report *r = &sb->memory;

	if (d->state == CX_PEER_READY)
		CX_ANSWER(d, cx_asker_of_event(d), oom_report, -EBADF,
			  .id = cx_str_of(sb->record.id), .limit_bytes = r->limit_bytes,
			  .peak_bytes = r->peak_bytes, .anonymous_bytes = r->anonymous_bytes,
			  .shared_bytes = r->shared_bytes, .file_bytes = r->file_bytes,
			  .kernel_bytes = r->kernel_bytes, .processes = r->processes,
			  .process = cx_str_of(r->process), .pid = r->pid,
			  .process_bytes = r->process_bytes);
	if (d->state == CX_PEER_READY && sb->state == CX_SANDBOX_RUNNING)
		CX_ANSWER(d, cx_asker_of_event(d), oom, -EBADF, .id = cx_str_of(sb->record.id));
}

void cx_dispatch_certificate(struct cx_dispatch *d, enum cx_certificate_of of, int pipe)
{
	static const struct cx_msg_certificate api;
	static const struct cx_msg_expose_certificate expose;
	struct cx_link *link = d->gateway->link;
	struct cx_err err;
	int r;

	if (d->state != CX_PEER_READY)
		return;
	if (of == CX_CERTIFICATE_API)
		r = cx_reply_certificate(link, 0, &api, pipe, &err);
	else
		r = cx_reply_expose_certificate(link, 0, &expose, pipe, &err);
	if (r < 0)
		cx_gateway_kill(d->gateway, &err);
}

void cx_dispatch_gone(struct cx_dispatch *d)
{
	if (!d->was_full || d->state != CX_PEER_READY)
		return;
	d->was_full = false;
	CX_ANSWER_EMPTY(d, cx_asker_of_event(d), room);
}
