/* SPDX-License-Identifier: Apache-2.0 */
#include "api/workers.h"

/* The first one's word counts most: when it fails, the next only sees a stream that ends early. */
static int judge(struct cx_workers *w, struct cx_err *err)
{
	unsigned silent = 0;

	for (unsigned i = 0; i < w->n; i++) {
		int word = cx_word_get(&w->words[i], &w->reports[i], err);

		if (word < 0)
			return word;
		silent += word == 0;
	}
	if (w->call_err.errnum != 0) {
		*err = w->call_err;
		return -err->errnum;
	}
	return silent == 0 ? 0 : cx_refuse(err, CX_INTERNAL, "a worker ended without a report");
}

static void one_less(struct cx_workers *w)
{
	struct cx_err err;

	if (--w->pending > 0)
		return;
	if (judge(w, &err) == 0)
		w->done(w, NULL);
	else
		w->done(w, &err);
}

static void on_first(struct cx_word *word)
{
	one_less(cx_container_of(word, struct cx_workers, words[0]));
}

static void on_second(struct cx_word *word)
{
	one_less(cx_container_of(word, struct cx_workers, words[1]));
}

static void on_answer(struct cx_engine_call *call, struct cx_engine_answer *answer,
		      const struct cx_err *err)
{
	struct cx_workers *w = cx_container_of(call, struct cx_workers, call);

	if (err != NULL)
		w->call_err = *err;
	else if (w->answered != NULL)
		w->answered(w, answer);
	one_less(w);
}

int cx_workers_open(struct cx_workers *w, struct cx_loop *loop, unsigned n, int *ret_reports,
		    struct cx_err *err)
{
	static void (*const heard[CX_WORKERS_MAX])(struct cx_word * word) = { on_first, on_second };

	w->n = n;
	w->pending = n + 1;
	w->call.done = on_answer;
	for (unsigned i = 0; i < n; i++) {
		w->words[i].heard = heard[i];
		if (cx_word_open(loop, &w->words[i], &ret_reports[i], err) < 0)
			return -err->errnum;
	}
	return 0;
}

void cx_workers_forget(struct cx_workers *w)
{
	cx_engine_forget(&w->call);
	for (unsigned i = 0; i < w->n; i++)
		cx_word_forget(&w->words[i]);
}
