/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "ssh/inner.h"

enum { EXIT_NOT_STARTED = 127, SIZE_MAX_CELLS = 65535, PORT_MAX = 65535 };

static struct cx_channel *channel_of(void *arg)
{
	return arg;
}

/* What cannot be said to the gateway ends the connection. */
static int said(struct cx_channel *ch, int r, const struct cx_err *err)
{
	if (r < 0)
		ch->server->why = *err;
	return r < 0 ? -1 : 0;
}

/* ---- what the client asks: 0 takes it, -1 refuses ------------------------------------------- */

static int add_env(struct cx_channel *ch, const char *name, const char *value)
{
	struct cx_buf entry = { .max = CX_SSH_ENV_MAX };
	struct cx_err err;
	int r = -1;

	if (cx_buf_add(&entry, name, strlen(name), &err) == 0 &&
	    cx_buf_add(&entry, "=", 1, &err) == 0 &&
	    cx_buf_add(&entry, value, strlen(value) + 1, &err) == 0 &&
	    cx_buf_add(&ch->env, entry.p, entry.len, &err) == 0)
		r = 0;
	cx_buf_free(&entry);
	return r;
}

/* As OpenSSH's server has it: the language, and nothing that changes how programs are found. */
static int on_env(ssh_session session, ssh_channel ssh, const char *name, const char *value,
		  void *arg)
{
	(void)session;
	(void)ssh;
	if (strcmp(name, "LANG") != 0 && strncmp(name, "LC_", 3) != 0)
		return -1;
	return strchr(name, '=') == NULL ? add_env(channel_of(arg), name, value) : -1;
}

static uint32_t cells(int n)
{
	return n < 0 ? 0 : n > SIZE_MAX_CELLS ? SIZE_MAX_CELLS : (uint32_t)n;
}

static int on_pty(ssh_session session, ssh_channel ssh, const char *term, int width, int height,
		  int pxwidth, int pxheight, void *arg)
{
	struct cx_channel *ch = arg;

	(void)session;
	(void)ssh;
	(void)pxwidth;
	(void)pxheight;
	if (ch->number != 0 || ch->tty || (term[0] != '\0' && add_env(ch, "TERM", term) < 0))
		return -1;
	ch->tty = true;
	ch->rows = cells(height);
	ch->cols = cells(width);
	return 0;
}

static int on_resize(ssh_session session, ssh_channel ssh, int width, int height, int pxwidth,
		     int pxheight, void *arg)
{
	struct cx_channel *ch = arg;
	struct cx_msg_ssh_resize m = { .rows = cells(height), .cols = cells(width) };
	struct cx_err err;

	(void)session;
	(void)ssh;
	(void)pxwidth;
	(void)pxheight;
	if (!ch->tty || ch->number == 0 || ch->over)
		return -1;
	return said(ch, cx_msg_ssh_resize_send(ch->server->control, ch->number, &m, NULL, 0, &err),
		    &err);
}

static void on_signal(ssh_session session, ssh_channel ssh, const char *name, void *arg)
{
	struct cx_channel *ch = arg;
	struct cx_msg_ssh_signal m = { .signo = cx_signal_number(name) };
	struct cx_err err;

	(void)session;
	(void)ssh;
	if (m.signo != 0 && ch->number != 0 && !ch->over)
		(void)said(
			ch,
			cx_msg_ssh_signal_send(ch->server->control, ch->number, &m, NULL, 0, &err),
			&err);
}

static int start(struct cx_channel *ch, enum cx_ssh_what what, const char *command)
{
	struct cx_server *s = ch->server;
	struct cx_msg_ssh_start m = { .what = what,
				      .command = cx_str_of(command),
				      .env = cx_str_of_buf(&ch->env),
				      .tty = ch->tty,
				      .rows = ch->rows,
				      .cols = ch->cols };
	struct cx_err err;

	if (ch->number != 0 || m.command.len > CX_SSH_COMMAND_MAX)
		return -1;
	ch->number = ++s->last_number;
	return said(ch, cx_msg_ssh_start_send(s->control, ch->number, &m, NULL, 0, &err), &err);
}

static int on_exec(ssh_session session, ssh_channel ssh, const char *command, void *arg)
{
	(void)session;
	(void)ssh;
	return start(channel_of(arg), CX_SSH_COMMAND, command);
}

static int on_shell(ssh_session session, ssh_channel ssh, void *arg)
{
	(void)session;
	(void)ssh;
	return start(channel_of(arg), CX_SSH_SHELL, "");
}

static int on_subsystem(ssh_session session, ssh_channel ssh, const char *name, void *arg)
{
	struct cx_channel *ch = arg;

	(void)session;
	(void)ssh;
	return strcmp(name, "sftp") == 0 && !ch->tty ? start(ch, CX_SSH_SFTP, "") : -1;
}

static void on_close(ssh_session session, ssh_channel ssh, void *arg)
{
	(void)session;
	(void)ssh;
	channel_of(arg)->left = true;
}

/* ---- its life -------------------------------------------------------------------------------- */

static struct cx_channel *add(struct cx_server *s, ssh_channel ssh)
{
	struct cx_channel *ch = calloc(1, sizeof *ch);

	if (ch == NULL)
		return NULL;
	ch->server = s;
	ch->ssh = ssh;
	ch->env = (struct cx_buf){ .max = CX_SSH_ENV_MAX };
	cx_pump_init(&ch->pump);
	ch->callbacks = (struct ssh_channel_callbacks_struct){
		.userdata = ch,
		.channel_close_function = on_close,
		.channel_signal_function = on_signal,
		.channel_pty_request_function = on_pty,
		.channel_shell_request_function = on_shell,
		.channel_pty_window_change_function = on_resize,
		.channel_exec_request_function = on_exec,
		.channel_env_request_function = on_env,
		.channel_subsystem_request_function = on_subsystem,
	};
	ssh_callbacks_init(&ch->callbacks);
	if (ssh_add_channel_callbacks(ssh, &ch->callbacks) != SSH_OK) {
		free(ch);
		return NULL;
	}
	ch->next = s->channels;
	s->channels = ch;
	s->nchannels++;
	return ch;
}

void cx_channel_free(struct cx_channel *ch)
{
	struct cx_channel **at = &ch->server->channels;

	while (*at != ch)
		at = &(*at)->next;
	*at = ch->next;
	ch->server->nchannels--;
	(void)ssh_remove_channel_callbacks(ch->ssh, &ch->callbacks);
	ssh_channel_free(ch->ssh);
	cx_pump_close(&ch->pump);
	cx_buf_free(&ch->env);
	free(ch);
}

struct cx_channel *cx_channel_find(struct cx_server *server, uint32_t number)
{
	struct cx_channel *ch = server->channels;

	while (ch != NULL && ch->number != number)
		ch = ch->next;
	return ch;
}

static bool has_room(const struct cx_server *s)
{
	return s->logged_in && s->nchannels < CX_SSH_CHANNELS_MAX;
}

ssh_channel cx_channel_open_session(ssh_session session, void *arg)
{
	struct cx_server *s = arg;
	ssh_channel ssh = has_room(s) ? ssh_channel_new(session) : NULL;

	if (ssh != NULL && add(s, ssh) == NULL) {
		ssh_channel_free(ssh);
		return NULL;
	}
	return ssh;
}

static bool is_inside(const char *host)
{
	return strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
	       strcmp(host, "::1") == 0;
}

static void dial(struct cx_server *s, ssh_channel ssh, uint32_t port)
{
	struct cx_channel *ch = add(s, ssh);
	struct cx_msg_ssh_dial m = { .port = port };
	struct cx_err err;

	if (ch == NULL) {
		ssh_channel_free(ssh);
		return;
	}
	ch->is_port = true;
	ch->number = ++s->last_number;
	(void)said(ch, cx_msg_ssh_dial_send(s->control, ch->number, &m, NULL, 0, &err), &err);
}

/* Ports inside can be reached, nothing else. The client hears of a port that is closed by the end
 * of what it opened. */
int cx_channel_message(ssh_session session, ssh_message message, void *arg)
{
	struct cx_server *s = arg;
	const char *host;
	int port;
	ssh_channel ssh;

	(void)session;
	if (ssh_message_type(message) != SSH_REQUEST_CHANNEL_OPEN ||
	    ssh_message_subtype(message) != SSH_CHANNEL_DIRECT_TCPIP)
		return 1; /* refused in SSH's own words */
	host = ssh_message_channel_request_open_destination(message);
	port = ssh_message_channel_request_open_destination_port(message);
	if (host == NULL || !is_inside(host) || port < 1 || port > PORT_MAX || !has_room(s))
		return 1;
	ssh = ssh_message_channel_request_open_reply_accept(message);
	if (ssh != NULL)
		dial(s, ssh, (uint32_t)port);
	return 0;
}

/* ---- what the gateway says ------------------------------------------------------------------- */

int cx_channel_streams(struct cx_channel *ch, struct cx_packet *packet, struct cx_err *err)
{
	unsigned wanted = ch->tty || ch->is_port ? 1 : 3;

	if (packet->nfds != wanted || ch->over || ch->pump.opened)
		return cx_refuse(err, CX_INTERNAL, "streams that nobody asked for");
	ch->over = ch->is_port; /* nothing more is said of one */
	return cx_pump_open(&ch->pump, packet->fds, packet->nfds, err);
}

void cx_channel_exited(struct cx_channel *ch, const struct cx_msg_ssh_exited *end)
{
	ch->over = true;
	ch->end = *end;
	cx_pump_limit(&ch->pump);
}

void cx_channel_refused(struct cx_channel *ch, struct cx_str text)
{
	struct cx_pump_out *out = &ch->pump.out[1];
	int n;

	ch->over = true;
	ch->end = (struct cx_msg_ssh_exited){ .status = EXIT_NOT_STARTED };
	cx_pump_close(&ch->pump);
	if (ch->is_port)
		return;
	n = snprintf(out->piece, sizeof out->piece, "caisson: %.*s\r\n", (int)text.len, text.p);
	out->at = 0;
	out->len = n > 0 ? (size_t)n : 0;
}

static void tell_eof(struct cx_channel *ch)
{
	if (!ch->eof_told)
		(void)ssh_channel_send_eof(ch->ssh);
	ch->eof_told = true;
}

static void tell_end(struct cx_channel *ch)
{
	tell_eof(ch);
	if (!ch->is_port && ch->end.how == CX_SSH_SIGNAL)
		(void)ssh_channel_request_send_exit_signal(ch->ssh, cx_signal_name(ch->end.status),
							   0, "", "");
	else if (!ch->is_port)
		(void)ssh_channel_request_send_exit_status(ch->ssh, (int)ch->end.status);
	(void)ssh_channel_close(ch->ssh);
}

bool cx_channel_turn(struct cx_channel *ch)
{
	static const struct cx_msg_ssh_hangup none;
	struct cx_err err;

	if (ch->left) {
		if (ch->number != 0 && !ch->over)
			(void)said(ch,
				   cx_msg_ssh_hangup_send(ch->server->control, ch->number, &none,
							  NULL, 0, &err),
				   &err);
		return false;
	}
	cx_pump_from_client(&ch->pump, ch->ssh);
	cx_pump_to_client(&ch->pump, ch->server->session, ch->ssh);
	if (!ch->over || !cx_pump_drained(&ch->pump))
		return true;
	if (ch->is_port && ch->pump.in >= 0) { /* it may still take what the client sends */
		tell_eof(ch);
		return true;
	}
	tell_end(ch);
	return false;
}
