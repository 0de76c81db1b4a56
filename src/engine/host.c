/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/fwload.h"
#include "net/setup.h"
#include "runtime/process.h"
#include "runtime/rootfs.h"
#include "runtime/seccomp.h"

/* Long enough for what is ready in the loop to have its turn; and how often. */
enum { STRAY_MS = 1000, STRAY_LOOKS = 60 };
enum {
	INODES_MIN = 256,
	DISK_MIN = 4 << 20,
	MEMORY_PART = 2, /* at most so much of a sandbox's memory is its disk */
};

static char path_variable[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
char *const cx_host_environment[] = { path_variable, NULL };

/* ---- what must be there ---------------------------------------------------------------------- */

static bool am_root(void)
{
	return geteuid() == 0;
}

static bool kernel_is_new(void)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 1));
}

/* By opening it, so that the kernel loads its module where it is one. */
static bool has_filesystem(const char *name)
{
	cx_autofd int fs = fsopen(name, FSOPEN_CLOEXEC);

	return fs >= 0;
}

static bool has_overlay(void)
{
	return has_filesystem("overlay");
}

static bool has_erofs(void)
{
	return has_filesystem("erofs");
}

static bool has_userns(void)
{
	char text[32];
	struct cx_err ignored;

	return cx_read_small_file(AT_FDCWD, "/proc/sys/user/max_user_namespaces", text, sizeof text,
				  &ignored) >= 0 &&
	       text[0] != '0';
}

static const struct {
	bool (*holds)(void);
	const char *otherwise;
} needs[] = {
	{ am_root, "caissond must be started as root; use sudo or the systemd unit" },
	{ kernel_is_new, "Linux 6.1 or newer is needed (id-mapped layers under overlayfs)" },
	{ has_overlay, "the kernel has no overlayfs; see 'modprobe overlay'" },
	{ has_erofs, "the kernel has no EROFS, which layers are stored in; see 'modprobe erofs'" },
	{ has_userns, "user namespaces are switched off; set the sysctl user.max_user_namespaces "
		      "above 0" },
};

static const char *const programs[] = { "caisson-agent",   "caisson-fetch", "caisson-firewall",
					"caisson-gateway", "caisson-image", "caisson-resolver",
					"caisson-spawner", "caisson-ssh" };

static int check_needs(const struct cx_config *config, struct cx_err *err)
{
	char path[CX_CONFIG_TEXT + 32];

	for (size_t i = 0; i < CX_LEN(needs); i++)
		if (!needs[i].holds())
			return cx_refuse(err, CX_UNAVAILABLE, "%s", needs[i].otherwise);
	for (size_t i = 0; i < CX_LEN(programs); i++) {
		if (cx_format(path, sizeof path, "%s/%s", err, config->libexec, programs[i]) < 0)
			return -err->errnum;
		if (access(path, X_OK) < 0)
			return cx_fail(err, errno, "program '%s' (see --libexec)", path);
	}
	return 0;
}

static int find_user(struct cx_host *h, struct cx_err *err)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(h->config->user);
	if (pw == NULL)
		return cx_refuse(err, CX_UNAVAILABLE,
				 "there is no user '%s' for the gateway; make one with 'useradd "
				 "--system --no-create-home --shell /usr/sbin/nologin %s' or name "
				 "another with --user",
				 h->config->user, h->config->user);
	if (pw->pw_uid == 0)
		return cx_refuse(err, CX_DENIED, "the gateway must not run as root; see --user");
	h->uid = pw->pw_uid;
	h->gid = pw->pw_gid;
	return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Where there may be more than a set of fixed size names, those that are up are what there is. */
static long count_cpus(void)
{
	cpu_set_t allowed;

	return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed)
								   : sysconf(_SC_NPROCESSORS_ONLN);
}

static int measure(struct cx_host *h, struct cx_err *err)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE), cpus = count_cpus();
	ssize_t n = readlink("/proc/self/exe", h->self, sizeof h->self - 1);

	if (pages <= 0 || size <= 0 || cpus <= 0)
		return cx_refuse(err, CX_INTERNAL, "the host's memory and cores are unknown");
	if (n <= 0 || (size_t)n == sizeof h->self - 1)
		return cx_fail(err, n < 0 ? errno : ENAMETOOLONG, "find this program");
	h->memory_bytes = (uint64_t)pages * (uint64_t)size;
	h->cpus = (uint32_t)cpus;
	return 0;
}

/* A shell gives a thousand descriptors, which are enough for a hundred sandboxes. */
static int raise_files(struct cx_err *err)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return cx_fail(err, errno, "getrlimit NOFILE");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return cx_fail(err, errno, "setrlimit NOFILE");
	return 0;
}

static int open_network(struct cx_host *h, struct cx_err *err)
{
	const struct cx_config *c = h->config;
	const struct cx_router_plan plan = { .run_path = h->dirs.run_path,
					     .run = h->dirs.run,
					     .mounts = h->mounts,
					     .instance = h->dirs.instance,
					     .ip6 = c->network_pool.prefix6 > 0,
					     .forward = c->network_forward != 0 };

	if (c->network == 0) {
		cx_router_discard(&plan);
		cx_fwload_discard(h->dirs.instance);
		return 0;
	}
	if (cx_router_open(&plan, &h->router, err) < 0)
		return -err->errnum;
	if (cx_slots_open(&h->loop, &h->router, &c->network_pool, &h->slots, err) < 0)
		return -err->errnum;
	if (cx_fwload_open(c, h->dirs.instance, &h->router, cx_slots_count(h->slots), &h->firewall,
			   err) < 0)
		return -err->errnum;
	return cx_hostaddrs_open(&h->loop, h->firewall, &h->hostaddrs, err);
}

static int open_parts(struct cx_host *h, struct cx_err *err)
{
	const struct cx_config *c = h->config;
	struct cx_cgroup_bounds bounds;

	h->mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	/* The namespace comes first: clones can only be made of mounts of one's own. */
	if (check_needs(c, err) < 0 || find_user(h, err) < 0 || measure(h, err) < 0 ||
	    raise_files(err) < 0 || cx_mounts_unshare(err) < 0 ||
	    cx_dirs_open(c->state, c->run, h->uid, h->gid, &h->dirs, err) < 0 ||
	    cx_ids_open(CX_IDS_DIR, c->ids.base, c->ids.count, &h->ids, err) < 0 ||
	    cx_loop_open(&h->loop, err) < 0 || open_network(h, err) < 0 ||
	    cx_cgroups_open(h->dirs.instance, &h->cgroups, err) < 0)
		return -err->errnum;
	cx_cgroups_set_reader(h->cgroups, h->uid, h->gid);
	cx_cgroups_bounds(h->cgroups, &bounds);
	if (bounds.memory < h->memory_bytes)
		h->memory_bytes = bounds.memory;
	cx_layers_open(&h->layers, &h->loop, h->dirs.layers, h->dirs.layer_mounts, c->run);
	return 0;
}

static uint64_t inodes_for(const struct cx_host *h, uint64_t bytes)
{
	uint64_t n = (bytes >> 20) * h->config->disk_inodes >> 10;

	return n > INODES_MIN ? n : INODES_MIN;
}

/* Capabilities are cut before: one of them would let the try write beyond a quota. */
static int open_quota(struct cx_host *h, struct cx_err *err)
{
	const struct cx_config *c = h->config;
	const struct cx_quota_plan plan = { .kind = (enum cx_quota_kind)c->disk_backend,
					    .at = h->dirs.writable,
					    .name = h->dirs.instance,
					    .usual = { c->disk_size,
						       inodes_for(h, c->disk_size) } };

	if (cx_quota_open(&plan, &h->quota, err) < 0)
		return -err->errnum;
	cx_log(CX_LOG_INFO, "disk limits", "backend", cx_quota_name(cx_quota_kind(h->quota)), NULL);
	return 0;
}

static int open_makers(struct cx_host *h, struct cx_err *err)
{
	char agent[CX_CONFIG_TEXT + 32];

	if (cx_process_trim_supervisor(err) < 0)
		return cx_wrap(err, "give up capabilities");
	if (cx_format(agent, sizeof agent, "%s/caisson-agent", err, h->config->libexec) < 0)
		return -err->errnum;
	h->agent_image = cx_process_seal_file(agent, 0111, err);
	if (h->agent_image < 0)
		return cx_wrap(err, "the agent's program (see --libexec)");
	h->filter = cx_seccomp_compile(err);
	if (h->filter < 0)
		return cx_wrap(err, "system call filter");
	if (open_quota(h, err) < 0)
		return -err->errnum;
	return cx_host_need_spawner(h, err);
}

int cx_host_open(const struct cx_config *config, struct cx_host *ret, struct cx_err *err)
{
	*ret = (struct cx_host){ .config = config,
				 .dirs = CX_DIRS_NONE,
				 .ids = { .dir = -EBADF },
				 .loop = { .epfd = -EBADF },
				 .mounts = -EBADF,
				 .router = CX_ROUTER_NONE,
				 .spawner = { .control = -EBADF, .pidfd = -EBADF },
				 .agent_image = -EBADF,
				 .filter = -EBADF };
	/* Files that a client or a sandbox influences are made with explicit modes; this is the
	 * rest. */
	(void)umask(077);
	if (open_parts(ret, err) < 0 || open_makers(ret, err) < 0) {
		cx_host_close(ret, !ret->router.adopted);
		return -err->errnum;
	}
	return 0;
}

void cx_host_close(struct cx_host *host, bool clean)
{
	cx_host_drop_spawner(host);
	cx_timer_clear(&host->strays);
	cx_timer_clear(&host->sockets);
	if (host->layers.loop != NULL)
		cx_layers_close(&host->layers);
	cx_quota_close(host->quota);
	host->quota = NULL;
	if (host->cgroups != NULL)
		cx_cgroups_close(host->cgroups, clean);
	host->cgroups = NULL;
	cx_hostaddrs_close(host->hostaddrs);
	host->hostaddrs = NULL;
	cx_firewall_close(host->firewall, clean);
	host->firewall = NULL;
	cx_slots_close(host->slots);
	host->slots = NULL;
	cx_router_close(&host->router, clean);
	cx_close(&host->mounts);
	if (clean) {
		(void)unlinkat(host->dirs.run, "sandboxes", AT_REMOVEDIR);
		(void)unlinkat(host->dirs.run, "layers", AT_REMOVEDIR);
	}
	cx_ids_close(&host->ids);
	cx_close(&host->agent_image);
	cx_close(&host->filter);
	cx_loop_close(&host->loop);
	cx_dirs_close(&host->dirs);
}

/* ---- the spawner ----------------------------------------------------------------------------- */

int cx_host_need_spawner(struct cx_host *host, struct cx_err *err)
{
	struct pollfd end = { .fd = host->spawner.pidfd, .events = POLLIN };
	char path[CX_CONFIG_TEXT + 32];

	if (host->spawner.pidfd >= 0 && poll(&end, 1, 0) == 0)
		return 0;
	cx_host_drop_spawner(host);
	if (cx_format(path, sizeof path, "%s/caisson-spawner", err, host->config->libexec) < 0 ||
	    cx_spawner_start(path, host->agent_image, host->filter, host->router.netns,
			     &host->spawner, err) < 0) {
		host->spawner = (struct cx_spawner){ .control = -EBADF, .pidfd = -EBADF };
		return cx_wrap(err, "start the spawner");
	}
	return 0;
}

/*
 * A clone whose spawner ended before it told of it is our child, and nobody's here. It ends by
 * itself, on a busy host not at once. What is dead at two looks is it: all others have been reaped
 * by the loop in between.
 */
static void reap_stray(struct cx_timer *timer)
{
	struct cx_host *host = cx_container_of(timer, struct cx_host, strays);
	siginfo_t info = { 0 };

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
		info.si_pid = 0;
	if (info.si_pid != 0 && info.si_pid == host->stray)
		(void)waitid(P_PID, (id_t)host->stray, &info, WEXITED | WNOHANG | __WALL);
	host->stray = info.si_pid;
	if (host->stray != 0 || --host->stray_looks > 0)
		cx_timer_set(&host->loop, timer, STRAY_MS);
}

void cx_host_drop_spawner(struct cx_host *host)
{
	if (host->spawner.pidfd >= 0) {
		cx_spawner_stop(&host->spawner);
		host->strays.fire = reap_stray;
		host->stray_looks = STRAY_LOOKS;
		cx_timer_set(&host->loop, &host->strays, STRAY_MS);
	}
	host->spawner = (struct cx_spawner){ .control = -EBADF, .pidfd = -EBADF };
}

/* ---- limits ---------------------------------------------------------------------------------- */

int cx_host_check_limits(const struct cx_host *host, const struct cx_limits *limits,
			 struct cx_err *err)
{
	enum { CPU_MIN = 10, PIDS_MAX = 4194304 };

	if (limits->cpu_milli < CPU_MIN)
		return cx_refuse(err, CX_INVALID, "%u thousandths of a core; at least %d",
				 limits->cpu_milli, CPU_MIN);
	if (limits->cpu_milli > host->cpus * 1000)
		return cx_refuse(err, CX_INVALID, "%u.%03u cores; this host has %u",
				 limits->cpu_milli / 1000, limits->cpu_milli % 1000, host->cpus);
	if (limits->memory_bytes < CX_LIMITS_MEMORY_MIN)
		return cx_refuse(err, CX_INVALID, "%llu bytes of memory; at least %d",
				 (unsigned long long)limits->memory_bytes, CX_LIMITS_MEMORY_MIN);
	if (limits->memory_bytes > host->memory_bytes)
		return cx_refuse(err, CX_INVALID, "%llu bytes of memory; this host has %llu",
				 (unsigned long long)limits->memory_bytes,
				 (unsigned long long)host->memory_bytes);
	if (limits->pids == 0 || limits->pids > PIDS_MAX)
		return cx_refuse(err, CX_INVALID, "a limit of %u processes; 1 to %d", limits->pids,
				 PIDS_MAX);
	return 0;
}

/* ---- disks ----------------------------------------------------------------------------------- */

uint64_t cx_host_disk_reserve(const struct cx_host *host, uint64_t disk_bytes)
{
	enum { GIB = 1 << 30, PART = 20 };

	if (host->config->disk_reserve > 0)
		return host->config->disk_reserve;
	return disk_bytes / PART < GIB ? disk_bytes / PART : GIB;
}

/* Besides `bytes` there stays what the operator keeps free, or a twentieth of a small disk. */
static int check_room(const struct cx_host *h, uint64_t bytes, struct cx_err *err)
{
	uint64_t reserve, left;
	struct statvfs fs;

	if (fstatvfs(h->dirs.writable, &fs) < 0)
		return cx_fail(err, errno, "look at the state directory's disk");
	reserve = cx_host_disk_reserve(h, (uint64_t)fs.f_blocks * fs.f_frsize);
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (left >= reserve && bytes <= left - reserve)
		return 0;
	if (bytes == 0)
		return cx_refuse(err, CX_LIMIT,
				 "no room for another sandbox: the host's disk has %llu MiB left, "
				 "of which it keeps %llu",
				 (unsigned long long)left >> 20, (unsigned long long)reserve >> 20);
	return cx_refuse(err, CX_LIMIT,
			 "no room for a disk of %llu MiB: the host has %llu MiB left, of which it "
			 "keeps %llu",
			 (unsigned long long)bytes >> 20, (unsigned long long)left >> 20,
			 (unsigned long long)reserve >> 20);
}

int cx_host_plan_disk(const struct cx_host *host, uint64_t bytes, bool in_memory,
		      uint64_t memory_bytes, struct cx_quota_limit *ret, struct cx_err *err)
{
	const enum cx_quota_kind kind = in_memory ? CX_QUOTA_MEMORY : cx_quota_kind(host->quota);

	if (bytes < DISK_MIN)
		return cx_refuse(err, CX_INVALID, "%llu bytes of disk; at least %d",
				 (unsigned long long)bytes, DISK_MIN);
	/* Beyond its memory it would be killed where a disk would be full. */
	if (kind == CX_QUOTA_MEMORY && bytes > memory_bytes / MEMORY_PART)
		bytes = memory_bytes / MEMORY_PART;
	*ret = (struct cx_quota_limit){ .bytes = bytes, .inodes = inodes_for(host, bytes) };
	/* Who writes to a file system of its own would not hear that the host's is full. */
	return check_room(host, kind == CX_QUOTA_LOOP ? bytes : 0, err);
}
