/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: firewall [SLOTS [RULES [BESIDE]]], as root, in a build directory (make bench/firewall)
 * How long one change of the firewall takes while SLOTS sandboxes have a policy of RULES rules, and
 * one more has one of BESIDE. Microseconds, median and worst. In network namespaces of its own.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "engine/fwload.h"

enum { TIMES = 200 };

static int fail(const struct cx_err *err)
{
	char text[1024];

	(void)fprintf(stderr, "%s\n", cx_err_render(err, text, sizeof text));
	return EXIT_FAILURE;
}

static int new_namespace(void)
{
	return unshare(CLONE_NEWNET) < 0 ? -errno : open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static void tell(const char *what, uint64_t *took, size_t n)
{
	qsort(took, n, sizeof took[0], compare);
	(void)printf("%-28s median %6llu  worst %6llu\n", what, (unsigned long long)took[n / 2],
		     (unsigned long long)took[n - 1]);
}

/* Networks apart from each other, each with a port of its own. */
static struct cx_netrule *make_rules(uint32_t n)
{
	struct cx_netrule *rules = calloc(n > 0 ? n : 1, sizeof *rules);

	for (uint32_t i = 0; rules != NULL && i < n; i++)
		rules[i] = (struct cx_netrule){ .family = 4,
						.prefix = 24,
						.protocol = 6,
						.low = (uint16_t)(i + 1),
						.high = (uint16_t)(i + 1),
						.address = { 203, (uint8_t)(i >> 8), (uint8_t)i } };
	return rules;
}

static int change(struct cx_firewall *fw, uint32_t slot, const struct cx_netrule *rules,
		  uint32_t nrules, uint64_t *ret_us, struct cx_err *err)
{
	const struct cx_firewall_policy policy = {
		.mode = CX_EGRESS_ALLOW, .names = true, .rules = rules, .nrules = nrules
	};
	uint64_t begin = cx_now_us();
	uint32_t number;

	if (cx_firewall_set(fw, slot, &policy, &number, err) < 0)
		return -err->errnum;
	*ret_us = cx_now_us() - begin;
	return 0;
}

static int measure(struct cx_firewall *fw, uint32_t slots, const struct cx_netrule *rules,
		   uint32_t nrules, uint32_t beside, struct cx_err *err)
{
	uint64_t took[TIMES], begin;
	struct cx_permit permit = { .family = 4, .address = { 198, 51, 100, 1 }, .ttl_s = 60 };
	unsigned n = 0;

	for (uint32_t i = 0; i < slots; i++)
		if (change(fw, i, rules, nrules, &took[0], err) < 0)
			return -err->errnum;
	for (; beside > 0 && n < 9; n++)
		if (change(fw, slots, rules, beside, &took[n], err) < 0)
			return -err->errnum;
	if (n > 0)
		tell("change the long policy", took, n);
	for (uint32_t i = 0; i < TIMES; i++)
		if (change(fw, i % slots, rules, nrules, &took[i], err) < 0)
			return -err->errnum;
	tell("change a policy", took, TIMES);
	for (uint32_t i = 0; i < TIMES; i++) {
		permit.slot = i % slots;
		permit.number = cx_firewall_number(fw, permit.slot);
		begin = cx_now_us();
		if (cx_firewall_permit(fw, &permit, err) < 0)
			return -err->errnum;
		took[i] = cx_now_us() - begin;
	}
	tell("permit an address", took, TIMES);
	for (uint32_t i = 0; i < TIMES && i < slots; i++) {
		begin = cx_now_us();
		if (cx_firewall_forget(fw, i, err) < 0)
			return -err->errnum;
		took[i] = cx_now_us() - begin;
	}
	tell("close a slot", took, slots < TIMES ? slots : TIMES);
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t slots = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 500;
	uint32_t nrules = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 10;
	uint32_t beside = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
	struct cx_router router = { .home = new_namespace(), .host_name = "cxbench" };
	cx_autofree struct cx_netrule *rules = make_rules(nrules > beside ? nrules : beside);
	struct cx_firewall *fw = NULL;
	struct cx_err err = { 0 };
	char program[PATH_MAX];
	struct cx_firewall_plan plan = { .router = &router,
					 .load = cx_fwload,
					 .arg = program,
					 .table = "caisson-bench",
					 .slots = slots + 1,
					 .connections = 4096,
					 .packets = 100000 };
	int r;

	router.netns = new_namespace();
	if (slots == 0 || rules == NULL || router.home < 0 || router.netns < 0 ||
	    setns(router.home, CLONE_NEWNET) < 0 || realpath("caisson-firewall", program) == NULL) {
		(void)cx_fail(&err, errno, "make a place to measure in");
		return fail(&err);
	}
	if (cx_firewall_open(&plan, &fw, &err) < 0)
		return fail(&err);
	r = measure(fw, slots, rules, nrules, beside, &err);
	cx_firewall_close(fw, true);
	return r < 0 ? fail(&err) : EXIT_SUCCESS;
}
