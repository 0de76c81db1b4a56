/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <string.h>

#include "api/ssh_inner.h"
#include "base/list.h"
#include "base/log.h"

enum {
	HANGUP_MS = 2000, /* between SIGHUP and SIGKILL for a client that went away */
	DIAL_MS = 10000,
	SIGNAL_OF_TIMEOUT = SIGKILL,
};

/* As the product's documents have it: bash, else zsh, else sh. */
static const char best_shell[] = "for s in bash zsh; do p=$(command -v $s) && exec \"$p\" -l; done;"
				 "exec /bin/sh";

static void on_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *why);
static void on_dialled(struct cx_call *call, const struct cx_answer *answer,
		       const struct cx_err *why);

/* ---- its life -------------------------------------------------------------------------------- */

struct cx_ssh_chan *cx_ssh_chan_find(struct cx_ssh_conn *conn, uint32_t number)
{
	struct cx_ssh_chan *chan = conn->chans;

	while (chan != NULL && chan->number != number)
		chan = chan->next;
	return chan;
}

static void detach(struct cx_ssh_chan *chan)
{
	if (chan->conn == NULL)
		return;
	chan->conn->nchans--;
	cx_list_remove(chan);
	chan->conn = NULL;
}

static void free_chan(struct cx_ssh_chan *chan)
{
	detach(chan);
	cx_timer_clear(&chan->kill);
	cx_exec_forget(&chan->exec);
	cx_call_forget(&chan->dial);
	free(chan);
}

static void kill_command(struct cx_timer *timer)
{
	struct cx_ssh_chan *chan = cx_container_of(timer, struct cx_ssh_chan, kill);
	struct cx_err err;

	if (cx_exec_signal(&chan->exec, SIGKILL, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "command of SSH not killed", NULL);
	free_chan(chan);
}

void cx_ssh_chan_hang_up(struct cx_ssh_chan *chan)
{
	struct cx_err err;

	detach(chan);
	if (!cx_exec_pending(&chan->exec)) {
		free_chan(chan);
		return;
	}
	if (cx_exec_signal(&chan->exec, SIGHUP, NULL, &err) < 0)
		cx_log_err(CX_LOG_WARNING, &err, "command of SSH not hung up", NULL);
	chan->kill.fire = kill_command;
	cx_timer_set(chan->gw->loop, &chan->kill, HANGUP_MS);
}

static void refuse(struct cx_ssh_conn *conn, uint32_t number, const struct cx_err *why)
{
	if (conn != NULL)
		CX_SSH_POST(conn, ssh_refused, number, NULL, 0, .text = cx_str_of(why->msg));
}

static void post_streams(const struct cx_ssh_chan *chan, const int *fds, unsigned n)
{
	uint8_t packet[CX_PACKET_HEADER];

	cx_ssh_conn_post(chan->conn, packet, sizeof packet, CX_MSG_ssh_streams, chan->number, fds,
			 n);
}

static struct cx_ssh_chan *add(struct cx_ssh_conn *conn, uint32_t number, struct cx_err *err)
{
	struct cx_ssh_chan *chan = calloc(1, sizeof *chan);

	if (chan == NULL) {
		(void)cx_fail(err, ENOMEM, "SSH channel");
		return NULL;
	}
	*chan = (struct cx_ssh_chan){ .gw = conn->door->gw,
				      .conn = conn,
				      .number = number,
				      .exec = { .ended = on_ended },
				      .dial = { .done = on_dialled } };
	cx_list_add(&conn->chans, chan);
	conn->nchans++;
	return chan;
}

static struct cx_session *session_of(struct cx_ssh_conn *conn, struct cx_err *err)
{
	struct cx_box *box = cx_box_find(conn->door->gw, conn->session.sandbox);

	if (box != NULL)
		return cx_box_session(box, err);
	(void)cx_refuse(err, CX_CONFLICT, "the sandbox has ended");
	return NULL;
}

/* ---- a command ------------------------------------------------------------------------------- */

static void on_ended(struct cx_exec *exec, const struct cx_result *end, const struct cx_err *why)
{
	struct cx_ssh_chan *chan = cx_container_of(exec, struct cx_ssh_chan, exec);

	if (why != NULL)
		refuse(chan->conn, chan->number, why);
	else if (chan->conn != NULL)
		CX_SSH_POST(chan->conn, ssh_exited, chan->number, NULL, 0,
			    .how = end->how == CX_EXITED_CODE ? CX_SSH_CODE : CX_SSH_SIGNAL,
			    .status = end->how == CX_EXITED_TIMEOUT ? SIGNAL_OF_TIMEOUT
								    : end->status);
	free_chan(chan);
}

/* What is asked for as the agent's command; words is its memory. */
static int plan(const struct cx_msg_ssh_start *m, struct cx_msg_exec *ret, struct cx_buf *words,
		struct cx_err *err)
{
	static const unsigned flags[] = { [CX_SSH_COMMAND] = CX_EXEC_SHELL,
					  [CX_SSH_SHELL] = CX_EXEC_SHELL,
					  [CX_SSH_SFTP] = CX_EXEC_SFTP };
	struct cx_str text = m->what == CX_SSH_COMMAND ? m->command
			     : m->what == CX_SSH_SHELL ? cx_str_of(best_shell)
						       : cx_str_of("sftp-server");

	if (cx_buf_add(words, text.p, text.len, err) < 0 || cx_buf_add(words, "", 1, err) < 0)
		return -err->errnum;
	*ret = (struct cx_msg_exec){ .flags = flags[m->what] | (m->tty != 0 ? CX_EXEC_TTY : 0),
				     .argv = cx_str_of_buf(words),
				     .env = m->env,
				     .rows = m->rows,
				     .cols = m->cols };
	return 0;
}

static int start(struct cx_ssh_conn *conn, uint32_t number, const struct cx_msg_ssh_start *m,
		 struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf words = { .max = CX_SSH_COMMAND_MAX + 1 };
	struct cx_session *session = session_of(conn, err);
	struct cx_ssh_chan *chan;
	struct cx_msg_exec exec;
	struct cx_pipes pipes;

	if (session == NULL || plan(m, &exec, &words, err) < 0 ||
	    (m->tty != 0 ? cx_pipes_open_tty(&pipes, err) : cx_pipes_open(&pipes, err)) < 0)
		return -err->errnum;
	chan = add(conn, number, err);
	if (chan == NULL || cx_session_exec(session, &exec, &pipes, &chan->exec, err) < 0) {
		if (chan != NULL)
			free_chan(chan);
		cx_pipes_close(&pipes);
		return -err->errnum;
	}
	post_streams(chan, pipes.ours, m->tty != 0 ? 1 : CX_LEN(pipes.ours));
	cx_pipes_close(&pipes);
	return 0;
}

bool cx_ssh_chan_start(struct cx_ssh_conn *conn, uint32_t number, const struct cx_msg_ssh_start *m)
{
	struct cx_err err;

	if (start(conn, number, m, &err) < 0)
		refuse(conn, number, &err);
	return true;
}

/* ---- a port ---------------------------------------------------------------------------------- */

static void on_dialled(struct cx_call *call, const struct cx_answer *answer,
		       const struct cx_err *why)
{
	struct cx_ssh_chan *chan = cx_container_of(call, struct cx_ssh_chan, dial);

	if (why != NULL)
		refuse(chan->conn, chan->number, why);
	else
		post_streams(chan, answer->sock, 1);
	free_chan(chan);
}

bool cx_ssh_chan_dial(struct cx_ssh_conn *conn, uint32_t number, const struct cx_msg_ssh_dial *m)
{
	struct cx_err err;
	struct cx_session *session = session_of(conn, &err);
	struct cx_ssh_chan *chan = session != NULL ? add(conn, number, &err) : NULL;

	if (chan != NULL) {
		if (cx_session_port(session, (uint16_t)m->port, DIAL_MS, &chan->dial, &err) == 0)
			return true;
		free_chan(chan);
	}
	refuse(conn, number, &err);
	return m->port > 0;
}
