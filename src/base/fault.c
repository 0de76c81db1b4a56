/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#ifdef CX_FAULT_INJECTION
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

/* Of this build alone, so it may be global: every point of the process needs it. */
static struct cx_fault_plan *plan;
static bool *mine; /* false in what this process forks: the kernel wipes its page there */
static _Thread_local bool looking; /* what looking at the stack calls is no point */

/* faults/NAME beside the program; "" when its own path is not to be known. */
static void plan_path(char *ret, size_t size, int argc, char **argv)
{
	bool has_role = argc >= 2 && (argc == 2 || argv[1][0] != '-');
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
	(void)snprintf(ret, size, "%s/faults/%s%s%s", exe, base, has_role ? "." : "",
		       has_role ? argv[1] : "");
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

struct walk {
	uint64_t place, stack[CX_FAULT_FRAMES];
	size_t n;
	void *program; /* where it begins */
	bool inside;   /* the last frame was of it */
};

enum { OWN_FRAMES = 4 }; /* from here to malloc() */

/*
 * Wherever the kernel has put it, the address in its file says which call it is. What a library
 * went through until it called the program back is no part of the place: when a request comes in
 * two pieces, that is another way to the same.
 */
static _Unwind_Reason_Code one_frame(struct _Unwind_Context *context, void *arg)
{
	struct walk *w = arg;
	struct dl_find_object found;
	uint64_t at = _Unwind_GetIP(context);
	bool inside, was_inside = w->inside;

	if (w->n == CX_FAULT_FRAMES || _dl_find_object((void *)at, &found) < 0)
		return _URC_END_OF_STACK;
	w->inside = inside = found.dlfo_map_start == w->program;
	if (was_inside && !inside && w->n > OWN_FRAMES)
		return _URC_END_OF_STACK;
	at -= (uint64_t)found.dlfo_map_start;
	w->stack[w->n++] = inside ? at : 0;
	w->place = (w->place ^ at) * 0x100000001b3; /* FNV-1a, by words */
	w->place ^= w->place >> 29;
	return _URC_NO_REASON;
}

static void look(struct walk *ret)
{
	struct dl_find_object self;

	*ret = (struct walk){ .place = 0xcbf29ce484222325 };
	if (_dl_find_object((void *)(uintptr_t)&one_frame, &self) == 0)
		ret->program = self.dlfo_map_start;
	looking = true;
	(void)_Unwind_Backtrace(one_frame, ret);
	looking = false;
	ret->place |= 1; /* 0 is none */
}

static void remember(uint64_t place, enum cx_fault_kind kind)
{
	struct cx_fault_place *row = NULL;

	for (size_t i = 0; i < CX_FAULT_PLACES; i++) {
		row = &plan->places[(place + i) % CX_FAULT_PLACES];
		if (row->place == place || row->place == 0)
			break;
	}
	if (row->place != 0 && row->place != place)
		return;
	row->place = place;
	row->count++;
	row->kinds |= kind;
}

static bool is_due(uint64_t place)
{
	if (plan->place != 0 && plan->place != place)
		return false;
	if (plan->left > 0)
		return --plan->left == 0;
	if (plan->fired == 0 || plan->times == 0)
		return false;
	plan->times--;
	return true;
}

/* What the plan says; not for this process when it is another's child. */
static int take_action(const struct walk *at, const char *name)
{
	plan->fired++;
	(void)snprintf(plan->name, sizeof plan->name, "%s", name);
	memcpy(plan->stack, at->stack, sizeof plan->stack);
	if (plan->action == CX_FAULT_STOP)
		(void)raise(SIGSTOP);
	if (plan->action == CX_FAULT_KILL) {
		(void)raise(SIGKILL);
		__builtin_trap(); /* process 1 of a namespace is not killed by itself */
	}
	return plan->action >= CX_FAULT_FAIL ? (int)(plan->action - CX_FAULT_FAIL) : 0;
}

int cx_fault_point(enum cx_fault_kind kind, const char *name)
{
	int saved = errno, errnum = 0;
	struct walk at;

	if (plan == NULL || !*mine || looking || (plan->kinds & kind) == 0)
		return 0;
	plan->count++;
	if (plan->fired > 0 && plan->times == 0) /* all is over: the stack is not worth a look */
		return 0;
	look(&at);
	if (plan->fired == 0)
		remember(at.place, kind);
	if (is_due(at.place))
		errnum = take_action(&at, name);
	errno = saved;
	return errnum;
}

int cx_fault_step(const char *name, struct cx_err *err)
{
	int errnum = cx_fault_point(CX_FAULT_STEP, name);

	return errnum != 0 ? cx_fail(err, errnum, "%s", name) : 0;
}
#else
/* An empty translation unit is none. */
static_assert(sizeof(struct cx_fault_plan) <= 1 << 20, "a file is shared");
#endif
