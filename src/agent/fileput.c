/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>

#include "agent/content.h"
#include "agent/fileop.h"
#include "agent/place.h"
#include "base/str.h"

/* What is replaced goes on belonging to whom it did, if we may say so. */
static int set_mode(const struct cx_place *at, const struct cx_fresh *fresh, uint32_t mode,
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

static int say_ready(const struct cx_place *at, const struct cx_fileop_io *io, struct cx_err *err)
{
	struct cx_msg_file_info info = { .kind = CX_FILE_REGULAR };

	if (at->exists)
		info = cx_fileop_info(&at->st);
	return cx_fileop_ready(io, &info, err);
}

static int may_replace(const struct cx_place *at, struct cx_err *err)
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
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD };
	CX_AUTO(cx_fresh_drop) struct cx_fresh fresh = { .fd = -EBADF };
	struct cx_content content = { .data = io->data };

	if (cx_place_find(path, true, &at, err) < 0 || may_replace(&at, err) < 0 ||
	    cx_fresh_open(&at, &fresh, err) < 0 || say_ready(&at, io, err) < 0 ||
	    cx_content_save(&content, fresh.fd, path, UINT64_MAX, err) < 0 ||
	    set_mode(&at, &fresh, mode, err) < 0)
		return -err->errnum;
	return cx_fresh_publish(&fresh, err);
}

static int put_directory(const char *path, uint32_t mode, const struct cx_fileop_io *io,
			 struct cx_err *err)
{
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD, .path = path };
	struct cx_content content = { .data = io->data };
	char inside[PATH_MAX + 2];
	bool existed;
	int more;

	if (cx_format(inside, sizeof inside, "%s/", err, path) < 0)
		return -err->errnum;
	existed = access(path, F_OK) == 0;
	if (cx_place_enter(&at, ".", err) < 0 || cx_place_walk(&at, inside, err) < 0)
		return -err->errnum;
	if (!existed && mode != CX_FILE_MODE_NONE && chmod(path, mode) < 0)
		return cx_fileop_fail(errno, "change the mode of", path, err);
	if (say_ready(&at, io, err) < 0)
		return -err->errnum;
	more = cx_content_more(&content, err);
	return more <= 0 ? more : cx_refuse(err, CX_INVALID, "a directory has no content");
}

static int read_target(const struct cx_fileop_io *io, char to[PATH_MAX], struct cx_err *err)
{
	struct cx_content content = { .data = io->data };
	ssize_t len = cx_content_read(&content, to, PATH_MAX, err);

	if (len < 0)
		return -err->errnum;
	if (len == 0 || len == PATH_MAX)
		return cx_refuse(err, CX_INVALID, "a link to a path of %zd bytes", len);
	to[len] = '\0';
	if (strlen(to) != (size_t)len)
		return cx_refuse(err, CX_INVALID, "a link's target is not one text");
	return 0;
}

static int put_link(const char *path, const struct cx_fileop_io *io, struct cx_err *err)
{
	CX_AUTO(cx_place_close) struct cx_place at = { .dir = AT_FDCWD };
	CX_AUTO(cx_fresh_drop) struct cx_fresh fresh = { .fd = -EBADF, .at = &at };
	char target[PATH_MAX], name[sizeof fresh.name];

	if (cx_place_find(path, false, &at, err) < 0)
		return -err->errnum;
	if (at.exists && !S_ISREG(at.st.st_mode) && !S_ISLNK(at.st.st_mode))
		return cx_refuse(err, CX_INVALID, "'%s' is %s; no link takes its place", path,
				 cx_fileop_what(at.st.st_mode));
	if (say_ready(&at, io, err) < 0 || read_target(io, target, err) < 0 ||
	    cx_fresh_name(name, err) < 0)
		return -err->errnum;
	if (symlinkat(target, at.dir, name) < 0)
		return cx_fileop_fail(errno, "make the link", path, err);
	memcpy(fresh.name, name, sizeof name);
	return cx_fresh_publish(&fresh, err);
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
	if (m->kind == CX_FILE_TAR)
		return cx_fileop_untar(path, io, err);
	return put_regular(path, m->mode, io, err);
}
