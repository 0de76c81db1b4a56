/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libssh goes on without what it had no memory for, not always with an error, and its client waits
 * for ever for what does not come. So in the worker, which serves that one client, an allocation
 * that fails is the end. These functions stand in for libc's, which keeps other names of them for
 * that. A fault build has them already, and says when one fails; a sanitizer's end the program.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"

static _Noreturn void end(void)
{
	static const char text[] = "caisson-ssh: out of memory\n";

	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(EXIT_FAILURE);
}

#ifdef CX_FAULT_INJECTION
void cx_fault_no_memory(void)
{
	end();
}
#else
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

static void *or_end(void *p)
{
	if (p == NULL)
		end();
	return p;
}

void *malloc(size_t n)
{
	return or_end(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
	return or_end(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
	void *moved = __libc_realloc(p, n);

	return n == 0 ? moved : or_end(moved); /* of no bytes it is free() */
}
#endif
