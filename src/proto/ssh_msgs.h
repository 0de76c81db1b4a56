/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_SSH_MSGS_H
#define CX_PROTO_SSH_MSGS_H

#include "proto/msg.h"

/*
 * Between the gateway and caisson-ssh, which speaks SSH with one client: descriptor 0 is the
 * SOCK_SEQPACKET socket of this protocol, descriptor 1 the client's connection. The worker ends
 * when either closes. It parses what anybody on the network says, so the gateway believes nothing
 * of it but that a key which it calls proven is the client's.
 *
 * The gateway begins. The worker may then ask for a login, one question at a time; when one with
 * "proven" was allowed it may open channels: ssh_start or ssh_dial with a number that is not 0 and
 * new. The gateway answers with ssh_streams and, of a command, later with ssh_exited; or with
 * ssh_refused. A channel is given up with ssh_hangup: its command gets SIGHUP, and soon after
 * SIGKILL. "request" is the channel's number, 0 where it is about none.
 */
#define CX_SSH_MSGS(M)                                                                      \
	M(0x10, ssh_begin, CX_FIELDS_SSH_BEGIN)	    /* gateway, first, once */              \
	M(0x11, ssh_verdict, CX_FIELDS_SSH_VERDICT) /* gateway: the answer to ssh_login */  \
	M(0x12, ssh_streams, CX_FIELDS_SSH_NONE)    /* gateway; fds: of a command in, out,  \
						       error; of a terminal or port: one */ \
	M(0x13, ssh_exited, CX_FIELDS_SSH_EXITED)   /* gateway */                           \
	M(0x14, ssh_refused, CX_FIELDS_SSH_REFUSED) /* gateway */                           \
	M(0x20, ssh_login, CX_FIELDS_SSH_LOGIN)	    /* worker -> ssh_verdict */             \
	M(0x21, ssh_start, CX_FIELDS_SSH_START)	    /* worker */                            \
	M(0x22, ssh_dial, CX_FIELDS_SSH_DIAL)	    /* worker: a port inside */             \
	M(0x23, ssh_resize, CX_FIELDS_SSH_RESIZE)   /* worker, no answer */                 \
	M(0x24, ssh_signal, CX_FIELDS_SSH_SIGNAL)   /* worker, no answer */                 \
	M(0x25, ssh_hangup, CX_FIELDS_SSH_NONE)	    /* worker */

#define CX_FIELDS_SSH_NONE(F)
/* Ed25519: the seed, then the public key. */
#define CX_FIELDS_SSH_BEGIN(F)	 F(bytes, host_key, 64)
#define CX_FIELDS_SSH_VERDICT(F) F(u32, allowed, 1)
/* status: exit code or number of the signal. */
#define CX_FIELDS_SSH_EXITED(F)	 F(u32, how, CX_SSH_HOW_MAX - 1) F(u32, status, 255)
#define CX_FIELDS_SSH_REFUSED(F) F(str, text, 503)
/* key: the blob of RFC 4253, 6.6. proven: the client has signed with it. */
#define CX_FIELDS_SSH_LOGIN(F) \
	F(str, user, CX_SSH_USER_MAX) F(bytes, key, CX_SSH_KEY_MAX) F(u32, proven, 1)
#define CX_FIELDS_SSH_START(F)                                      \
	F(u32, what, CX_SSH_WHAT_MAX - 1)                           \
	F(str, command, CX_SSH_COMMAND_MAX) /* of CX_SSH_COMMAND */ \
	F(strv, env, CX_SSH_ENV_MAX)                                \
	F(u32, tty, 1) F(u32, rows, 65535) F(u32, cols, 65535)
#define CX_FIELDS_SSH_DIAL(F)	F(u32, port, 65535)
#define CX_FIELDS_SSH_RESIZE(F) F(u32, rows, 65535) F(u32, cols, 65535)
#define CX_FIELDS_SSH_SIGNAL(F) F(u32, signo, 64)

enum cx_ssh_what {
	CX_SSH_COMMAND, /* text for a shell */
	CX_SSH_SHELL,	/* the best one that there is inside */
	CX_SSH_SFTP,	/* SFTP on the command's input and output */
	CX_SSH_WHAT_MAX,
};

enum cx_ssh_how { CX_SSH_CODE, CX_SSH_SIGNAL, CX_SSH_HOW_MAX };

enum {
	CX_SSH_USER_MAX = 64,
	CX_SSH_KEY_MAX = 4096,
	CX_SSH_COMMAND_MAX = (128 << 10) - 1,
	CX_SSH_ENV_MAX = 8 << 10,
	CX_SSH_CHANNELS_MAX = 32, /* at once, of one connection */
	CX_SSH_LOGIN_MS = 30000,
	CX_SSH_LOGIN_TRIES = 20, /* questions; a client offers each key that it has */
};

CX_SSH_MSGS(CX_AS_MSG)

#endif
