/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "api/flow.h"
#include "api/handlers.h"
#include "api/images.h"
#include "api/json.h"
#include "api/pull.h"
#include "api/push.h"

/* POST /images/pull and /images/push: a flow of events, the last of which is the image or an error.
 */
enum { LINE_BYTES_MAX = 4096, ANSWER_MAX = 4 << 20 };

/* ---- what both say -------------------------------------------------------------------------- */

struct layer_line {
	unsigned index;
	const uint8_t *blob_id;
	const char *phase;
	uint64_t bytes, total;
	bool passing;
};

static void say_layer(struct cx_flow *flow, const struct layer_line *l)
{
	CX_AUTO(cx_buf_free) struct cx_buf line = { .max = LINE_BYTES_MAX };
	struct cx_jsonw w = { .out = &line };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "status", "layer");
	cx_jsonw_int(&w, "index", l->index);
	cx_image_present_id(&w, "digest", l->blob_id);
	cx_jsonw_text(&w, "phase", l->phase);
	cx_jsonw_int(&w, "bytes", (int64_t)l->bytes);
	cx_jsonw_int(&w, "total", (int64_t)l->total);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, &err) == 0)
		cx_flow_line(flow, line.p, line.len, l->passing);
}

static void say_resolving(struct cx_flow *flow, const char *image)
{
	CX_AUTO(cx_buf_free) struct cx_buf line = { .max = LINE_BYTES_MAX };
	struct cx_jsonw w = { .out = &line };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "status", "resolving");
	cx_jsonw_text(&w, "image", image);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, &err) == 0)
		cx_flow_line(flow, line.p, line.len, false);
}

static void say_done(struct cx_flow *flow, const struct cx_image_row *image)
{
	CX_AUTO(cx_buf_free) struct cx_buf line = { .max = ANSWER_MAX };
	struct cx_jsonw w = { .out = &line };
	struct cx_err err;

	cx_jsonw_object(&w, NULL);
	cx_jsonw_text(&w, "status", "done");
	cx_jsonw_object(&w, "image");
	cx_image_present(&w, image);
	cx_jsonw_end(&w);
	cx_jsonw_end(&w);
	if (cx_jsonw_finish(&w, &err) == 0)
		cx_flow_last(flow, line.p, line.len);
	else
		cx_flow_fail(flow, &err);
}

/* ---- what both are asked -------------------------------------------------------------------- */

struct asked { /* texts live as long as doc */
	struct json_t *doc;
	const char *image, *to, *policy, *platform;
	bool has_login;
	struct cx_login login;
};

static int parse_login(const struct json_t *doc, struct asked *a, struct cx_err *err)
{
	const char *username = NULL, *password = NULL;

	if (cx_json_text(doc, "username", CX_LOGIN_NAME_MAX, &username, err) < 0 ||
	    cx_json_text(doc, "password", CX_LOGIN_TOKEN_MAX, &password, err) < 0)
		return -err->errnum;
	if (username == NULL && password == NULL)
		return 0;
	a->has_login = true;
	return cx_login_set(&a->login, username != NULL ? username : "",
			    password != NULL ? password : "", err);
}

static int parse(const struct cx_request *req, struct asked *a, struct cx_err *err)
{
	if (cx_json_parse_object(req->body.p, req->body.len, &a->doc, err) < 0 ||
	    cx_json_text(a->doc, "image", CX_IMAGE_NAME_MAX, &a->image, err) < 0 ||
	    cx_json_text(a->doc, "to", CX_IMAGE_NAME_MAX, &a->to, err) < 0 ||
	    cx_json_text(a->doc, "policy", 16, &a->policy, err) < 0 ||
	    cx_json_text(a->doc, "platform", 64, &a->platform, err) < 0 ||
	    parse_login(a->doc, a, err) < 0)
		return -err->errnum;
	if (a->image == NULL)
		return cx_refuse(err, CX_INVALID, "'image' is missing: the name of an image");
	if (a->policy != NULL && strcmp(a->policy, "always") != 0 &&
	    strcmp(a->policy, "missing") != 0)
		return cx_refuse(err, CX_INVALID, "'policy' is 'always' or 'missing', not '%.16s'",
				 a->policy);
	return 0;
}

static void asked_clear(struct asked *a)
{
	cx_json_free(&a->doc);
	cx_login_wipe(&a->login);
}

/* ---- pull ----------------------------------------------------------------------------------- */

struct pulling {
	struct cx_pull_waiter waiter;
	struct cx_flow *flow;
};

static void pull_event(struct cx_pull_waiter *waiter, const struct cx_pull_event *event)
{
	struct pulling *p = cx_container_of(waiter, struct pulling, waiter);
	struct layer_line line = { .index = event->layer,
				   .blob_id = event->blob_id,
				   .phase = cx_pull_phase_name(event->phase),
				   .bytes = event->bytes,
				   .total = event->total,
				   .passing = event->phase == CX_PULL_DOWNLOADING };

	say_layer(p->flow, &line);
}

static void pull_done(struct cx_pull_waiter *waiter, const struct cx_image_row *image,
		      const struct cx_err *err)
{
	struct pulling *p = cx_container_of(waiter, struct pulling, waiter);

	if (err != NULL)
		cx_flow_fail(p->flow, err);
	else
		say_done(p->flow, image);
	free(p);
}

static void pull_client_gone(void *arg)
{
	struct pulling *p = arg;

	cx_pull_leave(&p->waiter);
	cx_flow_cut(p->flow);
	free(p);
}

/* 1: the image is there already, and *ret says what it is. */
static int find_here(struct cx_gateway *gw, const struct asked *a, struct cx_image_row *ret,
		     struct cx_err *err)
{
	char name[CX_IMAGE_NAME_MAX + 1];

	if (a->policy == NULL || strcmp(a->policy, "missing") != 0)
		return 0;
	if (cx_image_name(a->image, "image", gw->host.registry, name, err) < 0)
		return -err->errnum;
	if (cx_store_image_find(gw->store, name, ret, err) == 0)
		return 1;
	return err->kind == CX_NOT_FOUND ? 0 : -err->errnum;
}

static int start_pull(struct cx_request *req, struct pulling *p, struct cx_err *err)
{
	CX_AUTO(asked_clear) struct asked a = { 0 };
	CX_AUTO(cx_image_row_clear) struct cx_image_row here = { 0 };
	int found;

	if (parse(req, &a, err) < 0)
		return -err->errnum;
	found = find_here(req->gateway, &a, &here, err);
	if (found < 0)
		return found;
	if (found == 0 && cx_pull_start(req->gateway, a.image, a.platform,
					a.has_login ? &a.login : NULL, &p->waiter, err) < 0)
		return -err->errnum;
	if (cx_flow_lines(req, pull_client_gone, p, &p->flow, err) < 0) {
		cx_pull_leave(&p->waiter);
		return -err->errnum;
	}
	if (found == 0) {
		say_resolving(p->flow, a.image);
		return 0;
	}
	say_done(p->flow, &here);
	free(p);
	return 0;
}

void cx_handle_image_pull(struct cx_request *req)
{
	struct pulling *p = calloc(1, sizeof *p);
	struct cx_err err;

	if (p == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		cx_request_fail(req, &err);
		return;
	}
	p->waiter.done = pull_done;
	p->waiter.event = pull_event;
	if (start_pull(req, p, &err) < 0) {
		cx_request_fail(req, &err);
		free(p);
	}
}

/* ---- push ----------------------------------------------------------------------------------- */

struct pushing {
	struct cx_gateway *gw;
	struct cx_push *push;
	struct cx_flow *flow;
	char name[CX_IMAGE_NAME_MAX + 1];
};

static void push_event(void *arg, const struct cx_push_event *event)
{
	static const char *const phases[] = { [CX_PUSH_UPLOADING] = "uploading",
					      [CX_PUSH_EXISTS] = "exists",
					      [CX_PUSH_DONE] = "done" };
	struct pushing *p = arg;
	struct layer_line line = { .index = event->index,
				   .blob_id = event->blob_id,
				   .phase = phases[event->phase],
				   .bytes = event->bytes,
				   .total = event->total,
				   .passing = event->phase == CX_PUSH_UPLOADING };

	say_layer(p->flow, &line);
}

static void push_done(void *arg, const struct cx_err *err)
{
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	struct pushing *p = arg;
	struct cx_err failed;

	if (err != NULL)
		cx_flow_fail(p->flow, err);
	else if (cx_store_image_find(p->gw->store, p->name, &image, &failed) < 0)
		cx_flow_fail(p->flow, &failed); /* its name went meanwhile */
	else
		say_done(p->flow, &image);
	free(p);
}

static const struct cx_push_ops push_ops = { push_event, push_done };

static void push_client_gone(void *arg)
{
	struct pushing *p = arg;

	cx_push_cancel(p->push);
	cx_flow_cut(p->flow);
	free(p);
}

static int start_push(struct cx_request *req, struct pushing *p, struct cx_err *err)
{
	CX_AUTO(asked_clear) struct asked a = { 0 };
	CX_AUTO(cx_image_row_clear) struct cx_image_row image = { 0 };
	struct cx_gateway *gw = req->gateway;

	if (parse(req, &a, err) < 0 ||
	    cx_image_name(a.image, "image", gw->host.registry, p->name, err) < 0 ||
	    cx_store_image_find(gw->store, p->name, &image, err) < 0 ||
	    cx_push_start(gw, &image, a.to, a.has_login ? &a.login : NULL, &push_ops, p, &p->push,
			  err) < 0)
		return -err->errnum;
	if (cx_flow_lines(req, push_client_gone, p, &p->flow, err) < 0) {
		cx_push_cancel(p->push);
		return -err->errnum;
	}
	say_resolving(p->flow, a.to != NULL ? a.to : p->name);
	return 0;
}

void cx_handle_image_push(struct cx_request *req)
{
	struct pushing *p = calloc(1, sizeof *p);
	struct cx_err err;

	if (p == NULL) {
		(void)cx_fail(&err, ENOMEM, "request");
		cx_request_fail(req, &err);
		return;
	}
	p->gw = req->gateway;
	if (start_push(req, p, &err) < 0) {
		cx_request_fail(req, &err);
		free(p);
	}
}
