/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dispatch.h"

#include <string.h>

#include "engine/egress.h"
#include "engine/listen.h"

/* Who asked: a gateway, told from its successors by its generation, and the number it chose. */
struct asker {
	uint64_t generation;
	uint32_t request;
};

struct creating {
	struct cx_create create;
	struct cx_dispatch *dispatch;
	struct asker asker;
	bool linked;		     /* its policy is to be in force when it is answered */
	struct cx_msg_egress policy; /* what of it is views is behind this */
	uint32_t number;	     /* of it, when it is; else 0 */
	unsigned set_for;	     /* create.gives: whose it is */
	char rules[];
};

struct cx_destroying {
	struct cx_destroying *next;
	const struct cx_sandbox *sb;
	struct asker asker;
};

union request {
	struct cx_msg_hello hello;
	struct cx_msg_create create;
	struct cx_msg_create_linked create_linked;
	struct cx_msg_connect connect;
	struct cx_msg_destroy destroy;
	struct cx_msg_list list;
	struct cx_msg_usage usage;
	struct cx_msg_trouble trouble;
	struct cx_msg_count count;
	struct cx_msg_command_slot command_slot;
	struct cx_msg_pause pause;
	struct cx_msg_resume resume;
	struct cx_msg_layer_build layer_build;
	struct cx_msg_layer_commit layer_commit;
	struct cx_msg_layer_abort layer_abort;
	struct cx_msg_layer_remove layer_remove;
	struct cx_msg_layer_stat layer_stat;
	struct cx_msg_scan scan;
	struct cx_msg_fetch fetch;
	struct cx_msg_layer_check layer_check;
	struct cx_msg_export export;
	struct cx_msg_commit commit;
	struct cx_msg_bundle bundle;
	struct cx_msg_networking networking;
	struct cx_msg_disks disks;
	struct cx_msg_capacity capacity;
	struct cx_msg_network network;
	struct cx_msg_egress egress;
	struct cx_msg_listen listen;
	struct cx_msg_ssh ssh;
};

/* ---- answers --------------------------------------------------------------------------------- */

static bool is_there(const struct cx_dispatch *d, struct asker asker)
{
	return d->gateway->link != NULL && asker.generation == d->gateway->generation;
}

/* A send that fails means a gateway that does not read: it is of no use any more. */
#define ANSWER(d, asker, name, fd, ...)                                                       \
	do {                                                                                  \
		struct cx_msg_##name m_ = { __VA_ARGS__ };                                    \
		struct cx_err e_;                                                             \
                                                                                              \
		if (is_there((d), (asker)) &&                                                 \
		    cx_reply_##name((d)->gateway->link, (asker).request, &m_, (fd), &e_) < 0) \
			cx_gateway_kill((d)->gateway, &e_);                                   \
	} while (0)

#define ANSWER_EMPTY(d, asker, name)                                                            \
	do {                                                                                    \
		static const struct cx_msg_##name m_;                                           \
		struct cx_err e_;                                                               \
                                                                                                \
		if (is_there((d), (asker)) &&                                                   \
		    cx_reply_##name((d)->gateway->link, (asker).request, &m_, -EBADF, &e_) < 0) \
			cx_gateway_kill((d)->gateway, &e_);                                     \
	} while (0)

static void answer_error(struct cx_dispatch *d, struct asker asker, const struct cx_err *err)
{
	ANSWER(d, asker, control_error, -EBADF, .kind = err->kind,
	       .errnum = err->refused ? 0 : (uint32_t)err->errnum, .text = cx_str_of(err->msg));
}

static struct asker event(const struct cx_dispatch *d)
{
	return (struct asker){ .generation = d->gateway->generation, .request = 0 };
}

/* ---- requests: 0 when answered or to be answered later, else -errno to answer with ---------- */

static int do_hello(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		    struct cx_err *err)
{
	(void)m;
	(void)fds;
	(void)err;
	d->state = CX_PEER_READY;
	ANSWER(d, asker, ready, -EBADF, .version = 1,
	       .cgroup_mode = cx_str_of(cx_cgroups_mode(d->host->cgroups)),
	       .host_memory_bytes = d->host->memory_bytes, .host_cpus = d->host->cpus);
	d->ready(d->arg);
	return 0;
}

/* What a gateway needs to run commands: a connection to the agent, and where they are counted. */
struct reach {
	int fds[1 + CX_CGROUP_ACCOUNTS_MAX];
	unsigned n;
};

static void close_reach(struct reach *reach)
{
	for (unsigned i = 0; i < reach->n; i++)
		cx_close(&reach->fds[i]);
	reach->n = 0;
}

static int open_reach(struct cx_dispatch *d, struct cx_sandbox *sb, struct reach *ret,
		      struct cx_err *err)
{
	unsigned accounts = 0;
	int agent = cx_sandbox_connect(sb, err);

	if (agent < 0)
		return agent;
	ret->fds[0] = agent;
	ret->n = 1;
	if (cx_cgroup_accounts(d->host->cgroups, &sb->group, ret->fds + 1, &accounts, err) < 0)
		return -err->errnum;
	ret->n += accounts;
	return 0;
}

static int set_policy(struct creating *c, const struct cx_sandbox *sb, struct cx_err *err)
{
	if (c->set_for != c->create.gives)
		c->number = 0;
	if (!c->linked || c->number != 0)
		return 0;
	c->set_for = c->create.gives;
	return cx_egress_set(c->dispatch->host, sb->record.slot, &c->policy, &c->number, err);
}

static int answer_linked(const struct creating *c, const struct cx_sandbox *sb,
			 const struct cx_msg_created *m, const struct reach *reach,
			 struct cx_err *err)
{
	struct cx_msg_created_linked linked = {
		.id = m->id, .uid_base = m->uid_base, .micros = m->micros, .number = c->number
	};
	struct cx_slot_link link;
	bool ip6;

	if (cx_egress_network(c->dispatch->host, sb->record.slot, &link, err) < 0)
		return -err->errnum;
	ip6 = !IN6_IS_ADDR_UNSPECIFIED(&link.address6);
	linked.slot = link.slot;
	linked.address4 = (struct cx_str){ (const char *)&link.address4, sizeof link.address4 };
	linked.address6 =
		(struct cx_str){ (const char *)&link.address6, ip6 ? sizeof link.address6 : 0 };
	return cx_reply_created_linked_fds(c->dispatch->gateway->link, c->asker.request, &linked,
					   reach->fds, reach->n, err);
}

static int answer_created(const struct creating *c, struct cx_sandbox *sb,
			  const struct reach *reach, struct cx_err *err)
{
	uint64_t micros = cx_now_us() - c->create.asked_us;
	struct cx_msg_created m = { .id = cx_str_of(sb->record.id),
				    .uid_base = sb->record.uid_base,
				    .micros = micros < UINT32_MAX ? (uint32_t)micros : UINT32_MAX };

	if (c->linked)
		return answer_linked(c, sb, &m, reach, err);
	return cx_reply_created_fds(c->dispatch->gateway->link, c->asker.request, &m, reach->fds,
				    reach->n, err);
}

static void created(struct cx_create *create, struct cx_sandbox *sb, const struct cx_err *why)
{
	cx_autofree struct creating *c = cx_container_of(create, struct creating, create);
	struct cx_dispatch *d = c->dispatch;
	CX_AUTO(close_reach) struct reach reach = { 0 };
	struct cx_err err;
	int r;

	if (sb == NULL) {
		answer_error(d, c->asker, why);
		return;
	}
	r = set_policy(c, sb, &err) < 0 ? -1 : open_reach(d, sb, &reach, &err);
	if (r < 0)
		answer_error(d, c->asker, &err);
	if (r < 0 || !is_there(d, c->asker)) {
		cx_sandbox_destroy(sb); /* nobody knows its id */
		return;
	}
	cx_cgroup_close_work(&sb->group);
	if (answer_created(c, sb, &reach, &err) < 0)
		cx_gateway_kill(d->gateway, &err);
}

static int plan_create(struct cx_dispatch *d, const struct cx_msg_create *m,
		       struct cx_claim_plan *plan, struct cx_err *err)
{
	*plan = (struct cx_claim_plan){ .limits = { .cpu_milli = m->cpu_milli,
						    .memory_bytes = m->memory_bytes,
						    .pids = m->pids },
					.nlayers = m->layers.len / CX_DIFF_ID };
	if (plan->nlayers == 0 || m->layers.len % CX_DIFF_ID != 0)
		return cx_refuse(err, CX_INVALID, "%u bytes of layer ids", m->layers.len);
	if (!cx_str_copy(m->hostname, plan->hostname, sizeof plan->hostname))
		return cx_refuse(err, CX_INVALID, "a host name of %u bytes", m->hostname.len);
	memcpy(plan->layers, m->layers.p, m->layers.len);
	plan->in_memory = m->in_memory != 0;
	if (cx_host_check_limits(d->host, &plan->limits, err) < 0 ||
	    cx_host_plan_disk(d->host, m->disk_bytes, plan->in_memory, m->memory_bytes, &plan->disk,
			      err) < 0)
		return -err->errnum;
	cx_capacity_glance(d->host, d->pool, &d->capacity);
	return cx_capacity_check(&d->capacity, plan, err);
}

static struct creating *new_creating(struct cx_dispatch *d, struct asker asker, uint32_t rules)
{
	struct creating *c = calloc(1, sizeof *c + rules);

	if (c == NULL)
		return NULL;
	c->create.done = created;
	c->create.asked_us = cx_now_us();
	c->dispatch = d;
	c->asker = asker;
	return c;
}

static int begin_create(struct creating **slot, const struct cx_msg_create *m, struct cx_err *err)
{
	struct creating *c = *slot;
	struct cx_err later;

	if (plan_create(c->dispatch, m, &c->create.plan, err) < 0 ||
	    cx_pool_create(c->dispatch->pool, &c->create, err) < 0) {
		c->dispatch->was_full |= err->kind == CX_BUSY || err->kind == CX_LIMIT;
		return -err->errnum;
	}
	*slot = NULL; /* created() frees it */
	/* While the agent is at its claim. What fails now fails again when it is to be answered. */
	if (c->create.given != NULL)
		(void)!set_policy(c, c->create.given, &later);
	return 0;
}

static int do_create(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		     struct cx_err *err)
{
	cx_autofree struct creating *c = new_creating(d, asker, 0);

	(void)fds;
	if (c == NULL)
		return cx_fail(err, ENOMEM, "a request");
	return begin_create(&c, &m->create, err);
}

static int do_create_linked(struct cx_dispatch *d, struct asker asker, const union request *m,
			    int *fds, struct cx_err *err)
{
	const struct cx_msg_create_linked *l = &m->create_linked;
	const struct cx_msg_create plan = { .cpu_milli = l->cpu_milli,
					    .memory_bytes = l->memory_bytes,
					    .pids = l->pids,
					    .hostname = l->hostname,
					    .layers = l->layers,
					    .disk_bytes = l->disk_bytes,
					    .in_memory = l->in_memory };
	cx_autofree struct creating *c = new_creating(d, asker, l->rules.len);

	(void)fds;
	if (c == NULL)
		return cx_fail(err, ENOMEM, "a request");
	if (l->rules.len > 0)
		memcpy(c->rules, l->rules.p, l->rules.len);
	c->linked = true;
	c->policy = (struct cx_msg_egress){ .mode = l->mode,
					    .names = l->names,
					    .link = l->link,
					    .rules = { .p = c->rules, .len = l->rules.len } };
	return begin_create(&c, &plan, err);
}

/* A sandbox that a gateway may know of: RUNNING, or being killed after it was. */
static struct cx_sandbox *find(struct cx_dispatch *d, struct cx_str text, struct cx_err *err)
{
	char id[CX_ID_LEN + 1];
	struct cx_sandbox *sb = NULL;

	if (cx_str_copy(text, id, sizeof id) && cx_record_is_id(id))
		sb = cx_sandbox_find(d->sandboxes, id);
	if (sb != NULL && sb->was_running && sb->state != CX_SANDBOX_REMAINS)
		return sb;
	(void)cx_refuse(err, CX_NOT_FOUND, "there is no such sandbox");
	return NULL;
}

static struct cx_sandbox *find_running(struct cx_dispatch *d, struct cx_str id, struct cx_err *err)
{
	struct cx_sandbox *sb = find(d, id, err);

	if (sb == NULL || sb->state == CX_SANDBOX_RUNNING)
		return sb;
	(void)cx_refuse(err, CX_CONFLICT, "the sandbox has ended");
	return NULL;
}

static int do_connect(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		      struct cx_err *err)
{
	struct cx_sandbox *sb = find_running(d, m->connect.id, err);
	CX_AUTO(close_reach) struct reach reach = { 0 };
	static const struct cx_msg_connected none;

	(void)fds;
	if (sb == NULL || open_reach(d, sb, &reach, err) < 0)
		return -err->errnum;
	if (cx_reply_connected_fds(d->gateway->link, asker.request, &none, reach.fds, reach.n,
				   err) < 0)
		cx_gateway_kill(d->gateway, err);
	else if (sb->out_of_memory) /* an earlier gateway may have heard of it, or none */
		cx_dispatch_oom(d, sb);
	return 0;
}

static int do_destroy(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		      struct cx_err *err)
{
	struct cx_sandbox *sb = find(d, m->destroy.id, err);
	struct cx_destroying *wait;

	(void)fds;
	if (sb == NULL)
		return -err->errnum;
	if (d->ndestroying == CX_DESTROYS_MAX)
		return cx_refuse(err, CX_UNAVAILABLE, "%d requests wait for sandboxes to end",
				 CX_DESTROYS_MAX);
	wait = malloc(sizeof *wait);
	if (wait == NULL)
		return cx_fail(err, ENOMEM, "a request");
	*wait = (struct cx_destroying){ .next = d->destroying, .sb = sb, .asker = asker };
	d->destroying = wait;
	d->ndestroying++;
	cx_sandbox_destroy(sb);
	return 0;
}

static void paused(void *arg, uint64_t tag, const struct cx_err *err)
{
	struct cx_dispatch *d = arg;
	struct asker asker = { .generation = d->gateway->generation, .request = (uint32_t)tag };

	if (err != NULL)
		answer_error(d, asker, err);
	else
		ANSWER_EMPTY(d, asker, changed);
}

/* As with builds, no question outlives its gateway. */
static int do_pause(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		    struct cx_err *err)
{
	struct cx_sandbox *sb = find_running(d, m->pause.id, err);

	(void)fds;
	if (sb == NULL)
		return -err->errnum;
	return cx_pause(d->pauses, sb, paused, d, asker.request, err);
}

static int do_resume(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		     struct cx_err *err)
{
	struct cx_sandbox *sb = find_running(d, m->resume.id, err);

	(void)fds;
	if (sb == NULL || cx_sandbox_resume(sb, err) < 0)
		return -err->errnum;
	ANSWER_EMPTY(d, asker, changed);
	return 0;
}

static int do_list(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		   struct cx_err *err)
{
	(void)m;
	(void)fds;
	(void)err;
	for (const struct cx_sandbox *sb = d->sandboxes->first; sb != NULL; sb = sb->next)
		if (sb->state == CX_SANDBOX_RUNNING)
			ANSWER(d, asker, listed, -EBADF, .id = cx_str_of(sb->record.id),
			       .uid_base = sb->record.uid_base);
	ANSWER_EMPTY(d, asker, list_end);
	return 0;
}

static int do_usage(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		    struct cx_err *err)
{
	struct cx_sandbox *sb = find_running(d, m->usage.id, err);
	struct cx_usage u;

	(void)fds;
	if (sb == NULL || cx_cgroup_usage(d->host->cgroups, &sb->group, &u, err) < 0)
		return -err->errnum;
	if (u.oom_kills > 0) /* what it was is told before */
		cx_oom_look(sb->oom);
	ANSWER(d, asker, used, -EBADF, .cpu_us = u.cpu_us, .memory_bytes = u.memory_bytes,
	       .memory_peak_bytes = u.memory_peak_bytes, .pids = u.pids, .oom_kills = u.oom_kills);
	return 0;
}

static int do_trouble(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		      struct cx_err *err)
{
	const struct cx_sandbox *sb = find_running(d, m->trouble.id, err);
	uint32_t kills;

	(void)fds;
	if (sb == NULL || cx_cgroup_oom_kills(d->host->cgroups, &sb->group, &kills, err) < 0)
		return -err->errnum;
	if (kills > 0) /* what it was is told before */
		cx_oom_look(sb->oom);
	ANSWER(d, asker, trouble_is, -EBADF, .oom_kills = kills,
	       .disk_full = cx_quota_is_full(d->host->quota, sb->record.id, &sb->writable));
	return 0;
}

static int do_command_slot(struct cx_dispatch *d, struct asker asker, const union request *m,
			   int *fds, struct cx_err *err)
{
	const struct cx_sandbox *sb = find_running(d, m->command_slot.id, err);

	(void)fds;
	if (sb == NULL || cx_cgroup_slot(d->host->cgroups, &sb->group, m->command_slot.number,
					 sb->record.uid_base, err) < 0)
		return -err->errnum;
	ANSWER_EMPTY(d, asker, command_slot_made);
	return 0;
}

static int do_count(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		    struct cx_err *err)
{
	const unsigned *n = d->sandboxes->count;

	(void)m;
	(void)fds;
	(void)err;
	ANSWER(d, asker, counted, -EBADF, .starting = n[CX_SANDBOX_STARTING],
	       .blank = n[CX_SANDBOX_BLANK], .claiming = n[CX_SANDBOX_CLAIMING],
	       .running = n[CX_SANDBOX_RUNNING], .ending = n[CX_SANDBOX_ENDING],
	       .gateways = d->gateway->generation);
	return 0;
}

/* A build's tag is the request number; builds do not outlive the gateway that asked for them. */
static void built(void *arg, uint64_t tag, uint64_t token, uint64_t size, const struct cx_err *err)
{
	struct cx_dispatch *d = arg;
	struct asker asker = { .generation = d->gateway->generation, .request = (uint32_t)tag };

	if (err != NULL)
		answer_error(d, asker, err);
	else
		ANSWER(d, asker, layer_built, -EBADF, .token = token, .size_bytes = size);
}

/* Workers that leave no layer behind: what they found they have told by themselves. */
#define WORKER_ENDED(name)                                                       \
	static void name(void *arg, uint64_t tag, uint64_t token, uint64_t size, \
			 const struct cx_err *err)                               \
	{                                                                        \
		struct cx_dispatch *d = arg;                                     \
		struct asker asker = { .generation = d->gateway->generation,     \
				       .request = (uint32_t)tag };               \
                                                                                 \
		(void)token;                                                     \
		(void)size;                                                      \
		if (err != NULL)                                                 \
			answer_error(d, asker, err);                             \
		else                                                             \
			ANSWER_EMPTY(d, asker, name);                            \
	}
WORKER_ENDED(scanned)
WORKER_ENDED(fetched)
WORKER_ENDED(layer_checked)
WORKER_ENDED(archived)

static int do_layer_build(struct cx_dispatch *d, struct asker asker, const union request *m,
			  int *fds, struct cx_err *err)
{
	struct cx_build_limits limits = { .max_bytes = m->layer_build.max_bytes,
					  .max_entries = m->layer_build.max_entries,
					  .blob_is_known = m->layer_build.blob_is_known != 0 };

	if (limits.max_bytes == 0 || limits.max_entries == 0)
		return cx_refuse(err, CX_INVALID, "a layer of no bytes or no entries");
	return cx_build_layer(d->builds, &limits, fds, built, d, asker.request, err);
}

static int do_scan(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		   struct cx_err *err)
{
	(void)m;
	return cx_build_scan(d->builds, fds, scanned, d, asker.request, err);
}

static int do_fetch(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		    struct cx_err *err)
{
	(void)m;
	return cx_build_fetch(d->builds, &fds[0], fetched, d, asker.request, err);
}

static int archive_limits(uint64_t max_bytes, uint32_t max_entries, struct cx_build_limits *ret,
			  struct cx_err *err)
{
	*ret = (struct cx_build_limits){ .max_bytes = max_bytes, .max_entries = max_entries };
	if (max_bytes == 0 || max_entries == 0)
		return cx_refuse(err, CX_INVALID, "an archive of no bytes or no entries");
	return 0;
}

static int do_export(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		     struct cx_err *err)
{
	const struct cx_msg_export *e = &m->export;
	struct cx_build_limits limits;

	if (archive_limits(e->max_bytes, e->max_entries, &limits, err) < 0)
		return -err->errnum;
	if (e->layers.len % CX_DIFF_ID != 0)
		return cx_refuse(err, CX_INVALID, "%u bytes of layer ids", e->layers.len);
	return cx_archive_export(d->archives, (const uint8_t *)e->layers.p,
				 e->layers.len / CX_DIFF_ID, &limits, fds, archived, d,
				 asker.request, err);
}

static int do_commit(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		     struct cx_err *err)
{
	struct cx_sandbox *sb = find_running(d, m->commit.id, err);
	struct cx_build_limits limits;

	if (sb == NULL ||
	    archive_limits(m->commit.max_bytes, m->commit.max_entries, &limits, err) < 0)
		return -err->errnum;
	if (m->commit.layers.len != sb->record.nlayers * CX_DIFF_ID ||
	    memcmp(m->commit.layers.p, sb->record.layers, m->commit.layers.len) != 0)
		return cx_refuse(err, CX_CONFLICT,
				 "the image that the sandbox was made from is another one now");
	return cx_archive_commit(d->archives, sb, &limits, fds, archived, d, asker.request, err);
}

static int do_bundle(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		     struct cx_err *err)
{
	(void)m;
	return cx_build_bundle(d->builds, fds, archived, d, asker.request, err);
}

static const uint8_t *layer_id(struct cx_str id, struct cx_err *err)
{
	if (id.len == CX_DIFF_ID)
		return (const uint8_t *)id.p;
	(void)cx_refuse(err, CX_INVALID, "a layer id of %u bytes", id.len);
	return NULL;
}

static int do_layer_commit(struct cx_dispatch *d, struct asker asker, const union request *m,
			   int *fds, struct cx_err *err)
{
	const uint8_t *id = layer_id(m->layer_commit.id, err);

	(void)fds;
	if (id == NULL || cx_build_commit(d->builds, m->layer_commit.token, id, err) < 0)
		return -err->errnum;
	ANSWER_EMPTY(d, asker, layer_done);
	return 0;
}

static int do_layer_check(struct cx_dispatch *d, struct asker asker, const union request *m,
			  int *fds, struct cx_err *err)
{
	const uint8_t *id = layer_id(m->layer_check.id, err);

	if (id == NULL)
		return -err->errnum;
	return cx_build_check(d->builds, m->layer_check.token, id, &fds[0], layer_checked, d,
			      asker.request, err);
}

static int do_layer_abort(struct cx_dispatch *d, struct asker asker, const union request *m,
			  int *fds, struct cx_err *err)
{
	(void)fds;
	if (cx_build_abort(d->builds, m->layer_abort.token, err) < 0)
		return -err->errnum;
	ANSWER_EMPTY(d, asker, layer_done);
	return 0;
}

static int do_layer_remove(struct cx_dispatch *d, struct asker asker, const union request *m,
			   int *fds, struct cx_err *err)
{
	const uint8_t *id = layer_id(m->layer_remove.id, err);

	(void)fds;
	if (id == NULL || cx_layers_remove(&d->host->layers, id, err) < 0)
		return -err->errnum;
	ANSWER_EMPTY(d, asker, layer_done);
	return 0;
}

static int do_layer_stat(struct cx_dispatch *d, struct asker asker, const union request *m,
			 int *fds, struct cx_err *err)
{
	const uint8_t *id = layer_id(m->layer_stat.id, err);
	uint64_t size = 0;
	uint32_t users = 0;

	(void)fds;
	if (id == NULL || cx_layers_stat(&d->host->layers, id, &size, &users, err) < 0)
		return -err->errnum;
	ANSWER(d, asker, layer_info, -EBADF, .size_bytes = size, .users = users);
	return 0;
}

static int do_listen(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		     struct cx_err *err)
{
	cx_autofd int sock = -EBADF;
	uint16_t port = 0;

	(void)fds;
	if (cx_listen_for(d->host->config, (enum cx_listen_purpose)m->listen.purpose,
			  (uint16_t)m->listen.port, &sock, &port, err) < 0)
		return -err->errnum;
	ANSWER(d, asker, listening, sock, .port = port);
	return 0;
}

#define RESOURCE(name, i)                                                                          \
	.name##_total = of[i].total, .name##_reserve = of[i].reserve, .name##_limit = of[i].limit, \
	.name##_promised = of[i].promised, .name##_left = of[i].left

static int do_capacity(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		       struct cx_err *err)
{
	const struct cx_resource_state *of = d->capacity.of;

	(void)m;
	(void)fds;
	(void)err;
	cx_capacity_look(d->host, d->pool, &d->capacity);
	ANSWER(d, asker, capacity_is, -EBADF, RESOURCE(sandboxes, CX_RESOURCE_SANDBOXES),
	       RESOURCE(files, CX_RESOURCE_FILES), RESOURCE(cpu, CX_RESOURCE_CPU),
	       RESOURCE(memory, CX_RESOURCE_MEMORY), RESOURCE(disk, CX_RESOURCE_DISK),
	       RESOURCE(pids, CX_RESOURCE_PIDS), .remains = d->sandboxes->count[CX_SANDBOX_REMAINS],
	       .links = d->host->slots != NULL ? cx_slots_leaving(d->host->slots) : 0,
	       .trash = cx_sweeper_busy(d->sweeper));
	return 0;
}

static int do_disks(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		    struct cx_err *err)
{
	(void)m;
	(void)fds;
	(void)err;
	ANSWER(d, asker, disks_are, -EBADF,
	       .backend = cx_str_of(cx_quota_name(cx_quota_kind(d->host->quota))),
	       .default_bytes = d->host->config->disk_size);
	return 0;
}

static int do_networking(struct cx_dispatch *d, struct asker asker, const union request *m,
			 int *fds, struct cx_err *err)
{
	(void)m;
	(void)fds;
	(void)err;
	ANSWER(d, asker, networking_is, -EBADF, .enabled = d->host->firewall != NULL);
	return 0;
}

static void ssh_ended(void *arg, uint64_t tag)
{
	struct cx_dispatch *d = arg;
	struct asker asker = { .generation = d->gateway->generation, .request = (uint32_t)tag };

	ANSWER_EMPTY(d, asker, ssh_ended);
}

static int do_ssh(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		  struct cx_err *err)
{
	(void)m;
	return cx_ssh_start(d->ssh, fds, ssh_ended, d, asker.request, err);
}

static int do_network(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		      struct cx_err *err)
{
	const struct cx_sandbox *sb = find_running(d, m->network.id, err);
	struct cx_slot_link link;
	bool ip6;

	(void)fds;
	if (sb == NULL || cx_egress_network(d->host, sb->record.slot, &link, err) < 0)
		return -err->errnum;
	ip6 = !IN6_IS_ADDR_UNSPECIFIED(&link.address6);
	ANSWER(d, asker, network_is, -EBADF, .slot = link.slot,
	       .number = cx_firewall_number(d->host->firewall, link.slot),
	       .address4 = { (const char *)&link.address4, sizeof link.address4 },
	       .address6 = { (const char *)&link.address6, ip6 ? sizeof link.address6 : 0 });
	return 0;
}

static int do_egress(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		     struct cx_err *err)
{
	const struct cx_sandbox *sb = find_running(d, m->egress.id, err);
	uint32_t number;

	(void)fds;
	if (sb == NULL || cx_egress_set(d->host, sb->record.slot, &m->egress, &number, err) < 0)
		return -err->errnum;
	ANSWER(d, asker, egress_set, -EBADF, .number = number);
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define DECODER(name)                                                 \
	static bool get_##name(struct cx_reader *r, union request *m) \
	{                                                             \
		return cx_msg_##name##_get(r, &m->name);              \
	}
#define OP(name, states, nfds, begins) \
	[CX_MSG_##name] = { #name, states, nfds, begins, get_##name, do_##name }

DECODER(hello)
DECODER(create)
DECODER(create_linked)
DECODER(connect)
DECODER(destroy)
DECODER(list)
DECODER(usage)
DECODER(count)
DECODER(command_slot)
DECODER(trouble)
DECODER(pause)
DECODER(resume)
DECODER(layer_build)
DECODER(layer_commit)
DECODER(layer_abort)
DECODER(layer_remove)
DECODER(layer_stat)
DECODER(scan)
DECODER(fetch)
DECODER(layer_check)
DECODER(export)
DECODER(commit)
DECODER(bundle)
DECODER(networking)
DECODER(disks)
DECODER(capacity)
DECODER(network)
DECODER(egress)
DECODER(listen)
DECODER(ssh)

static const struct op {
	const char *name;
	unsigned states; /* in which the gateway may ask; 0: never */
	unsigned nfds;	 /* that must come along, exactly */
	bool begins;	 /* something that outlives the request: refused when stopping */
	bool (*get)(struct cx_reader *r, union request *m);
	int (*run)(struct cx_dispatch *d, struct asker asker, const union request *m, int *fds,
		   struct cx_err *err);
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
	struct asker asker = { .generation = d->gateway->generation, .request = packet->request };
	struct cx_err failure;
	union request m;
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
		answer_error(d, asker, &failure);
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
		ANSWER(d, event(d), oom_report, -EBADF, .id = cx_str_of(sb->record.id),
		       .limit_bytes = r->limit_bytes, .peak_bytes = r->peak_bytes,
		       .anonymous_bytes = r->anonymous_bytes, .shared_bytes = r->shared_bytes,
		       .file_bytes = r->file_bytes, .kernel_bytes = r->kernel_bytes,
		       .processes = r->processes, .process = cx_str_of(r->process), .pid = r->pid,
		       .process_bytes = r->process_bytes);
	if (d->state == CX_PEER_READY && sb->state == CX_SANDBOX_RUNNING)
		ANSWER(d, event(d), oom, -EBADF, .id = cx_str_of(sb->record.id));
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

void cx_dispatch_ended(struct cx_dispatch *d, struct cx_sandbox *sb)
{
	struct cx_destroying **at = &d->destroying;
	bool asked = false;

	while (*at != NULL) {
		struct cx_destroying *wait = *at;

		if (wait->sb != sb) {
			at = &wait->next;
			continue;
		}
		asked = true;
		*at = wait->next;
		d->ndestroying--;
		ANSWER_EMPTY(d, wait->asker, destroyed);
		free(wait);
	}
	if (!asked && sb->was_running && d->state == CX_PEER_READY)
		ANSWER(d, event(d), ended, -EBADF, .id = cx_str_of(sb->record.id),
		       .reason = sb->reason);
}

void cx_dispatch_gone(struct cx_dispatch *d)
{
	if (!d->was_full || d->state != CX_PEER_READY)
		return;
	d->was_full = false;
	ANSWER_EMPTY(d, event(d), room);
}

void cx_dispatch_close(struct cx_dispatch *d)
{
	while (d->destroying != NULL) {
		struct cx_destroying *wait = d->destroying;

		d->destroying = wait->next;
		free(wait);
	}
}
