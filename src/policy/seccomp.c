/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/netlink.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "policy/policy.h"

#define ALLOW(call)                                                \
	{                                                          \
		.name = call, .verdict = CX_CALL_ALLOW, .why = WHY \
	}
#define REFUSE(call)                                                \
	{                                                           \
		.name = call, .verdict = CX_CALL_REFUSE, .why = WHY \
	}
#define ALLOW_IF(call, n, value)                                          \
	{                                                                 \
		.name = call, .verdict = CX_CALL_ALLOW, .nconditions = 1, \
		.conditions = { { n, UINT64_MAX, value } }, .why = WHY    \
	}
#define SOCKET(family, protocol)                                                          \
	{                                                                                 \
		.name = "socket", .verdict = CX_CALL_ALLOW, .nconditions = 2,             \
		.conditions = { { 0, UINT64_MAX, family }, { 2, UINT64_MAX, protocol } }, \
		.why = WHY                                                                \
	}
/* The kernel looks at the low 32 bits only, and so must the comparison. */
#define REFUSE_IOCTL(request)                                                 \
	{                                                                     \
		.name = "ioctl", .verdict = CX_CALL_REFUSE, .nconditions = 1, \
		.conditions = { { 1, UINT32_MAX, request } }, .why = WHY      \
	}

const struct cx_call_row cx_policy_calls[] = {
#define WHY "files and directories: all checked by the sandbox's own mounts and ids"
	ALLOW("access"),
	ALLOW("cachestat"),
	ALLOW("chdir"),
	ALLOW("chmod"),
	ALLOW("chown"),
	ALLOW("close"),
	ALLOW("close_range"),
	ALLOW("copy_file_range"),
	ALLOW("creat"),
	ALLOW("dup"),
	ALLOW("dup2"),
	ALLOW("dup3"),
	ALLOW("faccessat"),
	ALLOW("faccessat2"),
	ALLOW("fadvise64"),
	ALLOW("fallocate"),
	ALLOW("fchdir"),
	ALLOW("fchmod"),
	ALLOW("fchmodat"),
	ALLOW("fchmodat2"),
	ALLOW("fchown"),
	ALLOW("fchownat"),
	ALLOW("fcntl"),
	ALLOW("fdatasync"),
	ALLOW("flock"),
	ALLOW("fstat"),
	ALLOW("fstatfs"),
	ALLOW("fsync"),
	ALLOW("ftruncate"),
	ALLOW("futimesat"),
	ALLOW("getcwd"),
	ALLOW("getdents"),
	ALLOW("getdents64"),
	ALLOW("lchown"),
	ALLOW("link"),
	ALLOW("linkat"),
	ALLOW("lseek"),
	ALLOW("lstat"),
	ALLOW("mkdir"),
	ALLOW("mkdirat"),
	ALLOW("mknod"),
	ALLOW("mknodat"),
	ALLOW("newfstatat"),
	ALLOW("open"),
	ALLOW("openat"),
	ALLOW("openat2"),
	ALLOW("pread64"),
	ALLOW("preadv"),
	ALLOW("preadv2"),
	ALLOW("pwrite64"),
	ALLOW("pwritev"),
	ALLOW("pwritev2"),
	ALLOW("read"),
	ALLOW("readahead"),
	ALLOW("readlink"),
	ALLOW("readlinkat"),
	ALLOW("readv"),
	ALLOW("rename"),
	ALLOW("renameat"),
	ALLOW("renameat2"),
	ALLOW("rmdir"),
	ALLOW("sendfile"),
	ALLOW("splice"),
	ALLOW("stat"),
	ALLOW("statfs"),
	ALLOW("statx"),
	ALLOW("symlink"),
	ALLOW("symlinkat"),
	ALLOW("sync"),
	ALLOW("sync_file_range"),
	ALLOW("syncfs"),
	ALLOW("tee"),
	ALLOW("truncate"),
	ALLOW("umask"),
	ALLOW("unlink"),
	ALLOW("unlinkat"),
	ALLOW("ustat"),
	ALLOW("utime"),
	ALLOW("utimensat"),
	ALLOW("utimes"),
	ALLOW("vmsplice"),
	ALLOW("write"),
	ALLOW("writev"),
#undef WHY
#define WHY "extended attributes of the sandbox's own files"
	ALLOW("fgetxattr"),
	ALLOW("flistxattr"),
	ALLOW("fremovexattr"),
	ALLOW("fsetxattr"),
	ALLOW("getxattr"),
	ALLOW("getxattrat"),
	ALLOW("lgetxattr"),
	ALLOW("listxattr"),
	ALLOW("listxattrat"),
	ALLOW("llistxattr"),
	ALLOW("lremovexattr"),
	ALLOW("lsetxattr"),
	ALLOW("removexattr"),
	ALLOW("removexattrat"),
	ALLOW("setxattr"),
	ALLOW("setxattrat"),
#undef WHY
#define WHY "memory of the process itself"
	ALLOW("brk"),
	ALLOW("madvise"),
	ALLOW("map_shadow_stack"),
	ALLOW("membarrier"),
	ALLOW("memfd_create"),
	ALLOW("memfd_secret"),
	ALLOW("mincore"),
	ALLOW("mlock"),
	ALLOW("mlock2"),
	ALLOW("mlockall"),
	ALLOW("mmap"),
	ALLOW("mprotect"),
	ALLOW("mremap"),
	ALLOW("mseal"),
	ALLOW("msync"),
	ALLOW("munlock"),
	ALLOW("munlockall"),
	ALLOW("munmap"),
	ALLOW("pkey_alloc"),
	ALLOW("pkey_free"),
	ALLOW("pkey_mprotect"),
	ALLOW("process_madvise"),
	ALLOW("process_mrelease"),
	ALLOW("remap_file_pages"),
#undef WHY
#define WHY "waiting for events"
	ALLOW("epoll_create"),
	ALLOW("epoll_create1"),
	ALLOW("epoll_ctl"),
	ALLOW("epoll_ctl_old"),
	ALLOW("epoll_pwait"),
	ALLOW("epoll_pwait2"),
	ALLOW("epoll_wait"),
	ALLOW("epoll_wait_old"),
	ALLOW("eventfd"),
	ALLOW("eventfd2"),
	ALLOW("inotify_add_watch"),
	ALLOW("inotify_init"),
	ALLOW("inotify_init1"),
	ALLOW("inotify_rm_watch"),
	ALLOW("poll"),
	ALLOW("ppoll"),
	ALLOW("pselect6"),
	ALLOW("select"),
	ALLOW("signalfd"),
	ALLOW("signalfd4"),
	ALLOW("timerfd_create"),
	ALLOW("timerfd_gettime"),
	ALLOW("timerfd_settime"),
#undef WHY
#define WHY "processes and threads in the sandbox's own pid namespace"
	ALLOW("arch_prctl"),
	ALLOW("execve"),
	ALLOW("execveat"),
	ALLOW("exit"),
	ALLOW("exit_group"),
	ALLOW("fork"),
	ALLOW("get_robust_list"),
	ALLOW("getpgid"),
	ALLOW("getpgrp"),
	ALLOW("getpid"),
	ALLOW("getppid"),
	ALLOW("getsid"),
	ALLOW("gettid"),
	ALLOW("kcmp"),
	ALLOW("kill"),
	ALLOW("pidfd_open"),
	ALLOW("pidfd_send_signal"),
	ALLOW("prctl"),
	ALLOW("restart_syscall"),
	ALLOW("rseq"),
	ALLOW("rt_sigqueueinfo"),
	ALLOW("rt_tgsigqueueinfo"),
	ALLOW("set_robust_list"),
	ALLOW("set_tid_address"),
	ALLOW("setpgid"),
	ALLOW("setsid"),
	ALLOW("tgkill"),
	ALLOW("tkill"),
	ALLOW("vfork"),
	ALLOW("wait4"),
	ALLOW("waitid"),
#undef WHY
#define WHY                                                                                      \
	"debuggers and tracers of the sandbox's own processes; the agent is out of their reach " \
	"(its memory belongs to the host's user namespace)"
	ALLOW("pidfd_getfd"),
	ALLOW("process_vm_readv"),
	ALLOW("process_vm_writev"),
	ALLOW("ptrace"),
#undef WHY
#define WHY "signals"
	ALLOW("alarm"),
	ALLOW("getitimer"),
	ALLOW("pause"),
	ALLOW("rt_sigaction"),
	ALLOW("rt_sigpending"),
	ALLOW("rt_sigprocmask"),
	ALLOW("rt_sigreturn"),
	ALLOW("rt_sigsuspend"),
	ALLOW("rt_sigtimedwait"),
	ALLOW("setitimer"),
	ALLOW("sigaltstack"),
#undef WHY
#define WHY "futexes"
	ALLOW("futex"),
	ALLOW("futex_requeue"),
	ALLOW("futex_wait"),
	ALLOW("futex_waitv"),
	ALLOW("futex_wake"),
#undef WHY
#define WHY "ids and capabilities within the sandbox's range and bounding set"
	ALLOW("capget"),
	ALLOW("capset"),
	ALLOW("getegid"),
	ALLOW("geteuid"),
	ALLOW("getgid"),
	ALLOW("getgroups"),
	ALLOW("getresgid"),
	ALLOW("getresuid"),
	ALLOW("getuid"),
	ALLOW("setfsgid"),
	ALLOW("setfsuid"),
	ALLOW("setgid"),
	ALLOW("setgroups"),
	ALLOW("setregid"),
	ALLOW("setresgid"),
	ALLOW("setresuid"),
	ALLOW("setreuid"),
	ALLOW("setuid"),
#undef WHY
#define WHY "scheduling below the rlimits: no real-time class, no negative niceness"
	ALLOW("getcpu"),
	ALLOW("getpriority"),
	ALLOW("ioprio_get"),
	ALLOW("ioprio_set"),
	ALLOW("sched_get_priority_max"),
	ALLOW("sched_get_priority_min"),
	ALLOW("sched_getaffinity"),
	ALLOW("sched_getattr"),
	ALLOW("sched_getparam"),
	ALLOW("sched_getscheduler"),
	ALLOW("sched_rr_get_interval"),
	ALLOW("sched_setaffinity"),
	ALLOW("sched_setattr"),
	ALLOW("sched_setparam"),
	ALLOW("sched_setscheduler"),
	ALLOW("sched_yield"),
	ALLOW("setpriority"),
#undef WHY
#define WHY "limits and accounting"
	ALLOW("getrandom"),
	ALLOW("getrlimit"),
	ALLOW("getrusage"),
	ALLOW("prlimit64"),
	ALLOW("setrlimit"),
	ALLOW("sysinfo"),
	ALLOW("times"),
	ALLOW("uname"),
#undef WHY
#define WHY "clocks, to be read only"
	ALLOW("adjtimex"),
	ALLOW("clock_adjtime"),
	ALLOW("clock_getres"),
	ALLOW("clock_gettime"),
	ALLOW("clock_nanosleep"),
	ALLOW("gettimeofday"),
	ALLOW("nanosleep"),
	ALLOW("time"),
	ALLOW("timer_create"),
	ALLOW("timer_delete"),
	ALLOW("timer_getoverrun"),
	ALLOW("timer_gettime"),
	ALLOW("timer_settime"),
#undef WHY
#define WHY "sockets; the families are chosen by socket and socketpair"
	ALLOW("accept"),
	ALLOW("accept4"),
	ALLOW("bind"),
	ALLOW("connect"),
	ALLOW("getpeername"),
	ALLOW("getsockname"),
	ALLOW("getsockopt"),
	ALLOW("listen"),
	ALLOW("recvfrom"),
	ALLOW("recvmmsg"),
	ALLOW("recvmsg"),
	ALLOW("sendmmsg"),
	ALLOW("sendmsg"),
	ALLOW("sendto"),
	ALLOW("shutdown"),
#undef WHY
#define WHY "System V and POSIX IPC of the sandbox's own IPC namespace"
	ALLOW("mq_getsetattr"),
	ALLOW("mq_notify"),
	ALLOW("mq_open"),
	ALLOW("mq_timedreceive"),
	ALLOW("mq_timedsend"),
	ALLOW("mq_unlink"),
	ALLOW("msgctl"),
	ALLOW("msgget"),
	ALLOW("msgrcv"),
	ALLOW("msgsnd"),
	ALLOW("semctl"),
	ALLOW("semget"),
	ALLOW("semop"),
	ALLOW("semtimedop"),
	ALLOW("shmat"),
	ALLOW("shmctl"),
	ALLOW("shmdt"),
	ALLOW("shmget"),
#undef WHY
#define WHY "asynchronous I/O as databases use it"
	ALLOW("io_cancel"),
	ALLOW("io_destroy"),
	ALLOW("io_getevents"),
	ALLOW("io_pgetevents"),
	ALLOW("io_setup"),
	ALLOW("io_submit"),
#undef WHY
#define WHY "pipes"
	ALLOW("pipe"),
	ALLOW("pipe2"),
#undef WHY
#define WHY "programs that confine themselves: a filter or ruleset can only take more away"
	ALLOW("chroot"),
	ALLOW("landlock_add_rule"),
	ALLOW("landlock_create_ruleset"),
	ALLOW("landlock_restrict_self"),
	ALLOW("seccomp"),
#undef WHY
#define WHY "NUMA placement of own memory"
	ALLOW("get_mempolicy"),
	ALLOW("mbind"),
	ALLOW("migrate_pages"),
	ALLOW("move_pages"),
	ALLOW("set_mempolicy"),
	ALLOW("set_mempolicy_home_node"),
#undef WHY
#define WHY "threads and processes, but no namespace of any kind"
	{ .name = "clone",
	  .verdict = CX_CALL_ALLOW,
	  .nconditions = 1,
	  .conditions = { { 0,
			    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
			    0 } },
	  .why = WHY },
/* clone3 stands in no row: its flags are behind a pointer, so ENOSYS makes libc use clone. */
#undef WHY
#define WHY "local sockets; IP with TCP, UDP and ping, so that no other protocol's module is loaded"
	ALLOW_IF("socket", 0, AF_UNIX),
	SOCKET(AF_INET, 0),
	SOCKET(AF_INET, IPPROTO_TCP),
	SOCKET(AF_INET, IPPROTO_UDP),
	SOCKET(AF_INET, IPPROTO_ICMP),
	SOCKET(AF_INET6, 0),
	SOCKET(AF_INET6, IPPROTO_TCP),
	SOCKET(AF_INET6, IPPROTO_UDP),
	SOCKET(AF_INET6, IPPROTO_ICMPV6),
	ALLOW_IF("socketpair", 0, AF_UNIX),
#undef WHY
#define WHY "interface and address queries (NETLINK_ROUTE) and nothing else of netlink"
	SOCKET(AF_NETLINK, NETLINK_ROUTE),
#undef WHY
#define WHY "all options but upper-layer protocols (TCP_ULP: kernel TLS and more)"
	{ .name = "setsockopt",
	  .verdict = CX_CALL_REFUSE,
	  .nconditions = 2,
	  .conditions = { { 1, UINT32_MAX, IPPROTO_TCP }, { 2, UINT32_MAX, TCP_ULP } },
	  .why = WHY },
	ALLOW("setsockopt"),
#undef WHY
#define WHY "all but typing into a terminal"
	REFUSE_IOCTL(TIOCSTI),
	REFUSE_IOCTL(TIOCLINUX),
	ALLOW("ioctl"),
#undef WHY
#define WHY                                                                                 \
	"asking, the default, 32-bit uname and no randomization (debuggers); nothing that " \
	"changes how memory is protected"
	ALLOW_IF("personality", 0, 0x0),
	ALLOW_IF("personality", 0, 0x8),
	ALLOW_IF("personality", 0, 0x20000),
	ALLOW_IF("personality", 0, 0x20008),
	ALLOW_IF("personality", 0, 0x40000),
	ALLOW_IF("personality", 0, 0xffffffff),
#undef WHY
#define WHY "mounts: every layer of the sandbox's view stays as it was made"
	REFUSE("fsconfig"),
	REFUSE("fsmount"),
	REFUSE("fsopen"),
	REFUSE("fspick"),
	REFUSE("listmount"),
	REFUSE("mount"),
	REFUSE("mount_setattr"),
	REFUSE("move_mount"),
	REFUSE("open_tree"),
	REFUSE("open_tree_attr"),
	REFUSE("pivot_root"),
	REFUSE("statmount"),
	REFUSE("umount2"),
#undef WHY
#define WHY "namespaces: no user namespace inside, so no capability over a new kernel object"
	REFUSE("setns"),
	REFUSE("unshare"),
#undef WHY
#define WHY "file handles lead past mounts and directories"
	REFUSE("name_to_handle_at"),
	REFUSE("open_by_handle_at"),
#undef WHY
#define WHY "kernel programs and measurement: too much attack surface for what a sandbox gains"
	REFUSE("bpf"),
	REFUSE("fanotify_init"),
	REFUSE("fanotify_mark"),
	REFUSE("io_uring_enter"),
	REFUSE("io_uring_register"),
	REFUSE("io_uring_setup"),
	REFUSE("lookup_dcookie"),
	REFUSE("perf_event_open"),
	REFUSE("userfaultfd"),
#undef WHY
#define WHY "keyrings are shared by user id across namespaces"
	REFUSE("add_key"),
	REFUSE("keyctl"),
	REFUSE("request_key"),
#undef WHY
#define WHY "the host as a whole"
	REFUSE("_sysctl"),
	REFUSE("acct"),
	REFUSE("clock_settime"),
	REFUSE("create_module"),
	REFUSE("delete_module"),
	REFUSE("finit_module"),
	REFUSE("get_kernel_syms"),
	REFUSE("init_module"),
	REFUSE("ioperm"),
	REFUSE("iopl"),
	REFUSE("kexec_file_load"),
	REFUSE("kexec_load"),
	REFUSE("modify_ldt"),
	REFUSE("nfsservctl"),
	REFUSE("query_module"),
	REFUSE("quotactl"),
	REFUSE("quotactl_fd"),
	REFUSE("reboot"),
	REFUSE("setdomainname"),
	REFUSE("sethostname"),
	REFUSE("settimeofday"),
	REFUSE("swapoff"),
	REFUSE("swapon"),
	REFUSE("sysfs"),
	REFUSE("syslog"),
	REFUSE("uselib"),
	REFUSE("vhangup"),
#undef WHY
};
const size_t cx_policy_ncalls = sizeof cx_policy_calls / sizeof cx_policy_calls[0];
