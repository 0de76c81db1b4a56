/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox as the freezer sees it: control groups, a record, and a process that counts. Root, for
 * the groups. Whole sandboxes are in tests/integration/test_pause.py.
 */
#include "engine/pause.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"

enum { UID_BASE = 1000079360, WAIT_MS = 5000, HOG_BYTES = 48 << 20 };

static const char id[] = "abcdefghijkl";
static char instance[16], top[] = "/tmp/caisson-pause-XXXXXX";
static struct cx_host host;
static struct cx_sandboxes sandboxes;
static struct cx_reaper nothing_ends;
static struct cx_sandbox sb;
static struct cx_pauses pauses;
static struct cx_err err;
static struct {
	volatile unsigned n;
} * ticks;
static pid_t counter;

static unsigned refusals; /* of so many calls */

/* In place of libc's. */
ssize_t write(int fd, const void *p, size_t n)
{
	if (refusals > 0) {
		refusals--;
		errno = ENOMEM;
		return -1;
	}
	return syscall(SYS_write, fd, p, n);
}

/* ---- the sandbox ----------------------------------------------------------------------------- */

static bool is_v2(void)
{
	return strcmp(cx_cgroups_mode(host.cgroups), "v2") == 0;
}

static int enter_work(void)
{
	(void)mkdirat(sb.group.work[0], "exec-1", 0755);
	for (unsigned i = 0; i < sb.group.n; i++) {
		int work = sb.group.work[i];
		int fd = openat(work,
				i > 0	  ? "tasks"
				: is_v2() ? "exec-1/cgroup.procs"
					  : "exec-1/tasks",
				O_WRONLY | O_CLOEXEC);

		if (fd < 0 && i > 0) /* of a tree where nothing is counted: that file itself */
			fd = work;
		if (fd < 0 || write(fd, "0", 1) != 1)
			return -1;
	}
	return 0;
}

static pid_t start(void (*run)(void))
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (enter_work() == 0)
		run();
	_exit(99);
}

static void count(void)
{
	for (;;)
		(void)++ticks->n;
}

static void hog(void)
{
	char *p = mmap(NULL, HOG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		memset(p, 1, HOG_BYTES);
}

static void sleep_ms(long ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

static bool moves(void)
{
	unsigned before = ticks->n;

	for (int i = 0; i < 40 && ticks->n == before; i++)
		sleep_ms(5);
	return ticks->n != before;
}

static void stop_loop(struct cx_timer *timer)
{
	(void)timer;
	host.loop.stop = true;
}

/* The loop, until *flag or for so long. */
static void spin(const int *flag, uint64_t ms)
{
	uint64_t until = cx_now_ms() + ms;
	struct cx_timer soon = { .fire = stop_loop };

	while (*flag == 0 && cx_now_ms() < until) {
		host.loop.stop = false;
		cx_timer_set(&host.loop, &soon, 5);
		ck_assert_int_eq(cx_loop_run(&host.loop, &err), 0);
		cx_timer_clear(&soon);
	}
}

static bool is_recorded(void)
{
	struct cx_record record;

	ck_assert_msg(cx_record_load(host.dirs.sandboxes, id, &record, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(record.paused, sb.record.paused);
	return record.paused == 1;
}

static int remove_groups(void)
{
	int r = -EBUSY;

	for (int i = 0; i < WAIT_MS / 5 && r != 0; i++) {
		r = cx_cgroup_remove(host.cgroups, id, &err);
		if (r != 0)
			sleep_ms(5);
	}
	return r;
}

/* What a failed test left. */
static void sweep(void)
{
	if (geteuid() != 0 || cx_cgroups_open(instance, &host.cgroups, &err) < 0)
		return;
	(void)remove_groups();
	cx_cgroups_close(host.cgroups, true);
}

static void begin(void)
{
	static const struct cx_limits limits = { .cpu_milli = 1000,
						 .memory_bytes = HOG_BYTES / 2,
						 .pids = 16 };
	static const struct cx_sandbox_watch nobody;

	(void)strcpy(top + sizeof top - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	host = (struct cx_host){ 0 };
	ck_assert_int_eq(cx_loop_open(&host.loop, &err), 0);
	ck_assert_msg(cx_cgroups_open(instance, &host.cgroups, &err) == 0, "%s", err.msg);
	cx_sandboxes_open(&sandboxes, &host, &nothing_ends, &nobody);
	sb = (struct cx_sandbox){ .set = &sandboxes, .state = CX_SANDBOX_RUNNING };
	sandboxes.first = &sb;
	cx_record_init(&sb.record, id);
	cx_index_add(&sandboxes.by_id, &sb.by_id, sb.record.id);
	host.dirs.sandboxes = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(mkdirat(host.dirs.sandboxes, id, 0700), 0);
	pauses = (struct cx_pauses){ .sandboxes = &sandboxes };
	ck_assert_msg(cx_cgroup_make(host.cgroups, id, UID_BASE, NULL, &sb.group, &err) == 0, "%s",
		      err.msg);
	ck_assert_int_eq(cx_cgroup_limit(host.cgroups, &sb.group, &limits, &err), 0);
	ticks = mmap(NULL, sizeof *ticks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	ck_assert_ptr_ne(ticks, MAP_FAILED);
	counter = start(count);
	ck_assert(moves());
}

static void end(void)
{
	char command[64];

	cx_pauses_close(&pauses);
	(void)kill(counter, SIGKILL);
	cx_sandbox_release(&sb);
	(void)waitpid(counter, NULL, 0);
	cx_cgroup_close(&sb.group);
	ck_assert_msg(remove_groups() == 0, "%s", err.msg);
	cx_cgroups_close(host.cgroups, true);
	cx_loop_close(&host.loop);
	cx_close(&host.dirs.sandboxes);
	(void)munmap(ticks, sizeof *ticks);
	(void)snprintf(command, sizeof command, "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

/* ---- pauses ---------------------------------------------------------------------------------- */

struct asked {
	int done;
	struct cx_err why;
};

static void on_done(void *arg, uint64_t tag, const struct cx_err *why)
{
	struct asked *asked = arg;

	ck_assert_uint_eq(tag, 7);
	asked->done++;
	asked->why = why != NULL ? *why : (struct cx_err){ 0 };
}

static void pause_it(void)
{
	struct asked asked = { 0 };

	ck_assert_int_eq(cx_pause(&pauses, &sb, on_done, &asked, 7, &err), 0);
	ck_assert_int_eq(asked.done, 0);
	spin(&asked.done, WAIT_MS);
	ck_assert_int_eq(asked.done, 1);
	ck_assert_msg(asked.why.errnum == 0, "%s", asked.why.msg);
	ck_assert_uint_eq(pauses.n, 0);
}

START_TEST(a_pause_is_answered_when_it_holds)
{
	for (int i = 0; i < 2; i++) { /* again is fine */
		pause_it();
		ck_assert(!moves() && is_recorded());
	}
	(void)cx_sandbox_resume(&sb, &err);
	ck_assert(moves() && !is_recorded());
	(void)cx_sandbox_resume(&sb, &err);
	ck_assert(moves());
}
END_TEST

START_TEST(a_pause_that_ends_before)
{
	struct asked asked = { 0 };

	ck_assert_int_eq(cx_pause(&pauses, &sb, on_done, &asked, 7, &err), 0);
	if (_i == 0)
		sb.state = CX_SANDBOX_ENDING;
	else
		(void)cx_sandbox_resume(&sb, &err);
	spin(&asked.done, WAIT_MS);
	ck_assert_int_eq(asked.done, 1);
	ck_assert_int_eq(asked.why.kind, CX_CONFLICT);
	if (_i == 0)
		ck_assert_int_eq(cx_pause(&pauses, &sb, on_done, &asked, 7, &err), -err.errnum);
	else
		ck_assert(moves());
}
END_TEST

START_TEST(what_nobody_waits_for_is_undone)
{
	struct asked asked = { 0 };

	ck_assert_int_eq(cx_pause(&pauses, &sb, on_done, &asked, 7, &err), 0);
	cx_pauses_close(&pauses);
	ck_assert(moves() && !is_recorded());
	ck_assert_int_eq(asked.done, 0);
}
END_TEST

/* ---- with a commit, and across daemons ------------------------------------------------------- */

START_TEST(a_commit_leaves_it_paused)
{
	pause_it();
	ck_assert_int_eq(cx_sandbox_freeze(&sb, &err), 0);
	ck_assert_int_lt(cx_sandbox_freeze(&sb, &err), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	if (_i == 0)
		cx_sandbox_thaw(&sb);
	else
		(void)cx_sandbox_resume(&sb, &err);
	ck_assert(!moves());
	if (_i == 0)
		(void)cx_sandbox_resume(&sb, &err);
	else
		cx_sandbox_thaw(&sb);
	ck_assert(moves());
}
END_TEST

START_TEST(want_at_the_moment_of_a_thaw_does_not_leave_it_frozen)
{
	ck_assert_int_eq(cx_sandbox_freeze(&sb, &err), 0);
	refusals = 1;
	cx_sandbox_thaw(&sb);
	ck_assert_uint_eq(refusals, 0);
	ck_assert(moves());
}
END_TEST

START_TEST(the_next_daemon_does_as_the_record_says)
{
	pause_it();
	ck_assert_int_eq(cx_sandbox_freeze(&sb, &err), 0); /* it died in a commit */
	sb.record.paused = _i == 0;
	sb.frozen = false;
	cx_sandbox_find_frozen(&sb);
	ck_assert(moves() == (_i == 1));
	/* and it had not frozen what it recorded */
	ck_assert_int_eq(cx_cgroup_freeze(host.cgroups, &sb.group, CX_FREEZE_WORK, false, &err), 0);
	cx_sandbox_find_frozen(&sb);
	ck_assert(moves() == (_i == 1));
}
END_TEST

START_TEST(what_ends_is_let_go_on)
{
	pause_it();
	ck_assert_int_eq(cx_sandbox_freeze(&sb, &err), 0);
	cx_sandbox_release(&sb);
	ck_assert(moves());
}
END_TEST

/* ---- want of memory -------------------------------------------------------------------------- */

static struct cx_memory_report report;

static void on_found(void *arg, const struct cx_memory_report *is)
{
	report = *is;
	++*(int *)arg;
}

START_TEST(want_of_memory_is_found)
{
	struct cx_oom *oom = NULL;
	int found = 0;
	pid_t pid;

	if (_i == 1) /* before anybody watches */
		(void)waitpid(start(hog), NULL, 0);
	ck_assert_msg(cx_oom_watch(&host, &sb.group, on_found, &found, &oom, &err) == 0, "%s",
		      err.msg);
	ck_assert_int_eq(found, 0);
	cx_oom_look_back(oom);
	spin(&found, _i == 1 ? WAIT_MS : 100);
	ck_assert_int_eq(found, _i);
	if (_i == 0) {
		pid = start(hog);
		spin(&found, WAIT_MS);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	}
	ck_assert_int_eq(found, 1);
	(void)waitpid(start(hog), NULL, 0); /* once is enough */
	found = 0;
	spin(&found, 100);
	ck_assert_int_eq(found, 0);
	cx_oom_close(oom);
	spin(&found, 20);
}
END_TEST

/* Connections that nobody reads from. */
static void flood(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	static char much[1 << 16];
	socklen_t len = sizeof at;
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(server, (struct sockaddr *)&at, sizeof at) < 0 || listen(server, 1) < 0 ||
	    getsockname(server, (struct sockaddr *)&at, &len) < 0)
		return;
	for (int i = 0; i < 300; i++) {
		int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(one, (struct sockaddr *)&at, sizeof at) < 0 ||
		    accept4(server, NULL, NULL, SOCK_CLOEXEC) < 0)
			return;
		while (send(one, much, sizeof much, MSG_DONTWAIT) > 0)
			continue;
	}
	for (;;)
		(void)pause();
}

START_TEST(too_much_in_sockets_is_found)
{
	struct cx_oom *oom = NULL;
	int found = 0;
	pid_t pid;

	if (is_v2())
		return; /* there it is memory like any other */
	ck_assert_int_eq(cx_oom_watch(&host, &sb.group, on_found, &found, &oom, &err), 0);
	cx_oom_begin(oom);
	pid = start(flood);
	spin(&found, WAIT_MS);
	ck_assert_int_eq(found, 1);
	ck_assert_uint_gt(report.kernel_bytes, report.limit_bytes / 2);
	cx_oom_close(oom);
	(void)kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(a_closed_watch_is_silent)
{
	struct cx_oom *oom = NULL;
	int found = 0;

	ck_assert_int_eq(cx_oom_watch(&host, &sb.group, on_found, &found, &oom, &err), 0);
	cx_oom_close(oom);
	cx_oom_close(NULL);
	(void)waitpid(start(hog), NULL, 0);
	spin(&found, 100);
	ck_assert_int_eq(found, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine/pause");
	TCase *tc = tcase_create("all");
	int status;

	(void)snprintf(instance, sizeof instance, "up%d", getpid());
	tcase_add_checked_fixture(tc, begin, end);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_pause_is_answered_when_it_holds);
	tcase_add_loop_test(tc, a_pause_that_ends_before, 0, 2);
	tcase_add_test(tc, what_nobody_waits_for_is_undone);
	tcase_add_loop_test(tc, a_commit_leaves_it_paused, 0, 2);
	tcase_add_test(tc, want_at_the_moment_of_a_thaw_does_not_leave_it_frozen);
	tcase_add_loop_test(tc, the_next_daemon_does_as_the_record_says, 0, 2);
	tcase_add_test(tc, what_ends_is_let_go_on);
	tcase_add_loop_test(tc, want_of_memory_is_found, 0, 2);
	tcase_add_test(tc, too_much_in_sockets_is_found);
	tcase_add_test(tc, a_closed_watch_is_silent);
	suite_add_tcase(suite, tc);
	status = run_root_suite(suite);
	sweep();
	return status;
}
