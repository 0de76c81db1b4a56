/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_BASE_FAULT_H
#define CX_BASE_FAULT_H

#include <stdint.h>

#include "base/err.h"

/*
 * Faults on purpose, for tests/faults. Only "configure --enable-fault-injection" compiles them in;
 * any other build has neither the functions nor the points, and reads no file for them.
 *
 * A program of a fault build looks for faults/NAME beside its own file (NAME.ARGUMENT when its
 * first argument is the only one or no option), before main(), and shares it, a struct
 * cx_fault_plan, with the test. Without that file nothing happens. Points are counted in the
 * program itself, not in what it forks.
 *
 * A point is passed at a place: the functions from main() to it, as a number that is the same in
 * each process of this build. Places are remembered until a fault happens, so that a test can take
 * each once, however often and in which order they are passed.
 */
enum cx_fault_kind {
	CX_FAULT_STEP = 1,   /* cx_fault_step(): something is about to be done that was recorded */
	CX_FAULT_CALL = 2,   /* a system call that changes something outside of the process */
	CX_FAULT_OPEN = 4,   /* one that makes a descriptor */
	CX_FAULT_MEMORY = 8, /* an allocation */
};

enum cx_fault_action {
	CX_FAULT_NOTHING,
	CX_FAULT_KILL, /* SIGKILL to itself */
	CX_FAULT_STOP, /* SIGSTOP to itself: whatever the test does, it does here */
	CX_FAULT_FAIL, /* plus an errno: the point fails with it */
};

enum { CX_FAULT_FRAMES = 40, CX_FAULT_PLACES = 16384 };

struct cx_fault_plan {
	uint64_t kinds; /* which points count */
	uint64_t place; /* only those here; 0: everywhere */
	uint64_t left;	/* the action is taken at the point that makes it 0; 0: at none */
	uint64_t times; /* and at so many of the next points */
	uint64_t action;
	uint64_t count; /* points since the test made it 0 */
	uint64_t fired;
	char name[64]; /* of the point at which it fired last */
	/* Where that was, innermost first: addresses in the program's file, 0 in a library. */
	uint64_t stack[CX_FAULT_FRAMES];
	struct cx_fault_place {
		uint64_t place, count, kinds; /* 0: a free row */
	} places[CX_FAULT_PLACES];	      /* by place modulo their number, or behind */
};

#ifdef CX_FAULT_INJECTION
/* 0, or -errno when the plan says so. May kill or stop the process. Keeps errno on success. */
int cx_fault_step(const char *name, struct cx_err *err);
/* For the calls: the errno to fail with, or 0. */
int cx_fault_point(enum cx_fault_kind kind, const char *name);
/* A program that defines it hears of each allocation that is made to fail. */
void cx_fault_no_memory(void) __attribute__((weak));
#else
static inline int cx_fault_step(const char *name, struct cx_err *err)
{
	(void)name;
	(void)err;
	return 0;
}
#endif

#endif
