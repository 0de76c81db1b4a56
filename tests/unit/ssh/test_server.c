/* SPDX-License-Identifier: Apache-2.0 */
/* Whole connections, of which one send() after the other fails: the worker sees it and ends. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_main.h"

#include "base/fd.h"
#include "ssh/inner.h"
#include "ssh/raw_key.h"
#include "ssh/server.h"

enum {
	PATIENCE_MS = CX_SSH_LOGIN_MS - 5000, /* it may not wait for the end of its own patience */
	SENDS_AT_LEAST = 6,		      /* greeting, keys, two verdicts, channel, its end */
};

/* ---- the worker ------------------------------------------------------------------------------ */

static unsigned sends_left; /* the one that makes it 0 fails */

/* In place of libc's, for libssh too. */
ssize_t send(int fd, const void *p, size_t n, int flags)
{
	if (sends_left > 0 && --sends_left == 0) {
		errno = ENOSPC; /* unlike a client's end it leaves nothing to be polled */
		return -1;
	}
	return sendto(fd, p, n, flags, NULL, 0);
}

/* Its status is whether a send() has failed. */
static _Noreturn void serve(int control, int client, unsigned nth)
{
	struct cx_err err;

	sends_left = nth;
	(void)!cx_ssh_serve(control, client, &err);
	_exit(sends_left == 0);
}

/* ---- its client ------------------------------------------------------------------------------ */

static bool log_in(ssh_session session, const int *sock)
{
	static const bool no = false;
	ssh_key key = NULL;

	return ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &no) == SSH_OK &&
	       ssh_options_set(session, SSH_OPTIONS_HOST, "inside") == SSH_OK &&
	       ssh_options_set(session, SSH_OPTIONS_USER, "somebody") == SSH_OK &&
	       ssh_options_set(session, SSH_OPTIONS_FD, sock) == SSH_OK &&
	       ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) == SSH_OK &&
	       ssh_connect(session) == SSH_OK &&
	       ssh_userauth_publickey(session, NULL, key) == SSH_AUTH_SUCCESS;
}

/* Takes leave only of who has answered to the end; 0, then. */
static _Noreturn void run_command(int sock)
{
	ssh_session session = ssh_new();
	ssh_channel channel;
	char c;

	if (!log_in(session, &sock))
		_exit(1);
	channel = ssh_channel_new(session);
	if (ssh_channel_open_session(channel) != SSH_OK ||
	    ssh_channel_request_exec(channel, "true") != SSH_OK)
		_exit(1);
	while (ssh_channel_read(channel, &c, 1, 0) > 0)
		;
	if (ssh_channel_get_exit_status(channel) < 0)
		_exit(1);
	ssh_disconnect(session);
	_exit(0);
}

/* ---- the gateway ----------------------------------------------------------------------------- */

static struct cx_packet packet;

static void answer(int control)
{
	struct cx_err err;

	if (packet.type == CX_MSG_ssh_login)
		(void)!cx_msg_ssh_verdict_send(
			control, 0, &(struct cx_msg_ssh_verdict){ .allowed = 1 }, NULL, 0, &err);
	if (packet.type == CX_MSG_ssh_start)
		(void)!cx_msg_ssh_refused_send(
			control, packet.request,
			&(struct cx_msg_ssh_refused){ .text = cx_str_of("no") }, NULL, 0, &err);
}

static int status_of(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Until the worker ends by itself. The client's end, which tells it nothing, is closed behind a
 * leave. */
static void attend(int control, pid_t user, int *client)
{
	struct cx_msg_ssh_begin begin = { .host_key = { raw_key, sizeof raw_key - 1 } };
	struct pollfd wait[] = {
		{ .fd = control, .events = POLLIN },
		{ .fd = (int)syscall(SYS_pidfd_open, user, 0), .events = POLLIN },
	};
	cx_autofd int pidfd = wait[1].fd;
	struct cx_err err;

	ck_assert_int_ge(pidfd, 0);
	ck_assert_int_eq(cx_msg_ssh_begin_send(control, 0, &begin, NULL, 0, &err), 0);
	for (;;) {
		ck_assert_msg(poll(wait, CX_LEN(wait), PATIENCE_MS) > 0,
			      "the worker is still there");
		if (wait[1].revents != 0) {
			wait[1].fd = -1;
			if (status_of(user) == 0)
				cx_close(client);
		}
		if (wait[0].revents == 0)
			continue;
		if (cx_packet_recv(control, &packet, &err) <= 0)
			return;
		answer(control);
	}
}

/* Whether the connection had so many sends. */
static bool fails_at(unsigned nth)
{
	int control[2], client[2];
	pid_t worker, user;
	bool failed;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client), 0);
	worker = fork();
	if (worker == 0) {
		close(control[0]);
		close(client[0]);
		serve(control[1], client[1], nth);
	}
	close(control[1]);
	close(client[1]);
	user = fork();
	if (user == 0)
		run_command(client[0]);
	attend(control[0], user, &client[0]);
	failed = status_of(worker) != 0;
	close(control[0]);
	cx_close(&client[0]);
	(void)waitpid(user, NULL, 0);
	return failed;
}

START_TEST(what_cannot_be_sent_ends_the_connection)
{
	struct cx_err err;
	unsigned nth = 1;

	ck_assert_int_eq(cx_ssh_prepare(&err), 0);
	while (fails_at(nth))
		nth++;
	ck_assert_uint_gt(nth, SENDS_AT_LEAST);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ssh/server");
	TCase *tc = tcase_create("connections");

	tcase_set_timeout(tc, 100);
	tcase_add_test(tc, what_cannot_be_sent_ends_the_connection);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
