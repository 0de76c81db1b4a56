/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/commands.h"

/*
 * A key for this one call in a directory of our own, a session that takes it, OpenSSH's client with
 * both; afterwards nothing is left of either.
 */
enum { PATH_BYTES = 128, ARGS_MAX = 4096, KEY_BYTES_MAX = 1024, FIXED_ARGS = 24 };

struct login {
	struct cx_cli *cli;
	char dir[PATH_BYTES];
	char key[PATH_BYTES], public[PATH_BYTES], known[PATH_BYTES];
	json_t *session; /* the answer, or NULL */
};

/* ---- programs -------------------------------------------------------------------------------- */

/* Starts a program of PATH with the signals that we keep from ourselves. */
static int start(char **argv, bool quiet, pid_t *ret, struct cx_err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, pipe;
	int r;

	(void)sigemptyset(&none);
	(void)sigemptyset(&pipe);
	(void)sigaddset(&pipe, SIGPIPE);
	if (posix_spawnattr_init(&attr) != 0 || posix_spawn_file_actions_init(&actions) != 0)
		return cx_fail(err, ENOMEM, "start %s", argv[0]);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &pipe);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (quiet)
		(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
						       O_WRONLY, 0);
	r = posix_spawnp(ret, argv[0], &actions, &attr, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	if (r == ENOENT)
		return cx_refuse(err, CX_NOT_FOUND,
				 "'%s' is not there: install OpenSSH's client programs", argv[0]);
	return r != 0 ? cx_fail(err, r, "start %s", argv[0]) : 0;
}

static int status_of(int status)
{
	return WIFSIGNALED(status) ? CX_EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What a terminal sends it gets itself; what is meant for us alone is passed on. */
static void pass_signals(struct cx_cli *cli, pid_t pid)
{
	struct signalfd_siginfo info;

	while (read(cli->signals, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP ||
		    (info.ssi_signo == SIGINT && info.ssi_pid != 0))
			(void)kill(pid, (int)info.ssi_signo);
}

/* Its exit status. */
static int await(struct cx_cli *cli, pid_t pid, struct cx_err *err)
{
	cx_autofd int ended = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd fds[] = { { .fd = ended, .events = POLLIN },
				{ .fd = cli->signals, .events = POLLIN } };
	int status = 0;

	while (ended >= 0 && poll(fds, CX_LEN(fds), -1) >= 0 && fds[0].revents == 0)
		pass_signals(cli, pid);
	if (waitpid(pid, &status, 0) < 0)
		return cx_fail(err, errno, "wait for a program");
	return status_of(status);
}

/* ---- the key --------------------------------------------------------------------------------- */

static int make_directory(struct login *l, struct cx_err *err)
{
	const char *tmp = getenv("TMPDIR");

	if (tmp == NULL || strlen(tmp) > PATH_BYTES - 40)
		tmp = "/tmp";
	if (cx_format(l->dir, sizeof l->dir, "%s/caisson-ssh-XXXXXX", err, tmp) < 0)
		return -err->errnum;
	if (mkdtemp(l->dir) == NULL) {
		l->dir[0] = '\0';
		return cx_fail(err, errno, "make a directory in '%s'", tmp);
	}
	if (cx_format(l->key, sizeof l->key, "%s/key", err, l->dir) < 0 ||
	    cx_format(l->public, sizeof l->public, "%s.pub", err, l->key) < 0)
		return -err->errnum;
	return cx_format(l->known, sizeof l->known, "%s/known_hosts", err, l->dir);
}

static int make_key(struct login *l, struct cx_err *err)
{
	char program[] = "ssh-keygen", quiet[] = "-q", type[] = "-t", ed25519[] = "ed25519",
	     word[] = "-N", empty[] = "", comment[] = "-C", file[] = "-f";
	char *argv[] = { program, quiet, type, ed25519, word, empty,
			 comment, empty, file, l->key,	NULL };
	pid_t pid;
	int status;

	if (start(argv, true, &pid, err) < 0)
		return -err->errnum;
	status = await(l->cli, pid, err);
	if (status > 0)
		return cx_refuse(err, CX_INTERNAL, "ssh-keygen ended with status %d", status);
	return status;
}

/* ---- the session ----------------------------------------------------------------------------- */

static int open_session(struct login *l, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	CX_AUTO(json_decrefp) json_t *body = json_object();
	char key[KEY_BYTES_MAX];

	if (cx_read_small_file(AT_FDCWD, l->public, key, sizeof key, err) < 0 ||
	    cx_cli_set_text(body, "public_key", key, err) < 0 ||
	    cx_cli_sandbox_path(&path, l->cli->args.words[0], "/ssh-session", err) < 0)
		return -err->errnum;
	return cx_cli_call(l->cli, "POST", path.p, body, &l->session, err);
}

static const char *member(const struct login *l, const char *name)
{
	const char *text = json_string_value(json_object_get(l->session, name));

	return text != NULL ? text : "";
}

/* The server is known by its key, whatever its address is. */
static int know_host(const struct login *l, struct cx_err *err)
{
	cx_autofd int fd = open(l->known, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char line[KEY_BYTES_MAX];

	if (fd < 0)
		return cx_fail(err, errno, "write '%s'", l->known);
	if (cx_format(line, sizeof line, "caisson %s\n", err, member(l, "host_key")) < 0)
		return -err->errnum;
	return cx_write_all(fd, line, strlen(line), err);
}

/* Nobody waits for what fails here: the session ends by itself. */
static void close_session(struct login *l)
{
	CX_AUTO(cx_buf_free) struct cx_buf path = { 0 };
	char tail[PATH_BYTES];
	struct cx_err ignored;

	l->cli->signo = 0; /* what was answered already must not cut this short */
	if (l->session != NULL &&
	    cx_format(tail, sizeof tail, "/ssh-session/%s", &ignored, member(l, "session_id")) ==
		    0 &&
	    cx_cli_sandbox_path(&path, member(l, "sandbox_id"), tail, &ignored) == 0)
		(void)!cx_cli_call(l->cli, "DELETE", path.p, NULL, NULL, &ignored);
	json_decref(l->session);
	if (l->dir[0] == '\0')
		return;
	(void)unlink(l->key);
	(void)unlink(l->public);
	(void)unlink(l->known);
	(void)rmdir(l->dir);
}

/* ---- ssh ------------------------------------------------------------------------------------- */

static int run_ssh(struct login *l, struct cx_err *err)
{
	const struct cx_args *a = &l->cli->args;
	char program[] = "ssh", identity[] = "-i", option[] = "-o", only[] = "IdentitiesOnly=yes",
	     alias[] = "HostKeyAlias=caisson", strict[] = "StrictHostKeyChecking=yes",
	     global[] = "GlobalKnownHostsFile=/dev/null", port_option[] = "-p", tty[] = "-t",
	     user_option[] = "-l";
	char known[PATH_BYTES + 32], port[16];
	char host[PATH_BYTES * 2], user[PATH_BYTES];
	char *argv[ARGS_MAX] = { program, identity,    l->key, option,	    only,   option,
				 alias,	  option,      strict, option,	    global, option,
				 known,	  port_option, port,   user_option, user,   host };
	size_t n = 18;
	pid_t pid;

	if (cx_format(host, sizeof host, "%s", err, member(l, "host")) < 0 ||
	    cx_format(user, sizeof user, "%s", err, member(l, "session_id")) < 0)
		return -err->errnum;
	if (host[0] == '\0' || host[0] == '-' || user[0] == '\0' || user[0] == '-')
		return cx_refuse(err, CX_INTERNAL, "the server's answer names no host");
	if (a->nrest > ARGS_MAX - FIXED_ARGS)
		return cx_refuse(err, CX_INVALID, "more than %d arguments", ARGS_MAX - FIXED_ARGS);
	if (cx_format(known, sizeof known, "UserKnownHostsFile=%s", err, l->known) < 0 ||
	    cx_format(port, sizeof port, "%lld", err,
		      (long long)json_integer_value(json_object_get(l->session, "port"))) < 0)
		return -err->errnum;
	if (a->shell != NULL)
		argv[n++] = tty;
	for (size_t i = 0; i < a->nrest; i++)
		argv[n++] = a->rest[i];
	if (a->shell != NULL)
		memcpy(&argv[n], &a->shell, sizeof a->shell); /* changes nothing of it */
	if (start(argv, false, &pid, err) < 0)
		return -err->errnum;
	return await(l->cli, pid, err);
}

int cx_cmd_ssh(struct cx_cli *cli, struct cx_err *err)
{
	CX_AUTO(close_session) struct login l = { .cli = cli };

	if (cx_cli_take_signals(cli, err) < 0 || make_directory(&l, err) < 0 ||
	    make_key(&l, err) < 0 || open_session(&l, err) < 0 || know_host(&l, err) < 0)
		return cli->signo != 0 ? CX_EXIT_SIGNAL + cli->signo : -err->errnum;
	return run_ssh(&l, err);
}
