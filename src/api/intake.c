/* SPDX-License-Identifier: Apache-2.0 */
#include "api/intake.h"

#include <stdio.h>
#include <string.h>

#include "api/blobs.h"
#include "api/imageconfig.h"
#include "api/layerbuild.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/list.h"

enum { PARALLEL = 4 /* layers of one image */ };

enum state { TODO, ASKING, BUILDING, COMMITTING, THERE };

struct layer {
	struct cx_intake *intake;
	enum state state;
	struct cx_engine_call call;   /* is it in the store? */
	struct cx_layer_build *build; /* NULL: there is nothing to build so far */
	int64_t size_bytes;
};

struct cx_intake {
	struct cx_gateway *gw;
	const struct cx_intake_ops *ops;
	void *arg;
	struct cx_oci_image plan;
	bool tree;
	unsigned skipped;
	struct cx_intake *next, **link; /* of all under way */
	struct cx_timer timer;		/* the first step, so that nothing is told at once */
	struct layer layers[CX_OCI_LAYERS_MAX];
};

static void go_on(struct cx_intake *intake);

/* ---- memory --------------------------------------------------------------------------------- */

int cx_intake_new(struct cx_gateway *gw, const struct cx_intake_ops *ops, void *arg,
		  struct cx_intake **ret, struct cx_err *err)
{
	struct cx_intake *intake = calloc(1, sizeof *intake);

	if (intake == NULL)
		return cx_fail(err, ENOMEM, "image");
	intake->gw = gw;
	intake->ops = ops;
	intake->arg = arg;
	cx_list_add(&gw->intakes, intake);
	*ret = intake;
	return 0;
}

static void stop(struct cx_intake *intake)
{
	cx_timer_clear(&intake->timer);
	for (unsigned i = 0; i < intake->plan.nlayers; i++) {
		cx_engine_forget(&intake->layers[i].call);
		if (intake->layers[i].build != NULL)
			cx_layer_build_drop(intake->layers[i].build);
	}
}

void cx_intake_free(struct cx_intake *intake)
{
	if (intake == NULL)
		return;
	stop(intake);
	for (unsigned i = 0; i < intake->plan.nlayers; i++)
		free(intake->layers[i].build);
	cx_list_remove(intake);
	cx_oci_image_clear(&intake->plan);
	free(intake);
}

struct cx_oci_image *cx_intake_plan(struct cx_intake *intake)
{
	return &intake->plan;
}

unsigned cx_intake_skipped(const struct cx_intake *intake)
{
	return intake->skipped;
}

bool cx_intakes_hold_layer(const struct cx_gateway *gw, const uint8_t diff_id[32])
{
	for (const struct cx_intake *in = gw->intakes; in != NULL; in = in->next)
		for (unsigned i = 0; i < in->plan.nlayers; i++)
			if (memcmp(in->plan.layers[i].diff_id, diff_id, 32) == 0)
				return true;
	return false;
}

bool cx_intakes_hold_blob(const struct cx_gateway *gw, const uint8_t id[32])
{
	for (const struct cx_intake *in = gw->intakes; in != NULL; in = in->next) {
		if (memcmp(in->plan.manifest_id, id, 32) == 0 ||
		    memcmp(in->plan.config_id, id, 32) == 0)
			return true;
		for (unsigned i = 0; i < in->plan.nlayers; i++)
			if (memcmp(in->plan.layers[i].blob_id, id, 32) == 0)
				return true;
	}
	return false;
}

/* ---- a layer -------------------------------------------------------------------------------- */

static unsigned index_of(const struct layer *layer)
{
	return (unsigned)(layer - layer->intake->layers);
}

static struct cx_oci_layer *planned(const struct layer *layer)
{
	return &layer->intake->plan.layers[index_of(layer)];
}

static void fail_layer(struct layer *layer, struct cx_err *err)
{
	struct cx_intake *intake = layer->intake;

	(void)cx_wrap(err, "layer %u", index_of(layer) + 1);
	stop(intake);
	intake->ops->layers(intake->arg, err);
}

static void enter(struct layer *layer, enum cx_intake_phase phase)
{
	struct cx_intake *intake = layer->intake;

	if (intake->ops->phase != NULL)
		intake->ops->phase(intake->arg, index_of(layer), phase);
}

static int note(struct layer *layer, struct cx_err *err)
{
	struct cx_layer_row row = { .size_bytes = layer->size_bytes };

	memcpy(row.diff_id, planned(layer)->diff_id, 32);
	return cx_store_layer_note(layer->intake->gw->store, &row, err);
}

static void on_committed(struct cx_layer_build *build, const struct cx_err *err)
{
	struct layer *layer = build->owner;
	struct cx_err failed;

	if (err != NULL) {
		failed = *err;
		fail_layer(layer, &failed);
		return;
	}
	layer->state = THERE;
	enter(layer, CX_INTAKE_DONE);
	go_on(layer->intake);
}

/* Of a tree of files nobody said what its digests should be: they are what they are. */
static int check(struct layer *layer, struct cx_err *err)
{
	struct cx_oci_layer *plan = planned(layer);
	const struct cx_report *read = &layer->build->workers.reports[0];

	if (layer->intake->tree) {
		if (read->kind == CX_REPORT_IMAGE)
			return cx_refuse(err, CX_INVALID,
					 "the archive holds an OCI image layout, but other files "
					 "beside it; pack the layout alone");
		memcpy(plan->diff_id, read->diff_id, 32);
		memcpy(plan->blob_id, read->blob_id, 32);
		plan->blob_bytes = read->blob_bytes;
		return 0;
	}
	if (memcmp(plan->diff_id, read->diff_id, 32) != 0)
		return cx_refuse(err, CX_INVALID,
				 "its content does not have the diff id that the image's "
				 "configuration names");
	if (!layer->build->blob_is_known && memcmp(plan->blob_id, read->blob_id, 32) != 0)
		return cx_refuse(err, CX_INVALID, "it does not have the digest of its descriptor");
	return 0;
}

static void on_built(struct cx_layer_build *build, const struct cx_err *err)
{
	struct layer *layer = build->owner;
	struct cx_err failed;

	layer->size_bytes = (int64_t)build->size_bytes;
	layer->state = COMMITTING;
	build->done = on_committed;
	if (err != NULL)
		failed = *err;
	else if (check(layer, &failed) == 0 && note(layer, &failed) == 0 &&
		 cx_layer_build_commit(build, planned(layer)->diff_id, &failed) == 0) {
		layer->intake->skipped += build->workers.reports[0].skipped;
		return;
	}
	fail_layer(layer, &failed);
}

static int start_build(struct layer *layer, struct cx_err *err)
{
	struct cx_intake *intake = layer->intake;
	int fd = -EBADF;

	if (intake->ops->open(intake->arg, index_of(layer), &fd, err) < 0)
		return -err->errnum;
	layer->build = calloc(1, sizeof *layer->build);
	if (layer->build == NULL) {
		cx_close(&fd);
		return cx_fail(err, ENOMEM, "layer");
	}
	layer->build->done = on_built;
	layer->build->owner = layer;
	return cx_layer_build_start(intake->gw, layer->build, &fd, err);
}

/* May tell at once that it has failed. */
static void join_build(struct layer *layer)
{
	struct cx_layer_build *build = layer->build;

	build->done = on_built;
	build->owner = layer;
	if (build->built)
		on_built(build, build->why.errnum != 0 ? &build->why : NULL);
}

static int build(struct layer *layer, struct cx_err *err)
{
	struct cx_intake *intake = layer->intake;

	layer->state = BUILDING;
	enter(layer, CX_INTAKE_UNPACKING);
	if (intake->ops->begun != NULL)
		layer->build = intake->ops->begun(intake->arg, index_of(layer));
	if (layer->build == NULL)
		return start_build(layer, err);
	join_build(layer);
	return 0;
}

static void on_stat(struct cx_engine_call *call, struct cx_engine_answer *answer,
		    const struct cx_err *err)
{
	struct layer *layer = cx_container_of(call, struct layer, call);
	struct cx_err failed;

	if (err != NULL && err->kind == CX_NOT_FOUND) {
		if (build(layer, &failed) == 0)
			return;
	} else if (err != NULL) {
		failed = *err;
	} else { /* it is here, shared with another image */
		layer->size_bytes = (int64_t)(answer->layer_info.size_bytes & INT64_MAX);
		if (note(layer, &failed) == 0) {
			layer->state = THERE;
			enter(layer, CX_INTAKE_EXISTS);
			go_on(layer->intake);
			return;
		}
	}
	fail_layer(layer, &failed);
}

static int begin(struct layer *layer, struct cx_err *err)
{
	struct cx_intake *intake = layer->intake;

	if (intake->tree) /* its name is known only when it is read */
		return build(layer, err);
	layer->state = ASKING;
	layer->call.done = on_stat;
	return cx_engine_layer_stat(intake->gw->engine, planned(layer)->diff_id, &layer->call, err);
}

/* ---- all of them ---------------------------------------------------------------------------- */

/* The same layer twice, as empty ones are: built once, by the first. */
static struct layer *first_of(struct cx_intake *intake, unsigned i)
{
	unsigned first = 0;

	while (!intake->tree && first < i &&
	       memcmp(intake->plan.layers[first].diff_id, intake->plan.layers[i].diff_id, 32) != 0)
		first++;
	return &intake->layers[intake->tree ? i : first];
}

static void go_on(struct cx_intake *intake)
{
	unsigned busy = 0, there = 0;
	struct cx_err err;

	for (unsigned i = 0; i < intake->plan.nlayers; i++) {
		struct layer *layer = first_of(intake, i);

		if (layer != &intake->layers[i]) {
			there += layer->state == THERE;
			continue;
		}
		if (layer->state == TODO && busy < PARALLEL && begin(layer, &err) < 0) {
			fail_layer(layer, &err);
			return;
		}
		there += layer->state == THERE;
		busy += layer->state != THERE && layer->state != TODO;
	}
	if (there == intake->plan.nlayers)
		intake->ops->layers(intake->arg, NULL);
}

static void start(struct cx_timer *timer)
{
	go_on(cx_container_of(timer, struct cx_intake, timer));
}

void cx_intake_start(struct cx_intake *intake, bool tree)
{
	intake->tree = tree;
	for (unsigned i = 0; i < intake->plan.nlayers; i++)
		intake->layers[i].intake = intake;
	intake->timer.fire = start; /* nothing is told inside of this call */
	cx_timer_set(intake->gw->loop, &intake->timer, 0);
}

/* ---- the record ----------------------------------------------------------------------------- */

static int describe(const struct cx_oci_image *plan, char **ret, struct cx_err *err)
{
	char cwd[sizeof plan->cwd], user[sizeof plan->user];
	struct cx_image_config config = { .env = plan->env,
					  .entrypoint = plan->entrypoint,
					  .cmd = plan->cmd,
					  .cwd = cwd,
					  .user = user };

	memcpy(cwd, plan->cwd, sizeof cwd);
	memcpy(user, plan->user, sizeof user);
	return cx_image_config_dump(&config, ret, err);
}

static void fill_layers(struct cx_intake *intake, struct cx_image_row *row)
{
	for (unsigned i = 0; i < intake->plan.nlayers; i++) {
		const struct cx_oci_layer *plan = &intake->plan.layers[i];
		const struct layer *layer = first_of(intake, i);
		struct cx_layer_row *to = &row->layers[row->nlayers++];

		memcpy(to->diff_id, plan->diff_id, 32);
		memcpy(to->blob_id, plan->blob_id, 32);
		to->blob_bytes = (int64_t)plan->blob_bytes;
		to->size_bytes = layer->size_bytes;
		(void)snprintf(to->media_type, sizeof to->media_type, "%s", plan->media_type);
		row->size_bytes += layer == &intake->layers[i] ? layer->size_bytes : 0;
	}
}

static int fill(struct cx_intake *intake, const char *name, struct cx_image_row *row,
		struct cx_err *err)
{
	const struct cx_oci_image *plan = &intake->plan;

	row->name = strdup(name);
	row->manifest_type = strdup(plan->manifest_type);
	row->platform = strdup(plan->platform);
	row->layers = calloc(CX_IMAGE_LAYERS_MAX, sizeof *row->layers);
	if (row->name == NULL || row->manifest_type == NULL || row->platform == NULL ||
	    row->layers == NULL)
		return cx_fail(err, ENOMEM, "image");
	memcpy(row->manifest_id, plan->manifest_id, 32);
	memcpy(row->config_id, plan->config_id, 32);
	row->created_ms = cx_wall_ms();
	fill_layers(intake, row);
	return describe(plan, &row->config, err);
}

int cx_intake_record(struct cx_intake *intake, const char *name, struct cx_image_row *ret,
		     struct cx_err *err)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row row = { 0 };
	struct cx_gateway *gw = intake->gw;

	if (fill(intake, name, &row, err) < 0 ||
	    cx_blob_put(&gw->blobs, &intake->plan.config, intake->plan.config_id, err) < 0 ||
	    cx_blob_put(&gw->blobs, &intake->plan.manifest, intake->plan.manifest_id, err) < 0 ||
	    cx_fault_step("image", err) < 0 || cx_store_image_put(gw->store, &row, err) < 0)
		return -err->errnum;
	return cx_store_image_find(gw->store, name, ret, err); /* with what is known only there */
}
