/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/guests.h"

#include "base/str.h"
#include "check_main.h"

static struct cx_guests guests = { .n = 4 };

static struct cx_str bytes(const void *p, uint32_t len)
{
	return (struct cx_str){ p, len };
}

static void begin(struct cx_guest *g, enum cx_egress mode)
{
	const struct cx_msg_names_begin m = { g->slot, 7, mode };
	struct cx_err err;

	ck_assert_int_eq(cx_guest_begin(g, &m, &err), 0);
}

static int rule(struct cx_guest *g, const char *name, const uint16_t *ports, unsigned n)
{
	uint8_t packed[4 * 80];
	struct cx_err err;
	struct cx_msg_name_rule m = { g->slot, cx_str_of(name), n == 0, bytes(packed, 2 * n) };

	for (unsigned i = 0; i < n; i++) {
		packed[2 * i] = (uint8_t)ports[i];
		packed[2 * i + 1] = (uint8_t)(ports[i] >> 8);
	}
	return cx_guest_rule(g, &m, &err);
}

static void end(struct cx_guest *g)
{
	struct cx_err err;

	ck_assert_int_eq(cx_guest_end(g, &err), 0);
}

START_TEST(modes)
{
	static const struct {
		enum cx_egress mode;
		bool listed, other;
	} rows[] = {
		{ CX_EGRESS_NONE, false, false },
		{ CX_EGRESS_ALL, true, true },
		{ CX_EGRESS_ALLOW, true, false },
		{ CX_EGRESS_DENY, false, true },
	};
	struct cx_guest *g = cx_guests_at(&guests, 1);

	ck_assert(!cx_names_allow(g->names, "a.com"));
	begin(g, rows[_i].mode);
	ck_assert_int_eq(rule(g, "*.a.com", NULL, 0), 0);
	ck_assert(!cx_names_allow(g->names, "x.a.com")); /* not before the end */
	end(g);
	ck_assert_int_eq(cx_names_allow(g->names, "x.a.com"), rows[_i].listed);
	ck_assert_int_eq(cx_names_allow(g->names, "a.com"), rows[_i].other);
	cx_guests_clear(&guests);
}
END_TEST

START_TEST(refused)
{
	struct cx_guest *g = cx_guests_at(&guests, 0);
	const struct cx_msg_peer peer = { 0, cx_str_of("Peer"), bytes("1234", 4), bytes("", 0) };
	static const uint16_t zero[] = { 0, 1 }, turned[] = { 2, 1 }, many[] = { 1, 65 },
			      most[] = { 1, 64 };
	struct cx_err err;

	ck_assert_ptr_null(cx_guests_at(&guests, 4));
	ck_assert_int_lt(rule(g, "a.com", NULL, 0), 0);
	ck_assert_int_lt(cx_guest_end(g, &err), 0);
	begin(g, CX_EGRESS_ALLOW);
	ck_assert_int_lt(rule(g, "A.com", NULL, 0), 0);
	ck_assert_int_lt(rule(g, "*.", NULL, 0), 0);
	ck_assert_int_lt(rule(g, "*", NULL, 0), 0);
	ck_assert_int_lt(rule(g, "a.*.com", NULL, 0), 0);
	ck_assert_int_lt(rule(g, "a.com", zero, 2), 0);
	ck_assert_int_lt(rule(g, "a.com", turned, 2), 0);
	ck_assert_int_lt(rule(g, "a.com", many, 2), 0);
	ck_assert_int_lt(rule(g, "a.com", most, 1), 0);
	ck_assert_int_eq(rule(g, "a.com", most, 2), 0);
	ck_assert_int_lt(cx_guest_peer(g, &peer, &err), 0);
	for (unsigned i = 1; i < CX_RULES_MAX; i++)
		ck_assert_int_eq(rule(g, "a.com", NULL, 0), 0);
	ck_assert_int_lt(rule(g, "a.com", NULL, 0), 0);
	cx_guests_clear(&guests);
}
END_TEST

START_TEST(matches)
{
	static const uint16_t https[] = { 443, 443 }, http[] = { 80, 80 };
	const struct cx_rule *found[CX_MATCHES_MAX];
	struct cx_guest *g = cx_guests_at(&guests, 2);

	begin(g, CX_EGRESS_ALLOW);
	ck_assert_int_eq(rule(g, "www.a.com", https, 2), 0);
	ck_assert_int_eq(rule(g, "*.a.com", http, 2), 0);
	ck_assert_int_eq(rule(g, "*.b.a.com", NULL, 0), 0);
	end(g);
	ck_assert_uint_eq(cx_names_match(g->names, "www.a.com", found), 2);
	ck_assert_uint_eq(cx_names_match(g->names, "ftp.a.com", found), 1);
	ck_assert_uint_eq(found[0]->ports.len, 4);
	ck_assert_uint_eq(cx_names_match(g->names, "x.b.a.com", found), 1);
	ck_assert(found[0]->any_port);
	ck_assert_uint_eq(cx_names_match(g->names, "c.com", found), 0);
	cx_guests_clear(&guests);
}
END_TEST

START_TEST(told)
{
	struct cx_guest *g = cx_guests_at(&guests, 3);
	struct cx_address a = { .len = 4, .bytes = { 1, 2, 3, 4 } };

	cx_told_note(&guests, g, "a.com", &a, 7, 1000);
	ck_assert(cx_told_until(g, "a.com", &a, 7, 1000));
	ck_assert(!cx_told_until(g, "a.com", &a, 7, 1001));
	ck_assert(!cx_told_until(g, "a.com", &a, 8, 1000));
	ck_assert(!cx_told_until(g, "b.com", &a, 7, 1000));
	cx_told_note(&guests, g, "a.com", &a, 8, 2000);
	ck_assert_uint_eq(g->ntold, 1);
	for (unsigned i = 0; i < 2 * CX_TOLD_MAX; i++) {
		a.bytes[2] = (uint8_t)(i >> 8);
		a.bytes[3] = (uint8_t)i;
		cx_told_note(&guests, g, "b.com", &a, 8, 3000);
	}
	ck_assert_uint_eq(g->ntold, CX_TOLD_MAX);
	ck_assert_uint_eq(guests.ntold, CX_TOLD_MAX);
	ck_assert(cx_told_until(g, "b.com", &a, 8, 3000));
	/* Whose time is over may have a connection open. */
	ck_assert_uint_eq(cx_told_again_s(g->told, 3000), CX_TOLD_AGAIN_S);
	g->told->until_ms = 103000;
	ck_assert_uint_eq(cx_told_again_s(g->told, 3000), 101);
	cx_told_expire(&guests, g, 3000 + 1000 * CX_TOLD_KEPT_S - 1);
	ck_assert_uint_eq(guests.ntold, CX_TOLD_MAX);
	cx_told_expire(&guests, g, 3000 + 1000 * CX_TOLD_KEPT_S);
	ck_assert_uint_eq(guests.ntold, 0);
	cx_told_note(&guests, g, "b.com", &a, 8, 3000);
	cx_guest_forget(&guests, g);
	ck_assert_uint_eq(guests.ntold, 0);
	ck_assert_uint_eq(g->generation, 1);
	cx_guests_clear(&guests);
}
END_TEST

START_TEST(bucket)
{
	struct cx_bucket b = { 0 };
	unsigned n = 0;

	while (cx_bucket_take(&b, 5000, 10, 50))
		n++;
	ck_assert_uint_eq(n, 50);
	ck_assert(!cx_bucket_take(&b, 5099, 10, 50));
	ck_assert(cx_bucket_take(&b, 5100, 10, 50));
	ck_assert(!cx_bucket_take(&b, 5100, 10, 50));
	for (n = 0; cx_bucket_take(&b, 1000000, 10, 50); n++)
		;
	ck_assert_uint_eq(n, 50);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver/guests");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, modes, 0, 4);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, matches);
	tcase_add_test(tc, told);
	tcase_add_test(tc, bucket);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
