/* SPDX-License-Identifier: Apache-2.0 */
/* /proc, /sys, cgroups and what else can be opened by name. */
#include "escape/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { WALK_FDS = 16, WALK_FILES_MAX = 200000 };

/* Kernel addresses: the file may be there when every address in it reads 0. */
static int kernel_addresses(const struct probe_row *row)
{
	static char text[4096];
	long size = probe_slurp(row->path, text, sizeof(text));

	if (size < 0)
		return (int)size;
	for (const char *line = text; *line != '\0'; line++) {
		if (strtoull(line, NULL, 16) != 0)
			return PROBE_OPEN;
		line = strchr(line, '\n');
		if (line == NULL)
			break;
	}
	return -ENODATA;
}

/* Writes path's own value back: nothing changes even where it is open. */
static int write_back(const struct probe_row *row)
{
	static char text[4096];
	long size = probe_slurp(row->path, text, sizeof(text));

	if (size < 0)
		return (int)size;
	int rc = probe_write(row->path, text);

	return rc == 0 ? PROBE_OPEN : rc;
}

static int write_text(const struct probe_row *row)
{
	const char *text = strchr(row->path, ' ');
	char path[128];
	int rc;

	(void)snprintf(path, sizeof(path), "%.*s", (int)(text - row->path), row->path);
	rc = probe_write(path, text + 1);
	return rc == 0 ? PROBE_OPEN : rc;
}

/* ---- walks: what no list foresaw ---- */
static struct {
	unsigned seen, found;
} walk;

static int found(const char *path)
{
	if (walk.found++ == 0)
		probe_note("%s", path);
	return 0;
}

static int is_process(const char *path)
{
	const char *at = path + strlen("/proc/");

	return strncmp(path, "/proc/", strlen("/proc/")) == 0 &&
	       ((*at >= '0' && *at <= '9') || strncmp(at, "self", 4) == 0 ||
		strncmp(at, "thread-self", 11) == 0);
}

static int opens_for_writing(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type != FTW_F || is_process(path))
		return 0;
	if (S_ISCHR(st->st_mode)) /* a mask by /dev/null */
		return 0;
	cx_autofd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0)
		(void)found(path);
	return ++walk.seen > WALK_FILES_MAX;
}

static int opens_as_device(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	static const dev_t harmless[] = { 0x103, 0x105, 0x107, 0x108, 0x109, 0x500, 0x502 };

	(void)ftw;
	if (type == FTW_D && is_process(path))
		return FTW_SKIP_SUBTREE;
	if (!S_ISCHR(st->st_mode) && !S_ISBLK(st->st_mode))
		return FTW_CONTINUE;
	for (size_t i = 0; i < CX_LEN(harmless); i++)
		if (S_ISCHR(st->st_mode) && st->st_rdev == harmless[i])
			return FTW_CONTINUE;
	if (strncmp(path, "/dev/pts/", strlen("/dev/pts/")) == 0)
		return FTW_CONTINUE;
	cx_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0)
		(void)found(path);
	return FTW_CONTINUE;
}

static int walk_result(int rc)
{
	if (rc != 0 && walk.found == 0) {
		probe_note("the walk ended early");
		return PROBE_OPEN;
	}
	return walk.found > 0 ? PROBE_OPEN : -ENOENT;
}

static int walk_writable(const struct probe_row *row)
{
	return walk_result(nftw(row->path, opens_for_writing, WALK_FDS, FTW_PHYS));
}

static int walk_devices(const struct probe_row *row)
{
	return walk_result(nftw(row->path, opens_as_device, WALK_FDS, FTW_PHYS | FTW_ACTIONRETVAL));
}

static int all_exist_in(const char *name, const char *const *allowed, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, allowed[i]) == 0)
			return 1;
	return 0;
}

/* /dev holds nothing but what every program expects. */
static int dev_golden(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	static const char *const names[] = { "/dev",	    "/dev/null",   "/dev/zero",
					     "/dev/full",   "/dev/random", "/dev/urandom",
					     "/dev/tty",    "/dev/ptmx",   "/dev/console",
					     "/dev/fd",	    "/dev/stdin",  "/dev/stdout",
					     "/dev/stderr", "/dev/shm",	   "/dev/mqueue",
					     "/dev/core",   "/dev/pts" };

	(void)st;
	(void)type;
	(void)ftw;
	if (all_exist_in(path, names, CX_LEN(names)))
		return 0;
	if (strncmp(path, "/dev/pts/", 9) == 0 || strncmp(path, "/dev/shm/", 9) == 0 ||
	    strncmp(path, "/dev/mqueue/", 12) == 0)
		return 0;
	return found(path);
}

static int walk_dev(const struct probe_row *row)
{
	return walk_result(nftw(row->path, dev_golden, WALK_FDS, FTW_PHYS));
}

/* The file that the harness left on the host, by every name that might lead there. */
static int host_file(const struct probe_row *row)
{
	char path[512], text[256];

	if (probe_host.file == NULL || probe_host.text == NULL) {
		probe_note("no --host-file");
		return PROBE_NA;
	}
	(void)snprintf(path, sizeof(path), "%s%s", row->path, probe_host.file);
	long size = probe_slurp(path, text, sizeof(text));

	if (size < 0)
		return (int)size;
	return strstr(text, probe_host.text) != NULL ? PROBE_OPEN : -ENOENT;
}

/* Covered by something that is empty and not of procfs. */
static int unmasked(const struct probe_row *row)
{
	struct statfs fs;
	struct stat st;

	if (statfs(row->path, &fs) < 0 || stat(row->path, &st) < 0)
		return -errno;
	if (fs.f_type == PROC_SUPER_MAGIC) {
		probe_note("the kernel's own");
		return PROBE_OPEN;
	}
	return S_ISDIR(st.st_mode) ? probe_list(row) : probe_read(row);
}

#define MASKED(name, why)                                                \
	{                                                                \
		"masked_" name, unmasked, "/proc/" name, 0, 0, 0, 0, why \
	}
#define SYSCTL(name, path, why)                                                      \
	{                                                                            \
		"sysctl_" name, probe_open_write, "/proc/sys/" path, 0, 0, 0, 0, why \
	}
#define SYSCTL_BACK(name, path, why)                                         \
	{                                                                    \
		"back_" name, write_back, "/proc/sys/" path, 0, 0, 0, 0, why \
	}
#define WRITE(name, path, why)                                         \
	{                                                              \
		"write_" name, probe_open_write, path, 0, 0, 0, 0, why \
	}
#define READ(name, path, why)                                   \
	{                                                       \
		"read_" name, probe_read, path, 0, 0, 0, 0, why \
	}
#define SAFE_READ(name, path, why)                                               \
	{                                                                        \
		"read_" name, probe_read, path, 0, 0, 0, PROBE_SAFE_OUTSIDE, why \
	}
#define LIST(name, path, why)                                   \
	{                                                       \
		"list_" name, probe_list, path, 0, 0, 0, 0, why \
	}
#define NONE(name, path, why)                                     \
	{                                                         \
		"none_" name, probe_exists, path, 0, 0, 0, 0, why \
	}

static const struct probe_row rows[] = {
	/* sysctls: none of them may be written, whatever its owner */
	SYSCTL("core_pattern", "kernel/core_pattern", "a program run as root of the host"),
	SYSCTL("core_pipe_limit", "kernel/core_pipe_limit", "how core dumps are taken"),
	SYSCTL("modprobe", "kernel/modprobe", "a program run as root of the host"),
	SYSCTL("hotplug", "kernel/hotplug", "a program run as root of the host"),
	SYSCTL("poweroff_cmd", "kernel/poweroff_cmd", "a program run as root of the host"),
	SYSCTL("sysrq", "kernel/sysrq", "the magic key"),
	SYSCTL("panic", "kernel/panic", "the machine restarts"),
	SYSCTL("panic_on_oops", "kernel/panic_on_oops", "the machine stops"),
	SYSCTL("kptr_restrict", "kernel/kptr_restrict", "kernel addresses"),
	SYSCTL("dmesg_restrict", "kernel/dmesg_restrict", "the kernel's log"),
	SYSCTL("aslr", "kernel/randomize_va_space", "the host's defences"),
	SYSCTL("bpf", "kernel/unprivileged_bpf_disabled", "the host's defences"),
	SYSCTL("perf", "kernel/perf_event_paranoid", "the host's defences"),
	SYSCTL("yama", "kernel/yama/ptrace_scope", "the host's defences"),
	SYSCTL("pid_max", "kernel/pid_max", "how many processes the host can have"),
	SYSCTL("threads_max", "kernel/threads-max", "how many threads the host can have"),
	SYSCTL("ns_last_pid", "kernel/ns_last_pid", "which pid comes next"),
	SYSCTL("hostname", "kernel/hostname", "a name by a way that is not checked"),
	SYSCTL("domainname", "kernel/domainname", "a name by a way that is not checked"),
	SYSCTL("shmmax", "kernel/shmmax", "System V limits"),
	SYSCTL("shmall", "kernel/shmall", "System V limits"),
	SYSCTL("msgmni", "kernel/msgmni", "System V limits"),
	SYSCTL("sem", "kernel/sem", "System V limits"),
	SYSCTL("keys", "kernel/keys/maxkeys", "limits on keys"),
	SYSCTL("bset", "kernel/usermodehelper/bset", "what helpers of the kernel may do"),
	SYSCTL("overcommit", "vm/overcommit_memory", "the host's memory"),
	SYSCTL("drop_caches", "vm/drop_caches", "the host's page cache"),
	SYSCTL("panic_on_oom", "vm/panic_on_oom", "the machine stops"),
	SYSCTL("mmap_min_addr", "vm/mmap_min_addr", "null pointers of the kernel"),
	SYSCTL("swappiness", "vm/swappiness", "the host's memory"),
	SYSCTL("max_map_count", "vm/max_map_count", "limits on mappings"),
	SYSCTL("suid_dumpable", "fs/suid_dumpable", "cores of set-user-ID programs"),
	SYSCTL("hardlinks", "fs/protected_hardlinks", "the host's defences"),
	SYSCTL("symlinks", "fs/protected_symlinks", "the host's defences"),
	SYSCTL("file_max", "fs/file-max", "how many files the host can have open"),
	SYSCTL("nr_open", "fs/nr_open", "how many files a process can have open"),
	SYSCTL("inotify", "fs/inotify/max_user_watches", "limits on watches"),
	SYSCTL("mqueue", "fs/mqueue/queues_max", "limits on queues"),
	SYSCTL("pipe_max", "fs/pipe-max-size", "limits on pipes"),
	SYSCTL("binfmt", "fs/binfmt_misc/register", "interpreters run for every process"),
	SYSCTL("max_userns", "user/max_user_namespaces", "nested user namespaces"),
	SYSCTL("ip_forward", "net/ipv4/ip_forward", "packets between networks"),
	SYSCTL("rp_filter", "net/ipv4/conf/all/rp_filter", "source addresses"),
	SYSCTL("ping_group", "net/ipv4/ping_group_range", "ICMP sockets"),
	SYSCTL("port_start", "net/ipv4/ip_unprivileged_port_start", "settings of the engine"),
	SYSCTL("somaxconn", "net/core/somaxconn", "limits on sockets"),
	SYSCTL("bpf_jit", "net/core/bpf_jit_enable", "the host's defences"),
	SYSCTL("unix_dgram", "net/unix/max_dgram_qlen", "limits on sockets"),
	SYSCTL_BACK("core_pattern", "kernel/core_pattern", "a program run as root of the host"),
	SYSCTL_BACK("msgmax", "kernel/msgmax", "settings of the engine"),
	SYSCTL_BACK("userns", "user/max_net_namespaces", "settings of the engine"),
	/* other files of /proc */
	WRITE("sysrq_trigger", "/proc/sysrq-trigger", "restart, memory dump, kill"),
	WRITE("kcore", "/proc/kcore", "the memory of the machine"),
	WRITE("mtrr", "/proc/mtrr", "memory types"),
	WRITE("scsi", "/proc/scsi/scsi", "disks added and removed"),
	WRITE("irq", "/proc/irq/default_smp_affinity", "interrupts of the machine"),
	WRITE("latency", "/proc/latency_stats", "measurements of the host"),
	WRITE("acpi_wakeup", "/proc/acpi/wakeup", "power"),
	WRITE("timer_stats", "/proc/timer_stats", "measurements of the host"),
	WRITE("vmallocinfo", "/proc/vmallocinfo", "measurements of the host"),
	WRITE("pci", "/proc/bus/pci/00/00.0", "configuration of devices"),
	READ("kcore", "/proc/kcore", "the memory of the machine"),
	SAFE_READ("kmsg", "/proc/kmsg", "the kernel's log"),
	READ("keys", "/proc/keys", "keys by name"),
	READ("key_users", "/proc/key-users", "ids of the host that hold keys"),
	SAFE_READ("timer_list", "/proc/timer_list", "kernel addresses, what the host waits for"),
	READ("sched_debug", "/proc/sched_debug", "every process of the host"),
	SAFE_READ("slabinfo", "/proc/slabinfo", "how kernel memory lies"),
	SAFE_READ("vmallocinfo", "/proc/vmallocinfo", "how kernel memory lies"),
	SAFE_READ("pagetypeinfo", "/proc/pagetypeinfo", "how kernel memory lies"),
	SAFE_READ("kpagecount", "/proc/kpagecount", "which frames others use"),
	SAFE_READ("kpageflags", "/proc/kpageflags", "which frames others use"),
	SAFE_READ("kpagecgroup", "/proc/kpagecgroup", "which frames others use"),
	READ("acpi", "/proc/acpi/wakeup", "devices of the machine"),
	READ("latency", "/proc/latency_stats", "stacks of other processes"),
	READ("config_pci", "/proc/bus/pci/devices", "devices of the machine"),
	LIST("scsi", "/proc/scsi", "devices of the machine"),
	LIST("asound", "/proc/asound", "devices of the machine"),
	LIST("acpi", "/proc/acpi", "devices of the machine"),
	LIST("bus", "/proc/bus", "devices of the machine"),
	LIST("irq", "/proc/irq", "interrupts of the machine"),
	LIST("proc_fs", "/proc/fs", "file systems of the host"),
	LIST("driver", "/proc/driver", "devices of the machine"),
	LIST("dynamic_debug", "/proc/dynamic_debug", "the kernel's log"),
	/* under a mask, whether or not its owner's bits would refuse us as well */
	MASKED("acpi", "devices of the machine"),
	MASKED("asound", "devices of the machine"),
	MASKED("bus", "devices of the machine"),
	MASKED("cmdline", "boot options of the host"),
	MASKED("config.gz", "how the host's kernel was built"),
	MASKED("diskstats", "what others write"),
	MASKED("driver", "devices of the machine"),
	MASKED("fs", "file systems of the host"),
	MASKED("interrupts", "when others type and send"),
	MASKED("iomem", "addresses of the machine"),
	MASKED("ioports", "ports of the machine"),
	MASKED("irq", "interrupts of the machine"),
	MASKED("kallsyms", "kernel addresses"),
	MASKED("kcore", "the memory of the machine"),
	MASKED("key-users", "ids of the host that hold keys"),
	MASKED("keys", "keys by name"),
	MASKED("kmsg", "the kernel's log"),
	MASKED("latency_stats", "stacks of other processes"),
	MASKED("locks", "locks of every process"),
	MASKED("mdstat", "the host's disks"),
	MASKED("modules", "what the host's kernel has loaded"),
	MASKED("mtrr", "memory types"),
	MASKED("partitions", "the host's disks"),
	MASKED("pressure", "what others wait for"),
	MASKED("sched_debug", "every process of the host"),
	MASKED("schedstat", "what other processes do"),
	MASKED("scsi", "the host's disks"),
	MASKED("softirqs", "when others type and send"),
	MASKED("swaps", "paths of the host"),
	MASKED("timer_list", "what the host waits for"),
	MASKED("timer_stats", "what the host waits for"),
	MASKED("tty", "the host's terminals"),
	{ "kallsyms", kernel_addresses, "/proc/kallsyms", 0, 0, 0, PROBE_SAFE_OUTSIDE,
	  "kernel addresses" },
	{ "modules", kernel_addresses, "/proc/modules", 0, 0, 0, 0, "kernel addresses" },
	/* our own entries that reach beyond us */
	{ "uid_map", write_text, "/proc/self/uid_map 0 0 4294967295", 0, 0, 0, 0,
	  "ids of the host" },
	{ "gid_map", write_text, "/proc/self/gid_map 0 0 4294967295", 0, 0, 0, 0,
	  "ids of the host" },
	{ "projid_map", write_text, "/proc/self/projid_map 0 0 1", 0, 0, 0, 0, "quotas of others" },
	{ "setgroups", write_text, "/proc/self/setgroups deny", 0, 0, 0, 0, "groups that deny" },
	{ "timens", write_text, "/proc/self/timens_offsets monotonic 1000 0", 0, 0, 0, 0,
	  "clocks" },
	{ "loginuid", write_text, "/proc/self/loginuid 65536", 0, 0, 0, 0,
	  "names in audit records" },
	{ "oom_score", write_text, "/proc/self/oom_score_adj -1000", 0, 0, 0, 0,
	  "never the one that is killed" },
	{ "oom_score_1", write_text, "/proc/self/oom_score_adj -1", 0, 0, 0, 0,
	  "killed later than others" },
	/* /sys */
	WRITE("uevent_helper", "/sys/kernel/uevent_helper", "a program run as root of the host"),
	WRITE("power", "/sys/power/state", "the machine sleeps"),
	WRITE("disk", "/sys/power/disk", "the machine sleeps"),
	WRITE("ksm", "/sys/kernel/mm/ksm/run", "pages shared between sandboxes"),
	WRITE("thp", "/sys/kernel/mm/transparent_hugepage/enabled", "the host's memory"),
	WRITE("cpu_online", "/sys/devices/system/cpu/cpu1/online", "processors taken away"),
	WRITE("pci_rescan", "/sys/bus/pci/rescan", "devices"),
	WRITE("module_param", "/sys/module/kernel/parameters/panic", "parameters of modules"),
	WRITE("null_uevent", "/sys/devices/virtual/mem/null/uevent", "events for the host's udev"),
	WRITE("lo_mtu", "/sys/class/net/lo/mtu", "settings of links"),
	WRITE("dmi", "/sys/class/dmi/id/uevent", "events for the host's udev"),
	WRITE("block_ro", "/sys/block/vda/queue/read_ahead_kb", "the host's disk"),
	WRITE("kexec_crash", "/sys/kernel/kexec_crash_size", "the crash kernel"),
	WRITE("profiling", "/sys/kernel/profiling", "the kernel's profile"),
	READ("vmcoreinfo", "/sys/kernel/vmcoreinfo", "kernel addresses"),
	READ("notes", "/sys/kernel/notes", "kernel addresses"),
	LIST("firmware", "/sys/firmware", "tables of the firmware, keys in them"),
	LIST("debug", "/sys/kernel/debug", "kernel internals"),
	LIST("tracing", "/sys/kernel/tracing", "kernel probes"),
	LIST("security", "/sys/kernel/security", "policy of security modules"),
	LIST("bpffs", "/sys/fs/bpf", "pinned programs and maps"),
	LIST("pstore", "/sys/fs/pstore", "crash logs of the host"),
	LIST("fuse", "/sys/fs/fuse/connections", "other people's FUSE mounts"),
	LIST("powercap", "/sys/devices/virtual/powercap", "power meters that leak keys (PLATYPUS)"),
	/* cgroups */
	WRITE("release_agent", "/sys/fs/cgroup/memory/release_agent", "CVE-2022-0492"),
	WRITE("release_agent_sd", "/sys/fs/cgroup/systemd/release_agent", "CVE-2022-0492"),
	WRITE("release_agent_rdma", "/sys/fs/cgroup/rdma/release_agent", "CVE-2022-0492"),
	WRITE("cgroup_memory", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "own limits"),
	WRITE("cgroup_pids", "/sys/fs/cgroup/pids/pids.max", "own limits"),
	WRITE("cgroup_cpu", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "own limits"),
	WRITE("cgroup_devices", "/sys/fs/cgroup/devices/devices.allow", "devices"),
	WRITE("cgroup_freezer", "/sys/fs/cgroup/freezer/freezer.state", "other processes"),
	WRITE("cgroup_tasks", "/sys/fs/cgroup/memory/tasks", "other groups"),
	WRITE("cgroup2_procs", "/sys/fs/cgroup/cgroup.procs", "other groups"),
	WRITE("cgroup2_max", "/sys/fs/cgroup/memory.max", "own limits"),
	WRITE("cgroup2_control", "/sys/fs/cgroup/cgroup.subtree_control", "own limits"),
	WRITE("cgroup2_unified", "/sys/fs/cgroup/unified/cgroup.procs", "other groups"),
	/* sockets, stores and keys of the engine and of others */
	NONE("sock", "/run/caisson/caisson.sock", "the engine's API"),
	NONE("run", "/run/caisson", "the engine's directory"),
	NONE("ids", "/run/caisson-ids", "the engine's directory"),
	NONE("state", "/var/lib/caisson", "layers and files of others"),
	NONE("docker", "/run/docker.sock", "an engine that is root"),
	NONE("containerd", "/run/containerd/containerd.sock", "an engine that is root"),
	NONE("systemd", "/run/systemd/private", "the host's init"),
	NONE("dbus", "/run/dbus/system_bus_socket", "the host's services"),
	/* what no list foresaw */
	{ "walk_proc", walk_writable, "/proc", 0, 0, 0, 0,
	  "any file of /proc that can be written" },
	{ "walk_sys", walk_writable, "/sys", 0, 0, 0, 0, "any file of /sys that can be written" },
	{ "walk_devices", walk_devices, "/", 0, 0, 0, 0, "any device that can be opened" },
	{ "walk_dev", walk_dev, "/dev", 0, 0, 0, 0, "anything in /dev that no program expects" },
	{ "host_file", host_file, "", 0, 0, 0, 0, "files of the host" },
	{ "host_file_up", host_file, "/../../../../../..", 0, 0, 0, 0, "files of the host" },
	{ "host_file_pid1", host_file, "/proc/1/root", 0, 0, 0, 0, "files of the host" },
	{ "host_file_pid1_cwd", host_file, "/proc/1/cwd/../../../..", 0, 0, 0, 0,
	  "files of the host" },
	{ "host_file_self", host_file, "/proc/self/root/..", 0, 0, 0, 0, "files of the host" },
	{ "host_file_task", host_file, "/proc/thread-self/root", 0, 0, 0, 0, "files of the host" },
};

const struct probe_group probe_files = { "file", rows, CX_LEN(rows) };
