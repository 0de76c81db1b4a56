/* SPDX-License-Identifier: Apache-2.0 */
#include "api/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "api/digest.h"
#include "base/fd.h"
#include "base/str.h"

enum { HEX = 2 * 32 + 1 };

CX_DEFINE_AUTO(DIR *, closedir);

static int open_dir(int at, const char *name, int *ret, struct cx_err *err)
{
	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return cx_fail(err, errno, "make the directory '%s'", name);
	*ret = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret >= 0 ? 0 : cx_fail(err, errno, "open the directory '%s'", name);
}

/* Calls each() for every name that a blob can have. */
static int each_name(int dir, int (*each)(int dir, const char *name, void *arg, struct cx_err *err),
		     void *arg, struct cx_err *err)
{
	CX_AUTO(closedirp) DIR *list = NULL;
	struct dirent *entry;
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	list = fd >= 0 ? fdopendir(fd) : NULL;
	if (list == NULL) {
		cx_close(&fd);
		return cx_fail(err, errno, "list blobs");
	}
	while ((entry = readdir(list)) != NULL)
		if (strlen(entry->d_name) == HEX - 1 && each(dir, entry->d_name, arg, err) < 0)
			return -err->errnum;
	return 0;
}

static int remove_name(int dir, const char *name, void *arg, struct cx_err *err)
{
	(void)arg;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return cx_fail(err, errno, "remove blob %s", name);
	return 0;
}

int cx_blobs_open(struct cx_blobs *ret, int state_dir, struct cx_err *err)
{
	cx_autofd int top = -EBADF;

	*ret = (struct cx_blobs){ .whole = -EBADF, .partial = -EBADF };
	if (open_dir(state_dir, "blobs", &top, err) < 0 ||
	    open_dir(top, "sha256", &ret->whole, err) < 0 ||
	    open_dir(top, "partial", &ret->partial, err) < 0)
		return -err->errnum;
	return each_name(ret->partial, remove_name, NULL, err);
}

/* ---- making --------------------------------------------------------------------------------- */

int cx_blob_new(const struct cx_blobs *blobs, int *ret_fd, struct cx_err *err)
{
	*ret_fd = openat(blobs->whole, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return *ret_fd >= 0 ? 0 : cx_fail(err, errno, "make a file for a blob");
}

static int failed(const char *what, const char *name, struct cx_err *err)
{
	if (errno == ENOSPC || errno == EDQUOT)
		return cx_refuse(err, CX_LIMIT, "the disk of the state directory is full");
	return cx_fail(err, errno, "%s blob %s", what, name);
}

int cx_blob_keep(const struct cx_blobs *blobs, int fd, const uint8_t id[32], struct cx_err *err)
{
	char name[HEX], link[40];

	cx_to_hex(id, 32, name);
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, link, blobs->whole, name, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
		return failed("name", name, err);
	return 0;
}

int cx_blob_resume(const struct cx_blobs *blobs, const uint8_t id[32], int *ret_fd,
		   uint64_t *ret_size, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	char name[HEX];
	struct stat st;

	cx_to_hex(id, 32, name);
	fd = openat(blobs->partial, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed("open", name, err);
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = cx_take_fd(&fd);
	return 0;
}

int cx_blob_arrived(const struct cx_blobs *blobs, const uint8_t id[32], struct cx_err *err)
{
	char name[HEX];

	cx_to_hex(id, 32, name);
	return renameat(blobs->partial, name, blobs->whole, name) == 0 ? 0
								       : failed("name", name, err);
}

void cx_blob_give_up(const struct cx_blobs *blobs, const uint8_t id[32])
{
	char name[HEX];

	cx_to_hex(id, 32, name);
	(void)unlinkat(blobs->partial, name, 0);
}

/* ---- using ---------------------------------------------------------------------------------- */

int cx_blob_open(const struct cx_blobs *blobs, const uint8_t id[32], int *ret_fd,
		 uint64_t *ret_size, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	char name[HEX];
	struct stat st;

	cx_to_hex(id, 32, name);
	fd = openat(blobs->whole, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return cx_refuse(err, CX_NOT_FOUND, "blob sha256:%s is not in the store", name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed("open", name, err);
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = cx_take_fd(&fd);
	return 0;
}

bool cx_blob_has(const struct cx_blobs *blobs, const uint8_t id[32])
{
	char name[HEX];

	cx_to_hex(id, 32, name);
	return faccessat(blobs->whole, name, F_OK, 0) == 0;
}

static int check_bytes(const struct cx_buf *bytes, const uint8_t id[32], struct cx_err *err)
{
	uint8_t is[32];

	if (cx_digest_of(bytes->p, bytes->len, is, err) < 0)
		return -err->errnum;
	if (memcmp(is, id, 32) != 0)
		return cx_refuse(err, CX_INTERNAL,
				 "a blob of the store is damaged; 'caisson image "
				 "verify' tells more");
	return 0;
}

int cx_blob_read(const struct cx_blobs *blobs, const uint8_t id[32], struct cx_buf *ret,
		 struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	uint64_t size;
	ssize_t n;
	char *place;

	if (cx_blob_open(blobs, id, &fd, &size, err) < 0)
		return -err->errnum;
	if (size > ret->max)
		return cx_refuse(err, CX_LIMIT, "a document of %llu bytes; at most %zu are read",
				 (unsigned long long)size, ret->max);
	place = cx_buf_reserve(ret, (size_t)size, err);
	n = place != NULL ? cx_read_upto(fd, place, (size_t)size, err) : -1;
	if (n < 0)
		return -err->errnum;
	ret->len += (size_t)n;
	return check_bytes(ret, id, err);
}

void cx_blobs_hold(struct cx_blobs *blobs, struct cx_blob_hold *hold)
{
	hold->wanted = false;
	hold->next = blobs->holds;
	blobs->holds = hold;
}

void cx_blobs_let_go(struct cx_blobs *blobs, struct cx_blob_hold *hold)
{
	struct cx_blob_hold **at = &blobs->holds;

	while (*at != NULL && *at != hold)
		at = &(*at)->next;
	if (*at != NULL)
		*at = hold->next;
}

bool cx_blob_held(const struct cx_blobs *blobs, const uint8_t id[32])
{
	for (struct cx_blob_hold *hold = blobs->holds; hold != NULL; hold = hold->next)
		for (unsigned i = 0; i < hold->n; i++)
			if (memcmp(hold->ids[i], id, 32) == 0)
				return hold->wanted = true;
	return false;
}

int cx_blob_remove(const struct cx_blobs *blobs, const uint8_t id[32], struct cx_err *err)
{
	char name[HEX];

	cx_to_hex(id, 32, name);
	return remove_name(blobs->whole, name, NULL, err);
}

int cx_blob_put(const struct cx_blobs *blobs, const struct cx_buf *bytes, const uint8_t id[32],
		struct cx_err *err)
{
	CX_AUTO(cx_buf_free) struct cx_buf there = { .max = bytes->len };
	cx_autofd int fd = -EBADF;

	/* One that is damaged is replaced: it would count as there for good. */
	if (cx_blob_has(blobs, id)) {
		if (cx_blob_read(blobs, id, &there, err) == 0)
			return 0;
		if (cx_blob_remove(blobs, id, err) < 0)
			return -err->errnum;
	}
	if (cx_blob_new(blobs, &fd, err) < 0)
		return -err->errnum;
	if (cx_write_all(fd, bytes->p, bytes->len, err) < 0) {
		errno = err->errnum;
		return failed("write", "of an image's document", err);
	}
	if (fdatasync(fd) < 0) /* documents are small, and nothing works without them */
		return failed("sync", "of an image's document", err);
	return cx_blob_keep(blobs, fd, id, err);
}

struct walk {
	int (*each)(const uint8_t id[32], uint64_t size, void *arg, struct cx_err *err);
	void *arg;
};

static int visit(int dir, const char *name, void *arg, struct cx_err *err)
{
	const struct walk *walk = arg;
	struct stat st;
	uint8_t id[32];

	if (!cx_from_hex(name, id, 32))
		return 0;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : cx_fail(err, errno, "look at blob %s", name);
	return walk->each(id, (uint64_t)st.st_size, walk->arg, err);
}

int cx_blobs_each(const struct cx_blobs *blobs,
		  int (*each)(const uint8_t id[32], uint64_t size, void *arg, struct cx_err *err),
		  void *arg, struct cx_err *err)
{
	struct walk walk = { .each = each, .arg = arg };

	return each_name(blobs->whole, visit, &walk, err);
}

int cx_blobs_each_partial(const struct cx_blobs *blobs,
			  int (*each)(const uint8_t id[32], uint64_t size, void *arg,
				      struct cx_err *err),
			  void *arg, struct cx_err *err)
{
	struct walk walk = { .each = each, .arg = arg };

	return each_name(blobs->partial, visit, &walk, err);
}

int cx_blobs_free_bytes(const struct cx_blobs *blobs, uint64_t *ret, struct cx_err *err)
{
	struct statvfs fs;

	if (fstatvfs(blobs->whole, &fs) < 0)
		return cx_fail(err, errno, "free space of the state directory");
	*ret = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}
