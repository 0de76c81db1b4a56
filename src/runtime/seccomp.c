/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "policy/policy.h"

/*
 * libseccomp cannot hold "this call, unless its argument is x" in one filter that allows by list,
 * so the rows become two: one that refuses by arguments and allows the rest, and the list. They are
 * joined into one program: where the first would allow, it goes on to the second.
 */

enum {
	PROGRAM_MAX = BPF_MAXINSNS,
	ALTERNATIVES_MAX = 64,
	COMPILE_CPU_S = 3,
	UNLISTED = ENOSYS, /* what no row names: as a kernel without it would say */
};

struct program {
	struct sock_filter insns[PROGRAM_MAX];
	size_t len;
};

/* What one condition becomes: comparisons of which one has to hold. */
struct alternatives {
	struct scmp_arg_cmp cmp[ALTERNATIVES_MAX];
	unsigned n;
};

CX_DEFINE_AUTO(scmp_filter_ctx, seccomp_release);

static uint32_t action_of(int verdict)
{
	return verdict == CX_SYSCALL_ALLOW ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((unsigned)verdict);
}

/* A range as blocks that one mask tells apart. Without an end above, the upper half counts too. */
static void expand_range(const struct cx_arg_condition *c, struct alternatives *ret)
{
	uint64_t size;

	if (c->last == UINT32_MAX && c->first < c->last) {
		ret->cmp[ret->n++] = SCMP_CMP64(c->arg, SCMP_CMP_GE, c->first, 0);
		return;
	}
	for (uint64_t at = c->first; at <= c->last; at += size) {
		size = 1;
		while (at % (2 * size) == 0 && at + 2 * size - 1 <= c->last)
			size *= 2;
		ret->cmp[ret->n++] =
			SCMP_CMP64(c->arg, SCMP_CMP_MASKED_EQ, UINT32_MAX & ~(size - 1), at);
	}
}

static void expand(const struct cx_arg_condition *c, struct alternatives *ret)
{
	ret->n = 0;
	if (c->op == CX_ARG_RANGE)
		expand_range(c, ret);
	for (unsigned bit = 0; c->op == CX_ARG_ANY_BIT && bit < 32; bit++)
		if ((c->first >> bit & 1) != 0)
			ret->cmp[ret->n++] = SCMP_CMP64(c->arg, SCMP_CMP_MASKED_EQ,
							UINT64_C(1) << bit, UINT64_C(1) << bit);
}

static int add_arguments(scmp_filter_ctx ctx, const struct cx_syscall_arg_row *row,
			 struct cx_err *err)
{
	struct alternatives first, second;
	int r = 0;

	expand(&row->when[0], &first);
	expand(&row->when[1], &second);
	for (unsigned i = 0; i < first.n && r == 0; i++) {
		struct scmp_arg_cmp both[2] = { first.cmp[i] };

		if (second.n == 0)
			r = seccomp_rule_add_exact_array(ctx, action_of(row->verdict), (int)row->nr,
							 1, both);
		for (unsigned j = 0; j < second.n && r == 0; j++) {
			both[1] = second.cmp[j];
			r = seccomp_rule_add_exact_array(ctx, action_of(row->verdict), (int)row->nr,
							 2, both);
		}
	}
	return r < 0 ? cx_fail(err, -r, "rule for arguments of '%s'", row->name) : 0;
}

/* The rows by arguments that allow, or those that refuse. */
static int add_argument_rows(scmp_filter_ctx ctx, bool allow, struct cx_err *err)
{
	for (size_t i = 0; i < cx_policy_nsyscall_args; i++) {
		const struct cx_syscall_arg_row *row = &cx_policy_syscall_args[i];

		if ((row->verdict == CX_SYSCALL_ALLOW) == allow && add_arguments(ctx, row, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int add_list(scmp_filter_ctx ctx, struct cx_err *err)
{
	for (size_t i = 0; i < cx_policy_nsyscalls; i++) {
		const struct cx_syscall_row *row = &cx_policy_syscalls[i];
		int r = 0;

		if (row->verdict != UNLISTED) /* libseccomp takes no rule that says the same */
			r = seccomp_rule_add(ctx, action_of(row->verdict), (int)row->nr, 0);
		if (r < 0)
			return cx_fail(err, -r, "rule for '%s'", row->name);
	}
	return 0;
}

static int export_program(scmp_filter_ctx ctx, struct program *ret, struct cx_err *err)
{
	cx_autofd int fd = memfd_create("filter", MFD_CLOEXEC);
	ssize_t n;
	int r;

	if (fd < 0)
		return cx_fail(err, errno, "memory file");
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return cx_fail(err, -r, "export filter");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return cx_fail(err, errno, "rewind filter");
	n = cx_read_upto(fd, ret->insns, sizeof ret->insns, err);
	if (n < 0)
		return (int)n;
	ret->len = (size_t)n / sizeof ret->insns[0];
	return 0;
}

/* Compiles the rows of one of both filters. */
static int compile(bool arguments, struct program *ret, struct cx_err *err)
{
	uint32_t rest = arguments ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(UNLISTED);
	CX_AUTO(seccomp_releasep) scmp_filter_ctx ctx = seccomp_init(rest);
	int r;

	if (ctx == NULL)
		return cx_fail(err, ENOMEM, "filter");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (r < 0)
		return cx_fail(err, -r, "filter attributes");
	if (add_argument_rows(ctx, !arguments, err) < 0 || (!arguments && add_list(ctx, err) < 0))
		return -err->errnum;
	return export_program(ctx, ret, err);
}

static int join(struct program *first, const struct program *second, struct cx_err *err)
{
	if (first->len + second->len > PROGRAM_MAX)
		return cx_refuse(err, CX_INTERNAL, "a filter of %zu instructions",
				 first->len + second->len);
	for (size_t i = 0; i < first->len; i++) {
		struct sock_filter *insn = &first->insns[i];

		if (insn->code == (BPF_RET | BPF_K) && insn->k == SECCOMP_RET_ALLOW)
			*insn = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA,
							     (uint32_t)(first->len - i - 1));
	}
	memcpy(first->insns + first->len, second->insns, second->len * sizeof second->insns[0]);
	first->len += second->len;
	return 0;
}

static int compile_both(int fd, struct cx_err *err)
{
	cx_autofree struct program *first = calloc(1, sizeof *first);
	cx_autofree struct program *second = calloc(1, sizeof *second);

	if (first == NULL || second == NULL)
		return cx_fail(err, ENOMEM, "filter");
	if (compile(true, first, err) < 0 || compile(false, second, err) < 0 ||
	    join(first, second, err) < 0)
		return -err->errnum;
	return cx_write_all(fd, first->insns, first->len * sizeof first->insns[0], err);
}

/* Memory for all of it, which malloc() then has; some 3 MiB are used. */
static int reserve_memory(struct cx_err *err)
{
	enum { RESERVE = 16 << 20 };
	void *volatile p; /* or the compiler sees that nobody uses it */

	/* A malloc() that does not know these (a sanitizer's) ends the process instead. */
	(void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
	(void)mallopt(M_MMAP_THRESHOLD, 2 * RESERVE);
	p = malloc(RESERVE);
	if (p == NULL)
		return cx_fail(err, ENOMEM, "memory for a filter");
	free(p);
	return 0;
}

/*
 * When malloc() fails libseccomp follows lists without end, frees twice, or makes a filter in which
 * rules are missing. So it works in a process of its own, where malloc() has what it takes and the
 * kernel sees to an end. `shared` is a page of both: what went wrong.
 */
static int compile_apart(int fd, struct cx_err *shared, struct cx_err *err)
{
	const struct rlimit limit = { .rlim_cur = COMPILE_CPU_S, .rlim_max = COMPILE_CPU_S };
	siginfo_t end = { 0 };
	pid_t pid = fork();

	if (pid < 0)
		return cx_fail(err, errno, "fork");
	if (pid == 0) {
		if (setrlimit(RLIMIT_CPU, &limit) < 0)
			_exit(1);
		_exit(reserve_memory(shared) < 0 || compile_both(fd, shared) < 0);
	}
	while (waitid(P_PID, (id_t)pid, &end, WEXITED) < 0)
		if (errno != EINTR)
			return cx_fail(err, errno, "wait for a child");
	if (end.si_code == CLD_EXITED && end.si_status == 0)
		return 0;
	if (shared->errnum == 0)
		return cx_refuse(err, CX_INTERNAL, "libseccomp came to no end");
	*err = *shared;
	return -err->errnum;
}

int cx_seccomp_compile(struct cx_err *err)
{
	cx_autofd int fd = memfd_create("caisson-filter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct cx_err *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int r;

	if (fd < 0 || shared == MAP_FAILED)
		return cx_fail(err, fd < 0 ? errno : ENOMEM, "filter");
	r = compile_apart(fd, shared, err);
	(void)munmap(shared, sizeof *shared);
	if (r < 0)
		return cx_wrap(err, "compile the sandbox's filter");
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return cx_fail(err, errno, "seal the filter");
	return cx_take_fd(&fd);
}
