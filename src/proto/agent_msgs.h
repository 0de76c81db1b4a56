/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_PROTO_AGENT_MSGS_H
#define CX_PROTO_AGENT_MSGS_H

#include "proto/msg.h"

/*
 * Every message between the host and caisson-agent, PID 1 of a sandbox. The host treats what the
 * agent says as hostile; bytes of streams never travel in messages but through descriptors that the
 * host made and passed in.
 *
 * A connection begins with agent_hello from the agent. Then the host asks; "request" numbers are
 * chosen by the host and tie answers (and later events) to their question.
 * An id or a field is never changed or reused: add a message instead.
 */
#define CX_AGENT_MSGS(M)                                                                          \
	M(0x01, agent_hello, CX_FIELDS_AGENT_HELLO) /* agent, once, first */                      \
	M(0x02, agent_error, CX_FIELDS_AGENT_ERROR) /* agent: the request failed, nothing runs */ \
	M(0x03, agent_ok, CX_FIELDS_AGENT_NONE)	    /* agent: the request is done */              \
	M(0x10, claim, CX_FIELDS_CLAIM)		    /* fd: the root mount -> ok; caissond only */ \
	M(0x11, configure, CX_FIELDS_CONFIGURE)	    /* -> ok; repeating it changes nothing */     \
	M(0x20, exec, CX_FIELDS_EXEC)		    /* fds below -> started, later exited */      \
	M(0x21, started, CX_FIELDS_STARTED)                                                       \
	M(0x22, exited, CX_FIELDS_EXITED)                                                         \
	M(0x23, exec_signal, CX_FIELDS_EXEC_SIGNAL) /* -> ok */                                   \
	M(0x24, exec_resize, CX_FIELDS_EXEC_RESIZE) /* -> ok */                                   \
	M(0x30, log_read, CX_FIELDS_LOG_READ)	    /* -> log_data */                             \
	M(0x31, log_data, CX_FIELDS_LOG_DATA)                                                     \
	M(0x40, main_status, CX_FIELDS_AGENT_NONE) /* -> main_state */                            \
	M(0x41, main_state, CX_FIELDS_MAIN_STATE)  /* also sent unasked (request 0) at its end */

#define CX_FIELDS_AGENT_NONE(F)
#define CX_FIELDS_AGENT_HELLO(F) F(u32, version, 1) F(u32, state, CX_AGENT_STATE_MAX - 1)
#define CX_FIELDS_AGENT_ERROR(F) \
	F(u32, kind, CX_KIND_MAX - 1) F(u32, errnum, 4095) F(str, text, 503)
/* The agent moves the mount into place, pivots, drops to its final privileges, then says ok. */
#define CX_FIELDS_CLAIM(F) F(str, hostname, 63)
/* What an image and a client asked for; interpreted only here, inside. */
#define CX_FIELDS_CONFIGURE(F)                                                         \
	F(strv, env, 131072) /* KEY=VALUE: defaults of every command */                \
	F(str, cwd, 4095)    /* default working directory; made if missing; "" is / */ \
	F(str, user, 255)    /* default user: name|uid[:group|gid]; "" is root */      \
	F(strv, start,                                                                 \
	  65536) /* start command, or empty for an idle sandbox; its output is the log */
/*
 * fds without CX_EXEC_TTY: stdin (read end), stdout, stderr (write ends) as the command gets them.
 * fds with CX_EXEC_TTY: one end of a stream socket pair, which the agent joins to a pty.
 */
#define CX_FIELDS_EXEC(F)                                                                          \
	F(u32, flags, CX_EXEC_TTY | CX_EXEC_SHELL)                                                 \
	F(strv, argv,                                                                              \
	  131072)	    /* the program and its arguments; with CX_EXEC_SHELL one shell text */ \
	F(strv, env, 65536) /* added to and overriding the defaults */                             \
	F(str, cwd, 4095)   /* "" is the default */                                                \
	F(str, user, 255)   /* "" is the default */                                                \
	F(u32, timeout_ms, UINT32_MAX) /* wall time; 0 is none. Then its whole group is killed */  \
	F(u32, rows, 65535)                                                                        \
	F(u32, cols, 65535)
#define CX_FIELDS_STARTED(F) F(u32, pid, UINT32_MAX) /* as seen inside */
#define CX_FIELDS_EXITED(F)                                  \
	F(u32, how, CX_EXITED_MAX - 1)                       \
	F(u32, status, 255) /* exit code or signal number */ \
	F(u64, user_us, UINT64_MAX)                          \
	F(u64, system_us, UINT64_MAX) F(u64, wall_us, UINT64_MAX) F(u64, max_rss_bytes, UINT64_MAX)
#define CX_FIELDS_EXEC_SIGNAL(F)                \
	F(u32, exec, UINT32_MAX)                \
	F(u32, signo, 64) /* to its whole group \
			   */
#define CX_FIELDS_EXEC_RESIZE(F) F(u32, exec, UINT32_MAX) F(u32, rows, 65535) F(u32, cols, 65535)
#define CX_FIELDS_LOG_READ(F)	 F(u64, offset, UINT64_MAX) F(u32, max, 65536)
#define CX_FIELDS_LOG_DATA(F)                                                                      \
	F(u64, offset, UINT64_MAX) /* of the first byte; later than asked when that was dropped */ \
	F(u64, end, UINT64_MAX)	   /* bytes written so far */                                      \
	F(bytes, data, 65536)
#define CX_FIELDS_MAIN_STATE(F) \
	F(u32, state, CX_MAIN_MAX - 1) F(u32, how, CX_EXITED_MAX - 1) F(u32, status, 255)

enum cx_agent_state { CX_AGENT_BLANK, CX_AGENT_CLAIMED, CX_AGENT_STATE_MAX };
enum { CX_EXEC_TTY = 1, CX_EXEC_SHELL = 2 };
enum cx_exited { CX_EXITED_CODE, CX_EXITED_SIGNAL, CX_EXITED_TIMEOUT, CX_EXITED_MAX };
enum cx_main { CX_MAIN_NONE, CX_MAIN_RUNNING, CX_MAIN_ENDED, CX_MAIN_MAX };

/* Descriptors that the agent inherits from the spawner, by number. Nothing else is open. */
enum {
	CX_AGENT_FD_LISTEN = 3,	 /* listening SOCK_SEQPACKET, bound on the host */
	CX_AGENT_FD_DEV = 4,	 /* detached tmpfs with the device nodes */
	CX_AGENT_FD_SECCOMP = 5, /* memfd: the filter, struct sock_filter[] */
	CX_AGENT_FD_WORK =
		6, /* the work group: its directory, then "tasks" files (runtime/cgroup.h) */
	CX_AGENT_WORK_MAX = 8,
};

CX_AGENT_MSGS(CX_AS_MSG)

#endif
