/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#ifdef CX_FAULT_INJECTION
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of this build alone, so it may be global: every point of the process needs it. */
static struct cx_fault_plan *plan;
static bool *mine; /* false in what this process forks: the kernel wipes its page there */

/* faults/NAME beside the program; "" when its own path is not to be known. */
static void plan_path(char *ret, size_t size, int argc, char **argv)
{
	char exe[512];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	char *base;

	ret[0] = '\0';
	if (n <= 0)
		return;
	exe[n] = '\0';
	base = strrchr(exe, '/');
	if (base == NULL)
		return;
	*base++ = '\0';
	(void)snprintf(ret, size, "%s/faults/%s%s%s", exe, base, argc == 2 ? "." : "",
		       argc == 2 ? argv[1] : "");
}

static bool make_mine(void)
{
	void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED || madvise(page, 1, MADV_WIPEONFORK) < 0)
		return false;
	mine = page;
	*mine = true;
	return true;
}

static __attribute__((constructor)) void find_plan(int argc, char **argv)
{
	char path[640];
	cx_autofd int fd = -EBADF;
	void *page;

	plan_path(path, sizeof path, argc, argv);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || lseek(fd, 0, SEEK_END) < (off_t)sizeof *plan)
		return;
	page = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page != MAP_FAILED && make_mine())
		plan = page;
}

static bool is_due(void)
{
	if (plan->left > 0)
		return --plan->left == 0;
	if (plan->fired == 0 || plan->times == 0)
		return false;
	plan->times--;
	return true;
}

int cx_fault_point(enum cx_fault_kind kind, const char *name)
{
	int saved = errno;

	if (plan == NULL || !*mine || (plan->kinds & kind) == 0)
		return 0;
	plan->count++;
	if (!is_due())
		return 0;
	plan->fired++;
	(void)snprintf(plan->name, sizeof plan->name, "%s", name);
	if (plan->action == CX_FAULT_STOP)
		(void)raise(SIGSTOP);
	if (plan->action == CX_FAULT_KILL) {
		(void)raise(SIGKILL);
		__builtin_trap(); /* process 1 of a namespace is not killed by itself */
	}
	errno = saved;
	return plan->action >= CX_FAULT_FAIL ? (int)(plan->action - CX_FAULT_FAIL) : 0;
}

int cx_fault_step(const char *name, struct cx_err *err)
{
	int errnum = cx_fault_point(CX_FAULT_STEP, name);

	return errnum != 0 ? cx_fail(err, errnum, "%s", name) : 0;
}
#else
/* An empty translation unit is none. */
static_assert(sizeof(struct cx_fault_plan) <= 4096, "a page is shared");
#endif
