/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that reach the whole machine, or code of the kernel that nobody inside needs. */
#include "escape/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/fanotify.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>

#include "base/cleanup.h"

#ifndef FAN_REPORT_FID
#define FAN_REPORT_FID 0x200
#endif
enum {
	NR_FILE_GETATTR = 468,
	NR_LSM_GET = 459,
	NR_LSM_SET = 460,
	NR_LSM_LIST = 461,
	NR_MAP_SHADOW_STACK = 453,
	KEY_SPEC_SESSION = -3,
	KEY_SPEC_USER = -4,
	KEYCTL_GET_ID = 0,
	KEYCTL_JOIN = 1,
	KEYCTL_CHANGE_OWNER = 4,
	KEYCTL_READ_KEY = 11,
	KEYCTL_PERSISTENT = 22,
	SYSLOG_READ_ALL = 3,
	SYSLOG_CLEAR = 5,
	SYSLOG_OFF = 6,
	SYSLOG_SIZE = 10,
	REBOOT_MAGIC1 = (int)0xfee1dead,
	REBOOT_MAGIC2 = 672274793,
	REBOOT_CAD_OFF = 0,
	ROOT_INODE = 2, /* of ext4; others answer with ESTALE, which shows it was asked */
	INT80_GETPID = 20,
	X32_BIT = 0x40000000,
};

static int close_if(long fd)
{
	int result = probe_unreachable(fd);

	if (fd >= 0)
		(void)close((int)fd);
	return result;
}

/* ---- bpf, perf, userfaultfd, io_uring, fanotify ---- */
static int bpf_map(const struct probe_row *row)
{
	union bpf_attr attr = {
		.map_type = (unsigned)row->a, .key_size = 4, .value_size = 4, .max_entries = 1
	};

	return close_if(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int bpf_prog(const struct probe_row *row)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static const char license[] = "GPL";
	union bpf_attr attr = { .prog_type = (unsigned)row->a, .insn_cnt = 2 };

	attr.insns = (uint64_t)(uintptr_t)code;
	attr.license = (uint64_t)(uintptr_t)license;
	return close_if(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)));
}

static int bpf_next(const struct probe_row *row)
{
	union bpf_attr attr = { .start_id = 0 };

	return probe_unreachable(syscall(SYS_bpf, row->a, &attr, sizeof(attr)));
}

static int perf(const struct probe_row *row)
{
	struct perf_event_attr attr = { .type = (unsigned)row->a,
					.size = sizeof(attr),
					.config = (uint64_t)row->b,
					.disabled = 1,
					.exclude_kernel = 1 };

	return close_if(
		syscall(SYS_perf_event_open, &attr, row->c, row->c == -1 ? 0 : -1, -1, 0UL));
}

static int userfault(const struct probe_row *row)
{
	return close_if(syscall(SYS_userfaultfd, row->a));
}

static int uring(const struct probe_row *row)
{
	struct io_uring_params params = { .flags = 0 };

	(void)row;
	return close_if(syscall(SYS_io_uring_setup, 1U, &params));
}

static int aio(const struct probe_row *row)
{
	aio_context_t context = 0;
	long r = syscall(SYS_io_setup, row->a, &context);

	if (r == 0)
		(void)syscall(SYS_io_destroy, context);
	return probe_unreachable(r);
}

static int fanotify(const struct probe_row *row)
{
	return close_if(syscall(SYS_fanotify_init, row->a, O_RDONLY));
}

/* ---- files by handle (shocker) ---- */
static int file_handle(const struct probe_row *row)
{
	struct {
		struct file_handle head;
		unsigned char bytes[MAX_HANDLE_SZ];
	} handle = { .head = { .handle_bytes = MAX_HANDLE_SZ } };
	int mount = 0;

	return probe_unreachable(
		syscall(SYS_name_to_handle_at, AT_FDCWD, row->path, &handle, &mount, 0));
}

static int shocker(const struct probe_row *row)
{
	cx_autofd int mount = open(row->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct {
		struct file_handle head;
		uint32_t inode, generation;
	} handle = { .head = { .handle_bytes = 8, .handle_type = 1 }, .inode = ROOT_INODE };

	if (mount < 0)
		return -errno;
	return close_if(syscall(SYS_open_by_handle_at, mount, &handle, O_RDONLY));
}

/* ---- keyrings ---- */
static int add_key(const struct probe_row *row)
{
	return probe_unreachable(
		syscall(SYS_add_key, row->path, "probe:key", "x", 1UL, (int)row->a));
}

static int request_key(const struct probe_row *row)
{
	return probe_unreachable(
		syscall(SYS_request_key, row->path, "probe:key", NULL, KEY_SPEC_SESSION));
}

static int keyctl(const struct probe_row *row)
{
	return probe_unreachable(syscall(SYS_keyctl, row->a, row->b, row->c, 0L, 0L));
}

/* ---- the machine ---- */
static int kernel_log(const struct probe_row *row)
{
	static char text[4096];

	return probe_result(syscall(SYS_syslog, row->a, text, sizeof(text)));
}

static int load_module(const struct probe_row *row)
{
	cx_autofd int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	return probe_unreachable(row->a == SYS_finit_module
					 ? syscall(SYS_finit_module, fd, "", 0)
					 : syscall(SYS_init_module, NULL, 0UL, ""));
}

static int unload_module(const struct probe_row *row)
{
	return probe_unreachable(syscall(SYS_delete_module, row->path, O_NONBLOCK));
}

static int boot_other(const struct probe_row *row)
{
	return probe_unreachable(row->a == SYS_kexec_load
					 ? syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL)
					 : syscall(SYS_kexec_file_load, -1, -1, 0UL, "", 0UL));
}

/* Only turns Ctrl-Alt-Del into a signal: the one command of reboot(2) that ends nothing. */
static int reboot_machine(const struct probe_row *row)
{
	(void)row;
	return probe_unreachable(
		syscall(SYS_reboot, REBOOT_MAGIC1, REBOOT_MAGIC2, REBOOT_CAD_OFF, NULL));
}

static int swap(const struct probe_row *row)
{
	return probe_unreachable(syscall(row->a, row->path, 0));
}

static int set_clock(const struct probe_row *row)
{
	struct timespec now;

	if (clock_gettime((clockid_t)row->a, &now) < 0)
		return -errno;
	return probe_result(clock_settime((clockid_t)row->a, &now));
}

static int set_time_of_day(const struct probe_row *row)
{
	struct timeval now;
	struct timezone zone = { .tz_minuteswest = 0 };

	if (gettimeofday(&now, NULL) < 0)
		return -errno;
	return probe_result(
		syscall(SYS_settimeofday, row->a == 0 ? &now : NULL, row->a == 0 ? NULL : &zone));
}

static int adjust_clock(const struct probe_row *row)
{
	struct timex change = { .modes = ADJ_TICK, .tick = 10000 };

	return probe_result(row->a == SYS_adjtimex
				    ? syscall(SYS_adjtimex, &change)
				    : syscall(SYS_clock_adjtime, CLOCK_REALTIME, &change));
}

static int wake_alarm(const struct probe_row *row)
{
	timer_t timer;

	return probe_result(timer_create((clockid_t)row->a, NULL, &timer));
}

static int port_level(const struct probe_row *row)
{
	return probe_result(row->a == SYS_iopl ? syscall(SYS_iopl, 3)
					       : syscall(SYS_ioperm, 0x80UL, 1UL, 1));
}

static int port_read(const struct probe_row *row)
{
	unsigned char value = 0;

	(void)row;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"((unsigned short)0x80));
	probe_note("read 0x%x", value);
	return PROBE_OPEN;
}

static int account(const struct probe_row *row)
{
	(void)row;
	return probe_unreachable(syscall(SYS_acct, NULL));
}

static int quota(const struct probe_row *row)
{
	char info[256];

	return probe_unreachable(row->a == SYS_quotactl
					 ? syscall(SYS_quotactl, (int)0x80000700 /* Q_GETINFO */,
						   "/dev/vda", 0, info)
					 : syscall(SYS_quotactl_fd, 0, 0x80000700U, 0, info));
}

static int hangup(const struct probe_row *row)
{
	(void)setsid();
	return probe_unreachable(syscall(row->a));
}

/* ---- other ABIs ---- */
static int int80(const struct probe_row *row)
{
	long rc = row->a;

	__asm__ volatile("int $0x80" : "+a"(rc) : : "memory", "r8", "r9", "r10", "r11");
	if (rc == -ENOSYS || rc == -EPERM)
		return (int)rc;
	probe_note("answered %ld", rc);
	return PROBE_OPEN;
}

static int x32(const struct probe_row *row)
{
	return probe_unreachable(syscall(X32_BIT | row->a));
}

static int change_personality(const struct probe_row *row)
{
	return probe_unreachable(syscall(SYS_personality, row->a));
}

/* A 32-bit code segment: system calls from there would be i386's. */
static int far_call(const struct probe_row *row)
{
	unsigned char descriptor[16] = { 0 };

	descriptor[12] = 0x7d; /* seg_32bit, contents 2 (code), readable, in pages, usable */
	return probe_unreachable(syscall(SYS_modify_ldt, row->a, descriptor, sizeof(descriptor)));
}

/* ---- undoing what binds us ---- */
static int clear_nnp(const struct probe_row *row)
{
	(void)row;
	return probe_result(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static int seccomp_off(const struct probe_row *row)
{
	(void)row;
	return probe_result(prctl(PR_SET_SECCOMP, 0 /* SECCOMP_MODE_DISABLED */, NULL, 0, 0));
}

/* A second filter that allows everything must not take the first one's place. */
static int seccomp_over(const struct probe_row *row)
{
	struct sock_filter allow[] = { { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW } };
	struct sock_fprog program = { .len = 1, .filter = allow };

	(void)row;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
		return -errno;
	return probe_unreachable(syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, NULL, 0));
}

static int seccomp_suspend(const struct probe_row *row)
{
	pid_t child = fork();

	(void)row;
	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	long rc = syscall(SYS_ptrace, 0x4206 /* SEIZE */, child, NULL, 0x00200000L /* SUSPEND */);
	int result = probe_result(rc);

	(void)kill(child, SIGKILL);
	return result;
}

/* A tracer rewriting its child's system call after the filter has looked (kernels before 4.8). */
static int seccomp_tracer(const struct probe_row *row)
{
	struct sock_filter trace[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_bpf },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
	};
	struct sock_fprog program = { .len = CX_LEN(trace), .filter = trace };

	(void)row;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		    &program) < 0)
		return -errno;
	/* The listener itself is harmless: what it continues must still pass the outer filter. */
	return probe_unreachable(syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, NULL, 0));
}

static int memory_map(const struct probe_row *row)
{
	return probe_result(prctl(PR_SET_MM, row->a, 0x1000, 0, 0));
}

static int null_page(const struct probe_row *row)
{
	(void)row;
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0) == MAP_FAILED
		       ? -errno
		       : PROBE_OPEN;
}

static int vsyscall_page(const struct probe_row *row)
{
	int pipe_fds[2];

	(void)row;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	return probe_result(write(pipe_fds[1], (const void *)0xffffffffff600000, 16));
}

#define SAFE PROBE_SAFE_OUTSIDE
#define CALL(name, nr, b, c, flags, why)                        \
	{                                                       \
		name, probe_syscall, NULL, nr, b, c, flags, why \
	}

static const struct probe_row rows[] = {
	{ "bpf_map", bpf_map, NULL, BPF_MAP_TYPE_ARRAY, 0, 0, SAFE, "the verifier and its holes" },
	{ "bpf_map_hash", bpf_map, NULL, BPF_MAP_TYPE_HASH, 0, 0, SAFE,
	  "the verifier and its holes" },
	{ "bpf_prog_socket", bpf_prog, NULL, BPF_PROG_TYPE_SOCKET_FILTER, 0, 0, SAFE,
	  "the verifier and its holes" },
	{ "bpf_prog_kprobe", bpf_prog, NULL, BPF_PROG_TYPE_KPROBE, 0, 0, 0, "code in the kernel" },
	{ "bpf_next_prog", bpf_next, NULL, BPF_PROG_GET_NEXT_ID, 0, 0, 0, "programs of others" },
	{ "bpf_next_map", bpf_next, NULL, BPF_MAP_GET_NEXT_ID, 0, 0, 0, "maps of others" },
	{ "perf_software", perf, NULL, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, 0, SAFE,
	  "perf events" },
	{ "perf_hardware", perf, NULL, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, 0, 0,
	  "what others do, by counters" },
	{ "perf_everyone", perf, NULL, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, -1, 0,
	  "every process of the machine" },
	{ "perf_agent", perf, NULL, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, 1, 0,
	  "the agent" },
	{ "userfaultfd", userfault, NULL, O_CLOEXEC, 0, 0, SAFE,
	  "pages that stop the kernel at a chosen point" },
	{ "userfaultfd_user", userfault, NULL, O_CLOEXEC | 1, 0, 0, SAFE,
	  "the same for own faults" },
	{ "io_uring_setup", uring, NULL, 0, 0, 0, SAFE, "system calls that no filter sees" },
	CALL("io_uring_enter", SYS_io_uring_enter, -1, 0, SAFE, "system calls that no filter sees"),
	CALL("io_uring_register", SYS_io_uring_register, -1, 0, SAFE,
	     "system calls that no filter sees"),
	{ "io_setup", aio, NULL, 1, 0, 0, SAFE, "a pool of the whole host (fs.aio-max-nr)" },
	{ "fanotify", fanotify, NULL, 0, 0, 0, SAFE, "every file opened on the machine" },
	{ "fanotify_fid", fanotify, NULL, FAN_REPORT_FID, 0, 0, SAFE, "file handles" },
	{ "handle_root", file_handle, "/", 0, 0, 0, SAFE, "handles for open_by_handle_at" },
	{ "handle_proc", file_handle, "/proc/1/ns/user", 0, 0, 0, SAFE, "namespaces by handle" },
	{ "shocker_root", shocker, "/", 0, 0, 0, SAFE, "any file of the disk (shocker, 2014)" },
	{ "shocker_tmp", shocker, "/tmp", 0, 0, 0, 0, "any file of the disk (shocker, 2014)" },
	{ "shocker_dev", shocker, "/dev", 0, 0, 0, 0, "any file of the disk (shocker, 2014)" },
	{ "shocker_proc", shocker, "/proc", 0, 0, 0, 0, "any file of the disk (shocker, 2014)" },
	{ "add_key_user", add_key, "user", KEY_SPEC_USER, 0, 0, SAFE, "keyrings of an id" },
	{ "add_key_session", add_key, "user", KEY_SPEC_SESSION, 0, 0, SAFE, "the session keyring" },
	{ "add_key_asym", add_key, "asymmetric", KEY_SPEC_SESSION, 0, 0, SAFE,
	  "parsers in the kernel" },
	{ "add_key_rxrpc", add_key, "rxrpc", KEY_SPEC_SESSION, 0, 0, 0, "CVE-2026-43500" },
	{ "request_key", request_key, "user", 0, 0, 0, 0, "a helper run as root of the host" },
	{ "keyctl_session", keyctl, NULL, KEYCTL_GET_ID, KEY_SPEC_SESSION, 0, SAFE,
	  "the engine's session keyring" },
	{ "keyctl_user", keyctl, NULL, KEYCTL_GET_ID, KEY_SPEC_USER, 1, 0, "keyrings of an id" },
	{ "keyctl_join", keyctl, NULL, KEYCTL_JOIN, 0, 0, SAFE, "keyrings at all (CVE-2016-0728)" },
	{ "keyctl_read", keyctl, NULL, KEYCTL_READ_KEY, KEY_SPEC_SESSION, 0, 0, "keys" },
	{ "keyctl_chown", keyctl, NULL, KEYCTL_CHANGE_OWNER, KEY_SPEC_SESSION, 0, 0, "keys" },
	{ "keyctl_persistent", keyctl, NULL, KEYCTL_PERSISTENT, 0, KEY_SPEC_SESSION, 0, "keys" },
	{ "syslog_read", kernel_log, NULL, SYSLOG_READ_ALL, 0, 0, SAFE, "the kernel's log" },
	{ "syslog_size", kernel_log, NULL, SYSLOG_SIZE, 0, 0, SAFE, "the kernel's log" },
	{ "syslog_clear", kernel_log, NULL, SYSLOG_CLEAR, 0, 0, 0, "the kernel's log" },
	{ "syslog_off", kernel_log, NULL, SYSLOG_OFF, 0, 0, 0, "the kernel's log" },
	{ "init_module", load_module, NULL, SYS_init_module, 0, 0, 0, "code in the kernel" },
	{ "finit_module", load_module, NULL, SYS_finit_module, 0, 0, 0, "code in the kernel" },
	{ "delete_module", unload_module, "no-such-module", 0, 0, 0, 0, "code in the kernel" },
	{ "kexec_load", boot_other, NULL, SYS_kexec_load, 0, 0, 0, "another kernel" },
	{ "kexec_file_load", boot_other, NULL, SYS_kexec_file_load, 0, 0, 0, "another kernel" },
	{ "reboot", reboot_machine, NULL, 0, 0, 0, 0, "the machine restarts" },
	{ "swapon", swap, "/tmp/no-such-file", SYS_swapon, 0, 0, 0, "the host's memory" },
	{ "swapoff", swap, "/dev/zram0", SYS_swapoff, 0, 0, 0, "the host's memory" },
	{ "clock_settime", set_clock, NULL, CLOCK_REALTIME, 0, 0, 0, "the machine's clock" },
	{ "settimeofday", set_time_of_day, NULL, 0, 0, 0, 0, "the machine's clock" },
	{ "settimezone", set_time_of_day, NULL, 1, 0, 0, 0, "the machine's clock" },
	{ "adjtimex", adjust_clock, NULL, SYS_adjtimex, 0, 0, 0, "the machine's clock" },
	{ "clock_adjtime", adjust_clock, NULL, SYS_clock_adjtime, 0, 0, 0, "the machine's clock" },
	{ "wake_alarm", wake_alarm, NULL, CLOCK_REALTIME_ALARM, 0, 0, 0, "the machine wakes up" },
	{ "iopl", port_level, NULL, SYS_iopl, 0, 0, 0, "the machine's ports" },
	{ "ioperm", port_level, NULL, SYS_ioperm, 0, 0, 0, "the machine's ports" },
	{ "inb", port_read, NULL, 0, 0, 0, PROBE_FAULTS, "the machine's ports" },
	{ "acct", account, NULL, 0, 0, 0, 0, "a file written for every process" },
	{ "quotactl", quota, NULL, SYS_quotactl, 0, 0, 0, "quotas of the host" },
	{ "quotactl_fd", quota, NULL, SYS_quotactl_fd, 0, 0, 0, "quotas of the host" },
	{ "vhangup", hangup, NULL, SYS_vhangup, 0, 0, SAFE, "terminals of others" },
	CALL("nfsservctl", SYS_nfsservctl, 0, 0, 0, "a dead interface"),
	CALL("lookup_dcookie", SYS_lookup_dcookie, 0, 0, 0, "paths of the host"),
	CALL("uselib", SYS_uselib, 0, 0, 0, "a dead interface (CVE-2004-1235)"),
	CALL("ustat", SYS_ustat, 0, 0, SAFE, "a dead interface"),
	CALL("sysfs", SYS_sysfs, 3, 0, SAFE, "a dead interface"),
	CALL("_sysctl", SYS__sysctl, 0, 0, 0, "a dead interface"),
	CALL("create_module", SYS_create_module, 0, 0, 0, "a dead interface"),
	CALL("query_module", SYS_query_module, 0, 0, 0, "a dead interface"),
	CALL("get_kernel_syms", SYS_get_kernel_syms, 0, 0, 0, "a dead interface"),
	CALL("afs", SYS_afs_syscall, 0, 0, 0, "a dead interface"),
	CALL("tuxcall", SYS_tuxcall, 0, 0, 0, "a dead interface"),
	CALL("security", SYS_security, 0, 0, 0, "a dead interface"),
	CALL("vserver", SYS_vserver, 0, 0, 0, "a dead interface"),
	CALL("getpmsg", SYS_getpmsg, 0, 0, 0, "a dead interface"),
	CALL("putpmsg", SYS_putpmsg, 0, 0, 0, "a dead interface"),
	CALL("lsm_set", NR_LSM_SET, 0, 0, 0, "labels of security modules"),
	CALL("lsm_get", NR_LSM_GET, 0, 0, 0, "labels of security modules"),
	CALL("lsm_list", NR_LSM_LIST, 0, 0, 0, "which security modules there are"),
	CALL("file_getattr", NR_FILE_GETATTR, -1, 0, 0, "quota projects of files"),
	CALL("unknown", 1000, 0, 0, 0, "what later kernels bring"),
	{ "int80_getpid", int80, NULL, INT80_GETPID, 0, 0, PROBE_FAULTS,
	  "a filter that does not look" },
	{ "int80_mount", int80, NULL, 21, 0, 0, PROBE_FAULTS, "a filter that does not look" },
	{ "int80_socketcall", int80, NULL, 102, 0, 0, PROBE_FAULTS, "every kind of socket" },
	{ "x32_getpid", x32, NULL, SYS_getpid, 0, 0, 0, "a filter that does not look" },
	{ "x32_ptrace", x32, NULL, 521, 0, 0, 0, "a filter that does not look" },
	{ "x32_mount", x32, NULL, SYS_mount, 0, 0, 0, "a filter that does not look" },
	{ "personality_read", change_personality, NULL, READ_IMPLIES_EXEC, 0, 0, SAFE,
	  "memory that is executable" },
	{ "personality_zero", change_personality, NULL, MMAP_PAGE_ZERO, 0, 0, SAFE,
	  "the null page" },
	{ "modify_ldt", far_call, NULL, 0x11, 0, 0, SAFE, "CVE-2015-5157, CVE-2017-17053" },
	{ "nnp", clear_nnp, NULL, 0, 0, 0, 0, "set-user-ID programs" },
	{ "seccomp_off", seccomp_off, NULL, 0, 0, 0, 0, "the filter" },
	{ "seccomp_over", seccomp_over, NULL, 0, 0, 0, 0, "the filter" },
	{ "seccomp_suspend", seccomp_suspend, NULL, 0, 0, 0, 0, "the filter" },
	{ "seccomp_listener", seccomp_tracer, NULL, 0, 0, 0, 0, "the filter" },
	{ "set_mm_exe", memory_map, NULL, 13 /* PR_SET_MM_EXE_FILE */, 0, 0, 0,
	  "who we seem to be" },
	{ "set_mm_brk", memory_map, NULL, 7 /* PR_SET_MM_BRK */, 0, 0, 0, "our memory's bounds" },
	{ "null_page", null_page, NULL, 0, 0, 0, 0, "null pointers of the kernel" },
	{ "vsyscall", vsyscall_page, NULL, 0, 0, 0, 0, "code at a known address" },
};

const struct probe_group probe_kernel = { "kernel", rows, CX_LEN(rows) };
