/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_tree.h"

enum { PROCS_MAX_BYTES = 4 << 20, NAMES_MAX_BYTES = 4 << 20, BATCH = 64 };
enum { STEPS = 20000 }; /* of one call of cx_cgroup_remove(): the caller has others to serve */

/* ---- kill ------------------------------------------------------------------------------------ */

struct pids {
	pid_t *at;
	size_t n;
};

static void free_pids(struct pids *pids)
{
	free(pids->at);
}

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

static int read_procs(int dir, struct cx_buf *text, struct cx_err *err)
{
	cx_autofd int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return cx_fail(err, errno, "open 'cgroup.procs'");
	do {
		char *to = cx_buf_reserve(text, 4096, err);

		if (to == NULL)
			return -err->errnum;
		n = cx_read_upto(fd, to, 4096, err);
		if (n < 0)
			return -err->errnum;
		text->len += (size_t)n;
	} while (n == 4096);
	return cx_buf_add(text, "", 1, err);
}

static int list_pids(int dir, struct pids *ret, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf text = { .max = PROCS_MAX_BYTES };
	char *at, *end;

	if (read_procs(dir, &text, err) < 0)
		return -err->errnum;
	ret->at = calloc(text.len / 2 + 1,
			 sizeof *ret->at); /* a digit and a newline each, at least */
	if (ret->at == NULL)
		return cx_fail(err, ENOMEM, "list of processes");
	for (at = text.p; *at != '\0'; at = *end == '\n' ? end + 1 : end) {
		long pid = strtol(at, &end, 10);

		if (end == at)
			break;
		if (pid > 0 && pid <= INT_MAX) /* 0: not of our pid namespace */
			ret->at[ret->n++] = (pid_t)pid;
	}
	qsort(ret->at, ret->n, sizeof *ret->at, compare_pids);
	return 0;
}

/*
 * A pid names its process only while that lives. So: hold each process by a pidfd, look whether its
 * pid is still listed, and only then signal what is held.
 */
static int kill_batch(int dir, const pid_t *pids, size_t n, struct cx_err *err)
{
	CX_AUTO(free_pids) struct pids now = { 0 };
	int pidfds[BATCH], r;

	for (size_t i = 0; i < n; i++)
		pidfds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
	r = list_pids(dir, &now, err);
	for (size_t i = 0; i < n; i++) {
		if (r == 0 && pidfds[i] >= 0 &&
		    bsearch(&pids[i], now.at, now.n, sizeof *now.at, compare_pids) != NULL)
			(void)syscall(SYS_pidfd_send_signal, pidfds[i], SIGKILL, NULL, 0);
		cx_close(&pidfds[i]);
	}
	return r;
}

int cx_cgroup_kill_listed(int dir, struct cx_err *err)
{
	CX_AUTO(free_pids) struct pids pids = { 0 };

	if (list_pids(dir, &pids, err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < pids.n; i += BATCH)
		if (kill_batch(dir, pids.at + i, pids.n - i < BATCH ? pids.n - i : BATCH, err) < 0)
			return -err->errnum;
	return 0;
}

/* ---- remove ---------------------------------------------------------------------------------- */

struct killing {
	const struct cx_cgroup_version *version;
	int dir;
	bool deeper;
};

static int kill_child(const char *name, void *arg, struct cx_err *err)
{
	const struct killing *killing = arg;
	cx_autofd int dir = cx_cgroup_child(killing->dir, name, err);
	struct killing below = { killing->version, dir, false };

	if (dir < 0 || killing->version->kill(dir, err) < 0)
		return -err->errnum;
	return killing->deeper ? cx_cgroup_children(dir, kill_child, &below, err) : 0;
}

/* <id>, agent, work and exec-N. What a sandbox made below those, prune() kills group by group. */
static int kill_sandbox(const struct cx_cgroup_version *version, int top, struct cx_err *err)
{
	struct killing killing = { version, top, true };

	if (version->kill(top, err) < 0)
		return -err->errnum;
	return cx_cgroup_children(top, kill_child, &killing, err);
}

static int take_name(const char *name, void *arg, struct cx_err *err)
{
	struct cx_buf *names = arg;

	return cx_buf_add(names, name, strlen(name) + 1, err) < 0 ? -err->errnum : 1;
}

static char *last_name(const struct cx_buf *names)
{
	size_t at = names->len - 1;

	while (at > 0 && names->p[at - 1] != '\0')
		at--;
	return names->p + at;
}

static int remove_group(const struct cx_cgroup_version *version, int parent, int dir,
			const char *name, struct cx_err *err)
{
	struct cx_err ignored = { 0 };

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	(void)cx_fail(err, errno, "remove group '%.64s'", name);
	if (err->errnum == EBUSY)
		(void)version->kill(dir, &ignored);
	return -err->errnum;
}

/*
 * Removes the group "id" below parent, deepest groups first. A sandbox may have nested groups as
 * deep as it liked, so this is no recursion: one descriptor, and the names from "id" down to it.
 * ".." is safe in cgroup trees, where a directory cannot be moved to another parent.
 */
static int prune(const struct cx_cgroup_version *version, int parent, const char *id,
		 unsigned *steps, struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf names = { .max = NAMES_MAX_BYTES };
	cx_autofd int dir = cx_cgroup_child(parent, id, err);

	if (dir < 0 || cx_buf_add(&names, id, strlen(id) + 1, err) < 0)
		return -err->errnum;
	while (names.len > 0) {
		int found = cx_cgroup_children(dir, take_name, &names, err);
		cx_autofd int next = -EBADF;

		if (found < 0)
			return -err->errnum;
		if (*steps == 0)
			return cx_fail(err, EBUSY, "more groups than one pass removes");
		*steps -= 1;
		next = cx_cgroup_child(dir, found > 0 ? last_name(&names) : "..", err);
		if (next < 0)
			return -err->errnum;
		if (found == 0) {
			if (remove_group(version, next, dir, last_name(&names), err) < 0)
				return -err->errnum;
			names.len = (size_t)(last_name(&names) - names.p);
		}
		cx_close(&dir);
		dir = cx_take_fd(&next);
	}
	return 0;
}

/* False when one cannot be removed. */
static bool remove_slots(int dir, const char *id)
{
	char path[CX_CGROUP_NAME_MAX + sizeof "/work/cmd-4294967295"];

	for (uint32_t number = 1;; number++) {
		(void)snprintf(path, sizeof path, "%s/work/cmd-%" PRIu32, id, number);
		if (unlinkat(dir, path, AT_REMOVEDIR) < 0)
			return errno == ENOENT;
	}
}

/* The usual end: all has exited, and the agent has removed what it made. */
static bool remove_plain(int dir, const char *id)
{
	static const char *const below[] = { "/agent", "/work", "" };
	char path[CX_CGROUP_NAME_MAX + sizeof "/agent"];

	if (!remove_slots(dir, id))
		return false;

	for (size_t i = 0; i < CX_LEN(below); i++) {
		(void)snprintf(path, sizeof path, "%s%s", id, below[i]);
		if (unlinkat(dir, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return false;
	}
	return true;
}

int cx_cgroup_remove_in(const struct cx_cgroup_version *version, int dir, const char *id,
			struct cx_err *err)
{
	cx_autofd int top = -EBADF;
	struct cx_err gone = { 0 };
	unsigned steps = STEPS;

	if (remove_plain(dir, id))
		return 0;
	top = cx_cgroup_child(dir, id, err);
	if (top < 0 || prune(version, dir, id, &steps, err) == 0 || err->errnum != EBUSY)
		return -err->errnum;
	if (kill_sandbox(version, top, &gone) < 0 && gone.errnum != ENOENT && gone.errnum != ENODEV)
		*err = gone;
	return -err->errnum;
}

int cx_cgroup_remove(struct cx_cgroups *groups, const char *id, struct cx_err *err)
{
	struct cx_err first = { 0 };

	if (!cx_is_plain_name(id, CX_CGROUP_NAME_MAX))
		return cx_refuse(err, CX_INVALID, "'%.80s' is not an id", id);
	for (unsigned i = 0; i < groups->n && groups->trees[i].kind != CX_KIND_SHARED; i++) {
		struct cx_err failed = { 0 };

		/* What cannot be removed in one tree must not keep the others. EBUSY says the
		 * least. */
		if (cx_cgroup_remove_in(groups->version, groups->trees[i].dir, id, &failed) < 0 &&
		    (first.errnum == 0 || first.errnum == EBUSY))
			first = failed;
	}
	if (first.errnum == 0)
		return 0;
	*err = first;
	return cx_wrap(err, "cgroups of '%s'", id);
}
