/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_TESTS_CHECK_MAIN_H
#define CX_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CX_TEST_SKIPPED = 77 }; /* automake's word for it */

/* Runs one suite; the value is main()'s. Fails when no test ran at all. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed, ran;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	ran = srunner_ntests_run(runner);
	srunner_free(runner);
	return failed == 0 && ran > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A suite that needs root: skipped without it, unless CAISSON_MUST_RUN makes every skip a failure.
 */
static inline int run_root_suite(Suite *suite)
{
	if (geteuid() == 0)
		return run_suite(suite);
	(void)printf("SKIP: needs root\n");
	return getenv("CAISSON_MUST_RUN") != NULL ? EXIT_FAILURE : CX_TEST_SKIPPED;
}

#endif
