/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_main.h"

#include "engine/child.h"

static struct cx_loop loop;
static struct cx_err err;
static struct cx_timer tick;
static struct cx_child_end seen;
static unsigned nseen;
static pid_t child, tracer;

static void on_exited(void *owner, const struct cx_child_end *end)
{
	(void)owner;
	seen = *end;
	nseen++;
}

static pid_t start_child(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		for (;;)
			(void)pause();
	}
	return pid;
}

static bool is_zombie(void)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Until the child is no child any more, or five seconds are over. */
static void look(struct cx_timer *timer)
{
	static unsigned looks;

	if (nseen > 0 && tracer > 0) {
		ck_assert_int_eq(kill(tracer, SIGKILL), 0);
		ck_assert_int_eq(waitpid(tracer, NULL, 0), tracer);
		tracer = 0;
	}
	loop.stop = !is_zombie() || ++looks > 500;
	cx_timer_set(&loop, timer, 10);
}

static void watch_it_end(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	struct cx_child *watched = NULL;

	ck_assert_int_ge(pidfd, 0);
	ck_assert_int_eq(cx_loop_open(&loop, &err), 0);
	ck_assert_int_eq(cx_child_adopt(&loop, &pidfd, on_exited, NULL, &watched, &err), 0);
	cx_child_signal(watched, SIGKILL);
	tick.fire = look;
	cx_timer_set(&loop, &tick, 10);
	ck_assert_int_eq(cx_loop_run(&loop, &err), 0);
	ck_assert_uint_eq(nseen, 1);
	ck_assert(!is_zombie());
	cx_timer_clear(&tick);
	cx_loop_close(&loop);
}

START_TEST(an_end_is_told_once)
{
	child = start_child();
	watch_it_end();
	ck_assert_int_eq(seen.code, CLD_KILLED);
	ck_assert_int_eq(seen.status, SIGKILL);
}
END_TEST

/* Whose end somebody else is to hear of first is told all the same, and nothing is left of it. */
START_TEST(one_that_is_traced)
{
	int ready[2];
	char byte;

	child = start_child();
	ck_assert_int_eq(pipe(ready), 0);
	tracer = fork();
	if (tracer == 0) {
		if (ptrace(PTRACE_SEIZE, child, NULL, NULL) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	if (read(ready[0], &byte, 1) == 1) /* where tracing is allowed */
		watch_it_end();
	(void)close(ready[0]);
	(void)kill(child, SIGKILL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("child");
	TCase *tc = tcase_create("ends");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, an_end_is_told_once);
	tcase_add_test(tc, one_that_is_traced);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
