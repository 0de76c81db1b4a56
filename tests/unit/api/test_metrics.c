/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <string.h>

#include "check_main.h"

#include "api/metrics.h"
#include "api/routes.h"
#include "base/cleanup.h"

static struct cx_metrics metrics;
static struct cx_buf out = { .max = 1 << 20 };

static void setup(void)
{
	struct cx_err err;

	ck_assert_int_eq(cx_metrics_open(&metrics, &err), 0);
}

static void teardown(void)
{
	cx_metrics_close(&metrics);
	cx_buf_free(&out);
}

static bool has(const char *line)
{
	struct cx_err err;

	out.len = 0;
	ck_assert_int_eq(cx_metrics_write(&metrics, &out, &err), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &err), 0);
	return strstr(out.p, line) != NULL;
}

START_TEST(requests_are_counted_by_route_and_status)
{
	const struct cx_route *route = &cx_route_tables[0]->rows[0];

	cx_metrics_request(&metrics, route, 200, 700);
	cx_metrics_request(&metrics, route, 200, 300);
	cx_metrics_request(&metrics, route, 999, 70000000);
	cx_metrics_request(&metrics, NULL, 404, 100);
	ck_assert(has("caisson_http_requests_total{method=\"GET\",route=\"/healthz\","
		      "status=\"200\"} 2\n"));
	ck_assert(has("route=\"/healthz\",status=\"0\"} 1\n"));
	ck_assert(has("{method=\"other\",route=\"none\",status=\"404\"} 1\n"));
	ck_assert(has("route=\"/healthz\",le=\"0.0005\"} 1\n"));
	ck_assert(has("route=\"/healthz\",le=\"0.001\"} 2\n"));
	ck_assert(has("route=\"/healthz\",le=\"60\"} 2\n"));
	ck_assert(has("route=\"/healthz\",le=\"+Inf\"} 3\n"));
	ck_assert(has("_seconds_sum{method=\"GET\",route=\"/healthz\"} 70.001\n"));
}
END_TEST

START_TEST(every_route_has_a_place)
{
	const struct cx_route_table *last = cx_route_tables[cx_route_tables_count - 1];
	size_t all = 0;

	for (size_t i = 0; i < cx_route_tables_count; i++)
		for (size_t k = 0; k < cx_route_tables[i]->count; k++, all++)
			cx_metrics_request(&metrics, &cx_route_tables[i]->rows[k], 200, 1);
	for (size_t i = 0; i < all; i++)
		ck_assert_uint_eq(metrics.routes[i].times.count, 1);
	ck_assert_uint_eq(metrics.routes[all].times.count, 0);
	ck_assert(has(last->rows[0].path));
}
END_TEST

START_TEST(reasons_are_bounded)
{
	char reason[64];

	cx_metrics_gone(&metrics, true, "OOM_KILLED");
	cx_metrics_gone(&metrics, true, "OOM_KILLED");
	cx_metrics_gone(&metrics, false, "START_FAILED");
	for (int i = 0; i < 100; i++) {
		(void)snprintf(reason, sizeof reason, "R%d_%040d", i, 7);
		cx_metrics_gone(&metrics, true, reason);
		cx_metrics_gone(&metrics, true, reason);
	}
	ck_assert(has("caisson_sandbox_ends_total{reason=\"OOM_KILLED\"} 2\n"));
	ck_assert(has("caisson_sandbox_failures_total{reason=\"START_FAILED\"} 1\n"));
	ck_assert(has("caisson_sandbox_ends_total{reason=\"other\"} 156\n"));
}
END_TEST

START_TEST(a_full_buffer_is_an_error)
{
	struct cx_buf small = { .max = 100 };
	struct cx_err err;

	ck_assert_int_lt(cx_metrics_write(&metrics, &small, &err), 0);
	cx_buf_free(&small);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/metrics");
	TCase *tc = tcase_create("metrics");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, requests_are_counted_by_route_and_status);
	tcase_add_test(tc, every_route_has_a_place);
	tcase_add_test(tc, reasons_are_bounded);
	tcase_add_test(tc, a_full_buffer_is_an_error);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
