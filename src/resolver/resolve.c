/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/resolve.h"

#include <errno.h>
#include <stdlib.h>

struct cx_job {
	struct cx_resolve *r;
	struct cx_job *next; /* stalled */
	uint32_t slot, generation;
	struct cx_client client;
	struct cx_query query;
	struct cx_answer *answer;
	uint32_t keep;	 /* which of its addresses may be told */
	uint32_t number; /* of the policy that they are permitted for */
	uint32_t ttl_s;
	unsigned waiting; /* permits */
	unsigned rounds;
	bool conflict;
	uint64_t until_ms;
};

struct change { /* of a policy */
	struct cx_resolve *r;
	uint32_t slot, generation, request;
	unsigned waiting;
};

static void go_on(struct cx_job *job);

/* ---- what caissond says at the start --------------------------------------------------------- */

int cx_resolve_service(struct cx_resolve *r, const struct cx_msg_service *m, struct cx_err *err)
{
	if (r->nservices == CX_RESOLVE_SERVICES ||
	    !cx_name_take(m->name, r->services[r->nservices].name) ||
	    !cx_address_take(m->address, &r->services[r->nservices].address))
		return cx_refuse(err, CX_INVALID, "service %u", r->nservices);
	r->nservices++;
	return 0;
}

int cx_resolve_reachable(struct cx_resolve *r, const struct cx_msg_reachable *m, struct cx_err *err)
{
	struct cx_prefix prefix = { .bits = (uint8_t)m->prefix };

	if (r->nreachable == CX_RESOLVE_REACHABLE ||
	    !cx_address_take(m->address, &prefix.address) || m->prefix > 8U * prefix.address.len)
		return cx_refuse(err, CX_INVALID, "network %u", r->nreachable);
	r->reachable[r->nreachable++] = prefix;
	return 0;
}

static bool may_be_told(const struct cx_resolve *r, const struct cx_address *address)
{
	if (!cx_address_is_private(address))
		return true;
	for (unsigned i = 0; i < r->nreachable; i++)
		if (cx_address_within(address, &r->reachable[i]))
			return true;
	return false;
}

/* ---- the end of a question ------------------------------------------------------------------- */

static void refuse(struct cx_resolve *r, const struct cx_client *to, const struct cx_query *query,
		   enum cx_rcode rcode)
{
	uint8_t out[CX_DNS_PLAIN];
	struct cx_err err;
	int len = cx_message_refuse(query, rcode, out, &err);

	cx_clients_answer(r->clients, to, out, len > 0 ? (size_t)len : 0);
}

static void answer(struct cx_resolve *r, const struct cx_client *to, const struct cx_query *query,
		   const struct cx_answer *with, uint32_t keep, uint32_t ttl_s)
{
	uint8_t out[CX_DNS_TCP_MAX];
	struct cx_err err;
	int len = cx_answer_build(query, with, keep, ttl_s, out, &err);

	cx_clients_answer(r->clients, to, out, len > 0 ? (size_t)len : 0);
}

/* NULL when the sandbox that asked is gone. */
static struct cx_guest *guest_of(const struct cx_job *job)
{
	struct cx_guest *guest = cx_guests_at(job->r->guests, job->slot);

	return guest != NULL && guest->generation == job->generation ? guest : NULL;
}

static void free_job(struct cx_job *job)
{
	struct cx_guest *guest = cx_guests_at(job->r->guests, job->slot);

	if (guest != NULL)
		guest->waiting--;
	job->r->njobs--;
	cx_answer_unref(&job->answer);
	free(job);
}

static void finish_refused(struct cx_job *job, enum cx_rcode rcode)
{
	refuse(job->r, &job->client, &job->query, rcode);
	free_job(job);
}

/* Its sandbox is gone; another one may have the address by now. */
static void abandon(struct cx_job *job)
{
	cx_clients_answer(job->r->clients, &job->client, NULL, 0);
	free_job(job);
}

/* ---- what a name means ----------------------------------------------------------------------- */

/*
 * Returns the answer when it is known without a name server, else NULL and in *ret_rcode what to
 * refuse with: CX_RCODE_NOERROR when a name server is to be asked, or what it said may be told.
 */
static struct cx_answer *decide(const struct cx_resolve *r, const struct cx_guest *guest,
				const struct cx_query *q, enum cx_rcode *ret_rcode)
{
	const struct cx_peer *peer = cx_names_peer(guest->names, q->name);
	bool local =
		strchr(q->name, '.') == NULL || (r->nreachable == 0 && cx_name_is_local(q->name));

	*ret_rcode = CX_RCODE_SERVFAIL; /* no memory */
	if (peer != NULL)
		return cx_answer_own(q->name, q->type, peer->addresses, CX_LEN(peer->addresses),
				     CX_RESOLVE_OWN_TTL_S);
	for (unsigned i = 0; i < r->nservices; i++)
		if (strcmp(r->services[i].name, q->name) == 0)
			return cx_answer_own(q->name, q->type, &r->services[i].address, 1,
					     CX_RESOLVE_OWN_TTL_S);
	if (!cx_names_allow(guest->names, q->name)) {
		*ret_rcode = local ? CX_RCODE_NXDOMAIN : CX_RCODE_REFUSED;
		return NULL;
	}
	/* One that the policy names is meant; of all others these are nobody's. */
	if (local && guest->names->mode != CX_EGRESS_ALLOW) {
		*ret_rcode = CX_RCODE_NXDOMAIN;
		return NULL;
	}
	/* These carry addresses that no rule has seen, and keys that hide a connection's name. */
	if ((q->type == CX_TYPE_HTTPS || q->type == CX_TYPE_SVCB) &&
	    guest->names->mode == CX_EGRESS_ALLOW)
		return cx_answer_own(q->name, q->type, NULL, 0, CX_RESOLVE_OWN_TTL_S);
	*ret_rcode = CX_RCODE_NOERROR;
	return NULL;
}

static bool is_denied(const void *arg, const char *name)
{
	return !cx_names_allow(arg, name);
}

/* A name that is denied stays so behind another one. */
static bool leads_to_denied(const struct cx_names *names, const struct cx_answer *a)
{
	return names->mode == CX_EGRESS_DENY && cx_answer_leads(a, is_denied, names);
}

static uint32_t tellable(const struct cx_resolve *r, const struct cx_answer *a)
{
	uint32_t keep = 0;

	for (unsigned i = 0; i < a->naddresses; i++)
		keep |= may_be_told(r, &a->addresses[i]) ? 1U << i : 0;
	return keep;
}

/* ---- permits --------------------------------------------------------------------------------- */

static uint32_t permit_s(const struct cx_job *job)
{
	uint32_t least = CX_RESOLVE_PERMIT_MIN_S;

	return (job->ttl_s > least ? job->ttl_s : least) + CX_RESOLVE_GRACE_S;
}

static void send_answer(struct cx_job *job, struct cx_guest *guest)
{
	uint64_t until_ms = cx_now_ms() + 1000ULL * permit_s(job);

	for (unsigned i = 0; i < job->answer->naddresses; i++)
		if ((job->keep >> i & 1) != 0 &&
		    !cx_told_until(guest, job->query.name, &job->answer->addresses[i], job->number,
				   until_ms - 1000ULL * CX_RESOLVE_GRACE_S / 2))
			cx_told_note(job->r->guests, guest, job->query.name,
				     &job->answer->addresses[i], job->number, until_ms);
	answer(job->r, &job->client, &job->query, job->answer, job->keep, job->ttl_s);
	free_job(job);
}

static void refuse_private(struct cx_job *job, struct cx_guest *guest)
{
	cx_denials_name(job->r->denials, guest, job->query.name, "private", cx_now_ms());
	finish_refused(job, CX_RCODE_REFUSED);
}

/* All permits are answered. */
static void permitted(struct cx_job *job)
{
	struct cx_guest *guest = guest_of(job);

	if (guest == NULL) {
		abandon(job);
	} else if (guest->names == NULL) {
		finish_refused(job, CX_RCODE_REFUSED);
	} else if (job->conflict && ++job->rounds < CX_RESOLVE_ROUNDS) {
		if (guest->names->number != job->number) {
			go_on(job);
			return;
		}
		/* caissond has a policy already that the gateway has yet to tell us of. */
		job->until_ms = cx_now_ms() + CX_RESOLVE_STALL_MS;
		job->next = job->r->stalled;
		job->r->stalled = job;
	} else if (job->conflict) {
		finish_refused(job, CX_RCODE_SERVFAIL);
	} else if (job->keep == 0) {
		refuse_private(job, guest);
	} else {
		send_answer(job, guest);
	}
}

static void permit_done(void *arg, unsigned tag, const struct cx_err *err)
{
	struct cx_job *job = arg;

	if (err != NULL) {
		job->keep &= ~(1U << tag);
		job->conflict |= err->kind == CX_CONFLICT;
	}
	if (--job->waiting == 0)
		permitted(job);
}

/* Asks for one address by each rule that allows the name. Returns how many permits are under way.
 */
static unsigned ask_permits(struct cx_permits *permits, const struct cx_guest *guest,
			    const char *name, const struct cx_address *address, uint32_t ttl_s,
			    cx_permit_done *done, void *arg, unsigned tag)
{
	const struct cx_rule *matches[CX_MATCHES_MAX];
	unsigned n = cx_names_match(guest->names, name, matches), asked = 0;

	for (unsigned i = 0; i < n; i++) {
		struct cx_msg_permit m = { .slot = guest->slot,
					   .number = guest->names->number,
					   .address = cx_address_bytes(address),
					   .ttl_s = ttl_s,
					   .any_port = matches[i]->any_port,
					   .ports = matches[i]->ports };
		struct cx_err err;

		asked += cx_permits_ask(permits, &m, done, arg, tag, &err) == 0;
	}
	return asked;
}

/* What was permitted lately need not be again. */
static void permit(struct cx_job *job, const struct cx_guest *guest)
{
	uint64_t enough_ms = cx_now_ms() + 1000ULL * (permit_s(job) - CX_RESOLVE_GRACE_S / 2);

	job->waiting = 1; /* ours, until all are asked for */
	for (unsigned i = 0; i < job->answer->naddresses; i++) {
		const struct cx_address *address = &job->answer->addresses[i];
		unsigned asked;

		if ((job->keep >> i & 1) == 0 ||
		    cx_told_until(guest, job->query.name, address, job->number, enough_ms))
			continue;
		asked = ask_permits(job->r->permits, guest, job->query.name, address, permit_s(job),
				    permit_done, job, i);
		job->waiting += asked;
		if (asked == 0)
			job->keep &= ~(1U << i);
	}
	if (--job->waiting == 0)
		permitted(job);
}

/* ---- from the answer on ---------------------------------------------------------------------- */

static uint32_t ttl_left(const struct cx_answer *a)
{
	uint64_t old_s = (cx_now_ms() - a->born_ms) / 1000;

	return old_s < a->ttl_s ? a->ttl_s - (uint32_t)old_s : 0;
}

/* With the answer of a name server, under the policy of now. */
static void go_on(struct cx_job *job)
{
	struct cx_guest *guest = guest_of(job);
	CX_AUTO(cx_answer_unref) struct cx_answer *own = NULL;
	enum cx_rcode rcode;

	if (guest == NULL) {
		abandon(job);
		return;
	}
	own = decide(job->r, guest, &job->query, &rcode);
	if (own != NULL || rcode != CX_RCODE_NOERROR) {
		finish_refused(job, own != NULL ? CX_RCODE_SERVFAIL : rcode);
		return;
	}
	if (leads_to_denied(guest->names, job->answer)) {
		cx_denials_name(job->r->denials, guest, job->query.name, "policy", cx_now_ms());
		finish_refused(job, CX_RCODE_REFUSED);
		return;
	}
	job->keep = tellable(job->r, job->answer);
	job->number = guest->names->number;
	job->ttl_s = ttl_left(job->answer);
	job->conflict = false;
	if (job->answer->naddresses > 0 && job->keep == 0)
		refuse_private(job, guest);
	else if (guest->names->mode == CX_EGRESS_ALLOW && job->keep != 0)
		permit(job, guest);
	else
		send_answer(job, guest);
}

static void heard(void *arg, struct cx_answer *a)
{
	struct cx_job *job = arg;

	if (a == NULL) {
		finish_refused(job, CX_RCODE_SERVFAIL);
		return;
	}
	cx_cache_put(job->r->cache, job->query.name, job->query.type, a);
	job->answer = cx_answer_ref(a);
	go_on(job);
}

static struct cx_job *new_job(struct cx_resolve *r, struct cx_guest *guest,
			      const struct cx_client *from, const struct cx_query *query)
{
	struct cx_job *job;

	if (guest->waiting == CX_RESOLVE_EACH || r->njobs == CX_RESOLVE_ALL)
		return NULL;
	job = calloc(1, sizeof *job);
	if (job == NULL)
		return NULL;
	*job = (struct cx_job){ .r = r,
				.slot = guest->slot,
				.generation = guest->generation,
				.client = *from,
				.query = *query };
	guest->waiting++;
	r->njobs++;
	return job;
}

static void ask(struct cx_resolve *r, struct cx_guest *guest, const struct cx_client *from,
		const struct cx_query *query)
{
	struct cx_answer *cached = cx_cache_get(r->cache, query->name, query->type, cx_now_ms());
	struct cx_job *job = new_job(r, guest, from, query);
	struct cx_err err;

	if (job == NULL) {
		cx_clients_answer(r->clients, from, NULL, 0); /* it asks again when it must know */
	} else if (cached != NULL) {
		job->answer = cx_answer_ref(cached);
		go_on(job);
	} else if (cx_upstream_ask(r->upstream, query->name, query->type, heard, job, &err) < 0) {
		finish_refused(job, CX_RCODE_SERVFAIL);
	}
}

void cx_resolve_asked(void *arg, struct cx_guest *guest, const struct cx_client *from,
		      const uint8_t *packet, size_t len)
{
	struct cx_resolve *r = arg;
	CX_AUTO(cx_answer_unref) struct cx_answer *own = NULL;
	enum cx_rcode rcode;
	struct cx_query query;
	int bad = cx_query_parse(packet, len, from->tcp, &query);

	if (bad != 0) {
		if (bad > 0)
			refuse(r, from, &query, (enum cx_rcode)bad);
		else
			cx_clients_answer(r->clients, from, NULL, 0);
		return;
	}
	own = decide(r, guest, &query, &rcode);
	if (own != NULL) {
		answer(r, from, &query, own, UINT32_MAX, CX_RESOLVE_OWN_TTL_S);
	} else if (rcode != CX_RCODE_NOERROR) {
		if (rcode == CX_RCODE_REFUSED)
			cx_denials_name(r->denials, guest, query.name, "policy", cx_now_ms());
		refuse(r, from, &query, rcode);
	} else {
		ask(r, guest, from, &query);
	}
}

/* ---- another policy -------------------------------------------------------------------------- */

static void change_step(struct change *change)
{
	if (--change->waiting > 0)
		return;
	change->r->set(change->r->arg, change->slot, change->request);
	free(change);
}

/* One that failed is asked for again with the next answer. */
static void change_permitted(void *arg, unsigned tag, const struct cx_err *err)
{
	struct change *change = arg;
	struct cx_guest *guest = cx_guests_at(change->r->guests, change->slot);

	(void)tag;
	if (err != NULL && guest != NULL && guest->generation == change->generation)
		for (struct cx_told *told = guest->told; told != NULL; told = told->next)
			told->number = 0;
	change_step(change);
}

static void permit_told(struct change *change, struct cx_guest *guest)
{
	uint64_t now_ms = cx_now_ms();

	cx_told_expire(change->r->guests, guest, now_ms);
	for (struct cx_told *told = guest->told; told != NULL; told = told->next) {
		uint32_t ttl_s = cx_told_again_s(told, now_ms);
		unsigned asked = ask_permits(change->r->permits, guest, told->name, &told->address,
					     ttl_s, change_permitted, change, 0);

		told->number = asked > 0 ? guest->names->number : 0;
		told->until_ms = now_ms + 1000ULL * ttl_s;
		change->waiting += asked;
	}
}

static void resume_stalled(struct cx_resolve *r, const struct cx_guest *guest)
{
	struct cx_job **at = &r->stalled, *found = NULL;

	while (*at != NULL) {
		struct cx_job *job = *at;

		if (job->slot != guest->slot) {
			at = &job->next;
			continue;
		}
		*at = job->next;
		job->next = found;
		found = job;
	}
	while (found != NULL) {
		struct cx_job *job = found;

		found = job->next;
		go_on(job);
	}
}

void cx_resolve_changed(struct cx_resolve *r, struct cx_guest *guest, uint32_t request)
{
	struct change *change = calloc(1, sizeof *change);

	if (change == NULL) { /* its addresses are permitted with the next answers */
		r->set(r->arg, guest->slot, request);
	} else {
		*change = (struct change){ .r = r,
					   .slot = guest->slot,
					   .generation = guest->generation,
					   .request = request,
					   .waiting = 1 };
		if (guest->names != NULL && guest->names->mode == CX_EGRESS_ALLOW)
			permit_told(change, guest);
		change_step(change);
	}
	resume_stalled(r, guest);
}

void cx_resolve_tick(struct cx_resolve *r, uint64_t now_ms)
{
	struct cx_job **at = &r->stalled;

	while (*at != NULL) {
		struct cx_job *job = *at;

		if (now_ms < job->until_ms) {
			at = &job->next;
			continue;
		}
		*at = job->next;
		finish_refused(job, CX_RCODE_SERVFAIL);
	}
}
