/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox.h"

#include "check_main.h"

/* Every pair of state and event, as a row per state: the state that follows. */
#define S CX_SANDBOX_STARTING
#define B CX_SANDBOX_BLANK
#define C CX_SANDBOX_CLAIMING
#define R CX_SANDBOX_RUNNING
#define E CX_SANDBOX_ENDING
#define G CX_SANDBOX_REMAINS
static const enum cx_sandbox_state expected[CX_SANDBOX_STATE_MAX][CX_EVENT_MAX] = {
	/* HELLO CLAIM CONFIRM FAULT DEADLINE EXIT DESTROY */
	[S] = { B, E, E, E, E, E, E }, [B] = { E, C, E, E, B, E, E }, [C] = { E, E, R, E, E, E, E },
	[R] = { R, R, R, E, R, E, E }, [E] = { E, E, E, E, E, G, E }, [G] = { G, G, G, G, G, G, G },
};

START_TEST(every_event_has_a_rule)
{
	enum cx_sandbox_state state = (enum cx_sandbox_state)_i, next;

	for (unsigned event = 0; event < CX_EVENT_MAX; event++) {
		ck_assert(cx_sandbox_rule(state, (enum cx_sandbox_event)event, &next));
		ck_assert_msg(next == expected[state][event], "%s, event %u leads to %s",
			      cx_sandbox_state_name(state), event, cx_sandbox_state_name(next));
	}
}
END_TEST

START_TEST(only_a_confirmed_claim_runs)
{
	enum cx_sandbox_state next;

	for (unsigned state = 0; state < CX_SANDBOX_STATE_MAX; state++)
		for (unsigned event = 0; event < CX_EVENT_MAX; event++)
			if (cx_sandbox_rule((enum cx_sandbox_state)state,
					    (enum cx_sandbox_event)event, &next) &&
			    next == R && state != R)
				ck_assert(state == C && event == CX_EVENT_CONFIRM);
}
END_TEST

START_TEST(states_have_names)
{
	for (unsigned i = 0; i < CX_SANDBOX_STATE_MAX; i++)
		ck_assert_str_ne(cx_sandbox_state_name((enum cx_sandbox_state)i), "unknown");
	ck_assert_str_eq(cx_sandbox_state_name(CX_SANDBOX_STATE_MAX), "unknown");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/sandbox");
	TCase *tc = tcase_create("table");

	tcase_add_loop_test(tc, every_event_has_a_rule, 0, CX_SANDBOX_STATE_MAX);
	tcase_add_test(tc, only_a_confirmed_claim_runs);
	tcase_add_test(tc, states_have_names);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
