/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image worker has left after cx_confine(). This program starts itself as caissond starts a
 * worker, and looks at it from outside: behind the filter it could not tell.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "check_main.h"
#include "image/confine.h"
#include "runtime/process.h"

enum { BASE = 65536 * 9100, FAILED = 98, CAME_BACK = 97 };

/* ---- the worker ------------------------------------------------------------------------------ */

static int wait_for_end(void)
{
	char byte;

	return (int)read(STDIN_FILENO, &byte, 1);
}

static int look_for_file(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == ENOENT ? 0 : CAME_BACK;
}

static int make_socket(void)
{
	(void)socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return CAME_BACK;
}

static int make_process(void)
{
	if (fork() == 0)
		_exit(0);
	return CAME_BACK;
}

static int execute(void)
{
	char name[] = "true", *argv[] = { name, NULL };

	(void)execve("/bin/true", argv, argv + 1);
	return CAME_BACK;
}

static int mount_something(void)
{
	(void)mount("none", "/", "tmpfs", 0, NULL);
	return CAME_BACK;
}

static int signal_itself(void)
{
	(void)kill(getpid(), 0);
	return CAME_BACK;
}

static int control_terminal(void)
{
	(void)syscall(SYS_ioctl, 0, 0x5412, "x"); /* TIOCSTI */
	return CAME_BACK;
}

/* ---- one that has a network ------------------------------------------------------------------ */

/* What must fail: 0 when it does with this errno. */
static int failed(long r, int errnum)
{
	return r < 0 && errno == errnum ? 0 : CAME_BACK;
}

static int find_no_files(void)
{
	static const char *const there[] = { "/etc/passwd", "/etc/ld.so.cache", "/proc/self/maps",
					     "/usr/lib", "/run" };

	for (size_t i = 0; i < CX_LEN(there); i++)
		if (failed(open(there[i], O_RDONLY | O_CLOEXEC), ENOENT) != 0)
			return CAME_BACK;
	if (failed(open("/etc/hosts", O_WRONLY | O_CLOEXEC), EACCES) != 0)
		return CAME_BACK;
	return failed(open("/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EROFS);
}

static int find_address(void)
{
	const struct addrinfo wish = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;

	return getaddrinfo("localhost", "80", &wish, &found) == 0 && found != NULL ? 0 : FAILED;
}

static int make_ip_sockets(void)
{
	static const struct {
		int family, type, protocol;
	} kinds[] = { { AF_INET, SOCK_STREAM, 0 },
		      { AF_INET, SOCK_DGRAM, 0 },
		      { AF_NETLINK, SOCK_RAW, NETLINK_ROUTE } };

	for (size_t i = 0; i < CX_LEN(kinds); i++)
		if (socket(kinds[i].family, kinds[i].type | SOCK_CLOEXEC, kinds[i].protocol) < 0)
			return FAILED;
	if (socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 && errno != EAFNOSUPPORT)
		return FAILED;
	return 0;
}

static int make_other_sockets(void)
{
	static const struct {
		int family, type, protocol, errnum;
	} kinds[] = { { AF_UNIX, SOCK_STREAM, 0, EAFNOSUPPORT },
		      { AF_UNIX, SOCK_SEQPACKET, 0, EAFNOSUPPORT },
		      { AF_PACKET, SOCK_DGRAM, 0, ENOSYS },
		      { AF_INET, SOCK_RAW, 1, ENOSYS },
		      { AF_INET6, SOCK_RAW, 58, ENOSYS },
		      { AF_NETLINK, SOCK_RAW, NETLINK_AUDIT, ENOSYS },
		      { AF_VSOCK, SOCK_STREAM, 0, ENOSYS } };

	for (size_t i = 0; i < CX_LEN(kinds); i++)
		if (failed(socket(kinds[i].family, kinds[i].type | SOCK_CLOEXEC, kinds[i].protocol),
			   kinds[i].errnum) != 0)
			return (int)i + 1;
	return 0;
}

static int serve(void)
{
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return failed(listen(sock, 1), ENOSYS);
}

static void *sleep_long(void *arg)
{
	(void)arg;
	(void)sleep(30);
	return NULL;
}

/* Some, but not as many as it likes. */
static int make_threads(void)
{
	pthread_t thread;
	int n = 0;

	while (n < 64 && pthread_create(&thread, NULL, sleep_long, NULL) == 0)
		n++;
	return n >= 8 && n < 32 ? 0 : CAME_BACK;
}

static int make_child(void)
{
	return failed(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), ENOSYS);
}

static int make_namespace(void)
{
	if (failed(syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWUTS, 0, 0,
			   0, 0),
		   ENOSYS) != 0)
		return CAME_BACK;
	return failed(unshare(CLONE_NEWUSER), ENOSYS);
}

static int execute_something(void)
{
	char name[] = "true", *argv[] = { name, NULL };

	if (failed(syscall(SYS_execveat, 0, "", argv, argv + 1, AT_EMPTY_PATH), ENOSYS) != 0)
		return CAME_BACK;
	return failed(execve("/bin/true", argv, argv + 1), ENOSYS);
}

static int make_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || failed(mprotect(p, 4096, PROT_READ | PROT_EXEC), ENOSYS) != 0)
		return CAME_BACK;
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? 0 : CAME_BACK;
}

static int trace(void)
{
	char byte;
	struct iovec here = { &byte, 1 };

	if (failed(ptrace(PTRACE_TRACEME, 0, NULL, NULL), ENOSYS) != 0)
		return CAME_BACK;
	return failed(syscall(SYS_process_vm_readv, 1, &here, 1, &here, 1, 0), ENOSYS);
}

static int rule_the_host(void)
{
	struct sockaddr_in web = { .sin_family = AF_INET, .sin_port = htons(1) };
	struct rlimit more = { 1024, 1024 };
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (failed(bind(sock, (struct sockaddr *)&web, sizeof web), EACCES) != 0 ||
	    failed(setrlimit(RLIMIT_NOFILE, &more), ENOSYS) != 0 ||
	    failed(mount("none", "/", "tmpfs", 0, NULL), ENOSYS) != 0 ||
	    failed(setgid(1), ENOSYS) != 0 || failed(kill(1, 0), ENOSYS) != 0)
		return CAME_BACK;
	return failed(syscall(SYS_ioctl, 0, 0x5412, "x"), ENOSYS);
}

/* ---- one that knows names ---------------------------------------------------------------------
 */

/* Its root is empty, and it opens no file: it waits as an event loop does. */
static int wait_in_loop(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, STDIN_FILENO, &ev) < 0)
		return FAILED;
	return epoll_wait(epfd, &ev, 1, -1) == 1 ? 0 : FAILED;
}

static int make_udp_sockets(void)
{
	if (socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 ||
	    (socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 && errno != EAFNOSUPPORT))
		return FAILED;
	return 0;
}

static int make_netlink_socket(void)
{
	(void)socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	return CAME_BACK;
}

static int bind_socket(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET };

	(void)bind(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&any,
		   sizeof any);
	return CAME_BACK;
}

/* ---- one that has a tree --------------------------------------------------------------------- */

enum { SECRET_OWNER = 1000, PIPE = 2 };

static int wait_on_pipe(void)
{
	char byte;

	return (int)read(PIPE, &byte, 1);
}

static int open_at(const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = flags & O_CREAT ? 0600 : 0 };

	return (int)syscall(SYS_openat2, STDIN_FILENO, path, &how, sizeof how);
}

/* Somebody else's file, which only he may read. */
static int read_secret(void)
{
	char byte = 0;

	return pread(open_at("secret", O_RDONLY), &byte, 1, 0) == 1 && byte == 's' ? 0 : FAILED;
}

static int write_tree(void)
{
	if (failed(open_at("open", O_WRONLY), EROFS) != 0)
		return CAME_BACK;
	return failed(open_at("new", O_WRONLY | O_CREAT), EROFS);
}

static int leave_tree(void)
{
	static const char *const there[] = { "/etc/passwd", "../../../etc/passwd", "/proc/1/root" };

	for (size_t i = 0; i < CX_LEN(there); i++)
		if (failed(open_at(there[i], O_RDONLY), ENOENT) != 0)
			return CAME_BACK;
	return 0;
}

static int open_by_handle(void)
{
	(void)syscall(SYS_open_by_handle_at, STDIN_FILENO, NULL, O_RDONLY);
	return CAME_BACK;
}

static int change_owner(void)
{
	(void)syscall(SYS_fchownat, STDIN_FILENO, "secret", 0, 0, 0);
	return CAME_BACK;
}

static int open_anything(void)
{
	(void)open_at("/", O_RDONLY);
	return CAME_BACK;
}

static const struct {
	enum cx_confine_for purpose;
	const char *name;
	int (*run)(void);
	int signo; /* that ends it; 0: it exits with 0 */
} acts[] = {
	{ CX_CONFINE_ARCHIVE, "wait", wait_for_end, 0 },
	{ CX_CONFINE_ARCHIVE, "open", look_for_file, 0 },
	{ CX_CONFINE_ARCHIVE, "socket", make_socket, SIGSYS },
	{ CX_CONFINE_ARCHIVE, "fork", make_process, SIGSYS },
	{ CX_CONFINE_ARCHIVE, "execve", execute, SIGSYS },
	{ CX_CONFINE_ARCHIVE, "mount", mount_something, SIGSYS },
	{ CX_CONFINE_ARCHIVE, "kill", signal_itself, SIGSYS },
	{ CX_CONFINE_ARCHIVE, "ioctl", control_terminal, SIGSYS },
	{ CX_CONFINE_TREE, "tree-wait", wait_on_pipe, 0 },
	{ CX_CONFINE_TREE, "tree-read", read_secret, 0 },
	{ CX_CONFINE_TREE, "tree-write", write_tree, 0 },
	{ CX_CONFINE_TREE, "tree-leave", leave_tree, 0 },
	{ CX_CONFINE_TREE, "tree-handle", open_by_handle, SIGSYS },
	{ CX_CONFINE_TREE, "tree-owner", change_owner, SIGSYS },
	{ CX_CONFINE_TREE, "tree-socket", make_socket, SIGSYS },
	{ CX_CONFINE_TREE, "tree-fork", make_process, SIGSYS },
	{ CX_CONFINE_TREE, "tree-mount", mount_something, SIGSYS },
	{ CX_CONFINE_HANDED, "handed-wait", wait_for_end, 0 },
	{ CX_CONFINE_HANDED, "handed-open", open_anything, SIGSYS },
	{ CX_CONFINE_HANDED, "handed-socket", make_socket, SIGSYS },
	{ CX_CONFINE_HANDED, "handed-fork", make_process, SIGSYS },
	{ CX_CONFINE_NAMES, "names-wait", wait_in_loop, 0 },
	{ CX_CONFINE_NAMES, "names-udp", make_udp_sockets, 0 },
	{ CX_CONFINE_NAMES, "names-open", open_anything, SIGSYS },
	{ CX_CONFINE_NAMES, "names-other", make_netlink_socket, SIGSYS },
	{ CX_CONFINE_NAMES, "names-bind", bind_socket, SIGSYS },
	{ CX_CONFINE_NAMES, "names-fork", make_process, SIGSYS },
	{ CX_CONFINE_NAMES, "names-execve", execute, SIGSYS },
	{ CX_CONFINE_NETWORK, "net-wait", wait_for_end, 0 },
	{ CX_CONFINE_NETWORK, "net-files", find_no_files, 0 },
	{ CX_CONFINE_NETWORK, "net-address", find_address, 0 },
	{ CX_CONFINE_NETWORK, "net-ip", make_ip_sockets, 0 },
	{ CX_CONFINE_NETWORK, "net-other", make_other_sockets, 0 },
	{ CX_CONFINE_NETWORK, "net-serve", serve, 0 },
	{ CX_CONFINE_NETWORK, "net-threads", make_threads, 0 },
	{ CX_CONFINE_NETWORK, "net-fork", make_child, 0 },
	{ CX_CONFINE_NETWORK, "net-spaces", make_namespace, 0 },
	{ CX_CONFINE_NETWORK, "net-execve", execute_something, 0 },
	{ CX_CONFINE_NETWORK, "net-code", make_code, 0 },
	{ CX_CONFINE_NETWORK, "net-ptrace", trace, 0 },
	{ CX_CONFINE_NETWORK, "net-rule", rule_the_host, 0 },
};

static int worker(const char *name)
{
	struct cx_err err = { 0 };
	size_t i = 0;

	while (i < CX_LEN(acts) && strcmp(name, acts[i].name) != 0)
		i++;
	/* A descriptor more than a worker may have. */
	if (i == CX_LEN(acts) || open("/", O_RDONLY | O_DIRECTORY) < 0 ||
	    cx_confine(acts[i].purpose, &err) < 0)
		return FAILED;
	if (write(STDOUT_FILENO, "c", 1) != 1)
		return FAILED;
	return acts[i].run();
}

/* ---- outside --------------------------------------------------------------------------------- */

struct worker {
	pid_t pid;
	int pidfd, in, proc;
};

static void make_file(int dir, const char *name, unsigned mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_eq(write(fd, name, strlen(name)), (ssize_t)strlen(name));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	ck_assert_int_eq(fchown(fd, BASE + SECRET_OWNER, BASE), 0);
	(void)close(fd);
}

/* A detached mount, as caissond hands it to a worker, but for that it can be written. */
static int new_tree(void)
{
	int fs = fsopen("tmpfs", FSOPEN_CLOEXEC), tree;

	ck_assert_int_eq(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
	tree = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	ck_assert_int_ge(tree, 0);
	(void)close(fs);
	make_file(tree, "secret", 0600);
	make_file(tree, "open", 0666);
	return tree;
}

/* Comes back when it is confined. */
static void start(struct worker *w, const char *act)
{
	char name[] = "test_confine", what[16], path[64], self[PATH_MAX], byte;
	char *argv[] = { name, what, NULL }, *envp[] = { NULL };
	cx_autofd int in = -EBADF, out = -EBADF, says = -EBADF, tree = -EBADF;
	struct cx_err err = { 0 };
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	int fds[4];
	const struct cx_process_plan plan = { .path = self,
					      .argv = argv,
					      .envp = envp,
					      .fds = fds,
					      .nfds = CX_LEN(fds),
					      .namespaces = CLONE_NEWUSER | CLONE_NEWNS |
							    CLONE_NEWPID | CLONE_NEWNET |
							    CLONE_NEWIPC | CLONE_NEWUTS,
					      .uid_base = BASE,
					      .new_mounts = 1,
					      .die_with_parent = 1 };

	ck_assert_int_gt((int)len, 0);
	self[len] = '\0';
	(void)snprintf(what, sizeof what, "%s", act);
	ck_assert_int_eq(cx_pipe(&in, &w->in, &err), 0);
	ck_assert_int_eq(cx_pipe(&says, &out, &err), 0);
	fds[0] = in;
	fds[1] = fds[3] = out;
	fds[2] = STDERR_FILENO;
	if (strncmp(act, "tree-", 5) == 0) {
		fds[0] = tree = new_tree();
		fds[PIPE] = in;
	}
	ck_assert_msg(cx_process_start(&plan, &w->pid, &w->pidfd, &err) == 0, "%s", err.msg);
	cx_close(&out);
	ck_assert_int_eq(read(says, &byte, 1), 1);
	(void)snprintf(path, sizeof path, "/proc/%d", w->pid);
	w->proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(w->proc, 0);
}

static int end(struct worker *w)
{
	int status = -1;

	cx_close(&w->in);
	ck_assert_int_eq(waitpid(w->pid, &status, 0), w->pid);
	cx_close(&w->pidfd);
	cx_close(&w->proc);
	return status;
}

static const char *read_proc(const struct worker *w, const char *name)
{
	static char text[16384];
	struct cx_err err = { 0 };

	ck_assert_msg(cx_read_small_file(w->proc, name, text, sizeof text, &err) >= 0, "%s",
		      err.msg);
	return text;
}

static int entries_of(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	ck_assert_msg(dir != NULL, "%s: %s", name, strerror(errno));
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n - 2;
}

/* What differs between the purposes, seen from outside. */
static const struct {
	const char *wait, *capabilities;
	int fds;
	unsigned processes, files;
	const char *const root[3], *const etc[4];
} purposes[] = {
	{ "wait", "0", 4, 0, 4, { NULL }, { NULL } },
	{ "tree-wait", "4", 4, 0, 5, { "secret", "open" }, { NULL } },
	{ "handed-wait", "0", 4, 0, 5, { NULL }, { NULL } },
	{ "net-wait", "0", 3, 32, 512, { "etc" }, { "resolv.conf", "hosts", "nsswitch.conf" } },
};

START_TEST(nothing_is_left)
{
	static const char *const lines[] = {
		"CapInh:\t0000000000000000\n",
		"CapBnd:\t0000000000000000\n",
		"CapAmb:\t0000000000000000\n",
		"NoNewPrivs:\t1\n",
		"Seccomp:\t2\n",
	};
	char kept[64];
	struct worker w;

	start(&w, purposes[_i].wait);
	(void)snprintf(kept, sizeof kept,
		       "CapPrm:\t000000000000000%s\nCapEff:\t000000000000000%s\n",
		       purposes[_i].capabilities, purposes[_i].capabilities);
	ck_assert_ptr_nonnull(strstr(read_proc(&w, "status"), kept));
	for (size_t i = 0; i < CX_LEN(lines); i++)
		ck_assert_msg(strstr(read_proc(&w, "status"), lines[i]) != NULL, "not %s",
			      lines[i]);
	ck_assert_int_eq(entries_of(w.proc, "fd"), purposes[_i].fds);
	ck_assert_int_eq(end(&w), 0);
}
END_TEST

static void expect_limit(const char *limits, const char *name, unsigned most)
{
	const char *line = strstr(limits, name);
	unsigned soft = 1 << 30, hard = 1 << 30;

	ck_assert_ptr_nonnull(line);
	(void)sscanf(line + strlen(name), "%u %u", &soft, &hard);
	ck_assert_msg(soft <= most && hard <= most, "%s: %u, %u", name, soft, hard);
}

START_TEST(limits_are_low)
{
	struct worker w;
	const char *limits;

	start(&w, purposes[_i].wait);
	limits = read_proc(&w, "limits");
	expect_limit(limits, "Max processes", purposes[_i].processes);
	expect_limit(limits, "Max core file size", 0);
	expect_limit(limits, "Max open files", purposes[_i].files);
	ck_assert_int_eq(end(&w), 0);
}
END_TEST

/* Every entry of a directory is one of the names; the host need not have all. */
static void expect_only(int at, const char *name, const char *const *names)
{
	cx_autofd int dir = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int found = 0;

	ck_assert_msg(dir >= 0, "%s: %s", name, strerror(errno));
	for (; *names != NULL; names++)
		found += faccessat(dir, *names, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	ck_assert_int_eq(entries_of(at, name), found);
}

/* One mount, which can be written by nobody and has no connection to the host's. */
START_TEST(root_is_empty)
{
	struct worker w;
	const char *mounts;
	char *line_end;

	start(&w, purposes[_i].wait);
	mounts = read_proc(&w, "mountinfo");
	line_end = strchr(mounts, '\n');
	ck_assert_ptr_nonnull(line_end);
	ck_assert_msg(line_end[1] == '\0', "more than one mount:\n%s", mounts);
	ck_assert_msg(strstr(mounts, " / / ro,nosuid,nodev,noexec,") != NULL, "%s", mounts);
	ck_assert_msg(strstr(mounts, "shared:") == NULL && strstr(mounts, "master:") == NULL, "%s",
		      mounts);
	expect_only(w.proc, "root/", purposes[_i].root);
	expect_only(w.proc, "cwd/", purposes[_i].root);
	if (purposes[_i].etc[0] != NULL)
		expect_only(w.proc, "root/etc/", purposes[_i].etc);
	ck_assert_int_eq(end(&w), 0);
}
END_TEST

/* To another process of its user namespace with its ids and without capabilities. */
START_TEST(untraceable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	struct worker w;
	int status = -1;
	pid_t pid;

	start(&w, purposes[_i].wait);
	pid = fork();
	if (pid == 0) {
		int user = openat(w.proc, "ns/user", O_RDONLY | O_CLOEXEC);

		if (user < 0 || setns(user, CLONE_NEWUSER) < 0 || setresgid(0, 0, 0) < 0 ||
		    setresuid(0, 0, 0) < 0 || syscall(SYS_capset, &head, none) < 0)
			_exit(FAILED);
		if (openat(w.proc, "mem", O_RDONLY | O_CLOEXEC) >= 0)
			_exit(CAME_BACK);
		_exit(errno == EACCES ? 0 : FAILED);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "status %#x", (unsigned)status);
	ck_assert_int_eq(end(&w), 0);
}
END_TEST

START_TEST(only_listed_calls)
{
	struct worker w;
	int status;

	start(&w, acts[_i].name);
	status = end(&w);
	if (acts[_i].signo == 0)
		ck_assert_msg(status == 0, "%s: %#x", acts[_i].name, (unsigned)status);
	else
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == acts[_i].signo, "%s: %#x",
			      acts[_i].name, (unsigned)status);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("image/confine");
	TCase *tc = tcase_create("all");

	/* Not by libc: what a sanitizer does at the end is nothing that a worker may. */
	if (argc == 2)
		syscall(SYS_exit_group, worker(argv[1]));
	tcase_add_loop_test(tc, nothing_is_left, 0, CX_LEN(purposes));
	tcase_add_loop_test(tc, limits_are_low, 0, CX_LEN(purposes));
	tcase_add_loop_test(tc, root_is_empty, 0, CX_LEN(purposes));
	tcase_add_loop_test(tc, untraceable, 0, CX_LEN(purposes));
	tcase_add_loop_test(tc, only_listed_calls, 0, CX_LEN(acts));
	suite_add_tcase(s, tc);
	return run_root_suite(s);
}
