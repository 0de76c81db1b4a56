/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's fence, in a child each time: it cannot be undone. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "api/fence.h"
#include "base/fd.h"
#include "check_main.h"

enum { WORKED = 0, REFUSED = 1, OTHERWISE = 2, NO_FENCE = 99 };

/* What fn, run behind the fence, returned. */
static int behind_fence(int (*fn)(void))
{
	struct cx_err err = { 0 };
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(cx_fence_close(&err) == 0 ? fn() : NO_FENCE);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "status %#x", (unsigned)status);
	return WEXITSTATUS(status);
}

/* By prctl the fence forbids to ask, so the kernel's own file tells. */
static int says_fenced(void)
{
	struct cx_err err = { 0 };
	char status[4096];

	if (cx_read_small_file(AT_FDCWD, "/proc/self/status", status, sizeof status, &err) < 0)
		return OTHERWISE;
	return strstr(status, "NoNewPrivs:\t1\n") != NULL && strstr(status, "Seccomp:\t2\n") != NULL
		       ? WORKED
		       : REFUSED;
}

START_TEST(fenced)
{
	ck_assert_int_eq(behind_fence(says_fenced), WORKED);
}
END_TEST

/* The kernel gives the files of an untraceable process to root, whoever it is itself. */
START_TEST(untraceable)
{
	struct cx_err err = { 0 };
	int ready[2], hold[2], status;
	char path[64], byte;
	struct stat st;
	pid_t pid;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(hold, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (setresgid(1234, 1234, 1234) < 0 || setresuid(1234, 1234, 1234) < 0 ||
		    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 || cx_fence_close(&err) < 0 ||
		    write(ready[1], "r", 1) != 1)
			_exit(NO_FENCE);
		_exit((int)read(hold[0], &byte, 1));
	}
	(void)close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	(void)snprintf(path, sizeof path, "/proc/%d/environ", pid);
	ck_assert_int_eq(stat(path, &st), 0);
	(void)kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_uint_eq(st.st_uid, 0);
	(void)close(ready[0]);
	(void)close(hold[0]);
	(void)close(hold[1]);
}
END_TEST

static int answer(long rc)
{
	if (rc >= 0)
		return WORKED;
	return errno == EPERM ? REFUSED : OTHERWISE;
}

static int make_socket(void)
{
	return answer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int connect_socket(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	return answer(connect(-1, &none, sizeof none));
}

static int execute(void)
{
	char name[] = "true", *argv[] = { name, NULL };

	return answer(execve("/bin/true", argv, argv + 1));
}

static int make_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return answer(pid);
}

static int make_namespace(void)
{
	return answer(unshare(CLONE_NEWUSER));
}

static int trace(void)
{
	return answer(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int signal_parent(void)
{
	return answer(kill(getppid(), 0));
}

static int mount_something(void)
{
	return answer(mount("none", "/nowhere", "tmpfs", 0, NULL));
}

static int load_program(void)
{
	return answer(syscall(SYS_bpf, 0, NULL, 0));
}

static int rename_file(void)
{
	return answer(rename("/nowhere/a", "/nowhere/b"));
}

static const struct {
	const char *name;
	int (*run)(void);
} refused[] = {
	{ "socket", make_socket }, { "connect", connect_socket }, { "execve", execute },
	{ "fork", make_process },  { "unshare", make_namespace }, { "ptrace", trace },
	{ "kill", signal_parent }, { "mount", mount_something },  { "bpf", load_program },
	{ "rename", rename_file },
};

START_TEST(refuses)
{
	int said = behind_fence(refused[_i].run);

	ck_assert_msg(said == REFUSED, "%s: %d", refused[_i].name, said);
}
END_TEST

static int serves(void)
{
	cx_autofd int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int pair[2];

	if (fd < 0 || write(fd, "x", 1) != 1)
		return OTHERWISE;
	return answer(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
}

START_TEST(lets_it_serve)
{
	ck_assert_int_eq(behind_fence(serves), WORKED);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("api/fence");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, fenced);
	tcase_add_test(tc, untraceable);
	tcase_add_loop_test(tc, refuses, 0, CX_LEN(refused));
	tcase_add_test(tc, lets_it_serve);
	suite_add_tcase(s, tc);
	return run_root_suite(s);
}
