/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled filter, by its verdicts: each row of the policy and what no row names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check_main.h"

#include "policy/policy.h"
#include "runtime/seccomp.h"

static struct sock_fprog program;
static struct cx_err err;

static void load(void)
{
	cx_autofd int fd = cx_seccomp_compile(&err);
	struct stat st;
	char byte = 0;

	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert_int_eq(fstat(fd, &st), 0);
	program.filter = malloc((size_t)st.st_size);
	ck_assert_ptr_nonnull(program.filter);
	ck_assert_int_eq(pread(fd, program.filter, (size_t)st.st_size, 0), st.st_size);
	program.len = (unsigned short)(st.st_size / (off_t)sizeof(struct sock_filter));
	ck_assert_int_lt(write(fd, &byte, 1), 0); /* sealed */
}

static void unload(void)
{
	free(program.filter);
}

enum verdict { PASSES = -1, KILLED = -2 };

/*
 * What becomes of a call: the errno of a refusal, PASSES (the kernel proper answered, whatever it
 * said) or KILLED. Arguments are chosen so that what passes does nothing: bad pointers, bad
 * numbers.
 */
static int verdict_of(long nr, const unsigned long *a)
{
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0) {
		long before, after;

		/* Calls that would end, stop or multiply this process are told by their absence of
		 * ENOSYS. */
		before = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		after = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
		if (before != 0 || after != 0)
			_exit(254);
		errno = 0;
		(void)syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		_exit(errno == EPERM || errno == ENOSYS || errno == EAFNOSUPPORT ||
				      errno == EPROTONOSUPPORT
			      ? errno
			      : 0);
	}
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
	if (info.si_code != CLD_EXITED)
		return KILLED;
	ck_assert_int_ne(info.si_status, 254);
	return info.si_status == 0 ? PASSES : info.si_status;
}

/* The same without a kernel: what the program returns, by interpreting it. */
static uint32_t evaluate(uint32_t arch, int nr, const unsigned long *a)
{
	struct seccomp_data data = { .nr = nr, .arch = arch };
	uint32_t acc = 0;

	memcpy(data.args, a, sizeof data.args);
	for (size_t pc = 0; pc < program.len; pc++) {
		const struct sock_filter *in = &program.filter[pc];
		bool yes = in->code == (BPF_JMP | BPF_JEQ | BPF_K)   ? acc == in->k
			   : in->code == (BPF_JMP | BPF_JGT | BPF_K) ? acc > in->k
			   : in->code == (BPF_JMP | BPF_JGE | BPF_K) ? acc >= in->k
								     : (acc & in->k) != 0;

		if (in->code == (BPF_LD | BPF_W | BPF_ABS))
			memcpy(&acc, (const char *)&data + in->k, sizeof acc);
		else if (in->code == (BPF_ALU | BPF_AND | BPF_K))
			acc &= in->k;
		else if (in->code == (BPF_JMP | BPF_JA))
			pc += in->k;
		else if (in->code == (BPF_RET | BPF_K))
			return in->k;
		else if (BPF_CLASS(in->code) == BPF_JMP)
			pc += yes ? in->jt : in->jf;
		else
			ck_abort_msg("instruction %#x", in->code);
	}
	ck_abort_msg("the program has no end");
}

static void say(uint32_t action, char *out, size_t size)
{
	uint32_t data = action & SECCOMP_RET_DATA;

	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
		(void)snprintf(out, size, "allow");
		break;
	case SECCOMP_RET_ERRNO:
		(void)snprintf(out, size, "%s", data == 0 ? "ignore" : strerrorname_np((int)data));
		break;
	default:
		(void)snprintf(out, size, "%#x", action);
	}
}

/*
 * Every call with arguments of zero against seccomp.golden, so that no verdict changes unseen. The
 * file is what this test prints with CAISSON_GOLDEN set.
 */
START_TEST(golden)
{
	static const unsigned long zeros[6];
	char path[PATH_MAX], want[128], have[128], verdict[32];
	const char *srcdir = getenv("srcdir");
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/tests/unit/runtime/seccomp.golden",
		       srcdir != NULL ? srcdir : ".");
	file = fopen(path, getenv("CAISSON_GOLDEN") != NULL ? "we" : "re");
	ck_assert_msg(file != NULL, "%s", path);
	for (int nr = 0; nr < 512; nr++) {
		say(evaluate(AUDIT_ARCH_X86_64, nr, zeros), verdict, sizeof verdict);
		(void)snprintf(have, sizeof have, "%d %s\n", nr, verdict);
		if (getenv("CAISSON_GOLDEN") != NULL) {
			(void)fputs(have, file);
			continue;
		}
		ck_assert_ptr_nonnull(fgets(want, sizeof want, file));
		ck_assert_str_eq(have, want);
	}
	(void)fclose(file);
}
END_TEST

static void check_listed(size_t i)
{
	const struct cx_syscall_row *row = &cx_policy_syscalls[i];
	/* AF_UNIX, no namespace, no option that is refused; or a pid that is not the agent's. */
	static const unsigned long harmless[2][6] = { { 1, 2 }, { 2, 2 } };
	uint32_t want = SECCOMP_RET_ALLOW, action;
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)row->nr);

	ck_assert_msg(row->why[0] != '\0', "%s: without a reason", row->name);
	if (name != NULL)
		ck_assert_str_eq(row->name, name);
	free(name);
	if (row->verdict != CX_SYSCALL_ALLOW)
		want = SECCOMP_RET_ERRNO | (unsigned)row->verdict;
	action = evaluate(AUDIT_ARCH_X86_64, (int)row->nr, harmless[0]);
	if (want == SECCOMP_RET_ALLOW && action != want)
		action = evaluate(AUDIT_ARCH_X86_64, (int)row->nr, harmless[1]);
	ck_assert_msg(action == want, "%s: %#x, not %#x", row->name, action, want);
	for (size_t k = 0; k < i; k++)
		ck_assert_msg(cx_policy_syscalls[k].nr != row->nr, "%s: twice", row->name);
}

/* Each row holds, and the rows together are what was meant: by name, whole. */
START_TEST(listed_rows)
{
	for (size_t i = 0; i < cx_policy_nsyscalls; i++)
		check_listed(i);
}
END_TEST

/* One more, one less, the edges and random numbers against the rows read plainly. */
static bool holds(const struct cx_arg_condition *c, const unsigned long *args)
{
	uint32_t value = (uint32_t)args[c->arg];

	return c->op == CX_ARG_RANGE	 ? value >= c->first && value <= c->last
	       : c->op == CX_ARG_ANY_BIT ? (value & c->first) != 0
					 : true;
}

static bool meant(int nr, const unsigned long *args)
{
	bool only = false, allowed = false;

	for (size_t i = 0; i < cx_policy_nsyscall_args; i++) {
		const struct cx_syscall_arg_row *row = &cx_policy_syscall_args[i];

		if ((int)row->nr != nr)
			continue;
		only |= row->verdict == CX_SYSCALL_ALLOW;
		if (!holds(&row->when[0], args) || !holds(&row->when[1], args))
			continue;
		if (row->verdict != CX_SYSCALL_ALLOW)
			return false;
		allowed = true;
	}
	return !only || allowed;
}

START_TEST(argument_row)
{
	const struct cx_syscall_arg_row *row = &cx_policy_syscall_args[_i];
	const struct cx_arg_condition *a = &row->when[0], *b = &row->when[1];
	uint32_t firsts[] = {
		a->first - 1, a->first, a->first + 1, a->last - 1, a->last, a->last + 1, 0, 1, 2,
		10,	      16,	UINT32_MAX
	};
	uint32_t seconds[] = {
		b->first - 1, b->first, b->first + 1, b->last - 1, b->last, b->last + 1, 0, 1, 6,
		17,	      58,	132,	      UINT32_MAX
	};

	ck_assert_int_gt((int)strlen(row->why), 0);
	for (int n = 0; n < 4096; n++) {
		unsigned long args[6] = { 0 };
		uint32_t action;

		args[a->arg] = n < 256 ? firsts[(unsigned)n % CX_LEN(firsts)]
				       : (uint32_t)random() >> n % 32;
		if (b->op != CX_ARG_ANY)
			args[b->arg] = seconds[(unsigned)n / CX_LEN(firsts) % CX_LEN(seconds)];
		action = evaluate(AUDIT_ARCH_X86_64, (int)row->nr, args);
		ck_assert_msg((action == SECCOMP_RET_ALLOW) == meant((int)row->nr, args),
			      "%s(%#lx, %#lx, %#lx): %#x", row->name, args[0], args[1], args[2],
			      action);
		args[a->arg] |= (unsigned long)random() << 32; /* never opens what was closed */
		if (action != SECCOMP_RET_ALLOW)
			ck_assert_uint_ne(evaluate(AUDIT_ARCH_X86_64, (int)row->nr, args),
					  SECCOMP_RET_ALLOW);
	}
}
END_TEST

/* The agent that loads it gets the very descriptor. */
START_TEST(nobody_can_change_it)
{
	cx_autofd int fd = cx_seccomp_compile(&err);

	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert_int_lt(pwrite(fd, "x", 1, 0), 0);
	ck_assert_int_lt(ftruncate(fd, 0), 0);
	ck_assert_int_lt(ftruncate(fd, 1 << 20), 0);
}
END_TEST

START_TEST(other_abis_are_killed)
{
	static const unsigned long zeros[6];

	for (int nr = 0; nr < 512; nr++) {
		ck_assert_msg(evaluate(AUDIT_ARCH_I386, nr, zeros) == SECCOMP_RET_KILL_PROCESS,
			      "call %d of i386", nr);
		ck_assert_msg(evaluate(AUDIT_ARCH_X86_64, 0x40000000 + nr, zeros) ==
				      SECCOMP_RET_KILL_PROCESS,
			      "call %d of x32", nr);
	}
}
END_TEST

static const unsigned long BAD = ~0UL;

#define ARGS(...) ((const unsigned long[6]){ __VA_ARGS__ })

/* Every refusal, in the kernel. */
START_TEST(refused_rows)
{
	for (size_t i = 0; i < cx_policy_nsyscalls; i++) {
		const struct cx_syscall_row *row = &cx_policy_syscalls[i];

		if (row->verdict > 0)
			ck_assert_msg(verdict_of(row->nr, ARGS(BAD, BAD, BAD, BAD, BAD, BAD)) ==
					      row->verdict,
				      "%s", row->name);
	}
}
END_TEST

static const struct {
	const char *what;
	long nr;
	unsigned long args[6];
	int verdict;
} edges[] = {
	{ "read", SYS_read, { 0xffff }, PASSES },
	{ "not listed", 600, { 0 }, ENOSYS },
	{ "clone3", SYS_clone3, { 0, 0 }, ENOSYS },
	{ "clone CLONE_NEWUSER", SYS_clone, { CLONE_NEWUSER | SIGCHLD }, EPERM },
	{ "clone CLONE_NEWNET", SYS_clone, { CLONE_NEWNET | SIGCHLD }, EPERM },
	{ "clone CLONE_NEWCGROUP", SYS_clone, { CLONE_NEWCGROUP | SIGCHLD }, EPERM },
	{ "socket unix", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, PASSES },
	{ "socket tcp", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, PASSES },
	{ "socket udp6", SYS_socket, { AF_INET6, SOCK_DGRAM, IPPROTO_UDP }, PASSES },
	{ "socket sctp", SYS_socket, { AF_INET, SOCK_STREAM, 132 }, EPROTONOSUPPORT },
	{ "socket route", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, PASSES },
	{ "socket netfilter", SYS_socket, { AF_NETLINK, SOCK_RAW, 12 }, EPROTONOSUPPORT },
	{ "socket packet", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, EAFNOSUPPORT },
	{ "socket vsock", SYS_socket, { AF_VSOCK, SOCK_STREAM, 0 }, EAFNOSUPPORT },
	{ "socket alg", SYS_socket, { AF_ALG, SOCK_SEQPACKET, 0 }, EAFNOSUPPORT },
	{ "socket key", SYS_socket, { AF_KEY, SOCK_RAW, 2 }, EAFNOSUPPORT },
	{ "socketpair unix", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, 0 }, PASSES },
	{ "socketpair tipc", SYS_socketpair, { AF_TIPC, SOCK_STREAM, 0, 0 }, EAFNOSUPPORT },
	{ "F_SETPIPE_SZ", SYS_fcntl, { 0xffff, F_SETPIPE_SZ }, EPERM },
	{ "TIOCSTI", SYS_ioctl, { 0xffff, TIOCSTI }, EPERM },
	{ "TIOCSTI, high bits set", SYS_ioctl, { 0xffff, 1UL << 32 | TIOCSTI }, EPERM },
	{ "TIOCLINUX", SYS_ioctl, { 0xffff, TIOCLINUX }, EPERM },
	{ "TIOCGWINSZ", SYS_ioctl, { 0xffff, TIOCGWINSZ }, PASSES },
	{ "TCP_ULP", SYS_setsockopt, { 0xffff, IPPROTO_TCP, TCP_ULP }, EPERM },
	{ "TCP_ULP, high bits", SYS_setsockopt, { 0xffff, 1UL << 40 | 6, 1UL << 32 | 31 }, EPERM },
	{ "UDP_ENCAP", SYS_setsockopt, { 0xffff, IPPROTO_UDP, 100 }, EPERM },
	{ "the agent's priority", SYS_setpriority, { PRIO_PROCESS, 1, 19 }, EPERM },
	{ "root's priority", SYS_setpriority, { PRIO_USER, 0, 19 }, EPERM },
	{ "the agent's limits", SYS_prlimit64, { 1, RLIMIT_NOFILE, 0 }, EPERM },
	{ "the agent's limits, high bits", SYS_prlimit64, { 1UL << 32 | 1, RLIMIT_CPU }, EPERM },
	{ "the agent's processors", SYS_sched_setaffinity, { 1, 8, 0 }, EPERM },
	{ "the agent's scheduling", SYS_sched_setscheduler, { 1, 5, 0 }, EPERM },
	{ "its parameters", SYS_sched_setparam, { 1, 0 }, EPERM },
	{ "its attributes", SYS_sched_setattr, { 1, 0, 0 }, EPERM },
	{ "the agent's disks", SYS_ioprio_set, { 1, 1, 0 }, EPERM },
	{ "TCP_NODELAY", SYS_setsockopt, { 0xffff, IPPROTO_TCP, TCP_NODELAY }, PASSES },
	{ "SO_KEEPALIVE", SYS_setsockopt, { 0xffff, SOL_SOCKET, SO_KEEPALIVE }, PASSES },
	{ "personality query", SYS_personality, { 0xffffffff }, PASSES },
	{ "personality READ_IMPLIES_EXEC", SYS_personality, { 0x0400000 }, ENOSYS },
	{ "unshare nothing", SYS_unshare, { 0 }, PASSES },
	{ "unshare CLONE_NEWUSER", SYS_unshare, { CLONE_NEWUSER }, EPERM },
	{ "unshare a time namespace", SYS_unshare, { 0x80 }, EPERM },
	{ "line discipline", SYS_ioctl, { 0xffff, TIOCSETD }, EPERM },
	{ "socket audit", SYS_socket, { AF_NETLINK, SOCK_RAW, 9 }, EPROTONOSUPPORT },
	{ "socket mptcp", SYS_socket, { AF_INET6, SOCK_STREAM, 262 }, EPROTONOSUPPORT },
	{ "socket raw", SYS_socket, { AF_INET, SOCK_RAW, 255 }, EPROTONOSUPPORT },
	{ "sync", SYS_sync, { 0 }, PASSES },
	{ "x32 read", 0x40000000 + SYS_read, { 0xffff }, KILLED },
	{ "x32 ptrace", 0x40000000 + 521, { 0 }, KILLED },
};

START_TEST(edge)
{
	int got = verdict_of(edges[_i].nr, edges[_i].args);

	ck_assert_msg(got == edges[_i].verdict, "%s: %d", edges[_i].what, got);
}
END_TEST

/* The old way into the kernel, int 0x80, is another architecture's table: the process dies. */
START_TEST(i386_entry_kills)
{
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0) {
		long r = 20; /* getpid of i386 */

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
			_exit(0);
		__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
		_exit(0);
	}
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
	ck_assert_int_ne(info.si_code, CLD_EXITED);
}
END_TEST

/* libseccomp is not up to it: it loops, crashes, or leaves rules out. So all or nothing. */
START_TEST(want_of_memory)
{
	enum { STEP = 128 << 10, STEPS = 24 };
	struct rlimit none, limit;
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
	(void)fclose(file);
	if (pages > 1UL << 28) /* a sanitizer has taken all addresses */
		return;
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &none), 0);
	for (int i = 0; i < STEPS; i++) {
		struct stat st = { 0 };
		int fd;

		limit = none;
		limit.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + (rlim_t)i * STEP;
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
		fd = cx_seccomp_compile(&err);
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
		ck_assert_msg(fd >= 0 || err.errnum == ENOMEM, "%s", err.msg);
		ck_assert(fd < 0 || fstat(fd, &st) == 0);
		ck_assert(fd < 0 || (size_t)st.st_size == program.len * sizeof program.filter[0]);
		cx_close(&fd);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("runtime/seccomp");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, load, unload);
	tcase_add_test(tc, golden);
	tcase_add_test(tc, want_of_memory);
	tcase_add_test(tc, listed_rows);
	tcase_add_loop_test(tc, argument_row, 0, (int)cx_policy_nsyscall_args);
	tcase_add_test(tc, nobody_can_change_it);
	tcase_add_test(tc, other_abis_are_killed);
	tcase_add_test(tc, refused_rows);
	tcase_add_loop_test(tc, edge, 0, (int)CX_LEN(edges));
	tcase_add_test(tc, i386_entry_kills);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
