/* SPDX-License-Identifier: Apache-2.0 */
#include "api/layerbuild.h"

#include <errno.h>

#include "base/log.h"

enum { ENTRIES_MAX = 4000000 /* of one layer */ };
static const uint64_t layer_bytes_max = (uint64_t)64 << 30;

/* For when no worker has told: how caissond saw them end. */
static int nobody_told(const struct cx_layer_build *b, struct cx_err *err)
{
	if (b->call_err.errnum == 0)
		return cx_refuse(err, CX_INTERNAL, "a worker ended without a report");
	*err = b->call_err;
	return -err->errnum;
}

static int judge(struct cx_layer_build *b, struct cx_err *err)
{
	struct cx_report write = { 0 };
	int reader, writer;

	/* The reader's word first: when it fails, the writer only sees a stream that ends early. */
	reader = cx_word_get(&b->words[0], &b->read, err);
	if (reader < 0)
		return reader;
	writer = cx_word_get(&b->words[1], &write, err);
	if (writer < 0)
		return writer;
	if (reader == 0 || writer == 0 || b->call_err.errnum != 0)
		return nobody_told(b, err);
	return 0;
}

static void one_less(struct cx_layer_build *b)
{
	struct cx_err err;

	if (--b->pending > 0)
		return;
	if (judge(b, &err) == 0) {
		b->done(b, NULL);
		return;
	}
	if (err.errnum == ENOSPC || err.errnum == EDQUOT)
		(void)cx_refuse(&err, CX_LIMIT, "the disk of the state directory is full");
	b->done(b, &err);
}

static void on_reader(struct cx_word *word)
{
	one_less(cx_container_of(word, struct cx_layer_build, words[0]));
}

static void on_writer(struct cx_word *word)
{
	one_less(cx_container_of(word, struct cx_layer_build, words[1]));
}

static void on_built(struct cx_engine_call *call, struct cx_engine_answer *answer,
		     const struct cx_err *err)
{
	struct cx_layer_build *b = cx_container_of(call, struct cx_layer_build, call);

	if (err != NULL) {
		b->call_err = *err;
	} else {
		b->token = answer->layer_built.token;
		b->size_bytes = answer->layer_built.size_bytes & INT64_MAX;
	}
	one_less(b);
}

static int start(struct cx_layer_build *b, int archive, struct cx_err *err)
{
	struct cx_msg_layer_build plan = { .max_bytes = layer_bytes_max,
					   .max_entries = ENTRIES_MAX };
	cx_autofd int read_end = -EBADF, write_end = -EBADF;

	if (cx_word_open(b->gw->loop, &b->words[0], &read_end, err) < 0 ||
	    cx_word_open(b->gw->loop, &b->words[1], &write_end, err) < 0)
		return -err->errnum;
	return cx_engine_layer_build(b->gw->engine, &plan, (int[]){ archive, read_end, write_end },
				     &b->call, err);
}

int cx_layer_build_start(struct cx_gateway *gw, struct cx_layer_build *b, int *archive,
			 struct cx_err *err)
{
	cx_autofd int input = cx_take_fd(archive);

	b->gw = gw;
	b->pending = 3;
	b->words[0].heard = on_reader;
	b->words[1].heard = on_writer;
	b->call.done = on_built;
	if (start(b, input, err) == 0)
		return 0;
	cx_layer_build_drop(b);
	return -err->errnum;
}

static void on_committed(struct cx_engine_call *call, struct cx_engine_answer *answer,
			 const struct cx_err *err)
{
	struct cx_layer_build *b = cx_container_of(call, struct cx_layer_build, call);

	(void)answer;
	b->token = 0; /* spent either way */
	b->done(b, err);
}

int cx_layer_build_commit(struct cx_layer_build *b, const uint8_t diff_id[32], struct cx_err *err)
{
	b->call.done = on_committed;
	return cx_engine_layer_commit(b->gw->engine, b->token, diff_id, &b->call, err);
}

void cx_layer_build_drop(struct cx_layer_build *b)
{
	struct cx_err err;

	cx_engine_forget(&b->call);
	for (size_t i = 0; i < CX_LEN(b->words); i++)
		cx_word_forget(&b->words[i]);
	if (b->token != 0 && cx_engine_layer_abort(b->gw->engine, b->token, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "layer not dropped", NULL);
	b->token = 0;
}
