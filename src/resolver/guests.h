/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_RESOLVER_GUESTS_H
#define CX_RESOLVER_GUESTS_H

#include "proto/control_msgs.h"
#include "proto/resolver_msgs.h"
#include "resolver/address.h"
#include "resolver/bucket.h"
#include "resolver/name.h"

/*
 * What is known of each sandbox, by the slot of its link: what the gateway says names mean to it,
 * and what it was told before. A guest is made by the first that has something to do with it and
 * stays.
 */
enum {
	CX_RULES_MAX = 1024,
	CX_PEERS_MAX = 4096,
	CX_TOLD_MAX = 256,	  /* addresses that are remembered of a slot */
	CX_TOLD_ALL_MAX = 262144, /* of all together */
	CX_MATCHES_MAX = 8,	  /* rules that one name is permitted by */
	CX_TOLD_KEPT_S = 21600, /* beyond its time: so long the router knows a silent connection */
	CX_TOLD_AGAIN_S = 60,	/* in which an open one shows that it is there */
};

struct cx_rule {
	struct cx_rule *next;
	bool any_port;
	struct cx_str ports; /* as in permit */
	char *name;
};

struct cx_peer {
	struct cx_peer *next;
	struct cx_address addresses[2]; /* of each family, or none */
	char name[CX_NAME_TEXT];
};

struct cx_names { /* one policy */
	uint32_t number;
	enum cx_egress mode;
	struct cx_rule *rules;
	struct cx_peer *peers;
	unsigned nrules, npeers;
};

/* An address that the sandbox was told of a name. */
struct cx_told {
	struct cx_told *next; /* the newest is the first */
	struct cx_address address;
	uint32_t number;   /* of the policy that it was permitted for */
	uint64_t until_ms; /* it is permitted */
	uint64_t keep_ms;  /* until then a connection to it may be open */
	char name[];
};

struct cx_guest {
	uint32_t slot;
	uint32_t generation; /* of its sandbox: another one begins with names_forget */
	struct cx_names *names, *next_names;
	struct cx_told *told;
	unsigned ntold, waiting, connections; /* the latter two by their owners */
	struct cx_bucket questions, denials;
};

struct cx_guests {
	struct cx_guest *all[CX_SLOTS_MAX];
	struct cx_address base4, base6;
	uint32_t n, ifindex;
	unsigned ntold;
};

void cx_guests_clear(struct cx_guests *guests);
/* NULL: there is no such, or no memory. */
struct cx_guest *cx_guests_at(struct cx_guests *guests, uint32_t slot);
struct cx_guest *cx_guests_from(struct cx_guests *guests, const struct cx_address *address);

/* Messages of the gateway. A refusal ends the connection: it knows the limits. */
CX_MUST int cx_guest_begin(struct cx_guest *guest, const struct cx_msg_names_begin *m,
			   struct cx_err *err);
CX_MUST int cx_guest_rule(struct cx_guest *guest, const struct cx_msg_name_rule *m,
			  struct cx_err *err);
CX_MUST int cx_guest_peer(struct cx_guest *guest, const struct cx_msg_peer *m, struct cx_err *err);
/* What was said since cx_guest_begin() is in force. */
CX_MUST int cx_guest_end(struct cx_guest *guest, struct cx_err *err);
void cx_guest_forget(struct cx_guests *guests, struct cx_guest *guest);

const struct cx_peer *cx_names_peer(const struct cx_names *names, const char *name);
/*
 * The rules that name matches, one that is about every port alone; at most CX_MATCHES_MAX. Returns
 * how many.
 */
unsigned cx_names_match(const struct cx_names *names, const char *name,
			const struct cx_rule *ret[CX_MATCHES_MAX]);
/* Whether names as such may be asked for. names may be NULL. */
bool cx_names_allow(const struct cx_names *names, const char *name);

/* Whether an address of name is permitted for a policy at least until then. */
bool cx_told_until(const struct cx_guest *guest, const char *name, const struct cx_address *address,
		   uint32_t number, uint64_t until_ms);
/* Notes that it is; when there is no room, the oldest is forgotten, and without memory this one. */
void cx_told_note(struct cx_guests *guests, struct cx_guest *guest, const char *name,
		  const struct cx_address *address, uint32_t number, uint64_t until_ms);
/*
 * For how many seconds it is to be permitted under another policy: those that are left, or so many
 * that a connection to it that is open goes on.
 */
uint32_t cx_told_again_s(const struct cx_told *told, uint64_t now_ms);
/* Forgets those that no connection can be open to. */
void cx_told_expire(struct cx_guests *guests, struct cx_guest *guest, uint64_t now_ms);

#endif
