/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of lists of destinations. What is taken has one way to be written, which means the same,
 * and comes to rules and ports within their bounds.
 */
#include <string.h>

#include "api/network.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const words[] = {
	"*.",	      "example.com", "xn--", "10.0.0.1", "/24",	 ":80", ":8000-8063", ":*",
	"2001:db8::", "[",	     "]",    "::ffff:",	 "/128", "..",	"https://",   "\xc3\xa4",
};

static void look_at_name(const char *name)
{
	size_t star = strncmp(name, "*.", 2) == 0 ? 2 : 0;
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

	if (strlen(name) > CX_NAME_MAX + star || name[star] == '\0' || name[star] == '.' ||
	    strspn(name + star, letters) != strlen(name + star) || strstr(name, "..") != NULL)
		abort();
}

static void look_at_rules(const struct cx_netentry *entry)
{
	CX_AUTO(cx_buf_free) struct cx_buf rules = { 0 };
	struct cx_netentry copy = *entry;
	struct cx_policy policy = { .mode = CX_EGRESS_ALLOW, .entries = &copy, .n = 1 };
	struct cx_netrule rule;
	struct cx_err err;

	if (cx_policy_rules(&policy, &rules, &err) < 0 || rules.len == 0)
		abort();
	for (size_t at = 0; at < rules.len; at += CX_NETRULE_SIZE)
		if (cx_netrule_get((uint8_t *)rules.p + at, &rule, &err) < 0)
			abort();
}

static void look_at_ports(const struct cx_netentry *entry)
{
	struct cx_netentry copy = *entry;
	struct cx_policy policy = { .mode = CX_EGRESS_ALLOW, .entries = &copy, .n = 1 };
	struct cx_nethost host;
	unsigned total = 0;
	size_t at = 0;

	if (!cx_policy_next_host(&policy, &at, &host) || at != 1)
		abort();
	for (uint32_t i = 0; i < host.nports; i += 4)
		total += (unsigned)(host.ports[i + 2] | host.ports[i + 3] << 8) + 1 -
			 (unsigned)(host.ports[i] | host.ports[i + 1] << 8);
	if (total > CX_PERMIT_PORTS_MAX || (total == 0) != host.any_port)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[4096];
	char once[CX_NETWORK_ENTRY_MAX + 1], twice[CX_NETWORK_ENTRY_MAX + 1];
	size_t len = expand(data, size, words, CX_LEN(words), text, sizeof text - 1);
	struct cx_netentry entry, again;
	struct cx_err err;

	text[len] = '\0';
	if (cx_netentry_parse(text, &entry, &err) < 0) {
		if (err.kind != CX_INVALID)
			abort();
		return 0;
	}
	cx_netentry_text(&entry, once);
	if (cx_netentry_parse(once, &again, &err) < 0)
		abort();
	cx_netentry_text(&again, twice);
	if (strcmp(once, twice) != 0 || strcmp(entry.name, again.name) != 0 ||
	    memcmp(&entry.rule, &again.rule, sizeof entry.rule) != 0)
		abort();
	if (entry.name[0] == '\0') {
		look_at_rules(&entry);
	} else {
		look_at_name(entry.name);
		look_at_ports(&entry);
	}
	return 0;
}
