/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pool.h"

enum {
	PARALLEL = 4,	  /* blanks that are being made at the same time */
	REFILL_MS = 25,	  /* after the last one was taken: sandboxes' first commands go first */
	LOW_MS = 3,	  /* the same when half of them are gone: the claim goes first */
	BACKOFF_MS = 100, /* after a failure, doubling */
	BACKOFF_MS_MAX = 10000,
	PERIOD_MS = 60000, /* of demand */
	GONE_FOR_ONE = 2,  /* removed ones, for a blank beyond CX_POOL_REMAINS_MAX */
};

static uint64_t backoff_ms(const struct cx_pool *pool)
{
	uint64_t ms = BACKOFF_MS;

	for (unsigned i = 1; i < pool->failures && ms < BACKOFF_MS_MAX; i++)
		ms *= 2;
	return ms < BACKOFF_MS_MAX ? ms : BACKOFF_MS_MAX;
}

static bool much_is_left(const struct cx_pool *pool)
{
	return pool->set->count[CX_SANDBOX_REMAINS] >= CX_POOL_REMAINS_MAX;
}

/*
 * When very many end at once, who creates does not wait until nearly all of them are removed: what
 * is left gets less while new ones are made.
 */
static bool wants_more(const struct cx_pool *pool)
{
	unsigned starting = pool->set->count[CX_SANDBOX_STARTING];

	return !pool->stopped && starting < PARALLEL &&
	       (!much_is_left(pool) || pool->gone >= GONE_FOR_ONE) &&
	       starting + pool->set->count[CX_SANDBOX_BLANK] < pool->demand.target + pool->nwaiting;
}

static bool is_low(const struct cx_pool *pool)
{
	return pool->set->count[CX_SANDBOX_BLANK] < pool->demand.target / 2;
}

/* Who takes one puts the next off, as long as there are enough. */
static void schedule(struct cx_pool *pool)
{
	uint64_t after = pool->nwaiting > 0 ? 0 : is_low(pool) ? LOW_MS : REFILL_MS;

	if (!wants_more(pool))
		return;
	if (pool->failures > 0) {
		uint64_t past = cx_now_ms() - pool->failed_ms, wait = backoff_ms(pool);

		after = past < wait ? wait - past : 0;
	}
	if (pool->timer.link != NULL && is_low(pool) && pool->timer.due_ms <= cx_now_ms() + after)
		return;
	cx_timer_set(&pool->set->host->loop, &pool->timer, after);
}

static struct cx_create *take_first(struct cx_pool *pool)
{
	struct cx_create *create = pool->first;

	pool->first = create->next;
	if (pool->first == NULL)
		pool->last = &pool->first;
	pool->nwaiting--;
	cx_timer_clear(&create->timer);
	return create;
}

static void failed(struct cx_pool *pool, const struct cx_err *err)
{
	if (pool->stopped)
		return;
	/* Of several that were asked for at a time the first one counts: it is one cause. */
	if (pool->failures > 0 && cx_now_ms() - pool->failed_ms < backoff_ms(pool))
		return;
	pool->failures++;
	pool->failed_ms = cx_now_ms();
	pool->why = *err;
	cx_log_err(CX_LOG_WARNING, err, "no blank sandbox could be made", NULL);
	if (pool->failures >= CX_POOL_TRIES)
		cx_pool_drop_waiting(pool, err);
}

static void make_next(struct cx_timer *timer)
{
	struct cx_pool *pool = cx_container_of(timer, struct cx_pool, timer);
	struct cx_err err;

	/* One at a time: what is waiting in the loop comes between. */
	if (wants_more(pool)) {
		pool->gone = 0;
		if (cx_sandbox_make(pool->set, &err) < 0)
			failed(pool, &err);
	}
	schedule(pool);
}

/* ---- how many -------------------------------------------------------------------------------- */

static void drop_surplus(struct cx_pool *pool)
{
	const unsigned *n = &pool->set->count[CX_SANDBOX_BLANK];

	while (*n > pool->demand.target + pool->nwaiting)
		cx_sandbox_destroy(cx_sandbox_find_state(pool->set, CX_SANDBOX_BLANK));
}

static void period_over(struct cx_timer *timer)
{
	struct cx_pool *pool = cx_container_of(timer, struct cx_pool, period);
	bool again = cx_demand_period(&pool->demand);

	drop_surplus(pool);
	if (again)
		cx_timer_set(&pool->set->host->loop, timer, PERIOD_MS);
}

static void asked(struct cx_pool *pool)
{
	struct cx_demand *demand = &pool->demand;

	cx_demand_asked(demand, pool->set->count[CX_SANDBOX_BLANK]);
	if (demand->target > demand->min && pool->period.link == NULL)
		cx_timer_set(&pool->set->host->loop, &pool->period, PERIOD_MS);
}

void cx_pool_open(struct cx_pool *ret, struct cx_sandboxes *set, uint64_t blanks)
{
	*ret = (struct cx_pool){ .set = set,
				 .stopped = true,
				 .timer = { .fire = make_next },
				 .period = { .fire = period_over } };
	ret->last = &ret->first;
	if (blanks == CX_POOL_AUTO)
		cx_demand_open(&ret->demand, CX_DEMAND_MIN,
			       cx_demand_most(set->host->memory_bytes));
	else
		cx_demand_open(&ret->demand, (unsigned)blanks, (unsigned)blanks);
}

void cx_pool_start(struct cx_pool *pool)
{
	pool->stopped = false;
	cx_timer_set(&pool->set->host->loop, &pool->timer, 0);
}

void cx_pool_stop(struct cx_pool *pool)
{
	struct cx_err err;

	pool->stopped = true;
	cx_timer_clear(&pool->timer);
	cx_timer_clear(&pool->period);
	(void)cx_refuse(&err, CX_UNAVAILABLE, "the engine is stopping");
	cx_pool_drop_waiting(pool, &err);
}

void cx_pool_drop_waiting(struct cx_pool *pool, const struct cx_err *err)
{
	while (pool->first != NULL) {
		struct cx_create *create = take_first(pool);

		create->done(create, NULL, err);
	}
}

static void give(struct cx_sandbox *sb, struct cx_create *create)
{
	sb->creator = create;
	create->given = sb;
	create->gives++;
	cx_sandbox_claim(sb, &create->plan);
}

static void waited_too_long(struct cx_timer *timer)
{
	struct cx_create *create = cx_container_of(timer, struct cx_create, timer);
	struct cx_pool *pool = create->pool;
	struct cx_create **at = &pool->first;
	struct cx_err err = pool->why;

	while (*at != create)
		at = &(*at)->next;
	*at = create->next;
	if (pool->last == &create->next)
		pool->last = at;
	pool->nwaiting--;
	if (pool->failures == 0)
		(void)cx_refuse(&err, CX_UNAVAILABLE, "no sandbox became ready within %d s",
				CX_POOL_WAIT_MS / 1000);
	create->done(create, NULL, &err);
}

static void wait_at(struct cx_pool *pool, struct cx_create **at, struct cx_create *create)
{
	create->given = NULL;
	create->next = *at;
	*at = create;
	if (pool->last == at)
		pool->last = &create->next;
	pool->nwaiting++;
	create->timer = (struct cx_timer){ .fire = waited_too_long };
	cx_timer_set(&pool->set->host->loop, &create->timer, CX_POOL_WAIT_MS);
}

/* One that is well: the end of another may be waiting in the loop behind this request. */
static struct cx_sandbox *take_blank(struct cx_pool *pool)
{
	struct cx_sandbox *blank;

	while ((blank = cx_sandbox_find_state(pool->set, CX_SANDBOX_BLANK)) != NULL &&
	       !cx_sandbox_is_well(blank))
		cx_sandbox_destroy(blank);
	return blank;
}

int cx_pool_create(struct cx_pool *pool, struct cx_create *create, struct cx_err *err)
{
	struct cx_sandbox *blank;

	if (pool->stopped)
		return cx_refuse(err, CX_UNAVAILABLE, "the engine is stopping");
	asked(pool);
	blank = take_blank(pool);
	create->pool = pool;
	create->gives = 0;
	if (blank == NULL && pool->nwaiting == CX_POOL_QUEUE_MAX)
		return cx_refuse(err, CX_BUSY, "%d creations are waiting already",
				 CX_POOL_QUEUE_MAX);
	if (blank != NULL)
		give(blank, create);
	else
		wait_at(pool, pool->last, create);
	schedule(pool);
	return 0;
}

void cx_pool_blank(struct cx_pool *pool, struct cx_sandbox *sb)
{
	pool->failures = 0;
	if (pool->first != NULL)
		give(sb, take_first(pool));
	schedule(pool);
}

void cx_pool_running(struct cx_pool *pool, struct cx_sandbox *sb)
{
	struct cx_create *create = cx_take_ptr(&sb->creator);

	(void)pool;
	if (create != NULL)
		create->done(create, sb, NULL);
}

/* It died behind that look, of nothing that was asked of it. Whose turn it was is first in line. */
void cx_pool_lost(struct cx_pool *pool, struct cx_sandbox *sb)
{
	struct cx_create *create = sb->creator;
	struct cx_sandbox *blank;

	if (create == NULL || pool->stopped || create->gives >= CX_POOL_GIVES)
		return;
	cx_log_err(CX_LOG_WARNING, &sb->why, "a blank died at its claim, another one is taken",
		   "id", sb->record.id, NULL);
	sb->creator = NULL;
	blank = take_blank(pool);
	if (blank != NULL)
		give(blank, create);
	else
		wait_at(pool, &pool->first, create);
	schedule(pool);
}

void cx_pool_gone(struct cx_pool *pool, struct cx_sandbox *sb)
{
	struct cx_create *create = cx_take_ptr(&sb->creator);

	if (create != NULL)
		create->done(create, NULL, &sb->why);
	else if (sb->made && !sb->was_running && !sb->lost && sb->why.errnum != 0)
		failed(pool, &sb->why); /* a blank that did not come up, or died waiting */
	pool->gone++;
	schedule(pool);
}
