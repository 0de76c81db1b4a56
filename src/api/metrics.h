/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_API_METRICS_H
#define CX_API_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * What has happened since this gateway began, for /metrics (Prometheus' text format). Counted where
 * it happens; names of routes and reasons are ours, so nobody can make the list long.
 */
struct cx_route;

enum {
	CX_METRICS_STATUSES = 24,
	CX_METRICS_BUCKETS = 12,
	CX_METRICS_REASONS = 24, /* a further one counts as "other" */
	CX_METRICS_REASON_MAX = 31,
};

struct cx_histogram {
	uint64_t buckets[CX_METRICS_BUCKETS]; /* each alone, not added up */
	uint64_t count, sum_us;
};

struct cx_route_count {
	uint64_t by_status[CX_METRICS_STATUSES];
	struct cx_histogram times;
};

struct cx_reason_count {
	char reason[CX_METRICS_REASON_MAX + 1];
	uint64_t count;
};

struct cx_metrics {
	struct cx_route_count *routes; /* as in the tables of routes.h; the last: no route */
	size_t nroutes;
	struct cx_histogram creates; /* from the request until it runs */
	struct cx_reason_count failed[CX_METRICS_REASONS];
	struct cx_reason_count ended[CX_METRICS_REASONS];
};

CX_MUST int cx_metrics_open(struct cx_metrics *ret, struct cx_err *err);
void cx_metrics_close(struct cx_metrics *metrics);

/* route: NULL when there is none. Streams count when they are over. */
void cx_metrics_request(struct cx_metrics *metrics, const struct cx_route *route, unsigned status,
			uint64_t us);
void cx_metrics_created(struct cx_metrics *metrics, uint64_t us);
/* ran: it ended; else it never came to run. reason: a word of ours, kept up to its maximum. */
void cx_metrics_gone(struct cx_metrics *metrics, bool ran, const char *reason);

/* All of it as text. The first failure (the buffer's maximum) is returned. */
CX_MUST int cx_metrics_write(const struct cx_metrics *metrics, struct cx_buf *out,
			     struct cx_err *err);

/* One sample, with its family's head before it if help is given; labels may be "". */
enum cx_metric_type { CX_METRIC_COUNTER, CX_METRIC_GAUGE, CX_METRIC_HISTOGRAM };
struct cx_metric {
	const char *name;
	enum cx_metric_type type;
	const char *help;
};
CX_MUST int cx_metric_head(struct cx_buf *out, const struct cx_metric *metric, struct cx_err *err);
CX_MUST int cx_metric_sample(struct cx_buf *out, const char *name, const char *labels, double value,
			     struct cx_err *err);

#endif
