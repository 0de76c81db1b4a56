/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_TESTS_ESCAPE_PROBE_H
#define CX_TESTS_ESCAPE_PROBE_H

#include <stddef.h>
#include <stdint.h>

/*
 * A program that is run inside a sandbox and tries to get out of it, or to more power in it than
 * was granted. Every attempt is a row: tables of them lie beside this file, one file per group.
 *
 * Each attempt runs in a child of its own and returns
 *	PROBE_OPEN	it worked: the sandbox has a hole (or the control is as it should be)
 *	-errno		it was refused
 *	PROBE_NA	it cannot be tried as this user or on this machine (say why with probe_note)
 * A child killed by SIGSYS was refused (so was one that faults, in a row that says so); one that
 * ends in any other way without an answer, or does not end, counts as open. What has to execute
 * something does so in a child of its own.
 */
enum { PROBE_OPEN = 0, PROBE_NA = 1 };

enum probe_flags {
	/* May run in the positive control too, as real root in throw-away namespaces. */
	PROBE_SAFE_OUTSIDE = 1,
	/* Not an attempt: something a sandbox must be able to do. Has to be open, everywhere. */
	PROBE_CONTROL = 2,
	/* Says something only as root of the sandbox. */
	PROBE_ROOT = 4,
	/* Says something only as an unprivileged user of the sandbox. */
	PROBE_USER = 8,
	/* An instruction that faults (SIGSEGV, SIGBUS, SIGILL) when it is refused. */
	PROBE_FAULTS = 16,
};

struct probe_row {
	const char *name; /* unique within the group */
	int (*run)(const struct probe_row *row);
	const char *path;
	long a, b, c; /* what run makes of them is said where it is declared */
	unsigned flags;
	const char *why; /* what would be lost */
};

struct probe_group {
	const char *name;
	const struct probe_row *rows;
	size_t count;
};

/* What the harness told: all may be NULL or 0, and what needs it then says PROBE_NA. */
struct probe_host {
	const char *abstract; /* name of an abstract Unix socket on which a host process listens */
	const char *file;     /* absolute path of a file on the host */
	const char *text;     /* what stands in it */
	int port;	      /* TCP port on the host's 127.0.0.1 on which a process listens */
	int outside;	      /* this is the positive control */
};
extern struct probe_host probe_host;

extern const struct probe_group probe_control, probe_mounts, probe_files, probe_devices, probe_pid1,
	probe_kernel, probe_namespaces, probe_sockets, probe_creds, probe_limits;

/* A detail that is shown with the result. */
__attribute__((format(printf, 1, 2))) void probe_note(const char *fmt, ...);

/* The result of a call that answers -1 and errno: any success is open. */
int probe_result(long rc);
/*
 * The same for an interface that must not be reachable at all: only a refusal by policy (EPERM,
 * EACCES, ENOSYS) counts as one; any other errno shows that the kernel looked at the arguments.
 */
int probe_unreachable(long rc);

/* ---- general attempts, filled in by rows ---- */
int probe_open_write(const struct probe_row *row); /* open path for writing; nothing is written */
int probe_read(const struct probe_row *row);	   /* open path and get something */
int probe_list(const struct probe_row *row);	   /* path is a directory with something in it */
int probe_exists(const struct probe_row *row);	   /* path is there at all */
int probe_syscall(const struct probe_row *row); /* syscall a with b, c, 0...: must be unreachable */

/* ---- small things that several groups need ---- */
/* Reads up to size-1 bytes and ends them with NUL. Returns the length or -errno. */
long probe_slurp(const char *path, char *buf, size_t size);
/* Writes text to path; returns 0 or -errno. */
int probe_write(const char *path, const char *text);
/* An empty directory of its own on a writable file system; NULL when there is none. */
const char *probe_tmpdir(void);

#endif
