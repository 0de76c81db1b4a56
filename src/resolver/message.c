/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/message.h"

#include <errno.h>
#include <ldns/ldns.h>
#include <string.h>

#include "base/loop.h"

CX_DEFINE_AUTO(ldns_pkt *, ldns_pkt_free);
CX_DEFINE_AUTO(ldns_rr *, ldns_rr_free);

enum { QR = 0x80, TC = 0x02, OPCODE = 0x78, RCODE = 0x0f }; /* bits of header bytes 2 and 3 */

static uint16_t u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* ---- questions ------------------------------------------------------------------------------- */

static const struct {
	uint16_t type;
	const char *why;
} types[] = {
	{ LDNS_RR_TYPE_A, "addresses" },
	{ LDNS_RR_TYPE_AAAA, "addresses" },
	{ LDNS_RR_TYPE_CNAME, "other names" },
	{ LDNS_RR_TYPE_NS, "name servers" },
	{ LDNS_RR_TYPE_SOA, "zones" },
	{ LDNS_RR_TYPE_PTR, "names of addresses" },
	{ LDNS_RR_TYPE_MX, "mail" },
	{ LDNS_RR_TYPE_TXT, "proofs of ownership, settings" },
	{ LDNS_RR_TYPE_SRV, "services" },
	{ LDNS_RR_TYPE_NAPTR, "services" },
	{ LDNS_RR_TYPE_CAA, "who may issue certificates" },
	{ LDNS_RR_TYPE_SVCB, "services" },
	{ LDNS_RR_TYPE_HTTPS, "services" },
};

static bool is_known(uint16_t type)
{
	for (size_t i = 0; i < CX_LEN(types); i++)
		if (types[i].type == type)
			return true;
	return false;
}

static int take_question(const ldns_pkt *pkt, struct cx_query *ret)
{
	const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_question(pkt), 0);
	const ldns_rdf *owner = rr != NULL ? ldns_rr_owner(rr) : NULL;

	if (owner == NULL || ldns_rdf_size(owner) > sizeof ret->asked)
		return CX_RCODE_FORMERR;
	ret->asked_len = (uint16_t)ldns_rdf_size(owner);
	memcpy(ret->asked, ldns_rdf_data(owner), ret->asked_len);
	ret->type = (uint16_t)ldns_rr_get_type(rr);
	if (ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN || ret->type == LDNS_RR_TYPE_ANY ||
	    ret->type == LDNS_RR_TYPE_AXFR || ret->type == LDNS_RR_TYPE_IXFR)
		return CX_RCODE_REFUSED;
	if (!is_known(ret->type))
		return CX_RCODE_NOTIMP;
	return cx_name_from_wire(ret->asked, ret->asked_len, ret->name) ? 0 : CX_RCODE_REFUSED;
}

int cx_query_parse(const uint8_t *packet, size_t len, bool tcp, struct cx_query *ret)
{
	CX_AUTO(ldns_pkt_freep) ldns_pkt *pkt = NULL;
	uint16_t size;

	if (len < CX_DNS_HEADER || (packet[2] & QR) != 0)
		return -EBADMSG;
	*ret = (struct cx_query){ .id = u16(packet),
				  .rd = (packet[2] & 1) != 0,
				  .cd = (packet[3] & 0x10) != 0,
				  .room = tcp ? CX_DNS_TCP_MAX : CX_DNS_PLAIN };
	if ((packet[2] & OPCODE) != 0)
		return CX_RCODE_NOTIMP;
	/* One question, no record but EDNS. */
	if (u16(packet + 4) != 1 || u16(packet + 6) != 0 || u16(packet + 8) != 0 ||
	    u16(packet + 10) > 1 || ldns_wire2pkt(&pkt, packet, len) != LDNS_STATUS_OK)
		return CX_RCODE_FORMERR;
	size = ldns_pkt_edns_udp_size(pkt);
	ret->edns = u16(packet + 10) == 1 && ldns_pkt_arcount(pkt) == 0;
	if (ret->edns && !tcp && size > CX_DNS_PLAIN)
		ret->room = size < CX_DNS_UDP_MAX ? size : CX_DNS_UDP_MAX;
	if (ret->edns && ldns_pkt_edns_version(pkt) != 0)
		return CX_RCODE_BADVERS;
	return take_question(pkt, ret);
}

static ldns_rr *question_rr(const uint8_t *wire, size_t len, uint16_t type)
{
	ldns_rdf *owner = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, len, wire);
	ldns_rr *rr = owner != NULL ? ldns_rr_new() : NULL;

	if (rr == NULL) {
		ldns_rdf_deep_free(owner);
		return NULL;
	}
	ldns_rr_set_question(rr, true);
	ldns_rr_set_owner(rr, owner);
	ldns_rr_set_type(rr, (ldns_rr_type)type);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	return rr;
}

/* Into the packet, or freed. */
static bool push(ldns_pkt *pkt, ldns_pkt_section section, ldns_rr *rr)
{
	if (rr == NULL)
		return false;
	if (ldns_pkt_push_rr(pkt, section, rr))
		return true;
	ldns_rr_free(rr);
	return false;
}

static int to_wire(const ldns_pkt *pkt, uint8_t *out, size_t room, struct cx_err *err)
{
	uint8_t *wire = NULL;
	size_t len = 0;
	ldns_status status = ldns_pkt2wire(&wire, pkt, &len);
	cx_autofree void *owned = wire;

	if (status != LDNS_STATUS_OK)
		return cx_refuse(err, CX_INTERNAL, "packet: %s", ldns_get_errorstr_by_id(status));
	if (len > room)
		return cx_refuse(err, CX_LIMIT, "packet of %zu bytes", len);
	memcpy(out, owned, len);
	return (int)len;
}

int cx_question_build(const char *name, uint16_t type, uint16_t id, uint8_t out[CX_DNS_QUERY_MAX],
		      struct cx_err *err)
{
	CX_AUTO(ldns_pkt_freep) ldns_pkt *pkt = ldns_pkt_new();
	ldns_rdf *dname = ldns_dname_new_frm_str(name);
	bool ok = pkt != NULL && dname != NULL &&
		  push(pkt, LDNS_SECTION_QUESTION,
		       question_rr(ldns_rdf_data(dname), ldns_rdf_size(dname), type));

	ldns_rdf_deep_free(dname);
	if (!ok)
		return cx_fail(err, ENOMEM, "a question");
	ldns_pkt_set_id(pkt, id);
	ldns_pkt_set_rd(pkt, true);
	ldns_pkt_set_edns_udp_size(pkt, CX_DNS_UDP_MAX);
	return to_wire(pkt, out, CX_DNS_QUERY_MAX, err);
}

/* ---- answers --------------------------------------------------------------------------------- */

struct cx_answer *cx_answer_ref(struct cx_answer *answer)
{
	answer->refs++;
	return answer;
}

void cx_answer_unref(struct cx_answer **answer)
{
	struct cx_answer *a = *answer;

	*answer = NULL;
	if (a == NULL || --a->refs > 0)
		return;
	ldns_rr_list_deep_free(a->records);
	free(a);
}

static uint32_t at_most(uint32_t ttl_s, uint32_t most)
{
	return ttl_s < most ? ttl_s : most;
}

struct cx_answer *cx_answer_empty(enum cx_rcode rcode, uint32_t ttl_s)
{
	struct cx_answer *a = calloc(1, sizeof *a);

	if (a == NULL)
		return NULL;
	a->refs = 1;
	a->rcode = rcode;
	a->ttl_s = at_most(ttl_s, CX_DNS_TTL_MAX);
	a->born_ms = cx_now_ms();
	a->bytes = sizeof *a;
	a->records = ldns_rr_list_new();
	if (a->records == NULL)
		cx_answer_unref(&a);
	return a;
}

/* Adds the record, which is the answer's then, or freed. */
static bool add_record(struct cx_answer *a, ldns_rr *rr)
{
	if (rr == NULL || !ldns_rr_list_push_rr(a->records, rr)) {
		ldns_rr_free(rr);
		return false;
	}
	/* Beside its bytes it has a handful of small blocks of memory. */
	a->bytes += ldns_rr_uncompressed_size(rr) + 256;
	return true;
}

static ldns_rr *address_rr(const char *name, const struct cx_address *address)
{
	CX_AUTO(ldns_rr_freep) ldns_rr *rr = ldns_rr_new();
	bool v4 = address->len == 4;
	ldns_rdf *owner = rr != NULL ? ldns_dname_new_frm_str(name) : NULL, *data;

	if (owner == NULL)
		return NULL;
	ldns_rr_set_owner(rr, owner);
	ldns_rr_set_type(rr, v4 ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	data = ldns_rdf_new_frm_data(v4 ? LDNS_RDF_TYPE_A : LDNS_RDF_TYPE_AAAA, address->len,
				     address->bytes);
	if (data == NULL || !ldns_rr_push_rdf(rr, data)) {
		ldns_rdf_deep_free(data);
		return NULL;
	}
	return cx_take_ptr(&rr);
}

struct cx_answer *cx_answer_own(const char *name, uint16_t type, const struct cx_address *addresses,
				unsigned n, uint32_t ttl_s)
{
	CX_AUTO(cx_answer_unref) struct cx_answer *a = cx_answer_empty(CX_RCODE_NOERROR, ttl_s);

	for (unsigned i = 0; a != NULL && i < n; i++) {
		if (addresses[i].len != (type == CX_TYPE_A ? 4 : 16) ||
		    (type != CX_TYPE_A && type != CX_TYPE_AAAA) ||
		    a->naddresses == CX_DNS_ADDRESSES)
			continue;
		if (!add_record(a, address_rr(name, &addresses[i])))
			return NULL;
		a->addresses[a->naddresses++] = addresses[i];
	}
	return cx_take_ptr(&a);
}

bool cx_answer_leads(const struct cx_answer *answer,
		     bool (*each)(const void *arg, const char *name), const void *arg)
{
	char name[CX_NAME_TEXT];

	for (size_t i = 0; i < ldns_rr_list_rr_count(answer->records); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(answer->records, i);
		const ldns_rdf *to = ldns_rr_rdf(rr, 0);

		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME && to != NULL &&
		    cx_name_from_wire(ldns_rdf_data(to), ldns_rdf_size(to), name) &&
		    each(arg, name))
			return true;
	}
	return false;
}

/* With the name as it was asked for: name servers repeat it with the cases of our question. */
static ldns_rr *copy_for(const ldns_rr *rr, const ldns_rdf *owner)
{
	ldns_rdf *name = ldns_rdf_clone(owner);
	ldns_rr *copy = name != NULL ? ldns_rr_clone(rr) : NULL;

	if (copy == NULL) {
		ldns_rdf_deep_free(name);
		return NULL;
	}
	ldns_rdf_deep_free(ldns_rr_owner(copy));
	ldns_rr_set_owner(copy, name);
	return copy;
}

/* Copies the records that owner has of a type. Returns how many there are, or -1: no memory. */
static int copy_of(struct cx_answer *a, const ldns_rr_list *from, const ldns_rdf *owner,
		   ldns_rr_type type, unsigned most)
{
	int n = 0;

	for (size_t i = 0; i < ldns_rr_list_rr_count(from); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(from, i);

		if (ldns_rr_get_type(rr) != type || ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN ||
		    ldns_rr_rd_count(rr) == 0 || ldns_dname_compare(ldns_rr_owner(rr), owner) != 0)
			continue;
		if ((unsigned)n >= most)
			break;
		if (!add_record(a, copy_for(rr, owner)))
			return -1;
		if (ldns_rr_ttl(rr) < a->ttl_s)
			a->ttl_s = ldns_rr_ttl(rr);
		n++;
	}
	return n;
}

static const ldns_rdf *last_target(const struct cx_answer *a)
{
	size_t n = ldns_rr_list_rr_count(a->records);

	return ldns_rr_rdf(ldns_rr_list_rr(a->records, n - 1), 0);
}

/*
 * From the name that was asked on, along CNAMEs, to records of the type. What else the packet holds
 * is left out: it could be about any name.
 */
static bool follow(struct cx_answer *a, const ldns_rr_list *from, const ldns_rdf *owner,
		   uint16_t type)
{
	bool addresses = type == CX_TYPE_A || type == CX_TYPE_AAAA;
	unsigned most = addresses ? CX_DNS_ADDRESSES : CX_DNS_RECORDS_MAX;
	int n = 0;

	for (unsigned i = 0; i <= CX_DNS_CHAIN_MAX; i++) {
		n = copy_of(a, from, owner, (ldns_rr_type)type, most);
		if (n != 0)
			return n > 0;
		n = copy_of(a, from, owner, LDNS_RR_TYPE_CNAME, 1);
		if (n <= 0)
			return n == 0;
		owner = last_target(a);
	}
	return false; /* longer than any that is meant well */
}

static void take_addresses(struct cx_answer *a, uint16_t type)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(a->records); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(a->records, i);
		const ldns_rdf *data = ldns_rr_rdf(rr, 0);
		struct cx_str bytes;

		if (ldns_rr_get_type(rr) != type || (type != CX_TYPE_A && type != CX_TYPE_AAAA))
			continue;
		bytes = (struct cx_str){ (const char *)ldns_rdf_data(data),
					 (uint32_t)ldns_rdf_size(data) };
		if (cx_address_take(bytes, &a->addresses[a->naddresses]))
			a->naddresses++;
	}
}

/* RFC 2308: how long there is nothing is said by the zone's SOA record. */
static uint32_t negative_ttl(const ldns_pkt *pkt)
{
	const ldns_rr_list *list = ldns_pkt_authority(pkt);

	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(list, i);
		uint32_t minimum;

		if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_SOA || ldns_rr_rd_count(rr) < 7)
			continue;
		minimum = ldns_rdf2native_int32(ldns_rr_rdf(rr, 6));
		return minimum < ldns_rr_ttl(rr) ? minimum : ldns_rr_ttl(rr);
	}
	return 0;
}

static bool is_about(const ldns_pkt *pkt, const ldns_rdf *name, uint16_t type)
{
	const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_question(pkt), 0);

	return rr != NULL && ldns_rr_list_rr_count(ldns_pkt_question(pkt)) == 1 &&
	       ldns_rr_get_type(rr) == type && ldns_rr_get_class(rr) == LDNS_RR_CLASS_IN &&
	       ldns_dname_compare(ldns_rr_owner(rr), name) == 0;
}

static enum cx_said take_answer(const ldns_pkt *pkt, const ldns_rdf *name, uint16_t type,
				struct cx_answer **ret)
{
	CX_AUTO(cx_answer_unref) struct cx_answer *a = NULL;
	enum cx_rcode rcode = (enum cx_rcode)ldns_pkt_get_rcode(pkt);
	size_t n;

	if (!is_about(pkt, name, type))
		return CX_SAID_OTHER;
	if (rcode != CX_RCODE_NOERROR && rcode != CX_RCODE_NXDOMAIN)
		return CX_SAID_FAILURE;
	a = cx_answer_empty(rcode, CX_DNS_TTL_MAX);
	if (a == NULL || !follow(a, ldns_pkt_answer(pkt), name, type))
		return CX_SAID_FAILURE;
	n = ldns_rr_list_rr_count(a->records);
	take_addresses(a, type);
	if (n == 0 || ldns_rr_get_type(ldns_rr_list_rr(a->records, n - 1)) != type)
		a->ttl_s = at_most(a->ttl_s, at_most(negative_ttl(pkt), CX_DNS_NEGATIVE_TTL));
	else
		a->rcode = CX_RCODE_NOERROR;
	*ret = cx_take_ptr(&a);
	return CX_SAID_ANSWER;
}

enum cx_said cx_answer_parse(const uint8_t *packet, size_t len, const char *name, uint16_t type,
			     uint16_t id, struct cx_answer **ret_answer)
{
	CX_AUTO(ldns_pkt_freep) ldns_pkt *pkt = NULL;
	ldns_rdf *dname;
	enum cx_said said;

	if (len < CX_DNS_HEADER || (packet[2] & QR) == 0 || u16(packet) != id)
		return CX_SAID_OTHER;
	/* Servers that know no EDNS, or are at their end, say so without any question. */
	if ((packet[3] & RCODE) == CX_RCODE_FORMERR || (packet[3] & RCODE) == CX_RCODE_SERVFAIL)
		return CX_SAID_FAILURE;
	if ((packet[2] & TC) != 0)
		return CX_SAID_TRUNCATED;
	if (ldns_wire2pkt(&pkt, packet, len) != LDNS_STATUS_OK)
		return CX_SAID_FAILURE;
	dname = ldns_dname_new_frm_str(name);
	if (dname == NULL)
		return CX_SAID_FAILURE;
	said = take_answer(pkt, dname, type, ret_answer);
	ldns_rdf_deep_free(dname);
	return said;
}

/* ---- packets for sandboxes ------------------------------------------------------------------- */

static ldns_pkt *begin(const struct cx_query *q, unsigned rcode, struct cx_err *err)
{
	CX_AUTO(ldns_pkt_freep) ldns_pkt *pkt = ldns_pkt_new();

	if (pkt == NULL ||
	    (q->asked_len > 0 &&
	     !push(pkt, LDNS_SECTION_QUESTION, question_rr(q->asked, q->asked_len, q->type)))) {
		(void)cx_fail(err, ENOMEM, "an answer");
		return NULL;
	}
	ldns_pkt_set_id(pkt, q->id);
	ldns_pkt_set_qr(pkt, true);
	ldns_pkt_set_rd(pkt, q->rd);
	ldns_pkt_set_cd(pkt, q->cd);
	ldns_pkt_set_ra(pkt, true);
	ldns_pkt_set_rcode(pkt, rcode & RCODE);
	if (q->edns) {
		ldns_pkt_set_edns_udp_size(pkt, CX_DNS_UDP_MAX);
		ldns_pkt_set_edns_extended_rcode(pkt, (uint8_t)(rcode >> 4));
	}
	return cx_take_ptr(&pkt);
}

int cx_message_refuse(const struct cx_query *query, enum cx_rcode rcode, uint8_t *out,
		      struct cx_err *err)
{
	CX_AUTO(ldns_pkt_freep) ldns_pkt *pkt = begin(query, rcode, err);

	return pkt != NULL ? to_wire(pkt, out, query->room, err) : -err->errnum;
}

static bool is_kept(const struct cx_answer *a, const ldns_rr *rr, uint32_t keep)
{
	const ldns_rdf *data = ldns_rr_rdf(rr, 0);

	if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_A && ldns_rr_get_type(rr) != LDNS_RR_TYPE_AAAA)
		return true;
	for (unsigned i = 0; i < a->naddresses; i++)
		if ((keep >> i & 1) != 0 && ldns_rdf_size(data) == a->addresses[i].len &&
		    memcmp(ldns_rdf_data(data), a->addresses[i].bytes, a->addresses[i].len) == 0)
			return true;
	return false;
}

static bool push_records(ldns_pkt *pkt, const struct cx_answer *a, uint32_t keep, uint32_t ttl_s)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(a->records); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(a->records, i);
		ldns_rr *copy = is_kept(a, rr, keep) ? ldns_rr_clone(rr) : NULL;

		if (copy == NULL)
			continue;
		ldns_rr_set_ttl(copy, ttl_s);
		if (!push(pkt, LDNS_SECTION_ANSWER, copy))
			return false;
	}
	return true;
}

/* Of an answer that is too large only the question goes back. */
static int truncated(const struct cx_query *query, unsigned rcode, uint8_t *out, struct cx_err *err)
{
	int len = cx_message_refuse(query, rcode, out, err);

	if (len >= CX_DNS_HEADER)
		out[2] |= TC;
	return len;
}

int cx_answer_build(const struct cx_query *query, const struct cx_answer *answer, uint32_t keep,
		    uint32_t ttl_s, uint8_t *out, struct cx_err *err)
{
	CX_AUTO(ldns_pkt_freep) ldns_pkt *pkt = begin(query, answer->rcode, err);
	int len;

	if (pkt == NULL)
		return -err->errnum;
	if (!push_records(pkt, answer, keep, ttl_s))
		return cx_fail(err, ENOMEM, "an answer");
	len = to_wire(pkt, out, query->room, err);
	return len < 0 && err->kind == CX_LIMIT ? truncated(query, answer->rcode, out, err) : len;
}
