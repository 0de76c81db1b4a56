/* SPDX-License-Identifier: Apache-2.0 */
#undef _FORTIFY_SOURCE /* its inline functions have the names that are defined here */
#include "base/fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * Part of the programs of a fault build: libc's functions once more, each a point and then the real
 * one. The dynamic linker takes a program's own before libc's, for libraries too, so that what
 * sqlite or libnl do is counted as well. What libc does within itself is not.
 */

/* Returns -1 with errno from the function around it when the plan says so. */
#define POINT(kind, name)                                \
	do {                                             \
		int errnum = cx_fault_point(kind, name); \
		if (errnum != 0) {                       \
			errno = errnum;                  \
			return -1;                       \
		}                                        \
	} while (0)

/* The next definition of it, which is libc's. */
#define REAL(type, name, params)   \
	static type(*real) params; \
	if (real == NULL)          \
	*(void **)(&real) = dlsym(RTLD_NEXT, #name)

#define CALL(kind, type, name, params, args) \
	type name params                     \
	{                                    \
		REAL(type, name, params);    \
		POINT(kind, #name);          \
		return real args;            \
	}

/* clang-format off */
#define CHANGE(...) CALL(CX_FAULT_CALL, __VA_ARGS__)
#define OPEN(...)   CALL(CX_FAULT_OPEN, __VA_ARGS__)

/* files */
CHANGE(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
CHANGE(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
CHANGE(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
CHANGE(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at))
CHANGE(ssize_t, sendfile, (int out, int in, off_t *at, size_t n), (out, in, at, n))
CHANGE(int, fsync, (int fd), (fd))
CHANGE(int, fdatasync, (int fd), (fd))
CHANGE(int, ftruncate, (int fd, off_t n), (fd, n))
CHANGE(int, ftruncate64, (int fd, off64_t n), (fd, n))
CHANGE(int, mkdir, (const char *at, mode_t mode), (at, mode))
CHANGE(int, mkdirat, (int dir, const char *at, mode_t mode), (dir, at, mode))
CHANGE(int, rmdir, (const char *at), (at))
CHANGE(int, unlink, (const char *at), (at))
CHANGE(int, unlinkat, (int dir, const char *at, int flags), (dir, at, flags))
CHANGE(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
CHANGE(int, linkat, (int a, const char *from, int b, const char *to, int flags),
        (a, from, b, to, flags))
CHANGE(int, symlinkat, (const char *to, int dir, const char *at), (to, dir, at))
CHANGE(int, fchmod, (int fd, mode_t mode), (fd, mode))
CHANGE(int, fchmodat, (int dir, const char *at, mode_t mode, int flags), (dir, at, mode, flags))
CHANGE(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
CHANGE(int, fchownat, (int dir, const char *at, uid_t uid, gid_t gid, int flags),
        (dir, at, uid, gid, flags))
/* messages */
CHANGE(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
CHANGE(ssize_t, sendto, (int fd, const void *p, size_t n, int flags, __CONST_SOCKADDR_ARG to, socklen_t len),
        (fd, p, n, flags, to, len))
CHANGE(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
CHANGE(int, bind, (int fd, __CONST_SOCKADDR_ARG at, socklen_t len), (fd, at, len))
CHANGE(int, listen, (int fd, int n), (fd, n))
CHANGE(int, connect, (int fd, __CONST_SOCKADDR_ARG to, socklen_t len), (fd, to, len))
/* mounts, namespaces, processes */
CHANGE(int, mount, (const char *from, const char *at, const char *type, unsigned long flags, const void *data),
        (from, at, type, flags, data))
CHANGE(int, umount2, (const char *at, int flags), (at, flags))
CHANGE(int, move_mount, (int a, const char *from, int b, const char *to, unsigned flags),
        (a, from, b, to, flags))
CHANGE(int, fsconfig, (int fd, unsigned verb, const char *key, const void *value, int more),
        (fd, verb, key, value, more))
CHANGE(int, mount_setattr, (int dir, const char *at, unsigned flags, struct mount_attr *attr, size_t n),
        (dir, at, flags, attr, n))
CHANGE(int, setns, (int fd, int kind), (fd, kind))
CHANGE(int, unshare, (int flags), (flags))
CHANGE(int, seteuid, (uid_t uid), (uid))
CHANGE(int, kill, (pid_t pid, int signo), (pid, signo))
/* descriptors */
OPEN(int, socket, (int family, int type, int protocol), (family, type, protocol))
OPEN(int, socketpair, (int family, int type, int protocol, int pair[2]),
        (family, type, protocol, pair))
OPEN(int, accept4, (int fd, __SOCKADDR_ARG from, socklen_t *len, int flags), (fd, from, len, flags))
OPEN(int, pipe2, (int pair[2], int flags), (pair, flags))
OPEN(int, eventfd, (unsigned n, int flags), (n, flags))
OPEN(int, epoll_create1, (int flags), (flags))
OPEN(int, epoll_ctl, (int fd, int op, int of, struct epoll_event *event), (fd, op, of, event))
OPEN(int, memfd_create, (const char *name, unsigned flags), (name, flags))
OPEN(int, fsopen, (const char *name, unsigned flags), (name, flags))
OPEN(int, fsmount, (int fd, unsigned flags, unsigned attributes), (fd, flags, attributes))
OPEN(int, open_tree, (int dir, const char *at, unsigned flags), (dir, at, flags))
/* clang-format on */

/* ---- with arguments of any number ----------------------------------------------------------- */

static bool makes_file(int flags)
{
	return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

static enum cx_fault_kind kind_of_open(int flags)
{
	return makes_file(flags) ? CX_FAULT_CALL : CX_FAULT_OPEN;
}

static mode_t mode_of(int flags, va_list args)
{
	return makes_file(flags) ? va_arg(args, mode_t) : 0;
}

#define OPENAT(name)                                            \
	int name(int dir, const char *at, int flags, ...)       \
	{                                                       \
		REAL(int, name, (int, const char *, int, ...)); \
		va_list args;                                   \
		mode_t mode;                                    \
                                                                \
		va_start(args, flags);                          \
		mode = mode_of(flags, args);                    \
		va_end(args);                                   \
		POINT(kind_of_open(flags), #name);              \
		return real(dir, at, flags, mode);              \
	}
#define OPEN_PATH(name)                                    \
	int name(const char *at, int flags, ...)           \
	{                                                  \
		REAL(int, name, (const char *, int, ...)); \
		va_list args;                              \
		mode_t mode;                               \
                                                           \
		va_start(args, flags);                     \
		mode = mode_of(flags, args);               \
		va_end(args);                              \
		POINT(kind_of_open(flags), #name);         \
		return real(at, flags, mode);              \
	}
OPENAT(openat)
OPENAT(openat64)
OPEN_PATH(open)
OPEN_PATH(open64)

long syscall(long number, ...)
{
	REAL(long, syscall, (long, ...));
	long a[6];
	va_list args;

	va_start(args, number);
	for (size_t i = 0; i < CX_LEN(a); i++)
		a[i] = va_arg(args, long);
	va_end(args);
	POINT(CX_FAULT_CALL, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- memory: by the names that libc keeps for who defines these, as dlsym() needs some ------- */

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

static bool no_memory(const char *name)
{
	bool none = cx_fault_point(CX_FAULT_MEMORY, name) != 0;

	if (none && cx_fault_no_memory != NULL)
		cx_fault_no_memory();
	if (none)
		errno = ENOMEM;
	return none;
}

void *malloc(size_t n)
{
	return no_memory("malloc") ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return no_memory("calloc") ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return no_memory("realloc") ? NULL : __libc_realloc(p, n);
}
