/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/place.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "agent/fileop.h"
#include "base/fd.h"
#include "base/str.h"

enum { LINKS_MAX = 40, PARENT_MODE = 0755 };

void cx_place_close(struct cx_place *at)
{
	cx_close(&at->dir);
}

/* What did not come to its name goes. */
void cx_fresh_drop(struct cx_fresh *fresh)
{
	if (fresh->name[0] != '\0')
		(void)unlinkat(fresh->at->dir, fresh->name, 0);
	cx_close(&fresh->fd);
}

/* ---- where ----------------------------------------------------------------------------------- */

/* Into one more directory, made if it is missing. */
int cx_place_enter(struct cx_place *at, const char *name, struct cx_err *err)
{
	const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	int fd = openat(at->dir, name, flags);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(at->dir, name, PARENT_MODE) < 0 && errno != EEXIST)
			return cx_fileop_fail(errno, "make the directory of", at->path, err);
		fd = openat(at->dir, name, flags);
	}
	if (fd < 0)
		return cx_fileop_fail(errno, "enter the directory of", at->path, err);
	cx_close(&at->dir);
	at->dir = fd;
	return 0;
}

/* From the directory that at has; all but the last component are entered. */
int cx_place_walk(struct cx_place *at, const char *path, struct cx_err *err)
{
	if (path[0] == '/' && cx_place_enter(at, "/", err) < 0)
		return -err->errnum;
	for (;;) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len > NAME_MAX)
			return cx_fileop_fail(ENAMETOOLONG, "name in", at->path, err);
		memcpy(at->name, path, len);
		at->name[len] = '\0';
		if (path[len] == '\0')
			return 0;
		if (cx_place_enter(at, at->name, err) < 0)
			return -err->errnum;
		path += len;
	}
}

static int look(struct cx_place *at, struct cx_err *err)
{
	at->exists = fstatat(at->dir, at->name, &at->st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!at->exists && errno != ENOENT)
		return cx_fileop_fail(errno, "look at", at->path, err);
	return 0;
}

static bool names_directory(const char *name)
{
	return name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* A link is followed as by a program that opens it for writing: what it names may be missing. */
int cx_place_find(const char *path, bool follow, struct cx_place *at, struct cx_err *err)
{
	char link[PATH_MAX];
	const char *slash = strrchr(path, '/');

	at->path = path;
	if (names_directory(slash != NULL ? slash + 1 : path)) /* before parents are made */
		return cx_refuse(err, CX_INVALID, "'%s' is a directory", path);
	if (cx_place_enter(at, ".", err) < 0 || cx_place_walk(at, path, err) < 0)
		return -err->errnum;
	for (unsigned i = 0; i < LINKS_MAX; i++) {
		ssize_t n;

		if (names_directory(at->name))
			return cx_refuse(err, CX_INVALID, "'%s' is a directory", path);
		if (look(at, err) < 0)
			return -err->errnum;
		if (!follow || !at->exists || !S_ISLNK(at->st.st_mode))
			return 0;
		n = readlinkat(at->dir, at->name, link, sizeof link - 1);
		if (n < 0)
			return cx_fileop_fail(errno, "read the link", path, err);
		link[n] = '\0';
		if (cx_place_walk(at, link, err) < 0)
			return -err->errnum;
	}
	return cx_fileop_fail(ELOOP, "follow", path, err);
}

/* ---- what ------------------------------------------------------------------------------------ */

int cx_fresh_name(char name[40], struct cx_err *err)
{
	uint8_t random[8];
	char hex[2 * sizeof random + 1];

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return cx_fail(err, errno, "random numbers");
	cx_to_hex(random, sizeof random, hex);
	return cx_format(name, 40, ".caisson-%s", err, hex);
}

/* With no name, the kernel removes it whatever becomes of us; not every file system can do that. */
int cx_fresh_open(const struct cx_place *at, struct cx_fresh *fresh, struct cx_err *err)
{
	fresh->at = at;
	fresh->fd = openat(at->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (fresh->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return cx_fileop_fail(errno, "write in the directory of", at->path, err);
	if (cx_fresh_name(fresh->name, err) < 0)
		return -err->errnum;
	fresh->fd = openat(at->dir, fresh->name,
			   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fresh->fd >= 0)
		return 0;
	fresh->name[0] = '\0';
	return cx_fileop_fail(errno, "write in the directory of", at->path, err);
}

/* By its number: a file without a name is linked through /proc. */
static int give_name(const struct cx_fresh *fresh, const char *name)
{
	char source[32];

	(void)snprintf(source, sizeof source, "/proc/self/fd/%d", fresh->fd);
	return linkat(AT_FDCWD, source, fresh->at->dir, name, AT_SYMLINK_FOLLOW);
}

int cx_fresh_publish(struct cx_fresh *fresh, struct cx_err *err)
{
	const struct cx_place *at = fresh->at;

	if (fresh->name[0] == '\0' && give_name(fresh, at->name) == 0)
		return 0;
	if (fresh->name[0] == '\0') {
		char name[sizeof fresh->name];

		if (errno != EEXIST)
			return cx_fileop_fail(errno, "name", at->path, err);
		if (cx_fresh_name(name, err) < 0)
			return -err->errnum;
		if (give_name(fresh, name) < 0)
			return cx_fileop_fail(errno, "name", at->path, err);
		memcpy(fresh->name, name, sizeof name);
	}
	if (renameat(at->dir, fresh->name, at->dir, at->name) < 0)
		return cx_fileop_fail(errno, "replace", at->path, err);
	fresh->name[0] = '\0';
	return 0;
}
