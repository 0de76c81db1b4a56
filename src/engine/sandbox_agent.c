/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "engine/sandbox_inner.h"
#include "proto/agent_msgs.h"

enum { AGENT_BACKLOG = 64 };

/* By way of the descriptor: the path of a run directory may be too long for a socket's name. */
static void agent_address(const struct cx_sandbox *sb, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s/agent.sock",
		       sb->set->host->dirs.sandboxes, sb->record.id);
}

int cx_sandbox_listen(struct cx_sandbox *sb, struct cx_err *err)
{
	cx_autofd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un at;

	agent_address(sb, &at);
	if (sock < 0 || bind(sock, (struct sockaddr *)&at, sizeof at) < 0 ||
	    listen(sock, AGENT_BACKLOG) < 0)
		return cx_fail(err, errno, "make the agent's socket");
	return cx_take_fd(&sock);
}

int cx_sandbox_connect(struct cx_sandbox *sb, struct cx_err *err)
{
	cx_autofd int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un at;

	agent_address(sb, &at);
	if (sock < 0 || connect(sock, (struct sockaddr *)&at, sizeof at) < 0)
		return cx_fail(err, errno, "connect to the agent of '%s'", sb->record.id);
	return cx_take_fd(&sock);
}

/* ---- what an agent says: nothing of it is believed but its progress -------------------------- */

static int take_hello(struct cx_sandbox *sb, struct cx_reader *body, struct cx_err *err)
{
	struct cx_msg_agent_hello m;

	if (!cx_msg_agent_hello_get(body, &m) || m.version != 1 || m.state != CX_AGENT_BLANK)
		return cx_refuse(err, CX_INTERNAL, "its agent said hello wrongly");
	cx_sandbox_deliver(sb, CX_EVENT_HELLO);
	return 0;
}

static int take_ok(struct cx_sandbox *sb, struct cx_reader *body, struct cx_err *err)
{
	struct cx_msg_agent_ok m;

	if (!cx_msg_agent_ok_get(body, &m))
		return cx_refuse(err, CX_INTERNAL, "its agent confirmed wrongly");
	cx_sandbox_deliver(sb, CX_EVENT_CONFIRM);
	return 0;
}

static int take_error(struct cx_sandbox *sb, struct cx_reader *body, struct cx_err *err)
{
	struct cx_msg_agent_error m;

	(void)sb;
	if (!cx_msg_agent_error_get(body, &m))
		return cx_refuse(err, CX_INTERNAL, "its agent failed wrongly");
	(void)cx_err_adopt(err, m.kind, m.errnum, m.text.p, m.text.len);
	return cx_wrap(err, "agent");
}

static const struct {
	uint16_t type;
	uint32_t request;
	enum cx_sandbox_state state;
	int (*take)(struct cx_sandbox *sb, struct cx_reader *body, struct cx_err *err);
} agent_says[] = {
	{ CX_MSG_agent_hello, 0, CX_SANDBOX_STARTING, take_hello },
	{ CX_MSG_agent_error, 0, CX_SANDBOX_STARTING, take_error },
	{ CX_MSG_agent_ok, CX_CLAIM_REQUEST, CX_SANDBOX_CLAIMING, take_ok },
	{ CX_MSG_agent_error, CX_CLAIM_REQUEST, CX_SANDBOX_CLAIMING, take_error },
};

static void agent_packet(void *owner, struct cx_packet *packet)
{
	struct cx_sandbox *sb = owner;
	struct cx_err err;

	for (size_t i = 0; i < CX_LEN(agent_says); i++) {
		if (agent_says[i].type != packet->type || agent_says[i].state != sb->state ||
		    agent_says[i].request != packet->request || packet->nfds != 0)
			continue;
		if (agent_says[i].take(sb, &packet->body, &err) < 0)
			cx_sandbox_fault(sb, &err);
		return;
	}
	(void)cx_refuse(&err, CX_INTERNAL, "its agent sent message %#x while %s", packet->type,
			cx_sandbox_state_name(sb->state));
	cx_sandbox_fault(sb, &err);
}

static void agent_closed(void *owner, const struct cx_err *why)
{
	struct cx_sandbox *sb = owner;
	struct cx_err err;

	sb->agent = NULL;
	sb->lost |= sb->state == CX_SANDBOX_CLAIMING;
	if (why == NULL)
		(void)cx_refuse(&err, CX_INTERNAL, "its agent closed the connection");
	cx_sandbox_fault(sb, why != NULL ? why : &err);
}

static const struct cx_link_ops agent_ops = { .packet = agent_packet, .closed = agent_closed };

int cx_sandbox_open_agent(struct cx_sandbox *sb, struct cx_err *err)
{
	struct cx_host *h = sb->set->host;
	cx_autofd int sock = cx_sandbox_connect(sb, err);

	if (sock < 0)
		return -err->errnum;
	return cx_link_open(&h->loop, &h->packet, &sock, &agent_ops, sb, &sb->agent, err);
}
