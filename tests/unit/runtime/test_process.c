/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check_main.h"

#include "base/fd.h"
#include "policy/policy.h"
#include "runtime/process.h"

enum { BASE = 65536 * 9000 };

static char path[] = "PATH=/usr/bin:/bin", only[] = "ONLY=this", sh[] = "sh", dash_c[] = "-c";
static char *const environment[] = { path, only, NULL };

/* Runs a shell text by the plan and returns what it printed. */
static const char *output_of(struct cx_process_plan *plan, const char *text)
{
	static char out[8192];
	cx_autofree char *copy = strdup(text);
	char *argv[] = { sh, dash_c, copy, NULL };
	cx_autofd int r = -EBADF, w = -EBADF, pidfd = -EBADF;
	int fds[3] = { -EBADF };
	struct cx_err err = { 0 };
	siginfo_t info;
	pid_t pid;
	ssize_t n;

	ck_assert_int_eq(cx_pipe(&r, &w, &err), 0);
	fds[1] = fds[2] = w;
	if (plan->path == NULL)
		plan->path = "/bin/sh";
	plan->argv = argv;
	plan->envp = environment;
	plan->fds = fds;
	plan->nfds = 3;
	ck_assert_msg(cx_process_start(plan, &pid, &pidfd, &err) == 0, "%s", err.msg);
	cx_close(&w);
	n = cx_read_upto(r, out, sizeof out - 1, &err);
	ck_assert_int_ge(n, 0);
	out[n] = '\0';
	ck_assert_int_eq(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
	ck_assert_int_eq(info.si_pid, pid);
	return out;
}

START_TEST(only_the_given_environment_and_descriptors)
{
	struct cx_process_plan plan = { 0 };
	int leak = open("/", O_RDONLY | O_DIRECTORY); /* not O_CLOEXEC on purpose */

	ck_assert_str_eq(output_of(&plan, "tr '\\0' '\\n' < /proc/$$/environ"),
			 "PATH=/usr/bin:/bin\nONLY=this\n");
	ck_assert_str_eq(output_of(&plan, "ls /proc/$$/fd; true"), "0\n1\n2\n");
	ck_assert_str_eq(output_of(&plan, "readlink /proc/$$/fd/0"), "/dev/null\n");
	(void)close(leak);
}
END_TEST

START_TEST(mounts_of_the_host_are_never_changed)
{
	struct cx_process_plan plan = { .path = "/bin/true", .nfds = 3, .new_mounts = 1 };
	struct cx_err err = { 0 };
	pid_t pid;
	int pidfd;

	ck_assert_int_lt(cx_process_start(&plan, &pid, &pidfd, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "mounts of the host"));
}
END_TEST

START_TEST(signals_are_as_new)
{
	struct cx_process_plan plan = { 0 };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t all;
	struct {
		void (*handler)(int);
		unsigned long rest[3];
	} raw = { .handler = SIG_IGN };

	(void)sigaction(SIGPIPE, &ignore, NULL);
	ck_assert_int_eq(syscall(SYS_rt_sigaction, 33, &raw, NULL, 8), 0); /* libc's own */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	ck_assert_str_eq(output_of(&plan, "grep -E 'SigBlk|SigIgn' /proc/self/status"),
			 "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}
END_TEST

START_TEST(session_and_umask_are_its_own)
{
	struct cx_process_plan plan = { 0 };

	(void)umask(0);
	ck_assert_str_eq(
		output_of(&plan, "umask; [ $(cut -d ' ' -f 6 /proc/$$/stat) = $$ ] && echo leads"),
		"0022\nleads\n");
}
END_TEST

START_TEST(no_capability_is_left)
{
	struct cx_process_plan plan = { .drop_caps = 1, .uid = 1234, .gid = 4321 };
	const gid_t group = 12345;
	const char *said;

	ck_assert_int_eq(setgroups(1, &group), 0);
	said = output_of(&plan, "grep -E 'Cap|NoNew|Uid|Gid|Groups' /proc/self/status");
	ck_assert_str_eq(said, "Uid:\t1234\t1234\t1234\t1234\nGid:\t4321\t4321\t4321\t4321\n"
			       "Groups:\t \n"
			       "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
			       "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
			       "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n");
}
END_TEST

START_TEST(a_directory_of_root_only_is_no_obstacle)
{
	char dir[] = "/tmp/caisson-process.XXXXXX", shell[64], copy[96];
	struct cx_process_plan plan = { .drop_caps = 1, .uid = 1234, .gid = 4321, .path = shell };
	const char *said;

	ck_assert_ptr_nonnull(mkdtemp(dir)); /* mode 0700 */
	(void)snprintf(shell, sizeof shell, "%s/sh", dir);
	(void)snprintf(copy, sizeof copy, "cp /bin/sh %s", shell);
	ck_assert_int_eq(system(copy), 0);
	said = output_of(&plan, "echo here");
	ck_assert_int_eq(unlink(shell), 0);
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_str_eq(said, "here\n");
}
END_TEST

START_TEST(nothing_gains_a_privilege)
{
	struct cx_process_plan plan = { .uid = 0 };

	ck_assert_str_eq(output_of(&plan, "grep NoNew /proc/self/status"), "NoNewPrivs:\t1\n");
}
END_TEST

START_TEST(limits_are_lowered)
{
	struct cx_process_plan plan = { .nofile = 100,
					.address_space = (uint64_t)1 << 30,
					.cpu_seconds = 7 };

	ck_assert_str_eq(output_of(&plan, "echo $(ulimit -Hn) $(ulimit -v) $(ulimit -t)"),
			 "100 1048576 7\n");
}
END_TEST

START_TEST(namespaces_and_ids)
{
	struct cx_process_plan plan = { .namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
						      CLONE_NEWNET | CLONE_NEWIPC,
					.uid_base = BASE,
					.drop_caps = 1,
					.new_mounts = 1 };
	char expected[200];

	/* As systemd leaves it: what a worker mounts would be seen here, were it not careful. */
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	(void)snprintf(expected, sizeof expected, "%10d %10d %10d\n", 0, BASE, 65536);
	ck_assert_str_eq(output_of(&plan, "cat /proc/self/uid_map"), expected);
	ck_assert_str_eq(output_of(&plan, "cat /proc/self/gid_map"), expected);
	ck_assert_str_eq(
		output_of(&plan, "echo $$ $(id -u) $(id -g); grep CapEff /proc/self/status"),
		"1 0 0\nCapEff:\t0000000000000000\n");
	ck_assert_str_eq(output_of(&plan, "grep -E 'shared:|master:' /proc/self/mountinfo"), "");
}
END_TEST

static const struct {
	const char *path;
	uint64_t namespaces;
	uint32_t uid_base;
	int uid, errnum;
	const char *says;
} refused[] = {
	{ "/nowhere/at-all", 0, 0, 0, ENOENT, "open" },
	{ "sh", 0, 0, 0, EINVAL, "absolute" },
	{ "/bin/sh", CLONE_NEWUSER, 0, 0, EINVAL, "ids from" },
	{ "/bin/sh", CLONE_NEWUSER, 1000, 0, EINVAL, "ids from" },
	{ "/bin/sh", CLONE_NEWUSER, BASE + 1, 0, EINVAL, "ids from" },
	{ "/bin/sh", CLONE_NEWUSER, UINT32_MAX - 65535, 0, EINVAL, "ids from" },
	{ "/bin/sh", CLONE_NEWUSER, BASE, 5, EINVAL, "user" },
	{ "/bin/sh", CLONE_NEWUSER | CLONE_FS, BASE, 0, EINVAL, "clone3" },
};

START_TEST(a_failure_is_reported_and_leaves_no_process)
{
	char *argv[] = { sh, NULL };
	int fds[3] = { -EBADF, -EBADF, -EBADF };
	struct cx_process_plan plan = { .path = refused[_i].path,
					.argv = argv,
					.envp = environment,
					.fds = fds,
					.nfds = 3,
					.namespaces = refused[_i].namespaces,
					.uid_base = refused[_i].uid_base,
					.uid = (uid_t)refused[_i].uid };
	struct cx_err err = { 0 };
	int pidfd = -EBADF, before = dup(0), after;
	pid_t pid = 0;

	(void)close(before);
	ck_assert_int_lt(cx_process_start(&plan, &pid, &pidfd, &err), 0);
	ck_assert_msg(strstr(err.msg, refused[_i].says) != NULL, "%s", err.msg);
	if (err.refused == 0)
		ck_assert_int_eq(err.errnum, refused[_i].errnum);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert_int_eq(pidfd, -EBADF);
	after = dup(0);
	ck_assert_int_eq(before, after); /* no descriptor was left open */
	(void)close(after);
}
END_TEST

/* A parent that starts a sleeper and ends; the sleeper must end too. */
START_TEST(dies_with_its_parent)
{
	char sleep_name[] = "sleep", minute[] = "60", *argv[] = { sleep_name, minute, NULL };
	int fds[3] = { -EBADF, -EBADF, -EBADF };
	struct cx_process_plan plan = { .path = "/bin/sleep",
					.argv = argv,
					.envp = environment,
					.fds = fds,
					.nfds = 3,
					.drop_caps = 1,
					.uid = 1234,
					.gid = 1234,
					.die_with_parent = 1 };
	cx_autofd int r = -EBADF, w = -EBADF;
	struct cx_err err = { 0 };
	pid_t pid = 0, parent;
	int pidfd, status;

	ck_assert_int_eq(cx_pipe(&r, &w, &err), 0);
	parent = fork();
	if (parent == 0) {
		if (cx_process_start(&plan, &pid, &pidfd, &err) == 0)
			(void)!write(w, &pid, sizeof pid);
		(void)pause();
	}
	ck_assert_int_eq(read(r, &pid, sizeof pid), sizeof pid);
	ck_assert_int_eq(kill(pid, 0), 0);
	(void)kill(parent, SIGKILL);
	ck_assert_int_eq(waitpid(parent, &status, 0), parent);
	for (int tries = 0; tries < 200 && kill(pid, 0) == 0; tries++)
		(void)usleep(10000);
	ck_assert_int_eq(kill(pid, 0), -1);
}
END_TEST

/* In a child, because it cannot be undone. */
START_TEST(supervisor_keeps_its_list)
{
	unsigned long long list = 0;
	char expected[256], status[4096], *caps;
	struct cx_err err = { 0 };
	pid_t pid;
	int how;

	for (size_t i = 0; i < cx_policy_nsupervisor_caps; i++)
		list |= 1ULL << cx_policy_supervisor_caps[i].cap;
	(void)snprintf(expected, sizeof expected,
		       "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\nCapBnd:\t%016llx\n"
		       "CapAmb:\t%016llx\n",
		       0ULL, list, list, list, 0ULL);
	pid = fork();
	if (pid == 0) {
		if (cx_process_trim_supervisor(&err) < 0 ||
		    cx_read_small_file(AT_FDCWD, "/proc/self/status", status, sizeof status, &err) <
			    0)
			_exit(2);
		caps = strstr(status, "CapInh:");
		_exit(caps != NULL && strncmp(caps, expected, strlen(expected)) == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &how, 0), pid);
	ck_assert_int_eq(how, 0);
}
END_TEST

START_TEST(sealed_file)
{
	char seven[] = "exit 7", *argv[] = { sh, dash_c, seven, NULL };
	struct cx_err err = { 0 };
	cx_autofd int fd = cx_process_seal_file("/bin/sh", 0111, &err);
	struct stat copy, original;
	pid_t pid;
	int how;

	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert_int_eq(fstat(fd, &copy), 0);
	ck_assert_int_eq(stat("/bin/sh", &original), 0);
	ck_assert_int_eq(copy.st_size, original.st_size);
	ck_assert_int_eq(copy.st_mode & 07777, 0111);
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	pid = fork();
	if (pid == 0) {
		(void)execveat(fd, "", argv, environment, AT_EMPTY_PATH);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(pid, &how, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(how), 7);
	ck_assert_int_lt(cx_process_seal_file("/", 0111, &err), 0);
	ck_assert_int_eq(cx_process_seal_file("/nowhere", 0111, &err), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("runtime/process");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, only_the_given_environment_and_descriptors);
	tcase_add_test(tc, mounts_of_the_host_are_never_changed);
	tcase_add_test(tc, signals_are_as_new);
	tcase_add_test(tc, session_and_umask_are_its_own);
	tcase_add_test(tc, no_capability_is_left);
	tcase_add_test(tc, a_directory_of_root_only_is_no_obstacle);
	tcase_add_test(tc, nothing_gains_a_privilege);
	tcase_add_test(tc, limits_are_lowered);
	tcase_add_test(tc, namespaces_and_ids);
	tcase_add_loop_test(tc, a_failure_is_reported_and_leaves_no_process, 0, CX_LEN(refused));
	tcase_add_test(tc, dies_with_its_parent);
	tcase_add_test(tc, supervisor_keeps_its_list);
	tcase_add_test(tc, sealed_file);
	suite_add_tcase(s, tc);
	return run_root_suite(s);
}
