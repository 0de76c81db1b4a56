/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/accounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "check_main.h"

/* Directories that look like control groups, in which the test counts. */
static char root[] = "/tmp/accounts-test-XXXXXX";
static struct cx_accounts *accounts;
static struct cx_err err;

static void put(const char *dir, const char *name, const char *text)
{
	char path[200];
	cx_autofd int fd = -EBADF;

	(void)snprintf(path, sizeof path, "%s/%s/%s", root, dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(cx_write_all(fd, text, strlen(text), &err), 0);
}

static const char *get(const char *dir, const char *name)
{
	static char text[200];
	char path[200];

	(void)snprintf(path, sizeof path, "%s/%s/%s", root, dir, name);
	ck_assert_int_ge(cx_read_small_file(AT_FDCWD, path, text, sizeof text, &err), 0);
	return text;
}

static void remove_file(const char *dir, const char *name)
{
	char path[200];

	(void)snprintf(path, sizeof path, "%s/%s/%s", root, dir, name);
	ck_assert_int_eq(unlink(path), 0);
}

static void make(const char *name)
{
	char path[200];

	(void)snprintf(path, sizeof path, "%s/%s", root, name);
	ck_assert_int_eq(mkdir(path, 0755), 0);
}

static int look(const char *name)
{
	char path[200];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", root, name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void count_v1(const char *usage, const char *user, const char *system, const char *peak)
{
	put("cpu", "cmd-1/cpuacct.usage", usage);
	put("cpu", "cmd-1/cpuacct.usage_user", user);
	put("cpu", "cmd-1/cpuacct.usage_sys", system);
	put("memory", "cmd-1/memory.max_usage_in_bytes", peak);
}

static void open_v1(void)
{
	int dirs[CX_ACCOUNTS_MAX];

	make("memory"), make("memory/cmd-1"), make("cpu"), make("cpu/cmd-1");
	make("pids"), make("pids/cmd-1");
	put("memory", "cmd-1/cgroup.procs", "");
	put("memory", "cmd-1/memory.usage_in_bytes", "4096\n");
	put("memory", "cmd-1/memory.limit_in_bytes", "9223372036854771712\n");
	put("memory", "cmd-1/memory.failcnt", "0\n");
	put("memory", "cmd-1/memory.stat", "cache 0\nrss 0\nshmem 0\n");
	put("memory", "cmd-1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
	put("pids", "cmd-1/pids.max", "max\n");
	put("pids", "cmd-1/pids.peak", "2\n");
	put("pids", "cmd-1/pids.events", "max 0\n");
	count_v1("0\n", "0\n", "0\n", "0\n");
	dirs[0] = look("memory");
	dirs[1] = look("cpu");
	dirs[2] = look("pids");
	ck_assert_int_eq(cx_accounts_open(dirs, 3, true, &accounts, &err), 0);
	ck_assert_int_eq(dirs[0], -EBADF);
}

static void setup(void)
{
	strcpy(root + sizeof root - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void)
{
	char command[80];

	cx_accounts_close(accounts);
	accounts = NULL;
	(void)snprintf(command, sizeof command, "rm -r %s", root);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(test_waiting_is_told_of_who_is_watched)
{
	struct cx_exec_limits limits = { .watched = _i == 1 };
	struct cx_figures used;

	open_v1();
	put("cpu", "cpu.stat", "nr_periods 9\nnr_throttled 2\nthrottled_time 5000000\n");
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	ck_assert_int_eq(cx_accounts_limit(accounts, 1, &limits, &err), 0);
	put("cpu", "cpu.stat", "nr_periods 19\nnr_throttled 3\nthrottled_time 7000000\n");
	cx_accounts_read(accounts, 1, &used);
	ck_assert(used.has_throttled == (_i == 1) && !used.has_wait);
	ck_assert_uint_eq(used.throttled_us, _i == 1 ? 2000 : 0);
}
END_TEST

START_TEST(test_a_command_has_what_was_added)
{
	struct cx_figures used;

	open_v1();
	ck_assert_str_eq(cx_accounts_source(accounts), "cgroup v1");
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	ck_assert_uint_eq(cx_accounts_take(accounts), 0);
	count_v1("8000000\n", "30000000\n", "10000000\n", "1000000\n");
	put("memory", "cmd-1/memory.stat", "cache 300000\nrss 0\nshmem 100000\n");
	cx_accounts_read(accounts, 1, &used);
	ck_assert_uint_eq(used.memory_file_bytes, 200000);
	ck_assert(used.has_cpu && used.has_memory && used.has_processes);
	ck_assert_uint_eq(used.user_us, 6000); /* the whole, divided as it was sampled */
	ck_assert_uint_eq(used.system_us, 2000);
	ck_assert_uint_eq(used.memory_peak_bytes, 1000000);
	ck_assert_uint_eq(used.processes_peak, 2);
	cx_accounts_give_back(accounts, 1, false);
	ck_assert(!cx_accounts_settle(accounts));
	ck_assert_str_eq(get("memory", "cmd-1/memory.max_usage_in_bytes"), "0000000\n");
	/* The next one begins there, and with what lies in memory already. */
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	count_v1("9000000\n", "30000000\n", "10000000\n", "24096\n");
	cx_accounts_read(accounts, 1, &used);
	ck_assert_uint_eq(used.user_us, 1000);
	ck_assert_uint_eq(used.system_us, 0);
	ck_assert_uint_eq(used.memory_peak_bytes, 20000);
	ck_assert_uint_eq(used.memory_file_bytes, 0); /* they were there */
	ck_assert(!used.has_processes); /* the same peak as before may be the earlier one's */
}
END_TEST

/* A second command after one whose memory the kernel freed late, and after one that left a file. */
START_TEST(test_what_has_gone_meanwhile_is_not_taken_off)
{
	struct cx_figures used;

	open_v1();
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	put("memory", "cmd-1/memory.usage_in_bytes", "3000000\n");
	cx_accounts_give_back(accounts, 1, false);
	ck_assert(!cx_accounts_settle(accounts));
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	count_v1("0\n", "0\n", "0\n", "100000000\n");
	put("memory", "cmd-1/memory.usage_in_bytes", "700000\n");
	put("memory", "cmd-1/memory.stat", "cache 200000\nrss 0\nshmem 0\n");
	cx_accounts_read(accounts, 1, &used);
	ck_assert_uint_eq(used.memory_peak_bytes, 99500000);
	put("memory", "cmd-1/memory.usage_in_bytes", "9000000\n");
	cx_accounts_read(accounts, 1, &used);
	ck_assert_uint_eq(used.memory_peak_bytes, 97000000);
}
END_TEST

START_TEST(test_who_is_left_keeps_the_slot)
{
	open_v1();
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	put("memory", "cmd-1/cgroup.procs", "17\n");
	cx_accounts_give_back(accounts, 1, false);
	ck_assert(cx_accounts_settle(accounts));
	ck_assert_uint_eq(cx_accounts_take(accounts), 0);
	ck_assert_uint_eq(cx_accounts_want(accounts, false), 0);
	ck_assert_uint_eq(cx_accounts_want(accounts, true), 2);
	cx_accounts_made(accounts, 2, true);
	ck_assert_uint_eq(cx_accounts_take(accounts), 2);
	put("memory", "cmd-1/cgroup.procs", "");
	ck_assert(!cx_accounts_settle(accounts));
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
}
END_TEST

START_TEST(test_limits_are_lifted_again)
{
	const struct cx_exec_limits limits = { .memory_bytes = 1 << 20, .processes = 5 };

	open_v1();
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	put("memory", "cmd-1/memory.limit_in_bytes", "");
	put("pids", "cmd-1/pids.max", "");
	ck_assert_int_eq(cx_accounts_limit(accounts, 1, &limits, &err), 0);
	ck_assert_str_eq(get("memory", "cmd-1/memory.limit_in_bytes"), "1048576");
	ck_assert_str_eq(get("pids", "cmd-1/pids.max"), "5");
	cx_accounts_give_back(accounts, 1, false);
	ck_assert(!cx_accounts_settle(accounts));
	ck_assert_str_eq(get("memory", "cmd-1/memory.limit_in_bytes"), "-148576");
	ck_assert_str_eq(get("pids", "cmd-1/pids.max"), "max");
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
}
END_TEST

/* Its count would be taken for the next command's, and its limit tells whose it was. */
START_TEST(test_where_the_kernel_killed_is_made_anew)
{
	const struct cx_exec_limits limits = { .memory_bytes = 1 << 20 };
	struct cx_accounts_hits hits;

	open_v1();
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	put("memory", "cmd-1/memory.limit_in_bytes", "");
	ck_assert_int_eq(cx_accounts_limit(accounts, 1, &limits, &err), 0);
	put("memory", "cmd-1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
	put("pids", "cmd-1/pids.events", "max 3\n");
	cx_accounts_look(accounts, 1, &hits);
	ck_assert_uint_eq(hits.kills, 1);
	ck_assert_uint_eq(hits.refused, 3);
	cx_accounts_give_back(accounts, 1, true);
	ck_assert(!cx_accounts_settle(accounts));
	ck_assert_str_eq(get("memory", "cmd-1/memory.limit_in_bytes"), "1048576");
	ck_assert_uint_eq(cx_accounts_take(accounts), 0);
	ck_assert_uint_eq(cx_accounts_want(accounts, false), 1);
	ck_assert_uint_eq(cx_accounts_want(accounts, false), 0);
	cx_accounts_made(accounts, 1, true);
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
}
END_TEST

static uint64_t number_of(const char *name)
{
	char path[200];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/%s", root, name);
	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_ino;
}

static bool has_cpu(void)
{
	struct cx_figures used;

	cx_accounts_read(accounts, 1, &used);
	return used.has_cpu;
}

static void next_command(void)
{
	cx_accounts_give_back(accounts, 1, false);
	(void)cx_accounts_settle(accounts);
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
}

/* What is read again and again stays open, until the slot is another group or others need it. */
START_TEST(test_files_are_held)
{
	struct cx_held_sets sets = { .n = 0 };
	struct cx_held others[CX_HELD_SETS_MAX] = { 0 };
	struct cx_figures used;

	open_v1();
	cx_accounts_hold(accounts, &sets);
	count_v1("1000000\n", "0\n", "0\n", "0\n");
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	ck_assert(has_cpu());
	ck_assert_uint_gt(sets.newest->n, 3);
	count_v1("9000000\n", "0\n", "0\n", "54096\n");
	cx_accounts_read(accounts, 1, &used);
	ck_assert_uint_eq(used.user_us, 9000);
	ck_assert_uint_eq(used.memory_peak_bytes, 54096);
	next_command();
	ck_assert_int_eq(get("memory", "cmd-1/memory.max_usage_in_bytes")[0], '0');
	remove_file("cpu", "cmd-1/cpuacct.usage");
	ck_assert(has_cpu());
	cx_accounts_made(accounts, 1, true);
	ck_assert_uint_eq(sets.n, 0);
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	ck_assert(!has_cpu());
	for (unsigned i = 0; i < CX_HELD_SETS_MAX; i++)
		cx_held_use(&sets, &others[i]);
	ck_assert_uint_eq(sets.n, CX_HELD_SETS_MAX);
	cx_accounts_read(accounts, 1, &used); /* without any */
	ck_assert(used.has_memory);
	put("cpu", "cmd-1/cpuacct.usage", "9000000\n");
	next_command();
	ck_assert_uint_eq(sets.n, CX_HELD_SETS_MAX);
	ck_assert_ptr_null(others[0].link);
	ck_assert_ptr_nonnull(others[1].link);
	cx_accounts_close(accounts);
	accounts = NULL;
	ck_assert_uint_eq(sets.n, CX_HELD_SETS_MAX - 1);
}
END_TEST

static void open_v2(void)
{
	int dirs[CX_ACCOUNTS_MAX];

	make("all"), make("all/cmd-1");
	put("all", "cgroup.controllers", "cpu memory pids\n");
	put("all", "cmd-1/cgroup.procs", "");
	put("all", "cmd-1/cpu.stat", "usage_usec 500\nuser_usec 300\nsystem_usec 200\n");
	put("all", "cmd-1/memory.peak", "70000\n");
	put("all", "cmd-1/memory.current", "100\n");
	put("all", "cmd-1/memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n");
	dirs[0] = look("all");
	ck_assert_int_eq(cx_accounts_open(dirs, 1, true, &accounts, &err), 0);
}

START_TEST(test_v2_counts_in_one_directory)
{
	struct cx_figures used;

	open_v2();
	ck_assert(cx_accounts_owns(accounts, 1, number_of("all/cmd-1")));
	ck_assert(!cx_accounts_owns(accounts, 1, number_of("all")));
	ck_assert_str_eq(cx_accounts_source(accounts), "cgroup v2");
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	cx_accounts_read(accounts, 1, &used);
	ck_assert_uint_eq(used.user_us, 300);
	ck_assert_uint_eq(used.system_us, 200);
	ck_assert_uint_eq(used.memory_peak_bytes, 70000);
	ck_assert(!used.has_processes);
	/* A kernel whose peak cannot begin anew. */
	remove_file("all", "cmd-1/memory.peak");
	cx_accounts_give_back(accounts, 1, false);
	(void)cx_accounts_settle(accounts);
	ck_assert_uint_eq(cx_accounts_take(accounts), 0);
	ck_assert_uint_eq(cx_accounts_want(accounts, false), 1);
}
END_TEST

/* The next gateway goes on with it, if it was told what had been counted there before. */
START_TEST(test_a_command_is_counted_on)
{
	const struct cx_exec_limits limits = { .cpu_us = 7000 };
	struct cx_exec_limits told = { 0 };
	struct cx_accounts_mark mark, other;
	struct cx_accounts_hits hits;
	struct cx_figures used;
	int dirs[CX_ACCOUNTS_MAX];

	open_v1();
	count_v1("1000000\n", "0\n", "0\n", "0\n");
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	cx_accounts_give_back(accounts, 1, false);
	ck_assert(!cx_accounts_settle(accounts)); /* 1000 us of an earlier one are there */
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	cx_accounts_mark(accounts, 1, &limits, &mark);
	cx_accounts_close(accounts);
	accounts = NULL;
	count_v1("9000000\n", "0\n", "0\n", "54096\n"); /* also when it has ended meanwhile */
	dirs[0] = look("memory");
	dirs[1] = look("cpu");
	dirs[2] = look("pids");
	ck_assert_int_eq(cx_accounts_open(dirs, 3, false, &accounts, &err), 0);
	other = mark;
	other.number = 2;
	ck_assert_uint_eq(cx_accounts_take_again(accounts, &other, &told), 0);
	ck_assert_uint_eq(cx_accounts_take_again(accounts, &mark, &told), 1);
	ck_assert_uint_eq(cx_accounts_take_again(accounts, &mark, &told), 0); /* it is somebody's */
	ck_assert_uint_eq(told.cpu_us, 7000);
	ck_assert_uint_eq(cx_accounts_take(accounts), 0);
	cx_accounts_look(accounts, 1, &hits);
	ck_assert_uint_eq(hits.cpu_us, 8000);
	cx_accounts_read(accounts, 1, &used);
	ck_assert(used.has_cpu && used.has_memory);
	ck_assert_uint_eq(used.user_us, 8000);
	ck_assert_uint_eq(used.memory_peak_bytes, 50000);
}
END_TEST

static void refuse(const char *own, const char *around)
{
	put("all", "cmd-1/pids.events", own);
	put("all", "pids.events.local", around);
}

/* Since Linux 6.11 a limit's hits are counted where the limit is. */
START_TEST(test_a_sandbox_limit_of_processes_is_heard_of)
{
	struct cx_accounts_hits hits;

	open_v2();
	refuse("max 0\n", "max 0\n");
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	refuse("max 0\n", "max 3\n");
	cx_accounts_look(accounts, 1, &hits);
	ck_assert(hits.refused == 0 && hits.refused_around == 3);
	cx_accounts_give_back(accounts, 1, false);
	put("all", "cmd-1/memory.peak", "");
	ck_assert(!cx_accounts_settle(accounts));
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	cx_accounts_look(accounts, 1, &hits); /* that was the earlier one's time */
	ck_assert(hits.refused == 0 && hits.refused_around == 0);
	refuse("max 2\n", "max 3\n");
	cx_accounts_look(accounts, 1, &hits);
	ck_assert(hits.refused == 2 && hits.refused_around == 0);
}
END_TEST

/* An earlier gateway's slots: those that are empty serve again, with what they counted as base. */
START_TEST(test_slots_are_found)
{
	int dirs[CX_ACCOUNTS_MAX];
	struct cx_figures used;

	open_v1();
	cx_accounts_close(accounts);
	accounts = NULL;
	count_v1("8000000\n", "0\n", "0\n", "9999\n");
	dirs[0] = look("memory");
	dirs[1] = look("cpu");
	dirs[2] = look("pids");
	ck_assert_int_eq(cx_accounts_open(dirs, 3, false, &accounts, &err), 0);
	ck_assert_uint_eq(cx_accounts_take(accounts), 1);
	count_v1("8500000\n", "0\n", "0\n", "9999\n");
	cx_accounts_read(accounts, 1, &used);
	ck_assert_uint_eq(used.user_us, 500);
	ck_assert_uint_eq(cx_accounts_take(accounts), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("exec/accounts");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_waiting_is_told_of_who_is_watched, 0, 2);
	tcase_add_test(tcase, test_a_command_has_what_was_added);
	tcase_add_test(tcase, test_what_has_gone_meanwhile_is_not_taken_off);
	tcase_add_test(tcase, test_who_is_left_keeps_the_slot);
	tcase_add_test(tcase, test_limits_are_lifted_again);
	tcase_add_test(tcase, test_where_the_kernel_killed_is_made_anew);
	tcase_add_test(tcase, test_files_are_held);
	tcase_add_test(tcase, test_v2_counts_in_one_directory);
	tcase_add_test(tcase, test_a_command_is_counted_on);
	tcase_add_test(tcase, test_a_sandbox_limit_of_processes_is_heard_of);
	tcase_add_test(tcase, test_slots_are_found);
	suite_add_tcase(s, tcase);
	return run_suite(s);
}
