/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_MESSAGE_H
#define CX_RESOLVER_MESSAGE_H

#include "base/err.h"
#include "resolver/address.h"
#include "resolver/name.h"

/* DNS messages of sandboxes and of name servers. This is the one door to ldns. */
enum {
	CX_DNS_HEADER = 12,
	CX_DNS_PLAIN = 512,    /* bytes of an answer over UDP without EDNS */
	CX_DNS_UDP_MAX = 1232, /* with EDNS, both ways: is never a fragment */
	CX_DNS_TCP_MAX = 16384,
	CX_DNS_QUERY_MAX = 512, /* bytes that we send */
	CX_DNS_ADDRESSES = 32,	/* of one answer; more are left out */
	CX_DNS_CHAIN_MAX = 8,	/* CNAMEs that lead to an answer */
	CX_DNS_RECORDS_MAX = 128,
	CX_DNS_TTL_MAX = 3600,
	CX_DNS_NEGATIVE_TTL = 60, /* most that it is remembered that there is nothing */
};

enum cx_rcode {
	CX_RCODE_NOERROR = 0,
	CX_RCODE_FORMERR = 1,
	CX_RCODE_SERVFAIL = 2,
	CX_RCODE_NXDOMAIN = 3,
	CX_RCODE_NOTIMP = 4,
	CX_RCODE_REFUSED = 5,
	CX_RCODE_BADVERS = 16,
};

enum { CX_TYPE_A = 1, CX_TYPE_AAAA = 28, CX_TYPE_SVCB = 64, CX_TYPE_HTTPS = 65 };

struct cx_query { /* what a sandbox asked */
	uint16_t id, type;
	bool rd, cd, edns;
	uint16_t room;		 /* bytes that the answer may have */
	uint16_t asked_len;	 /* 0: the question could not be read, and is not repeated */
	uint8_t asked[256];	 /* the name, as it came */
	char name[CX_NAME_TEXT]; /* the same, as text */
};

/*
 * Returns 0 when it is a question that can be answered, else the enum cx_rcode to answer with (*ret
 * is then fit for cx_message_refuse()); -EBADMSG when there must be no answer at all.
 */
CX_MUST int cx_query_parse(const uint8_t *packet, size_t len, bool tcp, struct cx_query *ret);

/* What a name server said, or what we know; shared, never changed. */
struct cx_answer {
	unsigned refs;
	enum cx_rcode rcode;
	uint32_t ttl_s; /* from born_ms on */
	uint64_t born_ms;
	size_t bytes; /* memory, about */
	unsigned naddresses;
	struct cx_address addresses[CX_DNS_ADDRESSES];
	void *records; /* of ldns: CNAMEs in their order, then those that were asked for */
};

struct cx_answer *cx_answer_ref(struct cx_answer *answer);
void cx_answer_unref(struct cx_answer **answer); /* for CX_AUTO(); NULL does no harm */

/* Without any record. NULL: no memory. */
struct cx_answer *cx_answer_empty(enum cx_rcode rcode, uint32_t ttl_s);
/* Of our own: name has these addresses, of which those of type are taken. NULL: no memory. */
struct cx_answer *cx_answer_own(const char *name, uint16_t type, const struct cx_address *addresses,
				unsigned n, uint32_t ttl_s);

/* Calls each() with the names that CNAMEs lead to, until it says true. Returns whether it did. */
bool cx_answer_leads(const struct cx_answer *answer,
		     bool (*each)(const void *arg, const char *name), const void *arg);

/* A question for a name server. Returns its length. */
CX_MUST int cx_question_build(const char *name, uint16_t type, uint16_t id,
			      uint8_t out[CX_DNS_QUERY_MAX], struct cx_err *err);

enum cx_said {
	CX_SAID_ANSWER,
	CX_SAID_OTHER,	   /* not the answer to this question: wait on */
	CX_SAID_TRUNCATED, /* ask over TCP */
	CX_SAID_FAILURE,   /* it cannot or does not want to: ask another */
};
/* Reads a name server's packet; *ret_answer is set with CX_SAID_ANSWER. */
CX_MUST enum cx_said cx_answer_parse(const uint8_t *packet, size_t len, const char *name,
				     uint16_t type, uint16_t id, struct cx_answer **ret_answer);

/*
 * The packet for a sandbox, of which out has room for query->room bytes. keep: bit i says that
 * addresses[i] is in it. Returns its length, or -errno.
 */
CX_MUST int cx_answer_build(const struct cx_query *query, const struct cx_answer *answer,
			    uint32_t keep, uint32_t ttl_s, uint8_t *out, struct cx_err *err);
CX_MUST int cx_message_refuse(const struct cx_query *query, enum cx_rcode rcode, uint8_t *out,
			      struct cx_err *err);

#endif
