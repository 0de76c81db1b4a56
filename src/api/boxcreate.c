/* SPDX-License-Identifier: Apache-2.0 */
#include "api/box.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "api/budget.h"
#include "api/events.h"
#include "api/imageconfig.h"
#include "api/metrics.h"
#include "api/registries.h"
#include "base/fault.h"
#include "base/log.h"
#include "image/oci.h"

/* ---- creations that clients hear of before they run ------------------------------------------ */

static int begin_row(struct cx_box *box, const char *status, struct cx_err *err)
{
	box->row.exit_code = -1;
	box->row.created_ms = box->row.updated_ms = cx_wall_ms();
	if (cx_box_set(&box->row.status, status, err) < 0)
		return -err->errnum;
	return cx_store_sandbox_insert(box->gw->store, &box->row, err);
}

/* What its client gave to it is kept as one: this, the environment, the command. */
struct wish {
	uint32_t env_len, in_memory;
};

static int keep_wish(struct cx_box *box, struct cx_err *err)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf plain = { .max = CX_SEALED_MAX / 2 };
	struct wish wish = { .env_len = (uint32_t)box->wish.len, .in_memory = box->in_memory };

	if (cx_buf_add(&plain, &wish, sizeof wish, err) < 0 ||
	    cx_buf_add(&plain, box->wish.p, box->wish.len, err) < 0 ||
	    cx_buf_add(&plain, box->start.p, box->start.len, err) < 0)
		return cx_wrap(err, "the environment of the sandbox");
	return cx_seal_put(&box->gw->seal, box->gw->store, box->row.row, &plain, err);
}

static int take_wish(struct cx_box *box, struct cx_err *err)
{
	CX_AUTO(cx_buf_wipe) struct cx_buf plain = { .max = CX_SEALED_MAX };
	int found = cx_seal_get(&box->gw->seal, box->gw->store, box->row.row, &plain, err);
	struct wish wish;

	if (found <= 0)
		return found < 0 ? found : cx_refuse(err, CX_NOT_FOUND, "nothing was kept of it");
	if (plain.len < sizeof wish)
		return cx_refuse(err, CX_INTERNAL, "what was kept of it was cut");
	memcpy(&wish, plain.p, sizeof wish);
	if (wish.env_len > plain.len - sizeof wish)
		return cx_refuse(err, CX_INTERNAL, "what was kept of it was cut");
	box->in_memory = wish.in_memory != 0;
	box->wish.max = box->start.max = CX_SEALED_MAX;
	if (cx_buf_add(&box->wish, plain.p + sizeof wish, wish.env_len, err) < 0)
		return -err->errnum;
	return cx_buf_add(&box->start, plain.p + sizeof wish + wish.env_len,
			  plain.len - sizeof wish - wish.env_len, err);
}

/* As those of caissond look, so that nobody has to tell them apart. */
static int make_id(struct cx_box *box, struct cx_err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t random[12];
	char id[sizeof random + 1] = "";

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return cx_fail(err, errno, "an id");
	for (size_t i = 0; i < sizeof random; i++)
		id[i] = letters[random[i] % (i == 0 ? 26 : 36)];
	if (cx_box_set(&box->row.id, id, err) < 0)
		return -err->errnum;
	cx_box_enter(box);
	return 0;
}

/* From here on it is on record with all that it was given, and its client may hear of it. */
static int promise(struct cx_box *box, struct cx_err *err)
{
	bool is_new = box->row.row == 0;

	if (make_id(box, err) < 0 || cx_box_set(&box->row.status, "PENDING", err) < 0 ||
	    (is_new ? begin_row(box, "PENDING", err)
		    : cx_store_sandbox_update(box->gw->store, &box->row, err)) < 0 ||
	    keep_wish(box, err) < 0)
		return -err->errnum;
	box->promised = true;
	cx_lease_begin(box);
	cx_events_written(box->gw);
	return 0;
}

/* What it is to begin with is read again when it is its turn: many may wait. */
static int stand_in_line(struct cx_box *box, struct cx_err *err)
{
	bool is_new = box->row.queued_ms == 0;

	if (is_new)
		box->row.queued_ms = cx_wall_ms();
	if (!box->promised && promise(box, err) < 0)
		return -err->errnum;
	if (cx_box_set(&box->row.status, "PENDING", err) < 0)
		return -err->errnum;
	if (is_new)
		cx_box_save(box);
	cx_box_forget_config(box);
	cx_queue_enter(box);
	cx_box_tell(&box->running, &box->row, NULL);
	return 0;
}

/* caissond has none now. A place in line is promised to who was promised the sandbox already. */
static int wait_for_room(struct cx_box *box, const struct cx_err *full, struct cx_err *ret_why)
{
	struct cx_err err;

	if (box->gw->queue.max == 0)
		err = *full;
	else if ((box->promised || cx_queue_check(box->gw, box->row.user_id, &err) == 0) &&
		 stand_in_line(box, &err) == 0)
		return 0;
	*ret_why = err;
	return -err.errnum;
}

/* ---- creation ------------------------------------------------------------------------------- */

/* It has all that it was given. What cannot be forgotten now goes at the sandbox's end. */
static void forget_wish(struct cx_box *box)
{
	struct cx_err err;

	if (box->promised && cx_store_sealed_remove(box->gw->store, box->row.row, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "secrets not forgotten", "id", box->row.id, NULL);
}

static void fail(struct cx_box *box, const struct cx_err *why)
{
	box->why = *why;
	cx_box_end(box, NULL);
}

/* Its agent has its configuration, and its policy is in force. */
static void begin_running(struct cx_box *box)
{
	struct cx_err err;

	if (cx_box_set(&box->row.status, "RUNNING", &err) < 0) {
		fail(box, &err);
		return;
	}
	cx_lifetime_begin(box);
	if (cx_store_sandbox_update(box->gw->store, &box->row, &err) < 0) {
		box->row.started_ms = 0;
		fail(box, &err);
		return;
	}
	box->phase = CX_BOX_RUNNING;
	cx_lease_begin(box);
	forget_wish(box);
	cx_lifetime_look(box);
	cx_metrics_created(box->gw->metrics,
			   (uint64_t)(box->row.started_ms - box->row.created_ms) * 1000);
	cx_events_written(box->gw);
	cx_log(CX_LOG_INFO, "sandbox running", "id", box->row.id, "name", box->row.name, NULL);
	cx_box_tell(&box->running, &box->row, NULL);
}

static void on_configured(struct cx_call *call, const struct cx_answer *answer,
			  const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, agent_call);

	(void)answer;
	cx_box_forget_config(box);
	box->configured = true;
	if (err != NULL)
		fail(box, err);
	else if (!box->net.starting)
		begin_running(box);
}

int cx_box_configure(struct cx_box *box, struct cx_err *err)
{
	struct cx_msg_configure plan = { .env = cx_str_of_buf(&box->env),
					 .cwd = cx_str_of(box->cwd),
					 .user = cx_str_of(box->user),
					 .start = cx_str_of_buf(&box->start) };

	box->configuring = true;
	box->agent_call.done = on_configured;
	return cx_session_configure(box->session, &plan, &box->agent_call, err);
}

int cx_box_go_public(struct cx_box *box, struct cx_err *err)
{
	if (!box->configuring)
		return cx_box_configure(box, err);
	if (box->configured)
		begin_running(box);
	return 0;
}

/* Nothing of the image's or the client's runs in it before its policy is in force. */
static int go_on(struct cx_box *box, struct cx_engine_answer *answer, struct cx_err *err)
{
	box->phase = CX_BOX_CONFIGURING;
	if (cx_box_open_session(box, answer, true, err) < 0)
		return -err->errnum;
	return cx_boxnet_begin(box, answer, err);
}

static void on_created(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(call, struct cx_box, engine_call);
	char id[33];

	if (err != NULL && box->promised && cx_engine_is_lost(box->gw->engine))
		return;
	cx_queue_answered(box, err);
	if (err != NULL && box->phase == CX_BOX_CREATING && cx_queue_is_not_yet(box, err) &&
	    wait_for_room(box, err, &box->why) == 0)
		return;
	if (err != NULL) {
		if (box->why.errnum == 0)
			box->why = *err;
		cx_box_finish(box);
		return;
	}
	if (!cx_str_copy(answer->created.id, id, sizeof id)) {
		/* Not named, it cannot be destroyed here; the next adoption will. */
		(void)cx_refuse(&box->why, CX_INTERNAL, "caissond gave the sandbox no id");
		cx_box_finish(box);
		return;
	}
	cx_box_set_word(box, CX_WORD_ENGINE_ID, &box->row.engine_id, id);
	if (box->row.id == NULL)
		cx_box_set_word(box, CX_WORD_ID, &box->row.id, id);
	cx_box_enter(box);
	if (box->phase == CX_BOX_ENDING)
		cx_box_remove(box);
	else if (go_on(box, answer, &box->why) < 0)
		cx_box_end(box, NULL);
}

static int check_platform(const struct cx_image_row *image, struct cx_err *err)
{
	if (strcmp(image->platform, CX_OCI_HOST_PLATFORM) == 0)
		return 0;
	return cx_refuse(err, CX_INVALID, "image '%.200s' is for %s; this host runs %s",
			 image->name, image->platform, CX_OCI_HOST_PLATFORM);
}

static int prepare_config(struct cx_box *box, const struct cx_image_row *image, struct cx_err *err)
{
	CX_AUTO(cx_image_config_clear) struct cx_image_config config = { 0 };

	box->env.max = 131072;
	if (check_platform(image, err) < 0)
		return -err->errnum;
	if (cx_image_config_load(image->config, &config, err) < 0 ||
	    cx_buf_add(&box->env, config.env.p, config.env.len, err) < 0 ||
	    cx_buf_add(&box->env, box->wish.p, box->wish.len, err) < 0)
		return cx_wrap(err, "the environment of image and sandbox");
	box->cwd = cx_take_ptr(&config.cwd);
	box->user = cx_take_ptr(&config.user);
	return 0;
}

static int ask_create(struct cx_box *box, const struct cx_image_row *image, struct cx_err *err)
{
	uint8_t layers[32 * CX_IMAGE_LAYERS_MAX];
	char hostname[64];
	struct cx_msg_create plan = {
		.cpu_milli = (uint32_t)(box->row.cpu_cores * 1000 + 0.5),
		.memory_bytes = cx_spec_memory_bytes(&box->row),
		.pids = (uint32_t)box->row.pids_limit,
		.disk_bytes = cx_spec_disk_bytes(&box->row),
		.in_memory = box->in_memory,
		.layers = { .p = (const char *)layers, .len = 32 * image->nlayers },
	};

	for (unsigned i = 0; i < image->nlayers; i++)
		memcpy(layers + 32 * (size_t)i, image->layers[i].diff_id, 32);
	cx_spec_hostname(box->row.name, hostname);
	plan.hostname = cx_str_of(hostname);
	if (cx_fault_step("ask for a sandbox", err) < 0)
		return -err->errnum;
	box->engine_call.done = on_created;
	box->phase = CX_BOX_CREATING;
	if (cx_boxnet_create(box, &plan, err) < 0)
		return -err->errnum;
	cx_queue_asked(box);
	return 0;
}

static void take_spec(struct cx_box *box, struct cx_spec *spec)
{
	box->row = spec->row;
	spec->row = (struct cx_sandbox_row){ 0 };
	box->in_memory = spec->in_memory;
	box->wish = spec->env;
	spec->env = (struct cx_buf){ 0 };
	box->start = spec->start;
	spec->start = (struct cx_buf){ 0 };
}

static void undo_row(struct cx_box *box)
{
	struct cx_err err;

	if (box->row.row != 0 && cx_store_sandbox_remove(box->gw->store, box->row.row, &err) < 0)
		cx_log_err(CX_LOG_ERROR, &err, "record not removed", NULL);
	cx_box_free(box);
}

/* ---- creation from an image that has to come first ------------------------------------------ */

static int create_pulled(struct cx_box *box, const struct cx_image_row *image, struct cx_err *err)
{
	if (!cx_queue_is_open(box->gw))
		return stand_in_line(box, err);
	if (prepare_config(box, image, err) < 0 ||
	    cx_box_set(&box->row.status, "PROVISIONING", err) < 0)
		return -err->errnum;
	cx_box_save(box);
	return ask_create(box, image, err);
}

/* It stays PENDING until it runs: caissond may say no once more. */
static int create_queued(struct cx_box *box, const struct cx_image_row *image, struct cx_err *err)
{
	return prepare_config(box, image, err) < 0 ? -err->errnum : ask_create(box, image, err);
}

static void on_pulled(struct cx_pull_waiter *waiter, const struct cx_image_row *image,
		      const struct cx_err *err)
{
	struct cx_box *box = cx_container_of(waiter, struct cx_box, pull);

	if (err != NULL) {
		cx_box_mark_failed(box, "IMAGE_PULL_FAILED", err);
		box->why = *err;
	} else if (create_pulled(box, image, &box->why) == 0) {
		return;
	}
	cx_box_finish(box);
}

/* An image that was here already is not asked for again: it may be gone where it came from. */
int cx_box_go_on(struct cx_box *box, struct cx_err *err)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	struct cx_err missing;

	if (take_wish(box, err) < 0)
		return -err->errnum;
	box->phase = CX_BOX_PULLING;
	box->pull.done = on_pulled;
	if ((cx_box_is(box->row.status, "PROVISIONING") || box->row.queued_ms != 0) &&
	    cx_store_image_find(box->gw->store, box->row.image_name, &image, &missing) == 0)
		return box->row.queued_ms != 0 ? create_queued(box, &image, err)
					       : create_pulled(box, &image, err);
	if (cx_box_set(&box->row.status, "PENDING", err) < 0)
		return -err->errnum;
	cx_box_save(box);
	return cx_pull_start(box->gw, box->row.image_name, NULL, NULL, &box->pull, err);
}

/* The client hears of it at once, and sees in its status what becomes of it. */
static int promise_pulled(struct cx_box *box, struct cx_box_waiter *waiter, struct cx_err *err)
{
	box->phase = CX_BOX_PULLING;
	box->pull.done = on_pulled;
	if (promise(box, err) < 0)
		return -err->errnum;
	cx_box_wait_running(box, waiter);
	cx_box_tell(&box->running, &box->row, NULL);
	return 0;
}

/* An image that cannot be had is no reason to refuse: clients expect to see it in the status. */
static int begin_pull(struct cx_box *box, const struct cx_err *missing,
		      struct cx_box_waiter *waiter, struct cx_err *err)
{
	struct cx_err why = *missing;

	/* It will be in line without being asked once more, unless there is none. */
	if (box->gw->queue.max > 0 && cx_queue_check(box->gw, box->row.user_id, err) < 0)
		return -err->errnum;
	if (promise_pulled(box, waiter, err) < 0)
		return -err->errnum;
	if (why.errnum == 0 &&
	    cx_pull_start(box->gw, box->row.image_name, NULL, NULL, &box->pull, &why) == 0)
		return 0;
	on_pulled(&box->pull, NULL, &why);
	return 0;
}

/* 1: it is here and may be used; 0: it has to be pulled, or *ret_missing says why it cannot be. */
static int find_image(struct cx_gateway *gw, const struct cx_spec *spec, struct cx_image_row *ret,
		      struct cx_err *ret_missing, struct cx_err *err)
{
	int r = cx_store_image_find(gw->store, spec->row.image_name, ret, err);

	*ret_missing = (struct cx_err){ 0 };
	if (r < 0 && (err->kind != CX_NOT_FOUND || spec->pull == CX_PULL_NEVER))
		return r;
	if (r < 0 && spec->pull == CX_PULL_MISSING && !cx_registries_enabled(gw->registries))
		*ret_missing = *err;
	return r < 0 || spec->pull == CX_PULL_ALWAYS ? 0 : 1;
}

static int begin_waiting(struct cx_box *box, struct cx_box_waiter *waiter, struct cx_err *err)
{
	if (cx_queue_check(box->gw, box->row.user_id, err) < 0)
		return -err->errnum;
	cx_box_wait_running(box, waiter);
	if (stand_in_line(box, err) == 0)
		return 0;
	box->running = NULL; /* the caller tells its client */
	return -err->errnum;
}

static int begin(struct cx_box *box, const struct cx_image_row *image, struct cx_box_waiter *waiter,
		 struct cx_err *err)
{
	if (prepare_config(box, image, err) < 0)
		return -err->errnum;
	if (!cx_queue_is_open(box->gw))
		return begin_waiting(box, waiter, err);
	if (begin_row(box, "PROVISIONING", err) < 0 || ask_create(box, image, err) < 0)
		return -err->errnum;
	cx_box_wait_running(box, waiter);
	return 0;
}

int cx_box_create(struct cx_gateway *gw, struct cx_spec *spec, struct cx_box_waiter *waiter,
		  struct cx_err *err)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	struct cx_err missing;
	int here = find_image(gw, spec, &image, &missing, err);
	struct cx_box *box;

	if (here < 0)
		return -err->errnum;
	if (spec->row.user_id == NULL)
		return cx_refuse(err, CX_INTERNAL, "a sandbox without an owner");
	if (cx_budget_check(gw->store, &spec->row, err) < 0 ||
	    cx_boxnet_join(gw, &spec->row, NULL, err) < 0)
		return -err->errnum;
	box = cx_box_new(gw);
	if (box == NULL)
		return cx_fail(err, ENOMEM, "sandbox");
	take_spec(box, spec);
	if ((here == 1 ? begin(box, &image, waiter, err) : begin_pull(box, &missing, waiter, err)) <
	    0) {
		undo_row(box);
		return -err->errnum;
	}
	return 0;
}
