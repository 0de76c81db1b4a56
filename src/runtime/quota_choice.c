/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/str.h"
#include "runtime/quota_inner.h"

enum {
	MODE_ROOT = 0755, /* upper becomes "/" of the sandbox */
	PROBE_BYTES = 4 << 20,
	PROBE_INODES = 64,
	PROBE_TRIES = 4, /* times the limit: who gets so far is not limited */
};

/* ---- what the back ends share ---------------------------------------------------------------- */

int cx_quota_mkdir(const struct cx_quota *quota, const char *id, struct cx_err *err)
{
	if (mkdirat(quota->at, id, 0700) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "make its writable directory");
	return 0;
}

int cx_quota_opendir(const struct cx_quota *quota, const char *id, struct cx_err *err)
{
	int fd = openat(quota->at, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 ? fd : cx_fail(err, errno, "open its writable directory");
}

int cx_quota_mount(const char *type, const char *const *options, struct cx_err *err)
{
	cx_autofd int fs = fsopen(type, FSOPEN_CLOEXEC);
	int mnt;

	if (fs < 0)
		return cx_fail(err, errno, "file system '%s'", type);
	for (; options[0] != NULL; options += 2)
		if (fsconfig(fs, options[1] != NULL ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
			     options[0], options[1], 0) < 0)
			return cx_fail(err, errno, "%s option '%s'", type, options[0]);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return cx_fail(err, errno, "mount %s", type);
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	return mnt >= 0 ? mnt : cx_fail(err, errno, "mount %s", type);
}

static const struct {
	const char *name;
	mode_t mode;
} halves[] = { { "upper", MODE_ROOT }, { "work", 0700 } };

/* In two steps, because the umask takes bits from the first. */
int cx_quota_make_halves(int dir, struct cx_err *err)
{
	for (size_t i = 0; i < CX_LEN(halves); i++)
		if (mkdirat(dir, halves[i].name, 0700) < 0 ||
		    fchmodat(dir, halves[i].name, halves[i].mode, 0) < 0)
			return cx_fail(err, errno, "prepare a writable directory");
	return 0;
}

/* ---- a plain directory ----------------------------------------------------------------------- */

static int plain_make(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		      struct cx_writable *w, struct cx_err *err)
{
	(void)limit;
	if (cx_quota_mkdir(quota, id, err) < 0)
		return -err->errnum;
	w->dir = cx_quota_opendir(quota, id, err);
	return w->dir < 0 ? w->dir : 0;
}

static int plain_set(struct cx_quota *quota, const char *id, const struct cx_quota_limit *limit,
		     struct cx_writable *w, struct cx_err *err)
{
	(void)quota;
	(void)id;
	(void)limit;
	(void)w;
	(void)err;
	return 0;
}

static const struct cx_quota_ops plain = { .make = plain_make, .set = plain_set };

static const struct {
	const char *name;
	const struct cx_quota_ops *ops;
} kinds[CX_QUOTA_MAX] = {
	[CX_QUOTA_AUTO] = { "auto", &plain },
	[CX_QUOTA_PROJECT] = { "quota", &cx_quota_project },
	[CX_QUOTA_BTRFS] = { "btrfs", &cx_quota_btrfs },
	[CX_QUOTA_LOOP] = { "loop", &cx_quota_loop },
	[CX_QUOTA_MEMORY] = { "memory", &cx_quota_memory },
	[CX_QUOTA_NONE] = { "none", &plain },
};

static const struct cx_quota_ops *ops_of(unsigned kind)
{
	return kinds[kind < CX_QUOTA_MAX ? kind : CX_QUOTA_NONE].ops;
}

const char *cx_quota_name(unsigned kind)
{
	return kind < CX_QUOTA_MAX ? kinds[kind].name : "unknown";
}

enum cx_quota_kind cx_quota_kind(const struct cx_quota *quota)
{
	return quota->kind;
}

bool cx_quota_is_mount(const struct cx_writable *w)
{
	return ops_of(w->kind)->is_mount;
}

/* statvfs() tells of the limit, where the limit is of a file system or of a project. */
bool cx_quota_is_full(const struct cx_quota *quota, const char *id, const struct cx_writable *w)
{
	const struct cx_quota_ops *ops = ops_of(w->kind);
	struct statvfs fs;

	if (w->dir < 0)
		return false;
	if (ops->is_full != NULL && ops->is_full(quota, id, w))
		return true;
	if (fstatvfs(w->dir, &fs) < 0)
		return false;
	return (fs.f_bavail * fs.f_frsize < CX_QUOTA_ROOM && fs.f_bavail < fs.f_blocks / 100) ||
	       (fs.f_files > 0 && fs.f_favail == 0);
}

/* ---- one sandbox's --------------------------------------------------------------------------- */

static int give_halves(int dir, uint32_t owner, struct cx_err *err)
{
	for (size_t i = 0; i < CX_LEN(halves); i++)
		if (fchownat(dir, halves[i].name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0)
			return cx_fail(err, errno, "give its writable directory away");
	return 0;
}

static int make(struct cx_quota *quota, const char *id, uint32_t owner, enum cx_quota_kind kind,
		const struct cx_quota_limit *limit, struct cx_writable *ret, struct cx_err *err)
{
	struct cx_writable w = { .dir = -EBADF, .kind = kind, .limit = *limit };

	if (ops_of(kind)->make(quota, id, limit, &w, err) < 0)
		return cx_wrap(err, "writable directory (%s)", cx_quota_name(kind));
	if ((!ops_of(kind)->has_halves && cx_quota_make_halves(w.dir, err) < 0) ||
	    give_halves(w.dir, owner, err) < 0) {
		cx_quota_release(&w);
		return -err->errnum;
	}
	*ret = w;
	return 0;
}

int cx_quota_make(struct cx_quota *quota, const char *id, uint32_t owner, struct cx_writable *ret,
		  struct cx_err *err)
{
	return make(quota, id, owner, quota->kind, &quota->usual, ret, err);
}

static bool same(const struct cx_quota_limit *a, const struct cx_quota_limit *b)
{
	return a->bytes == b->bytes && a->inodes == b->inodes;
}

/* A plain directory that becomes a mount's may keep what is below: nobody sees it any more. */
static int change(struct cx_quota *quota, const char *id, uint32_t owner, enum cx_quota_kind kind,
		  const struct cx_quota_limit *limit, struct cx_writable *w, struct cx_err *err)
{
	const struct cx_quota_ops *ops = ops_of(w->kind);

	if (kind == w->kind && same(limit, &w->limit))
		return 0;
	if (kind == w->kind && ops->set != NULL) {
		if (ops->set(quota, id, limit, w, err) < 0)
			return cx_wrap(err, "limit of the disk (%s)", cx_quota_name(kind));
		w->limit = *limit;
		return 0;
	}
	cx_quota_release(w);
	return make(quota, id, owner, kind, limit, w, err);
}

/* Blanks come with a limit only when it was seen that one can be made with it. */
int cx_quota_set(struct cx_quota *quota, const char *id, uint32_t owner, enum cx_quota_kind kind,
		 const struct cx_quota_limit *limit, struct cx_writable *w, struct cx_err *err)
{
	if (change(quota, id, owner, kind, limit, w, err) < 0)
		return -err->errnum;
	if (kind == quota->kind)
		quota->usual = *limit;
	return 0;
}

int cx_quota_find(struct cx_quota *quota, const char *id, struct cx_writable *w, struct cx_err *err)
{
	const struct cx_quota_ops *ops = ops_of(w->kind);

	w->dir = -EBADF;
	if (ops->find != NULL)
		return ops->find(quota, id, w, err);
	w->dir = cx_quota_opendir(quota, id, err);
	return w->dir < 0 ? w->dir : 0;
}

void cx_quota_discard(const struct cx_writable *w)
{
	const struct cx_quota_ops *ops = ops_of(w->kind);

	if (w->dir >= 0 && ops->discard != NULL)
		ops->discard(w);
}

void cx_quota_release(struct cx_writable *w)
{
	cx_quota_discard(w);
	cx_close(&w->dir);
}

/* Another back end than this daemon's may be off by now; what it kept is then kept by nobody. */
int cx_quota_remove(struct cx_quota *quota, const char *id, struct cx_err *err)
{
	struct cx_err ignored;
	int r = 0;

	for (unsigned kind = 0; kind < CX_QUOTA_MAX; kind++)
		if (kinds[kind].ops->remove != NULL &&
		    kinds[kind].ops->remove(quota, id, kind == quota->kind ? err : &ignored) < 0 &&
		    kind == quota->kind)
			r = -err->errnum;
	return r;
}

/* ---- trying ---------------------------------------------------------------------------------- */

static bool is_full(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

static int fill_bytes(int fd, struct cx_err *err)
{
	enum { CHUNK = 65536 };
	static const char zeros[CHUNK];
	off_t at = 0;

	while (at < (off_t)PROBE_TRIES * PROBE_BYTES) {
		ssize_t n = pwrite(fd, zeros, CHUNK, at);

		if (n < 0)
			return is_full(errno) ? 0 : cx_fail(err, errno, "write to a file");
		at += n;
	}
	return cx_refuse(err, CX_UNAVAILABLE, "%lld bytes were written against a limit of %d",
			 (long long)at, PROBE_BYTES);
}

static int fill_inodes(int dir, struct cx_err *err)
{
	char name[32];

	for (int i = 0; i < PROBE_TRIES * PROBE_INODES; i++) {
		(void)snprintf(name, sizeof name, "upper/%d", i);
		if (mknodat(dir, name, S_IFREG | 0600, 0) < 0)
			return is_full(errno) ? 0 : cx_fail(err, errno, "make a file");
	}
	return cx_refuse(err, CX_UNAVAILABLE, "%d files were made against a limit of %d",
			 PROBE_TRIES * PROBE_INODES, PROBE_INODES);
}

/* What an earlier try left is in the way. */
static void clear_probe(struct cx_quota *quota, const char *id)
{
	static const char *const dirs[] = { "upper", "work" };
	cx_autofd int dir = openat(quota->at, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct cx_err ignored;
	char name[32];

	for (int i = 0; dir >= 0 && i < PROBE_TRIES * PROBE_INODES; i++) {
		(void)snprintf(name, sizeof name, "upper/%d", i);
		(void)unlinkat(dir, name, 0);
	}
	if (dir >= 0)
		(void)unlinkat(dir, "upper/bytes", 0);
	for (size_t i = 0; dir >= 0 && i < CX_LEN(dirs); i++)
		(void)unlinkat(dir, dirs[i], AT_REMOVEDIR);
	(void)!cx_quota_remove(quota, id, &ignored);
	(void)unlinkat(quota->at, id, AT_REMOVEDIR);
}

/* The file for the bytes comes first: later no inode is left for it. */
static int overrun(int dir, bool counts_inodes, struct cx_err *err)
{
	cx_autofd int fd =
		openat(dir, "upper/bytes", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return cx_fail(err, errno, "make a file");
	if (counts_inodes && fill_inodes(dir, err) < 0)
		return -err->errnum;
	return fill_bytes(fd, err);
}

static int probe(struct cx_quota *quota, struct cx_err *err)
{
	static const struct cx_quota_limit limit = { PROBE_BYTES, PROBE_INODES };
	static const char id[] = "probe"; /* never a sandbox's */
	struct cx_writable w = CX_WRITABLE_NONE;
	int r;

	clear_probe(quota, id);
	r = make(quota, id, 0, quota->kind, &limit, &w, err);
	if (r == 0)
		r = overrun(w.dir, ops_of(quota->kind)->counts_inodes, err);
	cx_quota_release(&w);
	clear_probe(quota, id);
	return r;
}

static int try_each(struct cx_quota *quota, struct cx_err *err)
{
	/* The first two show a program its limit in statfs(2), the last does not. */
	static const enum cx_quota_kind order[] = { CX_QUOTA_PROJECT, CX_QUOTA_LOOP,
						    CX_QUOTA_BTRFS };
	char why[CX_LEN(order)][128];
	struct cx_err tried;
	char text[sizeof tried.msg + 128];

	for (size_t i = 0; i < CX_LEN(order); i++) {
		quota->kind = order[i];
		if (probe(quota, &tried) == 0)
			return 0;
		(void)snprintf(why[i], sizeof why[i], "%.127s",
			       cx_err_render(&tried, text, sizeof text));
	}
	return cx_refuse(err, CX_UNAVAILABLE,
			 "nothing limits what sandboxes write (%s; %s; %s); see [disk] in "
			 "caisson.conf(5), backend = none does without",
			 why[0], why[1], why[2]);
}

int cx_quota_open(const struct cx_quota_plan *plan, struct cx_quota **ret, struct cx_err *err)
{
	struct cx_quota *quota = calloc(1, sizeof *quota);
	int r = 0;

	if (quota == NULL)
		return cx_fail(err, ENOMEM, "disk limits");
	*quota = (struct cx_quota){ .kind = plan->kind, .at = plan->at, .usual = plan->usual };
	if (cx_format(quota->name, sizeof quota->name, "%s", err, plan->name) < 0)
		r = -err->errnum;
	else if (plan->kind == CX_QUOTA_AUTO)
		r = try_each(quota, err);
	else if (plan->kind != CX_QUOTA_NONE)
		r = probe(quota, err);
	if (r < 0) {
		cx_quota_close(quota);
		return cx_wrap(err, "disk limits");
	}
	*ret = quota;
	return 0;
}

void cx_quota_close(struct cx_quota *quota)
{
	for (size_t i = 0; quota != NULL && i < CX_LEN(quota->images); i++)
		cx_buf_free(&quota->images[i].parts);
	free(quota);
}
