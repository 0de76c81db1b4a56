/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_NETWORK_H
#define CX_API_NETWORK_H

#include <stdbool.h>

#include "api/store.h"
#include "base/buf.h"
#include "proto/control_msgs.h"
#include "proto/netrule.h"
#include "proto/resolver_msgs.h"

/*
 * What a sandbox may reach, as clients write it: a list of what is allowed or one of what is
 * denied. An entry is
 *
 *	host | *.host | IPv4 | IPv4/bits | IPv6 | IPv6/bits	[:port | :low-high | :*]
 *
 * with an IPv6 address in brackets where ports follow. Without ports a host that is allowed means
 * 80 and 443, an address every port and protocol; ":*" is every port and protocol. A host may have
 * CX_PERMIT_PORTS_MAX ports in all; one that is denied is denied as a whole, as its name is not
 *resolved. Pure.
 */
struct json_t;

enum { CX_NETWORK_ENTRIES_MAX = 1024, CX_NETWORK_ENTRY_MAX = CX_NAME_MAX + 17 };

struct cx_netentry {
	char name[CX_NAME_MAX + 3]; /* lower case, as name_rule wants it; "": an address */
	struct cx_netrule rule;	    /* of an address: family, prefix, address */
	bool any_port;
	uint16_t low, high; /* 0: none given */
};

CX_MUST int cx_netentry_parse(const char *text, struct cx_netentry *ret, struct cx_err *err);
/* The one way to write it, which means the same when it is parsed again. */
void cx_netentry_text(const struct cx_netentry *entry, char ret[CX_NETWORK_ENTRY_MAX + 1]);

/*
 * Reads the lists of a document into the row: access, allowlist, denylist, each entry in its one
 * way. access false: nothing may be reached, whatever else is said. allow, deny: names of the
 * fields, of which one may be given. enforced false: there is no network, so a list that names
 * anything is refused.
 */
struct cx_network_fields {
	const char *allow, *deny;
	bool access, enforced;
};
CX_MUST int cx_network_parse(const struct json_t *doc, const struct cx_network_fields *fields,
			     struct cx_sandbox_row *row, struct cx_err *err);

/* The name of its network, which may be "" (none); 1 when it is there. */
enum { CX_NETWORK_NAME_MAX = 63 };
CX_MUST int cx_network_parse_name(const struct json_t *doc, const char *field, bool enforced,
				  struct cx_sandbox_row *row, struct cx_err *err);

/* What the row's lists come to. Entries of one host stand together. */
struct cx_policy {
	enum cx_egress mode;
	struct cx_netentry *entries;
	size_t n;
};
void cx_policy_clear(struct cx_policy *policy); /* for CX_AUTO() */
CX_MUST int cx_policy_load(const struct cx_sandbox_row *row, struct cx_policy *ret,
			   struct cx_err *err);
enum cx_egress cx_policy_mode(const struct cx_sandbox_row *row);
/* Appends its rules as caissond takes them; ret->max is set here. */
CX_MUST int cx_policy_rules(const struct cx_policy *policy, struct cx_buf *ret, struct cx_err *err);

/* One host and all that its entries say, as name_rule takes it. */
struct cx_nethost {
	const char *name;
	bool any_port;
	uint8_t ports[4 * CX_PERMIT_PORTS_MAX]; /* nports bytes; none with any_port */
	uint32_t nports;
};
/* The first host at or behind entry *at, which is moved behind it. False: there is none. */
bool cx_policy_next_host(const struct cx_policy *policy, size_t *at, struct cx_nethost *ret);

/* The first entry that a name, or a packet's destination, falls under; NULL: none does. */
const struct cx_netentry *cx_policy_find_name(const struct cx_policy *policy, const char *name);
const struct cx_netentry *cx_policy_find_address(const struct cx_policy *policy,
						 struct cx_str address, unsigned port);

#endif
