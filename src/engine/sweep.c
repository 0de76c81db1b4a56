/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/policy.h"
#include "runtime/caps.h"

enum { KICK_MS = 50, AGAIN_MS = 1000, FAILURES_MAX = 10 };

CX_DEFINE_AUTO(DIR *, closedir);

/* One pass over a directory. */
struct pass {
	int trash;
	uint64_t moved; /* makes names for what is moved up */
	bool progress;	/* something is gone or moved: another pass may do more */
};

static DIR *list(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir == NULL)
		cx_close(&fd);
	return dir;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* A directory within the trash that could not be removed becomes an entry of the trash itself. */
static bool move_up(struct pass *pass, int dirfd, const char *name)
{
	char to[40];

	for (int tries = 0; tries < 1000; tries++) {
		(void)snprintf(to, sizeof to, "moved-%llu", (unsigned long long)pass->moved++);
		if (renameat2(dirfd, name, pass->trash, to, RENAME_NOREPLACE) == 0)
			return true;
		if (errno != EEXIST)
			return false;
	}
	return false;
}

static bool delete_entry(int dirfd, const char *name)
{
	return unlinkat(dirfd, name, 0) == 0 || unlinkat(dirfd, name, AT_REMOVEDIR) == 0;
}

static void empty(struct pass *pass, const char *name)
{
	CX_AUTO(closedirp) DIR *dir = list(pass->trash, name);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (!is_dots(entry->d_name) && (delete_entry(dirfd(dir), entry->d_name) ||
						move_up(pass, dirfd(dir), entry->d_name)))
			pass->progress = true;
}

static int sweep_once(struct pass *pass, struct cx_err *err)
{
	CX_AUTO(closedirp) DIR *dir = list(pass->trash, ".");
	struct dirent *entry;

	if (dir == NULL)
		return cx_fail(err, errno, "list the trash");
	while ((entry = readdir(dir)) != NULL) {
		if (is_dots(entry->d_name))
			continue;
		if (!delete_entry(pass->trash, entry->d_name)) {
			empty(pass, entry->d_name);
			if (unlinkat(pass->trash, entry->d_name, AT_REMOVEDIR) < 0)
				continue;
		}
		pass->progress = true;
	}
	return 0;
}

int cx_sweep(int trash, struct cx_err *err)
{
	struct pass pass = { .trash = trash };

	/* Each pass with progress made the trees smaller, so this ends. */
	do {
		pass.progress = false;
		if (sweep_once(&pass, err) < 0)
			return -err->errnum;
	} while (pass.progress);
	return 0;
}

int cx_sweep_main(struct cx_err *err)
{
	(void)setpriority(PRIO_PROCESS, 0, 19);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		      IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	if (cx_caps_keep(cx_policy_sweeper_caps, cx_policy_nsweeper_caps, err) < 0)
		return -err->errnum;
	return cx_sweep(CX_SWEEP_FD, err);
}

/* ---- caissond's side ------------------------------------------------------------------------- */

static void exited(void *owner, const struct cx_child_end *end)
{
	struct cx_sweeper *s = owner;
	char how[48];

	s->child = NULL;
	s->failures = end->code == CLD_EXITED && end->status == 0 ? 0 : s->failures + 1;
	if (s->failures > 0)
		cx_log(CX_LOG_WARNING, "sweeper failed", "how",
		       cx_child_describe(end, how, sizeof how), NULL);
	if (s->failures > 0 && s->failures < FAILURES_MAX) /* the rest is still there */
		cx_timer_set(&s->host->loop, &s->timer, AGAIN_MS);
	else if (s->again)
		cx_timer_set(&s->host->loop, &s->timer, KICK_MS);
	s->again = false;
}

static void start(struct cx_timer *timer)
{
	struct cx_sweeper *s = cx_container_of(timer, struct cx_sweeper, timer);
	char name[] = "caissond", option[] = "--sweep";
	char *argv[] = { name, option, NULL };
	const int fds[] = { -EBADF, -EBADF, STDERR_FILENO, s->host->dirs.trash };
	struct cx_process_plan plan = { .path = s->host->self,
					.argv = argv,
					.envp = cx_host_environment,
					.fds = fds,
					.nfds = CX_LEN(fds),
					.die_with_parent = 1 };
	struct cx_err err;

	if (cx_child_start(&s->host->loop, &plan, exited, s, &s->child, &err) < 0) {
		cx_log_err(CX_LOG_WARNING, &err, "sweeper did not start", NULL);
		cx_timer_set(&s->host->loop, &s->timer, AGAIN_MS);
	}
}

void cx_sweeper_open(struct cx_sweeper *ret, struct cx_host *host)
{
	*ret = (struct cx_sweeper){ .host = host, .timer = { .fire = start } };
}

void cx_sweeper_kick(struct cx_sweeper *sweeper)
{
	if (sweeper->child != NULL)
		sweeper->again = true;
	else if (sweeper->timer.link == NULL)
		cx_timer_set(&sweeper->host->loop, &sweeper->timer, KICK_MS);
}

bool cx_sweeper_busy(const struct cx_sweeper *sweeper)
{
	return sweeper->child != NULL || sweeper->timer.link != NULL;
}

void cx_sweeper_close(struct cx_sweeper *sweeper)
{
	cx_timer_clear(&sweeper->timer);
	cx_child_forget(sweeper->child, true);
	sweeper->child = NULL;
}
