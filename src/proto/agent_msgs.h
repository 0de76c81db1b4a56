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
	M(0x22, exited, CX_FIELDS_EXITED)	    /* fd: a pidfd, below; or none */             \
	M(0x23, exec_signal, CX_FIELDS_EXEC_SIGNAL) /* -> ok */                                   \
	M(0x24, exec_resize, CX_FIELDS_EXEC_RESIZE) /* -> ok */                                   \
	M(0x25, exec_watch, CX_FIELDS_EXEC_WATCH)   /* -> started, later exited */                \
	M(0x26, exec_output, CX_FIELDS_EXEC_OUTPUT) /* -> log_data */                             \
	M(0x30, log_read, CX_FIELDS_LOG_READ)	    /* -> log_data */                             \
	M(0x31, log_data, CX_FIELDS_LOG_DATA)                                                     \
	M(0x40, main_status, CX_FIELDS_AGENT_NONE) /* -> main_state */                            \
	M(0x41, main_state, CX_FIELDS_MAIN_STATE)  /* also sent unasked (request 0) at its end */ \
	M(0x50, file_put, CX_FIELDS_FILE_PUT)	   /* fd: pipe to read -> file_info, later ok */  \
	M(0x51, file_get, CX_FIELDS_FILE_GET)	   /* fd: pipe to fill -> file_info, later ok */  \
	M(0x52, file_list, CX_FIELDS_FILE_LIST)	   /* fd: pipe to fill -> file_info, later ok */  \
	M(0x53, file_info, CX_FIELDS_FILE_INFO)                                                   \
	M(0x60, port_open, CX_FIELDS_PORT_OPEN)	   /* -> port_opened */                           \
	M(0x61, port_opened, CX_FIELDS_AGENT_NONE) /* fd: a connected TCP socket */

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
 * fds with a key: stdin only. Such a command needs nobody outside: the agent itself reads its
 * output and keeps, of each stream, the beginning and the newest part (agent/kept.h), and its end.
 * exec_watch makes the connection that asks the one that is told of both, as if it had started it;
 * a key that is not known (any more) is CX_NOT_FOUND. exec_output is answered when there is
 * something at offset, when the command has ended, or after wait_ms.
 */
#define CX_FIELDS_EXEC(F)                                                                          \
	F(u32, flags, CX_EXEC_TTY | CX_EXEC_SHELL | CX_EXEC_SFTP | CX_EXEC_QUIET)                  \
	F(strv, argv,                                                                              \
	  131072)	    /* the program and its arguments; with CX_EXEC_SHELL one shell text */ \
	F(strv, env, 65536) /* added to and overriding the defaults */                             \
	F(str, cwd, 4095)   /* "" is the default */                                                \
	F(str, user, 255)   /* "" is the default */                                                \
	F(u32, timeout_ms, UINT32_MAX) /* wall time; 0 is none. Then its whole group is killed */  \
	F(u32, rows, 65535)                                                                        \
	F(u32, cols, 65535)                                                                        \
	F(u64, file_bytes, INT64_MAX) /* largest file that it may write; 0: no limit of its own */ \
	F(u64, stack_bytes, INT64_MAX) /* likewise */                                              \
	F(u32, open_files, INT32_MAX)  /* likewise */                                              \
	F(str, key, CX_EXEC_KEY_MAX)   /* not "": kept under this name, see below */               \
	F(u32, slot, 1024) /* the control group that the host counts by; 0: none. The last field   \
			    */
#define CX_FIELDS_STARTED(F) F(u32, pid, UINT32_MAX) /* as seen inside */
/*
 * The pidfd is of the command's first process, which is gone: the host asks the kernel how it ended
 * (exec/witness.h). There is none when it could not be opened in time.
 */
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
#define CX_FIELDS_EXEC_WATCH(F)	 F(str, key, CX_EXEC_KEY_MAX)
#define CX_FIELDS_EXEC_OUTPUT(F)      \
	F(str, key, CX_EXEC_KEY_MAX)  \
	F(u32, which, 1) /* stderr */ \
	F(u64, offset, UINT64_MAX)    \
	F(u32, max, 65536)            \
	F(u32, wait_ms, 60000)
#define CX_FIELDS_LOG_READ(F) F(u64, offset, UINT64_MAX) F(u32, max, 65536)
#define CX_FIELDS_LOG_DATA(F)                                                                      \
	F(u64, offset, UINT64_MAX) /* of the first byte; later than asked when that was dropped */ \
	F(u64, end, UINT64_MAX)	   /* bytes written so far */                                      \
	F(bytes, data, 65536)
#define CX_FIELDS_MAIN_STATE(F) \
	F(u32, state, CX_MAIN_MAX - 1) F(u32, how, CX_EXITED_MAX - 1) F(u32, status, 255)

/*
 * Files. A path that does not begin with '/' begins in the default working directory; "" as user is
 * the default user, whose rights count. After file_info bytes go through the pipe; then comes ok or
 * agent_error. exec_signal with SIGKILL and the number of the request ends it early.
 *
 * file_put reads chunks: u32 length, then so many bytes; a length of 0 is "that was all", without
 * which nothing is kept. The path has the old content or all of the new at any moment; its parents
 * are made. What is replaced keeps its mode when none is given. A link's content is its target; a
 * directory has none and may exist. Of an archive this holds for each file in it: one that breaks
 * off leaves those that came before.
 * file_get fills the pipe with exactly as many bytes as file_info says. file_list fills it with one
 * file_entry for each name behind "after" in a directory, in the order of bytes, behind a u32
 * length; those that do not fit are left out, and file_info says how many there are.
 */
#define CX_FIELDS_FILE_PUT(F)                                      \
	F(u32, kind, CX_FILE_TAR)                                  \
	F(str, path, 4095)                                         \
	F(str, user, 255)                                          \
	F(u32, mode, CX_FILE_MODE_NONE) /* or CX_FILE_MODE_NONE */ \
	F(u32, timeout_ms, UINT32_MAX)	/* of all of it; 0: none */
#define CX_FIELDS_FILE_GET(F)                                                   \
	F(str, path, 4095)                                                      \
	F(str, user, 255)                                                       \
	F(u64, offset, INT64_MAX)  /* beyond the end: nothing comes */          \
	F(u32, tail, 1)		   /* offset counts from the end backwards; */  \
				   /* more than there is: from the beginning */ \
	F(u64, length, UINT64_MAX) /* at most; UINT64_MAX: up to the end */     \
	F(u32, timeout_ms, UINT32_MAX)
#define CX_FIELDS_FILE_LIST(F) \
	F(str, path, 4095) F(str, user, 255) F(str, after, 255) F(u32, timeout_ms, UINT32_MAX)
#define CX_FIELDS_FILE_INFO(F)                                                             \
	F(u32, kind, CX_FILE_KIND_MAX - 1)                                                 \
	F(u32, mode, 07777)                                                                \
	F(u64, size, INT64_MAX)	  /* of all of it */                                       \
	F(u64, mtime, INT64_MAX)  /* seconds */                                            \
	F(u64, offset, INT64_MAX) /* file_get: where it begins */                          \
	F(u64, length, INT64_MAX) /* file_get: bytes that come; file_list: names behind */ \
				  /* "after", also those that do not fit */

enum cx_file_kind {
	CX_FILE_REGULAR,
	CX_FILE_DIRECTORY,
	CX_FILE_LINK,
	CX_FILE_TAR, /* file_put only: an archive of them, unpacked in the directory of that path */
	CX_FILE_OTHER, /* a device, FIFO or socket: never made, read or written */
	CX_FILE_KIND_MAX
};
enum {
	CX_FILE_MODE_NONE = 010000,
	CX_FILE_CHUNK_MAX = 1 << 20,  /* bytes */
	CX_FILE_LIST_MAX = 512 << 10, /* bytes of entries with their lengths */
	CX_FILE_LIST_ENTRIES_MAX = 1000,
};

/* A TCP port of the sandbox's own loopback; until when somebody must have taken the connection. */
#define CX_FIELDS_PORT_OPEN(F) F(u32, port, 65535) F(u32, timeout_ms, 60000)

#define CX_FIELDS_FILE_ENTRY(F)            \
	F(str, name, 255)                  \
	F(u32, kind, CX_FILE_KIND_MAX - 1) \
	F(u32, mode, 07777)                \
	F(u64, size, INT64_MAX)            \
	F(u64, mtime, INT64_MAX)           \
	F(str, target, 4095) /* of a link; "" when it cannot be said here */
CX_AS_MSG(0x5f, file_entry, CX_FIELDS_FILE_ENTRY)

enum cx_agent_state { CX_AGENT_BLANK, CX_AGENT_CLAIMED, CX_AGENT_STATE_MAX };
enum {
	CX_EXEC_TTY = 1,
	CX_EXEC_SHELL = 2,
	CX_EXEC_SFTP = 4,  /* the agent itself serves SFTP there, whatever argv says */
	CX_EXEC_QUIET = 8, /* for measurements: one core, and addresses as in every run */
	CX_EXEC_KEY_MAX = 64,
};
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
