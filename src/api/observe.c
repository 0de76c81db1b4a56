/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "api/gateway.h"
#include "api/handlers.h"
#include "api/jsonw.h"
#include "api/metrics.h"
#include "api/room.h"

/* Is it up, is it ready, what has it done: for whoever watches the engine. */
enum { METRICS_MAX = 4 << 20 };

struct question { /* to caissond, for a request */
	struct cx_engine_call call;
	struct cx_request *req;
	struct cx_msg_counted counted; /* the first answer */
	bool up;
};

static int ask(struct cx_request *req,
	       void (*done)(struct cx_engine_call *call, struct cx_engine_answer *answer,
			    const struct cx_err *err),
	       struct cx_err *err)
{
	cx_autofree struct question *question = calloc(1, sizeof *question);

	if (question == NULL)
		return cx_fail(err, ENOMEM, "request");
	question->req = req;
	question->call.done = done;
	if (cx_engine_count(req->gateway->engine, &question->call, err) < 0)
		return -err->errnum;
	(void)cx_take_ptr(&question);
	return 0;
}

static struct cx_request *take_request(struct cx_engine_call *call)
{
	struct question *question = cx_container_of(call, struct question, call);
	struct cx_request *req = question->req;

	free(question);
	return req;
}

static void answer_status(struct cx_request *req, const char *status, const char *disks)
{
	struct cx_buf json = { .max = 96 };
	struct cx_jsonw w = { .out = &json };

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "status", status);
	if (disks != NULL)
		cx_jsonw_text(&w, "disks", disks);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

void cx_handle_health(struct cx_request *req)
{
	answer_status(req, "ok", NULL);
}

/* ---- /readyz -------------------------------------------------------------------------------- */

/* Why it is not is for the log: who asks here may be anybody. */
static void refuse(struct cx_request *req)
{
	struct cx_err err;

	(void)cx_refuse(&err, CX_UNAVAILABLE, "the engine does not answer");
	cx_request_fail(req, &err);
}

static void on_alive(struct cx_engine_call *call, struct cx_engine_answer *answer,
		     const struct cx_err *err)
{
	struct cx_request *req = take_request(call);

	(void)answer;
	if (err != NULL)
		refuse(req);
	else
		answer_status(req, "ready", req->gateway->host.disks);
}

void cx_handle_ready(struct cx_request *req)
{
	struct cx_err err;

	if (ask(req, on_alive, &err) < 0)
		refuse(req);
}

/* ---- /metrics ------------------------------------------------------------------------------- */

struct report {
	struct cx_buf *out;
	struct cx_err err;
};

static void put(struct report *r, const struct cx_metric *metric, double value)
{
	if (r->err.errnum == 0 && cx_metric_head(r->out, metric, &r->err) == 0)
		(void)!cx_metric_sample(r->out, metric->name, "", value, &r->err);
}

static void put_labelled(struct report *r, const char *name, const char *label, const char *word,
			 double value)
{
	char text[128];

	(void)snprintf(text, sizeof text, "%s=\"%s\"", label, word);
	if (r->err.errnum == 0)
		(void)!cx_metric_sample(r->out, name, text, value, &r->err);
}

static void put_head(struct report *r, const struct cx_metric *metric)
{
	if (r->err.errnum == 0)
		(void)!cx_metric_head(r->out, metric, &r->err);
}

static void put_status(const char *status, int64_t count, void *arg)
{
	put_labelled(arg, "caisson_sandbox_records", "status", status, (double)count);
}

static void put_store(struct report *r, struct cx_store *store)
{
	struct cx_store_totals totals = { 0 };

	put_head(r, &(struct cx_metric){ "caisson_sandbox_records", CX_METRIC_GAUGE,
					 "Sandboxes on record, also ended ones, by status." });
	if (r->err.errnum == 0 && cx_store_status_each(store, put_status, r, &r->err) == 0)
		(void)!cx_store_totals(store, &totals, &r->err);
	put(r,
	    &(struct cx_metric){ "caisson_images", CX_METRIC_GAUGE,
				 "Images, whatever their names." },
	    (double)totals.images);
	put(r, &(struct cx_metric){ "caisson_layers", CX_METRIC_GAUGE, "Layers of all images." },
	    (double)totals.layers);
	put(r,
	    &(struct cx_metric){ "caisson_layer_bytes", CX_METRIC_GAUGE,
				 "Size of all layers on disk." },
	    (double)totals.layer_bytes);
}

static void put_engine(struct report *r, const struct cx_msg_counted *counted)
{
	static const struct cx_metric states = { "caisson_engine_sandboxes", CX_METRIC_GAUGE,
						 "Sandboxes that exist in the kernel, by state; "
						 "blank ones wait to be claimed." };
	const struct cx_msg_counted none = { 0 }, *n = counted != NULL ? counted : &none;

	put(r, &(struct cx_metric){ "caisson_engine_up", CX_METRIC_GAUGE, "Does caissond answer?" },
	    counted != NULL);
	put_head(r, &states);
	put_labelled(r, states.name, "state", "starting", n->starting);
	put_labelled(r, states.name, "state", "blank", n->blank);
	put_labelled(r, states.name, "state", "claiming", n->claiming);
	put_labelled(r, states.name, "state", "running", n->running);
	put_labelled(r, states.name, "state", "ending", n->ending);
	put(r,
	    &(struct cx_metric){ "caisson_gateway_restarts_total", CX_METRIC_COUNTER,
				 "How often caissond had to start its gateway again." },
	    (double)n->gateways);
}

static void put_room(struct report *r, const struct cx_gateway *gw,
		     const struct cx_msg_capacity_is *capacity)
{
	static const struct cx_metric
		promised = { "caisson_host_promised", CX_METRIC_GAUGE,
			     "What limits of sandboxes add up to, by resource; "
			     "cpu in thousandths of a core." },
		limits = { "caisson_host_limit", CX_METRIC_GAUGE,
			   "What may be promised; 0 is no bound." },
		remains = { "caisson_engine_remains", CX_METRIC_GAUGE,
			    "What ended sandboxes left and is being removed: sandboxes, their "
			    "links, 1 while their files are deleted." };
	struct cx_room rows[CX_ROOM_ROWS];

	put(r,
	    &(struct cx_metric){ "caisson_queue_length", CX_METRIC_GAUGE,
				 "Sandboxes that wait for room on the host." },
	    gw->queue.length);
	if (capacity == NULL)
		return;
	cx_room_read(capacity, rows);
	put_head(r, &promised);
	for (size_t i = 0; i < CX_ROOM_ROWS; i++)
		put_labelled(r, promised.name, "resource", rows[i].name, (double)rows[i].promised);
	put_head(r, &limits);
	for (size_t i = 0; i < CX_ROOM_ROWS; i++)
		put_labelled(r, limits.name, "resource", rows[i].name, (double)rows[i].limit);
	put_head(r, &remains);
	put_labelled(r, remains.name, "of", "sandboxes", capacity->remains);
	put_labelled(r, remains.name, "of", "links", capacity->links);
	put_labelled(r, remains.name, "of", "trash", capacity->trash);
}

static int write_report(struct cx_request *req, const struct cx_msg_counted *counted,
			const struct cx_msg_capacity_is *capacity, struct cx_buf *out,
			struct cx_err *err)
{
	struct cx_gateway *gw = req->gateway;
	struct report r = { .out = out };

	put_head(&r, &(struct cx_metric){ "caisson_build_info", CX_METRIC_GAUGE, "Always 1." });
	put_labelled(&r, "caisson_build_info", "version", CX_VERSION, 1);
	put_engine(&r, counted);
	put_room(&r, gw, capacity);
	put_store(&r, gw->store);
	put(&r,
	    &(struct cx_metric){ "caisson_output_bytes", CX_METRIC_GAUGE,
				 "Output of commands that waits in memory for its answer." },
	    (double)gw->output_bytes);
	put(&r,
	    &(struct cx_metric){ "caisson_http_connections", CX_METRIC_GAUGE,
				 "Connections of clients, idle ones too." },
	    cx_request_connections(req));
	if (r.err.errnum == 0)
		(void)!cx_metrics_write(gw->metrics, out, &r.err);
	*err = r.err;
	return -err->errnum;
}

static void on_capacity(struct cx_engine_call *call, struct cx_engine_answer *answer,
			const struct cx_err *err)
{
	struct question *question = cx_container_of(call, struct question, call);
	struct cx_msg_counted counted = question->counted;
	bool up = question->up;
	struct cx_request *req = take_request(call);
	struct cx_buf text = { .max = METRICS_MAX };
	struct cx_err failed;

	(void)err;
	if (write_report(req, up ? &counted : NULL, answer != NULL ? &answer->capacity : NULL,
			 &text, &failed) == 0) {
		cx_request_answer_as(req, "text/plain; version=0.0.4; charset=utf-8", &text);
		return;
	}
	cx_buf_free(&text);
	cx_request_fail(req, &failed);
}

static void on_counted(struct cx_engine_call *call, struct cx_engine_answer *answer,
		       const struct cx_err *err)
{
	struct question *question = cx_container_of(call, struct question, call);
	struct cx_err failed;

	question->up = answer != NULL;
	if (answer != NULL)
		question->counted = answer->counted;
	call->done = on_capacity;
	if (answer == NULL || cx_engine_capacity(question->req->gateway->engine, call, &failed) < 0)
		on_capacity(call, NULL, err);
}

void cx_handle_metrics(struct cx_request *req)
{
	struct cx_err err;

	if (ask(req, on_counted, &err) < 0)
		cx_request_fail(req, &err);
}
