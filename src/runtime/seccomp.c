/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "policy/policy.h"

/*
 * libseccomp cannot hold "this call, unless its argument is x" in one filter that allows by list,
 * so the rows become two: one that refuses arguments and allows the rest, and the list. They are
 * joined into one program: where the first would allow, it goes on to the second.
 */

enum { PROGRAM_MAX = BPF_MAXINSNS };

struct program {
	struct sock_filter insns[PROGRAM_MAX];
	size_t len;
};

CX_DEFINE_AUTO(scmp_filter_ctx, seccomp_release);

static bool refuses_arguments(const struct cx_call_row *row)
{
	return row->verdict == CX_CALL_REFUSE && row->nconditions > 0;
}

static int add_row(scmp_filter_ctx ctx, const struct cx_call_row *row, struct cx_err *err)
{
	struct scmp_arg_cmp args[CX_LEN(row->conditions)];
	int nr = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, row->name);
	int r;

	for (unsigned i = 0; i < row->nconditions; i++)
		args[i] = SCMP_CMP(row->conditions[i].arg, SCMP_CMP_MASKED_EQ,
				   row->conditions[i].mask, row->conditions[i].equal);
	if (nr == __NR_SCMP_ERROR) /* newer than the library: it stays unlisted and so ENOSYS */
		return 0;
	if (nr < 0) /* another architecture's */
		return 0;
	r = seccomp_rule_add_exact_array(
		ctx, row->verdict == CX_CALL_ALLOW ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM), nr,
		row->nconditions, args);
	return r < 0 ? cx_fail(err, -r, "rule for '%s'", row->name) : 0;
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
	uint32_t rest = arguments ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS);
	CX_AUTO(seccomp_releasep) scmp_filter_ctx ctx = seccomp_init(rest);
	int r;

	if (ctx == NULL)
		return cx_fail(err, ENOMEM, "filter");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (r < 0)
		return cx_fail(err, -r, "filter attributes");
	for (size_t i = 0; i < cx_policy_ncalls; i++)
		if (refuses_arguments(&cx_policy_calls[i]) == arguments &&
		    add_row(ctx, &cx_policy_calls[i], err) < 0)
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

int cx_seccomp_compile(struct cx_err *err)
{
	cx_autofree struct program *first = calloc(1, sizeof *first);
	cx_autofree struct program *second = calloc(1, sizeof *second);
	cx_autofd int fd = memfd_create("caisson-filter", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (first == NULL || second == NULL || fd < 0)
		return cx_fail(err, fd < 0 ? errno : ENOMEM, "filter");
	if (compile(true, first, err) < 0 || compile(false, second, err) < 0 ||
	    join(first, second, err) < 0 ||
	    cx_write_all(fd, first->insns, first->len * sizeof first->insns[0], err) < 0)
		return cx_wrap(err, "compile the sandbox's filter");
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return cx_fail(err, errno, "seal the filter");
	return cx_take_fd(&fd);
}
