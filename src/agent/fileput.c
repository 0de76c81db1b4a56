/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "agent/fileop.h"
#include "base/fd.h"
#include "base/str.h"

enum { LINKS_MAX = 40, CHUNK = 65536, PARENT_MODE = 0755 };

/* The last component of a path and the directory that it is in. */
struct place {
	int dir; /* O_PATH */
	char name[NAME_MAX + 1];
	const char *path; /* as asked for */
	bool exists;
	struct stat st; /* if it exists */
};

/* New content that nobody sees yet. */
struct fresh {
	const struct place *at;
	int fd;
	char name[40]; /* in the same directory; "": it has none */
};

static void close_place(struct place *at)
{
	cx_close(&at->dir);
}

/* What did not come to its name goes. */
static void drop_fresh(struct fresh *fresh)
{
	if (fresh->name[0] != '\0')
		(void)unlinkat(fresh->at->dir, fresh->name, 0);
	cx_close(&fresh->fd);
}

/* ---- where ----------------------------------------------------------------------------------- */

/* Into one more directory, made if it is missing. */
static int step_into(struct place *at, const char *name, struct cx_err *err)
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
static int walk(struct place *at, const char *path, struct cx_err *err)
{
	if (path[0] == '/' && step_into(at, "/", err) < 0)
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
		if (step_into(at, at->name, err) < 0)
			return -err->errnum;
		path += len;
	}
}

static int look(struct place *at, struct cx_err *err)
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
static int find_place(const char *path, bool follow, struct place *at, struct cx_err *err)
{
	char link[PATH_MAX];
	const char *slash = strrchr(path, '/');

	at->path = path;
	if (names_directory(slash != NULL ? slash + 1 : path)) /* before parents are made */
		return cx_refuse(err, CX_INVALID, "'%s' is a directory", path);
	if (step_into(at, ".", err) < 0 || walk(at, path, err) < 0)
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
		if (walk(at, link, err) < 0)
			return -err->errnum;
	}
	return cx_fileop_fail(ELOOP, "follow", path, err);
}

/* ---- what ------------------------------------------------------------------------------------ */

static int read_exactly(int fd, void *to, size_t len, struct cx_err *err)
{
	ssize_t n = cx_read_upto(fd, to, len, err);

	if (n >= 0 && (size_t)n < len)
		return cx_refuse(err, CX_CONFLICT, "the content broke off");
	return n < 0 ? (int)n : 0;
}

/* The length of the next chunk; 0 is the end. */
static int read_length(const struct cx_fileop_io *io, uint32_t *ret, struct cx_err *err)
{
	uint8_t bytes[4];
	struct cx_reader r = { .p = bytes, .left = sizeof bytes };

	if (read_exactly(io->data, bytes, sizeof bytes, err) < 0)
		return -err->errnum;
	if (!cx_get_u32(&r, ret, CX_FILE_CHUNK_MAX))
		return cx_refuse(err, CX_INVALID, "a chunk is too long");
	return 0;
}

static int receive(int fd, const char *path, const struct cx_fileop_io *io, struct cx_err *err)
{
	static char chunk[CHUNK];
	uint32_t left;

	for (;;) {
		if (read_length(io, &left, err) < 0)
			return -err->errnum;
		if (left == 0)
			return 0;
		while (left > 0) {
			size_t n = left < CHUNK ? left : CHUNK;

			if (read_exactly(io->data, chunk, n, err) < 0)
				return -err->errnum;
			if (cx_write_all(fd, chunk, n, err) < 0)
				return cx_fileop_fail(err->errnum, "write", path, err);
			left -= (uint32_t)n;
		}
	}
}

static int make_name(char name[40], struct cx_err *err)
{
	uint8_t random[8];
	char hex[2 * sizeof random + 1];

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return cx_fail(err, errno, "random numbers");
	cx_to_hex(random, sizeof random, hex);
	return cx_format(name, 40, ".caisson-%s", err, hex);
}

/* With no name, the kernel removes it whatever becomes of us; not every file system can do that. */
static int open_fresh(const struct place *at, struct fresh *fresh, struct cx_err *err)
{
	fresh->at = at;
	fresh->fd = openat(at->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (fresh->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return cx_fileop_fail(errno, "write in the directory of", at->path, err);
	if (make_name(fresh->name, err) < 0)
		return -err->errnum;
	fresh->fd = openat(at->dir, fresh->name,
			   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fresh->fd >= 0)
		return 0;
	fresh->name[0] = '\0';
	return cx_fileop_fail(errno, "write in the directory of", at->path, err);
}

/* By its number: a file without a name is linked through /proc. */
static int give_name(const struct fresh *fresh, const char *name)
{
	char source[32];

	(void)snprintf(source, sizeof source, "/proc/self/fd/%d", fresh->fd);
	return linkat(AT_FDCWD, source, fresh->at->dir, name, AT_SYMLINK_FOLLOW);
}

static int publish(struct fresh *fresh, struct cx_err *err)
{
	const struct place *at = fresh->at;

	if (fresh->name[0] == '\0' && give_name(fresh, at->name) == 0)
		return 0;
	if (fresh->name[0] == '\0') {
		char name[sizeof fresh->name];

		if (errno != EEXIST)
			return cx_fileop_fail(errno, "name", at->path, err);
		if (make_name(name, err) < 0)
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

/* What is replaced goes on belonging to whom it did, if we may say so. */
static int set_mode(const struct place *at, const struct fresh *fresh, uint32_t mode,
		    struct cx_err *err)
{
	if (at->exists && (at->st.st_uid != geteuid() || at->st.st_gid != getegid()))
		(void)!fchown(fresh->fd, at->st.st_uid, at->st.st_gid);
	if (mode == CX_FILE_MODE_NONE && !at->exists)
		return 0;
	if (mode == CX_FILE_MODE_NONE)
		mode = at->st.st_mode & 0777;
	if (fchmod(fresh->fd, mode) < 0)
		return cx_fileop_fail(errno, "change the mode of", at->path, err);
	return 0;
}

static int say_ready(const struct place *at, const struct cx_fileop_io *io, struct cx_err *err)
{
	struct cx_msg_file_info info = { .kind = CX_FILE_REGULAR };

	if (at->exists)
		info = cx_fileop_info(&at->st);
	return cx_fileop_ready(io, &info, err);
}

static int may_replace(const struct place *at, struct cx_err *err)
{
	if (!at->exists)
		return 0;
	if (!S_ISREG(at->st.st_mode))
		return cx_refuse(err, CX_INVALID, "'%s' is %s, not a regular file", at->path,
				 cx_fileop_what(at->st.st_mode));
	if (faccessat(at->dir, at->name, W_OK, AT_EACCESS) < 0)
		return cx_fileop_fail(errno, "write", at->path, err);
	return 0;
}

static int put_regular(const char *path, uint32_t mode, const struct cx_fileop_io *io,
		       struct cx_err *err)
{
	CX_AUTO(close_place) struct place at = { .dir = AT_FDCWD };
	CX_AUTO(drop_fresh) struct fresh fresh = { .fd = -EBADF };

	if (find_place(path, true, &at, err) < 0 || may_replace(&at, err) < 0 ||
	    open_fresh(&at, &fresh, err) < 0 || say_ready(&at, io, err) < 0 ||
	    receive(fresh.fd, path, io, err) < 0 || set_mode(&at, &fresh, mode, err) < 0)
		return -err->errnum;
	return publish(&fresh, err);
}

static int put_directory(const char *path, uint32_t mode, const struct cx_fileop_io *io,
			 struct cx_err *err)
{
	CX_AUTO(close_place) struct place at = { .dir = AT_FDCWD, .path = path };
	char inside[PATH_MAX + 2];
	uint32_t more;
	bool existed;

	if (cx_format(inside, sizeof inside, "%s/", err, path) < 0)
		return -err->errnum;
	existed = access(path, F_OK) == 0;
	if (step_into(&at, ".", err) < 0 || walk(&at, inside, err) < 0)
		return -err->errnum;
	if (!existed && mode != CX_FILE_MODE_NONE && chmod(path, mode) < 0)
		return cx_fileop_fail(errno, "change the mode of", path, err);
	if (say_ready(&at, io, err) < 0 || read_length(io, &more, err) < 0)
		return -err->errnum;
	return more == 0 ? 0 : cx_refuse(err, CX_INVALID, "a directory has no content");
}

static int read_target(const struct cx_fileop_io *io, char to[PATH_MAX], struct cx_err *err)
{
	uint32_t len, more;

	if (read_length(io, &len, err) < 0)
		return -err->errnum;
	if (len == 0 || len >= PATH_MAX)
		return cx_refuse(err, CX_INVALID, "a link to a path of %u bytes", len);
	if (read_exactly(io->data, to, len, err) < 0 || read_length(io, &more, err) < 0)
		return -err->errnum;
	to[len] = '\0';
	if (more != 0 || strlen(to) != len)
		return cx_refuse(err, CX_INVALID, "a link's target is not one text");
	return 0;
}

static int put_link(const char *path, const struct cx_fileop_io *io, struct cx_err *err)
{
	CX_AUTO(close_place) struct place at = { .dir = AT_FDCWD };
	CX_AUTO(drop_fresh) struct fresh fresh = { .fd = -EBADF, .at = &at };
	char target[PATH_MAX], name[sizeof fresh.name];

	if (find_place(path, false, &at, err) < 0)
		return -err->errnum;
	if (at.exists && !S_ISREG(at.st.st_mode) && !S_ISLNK(at.st.st_mode))
		return cx_refuse(err, CX_INVALID, "'%s' is %s; no link takes its place", path,
				 cx_fileop_what(at.st.st_mode));
	if (say_ready(&at, io, err) < 0 || read_target(io, target, err) < 0 ||
	    make_name(name, err) < 0)
		return -err->errnum;
	if (symlinkat(target, at.dir, name) < 0)
		return cx_fileop_fail(errno, "make the link", path, err);
	memcpy(fresh.name, name, sizeof name);
	return publish(&fresh, err);
}

int cx_fileop_put(const struct cx_msg_file_put *m, const struct cx_fileop_io *io,
		  struct cx_err *err)
{
	char path[PATH_MAX];

	if (cx_fileop_path(m->path, path, err) < 0)
		return -err->errnum;
	if (m->kind == CX_FILE_DIRECTORY)
		return put_directory(path, m->mode, io, err);
	if (m->kind == CX_FILE_LINK)
		return put_link(path, io, err);
	return put_regular(path, m->mode, io, err);
}
