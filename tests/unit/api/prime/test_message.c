/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <string.h>

#include "check_main.h"

#include "api/prime/message.h"

static struct cx_err err;

/* ---- what clients get: the bytes that they were seen to need ----------------------------------
 */

static const struct {
	struct cx_result end;
	const char *bytes;
	size_t len;
} ends[] = {
	{ { .how = CX_EXITED_CODE, .status = 0 }, "\x0a\x02\x1a\x00", 4 },
	{ { .how = CX_EXITED_CODE, .status = 3 }, "\x0a\x04\x1a\x02\x08\x06", 6 },
	{ { .how = CX_EXITED_CODE, .status = 255 }, "\x0a\x05\x1a\x03\x08\xfe\x03", 7 },
};

START_TEST(an_exit_code_is_a_zigzag)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = 4096 };
	struct cx_proc_event event = { .kind = CX_PROC_ENDED, .end = &ends[_i].end };

	ck_assert_int_eq(cx_prime_write_event(&out, &event, &err), 0);
	ck_assert_uint_eq(out.len, ends[_i].len);
	ck_assert_mem_eq(out.p, ends[_i].bytes, out.len);
}
END_TEST

START_TEST(a_signal_is_told_in_words_too)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = 4096 };
	struct cx_result end = { .how = CX_EXITED_SIGNAL, .status = SIGKILL };
	struct cx_proc_event event = { .kind = CX_PROC_ENDED, .end = &end };

	ck_assert_int_eq(cx_prime_write_event(&out, &event, &err), 0);
	/* 137 */
	ck_assert_mem_eq(out.p, "\x0a\x15\x1a\x13\x08\x92\x02\x1a\x0esignal: Killed", 23);
}
END_TEST

START_TEST(other_events)
{
	CX_AUTO(cx_buf_free) struct cx_buf out = { .max = 4096 };
	struct cx_proc_event event = { .kind = CX_PROC_STARTED, .pid = 7 };
	static const char data[] = "\x0a\x06\x12\x04\x0a\x02hi\x0a\x06\x12\x04\x12\x02hi"
				   "\x0a\x06\x12\x04\x1a\x02hi";

	ck_assert_int_eq(cx_prime_write_event(&out, &event, &err), 0);
	ck_assert_mem_eq(out.p, "\x0a\x04\x0a\x02\x08\x07", 6);
	out.len = 0;
	for (unsigned kind = CX_PROC_STDOUT; kind <= CX_PROC_TERMINAL; kind++) {
		event = (struct cx_proc_event){ .kind = kind, .p = "hi", .len = 2 };
		ck_assert_int_eq(cx_prime_write_event(&out, &event, &err), 0);
	}
	ck_assert_uint_eq(out.len, sizeof data - 1);
	ck_assert_mem_eq(out.p, data, sizeof data - 1);
	out.len = 0;
	ck_assert_int_eq(cx_prime_write_keepalive(&out, &err), 0);
	ck_assert_mem_eq(out.p, "\x0a\x02\x22\x00", 4);
}
END_TEST

/* ---- what they send ---------------------------------------------------------------------------
 */

#define BYTES(text) text, sizeof text - 1

static void read_ok(const char *p, size_t len, struct cx_proc_plan *plan)
{
	int r = cx_prime_read_start(p, len, plan, &err);

	ck_assert_msg(r == 0, "%s", err.msg);
}

START_TEST(a_command_of_the_sdk)
{
	CX_AUTO(cx_proc_plan_clear) struct cx_proc_plan plan = { 0 };

	read_ok(BYTES("\x0a\x2b\x0a\x09/bin/bash\x12\x02-c\x12\x07"
		      "echo hi\x1a\x06\x0a\x01"
		      "B\x12\x01y\x1a\x03\x0a\x01"
		      "A\x22\x04/tmp"
		      "\x20\x00"),
		&plan);
	ck_assert_uint_eq(plan.spec.flags, CX_EXEC_SHELL); /* bash, or sh where there is none */
	ck_assert_uint_eq(plan.spec.argv.len, 8);
	ck_assert_str_eq(plan.spec.argv.p, "echo hi");
	ck_assert_uint_eq(plan.spec.env.len, 7);
	ck_assert_mem_eq(plan.spec.env.p, "A=\0B=y\0", 7);
	ck_assert_str_eq(plan.spec.cwd, "/tmp");
	ck_assert_str_eq(plan.spec.user, "");
	ck_assert(!plan.input);
	ck_assert_str_eq(plan.uuid, "");
}
END_TEST

START_TEST(a_live_process)
{
	CX_AUTO(cx_proc_plan_clear) struct cx_proc_plan plan = { 0 };

	read_ok(BYTES("\x0a\x13\x0a\x09/bin/bash\x12\x02-l\x2a\x02me"
		      "\x12\x06\x0a\x04\x08\x65\x10\x21"
		      "\x20\x01\x2a\x03"
		      "a-b"),
		&plan);
	ck_assert_uint_eq(plan.spec.flags, CX_EXEC_TTY); /* no text for a shell: as it stands */
	ck_assert_mem_eq(plan.spec.argv.p, "/bin/bash\0-l\0", 13);
	ck_assert_str_eq(plan.spec.user, "me");
	ck_assert_uint_eq(plan.spec.cols, 101);
	ck_assert_uint_eq(plan.spec.rows, 33);
	ck_assert(plan.input);
	ck_assert_str_eq(plan.uuid, "a-b");
}
END_TEST

static const struct {
	const char *bytes;
	size_t len;
	const char *why;
} bad_starts[] = {
	{ BYTES(""), "there is no command" },
	{ BYTES("\x0a\x00"), "'cmd' is missing or empty" },
	{ BYTES("\x0a\x05\x0a\x03"
		"a\0b"),
	  "NUL" },
	{ BYTES("\x0a\x05\x0a\x01"
		"a\x2a\x00"),
	  "'user' is empty" },
	{ BYTES("\x0a\x08\x0a\x01"
		"a\x1a\x03\x0a\x01="),
	  "'envs'" },
	{ BYTES("\x0a\x05\x0a\x01"
		"a\x1a\x00"),
	  "'envs'" },
	{ BYTES("\x0a\x0d\x0a\x01"
		"a\x1a\x03\x0a\x01"
		"A\x1a\x03\x0a\x01"
		"A"),
	  "twice" },
	{ BYTES("\x0a\x03\x0a\x01"
		"a\x12\x08\x0a\x06\x08\x80\x80\x80\x80\x01"),
	  "'pty'" },
	{ BYTES("\x0a\xff\xff\xff\xff\x0f"), "none that this call takes" },
	{ BYTES("\x0a\x03\x0a\x05"
		"a"),
	  "none that this call takes" },
	{ BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "none that this call takes" },
};

START_TEST(a_bad_start_says_why)
{
	struct cx_proc_plan plan = { 0 };
	int r = cx_prime_read_start(bad_starts[_i].bytes, bad_starts[_i].len, &plan, &err);

	ck_assert_int_lt(r, 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_msg(strstr(err.msg, bad_starts[_i].why) != NULL, "%s", err.msg);
}
END_TEST

/* Two bytes of message that become some fifty bytes of memory, a million times. */
START_TEST(small_fields_do_not_eat_our_memory)
{
	enum { N = 1 << 20 };
	CX_AUTO(cx_buf_free) struct cx_buf body = { .max = 4 << 20 };
	struct cx_proc_plan plan = { 0 };

	ck_assert_int_eq(cx_buf_add(&body, "\x0a\x83\x80\x80\x01\x0a\x01x", 8, &err), 0);
	ck_assert_ptr_nonnull(cx_buf_reserve(&body, 2 * N, &err));
	for (unsigned i = 0; i < N; i++)
		memcpy(body.p + 8 + 2 * i, "\x12\x00", 2);
	body.len += 2 * N;
	ck_assert_int_lt(cx_prime_read_start(body.p, body.len, &plan, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
}
END_TEST

START_TEST(selectors)
{
	struct cx_prime_selector who;

	ck_assert_int_eq(cx_prime_read_connect(BYTES("\x0a\x02\x08\x07"), &who, &err), 0);
	ck_assert_uint_eq(who.pid, 7);
	ck_assert_str_eq(who.uuid, "");
	ck_assert_int_eq(cx_prime_read_connect(BYTES("\x0a\x04\x1a\x02me"), &who, &err), 0);
	ck_assert_uint_eq(who.pid, 0);
	ck_assert_str_eq(who.uuid, "me");
	ck_assert_int_lt(cx_prime_read_connect(BYTES(""), &who, &err), 0);
	ck_assert_int_lt(cx_prime_read_connect(BYTES("\x0a\x00"), &who, &err), 0);
	ck_assert_int_lt(cx_prime_read_connect(BYTES("\x0a\x02\x08\x00"), &who, &err), 0);
	ck_assert_int_lt(cx_prime_read_connect(BYTES("\x0a\x02\x1a\x00"), &who, &err), 0);
}
END_TEST

START_TEST(inputs)
{
	CX_AUTO(cx_prime_input_clear) struct cx_prime_input input = { 0 };
	struct cx_prime_input none = { 0 };

	ck_assert_int_eq(cx_prime_read_input(BYTES("\x0a\x04\x1a\x02me\x12\x05\x0a\x03"
						   "a\0b\x1a\x02id"),
					     &input, &err),
			 0);
	ck_assert_str_eq(input.process.uuid, "me");
	ck_assert_uint_eq(input.data.len, 3);
	ck_assert_mem_eq(input.data.p, "a\0b", 3);
	ck_assert_str_eq(input.uuid, "id");
	ck_assert_int_lt(cx_prime_read_input(BYTES("\x0a\x04\x1a\x02me"), &none, &err), 0);
	ck_assert_int_lt(cx_prime_read_input(BYTES("\x12\x03\x0a\x01x"), &none, &err), 0);
}
END_TEST

START_TEST(signals)
{
	struct cx_prime_signal order;

	ck_assert_int_eq(
		cx_prime_read_signal(BYTES("\x0a\x02\x08\x07\x10\x0f\x1a\x02id"), &order, &err), 0);
	ck_assert_uint_eq(order.signo, SIGTERM);
	ck_assert_uint_eq(order.process.pid, 7);
	ck_assert_str_eq(order.uuid, "id");
	ck_assert_int_eq(cx_prime_read_signal(BYTES("\x0a\x02\x08\x07\x10\x09"), &order, &err), 0);
	ck_assert_uint_eq(order.signo, SIGKILL);
	ck_assert_int_lt(cx_prime_read_signal(BYTES("\x0a\x02\x08\x07\x10\x01"), &order, &err), 0);
	ck_assert_int_lt(cx_prime_read_signal(BYTES("\x0a\x02\x08\x07"), &order, &err), 0);
	ck_assert_int_lt(cx_prime_read_signal(BYTES("\x10\x09"), &order, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("api/prime/message");
	TCase *tc = tcase_create("message");

	tcase_add_loop_test(tc, an_exit_code_is_a_zigzag, 0, CX_LEN(ends));
	tcase_add_test(tc, a_signal_is_told_in_words_too);
	tcase_add_test(tc, other_events);
	tcase_add_test(tc, a_command_of_the_sdk);
	tcase_add_test(tc, a_live_process);
	tcase_add_loop_test(tc, a_bad_start_says_why, 0, CX_LEN(bad_starts));
	tcase_add_test(tc, small_fields_do_not_eat_our_memory);
	tcase_add_test(tc, selectors);
	tcase_add_test(tc, inputs);
	tcase_add_test(tc, signals);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
