/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ruleset.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "net/firewall_inner.h"

static const char router_text[] = {
#include "net/router.nft.h"
};
static const char host_text[] = {
#include "net/host.nft.h"
};

/*
 * Never reached, whatever a policy says, unless the operator declares it. nft makes sets of these
 * lists: each begins with an address that is no destination, for a set is not empty.
 */
static const struct {
	const char *net;
	const char *why;
} reserved[] = {
	{ "0.0.0.0/8", "this network" },
	{ "10.0.0.0/8", "private" },
	{ "100.64.0.0/10", "shared by carriers; the default pool" },
	{ "127.0.0.0/8", "loopback" },
	{ "169.254.0.0/16", "link-local; metadata of clouds" },
	{ "172.16.0.0/12", "private" },
	{ "192.0.0.0/24", "protocol assignments" },
	{ "192.88.99.0/24", "6to4 relays: a way around the rules of IPv6" },
	{ "192.168.0.0/16", "private" },
	{ "198.18.0.0/15", "benchmarks of networks" },
	{ "224.0.0.0/4", "multicast" },
	{ "240.0.0.0/4", "reserved, broadcast" },
	{ "::/8", "unspecified, loopback, mapped and translated IPv4" },
	{ "64:ff9b::/96", "translated IPv4: a way around the rules of IPv4" },
	{ "64:ff9b:1::/48", "the same, local" },
	{ "100::/64", "discarded" },
	{ "2001::/32", "Teredo: IPv4 inside" },
	{ "2002::/16", "6to4: IPv4 inside" },
	{ "fc00::/7", "private; metadata of clouds" },
	{ "fe80::/10", "link-local" },
	{ "fec0::/10", "site-local" },
	{ "ff00::/8", "multicast" },
};

struct writer {
	const struct cx_firewall_plan *plan;
	struct cx_buf *out;
	struct cx_err *err;
	bool failed;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (w->failed)
		return;
	if (n < 0 || (size_t)n >= sizeof text)
		w->failed = cx_refuse(w->err, CX_INTERNAL, "a line of the ruleset") < 0;
	else
		w->failed = cx_buf_add(w->out, text, (size_t)n, w->err) < 0;
}

static void put_address(struct writer *w, unsigned family, const void *address)
{
	char text[INET6_ADDRSTRLEN] = "";

	put(w, "%s", inet_ntop(family == 4 ? AF_INET : AF_INET6, address, text, sizeof text));
}

/* A name of ours, quoted; it is one or nothing is loaded. */
static void put_name(struct writer *w, const char *name)
{
	if (!cx_is_plain_name(name, 63))
		w->failed = cx_refuse(w->err, CX_INTERNAL, "the ruleset cannot hold a name") < 0;
	put(w, "%s", name);
}

/* ---- what the texts name --------------------------------------------------------------------- */

static const char *none_of(unsigned family)
{
	return family == 4 ? "0.0.0.0" : "::";
}

static void put_reserved(struct writer *w, unsigned family)
{
	put(w, "{ %s", none_of(family));
	for (size_t i = 0; i < CX_LEN(reserved); i++)
		if ((strchr(reserved[i].net, ':') != NULL) == (family == 6))
			put(w, ", %s", reserved[i].net);
	put(w, " }");
}

static void put_allowed(struct writer *w, unsigned family)
{
	put(w, "{ %s", none_of(family));
	for (uint32_t i = 0; i < w->plan->nallowed; i++) {
		const struct cx_netrule *net = &w->plan->allowed[i];

		if (net->family != family)
			continue;
		put(w, ", ");
		put_address(w, family, net->address);
		put(w, "/%u", net->prefix);
	}
	put(w, " }");
}

static void put_services(struct writer *w, unsigned family)
{
	put(w, "{ %s . 0", none_of(family));
	for (uint32_t i = 0; i < w->plan->nservices; i++) {
		const struct cx_service *service = &w->plan->services[i];

		if (service->family != family)
			continue;
		put(w, ", ");
		put_address(w, family, service->address);
		put(w, " . %u", service->port);
	}
	put(w, " }");
}

/* ---- the sets of parts ----------------------------------------------------------------------- */

static void put_lists(struct writer *w, unsigned unused)
{
	(void)unused;
	for (size_t i = 0; i < CX_PART_SETS; i++) {
		const struct cx_part_set *set = &cx_part_sets[i];

		if (set->family == 0)
			put(w, "set %s {\ntype mark . inet_service\n}\n", set->name);
		else
			put(w, "map %s {\ntype mark . ipv%u_addr : mark\n}\n", set->name,
			    set->family);
	}
}

/* What counts of the address that a flow was opened to. */
static void put_digits(struct writer *w, const struct cx_part_set *set)
{
	const char *field = set->family == 4 ? "ct original ip daddr" : "ct original ip6 daddr";
	uint8_t mask[16] = { 0 };

	if (set->digits == 2 * cx_part_size(set)) {
		put(w, "%s", field);
		return;
	}
	for (unsigned i = 0; i < set->digits; i++)
		mask[i / 2] |= i % 2 == 0 ? 0xf0 : 0x0f;
	put(w, "(%s & ", field);
	put_address(w, set->family, mask);
	put(w, ")");
}

/* The longest network first: it says all of its addresses. */
static void put_nets(struct writer *w, unsigned family)
{
	for (size_t i = CX_PART_SETS; i-- > 0;) {
		if (cx_part_sets[i].family != family)
			continue;
		put(w, "meta mark set meta mark . ");
		put_digits(w, &cx_part_sets[i]);
		put(w, " map @%s goto found\n", cx_part_sets[i].name);
	}
}

static void put_ports(struct writer *w, unsigned unused)
{
	(void)unused;
	for (size_t i = CX_PART_SETS; i-- > 0;) {
		const struct cx_part_set *set = &cx_part_sets[i];

		if (set->family == 0)
			put(w,
			    "meta l4proto %s meta mark . (ct original proto-dst & 0x%04x) @%s "
			    "goto found_port\n",
			    set->protocol == IPPROTO_UDP ? "udp" : "tcp",
			    0xffff0000U >> 4 * set->digits & 0xffff, set->name);
	}
}

static void put_source(struct writer *w, unsigned family)
{
	const struct cx_router *router = w->plan->router;

	if (family == 4)
		put_address(w, family, &router->uplink4);
	else
		put_address(w, family, &router->uplink6);
}

static void put_number(struct writer *w, unsigned number)
{
	put(w, "%u", number);
}

static void put_mask(struct writer *w, unsigned mask)
{
	put(w, "0x%08x", mask);
}

static void put_packets(struct writer *w, unsigned unused)
{
	(void)unused;
	put(w, "%u", w->plan->packets);
}

static void put_connections(struct writer *w, unsigned unused)
{
	(void)unused;
	put(w, "%u", w->plan->connections);
}

static void put_host_uplink(struct writer *w, unsigned unused)
{
	(void)unused;
	put(w, "\"");
	put_name(w, w->plan->router->host_name);
	put(w, "\"");
}

static void put_host_table(struct writer *w, unsigned unused)
{
	(void)unused;
	put_name(w, w->plan->table);
}

static const struct {
	const char *word;
	void (*put)(struct writer *w, unsigned arg);
	unsigned arg;
	const char *text; /* instead of put */
} words[] = {
	{ "allowed4", put_allowed, 4, NULL },
	{ "allowed6", put_allowed, 6, NULL },
	{ "bytes", put_number, CX_FIREWALL_LOG_BYTES, NULL },
	{ "classes", put_mask, CX_FWELEM_CLASSES, NULL },
	{ "connections", put_connections, 0, NULL },
	{ "group", put_number, CX_FIREWALL_LOG_GROUP, NULL },
	{ "hostuplink", put_host_uplink, 0, NULL },
	{ "lists", put_lists, 0, NULL },
	{ "nets4", put_nets, 4, NULL },
	{ "nets6", put_nets, 6, NULL },
	{ "owner", put_mask, CX_FWELEM_OWNER, NULL },
	{ "packets", put_packets, 0, NULL },
	{ "ports", put_ports, 0, NULL },
	{ "private4", put_reserved, 4, NULL },
	{ "private6", put_reserved, 6, NULL },
	{ "resolver4", NULL, 0, CX_ROUTER_GATEWAY4 },
	{ "resolver6", NULL, 0, CX_ROUTER_GATEWAY6 },
	{ "schema", NULL, 0, CX_RULESET_SCHEMA },
	{ "services4", put_services, 4, NULL },
	{ "services6", put_services, 6, NULL },
	{ "source4", put_source, 4, NULL },
	{ "source6", put_source, 6, NULL },
	{ "table", put_host_table, 0, NULL },
	{ "uplink", put_number, CX_ROUTER_UPLINK_INDEX, NULL },
};

static void write_word(struct writer *w, const char *name, size_t len)
{
	for (size_t i = 0; i < CX_LEN(words); i++) {
		if (strlen(words[i].word) != len || memcmp(words[i].word, name, len) != 0)
			continue;
		if (words[i].text != NULL)
			put(w, "%s", words[i].text);
		else
			words[i].put(w, words[i].arg);
		return;
	}
	w->failed = cx_refuse(w->err, CX_INTERNAL, "the ruleset names '%.*s', which is nothing",
			      (int)len, name) < 0;
}

static void write_text(struct writer *w, const char *text, size_t size)
{
	const char *end = text + size;

	while (text < end && !w->failed) {
		const char *dollar = memchr(text, '$', (size_t)(end - text));
		const char *stop = dollar != NULL ? dollar : end;

		w->failed = cx_buf_add(w->out, text, (size_t)(stop - text), w->err) < 0;
		text = stop;
		if (dollar == NULL || w->failed)
			return;
		while (++text < end && isalnum((unsigned char)*text))
			;
		write_word(w, dollar + 1, (size_t)(text - dollar - 1));
	}
}

int cx_ruleset_router(const struct cx_firewall_plan *plan, bool keep, struct cx_buf *ret,
		      struct cx_err *err)
{
	struct writer w = { .plan = plan, .out = ret, .err = err };

	if (keep)
		put(&w, "flush table inet " CX_RULESET_TABLE "\n"
			"flush set inet " CX_RULESET_TABLE " packets\n");
	else
		put(&w, "add table inet " CX_RULESET_TABLE "\ndelete table inet " CX_RULESET_TABLE
			"\n");
	write_text(&w, router_text, sizeof router_text);
	return w.failed ? -err->errnum : 0;
}

int cx_ruleset_host(const struct cx_firewall_plan *plan, struct cx_buf *ret, struct cx_err *err)
{
	struct writer w = { .plan = plan, .out = ret, .err = err };

	put(&w, "add table inet ");
	put_name(&w, plan->table);
	put(&w, "\ndelete table inet ");
	put_name(&w, plan->table);
	put(&w, "\n");
	write_text(&w, host_text, sizeof host_text);
	return w.failed ? -err->errnum : 0;
}
