/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_tree.h"

enum { NAME_SIZE = sizeof "work/cmd-4294967295" };

void cx_cgroups_set_reader(struct cx_cgroups *groups, uid_t uid, gid_t gid)
{
	groups->reader = uid;
	groups->reader_gid = gid;
}

static bool counts(const struct cx_cgroups *groups, unsigned i)
{
	return (groups->trees[i].controllers & CX_CTL_COUNTED) != 0;
}

static int prepare_file(const struct cx_cgroups *groups, const struct cx_slot_row *row, int dir,
			uint32_t uid_base, struct cx_err *err)
{
	uid_t owner = row->who == CX_SLOT_READER ? groups->reader : uid_base;
	bool both = row->who == CX_SLOT_BOTH;

	if (row->who == CX_SLOT_SET)
		return cx_cgroup_write(dir, row->file, row->text, row->optional, err);
	if (fchownat(dir, row->file, owner, both ? groups->reader_gid : (gid_t)-1,
		     AT_SYMLINK_NOFOLLOW) < 0)
		return row->optional && errno == ENOENT
			       ? 0
			       : cx_fail(err, errno, "give '%s' away", row->file);
	if (both && fchmodat(dir, row->file, 0664, 0) < 0)
		return cx_fail(err, errno, "let two write '%s'", row->file);
	return 0;
}

/* Mostly there is none yet. */
static int make_anew(int top, const char *name, struct cx_err *err)
{
	int r = mkdirat(top, name, 0755);

	if (r < 0 && errno == EEXIST) {
		if (unlinkat(top, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return cx_fail(err, errno, "remove group '%s'", name);
		r = mkdirat(top, name, 0755);
	}
	return r < 0 ? cx_fail(err, errno, "make group '%s'", name) : 0;
}

static int make_in(const struct cx_cgroups *groups, unsigned tree, int top, const char *name,
		   uint32_t uid_base, struct cx_err *err)
{
	const struct cx_cgroup_version *version = groups->version;
	cx_autofd int dir = -EBADF;

	if (make_anew(top, name, err) < 0)
		return -err->errnum;
	dir = cx_cgroup_child(top, name, err);
	if (dir < 0)
		return -err->errnum;
	if (fchmod(dir, 0755) < 0) /* whatever our umask is: others look for its files */
		return cx_fail(err, errno, "let others into group '%s'", name);
	for (size_t i = 0; i < version->nslot; i++)
		if ((version->slot[i].controller & groups->trees[tree].controllers) != 0 &&
		    prepare_file(groups, &version->slot[i], dir, uid_base, err) < 0)
			return -err->errnum;
	return 0;
}

int cx_cgroup_slot(struct cx_cgroups *groups, const struct cx_cgroup *group, uint32_t number,
		   uint32_t uid_base, struct cx_err *err)
{
	char name[NAME_SIZE];

	if (number == 0 || number > CX_CGROUP_SLOTS_MAX)
		return cx_refuse(err, CX_INVALID, "slot %" PRIu32 " for a command", number);
	(void)snprintf(name, sizeof name, "work/cmd-%" PRIu32, number);
	for (unsigned i = 0; i < group->ntop; i++)
		if (counts(groups, i) && make_in(groups, i, group->top[i], name, uid_base, err) < 0)
			return -err->errnum;
	return 0;
}

/* A detached mount as the agent's, or the same one. */
static int open_work(const struct cx_cgroup *group, unsigned i, struct cx_err *err)
{
	cx_autofd int work = -EBADF;
	int fd;

	if (i < group->n) {
		fd = fcntl(group->work[i], F_DUPFD_CLOEXEC, 3);
	} else {
		work = cx_cgroup_child(group->top[i], "work", err);
		if (work < 0)
			return -err->errnum;
		fd = open_tree(work, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	}
	return fd >= 0 ? fd : cx_fail(err, errno, "open the work group for the gateway");
}

/* Memory's where there is no such tree: what is looked for is not there either. */
static unsigned find_tree(const struct cx_cgroups *groups, const struct cx_cgroup *group,
			  unsigned controller)
{
	unsigned i = 0;

	while (i < group->ntop && (groups->trees[i].controllers & controller) == 0)
		i++;
	return i < group->ntop || controller == CX_CTL_MEMORY
		       ? i
		       : find_tree(groups, group, CX_CTL_MEMORY);
}

int cx_cgroup_accounts(struct cx_cgroups *groups, const struct cx_cgroup *group,
		       int ret[CX_CGROUP_ACCOUNTS_MAX], unsigned *ret_n, struct cx_err *err)
{
	static const unsigned wanted[CX_CGROUP_ACCOUNTS_MAX] = { CX_CTL_MEMORY, CX_CTL_CPUACCT,
								 CX_CTL_PIDS };
	bool v2 = groups->version == &cx_cgroup_v2;
	unsigned n = 0;

	for (; n < (v2 ? 1 : CX_LEN(wanted)); n++) {
		ret[n] = open_work(group, find_tree(groups, group, wanted[n]), err);
		if (ret[n] >= 0)
			continue;
		while (n > 0)
			cx_close(&ret[--n]);
		return -err->errnum;
	}
	*ret_n = n;
	return 0;
}
