/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image worker has left after cx_confine(). This program starts itself as caissond starts a
 * worker, and looks at it from outside: behind the filter it could not tell.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "check_main.h"
#include "image/confine.h"
#include "runtime/process.h"

enum { BASE = 65536 * 9100, FAILED = 98, CAME_BACK = 97 };

/* ---- the worker ------------------------------------------------------------------------------ */

static int wait_for_end(void)
{
	char byte;

	return (int)read(STDIN_FILENO, &byte, 1);
}

static int look_for_file(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == ENOENT ? 0 : CAME_BACK;
}

static int make_socket(void)
{
	(void)socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return CAME_BACK;
}

static int make_process(void)
{
	if (fork() == 0)
		_exit(0);
	return CAME_BACK;
}

static int execute(void)
{
	char name[] = "true", *argv[] = { name, NULL };

	(void)execve("/bin/true", argv, argv + 1);
	return CAME_BACK;
}

static int mount_something(void)
{
	(void)mount("none", "/", "tmpfs", 0, NULL);
	return CAME_BACK;
}

static int signal_itself(void)
{
	(void)kill(getpid(), 0);
	return CAME_BACK;
}

static int control_terminal(void)
{
	(void)syscall(SYS_ioctl, 0, 0x5412, "x"); /* TIOCSTI */
	return CAME_BACK;
}

static const struct {
	const char *name;
	int (*run)(void);
	int signo; /* that ends it; 0: it exits with 0 */
} acts[] = {
	{ "wait", wait_for_end, 0 },	   { "open", look_for_file, 0 },
	{ "socket", make_socket, SIGSYS }, { "fork", make_process, SIGSYS },
	{ "execve", execute, SIGSYS },	   { "mount", mount_something, SIGSYS },
	{ "kill", signal_itself, SIGSYS }, { "ioctl", control_terminal, SIGSYS },
};

static int worker(const char *name)
{
	struct cx_err err = { 0 };

	/* A descriptor more than a worker may have. */
	if (open("/", O_RDONLY | O_DIRECTORY) < 0 || cx_confine(&err) < 0)
		return FAILED;
	if (write(STDOUT_FILENO, "c", 1) != 1)
		return FAILED;
	for (size_t i = 0; i < CX_LEN(acts); i++)
		if (strcmp(name, acts[i].name) == 0)
			return acts[i].run();
	return FAILED;
}

/* ---- outside --------------------------------------------------------------------------------- */

struct worker {
	pid_t pid;
	int pidfd, in, proc;
};

/* Comes back when it is confined. */
static void start(struct worker *w, const char *act)
{
	char name[] = "test_confine", what[16], path[64], self[PATH_MAX], byte;
	char *argv[] = { name, what, NULL }, *envp[] = { NULL };
	cx_autofd int in = -EBADF, out = -EBADF, says = -EBADF;
	struct cx_err err = { 0 };
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	int fds[4];
	const struct cx_process_plan plan = { .path = self,
					      .argv = argv,
					      .envp = envp,
					      .fds = fds,
					      .nfds = CX_LEN(fds),
					      .namespaces = CLONE_NEWUSER | CLONE_NEWNS |
							    CLONE_NEWPID | CLONE_NEWNET |
							    CLONE_NEWIPC | CLONE_NEWUTS,
					      .uid_base = BASE,
					      .new_mounts = 1,
					      .die_with_parent = 1 };

	ck_assert_int_gt((int)len, 0);
	self[len] = '\0';
	(void)snprintf(what, sizeof what, "%s", act);
	ck_assert_int_eq(cx_pipe(&in, &w->in, &err), 0);
	ck_assert_int_eq(cx_pipe(&says, &out, &err), 0);
	fds[0] = in;
	fds[1] = fds[3] = out;
	fds[2] = STDERR_FILENO;
	ck_assert_msg(cx_process_start(&plan, &w->pid, &w->pidfd, &err) == 0, "%s", err.msg);
	cx_close(&out);
	ck_assert_int_eq(read(says, &byte, 1), 1);
	(void)snprintf(path, sizeof path, "/proc/%d", w->pid);
	w->proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(w->proc, 0);
}

static int end(struct worker *w)
{
	int status = -1;

	cx_close(&w->in);
	ck_assert_int_eq(waitpid(w->pid, &status, 0), w->pid);
	cx_close(&w->pidfd);
	cx_close(&w->proc);
	return status;
}

static const char *read_proc(const struct worker *w, const char *name)
{
	static char text[16384];
	struct cx_err err = { 0 };

	ck_assert_msg(cx_read_small_file(w->proc, name, text, sizeof text, &err) >= 0, "%s",
		      err.msg);
	return text;
}

static int entries_of(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	ck_assert_msg(dir != NULL, "%s: %s", name, strerror(errno));
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n - 2;
}

START_TEST(nothing_is_left)
{
	static const char *const lines[] = {
		"CapInh:\t0000000000000000\n",
		"CapPrm:\t0000000000000000\n",
		"CapEff:\t0000000000000000\n",
		"CapBnd:\t0000000000000000\n",
		"CapAmb:\t0000000000000000\n",
		"NoNewPrivs:\t1\n",
		"Seccomp:\t2\n",
	};
	struct worker w;

	start(&w, "wait");
	for (size_t i = 0; i < CX_LEN(lines); i++)
		ck_assert_msg(strstr(read_proc(&w, "status"), lines[i]) != NULL, "not %s",
			      lines[i]);
	ck_assert_int_eq(entries_of(w.proc, "fd"), 4);
	ck_assert_int_eq(end(&w), 0);
}
END_TEST

static void expect_limit(const char *limits, const char *name, unsigned most)
{
	const char *line = strstr(limits, name);
	unsigned soft = 1 << 30, hard = 1 << 30;

	ck_assert_ptr_nonnull(line);
	(void)sscanf(line + strlen(name), "%u %u", &soft, &hard);
	ck_assert_msg(soft <= most && hard <= most, "%s: %u, %u", name, soft, hard);
}

START_TEST(limits_are_low)
{
	struct worker w;
	const char *limits;

	start(&w, "wait");
	limits = read_proc(&w, "limits");
	expect_limit(limits, "Max processes", 0);
	expect_limit(limits, "Max core file size", 0);
	expect_limit(limits, "Max open files", 4);
	ck_assert_int_eq(end(&w), 0);
}
END_TEST

/* One mount, which is empty, can be written by nobody, and has no connection to the host's. */
START_TEST(root_is_empty)
{
	struct worker w;
	const char *mounts;
	char *line_end;

	start(&w, "wait");
	mounts = read_proc(&w, "mountinfo");
	line_end = strchr(mounts, '\n');
	ck_assert_ptr_nonnull(line_end);
	ck_assert_msg(line_end[1] == '\0', "more than one mount:\n%s", mounts);
	ck_assert_msg(strstr(mounts, " / / ro,nosuid,nodev,noexec,") != NULL, "%s", mounts);
	ck_assert_msg(strstr(mounts, "shared:") == NULL && strstr(mounts, "master:") == NULL, "%s",
		      mounts);
	ck_assert_int_eq(entries_of(w.proc, "root/"), 0);
	ck_assert_int_eq(entries_of(w.proc, "cwd/"), 0);
	ck_assert_int_eq(end(&w), 0);
}
END_TEST

/* To another process of its user namespace with its ids and without capabilities. */
START_TEST(untraceable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	struct worker w;
	int status = -1;
	pid_t pid;

	start(&w, "wait");
	pid = fork();
	if (pid == 0) {
		int user = openat(w.proc, "ns/user", O_RDONLY | O_CLOEXEC);

		if (user < 0 || setns(user, CLONE_NEWUSER) < 0 || setresgid(0, 0, 0) < 0 ||
		    setresuid(0, 0, 0) < 0 || syscall(SYS_capset, &head, none) < 0)
			_exit(FAILED);
		if (openat(w.proc, "mem", O_RDONLY | O_CLOEXEC) >= 0)
			_exit(CAME_BACK);
		_exit(errno == EACCES ? 0 : FAILED);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "status %#x", (unsigned)status);
	ck_assert_int_eq(end(&w), 0);
}
END_TEST

START_TEST(only_listed_calls)
{
	struct worker w;
	int status;

	start(&w, acts[_i].name);
	status = end(&w);
	if (acts[_i].signo == 0)
		ck_assert_msg(status == 0, "%s: %#x", acts[_i].name, (unsigned)status);
	else
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == acts[_i].signo, "%s: %#x",
			      acts[_i].name, (unsigned)status);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("image/confine");
	TCase *tc = tcase_create("all");

	/* Not by libc: what a sanitizer does at the end is nothing that a worker may. */
	if (argc == 2)
		syscall(SYS_exit_group, worker(argv[1]));
	tcase_add_test(tc, nothing_is_left);
	tcase_add_test(tc, limits_are_low);
	tcase_add_test(tc, root_is_empty);
	tcase_add_test(tc, untraceable);
	tcase_add_loop_test(tc, only_listed_calls, 0, CX_LEN(acts));
	suite_add_tcase(s, tc);
	return run_root_suite(s);
}
