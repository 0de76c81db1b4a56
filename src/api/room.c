/* SPDX-License-Identifier: Apache-2.0 */
#include "api/room.h"

#include <stdlib.h>

#include "api/boxes.h"
#include "api/handlers.h"
#include "api/jsonw.h"

struct question { /* to caissond, for a request */
	struct cx_engine_call call;
	struct cx_request *req;
};

void cx_room_read(const struct cx_msg_capacity_is *m, struct cx_room ret[CX_ROOM_ROWS])
{
#define ROW(name, unit)                                                           \
	{                                                                         \
#name, unit, m->name##_total, m->name##_reserve, m->name##_limit, \
			m->name##_promised, m->name##_left                        \
	}
	const struct cx_room rows[CX_ROOM_ROWS] = {
		ROW(sandboxes, "count"), ROW(cpu, "thousandths of a core"),
		ROW(memory, "bytes"),	 ROW(disk, "bytes"),
		ROW(pids, "count"),	 ROW(files, "count"),
	};
#undef ROW

	for (size_t i = 0; i < CX_ROOM_ROWS; i++)
		ret[i] = rows[i];
}

static void write_or_null(struct cx_jsonw *w, const char *key, uint64_t value, uint64_t nothing)
{
	if (value == nothing)
		cx_jsonw_null(w, key);
	else
		cx_jsonw_int(w, key, value < INT64_MAX ? (int64_t)value : INT64_MAX);
}

static void write_queue(struct cx_jsonw *w, const struct cx_gateway *gw)
{
	cx_jsonw_object(w, "queue");
	cx_jsonw_int(w, "length", gw->queue.length);
	cx_jsonw_int(w, "max", gw->queue.max);
	cx_jsonw_int(w, "wait_s", (int64_t)(gw->queue.wait_ms / 1000));
	cx_jsonw_int(w, "oldest_ms", cx_queue_age_ms(gw));
	cx_jsonw_text(w, "why", gw->queue.first != NULL ? gw->queue.why.msg : NULL);
	cx_jsonw_end(w);
}

static void write_remains(struct cx_jsonw *w, const struct cx_msg_capacity_is *m)
{
	cx_jsonw_object(w, "remains");
	cx_jsonw_int(w, "sandboxes", m->remains);
	cx_jsonw_int(w, "links", m->links);
	cx_jsonw_int(w, "trash", m->trash);
	cx_jsonw_end(w);
}

static void on_capacity(struct cx_engine_call *call, struct cx_engine_answer *answer,
			const struct cx_err *err)
{
	struct question *question = cx_container_of(call, struct question, call);
	struct cx_request *req = question->req;
	struct cx_buf json = { .max = 8192 };
	struct cx_jsonw w = { .out = &json };
	struct cx_room rows[CX_ROOM_ROWS];

	free(question);
	if (err != NULL) {
		cx_request_fail(req, err);
		return;
	}
	cx_room_read(&answer->capacity, rows);
	cx_jsonw_object(&w, NULL);
	cx_jsonw_array(&w, "resources");
	for (size_t i = 0; i < CX_ROOM_ROWS; i++) {
		cx_jsonw_object(&w, NULL);
		cx_jsonw_text(&w, "name", rows[i].name);
		cx_jsonw_text(&w, "unit", rows[i].unit);
		write_or_null(&w, "total", rows[i].total, UINT64_MAX);
		write_or_null(&w, "reserve", rows[i].reserve, UINT64_MAX);
		write_or_null(&w, "limit", rows[i].limit, 0);
		write_or_null(&w, "promised", rows[i].promised, UINT64_MAX);
		write_or_null(&w, "left", rows[i].left, UINT64_MAX);
		cx_jsonw_end(&w);
	}
	cx_jsonw_end(&w);
	write_remains(&w, &answer->capacity);
	write_queue(&w, req->gateway);
	cx_jsonw_end(&w);
	cx_request_answer_json(req, &w);
}

static int ask(struct cx_request *req, struct cx_err *err)
{
	cx_autofree struct question *question = calloc(1, sizeof *question);

	if (question == NULL)
		return cx_fail(err, ENOMEM, "request");
	question->req = req;
	question->call.done = on_capacity;
	if (cx_engine_capacity(req->gateway->engine, &question->call, err) < 0)
		return -err->errnum;
	(void)cx_take_ptr(&question);
	return 0;
}

void cx_handle_room(struct cx_request *req)
{
	struct cx_err err;

	if (ask(req, &err) < 0)
		cx_request_fail(req, &err);
}
