/* SPDX-License-Identifier: Apache-2.0 */
#include "api/denials.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

struct cx_denials {
	struct cx_gateway *gw;
	struct cx_timer timer;
	struct cx_denial waiting[CX_DENIALS_AT_ONCE];
	size_t n;
	uint64_t lost;
};

static void flush(struct cx_denials *d)
{
	char lost[24];
	struct cx_err err;

	if (d->n > 0 && cx_store_denials_add(d->gw->store, d->waiting, d->n, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "denials not recorded", NULL);
	if (d->lost > 0) {
		(void)snprintf(lost, sizeof lost, "%llu", (unsigned long long)d->lost);
		cx_log(CX_LOG_WARNING, "more was refused than is recorded", "denials", lost, NULL);
	}
	d->n = 0;
	d->lost = 0;
}

static void on_timer(struct cx_timer *timer)
{
	flush(cx_container_of(timer, struct cx_denials, timer));
}

int cx_denials_open(struct cx_gateway *gw, struct cx_err *err)
{
	gw->denials = calloc(1, sizeof *gw->denials);
	if (gw->denials == NULL)
		return cx_fail(err, ENOMEM, "denials");
	gw->denials->gw = gw;
	gw->denials->timer.fire = on_timer;
	return 0;
}

void cx_denials_close(struct cx_gateway *gw)
{
	if (gw->denials == NULL)
		return;
	cx_timer_clear(&gw->denials->timer);
	flush(gw->denials);
	cx_freep(&gw->denials);
}

static bool is_alike(const struct cx_denial *a, const struct cx_denial *b)
{
	return a->sandbox == b->sandbox && a->generation == b->generation &&
	       a->protocol == b->protocol && a->port == b->port && a->naddress == b->naddress &&
	       memcmp(a->address, b->address, sizeof a->address) == 0 &&
	       strcmp(a->name, b->name) == 0 && strcmp(a->why, b->why) == 0;
}

static void add(struct cx_denials *d, const struct cx_denial *denial)
{
	for (size_t i = 0; i < d->n; i++)
		if (is_alike(&d->waiting[i], denial)) {
			d->waiting[i].count += denial->count;
			return;
		}
	if (d->n == CX_DENIALS_AT_ONCE) {
		d->lost += (uint64_t)denial->count;
		return;
	}
	d->waiting[d->n++] = *denial;
	if (d->timer.link == NULL)
		cx_timer_set(d->gw->loop, &d->timer, CX_DENIALS_EVERY_MS);
}

void cx_denials_note(struct cx_gateway *gw, int64_t sandbox, int64_t generation,
		     const struct cx_msg_denied *denied)
{
	struct cx_denial denial = { .sandbox = sandbox,
				    .at_ms = cx_wall_ms(),
				    .generation = generation,
				    .count = denied->count,
				    .protocol = denied->protocol,
				    .port = denied->port,
				    .naddress = denied->address.len };

	if (denied->address.len > 0)
		memcpy(denial.address, denied->address.p, denied->address.len);
	(void)cx_str_copy(denied->name, denial.name, sizeof denial.name);
	(void)cx_str_copy(denied->why, denial.why, sizeof denial.why);
	add(gw->denials, &denial);
}
