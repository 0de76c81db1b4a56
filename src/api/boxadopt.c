/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

#include <stdio.h>
#include <string.h>

#include "api/detached.h"
#include "base/log.h"

enum { ADOPT_MS = 3000 }; /* nobody waits longer for a sandbox that does not answer */

static const char anew[] = "the engine was started anew before the sandbox ran; create it again";
static const struct cx_ending pull_lost = { "ERROR", "IMAGE_PULL_FAILED", NULL, anew };
static const struct cx_ending start_lost = { "ERROR", "LOST", NULL, anew };
static const struct cx_ending found_dead = { "ERROR", "LOST", NULL,
					     "the sandbox ended while nobody watched" };

struct cx_adoption { /* freed by the last box that answers */
	struct cx_gateway *gw;
	struct cx_engine_call call;
	void (*ready)(struct cx_gateway *gw, const struct cx_err *err);
	unsigned pending;
	char (*listed)[33];
	size_t nlisted;
	struct cx_timer timer;
	bool failed, told;
};

static void tell_ready(struct cx_adoption *adoption)
{
	cx_timer_clear(&adoption->timer);
	if (!adoption->told)
		adoption->ready(adoption->gw, NULL);
	adoption->told = true;
}

static void waited_enough(struct cx_timer *timer)
{
	tell_ready(cx_container_of(timer, struct cx_adoption, timer));
}

static void count_down(struct cx_adoption *adoption)
{
	if (--adoption->pending > 0)
		return;
	tell_ready(adoption);
	free(adoption->listed);
	free(adoption);
}

void cx_box_adopted(struct cx_box *box)
{
	struct cx_adoption *adoption = box->adoption;

	box->adoption = NULL;
	if (adoption != NULL)
		count_down(adoption);
}

static bool take_listed(struct cx_adoption *adoption, const char *id)
{
	for (size_t i = 0; i < adoption->nlisted; i++)
		if (cx_box_is(adoption->listed[i], id)) {
			adoption->listed[i][0] = '\0';
			return true;
		}
	return false;
}

static void on_listed(struct cx_engine_call *call, const char *id)
{
	struct cx_adoption *adoption = cx_container_of(call, struct cx_adoption, call);
	char(*more)[33];

	more = reallocarray(adoption->listed, adoption->nlisted + 1, sizeof *more);
	if (more == NULL) {
		adoption->failed = true;
		return;
	}
	adoption->listed = more;
	(void)snprintf(more[adoption->nlisted++], sizeof *more, "%s", id);
}

static int copy_row(struct cx_gateway *gw, const char *id, struct cx_box **ret, struct cx_err *err)
{
	struct cx_box *box = cx_box_new(gw);

	if (box == NULL)
		return cx_fail(err, ENOMEM, "sandbox");
	box->phase = CX_BOX_RUNNING;
	if (cx_store_sandbox_by_id(gw->store, id, &box->row, err) != 1) {
		cx_box_free(box);
		return cx_refuse(err, CX_INTERNAL, "the record of sandbox '%.64s' is gone", id);
	}
	cx_box_enter(box);
	*ret = box;
	return 0;
}

static int keep_id(const struct cx_sandbox_row *row, void *arg, struct cx_err *err)
{
	struct cx_buf *ids = arg;

	return cx_buf_add(ids, row->id, strlen(row->id) + 1, err);
}

static int adopt_one(struct cx_adoption *adoption, const char *id, struct cx_err *err)
{
	struct cx_box *box;

	if (copy_row(adoption->gw, id, &box, err) < 0)
		return -err->errnum;
	box->promised = true; /* clients know it */
	cx_lease_begin(box);
	if (box->row.engine_id == NULL && box->row.queued_ms != 0) {
		cx_queue_adopt(box);
		return 0;
	}
	if (box->row.engine_id == NULL && cx_box_go_on(box, &box->why) == 0)
		return 0;
	if (box->row.engine_id == NULL) {
		cx_log_err(CX_LOG_WARNING, &box->why, "sandbox not started", "id", id, NULL);
		cx_box_mark(box, cx_box_is(box->row.status, "PENDING") ? &pull_lost : &start_lost);
		cx_box_finish(box);
		return 0;
	}
	if (!take_listed(adoption, box->row.engine_id)) {
		cx_box_mark(box, &found_dead);
		cx_box_finish(box);
		return 0;
	}
	box->adoption = adoption;
	adoption->pending++;
	if (cx_detached_adopt(adoption->gw, box, err) < 0)
		return -err->errnum;
	cx_box_assert_state(box);
	cx_boxnet_adopt(box);
	cx_box_reach(box);
	return 0;
}

static void destroy_strangers(struct cx_adoption *adoption)
{
	struct cx_err err;

	for (size_t i = 0; i < adoption->nlisted; i++) {
		const char *id = adoption->listed[i];

		if (id[0] == '\0')
			continue;
		cx_log(CX_LOG_WARNING, "a sandbox without a record is destroyed", "id", id, NULL);
		if (cx_engine_destroy(adoption->gw->engine, id, NULL, &err) < 0)
			cx_log_err(CX_LOG_ERROR, &err, "sandbox not destroyed", "id", id, NULL);
	}
}

static int adopt_all(struct cx_adoption *adoption, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf ids = { .max = 64 << 20 };
	struct cx_sandbox_filter live = { .live_only = true };
	struct cx_gateway *gw = adoption->gw;

	if (adoption->failed)
		return cx_fail(err, ENOMEM, "list of sandboxes");
	if (cx_store_sandbox_forget_unborn(gw->store, err) < 0 ||
	    cx_store_sandbox_each(gw->store, &live, keep_id, &ids, err) < 0)
		return -err->errnum;
	CX_STRV_FOREACH (id, cx_str_of_buf(&ids)) {
		if (adopt_one(adoption, id, err) < 0)
			return -err->errnum;
	}
	if (cx_detached_settle(gw, err) < 0)
		return -err->errnum;
	destroy_strangers(adoption);
	cx_queue_adopted(gw);
	return 0;
}

static void on_list_end(struct cx_engine_call *call, struct cx_engine_answer *answer,
			const struct cx_err *err)
{
	struct cx_adoption *adoption = cx_container_of(call, struct cx_adoption, call);
	struct cx_err failed;

	(void)answer;
	if (err == NULL && adopt_all(adoption, &failed) < 0)
		err = &failed;
	if (err != NULL)
		adoption->ready(adoption->gw, err); /* main() ends the process */
	else if (adoption->pending > 1)
		cx_timer_set(adoption->gw->loop, &adoption->timer, ADOPT_MS);
	if (err == NULL && adoption->gw->host.network)
		cx_resolver_release(adoption->gw->resolver); /* each box holds it by itself now */
	if (err == NULL)
		count_down(adoption);
}

int cx_boxes_adopt(struct cx_gateway *gw,
		   void (*ready)(struct cx_gateway *gw, const struct cx_err *err),
		   struct cx_err *err)
{
	struct cx_adoption *adoption = calloc(1, sizeof *adoption);

	if (adoption == NULL)
		return cx_fail(err, ENOMEM, "list of sandboxes");
	*adoption = (struct cx_adoption){
		.gw = gw, .ready = ready, .pending = 1, .timer.fire = waited_enough
	};
	adoption->call.done = on_list_end;
	adoption->call.listed = on_listed;
	if (cx_engine_list(gw->engine, &adoption->call, err) < 0) {
		free(adoption);
		return -err->errnum;
	}
	return 0;
}
