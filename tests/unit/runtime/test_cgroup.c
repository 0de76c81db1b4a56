/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "base/fd.h"
#include "check_main.h"
#include "runtime/cgroup.h"

/* Each test makes and removes the instance; main() removes what a failed one left. */
enum { UID_BASE = 900000000, WAIT_MS = 10000, HOG_BYTES = 64 << 20, FEW = 6 };

static struct cx_cgroups *groups;
static struct cx_cgroup group;
static struct cx_err err;
static char instance[32];
static bool v2;

#define ok(call) ck_assert_msg((call) >= 0, "%s: %s", #call, err.msg)

static void sleep_ms(long ms)
{
	(void)nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static int remove_all(struct cx_cgroups *of, const char *id)
{
	int r = -EBUSY;

	for (int i = 0; i < WAIT_MS / 5 && r == -EBUSY; i++) {
		err = (struct cx_err){ 0 };
		r = cx_cgroup_remove(of, id, &err);
		if (r == -EBUSY)
			sleep_ms(5);
	}
	return r;
}

static int collect(const char *id, void *arg, struct cx_err *e)
{
	char(*ids)[16] = arg;

	(void)e;
	for (int i = 0; i < 8; i++) {
		if (strcmp(ids[i], id) == 0)
			break;
		if (ids[i][0] == '\0') {
			(void)snprintf(ids[i], sizeof ids[i], "%s", id);
			break;
		}
	}
	return 0;
}

static bool instance_left(void)
{
	FILE *mounts = fopen("/proc/mounts", "re");
	char line[1024], dir[512], type[32], path[600];
	bool left = false;

	ck_assert_ptr_nonnull(mounts);
	while (fgets(line, sizeof line, mounts) != NULL) {
		if (sscanf(line, "%*s %511s %31s", dir, type) != 2 ||
		    strncmp(type, "cgroup", 6) != 0)
			continue;
		(void)snprintf(path, sizeof path, "%s/caisson-%s", dir, instance);
		left = left || access(path, F_OK) == 0;
	}
	(void)fclose(mounts);
	return left;
}

/* Removes all of the instance; also outside of a test, so it asserts nothing. */
static bool sweep(void)
{
	char ids[8][16] = { "" };

	if (cx_cgroups_each(groups, collect, ids, &err) != 0)
		return false;
	for (int i = 0; i < 8 && ids[i][0] != '\0'; i++)
		if (remove_all(groups, ids[i]) != 0)
			return false;
	return true;
}

static void setup(void)
{
	err = (struct cx_err){ 0 };
	ok(cx_cgroups_open(instance, &groups, &err));
	v2 = strcmp(cx_cgroups_mode(groups), "v2") == 0;
	ck_assert(sweep()); /* what a failed test left */
	ok(cx_cgroup_make(groups, "one", UID_BASE, NULL, &group, &err));
}

static void teardown(void)
{
	cx_cgroup_close(&group);
	ck_assert_msg(sweep(), "%s", err.msg);
	cx_cgroups_close(groups, true);
	ck_assert(!instance_left());
}

/* ---- children -------------------------------------------------------------------------------- */

static int attach_file(int dir, const char *name)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", name, v2 ? "cgroup.procs" : "tasks");
	fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return -1;
	return close(fd);
}

/* As the agent's child does: a group of its own where the pids are limited. */
static int enter_exec(const char *name)
{
	if ((mkdirat(group.work[0], name, 0755) < 0 && errno != EEXIST) ||
	    attach_file(group.work[0], name) < 0)
		return -1;
	for (unsigned i = 1; i < group.n; i++)
		if (attach_file(group.work[i], ".") < 0 && write(group.work[i], "0", 1) != 1)
			return -1;
	return 0;
}

static int enter_agent(void)
{
	for (unsigned i = 0; i < group.ntasks; i++)
		if (write(group.tasks[i], "0", 1) != 1)
			return -1;
	return v2 ? setns(group.ns, CLONE_NEWCGROUP) : 0;
}

static pid_t start(int (*enter)(void), int (*run)(void))
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (enter() < 0)
		_exit(99);
	_exit(run());
}

static int reap(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static int enter_work(void)
{
	return enter_agent() < 0 ? -1 : enter_exec("exec-1");
}

static int settled = -EBADF; /* where a child says that it is in all of its groups */

static int run_pause(void)
{
	if (settled >= 0 && write(settled, "", 1) != 1)
		return 95;
	while (pause() < 0)
		continue;
	return 0;
}

/* The same as start(), of a child that comes to run_pause(), when it has. */
static pid_t start_settled(int (*enter)(void), int (*run)(void))
{
	int says[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(says, O_CLOEXEC), 0);
	settled = says[1];
	pid = start(enter, run);
	settled = -EBADF;
	(void)close(says[1]);
	ck_assert_int_eq(read(says[0], &byte, 1), 1);
	(void)close(says[0]);
	return pid;
}

static void limit(uint32_t cpu_milli, uint64_t memory, uint32_t pids)
{
	struct cx_limits limits = { cpu_milli, memory, pids };

	ok(cx_cgroup_limit(groups, &group, &limits, &err));
}

static struct cx_usage usage(void)
{
	struct cx_usage u = { 0 };

	ok(cx_cgroup_usage(groups, &group, &u, &err));
	return u;
}

static void wait_for_pids(uint32_t n)
{
	for (int i = 0; i < WAIT_MS / 5; i++) {
		if (usage().pids == n)
			return;
		sleep_ms(5);
	}
	ck_assert_uint_eq(usage().pids, n);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static int forks(int most)
{
	int n = 0;

	while (n < most) {
		pid_t pid = fork();

		if (pid == 0)
			(void)run_pause();
		if (pid < 0)
			return errno == EAGAIN ? n : 98;
		n++;
	}
	return n;
}

static int run_forks(void)
{
	return forks(100);
}

static int run_few_forks(void)
{
	return forks(FEW);
}

START_TEST(test_pids)
{
	pid_t pid;

	limit(1000, 256 << 20, 8);
	pid = start(enter_work, run_forks);
	ck_assert_int_eq(reap(pid), 7 << 8);
	wait_for_pids(7);
}
END_TEST

static int take(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 98;
	memset(p, 1, bytes);
	return 0;
}

static int run_hog(void)
{
	return take(HOG_BYTES);
}

static int run_half_hog(void)
{
	return take(HOG_BYTES / 2);
}

static int run_hog_and_pause(void)
{
	return take(HOG_BYTES) == 0 ? run_pause() : 98;
}

START_TEST(test_memory)
{
	int status;

	limit(1000, 2 * HOG_BYTES, 16);
	ck_assert_int_eq(reap(start(enter_work, run_hog)), 0);
	ck_assert_uint_ge(usage().memory_peak_bytes, HOG_BYTES);
	ck_assert_uint_eq(usage().oom_kills, 0);
	limit(1000, HOG_BYTES / 2, 16);
	status = reap(start(enter_work, run_hog));
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ck_assert_uint_eq(usage().oom_kills, 1);
	limit(1000, 4 * HOG_BYTES, 16); /* up again */
	ck_assert_int_eq(reap(start(enter_work, run_hog)), 0);
}
END_TEST

/* Beside others each has a part of the processors that goes by what it was granted. */
START_TEST(test_weight)
{
	static const struct {
		uint32_t cpu_milli;
		const char *shares, *weight;
	} rows[] = {
		{ 10, "10\n", "1\n" },
		{ 500, "512\n", "50\n" },
		{ 4000, "4096\n", "400\n" },
		{ 1024000, "262144\n", "10000\n" },
	};
	char text[32] = "";

	limit(rows[_i].cpu_milli, HOG_BYTES, 16);
	for (unsigned i = 0; i < group.ntop; i++)
		if (cx_read_small_file(group.top[i], v2 ? "cpu.weight" : "cpu.shares", text,
				       sizeof text, &err) > 0)
			break;
	ck_assert_str_eq(text, v2 ? rows[_i].weight : rows[_i].shares);
}
END_TEST

static int run_spin(void)
{
	struct timespec now, begin;

	(void)clock_gettime(CLOCK_MONOTONIC, &begin);
	do
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < 1000);
	return 0;
}

static long throttled(void)
{
	char text[4096];

	for (unsigned i = 0; i < group.ntop; i++) {
		const char *at;

		if (cx_read_small_file(group.top[i], "work/cpu.stat", text, sizeof text, &err) < 0)
			continue;
		at = strstr(text, "nr_throttled ");
		if (at != NULL)
			return strtol(at + strlen("nr_throttled "), NULL, 10);
	}
	return -1;
}

START_TEST(test_cpu)
{
	limit(100, 256 << 20, 16);
	ck_assert_int_eq(throttled(), 0);
	ck_assert_int_eq(reap(start(enter_work, run_spin)), 0);
	ck_assert_int_gt(throttled(), 0);
	ck_assert_uint_gt(usage().cpu_us, 1000);
	ck_assert_uint_lt(usage().cpu_us, 600000);
}
END_TEST

START_TEST(test_agent_limits)
{
	limit(1000, CX_LIMITS_MEMORY_MIN, 4);
	/* The agent is not bound by the work group's limits, but has not much more than those. */
	ck_assert_int_eq(reap(start(enter_agent, run_few_forks)), FEW << 8);
	ck_assert_uint_eq(usage().pids, 0);
	ck_assert(WIFSIGNALED(reap(start(enter_agent, run_hog))));
}
END_TEST

/* What fills the rest of a sandbox takes nothing of what the agent has to itself. */
START_TEST(test_agent_has_room)
{
	pid_t pid;

	limit(1000, HOG_BYTES + HOG_BYTES / 4, 4);
	pid = start_settled(enter_work, run_hog_and_pause);
	ck_assert_int_eq(reap(start(enter_agent, run_half_hog)), 0);
	ck_assert_uint_eq(usage().oom_kills, 0); /* it would have been the larger one */
	ck_assert_int_eq(reap(start(enter_agent, run_few_forks)), FEW << 8);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert(WIFSIGNALED(reap(pid)));
}
END_TEST

START_TEST(test_bad_limits)
{
	static const struct cx_limits bad[] = { { 9, 1 << 20, 1 },
						{ 10, 0, 1 },
						{ 10, 1 << 20, 0 } };

	for (size_t i = 0; i < CX_LEN(bad); i++) {
		err = (struct cx_err){ 0 };
		ck_assert_int_lt(cx_cgroup_limit(groups, &group, &bad[i], &err), 0);
		ck_assert_int_eq(err.kind, CX_INVALID);
	}
}
END_TEST

/* ---- what the agent may ---------------------------------------------------------------------- */

static bool sees_itself_as(const char *line)
{
	char text[4096];

	return cx_read_small_file(AT_FDCWD, "/proc/self/cgroup", text, sizeof text, &err) > 0 &&
	       strstr(text, line) != NULL;
}

static int run_as_owner(void)
{
	static const char *const roots[] = {
		"work/pids.max", "work/memory.max",	  "work/memory.limit_in_bytes",
		"work/cpu.max",	 "work/cpu.cfs_quota_us", "work/cgroup.max.depth",
		"tasks",	 "agent/cgroup.procs",	  "agent/pids.max",
		"pids.max",	 "memory.limit_in_bytes", "cpu.max",
	};

	if (setresgid(UID_BASE, UID_BASE, UID_BASE) < 0 ||
	    setresuid(UID_BASE, UID_BASE, UID_BASE) < 0)
		return 10;
	if (enter_exec("exec-7") < 0)
		return 11;
	/* Its namespace must show both groups and nothing above, or it could not move between them.
	 */
	if (v2 && !sees_itself_as("0::/work/exec-7\n"))
		return 15;
	for (unsigned i = 0; i < group.ntop; i++) {
		for (size_t k = 0; k < CX_LEN(roots); k++) {
			int fd = openat(group.top[i], roots[k], O_WRONLY);

			if (fd >= 0 || (errno != EACCES && errno != ENOENT))
				return 12;
		}
		if (mkdirat(group.top[i], "mine", 0755) == 0 ||
		    unlinkat(group.top[i], v2 ? "agent" : "work", AT_REMOVEDIR) == 0 ||
		    (errno != EACCES && errno != EPERM))
			return 13;
	}
	return faccessat(group.work[0], "exec-7/pids.max", W_OK, AT_EACCESS) < 0 ? 14 : 0;
}

START_TEST(test_delegation)
{
	ck_assert_int_eq(reap(start(enter_agent, run_as_owner)), 0);
	ck_assert_int_eq(unlinkat(group.work[0], "exec-7", AT_REMOVEDIR), 0);
}
END_TEST

START_TEST(test_no_way_out)
{
	struct stat here, up;

	ck_assert_int_eq(fstat(group.work[0], &here), 0);
	ck_assert_int_eq(fstatat(group.work[0], "..", &up, 0), 0);
	ck_assert_uint_eq(here.st_ino, up.st_ino);
	ck_assert_int_lt(faccessat(group.work[0], "../agent", F_OK, 0), 0);
	for (unsigned i = 1; i < group.n; i++) {
		ck_assert_int_eq(fstat(group.work[i], &here), 0);
		if (S_ISREG(here.st_mode))
			continue;
		ck_assert_int_eq(fstatat(group.work[i], "..", &up, 0), 0);
		ck_assert_uint_eq(here.st_ino, up.st_ino);
	}
}
END_TEST

/* What the sandbox may not do to a slot: change what was counted, or a limit. */
static int run_as_counted(void)
{
	static const char *const roots[] = {
		"cmd-1/memory.max_usage_in_bytes",
		"cmd-1/memory.limit_in_bytes",
		"cmd-1/memory.failcnt",
		"cmd-1/cpuacct.usage",
		"cmd-1/memory.max",
		"cmd-1/memory.peak",
	};

	if (setresgid(UID_BASE, UID_BASE, UID_BASE) < 0 ||
	    setresuid(UID_BASE, UID_BASE, UID_BASE) < 0)
		return 10;
	for (unsigned i = 0; i < group.n; i++) {
		struct stat st;

		if (fstat(group.work[i], &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		if (attach_file(group.work[i], "cmd-1") < 0)
			return 11;
		for (size_t k = 0; k < CX_LEN(roots); k++)
			if (openat(group.work[i], roots[k], O_WRONLY) >= 0 ||
			    (errno != EACCES && errno != ENOENT))
				return 12;
		if (i > 0 && (mkdirat(group.work[i], "mine", 0755) == 0 ||
			      renameat(group.work[i], "cmd-1", group.work[i], "cmd-9") == 0))
			return 13;
	}
	return faccessat(group.work[0], "cmd-1/pids.max", W_OK, AT_EACCESS) < 0 ? 14 : 0;
}

START_TEST(test_slots)
{
	int dirs[CX_CGROUP_ACCOUNTS_MAX];
	unsigned n = 0;

	cx_cgroups_set_reader(groups, UID_BASE + 1, UID_BASE + 1);
	ok(cx_cgroup_slot(groups, &group, 1, UID_BASE, &err));
	ok(cx_cgroup_slot(groups, &group, 2, UID_BASE, &err));
	ck_assert_int_eq(reap(start(enter_agent, run_as_counted)), 0);
	ok(cx_cgroup_slot(groups, &group, 1, UID_BASE, &err)); /* anew: nobody is in it */
	ok(cx_cgroup_accounts(groups, &group, dirs, &n, &err));
	ck_assert_uint_eq(n, v2 ? 1 : 3);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_int_eq(faccessat(dirs[i], "cmd-1/cgroup.procs", R_OK, 0), 0);
		(void)close(dirs[i]);
	}
	ck_assert_int_lt(cx_cgroup_slot(groups, &group, 0, UID_BASE, &err), 0);
	ck_assert_int_lt(cx_cgroup_slot(groups, &group, CX_CGROUP_SLOTS_MAX + 1, UID_BASE, &err),
			 0);
}
END_TEST

/* Two ends that nobody reads, both full. */
static void fill_pair(int server)
{
	struct sockaddr_in at;
	socklen_t len = sizeof at;
	int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), other;
	static char much[65536];

	if (getsockname(server, (struct sockaddr *)&at, &len) < 0 ||
	    connect(one, (struct sockaddr *)&at, sizeof at) < 0)
		_exit(20);
	other = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	while (send(one, much, sizeof much, MSG_DONTWAIT) > 0)
		continue;
	while (send(other, much, sizeof much, MSG_DONTWAIT) > 0)
		continue;
}

static int run_sockets(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < group.n; i++)
		if (attach_file(group.work[i], "cmd-1") < 0)
			(void)!write(group.work[i], "0", 1);
	if (bind(server, (struct sockaddr *)&at, sizeof at) < 0 || listen(server, 1) < 0)
		return 21;
	for (int i = 0; i < 64; i++)
		fill_pair(server);
	return run_pause();
}

static uint64_t waiting_in_sockets(void)
{
	uint64_t bytes = 0;
	char text[32];

	for (unsigned i = 0; i < group.ntop; i++)
		if (cx_read_small_file(group.top[i], "work/memory.kmem.tcp.usage_in_bytes", text,
				       sizeof text, &err) > 0)
			bytes = strtoull(text, NULL, 10);
	return bytes;
}

/* Each socket has a little beyond the limit. Version 2 counts it as memory like any other. */
START_TEST(test_sockets_are_limited)
{
	uint64_t memory = _i == 0 ? HOG_BYTES : HOG_BYTES / 8;
	pid_t pid;

	limit(1000, memory, 16);
	if (v2) {
		ck_assert_int_lt(cx_cgroup_sockets_full(groups, &group, &err), 0);
		ck_assert_int_lt(cx_cgroups_sockets_filled(groups, &err), 0);
		return;
	}
	ok(cx_cgroup_slot(groups, &group, 1, UID_BASE, &err));
	ck_assert_int_eq(cx_cgroup_sockets_full(groups, &group, &err), 0);
	ck_assert_int_eq(cx_cgroups_sockets_filled(groups, &err), 0);
	pid = start_settled(enter_agent, run_sockets);
	ck_assert_uint_gt(waiting_in_sockets(), memory / 8);
	ck_assert_uint_lt(waiting_in_sockets(), HOG_BYTES / 2);
	ck_assert_int_eq(cx_cgroup_sockets_full(groups, &group, &err), _i);
	ck_assert_int_eq(cx_cgroups_sockets_filled(groups, &err), 1);
	(void)kill(pid, SIGKILL);
	ck_assert(WIFSIGNALED(reap(pid)));
}
END_TEST

static const struct {
	unsigned major, minor;
	mode_t type;
	bool allowed;
} nodes[] = {
	{ 1, 3, S_IFCHR, true },     { 1, 5, S_IFCHR, true },  { 136, 4095, S_IFCHR, true },
	{ 1, 1, S_IFCHR, false },    { 1, 2, S_IFCHR, false }, { 1, 11, S_IFCHR, false },
	{ 10, 200, S_IFCHR, false }, { 1, 3, S_IFBLK, false }, { 7, 0, S_IFBLK, false },
};
static char nodes_dir[] = "/tmp/cgroup-test-XXXXXX";

static const char *node_path(size_t i)
{
	static char path[64];

	(void)snprintf(path, sizeof path, "%s/%zu", nodes_dir, i);
	return path;
}

/* Inside: EPERM is the group's answer; that a terminal is not there (EIO) is the driver's. */
static int run_devices(void)
{
	for (size_t i = 0; i < CX_LEN(nodes); i++) {
		cx_autofd int fd = open(node_path(i), O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

		if ((fd >= 0 || errno != EPERM) != nodes[i].allowed)
			return 20 + (int)i;
	}
	if (mknod(node_path(CX_LEN(nodes)), S_IFCHR | 0600, makedev(1, 3)) == 0 || errno != EPERM)
		return 40;
	return 0;
}

START_TEST(test_devices)
{
	int how;

	ck_assert_ptr_nonnull(mkdtemp(nodes_dir));
	for (size_t i = 0; i < CX_LEN(nodes); i++)
		ck_assert_int_eq(mknod(node_path(i), nodes[i].type | 0600,
				       makedev(nodes[i].major, nodes[i].minor)),
				 0);
	how = reap(start(enter_agent, run_devices));
	for (size_t i = 0; i < CX_LEN(nodes); i++)
		(void)unlink(node_path(i));
	(void)rmdir(nodes_dir);
	ck_assert_int_eq(how, 0);
}
END_TEST

/* The group of the instance that restricts devices, or -EBADF: version 2 has none. */
static int device_group(void)
{
	FILE *mounts = fopen("/proc/mounts", "re");
	char line[1024], dir[512], options[256], path[600];
	int fd = -EBADF;

	ck_assert_ptr_nonnull(mounts);
	while (fd < 0 && fgets(line, sizeof line, mounts) != NULL) {
		if (sscanf(line, "%*s %511s cgroup %255s", dir, options) != 2 ||
		    strstr(options, "devices") == NULL)
			continue;
		(void)snprintf(path, sizeof path, "%s/caisson-%s", dir, instance);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	(void)fclose(mounts);
	return fd;
}

/* As a start leaves it that was cut off between two devices: the next one goes on. */
START_TEST(test_a_start_that_was_cut_off)
{
	cx_autofd int dir = device_group();
	char list[4096];

	if (dir < 0)
		return;
	ok(cx_write_file(dir, "devices.deny", "c 1:3 rw", &err));
	ok(cx_read_small_file(dir, "devices.list", list, sizeof list, &err));
	ck_assert_ptr_null(strstr(list, "c 1:3 rw\n"));
	cx_cgroups_close(groups, false);
	ok(cx_cgroups_open(instance, &groups, &err));
	ok(cx_read_small_file(dir, "devices.list", list, sizeof list, &err));
	ck_assert_ptr_nonnull(strstr(list, "c 1:3 rw\n"));
	ck_assert_ptr_null(strstr(list, "a *:*"));
}
END_TEST

/* ---- names and ends -------------------------------------------------------------------------- */

START_TEST(test_names)
{
	struct cx_cgroup other;
	struct cx_cgroups *bad;

	ck_assert_int_lt(cx_cgroup_make(groups, "one", UID_BASE, NULL, &other, &err), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	ck_assert_int_lt(cx_cgroup_make(groups, "../one", UID_BASE, NULL, &other, &err), 0);
	ck_assert_int_eq(err.kind, CX_INVALID);
	ck_assert_int_lt(cx_cgroup_find(groups, "two", &other, &err), 0);
	ck_assert_int_eq(err.kind, CX_NOT_FOUND);
	ck_assert_int_lt(cx_cgroup_remove(groups, "..", &err), 0);
	ck_assert_int_lt(cx_cgroups_open("a/b", &bad, &err), 0);
	err = (struct cx_err){ 0 };
	ck_assert_int_eq(cx_cgroup_remove(groups, "two", &err), 0);
	ck_assert_int_eq(err.errnum, 0);
	ok(cx_cgroup_find(groups, "one", &other, &err)); /* the refused ones did it no harm */
	ck_assert_uint_eq(other.ntop, group.ntop);
	cx_cgroup_close(&other);
	cx_cgroup_close(&other);
}
END_TEST

/* What is there in one tree only is no more touched than what is there in all. */
START_TEST(test_half_there)
{
	int dirs[CX_CGROUP_TREES_MAX];
	unsigned n = cx_cgroups_dirs(groups, dirs);
	struct cx_cgroup two;

	ck_assert_int_eq(mkdirat(dirs[n - 1], "two", 0755), 0);
	ck_assert_int_eq(mkdirat(dirs[n - 1], "two/work", 0755), 0);
	ck_assert_int_lt(cx_cgroup_make(groups, "two", UID_BASE, NULL, &two, &err), 0);
	ck_assert_int_eq(err.kind, CX_CONFLICT);
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(faccessat(dirs[i], "two/work", F_OK, 0), i < n - 1 ? -1 : 0);
}
END_TEST

START_TEST(test_each)
{
	struct cx_cgroup two, three;
	char ids[8][16] = { "" };
	int n = 0;

	ok(cx_cgroup_make(groups, "two", UID_BASE, NULL, &two, &err));
	ok(cx_cgroup_make(groups, "three", UID_BASE, NULL, &three, &err));
	ok(cx_cgroups_each(groups, collect, ids, &err));
	while (n < 8 && ids[n][0] != '\0')
		n++;
	ck_assert_int_eq(n, 3);
	cx_cgroup_close(&two);
	cx_cgroup_close(&three);
}
END_TEST

static int run_double_fork(void)
{
	if (fork() == 0) {
		(void)setsid();
		if (fork() == 0)
			(void)run_pause();
		_exit(0);
	}
	return 0;
}

START_TEST(test_remove_running)
{
	pid_t pid, agent;

	limit(1000, 256 << 20, 64);
	pid = start_settled(enter_work, run_pause);
	agent = start_settled(enter_agent, run_pause);
	ck_assert_int_eq(reap(start(enter_work, run_double_fork)), 0);
	wait_for_pids(2);
	ck_assert_int_eq(cx_cgroup_remove(groups, "one", &err), -EBUSY);
	ck_assert_msg(remove_all(groups, "one") == 0, "%s", err.msg);
	ck_assert(WIFSIGNALED(reap(pid)));
	ck_assert(WIFSIGNALED(reap(agent)));
}
END_TEST

static _Atomic unsigned *ticks; /* shared with a child that counts there */

static int run_count(void)
{
	if (write(settled, "", 1) != 1)
		return 95;
	for (;;)
		(void)++*ticks;
}

static bool moves(void)
{
	unsigned before = *ticks;

	for (int i = 0; i < 20 && *ticks == before; i++)
		sleep_ms(5);
	return *ticks != before;
}

static void wait_frozen(enum cx_freeze what)
{
	int r = 0;

	for (int n = 0; n < WAIT_MS / 5 && r == 0; n++) {
		r = cx_cgroup_is_frozen(groups, &group, what, &err);
		sleep_ms(5);
	}
	ck_assert_int_eq(r, 1);
}

/* Whom each way to stand still reaches. */
static const struct {
	int (*where)(void);
	enum cx_freeze what;
	bool stops;
} freezes[] = {
	{ enter_agent, CX_FREEZE_ALL, true },
	{ enter_work, CX_FREEZE_ALL, true },
	{ enter_agent, CX_FREEZE_WORK, false },
	{ enter_work, CX_FREEZE_WORK, true },
};

static pid_t start_counting(int (*where)(void))
{
	ticks = mmap(NULL, sizeof *ticks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	ck_assert_ptr_ne(ticks, MAP_FAILED);
	limit(1000, 256 << 20, 64);
	return start_settled(where, run_count);
}

static void end_counting(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert(WIFSIGNALED(reap(pid)));
	(void)munmap(ticks, sizeof *ticks);
}

START_TEST(test_freeze)
{
	pid_t pid = start_counting(freezes[_i].where);
	enum cx_freeze what = freezes[_i].what;

	ck_assert_int_eq(cx_cgroup_is_frozen(groups, &group, what, &err), 0);
	ok(cx_cgroup_freeze(groups, &group, what, true, &err));
	wait_frozen(what);
	ck_assert(moves() != freezes[_i].stops);
	ok(cx_cgroup_freeze(groups, &group, what, false, &err));
	ck_assert(moves());
	ck_assert_int_eq(cx_cgroup_is_frozen(groups, &group, what, &err), 0);
	end_counting(pid);
}
END_TEST

/* What is stopped for two reasons goes on when both are gone, in whatever order. */
START_TEST(test_freeze_twice)
{
	enum cx_freeze first = _i == 0 ? CX_FREEZE_ALL : CX_FREEZE_WORK;
	enum cx_freeze second = _i == 0 ? CX_FREEZE_WORK : CX_FREEZE_ALL;
	pid_t pid = start_counting(enter_work);

	ok(cx_cgroup_freeze(groups, &group, CX_FREEZE_WORK, true, &err));
	wait_frozen(CX_FREEZE_WORK);
	ok(cx_cgroup_freeze(groups, &group, CX_FREEZE_ALL, true, &err));
	wait_frozen(CX_FREEZE_ALL);
	ok(cx_cgroup_freeze(groups, &group, first, false, &err));
	ck_assert(!moves());
	ok(cx_cgroup_freeze(groups, &group, second, false, &err));
	ck_assert(moves());
	end_counting(pid);
}
END_TEST

/* A command that is begun while its group stands still does not run. */
START_TEST(test_enter_frozen)
{
	pid_t pid;

	ticks = mmap(NULL, sizeof *ticks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	ck_assert_ptr_ne(ticks, MAP_FAILED);
	limit(1000, 256 << 20, 64);
	ok(cx_cgroup_freeze(groups, &group, CX_FREEZE_WORK, true, &err));
	settled = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid = start(enter_work, run_count);
	sleep_ms(50);
	ck_assert(!moves());
	ok(cx_cgroup_freeze(groups, &group, CX_FREEZE_WORK, false, &err));
	ck_assert(moves());
	end_counting(pid);
}
END_TEST

static bool hears(int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events };
	cx_autofd int ep = epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_eq(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	return epoll_wait(ep, &ev, 1, 200) == 1;
}

START_TEST(test_out_of_memory_is_heard)
{
	uint32_t events = 0, kills = 99;
	uint64_t heard;
	unsigned more = 10;
	cx_autofd int fd = -EBADF;

	limit(1000, HOG_BYTES / 2, 16);
	fd = cx_cgroup_oom_watch(groups, &group, &events, &err);
	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert(!hears(fd, events));
	ok(cx_cgroup_oom_kills(groups, &group, &kills, &err));
	ck_assert_uint_eq(kills, 0);
	ck_assert(WIFSIGNALED(reap(start(enter_work, run_hog))));
	ck_assert(hears(fd, events));
	heard = cx_cgroup_oom_heard(fd, 0);
	ck_assert_uint_gt(heard, 0);
	while (more > 0 && hears(fd, events)) { /* version 2 may tell of one thing more than once */
		heard = cx_cgroup_oom_heard(fd, heard);
		more--;
	}
	ck_assert_uint_gt(more, 0);
	ck_assert_uint_eq(cx_cgroup_oom_heard(fd, heard), heard);
	ok(cx_cgroup_oom_kills(groups, &group, &kills, &err));
	ck_assert_uint_eq(kills, 1);
}
END_TEST

static int run_full(void)
{
	char *p = mmap(NULL, HOG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || prctl(PR_SET_NAME, ") R\n(full") < 0)
		return 98;
	memset(p, 1, HOG_BYTES);
	(void)pause();
	return 0;
}

static bool is_full(struct cx_memory_report *ret)
{
	ok(cx_cgroup_memory_report(groups, &group, ret, &err));
	return ret->process_bytes >= HOG_BYTES;
}

START_TEST(test_who_fills_the_memory)
{
	struct cx_memory_report report = { 0 };
	pid_t small, full;

	limit(1000, HOG_BYTES + HOG_BYTES / 4, 16);
	small = start_settled(enter_work, run_pause);
	ok(cx_cgroup_memory_report(groups, &group, &report, &err));
	ck_assert_str_eq(report.process, ""); /* who is small in an empty group has not filled it */
	full = start(enter_work, run_full);
	for (int i = 0; i < 500 && !is_full(&report); i++)
		sleep_ms(10);
	(void)is_full(&report); /* once more: its peak was read before its process was */
	ck_assert_uint_ge(report.process_bytes, HOG_BYTES);
	ck_assert_uint_eq(report.limit_bytes, HOG_BYTES + HOG_BYTES / 4);
	ck_assert_uint_ge(report.peak_bytes + HOG_BYTES / 8, HOG_BYTES);
	ck_assert_uint_ge(report.anonymous_bytes, HOG_BYTES / 2); /* told late */
	ck_assert_uint_eq(report.processes, 2);
	ck_assert_str_eq(report.process, ") R"); /* what is behind a line's end is not told */
	ck_assert_uint_eq(report.pid, (uint32_t)full);
	(void)kill(full, SIGKILL);
	(void)kill(small, SIGKILL);
	ck_assert_int_eq(waitpid(full, NULL, 0), full);
	ck_assert_int_eq(waitpid(small, NULL, 0), small);
}
END_TEST

START_TEST(test_remove_frozen)
{
	const char *file = v2 ? "cgroup.freeze" : "freezer.state";
	bool frozen = false;
	pid_t pid;

	limit(1000, 256 << 20, 64);
	pid = start_settled(enter_work, run_pause);
	for (unsigned i = 0; i < group.ntop; i++)
		frozen =
			cx_write_file(group.top[i], file, v2 ? "1" : "FROZEN", &err) == 0 || frozen;
	ck_assert(frozen);
	ck_assert_msg(remove_all(groups, "one") == 0, "%s", err.msg);
	ck_assert(WIFSIGNALED(reap(pid)));
}
END_TEST

/* A fork bomb that also nests groups, in the tree of the pids. */
static int run_nest(void)
{
	cx_autofd int dir = openat(group.work[0], "exec-1", O_RDONLY | O_DIRECTORY);

	for (int i = 0; i < 60; i++) {
		int next;

		if (mkdirat(dir, "below", 0755) < 0 || mkdirat(dir, "beside", 0755) < 0)
			return 97;
		next = openat(dir, "below", O_RDONLY | O_DIRECTORY);
		cx_close(&dir);
		dir = next;
	}
	return attach_file(dir, ".") < 0 ? 96 : run_pause();
}

START_TEST(test_remove_nested)
{
	pid_t pid;

	limit(1000, 256 << 20, 64);
	pid = start_settled(enter_work, run_nest);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	ck_assert_msg(remove_all(groups, "one") == 0, "%s", err.msg);
	ck_assert(WIFSIGNALED(reap(pid)));
}
END_TEST

START_TEST(test_two_instances)
{
	char name[48];
	struct cx_cgroups *others;
	struct cx_cgroup same;
	pid_t pid;

	(void)snprintf(name, sizeof name, "%s-b", instance);
	limit(1000, 256 << 20, 8);
	pid = start_settled(enter_work, run_pause);
	ok(cx_cgroups_open(name, &others, &err));
	ok(cx_cgroup_make(others, "one", UID_BASE, NULL, &same, &err));
	cx_cgroup_close(&same);
	ck_assert_int_eq(remove_all(others, "one"), 0);
	cx_cgroups_close(others, true);
	ck_assert_uint_eq(usage().pids, 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	(void)reap(pid);
}
END_TEST

/* The number that a file of the group begins with, in whichever tree it is. */
static uint64_t number_of(const struct cx_cgroup *of, const char *file)
{
	uint64_t value = 0;
	char text[64];

	for (unsigned i = 0; i < of->ntop; i++)
		if (cx_read_small_file(of->top[i], file, text, sizeof text, &err) > 0)
			value = strtoull(text, NULL, 10);
	return value;
}

static void check_limits(const struct cx_cgroup *of, const struct cx_limits *limits)
{
	ck_assert_uint_eq(number_of(of, v2 ? "work/cpu.max" : "work/cpu.cfs_quota_us"),
			  limits->cpu_milli * 100);
	ck_assert_uint_eq(number_of(of, v2 ? "work/memory.max" : "work/memory.limit_in_bytes"),
			  limits->memory_bytes);
	ck_assert_uint_eq(number_of(of, "work/pids.max"), limits->pids);
}

/* The agent is bound from the first moment on, and with limits so is all else. */
START_TEST(test_made_with_limits)
{
	static const struct cx_limits limits = { 1000, 256 << 20, 5 };
	const char *const agent = v2 ? "agent/pids.max" : "pids.max";
	struct cx_cgroup two;

	ck_assert_uint_eq(number_of(&group, agent), CX_AGENT_PIDS);
	ok(cx_cgroup_make(groups, "two", UID_BASE, &limits, &two, &err));
	check_limits(&two, &limits);
	ck_assert_uint_eq(number_of(&two, agent), CX_AGENT_PIDS + (v2 ? 0 : limits.pids));
	ck_assert_int_eq(memcmp(&two.limits, &limits, sizeof limits), 0);
	if (!v2) {
		ck_assert_uint_eq(number_of(&two, "work/cpu.cfs_period_us"), 100000);
		ck_assert_uint_eq(number_of(&two, "work/memory.swappiness"), 0);
	}
	cx_cgroup_close(&two);
}
END_TEST

/* What is in force is not written again; what differs in one of them is. */
START_TEST(test_limits_again)
{
	static const struct cx_limits changes[] = {
		{ 1000, 256 << 20, 5 }, { 1000, 256 << 20, 4 }, { 1000, 128 << 20, 4 },
		{ 500, 128 << 20, 4 },	{ 500, 128 << 20, 4 },
	};
	struct cx_cgroup found;

	ck_assert_uint_eq(group.limits.pids, 0);
	for (size_t i = 0; i < CX_LEN(changes); i++) {
		ok(cx_cgroup_limit(groups, &group, &changes[i], &err));
		check_limits(&group, &changes[i]);
	}
	ok(cx_cgroup_find(groups, "one", &found, &err)); /* knows of none */
	ok(cx_cgroup_limit(groups, &found, &changes[0], &err));
	check_limits(&group, &changes[0]);
	cx_cgroup_close(&found);
}
END_TEST

/* A daemon that comes back finds instance and groups, and the limits are still there. */
START_TEST(test_reopen)
{
	struct cx_limits fewer = { 1000, 256 << 20, 4 };
	struct cx_cgroup found;
	struct cx_usage u;
	pid_t pid;

	limit(1000, 256 << 20, 5);
	pid = start_settled(enter_work, run_pause);
	cx_cgroups_close(groups, false);
	ok(cx_cgroups_open(instance, &groups, &err));
	ok(cx_cgroup_find(groups, "one", &found, &err));
	ok(cx_cgroup_usage(groups, &found, &u, &err));
	ck_assert_uint_eq(u.pids, 1);
	ok(cx_cgroup_limit(groups, &found, &fewer, &err));
	ck_assert_int_eq(reap(start(enter_work, run_forks)), 2 << 8);
	cx_cgroup_close(&found);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	(void)reap(pid);
}
END_TEST

/*
 * Under a service manager that delegated a group and started this process in a leaf of it, all
 * happens below that group. In the group itself it must not: no process could be started there
 * again while it has controllers for its children.
 */
START_TEST(test_delegated_root)
{
	char path[64];
	struct cx_cgroups *outer, *own;
	struct cx_cgroup inner;
	int dir, leaf, root = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)snprintf(path, sizeof path, "/sys/fs/cgroup/%s.service", instance);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(setxattr(path, "trusted.delegate", "1", 1, 0), 0);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(attach_file(dir, "."), 0);
	ok(cx_cgroups_open("inner", &outer, &err));
	ck_assert_int_lt(faccessat(dir, "caisson-inner", F_OK, 0), 0);
	ck_assert_int_eq(faccessat(root, "caisson-inner", F_OK, 0), 0);
	cx_cgroups_close(outer, true);
	ck_assert_int_eq(attach_file(dir, "."), 0); /* as a restart would */
	ck_assert_int_eq(mkdirat(dir, "supervisor", 0755), 0);
	leaf = openat(dir, "supervisor", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(attach_file(leaf, "."), 0);
	ok(cx_cgroups_open("inner", &own, &err));
	ok(cx_cgroup_make(own, "one", UID_BASE, NULL, &inner, &err));
	ck_assert_int_eq(faccessat(dir, "caisson-inner/one/work", F_OK, 0), 0);
	ck_assert_int_eq(attach_file(leaf, "."), 0); /* as a restart would */
	cx_cgroup_close(&inner);
	ck_assert_int_eq(remove_all(own, "one"), 0);
	cx_cgroups_close(own, true);
	ck_assert_int_eq(attach_file(root, "."), 0);
	ck_assert_int_eq(unlinkat(dir, "supervisor", AT_REMOVEDIR), 0);
	ck_assert_int_eq(rmdir(path), 0);
	(void)close(dir);
	(void)close(leaf);
	(void)close(root);
}
END_TEST

int main(void)
{
	struct statfs fs;
	Suite *suite = suite_create("cgroup");
	TCase *tcase = tcase_create("all");
	int status;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_pids);
	tcase_add_test(tcase, test_memory);
	tcase_add_loop_test(tcase, test_weight, 0, 4);
	tcase_add_test(tcase, test_cpu);
	tcase_add_test(tcase, test_made_with_limits);
	tcase_add_test(tcase, test_half_there);
	tcase_add_test(tcase, test_agent_limits);
	tcase_add_test(tcase, test_agent_has_room);
	tcase_add_test(tcase, test_bad_limits);
	tcase_add_test(tcase, test_delegation);
	tcase_add_test(tcase, test_no_way_out);
	tcase_add_test(tcase, test_slots);
	tcase_add_loop_test(tcase, test_sockets_are_limited, 0, 2);
	tcase_add_test(tcase, test_devices);
	tcase_add_test(tcase, test_a_start_that_was_cut_off);
	tcase_add_test(tcase, test_names);
	tcase_add_test(tcase, test_each);
	tcase_add_test(tcase, test_remove_running);
	tcase_add_loop_test(tcase, test_freeze, 0, CX_LEN(freezes));
	tcase_add_loop_test(tcase, test_freeze_twice, 0, 2);
	tcase_add_test(tcase, test_enter_frozen);
	tcase_add_test(tcase, test_out_of_memory_is_heard);
	tcase_add_test(tcase, test_who_fills_the_memory);
	tcase_add_test(tcase, test_remove_frozen);
	tcase_add_test(tcase, test_remove_nested);
	tcase_add_test(tcase, test_two_instances);
	tcase_add_test(tcase, test_limits_again);
	tcase_add_test(tcase, test_reopen);
	if (statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		tcase_add_test(tcase, test_delegated_root);
	suite_add_tcase(suite, tcase);
	(void)snprintf(instance, sizeof instance, "test-%d", (int)getpid());
	status = run_root_suite(suite);
	if (status == EXIT_FAILURE && cx_cgroups_open(instance, &groups, &err) == 0 && sweep())
		cx_cgroups_close(groups, true);
	return status;
}
