/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/group.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

enum { SPARES_MAX = 4, SWEEP_MS = 1000, PATH_SIZE = CX_GROUP_PATH_SIZE };
enum { KEPT_SLOT = 1 }; /* of commands that run one after the other */

static const char *path_of(char path[PATH_SIZE], const struct cx_group *group, const char *file)
{
	(void)snprintf(path, PATH_SIZE, "%s-%u%s%s", group->is_slot ? "cmd" : "exec", group->number,
		       *file != '\0' ? "/" : "", file);
	return path;
}

/* False while a process is left in it. */
static bool remove_dir(const struct cx_groups *groups, const struct cx_group *group)
{
	char path[PATH_SIZE];

	return groups->n == 0 ||
	       unlinkat(groups->work[0], path_of(path, group, ""), AT_REMOVEDIR) == 0 ||
	       errno == ENOENT;
}

/* On v1 "tasks": a pid into cgroup.procs may wait for an RCU grace period. */
static void name_tasks(const struct cx_groups *groups, struct cx_group *group)
{
	(void)path_of(group->tasks, group, groups->v2 ? "cgroup.procs" : "tasks");
}

static int make_dir(const struct cx_groups *groups, const struct cx_group *group,
		    struct cx_err *err)
{
	char path[PATH_SIZE];

	if (groups->n > 0 && mkdirat(groups->work[0], path_of(path, group, ""), 0755) < 0)
		return cx_fail(err, errno, "make control group '%s'", path);
	return 0;
}

static int make(struct cx_groups *groups, struct cx_group **ret, struct cx_err *err)
{
	cx_autofree struct cx_group *group = calloc(1, sizeof *group);

	if (group == NULL)
		return cx_fail(err, ENOMEM, "control group");
	group->number = ++groups->last_number;
	if (make_dir(groups, group, err) < 0)
		return -err->errnum;
	name_tasks(groups, group);
	*ret = cx_take_ptr(&group);
	return 0;
}

static void keep_spare(struct cx_groups *groups, struct cx_group *group)
{
	group->leader = 0;
	group->next = groups->spare;
	groups->spare = group;
	groups->nspare++;
}

/* As many as there are processes at most, and a failed try costs two microseconds. */
static void sweep(struct cx_timer *timer)
{
	struct cx_groups *groups = cx_container_of(timer, struct cx_groups, sweep);
	struct cx_group **at = &groups->leftovers;

	while (*at != NULL) {
		struct cx_group *group = *at;

		if (remove_dir(groups, group)) {
			*at = group->next;
			free(group);
		} else {
			at = &group->next;
		}
	}
	if (groups->leftovers != NULL)
		cx_timer_set(groups->loop, &groups->sweep, SWEEP_MS);
}

void cx_groups_init(struct cx_groups *groups, struct cx_loop *loop, const int *work, unsigned n)
{
	*groups = (struct cx_groups){ .n = n, .loop = loop, .sweep = { .fire = sweep } };
	for (unsigned i = 0; i < n; i++) {
		struct stat st;

		groups->work[i] = work[i];
		groups->is_dir[i] = fstat(work[i], &st) == 0 && S_ISDIR(st.st_mode);
		groups->kept[i] = -EBADF;
	}
	groups->v2 = n > 0 && faccessat(work[0], "cgroup.controllers", F_OK, 0) == 0;
}

static int take_slot(const struct cx_groups *groups, uint32_t slot, struct cx_group **ret,
		     struct cx_err *err)
{
	*ret = calloc(1, sizeof **ret);
	if (*ret == NULL)
		return cx_fail(err, ENOMEM, "control group");
	(*ret)->number = slot;
	(*ret)->is_slot = true;
	name_tasks(groups, *ret);
	return 0;
}

static int take_own(struct cx_groups *groups, struct cx_group **ret, struct cx_err *err)
{
	struct cx_group *group = groups->spare;

	if (group == NULL)
		return make(groups, ret, err);
	groups->spare = group->next;
	groups->nspare--;
	group->next = NULL;
	*ret = group;
	return 0;
}

int cx_group_take(struct cx_groups *groups, uint32_t slot, struct cx_group **ret,
		  struct cx_err *err)
{
	return slot > 0 ? take_slot(groups, slot, ret, err) : take_own(groups, ret, err);
}

static void keep_open(struct cx_groups *groups, const struct cx_group *slot)
{
	for (unsigned i = 0; i < groups->n; i++)
		if (groups->is_dir[i] && groups->kept[i] < 0)
			groups->kept[i] = openat(groups->work[i], slot->tasks,
						 O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
}

static bool is_kept(const struct cx_group *group)
{
	return group->is_slot && group->number == KEPT_SLOT;
}

void cx_group_prepare(struct cx_groups *groups, const struct cx_group *begun)
{
	struct cx_group *group;
	struct cx_err ignored;

	if (is_kept(begun))
		keep_open(groups, begun);
	if (groups->spare == NULL && make(groups, &group, &ignored) == 0)
		keep_spare(groups, group);
}

void cx_group_release(struct cx_groups *groups, struct cx_group *group)
{
	if (group->is_slot) {
		/* The host makes one anew in which it was killed. */
		for (unsigned i = 0; group->spent && is_kept(group) && i < groups->n; i++)
			cx_close(&groups->kept[i]);
		free(group);
		return;
	}
	if (!group->spent && groups->nspare < SPARES_MAX && cx_group_empty(groups, group)) {
		keep_spare(groups, group);
		return;
	}
	if (remove_dir(groups, group)) {
		free(group);
		return;
	}
	group->next = groups->leftovers;
	groups->leftovers = group;
	if (groups->sweep.link == NULL)
		cx_timer_set(groups->loop, &groups->sweep, SWEEP_MS);
}

/* The kept file is of no use when the slot was made anew. */
static int join_tree(const struct cx_groups *groups, const struct cx_group *group, unsigned i,
		     struct cx_err *err)
{
	const char who_writes = '0'; /* here, as a constant may be a fault away */
	bool in_group = i == 0 || group->is_slot;

	if (!groups->is_dir[i])
		return cx_write_all(groups->work[i], &who_writes, 1, err);
	if (is_kept(group) && groups->kept[i] >= 0 && write(groups->kept[i], &who_writes, 1) == 1)
		return 0;
	return cx_write_file(groups->work[i], in_group ? group->tasks : "tasks", "0", err);
}

int cx_group_join(const struct cx_groups *groups, const struct cx_group *group, struct cx_err *err)
{
	for (unsigned i = 0; i < groups->n; i++)
		if (join_tree(groups, group, i, err) < 0)
			return cx_wrap(err, "join control group %u", i);
	return 0;
}

/* Sends signo to the pids in text, which ends behind a newline. 0 only counts. */
static unsigned signal_listed(char *text, int signo)
{
	unsigned n = 0;

	for (char *line = strsep(&text, "\n"); line != NULL && *line != '\0';
	     line = strsep(&text, "\n")) {
		long pid = strtol(line, NULL, 10);

		/* 0 is a process that this pid namespace does not see, 1 is the agent. */
		if (pid > 1 && (signo == 0 || kill((pid_t)pid, signo) == 0))
			n++;
	}
	return n;
}

/* Reads the list in pieces that end with a line; a pid is never cut in two. */
static unsigned signal_members(int work, const struct cx_group *group, int signo)
{
	char path[PATH_SIZE], text[4096];
	cx_autofd int fd = openat(work, path_of(path, group, "cgroup.procs"), O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	unsigned n = 0;
	ssize_t got;

	while (fd >= 0 && (got = read(fd, text + have, sizeof text - have)) > 0) {
		size_t whole = have + (size_t)got;
		char *end = memrchr(text, '\n', whole);

		have = whole;
		if (end == NULL)
			break;
		*end++ = '\0';
		have = whole - (size_t)(end - text);
		n += signal_listed(text, signo);
		memmove(text, end, have);
	}
	return n;
}

unsigned cx_group_signal(const struct cx_groups *groups, const struct cx_group *group, int signo)
{
	if (groups->n > 0)
		return signal_members(groups->work[0], group, signo);
	return group->leader > 1 && kill(-group->leader, signo) == 0 ? 1 : 0;
}

void cx_group_kill(const struct cx_groups *groups, struct cx_group *group)
{
	char path[PATH_SIZE];
	struct cx_err ignored;

	group->spent = true;
	if (groups->v2 &&
	    cx_write_file(groups->work[0], path_of(path, group, "cgroup.kill"), "1", &ignored) == 0)
		return;
	if (groups->n > 0)
		(void)!cx_write_file(groups->work[0], path_of(path, group, "pids.max"), "0",
				     &ignored);
	(void)cx_group_signal(groups, group, SIGKILL);
}

bool cx_group_empty(const struct cx_groups *groups, const struct cx_group *group)
{
	if (groups->n > 0)
		return signal_members(groups->work[0], group, 0) == 0;
	return group->leader <= 1 || (kill(-group->leader, 0) < 0 && errno == ESRCH);
}
