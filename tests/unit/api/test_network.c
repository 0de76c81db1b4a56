/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "check_main.h"

#include "api/json.h"
#include "api/network.h"
#include "base/cleanup.h"

/* ---- entries -------------------------------------------------------------------------------- */

static const struct {
	const char *given, *text; /* text NULL: refused with says */
	const char *says;
} entries[] = {
	{ "example.com", "example.com", NULL },
	{ " Example.COM. ", "example.com", NULL },
	{ "*.example.com", "*.example.com", NULL },
	{ "*.example.com:443", "*.example.com:443", NULL },
	{ "xn--bcher-kva.example", "xn--bcher-kva.example", NULL },
	{ "_dmarc.example.com", "_dmarc.example.com", NULL },
	{ "localhost", "localhost", NULL },
	{ "a.b:80-80", "a.b:80", NULL },
	{ "a.b:80-143", "a.b:80-143", NULL },
	{ "a.b:*", "a.b:*", NULL },
	{ "1.2.3.4", "1.2.3.4", NULL },
	{ "1.2.3.4/32", "1.2.3.4", NULL },
	{ "1.2.3.4:*", "1.2.3.4", NULL },
	{ "10.1.2.3/8", "10.0.0.0/8", NULL },
	{ "0.0.0.0/0:53", "0.0.0.0/0:53", NULL },
	{ "1.2.3.4:1-65535", "1.2.3.4:1-65535", NULL },
	{ "2001:DB8::1", "2001:db8::1", NULL },
	{ "2001:db8:ff::/33", "2001:db8::/33", NULL },
	{ "::/0", "::/0", NULL },
	{ "[2001:db8::1]", "2001:db8::1", NULL },
	{ "[2001:db8::1]:80", "[2001:db8::1]:80", NULL },
	{ "[2001:db8::/32]:80-90", "[2001:db8::/32]:80-90", NULL },
	{ "", NULL, "empty" },
	{ "*", NULL, "'*' stands for" },
	{ "a.*.b", NULL, "'*' stands for" },
	{ "*.", NULL, "1 to 63" },
	{ "*.*.a", NULL, "'*' stands for" },
	{ ".", NULL, "1 to 63" },
	{ "a..b", NULL, "1 to 63" },
	{ "-a.b", NULL, "begins or ends" },
	{ "b\xc3\xbc"
	  "cher.example",
	  NULL, "ASCII" },
	{ "https://example.com", NULL, "no scheme" },
	{ "user@example.com", NULL, "no scheme" },
	{ "example.com/path", NULL, "no scheme" },
	{ "a b", NULL, "no scheme" },
	{ "1.2.3", NULL, "neither a host nor an address" },
	{ "256.1.1.1", NULL, "neither a host nor an address" },
	{ "1.2.3.4/33", NULL, "0 to 32" },
	{ "1.2.3.4/", NULL, "0 to 32" },
	{ "::1/129", NULL, "0 to 128" },
	{ "::ffff:1.2.3.4", NULL, "a.b.c.d" },
	{ "a.b:0", NULL, "from 1 to 65535" },
	{ "a.b:", NULL, "from 1 to 65535" },
	{ "a.b:65536", NULL, "from 1 to 65535" },
	{ "a.b:90-80", NULL, "from 1 to 65535" },
	{ "a.b:+80", NULL, "from 1 to 65535" },
	{ "a.b:80-144", NULL, "64 ports" },
	{ "[a.b]:80", NULL, "brackets" },
	{ "[::1", NULL, "[address]" },
	{ "[::1]80", NULL, "[address]" },
};

START_TEST(an_entry_has_one_way_to_be_written)
{
	char text[CX_NETWORK_ENTRY_MAX + 1];
	struct cx_netentry entry;
	struct cx_err err;
	int r = cx_netentry_parse(entries[_i].given, &entry, &err);

	if (entries[_i].text == NULL) {
		ck_assert_msg(r < 0, "'%s' was taken", entries[_i].given);
		ck_assert_int_eq(err.kind, CX_INVALID);
		ck_assert_msg(strstr(err.msg, entries[_i].says) != NULL, "'%s': %s",
			      entries[_i].given, err.msg);
		return;
	}
	ck_assert_msg(r == 0, "'%s': %s", entries[_i].given, err.msg);
	cx_netentry_text(&entry, text);
	ck_assert_str_eq(text, entries[_i].text);
	ck_assert_int_eq(cx_netentry_parse(text, &entry, &err), 0);
	cx_netentry_text(&entry, text);
	ck_assert_str_eq(text, entries[_i].text);
}
END_TEST

START_TEST(a_name_may_be_so_long)
{
	char name[CX_NAME_MAX + 4] = "*.";
	struct cx_netentry entry;
	struct cx_err err;

	for (size_t i = 2; i < CX_NAME_MAX + 2; i++)
		name[i] = i % 64 == 63 ? '.' : 'a';
	ck_assert_int_eq(cx_netentry_parse(name, &entry, &err), 0);
	ck_assert_str_eq(entry.name, name);
	name[CX_NAME_MAX + 2] = 'a';
	ck_assert_int_lt(cx_netentry_parse(name, &entry, &err), 0);
}
END_TEST

/* ---- lists ---------------------------------------------------------------------------------- */

static const struct {
	const char *document;
	bool access, enforced;
	const char *allows, *denies; /* as recorded */
	const char *says;	     /* or the refusal */
} cases[] = {
	{ "{}", true, true, NULL, NULL, NULL },
	{ "{\"allow\":null,\"deny\":null}", true, true, NULL, NULL, NULL },
	{ "{}", false, true, "[]", NULL, NULL },
	{ "{\"allow\":[]}", true, true, "[]", NULL, NULL },
	{ "{\"allow\":[]}", false, true, "[]", NULL, NULL },
	{ "{\"deny\":[]}", true, true, NULL, "[]", NULL },
	{ "{\"deny\":[]}", false, true, NULL, NULL, "'deny'" },
	{ "{\"allow\":[],\"deny\":[]}", true, true, NULL, NULL, "exclude" },
	{ "{\"allow\":[\"A.b\"]}", false, true, NULL, NULL, "'allow'" },
	{ "{\"allow\":[\"A.b\",\"1.2.3.4:80\"]}", true, true, "[\"a.b\",\"1.2.3.4:80\"]", NULL,
	  NULL },
	{ "{\"allow\":[\"a.b:8080\"]}", true, true, "[\"a.b:8080\"]", NULL, NULL },
	{ "{\"deny\":[\"10.0.0.1/8\",\"a.b:*\"]}", true, true, NULL, "[\"10.0.0.0/8\",\"a.b\"]",
	  NULL },
	{ "{\"allow\":[\"a.b:1-32\",\"a.c:1-64\",\"a.b:100-131\"]}", true, true,
	  "[\"a.b:1-32\",\"a.c:1-64\",\"a.b:100-131\"]", NULL, NULL },
	{ "{\"allow\":[\"a.b:1-32\",\"a.c\",\"a.b:100-132\"]}", true, true, NULL, NULL, "in all" },
	{ "{\"deny\":[\"a.b:80\"]}", true, true, NULL, NULL, "on every port" },
	{ "{\"deny\":[\"1.2.3.4:80\"]}", true, true, NULL, "[\"1.2.3.4:80\"]", NULL },
	{ "{\"deny\":[\"\"]}", true, true, NULL, NULL, "'deny'" },
	{ "{\"deny\":[7]}", true, true, NULL, NULL, "'deny" },
	{ "{\"allow\":\"a.b\"}", true, true, NULL, NULL, "'allow'" },
	{ "{\"allow\":[]}", true, false, "[]", NULL, NULL },
	{ "{\"deny\":[]}", true, false, NULL, "[]", NULL },
	{ "{\"allow\":[\"a.b\"]}", true, false, NULL, NULL, "without a network" },
	{ "{\"deny\":[\"1.2.3.4\"]}", true, false, NULL, NULL, "without a network" },
};

static void expect(const char *seen, const char *wanted)
{
	ck_assert_int_eq(seen == NULL, wanted == NULL);
	if (wanted != NULL)
		ck_assert_str_eq(seen, wanted);
}

static int parse(const char *text, bool access, bool enforced, struct cx_sandbox_row *row,
		 struct cx_err *err)
{
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	struct cx_network_fields fields = {
		.allow = "allow", .deny = "deny", .access = access, .enforced = enforced
	};

	ck_assert_int_eq(cx_json_parse_object(text, strlen(text), &doc, err), 0);
	return cx_network_parse(doc, &fields, row, err);
}

START_TEST(lists_are_recorded_or_refused)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	struct cx_err err;
	int r = parse(cases[_i].document, cases[_i].access, cases[_i].enforced, &row, &err);

	if (cases[_i].says != NULL) {
		ck_assert_int_lt(r, 0);
		ck_assert_int_eq(err.kind, CX_INVALID);
		ck_assert_msg(strstr(err.msg, cases[_i].says) != NULL, "%s", err.msg);
		return;
	}
	ck_assert_int_eq(r, 0);
	expect(row.network_allowlist, cases[_i].allows);
	expect(row.network_denylist, cases[_i].denies);
	ck_assert_int_eq(row.network_access,
			 cases[_i].allows == NULL || strcmp(cases[_i].allows, "[]") != 0);
}
END_TEST

static void write_list(char *out, unsigned n)
{
	char *at = out + sprintf(out, "{\"allow\":[");

	for (unsigned i = 0; i < n; i++)
		at += sprintf(at, "%s\"10.0.%u.%u:80\"", i > 0 ? "," : "", i / 256, i % 256);
	(void)strcpy(at, "]}");
}

START_TEST(a_list_is_bounded_and_the_longest_fits)
{
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	CX_AUTO(cx_policy_clear) struct cx_policy policy = { 0 };
	CX_AUTO(cx_buf_free) struct cx_buf rules = { 0 };
	static char text[64 * 1024];
	struct cx_err err;

	write_list(text, CX_NETWORK_ENTRIES_MAX + 1);
	ck_assert_int_lt(parse(text, true, true, &row, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "1024"));
	write_list(text, CX_NETWORK_ENTRIES_MAX);
	ck_assert_int_eq(parse(text, true, true, &row, &err), 0);
	ck_assert_int_eq(cx_policy_load(&row, &policy, &err), 0);
	ck_assert_int_eq(cx_policy_rules(&policy, &rules, &err), 0);
	ck_assert_uint_eq(rules.len, (size_t)CX_NETRULES_MAX * CX_NETRULE_SIZE);
}
END_TEST

/* ---- names of networks ---------------------------------------------------------------------- */

START_TEST(a_network_has_a_plain_name)
{
	static const struct {
		const char *document;
		bool enforced;
		int r; /* -1: refused */
		const char *name;
	} names[] = {
		{ "{}", true, 0, NULL },
		{ "{\"network\":\"lab-1\"}", true, 1, "lab-1" },
		{ "{\"network\":\"\"}", true, 1, NULL },
		{ "{\"network\":\"\"}", false, 1, NULL },
		{ "{\"network\":\"a/b\"}", true, -1, NULL },
		{ "{\"network\":\"lab\"}", false, -1, NULL },
		{ "{\"network\":7}", true, -1, NULL },
	};
	CX_AUTO(cx_sandbox_row_clear) struct cx_sandbox_row row = { 0 };
	CX_AUTO(cx_json_free) struct json_t *doc = NULL;
	const char *text = names[_i].document;
	struct cx_err err;
	int r;

	ck_assert_int_eq(cx_json_parse_object(text, strlen(text), &doc, &err), 0);
	r = cx_network_parse_name(doc, "network", names[_i].enforced, &row, &err);
	ck_assert_int_eq(r < 0 ? -1 : r, names[_i].r);
	expect(row.network_name, names[_i].name);
}
END_TEST

/* ---- what they come to ---------------------------------------------------------------------- */

static struct cx_policy policy;
static struct cx_sandbox_row row;

static void load(const char *document)
{
	struct cx_err err;

	ck_assert_int_eq(parse(document, true, true, &row, &err), 0);
	ck_assert_int_eq(cx_policy_load(&row, &policy, &err), 0);
}

static void unload(void)
{
	cx_policy_clear(&policy);
	cx_sandbox_row_clear(&row);
}

START_TEST(lists_come_to_a_mode)
{
	static const struct {
		const char *document;
		enum cx_egress mode;
	} lists[] = {
		{ "{}", CX_EGRESS_ALL },
		{ "{\"deny\":[]}", CX_EGRESS_ALL },
		{ "{\"allow\":[]}", CX_EGRESS_NONE },
		{ "{\"allow\":[\"a.b\"]}", CX_EGRESS_ALLOW },
		{ "{\"deny\":[\"a.b\"]}", CX_EGRESS_DENY },
	};

	for (size_t i = 0; i < CX_LEN(lists); i++) {
		load(lists[i].document);
		ck_assert_int_eq(policy.mode, lists[i].mode);
		unload();
	}
}
END_TEST

START_TEST(addresses_come_to_rules)
{
	CX_AUTO(cx_buf_free) struct cx_buf rules = { 0 };
	static const uint8_t subnet[4] = { 10, 0, 0, 0 };
	struct cx_netrule rule[3];
	struct cx_err err;

	load("{\"allow\":[\"a.b\",\"10.9.9.9/8\",\"[2001:db8::1]:80-90\"]}");
	ck_assert_int_eq(cx_policy_rules(&policy, &rules, &err), 0);
	ck_assert_uint_eq(rules.len, 3 * CX_NETRULE_SIZE);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(
			cx_netrule_get((uint8_t *)rules.p + i * CX_NETRULE_SIZE, &rule[i], &err),
			0);
	ck_assert_uint_eq(rule[0].family, 4);
	ck_assert_uint_eq(rule[0].prefix, 8);
	ck_assert_uint_eq(rule[0].protocol, 0);
	ck_assert_uint_eq(rule[0].low, 0);
	ck_assert_mem_eq(rule[0].address, subnet, 4);
	ck_assert_uint_eq(rule[1].family, 6);
	ck_assert_uint_eq(rule[1].prefix, 128);
	ck_assert_uint_eq(rule[1].protocol, IPPROTO_TCP);
	ck_assert_uint_eq(rule[2].protocol, IPPROTO_UDP);
	ck_assert_uint_eq(rule[2].low, 80);
	ck_assert_uint_eq(rule[2].high, 90);
	unload();
}
END_TEST

START_TEST(hosts_come_to_ports)
{
	static const uint8_t usual[] = { 80, 0, 80, 0, 0xbb, 1, 0xbb, 1 };
	static const uint8_t range[] = { 0x90, 0x1f, 0x93, 0x1f };
	struct cx_nethost host;
	size_t at = 0;

	load("{\"allow\":[\"a.d:*\",\"1.2.3.4\",\"a.b\",\"a.c:8080-8083\",\"a.d\",\"a.e\","
	     "\"a.e:8080-8083\"]}");
	ck_assert(cx_policy_next_host(&policy, &at, &host));
	ck_assert_str_eq(host.name, "a.b");
	ck_assert_uint_eq(host.nports, sizeof usual);
	ck_assert_mem_eq(host.ports, usual, sizeof usual);
	ck_assert(cx_policy_next_host(&policy, &at, &host));
	ck_assert_str_eq(host.name, "a.c");
	ck_assert_uint_eq(host.nports, sizeof range);
	ck_assert_mem_eq(host.ports, range, sizeof range);
	ck_assert(!host.any_port);
	ck_assert(cx_policy_next_host(&policy, &at, &host));
	ck_assert_str_eq(host.name, "a.d");
	ck_assert(host.any_port && host.nports == 0);
	ck_assert(cx_policy_next_host(&policy, &at, &host));
	ck_assert_uint_eq(host.nports, sizeof usual + sizeof range);
	ck_assert(!cx_policy_next_host(&policy, &at, &host));
	unload();
	at = 0;
	load("{\"deny\":[\"a.b\"]}");
	ck_assert(cx_policy_next_host(&policy, &at, &host));
	ck_assert(host.any_port && host.nports == 0);
	unload();
}
END_TEST

START_TEST(the_entry_that_denies_is_found)
{
	static const uint8_t near[4] = { 10, 1, 2, 3 }, far[4] = { 11, 1, 2, 3 };
	struct cx_str at = { .p = (const char *)near, .len = 4 };

	load("{\"deny\":[\"a.b\",\"*.c.d\",\"10.0.0.0/8:53\",\"::/0\"]}");
	ck_assert_str_eq(cx_policy_find_name(&policy, "a.b")->name, "a.b");
	ck_assert_ptr_null(cx_policy_find_name(&policy, "x.a.b"));
	ck_assert_str_eq(cx_policy_find_name(&policy, "x.y.c.d")->name, "*.c.d");
	ck_assert_ptr_null(cx_policy_find_name(&policy, "c.d"));
	ck_assert_ptr_null(cx_policy_find_name(&policy, "xc.d"));
	ck_assert_uint_eq(cx_policy_find_address(&policy, at, 53)->rule.prefix, 8);
	ck_assert_ptr_null(cx_policy_find_address(&policy, at, 54));
	at.p = (const char *)far;
	ck_assert_ptr_null(cx_policy_find_address(&policy, at, 53));
	unload();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/network");
	TCase *tc = tcase_create("network");

	tcase_add_loop_test(tc, an_entry_has_one_way_to_be_written, 0, CX_LEN(entries));
	tcase_add_test(tc, a_name_may_be_so_long);
	tcase_add_loop_test(tc, lists_are_recorded_or_refused, 0, CX_LEN(cases));
	tcase_add_test(tc, a_list_is_bounded_and_the_longest_fits);
	tcase_add_loop_test(tc, a_network_has_a_plain_name, 0, 7);
	tcase_add_test(tc, lists_come_to_a_mode);
	tcase_add_test(tc, addresses_come_to_rules);
	tcase_add_test(tc, hosts_come_to_ports);
	tcase_add_test(tc, the_entry_that_denies_is_found);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
