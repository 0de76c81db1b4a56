/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "engine/record.h"

enum { PID_SIZE = 24, LOCK_TRIES = 200 };

static const struct subdir {
	const char *name;
	bool in_run, gateways;
	size_t slot;
	const char *why;
} subdirs[] = {
	{ "layers", false, false, offsetof(struct cx_dirs, layers),
	  "images' set-user-ID files lie in there: nobody else may look" },
	{ "writable", false, false, offsetof(struct cx_dirs, writable),
	  "what sandboxes write is reachable from inside them only" },
	{ "trash", false, false, offsetof(struct cx_dirs, trash), "the same, after their end" },
	{ "gateway", false, true, offsetof(struct cx_dirs, gateway),
	  "state.db is the gateway's alone" },
	{ "sandboxes", true, false, offsetof(struct cx_dirs, sandboxes),
	  "a connection to an agent comes from caissond only" },
	{ "layers", true, false, offsetof(struct cx_dirs, layer_mounts), "mount points" },
};

/* A file system of its own begins with a lost+found. */
static bool is_nothing(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0;
}

static bool is_empty(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (dir == NULL) {
		cx_close(&fd);
		return false;
	}
	do
		entry = readdir(dir);
	while (entry != NULL && is_nothing(entry->d_name));
	(void)closedir(dir);
	return entry == NULL;
}

/* Opens (or makes) one top directory, as root's and, by group, passable for the gateway. */
static int open_top(const char *path, gid_t gid, int *ret, struct cx_err *err)
{
	cx_autofd int made = cx_mkdir_p(path, 0755, err);
	cx_autofd int fd = -EBADF;

	if (made < 0)
		return -err->errnum;
	fd = openat(made, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return cx_fail(err, errno, "open '%s'", path);
	if (faccessat(fd, "lock", F_OK, AT_SYMLINK_NOFOLLOW) < 0 && !is_empty(fd))
		return cx_refuse(err, CX_INVALID,
				 "'%s' is not empty and not a directory of caissond; name another",
				 path);
	if (fchown(fd, 0, gid) < 0 || fchmod(fd, 0710) < 0)
		return cx_fail(err, errno, "set owner and mode of '%s'", path);
	*ret = cx_take_fd(&fd);
	return 0;
}

/* Whose the lock is, as it says itself: digits, or "". */
static void read_owner(int fd, char ret[PID_SIZE])
{
	ssize_t n = pread(fd, ret, PID_SIZE - 1, 0);

	ret[n > 0 ? n : 0] = '\0';
	ret[strspn(ret, "0123456789")] = '\0';
}

/*
 * A caissond that was killed while it started a program may leave a child that holds the lock until
 * it has executed that program: then the owner is dead, and a little later the lock is free.
 */
static int lock_file(int fd, const char *path, struct cx_err *err)
{
	static const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	char pid[PID_SIZE];

	for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK)
			return cx_fail(err, errno, "lock '%s'", path);
		read_owner(fd, pid);
		if (i == LOCK_TRIES || pid[0] == '\0' || kill(atoi(pid), 0) == 0 || errno != ESRCH)
			return cx_refuse(err, CX_CONFLICT,
					 "'%s' is in use by another caissond, pid %s; stop that "
					 "one or name other --state and --run directories",
					 path, pid[0] != '\0' ? pid : "unknown");
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

static int take_lock(int dirfd, const char *path, int *ret, struct cx_err *err)
{
	cx_autofd int fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	char pid[PID_SIZE];

	if (fd < 0)
		return cx_fail(err, errno, "open '%s/lock'", path);
	if (lock_file(fd, path, err) < 0)
		return -err->errnum;
	(void)snprintf(pid, sizeof pid, "%d\n", getpid());
	if (ftruncate(fd, 0) < 0)
		return cx_fail(err, errno, "write '%s/lock'", path);
	if (cx_write_all(fd, pid, strlen(pid), err) < 0)
		return cx_wrap(err, "'%s/lock'", path);
	*ret = cx_take_fd(&fd);
	return 0;
}

static int open_subdir(int top, const struct subdir *sub, uid_t uid, gid_t gid, int *ret,
		       struct cx_err *err)
{
	cx_autofd int fd = -EBADF;

	if (mkdirat(top, sub->name, 0700) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "make directory '%s'", sub->name);
	fd = openat(top, sub->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return cx_fail(err, errno, "open directory '%s'", sub->name);
	if (fchown(fd, sub->gateways ? uid : 0, sub->gateways ? gid : 0) < 0 ||
	    fchmod(fd, 0700) < 0)
		return cx_fail(err, errno, "set owner and mode of '%s'", sub->name);
	*ret = cx_take_fd(&fd);
	return 0;
}

static int name_instance(const char *state, char ret[9], struct cx_err *err)
{
	cx_autofree char *canonical = realpath(state, NULL);

	if (canonical == NULL)
		return cx_fail(err, errno, "resolve '%s'", state);
	(void)snprintf(ret, 9, "%08x",
		       (uint32_t)(cx_record_hash(canonical, strlen(canonical)) >> 32));
	return 0;
}

static int open_all(const char *state, const char *run, uid_t uid, gid_t gid, struct cx_dirs *d,
		    struct cx_err *err)
{
	cx_autofd int state_dir = -EBADF;

	if (open_top(state, gid, &state_dir, err) < 0 ||
	    take_lock(state_dir, state, &d->state_lock, err) < 0 ||
	    name_instance(state, d->instance, err) < 0)
		return cx_wrap(err, "state directory");
	if (open_top(run, gid, &d->run, err) < 0 || take_lock(d->run, run, &d->run_lock, err) < 0)
		return cx_wrap(err, "run directory");
	for (size_t i = 0; i < CX_LEN(subdirs); i++) {
		int *slot = (int *)(void *)((char *)d + subdirs[i].slot);

		if (open_subdir(subdirs[i].in_run ? d->run : state_dir, &subdirs[i], uid, gid, slot,
				err) < 0)
			return cx_wrap(err, "'%s'", subdirs[i].in_run ? run : state);
	}
	return 0;
}

/* Elsewhere each record of a sandbox waits for a disk's journal, and that is on every creation. */
static void tell_if_on_disk(int run, const char *path)
{
	struct statfs fs;

	if (fstatfs(run, &fs) == 0 && fs.f_type != TMPFS_MAGIC)
		cx_log(CX_LOG_INFO, "run directory is not in memory (tmpfs): creating takes longer",
		       "run", path, NULL);
}

int cx_dirs_open(const char *state, const char *run, uid_t uid, gid_t gid, struct cx_dirs *ret,
		 struct cx_err *err)
{
	CX_AUTO(cx_dirs_close) struct cx_dirs d = CX_DIRS_NONE;

	if (open_all(state, run, uid, gid, &d, err) < 0)
		return -err->errnum;
	tell_if_on_disk(d.run, run);
	d.state_path = state;
	d.run_path = run;
	*ret = d;
	d = (struct cx_dirs)CX_DIRS_NONE;
	return 0;
}

void cx_dirs_close(struct cx_dirs *dirs)
{
	int *const all[] = { &dirs->layers,	  &dirs->writable, &dirs->trash,
			     &dirs->gateway,	  &dirs->run,	   &dirs->sandboxes,
			     &dirs->layer_mounts, &dirs->run_lock, &dirs->state_lock };

	for (size_t i = 0; i < CX_LEN(all); i++)
		cx_close(all[i]);
}
