/* SPDX-License-Identifier: Apache-2.0 */
#include "ssh/server.h"

#include <errno.h>

#include "base/fd.h"
#include "base/loop.h"
#include "ssh/hostkey.h"
#include "ssh/inner.h"
#include "ssh/preamble.h"

static const char key_exchanges[] = "curve25519-sha256,curve25519-sha256@libssh.org,"
				    "ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521";
static const char ciphers[] = "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,"
			      "aes128-gcm@openssh.com,aes256-ctr,aes128-ctr";
static const char macs[] = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
			   "hmac-sha2-256,hmac-sha2-512";

int cx_ssh_prepare(struct cx_err *err)
{
	ssh_key key = NULL;

	/* A key made and forgotten: whatever is loaded at the first use is loaded by now. */
	if (ssh_init() != SSH_OK || ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK)
		return cx_refuse(err, CX_INTERNAL, "libssh does not start");
	ssh_key_free(key);
	return 0;
}

/* ---- the beginning --------------------------------------------------------------------------- */

static int take_key(struct cx_server *s, ssh_key *ret, struct cx_err *err)
{
	struct cx_msg_ssh_begin m;
	int r = cx_packet_recv(s->control, &s->packet, err);

	if (r < 0)
		return r;
	cx_packet_drop(&s->packet);
	if (r == 0 || s->packet.type != CX_MSG_ssh_begin ||
	    !cx_msg_ssh_begin_get(&s->packet.body, &m))
		return cx_refuse(err, CX_INVALID, "the gateway did not begin with the host key");
	r = cx_hostkey_import(m.host_key, ret, err);
	explicit_bzero(s->packet.bytes, sizeof s->packet.bytes);
	return r;
}

static int set_options(ssh_bind bind, struct cx_err *err)
{
	static const bool no = false;
	static const struct {
		enum ssh_bind_options_e option;
		const void *value;
	} options[] = {
		{ SSH_BIND_OPTIONS_PROCESS_CONFIG, &no },
		{ SSH_BIND_OPTIONS_BANNER, "caisson" },
		{ SSH_BIND_OPTIONS_KEY_EXCHANGE, key_exchanges },
		{ SSH_BIND_OPTIONS_CIPHERS_C_S, ciphers },
		{ SSH_BIND_OPTIONS_CIPHERS_S_C, ciphers },
		{ SSH_BIND_OPTIONS_HMAC_C_S, macs },
		{ SSH_BIND_OPTIONS_HMAC_S_C, macs },
	};

	for (size_t i = 0; i < CX_LEN(options); i++)
		if (ssh_bind_options_set(bind, options[i].option, options[i].value) != SSH_OK)
			return cx_refuse(err, CX_INTERNAL, "libssh option %zu: %s", i,
					 ssh_get_error(bind));
	return 0;
}

static int open_session(struct cx_server *s, struct cx_err *err)
{
	ssh_key key = NULL;

	s->bind = ssh_bind_new();
	s->session = ssh_new();
	s->event = ssh_event_new();
	if (s->bind == NULL || s->session == NULL || s->event == NULL)
		return cx_fail(err, ENOMEM, "libssh");
	if (set_options(s->bind, err) < 0 || take_key(s, &key, err) < 0)
		return -err->errnum;
	if (ssh_bind_options_set(s->bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK) {
		ssh_key_free(key);
		return cx_refuse(err, CX_INTERNAL, "host key: %s", ssh_get_error(s->bind));
	}
	if (cx_preamble_read(s->client, s->login_by_ms, err) < 0)
		return -err->errnum;
	if (ssh_bind_accept_fd(s->bind, s->session, s->client) != SSH_OK)
		return cx_refuse(err, CX_INTERNAL, "begin SSH: %s", ssh_get_error(s->bind));
	return 0;
}

static int begin(struct cx_server *s, struct cx_err *err)
{
	s->callbacks = (struct ssh_server_callbacks_struct){
		.userdata = s,
		.auth_pubkey_function = cx_login_pubkey,
		.channel_open_request_session_function = cx_channel_open_session,
	};
	ssh_callbacks_init(&s->callbacks);
	ssh_set_blocking(s->session, 0);
	ssh_set_auth_methods(s->session, SSH_AUTH_METHOD_PUBLICKEY);
	if (ssh_set_server_callbacks(s->session, &s->callbacks) != SSH_OK)
		return cx_refuse(err, CX_INTERNAL, "libssh callbacks");
	ssh_set_message_callback(s->session, cx_channel_message, s);
	/* The first step; those that follow are done as the client's packets come. */
	if (ssh_handle_key_exchange(s->session) == SSH_ERROR)
		return cx_refuse(err, CX_INVALID, "key exchange: %s", ssh_get_error(s->session));
	if (ssh_event_add_session(s->event, s->session) != SSH_OK)
		return cx_refuse(err, CX_INTERNAL, "libssh events");
	return 0;
}

/* ---- the gateway ----------------------------------------------------------------------------- */

static int dispatch(struct cx_server *s, struct cx_err *err)
{
	struct cx_channel *ch = cx_channel_find(s, s->packet.request);
	struct cx_reader *r = &s->packet.body;
	struct cx_msg_ssh_exited exited;
	struct cx_msg_ssh_refused refused;

	if (ch == NULL || s->packet.request == 0)
		return 0; /* the client was faster */
	if (s->packet.type == CX_MSG_ssh_streams && r->left == 0)
		return cx_channel_streams(ch, &s->packet, err);
	if (s->packet.type == CX_MSG_ssh_exited && cx_msg_ssh_exited_get(r, &exited))
		cx_channel_exited(ch, &exited);
	else if (s->packet.type == CX_MSG_ssh_refused && cx_msg_ssh_refused_get(r, &refused))
		cx_channel_refused(ch, refused.text);
	else
		return cx_refuse(err, CX_INTERNAL, "message %#x of the gateway", s->packet.type);
	return 0;
}

static int receive(struct cx_server *s, struct cx_err *err)
{
	int r = cx_packet_recv(s->control, &s->packet, err);

	if (r == 0)
		return cx_refuse(err, CX_UNAVAILABLE, "the gateway ends this connection");
	if (r > 0)
		r = dispatch(s, err);
	cx_packet_drop(&s->packet);
	return r;
}

/* ---- the loop -------------------------------------------------------------------------------- */

enum { FDS_MAX = 2 + CX_CHANNEL_FDS * CX_SSH_CHANNELS_MAX };

static unsigned list_fds(const struct cx_server *s, struct pollfd fds[FDS_MAX])
{
	int pending = ssh_get_poll_flags(s->session) & SSH_WRITE_PENDING;
	unsigned n = 2;

	fds[0] = (struct pollfd){ .fd = s->control, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = s->client,
				  .events = (short)(POLLIN | (pending != 0 ? POLLOUT : 0)) };
	for (const struct cx_channel *ch = s->channels; ch != NULL; ch = ch->next)
		n += cx_pump_wants(&ch->pump, s->session, ch->ssh, &fds[n]);
	return n;
}

static int wait_for_any(struct cx_server *s, bool *ret_control, struct cx_err *err)
{
	struct pollfd fds[FDS_MAX];
	uint64_t now = cx_now_ms();
	int timeout = -1;
	int r;

	if (!s->logged_in && now >= s->login_by_ms)
		return cx_refuse(err, CX_TIMEOUT, "nobody logged in in time");
	if (!s->logged_in)
		timeout = (int)(s->login_by_ms - now);
	r = poll(fds, list_fds(s, fds), timeout);
	if (r < 0 && errno != EINTR)
		return cx_fail(err, errno, "wait");
	*ret_control = r > 0 && fds[0].revents != 0;
	return 0;
}

static void turn_channels(struct cx_server *s)
{
	struct cx_channel *next;

	for (struct cx_channel *ch = s->channels; ch != NULL; ch = next) {
		bool goes_on = cx_channel_turn(ch);

		next = ch->next;
		if (!goes_on)
			cx_channel_free(ch);
	}
}

/* libssh closes the socket when it cannot send, and may go on to another state all the same. */
static bool is_connected(const struct cx_server *s)
{
	return ssh_get_fd(s->session) == s->client &&
	       (ssh_get_status(s->session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) == 0;
}

/* 1: go on; 0: the client has gone. */
static int turn(struct cx_server *s, struct cx_err *err)
{
	bool control = false;

	if (wait_for_any(s, &control, err) < 0 || (control && receive(s, err) < 0))
		return -err->errnum;
	(void)ssh_event_dopoll(s->event, 0); /* the session's status tells what is wrong */
	turn_channels(s);
	if (s->why.errnum != 0) {
		*err = s->why;
		return -err->errnum;
	}
	return is_connected(s);
}

static void end(struct cx_server *s)
{
	while (s->channels != NULL)
		cx_channel_free(s->channels);
	if (s->session != NULL)
		ssh_disconnect(s->session);
	if (s->event != NULL && s->session != NULL)
		(void)ssh_event_remove_session(s->event, s->session);
	ssh_event_free(s->event);
	ssh_free(s->session);
	ssh_bind_free(s->bind);
	cx_close(&s->control);
}

int cx_ssh_serve(int control, int client, struct cx_err *err)
{
	cx_autofree struct cx_server *s = calloc(1, sizeof *s);
	int r;

	if (s == NULL)
		return cx_fail(err, ENOMEM, "server");
	s->control = control;
	s->client = client;
	s->login_by_ms = cx_now_ms() + CX_SSH_LOGIN_MS;
	r = open_session(s, err);
	if (r == 0)
		r = begin(s, err);
	if (r == 0)
		do
			r = turn(s, err);
		while (r > 0);
	end(s);
	return r;
}
