/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "policy/policy.h"

/* Newer than the headers of the oldest system we build on. The numbers are the kernel's ABI. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_map_shadow_stack
#define SYS_map_shadow_stack 453
#endif
#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#endif
#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif
#ifndef SYS_futex_requeue
#define SYS_futex_requeue 456
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#endif
#ifndef SYS_getxattrat
#define SYS_getxattrat 464
#endif
#ifndef SYS_listxattrat
#define SYS_listxattrat 465
#endif
#ifndef SYS_removexattrat
#define SYS_removexattrat 466
#endif

#define OK(why, call)                                    \
	{                                                \
#call, SYS_##call, CX_SYSCALL_ALLOW, why \
	}
#define NO(call, why)                         \
	{                                     \
#call, SYS_##call, EPERM, why \
	}

/* One reason for each group of what is allowed. */
#define FILES	"files: checked by the kernel against the sandbox's own mounts and ids"
#define EVENTS	"waiting for descriptors"
#define MEMORY	"its own memory, within the memory limit"
#define PROCESS "its own processes, in its own pid namespace and pids limit"
#define IDS	"users and groups of its own range"
#define SIGNALS "signals within its own pid namespace"
#define TIME	"clocks and timers; none can be set"
#define SCHED	"how its own threads share what the limits leave; no real-time class (rlimits)"
#define SOCKETS "its own network namespace; families and protocols: see the arguments below"
#define SYSVIPC "its own IPC namespace"
#define CONFINE "programs that confine themselves further"
#define DEBUG	"debuggers; the kernel checks the target, and the agent is untraceable"
#define INFO	"facts that programs ask for"

/* clang-format off */
const struct cx_syscall_row cx_policy_syscalls[] = {
	OK(FILES, read), OK(FILES, write), OK(FILES, open), OK(FILES, close), OK(FILES, stat),
	OK(FILES, fstat), OK(FILES, lstat), OK(FILES, lseek), OK(FILES, ioctl),
	OK(FILES, pread64), OK(FILES, pwrite64), OK(FILES, readv), OK(FILES, writev),
	OK(FILES, access), OK(FILES, pipe), OK(FILES, dup), OK(FILES, dup2), OK(FILES, sendfile),
	OK(FILES, fcntl), OK(FILES, flock), OK(FILES, fsync), OK(FILES, fdatasync),
	OK(FILES, truncate), OK(FILES, ftruncate), OK(FILES, getdents), OK(FILES, getcwd),
	OK(FILES, chdir), OK(FILES, fchdir), OK(FILES, rename), OK(FILES, mkdir),
	OK(FILES, rmdir), OK(FILES, creat), OK(FILES, link), OK(FILES, unlink),
	OK(FILES, symlink), OK(FILES, readlink), OK(FILES, chmod), OK(FILES, fchmod),
	OK(FILES, chown), OK(FILES, fchown), OK(FILES, lchown), OK(FILES, umask),
	OK(FILES, utime), OK(FILES, mknod), OK(FILES, statfs), OK(FILES, fstatfs),
	OK(FILES, chroot), OK(FILES, syncfs), OK(FILES, readahead), OK(FILES, setxattr),
	OK(FILES, lsetxattr), OK(FILES, fsetxattr), OK(FILES, getxattr), OK(FILES, lgetxattr),
	OK(FILES, fgetxattr), OK(FILES, listxattr), OK(FILES, llistxattr),
	OK(FILES, flistxattr), OK(FILES, removexattr), OK(FILES, lremovexattr),
	OK(FILES, fremovexattr), OK(FILES, setxattrat), OK(FILES, getxattrat),
	OK(FILES, listxattrat), OK(FILES, removexattrat), OK(FILES, getdents64), OK(FILES, fadvise64),
	OK(FILES, utimes), OK(FILES, inotify_init), OK(FILES, inotify_add_watch),
	OK(FILES, inotify_rm_watch), OK(FILES, inotify_init1), OK(FILES, openat),
	OK(FILES, openat2), OK(FILES, mkdirat), OK(FILES, mknodat), OK(FILES, fchownat),
	OK(FILES, futimesat), OK(FILES, newfstatat), OK(FILES, unlinkat), OK(FILES, renameat),
	OK(FILES, renameat2), OK(FILES, linkat), OK(FILES, symlinkat), OK(FILES, readlinkat),
	OK(FILES, fchmodat), OK(FILES, fchmodat2), OK(FILES, faccessat), OK(FILES, faccessat2),
	OK(FILES, splice), OK(FILES, tee), OK(FILES, sync_file_range), OK(FILES, utimensat),
	OK(FILES, fallocate), OK(FILES, dup3), OK(FILES, pipe2), OK(FILES, preadv),
	OK(FILES, pwritev), OK(FILES, preadv2), OK(FILES, pwritev2), OK(FILES, copy_file_range),
	OK(FILES, statx), OK(FILES, close_range), OK(FILES, cachestat), OK(FILES, memfd_create),

	OK(EVENTS, poll), OK(EVENTS, select), OK(EVENTS, pselect6), OK(EVENTS, ppoll),
	OK(EVENTS, epoll_create), OK(EVENTS, epoll_wait), OK(EVENTS, epoll_ctl),
	OK(EVENTS, epoll_pwait), OK(EVENTS, epoll_pwait2), OK(EVENTS, epoll_create1),
	OK(EVENTS, eventfd), OK(EVENTS, eventfd2),

	OK(MEMORY, mmap), OK(MEMORY, mprotect), OK(MEMORY, munmap), OK(MEMORY, brk),
	OK(MEMORY, mremap), OK(MEMORY, msync), OK(MEMORY, mincore), OK(MEMORY, madvise),
	OK(MEMORY, mlock), OK(MEMORY, munlock), OK(MEMORY, mlockall), OK(MEMORY, munlockall),
	OK(MEMORY, mlock2), OK(MEMORY, mbind), OK(MEMORY, set_mempolicy),
	OK(MEMORY, get_mempolicy), OK(MEMORY, set_mempolicy_home_node),
	OK(MEMORY, pkey_mprotect), OK(MEMORY, pkey_alloc), OK(MEMORY, pkey_free),
	OK(MEMORY, membarrier), OK(MEMORY, map_shadow_stack), OK(MEMORY, mseal),

	OK(PROCESS, clone), OK(PROCESS, fork), OK(PROCESS, vfork), OK(PROCESS, execve),
	OK(PROCESS, execveat), OK(PROCESS, exit), OK(PROCESS, exit_group), OK(PROCESS, wait4),
	OK(PROCESS, waitid), OK(PROCESS, getpid), OK(PROCESS, getppid), OK(PROCESS, gettid),
	OK(PROCESS, setpgid), OK(PROCESS, getpgid), OK(PROCESS, getpgrp), OK(PROCESS, setsid),
	OK(PROCESS, getsid), OK(PROCESS, prctl), OK(PROCESS, arch_prctl),
	OK(PROCESS, getrlimit), OK(PROCESS, setrlimit), OK(PROCESS, prlimit64),
	OK(PROCESS, getrusage), OK(PROCESS, times), OK(PROCESS, futex),
	OK(PROCESS, futex_waitv), OK(PROCESS, futex_wait), OK(PROCESS, futex_wake),
	OK(PROCESS, futex_requeue), OK(PROCESS, set_tid_address),
	OK(PROCESS, set_robust_list), OK(PROCESS, get_robust_list), OK(PROCESS, rseq),
	OK(PROCESS, pidfd_open), OK(PROCESS, unshare),

	OK(IDS, getuid), OK(IDS, getgid), OK(IDS, geteuid), OK(IDS, getegid), OK(IDS, setuid),
	OK(IDS, setgid), OK(IDS, setreuid), OK(IDS, setregid), OK(IDS, getgroups),
	OK(IDS, setgroups), OK(IDS, setresuid), OK(IDS, getresuid), OK(IDS, setresgid),
	OK(IDS, getresgid), OK(IDS, setfsuid), OK(IDS, setfsgid), OK(IDS, capget),
	OK(IDS, capset),

	OK(SIGNALS, rt_sigaction), OK(SIGNALS, rt_sigprocmask), OK(SIGNALS, rt_sigreturn),
	OK(SIGNALS, rt_sigpending), OK(SIGNALS, rt_sigtimedwait), OK(SIGNALS, rt_sigqueueinfo),
	OK(SIGNALS, rt_tgsigqueueinfo), OK(SIGNALS, rt_sigsuspend), OK(SIGNALS, sigaltstack),
	OK(SIGNALS, pause), OK(SIGNALS, kill), OK(SIGNALS, tkill), OK(SIGNALS, tgkill),
	OK(SIGNALS, signalfd), OK(SIGNALS, signalfd4), OK(SIGNALS, restart_syscall),
	OK(SIGNALS, pidfd_send_signal),

	OK(TIME, nanosleep), OK(TIME, getitimer), OK(TIME, setitimer), OK(TIME, alarm),
	OK(TIME, gettimeofday), OK(TIME, time), OK(TIME, timer_create), OK(TIME, timer_settime),
	OK(TIME, timer_gettime), OK(TIME, timer_getoverrun), OK(TIME, timer_delete),
	OK(TIME, clock_gettime), OK(TIME, clock_getres), OK(TIME, clock_nanosleep),
	OK(TIME, timerfd_create), OK(TIME, timerfd_settime), OK(TIME, timerfd_gettime),
	OK(TIME, adjtimex), OK(TIME, clock_adjtime),

	OK(SCHED, sched_yield), OK(SCHED, getpriority), OK(SCHED, setpriority),
	OK(SCHED, sched_setparam), OK(SCHED, sched_getparam), OK(SCHED, sched_setscheduler),
	OK(SCHED, sched_getscheduler), OK(SCHED, sched_get_priority_max),
	OK(SCHED, sched_get_priority_min), OK(SCHED, sched_rr_get_interval),
	OK(SCHED, sched_setaffinity), OK(SCHED, sched_getaffinity), OK(SCHED, sched_setattr),
	OK(SCHED, sched_getattr), OK(SCHED, ioprio_set), OK(SCHED, ioprio_get),
	OK(SCHED, getcpu),

	OK(SOCKETS, socket), OK(SOCKETS, connect), OK(SOCKETS, accept), OK(SOCKETS, sendto),
	OK(SOCKETS, recvfrom), OK(SOCKETS, sendmsg), OK(SOCKETS, recvmsg),
	OK(SOCKETS, shutdown), OK(SOCKETS, bind), OK(SOCKETS, listen),
	OK(SOCKETS, getsockname), OK(SOCKETS, getpeername), OK(SOCKETS, socketpair),
	OK(SOCKETS, setsockopt), OK(SOCKETS, getsockopt), OK(SOCKETS, accept4),
	OK(SOCKETS, recvmmsg), OK(SOCKETS, sendmmsg),

	OK(SYSVIPC, shmget), OK(SYSVIPC, shmat), OK(SYSVIPC, shmctl), OK(SYSVIPC, shmdt),
	OK(SYSVIPC, semget), OK(SYSVIPC, semop), OK(SYSVIPC, semctl), OK(SYSVIPC, semtimedop),
	OK(SYSVIPC, msgget), OK(SYSVIPC, msgsnd), OK(SYSVIPC, msgrcv), OK(SYSVIPC, msgctl),
	OK(SYSVIPC, mq_open), OK(SYSVIPC, mq_unlink), OK(SYSVIPC, mq_timedsend),
	OK(SYSVIPC, mq_timedreceive), OK(SYSVIPC, mq_notify), OK(SYSVIPC, mq_getsetattr),

	OK(CONFINE, seccomp), OK(CONFINE, landlock_create_ruleset),
	OK(CONFINE, landlock_add_rule), OK(CONFINE, landlock_restrict_self),

	OK(DEBUG, ptrace), OK(DEBUG, process_vm_readv), OK(DEBUG, process_vm_writev),

	OK(INFO, uname), OK(INFO, sysinfo), OK(INFO, getrandom),

	{ "sync", SYS_sync, CX_SYSCALL_IGNORE,
	  "would write out the whole host; a sandbox's files are not kept over a power cut" },

	/* As if the kernel were built without it: libaio's users then do without. */
	{ "io_setup", SYS_io_setup, ENOSYS,
	  "contexts come out of one pool of the host (fs.aio-max-nr), and one user can take it all" },
	{ "io_submit", SYS_io_submit, ENOSYS, "as io_setup" },
	{ "io_getevents", SYS_io_getevents, ENOSYS, "as io_setup" },
	{ "io_pgetevents", SYS_io_pgetevents, ENOSYS, "as io_setup" },
	{ "io_cancel", SYS_io_cancel, ENOSYS, "as io_setup" },
	{ "io_destroy", SYS_io_destroy, ENOSYS, "as io_setup" },

	NO(mount, "the mount table is the agent's work and stays as it was made"),
	NO(umount2, "what lies under a mask stays under it"),
	NO(pivot_root, "as mount"),
	NO(open_tree, "as mount"),
	NO(move_mount, "as mount"),
	NO(fsopen, "as mount; its option parser had holes (CVE-2022-0185)"),
	NO(fsconfig, "as fsopen"),
	NO(fsmount, "as fsopen"),
	NO(fspick, "as fsopen"),
	NO(mount_setattr, "as mount"),
	NO(setns, "no namespace but its own"),
	NO(bpf, "programs and maps are the kernel's, not a namespace's"),
	NO(perf_event_open, "samples other sandboxes; a row of kernel holes"),
	NO(userfaultfd, "holds kernel races open"),
	NO(keyctl, "keyrings are counted and named host-wide"),
	NO(add_key, "as keyctl"),
	NO(request_key, "runs a program of the host"),
	NO(open_by_handle_at, "walks around the root directory"),
	NO(name_to_handle_at, "makes what open_by_handle_at wants"),
	NO(kexec_load, "replaces the host's kernel"),
	NO(kexec_file_load, "as kexec_load"),
	NO(init_module, "kernel code"),
	NO(finit_module, "kernel code"),
	NO(delete_module, "the host's modules"),
	NO(reboot, "the host's life"),
	NO(swapon, "the host's memory"),
	NO(swapoff, "the host's memory"),
	NO(acct, "the host's accounting"),
	NO(quotactl, "the host's quotas"),
	NO(quotactl_fd, "as quotactl"),
	NO(syslog, "the host's log"),
	NO(settimeofday, "the host's clock"),
	NO(clock_settime, "the host's clock"),
	NO(sethostname, "the name is the sandbox's configuration"),
	NO(setdomainname, "as sethostname"),
	NO(iopl, "the host's ports"),
	NO(ioperm, "the host's ports"),
	NO(modify_ldt, "16-bit segments: old holes, no user"),
	NO(vhangup, "terminals of others"),
	NO(vmsplice, "pages that two owners write"),
	NO(move_pages, "placement belongs to the host"),
	NO(migrate_pages, "as move_pages"),
	NO(fanotify_init, "watches whole file systems"),
	NO(fanotify_mark, "as fanotify_init"),
	NO(kcmp, "compares kernel pointers"),
	NO(pidfd_getfd, "takes descriptors out of other processes"),
	NO(process_madvise, "reclaims memory of other processes"),
};
const size_t cx_policy_nsyscalls = sizeof cx_policy_syscalls / sizeof cx_policy_syscalls[0];

#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)
#define ON(call) .name = #call, .nr = SYS_##call
#define IS(arg, value) { arg, CX_ARG_RANGE, value, value }
#define RANGE(arg, from, to) { arg, CX_ARG_RANGE, from, to }
#define BITS(arg, bits) { arg, CX_ARG_ANY_BIT, bits, 0 }
enum {
	AGENT = 1, /* its pid inside */
	IOPRIO_PROCESS = 1,
	IOPRIO_PGRP = 2,
	IOPRIO_USER = 3,
	UDP_ENCAPSULATION = 100,
};
enum { NEWTIME = 0x80 }; /* a signal number in clone(), so not one of its flags */

const struct cx_syscall_arg_row cx_policy_syscall_args[] = {
	/* clone3 is not in the list above: its flags lie in memory that a filter cannot see, and
	 * libc falls back to clone when it gets ENOSYS. */
	{ ON(clone), EPERM, { BITS(0, NAMESPACES) }, "no namespace in a namespace" },
	{ ON(unshare), EPERM, { BITS(0, NAMESPACES | NEWTIME) }, "no namespace in a namespace" },

	{ ON(socket), EAFNOSUPPORT, { RANGE(0, 0, 0) },
	  "families: AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK only; the others are large, seldom "
	  "used parts of the kernel, and creating one loads its module" },
	{ ON(socket), EAFNOSUPPORT, { RANGE(0, AF_INET + 1, AF_INET6 - 1) }, "families" },
	{ ON(socket), EAFNOSUPPORT, { RANGE(0, AF_INET6 + 1, AF_NETLINK - 1) }, "families" },
	{ ON(socket), EAFNOSUPPORT, { RANGE(0, AF_NETLINK + 1, UINT32_MAX) }, "families" },
	{ ON(socket), EPROTONOSUPPORT, { IS(0, AF_NETLINK), RANGE(2, 1, UINT32_MAX) },
	  "NETLINK_ROUTE only: addresses of interfaces" },
	{ ON(socket), EPROTONOSUPPORT, { IS(0, AF_INET), RANGE(2, 2, IPPROTO_TCP - 1) },
	  "ICMP, TCP and UDP only: SCTP, DCCP and others would be loaded on request" },
	{ ON(socket), EPROTONOSUPPORT,
	  { IS(0, AF_INET), RANGE(2, IPPROTO_TCP + 1, IPPROTO_UDP - 1) }, "protocols" },
	{ ON(socket), EPROTONOSUPPORT, { IS(0, AF_INET), RANGE(2, IPPROTO_UDP + 1, UINT32_MAX) },
	  "protocols" },
	{ ON(socket), EPROTONOSUPPORT, { IS(0, AF_INET6), RANGE(2, 1, IPPROTO_TCP - 1) },
	  "TCP, UDP and ICMPv6 only" },
	{ ON(socket), EPROTONOSUPPORT,
	  { IS(0, AF_INET6), RANGE(2, IPPROTO_TCP + 1, IPPROTO_UDP - 1) }, "protocols" },
	{ ON(socket), EPROTONOSUPPORT,
	  { IS(0, AF_INET6), RANGE(2, IPPROTO_UDP + 1, IPPROTO_ICMPV6 - 1) }, "protocols" },
	{ ON(socket), EPROTONOSUPPORT,
	  { IS(0, AF_INET6), RANGE(2, IPPROTO_ICMPV6 + 1, UINT32_MAX) }, "protocols" },
	{ ON(socketpair), EAFNOSUPPORT, { RANGE(0, 0, 0) }, "AF_UNIX only" },
	{ ON(socketpair), EAFNOSUPPORT, { RANGE(0, AF_UNIX + 1, UINT32_MAX) }, "AF_UNIX only" },
	{ ON(setsockopt), EPERM, { IS(1, IPPROTO_TCP), IS(2, TCP_ULP) },
	  "kernel TLS and its like: modules on request, holes in 2025 and 2026" },
	{ ON(setsockopt), EPERM, { IS(1, IPPROTO_UDP), IS(2, UDP_ENCAPSULATION) },
	  "IPsec in UDP (CVE-2026-43500)" },

	{ ON(setpriority), EPERM, { IS(0, PRIO_PROCESS), IS(1, AGENT) },
	  "the agent has root's id, and so would be root's to slow down or to limit" },
	{ ON(setpriority), EPERM, { IS(0, PRIO_PGRP), IS(1, AGENT) }, "the agent" },
	{ ON(setpriority), EPERM, { IS(0, PRIO_USER) }, "all of root's, so the agent too" },
	{ ON(ioprio_set), EPERM, { IS(0, IOPRIO_PROCESS), IS(1, AGENT) }, "the agent" },
	{ ON(ioprio_set), EPERM, { IS(0, IOPRIO_PGRP), IS(1, AGENT) }, "the agent" },
	{ ON(ioprio_set), EPERM, { IS(0, IOPRIO_USER) }, "all of root's, so the agent too" },
	{ ON(sched_setaffinity), EPERM, { IS(0, AGENT) }, "the agent" },
	{ ON(sched_setparam), EPERM, { IS(0, AGENT) }, "the agent" },
	{ ON(sched_setscheduler), EPERM, { IS(0, AGENT) }, "the agent" },
	{ ON(sched_setattr), EPERM, { IS(0, AGENT) }, "the agent" },
	{ ON(prlimit64), EPERM, { IS(0, AGENT) }, "the agent" },

	{ ON(ioctl), EPERM, { IS(1, TIOCSTI) }, "types into a terminal (CVE-2017-5226)" },
	{ ON(ioctl), EPERM, { IS(1, 0x541c) }, "TIOCLINUX: pastes into a console" },
	{ ON(ioctl), EPERM, { IS(1, TIOCSETD) }, "line disciplines: modules on request, old holes" },
	{ ON(fcntl), EPERM, { IS(1, F_SETPIPE_SZ) }, "pipes to the gateway count on its user" },

	{ ON(personality), CX_SYSCALL_ALLOW, { IS(0, 0) }, "the default" },
	{ ON(personality), CX_SYSCALL_ALLOW, { IS(0, 0xffffffff) }, "a question" },
	{ ON(personality), CX_SYSCALL_ALLOW, { IS(0, ADDR_NO_RANDOMIZE) }, "debuggers, sanitizers" },
	{ ON(personality), CX_SYSCALL_ALLOW, { IS(0, PER_LINUX32) }, "linux32, of builds" },
	{ ON(personality), CX_SYSCALL_ALLOW, { IS(0, UNAME26) }, "old installers" },
};
/* clang-format on */
const size_t cx_policy_nsyscall_args =
	sizeof cx_policy_syscall_args / sizeof cx_policy_syscall_args[0];
