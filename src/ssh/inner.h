/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_SSH_INNER_H
#define CX_SSH_INNER_H

#include <libssh/callbacks.h>
#include <libssh/server.h>
#include <poll.h>
#include <stdbool.h>

#include "base/buf.h"
#include "proto/ssh_msgs.h"

/*
 * The inside of the worker: server.c is its loop, login.c asks who may come in, channel.c does what
 * the client asks of a channel, pump.c moves the bytes. Nothing blocks but the question about a
 * login, when there is nothing else to do.
 */
enum {
	CX_PUMP_PIECE = 32 << 10,    /* bytes of one write to a channel */
	CX_PUMP_PIECES = 8,	     /* of one stream in one turn */
	CX_PUMP_INPUT_MAX = 4 << 20, /* more than two windows of libssh, which is all that comes */
	CX_CHANNEL_FDS = 3,
};

struct cx_pump_out { /* one stream of a command on its way to the client */
	int fd;	     /* -EBADF: it has ended */
	bool is_stderr;
	uint64_t left; /* bytes still to be read; UINT64_MAX: to the end */
	size_t at, len;
	char piece[CX_PUMP_PIECE];
};

struct cx_pump {
	bool opened;	     /* until then what the client sends waits */
	int in;		     /* to the command, -EBADF: it takes no more */
	bool is_socket;	     /* which somebody inside may hold too, and make block */
	struct cx_buf input; /* from the client, input_at bytes of it are gone */
	size_t input_at;
	struct cx_pump_out out[2];
};

struct cx_channel {
	struct cx_server *server;
	ssh_channel ssh;
	uint32_t number; /* 0: nothing was asked of the gateway yet */
	struct ssh_channel_callbacks_struct callbacks;
	struct cx_buf env; /* strv */
	bool tty, is_port;
	uint32_t rows, cols;
	bool left; /* the client has closed it */
	bool over; /* the gateway has said its last word */
	bool eof_told;
	struct cx_msg_ssh_exited end;
	struct cx_pump pump;
	struct cx_channel *next;
};

struct cx_server {
	int control, client;
	ssh_bind bind;
	ssh_session session;
	ssh_event event;
	struct ssh_server_callbacks_struct callbacks;
	struct cx_channel *channels;
	unsigned nchannels;
	uint32_t last_number;
	uint64_t login_by_ms;
	unsigned tries;
	bool logged_in;
	struct cx_err why; /* errnum set: it ends with this turn */
	struct cx_packet packet;
};

/* ---- login.c --------------------------------------------------------------------------------- */

int cx_login_pubkey(ssh_session session, const char *user, struct ssh_key_struct *key, char state,
		    void *arg);

/* ---- channel.c ------------------------------------------------------------------------------- */

/* Callbacks of libssh: of a session, and of whatever else a client wants. */
ssh_channel cx_channel_open_session(ssh_session session, void *arg);
int cx_channel_message(ssh_session session, ssh_message message, void *arg);
struct cx_channel *cx_channel_find(struct cx_server *server, uint32_t number);
/* What the gateway says of it. */
CX_MUST int cx_channel_streams(struct cx_channel *ch, struct cx_packet *packet, struct cx_err *err);
void cx_channel_exited(struct cx_channel *ch, const struct cx_msg_ssh_exited *end);
void cx_channel_refused(struct cx_channel *ch, struct cx_str text);
/* Moves what can be moved. False: it is done with, and closed. */
bool cx_channel_turn(struct cx_channel *ch);
void cx_channel_free(struct cx_channel *ch);

/* ---- pump.c ---------------------------------------------------------------------------------- */

void cx_pump_init(struct cx_pump *pump);
/* fds: one for both ways, or in, out and error. They are taken over. */
CX_MUST int cx_pump_open(struct cx_pump *pump, int *fds, unsigned n, struct cx_err *err);
void cx_pump_from_client(struct cx_pump *pump, ssh_channel ssh);
void cx_pump_to_client(struct cx_pump *pump, ssh_session session, ssh_channel ssh);
/* The command has ended: what it has written is still read, not what others go on writing. */
void cx_pump_limit(struct cx_pump *pump);
bool cx_pump_drained(const struct cx_pump *pump);
/* What to wait for, at most CX_CHANNEL_FDS. */
unsigned cx_pump_wants(const struct cx_pump *pump, ssh_session session, ssh_channel ssh,
		       struct pollfd *ret);
void cx_pump_close(struct cx_pump *pump);

/* ---- signal.c -------------------------------------------------------------------------------- */

/* RFC 4254, 6.9 and 6.10: "TERM". 0, and a name of our own, for those that it does not have. */
uint32_t cx_signal_number(const char *name);
const char *cx_signal_name(uint32_t number);

#endif
