/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "runtime/cgroup_tree.h"

enum { PERIOD_US = 100000, PIDS_MAX = 4 << 20 /* the kernel takes no more */ };
static_assert((int)CX_CGROUP_FOUND_MAX <= (int)CX_CGROUP_TREES_MAX,
	      "a sandbox has a group in each");

/* ---- shared with the versions ---------------------------------------------------------------- */

int cx_cgroup_write(int dir, const char *file, const char *text, bool optional, struct cx_err *err)
{
	if (cx_write_file(dir, file, text, err) == 0)
		return 0;
	if (!optional || err->errnum != ENOENT)
		return -err->errnum;
	*err = (struct cx_err){ 0 };
	return 0;
}

int cx_cgroup_child(int dir, const char *name, struct cx_err *err)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 ? fd : cx_fail(err, errno, "open group '%s'", name);
}

int cx_cgroup_children(int dir, int (*fn)(const char *name, void *arg, struct cx_err *err),
		       void *arg, struct cx_err *err)
{
	_Alignas(struct dirent64) char buf[8192];
	ssize_t n;
	int r;

	if (lseek(dir, 0, SEEK_SET) < 0)
		return cx_fail(err, errno, "rewind group");
	while ((n = getdents64(dir, buf, sizeof buf)) > 0) {
		const struct dirent64 *entry;

		for (ssize_t at = 0; at < n; at += entry->d_reclen) {
			entry = (const struct dirent64 *)(const void *)(buf + at);
			if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
			    strcmp(entry->d_name, "..") == 0)
				continue;
			r = fn(entry->d_name, arg, err);
			if (r != 0)
				return r;
		}
	}
	return n == 0 ? 0 : cx_fail(err, errno, "list group");
}

/* ---- the instance ---------------------------------------------------------------------------- */

static int enable_controllers(const struct cx_cgroups *groups, int dir, struct cx_err *err)
{
	if (groups->version->subtree == NULL)
		return 0;
	return cx_write_file(dir, "cgroup.subtree_control", groups->version->subtree, err);
}

static int open_instance(const struct cx_cgroups *groups, struct cx_cgroup_tree *tree,
			 struct cx_err *err)
{
	if (enable_controllers(groups, tree->root, err) < 0)
		return -err->errnum;
	if (mkdirat(tree->root, groups->name, 0755) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "make group");
	tree->dir = cx_cgroup_child(tree->root, groups->name, err);
	if (tree->dir < 0 || enable_controllers(groups, tree->dir, err) < 0)
		return -err->errnum;
	return groups->version->begin(tree, err);
}

static enum cx_cgroup_kind kind_of(unsigned controllers)
{
	return controllers == CX_CTL_DEVICES ? CX_KIND_SHARED : CX_KIND_SPLIT;
}

static int compare_trees(const void *a, const void *b)
{
	const struct cx_cgroup_tree *x = a, *y = b;
	bool pids_x = (x->controllers & CX_CTL_PIDS) != 0,
	     pids_y = (y->controllers & CX_CTL_PIDS) != 0;

	return x->kind != y->kind ? (int)x->kind - (int)y->kind : (int)pids_y - (int)pids_x;
}

static void close_groups(struct cx_cgroups **slot)
{
	cx_cgroups_close(*slot, false);
}

int cx_cgroups_open(const char *instance, struct cx_cgroups **ret, struct cx_err *err)
{
	CX_AUTO(close_groups) struct cx_cgroups *groups = calloc(1, sizeof *groups);

	if (groups == NULL)
		return cx_fail(err, ENOMEM, "cgroups");
	if (!cx_is_plain_name(instance, CX_CGROUP_NAME_MAX))
		return cx_refuse(err, CX_INVALID, "'%.80s' is not an instance name", instance);
	if (cx_format(groups->name, sizeof groups->name, "caisson-%s", err, instance) < 0 ||
	    cx_cgroups_find(groups, err) < 0)
		return -err->errnum;
	for (unsigned i = 0; i < groups->n; i++) {
		groups->trees[i].dir = -EBADF;
		groups->trees[i].kind = kind_of(groups->trees[i].controllers);
	}
	qsort(groups->trees, groups->n, sizeof groups->trees[0], compare_trees);
	for (unsigned i = 0; i < groups->n; i++)
		if (open_instance(groups, &groups->trees[i], err) < 0)
			return cx_wrap(err, "cgroup '%s'", groups->name);
	*ret = cx_take_ptr(&groups);
	return 0;
}

unsigned cx_cgroups_dirs(const struct cx_cgroups *groups, int ret[CX_CGROUP_TREES_MAX])
{
	unsigned n = cx_cgroups_count(groups);

	for (unsigned i = 0; i < n; i++)
		ret[i] = groups->trees[i].dir;
	return n;
}

int cx_cgroups_of_dirs(const int *dirs, unsigned n, struct cx_cgroups **ret, struct cx_err *err)
{
	struct statfs fs;
	struct cx_cgroups *groups;

	if (n == 0 || n > CX_CGROUP_FOUND_MAX || fstatfs(dirs[0], &fs) < 0)
		return cx_refuse(err, CX_INVALID, "%u trees of control groups", n);
	groups = calloc(1, sizeof *groups);
	if (groups == NULL)
		return cx_fail(err, ENOMEM, "cgroups");
	groups->version = fs.f_type == CGROUP2_SUPER_MAGIC ? &cx_cgroup_v2 : &cx_cgroup_v1;
	for (; groups->n < n; groups->n++)
		groups->trees[groups->n] = (struct cx_cgroup_tree){ .root = -EBADF,
								    .dir = dirs[groups->n],
								    .kind = CX_KIND_SPLIT };
	*ret = groups;
	return 0;
}

void cx_cgroups_close(struct cx_cgroups *groups, bool remove)
{
	if (groups == NULL)
		return;
	for (unsigned i = 0; i < groups->n; i++) {
		struct cx_cgroup_tree *tree = &groups->trees[i];

		/* Sandboxes that live on keep their groups; the next daemon re-uses them. */
		if (remove && tree->dir >= 0)
			(void)unlinkat(tree->root, groups->name, AT_REMOVEDIR);
		cx_close(&tree->dir);
		cx_close(&tree->root);
	}
	free(groups);
}

unsigned cx_cgroups_count(const struct cx_cgroups *groups)
{
	unsigned n = 0;

	while (n < groups->n && groups->trees[n].kind != CX_KIND_SHARED)
		n++;
	return n;
}

const char *cx_cgroups_mode(const struct cx_cgroups *groups)
{
	return groups->mode;
}

int cx_cgroups_each(struct cx_cgroups *groups,
		    int (*fn)(const char *id, void *arg, struct cx_err *err), void *arg,
		    struct cx_err *err)
{
	for (unsigned i = 0; i < groups->n && groups->trees[i].kind != CX_KIND_SHARED; i++) {
		int r = cx_cgroup_children(groups->trees[i].dir, fn, arg, err);

		if (r != 0)
			return r;
	}
	return 0;
}

/* ---- one sandbox ----------------------------------------------------------------------------- */

static void forget(struct cx_cgroup *group)
{
	*group = (struct cx_cgroup){ .ns = -EBADF };
	for (unsigned i = 0; i < CX_CGROUP_TREES_MAX; i++)
		group->top[i] = group->work[i] = group->tasks[i] = -EBADF;
}

void cx_cgroup_close_work(struct cx_cgroup *group)
{
	for (unsigned i = 0; i < group->n; i++)
		cx_close(&group->work[i]);
	group->n = 0;
}

void cx_cgroup_close(struct cx_cgroup *group)
{
	for (unsigned i = 0; i < group->ntop; i++)
		cx_close(&group->top[i]);
	cx_cgroup_close_work(group);
	for (unsigned i = 0; i < group->ntasks; i++)
		cx_close(&group->tasks[i]);
	cx_close(&group->ns);
	forget(group);
}

static uint64_t within(uint64_t value, uint64_t least, uint64_t most)
{
	return value < least ? least : value > most ? most : value;
}

/*
 * Of "<below><file>" in dir. Skips what limits does not set: the agent has no share of its own of
 * the CPU. of_all: which rows.
 */
static int write_limits(const struct cx_cgroups *groups, const struct cx_cgroup_tree *tree, int dir,
			const char *below, bool of_all, const struct cx_limits *limits,
			struct cx_err *err)
{
	const uint64_t values[] = {
		[CX_LIMIT_QUOTA_US] = (uint64_t)limits->cpu_milli * (PERIOD_US / 1000),
		[CX_LIMIT_SHARES] = within((uint64_t)limits->cpu_milli * 1024 / 1000, 2, 262144),
		[CX_LIMIT_WEIGHT] = within(limits->cpu_milli / 10, 1, 10000),
		[CX_LIMIT_MEMORY] = limits->memory_bytes,
		[CX_LIMIT_SOCKETS] = limits->memory_bytes / CX_SOCKETS_PART,
		[CX_LIMIT_PIDS] = limits->pids,
	};

	for (size_t i = 0; i < groups->version->nlimits; i++) {
		const struct cx_limit_row *row = &groups->version->limits[i];
		char path[64], text[48], number[24] = "";

		if ((row->controller & tree->controllers) == 0 || row->of_all != of_all ||
		    (row->controller == CX_CTL_CPU && limits->cpu_milli == 0))
			continue;
		if (row->value != CX_LIMIT_TEXT)
			(void)snprintf(number, sizeof number, "%" PRIu64, values[row->value]);
		(void)snprintf(text, sizeof text, "%s%s", number, row->text);
		(void)snprintf(path, sizeof path, "%s%s", below, row->file);
		if (cx_cgroup_write(dir, path, text, row->optional, err) < 0)
			return -err->errnum;
	}
	return 0;
}

static int make_group(int dir, const char *name, struct cx_err *err)
{
	int fd;

	if (mkdirat(dir, name, 0755) < 0)
		return cx_fail(err, errno, "make group '%s'", name);
	fd = cx_cgroup_child(dir, name, err);
	if (fd < 0)
		(void)unlinkat(dir, name, AT_REMOVEDIR);
	return fd;
}

/*
 * Its owner may put processes there, and where the pids are limited make groups below; the limits
 * stay root's, and so do the groups of commands that the host counts by.
 */
static int delegate(const struct cx_cgroups *groups, const struct cx_cgroup_tree *tree, int work,
		    uint32_t uid_base, struct cx_err *err)
{
	for (const char *const *file = groups->version->delegated; *file != NULL; file++)
		if (fchownat(work, *file, uid_base, uid_base, AT_SYMLINK_NOFOLLOW) < 0)
			return cx_fail(err, errno, "give '%s' to %" PRIu32, *file, uid_base);
	if (fchmod(work, 0755) < 0)
		return cx_fail(err, errno, "let others into the work group");
	if ((tree->controllers & CX_CTL_PIDS) != 0 &&
	    fchownat(work, "", uid_base, uid_base, AT_EMPTY_PATH) < 0)
		return cx_fail(err, errno, "give group to %" PRIu32, uid_base);
	return 0;
}

/* For the agent: a mount where it makes groups or uses those of commands, else the way in. */
static int make_work(const struct cx_cgroups *groups, const struct cx_cgroup_tree *tree, int top,
		     uint32_t uid_base, struct cx_cgroup *ret, struct cx_err *err)
{
	cx_autofd int work = -EBADF;
	char tasks[32];
	int fd;

	if ((tree->controllers & (CX_CTL_PIDS | CX_CTL_COUNTED)) == 0) {
		if (mkdirat(top, "work", 0755) < 0)
			return cx_fail(err, errno, "make group 'work'");
		(void)snprintf(tasks, sizeof tasks, "work/%s", groups->version->tasks);
		fd = openat(top, tasks, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	} else {
		work = make_group(top, "work", err);
		if (work < 0 || enable_controllers(groups, work, err) < 0 ||
		    delegate(groups, tree, work, uid_base, err) < 0)
			return -err->errnum;
		fd = open_tree(work, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	}
	if (fd < 0)
		return cx_fail(err, errno, "open the work group for the agent");
	ret->work[ret->n++] = fd;
	return 0;
}

/* How the agent's process gets into dir. */
static int open_tasks(const struct cx_cgroups *groups, int dir, struct cx_cgroup *ret,
		      struct cx_err *err)
{
	int fd = openat(dir, groups->version->tasks, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return cx_fail(err, errno, "open '%s'", groups->version->tasks);
	ret->tasks[ret->ntasks++] = fd;
	return 0;
}

/* Where it is in <id> the limits of all are the agent's, too: they are written with work's. */
static int make_agent(const struct cx_cgroups *groups, const struct cx_cgroup_tree *tree, int top,
		      bool limited, struct cx_cgroup *ret, struct cx_err *err)
{
	static const struct cx_limits agent_limits = { .memory_bytes = CX_AGENT_MEMORY,
						       .pids = CX_AGENT_PIDS };
	cx_autofd int below = -EBADF;
	int agent = top;

	if (!groups->version->agent_on_top)
		agent = below = make_group(top, "agent", err);
	if (agent < 0)
		return -err->errnum;
	if (!(limited && groups->version->agent_on_top) &&
	    write_limits(groups, tree, agent, "", false, &agent_limits, err) < 0)
		return -err->errnum;
	return open_tasks(groups, agent, ret, err);
}

static int make_in_tree(const struct cx_cgroups *groups, const struct cx_cgroup_tree *tree,
			const char *id, uint32_t uid_base, bool limited, struct cx_cgroup *ret,
			struct cx_err *err)
{
	int top;

	if (tree->kind == CX_KIND_SHARED)
		return open_tasks(groups, tree->dir, ret, err);
	top = make_group(tree->dir, id, err);
	if (top < 0)
		return -err->errnum;
	ret->top[ret->ntop++] = top;
	if (groups->version->made_top(top, uid_base, ret, err) < 0 ||
	    enable_controllers(groups, top, err) < 0 ||
	    make_work(groups, tree, top, uid_base, ret, err) < 0)
		return -err->errnum;
	return make_agent(groups, tree, top, limited, ret, err);
}

/* Only what is its own: what is there belongs to somebody else until it was removed. */
static void undo_make(struct cx_cgroups *groups, const struct cx_cgroup *made, const char *id)
{
	struct cx_err ignored = { 0 };

	for (unsigned i = 0; i < made->ntop; i++) /* nothing runs there yet */
		(void)!cx_cgroup_remove_in(groups->version, groups->trees[i].dir, id, &ignored);
}

int cx_cgroup_make(struct cx_cgroups *groups, const char *id, uint32_t uid_base,
		   const struct cx_limits *limits, struct cx_cgroup *ret, struct cx_err *err)
{
	CX_AUTO(cx_cgroup_close) struct cx_cgroup made = { 0 };
	int r = 0;

	forget(&made);
	if (!cx_is_plain_name(id, CX_CGROUP_NAME_MAX))
		return cx_refuse(err, CX_INVALID, "'%.80s' is not an id", id);
	for (unsigned i = 0; i < groups->n && r == 0; i++)
		r = make_in_tree(groups, &groups->trees[i], id, uid_base, limits != NULL, &made,
				 err);
	if (r == 0 && limits != NULL)
		r = cx_cgroup_limit(groups, &made, limits, err);
	if (r < 0) {
		undo_make(groups, &made, id);
		return cx_wrap(err, "cgroups of '%s'", id);
	}
	*ret = made;
	forget(&made);
	return 0;
}

int cx_cgroup_find(struct cx_cgroups *groups, const char *id, struct cx_cgroup *ret,
		   struct cx_err *err)
{
	CX_AUTO(cx_cgroup_close) struct cx_cgroup found = { 0 };

	forget(&found);
	if (!cx_is_plain_name(id, CX_CGROUP_NAME_MAX))
		return cx_refuse(err, CX_INVALID, "'%.80s' is not an id", id);
	for (unsigned i = 0; i < groups->n && groups->trees[i].kind != CX_KIND_SHARED; i++) {
		found.top[i] = cx_cgroup_child(groups->trees[i].dir, id, err);
		if (found.top[i] < 0 && err->errnum == ENOENT)
			return cx_refuse(err, CX_NOT_FOUND, "'%s' has no cgroups", id);
		if (found.top[i] < 0)
			return -err->errnum;
		found.ntop++;
	}
	*ret = found;
	forget(&found);
	return 0;
}

/* The group of tree i that is limited and counted: without the agent. */
static int open_counted(const struct cx_cgroup *group, unsigned i, struct cx_err *err)
{
	return cx_cgroup_child(group->top[i], "work", err);
}

/* In tree i. Where the agent is in <id>, that is allowed what it has beside "work". */
static int limit_in_tree(const struct cx_cgroups *groups, const struct cx_cgroup *group, unsigned i,
			 const struct cx_limits *limits, struct cx_err *err)
{
	const struct cx_cgroup_tree *tree = &groups->trees[i];
	const struct cx_limits with_agent = {
		.memory_bytes = limits->memory_bytes + CX_AGENT_MEMORY,
		.pids = (uint32_t)within((uint64_t)limits->pids + CX_AGENT_PIDS, 1, PIDS_MAX),
	};
	const int top = group->top[i];

	if (write_limits(groups, tree, top, "work/", false, limits, err) < 0 ||
	    write_limits(groups, tree, top, "", true, limits, err) < 0)
		return -err->errnum;
	if (!groups->version->agent_on_top)
		return 0;
	return write_limits(groups, tree, top, "", false, &with_agent, err);
}

static bool are_same(const struct cx_limits *a, const struct cx_limits *b)
{
	return a->cpu_milli == b->cpu_milli && a->memory_bytes == b->memory_bytes &&
	       a->pids == b->pids;
}

int cx_cgroup_limit(struct cx_cgroups *groups, struct cx_cgroup *group,
		    const struct cx_limits *limits, struct cx_err *err)
{
	if (limits->cpu_milli < 10 || limits->memory_bytes == 0 || limits->pids == 0)
		return cx_refuse(err, CX_INVALID,
				 "limits of %" PRIu32 "/1000 CPU, %" PRIu64 " bytes, %" PRIu32
				 " processes: the least is 10, 1 and 1",
				 limits->cpu_milli, limits->memory_bytes, limits->pids);
	if (are_same(&group->limits, limits))
		return 0;
	group->limits = (struct cx_limits){ 0 }; /* until all of them are written */
	for (unsigned i = 0; i < group->ntop; i++)
		if (limit_in_tree(groups, group, i, limits, err) < 0)
			return -err->errnum;
	group->limits = *limits;
	return 0;
}

/* ---- standing still -------------------------------------------------------------------------- */

/* A directory, the caller's. */
static int open_freezer(const struct cx_cgroups *groups, const struct cx_cgroup *group,
			enum cx_freeze what, struct cx_err *err)
{
	for (unsigned i = 0; i < group->ntop; i++)
		if ((groups->trees[i].controllers & groups->version->freeze.controller) != 0)
			return cx_cgroup_child(group->top[i], what == CX_FREEZE_WORK ? "work" : ".",
					       err);
	return cx_refuse(err, CX_UNAVAILABLE, "the host has no freezer control group");
}

int cx_cgroup_freeze(struct cx_cgroups *groups, const struct cx_cgroup *group, enum cx_freeze what,
		     bool on, struct cx_err *err)
{
	const struct cx_freeze_row *row = &groups->version->freeze;
	cx_autofd int dir = open_freezer(groups, group, what, err);

	if (dir < 0 || cx_write_file(dir, row->file, on ? row->on : row->off, err) < 0)
		return cx_wrap(err, on ? "freeze" : "thaw");
	return 0;
}

int cx_cgroup_is_frozen(struct cx_cgroups *groups, const struct cx_cgroup *group,
			enum cx_freeze what, struct cx_err *err)
{
	const struct cx_freeze_row *row = &groups->version->freeze;
	cx_autofd int dir = open_freezer(groups, group, what, err);
	char text[256];

	if (dir < 0 || cx_read_small_file(dir, row->state, text, sizeof text, err) < 0)
		return cx_wrap(err, "look whether it stands still");
	return strstr(text, row->frozen) != NULL;
}

/* ---- accounts -------------------------------------------------------------------------------- */

int cx_cgroup_number(const char *text, const char *key, uint64_t *ret)
{
	size_t len = key == NULL ? 0 : strlen(key);
	char *end;

	while (key != NULL && !(strncmp(text, key, len) == 0 && text[len] == ' ')) {
		text = strchr(text, '\n');
		if (text == NULL)
			return -ENOENT;
		text++;
	}
	errno = 0;
	*ret = strtoull(text + len, &end, 10);
	return errno == 0 && end != text + len ? 0 : -EINVAL;
}

struct counting {
	const struct cx_usage_row *row;
	int dir;
	uint64_t sum;
};

static int count_in(int dir, const struct cx_usage_row *row, uint64_t *sum, struct cx_err *err)
{
	char text[4096];
	uint64_t value;

	if (cx_read_small_file(dir, row->file, text, sizeof text, err) < 0)
		return -err->errnum;
	if (cx_cgroup_number(text, row->key, &value) < 0)
		return cx_refuse(err, CX_INTERNAL, "no number in '%s'", row->file);
	*sum += value / row->divisor;
	return 0;
}

/* otherwise: where an older kernel does not tell. */
static bool is_zero(int dir, const char *file, const char *key, bool otherwise)
{
	char text[4096];
	struct cx_err ignored;
	uint64_t value;

	if (cx_read_small_file(dir, file, text, sizeof text, &ignored) < 0 ||
	    cx_cgroup_number(text, key, &value) < 0)
		return otherwise;
	return value == 0;
}

static int count_child(const char *name, void *arg, struct cx_err *err)
{
	struct counting *counting = arg;
	cx_autofd int dir = cx_cgroup_child(counting->dir, name, err);

	if (dir >= 0 && counting->row->below_file != NULL &&
	    !is_zero(dir, counting->row->below_file, NULL, true))
		return 0;
	if (dir >= 0 && count_in(dir, counting->row, &counting->sum, err) == 0)
		return 0;
	if (err->errnum != ENOENT && err->errnum != ENODEV)
		return -err->errnum;
	*err = (struct cx_err){ 0 }; /* a command that has just ended took its group along */
	return 0;
}

static int count(const struct cx_usage_row *row, int dir, uint64_t *ret, struct cx_err *err)
{
	struct counting counting = { .row = row };

	if (count_in(dir, row, &counting.sum, err) < 0) {
		if (!row->optional || err->errnum != ENOENT)
			return -err->errnum;
		*err = (struct cx_err){ 0 };
	}
	counting.dir = dir;
	if (row->own_file != NULL && is_zero(dir, row->own_file, row->own_key, false))
		counting.sum = 0;
	if (row->summed && cx_cgroup_children(dir, count_child, &counting, err) < 0)
		return -err->errnum;
	*ret = counting.sum;
	return 0;
}

static uint32_t to_u32(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static int count_all(const struct cx_cgroups *groups, const struct cx_cgroup *group,
		     bool (*wanted)(enum cx_usage_value value), uint64_t values[CX_USAGE_MAX],
		     struct cx_err *err)
{
	for (unsigned i = 0; i < group->ntop; i++) {
		cx_autofd int dir = -EBADF;

		for (size_t k = 0; k < groups->version->nusage; k++) {
			const struct cx_usage_row *row = &groups->version->usage[k];

			if ((row->controller & groups->trees[i].controllers) == 0 ||
			    !wanted(row->value))
				continue;
			if (dir < 0)
				dir = open_counted(group, i, err);
			if (dir < 0 || count(row, dir, &values[row->value], err) < 0)
				return cx_wrap(err, "usage");
		}
	}
	return 0;
}

static bool is_any(enum cx_usage_value value)
{
	(void)value;
	return true;
}

static bool is_oom(enum cx_usage_value value)
{
	return value == CX_USAGE_OOM_KILLS;
}

int cx_cgroup_oom_kills(struct cx_cgroups *groups, const struct cx_cgroup *group, uint32_t *ret,
			struct cx_err *err)
{
	uint64_t values[CX_USAGE_MAX] = { 0 };

	if (count_all(groups, group, is_oom, values, err) < 0)
		return -err->errnum;
	*ret = to_u32(values[CX_USAGE_OOM_KILLS]);
	return 0;
}

int cx_cgroup_usage(struct cx_cgroups *groups, const struct cx_cgroup *group, struct cx_usage *ret,
		    struct cx_err *err)
{
	uint64_t values[CX_USAGE_MAX] = { 0 };

	if (count_all(groups, group, is_any, values, err) < 0)
		return -err->errnum;
	*ret = (struct cx_usage){
		.cpu_us = values[CX_USAGE_CPU_US],
		.memory_bytes = values[CX_USAGE_MEMORY],
		.memory_peak_bytes = values[CX_USAGE_PEAK] > values[CX_USAGE_MEMORY]
					     ? values[CX_USAGE_PEAK]
					     : values[CX_USAGE_MEMORY],
		.pids = to_u32(values[CX_USAGE_PIDS]),
		.oom_kills = to_u32(values[CX_USAGE_OOM_KILLS]),
	};
	return 0;
}
