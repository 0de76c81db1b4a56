/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>

#include "agent/fileop.h"
#include "agent/place.h"
#include "agent/untar.h"
#include "base/fd.h"
#include "base/path.h"

/* The working directory is where all of it goes; every path is relative. */
struct unpacking {
	struct cx_untar tar;
	struct cx_untar_entry entry;
	bool made;    /* the directory was not there before */
	bool is_root; /* of the sandbox: nothing leads out of it */
	/* A link has come that may lead out. What was there before is for who put it there to know,
	 * and gone through, but where a link of the archive leads is for who packed it. */
	bool has_ways_out;
};

/* ---- where it goes --------------------------------------------------------------------------- */

/* Absolute, or somewhere up. */
static bool may_lead_out(const char *target)
{
	for (const char *p = target; *p != '\0'; p += *p == '/') {
		size_t len = strcspn(p, "/");

		if (p == target && len == 0)
			return true;
		if (len == 2 && p[0] == '.' && p[1] == '.')
			return true;
		p += len;
	}
	return false;
}

/* What is missing on the way is made where it is looked for, so only what is there can lead out. */
static int check_way(const struct unpacking *u, const char *path, size_t len, struct cx_err *err)
{
	cx_autofd int fd = -EBADF;
	char way[PATH_MAX];

	if (len == 0 || u->is_root || !u->has_ways_out)
		return 0;
	memcpy(way, path, len);
	way[len] = '\0';
	fd = cx_open_within(AT_FDCWD, way, O_PATH | O_DIRECTORY, 0, err);
	if (fd < 0 && err->kind == CX_DENIED && err->refused)
		return cx_refuse(err, CX_INVALID,
				 "'%.150s' goes out of the directory by a link, and links of "
				 "this archive lead out",
				 path);
	if (fd < 0 && err->errnum != ENOENT)
		return cx_fileop_fail(err->errnum, "enter the directory of", path, err);
	return 0;
}

static size_t parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? (size_t)(slash - path) : 0;
}

/* ---- whose, and with which rights ------------------------------------------------------------ */

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

/* ---- what ------------------------------------------------------------------------------------ */

static int find(const struct unpacking *u, const char *path, struct cx_place *at,
		struct cx_err *err)
{
	if (check_way(u, path, parent_of(path), err) < 0 || cx_place_find(path, false, at, err) < 0)
		return -err->errnum;
	if (at->exists && !S_ISREG(at->st.st_mode) && !S_ISLNK(at->st.st_mode))
		return cx_refuse(err, CX_INVALID, "'%s' is %s and not replaced", path,
				 cx_fileop_what(at->st.st_mode));
	return 0;
}

static int put_regular(struct unpacking *u, const struct cx_untar_entry *e, struct cx_err *err)
{
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD };
	CX_AUTO(cx_fresh_drop) struct cx_fresh fresh = { .fd = -EBADF };

	if (find(u, e->path, &at, err) < 0 || cx_fresh_open(&at, &fresh, err) < 0 ||
	    cx_untar_save(&u->tar, e, fresh.fd, err) < 0 || set_attributes(fresh.fd, e, err) < 0)
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

	if (check_way(u, e->path, strlen(e->path), err) < 0 || cx_place_enter(&at, ".", err) < 0)
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

static int put_link(struct unpacking *u, const struct cx_untar_entry *e, struct cx_err *err)
{
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD };
	CX_AUTO(cx_fresh_drop) struct cx_fresh fresh = { .fd = -EBADF, .at = &at };
	char name[sizeof fresh.name];

	if (find(u, e->path, &at, err) < 0 || cx_fresh_name(name, err) < 0)
		return -err->errnum;
	u->has_ways_out |= may_lead_out(e->target);
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

static int put_hard_link(struct unpacking *u, const struct cx_untar_entry *e, struct cx_err *err)
{
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD }, of = { .dir = AT_FDCWD };
	CX_AUTO(cx_fresh_drop) struct cx_fresh fresh = { .fd = -EBADF, .at = &at };
	char name[sizeof fresh.name];

	if (find(u, e->path, &at, err) < 0 || find(u, e->target, &of, err) < 0 ||
	    cx_fresh_name(name, err) < 0)
		return -err->errnum;
	if (is_one_file(&at, &of)) /* which rename() would leave with both names */
		return 0;
	u->has_ways_out |= of.exists && S_ISLNK(of.st.st_mode); /* elsewhere it may lead out */
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
		return put_regular(u, e, err);
	case CX_UNTAR_DIRECTORY:
		return put_directory(u, e, err);
	case CX_UNTAR_LINK:
		return put_link(u, e, err);
	case CX_UNTAR_HARD_LINK:
		return put_hard_link(u, e, err);
	case CX_UNTAR_OTHER:
		break;
	}
	return cx_refuse(err, CX_INVALID, "'%.200s' is a device or FIFO, which are not made",
			 e->path);
}

static bool is_root(void)
{
	struct stat here, root;

	return stat(".", &here) == 0 && stat("/", &root) == 0 && here.st_dev == root.st_dev &&
	       here.st_ino == root.st_ino;
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
	u.is_root = is_root();
	if (cx_fileop_ready(io, &info, err) < 0)
		return -err->errnum;
	u.tar.content = &content;
	while ((r = cx_untar_next(&u.tar, &u.entry, err)) > 0)
		if (put_entry(&u, err) < 0)
			return -err->errnum;
	return r;
}
