/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_CLEANUP_H
#define CX_BASE_CLEANUP_H

/*
 * Ownership by scope. A variable declared with one of these releases what it holds when it leaves
 * scope, on every path; there is no "goto out" in this tree.
 *
 *	cx_autofd int	a descriptor; -EBADF when it holds none
 *	cx_autofree	memory of malloc(3)
 *	CX_AUTO(fn)	anything else: fn takes a pointer to the variable
 *
 * Something that must outlive its scope leaves by cx_take_fd() or cx_take_ptr().
 */

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define CX_AUTO(fn) __attribute__((cleanup(fn)))
#define CX_MUST	    __attribute__((warn_unused_result))
#define CX_LEN(a)   (sizeof(a) / sizeof((a)[0]))

/*
 * A large buffer that is filled up to its used length: the compiler would zero all of it first, and
 * touch each of its pages.
 */
#define CX_UNINITIALIZED __attribute__((uninitialized))

#define cx_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Closes *fd if there is one and leaves -EBADF. Keeps errno, so it may run on an error path. */
static inline void cx_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -EBADF;
	errno = saved;
}

static inline int cx_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -EBADF;
	return taken;
}

#define cx_autofd CX_AUTO(cx_close)

static inline void cx_freep(void *slot)
{
	void **p = slot;

	free(*p);
	*p = NULL;
}

#define cx_autofree CX_AUTO(cx_freep)

static inline void *cx_take_ptr(void *slot)
{
	void **p = slot, *taken = *p;

	*p = NULL;
	return taken;
}

/* CX_DEFINE_AUTO(sqlite3_stmt *, sqlite3_finalize) defines sqlite3_finalizep() for CX_AUTO(). */
#define CX_DEFINE_AUTO(type, fn)             \
	static inline void fn##p(type *slot) \
	{                                    \
		if (*slot != NULL)           \
			(void)fn(*slot);     \
		*slot = NULL;                \
	}                                    \
	struct cx_require_semicolon

#endif
