/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/blank.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/mount.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "policy/policy.h"

enum { SEALED = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
enum { SKELETON = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
enum { PATH_SIZE = 64 };
#define CPUS  "sys/devices/system/cpu"
#define MASKS "/proc" /* the spawner's, which nobody needs any more when there is our own */

static const char *const masks[] = { MASKS "/file", MASKS "/directory" };

const char *const cx_blank_trees[] = { "proc", "dev", "sys", "tmp", NULL };

struct making {
	int skeleton, dev, devpts;
	unsigned cpus;
	const int *groups;
	unsigned ngroups;
	struct stat masks[CX_LEN(masks)];
};

static int step_private(struct making *b, struct cx_err *err)
{
	(void)b;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return cx_fail(err, errno, "make mounts private");
	return 0;
}

static int step_skeleton(struct making *b, struct cx_err *err)
{
	static const char *const options[] = { "mode", "0700", NULL };

	b->skeleton = cx_mount_new("tmpfs", options, SKELETON, err);
	if (b->skeleton < 0)
		return b->skeleton;
	/*
	 * Over "/": from now on reached by this descriptor and as the working directory only. The
	 * host's /proc stays below, and goes by the name of "/proc" until the pivot.
	 */
	if (move_mount(b->skeleton, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
	    fchdir(b->skeleton) < 0)
		return cx_fail(err, errno, "attach the skeleton");
	for (size_t i = 0; cx_blank_trees[i] != NULL; i++)
		if (mkdirat(b->skeleton, cx_blank_trees[i], 0755) < 0)
			return cx_fail(err, errno, "make directory '%s'", cx_blank_trees[i]);
	if (mkdirat(b->skeleton, "masks", 0755) < 0)
		return cx_fail(err, errno, "make directory 'masks'");
	return 0;
}

static int step_dev(struct making *b, struct cx_err *err)
{
	if (cx_mount_check(b->dev, TMPFS_MAGIC, "device mount of the host", err) < 0)
		return -err->errnum;
	if (move_mount(b->dev, "", b->skeleton, "dev", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return cx_fail(err, errno, "attach the device mount");
	return 0;
}

/* A mount of its own, of what the skeleton has; what is above it there cannot be named from it. */
static int directory_row(const struct cx_mount_row *row, struct cx_err *err)
{
	if (strcmp(row->at, row->directory) != 0 && mkdir(row->directory, 0700) < 0)
		return cx_fail(err, errno, "make directory '%s'", row->directory);
	if (chmod(row->directory, row->mode) < 0)
		return cx_fail(err, errno, "change mode of '%s'", row->directory);
	if (cx_mount_bind(row->directory, row->at, err) < 0)
		return -err->errnum;
	if ((row->attrs & ~(unsigned)SKELETON) == 0) /* as it is */
		return 0;
	return cx_mount_restrict(row->at, row->attrs, err);
}

/* By name: in this tree there is nothing yet that anybody else has made. */
static int mount_row(const struct cx_mount_row *row, struct cx_err *err)
{
	if (mkdir(row->at, 0755) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "make directory '%s'", row->at);
	if (row->type == NULL)
		return directory_row(row, err);
	return cx_mount_at(row->type, row->options, row->attrs, row->at, err);
}

static int step_mounts(struct making *b, struct cx_err *err)
{
	for (size_t i = 0; i < cx_policy_nmounts; i++)
		if (mount_row(&cx_policy_mounts[i], err) < 0)
			return cx_wrap(err, "mount '%s'", cx_policy_mounts[i].at);
	b->devpts = cx_open_no_links(b->skeleton, "dev/pts", O_PATH | O_DIRECTORY, 0, err);
	return b->devpts < 0 ? b->devpts
			     : cx_mount_check(b->devpts, DEVPTS_SUPER_MAGIC, "dev/pts", err);
}

static bool same_place(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/*
 * What lies over a masked path: of its kind, empty, and nobody's to change. As a mount it is sealed
 * once, for its clones are as it is; its place goes with the pivot.
 */
static int step_mask_sources(struct making *b, struct cx_err *err)
{
	cx_autofd int file = open("masks/file", O_CREAT | O_EXCL | O_CLOEXEC, 0444);

	if (file < 0 || mkdir("masks/directory", 0555) < 0)
		return cx_fail(err, errno, "make what lies over masked paths");
	if (cx_mount_bind("masks", MASKS, err) < 0 || cx_mount_restrict(MASKS, SEALED, err) < 0)
		return -err->errnum;
	for (size_t i = 0; i < CX_LEN(masks); i++)
		if (stat(masks[i], &b->masks[i]) < 0)
			return cx_fail(err, errno, "look at '%s'", masks[i]);
	return 0;
}

static int cover(const struct making *b, const char *at, struct cx_err *err)
{
	struct stat st;
	bool is_dir;

	if (lstat(at, &st) < 0)
		return errno == ENOENT ? 0 : cx_fail(err, errno, "look at it");
	is_dir = S_ISDIR(st.st_mode);
	if (cx_mount_bind(masks[is_dir], at, err) < 0)
		return -err->errnum;
	if (lstat(at, &st) < 0 || !same_place(&st, &b->masks[is_dir]))
		return cx_refuse(err, CX_DENIED, "it is not what was mounted there");
	return 0;
}

static int make_readonly(const char *at, struct cx_err *err)
{
	struct statvfs fs;

	if (access(at, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (cx_mount_bind(at, at, err) < 0 || cx_mount_restrict(at, MOUNT_ATTR_RDONLY, err) < 0)
		return -err->errnum;
	if (statvfs(at, &fs) < 0 || (fs.f_flag & ST_RDONLY) == 0)
		return cx_refuse(err, CX_DENIED, "it can still be written");
	return 0;
}

static int step_masks(struct making *b, struct cx_err *err)
{
	char at[PATH_SIZE];

	for (size_t i = 0; i < cx_policy_nmasked; i++)
		if (cx_format(at, sizeof at, "proc/%s", err, cx_policy_masked[i].path) < 0 ||
		    cover(b, at, err) < 0)
			return cx_wrap(err, "mask 'proc/%s'", cx_policy_masked[i].path);
	for (size_t i = 0; i < cx_policy_nreadonly; i++)
		if (cx_format(at, sizeof at, "proc/%s", err, cx_policy_readonly[i].path) < 0 ||
		    make_readonly(at, err) < 0)
			return cx_wrap(err, "read-only 'proc/%s'", cx_policy_readonly[i].path);
	return 0;
}

/* glibc and language runtimes count processors here. */
static int step_sys(struct making *b, struct cx_err *err)
{
	static const char *const dirs[] = { "sys/devices", "sys/devices/system", CPUS };
	static const char *const others[] = { CPUS "/possible", CPUS "/present" };
	cx_autofd int online = -EBADF;
	char range[32] = "0\n";

	if (b->cpus > 1)
		(void)snprintf(range, sizeof range, "0-%u\n", b->cpus - 1);
	for (size_t i = 0; i < CX_LEN(dirs); i++)
		if (mkdir(dirs[i], 0755) < 0)
			return cx_fail(err, errno, "make directory '%s'", dirs[i]);
	online = open(CPUS "/online", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (online < 0 || cx_write_all(online, range, strlen(range), err) < 0)
		return cx_fail(err, errno, "write '%s'", CPUS "/online");
	for (size_t i = 0; i < CX_LEN(others); i++)
		if (link(CPUS "/online", others[i]) < 0)
			return cx_fail(err, errno, "make '%s'", others[i]);
	cx_close(&online); /* what is open for writing is not made read-only */
	return cx_mount_restrict("sys", MOUNT_ATTR_RDONLY, err);
}

int cx_blank_check_root(int fd, struct cx_err *err)
{
	struct stat root, now, above;

	if (fstat(fd, &root) < 0 || stat("/", &now) < 0 || stat("/..", &above) < 0)
		return cx_fail(err, errno, "look at the new root");
	/* "/.." looks through what is still stacked on the root, "/" does not. */
	if (!same_place(&root, &now) || !same_place(&root, &above))
		return cx_refuse(err, CX_DENIED, "'/' is another root");
	return 0;
}

/*
 * Each becomes a mount like others, in a place that goes with the next step: then nothing is above
 * it, and it is not the last one of a namespace of its own, which would have to be taken apart.
 */
static int step_groups(struct making *b, struct cx_err *err)
{
	struct stat st;

	for (unsigned i = 0; i < b->ngroups; i++) {
		if (fstat(b->groups[i], &st) < 0)
			return cx_fail(err, errno, "look at a control group");
		if (S_ISDIR(st.st_mode) &&
		    move_mount(b->groups[i], "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return cx_fail(err, errno, "attach a control group");
	}
	return 0;
}

/*
 * Here and not when it is claimed: the kernel looks at every task of the host for those that have
 * the old root, and waits for all processors before it lets that go.
 */
static int step_pivot(struct making *b, struct cx_err *err)
{
	if (fchdir(b->skeleton) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return cx_fail(err, errno, "pivot_root");
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) /* "." is what is uppermost here */
		return cx_fail(err, errno, "leave the old root");
	return cx_blank_check_root(b->skeleton, err);
}

static const struct {
	const char *name;
	int (*run)(struct making *b, struct cx_err *err);
	const char *why;
} steps[] = {
	{ "private mounts", step_private, "nothing of what follows can reach another namespace" },
	{ "skeleton", step_skeleton, "a place for the trees that no image can name or shape" },
	{ "device mount", step_dev, "before what is mounted in it" },
	{ "mounts", step_mounts,
	  "policy/mounts.c; the host's /proc must still be mounted, or the "
	  "kernel refuses a new one" },
	{ "mask sources", step_mask_sources, "" },
	{ "masks", step_masks, "while still nobody could have an open file below them" },
	{ "processors", step_sys, "then /sys becomes read-only" },
	{ "control groups", step_groups, "over the spawner's /proc, and gone with it" },
	{ "pivot", step_pivot, "the spawner's tree, with the host's /proc, is gone for good" },
};

int cx_blank_prepare(struct cx_blank *ret, int dev, unsigned cpus, const int *groups,
		     unsigned ngroups, struct cx_err *err)
{
	struct making b = { .skeleton = -EBADF,
			    .dev = dev,
			    .devpts = -EBADF,
			    .cpus = cpus,
			    .groups = groups,
			    .ngroups = ngroups };

	for (size_t i = 0; i < CX_LEN(steps); i++)
		if (steps[i].run(&b, err) < 0)
			return cx_wrap(err, "step '%s'", steps[i].name);
	*ret = (struct cx_blank){ .skeleton = b.skeleton, .devpts = b.devpts };
	return 0;
}
