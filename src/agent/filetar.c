/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>

#include "agent/fileop.h"
#include "agent/place.h"
#include "agent/untar.h"
#include "base/fd.h"

/* The working directory is where all of it goes; every path is relative. */
struct unpacking {
	struct cx_untar tar;
	struct cx_untar_entry entry;
	bool made; /* the directory was not there before */
};

static bool by_root(void)
{
	return geteuid() == 0;
}

/* Only root may give files away; of others they are their own, whoever packed them. */
static int set_owner(int dir, const char *name, const struct cx_untar_entry *e, struct cx_err *err)
{
	if (!by_root())
		return 0;
	if (e->uid > UINT32_MAX - 1 || e->gid > UINT32_MAX - 1)
		return cx_refuse(err, CX_INVALID, "'%.200s' belongs to an impossible user",
				 e->path);
	if (fchownat(dir, name, (uid_t)e->uid, (gid_t)e->gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) <
	    0)
		return cx_fileop_fail(errno, "give away", e->path, err);
	return 0;
}

/* Whom a file belongs to comes first: it takes the bits of a set-user-ID program away. */
static int set_attributes(int fd, const struct cx_untar_entry *e, struct cx_err *err)
{
	const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, e->mtime };
	mode_t mode = e->mode;

	if (set_owner(fd, "", e, err) < 0)
		return -err->errnum;
	/* Who is not root could not go on in a directory without rights of his own. */
	if (!by_root())
		mode = (mode & 0777) | (e->kind == CX_UNTAR_DIRECTORY ? 0700 : 0);
	if (fchmod(fd, mode) < 0)
		return cx_fileop_fail(errno, "change the mode of", e->path, err);
	(void)futimens(fd, times);
	return 0;
}

static int find(const char *path, struct cx_place *at, struct cx_err *err)
{
	if (cx_place_find(path, false, at, err) < 0)
		return -err->errnum;
	if (at->exists && !S_ISREG(at->st.st_mode) && !S_ISLNK(at->st.st_mode))
		return cx_refuse(err, CX_INVALID, "'%s' is %s and not replaced", path,
				 cx_fileop_what(at->st.st_mode));
	return 0;
}

static int put_regular(struct cx_untar *u, const struct cx_untar_entry *e, struct cx_err *err)
{
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD };
	CX_AUTO(cx_fresh_drop) struct cx_fresh fresh = { .fd = -EBADF };

	if (find(e->path, &at, err) < 0 || cx_fresh_open(&at, &fresh, err) < 0 ||
	    cx_untar_save(u, e, fresh.fd, err) < 0 || set_attributes(fresh.fd, e, err) < 0)
		return -err->errnum;
	return cx_fresh_publish(&fresh, err);
}

/* One that is there stays as it is: the archive may be unpacked in /tmp. */
static int put_directory(const struct unpacking *u, const struct cx_untar_entry *e,
			 struct cx_err *err)
{
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD, .path = e->path };
	bool top = e->path[0] == '\0', made = top && u->made;
	cx_autofd int fd = -EBADF;

	if (cx_place_enter(&at, ".", err) < 0)
		return -err->errnum;
	if (!top) {
		if (cx_place_walk(&at, e->path, err) < 0)
			return -err->errnum;
		made = faccessat(at.dir, at.name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
		if (cx_place_enter(&at, at.name, err) < 0)
			return -err->errnum;
	}
	if (!made)
		return 0;
	fd = openat(at.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return cx_fileop_fail(errno, "enter", e->path, err);
	return set_attributes(fd, e, err);
}

static int put_link(const struct cx_untar_entry *e, struct cx_err *err)
{
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD };
	CX_AUTO(cx_fresh_drop) struct cx_fresh fresh = { .fd = -EBADF, .at = &at };
	char name[sizeof fresh.name];

	if (find(e->path, &at, err) < 0 || cx_fresh_name(name, err) < 0)
		return -err->errnum;
	if (symlinkat(e->target, at.dir, name) < 0)
		return cx_fileop_fail(errno, "make the link", e->path, err);
	memcpy(fresh.name, name, sizeof name);
	if (set_owner(at.dir, name, e, err) < 0)
		return -err->errnum;
	return cx_fresh_publish(&fresh, err);
}

static bool is_one_file(const struct cx_place *a, const struct cx_place *b)
{
	return a->exists && b->exists && a->st.st_dev == b->st.st_dev &&
	       a->st.st_ino == b->st.st_ino;
}

static int put_hard_link(const struct cx_untar_entry *e, struct cx_err *err)
{
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD }, of = { .dir = AT_FDCWD };
	CX_AUTO(cx_fresh_drop) struct cx_fresh fresh = { .fd = -EBADF, .at = &at };
	char name[sizeof fresh.name];

	if (find(e->path, &at, err) < 0 || find(e->target, &of, err) < 0 ||
	    cx_fresh_name(name, err) < 0)
		return -err->errnum;
	if (is_one_file(&at, &of)) /* which rename() would leave with both names */
		return 0;
	if (linkat(of.dir, of.name, at.dir, name, 0) < 0)
		return cx_fileop_fail(errno, "make the link", e->path, err);
	memcpy(fresh.name, name, sizeof name);
	return cx_fresh_publish(&fresh, err);
}

static int put_entry(struct unpacking *u, struct cx_err *err)
{
	const struct cx_untar_entry *e = &u->entry;

	switch (e->kind) {
	case CX_UNTAR_REGULAR:
		return put_regular(&u->tar, e, err);
	case CX_UNTAR_DIRECTORY:
		return put_directory(u, e, err);
	case CX_UNTAR_LINK:
		return put_link(e, err);
	case CX_UNTAR_HARD_LINK:
		return put_hard_link(e, err);
	case CX_UNTAR_OTHER:
		break;
	}
	return cx_refuse(err, CX_INVALID, "'%.200s' is a device or FIFO, which are not made",
			 e->path);
}

int cx_fileop_untar(const char *path, const struct cx_fileop_io *io, struct cx_err *err)
{
	static struct unpacking u;
	struct cx_content content = { .data = io->data };
	CX_AUTO(cx_place_close) struct cx_place top = { .dir = AT_FDCWD, .path = path };
	const struct cx_msg_file_info info = { .kind = CX_FILE_DIRECTORY };
	int r;

	u.made = access(path, F_OK) < 0;
	if (cx_place_enter(&top, ".", err) < 0 || cx_place_walk(&top, path, err) < 0 ||
	    (top.name[0] != '\0' && cx_place_enter(&top, top.name, err) < 0))
		return -err->errnum;
	if (fchdir(top.dir) < 0)
		return cx_fileop_fail(errno, "enter", path, err);
	if (cx_fileop_ready(io, &info, err) < 0)
		return -err->errnum;
	u.tar.content = &content;
	while ((r = cx_untar_next(&u.tar, &u.entry, err)) > 0)
		if (put_entry(&u, err) < 0)
			return -err->errnum;
	return r;
}
