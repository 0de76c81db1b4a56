/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox must be able to do: shows that the probe can see success, and that it is usable.
 */
#include "escape/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

static int own_file(const struct probe_row *row)
{
	cx_autofd int dir = -EBADF, fd = -EBADF;
	const char *at = probe_tmpdir();

	(void)row;
	if (at == NULL)
		return -errno;
	dir = open(at, O_DIRECTORY | O_CLOEXEC);
	fd = openat(dir, "file", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || fchmod(fd, 0640) < 0 ||
	    symlinkat("file", dir, "link") < 0 || renameat(dir, "file", dir, "moved") < 0 ||
	    linkat(dir, "moved", dir, "hard", 0) < 0 || mkfifoat(dir, "fifo", 0600) < 0)
		return -errno;
	for (const char *const *name =
		     (const char *const[]){ "link", "moved", "hard", "fifo", NULL };
	     *name != NULL; name++)
		if (unlinkat(dir, *name, 0) < 0)
			return -errno;
	return probe_result(rmdir(at));
}

/* A copy of our own program in a memfd, executed: memfds are not the danger, the agent's own is. */
static int memfd_exec(const struct probe_row *row)
{
	cx_autofd int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	cx_autofd int copy = memfd_create("probe", MFD_CLOEXEC);
	char *const argv[] = { (char *)(uintptr_t) "probe", (char *)(uintptr_t) "--list", NULL };
	static char block[65536];
	int status = -1;
	ssize_t got;
	pid_t child;

	(void)row;
	if (self < 0 || copy < 0)
		return -errno;
	while ((got = read(self, block, sizeof(block))) > 0)
		if (write(copy, block, (size_t)got) != got)
			return -errno;
	child = fork();
	if (child == 0) {
		(void)close(STDOUT_FILENO);
		(void)open("/dev/null", O_WRONLY);
		(void)fexecve(copy, argv, environ);
		_exit(EXIT_FAILURE);
	}
	(void)waitpid(child, &status, 0);
	return status == 0 ? PROBE_OPEN : -EACCES;
}

static int loopback(const struct probe_row *row)
{
	cx_autofd int listener = socket((int)row->a, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cx_autofd int client = socket((int)row->a, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *address =
		row->a == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
	socklen_t size = row->a == AF_INET ? sizeof(four) : sizeof(six);

	if (listener < 0 || client < 0 || bind(listener, address, size) < 0 ||
	    listen(listener, 1) < 0 || getsockname(listener, address, &size) < 0)
		return -errno;
	return probe_result(connect(client, address, size));
}

static int low_port(const struct probe_row *row)
{
	cx_autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_port = htons(80),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	(void)row;
	return probe_result(bind(fd, (struct sockaddr *)&four, sizeof(four)));
}

static int ping_socket(const struct probe_row *row)
{
	cx_autofd int fd = -EBADF;

	(void)row;
	if (probe_host.outside) /* as the host's settings are */
		return PROBE_OPEN;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
	return probe_result(fd);
}

static int unix_socket(const struct probe_row *row)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	cx_autofd int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cx_autofd int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(sa_family_t);

	(void)row;
	if (bind(listener, (struct sockaddr *)&name, size) < 0 || listen(listener, 1) < 0)
		return -errno;
	size = sizeof(name);
	if (getsockname(listener, (struct sockaddr *)&name, &size) < 0)
		return -errno;
	return probe_result(connect(client, (struct sockaddr *)&name, size));
}

static void *thread_main(void *arg)
{
	return arg;
}

static int thread(const struct probe_row *row)
{
	pthread_t id;
	void *result = NULL;
	int rc = pthread_create(&id, NULL, thread_main, (void *)(uintptr_t)row);

	if (rc == 0)
		rc = pthread_join(id, &result);
	return rc == 0 && result == row ? PROBE_OPEN : -rc;
}

static int terminal(const struct probe_row *row)
{
	cx_autofd int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	char name[64];

	(void)row;
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return -errno;
	if (ptsname_r(master, name, sizeof(name)) != 0)
		return -errno;
	cx_autofd int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (slave < 0 || isatty(slave) == 0)
		return -errno;
	return probe_result(ioctl(slave, TIOCSWINSZ, &size));
}

static int sysv_ipc(const struct probe_row *row)
{
	int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
	void *at = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);
	int sem = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);

	(void)row;
	if (id >= 0)
		(void)shmctl(id, IPC_RMID, NULL);
	if (sem >= 0)
		(void)semctl(sem, 0, IPC_RMID);
	return id >= 0 && sem >= 0 && at != MAP_FAILED ? PROBE_OPEN : -errno;
}

static int posix_shm(const struct probe_row *row)
{
	cx_autofd int fd = shm_open("/probe-shm", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)row;
	if (fd < 0 || ftruncate(fd, 4096) < 0)
		return -errno;
	return probe_result(shm_unlink("/probe-shm"));
}

static int own_child_signal(const struct probe_row *row)
{
	int status = 0;
	pid_t child = fork();

	(void)row;
	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	if (child < 0 || kill(child, SIGTERM) < 0 || waitpid(child, &status, 0) != child)
		return -errno;
	return WIFSIGNALED(status) ? PROBE_OPEN : -EPERM;
}

static int own_notify(const struct probe_row *row)
{
	cx_autofd int fd = inotify_init1(IN_CLOEXEC);

	(void)row;
	return probe_result(inotify_add_watch(fd, "/tmp", IN_CREATE));
}

static int own_clock(const struct probe_row *row)
{
	struct timespec now, nap = { .tv_nsec = 1000 };

	(void)row;
	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0 || nanosleep(&nap, NULL) < 0)
		return -errno;
	return PROBE_OPEN;
}

static int own_random(const struct probe_row *row)
{
	char bytes[16];

	(void)row;
	return syscall(SYS_getrandom, bytes, sizeof(bytes), 0) == (long)sizeof(bytes) ? PROBE_OPEN
										      : -errno;
}

static int own_mq(const struct probe_row *row)
{
	mqd_t queue = mq_open("/probe-mq", O_RDWR | O_CREAT, 0600, NULL);

	(void)row;
	if (queue == (mqd_t)-1)
		return -errno;
	(void)mq_close(queue);
	return probe_result(mq_unlink("/probe-mq"));
}

static int own_device(const struct probe_row *row)
{
	cx_autofd int fd = open(row->path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	char byte = 'x';

	if (fd < 0)
		return -errno;
	if (row->a != 0)
		return probe_result(read(fd, &byte, 1));
	return probe_result(write(fd, &byte, 1));
}

static const struct probe_row rows[] = {
	{ "file", own_file, NULL, 0, 0, 0, PROBE_CONTROL,
	  "make, change, link, move, remove a file of one's own" },
	{ "memfd_exec", memfd_exec, NULL, 0, 0, 0, PROBE_CONTROL,
	  "a memory file of one's own may be executed" },
	{ "loopback4", loopback, NULL, AF_INET, 0, 0, PROBE_CONTROL,
	  "servers and clients within a sandbox" },
	{ "loopback6", loopback, NULL, AF_INET6, 0, 0, PROBE_CONTROL, "the same over IPv6" },
	{ "low_port", low_port, NULL, 0, 0, 0, PROBE_CONTROL, "port 80 of one's own network" },
	{ "ping", ping_socket, NULL, 0, 0, 0, PROBE_CONTROL, "ping without raw sockets" },
	{ "unix_socket", unix_socket, NULL, 0, 0, 0, PROBE_CONTROL,
	  "an abstract socket of one's own" },
	{ "thread", thread, NULL, 0, 0, 0, PROBE_CONTROL, "threads, whatever became of clone3" },
	{ "terminal", terminal, NULL, 0, 0, 0, PROBE_CONTROL, "a terminal of one's own devpts" },
	{ "sysv", sysv_ipc, NULL, 0, 0, 0, PROBE_CONTROL, "System V IPC of one's own namespace" },
	{ "shm", posix_shm, NULL, 0, 0, 0, PROBE_CONTROL, "/dev/shm of one's own" },
	{ "mqueue", own_mq, NULL, 0, 0, 0, PROBE_CONTROL, "message queues of one's own namespace" },
	{ "signal", own_child_signal, NULL, 0, 0, 0, PROBE_CONTROL, "ending one's own child" },
	{ "inotify", own_notify, NULL, 0, 0, 0, PROBE_CONTROL, "watching one's own files" },
	{ "clock", own_clock, NULL, 0, 0, 0, PROBE_CONTROL, "reading clocks and sleeping" },
	{ "random", own_random, NULL, 0, 0, 0, PROBE_CONTROL, "randomness" },
	{ "dev_null", own_device, "/dev/null", 0, 0, 0, PROBE_CONTROL,
	  "the devices that programs need" },
	{ "dev_zero", own_device, "/dev/zero", 1, 0, 0, PROBE_CONTROL,
	  "the devices that programs need" },
	{ "dev_urandom", own_device, "/dev/urandom", 1, 0, 0, PROBE_CONTROL,
	  "the devices that programs need" },
};

const struct probe_group probe_control = { "control", rows, CX_LEN(rows) };
