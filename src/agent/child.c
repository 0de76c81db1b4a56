/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "agent/report.h"
#include "agent/sftp.h"
#include "agent/users.h"
#include "base/fd.h"

enum { REPORT_FD = 3, EXIT_NOT_STARTED = 127, STACK_SIZE = 256 * 1024 };

static const char default_path[] =
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* What the steps find out, for those behind them. */
struct child {
	const struct cx_child_plan *plan;
	int report;
	struct cx_user user;
	char *cwd; /* PATH_MAX bytes */
	char **argv, **envp;
	size_t nenv;
};

static int step_session(struct child *c, struct cx_err *err)
{
	if (setsid() < 0)
		return cx_fail(err, errno, "setsid");
	if (c->plan->tty && ioctl(c->plan->fds[0], TIOCSCTTY, 0) < 0)
		return cx_fail(err, errno, "take the terminal");
	return 0;
}

/* Closed, not only marked: until execve nothing of the agent's may be reached by /proc/self/fd. */
static int step_descriptors(struct child *c, struct cx_err *err)
{
	const int fds[] = { c->plan->fds[0], c->plan->fds[1], c->plan->fds[2], c->plan->report };

	if (cx_fds_arrange(fds, CX_LEN(fds), 0, err) < 0)
		return -err->errnum;
	c->report = REPORT_FD;
	if (syscall(SYS_close_range, REPORT_FD + 1U, ~0U, 0) < 0)
		return cx_fail(err, errno, "close descriptors");
	if (fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC) < 0)
		return cx_fail(err, errno, "mark the report pipe");
	return 0;
}

static int step_user(struct child *c, struct cx_err *err)
{
	char spec[256];
	struct cx_str asked = c->plan->exec->user;
	cx_autofd int etc = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (asked.len == 0)
		asked = cx_str_of(c->plan->config->user);
	if (!cx_str_copy(asked, spec, sizeof spec))
		return cx_refuse(err, CX_INVALID, "user name of %u bytes", asked.len);
	if (cx_user_resolve(etc, spec, &c->user, err) < 0)
		return -err->errnum;
	/* Owned by root until now; programs expect to be able to open their own terminal. */
	if (c->plan->tty && fchown(STDIN_FILENO, c->user.uid, (gid_t)-1) < 0)
		return cx_fail(err, errno, "hand over the terminal");
	if (setgroups(c->user.ngroups, c->user.groups) < 0)
		return cx_fail(err, errno, "set %zu supplementary groups", c->user.ngroups);
	if (setresgid(c->user.gid, c->user.gid, c->user.gid) < 0)
		return cx_fail(err, errno, "become group %u", c->user.gid);
	if (setresuid(c->user.uid, c->user.uid, c->user.uid) < 0)
		return cx_fail(err, errno, "become user %u", c->user.uid);
	return 0;
}

/* What a path leads to is the sandbox's: no fault of the engine, but for a disk that fails. */
static int fail_inside(int errnum, const char *doing, const char *path, struct cx_err *err)
{
	int r = cx_fail(err, errnum, "%s '%s'", doing, path);

	if (err->kind == CX_INTERNAL && errnum != EIO)
		err->kind = CX_INVALID;
	return r;
}

static int step_directory(struct child *c, struct cx_err *err)
{
	CX_UNINITIALIZED char now[PATH_MAX];
	struct cx_str asked = c->plan->exec->cwd;

	if (asked.len == 0)
		asked = cx_str_of(c->plan->config->cwd);
	if (asked.len == 0)
		asked = cx_str_of("/");
	if (!cx_str_copy(asked, c->cwd, PATH_MAX))
		return cx_refuse(err, CX_INVALID, "working directory of %u bytes", asked.len);
	if (c->cwd[0] != '/')
		return cx_refuse(err, CX_INVALID, "working directory '%s' must begin with '/'",
				 c->cwd);
	if (chdir(c->cwd) < 0) {
		if (errno == ENOENT)
			return cx_refuse(err, CX_NOT_FOUND, "working directory '%s' does not exist",
					 c->cwd);
		return fail_inside(errno, "enter working directory", c->cwd, err);
	}
	/* The kernel says "(unreachable)" of a directory outside the root. */
	if (getcwd(now, sizeof now) == NULL || now[0] != '/')
		return cx_refuse(err, CX_DENIED, "working directory '%s' is outside of the sandbox",
				 c->cwd);
	return 0;
}

static bool same_key(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n + 1) == 0;
}

/* A later entry replaces an earlier one of its name. One without a name or '=' is left out. */
static void put_env(struct child *c, const char *entry, bool replace)
{
	size_t i = 0;

	if (entry[0] == '=' || strchr(entry, '=') == NULL)
		return;
	while (i < c->nenv && !same_key(entry, c->envp[i]))
		i++;
	if (i < c->nenv && !replace)
		return;
	if (i == c->nenv)
		c->nenv++;
	memcpy(&c->envp[i], &entry, sizeof entry); /* execve() wants char *, and changes nothing */
}

/*
 * Without printf(3): each part of libc that a fresh child comes to is a fault or two, and these are
 * most of what it takes until the command executes.
 */
static void write_entry(char *to, const char *name, const char *value)
{
	(void)strcpy(stpcpy(to, name), value);
}

/*
 * A user that the command itself asks for goes before what the sandbox has for its own one, but not
 * before what the command says about it.
 */
static void put_identity(struct child *c)
{
	static char home[sizeof c->user.home + 8];
	static char user[sizeof c->user.name + 8], logname[sizeof c->user.name + 8];
	bool asked = c->plan->exec->user.len > 0;

	write_entry(home, "HOME=", c->user.home);
	write_entry(user, "USER=", c->user.name);
	write_entry(logname, "LOGNAME=", c->user.name);
	put_env(c, home, asked);
	if (asked && c->user.name[0] != '\0') {
		put_env(c, user, true);
		put_env(c, logname, true);
	}
}

static int step_environment(struct child *c, struct cx_err *err)
{
	static char host[HOST_NAME_MAX + 16];
	struct cx_str base = c->plan->config->env, more = c->plan->exec->env;
	size_t room = cx_strv_count(base) + cx_strv_count(more) + 7;

	c->envp = calloc(room, sizeof *c->envp);
	if (c->envp == NULL)
		return cx_fail(err, ENOMEM, "environment");
	CX_STRV_FOREACH (entry, base)
		put_env(c, entry, true);
	put_identity(c);
	CX_STRV_FOREACH (entry, more)
		put_env(c, entry, true);
	memcpy(host, "HOSTNAME=", 10);
	(void)gethostname(host + 9, HOST_NAME_MAX + 1);
	put_env(c, default_path, false);
	put_env(c, host, false);
	if (c->plan->tty)
		put_env(c, "TERM=xterm", false);
	return 0;
}

static int step_arguments(struct child *c, struct cx_err *err)
{
	enum { SHELL_WORDS = 4 }; /* with the NULL behind them */
	static const char *const shells[] = { "/bin/bash", "/bin/sh" };
	struct cx_str words = c->plan->exec->argv;
	size_t n = 0;

	if (words.len == 0)
		return cx_refuse(err, CX_INVALID, "the command is empty");
	c->argv = calloc(cx_strv_count(words) + SHELL_WORDS, sizeof *c->argv);
	if (c->argv == NULL)
		return cx_fail(err, ENOMEM, "arguments");
	if ((c->plan->exec->flags & CX_EXEC_SHELL) != 0) {
		const char *shell = access(shells[0], X_OK) == 0 ? shells[0] : shells[1];
		const char *line[SHELL_WORDS] = { shell, "-c", words.p, NULL };

		memcpy(c->argv, line, sizeof line);
		return 0;
	}
	CX_STRV_FOREACH (word, words)
		memcpy(&c->argv[n++], &word, sizeof word);
	return 0;
}

/* Never above what it has: limits of processes are lowered only. */
static int step_limits(struct child *c, struct cx_err *err)
{
	const struct cx_msg_exec *exec = c->plan->exec;
	const struct {
		int resource;
		rlim_t value;
	} wanted[] = {
		{ RLIMIT_FSIZE, exec->file_bytes },
		{ RLIMIT_STACK, exec->stack_bytes },
		{ RLIMIT_NOFILE, exec->open_files },
	};

	for (size_t i = 0; i < CX_LEN(wanted); i++) {
		struct rlimit limit;

		if (wanted[i].value == 0)
			continue;
		if (getrlimit((__rlimit_resource_t)wanted[i].resource, &limit) < 0)
			return cx_fail(err, errno, "read a limit");
		if (limit.rlim_max > wanted[i].value)
			limit.rlim_max = wanted[i].value;
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit((__rlimit_resource_t)wanted[i].resource, &limit) < 0)
			return cx_fail(err, errno, "set a limit");
	}
	return 0;
}

/* What makes one run differ from the next: the core where it is begun, kept, is as good as any. */
static int step_quiet(struct child *c, struct cx_err *err)
{
	cpu_set_t one;
	int core;

	if ((c->plan->exec->flags & CX_EXEC_QUIET) == 0)
		return 0;
	core = sched_getcpu();
	CPU_ZERO(&one);
	if (core >= 0)
		CPU_SET((unsigned)core, &one);
	if (core < 0 || sched_setaffinity(0, sizeof one, &one) < 0)
		return cx_fail(err, errno, "stay on one core");
	if (personality(ADDR_NO_RANDOMIZE) < 0)
		return cx_fail(err, errno, "have the same addresses in each run");
	return 0;
}

static int explain(const char *file, int errnum, struct cx_err *err)
{
	if (errnum == ENOENT && access(file, F_OK) == 0)
		return cx_refuse(err, CX_NOT_FOUND,
				 "the interpreter or loader that '%s' needs does "
				 "not exist",
				 file);
	if (errnum == ENOENT || errnum == ENOTDIR)
		return cx_refuse(err, CX_NOT_FOUND, "'%s' does not exist", file);
	if (errnum == ENOEXEC)
		return cx_refuse(err, CX_INVALID,
				 "'%s' is not an executable of this machine, nor a "
				 "script that names its interpreter",
				 file);
	return fail_inside(errnum, "execute", file, err);
}

static const char *search_path(const struct child *c)
{
	for (size_t i = 0; i < c->nenv; i++)
		if (strncmp(c->envp[i], "PATH=", 5) == 0)
			return c->envp[i] + 5;
	return default_path + 5;
}

static bool place(char file[PATH_MAX], const char *dir, size_t len, const char *program)
{
	if (len + 1 + strlen(program) >= PATH_MAX)
		return false;
	memcpy(file, dir, len);
	if (len > 0)
		file[len++] = '/';
	(void)strcpy(file + len, program);
	return true;
}

/* Tries each directory of PATH; the first file that is there but cannot be executed is what we
 * tell. */
static int step_execute(struct child *c, struct cx_err *err)
{
	const char *program = c->argv[0];
	static char denied[PATH_MAX]; /* untouched, it costs nothing */
	CX_UNINITIALIZED char file[PATH_MAX];
	bool is_denied = false;

	if (program[0] == '\0')
		return cx_refuse(err, CX_INVALID, "the command's name is empty");
	if (strchr(program, '/') != NULL) {
		(void)execve(program, c->argv, c->envp);
		return explain(program, errno, err);
	}
	for (const char *p = search_path(c);; p++) {
		size_t len = strcspn(p, ":");

		if (place(file, p, len, program)) {
			(void)execve(file, c->argv, c->envp);
			if (errno == EACCES && !is_denied && access(file, F_OK) == 0) {
				strcpy(denied, file);
				is_denied = true;
			} else if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return explain(file, errno, err);
			else if (errno == ENOENT && access(file, F_OK) == 0)
				return explain(file, ENOENT, err);
		}
		p += len;
		if (*p == '\0')
			break;
	}
	if (is_denied)
		return explain(denied, EACCES, err);
	return cx_refuse(err, CX_NOT_FOUND, "'%s' not found in PATH", program);
}

/* The report's first part: after it the agent knows whose end it waits for. */
static int step_report_pid(struct child *c, struct cx_err *err)
{
	pid_t pid = getpid();

	return cx_write_all(c->report, &pid, sizeof pid, err);
}

static int step_file(struct child *c, struct cx_err *err)
{
	struct cx_fileop_io io = { .data = STDIN_FILENO, .report = c->report };

	if (cx_fileop_run(c->plan->file, &io, err) < 0)
		return -err->errnum;
	_exit(0);
}

/* No program of the image's: what is told as its start is the end of the report. */
static int step_sftp(struct child *c, struct cx_err *err)
{
	cx_close(&c->report);
	_exit(cx_sftp_serve(STDIN_FILENO, STDOUT_FILENO, err) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

struct step {
	int (*run)(struct child *c, struct cx_err *err);
	const char *why;
};

static const struct step common_steps[] = {
	{ step_report_pid, "before anything that may take long" },
	{ step_session, "own session: no terminal or job control is shared with the agent" },
	{ step_descriptors, "nothing of the agent's is left before anything inside is looked at" },
	{ step_user, "what follows is looked up with the user's own rights" },
	{ step_directory, "after the descriptors: /proc/self/fd leads nowhere" },
	{ NULL, "" },
};

static const struct step command_steps[] = {
	{ step_environment, "HOME is known now" },
	{ step_limits, "" },
	{ step_quiet, "" },
	{ step_arguments, "" },
	{ step_execute, "last; comes back only on failure" },
	{ NULL, "" },
};

static const struct step file_steps[] = {
	{ step_file, "last; comes back only on failure" },
	{ NULL, "" },
};

static const struct step sftp_steps[] = {
	{ step_sftp, "last; does not come back" },
	{ NULL, "" },
};

static void run_table(struct child *c, const struct step *step, struct cx_err *err)
{
	for (; step->run != NULL && err->errnum == 0; step++)
		(void)!step->run(c, err);
}

static _Noreturn void give_up(const struct child *c, const struct cx_err *err)
{
	struct cx_report report = { .what = CX_REPORT_ERROR, .err = *err };
	struct cx_err lost;

	(void)!cx_write_all(c->report, &report, sizeof report, &lost);
	_exit(EXIT_NOT_STARTED);
}

static bool is_sftp(const struct cx_child_plan *plan)
{
	return (plan->exec->flags & CX_EXEC_SFTP) != 0;
}

static int run_steps(void *arg)
{
	struct child *c = arg;
	struct cx_err err = { 0 };
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	run_table(c, common_steps, &err);
	run_table(c,
		  c->plan->file != NULL ? file_steps
		  : is_sftp(c->plan)	? sftp_steps
					: command_steps,
		  &err);
	give_up(c, &err);
}

/*
 * The kernel charges what a process needs (its stack, tables and so on) for good to the group of
 * the one that clones it. So this first child only joins the command's group and clones the command
 * from there, as another child of the agent. When the sandbox's limit of processes forbids that, as
 * with a fork bomb inside, this child becomes the command itself: joining is always allowed.
 * Until it is executed a command borrows this child's memory; who works on files has its own.
 */
_Noreturn void cx_child_run(const struct cx_child_plan *plan)
{
	static _Alignas(64) char stack[STACK_SIZE];
	CX_UNINITIALIZED char cwd[PATH_MAX];
	struct child c = { .plan = plan, .report = plan->report, .cwd = cwd };
	struct cx_err err = { 0 };
	int borrow = plan->file == NULL && !is_sftp(plan) ? CLONE_VM | CLONE_VFORK : 0;

	if (cx_group_join(plan->groups, plan->group, &err) < 0)
		give_up(&c, &err);
	if (clone(run_steps, stack + sizeof stack, CLONE_PARENT | borrow | SIGCHLD, &c) >= 0)
		_exit(0);
	(void)run_steps(&c);
	_exit(EXIT_NOT_STARTED);
}
