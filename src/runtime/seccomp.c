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
#include <stddef.h>
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
 * so the rows become three: one that refuses by arguments and allows the rest, one that allows by
 * arguments and refuses the rest, and the list. They are joined into one program: where the first
 * would allow, and the second refuse, it goes on to the next.
 *
 * The list is not libseccomp's: it compares with each call by itself, and the kernel translates the
 * program for each sandbox anew. What lies between two calls of one verdict mostly has the same.
 */

enum {
	PROGRAM_MAX = BPF_MAXINSNS,
	ALTERNATIVES_MAX = 64,
	NUMBERS_MAX = 1024, /* of calls that rows name; far above any */
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

/* What becomes of a call that no row by arguments of this kind is for. */
static uint32_t rest_of(bool allow)
{
	return allow ? SCMP_ACT_ERRNO(UNLISTED) : SCMP_ACT_ALLOW;
}

/* Compiles the rows by arguments that allow, or those that refuse. */
static int compile(bool allow, struct program *ret, struct cx_err *err)
{
	CX_AUTO(seccomp_releasep) scmp_filter_ctx ctx = seccomp_init(rest_of(allow));
	int r;

	if (ctx == NULL)
		return cx_fail(err, ENOMEM, "filter");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (r < 0)
		return cx_fail(err, -r, "filter attributes");
	if (add_argument_rows(ctx, allow, err) < 0)
		return -err->errnum;
	return export_program(ctx, ret, err);
}

/* Calls from `first` up to the next run's. */
struct run {
	uint32_t first, action;
};

/* What the list becomes: a search by halves, and behind it one end for each action. */
struct search {
	struct run runs[NUMBERS_MAX];
	uint32_t ends[UINT8_MAX];
	size_t nruns, nends, first_end;
};

static int find_runs(struct search *s, struct cx_err *err)
{
	uint32_t actions[NUMBERS_MAX];

	for (size_t nr = 0; nr < NUMBERS_MAX; nr++)
		actions[nr] = SCMP_ACT_ERRNO(UNLISTED);
	for (size_t i = 0; i < cx_policy_nsyscalls; i++) {
		const struct cx_syscall_row *row = &cx_policy_syscalls[i];

		if (row->nr >= NUMBERS_MAX - 1) /* those above are as the last one */
			return cx_refuse(err, CX_INTERNAL, "'%s' has number %u", row->name,
					 row->nr);
		actions[row->nr] = action_of(row->verdict);
	}
	for (uint32_t nr = 0; nr < NUMBERS_MAX; nr++)
		if (nr == 0 || actions[nr] != actions[nr - 1])
			s->runs[s->nruns++] = (struct run){ .first = nr, .action = actions[nr] };
	return 0;
}

/* Of all jumps none is longer than the search with its ends, of which a jump can name 255. */
static int find_ends(struct search *s, struct cx_err *err)
{
	for (size_t i = 0; i < s->nruns; i++) {
		size_t k = 0;

		while (k < s->nends && s->ends[k] != s->runs[i].action)
			k++;
		if (k == s->nends && s->nruns + k >= UINT8_MAX)
			return cx_refuse(err, CX_INTERNAL, "a list of %zu runs", s->nruns);
		if (k == s->nends)
			s->ends[s->nends++] = s->runs[i].action;
	}
	return 0;
}

static size_t end_of(const struct search *s, const struct run *run)
{
	size_t i = 0;

	while (s->ends[i] != run->action)
		i++;
	return s->first_end + i;
}

/* Of n runs, two or more: a comparison less. Those of the lower half come first. */
static void put_comparisons(const struct search *s, const struct run *runs, size_t n,
			    struct program *p)
{
	size_t half = n / 2, at = p->len++;
	size_t below = half == 1 ? end_of(s, runs) : at + 1;
	size_t above = n - half == 1 ? end_of(s, runs + half) : at + half;

	p->insns[at] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, runs[half].first,
					     (uint8_t)(above - at - 1), (uint8_t)(below - at - 1));
	if (half > 1)
		put_comparisons(s, runs, half, p);
	if (n - half > 1)
		put_comparisons(s, runs + half, n - half, p);
}

static int compile_list(struct program *ret, struct cx_err *err)
{
	struct search s = { 0 };

	if (find_runs(&s, err) < 0 || find_ends(&s, err) < 0)
		return -err->errnum;
	ret->insns[ret->len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							      offsetof(struct seccomp_data, nr));
	s.first_end = ret->len + s.nruns - 1;
	put_comparisons(&s, s.runs, s.nruns, ret);
	for (size_t i = 0; i < s.nends; i++)
		ret->insns[ret->len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, s.ends[i]);
	return 0;
}

/* Where the first would do `rest`, it goes on to the second. */
static int join(struct program *first, uint32_t rest, const struct program *second,
		struct cx_err *err)
{
	if (first->len + second->len > PROGRAM_MAX)
		return cx_refuse(err, CX_INTERNAL, "a filter of %zu instructions",
				 first->len + second->len);
	for (size_t i = 0; i < first->len; i++) {
		struct sock_filter *insn = &first->insns[i];

		if (insn->code == (BPF_RET | BPF_K) && insn->k == rest)
			*insn = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA,
							     (uint32_t)(first->len - i - 1));
	}
	memcpy(first->insns + first->len, second->insns, second->len * sizeof second->insns[0]);
	first->len += second->len;
	return 0;
}

static int compile_all(int fd, struct cx_err *err)
{
	cx_autofree struct program *refusing = calloc(1, sizeof *refusing);
	cx_autofree struct program *allowing = calloc(1, sizeof *allowing);
	cx_autofree struct program *list = calloc(1, sizeof *list);

	if (refusing == NULL || allowing == NULL || list == NULL)
		return cx_fail(err, ENOMEM, "filter");
	if (compile(false, refusing, err) < 0 || compile(true, allowing, err) < 0 ||
	    compile_list(list, err) < 0 || join(allowing, rest_of(true), list, err) < 0 ||
	    join(refusing, rest_of(false), allowing, err) < 0)
		return -err->errnum;
	return cx_write_all(fd, refusing->insns, refusing->len * sizeof refusing->insns[0], err);
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
		_exit(reserve_memory(shared) < 0 || compile_all(fd, shared) < 0);
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
