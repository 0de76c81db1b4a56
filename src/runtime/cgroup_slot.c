/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_tree.h"

enum { NAME_SIZE = sizeof "work/cmd-4294967295" };

void cx_cgroups_set_reader(struct cx_cgroups *groups, uid_t reader)
{
	groups->reader = reader;
}

static bool counts(const struct cx_cgroups *groups, unsigned i)
{
	return (groups->trees[i].controllers & CX_CTL_COUNTED) != 0;
}

static int give(const struct cx_cgroups *groups, const struct cx_slot_row *row, int dir,
		uint32_t uid_base, struct cx_err *err)
{
	uid_t owner = row->owner == CX_SLOT_SANDBOX ? uid_base : groups->reader;

	if (fchownat(dir, row->file, owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) == 0 ||
	    (row->optional && errno == ENOENT))
		return 0;
	return cx_fail(err, errno, "give '%s' to %" PRIu32, row->file, (uint32_t)owner);
}

static int make_in(const struct cx_cgroups *groups, unsigned tree, int top, const char *name,
		   uint32_t uid_base, struct cx_err *err)
{
	const struct cx_cgroup_version *version = groups->version;
	cx_autofd int dir = -EBADF;

	if (unlinkat(top, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return cx_fail(err, errno, "remove group '%s'", name);
	if (mkdirat(top, name, 0755) < 0)
		return cx_fail(err, errno, "make group '%s'", name);
	dir = cx_cgroup_child(top, name, err);
	if (dir < 0)
		return -err->errnum;
	for (size_t i = 0; i < version->nslot; i++)
		if ((version->slot[i].controller & groups->trees[tree].controllers) != 0 &&
		    give(groups, &version->slot[i], dir, uid_base, err) < 0)
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

int cx_cgroup_accounts(struct cx_cgroups *groups, const struct cx_cgroup *group,
		       int ret[CX_CGROUP_ACCOUNTS_MAX], unsigned *ret_n, struct cx_err *err)
{
	static const unsigned wanted[CX_CGROUP_ACCOUNTS_MAX] = { CX_CTL_MEMORY, CX_CTL_CPUACCT };
	unsigned n = 0;

	for (unsigned k = 0; k < CX_LEN(wanted); k++)
		for (unsigned i = 0; i < group->ntop; i++) {
			if ((groups->trees[i].controllers & wanted[k]) == 0)
				continue;
			ret[n] = cx_cgroup_child(group->top[i], "work", err);
			if (ret[n] >= 0) {
				n++;
				continue;
			}
			while (n > 0)
				cx_close(&ret[--n]);
			return -err->errnum;
		}
	*ret_n = n;
	return 0;
}
