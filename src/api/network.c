/* SPDX-License-Identifier: Apache-2.0 */
#include "api/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "api/json.h"
#include "api/jsonw.h"
#include "base/cleanup.h"
#include "base/str.h"

enum {
	LIST_BYTES = 512 * 1024,
	LABEL_MAX = 63,
	ADDRESS_TEXT_MAX = INET6_ADDRSTRLEN + 8, /* with brackets and prefix */
};

static const uint16_t usual_ports[] = { 80, 443 }; /* of an allowed host, as Prime documents it */

/* ---- an entry ------------------------------------------------------------------------------- */

#define REFUSE(entry, why) cx_refuse(err, CX_INVALID, "'%.80s': " why, entry)

static int parse_port(const char *text, uint16_t *ret, struct cx_err *err)
{
	uint64_t port = 0;

	if (cx_parse_u64(text, 1, UINT16_MAX, "a port", &port, err) < 0)
		return -err->errnum;
	*ret = (uint16_t)port;
	return 0;
}

/* "80", "80-443" or "*". */
static int parse_ports(const char *entry, const char *text, struct cx_netentry *ret,
		       struct cx_err *err)
{
	char low[8] = "";
	const char *dash = strchr(text, '-');
	size_t len = dash != NULL ? (size_t)(dash - text) : strlen(text);

	if (strcmp(text, "*") == 0) {
		ret->any_port = true;
		return 0;
	}
	if (len < sizeof low)
		memcpy(low, text, len);
	if (parse_port(low, &ret->low, err) < 0 ||
	    parse_port(dash != NULL ? dash + 1 : low, &ret->high, err) < 0 || ret->low > ret->high)
		return REFUSE(entry, "behind ':' stand a port from 1 to 65535, low-high or *");
	if (ret->name[0] != '\0' && ret->high - ret->low >= CX_PERMIT_PORTS_MAX)
		return cx_refuse(err, CX_INVALID,
				 "'%.80s': a host may have %d ports, or all of them with :*", entry,
				 CX_PERMIT_PORTS_MAX);
	return 0;
}

static void mask(struct cx_netrule *rule)
{
	unsigned bits = rule->prefix;

	for (size_t i = 0; i < sizeof rule->address; i++) {
		unsigned kept = bits >= 8 ? 8 : bits;

		rule->address[i] &= (uint8_t)(0xff00u >> kept);
		bits -= kept;
	}
}

/* Of an address of IPv4 in IPv6, which is never sent as such. */
static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

/* 1: an address; 0: something else. */
static int parse_address(const char *entry, const char *text, struct cx_netrule *ret,
			 struct cx_err *err)
{
	char address[INET6_ADDRSTRLEN] = "";
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	uint64_t prefix;

	if (len < sizeof address)
		memcpy(address, text, len);
	if (inet_pton(AF_INET, address, ret->address) == 1)
		ret->family = 4;
	else if (inet_pton(AF_INET6, address, ret->address) == 1)
		ret->family = 6;
	else
		return 0;
	prefix = ret->family == 4 ? 32 : 128;
	if (slash != NULL && cx_parse_u64(slash + 1, 0, prefix, "bits", &prefix, err) < 0)
		return cx_refuse(err, CX_INVALID,
				 "'%.80s': behind '/' stands a number from 0 to %s", entry,
				 ret->family == 4 ? "32" : "128");
	if (ret->family == 6 && memcmp(ret->address, mapped, sizeof mapped) == 0)
		return REFUSE(entry, "write an address of IPv4 as a.b.c.d");
	ret->prefix = (uint8_t)prefix;
	mask(ret);
	return 1;
}

static int check_label(const char *entry, const char *label, size_t len, struct cx_err *err)
{
	if (len == 0 || len > LABEL_MAX)
		return REFUSE(entry, "a part of a name has 1 to 63 letters");
	if (label[0] == '-' || label[len - 1] == '-')
		return REFUSE(entry, "no part of a name begins or ends with '-'");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)label[i];

		if (c >= 0x80)
			return REFUSE(entry, "write it in ASCII, as in xn--bcher-kva.example");
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return REFUSE(entry, "neither a host, *.host, an address nor address/bits; "
					     "no scheme, path or user belongs to it");
	}
	return 0;
}

static bool is_number(const char *text)
{
	return text[strspn(text, "0123456789")] == '\0';
}

static int parse_name(const char *entry, const char *text, char ret[CX_NAME_MAX + 3],
		      struct cx_err *err)
{
	size_t len = strlen(text), star = strncmp(text, "*.", 2) == 0 ? 2 : 0;
	const char *last = ret + star;

	if (len > star && text[len - 1] == '.')
		len--;
	if (len - star > CX_NAME_MAX)
		return REFUSE(entry, "a name is longer than 253 letters");
	for (size_t i = 0; i < len; i++)
		ret[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
	ret[len] = '\0';
	if (strchr(ret + star, '*') != NULL)
		return REFUSE(entry, "'*' stands for the whole first part of a name, as in "
				     "*.example.com");
	for (const char *label = ret + star; label != NULL;) {
		const char *dot = strchr(label, '.');

		if (check_label(entry, label, dot != NULL ? (size_t)(dot - label) : strlen(label),
				err) < 0)
			return -err->errnum;
		last = label;
		label = dot != NULL ? dot + 1 : NULL;
	}
	return is_number(last) ? REFUSE(entry, "neither a host nor an address") : 0;
}

/* Splits "[address]:ports", "host:ports" and what has none of them; *ret_ports is NULL then. */
static int split(const char *entry, char *text, char **ret_host, char **ret_ports,
		 struct cx_err *err)
{
	char *colon = strrchr(text, ':');

	*ret_host = text;
	*ret_ports = NULL;
	if (text[0] == '[') {
		char *end = strchr(text, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return REFUSE(entry, "it is [address] or [address]:port");
		*ret_host = text + 1;
		*ret_ports = end[1] == ':' ? end + 2 : NULL;
		*end = '\0';
	} else if (colon != NULL && strchr(text, ':') == colon) {
		*ret_ports = colon + 1;
		*colon = '\0';
	}
	return 0;
}

static int parse_entry(const char *entry, char *text, struct cx_netentry *ret, struct cx_err *err)
{
	char *host, *ports;
	int r;

	if (strstr(text, "://") != NULL)
		return REFUSE(entry, "no scheme belongs to it");
	if (split(entry, text, &host, &ports, err) < 0)
		return -err->errnum;
	r = parse_address(entry, host, &ret->rule, err);
	if (r == 0 && text[0] == '[')
		return REFUSE(entry, "what is in brackets is no address of IPv6");
	if (r == 0)
		r = parse_name(entry, host, ret->name, err);
	if (r >= 0 && ports != NULL)
		r = parse_ports(entry, ports, ret, err);
	return r < 0 ? r : 0;
}

int cx_netentry_parse(const char *text, struct cx_netentry *ret, struct cx_err *err)
{
	struct cx_netentry entry = { 0 };
	char copy[512] = "";
	size_t len;

	text += strspn(text, " \t");
	len = strlen(text);
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	if (len == 0)
		return cx_refuse(err, CX_INVALID, "an entry is empty");
	if (len >= sizeof copy)
		return REFUSE(text, "longer than any host or address");
	memcpy(copy, text, len);
	if (parse_entry(text, copy, &entry, err) < 0)
		return -err->errnum;
	*ret = entry;
	return 0;
}

static void address_text(const struct cx_netrule *rule, bool bracket, char ret[ADDRESS_TEXT_MAX])
{
	char address[INET6_ADDRSTRLEN] = "", bits[8] = "";
	bool six = rule->family == 6;

	(void)inet_ntop(six ? AF_INET6 : AF_INET, rule->address, address, sizeof address);
	if (rule->prefix < (six ? 128 : 32))
		(void)snprintf(bits, sizeof bits, "/%u", rule->prefix);
	(void)snprintf(ret, ADDRESS_TEXT_MAX, "%s%s%s%s", six && bracket ? "[" : "", address, bits,
		       six && bracket ? "]" : "");
}

void cx_netentry_text(const struct cx_netentry *entry, char ret[CX_NETWORK_ENTRY_MAX + 1])
{
	char address[ADDRESS_TEXT_MAX] = "", ports[16] = "";
	bool named = entry->name[0] != '\0';

	if (entry->any_port && named)
		(void)strcpy(ports, ":*");
	else if (entry->low != 0 && entry->low == entry->high)
		(void)snprintf(ports, sizeof ports, ":%u", entry->low);
	else if (entry->low != 0)
		(void)snprintf(ports, sizeof ports, ":%u-%u", entry->low, entry->high);
	if (!named)
		address_text(&entry->rule, ports[0] != '\0', address);
	(void)snprintf(ret, CX_NETWORK_ENTRY_MAX + 1, "%s%s", named ? entry->name : address, ports);
}

/* ---- the lists of a document ---------------------------------------------------------------- */

static int add_entry(const char *given, bool denied, struct cx_buf *out, struct cx_err *err)
{
	char text[CX_NETWORK_ENTRY_MAX + 1];
	struct cx_netentry entry;

	if (cx_netentry_parse(given, &entry, err) < 0)
		return -err->errnum;
	if (denied && entry.name[0] != '\0' && entry.low != 0)
		return REFUSE(given, "a host is denied on every port; leave the port out, or deny "
				     "its addresses");
	if (denied)
		entry.any_port = false; /* which says the same there */
	cx_netentry_text(&entry, text);
	return cx_buf_add(out, text, strlen(text) + 1, err);
}

static int dump(const struct cx_buf *strv, char **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf json = { .max = 2 * LIST_BYTES };
	struct cx_jsonw w = { .out = &json };
	struct cx_str list = cx_str_of_buf(strv);

	cx_jsonw_array(&w, NULL);
	CX_STRV_FOREACH (item, list) {
		cx_jsonw_text(&w, NULL, item);
	}
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0 || cx_buf_add(&json, "", 1, err) < 0)
		return -err->errnum;
	*ret = cx_take_ptr(&json.p);
	return 0;
}

static int check_list(const struct cx_buf *given, const char *field, bool enforced,
		      struct cx_err *err)
{
	if (given->len > 0 && !enforced)
		return cx_refuse(err, CX_INVALID,
				 "'%s': this engine runs without a network, so single destinations "
				 "are not enforced; give [] or leave it out",
				 field);
	if (cx_strv_count(cx_str_of_buf(given)) > CX_NETWORK_ENTRIES_MAX)
		return cx_refuse(err, CX_INVALID, "'%s' has more than %d entries", field,
				 CX_NETWORK_ENTRIES_MAX);
	return 0;
}

/* 1: *ret is the list as JSON; 0: there is none. */
static int parse_list(const struct json_t *doc, const char *field, bool denied, bool enforced,
		      char **ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf given = { .max = LIST_BYTES };
	CX_AUTO(cx_buf_free) struct cx_buf list = { .max = LIST_BYTES };
	struct cx_str strv;

	if (cx_json_member(doc, field) == NULL)
		return 0;
	if (cx_json_strv(doc, field, &given, err) < 0 ||
	    check_list(&given, field, enforced, err) < 0)
		return -err->errnum;
	strv = cx_str_of_buf(&given);
	CX_STRV_FOREACH (item, strv) {
		if (add_entry(item, denied, &list, err) < 0)
			return cx_wrap(err, "'%s'", field);
	}
	return dump(&list, ret, err) < 0 ? -err->errnum : 1;
}

static int check_both(const struct cx_network_fields *fields, int allows, int denies,
		      const char *allow, struct cx_err *err)
{
	if (allows == 1 && denies == 1)
		return cx_refuse(err, CX_INVALID, "'%s' and '%s' exclude each other", fields->allow,
				 fields->deny);
	if (!fields->access && denies == 1)
		return cx_refuse(err, CX_INVALID, "'%s' says what is open in a closed network",
				 fields->deny);
	if (!fields->access && allows == 1 && strcmp(allow, "[]") != 0)
		return cx_refuse(err, CX_INVALID, "'%s' opens a network that is to be closed",
				 fields->allow);
	return 0;
}

static unsigned count_ports(const struct cx_netentry *entry)
{
	if (entry->any_port)
		return 0;
	return entry->low == 0 ? CX_LEN(usual_ports) : entry->high - entry->low + 1u;
}

/* What is one rule for the resolver has to fit into one. */
static int check_hosts(const struct cx_sandbox_row *row, struct cx_err *err)
{
	CX_AUTO(cx_policy_clear) struct cx_policy policy = { 0 };
	unsigned ports = 0;

	if (cx_policy_load(row, &policy, err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < policy.n; i++) {
		const struct cx_netentry *entry = &policy.entries[i];

		if (i > 0 && strcmp(entry->name, entry[-1].name) != 0)
			ports = 0;
		ports += entry->name[0] != '\0' ? count_ports(entry) : 0;
		if (ports > CX_PERMIT_PORTS_MAX)
			return cx_refuse(err, CX_INVALID,
					 "'%.80s' has more than %d ports in all; give it all of "
					 "them with :*",
					 entry->name, CX_PERMIT_PORTS_MAX);
	}
	return 0;
}

int cx_network_parse(const struct json_t *doc, const struct cx_network_fields *fields,
		     struct cx_sandbox_row *row, struct cx_err *err)
{
	cx_autofree char *allow = NULL, *deny = NULL;
	int allows = parse_list(doc, fields->allow, false, fields->enforced, &allow, err);
	int denies =
		allows < 0 ? 0 : parse_list(doc, fields->deny, true, fields->enforced, &deny, err);

	if (allows < 0 || denies < 0 || check_both(fields, allows, denies, allow, err) < 0)
		return -err->errnum;
	if (!fields->access && allow == NULL) {
		allow = strdup("[]");
		if (allow == NULL)
			return cx_fail(err, ENOMEM, "a list of destinations");
	}
	free(row->network_allowlist);
	free(row->network_denylist);
	row->network_allowlist = cx_take_ptr(&allow);
	row->network_denylist = cx_take_ptr(&deny);
	row->network_access = cx_policy_mode(row) != CX_EGRESS_NONE;
	return check_hosts(row, err);
}

int cx_network_parse_name(const struct json_t *doc, const char *field, bool enforced,
			  struct cx_sandbox_row *row, struct cx_err *err)
{
	const char *name = NULL;
	int given = cx_json_text(doc, field, CX_NETWORK_NAME_MAX, &name, err);

	if (given <= 0)
		return given;
	if (name[0] != '\0' && !cx_is_plain_name(name, CX_NETWORK_NAME_MAX))
		return cx_refuse(err, CX_INVALID,
				 "'%s' is made of letters, digits, '.', '-' and '_'", field);
	if (name[0] != '\0' && !enforced)
		return cx_refuse(err, CX_INVALID,
				 "'%s': this engine runs without a network, so sandboxes cannot be "
				 "linked",
				 field);
	cx_freep(&row->network_name);
	if (name[0] == '\0')
		return 1;
	row->network_name = strdup(name);
	return row->network_name != NULL ? 1 : cx_fail(err, ENOMEM, "'%s'", field);
}

/* ---- what they come to ---------------------------------------------------------------------- */

enum cx_egress cx_policy_mode(const struct cx_sandbox_row *row)
{
	if (row->network_allowlist != NULL)
		return strcmp(row->network_allowlist, "[]") == 0 ? CX_EGRESS_NONE : CX_EGRESS_ALLOW;
	if (row->network_denylist != NULL && strcmp(row->network_denylist, "[]") != 0)
		return CX_EGRESS_DENY;
	return CX_EGRESS_ALL;
}

void cx_policy_clear(struct cx_policy *policy)
{
	cx_freep(&policy->entries);
	policy->n = 0;
}

static int load_list(const char *json, struct cx_buf *ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf wrapped = { .max = 2 * LIST_BYTES + 64 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	struct cx_jsonw w = { .out = &wrapped };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_raw(&w, "list", json);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, err) < 0 ||
	    cx_json_parse_object(wrapped.p, wrapped.len, &doc, err) < 0)
		return -err->errnum;
	return cx_json_strv(doc, "list", ret, err);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct cx_netentry *)a)->name, ((const struct cx_netentry *)b)->name);
}

int cx_policy_load(const struct cx_sandbox_row *row, struct cx_policy *ret, struct cx_err *err)
{
	CX_AUTO(cx_policy_clear) struct cx_policy policy = { .mode = cx_policy_mode(row) };
	CX_AUTO(cx_buf_free) struct cx_buf strv = { .max = LIST_BYTES };
	const char *json = policy.mode == CX_EGRESS_ALLOW  ? row->network_allowlist
			   : policy.mode == CX_EGRESS_DENY ? row->network_denylist
							   : "[]";
	struct cx_str list;

	if (load_list(json, &strv, err) < 0)
		return cx_wrap(err, "the recorded policy");
	list = cx_str_of_buf(&strv);
	policy.entries = calloc(cx_strv_count(list) + 1, sizeof *policy.entries);
	if (policy.entries == NULL)
		return cx_fail(err, ENOMEM, "a policy");
	CX_STRV_FOREACH (item, list) {
		if (cx_netentry_parse(item, &policy.entries[policy.n++], err) < 0)
			return cx_wrap(err, "the recorded policy");
	}
	qsort(policy.entries, policy.n, sizeof *policy.entries, by_name);
	*ret = policy;
	policy.entries = NULL;
	return 0;
}

static int add_rule(struct cx_buf *out, const struct cx_netentry *entry, uint8_t protocol,
		    struct cx_err *err)
{
	uint8_t bytes[CX_NETRULE_SIZE];
	struct cx_netrule rule = entry->rule;

	rule.protocol = protocol;
	if (protocol != 0) {
		rule.low = entry->low;
		rule.high = entry->high;
	}
	cx_netrule_put(&rule, bytes);
	return cx_buf_add(out, bytes, sizeof bytes, err);
}

int cx_policy_rules(const struct cx_policy *policy, struct cx_buf *ret, struct cx_err *err)
{
	ret->max = (size_t)CX_NETRULES_MAX * CX_NETRULE_SIZE;
	for (size_t i = 0; i < policy->n; i++) {
		const struct cx_netentry *entry = &policy->entries[i];

		if (entry->name[0] != '\0')
			continue;
		if (entry->low == 0 && add_rule(ret, entry, 0, err) < 0)
			return -err->errnum;
		if (entry->low != 0 && (add_rule(ret, entry, IPPROTO_TCP, err) < 0 ||
					add_rule(ret, entry, IPPROTO_UDP, err) < 0))
			return -err->errnum;
	}
	return 0;
}

static void put_port(uint8_t *to, uint16_t port)
{
	to[0] = (uint8_t)port;
	to[1] = (uint8_t)(port >> 8);
}

static void add_ports(struct cx_nethost *host, uint16_t low, uint16_t high)
{
	put_port(host->ports + host->nports, low);
	put_port(host->ports + host->nports + 2, high);
	host->nports += 4;
}

static void add_entry_ports(struct cx_nethost *host, const struct cx_netentry *entry)
{
	host->any_port = host->any_port || entry->any_port;
	if (host->nports + 4 * CX_LEN(usual_ports) > sizeof host->ports)
		return; /* more was refused when it came */
	for (size_t i = 0; i < CX_LEN(usual_ports) && entry->low == 0 && !entry->any_port; i++)
		add_ports(host, usual_ports[i], usual_ports[i]);
	if (entry->low != 0)
		add_ports(host, entry->low, entry->high);
}

bool cx_policy_next_host(const struct cx_policy *policy, size_t *at, struct cx_nethost *ret)
{
	size_t i = *at;

	while (i < policy->n && policy->entries[i].name[0] == '\0')
		i++;
	if (i == policy->n)
		return false;
	*ret = (struct cx_nethost){ .name = policy->entries[i].name,
				    .any_port = policy->mode == CX_EGRESS_DENY };
	for (; i < policy->n && strcmp(policy->entries[i].name, ret->name) == 0; i++)
		add_entry_ports(ret, &policy->entries[i]);
	if (ret->any_port)
		ret->nports = 0;
	*at = i;
	return true;
}

/* ---- which entry was it? -------------------------------------------------------------------- */

static bool covers_name(const struct cx_netentry *entry, const char *name)
{
	size_t len = strlen(name), tail = strlen(entry->name);

	if (entry->name[0] != '*')
		return entry->name[0] != '\0' && strcmp(entry->name, name) == 0;
	tail--; /* what is left begins with '.' */
	return len > tail && strcmp(name + len - tail, entry->name + 1) == 0;
}

const struct cx_netentry *cx_policy_find_name(const struct cx_policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->n; i++)
		if (covers_name(&policy->entries[i], name))
			return &policy->entries[i];
	return NULL;
}

static bool covers_address(const struct cx_netentry *entry, struct cx_str address, unsigned port)
{
	struct cx_netrule there = { .prefix = entry->rule.prefix };

	if (entry->name[0] != '\0' || address.len != (entry->rule.family == 4 ? 4 : 16) ||
	    (entry->low != 0 && (port < entry->low || port > entry->high)))
		return false;
	memcpy(there.address, address.p, address.len);
	mask(&there);
	return memcmp(there.address, entry->rule.address, address.len) == 0;
}

const struct cx_netentry *cx_policy_find_address(const struct cx_policy *policy,
						 struct cx_str address, unsigned port)
{
	for (size_t i = 0; i < policy->n; i++)
		if (covers_address(&policy->entries[i], address, port))
			return &policy->entries[i];
	return NULL;
}
