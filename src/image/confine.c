/* SPDX-License-Identifier: Apache-2.0 */
#include "image/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

/* ---- what is left, by purpose ---------------------------------------------------------------- */

#define ALLOW(name)                                    \
	{                                              \
		.call = name, .action = SCMP_ACT_ALLOW \
	}
#define ALLOW_IF(name, n, ...)                                                              \
	{                                                                                   \
		.call = name, .action = SCMP_ACT_ALLOW, .nargs = n, .args = { __VA_ARGS__ } \
	}
#define FAIL_IF(name, errnum, ...)                                                    \
	{                                                                             \
		.call = name, .action = SCMP_ACT_ERRNO(errnum), .nargs = 1, .args = { \
			__VA_ARGS__                                                   \
		}                                                                     \
	}
/* Libraries that look for an optional file get the answer that the empty root would give. */
#define ABSENT(name)                                           \
	{                                                      \
		.call = name, .action = SCMP_ACT_ERRNO(ENOENT) \
	}

#define IS(n, value)                                          \
	{                                                     \
		.arg = n, .op = SCMP_CMP_EQ, .datum_a = value \
	}
#define BITS(n, mask, value)                                                          \
	{                                                                             \
		.arg = n, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value \
	}
#define NOT_EXECUTABLE BITS(2, PROT_EXEC, 0) /* of mmap and mprotect */
#define ANY_NAMESPACE                                                                              \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | \
	 CLONE_NEWCGROUP)
enum { SOCKET_KIND = 0xf }; /* the bits of socket's type that are no flags */

struct rule {
	const char *call;
	uint32_t action;
	unsigned nargs; /* conditions, all of which must hold */
	struct scmp_arg_cmp args[2];
};

static const struct rule archive_rules[] = {
	ALLOW("read"),		ALLOW("write"),
	ALLOW("pread64"),	ALLOW("pwrite64"),
	ALLOW("lseek"),		ALLOW("fstat"),
	ALLOW("newfstatat"),	ALLOW("ftruncate"),
	ALLOW("fsync"),		ALLOW("sync_file_range"),
	ALLOW("close"),		ALLOW("brk"),
	ALLOW("mmap"),		ALLOW("munmap"),
	ALLOW("mremap"),	ALLOW("mprotect"),
	ALLOW("madvise"),	ALLOW("exit"),
	ALLOW("exit_group"),	ALLOW("futex"),
	ALLOW("rt_sigreturn"),	ALLOW("rt_sigprocmask"),
	ALLOW("clock_gettime"), ALLOW("getrandom"),
	ALLOW("sysinfo"),	ALLOW("restart_syscall"),
	ABSENT("open"),		ABSENT("openat"),
	ABSENT("access"),	ABSENT("readlink"),
};

/* A tree is read by descriptors that openat2 gives; its mount is read-only. */
static const struct rule tree_rules[] = {
	ALLOW("openat2"),   ALLOW("getdents64"), ALLOW("readlinkat"),
	ALLOW("fgetxattr"), ALLOW("flistxattr"),
};

static const struct rule handed_rules[] = { ALLOW("recvmsg") };

/* Whoever speaks with the network: memory, none of it to be executed, and IP sockets. */
static const struct rule ip_rules[] = {
	ALLOW("brk"),
	ALLOW_IF("mmap", 1, BITS(2, PROT_EXEC, 0)),
	ALLOW_IF("mprotect", 1, BITS(2, PROT_EXEC, 0)),
	ALLOW("munmap"),
	ALLOW("mremap"),
	ALLOW("madvise"),
	ALLOW_IF("socket", 2, IS(0, AF_INET), BITS(1, SOCKET_KIND, SOCK_STREAM)),
	ALLOW_IF("socket", 2, IS(0, AF_INET), BITS(1, SOCKET_KIND, SOCK_DGRAM)),
	ALLOW_IF("socket", 2, IS(0, AF_INET6), BITS(1, SOCKET_KIND, SOCK_STREAM)),
	ALLOW_IF("socket", 2, IS(0, AF_INET6), BITS(1, SOCKET_KIND, SOCK_DGRAM)),
	ALLOW("connect"),
	ALLOW("getsockopt"),
	ALLOW("sendto"),
	ALLOW("sendmsg"),
	ALLOW("recvfrom"),
	ALLOW("recvmsg"),
	ALLOW("epoll_create1"),
	ALLOW("epoll_ctl"),
	ALLOW("epoll_wait"),
	ALLOW("epoll_pwait"),
	ALLOW("write"),
	ALLOW("fstat"),
	ALLOW("newfstatat"),
	ALLOW("fcntl"),
	ALLOW("close"),
	ALLOW("futex"),
	ALLOW("clock_gettime"),
	ALLOW("getrandom"),
	ALLOW("rt_sigprocmask"),
	ALLOW("rt_sigreturn"),
	ALLOW("restart_syscall"),
	ALLOW("exit"),
	ALLOW("exit_group"),
};

/* libssh with OpenSSL's ciphers, on descriptors that are there or come: it can make none. */
static const struct rule connection_rules[] = {
	ALLOW("read"),
	ALLOW("write"),
	ALLOW("recvfrom"),
	ALLOW("recvmsg"),
	ALLOW("sendto"),
	ALLOW("sendmsg"),
	ALLOW("shutdown"),
	ALLOW("getsockopt"),
	ALLOW("setsockopt"),
	ALLOW("getsockname"),
	ALLOW("getpeername"),
	ALLOW_IF("ioctl", 1, IS(1, FIONREAD)),
	ALLOW("poll"),
	ALLOW("ppoll"),
	ALLOW("fcntl"),
	ALLOW("fstat"),
	ALLOW("close"),
	ABSENT("open"),
	ABSENT("openat"),
	ABSENT("access"),
	ABSENT("stat"),
	ABSENT("newfstatat"),
	ABSENT("readlink"),
	/* memory, none of it to be executed */
	ALLOW("brk"),
	ALLOW_IF("mmap", 1, NOT_EXECUTABLE),
	ALLOW_IF("mprotect", 1, NOT_EXECUTABLE),
	ALLOW("munmap"),
	ALLOW("mremap"),
	ALLOW("madvise"),
	/* the rest */
	ALLOW("futex"),
	ALLOW("exit"),
	ALLOW("exit_group"),
	ALLOW("rt_sigaction"),
	ALLOW("rt_sigprocmask"),
	ALLOW("rt_sigreturn"),
	ALLOW("restart_syscall"),
	ALLOW("clock_gettime"),
	ALLOW("gettimeofday"),
	ALLOW("time"),
	ALLOW("getrandom"),
	ALLOW("getpid"),
	ALLOW("gettid"),
	ALLOW("sysinfo"),
};

/* Sandboxes' questions over TCP. */
static const struct rule names_rules[] = { ALLOW("accept4") };

/* libcurl with its resolver's threads, OpenSSL, and what libc asks to resolve a name. */
static const struct rule network_rules[] = {
	/* files: those it is handed, and the copies below /etc */
	ALLOW("read"),
	ALLOW("readv"),
	ALLOW("writev"),
	ALLOW("pread64"),
	ALLOW("pwrite64"),
	ALLOW("lseek"),
	ALLOW("stat"),
	ALLOW("lstat"),
	ALLOW("statx"),
	ALLOW("ftruncate"),
	ALLOW("fsync"),
	ALLOW("fdatasync"),
	ALLOW("sendfile"),
	ALLOW("open"),
	ALLOW("openat"),
	ABSENT("access"),
	ABSENT("faccessat"),
	ABSENT("faccessat2"),
	ABSENT("readlink"),
	ABSENT("readlinkat"),
	ABSENT("getcwd"),
	ALLOW("dup"),
	/* sockets: the kernel's list of addresses by which libc sorts those of a name */
	ALLOW_IF("socket", 2, IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE)),
	FAIL_IF("socket", EAFNOSUPPORT, IS(0, AF_UNIX)), /* nscd */
	ALLOW("socketpair"),
	ALLOW("bind"),
	ALLOW("getsockname"),
	ALLOW("getpeername"),
	ALLOW("setsockopt"),
	ALLOW("sendmmsg"),
	ALLOW("recvmmsg"),
	ALLOW("shutdown"),
	ALLOW_IF("ioctl", 1, IS(1, 0x541b)), /* FIONREAD, of an answer of a name server */
	/* waiting */
	ALLOW("poll"),
	ALLOW("ppoll"),
	ALLOW("select"),
	ALLOW("pselect6"),
	ALLOW("epoll_pwait2"),
	ALLOW("eventfd2"),
	ALLOW("pipe"),
	ALLOW("pipe2"),
	ALLOW("nanosleep"),
	ALLOW("clock_nanosleep"),
	/* threads; clone3 hides its flags, and libc goes on with clone when it is not there */
	ALLOW_IF("clone", 1, BITS(0, CLONE_THREAD | ANY_NAMESPACE, CLONE_THREAD)),
	ALLOW("set_robust_list"),
	ALLOW("rseq"),
	ALLOW("gettid"),
	ALLOW("sched_yield"),
	ALLOW("sched_getaffinity"),
	ALLOW_IF("prlimit64", 2, IS(0, 0), IS(2, 0)), /* to ask, not to set */
	/* the rest */
	ALLOW("rt_sigaction"),
	ALLOW("sigaltstack"),
	ALLOW("clock_getres"),
	ALLOW("gettimeofday"),
	ALLOW("time"),
	ALLOW("getpid"),
	ALLOW("getuid"),
	ALLOW("geteuid"),
	ALLOW("getgid"),
	ALLOW("getegid"),
	ALLOW("uname"),
	ALLOW("sysinfo"),
};

#define FATAL SCMP_ACT_KILL_PROCESS
enum { COPIES = 4, COPY_MAX = 4 << 20 };

static const struct profile {
	const char *root;	    /* options of the empty file system that becomes it, or NULL: */
				    /* the mount that is descriptor 0 */
	const char *copies[COPIES]; /* in /etc, of the host's if it has them */
	unsigned last_fd;
	rlim_t processes, files; /* threads count; a new descriptor's number is below files */
	uint32_t capabilities;	 /* a set: what is kept */
	const struct rule *rules, *more;
	size_t nrules, nmore;
	uint32_t otherwise; /* what becomes of all other calls */
} profiles[CX_CONFINE_MAX] = {
	[CX_CONFINE_ARCHIVE] = { .root = "mode=0,size=4k",
				 .last_fd = 3,
				 .processes = 0,
				 .files = 4,
				 .rules = archive_rules,
				 .nrules = CX_LEN(archive_rules),
				 .otherwise = FATAL },
	[CX_CONFINE_TREE] = { .root = NULL,
			      .last_fd = 3,
			      .processes = 0,
			      .files = 5,
			      .capabilities = 1U << CAP_DAC_READ_SEARCH,
			      .rules = archive_rules,
			      .nrules = CX_LEN(archive_rules),
			      .more = tree_rules,
			      .nmore = CX_LEN(tree_rules),
			      .otherwise = FATAL },
	[CX_CONFINE_HANDED] = { .root = "mode=0,size=4k",
				.last_fd = 3,
				.processes = 0,
				.files = 5,
				.rules = archive_rules,
				.nrules = CX_LEN(archive_rules),
				.more = handed_rules,
				.nmore = CX_LEN(handed_rules),
				.otherwise = FATAL },
	[CX_CONFINE_NETWORK] = { .root = "mode=0755,size=16m",
				 .copies = { "resolv.conf", "hosts", "nsswitch.conf" },
				 .last_fd = 2,
				 .processes = 32,
				 .files = 512,
				 .rules = network_rules,
				 .nrules = CX_LEN(network_rules),
				 .more = ip_rules,
				 .nmore = CX_LEN(ip_rules),
				 .otherwise = SCMP_ACT_ERRNO(ENOSYS) },
	[CX_CONFINE_NAMES] = { .root = "mode=0,size=4k",
			       .last_fd = 9,
			       .processes = 0,
			       .files = 2304,
			       .rules = names_rules,
			       .nrules = CX_LEN(names_rules),
			       .more = ip_rules,
			       .nmore = CX_LEN(ip_rules),
			       .otherwise = FATAL },
	[CX_CONFINE_CONNECTION] = { .root = "mode=0,size=4k",
				    .last_fd = STDERR_FILENO,
				    .processes = 0,
				    .files = 256,
				    .rules = connection_rules,
				    .nrules = CX_LEN(connection_rules),
				    .otherwise = SCMP_ACT_ERRNO(EPERM) },
};

/* ---- the steps ------------------------------------------------------------------------------- */

static int copy_bytes(int from, int to, struct cx_err *err)
{
	char chunk[65536];
	size_t all = 0;

	for (;;) {
		ssize_t n = read(from, chunk, sizeof chunk);

		if (n <= 0)
			return n == 0 ? 0 : cx_fail(err, errno, "read");
		all += (size_t)n;
		if (all > COPY_MAX)
			return cx_refuse(err, CX_LIMIT, "it has more than %d bytes", COPY_MAX);
		if (cx_write_all(to, chunk, (size_t)n, err) < 0)
			return -err->errnum;
	}
}

/* A host that has none of it, or shows it to root only, resolves names without. */
static int copy_file(const char *name, struct cx_err *err)
{
	cx_autofd int from = -EBADF, to = -EBADF;
	char there[64], here[64];

	if (cx_format(there, sizeof there, "/etc/%s", err, name) < 0 ||
	    cx_format(here, sizeof here, "/proc/etc/%s", err, name) < 0)
		return -err->errnum;
	from = open(there, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (from < 0)
		return errno == ENOENT || errno == EACCES ? 0 : cx_fail(err, errno, "%s", there);
	to = open(here, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (to < 0)
		return cx_fail(err, errno, "%s", here);
	return copy_bytes(from, to, err) < 0 ? cx_wrap(err, "copy %s", there) : 0;
}

static int copy_files(const struct profile *p, struct cx_err *err)
{
	if (p->copies[0] != NULL && mkdir("/proc/etc", 0755) < 0)
		return cx_fail(err, errno, "make /etc");
	for (unsigned i = 0; i < COPIES && p->copies[i] != NULL; i++)
		if (copy_file(p->copies[i], err) < 0)
			return -err->errnum;
	return 0;
}

static int attach_root(const struct profile *p, struct cx_err *err)
{
	if (p->root == NULL) {
		if (move_mount(STDIN_FILENO, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return cx_fail(err, errno, "attach the tree");
		return 0;
	}
	if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, p->root) < 0)
		return cx_fail(err, errno, "mount an empty root");
	return copy_files(p, err);
}

/* What is attached becomes the root. /proc only serves as a place that exists. */
static int leave_files(const struct profile *p, struct cx_err *err)
{
	/* Made here once more, so that nothing outside can ever be meant. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return cx_fail(err, errno, "own mount namespace");
	if (attach_root(p, err) < 0)
		return -err->errnum;
	if (chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return cx_fail(err, errno, "enter the new root");
	if (mount(NULL, "/", NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return cx_fail(err, errno, "make the new root read-only");
	return 0;
}

static int leave_descriptors(const struct profile *p, struct cx_err *err)
{
	if (syscall(SYS_close_range, p->last_fd + 1, ~0U, 0) < 0)
		return cx_fail(err, errno, "close descriptors");
	return 0;
}

static int leave_privileges(const struct profile *p, struct cx_err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct kept[2] = { { .effective = p->capabilities,
						    .permitted = p->capabilities } };

	for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return cx_fail(err, errno, "drop capability %u", cap);
	if (syscall(SYS_capset, &head, kept) < 0)
		return cx_fail(err, errno, "drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return cx_fail(err, errno, "no_new_privs");
	return 0;
}

static int leave_resources(const struct profile *p, struct cx_err *err)
{
	const struct rlimit none = { 0, 0 }, files = { p->files, p->files };
	const struct rlimit processes = { p->processes, p->processes };

	if (setrlimit(RLIMIT_NPROC, &processes) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    setrlimit(RLIMIT_NOFILE, &files) < 0)
		return cx_fail(err, errno, "limits");
	return 0;
}

static int add_rules(scmp_filter_ctx ctx, const struct rule *rules, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		int number = seccomp_syscall_resolve_name(rules[i].call);

		if (number != __NR_SCMP_ERROR) /* else libseccomp is older than the call */
			r = seccomp_rule_add_array(ctx, rules[i].action, number, rules[i].nargs,
						   rules[i].args);
	}
	return r;
}

static int leave_system_calls(const struct profile *p, struct cx_err *err)
{
	scmp_filter_ctx ctx = seccomp_init(p->otherwise);
	int r = ctx != NULL ? 0 : -ENOMEM;

	if (r == 0)
		r = add_rules(ctx, p->rules, p->nrules);
	if (r == 0)
		r = add_rules(ctx, p->more, p->nmore);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? cx_fail(err, -r, "system call filter") : 0;
}

static const struct {
	const char *name;
	int (*run)(const struct profile *p, struct cx_err *err);
} steps[] = {
	{ "files", leave_files },
	{ "descriptors", leave_descriptors },
	{ "privileges", leave_privileges },
	{ "resources", leave_resources },
	{ "system calls", leave_system_calls }, /* last: those above need more */
};

int cx_confine(enum cx_confine_for purpose, struct cx_err *err)
{
	for (size_t i = 0; i < CX_LEN(steps); i++)
		if (steps[i].run(&profiles[purpose], err) < 0)
			return cx_wrap(err, "confine: step '%s'", steps[i].name);
	return 0;
}
