/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled filter, by its verdicts: each row of the policy and what no row names. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
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
		_exit(errno == EPERM ? 1 : errno == ENOSYS ? 2 : 0);
	}
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
	if (info.si_code != CLD_EXITED)
		return KILLED;
	ck_assert_int_ne(info.si_status, 254);
	return info.si_status == 1 ? EPERM : info.si_status == 2 ? ENOSYS : PASSES;
}

static const unsigned long BAD = ~0UL;

#define ARGS(...) ((const unsigned long[6]){ __VA_ARGS__ })

/* Every unconditional refusal. */
START_TEST(refused_row)
{
	const struct cx_call_row *row = &cx_policy_calls[_i];
	int nr = seccomp_syscall_resolve_name(row->name);

	if (row->verdict != CX_CALL_REFUSE || row->nconditions > 0 || nr < 0)
		return;
	ck_assert_msg(verdict_of(nr, ARGS(BAD, BAD, BAD, BAD, BAD, BAD)) == EPERM, "%s", row->name);
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
	{ "clone CLONE_NEWUSER", SYS_clone, { CLONE_NEWUSER | SIGCHLD }, ENOSYS },
	{ "clone CLONE_NEWNET", SYS_clone, { CLONE_NEWNET | SIGCHLD }, ENOSYS },
	{ "clone CLONE_NEWCGROUP", SYS_clone, { CLONE_NEWCGROUP | SIGCHLD }, ENOSYS },
	{ "socket unix", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, PASSES },
	{ "socket tcp", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, PASSES },
	{ "socket udp6", SYS_socket, { AF_INET6, SOCK_DGRAM, IPPROTO_UDP }, PASSES },
	{ "socket sctp", SYS_socket, { AF_INET, SOCK_STREAM, 132 }, ENOSYS },
	{ "socket route", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, PASSES },
	{ "socket netfilter", SYS_socket, { AF_NETLINK, SOCK_RAW, 12 }, ENOSYS },
	{ "socket packet", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, ENOSYS },
	{ "socket vsock", SYS_socket, { AF_VSOCK, SOCK_STREAM, 0 }, ENOSYS },
	{ "socket alg", SYS_socket, { AF_ALG, SOCK_SEQPACKET, 0 }, ENOSYS },
	{ "socket key", SYS_socket, { AF_KEY, SOCK_RAW, 2 }, ENOSYS },
	{ "socketpair unix", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, 0 }, PASSES },
	{ "socketpair tipc", SYS_socketpair, { AF_TIPC, SOCK_STREAM, 0, 0 }, ENOSYS },
	{ "TIOCSTI", SYS_ioctl, { 0xffff, TIOCSTI }, EPERM },
	{ "TIOCSTI, high bits set", SYS_ioctl, { 0xffff, 1UL << 32 | TIOCSTI }, EPERM },
	{ "TIOCLINUX", SYS_ioctl, { 0xffff, TIOCLINUX }, EPERM },
	{ "TIOCGWINSZ", SYS_ioctl, { 0xffff, TIOCGWINSZ }, PASSES },
	{ "TCP_ULP", SYS_setsockopt, { 0xffff, IPPROTO_TCP, TCP_ULP }, EPERM },
	{ "TCP_ULP, high bits", SYS_setsockopt, { 0xffff, 1UL << 40 | 6, 1UL << 32 | 31 }, EPERM },
	{ "TCP_NODELAY", SYS_setsockopt, { 0xffff, IPPROTO_TCP, TCP_NODELAY }, PASSES },
	{ "SO_KEEPALIVE", SYS_setsockopt, { 0xffff, SOL_SOCKET, SO_KEEPALIVE }, PASSES },
	{ "personality query", SYS_personality, { 0xffffffff }, PASSES },
	{ "personality READ_IMPLIES_EXEC", SYS_personality, { 0x0400000 }, ENOSYS },
	{ "x32 read", 0x40000000 + SYS_read, { 0xffff }, KILLED },
	{ "x32 ptrace", 0x40000000 + 521, { 0 }, KILLED },
};

START_TEST(edge)
{
	int got = verdict_of(edges[_i].nr, edges[_i].args);

	ck_assert_msg(got == edges[_i].verdict, "%s: %d", edges[_i].what, got);
}
END_TEST

/* The table names each call of this architecture that it allows or refuses only once as a whole. */
START_TEST(rows_do_not_contradict)
{
	const struct cx_call_row *row = &cx_policy_calls[_i];

	ck_assert_ptr_nonnull(row->why);
	for (int i = 0; i < _i; i++)
		ck_assert_msg(strcmp(cx_policy_calls[i].name, row->name) != 0 ||
				      row->nconditions > 0 || cx_policy_calls[i].nconditions > 0,
			      "%s stands twice", row->name);
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

int main(void)
{
	Suite *s = suite_create("runtime/seccomp");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, load, unload);
	tcase_add_loop_test(tc, refused_row, 0, (int)cx_policy_ncalls);
	tcase_add_loop_test(tc, edge, 0, (int)CX_LEN(edges));
	tcase_add_loop_test(tc, rows_do_not_contradict, 0, (int)cx_policy_ncalls);
	tcase_add_test(tc, i386_entry_kills);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
