/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/tlspump.h"

enum { REASON_MAX = 400, PATH_BYTES = 4096, FREE_FD = 10 };

static const char program[] = "caisson-tls";

/* Beside this program, where it was built; else where it is installed. */
static int find_program(char path[PATH_BYTES], struct cx_err *err)
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_BYTES - sizeof program - 1);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL) {
		(void)strcpy(slash + 1, program);
		if (access(path, X_OK) == 0)
			return 0;
	}
	return cx_format(path, PATH_BYTES, "%s/%s", err, CX_LIBEXECDIR, program);
}

static _Noreturn void execute(const char *path, int sock, int plain, const char *host,
			      const char *cacert)
{
	char *const argv[] = { strdup(program), strdup(host),
			       cacert != NULL ? strdup(cacert) : NULL, NULL };
	int null = open("/dev/null", O_RDWR);

	/* Copied out of the way first: one may be where another belongs. */
	null = fcntl(null, F_DUPFD, FREE_FD);
	sock = fcntl(sock, F_DUPFD, FREE_FD);
	plain = fcntl(plain, F_DUPFD, FREE_FD);
	if (dup2(sock, CX_TLS_FD_SOCKET) < 0 || dup2(plain, CX_TLS_FD_PLAIN) < 0)
		_exit(1);
	for (int fd = 0; fd < 3; fd++)
		(void)dup2(null, fd);
	(void)close_range(CX_TLS_FD_PLAIN + 1, ~0U, 0);
	(void)execv(path, argv);
	_exit(1);
}

/* Nobody's child, so that nobody has to wait for its end. */
static int spawn(int sock, int plain, const char *host, const char *cacert, struct cx_err *err)
{
	char path[PATH_BYTES];
	pid_t pid;

	if (find_program(path, err) < 0)
		return -err->errnum;
	pid = fork();
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			execute(path, sock, plain, host, cacert);
		_exit(pid < 0 ? 1 : 0);
	}
	if (pid < 0)
		return cx_fail(err, errno, "fork");
	while (waitpid(pid, NULL, 0) < 0)
		if (errno != EINTR)
			return cx_fail(err, errno, "wait for a child");
	return 0;
}

/* '+', or why not up to its end. */
static int hear(int sock, const char *host, struct cx_err *err)
{
	char said[REASON_MAX + 1];
	ssize_t n = cx_read_upto(sock, said, 1, err);

	if (n == 1 && said[0] == '+')
		return 0;
	if (n == 0)
		return cx_refuse(err, CX_UNAVAILABLE, "cannot start %s: is it installed?", program);
	if (n == 1)
		n = cx_read_upto(sock, said + 1, sizeof said - 2, err);
	if (n < 0)
		return -err->errnum;
	said[n + 1] = '\0';
	return cx_refuse(err, CX_DENIED, "cannot speak with %.100s: %s", host, said);
}

int cx_tls_wrap(int *sock, const char *host, const char *cacert, struct cx_err *err)
{
	cx_autofd int taken = cx_take_fd(sock), ours = -EBADF, theirs = -EBADF;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return cx_fail(err, errno, "socketpair");
	ours = pair[0];
	theirs = pair[1];
	if (spawn(taken, theirs, host, cacert, err) < 0)
		return -err->errnum;
	cx_close(&theirs);
	return hear(ours, host, err) < 0 ? -err->errnum : cx_take_fd(&ours);
}
