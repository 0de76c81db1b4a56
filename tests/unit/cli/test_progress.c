/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check_main.h"

#include "cli/progress.h"

#define LAYER "{\"status\":\"layer\",\"digest\":\"sha256:ab12cd34ef56ffff\","

static struct cx_progress progress;
static struct cx_buf out;

static void begin(enum cx_progress_style style, unsigned rows, unsigned cols)
{
	progress = (struct cx_progress){ .style = style, .rows = rows, .cols = cols };
	out = (struct cx_buf){ .max = 1 << 20 };
}

/* What one event adds to the output. */
static const char *after(const char *json, uint64_t now_ms)
{
	CX_AUTO(json_decrefp) json_t *event = json_loads(json, JSON_DECODE_ANY, NULL);
	struct cx_err err;

	ck_assert_ptr_nonnull(event);
	out.len = 0;
	ck_assert_int_eq(cx_progress_event(&progress, event, now_ms, &out, &err), 0);
	ck_assert_int_eq(cx_buf_add(&out, "", 1, &err), 0);
	return out.p;
}

static void teardown(void)
{
	cx_buf_free(&out);
}

START_TEST(plain_tells_each_phase_once)
{
	begin(CX_PROGRESS_PLAIN, 24, 80);
	ck_assert_str_eq(after("{\"status\":\"resolving\",\"image\":\"a:1\"}", 0),
			 "resolving a:1\n");
	ck_assert_str_eq(after(LAYER "\"index\":0,\"phase\":\"downloading\",\"bytes\":0,"
				     "\"total\":2048}",
			       0),
			 "ab12cd34ef56: downloading 2.0 KiB\n");
	ck_assert_str_eq(after(LAYER "\"index\":0,\"phase\":\"downloading\",\"bytes\":1024,"
				     "\"total\":2048}",
			       100),
			 "");
	ck_assert_str_eq(after(LAYER "\"index\":0,\"phase\":\"done\"}", 200),
			 "ab12cd34ef56: done\n");
}
END_TEST

START_TEST(nothing_is_shown_when_nobody_looks)
{
	begin(CX_PROGRESS_NONE, 24, 80);
	ck_assert_str_eq(after(LAYER "\"index\":0,\"phase\":\"done\"}", 0), "");
}
END_TEST

/* 4 MiB in 2 seconds of 10 MiB: 2 MiB a second, and 3 seconds for the rest. */
START_TEST(live_shows_rate_and_rest)
{
	const char *drawn;

	begin(CX_PROGRESS_LIVE, 24, 100);
	(void)after(LAYER "\"index\":0,\"phase\":\"downloading\",\"bytes\":0,\"total\":10485760}",
		    1000);
	drawn = after(LAYER "\"index\":0,\"phase\":\"downloading\",\"bytes\":4194304,"
			    "\"total\":10485760}",
		      3000);
	ck_assert_str_eq(drawn, "\033[2A"
				"\rab12cd34ef56  downloading  [============>                 ]"
				"  4.0/10.0 MiB  2.0 MiB/s  ETA 3s\033[K\n"
				"\r0 of 1 layer  4.0/10.0 MiB  2.0 MiB/s  ETA 3s\033[K\n"
				"\033[J");
}
END_TEST

START_TEST(live_does_not_draw_too_often)
{
	struct cx_err err;

	begin(CX_PROGRESS_LIVE, 24, 80);
	ck_assert_str_ne(after(LAYER "\"index\":0,\"phase\":\"waiting\"}", 0), "");
	ck_assert_str_eq(after(LAYER "\"index\":0,\"phase\":\"unpacking\"}", 50), "");
	ck_assert_str_ne(after(LAYER "\"index\":0,\"phase\":\"unpacking\"}", 150), "");
	ck_assert_str_eq(after(LAYER "\"index\":0,\"phase\":\"done\"}", 160), "");
	out.len = 0;
	ck_assert_int_eq(cx_progress_end(&progress, 170, &out, &err), 0);
	ck_assert_uint_gt(out.len, 0);
	out.len = 0;
	ck_assert_int_eq(cx_progress_end(&progress, 180, &out, &err), 0);
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

/* The longest run of text between line ends, without the escapes. */
static size_t widest(const char *drawn, unsigned *ret_lines)
{
	size_t width = 0, most = 0;

	*ret_lines = 0;
	for (const char *p = drawn; *p != '\0'; p++) {
		if (*p == '\033') {
			p += strcspn(p, "AKJ");
			continue;
		}
		*ret_lines += *p == '\n';
		width = *p == '\r' || *p == '\n' ? 0 : width + 1;
		most = width > most ? width : most;
	}
	return most;
}

START_TEST(live_fits_into_any_terminal)
{
	static const unsigned rows[] = { 1, 2, 3, 5, 24 }, cols[] = { 2, 13, 40, 80, 200 };

	for (size_t r = 0; r < CX_LEN(rows); r++)
		for (size_t c = 0; c < CX_LEN(cols); c++) {
			const char *drawn = "";
			unsigned lines;

			begin(CX_PROGRESS_LIVE, rows[r], cols[c]);
			for (unsigned i = 0; i < 100; i++) {
				char json[256];

				(void)snprintf(json, sizeof json,
					       LAYER "\"index\":%u,\"phase\":\"downloading\","
						     "\"bytes\":123456789,\"total\":987654321}",
					       i);
				drawn = after(json, i * 1000);
			}
			ck_assert_uint_lt(widest(drawn, &lines), cols[c]);
			ck_assert_uint_le(lines, rows[r] > 2 ? rows[r] - 1 : 2);
			cx_buf_free(&out);
		}
}
END_TEST

START_TEST(what_moves_is_shown_first)
{
	const char *drawn;

	begin(CX_PROGRESS_LIVE, 4, 60);
	for (unsigned i = 0; i < 20; i++) {
		char json[160];

		(void)snprintf(json, sizeof json, LAYER "\"index\":%u,\"phase\":\"waiting\"}", i);
		(void)after(json, 0);
	}
	drawn = after(LAYER "\"index\":17,\"phase\":\"unpacking\"}", 1000);
	ck_assert_ptr_nonnull(strstr(drawn, "unpacking"));
	ck_assert_ptr_null(strstr(drawn, "waiting"));
	ck_assert_ptr_nonnull(strstr(drawn, "0 of 20 layers"));
}
END_TEST

static const char *const odd_events[] = {
	"[]",
	"{}",
	"7",
	"{\"status\":\"layer\"}",
	"{\"status\":\"layer\",\"index\":511,\"phase\":\"x\"}",
	"{\"status\":\"layer\",\"index\":512,\"phase\":\"x\"}",
	"{\"status\":\"layer\",\"index\":9223372036854775807,\"phase\":\"x\"}",
	"{\"status\":\"layer\",\"index\":-1,\"phase\":\"x\",\"bytes\":-5,\"total\":-1}",
	LAYER "\"index\":0,\"phase\":\"downloading\",\"bytes\":9223372036854775807,\"total\":1}",
	LAYER "\"index\":0,\"phase\":\"downloading\",\"bytes\":1,\"total\":9223372036854775807}",
	"{\"status\":\"layer\",\"index\":0,\"phase\":\"\\u001b[2J\",\"digest\":\"\\u009b\\n\"}",
	"{\"status\":\"\\u001b[2J\\n\",\"image\":\"\\u009b\\r\"}",
};

START_TEST(odd_events_do_no_harm)
{
	static const enum cx_progress_style styles[] = { CX_PROGRESS_PLAIN, CX_PROGRESS_LIVE };

	for (size_t s = 0; s < CX_LEN(styles); s++) {
		const char *drawn;

		begin(styles[s], 24, 80);
		drawn = after(odd_events[_i], 10000);
		ck_assert_ptr_null(strstr(drawn, "\033[2J"));
		ck_assert_ptr_null(strstr(drawn, "\xc2\x9b"));
		(void)after(odd_events[_i], 20000);
		ck_assert_uint_le(progress.n, CX_PROGRESS_LAYERS_MAX);
		cx_buf_free(&out);
	}
}
END_TEST

START_TEST(the_style_is_plain_where_it_must)
{
	ck_assert_int_eq(setenv("TERM", "xterm", 1), 0);
	ck_assert_int_eq(cx_progress_style_of(-1), CX_PROGRESS_PLAIN);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli/progress");
	TCase *tc = tcase_create("progress");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, plain_tells_each_phase_once);
	tcase_add_test(tc, nothing_is_shown_when_nobody_looks);
	tcase_add_test(tc, live_shows_rate_and_rest);
	tcase_add_test(tc, live_does_not_draw_too_often);
	tcase_add_test(tc, live_fits_into_any_terminal);
	tcase_add_test(tc, what_moves_is_shown_first);
	tcase_add_loop_test(tc, odd_events_do_no_harm, 0, (int)CX_LEN(odd_events));
	tcase_add_test(tc, the_style_is_plain_where_it_must);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
