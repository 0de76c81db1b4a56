/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"
#include "base/log.h"

enum { SHARE_NUM = 3, SHARE_DEN = 4 }; /* of the places, that one owner may have */

static bool same_owner(const struct cx_box *a, const char *owner)
{
	return owner != NULL ? cx_box_is(a->row.user_id, owner) : a->row.user_id == NULL;
}

static bool goes_before(const struct cx_box *a, const struct cx_box *b)
{
	if (a->place.turn != b->place.turn)
		return a->place.turn < b->place.turn;
	return a->row.row < b->row.row; /* who came first */
}

static void insert(struct cx_queue *q, struct cx_box *box)
{
	struct cx_box **at = &q->first;

	while (*at != NULL && goes_before(*at, box))
		at = &(*at)->place.next;
	box->place.next = *at;
	*at = box;
}

static void take_out(struct cx_queue *q, struct cx_box *box)
{
	struct cx_box **at = &q->first;

	while (*at != box)
		at = &(*at)->place.next;
	*at = box->place.next;
	box->place.waits = false;
	q->length--;
}

/* ---- coming and going ------------------------------------------------------------------------ */

static void fail(struct cx_box *box, const char *type, const struct cx_err *err)
{
	cx_log_err(CX_LOG_INFO, err, "sandbox given up", "id", box->row.id, NULL);
	cx_box_mark_failed(box, type, err);
	box->why = *err;
	cx_box_finish(box);
}

static void give_up_overdue(struct cx_queue *q)
{
	uint64_t now = cx_now_ms();
	struct cx_box *box = q->first;

	while (box != NULL) {
		struct cx_box *next = box->place.next;
		struct cx_err err;

		if (now >= box->place.until_ms && !box->place.asked) {
			(void)cx_refuse(&err, CX_BUSY,
					"no room on the host for %llu seconds: %.300s",
					(unsigned long long)(q->wait_ms / 1000),
					q->why.errnum != 0 ? q->why.msg : "others came first");
			fail(box, "QUEUE_TIMEOUT", &err);
		}
		box = next;
	}
}

/* It keeps its place until it is known to have one of its own. */
static void ask_for(struct cx_queue *q, struct cx_box *box)
{
	struct cx_err err;

	q->turn = box->place.turn;
	if (cx_box_go_on(box, &err) < 0)
		fail(box, "START_FAILED", &err);
	else if (!box->place.asked) /* its image has to come again */
		take_out(q, box);
}

static struct cx_box *next_to_ask(const struct cx_queue *q)
{
	struct cx_box *box = q->asking < q->window ? q->first : NULL;

	while (box != NULL && box->place.asked)
		box = box->place.next;
	return box;
}

static void tick(struct cx_timer *timer)
{
	struct cx_queue *q = cx_container_of(timer, struct cx_queue, timer);

	if (cx_engine_is_lost(q->gw->engine))
		return;
	give_up_overdue(q);
	for (struct cx_box *box; (box = next_to_ask(q)) != NULL;)
		ask_for(q, box);
	if (q->first != NULL)
		cx_timer_set(q->gw->loop, timer, CX_QUEUE_TICK_MS);
}

void cx_queue_open(struct cx_gateway *gw, unsigned max, uint64_t wait_ms)
{
	gw->queue = (struct cx_queue){ .gw = gw,
				       .max = max,
				       .wait_ms = wait_ms,
				       .window = CX_QUEUE_ASKING_MAX,
				       .timer = { .fire = tick } };
}

void cx_queue_look(struct cx_gateway *gw)
{
	if (gw->queue.first != NULL)
		cx_timer_set(gw->loop, &gw->queue.timer, 0);
}

bool cx_queue_is_open(const struct cx_gateway *gw)
{
	const struct cx_queue *q = &gw->queue;

	return q->max == 0 || (q->first == NULL && q->asking < q->window);
}

/* Who waits for its image has a place, too: it was promised the sandbox already. */
int cx_queue_check(const struct cx_gateway *gw, const char *owner, struct cx_err *err)
{
	const struct cx_queue *q = &gw->queue;
	unsigned length = 0, own = 0;

	for (const struct cx_box *box = gw->boxes; box != NULL; box = box->next)
		if (box->place.waits || (box->promised && box->phase == CX_BOX_PULLING)) {
			length++;
			own += same_owner(box, owner);
		}
	if (length < q->max && own < (q->max * SHARE_NUM + SHARE_DEN - 1) / SHARE_DEN)
		return 0;
	return cx_refuse(err, CX_BUSY,
			 "%u sandboxes wait for room or an image, %u of them yours%s%.200s", length,
			 own, q->why.errnum != 0 ? "; " : "", q->why.errnum != 0 ? q->why.msg : "");
}

/* Behind all of the same owner, and not before the turn that it is. */
static int64_t next_turn(const struct cx_queue *q, const struct cx_box *box)
{
	int64_t turn = q->turn;

	for (const struct cx_box *other = q->first; other != NULL; other = other->place.next)
		if (same_owner(other, box->row.user_id) && other->place.turn >= turn)
			turn = other->place.turn + 1;
	return turn;
}

static void begin(struct cx_box *box)
{
	struct cx_queue *q = &box->gw->queue;
	int64_t waited = cx_wall_ms() - box->row.queued_ms;

	/* A clock that was set makes nobody wait longer than the bound. */
	waited = waited < 0 ? 0 : waited;
	box->place.until_ms =
		cx_now_ms() + ((uint64_t)waited < q->wait_ms ? q->wait_ms - (uint64_t)waited : 0);
	box->place.waits = true;
	q->length++;
}

void cx_queue_enter(struct cx_box *box)
{
	struct cx_queue *q = &box->gw->queue;

	box->phase = CX_BOX_QUEUED;
	if (!box->place.waits) {
		box->place.turn = next_turn(q, box);
		begin(box);
		insert(q, box);
	}
	if (q->timer.link == NULL)
		cx_timer_set(q->gw->loop, &q->timer, CX_QUEUE_TICK_MS);
}

void cx_queue_adopt(struct cx_box *box)
{
	box->phase = CX_BOX_QUEUED;
	begin(box);
	insert(&box->gw->queue, box);
}

/* All have turn 0 and are in the order in which they came. */
void cx_queue_adopted(struct cx_gateway *gw)
{
	struct cx_queue *q = &gw->queue;
	struct cx_box *all = q->first, *next;

	q->first = NULL;
	for (struct cx_box *box = all; box != NULL; box = next) {
		next = box->place.next;
		box->place.turn = next_turn(q, box);
		insert(q, box);
	}
	cx_queue_look(gw);
}

void cx_queue_leave(struct cx_box *box)
{
	struct cx_queue *q = &box->gw->queue;

	if (box->place.waits)
		take_out(q, box);
	if (box->place.asked)
		q->asking--;
	box->place.asked = false;
	cx_queue_look(box->gw);
}

/* ---- asking ---------------------------------------------------------------------------------- */

void cx_queue_asked(struct cx_box *box)
{
	box->place.asked = true;
	box->gw->queue.asking++;
}

/*
 * Who has patience has it also for a host that ran out of something, which comes back as sandboxes
 * end, and for a caissond that stops: the next one goes on.
 */
bool cx_queue_is_not_yet(const struct cx_box *box, const struct cx_err *err)
{
	const bool in_line = box->row.queued_ms != 0;

	return err->kind == CX_BUSY || (err->kind == CX_LIMIT && in_line) ||
	       (err->kind == CX_UNAVAILABLE && (in_line || box->promised));
}

void cx_queue_answered(struct cx_box *box, const struct cx_err *err)
{
	struct cx_queue *q = &box->gw->queue;

	q->asking--;
	box->place.asked = false;
	if (err != NULL && (err->kind == CX_UNAVAILABLE || cx_queue_is_not_yet(box, err))) {
		/* From now on only the first is asked for: none behind it may pass. */
		q->window = 1;
		q->why = *err;
		return;
	}
	if (box->place.waits)
		take_out(q, box);
	if (err == NULL)
		q->window = q->first == NULL || q->window > CX_QUEUE_ASKING_MAX / 2
				    ? CX_QUEUE_ASKING_MAX
				    : 2 * q->window;
	cx_queue_look(box->gw);
}

/* ---- looking --------------------------------------------------------------------------------- */

unsigned cx_queue_position(const struct cx_gateway *gw, const struct cx_sandbox_row *row)
{
	unsigned position = 0;

	if (row->queued_ms == 0)
		return 0;
	for (const struct cx_box *box = gw->queue.first; box != NULL; box = box->place.next) {
		position++;
		if (box->row.row == row->row)
			return position;
	}
	return 0;
}

int64_t cx_queue_age_ms(const struct cx_gateway *gw)
{
	return gw->queue.first != NULL ? cx_wall_ms() - gw->queue.first->row.queued_ms : 0;
}
