/* SPDX-License-Identifier: Apache-2.0 */
/* The spawner, and what the program that it starts (fake_agent.c) finds around itself. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "check_main.h"

#include "base/fd.h"
#include "policy/policy.h"
#include "proto/spawn_msgs.h"
#include "runtime/process.h"
#include "runtime/rootfs.h"
#include "runtime/seccomp.h"
#include "runtime/spawn.h"

#include "runtime/fake_agent.h"

/* Multiples of 65536 within the range. */
enum { BASE = 1000013824, OTHER_BASE = BASE + 7 * 65536 };

static struct cx_err err;
static struct cx_spawner spawner;
static int dev = -EBADF, filter = -EBADF, image = -EBADF;
static struct cx_cgroup no_groups = { .ns = -EBADF };
static const struct cx_cgroup *group = &no_groups;

static void setup(void)
{
	struct cx_err lost;
	char path[PATH_MAX];

	ck_assert_ptr_nonnull(realpath("caisson-spawner", path)); /* "make check" runs at the top */
	/* Where we may, we are protected as a system's daemon is; a sandbox must not be. */
	(void)!cx_write_file(AT_FDCWD, "/proc/self/oom_score_adj", "-500", &lost);
	ck_assert_int_eq(cx_mounts_unshare(&err), 0);
	/* As systemd leaves it: what the spawner mounts would be seen here, were it not careful. */
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	image = cx_process_seal_file("tests/unit/runtime/fake_agent", 0111, &err);
	ck_assert_msg(image >= 0, "%s", err.msg);
	filter = cx_seccomp_compile(&err);
	ck_assert_msg(filter >= 0, "%s", err.msg);
	dev = cx_devfs_make(BASE, &err);
	ck_assert_msg(dev >= 0, "%s", err.msg);
	ck_assert_msg(cx_spawner_start(path, image, filter, -EBADF, &spawner, &err) == 0, "%s",
		      err.msg);
}

/* What the spawner made is our child, whether or not we have heard of it. */
static void end_children(void)
{
	char text[4096], *next = text;
	struct cx_err ignored;

	if (cx_read_small_file(AT_FDCWD, "/proc/thread-self/children", text, sizeof text,
			       &ignored) < 0)
		return; /* a kernel without CONFIG_PROC_CHILDREN */
	for (long pid = strtol(next, &next, 10); pid > 0; pid = strtol(next, &next, 10)) {
		(void)kill((pid_t)pid, SIGKILL);
		(void)waitpid((pid_t)pid, NULL, __WALL);
	}
}

static void teardown(void)
{
	cx_spawner_stop(&spawner);
	end_children();
	cx_close(&dev);
	cx_close(&filter);
	cx_close(&image);
}

struct spawned {
	struct cx_spawned made;
	int sock;
	struct report report;
};

static int spawn(uint32_t base, struct spawned *ret)
{
	int pair[2];
	struct cx_blank_plan plan = { .uid_base = base, .dev = dev, .group = group };
	static uint32_t number;
	bool lost = false;
	int r;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	plan.listener = pair[1];
	ret->made = (struct cx_spawned)CX_SPAWNED_NONE;
	r = cx_spawn_ask(&spawner, ++number, &plan, &err);
	close(pair[1]);
	if (r == 0)
		r = cx_spawn_answer(&spawner, number, &ret->made, &lost, &err);
	ret->sock = pair[0];
	return r;
}

static void end(struct spawned *s)
{
	siginfo_t info;

	ck_assert_int_eq(kill(s->made.pid, SIGKILL),
			 0); /* ours to wait for: the pid is not reused */
	ck_assert_int_eq(waitid(P_PIDFD, (id_t)s->made.pidfd, &info, WEXITED), 0);
	close(s->sock);
	cx_spawned_close(&s->made);
}

static ino_t namespace(pid_t pid, const char *name)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, name);
	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_ino;
}

START_TEST(blank_is_root_of_its_own_world)
{
	static const char *const names[] = { "user", "mnt", "pid", "net", "ipc", "uts", "cgroup" };
	struct spawned s;
	char path[64], map[128];

	ck_assert_msg(spawn(BASE, &s) == 0, "%s", err.msg);
	ck_assert_int_eq(recv(s.sock, &s.report, sizeof s.report, 0), sizeof s.report);
	ck_assert_int_eq(s.report.pid, 1);
	ck_assert_int_eq(s.report.ppid, 0);
	ck_assert_int_eq(s.report.sid, 1);
	ck_assert_uint_eq(s.report.uid, 0);
	ck_assert_uint_eq(s.report.gid, 0);
	ck_assert_int_eq(s.report.groups, 0);
	ck_assert_uint_eq(s.report.umask, 022);
	ck_assert_int_eq(s.report.lo_up, 1);
	ck_assert_int_eq(s.report.host_files, 0);
	/* 0 to 2, socket, /dev, filter. */
	ck_assert_int_eq(s.report.open_fds, 6);
	for (size_t i = 0; i < CX_LEN(names); i++) {
		ck_assert_msg(namespace(s.made.pid, names[i]) != namespace(getpid(), names[i]),
			      "%s", names[i]);
		ck_assert_msg(namespace(s.made.pid, names[i]) != namespace(spawner.pid, names[i]),
			      "%s is the spawner's", names[i]);
	}
	(void)snprintf(path, sizeof path, "/proc/%d/uid_map", s.made.pid);
	ck_assert_int_gt((int)cx_read_small_file(AT_FDCWD, path, map, sizeof map, &err), 0);
	{
		unsigned inside, outside, count;

		ck_assert_int_eq(sscanf(map, "%u %u %u", &inside, &outside, &count), 3);
		ck_assert_uint_eq(inside, 0);
		ck_assert_uint_eq(outside, BASE);
		ck_assert_uint_eq(count, 65536);
	}
	end(&s);
}
END_TEST

/* A session keyring of its own counts as a key of its user's, whom nobody else shares. */
START_TEST(blank_has_its_own_keyring)
{
	static char users[1 << 16];
	struct spawned s;
	char mine[16];

	if (access("/proc/key-users", F_OK) < 0)
		return; /* a kernel without keys */
	(void)snprintf(mine, sizeof mine, "\n%5d: ", OTHER_BASE);
	ck_assert_msg(spawn(OTHER_BASE, &s) == 0, "%s", err.msg);
	ck_assert_int_gt(
		(int)cx_read_small_file(AT_FDCWD, "/proc/key-users", users, sizeof users, &err), 0);
	end(&s);
	ck_assert_msg(strstr(users, mine) != NULL, "no key of %d's:\n%s", OTHER_BASE, users);
}
END_TEST

/*
 * The kernel's pools per user are the owner's as well, so it must be nobody else's id; root would
 * share them with every sandbox.
 */
START_TEST(blank_owns_its_namespace)
{
	static const uid_t bases[] = { BASE, OTHER_BASE };

	for (size_t i = 0; i < CX_LEN(bases); i++) {
		uid_t owner = 0;
		struct spawned s;

		ck_assert_msg(spawn(bases[i], &s) == 0, "%s", err.msg);
		ck_assert_int_eq(ioctl(s.made.userns, NS_GET_OWNER_UID, &owner), 0);
		ck_assert_uint_eq(owner, bases[i]);
		end(&s);
	}
}
END_TEST

static int fds_of(pid_t pid)
{
	char path[64];
	DIR *dir;
	int n = 0;

	(void)snprintf(path, sizeof path, "/proc/%d/fd", pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n;
}

/* It answers before it lets go of what came with the request. */
static int settled_fds(void)
{
	int least = fds_of(spawner.pid);

	for (int i = 0; i < 20; i++) {
		int now;

		(void)usleep(5000);
		now = fds_of(spawner.pid);
		least = now < least ? now : least;
	}
	return least;
}

START_TEST(spawner_keeps_nothing)
{
	struct spawned s;
	int before;

	ck_assert_int_eq(spawn(BASE, &s), 0);
	end(&s);
	before = settled_fds();
	for (int i = 0; i < 50; i++) {
		ck_assert_msg(spawn(BASE, &s) == 0, "%s", err.msg);
		end(&s);
	}
	ck_assert_int_eq(settled_fds(), before);
	ck_assert_uint_eq(namespace(spawner.pid, "net"), namespace(getpid(), "net"));
}
END_TEST

/* As in spawner.c. */
#if defined(__SANITIZE_ADDRESS__) || defined(CX_FAULT_INJECTION)
enum { IS_COPIED = 1 };
#elif defined(__has_feature)
enum { IS_COPIED = __has_feature(address_sanitizer) };
#else
enum { IS_COPIED = 0 };
#endif

static unsigned long faults_of(pid_t pid)
{
	char path[64], text[2048];
	unsigned long faults = 0;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
	ck_assert_int_gt((int)cx_read_small_file(AT_FDCWD, path, text, sizeof text, &err), 0);
	ck_assert_int_eq(sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %lu", &faults),
			 1);
	return faults;
}

/* Whose memory is copied has a fault for each page that he writes to afterwards. */
START_TEST(memory_is_not_copied)
{
	enum { MANY = 40 };
	struct spawned s;
	unsigned long before = 0;

	for (int i = -MANY; i < MANY; i++) {
		if (i == 0)
			before = faults_of(spawner.pid);
		ck_assert_msg(spawn(BASE, &s) == 0, "%s", err.msg);
		end(&s);
	}
	ck_assert(IS_COPIED || faults_of(spawner.pid) - before < 2 * MANY);
}
END_TEST

START_TEST(bad_requests_are_refused_and_it_serves_on)
{
	static const uint32_t bases[] = { 0, 1, 65536, 524287, 1879048191, UINT32_MAX };
	struct spawned s;

	for (size_t i = 0; i < CX_LEN(bases); i++) {
		ck_assert_int_lt(spawn(bases[i], &s), 0);
		ck_assert_ptr_nonnull(strstr(err.msg, "ids from"));
		close(s.sock);
	}
	cx_close(&dev); /* not a directory with the node "null" */
	dev = open("/tmp", O_PATH | O_CLOEXEC);
	ck_assert_int_lt(spawn(BASE, &s), 0);
	ck_assert_ptr_nonnull(strstr(err.msg, "step 'descriptors'"));
	close(s.sock);
	cx_close(&dev);
	dev = cx_devfs_make(BASE, &err);
	ck_assert_int_eq(spawn(BASE, &s), 0);
	end(&s);
	/* Nothing is left to wait for: the children that failed were reaped too. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), 0);
}
END_TEST

/* A spawner that is stopped answers too late; its answer must never be another request's. */
START_TEST(a_late_answer_is_never_taken)
{
	struct timeval soon = { .tv_usec = 100000 };
	struct spawned s, next;

	ck_assert_int_eq(spawn(BASE, &s), 0);
	end(&s);
	ck_assert_int_eq(setsockopt(spawner.control, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon),
			 0);
	ck_assert_int_eq(kill(spawner.pid, SIGSTOP), 0);
	ck_assert_int_lt(spawn(BASE, &s), 0);
	close(s.sock);
	ck_assert_int_eq(kill(spawner.pid, SIGCONT), 0);
	ck_assert_int_lt(spawn(BASE + 65536, &next), 0);
	ck_assert_int_eq(next.made.pidfd, -EBADF);
	close(next.sock);
}
END_TEST

/* Its answer may fail when the agent runs already; nothing else is anybody's to end. */
START_TEST(what_was_made_before_a_failure_is_ended)
{
	struct cx_msg_spawn_error failed = { .kind = CX_INTERNAL, .text = cx_str_of("broken") };
	struct cx_spawned made;
	bool lost = true;
	int pair[2];
	pid_t pid = fork();

	while (pid == 0)
		(void)pause();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	failed.pid = (uint32_t)(_i == 0 ? pid : getppid());
	ck_assert_int_eq(cx_msg_spawn_error_send(pair[1], 1, &failed, NULL, 0, &err), 0);
	{
		struct cx_spawner broken = { .control = pair[0], .pidfd = -EBADF };

		ck_assert_int_lt(cx_spawn_answer(&broken, 1, &made, &lost, &err), 0);
		ck_assert(!lost);
		ck_assert_ptr_nonnull(strstr(err.msg, "broken"));
		cx_spawner_stop(&broken);
	}
	ck_assert_int_eq(kill(pid, 0), _i == 0 ? -1 : 0);
	if (_i == 1) {
		(void)kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	}
	(void)close(pair[1]);
}
END_TEST

START_TEST(spawner_is_trimmed)
{
	char path[64], status[4096];
	uint64_t want = 0;
	unsigned long long have = 0;
	struct spawned s;

	ck_assert_int_eq(spawn(BASE, &s), 0); /* it has finished its start then */
	end(&s);
	for (size_t i = 0; i < cx_policy_nspawner_caps; i++)
		want |= 1ULL << cx_policy_spawner_caps[i].cap;
	(void)snprintf(path, sizeof path, "/proc/%d/status", spawner.pid);
	ck_assert_int_gt((int)cx_read_small_file(AT_FDCWD, path, status, sizeof status, &err), 0);
	ck_assert_int_eq(sscanf(strstr(status, "CapEff:"), "CapEff: %llx", &have), 1);
	ck_assert_uint_eq(have & ~want, 0);
	ck_assert_int_eq(sscanf(strstr(status, "CapBnd:"), "CapBnd: %llx", &have), 1);
	ck_assert_uint_eq(have & ~want, 0);
	ck_assert_ptr_nonnull(strstr(status, "\nUid:\t0\t0\t0\t0\n"));
	ck_assert_ptr_nonnull(strstr(status, "\nNoNewPrivs:\t1\n"));
	(void)snprintf(path, sizeof path, "/proc/%d/root/etc", spawner.pid);
	ck_assert_int_lt(access(path, F_OK), 0);
	(void)snprintf(path, sizeof path, "/proc/%d/oom_score_adj", spawner.pid);
	ck_assert_int_gt((int)cx_read_small_file(AT_FDCWD, path, status, sizeof status, &err), 0);
	ck_assert_msg(status[0] != '-', "protected from the OOM killer: %s", status);
	(void)snprintf(path, sizeof path, "/proc/%d/mountinfo", spawner.pid);
	ck_assert_int_gt((int)cx_read_small_file(AT_FDCWD, path, status, sizeof status, &err), 0);
	ck_assert_msg(strstr(status, "shared:") == NULL && strstr(status, "master:") == NULL, "%s",
		      status);
}
END_TEST

START_TEST(blank_lands_in_its_groups)
{
	struct cx_cgroups *groups;
	struct cx_cgroup own;
	struct spawned s;
	char name[32], path[64], text[4096], want[96];
	int r = -EBUSY;

	(void)snprintf(name, sizeof name, "spawn-%d", (int)getpid());
	ck_assert_msg(cx_cgroups_open(name, &groups, &err) == 0, "%s", err.msg);
	ck_assert_msg(cx_cgroup_make(groups, "one", BASE, NULL, &own, &err) == 0, "%s", err.msg);
	group = &own;
	r = spawn(BASE, &s);
	ck_assert_msg(r == 0, "%s", err.msg);
	(void)snprintf(path, sizeof path, "/proc/%d/cgroup", (int)s.made.pid);
	ck_assert_int_gt((int)cx_read_small_file(AT_FDCWD, path, text, sizeof text, &err), 0);
	(void)snprintf(want, sizeof want, "/caisson-%s/one%s\n", name,
		       strcmp(cx_cgroups_mode(groups), "v2") == 0 ? "/agent" : "");
	ck_assert_msg(strstr(text, want) != NULL, "%s", text);
	end(&s);
	cx_cgroup_close(&own);
	for (int i = 0; i < 1000 && (r = cx_cgroup_remove(groups, "one", &err)) == -EBUSY; i++)
		(void)usleep(5000);
	ck_assert_msg(r == 0, "%s", err.msg);
	cx_cgroups_close(groups, true);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("runtime/spawn");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, blank_is_root_of_its_own_world);
	tcase_add_test(tc, blank_has_its_own_keyring);
	tcase_add_test(tc, blank_owns_its_namespace);
	tcase_add_test(tc, blank_lands_in_its_groups);
	tcase_add_test(tc, spawner_keeps_nothing);
	tcase_add_test(tc, memory_is_not_copied);
	tcase_add_test(tc, bad_requests_are_refused_and_it_serves_on);
	tcase_add_test(tc, a_late_answer_is_never_taken);
	tcase_add_loop_test(tc, what_was_made_before_a_failure_is_ended, 0, 2);
	tcase_add_test(tc, spawner_is_trimmed);
	suite_add_tcase(s, tc);
	return run_root_suite(s);
}
