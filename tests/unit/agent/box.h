/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CX_TESTS_BOX_H
#define CX_TESTS_BOX_H

/*
 * A sandbox around the real ./caisson-agent, made as caisson-spawner does it, without the engine. A
 * guard process lets a child of its own make it, so that it is there to take everything away
 * whatever fails: the making, or the test, whose end of a pipe is then closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "check_main.h"
#include "proto/agent_msgs.h"
#include "runtime/cgroup.h"
#include "runtime/seccomp.h"

enum { BOX_UID = 1000000000, BOX_IDS = 65536, BOX_PIDS = 400 };

struct box {
	char dir[32];
	pid_t guard;
	int leash; /* closing it ends the sandbox */
	bool grouped;
};

#define must(call)                                                                          \
	__extension__({                                                                     \
		__typeof__(call) must_r = (call);                                           \
		if (must_r < 0) {                                                           \
			(void)fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, \
				      strerror(errno));                                     \
			_exit(99);                                                          \
		}                                                                           \
		must_r;                                                                     \
	})

static inline void box_file(int root, const char *path, const char *text, mode_t mode)
{
	int fd = must(openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));

	must(write(fd, text, strlen(text)));
	must(fchmod(fd, mode));
	must(fchown(fd, BOX_UID, BOX_UID));
	must(close(fd));
}

static inline void box_dir(int root, const char *path)
{
	must(mkdirat(root, path, 0755));
	must(fchownat(root, path, BOX_UID, BOX_UID, AT_SYMLINK_NOFOLLOW));
}

/* A detached tmpfs with busybox and two users: what the engine would make of an image. */
static inline int box_root(void)
{
	static const char *const applets[] = { "sh",	"cat",	 "echo",     "sleep", "id",
					       "env",	"pwd",	 "ls",	     "stty",  "setsid",
					       "ps",	"kill",	 "true",     "false", "head",
					       "grep",	"wc",	 "hostname", "stat",  "yes",
					       "nproc", "mount", "touch",    "tr" };
	int fs = must(fsopen("tmpfs", FSOPEN_CLOEXEC)), root, in, out;
	struct stat st;
	char name[64];

	must(fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0));
	must(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	root = must(fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
	must(close(fs));
	must(fchownat(root, "", BOX_UID, BOX_UID, AT_EMPTY_PATH));
	box_dir(root, "bin");
	box_dir(root, "etc");
	box_dir(root, "home");
	in = must(open("/bin/busybox", O_RDONLY | O_CLOEXEC));
	out = must(openat(root, "bin/busybox", O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
	must(fstat(in, &st));
	for (ssize_t left = st.st_size; left > 0;)
		left -= must(sendfile(out, in, NULL, (size_t)left));
	must(fchown(out, BOX_UID, BOX_UID));
	must(close(in));
	must(close(out));
	for (size_t i = 0; i < CX_LEN(applets); i++) {
		(void)snprintf(name, sizeof name, "bin/%s", applets[i]);
		must(symlinkat("busybox", root, name));
	}
	box_file(root, "bin/empty", "", 0755);
	must(symlinkat("round", root, "bin/round"));
	box_file(root, "etc/passwd",
		 "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n", 0644);
	box_file(root, "etc/group", "root:x:0:\napp:x:1001:\nextra:x:2000:other,app\n", 0644);
	return root;
}

static inline int box_dev(void)
{
	static const struct {
		const char *name;
		unsigned minor;
	} nodes[] = {
		{ "null", 3 }, { "zero", 5 }, { "full", 7 }, { "random", 8 }, { "urandom", 9 }
	};
	int fs = must(fsopen("tmpfs", FSOPEN_CLOEXEC)), dev;

	must(fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0));
	must(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	dev = must(fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
	must(close(fs));
	must(fchownat(dev, "", BOX_UID, BOX_UID, AT_EMPTY_PATH));
	for (size_t i = 0; i < CX_LEN(nodes); i++) {
		must(mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(1, nodes[i].minor)));
		must(fchmodat(dev, nodes[i].name, 0666, 0));
	}
	must(mknodat(dev, "tty", S_IFCHR | 0666, makedev(5, 0)));
	must(fchmodat(dev, "tty", 0666, 0));
	must(symlinkat("pts/ptmx", dev, "ptmx"));
	must(symlinkat("/proc/self/fd", dev, "fd"));
	must(symlinkat("/proc/self/fd/1", dev, "stdout"));
	return dev;
}

static inline int box_executable(const char *path)
{
	int fd = must(memfd_create("agent", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	int in = must(open(path, O_RDONLY | O_CLOEXEC));
	struct stat st;

	must(fstat(in, &st));
	for (ssize_t left = st.st_size; left > 0;)
		left -= must(sendfile(fd, in, NULL, (size_t)left));
	must(close(in));
	must(fchmod(fd, 0111));
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL));
	return fd;
}

static inline void box_pivot(const char *dir)
{
	char proc[64];

	(void)snprintf(proc, sizeof proc, "%s/proc", dir);
	must(unshare(CLONE_NEWNS));
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mount("tmpfs", dir, "tmpfs", 0, "mode=0755"));
	must(mkdir(proc, 0755));
	must(mount("/proc", proc, NULL, MS_BIND, NULL));
	must(chdir(dir));
	must(syscall(SYS_pivot_root, ".", "."));
	must(umount2(".", MNT_DETACH));
	must(chdir("/"));
}

static inline void box_write(const char *path, const char *text)
{
	int fd = must(open(path, O_WRONLY | O_CLOEXEC));

	must(write(fd, text, strlen(text)));
	must(close(fd));
}

static _Noreturn inline void box_agent(int go, int exe, const int *fds, unsigned nwork,
				       const struct cx_cgroup *group)
{
	char n[16], byte;
	char *const argv[] = { (char[]){ "caisson-agent" }, n, (char[]){ "3" }, NULL };
	char *const envp[] = { NULL };
	struct cx_err err = { 0 };

	(void)signal(SIGPIPE, SIG_DFL); /* as it finds all of them */
	if (read(go, &byte, 1) != 1)
		_exit(99);
	for (unsigned i = 0; i < group->ntasks; i++)
		must(write(group->tasks[i], "0", 1));
	if (group->ns < 0)
		must(unshare(CLONE_NEWCGROUP));
	must(syscall(SYS_setgroups, 0, NULL));
	must(setresgid(0, 0, 0));
	must(setresuid(0, 0, 0));
	(void)snprintf(n, sizeof n, "%u", nwork);
	exe = must(fcntl(exe, F_DUPFD_CLOEXEC, 64));
	must(cx_fds_arrange(fds, CX_AGENT_FD_WORK - CX_AGENT_FD_LISTEN + nwork, CX_AGENT_FD_LISTEN,
			    &err));
	must(fcntl(exe, F_DUPFD, 200)); /* one too many, which the agent has to close */
	must(syscall(SYS_execveat, exe, "", argv, envp, AT_EMPTY_PATH));
	_exit(98);
}

static inline int box_listen(const struct box *box)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int sock = must(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));

	must(mkdir(box->dir, 0700));
	(void)snprintf(at.sun_path, sizeof at.sun_path, "%s/sock", box->dir);
	must(bind(sock, (struct sockaddr *)&at, sizeof at));
	must(listen(sock, 64));
	return sock;
}

/* The agent becomes a child of the guard, which hears its pid before it can do anything. */
static _Noreturn inline void box_make(const struct box *box, const struct cx_cgroup *group,
				      int tell)
{
	struct clone_args args = { .flags = CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWNS |
					    CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS };
	struct cx_err err = { 0 };
	int fds[CX_AGENT_FD_WORK + CX_AGENT_WORK_MAX], exe, go[2];
	char path[64], map[64];
	pid_t pid;

	fds[0] = box_listen(box);
	fds[1] = box_dev();
	fds[2] = must(cx_seccomp_compile(&err));
	for (unsigned i = 0; i < group->n; i++)
		fds[3 + i] = group->work[i];
	exe = box_executable("./caisson-agent");
	box_pivot(box->dir);
	must(pipe2(go, O_CLOEXEC));
	if (group->ns >= 0)
		must(setns(group->ns, CLONE_NEWCGROUP));
	pid = (pid_t)must(syscall(SYS_clone3, &args, sizeof args));
	if (pid == 0) {
		must(close(go[1]));
		box_agent(go[0], exe, fds, group->n, group);
	}
	must(write(tell, &pid, sizeof pid));
	(void)snprintf(map, sizeof map, "0 %d %d\n", BOX_UID, BOX_IDS);
	(void)snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
	box_write(path, map);
	(void)snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
	box_write(path, map);
	must(write(go[1], "", 1));
	_exit(0);
}

/* Starts the maker. Returns whether the sandbox was made; *agent is 0 when there is none to end. */
static inline bool box_made(const struct box *box, const struct cx_cgroup *group, pid_t *agent)
{
	int tell[2] = { -EBADF, -EBADF }, status = -1;
	pid_t maker = pipe2(tell, O_CLOEXEC) == 0 ? fork() : -1;

	if (maker == 0)
		box_make(box, group, tell[1]);
	(void)close(tell[1]);
	if (read(tell[0], agent, sizeof *agent) != (ssize_t)sizeof *agent)
		*agent = 0;
	(void)close(tell[0]);
	return maker > 0 && waitpid(maker, &status, 0) == maker && status == 0;
}

/* Everything that was made, however far that went. False when something is left. */
static inline bool box_undo(const struct box *box, pid_t agent, struct cx_cgroups *groups)
{
	struct cx_err err = { 0 };
	char sock[64];
	int left = 0;

	if (agent > 0) {
		(void)kill(agent, SIGKILL);
		(void)waitpid(agent, NULL, __WALL);
	}
	for (int i = 0; groups != NULL && i < 2000; i++) {
		left = cx_cgroup_remove(groups, "box", &err);
		if (left != -EBUSY)
			break;
		(void)usleep(5000);
	}
	if (left < 0)
		(void)fprintf(stderr, "control groups are left: %s\n", err.msg);
	if (groups != NULL)
		cx_cgroups_close(groups, true);
	(void)snprintf(sock, sizeof sock, "%s/sock", box->dir);
	(void)unlink(sock);
	(void)rmdir(box->dir);
	return left == 0 && access(box->dir, F_OK) < 0;
}

/* status gets one byte when the agent is about to be executed, leash ends all by EOF. */
static _Noreturn inline void box_guard(const struct box *box, int status, int leash)
{
	static const struct cx_limits limits = { .cpu_milli = 4000,
						 .memory_bytes = 256 << 20,
						 .pids = BOX_PIDS };
	struct cx_cgroups *groups = NULL;
	struct cx_cgroup group = { .ns = -EBADF };
	struct cx_err err = { 0 };
	char byte = 0, instance[32];
	pid_t agent = 0;
	bool made = true;

	must(setsid());
	(void)signal(SIGPIPE, SIG_IGN); /* the test may have died first */
	(void)snprintf(instance, sizeof instance, "agenttest%d", getpid());
	if (box->grouped && (cx_cgroups_open(instance, &groups, &err) < 0 ||
			     cx_cgroup_make(groups, "box", BOX_UID, NULL, &group, &err) < 0 ||
			     cx_cgroup_limit(groups, &group, &limits, &err) < 0)) {
		(void)fprintf(stderr, "cgroups: %s\n", err.msg);
		made = false;
	}
	if (made && box_made(box, &group, &agent)) {
		(void)!write(status, "", 1);
		(void)close(status);
		(void)!read(leash, &byte, 1);
	} else {
		made = false;
	}
	_exit(box_undo(box, agent, groups) && made ? 0 : 98);
}

static inline int box_connect(const struct box *box)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof to.sun_path, "%s/sock", box->dir);
	ck_assert_int_ge(sock, 0);
	ck_assert_msg(connect(sock, (struct sockaddr *)&to, sizeof to) == 0, "connect: %s",
		      strerror(errno));
	return sock;
}

static inline void box_start(struct box *box, bool grouped)
{
	int status[2], leash[2];
	char byte;

	*box = (struct box){ .grouped = grouped };
	ck_assert_int_eq(pipe2(status, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(leash, O_CLOEXEC), 0);
	box->guard = fork();
	ck_assert_int_ge(box->guard, 0);
	(void)snprintf(box->dir, sizeof box->dir, "/tmp/cx-agent-%d",
		       box->guard > 0 ? box->guard : getpid());
	if (box->guard == 0) {
		(void)close(status[0]);
		(void)close(leash[1]);
		box_guard(box, status[1], leash[0]);
	}
	(void)close(status[1]);
	(void)close(leash[0]);
	box->leash = leash[1];
	ck_assert_msg(read(status[0], &byte, 1) == 1, "the sandbox was not made");
	(void)close(status[0]);
}

static inline void box_end(struct box *box)
{
	int status;

	(void)close(box->leash);
	ck_assert_int_eq(waitpid(box->guard, &status, 0), box->guard);
	ck_assert_int_eq(status, 0);
	ck_assert_int_lt(access(box->dir, F_OK), 0);
}

#endif
