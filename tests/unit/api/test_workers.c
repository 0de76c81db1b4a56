/* SPDX-License-Identifier: Apache-2.0 */
/* What two workers and caissond say, in any order, becomes one word. */
#include "api/workers.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/fd.h"
#include "check_main.h"

static struct cx_loop loop;
static struct cx_workers workers;
static struct cx_err err, heard;
static int reports[2];
static unsigned calls;

static void done(struct cx_workers *w, const struct cx_err *why)
{
	ck_assert_ptr_eq(w, &workers);
	calls++;
	heard = why != NULL ? *why : (struct cx_err){ 0 };
	loop.stop = true;
}

static void begin(void)
{
	calls = 0;
	workers = (struct cx_workers){ .done = done };
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(cx_workers_open(&workers, &loop, 2, reports, &err), 0);
}

static void end(void)
{
	cx_workers_forget(&workers);
	cx_workers_forget(&workers); /* does no harm */
	cx_close(&reports[0]);
	cx_close(&reports[1]);
	cx_loop_close(&loop);
}

/* '+': well; '-': it failed; 'p': its pipe broke; ' ': it died. */
static void report(unsigned which, char how)
{
	struct cx_report r = { .ok = how == '+', .entries = which + 7 };
	uint8_t bytes[CX_REPORT_SIZE];

	if (how == '-')
		(void)cx_refuse(&r.err, CX_LIMIT, "worker %u", which);
	if (how == 'p')
		(void)cx_fail(&r.err, EPIPE, "worker %u", which);
	cx_report_encode(&r, bytes);
	if (how != ' ')
		ck_assert_int_eq(cx_write_all(reports[which], bytes, sizeof bytes, &err), 0);
	cx_close(&reports[which]);
}

static const struct {
	const char *words; /* of the two workers, and of caissond */
	const char *says;  /* NULL: all is well */
} rows[] = {
	{ "+++", NULL },
	{ "-++", "worker 0" },
	{ "+-+", "worker 1" },
	{ "--+", "worker 0" },
	{ "p-+", "worker 1" },
	{ "-p-", "worker 0" },
	{ "++-", "caissond" },
	{ "  -", "caissond" },
	{ " -+", "worker 1" },
	{ "+ +", "without a report" },
	{ "p++", "without a report" },
};

static void answer(char how)
{
	struct cx_err why = { 0 };

	if (how == '-')
		(void)cx_refuse(&why, CX_CONFLICT, "caissond");
	workers.call.done(&workers.call, NULL, how == '-' ? &why : NULL);
}

static void expect(const char *says)
{
	ck_assert_uint_eq(calls, 1);
	ck_assert_int_eq(heard.errnum != 0, says != NULL);
	if (says != NULL)
		ck_assert_msg(strstr(heard.msg, says) != NULL, "%s", heard.msg);
	else
		ck_assert_uint_eq(workers.reports[1].entries, 8);
}

START_TEST(caissond_first)
{
	const char *words = rows[_i].words;

	answer(words[2]);
	ck_assert_uint_eq(calls, 0);
	report(1, words[1]);
	report(0, words[0]);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	expect(rows[_i].says);
}
END_TEST

static void answer_late(struct cx_timer *timer)
{
	(void)timer;
	ck_assert_uint_eq(calls, 0);
	answer(rows[0].words[2]);
}

START_TEST(caissond_last)
{
	struct cx_timer late = { .fire = answer_late };

	report(0, '+');
	report(1, '+');
	cx_timer_set(&loop, &late, 50);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	expect(NULL);
}
END_TEST

START_TEST(forgotten)
{
	cx_workers_forget(&workers);
	ck_assert_int_lt(cx_write_all(reports[0], "x", 1, &err), 0);
	ck_assert_int_eq(err.errnum, EPIPE);
	ck_assert_uint_eq(calls, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/workers");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, begin, end);
	(void)signal(SIGPIPE, SIG_IGN);
	tcase_add_loop_test(tc, caissond_first, 0, CX_LEN(rows));
	tcase_add_test(tc, caissond_last);
	tcase_add_test(tc, forgotten);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
