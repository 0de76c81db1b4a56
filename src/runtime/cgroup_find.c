/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "runtime/cgroup_tree.h"

static const struct {
	const char *name;
	unsigned controller;
} names[] = {
	{ "cpu", CX_CTL_CPU },	 { "cpuacct", CX_CTL_CPUACCT }, { "memory", CX_CTL_MEMORY },
	{ "pids", CX_CTL_PIDS }, { "devices", CX_CTL_DEVICES }, { "freezer", CX_CTL_FREEZER },
};

/* The mounts that hold a controller we use; controllers mounted together are one mount. */
struct mounts {
	struct {
		char path[FILENAME_MAX];
		unsigned controllers;
		bool v2;
	} at[CX_CGROUP_FOUND_MAX];
	unsigned n;
};

static bool is_v2(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static unsigned controller_of(const char *name)
{
	for (size_t i = 0; i < CX_LEN(names); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].controller;
	return 0;
}

static void note_controller(struct mounts *mounts, const struct cgroup_mount_point *point)
{
	unsigned i, controller = controller_of(point->name);

	if (controller == 0)
		return;
	for (i = 0; i < mounts->n; i++)
		if (strcmp(mounts->at[i].path, point->path) == 0)
			break;
	if (i == CX_LEN(mounts->at))
		return; /* more mounts than controllers that we know: not possible */
	if (i == mounts->n) {
		memcpy(mounts->at[i].path, point->path, sizeof point->path);
		mounts->at[i].v2 = is_v2(point->path);
		mounts->n++;
	}
	mounts->at[i].controllers |= controller;
}

static int list_mounts(struct mounts *mounts, struct cx_err *err)
{
	struct cgroup_mount_point point;
	void *handle = NULL;
	int r = cgroup_init();

	if (r == 0) {
		for (r = cgroup_get_controller_begin(&handle, &point); r == 0;
		     r = cgroup_get_controller_next(&handle, &point))
			note_controller(mounts, &point);
		(void)cgroup_get_controller_end(&handle);
	}
	/* No controller at all is reported below, by name. */
	if (r != 0 && r != ECGEOF && r != ECGROUPNOTMOUNTED)
		return cx_refuse(err, CX_INTERNAL, "find cgroup hierarchies: %s",
				 cgroup_strerror(r));
	return 0;
}

static unsigned controllers_of(const struct mounts *mounts, bool v2)
{
	unsigned set = 0;

	for (unsigned i = 0; i < mounts->n; i++)
		if (mounts->at[i].v2 == v2)
			set |= mounts->at[i].controllers;
	return set;
}

static int refuse_missing(unsigned missing, struct cx_err *err)
{
	for (size_t i = 0; i < CX_LEN(names); i++)
		if ((missing & names[i].controller) != 0)
			return cx_refuse(
				err, CX_UNAVAILABLE,
				"the cgroup controller '%s' is missing, so a sandbox could not "
				"be limited: mount it, or boot with cgroup_enable=%s",
				names[i].name, names[i].name);
	return 0;
}

int cx_cgroups_find(struct cx_cgroups *groups, struct cx_err *err)
{
	struct mounts mounts = { 0 };
	unsigned in_v1, in_v2;
	bool v2;

	if (list_mounts(&mounts, err) < 0)
		return -err->errnum;
	in_v1 = controllers_of(&mounts, false) & CX_CTL_NEEDED;
	in_v2 = controllers_of(&mounts, true) & CX_CTL_NEEDED;
	v2 = in_v2 == CX_CTL_NEEDED || in_v1 == 0;
	if (refuse_missing(CX_CTL_NEEDED & ~(v2 ? in_v2 : in_v1), err) < 0)
		return -err->errnum;
	groups->version = v2 ? &cx_cgroup_v2 : &cx_cgroup_v1;
	groups->mode = v2 ? "v2" : is_v2("/sys/fs/cgroup/unified") ? "hybrid" : "v1";
	for (unsigned i = 0; i < mounts.n; i++) {
		struct cx_cgroup_tree *tree = &groups->trees[groups->n];

		if (mounts.at[i].v2 != v2)
			continue;
		tree->root = v2 ? cx_cgroup_v2_root(mounts.at[i].path, err)
				: open(mounts.at[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (tree->root < 0)
			return v2 ? tree->root
				  : cx_fail(err, errno, "open '%s'", mounts.at[i].path);
		tree->controllers = mounts.at[i].controllers;
		groups->n++;
	}
	return 0;
}
