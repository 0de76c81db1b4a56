/* SPDX-License-Identifier: Apache-2.0 */
#include "api/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/routes.h"

/* Those that this gateway answers with; whatever else comes counts under 0. */
static const unsigned statuses[CX_METRICS_STATUSES] = {
	0,   101, 200, 201, 204, 206, 304, 400, 401, 402, 403, 404,
	405, 408, 409, 410, 413, 415, 416, 422, 429, 500, 503, 507,
};

/* Microseconds: from what memory answers to what a pull takes. The last is without end. */
static const uint64_t edges[CX_METRICS_BUCKETS - 1] = { 500,	 1000,	   2500,    5000,
							10000,	 25000,	   100000,  500000,
							2500000, 10000000, 60000000 };

/* ---- counting ------------------------------------------------------------------------------- */

int cx_metrics_open(struct cx_metrics *ret, struct cx_err *err)
{
	*ret = (struct cx_metrics){ .nroutes = 1 };
	for (size_t i = 0; i < cx_route_tables_count; i++)
		ret->nroutes += cx_route_tables[i]->count;
	ret->routes = calloc(ret->nroutes, sizeof *ret->routes);
	return ret->routes != NULL ? 0 : cx_fail(err, ENOMEM, "metrics");
}

void cx_metrics_close(struct cx_metrics *metrics)
{
	free(metrics->routes);
	*metrics = (struct cx_metrics){ 0 };
}

static void observe(struct cx_histogram *h, uint64_t us)
{
	size_t i = 0;

	while (i < CX_LEN(edges) && us > edges[i])
		i++;
	h->buckets[i]++;
	h->count++;
	h->sum_us += us;
}

static size_t place_of(const struct cx_metrics *metrics, const struct cx_route *route)
{
	size_t before = 0;

	for (size_t i = 0; route != NULL && i < cx_route_tables_count; i++) {
		const struct cx_route_table *table = cx_route_tables[i];

		if (route >= table->rows && route < table->rows + table->count)
			return before + (size_t)(route - table->rows);
		before += table->count;
	}
	return metrics->nroutes - 1;
}

static size_t place_of_status(unsigned status)
{
	for (size_t i = 0; i < CX_LEN(statuses); i++)
		if (statuses[i] == status)
			return i;
	return 0;
}

void cx_metrics_request(struct cx_metrics *metrics, const struct cx_route *route, unsigned status,
			uint64_t us)
{
	struct cx_route_count *count = &metrics->routes[place_of(metrics, route)];

	count->by_status[place_of_status(status)]++;
	observe(&count->times, us);
}

void cx_metrics_created(struct cx_metrics *metrics, uint64_t us)
{
	observe(&metrics->creates, us);
}

void cx_metrics_gone(struct cx_metrics *metrics, bool ran, const char *reason)
{
	struct cx_reason_count *list = ran ? metrics->ended : metrics->failed;
	size_t i = 0, last = CX_METRICS_REASONS - 1;

	while (i < last && list[i].count > 0 &&
	       strncmp(list[i].reason, reason, CX_METRICS_REASON_MAX) != 0)
		i++;
	if (list[i].count == 0)
		(void)snprintf(list[i].reason, sizeof list[i].reason, "%s",
			       i < last ? reason : "other");
	list[i].count++;
}

/* ---- telling -------------------------------------------------------------------------------- */

static int add(struct cx_buf *out, struct cx_err *err, const char *text)
{
	return cx_buf_add(out, text, strlen(text), err);
}

int cx_metric_head(struct cx_buf *out, const struct cx_metric *metric, struct cx_err *err)
{
	static const char *const types[] = { [CX_METRIC_COUNTER] = "counter",
					     [CX_METRIC_GAUGE] = "gauge",
					     [CX_METRIC_HISTOGRAM] = "histogram" };
	char text[512];

	(void)snprintf(text, sizeof text, "# HELP %s %s\n# TYPE %s %s\n", metric->name,
		       metric->help, metric->name, types[metric->type]);
	return add(out, err, text);
}

int cx_metric_sample(struct cx_buf *out, const char *name, const char *labels, double value,
		     struct cx_err *err)
{
	bool some = labels[0] != '\0';
	char text[512];

	(void)snprintf(text, sizeof text, "%s%s%s%s %.15g\n", name, some ? "{" : "", labels,
		       some ? "}" : "", value);
	return add(out, err, text);
}

/* "a" and "b" to "a,b", where either may be "". */
static void join(char *ret, size_t size, const char *a, const char *b)
{
	(void)snprintf(ret, size, "%s%s%s", a, a[0] != '\0' && b[0] != '\0' ? "," : "", b);
}

static int write_histogram(struct cx_buf *out, const char *name, const char *labels,
			   const struct cx_histogram *h, struct cx_err *err)
{
	char series[128], all[256], edge[48];
	uint64_t so_far = 0;

	(void)snprintf(series, sizeof series, "%s_bucket", name);
	for (size_t i = 0; i < CX_LEN(h->buckets); i++) {
		so_far += h->buckets[i];
		if (i < CX_LEN(edges))
			(void)snprintf(edge, sizeof edge, "le=\"%g\"", (double)edges[i] / 1e6);
		else
			(void)snprintf(edge, sizeof edge, "le=\"+Inf\"");
		join(all, sizeof all, labels, edge);
		if (cx_metric_sample(out, series, all, (double)so_far, err) < 0)
			return -err->errnum;
	}
	(void)snprintf(series, sizeof series, "%s_sum", name);
	if (cx_metric_sample(out, series, labels, (double)h->sum_us / 1e6, err) < 0)
		return -err->errnum;
	(void)snprintf(series, sizeof series, "%s_count", name);
	return cx_metric_sample(out, series, labels, (double)h->count, err);
}

static void label_route(const struct cx_route *route, char *ret, size_t size)
{
	(void)snprintf(ret, size, "method=\"%s\",route=\"%s\"",
		       route != NULL ? route->method : "other",
		       route != NULL ? route->path : "none");
}

/* Calls write() for each route that was asked for, and for "none". */
static int each_route(const struct cx_metrics *m, struct cx_buf *out,
		      int (*write)(struct cx_buf *out, const char *labels,
				   const struct cx_route_count *count, struct cx_err *err),
		      struct cx_err *err)
{
	size_t at = 0;
	char labels[160];

	for (size_t i = 0; i < cx_route_tables_count; i++) {
		for (size_t k = 0; k < cx_route_tables[i]->count; k++, at++) {
			label_route(&cx_route_tables[i]->rows[k], labels, sizeof labels);
			if (m->routes[at].times.count > 0 &&
			    write(out, labels, &m->routes[at], err) < 0)
				return -err->errnum;
		}
	}
	label_route(NULL, labels, sizeof labels);
	return write(out, labels, &m->routes[at], err);
}

static int write_statuses(struct cx_buf *out, const char *labels,
			  const struct cx_route_count *count, struct cx_err *err)
{
	char status[32], all[192];

	for (size_t i = 0; i < CX_LEN(statuses); i++) {
		if (count->by_status[i] == 0)
			continue;
		(void)snprintf(status, sizeof status, "status=\"%u\"", statuses[i]);
		join(all, sizeof all, labels, status);
		if (cx_metric_sample(out, "caisson_http_requests_total", all,
				     (double)count->by_status[i], err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int write_times(struct cx_buf *out, const char *labels, const struct cx_route_count *count,
		       struct cx_err *err)
{
	return write_histogram(out, "caisson_http_request_seconds", labels, &count->times, err);
}

static int write_reasons(struct cx_buf *out, const struct cx_metric *metric,
			 const struct cx_reason_count *list, struct cx_err *err)
{
	char label[64];

	if (cx_metric_head(out, metric, err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < CX_METRICS_REASONS && list[i].count > 0; i++) {
		(void)snprintf(label, sizeof label, "reason=\"%s\"", list[i].reason);
		if (cx_metric_sample(out, metric->name, label, (double)list[i].count, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static const struct cx_metric requests = { "caisson_http_requests_total", CX_METRIC_COUNTER,
					   "Requests answered, by route and status." };
static const struct cx_metric times = { "caisson_http_request_seconds", CX_METRIC_HISTOGRAM,
					"From a request's headers to the end of its answer." };
static const struct cx_metric creates = { "caisson_sandbox_create_seconds", CX_METRIC_HISTOGRAM,
					  "From the request until the sandbox runs." };
static const struct cx_metric failed = { "caisson_sandbox_failures_total", CX_METRIC_COUNTER,
					 "Sandboxes that never came to run, by reason." };
static const struct cx_metric ended = { "caisson_sandbox_ends_total", CX_METRIC_COUNTER,
					"Sandboxes that ended, by reason." };

int cx_metrics_write(const struct cx_metrics *m, struct cx_buf *out, struct cx_err *err)
{
	if (cx_metric_head(out, &requests, err) < 0 ||
	    each_route(m, out, write_statuses, err) < 0 || cx_metric_head(out, &times, err) < 0 ||
	    each_route(m, out, write_times, err) < 0 || cx_metric_head(out, &creates, err) < 0 ||
	    write_histogram(out, creates.name, "", &m->creates, err) < 0 ||
	    write_reasons(out, &failed, m->failed, err) < 0)
		return -err->errnum;
	return write_reasons(out, &ended, m->ended, err);
}
