/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/base64.h"
#include "base/loop.h"
#include "ssh/inner.h"

static int export_key(ssh_key key, uint8_t ret[CX_SSH_KEY_MAX], struct cx_str *ret_blob,
		      struct cx_err *err)
{
	char *text = NULL;
	ptrdiff_t n;

	if (ssh_pki_export_pubkey_base64(key, &text) != SSH_OK)
		return cx_refuse(err, CX_INVALID, "the client's key cannot be read");
	n = cx_base64_decode(text, ret, CX_SSH_KEY_MAX);
	ssh_string_free_char(text);
	if (n <= 0)
		return cx_refuse(err, CX_INVALID, "the client's key is too long");
	*ret_blob = (struct cx_str){ .p = (const char *)ret, .len = (uint32_t)n };
	return 0;
}

/* Nothing else can come from the gateway before a login. */
static int await_verdict(struct cx_server *s, struct cx_msg_ssh_verdict *ret, struct cx_err *err)
{
	struct pollfd wait = { .fd = s->control, .events = POLLIN };
	uint64_t now = cx_now_ms();
	int r = now < s->login_by_ms ? poll(&wait, 1, (int)(s->login_by_ms - now)) : 0;

	if (r < 0)
		return cx_fail(err, errno, "wait for the gateway");
	if (r == 0)
		return cx_refuse(err, CX_TIMEOUT, "the gateway has not answered in time");
	r = cx_packet_recv(s->control, &s->packet, err);
	if (r < 0)
		return r;
	cx_packet_drop(&s->packet);
	if (r == 0 || s->packet.type != CX_MSG_ssh_verdict ||
	    !cx_msg_ssh_verdict_get(&s->packet.body, ret))
		return cx_refuse(err, CX_UNAVAILABLE, "the gateway ends this connection");
	return 0;
}

static int ask(struct cx_server *s, const char *user, ssh_key key, bool proven, bool *ret_allowed,
	       struct cx_err *err)
{
	uint8_t blob[CX_SSH_KEY_MAX];
	struct cx_msg_ssh_login m = { .user = cx_str_of(user), .proven = proven };
	struct cx_msg_ssh_verdict verdict = { 0 };

	if (++s->tries > CX_SSH_LOGIN_TRIES)
		return cx_refuse(err, CX_DENIED, "too many keys were offered");
	*ret_allowed = false;
	if (m.user.len > CX_SSH_USER_MAX || export_key(key, blob, &m.key, err) < 0)
		return 0;
	if (cx_msg_ssh_login_send(s->control, 0, &m, NULL, 0, err) < 0 ||
	    await_verdict(s, &verdict, err) < 0)
		return -err->errnum;
	*ret_allowed = verdict.allowed != 0;
	return 0;
}

int cx_login_pubkey(ssh_session session, const char *user, struct ssh_key_struct *key, char state,
		    void *arg)
{
	struct cx_server *s = arg;
	bool proven = state == SSH_PUBLICKEY_STATE_VALID, allowed = false;
	struct cx_err err;

	(void)session;
	if (s->logged_in || s->why.errnum != 0 || (!proven && state != SSH_PUBLICKEY_STATE_NONE))
		return SSH_AUTH_DENIED;
	if (ask(s, user, key, proven, &allowed, &err) < 0) {
		s->why = err;
		return SSH_AUTH_DENIED;
	}
	s->logged_in = allowed && proven;
	return allowed ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
}
