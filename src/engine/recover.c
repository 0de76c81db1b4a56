/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault.h"

/* Calls fn for every name in a directory. */
static int each_name(int dirfd, int (*fn)(const char *name, void *arg, struct cx_err *err),
		     void *arg, struct cx_err *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int r = 0;

	if (dir == NULL) {
		(void)cx_fail(err, errno, "list a directory");
		cx_close(&fd);
		return -err->errnum;
	}
	while (r == 0 && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = fn(entry->d_name, arg, err);
	(void)closedir(dir);
	return r;
}

/*
 * Whether the host lacks something at the moment. That says nothing of a sandbox: it is no reason
 * to remove one, but one not to start, as the next start may find it.
 */
static bool is_want(const struct cx_err *err)
{
	static const int wants[] = { EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC };

	for (size_t i = 0; i < CX_LEN(wants); i++)
		if (!err->refused && err->errnum == wants[i])
			return true;
	return false;
}

/*
 * A descriptor of the recorded process in *ret, left alone when it is gone. The descriptor comes
 * first: if the start time read afterwards is the recorded one, no other process can have the
 * number since.
 */
static int open_process(const struct cx_record *record, int *ret, struct cx_err *err)
{
	cx_autofd int pidfd = -EBADF;
	struct pollfd ended = { .events = POLLIN };
	uint64_t ticks = 0;

	if (record->pid == 0)
		return 0;
	pidfd = (int)syscall(SYS_pidfd_open, (pid_t)record->pid, 0);
	if (pidfd < 0)
		(void)cx_fail(err, errno, "open process %u", record->pid);
	if (pidfd < 0 || cx_record_start_ticks((pid_t)record->pid, &ticks, err) < 0)
		return is_want(err) ? -err->errnum : 0;
	ended.fd = pidfd;
	if (ticks == record->start_ticks && poll(&ended, 1, 0) == 0)
		*ret = cx_take_fd(&pidfd);
	return 0;
}

/* A record that cannot be read still has a name, and by that its remains are found. */
static int recover_record(const char *id, void *arg, struct cx_err *err)
{
	struct cx_sandboxes *set = arg;
	cx_autofd int pidfd = -EBADF;
	struct cx_record record;

	if (!cx_record_is_id(id))
		return 0;
	if (cx_fault_step("recover a record", err) < 0)
		return -err->errnum;
	if (cx_record_load(set->host->dirs.sandboxes, id, &record, err) < 0) {
		if (is_want(err))
			return -err->errnum;
		cx_log_err(CX_LOG_WARNING, err, "record is of no use", "id", id, NULL);
		cx_record_init(&record, id);
	}
	if (open_process(&record, &pidfd, err) < 0)
		return cx_wrap(err, "sandbox '%s'", id);
	if (pidfd >= 0 && record.state == CX_RECORD_RUNNING) {
		if (cx_sandbox_adopt(set, &record, &pidfd, err) == 0) {
			cx_log(CX_LOG_INFO, "sandbox adopted", "id", id, NULL);
			return 0;
		}
		if (is_want(err))
			return cx_wrap(err, "sandbox '%s'", id);
		cx_log_err(CX_LOG_WARNING, err, "sandbox cannot be adopted", "id", id, NULL);
	}
	cx_log(CX_LOG_INFO, "remains of a sandbox are removed", "id", id, NULL);
	return cx_sandbox_bury(set, &record, &pidfd, err);
}

/* Something of a sandbox without a record. */
static int recover_remains(const char *id, void *arg, struct cx_err *err)
{
	struct cx_sandboxes *set = arg;
	struct cx_record record;
	int no_process = -EBADF;

	if (!cx_record_is_id(id) || cx_sandbox_find(set, id) != NULL)
		return 0;
	if (cx_fault_step("recover remains", err) < 0)
		return -err->errnum;
	cx_record_init(&record, id);
	cx_log(CX_LOG_INFO, "remains of a sandbox are removed", "id", id, NULL);
	return cx_sandbox_bury(set, &record, &no_process, err);
}

static int is_ours(uint32_t base, const char *owner, void *arg)
{
	const struct cx_sandboxes *set = arg;

	(void)owner;
	for (const struct cx_sandbox *sb = set->first; sb != NULL; sb = sb->next)
		if (sb->record.uid_base == base)
			return 1;
	return 0;
}

/* Mount points of layers: what was mounted went with the daemon's mount namespace. */
static int remove_mount_point(const char *name, void *arg, struct cx_err *err)
{
	struct cx_sandboxes *set = arg;

	(void)err;
	(void)unlinkat(set->host->dirs.layer_mounts, name, AT_REMOVEDIR);
	return 0;
}

int cx_recover(struct cx_sandboxes *set, struct cx_err *err)
{
	struct cx_host *h = set->host;
	char freed[16];
	int n;

	if (each_name(h->dirs.sandboxes, recover_record, set, err) < 0 ||
	    cx_cgroups_each(h->cgroups, recover_remains, set, err) < 0 ||
	    each_name(h->dirs.writable, recover_remains, set, err) < 0 ||
	    each_name(h->dirs.layer_mounts, remove_mount_point, set, err) < 0)
		return cx_wrap(err, "recovery");
	n = cx_ids_reclaim(&h->ids, h->dirs.run_path, is_ours, set, err);
	if (n < 0)
		return cx_wrap(err, "recovery");
	(void)snprintf(freed, sizeof freed, "%d", n);
	if (n > 0)
		cx_log(CX_LOG_INFO, "id ranges without an owner are free again", "count", freed,
		       NULL);
	return 0;
}
